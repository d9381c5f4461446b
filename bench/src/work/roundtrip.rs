//! A round trip: a message of n bytes there, one of n bytes back; both ends write and read all of
//! them, and each answer is checked.

use super::switches;
use crate::candidates::End;
use crate::payload::{END, answer_to, fill, first, sum, sum_of};
use crate::task::{Found, Side, Task, Work};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Round trips under one reading of the clock. A reading takes some 25 ns, which is a tenth of a
/// short round trip; so the median comes from groups, and only the tail from singles.
const GROUP: u32 = 16;
/// As many as the memory for them is worth.
const MOST: usize = 1 << 20;

pub(crate) fn end<E: End>(task: &Task, side: Side) -> Result<Found> {
    let end = E::open(&task.place, side)?;
    let size = E::CARRIES.unwrap_or(task.place.size);
    if side == Side::A { measure(end, size, task) } else { answer(end, size) }
}

fn answer<E: End>(mut end: E, size: usize) -> Result<Found> {
    let mut count = 0;
    loop {
        let (word, total) = end.recv(|bytes| (first(bytes), sum(bytes)))?;
        end.send(size, |bytes| fill(bytes, answer_to(total)))?;
        end.flush()?;
        if word == END {
            return Ok(Found { count, ..Found::default() });
        }
        count += 1;
    }
}

fn trip<E: End>(end: &mut E, size: usize, seed: u64) -> Result<()> {
    end.send(size, |bytes| fill(bytes, seed))?;
    end.flush()?;
    let total = end.recv(sum)?;
    let wanted = sum_of(answer_to(sum_of(seed, size)), size);
    ensure!(total == wanted, "the answer to {seed} is not what was sent");
    Ok(())
}

fn measure<E: End>(mut end: E, size: usize, task: &Task) -> Result<Found> {
    let time = Duration::from_millis(task.millis);
    let mut seed = 0;
    let mut next = || {
        seed += 1;
        trip(&mut end, size, seed)
    };
    let start = Instant::now();
    while start.elapsed() < time / 4 {
        next()?;
    }
    let asleep = switches();
    let (mut groups, mut singles) = (Vec::new(), Vec::new());
    // Where both sleep, a single one is long enough for the clock.
    let group = if task.work == Work::Parked { 1 } else { GROUP };
    let mut trips = 0;
    let start = Instant::now();
    while start.elapsed() < time / 2 && groups.len() < MOST {
        let start = Instant::now();
        for _ in 0..group {
            next()?;
        }
        groups.push(start.elapsed().as_nanos() as f64 / f64::from(group));
        trips += group;
    }
    let asleep = (switches() - asleep) as f64 / f64::from(trips);
    let start = Instant::now();
    while start.elapsed() < time / 2 && singles.len() < MOST {
        let start = Instant::now();
        next()?;
        singles.push(start.elapsed().as_nanos() as u64);
    }
    end.send(size, |bytes| fill(bytes, END))?;
    end.flush()?;
    end.recv(|_| ())?;
    Ok(Found {
        middle: Some(median(&mut groups)),
        times: counted(singles),
        figures: BTreeMap::from([("sleeps".to_owned(), asleep)]),
        ..Found::default()
    })
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Values and how often each occurs, with three digits each.
pub(crate) fn counted(values: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut counts = BTreeMap::new();
    for value in values {
        let step = 10_u64.pow(value.max(1).ilog10().saturating_sub(2));
        *counts.entry(value / step * step).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}
