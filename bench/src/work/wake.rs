//! Waiting on many channels at once, and a message on one of them.

use super::{gauged, now, roundtrip::counted, roundtrip::median};
use crate::candidates::{Many, VisitMany};
use crate::task::{Found, Side, Task, Work};
use anyhow::Result;
use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) use crate::candidates::with_many;

/// Ends the session.
const OVER: u64 = u64::MAX;
/// Long enough for the other end to be asleep.
const PAUSE: Duration = Duration::from_micros(200);
const MOST: usize = 20_000;

/// Runs one end of a task.
pub(crate) struct RunMany<'t> {
    pub(crate) task: &'t Task,
    pub(crate) side: Side,
}

impl VisitMany for RunMany<'_> {
    type Out = Result<Vec<Found>>;

    fn visit<M: Many>(self) -> Result<Vec<Found>> {
        let RunMany { task, side } = self;
        let found = gauged(task, side, || {
            let end = M::open(&task.place, side, task.channels)?;
            if side == Side::A { lead(end, task) } else { follow(end, task) }
        });
        Ok(vec![found?])
    }
}

fn lead<M: Many>(mut end: M, task: &Task) -> Result<Found> {
    let mut times = Vec::new();
    if task.work == Work::Idle {
        end.send(0, 1)?;
        end.answer(0)?;
        println!("waiting");
        std::io::stdout().flush()?;
        loop {
            std::thread::park();
        }
    }
    let start = Instant::now();
    let mut at = 0;
    for i in 0..MOST {
        if i > 20 && start.elapsed() > Duration::from_millis(task.millis) {
            break;
        }
        // Each channel comes, far apart: 7919 is prime to every number of channels here.
        at = (at + 7919) % task.channels;
        std::thread::sleep(PAUSE);
        end.send(at, now())?;
        times.push(end.answer(at)?);
    }
    end.send(0, OVER)?;
    end.answer(0)?;
    let times = &times[5..];
    let mut middle: Vec<f64> = times.iter().map(|t| *t as f64).collect();
    Ok(Found {
        middle: Some(median(&mut middle)),
        times: counted(times.iter().copied()),
        ..Found::default()
    })
}

/// Waits on all, and answers with the time between the stamp in the message and now.
fn follow<M: Many>(mut end: M, task: &Task) -> Result<Found> {
    loop {
        let (at, stamp) = end.wait()?;
        let time = now();
        end.reply(at, time.saturating_sub(stamp))?;
        if stamp == OVER {
            return Ok(Found::default());
        }
        if task.work == Work::Idle {
            println!("waiting");
            std::io::stdout().flush()?;
        }
    }
}
