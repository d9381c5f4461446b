//! Linux.
pub(crate) mod dir;
pub(crate) mod fd;
pub(crate) mod files;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod invitation;
mod lock;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod object;
mod ofd;
pub(crate) mod poller;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod socket;
pub(crate) mod thread;
pub(crate) mod user;
pub(crate) mod watch;
