//! Locks of open file descriptions: dropped by the kernel with the last descriptor, whatever
//! happens to the process. Not `flock`: a refused upgrade there loses the shared lock. Not POSIX
//! locks: any close in the process drops them.

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What is locked: one byte, which need not exist in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Shared,
    Exclusive,
}

fn request(kind: libc::c_int, byte: i64) -> libc::flock {
    // SAFETY: a plain C struct of integers; all zeros is a value of it (l_pid must be 0 for these
    // locks).
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte;
    lock.l_len = 1;
    lock
}

fn call(fd: impl AsFd, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call, and `lock` is a live struct that the kernel
    // reads and writes.
    let code = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), command, lock) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the lock without waiting; false = somebody else has it.
pub(super) fn try_lock(fd: impl AsFd, kind: Kind, byte: i64) -> io::Result<bool> {
    let kind = if kind == Kind::Shared { libc::F_RDLCK } else { libc::F_WRLCK };
    match call(fd, libc::F_OFD_SETLK, &mut request(kind, byte)) {
        Ok(()) => Ok(true),
        Err(e) if refused(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

fn refused(e: &io::Error) -> bool {
    let code = Errno::from_io_error(e);
    matches!(code, Some(Errno::AGAIN | Errno::ACCESS))
}

/// Gives the lock back, also for copies of the descriptor in other processes.
pub(super) fn unlock(fd: impl AsFd, byte: i64) -> io::Result<()> {
    call(fd, libc::F_OFD_SETLK, &mut request(libc::F_UNLCK, byte))
}

/// Does another open file description have a lock, of any kind, on the byte?
pub(super) fn is_held(fd: impl AsFd, byte: i64) -> io::Result<bool> {
    let lock = first_lock(fd, byte)?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// As `is_held`, and is it a shared lock of this very byte, and no other?
pub(super) fn is_held_alone(fd: impl AsFd, byte: i64) -> io::Result<bool> {
    let lock = first_lock(fd, byte)?;
    if cfg!(twocan_mutant = "any-lock-is-ours") {
        return Ok(i32::from(lock.l_type) != libc::F_UNLCK);
    }
    let shared = i32::from(lock.l_type) == libc::F_RDLCK;
    Ok(shared && lock.l_start == byte && lock.l_len == 1)
}

fn first_lock(fd: impl AsFd, byte: i64) -> io::Result<libc::flock> {
    let mut lock = request(libc::F_WRLCK, byte);
    call(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok(lock)
}
