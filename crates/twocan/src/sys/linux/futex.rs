//! Sleeping on words of memory, and waking those who sleep.
//!
//! A sleep is a compare and a sleep in one step of the kernel: nothing that changes a word, and
//! then wakes, is missed. Two words or more sleep in one `futex_waitv`; see `group` for more than
//! it holds and for kernels without it.

mod group;

pub(crate) use group::beside;

use crate::sync::AtomicU32;
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, Wait, WaitFlags, WaitPtr, WaitvFlags};
use rustix::thread::{ClockId, Timespec};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// A word to sleep on while it holds `expected`.
///
/// Whoever makes one keeps the memory at `address` mapped until the wait it is given to has
/// returned.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    pub(crate) address: *const AtomicU32,
    pub(crate) expected: u32,
    /// May another process change and wake it? A word of private memory sleeps cheaper.
    pub(crate) shared: bool,
}

// SAFETY: a Word is an address and a number. Only `wait` uses the address, for a word that its
// maker keeps mapped while the wait lasts; helper threads end before the wait returns. The word
// behind it is an atomic.
unsafe impl Send for Word {}
// SAFETY: as above; nothing in it changes through a shared reference.
unsafe impl Sync for Word {}

impl Word {
    /// A word that other processes change.
    pub(crate) fn shared(word: &AtomicU32, expected: u32) -> Word {
        Word { address: word, expected, shared: !cfg!(twocan_mutant = "private-futex") }
    }

    /// A word of this process alone.
    pub(crate) fn local(word: &AtomicU32, expected: u32) -> Word {
        Word { address: word, expected, shared: false }
    }

    fn flags(&self) -> Flags {
        if self.shared { Flags::empty() } else { Flags::PRIVATE }
    }

    fn entry(&self) -> Wait {
        let mut entry = Wait::new();
        entry.val = self.expected.into();
        entry.uaddr = WaitPtr::new(self.address.cast_mut().cast());
        entry.flags = WaitFlags::SIZE_U32;
        entry.flags.set(WaitFlags::PRIVATE, !self.shared);
        entry
    }

    fn get(&self) -> &AtomicU32 {
        // SAFETY: the maker of a Word keeps it mapped while a wait uses it, and it is an aligned
        // atomic. The kernel reads it; nobody writes through this reference, so that a read-only
        // map will do.
        unsafe { &*self.address.cast() }
    }
}

/// Why a sleep ended. None of them says that what the caller waits for is there: look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Somebody woke one of the words (or the kernel woke for no reason).
    Woken,
    /// A word did not hold its expected value.
    Changed,
    /// The deadline has passed.
    TimedOut,
    /// A signal handler ran. Go on with the same deadline.
    Interrupted,
}

/// Wake all, never one: the one may be killed before it takes what it was woken for, and more than
/// one thread may wait for the same.
const ALL: u32 = if cfg!(twocan_mutant = "wake-one") { 1 } else { i32::MAX as u32 };

/// Most words of one `futex_waitv`.
pub(crate) const WAITV_MAX: usize = 128;

/// Sleeps until one of `words` changes and is woken, or the deadline (`None` = never) has passed.
pub(crate) fn wait(words: &[Word], deadline: Option<Instant>) -> Outcome {
    #[cfg(twocan_mutant = "late-bell")]
    let words = &words
        .iter()
        .map(|w| Word { expected: w.get().load(Ordering::Relaxed), ..*w })
        .collect::<Vec<_>>()[..];
    match words {
        [] => nothing_to_wait_for(deadline),
        [word] => wait_one(word, deadline),
        _ if !has_waitv() => group::one_thread_each(words, deadline),
        _ if words.len() <= WAITV_MAX => wait_many(words, deadline),
        _ => group::in_groups(words, deadline),
    }
}

fn nothing_to_wait_for(deadline: Option<Instant>) -> Outcome {
    const LONG: Duration = Duration::from_secs(3600);
    let left = deadline.map_or(LONG, |t| t.saturating_duration_since(Instant::now()));
    std::thread::sleep(left.min(LONG));
    if left <= LONG && deadline.is_some() { Outcome::TimedOut } else { Outcome::Woken }
}

fn wait_one(word: &Word, deadline: Option<Instant>) -> Outcome {
    let until = deadline.map(absolute);
    let wall_clock = cfg!(twocan_mutant = "waits-by-the-wall-clock");
    let clock = if wall_clock { Flags::CLOCK_REALTIME } else { Flags::empty() };
    let result = futex::wait_bitset(
        word.get(),
        word.flags() | clock,
        word.expected,
        until.as_ref(),
        NonZeroU32::MAX,
    );
    outcome(result)
}

