//! The two ends of each kind of work.

mod gauge;
mod idle;
mod memory;
mod open;
mod roundtrip;
mod stream;
mod wake;

use crate::candidates::{End, Visit};
use crate::task::{Found, Side, Task, Work};
use anyhow::{Result, bail};
use rustix::time::{ClockId, clock_gettime};
use std::io::Write;

use gauge::Gauge;
pub(crate) use wake::{RunMany, with_many};

/// Runs one end of a task.
pub(crate) struct Run<'t> {
    pub(crate) task: &'t Task,
    pub(crate) side: Side,
}

impl Visit for Run<'_> {
    type Out = Result<Vec<Found>>;

    fn visit<E: End>(self) -> Result<Vec<Found>> {
        let Run { task, side } = self;
        if !E::THREADS {
            return Ok(vec![end::<E>(task, side)?]);
        }
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                pin(task.cores[1])?;
                end::<E>(task, Side::B)
            });
            let here = end::<E>(task, Side::A)?;
            match other.join() {
                Ok(there) => Ok(vec![here, there?]),
                Err(_) => bail!("the other thread panicked"),
            }
        })
    }
}

fn end<E: End>(task: &Task, side: Side) -> Result<Found> {
    match task.work {
        Work::Roundtrip | Work::Parked => gauged(task, side, || roundtrip::end::<E>(task, side)),
        Work::Stream => gauged(task, side, || stream::end::<E>(task, side)),
        Work::Open => open::end::<E>(task, side),
        Work::Memory => memory::end::<E>(task, side),
        Work::Idle => idle::end::<E>(task, side),
        Work::Wake => bail!("waits on many: see with_many"),
    }
}

/// Looks at the distance of the two cores before and after.
fn gauged(task: &Task, side: Side, work: impl FnOnce() -> Result<Found>) -> Result<Found> {
    let mut gauge = Gauge::open(task, side)?;
    let before = gauge.look();
    let mut found = work()?;
    found.lines = before.zip(gauge.look());
    Ok(found)
}

/// Ties this thread, and those it starts from now on, to one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)?;
    Ok(())
}

/// Nanoseconds of the clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Tells the driver that a step is reached, and waits until it says to go on.
pub(crate) fn step(name: &str) -> Result<()> {
    println!("{name}");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    if line.is_empty() {
        bail!("the driver is gone");
    }
    Ok(())
}

/// Voluntary context switches of this thread so far.
pub(crate) fn switches() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|l| l.trim().parse().ok()).unwrap_or(0)
}
