//! One way, one message after the other, as fast as they go. The receiving end reads the clock when
//! the measured part begins and ends; what was sent and what came must add up to the same.

use super::now;
use super::roundtrip::counted;
use crate::candidates::End;
use crate::payload::{END, MARK, SEED_MASK, fill, first, sum, sum_of};
use crate::task::{Found, Side, Task};
use anyhow::Result;
use std::time::{Duration, Instant};

/// Bytes under one reading of the clock, and messages at most.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNK_MOST: usize = 1024;

pub(crate) fn end<E: End>(task: &Task, side: Side) -> Result<Found> {
    let end = E::open(&task.place, side)?;
    if side == Side::A { send(end, task) } else { receive(end, task.place.size) }
}

fn chunk(size: usize) -> u64 {
    (CHUNK_BYTES / size).clamp(1, CHUNK_MOST) as u64
}

fn send<E: End>(mut end: E, task: &Task) -> Result<Found> {
    let size = task.place.size;
    let time = Duration::from_millis(task.millis);
    let (mut count, mut total) = (0u64, 0u64);
    let mut run = |end: &mut E, time: Duration| -> Result<(u64, u64)> {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < time {
            for _ in 0..chunk(size) {
                count += 1;
                let seed = count & SEED_MASK;
                end.send(size, |bytes| fill(bytes, seed))?;
                total = total.wrapping_add(sum_of(seed, size));
                sent += 1;
            }
        }
        Ok((sent, total))
    };
    run(&mut end, time / 4)?;
    end.send(size, |bytes| fill(bytes, MARK))?;
    let (measured, total) = run(&mut end, time)?;
    end.send(size, |bytes| fill(bytes, END))?;
    end.flush()?;
    end.recv(|_| ())?; // it has come
    Ok(Found { count: measured, sum: total, ..Found::default() })
}

fn receive<E: End>(mut end: E, size: usize) -> Result<Found> {
    let chunk = chunk(size);
    let (mut count, mut total) = (0u64, 0u64);
    let (mut from, mut last) = (now(), now());
    let mut times = Vec::new();
    loop {
        let (word, words) = end.recv(|bytes| (first(bytes), sum(bytes)))?;
        if word < MARK {
            total = total.wrapping_add(words);
            count += 1;
            if count.is_multiple_of(chunk) {
                let now = now();
                times.push((now - last) / chunk);
                last = now;
            }
            continue;
        }
        let now = now();
        if word == END {
            end.send(size, |bytes| fill(bytes, END))?;
            end.flush()?;
            let times = counted(times);
            return Ok(Found { count, sum: total, took: now - from, times, ..Found::default() });
        }
        // The measured part begins here.
        (from, last, count) = (now, now, 0);
        times.clear();
    }
}
