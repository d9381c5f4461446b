//! `cargo xtask trust`: each promise beside the run that holds it to its word.
//!
//! A row names what happens (the event), what is promised then, and the test that tries it, with
//! its length in CI and its long length. The test says what it saw in a line of its own,
//! `trust: KEY: FIGURE`, and only when the promise held. A row that fails, hangs, or says nothing
//! has not held.
//!
//! To add one: a literal in [`TABLE`], a line in the test, a row in docs/reliability.md (`check`
//! compares).

use crate::files::{Tree, target};
use crate::run::{Ended, cargo, finish_within, words};
use std::process::Command;
use std::time::{Duration, Instant};

/// What a row runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the table need not use all of them")]
enum Run {
    /// Tests of `crates/twocan/tests/TARGET`, by `cargo test FILTER`, with the ignored ones.
    Test { target: &'static str, filter: &'static str },
    /// The same, optimised as a release.
    Release { target: &'static str, filter: &'static str },
    /// As a release under AddressSanitizer.
    Asan { target: &'static str, filter: &'static str },
    /// A whole target with many stories, each with a line of its own.
    Stories { target: &'static str, keys: &'static [&'static str] },
    /// Tests beside the code of the library.
    Unit { filter: &'static str },
    /// The loom models; the figure is the sum of their executions.
    Loom,
    /// Another command of `cargo xtask`, which prints the line.
    Xtask(&'static [&'static str]),
}

/// How long a row runs.
#[derive(Debug, Clone, Copy)]
struct Length {
    /// For the run: how many, how long.
    env: &'static [(&'static str, &'static str)],
    /// It hangs if it takes longer; several times what it takes on two quiet cores.
    minutes: u64,
}

/// One promise and its proof.
#[derive(Debug)]
struct Row {
    key: &'static str,
    /// What happens.
    event: &'static str,
    /// What holds then.
    promise: &'static str,
    run: Run,
    /// `None` = too long for CI.
    ci: Option<Length>,
    /// `None` = the same as in CI.
    long: Option<Length>,
}

const fn length(env: &'static [(&'static str, &'static str)], minutes: u64) -> Option<Length> {
    Some(Length { env, minutes })
}

/// What `tests/system` tells as root.
const SYSTEM: &[&str] = &[
    "missing-calls",
    "refused-calls",
    "one-end-lacks",
    "no-descriptors",
    "no-addresses",
    "short-files",
    "full-disk",
    "no-inodes",
    "read-only",
    "no-dev-shm",
    "stopped",
    "swept",
    "copies",
    "exec",
    "zombie",
    "threads",
    "pid-namespaces",
    "net-namespaces",
    "time-namespaces",
    "wall-clock",
    "private-directory",
    "shared-directory",
    "squatting",
    "in-the-way",
    "group",
    "everyone",
    "occupied",
];

/// All rows.
const TABLE: &[Row] = &[
    Row {
        key: "create-race",
        event: "three processes create and open one name at once",
        promise: "one maker, never a half-made object",
        run: Run::Test { target: "objects", filter: "three_processes_race_for_one_name" },
        ci: length(&[("TWOCAN_RACES", "2000")], 10),
        long: length(&[("TWOCAN_RACES", "100000")], 120),
    },
    Row {
        key: "wrap",
        event: "positions pass every wrap, over old bytes that look like records",
        promise: "every message whole, in order, none invented",
        run: Run::Unit { filter: "ring::tests::" },
        ci: length(&[("TWOCAN_CASES", "20000")], 10),
        long: length(&[("TWOCAN_CASES", "2000000")], 600),
    },
    Row {
        key: "loom",
        event: "every interleaving of ring, park, wake, wrap and end",
        promise: "no torn message, no lost wake",
        run: Run::Loom,
        ci: length(&[], 20),
        long: length(&[("TWOCAN_LOOM", "long")], 600),
    },
    Row {
        key: "lost-wake",
        event: "one message at a time, the waiter just falling asleep",
        promise: "no waiter sleeps for 100 ms beside what it waits for",
        run: Run::Test { target: "hunt", filter: "the_long_hunt" },
        ci: length(&[("TWOCAN_ROUNDS", "5000000")], 60),
        long: length(&[("TWOCAN_ROUNDS", "200000000")], 1500),
    },
    Row {
        key: "random-kills",
        event: "kill -9 of either end at random, and resume",
        promise: "nothing lost, torn or out of order; only what was not acknowledged comes again",
        run: Run::Test { target: "kill", filter: "whoever_is_killed_whenever" },
        ci: length(&[("TWOCAN_KILLS", "20000")], 20),
        long: length(&[("TWOCAN_KILLS", "1000000")], 600),
    },
    Row {
        key: "event-kills",
        event: "kill -9 of waiters and setters of events",
        promise: "nobody else's signal is lost",
        run: Run::Test { target: "kill", filter: "whoever_waits" },
        ci: length(&[("TWOCAN_KILLS", "20000")], 20),
        long: length(&[("TWOCAN_KILLS", "1000000")], 600),
    },
    Row {
        key: "kill-steps",
        event: "kill at single instructions of send, recv and acknowledge",
        promise: "a message is whole or absent, and the next goes on within a second",
        run: Run::Test { target: "steps", filter: "a_message_is_whole" },
        ci: length(&[("TWOCAN_STEPS", "200")], 20),
        long: length(&[("TWOCAN_STEPS", "all")], 120),
    },
    Row {
        key: "kill-steps-open",
        event: "kill at system calls and instructions of open, handshake and close",
        promise: "the next goes on within a second, nothing is left",
        run: Run::Test { target: "steps", filter: "whoever_is_killed_in_coming" },
        ci: length(&[("TWOCAN_STEPS", "400")], 20),
        long: length(&[("TWOCAN_STEPS", "all")], 1200),
    },
    Row {
        key: "kill-steps-events",
        event: "kill at every instruction of set, wait and reset",
        promise: "a signal is given or not, never lost",
        run: Run::Test { target: "steps", filter: "a_signal_is_given" },
        ci: length(&[("TWOCAN_STEPS", "all")], 20),
        long: None,
    },
    Row {
        key: "kill-open-close",
        event: "kill while maps, events and channels are made, opened, answered, closed",
        promise: "it always opens again, nothing is left",
        run: Run::Test { target: "cycles", filter: "whoever_is_killed_while" },
        ci: length(&[("TWOCAN_KILLS", "1000")], 20),
        long: length(&[("TWOCAN_KILLS", "20000")], 300),
    },
    Row {
        key: "open-close",
        event: "open and close, again and again",
        promise: "no file, descriptor, thread or map more than before",
        run: Run::Test { target: "cycles", filter: "whoever_comes_and_goes" },
        ci: length(&[("TWOCAN_CYCLES", "10000")], 20),
        long: length(&[("TWOCAN_CYCLES", "200000")], 300),
    },
    Row {
        key: "hostile-peer",
        event: "a peer that stores what it likes into its region",
        promise: "errors with a name; no panic, no hang, no report, memory bounded",
        run: Run::Asan { target: "hostile", filter: "no_store_of" },
        ci: length(&[("TWOCAN_WRITES", "500000000")], 20),
        long: length(&[("TWOCAN_WRITES", "20000000000")], 300),
    },
    Row {
        key: "hostile-handshake",
        event: "packets that lie, are cut, or carry what they should not",
        promise: "none is answered",
        run: Run::Asan { target: "hostile", filter: "a_hello_that_lies" },
        ci: length(&[("TWOCAN_KNOCKS", "20")], 20),
        long: length(&[("TWOCAN_KNOCKS", "1000")], 120),
    },
    Row {
        key: "hostile-welcome",
        event: "an answer that lies",
        promise: "each lie is named",
        run: Run::Asan { target: "hostile", filter: "a_welcome_that_lies" },
        ci: length(&[], 20),
        long: None,
    },
    Row {
        key: "fuzz",
        event: "arbitrary bytes where a peer may hand something over",
        promise: "no panic, no report",
        run: Run::Xtask(&["fuzz", "--seconds", "60"]),
        ci: length(&[], 40),
        long: None,
    },
    Row {
        key: "system",
        event: "the system turns on us, other users come",
        promise: "a fallback or an error in words; never a signal, a hang, a stranger let in",
        run: Run::Stories { target: "system", keys: SYSTEM },
        ci: length(&[("TWOCAN_STOPS", "20"), ("TWOCAN_STOP_MS", "10000")], 20),
        long: None,
    },
    Row {
        key: "scale",
        event: "a thousand channels and a thousand events in one process",
        promise: "nothing lost, nothing grows",
        run: Run::Release { target: "scale", filter: "many" },
        ci: length(&[("TWOCAN_SCALE_CHANNELS", "1000"), ("TWOCAN_SCALE_SECONDS", "60")], 20),
        long: None,
    },
    Row {
        key: "soak",
        event: "one pair at full rate",
        promise: "nothing lost, nothing grows",
        run: Run::Release { target: "scale", filter: "soak" },
        ci: length(&[("TWOCAN_SOAK_SECONDS", "20")], 10),
        long: length(&[("TWOCAN_SOAK_SECONDS", "600")], 30),
    },
    Row {
        key: "threads",
        event: "all tests in one process under ThreadSanitizer",
        promise: "no two accesses without an order between them",
        run: Run::Xtask(&["tsan"]),
        ci: length(&[], 30),
        long: None,
    },
    Row {
        key: "mutants",
        event: "each rule broken on purpose",
        promise: "a named test fails",
        run: Run::Xtask(&["mutants", "all"]),
        ci: None,
        long: length(&[], 300),
    },
];

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
    let mut broken = Vec::new();
    for row in rows {
        let start = Instant::now();
        let (held, figure) = match run(row, choice.long) {
            Ok(figure) => ("held", figure),
            Err(why) => {
                broken.push(row.key);
                ("NOT HELD", why)
            }
        };
        let seconds = start.elapsed().as_secs();
        println!(
            "{held:>8}  {}: {} -> {}: {figure} ({seconds} s)",
            row.key, row.event, row.promise
        );
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("not held: {}", broken.join(", "))) }
}

