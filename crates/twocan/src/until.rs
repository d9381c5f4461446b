//! How long a call may wait: a deadline, a cancellation, or both, in one parameter.

use crate::sync::{AtomicU32, Ordering, fence};
use crate::sys::futex;
use crate::sys::poller::Poke;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Until when a call waits. Made from a `Duration`, an `Option<Duration>` (`None` = for ever), an
/// `Instant`, a `&Cancel`, or a pair of a duration and a `&Cancel`. The clock is monotonic.
///
/// A duration too large to add to the present instant means for ever; nothing panics.
///
/// ```
/// use std::time::Duration;
/// use twocan::{Cancel, Event, Reset, Until};
///
/// let event = Event::anonymous(Reset::Auto)?;
/// let cancel = Cancel::new();
/// assert!(!event.wait_until(Duration::from_millis(1))?);
/// assert!(!event.wait_until(Until::now())?);
/// cancel.cancel();
/// assert!(event.wait_until(&cancel).is_err());
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Until<'c> {
    limit: Limit,
    cancel: Option<&'c Cancel>,
}

#[derive(Clone, Copy)]
enum Limit {
    Never,
    Now,
    At(Instant),
}

/// Why a wait ended without what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    TimedOut,
    Cancelled,
}

impl<'c> Until<'c> {
    /// No time limit.
    pub const FOREVER: Until<'static> = Until { limit: Limit::Never, cancel: None };

    /// One look, no waiting.
    pub fn now() -> Until<'static> {
        Until { limit: Limit::Now, cancel: None }
    }

    /// The same limit, ended earlier by `cancel`.
    pub fn cancelled(self, cancel: &'c Cancel) -> Until<'c> {
        Until { limit: self.limit, cancel: Some(cancel) }
    }

    /// The moment at which the time is up; `None` = never.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.limit {
            Limit::Never => None,
            Limit::Now => Some(Instant::now()),
            Limit::At(t) => Some(t),
        }
    }

    /// One look only: the caller need not spin, arm or sleep.
    pub(crate) fn is_now(&self) -> bool {
        matches!(self.limit, Limit::Now)
    }

    pub(crate) fn cancel(&self) -> Option<&'c Cancel> {
        self.cancel
    }

    /// Time up or cancelled by now? A cancellation wins over the clock.
    pub(crate) fn gone(&self) -> Option<Gone> {
        if self.cancel.is_some_and(Cancel::is_cancelled) {
            return Some(Gone::Cancelled);
        }
        let up = match self.limit {
            Limit::Never => false,
            Limit::Now => true,
            Limit::At(t) => Instant::now() >= t,
        };
        up.then_some(Gone::TimedOut)
    }
}

impl fmt::Debug for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::Never => f.write_str("for ever")?,
            Limit::Now => f.write_str("now")?,
            Limit::At(t) => write!(f, "for {:?}", t.saturating_duration_since(Instant::now()))?,
        }
        if self.cancel.is_some() { f.write_str(" or cancelled") } else { Ok(()) }
    }
}

impl From<Duration> for Until<'static> {
    fn from(d: Duration) -> Until<'static> {
        let limit = match Instant::now().checked_add(d) {
            _ if d.is_zero() => Limit::Now,
            Some(t) => Limit::At(t),
            None => Limit::Never,
        };
        Until { limit, cancel: None }
    }
}

impl From<Option<Duration>> for Until<'static> {
    fn from(d: Option<Duration>) -> Until<'static> {
        d.map_or(Until::FOREVER, Until::from)
    }
}

impl From<Instant> for Until<'static> {
    fn from(t: Instant) -> Until<'static> {
        Until { limit: Limit::At(t), cancel: None }
    }
}

impl<'c> From<&'c Cancel> for Until<'c> {
    fn from(cancel: &'c Cancel) -> Until<'c> {
        Until { limit: Limit::Never, cancel: Some(cancel) }
    }
}

impl<'c> From<(Duration, &'c Cancel)> for Until<'c> {
    fn from((d, cancel): (Duration, &'c Cancel)) -> Until<'c> {
        Until::from(d).cancelled(cancel)
    }
}

/// Ends waits from elsewhere: another thread, or a signal handler. One-shot; clones share one
/// state.
///
/// ```
/// let cancel = twocan::Cancel::new();
/// let other = cancel.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// 0 = not cancelled, 1 = cancelled. Private to the process; sleepers wait on it directly.
    word: AtomicU32,
    /// For those who poll. Made by the first of them, kept as long as the state.
    poke: OnceLock<Poke>,
}

impl Cancel {
    /// Not cancelled yet.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends all present and future waits that were given this `Cancel`. Async-signal-safe: one
    /// store and one or two system calls, no allocation, no lock.
    pub fn cancel(&self) {
        // SYNC cancelled: pairs with the compare in the sleeper's futex call, and with
        // is_cancelled.
        self.state.word.store(1, Ordering::Release);
        // SYNC cancel-poke: pairs with the fence of whoever has asked for the poke and looks
        // behind it. Either it is there by now, or that look finds the word changed.
        fence(Ordering::SeqCst);
        if let Some(poke) = self.state.poke.get() {
            poke.poke();
        }
        futex::wake_all_local(&self.state.word);
    }

    /// Polls readable when cancelled: for those who look behind a fence. `None` = the system gives
    /// none, or it is the parent's.
    pub(crate) fn poke(&self) -> Option<&Poke> {
        if self.state.poke.get().is_none() {
            let _ = self.state.poke.set(Poke::new().ok()?);
        }
        self.state.poke.get().filter(|poke| !poke.fd().is_forked())
    }

    /// Has [`cancel`](Cancel::cancel) been called?
    pub fn is_cancelled(&self) -> bool {
        // SYNC cancelled
        self.state.word.load(Ordering::Acquire) != 0
    }

    /// The word a waiter sleeps on while it is 0.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.state.word
    }

    /// Identity for the duplicate check of `wait_all`.
    pub(crate) fn address(&self) -> u64 {
        Arc::as_ptr(&self.state) as u64
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}
