//! Small files beside the seats' sockets.

use super::dir::Directory;
use super::fd::Fd;
use super::user;
use crate::Sharing;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, chmodat, chownat, openat, unlinkat};
use std::io;
use std::os::fd::BorrowedFd;

/// Removes a file; missing is as good as removed.
pub(crate) fn unlink(dir: &Directory, file: &str) {
    let _ = unlinkat(dir.fd(), file, AtFlags::empty());
}

/// The whole of a file of at most `max` bytes; `None` if it is not there, longer, or not to be read.
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
    let n = rustix::io::pwrite(file, bytes, 0)?;
    if n == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Lets those connect to a seat's socket who may.
pub(crate) fn permit(dir: &Directory, file: &str, sharing: &Sharing) -> io::Result<()> {
    let mode = match sharing {
        Sharing::CurrentUser => 0o600,
        Sharing::Everyone => 0o666,
        Sharing::Group(name) => {
            let group = user::group_id(name).ok_or(io::ErrorKind::NotFound)?;
            let group = Some(Gid::from_raw(group));
            chownat(dir.fd(), file, None, group, AtFlags::SYMLINK_NOFOLLOW)?;
            0o660
        }
    };
    Ok(chmodat(dir.fd(), file, Mode::from_raw_mode(mode), AtFlags::empty())?)
}
