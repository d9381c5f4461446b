//! Owning descriptors that a forked child does not keep.

use super::fork;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// An owned descriptor that is closed in forked children. Its drop closes it, but not in a child:
/// there it is closed already, and its number may belong to something else.
#[derive(Debug)]
pub(crate) struct Fd {
    owned: ManuallyDrop<OwnedFd>,
    generation: u32,
    registered: bool,
}

impl Fd {
    /// Makes a descriptor: no `fork` happens between the system call and the entry in the registry.
    /// `make` must neither make nor drop another `Fd`, and should be one system call.
    pub(crate) fn make<E: Into<io::Error>>(
        make: impl FnOnce() -> Result<OwnedFd, E>,
    ) -> io::Result<Fd> {
        let mut registry = fork::registry();
        let owned = make().map_err(Into::into)?;
        registry.insert(owned.as_raw_fd());
        Ok(Fd { owned: ManuallyDrop::new(owned), generation: fork::generation(), registered: true })
    }

    /// As [`make`](Fd::make), for calls that give two descriptors or more (`socketpair`,
    /// `recvmsg`). `value` is whatever else the call returns.
    pub(crate) fn make_all<T, E: Into<io::Error>>(
        make: impl FnOnce() -> Result<(Vec<OwnedFd>, T), E>,
    ) -> io::Result<(Vec<Fd>, T)> {
        let mut registry = fork::registry();
        let (fds, value) = make().map_err(Into::into)?;
        let generation = fork::generation();
        let wrap = |owned: OwnedFd| {
            registry.insert(owned.as_raw_fd());
            Fd { owned: ManuallyDrop::new(owned), generation, registered: true }
        };
        Ok((fds.into_iter().map(wrap).collect(), value))
    }

    /// A descriptor that children shall have: not registered.
    pub(crate) fn inheritable(owned: OwnedFd) -> Fd {
        let generation = fork::generation();
        Fd { owned: ManuallyDrop::new(owned), generation, registered: false }
    }

    /// A second descriptor of the same object, for tests.
    #[cfg(test)]
    pub(crate) fn duplicate(&self) -> io::Result<Fd> {
        Fd::make(|| self.as_fd().try_clone_to_owned())
    }

    /// Was it made before a `fork` that led to this process, and is it therefore closed?
    pub(crate) fn is_forked(&self) -> bool {
        self.registered && self.generation != fork::generation()
    }

    /// Takes it out of the registry: closing it is the caller's affair (on another thread, where a
    /// close may block). `None` in a forked child.
    pub(crate) fn into_owned(self) -> Option<OwnedFd> {
        let mut this = ManuallyDrop::new(self);
        if this.is_forked() {
            return None;
        }
        if this.registered {
            fork::registry().remove(this.owned.as_raw_fd());
        }
        // SAFETY: `this` is never used or dropped again.
        Some(unsafe { ManuallyDrop::take(&mut this.owned) })
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.owned.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.owned.as_raw_fd()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        // Unregistered and closed under one lock: a child forked in between would keep it, or close
        // a stranger's number.
        let registry = self.registered.then(|| {
            let mut registry = fork::registry();
            registry.remove(self.owned.as_raw_fd());
            registry
        });
        // SAFETY: drop runs once; nothing uses the field afterwards.
        drop(unsafe { OwnedFd::from_raw_fd(self.owned.as_raw_fd()) });
        drop(registry);
    }
}
