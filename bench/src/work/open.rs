//! Both processes run; at a sign both open a new channel, and the first message goes.

use super::{now, roundtrip::counted};
use crate::candidates::{End, Shared};
use crate::payload::fill;
use crate::task::{Found, Side, Task};
use anyhow::Result;
use rustix::thread::futex::{self, Flags};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

const GO: usize = 0;
const DONE: usize = 64;
const TIME: usize = 128;
/// Opens in one session at most.
const MOST: u32 = 500;
/// Says that there are no more.
const OVER: u32 = u32::MAX;

pub(crate) fn end<E: End>(task: &Task, side: Side) -> Result<Found> {
    let control = Shared::open(&task.place.dir.join("control"), 4096, side)?;
    if side == Side::A { lead::<E>(task, &control) } else { follow::<E>(task, &control) }
}

fn lead<E: End>(task: &Task, control: &Shared) -> Result<Found> {
    let (go, done) = (control.u32(GO), control.u32(DONE));
    let mut times = Vec::new();
    let start = Instant::now();
    // The first one warms up.
    for i in 1..MOST {
        if i > 5 && start.elapsed() > Duration::from_millis(task.millis) {
            break;
        }
        let place = task.place.nth(i as usize);
        let from = now();
        go.store(i, Release);
        let mut end = E::open(&place, Side::A)?;
        end.send(place.size, |bytes| fill(bytes, u64::from(i)))?;
        end.flush()?;
        // Asleep, so that threads of the candidate's own get this core.
        while done.load(Acquire) != i {
            let _ = futex::wait(done, Flags::empty(), i - 1, None);
        }
        if i > 1 {
            times.push(control.u64(TIME).load(Acquire) - from);
        }
    }
    go.store(OVER, Release);
    let mut middle: Vec<f64> = times.iter().map(|t| *t as f64).collect();
    Ok(Found {
        middle: Some(super::roundtrip::median(&mut middle)),
        times: counted(times),
        ..Found::default()
    })
}

fn follow<E: End>(task: &Task, control: &Shared) -> Result<Found> {
    let (go, done) = (control.u32(GO), control.u32(DONE));
    let mut seen = 0;
    loop {
        let i = go.load(Acquire);
        if i == OVER {
            return Ok(Found::default());
        }
        if i == seen {
            std::thread::yield_now();
            continue;
        }
        seen = i;
        let mut end = E::open(&task.place.nth(i as usize), Side::B)?;
        end.recv(|_| ())?;
        control.u64(TIME).store(now(), Release);
        done.store(i, Release);
        futex::wake(done, Flags::empty(), 1)?;
    }
}
