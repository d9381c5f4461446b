//! Events that live in memory shared by processes: set, reset, wait.
//!
//! An event is two words, `sets` and `taken`; it is set when they differ. Everybody reads `taken`
//! first, then `sets`. What breaks when a rule is left out stands at the rule's line.

mod options;
mod words;

pub use options::EventOptions;

use crate::named::Named;
use crate::sync::{Ordering, fence};
use crate::sys::futex::{self, Word};
use crate::until::Gone;
use crate::wait::{self, Identity, Source};
use crate::{Error, Result, Until, error};
use std::sync::Arc;
use std::time::Duration;
use words::Words;

/// Who resets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reset {
    /// The wait that returns takes the signal: one `set`, one waiter.
    Auto,
    /// It stays set, for all waiters, until [`Event::reset`].
    Manual,
}

/// Something that happened, shared by threads and processes: named or anonymous.
///
/// The name lives as long as somebody holds the event, and goes with the last holder, also when
/// that is killed. A waiter that is killed before it took the signal leaves it to the others; one
/// that is killed after takes it along.
///
/// # Platform
/// Linux: there is no pollable handle of an event; wait for it on a thread.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twocan::{Event, Reset};
///
/// # let name = format!("doc-go-{}", std::process::id());
/// let go = Event::create_or_open(&name, Reset::Auto)?;
/// go.set()?;
/// assert!(go.wait_timeout(Duration::from_secs(1))?);
/// assert!(!go.try_wait()?);
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Debug)]
pub struct Event {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Before the name: no mapping outlives the holder's lock.
    words: Words,
    reset: Reset,
    identity: Identity,
    named: Option<Named>,
}

impl Event {
    /// Makes a new named event, not set.
    ///
    /// # Errors
    /// `AlreadyExists` (with the holders), `WrongKind`, `InvalidName`, `NoSpace`.
    pub fn create_new(name: &str, reset: Reset) -> Result<Event> {
        Event::options(reset).create_new(name)
    }

    /// Opens the event of this name, or makes it, not set. If it exists, it keeps its own kind of
    /// reset.
    ///
    /// # Errors
    /// As [`create_new`](Event::create_new), without `AlreadyExists`.
    pub fn create_or_open(name: &str, reset: Reset) -> Result<Event> {
        Event::options(reset).create_or_open(name)
    }

    /// Opens the event of this name.
    ///
    /// # Errors
    /// `NotFound`, `WrongKind`, `InvalidName`, `ForeignOwner`.
    pub fn open_existing(name: &str) -> Result<Event> {
        Event::options(Reset::Auto).open_existing(name)
    }

    /// Makes an event without a name, for the threads of this process.
    ///
    /// # Errors
    /// `NoSpace`.
    pub fn anonymous(reset: Reset) -> Result<Event> {
        Event::options(reset).anonymous()
    }

    /// Everything that can be chosen.
    pub fn options(reset: Reset) -> EventOptions {
        EventOptions::new(reset)
    }

    /// Sets it: lets one waiter go (auto) or all (manual). Setting a set event changes nothing.
    ///
    /// What this thread has written before is seen by the waiter that it lets go.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    ///
    /// # Platform
    /// Linux: two quick sets of an auto-reset event may let one waiter go, as .NET says of its own.
    pub fn set(&self) -> Result<()> {
        self.check_fork()?;
        self.shared.words.set().map_err(|e| Error::from_os("cannot set the event", e))
    }

    /// Resets it. Waiters of a manual event who were there when it was set go all the same.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn reset(&self) -> Result<()> {
        self.check_fork()?;
        self.shared.words.reset();
        Ok(())
    }

    /// Waits until it is set; takes the signal of an auto-reset event.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn wait(&self) -> Result<()> {
        self.wait_until(Until::FOREVER).map(drop)
    }

    /// As [`wait`](Event::wait); false = the time was up before.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.wait_until(timeout)
    }

    /// As [`wait`](Event::wait), with a limit of any kind; false = the time was up before.
    ///
    /// # Errors
    /// `Cancelled`; `Forked` in a forked child.
    pub fn wait_until<'c>(&self, until: impl Into<Until<'c>>) -> Result<bool> {
        let until = until.into();
        if self.try_wait()? {
            return Ok(true);
        }
        match until.gone() {
            Some(Gone::TimedOut) => Ok(false),
            Some(Gone::Cancelled) => Err(wait::cancelled()),
            None => Ok(wait::wait_any(&[self], until)?.is_some()),
        }
    }

    /// Is it set now? Takes the signal of an auto-reset event.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn try_wait(&self) -> Result<bool> {
        let begun = self.begin()?;
        Ok(self.take(begun))
    }

    /// The name, without its prefix; `None` for an anonymous one.
    pub fn name(&self) -> Option<&str> {
        self.shared.named.as_ref().map(|named| named.name().as_str())
    }

    /// Would somebody who opens the name now find this event? No, if it has no name, or if somebody
    /// has removed the file that stands for it (a logout may sweep `/dev/shm`); those who hold it
    /// go on with it all the same.
    pub fn is_findable(&self) -> bool {
        self.shared.named.as_ref().is_some_and(Named::is_findable)
    }

    /// Did this call make it?
    pub fn was_created(&self) -> bool {
        self.shared.named.as_ref().is_none_or(Named::was_created)
    }

    /// Another handle of the same event in this process.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn try_clone(&self) -> Result<Event> {
        self.check_fork()?;
        Ok(Event { shared: Arc::clone(&self.shared) })
    }

    fn check_fork(&self) -> Result<()> {
        if self.shared.words.is_forked() { Err(error::forked()) } else { Ok(()) }
    }
}

impl Source for Event {
    /// How many sets there were when the wait began: a manual waiter goes when there were more,
    /// even if it was reset since.
    fn begin(&self) -> Result<u64> {
        self.check_fork()?;
        Ok(self.shared.words.look().sets.into())
    }

    fn prepare(&self, words: &mut Vec<Word>) {
        let sets = self.shared.words.look().sets;
        words.push(Word::shared(self.shared.words.sets(), sets));
    }

    fn ready(&self, begun: u64) -> bool {
        let seen = self.shared.words.look();
        // Without the second half a set and reset in quick order lets nobody go.
        let moved = u64::from(seen.sets) != begun && !cfg!(twocan_mutant = "no-pulse");
        seen.is_set() || self.shared.reset == Reset::Manual && moved
    }

    fn take(&self, begun: u64) -> bool {
        match self.shared.reset {
            Reset::Manual => self.ready(begun),
            Reset::Auto => self.shared.words.take(),
        }
    }

    fn put_back(&self) {
        // By a set, which wakes those who looked meanwhile. It cannot fail where the earlier sets
        // did not.
        let _ = self.shared.words.set();
    }

    fn consumes(&self) -> bool {
        self.shared.reset == Reset::Auto
    }

    fn snapshot(&self, _begun: u64) -> Option<u64> {
        let seen = self.shared.words.look();
        seen.is_set().then(|| u64::from(seen.taken) << 32 | u64::from(seen.sets))
    }

    fn identity(&self) -> Identity {
        self.shared.identity
    }
}

#[cfg(test)]
mod tests;
