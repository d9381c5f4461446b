//! Named maps of memory, as known from Win32 and .NET; also files and nameless memory, mapped the
//! same way.
//!
//! A map's bytes are the user's alone: the file under the directory is exactly as long as the map
//! and holds nothing else.

mod memory;
mod options;
mod range;
mod stream;
mod view;

pub use options::MapOptions;
pub use stream::ViewStream;
pub use view::View;

use crate::named::Named;
use crate::sys::fd::Fd;
use crate::{Error, ErrorKind, Result, error};
use std::ops::RangeBounds;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

/// What a map or a view of it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Access {
    /// Loads only.
    Read,
    /// Loads and stores; all who have the map see them.
    #[default]
    ReadWrite,
    /// Loads and stores; stores stay with this view, nobody else sees them.
    CopyOnWrite,
    /// Loads, and running code in it.
    ReadExecute,
    /// Loads, stores, and running code in it.
    ReadWriteExecute,
}

impl Access {
    /// May a view store, be it only for itself?
    fn stores(self) -> bool {
        matches!(self, Access::ReadWrite | Access::CopyOnWrite | Access::ReadWriteExecute)
    }

    /// Is the file to be opened for writing?
    fn writes_file(self) -> bool {
        matches!(self, Access::ReadWrite | Access::ReadWriteExecute)
    }

    fn executes(self) -> bool {
        matches!(self, Access::ReadExecute | Access::ReadWriteExecute)
    }

    /// May a map with this access have a view with that one?
    fn allows(self, view: Access) -> bool {
        (self.writes_file() || !view.writes_file()) && (self.executes() || !view.executes())
    }

    fn words(self) -> &'static str {
        match self {
            Access::Read => "for reading only",
            Access::ReadWrite => "for reading and writing",
            Access::CopyOnWrite => "copy-on-write",
            Access::ReadExecute => "for reading and executing",
            Access::ReadWriteExecute => "for reading, writing and executing",
        }
    }
}

/// Memory that several programs map at once: named, of a file, or anonymous. See
/// [`view`](MemoryMap::view) for its bytes.
///
/// The name lives as long as any [`MemoryMap`] or [`View`] of it in any process, and goes with the
/// last one, also when that is killed.
///
/// # Platform
/// Linux: a named map is a file of exactly [`len`](MemoryMap::len) bytes in the directory of names.
/// A program of the same user that cuts this file short ends those who read the missing part with
/// SIGBUS.
///
/// # Examples
/// ```
/// use twocan::MemoryMap;
///
/// # let name = format!("doc-cat-{}", std::process::id());
/// # let name = name.as_str();
/// let map = MemoryMap::create_new(name, 10_000)?;
/// map.view()?.write(0, "HI Night Mo.")?;
/// // In another program, while the first still holds it:
/// let text = MemoryMap::open_existing(name)?.view()?.read_vec(..12)?;
/// assert_eq!(text, b"HI Night Mo.");
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryMap {
    handle: Arc<Handle>,
}

/// What a map and its views hold together.
#[derive(Debug)]
struct Handle {
    backing: Backing,
    len: u64,
    access: Access,
    inheritable: bool,
    /// The file has holes that may not find memory when they are touched.
    sparse: bool,
}

#[derive(Debug)]
enum Backing {
    Named(Named),
    File { file: Fd, grown: bool },
    Anonymous(Fd),
}

impl Handle {
    fn fd(&self) -> BorrowedFd<'_> {
        match &self.backing {
            Backing::Named(named) => named.as_fd(),
            Backing::File { file, .. } | Backing::Anonymous(file) => file.as_fd(),
        }
    }

    fn is_forked(&self) -> bool {
        match &self.backing {
            Backing::Named(named) => named.is_forked(),
            Backing::File { file, .. } | Backing::Anonymous(file) => file.is_forked(),
        }
    }

    fn name(&self) -> Option<&str> {
        match &self.backing {
            Backing::Named(named) => Some(named.name().as_str()),
            _ => None,
        }
    }

    /// "the map Cat", for errors.
    fn words(&self) -> String {
        self.name().map_or_else(|| "the map".into(), |name| format!("the map {name}"))
    }

    fn about(&self, kind: ErrorKind, cause: String) -> Error {
        let error = Error::new(kind, cause);
        match self.name() {
            Some(name) => error.with_name(name),
            None => error,
        }
    }
}

