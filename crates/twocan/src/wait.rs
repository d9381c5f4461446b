//! Waiting on many things at once: `wait_any`, `wait_all`, and what can be waited on.

mod all;

pub use all::wait_all;

use crate::sync::{Ordering, fence};
use crate::sys;
use crate::sys::futex::{self, Word};
use crate::until::Gone;
use crate::{Cancel, Error, ErrorKind, Result, Until};

/// Something that [`wait_any`] and [`wait_all`] can wait on. *Ready* means: the matching call would
/// not block.
///
/// Implemented by [`Event`](crate::Event), [`Cancel`], [`Receiver`](crate::Receiver) and what
/// [`Sender::room`](crate::Sender::room), [`acknowledged_past`](crate::Sender::acknowledged_past)
/// and `peer_change` return. Sealed: other types cannot implement it.
pub trait Waitable: Source {}
impl<T: Source + ?Sized> Waitable for T {}

/// Which object a source stands for: two equal identities are the same object. Ordered; `wait_all`
/// takes auto-reset events in this order in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub(crate) u64, pub(crate) u64);

/// The inner side of [`Waitable`]. One wait: `begin` once; then again and again { `prepare`,
/// (fence), `ready`, sleep on the words, `disarm` }.
///
/// Sealed by living in a private module.
pub trait Source {
    /// Called once when the wait begins; the result is handed to every later look of this wait.
    fn begin(&self) -> Result<u64>;
    /// Appends the words to sleep on with the values they have now, then arms (says to the waker
    /// that a sleeper may come). The caller makes a full fence afterwards and looks again.
    fn prepare(&self, words: &mut Vec<Word>);
    /// Would the matching call not block? Takes nothing.
    fn ready(&self, begun: u64) -> bool;
    /// Takes what `ready` saw; false = somebody else was faster. For sources that nothing is taken
    /// from: `ready`.
    fn take(&self, begun: u64) -> bool {
        self.ready(begun)
    }
    /// Undoes a successful `take` (`wait_all` only).
    fn put_back(&self) {}
    /// Is something taken from it by a wait (an auto-reset event)?
    fn consumes(&self) -> bool {
        false
    }
    /// For `wait_all`: is it ready at this very moment (not: was it since the wait began)? Two
    /// equal answers mean that it was ready all the time between. 0 for ever is right for what
    /// nobody else can take away.
    fn snapshot(&self, begun: u64) -> Option<u64> {
        self.ready(begun).then_some(0)
    }
    /// Do those who would end this sleep leave their fence to the sleeper? Asked after `prepare`
    /// and a full fence; if so, the caller calls for a fence on all processors before it looks.
    fn leans(&self) -> bool {
        false
    }
    /// Undoes `prepare`. Called once for each `prepare`.
    fn disarm(&self) {}
    /// For duplicates and the order of taking.
    fn identity(&self) -> Identity;
}

/// Identities that are addresses of this process stand behind this first number; files have their
/// device there.
pub(crate) const LOCAL: u64 = u64::MAX;

impl Source for Cancel {
    fn begin(&self) -> Result<u64> {
        Ok(0)
    }

    fn prepare(&self, words: &mut Vec<Word>) {
        words.push(Word::local(self.word(), 0));
    }

    fn ready(&self, _begun: u64) -> bool {
        self.is_cancelled()
    }

    fn identity(&self) -> Identity {
        Identity(LOCAL, self.address())
    }
}

/// Waits until one of `objects` is ready, and takes from that one alone: the lowest index, if there
/// are several. `None` = the time was up. A wait whose time is up already still looks once.
///
/// # Errors
/// `Cancelled`; `InvalidInput` for an empty slice; `Forked` in a forked child.
///
/// # Platform
/// Linux: more than 127 objects are waited for with helper threads that live as long as the call.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twocan::{Event, Reset, wait_any};
///
/// let (exit, work) = (Event::anonymous(Reset::Manual)?, Event::anonymous(Reset::Auto)?);
/// work.set()?;
/// match wait_any(&[&exit, &work], Duration::from_secs(1))? {
///     Some(0) => println!("exit"),
///     Some(1) => println!("work"),
///     _ => println!("nothing yet"),
/// }
/// assert!(!work.try_wait()?); // taken
/// # Ok::<(), twocan::Error>(())
/// ```
pub fn wait_any<'c>(
    objects: &[&dyn Waitable],
    until: impl Into<Until<'c>>,
) -> Result<Option<usize>> {
    let begun = begin_all(objects)?;
    let found = || objects.iter().zip(&begun).position(|(o, b)| o.ready(*b) && o.take(*b));
    sleep_until(objects, &until.into(), found)
}

fn begin_all(objects: &[&dyn Waitable]) -> Result<Vec<u64>> {
    if objects.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "there is nothing to wait for"));
    }
    objects.iter().map(|o| o.begin()).collect()
}

pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was cancelled")
}

/// Looks, arms, looks again, sleeps, until `look` finds something. None = the time was up.
fn sleep_until<T>(
    objects: &[&dyn Waitable],
    until: &Until<'_>,
    look: impl Fn() -> Option<T>,
) -> Result<Option<T>> {
    let deadline = until.deadline();
    let mut words = Vec::with_capacity(objects.len() + 1);
    loop {
        if let Some(found) = look() {
            return Ok(Some(found));
        }
        match until.gone() {
            Some(Gone::Cancelled) => return Err(cancelled()),
            Some(Gone::TimedOut) => return Ok(None),
            None => {}
        }
        words.clear();
        let armed = Armed::all(objects, &mut words);
        if let Some(cancel) = until.cancel() {
            cancel.prepare(&mut words);
        }
        // SYNC armed: the wakers publish, fence, and look whether somebody has armed; here it
        // is armed, fenced, and looked whether something was published. One of the two sees the
        // other.
        fence(Ordering::SeqCst);
        if objects.iter().any(|object| object.leans()) {
            sys::fence::everywhere();
        }
        if let Some(found) = look() {
            return Ok(Some(found));
        }
        if until.gone().is_none() {
            // Whatever ended the sleep, the next look decides.
            let _ = futex::wait(&words, deadline);
        }
        drop(armed);
    }
}

/// Disarms what was prepared, also when something panics.
struct Armed<'a, 'o>(&'a [&'o dyn Waitable]);

impl<'a, 'o> Armed<'a, 'o> {
    fn all(objects: &'a [&'o dyn Waitable], words: &mut Vec<Word>) -> Armed<'a, 'o> {
        for object in objects {
            object.prepare(words);
        }
        Armed(objects)
    }
}

impl Drop for Armed<'_, '_> {
    fn drop(&mut self) {
        for object in self.0 {
            object.disarm();
        }
    }
}

#[cfg(test)]
mod tests;
