//! The directory where names live.

use super::fd::Fd;
use super::{lock, object, user};
use crate::name::files::{self, SeatFiles};
use crate::{Error, ErrorKind, Result, Scope};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, fstat, mkdir, openat, statat,
};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

pub(crate) use super::lock::{DirLock, PATIENCE};

/// The variable that moves the directory. Read at each open.
const VARIABLE: &str = "TWOCAN_DIR";

/// The part for all users, in a directory that was moved.
const MACHINE: &str = "machine";

/// The directory of the user, or of the machine, held open.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: Fd,
    path: PathBuf,
    scope: Scope,
}

/// Is this the name of a channel's seat or of its record? Nobody else makes such names.
fn is_seat(name: &str) -> bool {
    SeatFiles::of_socket(name).or_else(|| SeatFiles::of_record(name)).is_some()
}

impl Directory {
    /// The user's own directory: `/dev/shm/twocan-<uid>`, or what `TWOCAN_DIR` says. Made if it is
    /// missing; refused if it is not a directory, belongs to somebody else, or others may write to
    /// it.
    pub(crate) fn open() -> Result<Directory> {
        Directory::open_in(Scope::Session)
    }

    /// As [`open`](Directory::open), or the directory that all users share: `/dev/shm/twocan`
    /// (sticky, as /tmp is).
    pub(crate) fn open_in(scope: Scope) -> Result<Directory> {
        let path = match scope {
            Scope::Machine => machine_path(),
            Scope::Session => user_path(),
        };
        let mode = if scope == Scope::Machine { 0o1777 } else { 0o700 };
        let made = match mkdir(&path, Mode::from_raw_mode(mode)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(e) => {
                let error = Error::from_os(format!("cannot make {}", path.display()), e);
                let closed = error.kind() == ErrorKind::PermissionDenied;
                let cure = closed && scope == Scope::Session;
                return Err(if cure { error.with_cure(OWN_DIRECTORY) } else { error });
            }
        };
        let fd = Fd::make(|| openat(CWD, &path, directory_flags(), Mode::empty()));
        let fd = fd.map_err(|e| not_opened(&path, scope, e))?;
        if made {
            // The umask may have taken bits away.
            let set = fchmod(&fd, Mode::from_raw_mode(mode));
            set.map_err(|e| Error::from_os(format!("cannot open up {}", path.display()), e))?;
        }
        let stat = fstat(&fd)
            .map_err(|e| Error::from_os(format!("cannot look at {}", path.display()), e))?;
        check(&path, scope, &stat)?;
        let dir = Directory { fd, path, scope };
        if !made && chosen().is_some() {
            dir.refuse_strange_files()?;
        }
        Ok(dir)
    }

    /// Files here that nobody holds are removed. A directory that was chosen by mistake, with files
    /// of other programs in it, must be safe from that: ours have had the lock file from the start.
    /// A sweep may have taken it, and spared what the living hold.
    fn refuse_strange_files(&self) -> Result<()> {
        let is_locked = || statat(self.fd(), lock::FILE, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if is_locked() {
            return Ok(());
        }
        let unfinished = |name: &str| name.starts_with(object::UNFINISHED);
        let ours = |name: &str| name == MACHINE || unfinished(name) || is_seat(name);
        let strange = |name: &&String| !ours(name) && *name != lock::FILE;
        let names = self.file_names();
        match names.iter().find(strange) {
            // Made by another process since the first look.
            Some(_) if is_locked() => Ok(()),
            // Who holds it has found nothing strange here, or had the lock file.
            Some(_) if names.iter().any(|name| self.is_alive(name)) => Ok(()),
            Some(name) => {
                let cause = format!("{} holds other files, such as {name}", self.path.display());
                let cure = "Set TWOCAN_DIR to a directory of its own; it need not exist";
                Err(Error::new(ErrorKind::InvalidInput, cause).with_cure(cure))
            }
            None => Ok(()),
        }
    }

    /// Is this a map, an event or a seat's record that somebody holds? The name alone does not say
    /// so: other programs have files that end in `.map`.
    fn is_alive(&self, name: &str) -> bool {
        let may_be = files::object(name).is_some() || SeatFiles::of_record(name).is_some();
        if cfg!(twocan_mutant = "only-seats-are-ours") {
            return false;
        }
        may_be && (object::is_held_our_way(self, name) || cfg!(twocan_mutant = "any-map-is-ours"))
    }

    /// As [`open_in`](Directory::open_in), but a directory that is missing is not made: `None`.
    pub(crate) fn existing(scope: Scope) -> Result<Option<Directory>> {
        let path = match scope {
            Scope::Machine => machine_path(),
            Scope::Session => user_path(),
        };
        if path.is_dir() { Directory::open_in(scope).map(Some) } else { Ok(None) }
    }

    /// The descriptor, also for `/proc/self/fd/<fd>/<file>`.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Was it opened before a `fork` that led to this process, and is it therefore closed?
    pub(crate) fn is_forked(&self) -> bool {
        self.fd.is_forked()
    }

    /// Where it was when it was opened. For people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whose directory it is.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Bytes that the file system has left.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        object::free_bytes(self.fd())
    }

