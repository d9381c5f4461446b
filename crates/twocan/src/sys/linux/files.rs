//! Files: the small ones beside the seats' sockets, the words of an event, what a user maps.

use super::dir::Directory;
use super::fd::Fd;
use super::permission::{Permission, Place};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, unlinkat};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Removes a file; missing is as good as removed.
pub(crate) fn unlink(dir: &Directory, file: &str) {
    let _ = unlinkat(dir.fd(), file, AtFlags::empty());
}

/// The whole of a file of at most `max` bytes; `None` if it is not there, longer, or not to be
/// read.
pub(crate) fn read_small(dir: &Directory, file: &str, max: usize) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = Fd::make(|| openat(dir.fd(), file, flags, Mode::empty())).ok()?;
    let mut bytes = vec![0; max + 1];
    let n = rustix::io::pread(&fd, &mut bytes, 0).ok()?;
    bytes.truncate(n);
    (n <= max).then_some(bytes)
}

/// Writes the contents of a new, small file.
pub(crate) fn write_all(file: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    write_at(file, bytes, 0)
}

/// Writes `bytes` from `at` on into a file being made.
pub(crate) fn write_at(file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> io::Result<()> {
    let n = rustix::io::pwrite(file, bytes, at)?;
    if n == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads the beginning of a file; how many bytes there were.
pub(crate) fn read_start(file: impl AsFd, to: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::pread(file, to, 0)?)
}

/// What is to be known of a file before it is mapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Bytes that the system has really given it.
    pub(crate) allocated: u64,
    /// A plain file, and nothing else.
    pub(crate) plain: bool,
}

/// Looks at an open file.
pub(crate) fn extent(file: impl AsFd) -> io::Result<Extent> {
    let stat = fstat(file)?;
    Ok(Extent {
        len: stat.st_size as u64,
        allocated: (stat.st_blocks as u64).saturating_mul(512),
        plain: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
    })
}

/// Opens a user's file to map it. Does not wait, whatever it is.
pub(crate) fn open_to_map(path: &Path, write: bool, inheritable: bool) -> io::Result<Fd> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY } | OFlags::NONBLOCK;
    let open = |more| rustix::fs::open(path, access | more, Mode::empty());
    if inheritable {
        Ok(Fd::inheritable(open(OFlags::empty())?))
    } else {
        Fd::make(|| open(OFlags::CLOEXEC))
    }
}

/// Cuts a file back to what it was.
pub(crate) fn shrink(file: impl AsFd, len: u64) {
    let _ = rustix::fs::ftruncate(file, len);
}

/// Lets those connect to a seat's socket who may.
pub(crate) fn permit(dir: &Directory, file: &str, permission: Permission) -> io::Result<()> {
    permission.give(&Place::Name(dir, file))
}