fn wait_many(words: &[Word], deadline: Option<Instant>) -> Outcome {
    let mut entries = [Wait::new(); WAITV_MAX];
    for (entry, word) in entries.iter_mut().zip(words) {
        *entry = word.entry();
    }
    let entries = &entries[..words.len()];
    let until = deadline.map(absolute);
    let result = futex::waitv(entries, WaitvFlags::empty(), until.as_ref(), ClockId::Monotonic);
    outcome(result.map(drop))
}

fn outcome(result: rustix::io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Woken,
        Err(Errno::AGAIN) => Outcome::Changed,
        Err(Errno::TIMEDOUT) => Outcome::TimedOut,
        Err(Errno::INTR) => Outcome::Interrupted,
        Err(e) => {
            // Not possible for a mapped word. If it happens all the same, the caller looks every
            // millisecond.
            debug_assert!(false, "futex: {e}");
            std::thread::sleep(Duration::from_millis(1));
            Outcome::Interrupted
        }
    }
}

/// `Instant` is CLOCK_MONOTONIC here, but does not show its value: the time that is left, added to
/// the clock.
fn absolute(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    let other = cfg!(twocan_mutant = "by-another-clock");
    let clock = if other { ClockId::Boottime } else { ClockId::Monotonic };
    let now = rustix::time::clock_gettime(clock);
    let nanos = i64::from(left.subsec_nanos()) + now.tv_nsec;
    let secs = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    Timespec {
        tv_sec: now.tv_sec.saturating_add(secs).saturating_add(nanos / 1_000_000_000),
        tv_nsec: nanos % 1_000_000_000,
    }
}

#[cfg(test)]
type Look = Box<dyn FnMut(u32)>;
#[cfg(test)]
thread_local! {
    /// What a test wants to see of a word in the moment of its wake, in the thread that wakes.
    pub(crate) static BEFORE_A_WAKE: std::cell::Cell<Option<Look>> =
        const { std::cell::Cell::new(None) };
}

/// Wakes all who sleep on `word` in any process.
pub(crate) fn wake_all(word: &AtomicU32) {
    #[cfg(test)]
    if let Some(mut look) = BEFORE_A_WAKE.take() {
        look(word.load(Ordering::Relaxed));
        BEFORE_A_WAKE.set(Some(look));
    }
    wake_address(word, !cfg!(twocan_mutant = "private-futex"));
}

/// Wakes all who sleep on a private word. Async-signal-safe.
pub(crate) fn wake_all_local(word: &AtomicU32) {
    wake_address(word, false);
}

fn wake_address(word: *const AtomicU32, shared: bool) {
    wake_word(&Word { address: word, expected: 0, shared });
}

fn wake_word(word: &Word) {
    let woken = futex::wake(word.get(), word.flags(), ALL);
    debug_assert!(woken.is_ok(), "futex wake: {woken:?}");
}

/// Adds one to `word` and wakes all who sleep on it, in any process: one system call. A process
/// killed before it has done nothing, a process killed after it has done both.
pub(crate) fn add_one_and_wake_all(word: &AtomicU32) -> std::io::Result<()> {
    #[cfg(twocan_tsan)] // which does not see what the kernel does below
    word.fetch_add(0, Ordering::Release);
    let word = Word::shared(word, 0);
    let (op, compare) = (futex::WakeOp::Add, futex::WakeOpCmp::Eq);
    // The compare decides only about a second wake of nobody on the same word.
    futex::wake_op(word.get(), word.flags(), ALL, 0, word.get(), op, compare, 1, 0)?;
    Ok(())
}

/// 0 = not asked yet, 1 = there, 2 = not there (an old kernel, or a sandbox that refuses it), or
/// switched off for a test.
static WAITV: AtomicU8 = AtomicU8::new(0);

/// Has the kernel `futex_waitv`? Asked once. For tests, TWOCAN_TEST_NO_WAITV in the environment
/// says no.
pub(crate) fn has_waitv() -> bool {
    // A plain flag that leads to nothing else: Relaxed.
    match WAITV.load(Ordering::Relaxed) {
        0 => {
            let off = std::env::var_os("TWOCAN_TEST_NO_WAITV").is_some();
            let there = !off && probe_waitv();
            WAITV.store(if there { 1 } else { 2 }, Ordering::Relaxed);
            there
        }
        state => state == 1,
    }
}

/// An empty list is refused as invalid by a kernel that knows the call.
fn probe_waitv() -> bool {
    let answer = futex::waitv(&[], WaitvFlags::empty(), None, ClockId::Monotonic);
    matches!(answer, Err(Errno::INVAL))
}
