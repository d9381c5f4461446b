//! Looking again and again for a while before sleeping: waking costs microseconds, not having slept
//! a fraction.

use crate::sync::{delay, full_fence, spin_loop};
use crate::sys::thread;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Spin {
    /// Looks again and again for some microseconds, then sleeps in the kernel.
    #[default]
    Adaptive,
    /// Sleeps at once: slower to wake, never burns a core.
    Never,
    /// Never sleeps: the fastest answer for the price of a core. Only while a peer is there.
    Always,
}

/// How long an adaptive wait looks before it sleeps: a few times what a wake-up costs (about 6 us
/// on an idle core), so that a prompt answer is never slept for and an idle wait costs next to
/// nothing.
const BUDGET: Duration = Duration::from_micros(25);
/// Looks between two readings of the clock.
const LOOKS: u32 = 256;

/// What the one who looks may expect, and so how often it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// An answer to what was sent just now: every nanosecond counts.
    Answer,
    /// One of many that come by themselves: whoever looks at the line that is being written takes
    /// it away from the writer, once for every message. Looking seldom lets a few of them gather.
    Stream,
}

/// Pauses between two looks at a stream; a pause takes 3 to 60 ns, depending on the processor.
const SELDOM: u32 = 64;
/// The same for who is to look all the time: some 0.7 us at the end of a backlog.
const BRIEFLY: u32 = 32;
/// The most of them, where what comes in one of these whiles is a backlog worth having.
const RARE: u32 = 512;
/// So many messages between two waits are a stream.
const STREAM: u32 = 32;

/// Of the first looks for an answer so many follow each other closely, after so many turns of
/// `delay`.
const NEAR: u32 = 16;
const BRIEF: u32 = 4;

/// How long a peer is left alone with a question before the first look for its answer. A look takes
/// the line in which the answer will come away from the peer, who then fetches it back before it
/// can write; a look that is late by as much as it was early costs far less. So this learns to look
/// when the answer is just there: a little sooner after each that was, and later by more after one
/// that was not.
///
/// One look of nine is too early. Where a peer is quick at one time and slow at another, so many
/// answers are waited for as if they were slow ones, by `MOST` at most.
///
/// Two ends that learn together share what is to spare: with steps of 12 for one, a wait that grows
/// makes the other end too early in its turn, and both drift away.
#[derive(Debug)]
pub(crate) struct HeadStart {
    /// In turns of `delay`, times `PARTS`.
    parts: u32,
    /// Of the last answer.
    lines: u64,
}

impl HeadStart {
    const PARTS: u32 = 16;
    const SOONER: u32 = 1;
    const LATER: u32 = 8;
    const FIRST: u32 = 32;
    /// Some 300 ns (at 4 GHz): what a question and its answer take on two cores that share no
    /// cache.
    const MOST: u32 = 400;
    /// Looks: an answer that comes later than this takes as long as it takes, and who would answer
    /// at once is not made to wait for that.
    const SOON: u32 = 32;
    /// Lines of an answer that are looked for at once. A longer one comes as a stream, which the
    /// processor foresees. After such a one nothing is learned: a look takes the first of many
    /// lines, which the peer fetches back while it writes the others.
    const FEW: u64 = 5;

    pub(crate) fn new() -> HeadStart {
        HeadStart { parts: Self::FIRST * Self::PARTS, lines: 1 }
    }

    /// In turns of `delay`; 0 = the answers are there before they are looked for.
    #[inline(always)]
    fn turns(&self) -> u32 {
        self.parts / Self::PARTS
    }

    #[inline(always)]
    fn is_long(&self) -> bool {
        self.lines > Self::FEW
    }

    /// Lines of the answer to look for at once: it may be as long as the last.
    #[inline(always)]
    pub(crate) fn lines(&self) -> u64 {
        self.lines.min(Self::FEW)
    }

    /// An answer of so many lines came: at the first look (`None`), or after so many more.
    #[inline(always)]
    pub(crate) fn learn(&mut self, late: Option<u32>, lines: u64) {
        if !self.is_long() {
            self.parts = match late {
                None => self.parts.saturating_sub(Self::SOONER),
                Some(looks) if looks > Self::SOON => self.parts,
                Some(_) => (self.parts + Self::LATER).min(Self::MOST * Self::PARTS),
            };
        }
        self.lines = lines;
    }
}

/// One half's way of spinning.
#[derive(Debug)]
pub(crate) struct Spinner {
    spin: Spin,
    /// Does it look before it sleeps at all?
    looks: bool,
    /// Pauses between two looks at a stream.
    pauses: u32,
}

impl Spinner {
    pub(crate) fn new(spin: Spin) -> Spinner {
        let looks = match spin {
            Spin::Always => true,
            Spin::Adaptive => !one_core(),
            Spin::Never => false,
        };
        Spinner { spin, looks, pauses: SELDOM }
    }

    /// Lets some time pass; false = not here.
    pub(crate) fn pause_once(&self) -> bool {
        let pauses = match self.spin {
            Spin::Adaptive if self.looks => self.pauses,
            Spin::Always => BRIEFLY,
            Spin::Adaptive | Spin::Never => 0,
        };
        (0..pauses).for_each(|_| spin_loop());
        pauses > 0
    }

