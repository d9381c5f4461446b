//! What named maps and named events have in common: making, finding, holding and letting go of a
//! name.

use crate::name::{Name, files};
use crate::sys::dir::{DirLock, Directory, PATIENCE};
use crate::sys::fd::Fd;
use crate::sys::object::{self, Look, Opening, Prepared, Spec};
use crate::sys::process;
use crate::{Error, ErrorKind, PeerInfo, Result};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

pub(crate) mod sweep;

pub(crate) use crate::name::files::Kind;
pub(crate) use sweep::sometimes as sweep_sometimes;

/// One holder of a named object. Dropped, it lets go; the last one removes the name.
#[derive(Debug)]
pub(crate) struct Named {
    dir: Directory,
    name: Name,
    file_name: String,
    /// None only while drop runs.
    file: Option<Fd>,
    inheritable: bool,
    created: bool,
}

/// What is asked for.
pub(crate) struct Request<'a, F> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a Name,
    pub(crate) spec: Spec,
    /// Open an existing one also for writing.
    pub(crate) write: bool,
    /// Writes the first contents of a new one.
    pub(crate) fill: F,
}

impl<F: Fn(BorrowedFd<'_>) -> io::Result<()>> Request<'_, F> {
    fn file_name(&self) -> String {
        self.kind.file_name(self.name)
    }

    fn opening(&self) -> Opening {
        let Spec { permission, inheritable, .. } = self.spec;
        Opening { write: self.write, permission, inheritable }
    }

    /// Makes a new one.
    ///
    /// # Errors
    /// `AlreadyExists`, `WrongKind`, `NoSpace`.
    pub(crate) fn create_new(&self) -> Result<Named> {
        let dir = Directory::open_in(self.name.scope())?;
        {
            // Told at once, before much memory is taken for nothing.
            let lock = self.lock(&dir)?;
            self.refuse_existing(&dir, &lock)?;
        }
        // The memory is taken without the lock, which is held for microseconds only.
        let prepared = self.prepare(&dir)?;
        let lock = self.lock(&dir)?;
        if let Err(e) = self.refuse_existing(&dir, &lock) {
            prepared.discard(&dir);
            return Err(e);
        }
        self.publish(dir, lock, prepared)
    }

    /// Opens the existing one, or makes it.
    pub(crate) fn create_or_open(&self) -> Result<Named> {
        let dir = Directory::open_in(self.name.scope())?;
        let mut lock = self.lock(&dir)?;
        if let Some(file) = self.find(&dir, &lock)? {
            return Ok(self.named(dir, file, false));
        }
        drop(lock);
        let prepared = self.prepare(&dir)?;
        lock = self.lock(&dir)?;
        match self.find(&dir, &lock) {
            Ok(None) => self.publish(dir, lock, prepared),
            Ok(Some(file)) => {
                prepared.discard(&dir);
                drop(lock);
                Ok(self.named(dir, file, false))
            }
            Err(e) => {
                prepared.discard(&dir);
                Err(e)
            }
        }
    }

    /// Opens the existing one.
    ///
    /// # Errors
    /// `NotFound`, `WrongKind`.
    pub(crate) fn open_existing(&self) -> Result<Named> {
        let dir = Directory::open_in(self.name.scope())?;
        let lock = self.lock(&dir)?;
        match self.find(&dir, &lock)? {
            Some(file) => {
                drop(lock);
                Ok(self.named(dir, file, false))
            }
            None => Err(not_found(self.kind, self.name)),
        }
    }

    fn lock(&self, dir: &Directory) -> Result<DirLock> {
        dir.lock(self.name.hash128(), PATIENCE)
    }

    fn find(&self, dir: &Directory, lock: &DirLock) -> Result<Option<Fd>> {
        self.refuse_other_kind(dir, lock)?;
        object::open(dir, lock, &self.file_name(), &self.opening())
            .map_err(|e| e.with_name(self.name.as_str()))
    }

    fn refuse_existing(&self, dir: &Directory, lock: &DirLock) -> Result<()> {
        self.refuse_other_kind(dir, lock)?;
        let file_name = self.file_name();
        if object::remove_corpse(dir, lock, &file_name) {
            return Ok(());
        }
        match object::look(dir, &file_name) {
            Some(look) if look.held => Err(exists(self.kind, self.name, look)),
            Some(_) => Err(Error::new(
                ErrorKind::ForeignOwner,
                format!("{} was left by another user", dir.path().join(&file_name).display()),
            )
            .with_cure("Only that user can remove it. Use another name")),
            None => Ok(()),
        }
    }

    fn refuse_other_kind(&self, dir: &Directory, lock: &DirLock) -> Result<()> {
        let other = self.kind.other();
        let file_name = other.file_name(self.name);
        if object::remove_corpse(dir, lock, &file_name) {
            return Ok(());
        }
        if object::look(dir, &file_name).is_none_or(|look| !look.held) {
            if let Some(error) = object::in_the_way(dir, &file_name, false) {
                return Err(error.with_name(self.name.as_str()));
            }
        }
        let (is, wanted) = (other.with_article(), self.kind.with_article());
        let cause = format!("{} is {is}, not {wanted}", self.name);
        Err(Error::new(ErrorKind::WrongKind, cause)
            .with_name(self.name.as_str())
            .with_cure("Use another name"))
    }

    fn prepare(&self, dir: &Directory) -> Result<Prepared> {
        object::prepare(dir, &self.spec, &self.fill).map_err(|e| {
            let what = format!("the {}", self.kind.word());
            not_made(e, &what, self.spec.len, Some(dir)).with_name(self.name.as_str())
        })
    }

    fn publish(&self, dir: Directory, lock: DirLock, prepared: Prepared) -> Result<Named> {
        let file_name = self.file_name();
        let file = prepared.publish(&dir, &lock, &file_name).map_err(|e| {
            let path = dir.path().join(&file_name);
            let path = path.display();
            if e.kind() == io::ErrorKind::AlreadyExists {
                let cause = format!("{path} is in the way, and is none of yours");
                let cure = "Use another name, or have its owner remove it";
                return Error::new(ErrorKind::ForeignOwner, cause).with_cure(cure);
            }
            Error::from_os(format!("cannot make {path}"), e)
        })?;
        drop(lock);
        sweep::sometimes(&dir);
        Ok(self.named(dir, file, true))
    }

    fn named(&self, dir: Directory, file: Fd, created: bool) -> Named {
        Named {
            dir,
            name: self.name.clone(),
            file_name: self.file_name(),
            file: Some(file),
            inheritable: self.spec.inheritable,
            created,
        }
    }
}

impl Named {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn dir(&self) -> &Directory {
        &self.dir
    }

    /// Did this call make it?
    pub(crate) fn was_created(&self) -> bool {
        self.created
    }

    /// Would somebody who opens the name now find this object?
    pub(crate) fn is_findable(&self) -> bool {
        if self.is_forked() {
            return false;
        }
        let id = self.file.as_ref().and_then(|file| object::id_of(file).ok());
        id.is_some_and(|id| object::leads_to(self.dir.scope(), &self.file_name, id))
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.file.as_ref().is_none_or(Fd::is_forked)
    }
}

impl AsFd for Named {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_ref().expect("the file is there until drop").as_fd()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            let hash = self.name.hash128();
            object::release(&self.dir, hash, &self.file_name, file, self.inheritable);
        }
    }
}

