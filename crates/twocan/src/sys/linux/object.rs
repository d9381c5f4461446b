//! Files that stand for named objects: made whole before they have a name, held by a lock that the
//! kernel drops.
//!
//! A holder has a shared lock on one far byte of the file. A file without a holder is a corpse:
//! nobody may use it, and whoever meets it under the name's lock removes it. All functions that
//! look at names want that lock.

use super::dir::{DirLock, Directory};
use super::fd::Fd;
use super::ofd::{self, Kind};
use super::permission::{Permission, Place};
use super::process::FileId;
use super::user;
use crate::{Error, ErrorKind, Result, Scope};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat, fallocate, fstat, fstatfs,
    ftruncate, linkat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The byte that holders lock: far behind any data, and not the last possible one.
const HOLD_BYTE: i64 = 1 << 62;

/// How long a drop waits for the name's lock before it leaves the file to the next who comes.
const DROP_PATIENCE: Duration = Duration::from_millis(200);

/// Bytes allocated in one system call: a signal interrupts a larger one, which would then start
/// again and again.
const ALLOCATE_STEP: u64 = 64 << 20;

/// Files that have no name of their own yet, where the file system knows no O_TMPFILE.
pub(crate) const UNFINISHED: &str = ".new-";

/// What is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Take all memory now, so that a full disk is an error of the making and not of a later store.
    pub(crate) allocate: bool,
    /// Who else may open it.
    pub(crate) permission: Permission,
    /// Children keep the descriptor, over fork and exec.
    pub(crate) inheritable: bool,
}

/// A finished file without a name. Dropped, it leaves nothing.
pub(crate) struct Prepared {
    file: Fd,
    /// Its hidden name, where O_TMPFILE is unknown, and the directory to remove it from.
    hidden: Option<String>,
}

