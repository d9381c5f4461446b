//! Two cans and a string, in shared memory.
mod channel;
mod error;
mod peer;
mod sync;
mod sys;
mod until;
mod wait;

pub use channel::*;
pub use error::{CloseError, Error, ErrorKind, RecvError, Result, SendError, Violation};
pub use peer::{MAX_NICK, PeerInfo};
pub use until::{Cancel, Until};
pub use wait::{Waitable, wait_any};
pub use zerocopy;
