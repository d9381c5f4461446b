//! Mapped memory.

use super::fork;
use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, MsyncFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// The C library's copy, where the compiler cannot look: the fastest there is for many bytes, and
/// whatever it reads twice is only copied twice.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes; they do not overlap. One of them may be
/// written by another process meanwhile: then the copy is a mixture.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(never)]
pub(crate) unsafe fn copy_opaque(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; the arguments lie where the C calling convention
    // wants them, and what a call may change is declared.
    unsafe {
        std::arch::asm!(
            "call {memcpy}",
            memcpy = sym libc::memcpy,
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rdx") len => _,
            clobber_abi("C"),
        );
    }
}

/// What may be done with mapped memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protection {
    pub(crate) write: bool,
    pub(crate) execute: bool,
    /// Stores stay in this mapping (copy on write).
    pub(crate) private: bool,
}

impl Protection {
    /// Loads and stores that all who map it see.
    pub(crate) const READ_WRITE: Protection =
        Protection { write: true, execute: false, private: false };

    /// Loads of what somebody else stores.
    pub(crate) const READ_ONLY: Protection =
        Protection { write: false, execute: false, private: false };

    fn flags(self) -> ProtFlags {
        let mut flags = ProtFlags::READ;
        flags.set(ProtFlags::WRITE, self.write);
        flags.set(ProtFlags::EXEC, self.execute);
        flags
    }
}

/// A mapping, unmapped by drop. A forked child does not have it, unless it is inheritable: a copy
/// would keep the file's holder lock alive in the child.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    generation: u32,
    inheritable: bool,
}

