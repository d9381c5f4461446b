//! Linux.
pub(crate) mod dir;
pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod futex;
mod lock;
pub(crate) mod memory;
pub(crate) mod object;
mod ofd;
pub(crate) mod process;
pub(crate) mod thread;
pub(crate) mod user;
