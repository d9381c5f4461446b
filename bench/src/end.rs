//! This program as one end of a session.

use crate::candidates::with;
use crate::task::{Side, Task, Work};
use crate::work::{Run, RunMany, pin, with_many};
use anyhow::{Context, Result, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Does its part and writes what it found beside the other files of the session.
pub(crate) fn main(side: &str, task: &str) -> Result<()> {
    // Ends with the driver, whatever happens to that.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let (side, core) = match side {
        "a" => (Side::A, 0),
        "b" => (Side::B, 1),
        other => bail!("no such side: {other}"),
    };
    let task: Task = serde_json::from_str(task)?;
    pin(task.cores[core])?;
    let many = task.work == Work::Wake || task.work == Work::Idle && task.channels > 1;
    let found = if many {
        with_many(&task.candidate, RunMany { task: &task, side })
    } else {
        with(&task.candidate, Run { task: &task, side })
    };
    let found = found.context("no such candidate")??;
    let path = task.place.dir.join(if core == 0 { "a.json" } else { "b.json" });
    std::fs::write(path, serde_json::to_string(&found)?)?;
    Ok(())
}
