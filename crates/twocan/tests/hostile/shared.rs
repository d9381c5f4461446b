//! The attacker's region, of any size and with any flaw, and its read-only sight of the victim's.

use crate::fake::{MAGIC, fingerprint};
use std::cell::Cell;
use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd};

/// Where things stand in a region (docs/protocol.md).
pub const ARM_RX: u64 = 128;
pub const ARM_TX: u64 = 256;
pub const BELL_RX: u64 = 384;
pub const BELL_TX: u64 = 512;
pub const ACK: u64 = 640;
pub const TAKEN: u64 = 648;
pub const END: u64 = 768;
pub const CLOSED_RX: u64 = 896;
pub const DISCARD: u64 = 1024;
pub const ASYM: u64 = 1152;
/// A word that nobody looks at.
pub const NOBODY: u64 = 2048;
pub const RING: u64 = 4096;

const ALL_SEALS: i32 =
    libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;

/// A region as it is made: the default is honest.
#[derive(Clone, Copy)]
pub struct Plan {
    pub capacity: u64,
    pub start: u64,
    pub seals: i32,
    /// Bytes more (or fewer) than the ring needs.
    pub longer: i64,
    /// Leave the memory unallocated.
    pub huge: bool,
    /// A word of the identity that is wrong: offset, and the bits that are turned round.
    pub lie: (u64, u64),
}

impl Plan {
    pub fn honest(capacity: u64, start: u64) -> Plan {
        let seals = ALL_SEALS;
        Plan { capacity, start, seals, longer: 0, huge: false, lie: (NOBODY, 0) }
    }

    /// All seals but these.
    pub fn without(seals: i32) -> Plan {
        Plan { seals: ALL_SEALS & !seals, ..Plan::honest(4096, 0) }
    }
}

/// A mapping of the attacker's own region. It counts what it stores.
pub struct Shared {
    base: *mut u8,
    len: usize,
    pub file: File,
    pub id: u64,
    pub capacity: u64,
    pub start: u64,
    writes: Cell<u64>,
}

/// Maps a whole file; `None` if the system refuses.
fn map(file: &File, len: usize, protection: i32) -> Option<*mut u8> {
    // SAFETY: a new range that the kernel chooses.
    let base = unsafe {
        let fd = file.as_raw_fd();
        libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, fd, 0)
    };
    (base != libc::MAP_FAILED).then_some(base.cast())
}

impl Shared {
    /// `None` if this system cannot make it (huge pages, for instance).
    pub fn make(plan: &Plan, id: u64) -> Option<Shared> {
        let flags = libc::MFD_CLOEXEC
            | libc::MFD_ALLOW_SEALING
            | if plan.huge { libc::MFD_HUGETLB } else { 0 };
        // SAFETY: a name that lives.
        let fd = unsafe { libc::memfd_create(c"hostile".as_ptr(), flags) };
        if fd < 0 {
            return None;
        }
        // SAFETY: made just now.
        let file = unsafe { File::from_raw_fd(fd) };
        let mut len = (RING as i64 + plan.capacity as i64 + plan.longer) as usize;
        if plan.huge {
            len = len.next_multiple_of(2 << 20);
        }
        file.set_len(len as u64).ok()?;
        let room = len;
        // SAFETY: no memory is handed over.
        if !plan.huge && unsafe { libc::fallocate(fd, 0, 0, room as i64) } != 0 {
            return None;
        }
        // Huge pages that nobody has reserved cannot be mapped; the file can be handed over.
        let mapped = map(&file, len, libc::PROT_READ | libc::PROT_WRITE);
        let (base, len) = match mapped {
            Some(base) => (base, len),
            None if plan.huge => (std::ptr::null_mut(), 0),
            None => return None,
        };
        // SAFETY: no memory is handed over.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, plan.seals) }, 0);
        let (capacity, start, writes) = (plan.capacity, plan.start, Cell::new(0));
        let shared = Shared { base, len, file, id, capacity, start, writes };
        if len > 0 {
            shared.identify();
            let (at, bits) = plan.lie;
            shared.put(at, shared.get(at) ^ bits);
        }
        Some(shared)
    }