/// Builds and runs one row; what it prints is kept in a file. The result is its figure.
fn run(row: &Row, long: bool) -> Result<String, String> {
    let length = if long { row.long.or(row.ci) } else { row.ci.or(row.long) };
    let length = length.ok_or("the row has no length")?;
    let mut build = command(row.run, &["--no-run"]);
    let log = target().join("trust").join(format!("{}.log", row.key));
    let patience = Duration::from_secs(60 * 60);
    if !matches!(row.run, Run::Xtask(_)) {
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
    match ended {
        Ended::Well => {}
        ended => return Err(format!("{ended:?}; {}; see {}", last_words(&text), log.display())),
    }
    let figure = match row.run {
        Run::Loom => executions(&text),
        Run::Unit { .. } => cases(&text, length.env),
        Run::Stories { keys, .. } => Some(stories(&text, keys)?),
        Run::Xtask(["fuzz", ..]) => fuzzed(&text),
        _ => figure(&text, row.key),
    };
    figure.ok_or_else(|| format!("it printed no figure; see {}", log.display()))
}

/// A folder of its own: other flags would build everything again and again.
fn target_of(name: &str) -> std::path::PathBuf {
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
        Run::Xtask(args) => {
            return cargo(&[&["run", "--quiet", "--package", "xtask", "--"], *args].concat(), &[]);
        }
    };
    cargo(&[place, more].concat(), &[])
}