// SAFETY: a mapping is an address range without any tie to a thread; what its users do with the
// bytes is their affair.
unsafe impl Send for Mapping {}
// SAFETY: as above; the methods change no field.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes (at least 1) of a file from `offset`, a multiple of the page size.
    pub(crate) fn of_file(
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        protection: Protection,
        inheritable: bool,
    ) -> io::Result<Mapping> {
        let kind = if protection.private { MapFlags::PRIVATE } else { MapFlags::SHARED };
        #[cfg(twocan_tsan)]
        if !protection.private && !inheritable {
            return same::mapping(file, offset, len, protection);
        }
        Mapping::make(len, inheritable, || {
            // SAFETY: a new range that the kernel chooses; no existing mapping is touched.
            unsafe { mm::mmap(std::ptr::null_mut(), len, protection.flags(), kind, file, offset) }
        })
    }

    /// Maps `len` bytes of fresh zeroes that only this process has (and, if inheritable, its forked
    /// children share).
    pub(crate) fn anonymous(len: usize, inheritable: bool) -> io::Result<Mapping> {
        let protection = Protection::READ_WRITE.flags();
        Mapping::make(len, inheritable, || {
            // SAFETY: a new range that the kernel chooses; no existing mapping is touched.
            unsafe { mm::mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::SHARED) }
        })
    }

    fn make(
        len: usize,
        inheritable: bool,
        map: impl FnOnce() -> Result<*mut std::ffi::c_void, Errno>,
    ) -> io::Result<Mapping> {
        let wrap = |base: *mut std::ffi::c_void| {
            let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
            Ok(Mapping { base, len, generation: fork::generation(), inheritable })
        };
        if inheritable {
            return wrap(map()?);
        }
        // Mapped and marked under one lock, so that no child copies it in between.
        fork::kept_away(|| {
            let mapping: Mapping = wrap(map()?)?;
            // SAFETY: the range was mapped just now and belongs to `mapping`.
            unsafe { mm::madvise(mapping.base.as_ptr().cast(), len, Advice::LinuxDontFork)? };
            Ok(mapping)
        })
    }

    /// Where it starts.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes asked for; the last page may hold more.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Was it made before a `fork` that led to this process, and is it therefore not there?
    pub(crate) fn is_forked(&self) -> bool {
        !self.inheritable && self.generation != fork::generation()
    }

    /// Gives the pages that hold `at..at + len` real memory, so that the next loads (stores, if
    /// `write`) cannot fail for want of it.
    ///
    /// # Errors
    /// `StorageFull` when there is none.
    pub(crate) fn populate(&self, at: usize, len: usize, write: bool) -> io::Result<()> {
        let Some((start, len)) = self.pages(at, len) else { return Ok(()) };
        let advice = if write { Advice::LinuxPopulateWrite } else { Advice::LinuxPopulateRead };
        loop {
            // SAFETY: the range lies within the mapping; populating changes no byte.
            match unsafe { mm::madvise(self.base.as_ptr().add(start).cast(), len, advice) } {
                Ok(()) => return Ok(()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // The touch would have been a SIGBUS.
                Err(Errno::FAULT | Errno::NOMEM | Errno::HWPOISON) => {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                // A kernel before 5.14: nothing can be promised.
                Err(Errno::INVAL) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Writes what was stored in `at..at + len` to the file, and returns when it is there.
    pub(crate) fn flush(&self, at: usize, len: usize) -> io::Result<()> {
        let Some((start, len)) = self.pages(at, len) else { return Ok(()) };
        // SAFETY: the range lies within the mapping; flushing changes no byte.
        unsafe { mm::msync(self.base.as_ptr().add(start).cast(), len, MsyncFlags::SYNC)? };
        Ok(())
    }

    /// The pages of a range, cut to the mapping; `None` if it is empty.
    fn pages(&self, at: usize, len: usize) -> Option<(usize, usize)> {
        let start = at - at % page_size();
        let end = at.checked_add(len)?.min(self.len);
        (len > 0 && start < end).then(|| (start, end - start))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Under ThreadSanitizer others may use the same range: it stays.
        if !self.is_forked() && !cfg!(twocan_tsan) {
            // SAFETY: the range is ours alone, and with `self` gone nobody has a pointer into it
            // that he may use. (In a forked child it does not exist; the addresses may belong to
            // something else.)
            let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
            debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
        }
    }
}

/// ThreadSanitizer tells memory by its address. Two ends in one process map the same file at two
/// addresses, and it would see no connection between them: for it alone, the same part of the same
/// file is mapped once, writable if its first user wanted that, and for ever.
#[cfg(twocan_tsan)]
mod same {
    use super::{BorrowedFd, MapFlags, Mapping, NonNull, Protection, fork, io, mm};
    use std::collections::HashMap;
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// Device, inode, offset, length, writable.
    type Part = (u64, u64, u64, usize, bool);

    pub(super) fn mapping(
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        protection: Protection,
    ) -> io::Result<Mapping> {
        static PARTS: OnceLock<Mutex<HashMap<Part, usize>>> = OnceLock::new();
        let parts = PARTS.get_or_init(Mutex::default);
        let stat = rustix::fs::fstat(file)?;
        let part = |write| (stat.st_dev as u64, stat.st_ino as u64, offset, len, write);
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        // Who only reads may use what another writes; not the other way round.
        let known = parts.get(&part(true)).or_else(|| parts.get(&part(protection.write)));
        let known = known.and_then(|base| NonNull::new(*base as *mut u8));
        if let Some(base) = known {
            return Ok(Mapping { base, len, generation: fork::generation(), inheritable: false });
        }
        let mapping = Mapping::make(len, false, || {
            let (at, flags) = (std::ptr::null_mut(), protection.flags());
            // SAFETY: a new range that the kernel chooses; no existing mapping is touched.
            unsafe { mm::mmap(at, len, flags, MapFlags::SHARED, file, offset) }
        })?;
        parts.insert(part(protection.write), mapping.base.as_ptr() as usize);
        Ok(mapping)
    }
}

/// Does the system promise no more memory than it has (`vm.overcommit_memory` is 2)? Then the first
/// touch of a page of a file can be refused, by a signal. Elsewhere it ends as any lack of memory
/// does.
pub(crate) fn is_counted_strictly() -> bool {
    // What cannot be read may be anything.
    std::fs::read("/proc/sys/vm/overcommit_memory").map_or(true, |mode| mode.first() == Some(&b'2'))
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // By the C library, which knows it from the start. rustix reads a table for it that does not
    // lie where it says under valgrind.
    // SAFETY: no memory is passed.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Bytes between the offsets at which a file can be mapped.
pub(crate) fn granularity() -> u64 {
    page_size() as u64
}