    /// How to look for room in a full ring after `run` messages: whoever looks at the reader's word
    /// takes it away from the reader, once for every message that it reads.
    pub(crate) fn for_room(run: u32) -> Pace {
        if run < STREAM { Pace::Answer } else { Pace::Stream }
    }

    /// `run` messages came since the last wait: looks more seldom if that is a stream.
    pub(crate) fn learn(&mut self, run: u32) {
        self.pauses = if run < STREAM { SELDOM } else { (self.pauses * 2).min(RARE) };
    }

    /// Does it sleep without a look?
    pub(crate) fn sleeps_at_once(&self) -> bool {
        !self.looks
    }

    /// Gives the one who was asked a head start before the first look for the answer.
    #[inline(always)]
    pub(crate) fn wait_for(&self, head_start: &HeadStart) {
        if !self.looks {
            return;
        }
        let turns = head_start.turns();
        if head_start.is_long() {
            // Until the lines that the next question will take are here: about as many.
            full_fence();
            delay(HeadStart::FIRST);
        } else if turns != 0 {
            delay(turns);
        }
    }

    /// The first looks for an answer, in line with the call that waits for it: it is there after so
    /// many that found nothing. `None` = there is something else, or nothing so far.
    #[inline(always)]
    pub(crate) fn glance(&self, ready: impl Fn() -> bool, other: impl Fn() -> bool) -> Option<u32> {
        for looks in 0..if self.looks { LOOKS } else { 0 } {
            if ready() {
                return Some(looks);
            }
            if other() {
                return None;
            }
            // A pause is long beside an answer that is nearly there.
            if looks < NEAR { delay(BRIEF) } else { spin_loop() }
        }
        None
    }

    /// True = look again at everything; false = go to sleep.
    #[inline]
    pub(crate) fn spin(&self, ready: impl Fn() -> bool, pace: Pace) -> bool {
        if !self.looks {
            return false;
        }
        let seldom = match pace {
            Pace::Answer => false,
            Pace::Stream => self.spin == Spin::Adaptive,
        };
        let pauses = if seldom { self.pauses } else { 1 };
        let mut end = None;
        loop {
            for _ in 0..(LOOKS / pauses).max(1) {
                if ready() {
                    return true;
                }
                (0..pauses).for_each(|_| spin_loop());
            }
            if self.spin == Spin::Always {
                // The caller looks at everything, also at what `ready` leaves out, and comes again.
                return true;
            }
            let now = Instant::now();
            if now >= *end.get_or_insert(now + BUDGET) {
                return false;
            }
        }
    }
}

/// On one core the peer cannot answer while we look.
fn one_core() -> bool {
    static ONE: OnceLock<bool> = OnceLock::new();
    // Not `available_parallelism`: it counts the cores that this process may use, and two processes
    // that are tied to one core each are the fastest pair there is.
    *ONE.get_or_init(|| thread::cores_of_the_machine() == 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A peer that answers so many turns after each question; how many answers of the last 1000
    /// were there at the first look.
    fn after(turns: u32, head_start: &mut HeadStart) -> u32 {
        let mut at_once = 0;
        for question in 0..20_000 {
            match turns.checked_sub(head_start.turns()) {
                None | Some(0) => {
                    head_start.learn(None, 1);
                    at_once += u32::from(question >= 19_000);
                }
                Some(more) => head_start.learn(Some(more / 12), 1),
            }
        }
        at_once
    }

    #[test]
    fn a_head_start_comes_to_what_the_peer_takes() {
        let mut head_start = HeadStart::new();
        for takes in [100, 20, 300, 5] {
            let at_once = after(takes, &mut head_start);
            assert!((850..=950).contains(&at_once), "{takes}: {at_once}");
            assert!(head_start.turns().abs_diff(takes) <= 1, "{takes}: {head_start:?}");
        }
        assert!(after(0, &mut head_start) == 1000 && head_start.turns() == 0);
    }

    #[test]
    fn what_takes_long_is_not_waited_for() {
        let mut head_start = HeadStart::new();
        assert_eq!(after(10_000, &mut head_start), 0);
        assert_eq!(head_start.turns(), HeadStart::FIRST, "{head_start:?}");
        after(300, &mut head_start);
        after(600, &mut head_start);
        assert_eq!(head_start.turns(), HeadStart::MOST, "no more than that");
        head_start.learn(Some(HeadStart::SOON + 1), HeadStart::FEW + 1);
        (0..1000).for_each(|_| head_start.learn(None, HeadStart::FEW + 1));
        assert_eq!(head_start.turns(), HeadStart::MOST, "a long answer says nothing");
        assert_eq!(head_start.lines(), HeadStart::FEW);
    }

    #[test]
    fn who_never_looks_does_not_glance() {
        assert_eq!(Spinner::new(Spin::Never).glance(|| true, || false), None);
        assert_eq!(Spinner::new(Spin::Always).glance(|| true, || false), Some(0));
        let looks = std::cell::Cell::new(0);
        let fourth = || looks.replace(looks.get() + 1) == 3;
        assert_eq!(Spinner::new(Spin::Always).glance(fourth, || false), Some(3));
        assert_eq!(Spinner::new(Spin::Always).glance(|| false, || true), None);
    }
}