/// Makes a file: its length, its contents, its permissions, and the holder's lock.
pub(crate) fn prepare(
    dir: &Directory,
    spec: &Spec,
    fill: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<Prepared> {
    let prepared = unnamed(dir, spec.inheritable)?;
    let finish = || {
        let file = prepared.file.as_fd();
        spec.permission.give(&Place::File(dir, file))?;
        set_len(file, spec.len, spec.allocate)?;
        fill(file)
    };
    match finish() {
        Ok(()) => Ok(prepared),
        Err(e) => {
            prepared.discard(dir);
            Err(e)
        }
    }
}

/// Sets the length of a new file, and takes its memory if asked to.
pub(crate) fn set_len(file: BorrowedFd<'_>, len: u64, allocate: bool) -> io::Result<()> {
    // Small ones are tried at once.
    let large = len >= ALLOCATE_STEP;
    if allocate && large && free_bytes(file).is_some_and(|free| free < len) {
        return Err(Errno::NOSPC.into());
    }
    if !may_be_long(len) {
        return Err(Errno::FBIG.into());
    }
    ftruncate(file, len)?;
    let mut at = 0;
    while allocate && at < len {
        let step = (len - at).min(ALLOCATE_STEP);
        match fallocate(file, FallocateFlags::empty(), at, step) {
            Ok(()) => at += step,
            Err(Errno::INTR) => {}
            // A file system without the call: nothing can be promised there.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// May this process make a file so long? (RLIMIT_FSIZE: the system's own answer would be SIGXFSZ,
/// which ends the process.)
pub(super) fn may_be_long(len: u64) -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    limit.is_none_or(|most| len <= most) || cfg!(twocan_mutant = "no-length-limit")
}

/// Bytes that can still be allocated where the file or directory is; `None` = the system does not
/// say.
pub(crate) fn free_bytes(file: BorrowedFd<'_>) -> Option<u64> {
    const TMPFS: i64 = 0x0102_1994;
    let stat = fstatfs(file).ok()?;
    let on_disk = stat.f_bavail.checked_mul(stat.f_bsize as u64)?;
    // A size of 0 is no limit.
    let limited = (stat.f_blocks > 0).then_some(on_disk);
    if stat.f_type as i64 != TMPFS {
        return limited;
    }
    // Files in memory: the size of the mount may be more than there is, and then whoever allocates
    // is killed.
    match (limited, free_memory()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Memory and swap space that are free or can be made free.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    let kib = field("MemAvailable")?.saturating_add(field("SwapFree").unwrap_or(0));
    Some(kib.saturating_mul(1024))
}

fn unnamed(dir: &Directory, inheritable: bool) -> io::Result<Prepared> {
    let flags = OFlags::RDWR | close_on_exec(inheritable);
    let mode = Mode::from_raw_mode(0o600);
    let made = make(inheritable, || openat(dir.fd(), ".", flags | OFlags::TMPFILE, mode));
    let prepared = match made {
        Ok(file) => Prepared { file, hidden: None },
        Err(e) if no_tmpfile(&e) => hidden(dir, inheritable)?,
        Err(e) => return Err(e),
    };
    // Before it has a name: whoever finds the name finds a holder.
    if !ofd::try_lock(&prepared.file, Kind::Shared, HOLD_BYTE)? {
        prepared.discard(dir);
        return Err(Errno::BUSY.into());
    }
    Ok(prepared)
}

fn no_tmpfile(e: &io::Error) -> bool {
    let code = Errno::from_io_error(e);
    // NOSYS and PERM come from sandboxes; if it is the directory that is closed, the other road
    // says the same.
    let sandbox = matches!(code, Some(Errno::NOSYS | Errno::PERM));
    sandbox || matches!(code, Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT))
}

fn hidden(dir: &Directory, inheritable: bool) -> io::Result<Prepared> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let flags = flags | close_on_exec(inheritable);
    loop {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{}-{n}", std::process::id());
        let mode = Mode::from_raw_mode(0o600);
        match make(inheritable, || openat(dir.fd(), &name, flags, mode)) {
            Ok(file) => return Ok(Prepared { file, hidden: Some(name) }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

fn close_on_exec(inheritable: bool) -> OFlags {
    if inheritable { OFlags::empty() } else { OFlags::CLOEXEC }
}

fn make(
    inheritable: bool,
    call: impl FnOnce() -> rustix::io::Result<rustix::fd::OwnedFd>,
) -> io::Result<Fd> {
    if inheritable { Ok(Fd::inheritable(call()?)) } else { Fd::make(call) }
}

impl Prepared {
    /// Gives it its name, at once and only if nobody has that name. On error it is gone.
    pub(crate) fn publish(self, dir: &Directory, _: &DirLock, file_name: &str) -> io::Result<Fd> {
        let linked = self.link(dir, file_name);
        if let Some(hidden) = &self.hidden {
            let _ = unlinkat(dir.fd(), hidden, AtFlags::empty());
        }
        linked.map(|()| self.file)
    }

    fn link(&self, dir: &Directory, file_name: &str) -> io::Result<()> {
        if let Some(hidden) = &self.hidden {
            return Ok(linkat(dir.fd(), hidden, dir.fd(), file_name, AtFlags::empty())?);
        }
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match linkat(CWD, path, dir.fd(), file_name, AtFlags::SYMLINK_FOLLOW) {
            // No /proc here.
            Err(Errno::NOENT) => {
                let flags = AtFlags::EMPTY_PATH;
                Ok(linkat(&self.file, "", dir.fd(), file_name, flags)?)
            }
            other => Ok(other?),
        }
    }

    /// Leaves nothing behind.
    pub(crate) fn discard(self, dir: &Directory) {
        if let Some(hidden) = &self.hidden {
            let _ = unlinkat(dir.fd(), hidden, AtFlags::empty());
        }
    }
}

/// An empty file that is no object: the lock file. Fails with EXIST if it is there.
pub(super) fn make_plain_file(
    dir: &Directory,
    file_name: &str,
    permission: Permission,
) -> io::Result<()> {
    let spec = Spec { len: 0, allocate: false, permission, inheritable: false };
    let prepared = prepare(dir, &spec, |_| Ok(()))?;
    let linked = prepared.link(dir, file_name);
    prepared.discard(dir);
    linked
}

/// How an object is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// Also for writing.
    pub(crate) write: bool,
    /// Whose objects are accepted.
    pub(crate) permission: Permission,
    /// Children keep the descriptor.
    pub(crate) inheritable: bool,
}

/// Opens an object and becomes one of its holders. `None` = there is none; a corpse is removed.
///
/// # Errors
/// `ForeignOwner` if it is not a regular file, or belongs to somebody whom `permission` does not
/// let in.
pub(crate) fn open(
    dir: &Directory,
    _: &DirLock,
    file_name: &str,
    how: &Opening,
) -> Result<Option<Fd>> {
    let path = dir.path().join(file_name);
    let wrong = |e: io::Error| Error::from_os(format!("cannot open {}", path.display()), e);
    let access = if how.write { OFlags::RDWR } else { OFlags::RDONLY };
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | close_on_exec(how.inheritable);
    let opened = make(how.inheritable, || openat(dir.fd(), file_name, flags, Mode::empty()));
    let file = match opened {
        Ok(file) => file,
        Err(e) => match Errno::from_io_error(&e) {
            Some(Errno::NOENT) => return Ok(None),
            Some(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => {
                return Err(no_object(dir, file_name));
            }
            _ => return Err(in_the_way(dir, file_name, false).unwrap_or_else(|| wrong(e))),
        },
    };
    let stat = fstat(&file).map_err(|e| wrong(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(no_object(dir, file_name));
    }
    if !how.permission.accepts(&stat, &Place::File(dir, file.as_fd())) {
        return Err(not_trusted(dir, file_name, &stat));
    }
    let held = ofd::is_held(&file, HOLD_BYTE).map_err(wrong)?;
    let alive = held || cfg!(twocan_mutant = "corpse-is-alive");
    if stat.st_nlink == 0 || !alive {
        let _ = unlinkat(dir.fd(), file_name, AtFlags::empty());
        return Ok(None);
    }
    if !ofd::try_lock(&file, Kind::Shared, HOLD_BYTE).map_err(wrong)? {
        return Err(wrong(Errno::BUSY.into()));
    }
    Ok(Some(file))
}

fn no_object(dir: &Directory, file_name: &str) -> Error {
    let path = dir.path().join(file_name);
    Error::new(ErrorKind::ForeignOwner, format!("{} is no plain file", path.display()))
        .with_cure("Somebody else made it. Remove it or use another name")
}

fn not_trusted(dir: &Directory, file_name: &str, stat: &Stat) -> Error {
    let path = dir.path().join(file_name);
    let path = path.display();
    let cause = if stat.st_uid == user::me() {
        format!("{path} is open to other users (mode {:o})", stat.st_mode & 0o777)
    } else {
        format!("{path} belongs to user {}, not to you", user::name_of(stat.st_uid))
    };
    Error::new(ErrorKind::ForeignOwner, cause).with_cure("Both sides must ask for the same sharing")
}

/// Why the file with this name, if there is one, cannot be ours: it is of another type, or somebody
/// else's.
pub(crate) fn in_the_way(dir: &Directory, file_name: &str, socket: bool) -> Option<Error> {
    let stat = statat(dir.fd(), file_name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let wanted = if socket { FileType::Socket } else { FileType::RegularFile };
    if FileType::from_raw_mode(stat.st_mode) != wanted {
        return Some(no_object(dir, file_name));
    }
    // Root's as well: where nobody but its owner may remove a file, it stays.
    let roots = stat.st_uid == 0 && cfg!(twocan_mutant = "roots-is-ours");
    let strange = stat.st_uid != user::me() && !roots;
    strange.then(|| not_trusted(dir, file_name, &stat))
}

/// Why a seat's socket, which was reached by this name, is not one that `permission` lets us talk
/// to. A link may have led elsewhere; and a file's group says that its maker was one of its
/// members.
pub(crate) fn not_a_seat(
    dir: &Directory,
    file_name: &str,
    permission: Permission,
) -> Option<Error> {
    // Gone again: whoever it was leaves.
    let stat = statat(dir.fd(), file_name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Some(no_object(dir, file_name));
    }
    let trusted = permission.accepts(&stat, &Place::Name(dir, file_name));
    (!trusted).then(|| not_trusted(dir, file_name, &stat))
}

/// Has the object a holder? Does not become one. `None` = there is no such file, or it cannot be
/// opened.
pub(crate) fn look(dir: &Directory, file_name: &str) -> Option<Look> {
    let file = open_to_look(dir, file_name)?;
    let stat = fstat(&file).ok()?;
    let held = ofd::is_held(&file, HOLD_BYTE).ok()?;
    Some(Look { id: file_id(&stat), len: stat.st_size as u64, held })
}

fn open_to_look(dir: &Directory, file_name: &str) -> Option<Fd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Fd::make(|| openat(dir.fd(), file_name, flags, Mode::empty())).ok()
}

/// Is it held as nobody but us holds a file? What other programs lock is the whole of a file, or a
/// part that has bytes.
pub(super) fn is_held_our_way(dir: &Directory, file_name: &str) -> bool {
    open_to_look(dir, file_name)
        .is_some_and(|file| ofd::is_held_alone(&file, HOLD_BYTE).unwrap_or(false))
}

/// What `look` sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) id: FileId,
    pub(crate) len: u64,
    pub(crate) held: bool,
}

fn file_id(stat: &Stat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

/// Does whoever asks for the name now find this very file?
pub(crate) fn leads_to(scope: Scope, file_name: &str, id: FileId) -> bool {
    let Ok(Some(dir)) = Directory::existing(scope) else { return false };
    id_of_name(&dir, file_name) == Some(id)
}

/// Which file has the name; `None` = none.
pub(crate) fn id_of_name(dir: &Directory, file_name: &str) -> Option<FileId> {
    let stat = statat(dir.fd(), file_name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(file_id(&stat))
}

/// Which file is behind a descriptor.
pub(crate) fn id_of(file: impl AsFd) -> io::Result<FileId> {
    Ok(file_id(&fstat(file)?))
}

/// Length of the file behind a descriptor.
pub(crate) fn len_of(file: impl AsFd) -> io::Result<u64> {
    Ok(fstat(file)?.st_size as u64)
}

/// Removes the file if nobody holds it. True = there is no such file any more.
pub(crate) fn remove_corpse(dir: &Directory, _: &DirLock, file_name: &str) -> bool {
    match look(dir, file_name) {
        Some(look) if look.held => false,
        Some(_) => unlinkat(dir.fd(), file_name, AtFlags::empty()).is_ok(),
        // A file that we may not look into is in the way all the same.
        None => {
            let there = statat(dir.fd(), file_name, AtFlags::SYMLINK_NOFOLLOW);
            matches!(there, Err(Errno::NOENT))
        }
    }
}

/// Removes any file of the directory, such as a dead seat's socket.
pub(crate) fn remove(dir: &Directory, _: &DirLock, file_name: &str) {
    let _ = unlinkat(dir.fd(), file_name, AtFlags::empty());
}

/// Stops being a holder; the last one removes the name. In a forked child it does nothing.
pub(crate) fn release(dir: &Directory, hash: u128, file_name: &str, file: Fd, inheritable: bool) {
    // (An inheritable file in a forked child: the directory is not there any more. If that was the
    // last holder, the corpse is removed by the next one who comes.)
    if file.is_forked() || dir.is_forked() {
        return;
    }
    let id = id_of(&file);
    // Without the lock the file stays as a corpse, which the next one who comes removes.
    let Ok(lock) = dir.lock(hash, DROP_PATIENCE) else { return };
    if !inheritable {
        // Said, not left to close: a child between fork and exec may have a copy of the descriptor.
        let _ = ofd::unlock(&file, HOLD_BYTE);
    }
    drop(file);
    // The name may lead to another object by now, if the directory was swept.
    if let (Some(look), Ok(id)) = (look(dir, file_name), id) {
        if look.id == id && !look.held && !cfg!(twocan_mutant = "leave-corpse") {
            remove(dir, &lock, file_name);
        }
    }
}

#[cfg(test)]
mod tests;
