//! Looking again and again for a while before sleeping: waking costs microseconds, not having slept a fraction.

use crate::channel::Spin;
use crate::sync::spin_loop;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long an adaptive wait looks before it sleeps: a few times what a wake-up costs (about 6 us on an idle core),
/// so that a prompt answer is never slept for and an idle wait costs next to nothing.
const BUDGET: Duration = Duration::from_micros(25);
/// Looks between two readings of the clock.
const LOOKS: u32 = 64;

/// One half's way of spinning.
#[derive(Debug)]
pub(crate) struct Spinner {
    spin: Spin,
}

impl Spinner {
    pub(crate) fn new(spin: Spin) -> Spinner {
        Spinner { spin }
    }

    /// True = look again at everything; false = go to sleep.
    #[inline]
    pub(crate) fn spin(&self, ready: impl Fn() -> bool) -> bool {
        if self.spin == Spin::Never || one_core() && self.spin == Spin::Adaptive {
            return false;
        }
        let mut end = None;
        loop {
            for _ in 0..LOOKS {
                if ready() {
                    return true;
                }
                spin_loop();
            }
            if self.spin == Spin::Always {
                return true; // the caller looks at everything, also at what `ready` leaves out, and comes again
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
    *ONE.get_or_init(|| std::thread::available_parallelism().is_ok_and(|n| n.get() == 1))
}
