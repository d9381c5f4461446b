//! The directory's lock: one file, one byte for each name, held for microseconds.
//!
//! The file is never removed, so that two who lock never lock two files. Each lock opens it anew:
//! threads of one process keep each other out as processes do.

use super::dir::{Directory, OWN_DIRECTORY};
use super::fd::Fd;
use super::ofd::{self, Kind};
use super::permission::Permission;
use super::{object, process};
use crate::{Error, ErrorKind, PeerInfo, Result, Scope};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, statat};
use rustix::io::{Errno, pread, pwrite};
use std::time::{Duration, Instant, SystemTime};

pub(super) const FILE: &str = ".lock";

/// How long an open waits for another process that holds the lock; usually it is a stopped one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The table at the start of the file: who has locked last. Slot = hash modulo SLOTS; { hash u64,
/// pid u64 }, little-endian.
const SLOTS: u64 = 256;
const SLOT_BYTES: u64 = 16;

/// Pauses between two tries: from, to.
const PAUSE: (Duration, Duration) = (Duration::from_micros(30), Duration::from_millis(2));

/// One name's lock in a directory. Given back by drop, and by the kernel if the process ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    fd: Fd,
    byte: i64,
}

impl Drop for DirLock {
    fn drop(&mut self) {
        if !self.fd.is_forked() {
            // Said, not left to close: a child between fork and exec may have a copy of the
            // descriptor.
            let _ = ofd::unlock(&self.fd, self.byte);
        }
    }
}

impl Directory {
    /// Locks the name with this hash (its low 63 bits count), waiting up to `patience` (usually
    /// [`PATIENCE`]).
    ///
    /// # Errors
    /// `Stuck`, naming the process that holds it, when the patience is over.
    pub(crate) fn lock(&self, hash: u128, patience: Duration) -> Result<DirLock> {
        let give_up = Instant::now() + patience;
        let mut pause = PAUSE.0;
        loop {
            if let Some(lock) = self.try_lock(hash)? {
                return Ok(lock);
            }
            if Instant::now() >= give_up {
                return Err(self.stuck(hash));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Locks without waiting; `None` = another process or thread has it now.
    pub(crate) fn try_lock(&self, hash: u128) -> Result<Option<DirLock>> {
        let wrong = |e| Error::from_os(format!("cannot lock {}", self.path().display()), e);
        let byte = lock_byte(hash);
        loop {
            let fd = self.open_lock_file()?;
            let locked = ofd::try_lock(&fd, Kind::Exclusive, byte).map_err(wrong)?;
            if !locked && !cfg!(twocan_mutant = "no-lock") {
                return Ok(None);
            }
            let lock = DirLock { fd, byte };
            // Swept and made again since it was opened: then others lock the new one.
            if self.is_current(&lock.fd) {
                let entry = slot(byte as u64, process::own_pid().into());
                let place = slot_place(byte as u64);
                // Only for the words of an error: a full disk is no reason to fail.
                if object::may_be_long(place + SLOT_BYTES) {
                    let _ = pwrite(&lock.fd, &entry, place);
                }
                return Ok(Some(lock));
            }
        }
    }

    fn is_current(&self, fd: &Fd) -> bool {
        let named = statat(self.fd(), FILE, AtFlags::SYMLINK_NOFOLLOW);
        match (fstat(fd), named) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }

    fn open_lock_file(&self) -> Result<Fd> {
        let wrong = |e: std::io::Error| {
            let error = Error::from_os(format!("cannot lock {}", self.path().display()), e);
            let foreign = object::in_the_way(self, FILE, false);
            foreign.unwrap_or_else(|| self.with_cure(error))
        };
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        loop {
            match Fd::make(|| openat(self.fd(), FILE, flags, Mode::empty())) {
                Ok(fd) => return Ok(fd),
                Err(e) if Errno::from_io_error(&e) == Some(Errno::NOENT) => {}
                Err(e) => return Err(wrong(e)),
            }
            // Made whole before it has its name: nobody finds one that he may not open yet.
            let all = self.scope() == Scope::Machine;
            let permission = if all { Permission::Everyone } else { Permission::Nobody };
            match object::make_plain_file(self, FILE, permission) {
                Ok(()) => {}
                Err(e) if Errno::from_io_error(&e) == Some(Errno::EXIST) => {}
                Err(e) => return Err(wrong(e)),
            }
        }
    }

    /// Where to go from a directory that cannot be written.
    fn with_cure(&self, error: Error) -> Error {
        match (error.kind(), self.scope()) {
            (ErrorKind::PermissionDenied, Scope::Session) => error.with_cure(OWN_DIRECTORY),
            _ => error,
        }
    }

    fn stuck(&self, hash: u128) -> Error {
        let path = self.path().display();
        let Some(pid) = self.last_locker(lock_byte(hash) as u64) else {
            return Error::new(ErrorKind::Stuck, format!("{path} is locked and stays locked"));
        };
        let who = PeerInfo {
            nick: String::new(),
            pid: Some(pid),
            user: None,
            since: SystemTime::now(),
            epoch: 0,
        };
        Error::new(ErrorKind::Stuck, format!("pid {pid} has locked {path} and does not go on"))
            .with_cure(format!("If it is stopped, continue it: kill -CONT {pid}"))
            .with_holders(vec![who])
    }

    fn last_locker(&self, byte: u64) -> Option<u32> {
        let fd = self.open_lock_file().ok()?;
        let mut entry = [0; SLOT_BYTES as usize];
        let read = pread(&fd, &mut entry, slot_place(byte)).ok()?;
        let pid = u32::try_from(u64::from_le_bytes(entry[8..].try_into().ok()?)).ok()?;
        let same = entry == slot(byte, pid.into());
        (read == entry.len() && same && pid != 0).then_some(pid)
    }
}

fn slot(byte: u64, pid: u64) -> [u8; SLOT_BYTES as usize] {
    let mut entry = [0; SLOT_BYTES as usize];
    entry[..8].copy_from_slice(&byte.to_le_bytes());
    entry[8..].copy_from_slice(&pid.to_le_bytes());
    entry
}

fn slot_place(byte: u64) -> u64 {
    byte % SLOTS * SLOT_BYTES
}

/// The byte of a name: behind the table, and with one byte of room below the largest offset.
fn lock_byte(hash: u128) -> i64 {
    let low = (hash as u64 & i64::MAX as u64) as i64;
    low.clamp((SLOTS * SLOT_BYTES) as i64, i64::MAX - 1)
}