/// What stands behind `trust: KEY: `. A test harness may have begun the line.
fn figure(text: &str, key: &str) -> Option<String> {
    let mark = format!("trust: {key}: ");
    let figure = text.lines().filter_map(|line| line.split_once(&mark)).next_back()?.1.trim();
    (!figure.is_empty()).then(|| figure.to_owned())
}

/// All of them, each on a line of its own.
fn stories(text: &str, keys: &[&str]) -> Result<String, String> {
    let mut lines = String::new();
    for key in keys {
        let figure =
            figure(text, key).ok_or_else(|| format!("{key} has not held, or was skipped"))?;
        lines += &format!("\n          {key}: {figure}");
    }
    Ok(format!("{} stories{lines}", keys.len()))
}

/// "trust: fuzz-TARGET: FIGURE" of each target.
fn fuzzed(text: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once("trust: fuzz-"));
    let figures: Vec<&str> = lines.map(|(_, rest)| rest.trim()).collect();
    (figures.len() >= 5).then(|| figures.join("; "))
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
    fn the_last_figure_of_the_key_counts() {
        let text =
            "test a ... trust: kills: 20 kills\ntrust: kills-b: no\ntrust: kills: 30 kills\n";
        assert_eq!(figure(text, "kills").as_deref(), Some("30 kills"));
        assert_eq!(figure(text, "other"), None);
        assert_eq!(figure("trust: kills: \n", "kills"), None);
    }

    #[test]
    fn every_story_must_be_told() {
        let text = "trust: a: one\ntrust: b: two\n";
        assert!(stories(text, &["a", "b"]).unwrap().contains("b: two"));
        assert!(stories(text, &["a", "c"]).unwrap_err().contains("c has not"));
        assert_eq!(fuzzed("trust: fuzz-a: 1\n"), None);
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
