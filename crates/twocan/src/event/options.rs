//! Everything that can be chosen about an event.

use super::words::{self, Words};
use super::{Event, Reset, Shared};
use crate::name::Name;
use crate::named::{self, Kind, Named, Request};
use crate::sys::files;
use crate::sys::memory::{Mapping, Protection};
use crate::sys::object::{self, Spec};
use crate::sys::permission::Permission;
use crate::wait::{self, Identity};
use crate::{Error, ErrorKind, Result, Scope, Sharing};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// How an [`Event`] is made or opened.
///
/// # Examples
/// ```
/// use twocan::{Event, Reset};
///
/// let open = Event::options(Reset::Manual).initially_set(true).anonymous()?;
/// assert!(open.try_wait()?);
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventOptions {
    reset: Reset,
    initially_set: bool,
    inheritable: bool,
    sharing: Sharing,
    scope: Scope,
}

impl EventOptions {
    /// Not set, for this user alone.
    pub fn new(reset: Reset) -> EventOptions {
        EventOptions {
            reset,
            initially_set: false,
            inheritable: false,
            sharing: Sharing::default(),
            scope: Scope::default(),
        }
    }

    /// A new one is set from the start. An existing one keeps its state.
    pub fn initially_set(&mut self, set: bool) -> &mut Self {
        self.initially_set = set;
        self
    }

    /// Let child processes keep the handle: they hold the event too.
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

    /// As [`Event::create_new`].
    ///
    /// # Errors
    /// The same.
    pub fn create_new(&self, name: &str) -> Result<Event> {
        let name = self.parse(name)?;
        self.named(self.request(&name)?.create_new()?)
    }

    /// As [`Event::create_or_open`].
    ///
    /// # Errors
    /// The same.
    pub fn create_or_open(&self, name: &str) -> Result<Event> {
        let name = self.parse(name)?;
        self.named(self.request(&name)?.create_or_open()?)
    }

    /// As [`Event::open_existing`].
    ///
    /// # Errors
    /// The same.
    pub fn open_existing(&self, name: &str) -> Result<Event> {
        let name = self.parse(name)?;
        self.named(self.request(&name)?.open_existing()?)
    }

    /// As [`Event::anonymous`].
    ///
    /// # Errors
    /// The same.
    pub fn anonymous(&self) -> Result<Event> {
        let mapping = Mapping::anonymous(words::LEN, self.inheritable)
            .map_err(|e| named::not_made(e, "the event", words::LEN as u64, None))?;
        let identity = Identity(wait::LOCAL, mapping.base().as_ptr() as u64);
        let words = Words::new(mapping);
        if self.initially_set {
            words.set().map_err(|e| Error::from_os("cannot set the event", e))?;
        }
        let shared = Shared { words, reset: self.reset, identity, named: None };
        Ok(Event { shared: Arc::new(shared) })
    }

    fn parse(&self, name: &str) -> Result<Name> {
        Name::parse_with(name, self.scope, &self.sharing)
    }

    fn request<'a>(
        &self,
        name: &'a Name,
    ) -> Result<Request<'a, impl Fn(BorrowedFd<'_>) -> io::Result<()> + use<>>> {
        let permission = Permission::of(&self.sharing)?;
        let inheritable = self.inheritable;
        let spec = Spec { len: words::LEN as u64, allocate: true, permission, inheritable };
        let (reset, set) = (self.reset, self.initially_set);
        // Before it has a name, so without a lock; the word is in the byte order of the machine, as
        // it is mapped.
        let fill = move |file: BorrowedFd<'_>| {
            files::write_at(file, &words::header(reset), 0)?;
            let sets = u32::from(set).to_ne_bytes();
            files::write_at(file, &sets, words::SETS as u64)
        };
        Ok(Request { kind: Kind::Event, name, spec, write: true, fill })
    }

    fn named(&self, named: Named) -> Result<Event> {
        let name = named.name();
        let wrong = |e: io::Error| Error::from_os(format!("cannot open the event {name}"), e);
        let unfit = |why: String| {
            Error::new(ErrorKind::Incompatible, format!("{name} is not usable: {why}"))
                .with_name(name.as_str())
                .with_cure("Another version, or another program, made it. Use another name")
        };
        let mut header = [0; 16];
        let read = files::read_start(&named, &mut header).map_err(wrong)?;
        let identity = object::id_of(&named).map_err(wrong)?;
        if read < header.len() || object::len_of(&named).map_err(wrong)? < words::LEN as u64 {
            return Err(unfit("its file is too short".into()));
        }
        let reset = words::check(&header).map_err(unfit)?;
        let protection = Protection::READ_WRITE;
        let mapping = Mapping::of_file(named.as_fd(), 0, words::LEN, protection, self.inheritable)
            .map_err(wrong)?;
        let identity = Identity(identity.0, identity.1);
        let shared = Shared { words: Words::new(mapping), reset, identity, named: Some(named) };
        Ok(Event { shared: Arc::new(shared) })
    }
}
