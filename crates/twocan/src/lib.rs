//! Two cans and a string, in shared memory.

// `--cfg loom` compiles what the models run (`loom_models`), and nothing else.
#![cfg_attr(loom, allow(dead_code, unused_imports, unused_macros))]

/// A line for the `tracing` feature; nothing without it. Cold paths only.
macro_rules! note {
    ($($arg:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($arg)*);
        #[cfg(not(feature = "tracing"))]
        let _ = || { let _ = format_args!($($arg)*); };
    }};
}
pub(crate) use note;

#[cfg(not(loom))]
mod channel;
mod error;
#[cfg(not(loom))]
mod event;
mod layout;
#[cfg(not(loom))]
mod list;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
pub mod name;
#[cfg(not(loom))]
mod named;
mod park;
mod peer;
#[cfg(not(loom))]
mod raw;
#[cfg(not(loom))]
mod region;
mod ring;
#[cfg(not(loom))]
mod session;
#[cfg(not(loom))]
mod spin;
mod sync;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod until;
#[cfg(not(loom))]
mod wait;

#[cfg(not(loom))]
pub use channel::*;
pub use error::{CloseError, Error, ErrorKind, Mismatch, RecvError, Result, SendError, Violation};
#[cfg(not(loom))]
pub use event::{Event, EventOptions, Reset};
#[cfg(not(loom))]
pub use list::{Listed, ListedKind, list};
#[cfg(not(loom))]
pub use map::{Access, MapOptions, MemoryMap, View, ViewStream};
#[cfg(not(loom))]
pub use name::{Scope, Sharing};
pub use peer::{MAX_NICK, PeerInfo};
#[cfg(not(loom))]
pub use until::{Cancel, Until};
#[cfg(not(loom))]
pub use wait::{Waitable, wait_all, wait_any};
#[cfg(not(loom))]
pub use zerocopy;
