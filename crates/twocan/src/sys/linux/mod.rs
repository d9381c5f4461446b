//! Linux.
pub(crate) mod fd;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod memfd;
pub(crate) mod poller;
pub(crate) mod socket;
pub(crate) mod thread;