fn not_found(kind: Kind, name: &Name) -> Error {
    let error = match kind {
        Kind::Map => Error::new(ErrorKind::NotFound, format!("there is no map named {name}"))
            .with_cure(format!(
                "A map lives while somebody holds it:\n        \
                 twocan map create {name} 10000          (twocan ls shows what there is)"
            )),
        Kind::Event => {
            let cause = format!("nobody holds an event named {name}, so there is nobody to wake");
            Error::new(ErrorKind::NotFound, cause)
                .with_cure(format!("Start the waiter first: twocan event wait {name}"))
        }
    };
    error.with_name(name.as_str())
}

fn exists(kind: Kind, name: &Name, look: Look) -> Error {
    let file_name = kind.file_name(name);
    let holders = process::holders(&[(look.id, &file_name)]);
    let holders = holders.get(&look.id).cloned().unwrap_or_default();
    let mut cause = format!("{} named {name} exists", kind.with_article());
    if !holders.is_empty() {
        let pids: Vec<String> = holders.iter().map(|pid| format!("pid {pid}")).collect();
        cause.push_str(&format!(", held by {}", pids.join(" and ")));
    }
    let cure = match kind {
        Kind::Map => format!("Use another name, or read it: twocan map read {name}"),
        Kind::Event => format!("Use another name, or wait for it: twocan event wait {name}"),
    };
    let info = |pid: &u32| PeerInfo {
        nick: String::new(),
        pid: Some(*pid),
        user: None,
        since: SystemTime::now(),
        epoch: 0,
    };
    Error::new(ErrorKind::AlreadyExists, cause)
        .with_cure(cure)
        .with_name(name.as_str())
        .with_holders(holders.iter().map(info).collect())
}

/// The words for an object of `len` bytes that could not be made. `dir` = where, if it has a name.
pub(crate) fn not_made(e: io::Error, what: &str, len: u64, dir: Option<&Directory>) -> Error {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StorageFull};
    let full = matches!(e.kind(), StorageFull | OutOfMemory | QuotaExceeded | FileTooLarge);
    if !full {
        return Error::from_os(format!("cannot make {what}"), e);
    }
    let need = size_words(len, true);
    let place = dir.and_then(|d| Some((d.volume(), d.free_bytes()?)));
    if e.kind() == FileTooLarge && place.is_none_or(|(_, free)| free >= len) {
        return Error::from_os(format!("{what} needs {need}"), e);
    }
    let error = match place {
        Some((place, free)) => {
            let (place, free) = (place.display(), size_words(free, false));
            Error::new(ErrorKind::NoSpace, format!("{place} has {free} free, {what} needs {need}"))
                .with_cure("Free some, or mount it larger, or set TWOCAN_DIR")
        }
        None => Error::new(
            ErrorKind::NoSpace,
            format!("{what} needs {need}, and the system has not so much left"),
        )
        .with_cure("Free some"),
    };
    match e.raw_os_error() {
        Some(code) => error.with_os(code),
        None => error,
    }
}

/// Bytes for a person, in the largest unit of which there are at least three (or which comes out
/// even); what is needed is rounded up, what there is is rounded down.
fn size_words(bytes: u64, up: bool) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        let whole = bytes >> shift;
        let even = bytes == whole << shift;
        if whole >= 3 || (whole > 0 && even) {
            let shown = if up && !even { whole + 1 } else { whole };
            return format!("{shown} {unit}");
        }
    }
    format!("{bytes} bytes")
}

/// A named object that somebody holds.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// The name, or the stem of the file name if the name was too long to be kept.
    pub(crate) name: String,
    pub(crate) file_name: String,
    pub(crate) look: Look,
}

/// The objects of a directory that have a holder.
pub(crate) fn held(dir: &Directory) -> Vec<Entry> {
    let mut found = Vec::new();
    for file_name in dir.file_names() {
        let Some((kind, _, name)) = files::object(&file_name) else { continue };
        let Some(look) = object::look(dir, &file_name) else { continue };
        if look.held {
            found.push(Entry { kind, name, file_name, look });
        }
    }
    found
}

#[cfg(test)]
mod tests;