    /// An honest one.
    pub fn new(capacity: u64, start: u64, id: u64) -> Shared {
        Shared::make(&Plan::honest(capacity, start), id).expect("memory")
    }

    pub fn identify(&self) {
        self.put(0, u64::from_le_bytes(*MAGIC));
        self.put(8, u64::from(fingerprint()) << 32 | 1);
        self.put(16, self.id);
        self.put(24, self.capacity);
        self.put(32, self.start);
    }

    /// As new: nothing in the ring, nothing said.
    pub fn clear(&self) {
        // SAFETY: the whole mapping, which is ours to write.
        unsafe { std::ptr::write_bytes(self.base, 0, self.len) };
        self.identify();
    }

    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    #[inline]
    fn word(&self, at: u64) -> *mut u64 {
        assert!(at % 8 == 0 && at as usize + 8 <= self.len);
        // SAFETY: inside the mapping.
        unsafe { self.base.add(at as usize).cast() }
    }

    /// Stores one word: 1 write.
    #[inline]
    pub fn put(&self, at: u64, word: u64) {
        self.writes.set(self.writes.get() + 1);
        // SAFETY: inside the mapping and aligned; the reader expects words to change.
        unsafe { self.word(at).write_volatile(word) };
    }

    #[inline]
    pub fn get(&self, at: u64) -> u64 {
        // SAFETY: inside the mapping and aligned.
        unsafe { self.word(at).read_volatile() }
    }

    pub fn bytes(&self, at: u64, bytes: &[u8]) {
        for (i, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.put(at + 8 * i as u64, u64::from_le_bytes(word));
        }
    }

    /// Where a position of the ring lies in the region.
    #[inline]
    pub fn at(&self, position: u64) -> u64 {
        RING + (position & (self.capacity - 1))
    }

    /// Wakes whoever sleeps on a word.
    pub fn wake(&self, at: u64) {
        // SAFETY: a word of the mapping.
        unsafe { libc::syscall(libc::SYS_futex, self.word(at), libc::FUTEX_WAKE, i32::MAX) };
    }

    /// Moves whoever sleeps on the word at `from` to a word that is never woken; how many.
    pub fn requeue(&self, from: u64) -> u64 {
        // SAFETY: two words of the mapping.
        let moved = unsafe {
            let (from, to) = (self.word(from), self.word(NOBODY));
            libc::syscall(libc::SYS_futex, from, libc::FUTEX_REQUEUE, 0, i32::MAX as usize, to)
        };
        moved.max(0) as u64
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: mapped in `make`; nobody has a pointer into it.
            unsafe { libc::munmap(self.base.cast(), self.len) };
        }
    }
}

/// The victim's region, which the kernel lets us read only.
pub struct Theirs {
    base: *const u8,
    len: usize,
    pub id: u64,
    pub capacity: u64,
}

impl Theirs {
    pub fn map(file: &File, id: u64, capacity: u64) -> Theirs {
        let len = (RING + capacity) as usize;
        assert!(
            map(file, len, libc::PROT_READ | libc::PROT_WRITE).is_none(),
            "the victim's region can be mapped for writing"
        );
        let base = map(file, len, libc::PROT_READ);
        Theirs {
            base: base.unwrap_or_else(|| panic!("{}", Error::last_os_error())),
            len,
            id,
            capacity,
        }
    }

    #[inline]
    pub fn get(&self, at: u64) -> u64 {
        assert!(at % 8 == 0 && at as usize + 8 <= self.len);
        // SAFETY: inside the mapping and aligned.
        unsafe { self.base.add(at as usize).cast::<u64>().read_volatile() }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`; nobody has a pointer into it.
        unsafe { libc::munmap(self.base.cast_mut().cast(), self.len) };
    }
}