impl MemoryMap {
    /// Makes a new named map of exactly `len` bytes, all zero, for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` (with the holders), `WrongKind`, `InvalidName`, `InvalidInput` for a length
    /// of 0, `NoSpace`.
    ///
    /// # Examples
    /// ```
    /// # let name = format!("doc-new-{}", std::process::id());
    /// let map = twocan::MemoryMap::create_new(&name, 10_000)?;
    /// assert_eq!(map.len(), 10_000);
    /// assert!(twocan::MemoryMap::create_new(&name, 10_000).is_err());
    /// # Ok::<(), twocan::Error>(())
    /// ```
    pub fn create_new(name: &str, len: u64) -> Result<MemoryMap> {
        MemoryMap::options().create_new(name, len)
    }

    /// Opens the map of this name, or makes it; [`was_created`](MemoryMap::was_created) tells
    /// which.
    ///
    /// # Errors
    /// As [`create_new`](MemoryMap::create_new); `TooSmall` if the existing one is shorter than
    /// `len`. A longer one is fine.
    pub fn create_or_open(name: &str, len: u64) -> Result<MemoryMap> {
        MemoryMap::options().create_or_open(name, len)
    }

    /// Opens the map of this name for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, `WrongKind`, `InvalidName`, `ForeignOwner`.
    pub fn open_existing(name: &str) -> Result<MemoryMap> {
        MemoryMap::options().open_existing(name)
    }

    /// Maps an existing file, whole, for reading and writing.
    ///
    /// # Errors
    /// What the system says about the file; `InvalidInput` if it is empty.
    ///
    /// # Platform
    /// Linux: as with `mmap` itself, whoever cuts the file short ends its readers with SIGBUS.
    pub fn from_file(path: impl AsRef<Path>) -> Result<MemoryMap> {
        MemoryMap::options().from_file(path, None)
    }

    /// Makes a map without a name, for views in this process (and in children, if it is
    /// inheritable).
    ///
    /// # Errors
    /// `InvalidInput` for a length of 0, `NoSpace`.
    pub fn anonymous(len: u64) -> Result<MemoryMap> {
        MemoryMap::options().anonymous(len)
    }

    /// Everything that can be chosen.
    pub fn options() -> MapOptions {
        MapOptions::new()
    }

    /// The name, without its prefix; `None` for files and anonymous maps.
    pub fn name(&self) -> Option<&str> {
        self.handle.name()
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a map has at least one byte")]
    pub fn len(&self) -> u64 {
        self.handle.len
    }

    /// What it was opened for.
    pub fn access(&self) -> Access {
        self.handle.access
    }

    /// Would somebody who opens the name now find this map? No, if it has no name, or if somebody
    /// has removed the file that stands for it (a logout may sweep `/dev/shm`); those who hold it
    /// go on with it all the same.
    pub fn is_findable(&self) -> bool {
        match &self.handle.backing {
            Backing::Named(named) => named.is_findable(),
            _ => false,
        }
    }

    /// Did this call make it? For a file: did it grow?
    pub fn was_created(&self) -> bool {
        match &self.handle.backing {
            Backing::Named(named) => named.was_created(),
            Backing::File { grown, .. } => *grown,
            Backing::Anonymous(_) => true,
        }
    }

    /// Another handle of the same map in this process.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn try_clone(&self) -> Result<MemoryMap> {
        self.check_fork()?;
        Ok(MemoryMap { handle: Arc::clone(&self.handle) })
    }

    /// All of its bytes, with the access of the map.
    ///
    /// # Errors
    /// What the system says if it has no room for the view.
    pub fn view(&self) -> Result<View> {
        self.view_with(.., self.access())
    }

    /// A range of its bytes, from any position, with the access of the map.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn view_range(&self, range: impl RangeBounds<u64>) -> Result<View> {
        self.view_with(range, self.access())
    }

    /// A range of its bytes with an access of its own.
    ///
    /// # Errors
    /// `OutOfRange`; `PermissionDenied` if the map does not allow the access.
    pub fn view_with(&self, range: impl RangeBounds<u64>, access: Access) -> Result<View> {
        self.check_fork()?;
        View::new(Arc::clone(&self.handle), range, access)
    }

    /// All of its bytes as a stream with a position.
    ///
    /// # Errors
    /// As [`view`](MemoryMap::view).
    pub fn stream(&self) -> Result<ViewStream> {
        Ok(self.view()?.into_stream())
    }

    fn check_fork(&self) -> Result<()> {
        if self.handle.is_forked() { Err(error::forked()) } else { Ok(()) }
    }
}

/// # Platform
/// Unix only; on Windows it is `AsHandle`.
impl AsFd for MemoryMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.fd()
    }
}
