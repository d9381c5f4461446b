//! An end made by hand, that may lie: sockets, a memfd, and the bytes that an honest end would
//! write.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub const MAGIC: &[u8; 8] = b"TWOCAN\x00\xE1";
/// FNV-1a over the sizes, offsets and limits that both sides must agree on.
pub fn fingerprint() -> u32 {
    let parts = [1280u32, 640, 768, 1152, 4096, 64, 16, 16, 1024];
    parts.iter().fold(0x811C_9DC5, |hash, part| (hash ^ part).wrapping_mul(0x0100_0193))
}

/// Offsets in a region.
pub const ARM_RX: u64 = 128;
pub const BELL_RX: u64 = 384;
pub const ACK: u64 = 640;
pub const TAKEN: u64 = 648;
pub const END: u64 = 768;
pub const RING: u64 = 4096;
pub const CAPACITY: u64 = 4096;
/// Where the fake's records begin.
pub const START: u64 = 0;

/// How a region may be wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Unsealed,
    Short,
    Sparse,
    NoMagic,
    /// A file on a disk or in /dev/shm can be truncated.
    NoMemfd,
}

pub struct Region {
    pub file: File,
    pub id: u64,
    /// Once sealed, only this mapping can write.
    mapped: Option<(*mut u8, usize)>,
}

impl Region {
    pub fn new(flaw: Flaw) -> Region {
        let id = 0x0FA6E;
        let len = RING + CAPACITY - if flaw == Flaw::Short { 4096 } else { 0 };
        // SAFETY: a name that lives; the descriptor is ours.
        let fd = unsafe { libc::memfd_create(c"fake".as_ptr(), libc::MFD_ALLOW_SEALING) };
        // SAFETY: made just now.
        let mut file = unsafe { File::from_raw_fd(fd) };
        if flaw == Flaw::NoMemfd {
            let path = std::env::temp_dir().join(crate::support::unique("fake"));
            let options = File::options().read(true).write(true).create_new(true).open(&path);
            file = options.unwrap();
            std::fs::remove_file(path).unwrap();
        }
        file.set_len(len).unwrap();
        if flaw != Flaw::Sparse {
            file.write_all_at(&vec![0; len as usize], 0).unwrap();
        }
        let mut region = Region { file, id, mapped: None };
        if flaw != Flaw::NoMagic {
            region.write(0, MAGIC);
        }
        region.write(8, &1u32.to_le_bytes());
        region.write(12, &fingerprint().to_le_bytes());
        for (at, word) in [(16, id), (24, CAPACITY), (32, START)] {
            region.word(at, word);
        }
        if flaw != Flaw::Unsealed {
            region.seal();
        }
        region
    }

    /// Mapped and then sealed, as an owner does it.
    fn seal(&mut self) {
        let seals =
            libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL;
        let len = self.file.metadata().unwrap().len() as usize;
        let fd = self.file.as_raw_fd();
        let both = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of the whole file; then the seals, which a file that is no memfd
        // refuses.
        unsafe {
            let base = libc::mmap(std::ptr::null_mut(), len, both, libc::MAP_SHARED, fd, 0);
            assert_ne!(base, libc::MAP_FAILED);
            libc::fcntl(fd, libc::F_ADD_SEALS, seals);
            self.mapped = Some((base.cast(), len));
        }
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        let Some((base, len)) = self.mapped else {
            return self.file.write_all_at(bytes, at).unwrap();
        };
        assert!(at as usize + bytes.len() <= len);
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: inside the mapping; the reader expects bytes to change.
            unsafe { base.add(at as usize + i).write_volatile(*byte) };
        }
    }

    /// Moves whoever sleeps on the word at `from` to the word at `to`; how many there were.
    pub fn requeue(&self, from: u64, to: u64) -> i64 {
        let (base, len) = self.mapped.expect("sealed");
        assert!(from.max(to) as usize + 4 <= len);
        // SAFETY: both words lie inside the mapping and are aligned.
        unsafe {
            let (from, to) = (base.add(from as usize), base.add(to as usize));
            libc::syscall(libc::SYS_futex, from, libc::FUTEX_REQUEUE, 0, i32::MAX as usize, to)
        }
    }

    pub fn word(&self, at: u64, word: u64) {
        self.write(at, &word.to_le_bytes());
    }

    /// A record at `position`: kind, the length that it claims, and some bytes. The stamp last.
    pub fn record(&self, position: u64, kind: u64, len: u32, bytes: &[u8]) {
        let at = RING + position % CAPACITY;
        self.write(at + 16, bytes);
        self.word(at + 8, kind << 32 | u64::from(len));
        self.word(at, position | 1);
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some((base, len)) = self.mapped {
            // SAFETY: mapped by `seal`, and nobody looks at it any more.
            unsafe { libc::munmap(base.cast(), len) };
        }
    }
}

