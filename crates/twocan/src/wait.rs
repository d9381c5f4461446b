//! Waiting on many things at once: `wait_any`, `wait_all`, and what can be waited on.

use crate::sys::futex::Word;
use crate::{Error, Result, Until};

/// Something that [`wait_any`] and [`wait_all`] can wait on. *Ready* means: the matching call would not block.
///
/// Implemented by [`Event`](crate::Event), [`Cancel`](crate::Cancel), [`Receiver`](crate::Receiver) and what
/// [`Sender::room`](crate::Sender::room), [`acknowledged_past`](crate::Sender::acknowledged_past) and
/// `peer_change` return. Sealed: other types cannot implement it.
pub trait Waitable: Source {}
impl<T: Source + ?Sized> Waitable for T {}

/// Which object a source stands for: two equal identities are the same object. Ordered; `wait_all` takes
/// auto-reset events in this order in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub(crate) u64, pub(crate) u64);

/// The inner side of [`Waitable`]. One wait: `begin` once; then again and again { `prepare`, (fence), `ready`,
/// sleep on the words, `disarm` }.
///
/// Sealed by living in a private module.
pub trait Source {
    /// Called once when the wait begins; the result is handed to every later look of this wait.
    fn begin(&self) -> Result<u64>;
    /// Appends the words to sleep on with the values they have now, then arms (says to the waker that a sleeper
    /// may come). The caller makes a full fence afterwards and looks again.
    fn prepare(&self, words: &mut Vec<Word>);
    /// Would the matching call not block? Takes nothing.
    fn ready(&self, begun: u64) -> bool;
    /// Takes what `ready` saw; false = somebody else was faster. For sources that nothing is taken from: `ready`.
    fn take(&self, begun: u64) -> bool {
        self.ready(begun)
    }
    /// Undoes a successful `take` (`wait_all` only).
    fn put_back(&self) {}
    /// Is something taken from it by a wait (an auto-reset event)?
    fn consumes(&self) -> bool {
        false
    }
    /// Undoes `prepare`. Called once for each `prepare`.
    fn disarm(&self) {}
    /// For duplicates and the order of taking.
    fn identity(&self) -> Identity;
}

/// Stub.
pub fn wait_any(
    _objects: &[&dyn Waitable],
    _until: impl for<'c> Into<Until<'c>>,
) -> Result<Option<usize>> {
    Err(Error::new(crate::ErrorKind::Unsupported, "stub"))
}
