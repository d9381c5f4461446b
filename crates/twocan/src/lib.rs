//! Two cans and a string, in shared memory.
mod channel;
mod error;
mod event;
mod list;
mod map;
pub mod name;
mod named;
mod peer;
mod raw;
mod sync;
mod sys;
mod until;
mod wait;

pub use channel::*;
pub use error::{CloseError, Error, ErrorKind, RecvError, Result, SendError, Violation};
pub use event::{Event, EventOptions, Reset};
pub use list::{Listed, ListedKind, list};
pub use map::{Access, MapOptions, MemoryMap, View, ViewStream};
pub use name::{Scope, Sharing};
pub use peer::{MAX_NICK, PeerInfo};
pub use until::{Cancel, Until};
pub use wait::{Waitable, wait_all, wait_any};
pub use zerocopy;
