//! `cargo xtask trust`: each promise beside the run that holds it to its word.
//!
//! A row names what happens (the event), what is promised then, and the test that tries it, with
//! its length in CI and its long length. The test says what it saw in a line of its own,
//! `trust: KEY: FIGURE`, and only when the promise held; or `trust: KEY: skipped: REASON`, when it
//! could not be tried here. A row that fails, hangs, or says nothing has not held.
//!
//! To add one: a literal in [`TABLE`], a line in the test, a row in docs/reliability.md (`check`
//! compares).

mod table;
mod verdict;

use crate::files::{Tree, target};
use crate::run::{Ended, cargo, finish_within, words};
use crate::sanitizer;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use table::{Row, Run, TABLE};
use verdict::{Sum, Verdict};

/// How the command line chose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Choice {
    pub(crate) long: bool,
    pub(crate) only: Option<String>,
}

/// Runs the table; an error if a row has not held.
pub(crate) fn trust(choice: &Choice) -> Result<(), String> {
    let rows: Vec<&Row> = match &choice.only {
        Some(key) => TABLE.iter().filter(|row| row.key == key).collect(),
        None => TABLE.iter().filter(|row| choice.long || row.ci.is_some()).collect(),
    };
    if rows.is_empty() {
        let keys: Vec<&str> = TABLE.iter().map(|row| row.key).collect();
        return Err(format!("there is no such row; there are {}", keys.join(", ")));
    }
    let folder = target().join("trust");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (mut sum, start) = (Sum::default(), Instant::now());
    for row in rows {
        let start = Instant::now();
        let verdict = run(row, choice.long).unwrap_or_else(Verdict::NotHeld);
        let (seconds, word) = (start.elapsed().as_secs(), verdict.word());
        println!(
            "{word:>8}  {} ({seconds} s): {} -> {}: {verdict}",
            row.key, row.event, row.promise
        );
        if matches!(verdict, Verdict::NotHeld(_)) {
            println!("{}", end_of(&log_of(row)));
        }
        // Into a file or a pipe it would come in blocks, and a row takes minutes.
        let _ = std::io::stdout().flush();
        sum.add(row.key, &verdict);
    }
    println!("\n{sum}, in {} min", start.elapsed().as_secs().div_ceil(60));
    sum.finish()
}

/// Builds and runs one row; what it prints is kept in a file.
fn run(row: &Row, long: bool) -> Result<Verdict, String> {
    let length = if long { row.long.or(row.ci) } else { row.ci.or(row.long) };
    let length = length.ok_or("the row has no length")?;
    if matches!(row.run, Run::Asan { .. })
        && let Some(why) = sanitizer::missing("asan")
    {
        return Ok(Verdict::Skipped(why));
    }
    let mut build = command(row.run, &["--no-run"]);
    let log = log_of(row);
    let patience = Duration::from_secs(60 * 60);
    if !matches!(row.run, Run::Xtask { .. }) {
        match finish_within(&mut build, &log, patience)? {
            Ended::Well => {}
            ended => return Err(format!("{ended:?}: {}; see {}", words(&build), log.display())),
        }
    }
    let mut test = command(row.run, &["--", "--include-ignored", "--nocapture"]);
    test.envs(length.env.iter().copied());
    let limit = Duration::from_secs(length.minutes * 60);
    let ended = finish_within(&mut test, &log, limit)?;
    let text = std::fs::read(&log).map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&text);
    let see = |why: &str| format!("{why}; see {}", log.display());
    if ended != Ended::Well {
        return Err(see(&format!("{ended:?}; {}", last_words(&text))));
    }
    let none = || "it printed no figure".to_owned();
    let verdict = match row.run {
        Run::Loom => executions(&text).map_or_else(|| Verdict::NotHeld(none()), Verdict::Held),
        Run::Unit { .. } => {
            cases(&text, length.env).map_or_else(|| Verdict::NotHeld(none()), Verdict::Held)
        }
        Run::Stories { keys, .. } | Run::Xtask { keys: keys @ [_, ..], .. } => {
            Verdict::of_stories(&text, keys)
        }
        _ => Verdict::of_one(&text, row.key),
    };
    match verdict {
        Verdict::NotHeld(why) => Err(see(&why)),
        other => Ok(other),
    }
}

fn log_of(row: &Row) -> PathBuf {
    target().join("trust").join(format!("{}.log", row.key))
}

/// The end of a log: who reads the output of a CI run has no other way to it.
fn end_of(log: &Path) -> String {
    const LINES: usize = 60;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    last.iter().map(|line| format!("          | {line}\n")).collect()
}

