//! Everything that can be chosen about a map.

use super::{Access, Backing, Handle, MemoryMap};
use crate::name::Name;
use crate::named::{self, Kind, Named, Request};
use crate::sys::object::{self, Spec};
use crate::sys::permission::Permission;
use crate::sys::{files, memfd};
use crate::{Error, ErrorKind, Result, Scope, Sharing};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

/// How a [`MemoryMap`] is made or opened.
///
/// # Examples
/// ```
/// use twocan::{Access, MemoryMap};
///
/// # let name = format!("doc-options-{}", std::process::id());
/// let map = MemoryMap::options().delay_allocate(true).create_new(&name, 1 << 30)?;
/// let reader = MemoryMap::options().access(Access::Read).open_existing(&name)?;
/// assert_eq!(reader.len(), 1 << 30);
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MapOptions {
    access: Access,
    delay_allocate: bool,
    inheritable: bool,
    sharing: Sharing,
    scope: Scope,
}

impl MapOptions {
    /// Read and write, allocated at once, for this user alone.
    pub fn new() -> MapOptions {
        MapOptions::default()
    }

    /// What the map allows; [`Access::ReadWrite`] if not said.
    pub fn access(&mut self, access: Access) -> &mut Self {
        self.access = access;
        self
    }

    /// Take memory for each part when it is first touched, not at once.
    ///
    /// # Platform
    /// Linux: the methods of [`View`](crate::View) report a full disk as `NoSpace`; through
    /// [`as_ptr`](crate::View::as_ptr) and the slices it is SIGBUS.
    pub fn delay_allocate(&mut self, delay: bool) -> &mut Self {
        self.delay_allocate = delay;
        self
    }

    /// Let child processes keep the handle: they hold the map too.
    pub fn inheritable(&mut self, inheritable: bool) -> &mut Self {
        self.inheritable = inheritable;
        self
    }

    /// Who else may open it.
    pub fn sharing(&mut self, sharing: Sharing) -> &mut Self {
        self.sharing = sharing;
        self
    }

    /// How far its name reaches.
    pub fn scope(&mut self, scope: Scope) -> &mut Self {
        self.scope = scope;
        self
    }

    /// As [`MemoryMap::create_new`].
    ///
    /// # Errors
    /// The same.
    pub fn create_new(&self, name: &str, len: u64) -> Result<MemoryMap> {
        let name = self.parse(name)?;
        check_len(len)?;
        let named = self.request(&name, len)?.create_new()?;
        self.named(named)
    }

    /// As [`MemoryMap::create_or_open`].
    ///
    /// # Errors
    /// The same.
    pub fn create_or_open(&self, name: &str, len: u64) -> Result<MemoryMap> {
        let name = self.parse(name)?;
        check_len(len)?;
        let named = self.request(&name, len)?.create_or_open()?;
        let map = self.named(named)?;
        let (has, asked) = (map.len(), len);
        if has < asked {
            let cause = format!("the map {name} has {has} bytes, not {asked}");
            let error = Error::new(ErrorKind::TooSmall { has, asked }, cause);
            return Err(error
                .with_name(name.as_str())
                .with_cure("Use another name, or ask for less"));
        }
        Ok(map)
    }

    /// As [`MemoryMap::open_existing`].
    ///
    /// # Errors
    /// The same.
    pub fn open_existing(&self, name: &str) -> Result<MemoryMap> {
        let name = self.parse(name)?;
        let named = self.request(&name, 0)?.open_existing()?;
        self.named(named)
    }

    /// Maps a file from its start: `len` bytes, to which it grows if it is shorter; `None` = as
    /// many as it has.
    ///
    /// # Errors
    /// What the system says about the file; `InvalidInput` if it is empty or no plain file;
    /// `NoSpace`.
    pub fn from_file(&self, path: impl AsRef<Path>, len: Option<u64>) -> Result<MemoryMap> {
        let path = path.as_ref();
        let wrong = |e: io::Error| Error::from_os(format!("cannot map {}", path.display()), e);
        let file = files::open_to_map(path, self.access.writes_file(), self.inheritable);
        let file = file.map_err(wrong)?;
        let extent = files::extent(&file).map_err(wrong)?;
        if !extent.plain {
            let cause = format!("{} is no plain file", path.display());
            return Err(Error::new(ErrorKind::InvalidInput, cause));
        }
        let has = extent.len;
        let len = len.unwrap_or(has);
        check_len(len)?;
        let grown = len > has;
        if grown {
            object::set_len(file.as_fd(), len, !self.delay_allocate).map_err(|e| {
                files::shrink(&file, has);
                named::not_made(e, &format!("the file {}", path.display()), len, None)
            })?;
        }
        self.map(Backing::File { file, grown }, len, extent.allocated)
    }

    /// As [`MemoryMap::anonymous`].
    ///
    /// # Errors
    /// The same.
    pub fn anonymous(&self, len: u64) -> Result<MemoryMap> {
        check_len(len)?;
        let wrong = |e: io::Error| named::not_made(e, "the map", len, None);
        let file = memfd::create_fixed(len, !self.delay_allocate, self.inheritable);
        let file = file.map_err(wrong)?;
        let allocated = files::extent(&file).map_err(wrong)?.allocated;
        self.map(Backing::Anonymous(file), len, allocated)
    }

    fn parse(&self, name: &str) -> Result<Name> {
        Name::parse_with(name, self.scope, &self.sharing)
    }

    fn request<'a>(
        &self,
        name: &'a Name,
        len: u64,
    ) -> Result<Request<'a, impl Fn(BorrowedFd<'_>) -> io::Result<()> + use<>>> {
        let permission = Permission::of(&self.sharing)?;
        let (allocate, inheritable) = (!self.delay_allocate, self.inheritable);
        let spec = Spec { len, allocate, permission, inheritable };
        let write = self.access.writes_file();
        Ok(Request { kind: Kind::Map, name, spec, write, fill: |_: BorrowedFd<'_>| Ok(()) })
    }

    fn named(&self, named: Named) -> Result<MemoryMap> {
        let wrong = |e| Error::from_os(format!("cannot look at the map {}", named.name()), e);
        let extent = files::extent(&named).map_err(wrong)?;
        check_len(extent.len)?;
        self.map(Backing::Named(named), extent.len, extent.allocated)
    }

    fn map(&self, backing: Backing, len: u64, allocated: u64) -> Result<MemoryMap> {
        // Whoever opens a map that its maker has not allocated must be as careful as the maker.
        let sparse = allocated < len;
        let (access, inheritable) = (self.access, self.inheritable);
        Ok(MemoryMap { handle: Arc::new(Handle { backing, len, access, inheritable, sparse }) })
    }
}

fn check_len(len: u64) -> Result<()> {
    if len == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "a map needs at least 1 byte"));
    }
    if i64::try_from(len).is_err() {
        let cause = format!("{len} bytes are more than any map can have");
        return Err(Error::new(ErrorKind::InvalidInput, cause));
    }
    Ok(())
}