    /// The place whose size counts, for the words of an error.
    pub(crate) fn volume(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if parent == Path::new("/dev/shm") => parent,
            _ => &self.path,
        }
    }

    /// The names of all files in it, in no order. An unreadable directory is an empty one.
    pub(crate) fn file_names(&self) -> Vec<String> {
        let Ok(fd) = Fd::make(|| openat(&self.fd, ".", directory_flags(), Mode::empty())) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        let mut buffer = vec![std::mem::MaybeUninit::uninit(); 16 * 1024];
        let mut entries = rustix::fs::RawDir::new(&fd, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            if let Ok(name) = entry.file_name().to_str() {
                if name != "." && name != ".." {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn chosen() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn user_path() -> PathBuf {
    chosen().unwrap_or_else(|| base().join(format!("twocan-{}", user::me())))
}

fn machine_path() -> PathBuf {
    match chosen() {
        // The whole of Twocan has moved, the shared part with it. Whose the moved directory is does
        // not matter here: the owner of the part below is checked.
        Some(moved) => {
            let _ = mkdir(&moved, Mode::from_raw_mode(0o700));
            moved.join(MACHINE)
        }
        None => base().join("twocan"),
    }
}

/// Memory, if the system has its usual place for it.
fn base() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

fn not_opened(path: &Path, scope: Scope, e: std::io::Error) -> Error {
    let wrong = match Errno::from_io_error(&e) {
        Some(Errno::NOTDIR | Errno::LOOP) => Some(foreign(path, "is not a directory")),
        // Rather whose it is than that it is closed.
        Some(Errno::ACCESS) => statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .and_then(|stat| check(path, scope, &stat).err()),
        _ => None,
    };
    wrong.unwrap_or_else(|| Error::from_os(format!("cannot open {}", path.display()), e))
}

/// What to do about a `TWOCAN_DIR` that is not fit to be one.
pub(super) const OWN_DIRECTORY: &str =
    "Set TWOCAN_DIR to a directory that you alone may change; it need not exist";

fn foreign(path: &Path, what: &str) -> Error {
    let cure = match chosen() {
        Some(_) => OWN_DIRECTORY,
        None => "Somebody else made it. Remove it or set TWOCAN_DIR",
    };
    Error::new(ErrorKind::ForeignOwner, format!("{} {what}", path.display())).with_cure(cure)
}

fn check(path: &Path, scope: Scope, stat: &Stat) -> Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(foreign(path, "is not a directory"));
    }
    let mine = stat.st_uid == user::me();
    let root = scope == Scope::Machine && stat.st_uid == 0;
    if !mine && !root && !cfg!(twocan_mutant = "anyones-directory") {
        let owner = user::name_of(stat.st_uid);
        let error = foreign(path, &format!("belongs to user {owner}, not to you"));
        return Err(match scope {
            Scope::Session => error,
            Scope::Machine => error.with_cure(format!(
                "A directory for all users is root's: sudo install -d -m 1777 {}",
                path.display()
            )),
        });
    }
    let others_write = stat.st_mode & 0o022 != 0;
    let sticky = stat.st_mode & 0o1000 != 0 || cfg!(twocan_mutant = "no-sticky-check");
    let shared = scope == Scope::Machine && sticky;
    if others_write && !shared {
        let mode = stat.st_mode & 0o7777;
        let error = Error::new(
            ErrorKind::ForeignOwner,
            format!("{} has mode {mode:o}: other users may change it", path.display()),
        );
        let path = path.display();
        return Err(error.with_cure(match scope {
            Scope::Machine => format!("Close it: chmod 1777 {path}"),
            // It may be a directory that others need as it is, such as /tmp.
            Scope::Session if chosen().is_some() => OWN_DIRECTORY.to_owned(),
            Scope::Session => format!("Close it: chmod 700 {path}"),
        }));
    }
    Ok(())
}