/// A folder of its own: other flags would build everything again and again.
fn target_of(name: &str) -> PathBuf {
    target().join(name)
}

fn command(run: Run, more: &[&str]) -> Command {
    let place: &[&str] = match &run {
        Run::Test { target, filter } => &["test", "-p", "twocan", "--test", target, filter],
        Run::Release { target, filter } => {
            &["test", "--release", "-p", "twocan", "--test", target, filter]
        }
        Run::Asan { target, filter } => {
            let asan =
                ["test", "--release", "--target", "x86_64-unknown-linux-gnu", "-p", "twocan"];
            let args = [&asan[..], &["--test", target, filter], more].concat();
            // The compiler keeps its sanitizers for itself otherwise.
            let env = [("RUSTC_BOOTSTRAP", "1"), ("RUSTFLAGS", "-Zsanitizer=address")];
            let mut command = cargo(&args, &env);
            command.env("CARGO_TARGET_DIR", target_of("asan"));
            return command;
        }
        Run::Stories { target, .. } => &["test", "-p", "twocan", "--test", target],
        Run::Unit { filter } => &["test", "-p", "twocan", "--lib", filter],
        Run::Loom => return crate::check::loom_command(more),
        Run::Xtask { args, .. } => {
            return cargo(&[&["run", "--quiet", "--package", "xtask", "--"], *args].concat(), &[]);
        }
    };
    cargo(&[place, more].concat(), &[])
}

/// Of properties tried with chosen cases.
fn cases(text: &str, env: &[(&str, &str)]) -> Option<String> {
    let tests = crate::tsan::passed(text);
    let cases: Vec<&str> = env.iter().map(|(_, value)| *value).collect();
    (tests > 0).then(|| format!("{tests} tests, each property with {} cases", cases.join(" ")))
}

/// "123 executions" of each model, in sum.
fn executions(text: &str) -> Option<String> {
    let count = |line: &str| {
        let before = line.strip_suffix(" executions")?;
        before.split(' ').next_back()?.parse::<u64>().ok()
    };
    let counts: Vec<u64> = text.lines().filter_map(count).collect();
    let sum: u64 = counts.iter().sum();
    (sum > 0).then(|| format!("{sum} executions of {} models", counts.len()))
}

/// The line that says most about a failure.
fn last_words(text: &str) -> &str {
    let telling = |line: &&str| line.contains("panicked at") || line.contains("error");
    let mut lines = text.lines().skip_while(|line| !telling(line));
    match lines.next() {
        Some(line) if line.contains("panicked at") => lines.next().unwrap_or(line),
        Some(line) => line,
        None => "no line tells why",
    }
}

/// Every row stands in docs/reliability.md, under its key.
pub(crate) fn compare(tree: &Result<Tree, String>) -> Result<(), String> {
    const PAGE: &str = "docs/reliability.md";
    let tree = tree.as_ref().map_err(Clone::clone)?;
    let page = tree.get(PAGE).ok_or_else(|| format!("{PAGE} is not there"))?;
    let missing = |row: &&Row| !page.text.contains(&format!("| `{}` |", row.key));
    let missing: Vec<&str> = TABLE.iter().filter(missing).map(|row| row.key).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{PAGE} has no row for {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_end_is_shown() {
        let log = std::env::temp_dir().join(format!("xtask-trust-{}", std::process::id()));
        let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&log, lines).unwrap();
        let end = end_of(&log);
        std::fs::remove_file(&log).unwrap();
        assert!(end.starts_with("          | line 40\n") && end.ends_with("| line 99\n"), "{end}");
        assert_eq!(end_of(&log), "");
    }

    #[test]
    fn executions_are_summed() {
        let text = "test loom_a ... 12 executions\nok\n30 executions\n";
        assert_eq!(executions(text).as_deref(), Some("42 executions of 2 models"));
        assert_eq!(executions("no figure"), None);
    }

    #[test]
    fn keys_are_unique_and_every_row_runs_somewhere() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|other| other.key != row.key), "{}", row.key);
            assert!(row.ci.is_some() || row.long.is_some(), "{}", row.key);
        }
    }

    #[test]
    fn a_row_that_the_page_does_not_have_is_told() {
        let page = "| `create-race` | x |\n";
        let tree = Ok(Tree::of(&[("docs/reliability.md", page)]));
        let missing = compare(&tree).unwrap_err();
        assert!(missing.contains("lost-wake") && !missing.contains("create-race"), "{missing}");
    }
}
