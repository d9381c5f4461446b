//! When to wait, so that the news comes just when the waiter goes to sleep.
//!
//! A lost wake needs the waker to act in the some hundred nanoseconds between a waiter's look and
//! its sleep. A delay drawn from a wide range seldom falls there. So each waiter steers: if it
//! slept it begins its next wait later, if it did not, earlier; and if it cannot begin earlier, it
//! asks the other side to think longer. That keeps it at the edge of falling asleep, whatever the
//! machine and the way of waiting; chance does the rest.

use super::board::now;
use crate::chance::Chance;

/// Never further from the edge than this, in nanoseconds.
const FAR: i64 = 80_000;

pub struct Aim {
    /// Positive: this side waits so long before it begins to wait. Negative: the other side thinks
    /// so long.
    at: i64,
    step: i64,
    slept: bool,
    switches: i64,
    chance: Chance,
}

impl Aim {
    pub fn new(seed: u64) -> Aim {
        Aim { at: 0, step: 400, slept: true, switches: switches(), chance: Chance::new(seed) }
    }

    /// Before the waker's call.
    pub fn think(&mut self, wished: u64) {
        pause(wished + self.noise());
    }

    /// Before the waiter's call. Returns when that begins.
    pub fn hold(&mut self) -> u64 {
        self.switches = switches();
        pause(self.at.max(0) as u64 + self.noise());
        now()
    }

    /// After it: did this thread sleep? The result is what it wishes of the waker, and whether it
    /// slept.
    pub fn learn(&mut self) -> (u64, bool) {
        let slept = switches() != self.switches;
        // The same again: it is far from the edge. Over it: closer.
        self.step = if slept == self.slept { self.step * 5 / 4 + 8 } else { self.step / 2 };
        self.step = self.step.clamp(16, 2_000);
        self.at = (self.at + if slept { self.step } else { -self.step }).clamp(-FAR, FAR);
        self.slept = slept;
        ((-self.at).max(0) as u64, slept)
    }

    /// 0 to 2 microseconds, mostly little.
    fn noise(&mut self) -> u64 {
        if self.chance.below(64) == 0 {
            std::thread::yield_now();
        }
        let most = [100, 400, 2_000][self.chance.below(3) as usize];
        self.chance.below(most)
    }
}

fn pause(nanos: u64) {
    let end = now() + nanos;
    while now() < end {
        std::hint::spin_loop();
    }
}

/// How often this thread has gone to sleep.
fn switches() -> i64 {
    // SAFETY: zeroes are a valid rusage, which the call then fills.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw
    }
}