fn head(kind: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for word in [1, fingerprint(), kind] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn shape(bytes: &mut Vec<u8>, id: u64) {
    for word in [id, CAPACITY, START] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
}

fn card(bytes: &mut Vec<u8>, id: u64) {
    bytes.extend_from_slice(&0u32.to_le_bytes()); // both directions
    bytes.extend_from_slice(&(64u64 << 20).to_le_bytes());
    bytes.extend_from_slice(&std::process::id().to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes()); // no label
    bytes.extend_from_slice(&4u32.to_le_bytes());
    bytes.extend_from_slice(b"fake");
    shape(bytes, id);
}

pub fn hello(region: &Region) -> Vec<u8> {
    let mut bytes = head(2);
    card(&mut bytes, region.id);
    bytes.extend_from_slice(&0u32.to_le_bytes()); // no pidfd of its own
    bytes
}

/// A seat record, as it stands in the directory.
pub fn seat_record(region: &Region) -> Vec<u8> {
    let mut bytes = head(1);
    card(&mut bytes, region.id);
    bytes.extend_from_slice(&3u32.to_le_bytes());
    bytes.extend_from_slice(b"cat");
    bytes
}

/// WELCOME from a first end: one region, nothing handed over.
pub fn welcome(region: &Region) -> Vec<u8> {
    let mut bytes = head(3);
    card(&mut bytes, region.id);
    bytes.extend_from_slice(&1u32.to_le_bytes()); // the newcomer's generation
    bytes.extend_from_slice(&1u32.to_le_bytes()); // one region of ours
    bytes.extend_from_slice(&1u32.to_le_bytes()); // its generation
    bytes.extend_from_slice(&START.to_le_bytes());
    shape(&mut bytes, region.id);
    bytes.extend_from_slice(&0u32.to_le_bytes()); // none of theirs
    bytes
}

/// One side of a SEQPACKET connection.
pub struct Socket(pub OwnedFd);

fn socket() -> OwnedFd {
    // SAFETY: no memory; the descriptor is ours.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0);
    // SAFETY: made just now.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn address(dir: &Path, name: &str) -> libc::sockaddr_un {
    // SAFETY: all zeros is a valid address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let path = dir.join(name);
    for (to, from) in address.sun_path.iter_mut().zip(path.to_str().unwrap().bytes()) {
        *to = from as libc::c_char;
    }
    address
}

const ADDRESS_LEN: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// The name of the honest end's socket.
pub fn seat_of(dir: impl AsRef<Path>) -> String {
    let is_socket = |name: &String| name.starts_with("ch-") && !name.ends_with(".seat");
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.into_iter().filter(is_socket).min().expect("somebody has a seat")
}

impl Socket {
    pub fn connect(dir: impl AsRef<Path>, name: &str) -> Socket {
        let (fd, address) = (socket(), address(dir.as_ref(), name));
        // SAFETY: the address lives and has the length that is said.
        let code =
            unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) };
        assert_eq!(code, 0, "{}", Error::last_os_error());
        Socket(fd)
    }

    pub fn listen(dir: impl AsRef<Path>, name: &str) -> Socket {
        let (fd, address) = (socket(), address(dir.as_ref(), name));
        // SAFETY: as above.
        unsafe {
            let code = libc::bind(fd.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN);
            assert_eq!(code, 0, "{}", Error::last_os_error());
            assert_eq!(libc::listen(fd.as_raw_fd(), 16), 0);
        }
        Socket(fd)
    }

    pub fn accept(&self) -> Socket {
        // SAFETY: no address is asked for; the descriptor is ours.
        let fd =
            unsafe { libc::accept(self.0.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut()) };
        assert!(fd >= 0);
        // SAFETY: made just now.
        Socket(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub fn send(&self, bytes: &[u8], fds: &[RawFd]) -> Result<()> {
        let mut iov = libc::iovec { iov_base: bytes.as_ptr() as *mut _, iov_len: bytes.len() };
        let mut space = vec![0u64; 4 + fds.len()];
        // SAFETY: a zeroed header is valid; the control data (16 bytes and 4 a descriptor) fit into
        // `space`, which is aligned for it.
        let sent = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut iov;
            message.msg_iovlen = 1;
            if !fds.is_empty() {
                let len = size_of_val(fds) as u32;
                message.msg_control = space.as_mut_ptr().cast();
                message.msg_controllen = libc::CMSG_SPACE(len) as usize;
                let control = libc::CMSG_FIRSTHDR(&raw const message);
                (*control).cmsg_level = libc::SOL_SOCKET;
                (*control).cmsg_type = libc::SCM_RIGHTS;
                (*control).cmsg_len = libc::CMSG_LEN(len) as usize;
                let data = libc::CMSG_DATA(control).cast::<RawFd>();
                std::ptr::copy_nonoverlapping(fds.as_ptr(), data, fds.len());
            }
            libc::sendmsg(self.0.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
        };
        if sent < 0 { Err(Error::last_os_error()) } else { Ok(()) }
    }

    /// HELLO as an honest newcomer says it.
    pub fn say_hello(&self, region: &Region) {
        let (one, two) = bells();
        let fds = [region.file.as_raw_fd(), one.0.as_raw_fd(), two.0.as_raw_fd()];
        self.send(&hello(region), &fds).unwrap();
    }

    /// Waits for a message, or for the end (0). Descriptors that come along are dropped.
    pub fn hear(&self) -> usize {
        self.hear_whole().0.len()
    }
}

impl Socket {
    /// Waits for a message, and takes the descriptor number `which` of it (HELLO: 0 is the
    /// newcomer's region; the first WELCOME: 2 is the earlier end's). The others stay open.
    pub fn hear_region(&self, which: usize) -> File {
        let (_, mut fds) = self.hear_whole();
        assert!(fds.len() > which, "it brings descriptors");
        let region = fds.swap_remove(which);
        std::mem::forget(fds);
        File::from(region)
    }

    /// Waits for a message with its descriptors; nothing of both is the end.
    pub fn hear_whole(&self) -> (Vec<u8>, Vec<OwnedFd>) {
        let mut bytes = vec![0u8; 2000];
        let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let mut space = [0u64; 32];
        let mut fds = Vec::new();
        self.wait();
        // SAFETY: the buffers live and are as long as said; as many descriptors came as the control
        // data are long, and they are ours from now on.
        let n = unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &raw mut iov;
            message.msg_iovlen = 1;
            message.msg_control = space.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&space);
            let n = libc::recvmsg(self.0.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
            let control = libc::CMSG_FIRSTHDR(&raw const message);
            if n > 0 && !control.is_null() {
                let data = (*control).cmsg_len - libc::CMSG_LEN(0) as usize;
                let from = libc::CMSG_DATA(control).cast::<RawFd>();
                let taken = (0..data / size_of::<RawFd>())
                    .map(|i| OwnedFd::from_raw_fd(from.add(i).read_unaligned()));
                fds.extend(taken);
            }
            n
        };
        let error = Error::last_os_error();
        let reset = n < 0 && error.raw_os_error() == Some(libc::ECONNRESET);
        assert!(n >= 0 || reset, "no answer: {error}");
        bytes.truncate(n.max(0) as usize);
        (bytes, fds)
    }

    /// Waits until there is something to be heard. Ticks and no clock: a machine that stands still
    /// for a while stops both sides.
    fn wait(&self) {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        let heard = (0..300).any(|_| unsafe { libc::poll(&raw mut poll, 1, 100) } > 0);
        assert!(heard, "no answer");
    }

    /// A message, or the end, is there now.
    pub fn has_news(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
    }

    /// Waits for the end of it.
    pub fn hear_all(&self) -> usize {
        while self.hear() > 0 {}
        0
    }
}

/// Something that can stand for a doorbell, twice.
pub fn bells() -> (Socket, Socket) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, ours afterwards.
    unsafe {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        assert_eq!(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()), 0);
        (Socket(OwnedFd::from_raw_fd(fds[0])), Socket(OwnedFd::from_raw_fd(fds[1])))
    }
}
