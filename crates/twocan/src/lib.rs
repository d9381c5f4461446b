//! Two cans and a string, in shared memory.

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

mod channel;
mod error;
mod event;
mod layout;
mod list;
mod map;
pub mod name;
mod named;
mod park;
mod peer;
mod raw;
mod region;
mod ring;
mod session;
mod spin;
mod sync;
mod sys;
mod until;
mod wait;

pub use channel::*;
pub use error::{CloseError, Error, ErrorKind, Mismatch, RecvError, Result, SendError, Violation};
pub use event::{Event, EventOptions, Reset};
pub use list::{Listed, ListedKind, list};
pub use map::{Access, MapOptions, MemoryMap, View, ViewStream};
pub use name::{Scope, Sharing};
pub use peer::{MAX_NICK, PeerInfo};
pub use until::{Cancel, Until};
pub use wait::{Waitable, wait_all, wait_any};
pub use zerocopy;
