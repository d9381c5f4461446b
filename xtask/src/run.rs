//! Steps with a heading, a result and a summary.

use crate::files::root;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Failed(String),
    /// With the reason.
    Skipped(String),
}

/// Runs steps one after the other, goes on after a failure, and sums up at the end.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Outcome, Duration)>,
}

impl Steps {
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Outcome) {
        heading(name);
        let start = Instant::now();
        let outcome = work();
        if let Outcome::Failed(why) = &outcome {
            println!("FAILED: {why}");
        }
        if let Outcome::Skipped(why) = &outcome {
            println!("skipped: {why}");
        }
        self.done.push((name.to_owned(), outcome, start.elapsed()));
    }

    /// Prints one line a step. An error if any has failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        heading("summary");
        let mut failed = 0;
        for (name, outcome, took) in &self.done {
            let word = match outcome {
                Outcome::Ok => "ok",
                Outcome::Skipped(_) => "skipped",
                Outcome::Failed(_) => {
                    failed += 1;
                    "FAILED"
                }
            };
            println!("{word:>8}  {name}  ({:.1} s)", took.as_secs_f64());
        }
        match failed {
            0 => Ok(()),
            1 => Err("1 step failed".to_owned()),
            n => Err(format!("{n} steps failed")),
        }
    }
}

fn heading(name: &str) {
    println!("\n==== {name} ====");
    // Children write to the same terminal or log: the heading must come first.
    let _ = std::io::stdout().flush();
}

/// A cargo command at the root, without standard input. `env` is set for it alone.
pub(crate) fn cargo(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root()).stdin(Stdio::null());
    for (key, value) in env {
        command.env(key, value);
    }
    command
}

/// Runs a command and shows what it prints.
pub(crate) fn shown(command: &mut Command) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Outcome::Ok,
        Ok(status) => Outcome::Failed(format!("{} ended with {status}", words(command))),
        Err(e) => Outcome::Failed(format!("cannot start {}: {e}", words(command))),
    }
}

/// How a command with a time limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Failed,
    /// Not within its limit; it was killed, and all it had started.
    Hung,
}

/// Runs a command for at most `limit`; what it prints goes to `log`.
pub(crate) fn finish_within(
    command: &mut Command,
    log: &Path,
    limit: Duration,
) -> Result<Ended, String> {
    let mut open = || -> std::io::Result<Child> {
        let out = File::create(log)?;
        let err = out.try_clone()?;
        own_group(command).stdout(out).stderr(err).spawn()
    };
    let mut child = open().map_err(|e| format!("{e}: {}", words(command)))?;
    finish(&mut child, limit)
}

/// Waits for a child that leads a group of its own.
pub(crate) fn finish(child: &mut Child, limit: Duration) -> Result<Ended, String> {
    let start = Instant::now();
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(Ended::Well),
            Some(_) => return Ok(Ended::Failed),
            None if start.elapsed() > limit => {
                end_group(child);
                return Ok(Ended::Hung);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A test may start processes of its own; all of them end with it.
#[cfg(unix)]
pub(crate) fn own_group(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

#[cfg(not(unix))]
pub(crate) fn own_group(command: &mut Command) -> &mut Command {
    command
}

fn end_group(child: &mut Child) {
    if cfg!(unix) {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The command as one would type it.
pub(crate) fn words(command: &Command) -> String {
    let mut text = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            text += &format!("{}={:?} ", key.display(), value.display().to_string());
        }
    }
    text += "cargo";
    for arg in command.get_args() {
        text += &format!(" {}", arg.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_ended_and_one_that_fails_is_told_from_it() {
        let log = std::env::temp_dir().join(format!("xtask-run-{}", std::process::id()));
        let ended = |line: &str, limit: u64| {
            let mut shell = Command::new("sh");
            finish_within(shell.args(["-c", line]), &log, Duration::from_millis(limit)).unwrap()
        };
        assert_eq!(ended("sleep 600 & sleep 600", 200), Ended::Hung);
        assert_eq!(ended("exit 3", 60_000), Ended::Failed);
        assert_eq!(ended("echo said", 60_000), Ended::Well);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "said\n");
        std::fs::remove_file(&log).unwrap();
    }

    #[test]
    fn one_failed_step_fails_the_whole_and_the_others_still_run() {
        let mut steps = Steps::default();
        let mut ran = 0;
        steps.step("first", || Outcome::Failed("on purpose".to_owned()));
        steps.step("second", || {
            ran += 1;
            Outcome::Ok
        });
        steps.step("third", || Outcome::Skipped("nothing to do".to_owned()));
        assert_eq!(ran, 1);
        assert_eq!(steps.finish(), Err("1 step failed".to_owned()));
    }
}
