//! Waiting on many things at once: `wait_any`, `wait_all`, and what can be waited on.

mod all;
mod doors;
mod many;

pub use all::wait_all;

pub(crate) use doors::{Attention, Doors, Ears, Mark};

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
    /// In place of `prepare`, for waits in a set of doorbells: hears and arms, unless that stands
    /// from an earlier wait. `Words`: it cannot, `prepare` must. There is nothing to undo.
    fn attend(&self, _doors: &mut Doors) -> Attention {
        Attention::Words
    }
    /// Has it a doorbell that `attend` hears?
    fn has_door(&self) -> bool {
        false
    }
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

impl Cancel {
    fn prepare_word(&self, words: &mut Vec<Word>) {
        words.push(Word::local(self.word(), 0));
    }
}

impl Source for Cancel {
    fn begin(&self) -> Result<u64> {
        Ok(0)
    }

    fn prepare(&self, words: &mut Vec<Word>) {
        self.prepare_word(words);
    }

    fn attend(&self, doors: &mut Doors) -> Attention {
        if doors.hear_cancel(self) { Attention::Look } else { Attention::Words }
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
/// Linux: up to 63 channel ends or 127 events are slept on in one call of the kernel. More channel
/// ends are heard by their doorbells: the calling thread keeps a set of them (two descriptors) from
/// call to call, so that a wake costs what has become ready and not what is waited for; the peer
/// pays one system call more for the first message after a wait. Events beside so many ends, and
/// more than 127 events, are waited for with a helper thread for each 127 that lives as long as the
/// call; so is everything when the process is out of descriptors.
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
    sleep_until(objects, &until.into(), &Any { objects, begun })
}

/// What a wait is to find.
trait Goal<T> {
    /// Looks at everything.
    fn anywhere(&self) -> Option<T>;
    /// Looks at one object, if that can end the wait; those before it are known not to be ready.
    fn at(&self, index: usize) -> Option<T>;
    /// Looks at these, in this order; the others are known not to be ready.
    fn among(&self, indices: &[usize]) -> Option<T>;
    /// Does finding nothing mean that none of them is ready?
    fn finds_each(&self) -> bool;
}

/// The lowest that is ready.
struct Any<'a, 'o> {
    objects: &'a [&'o dyn Waitable],
    begun: Vec<u64>,
}

impl Goal<usize> for Any<'_, '_> {
    fn anywhere(&self) -> Option<usize> {
        (0..self.objects.len()).find(|index| self.at(*index).is_some())
    }

    fn at(&self, index: usize) -> Option<usize> {
        let (object, begun) = (self.objects.get(index)?, *self.begun.get(index)?);
        (object.ready(begun) && object.take(begun)).then_some(index)
    }

    fn among(&self, indices: &[usize]) -> Option<usize> {
        indices.iter().find_map(|index| self.at(*index))
    }

    fn finds_each(&self) -> bool {
        true
    }
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

/// Would all of them fit into one sleep on words? An end has its peer's bell and a word of its own.
fn fit_one_sleep(objects: &[&dyn Waitable], until: &Until<'_>) -> bool {
    let words = |o: &&dyn Waitable| if o.has_door() { 2 } else { 1 };
    let limit = usize::from(until.cancel().is_some());
    limit + objects.iter().map(words).sum::<usize>() <= futex::WAITV_MAX
}

/// Looks, arms, looks again, sleeps, until `goal` is reached. None = the time was up.
fn sleep_until<T>(
    objects: &[&dyn Waitable],
    until: &Until<'_>,
    goal: &impl Goal<T>,
) -> Result<Option<T>> {
    if objects.iter().any(|o| o.has_door()) && !fit_one_sleep(objects, until) {
        // Without descriptors for a set: as below, with helper threads.
        if let Ok(visit) = doors::Visit::begin(objects.len()) {
            return many::sleep_at_doors(objects, until, goal, visit);
        }
    }
    let deadline = until.deadline();
    let mut words = Vec::with_capacity(objects.len() + 1);
    loop {
        if let Some(found) = goal.anywhere() {
            return Ok(Some(found));
        }
        match until.gone() {
            Some(Gone::Cancelled) => return Err(cancelled()),
            Some(Gone::TimedOut) => return Ok(None),
            None => {}
        }
        words.clear();
        let armed = Armed::all(objects.to_vec(), &mut words);
        if let Some(cancel) = until.cancel() {
            cancel.prepare_word(&mut words);
        }
        // SYNC armed: the wakers publish, fence, and look whether somebody has armed; here it
        // is armed, fenced, and looked whether something was published. One of the two sees the
        // other.
        fence(Ordering::SeqCst);
        if objects.iter().any(|object| object.leans()) {
            sys::fence::everywhere();
        }
        if let Some(found) = goal.anywhere() {
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
struct Armed<'o>(Vec<&'o dyn Waitable>);

impl<'o> Armed<'o> {
    fn all(objects: Vec<&'o dyn Waitable>, words: &mut Vec<Word>) -> Armed<'o> {
        objects.iter().for_each(|object| object.prepare(words));
        Armed(objects)
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        for object in &self.0 {
            object.disarm();
        }
    }
}

#[cfg(test)]
mod tests;
