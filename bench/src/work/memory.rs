//! What channels hold that were used once and then lie idle. The driver reads the figures between
//! the steps.

use super::step;
use crate::candidates::End;
use crate::payload::fill;
use crate::task::{Found, Side, Task};
use anyhow::Result;

pub(crate) fn end<E: End>(task: &Task, side: Side) -> Result<Found> {
    let size = E::CARRIES.unwrap_or(task.place.size);
    // One that is open already: what a process needs once is not a channel's.
    let mut ends = vec![E::open(&task.place.nth(0), side)?];
    used(&mut ends[0], side, size)?;
    step("one")?;
    for i in 1..=task.channels {
        let mut end = E::open(&task.place.nth(i), side)?;
        used(&mut end, side, size)?;
        ends.push(end);
    }
    step("all")?;
    Ok(Found::default())
}

/// One message each way.
fn used<E: End>(end: &mut E, side: Side, size: usize) -> Result<()> {
    if side == Side::A {
        end.send(size, |bytes| fill(bytes, 1))?;
        end.flush()?;
        return end.recv(|_| ());
    }
    end.recv(|_| ())?;
    end.send(size, |bytes| fill(bytes, 1))?;
    end.flush()
}
