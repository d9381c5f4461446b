//! How far apart the two cores are, before and after the work of a session: one cache line to and
//! fro. A virtual machine's cores are moved by its host, also onto the two halves of one physical
//! core, where such a round trip takes a quarter of the time; only sessions of one kind compare.

use crate::candidates::Shared;
use crate::task::{Side, Task};
use anyhow::Result;
use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Instant;

const TRIPS: u64 = 2000;

/// The line; none where both ends share one core and spinning shows nothing.
pub(crate) struct Gauge {
    shared: Option<Shared>,
    side: Side,
    last: u64,
}

impl Gauge {
    pub(crate) fn open(task: &Task, side: Side) -> Result<Gauge> {
        let [a, b] = task.cores;
        let path = task.place.dir.join("gauge");
        let shared = if a == b { None } else { Some(Shared::open(&path, 4096, side)?) };
        Ok(Gauge { shared, side, last: 0 })
    }

    /// Nanoseconds of a round trip (the same for both, as far as each can see).
    pub(crate) fn look(&mut self) -> Option<f64> {
        let line = self.shared.as_ref()?.u64(0);
        let mine = u64::from(self.side == Side::A);
        let mut start = Instant::now();
        for trip in 0..TRIPS {
            if trip == TRIPS / 2 {
                start = Instant::now(); // both are there, and warm
            }
            let next = self.last + 2 * trip;
            if mine == 1 {
                line.store(next + 1, Release);
                while line.load(Acquire) != next + 2 {
                    spin_loop();
                }
            } else {
                while line.load(Acquire) != next + 1 {
                    spin_loop();
                }
                line.store(next + 2, Release);
            }
        }
        self.last += 2 * TRIPS;
        Some(start.elapsed().as_nanos() as f64 / (TRIPS / 2) as f64)
    }
}
