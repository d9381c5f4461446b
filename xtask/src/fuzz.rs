//! `cargo xtask fuzz`: bytes that a hostile peer may hand over, found by a fuzzer.
//!
//! The targets stand in `fuzz/`, a workspace of its own, since they need a C++ compiler (libFuzzer)
//! and flags that are not for everybody: AddressSanitizer, counters at every branch, and
//! `--cfg fuzzing`, which opens the library's doorway. Plain cargo is enough to give them; on the
//! stable compiler `RUSTC_BOOTSTRAP` allows the sanitizer. Where the compiler comes without it, or
//! there is none for C++, the command says so and ends well; nothing has been shown then. What was
//! found worth keeping stands in `fuzz/corpus/TARGET`, and every run begins with it.

use crate::files::{root, target};
use crate::run::words;
use crate::sanitizer::{self, SYSTEM};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Name, and what it throws at what.
const TARGETS: [(&str, &str); 5] = [
    ("attach", "memory of any kind at the checks before it is mapped"),
    ("records", "a ring of any bytes at the receiver"),
    ("handshake", "packets and descriptors at a seat and at a newcomer"),
    ("names", "names, and file names that may stand for one"),
    ("messages", "bytes of a chat at the conversation"),
];

/// One input may take so long, in seconds: longer is a hang.
const INPUT_TIME_MAX: u32 = 20;
/// Resident memory of a target at most, in MiB.
const RSS_MAX: u32 = 1024;
/// Longest input that the fuzzer makes, in bytes: a whole ring and its control words.
const INPUT_LEN_MAX: u32 = 4200;

const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// For each target.
    pub(crate) seconds: u32,
    /// `None` = all.
    pub(crate) target: Option<String>,
    /// Writes the smallest set of inputs with the same coverage into the corpus.
    pub(crate) keep: bool,
}

/// Understands what stands behind `fuzz`.
pub(crate) fn parse(words: &[&str]) -> Result<Wish, String> {
    let mut wish = Wish { seconds: 60, target: None, keep: false };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--seconds" => {
                let n = rest.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                wish.seconds = n.ok_or("--seconds needs a number above 0")?;
            }
            "--keep" => wish.keep = true,
            name if TARGETS.iter().any(|(target, _)| *target == name) => {
                wish.target = Some(name.to_owned());
            }
            other => {
                let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
                return Err(format!("\"{other}\" is no target; there are {}", names.join(", ")));
            }
        }
    }
    Ok(wish)
}

/// Runs the targets one after the other; an error names the input that one fell over.
pub(crate) fn fuzz(wish: &Wish) -> Result<(), String> {
    let wished = |name: &str| wish.target.as_ref().is_none_or(|target| target == name);
    if let Some(why) = sanitizer::missing("asan").or_else(sanitizer::missing_cpp) {
        for (name, _) in TARGETS.into_iter().filter(|(name, _)| wished(name)) {
            println!("trust: fuzz-{name}: skipped: {why}");
        }
        return Ok(());
    }
    build()?;
    let mut failed = Vec::new();
    for (name, what) in TARGETS.into_iter().filter(|(name, _)| wished(name)) {
        println!("\n==== fuzz {name}: {what} ====");
        match run(name, wish) {
            Ok(runs) => println!(
                "trust: fuzz-{name}: {runs} inputs in {} s under AddressSanitizer, 0 crashes",
                wish.seconds
            ),
            Err(why) => {
                eprintln!("{why}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("fuzz: failed: {}", failed.join(", "))) }
}

fn folder() -> PathBuf {
    target().join("fuzz")
}

fn build() -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--target", SYSTEM, "--manifest-path"]);
    command.arg(root().join("fuzz/Cargo.toml")).stdin(Stdio::null());
    command.env("RUSTFLAGS", FLAGS).env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_TARGET_DIR", folder());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("the fuzz targets do not build: {}", words(&command))),
        Err(e) => Err(format!("cannot start {}: {e}", words(&command))),
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(folder().join(SYSTEM).join("release").join(name));
    // Names that the library makes live and die in a folder of the fuzzer's own.
    command.env("TWOCAN_DIR", folder()).stdin(Stdio::null());
    command.arg(format!("-timeout={INPUT_TIME_MAX}"));
    command.arg(format!("-rss_limit_mb={RSS_MAX}"));
    command.arg(format!("-max_len={INPUT_LEN_MAX}"));
    command
}

/// One target; how many inputs it was given.
fn run(name: &str, wish: &Wish) -> Result<u64, String> {
    let corpus = root().join("fuzz/corpus").join(name);
    let found = folder().join("found").join(name);
    let crashes = folder().join("crashes");
    for dir in [&corpus, &found, &crashes] {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let log = folder().join(format!("{name}.log"));
    let file = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let mut command = program(name);
    command.arg(format!("-max_total_time={}", wish.seconds)).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/{name}-", crashes.display()));
    // What is found goes into the first folder; the second is only read.
    command.arg(&found).arg(&corpus).stderr(file);
    let status = command.status().map_err(|e| format!("cannot start {name}: {e}"))?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if !status.success() {
        let tail: Vec<&str> = text.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(format!(
            "{}\n{name} ended with {status}; the input lies in {}, the whole log in {}",
            tail.join("\n"),
            crashes.display(),
            log.display()
        ));
    }
    if wish.keep {
        keep(name, &found, &corpus)?;
    }
    let runs = executed(&text).ok_or(format!("{name} ran nothing: see {}", log.display()))?;
    Ok(runs)
}

/// libFuzzer's own count.
fn executed(log: &str) -> Option<u64> {
    let line = log.lines().find_map(|l| l.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok().filter(|runs| *runs > 0)
}

/// Adds to the corpus what reaches more than it does: the fewest files that do.
fn keep(name: &str, found: &Path, corpus: &Path) -> Result<(), String> {
    let mut command = program(name);
    command.arg("-set_cover_merge=1").arg(corpus).arg(found).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("{name}: nothing could be kept: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_targets_are_understood() {
        let wish = parse(&["--seconds", "5", "names"]).unwrap();
        assert_eq!(wish, Wish { seconds: 5, target: Some("names".to_owned()), keep: false });
        assert_eq!(parse(&[]).unwrap().seconds, 60);
        assert!(parse(&["--seconds"]).is_err());
        assert!(parse(&["--seconds", "0"]).is_err());
        assert!(parse(&["manes"]).is_err());
    }

    #[test]
    fn a_run_without_inputs_is_no_success() {
        assert_eq!(executed("stat::number_of_executed_units: 1250\n"), Some(1250));
        assert_eq!(executed("stat::number_of_executed_units: 0\n"), None);
        assert_eq!(executed(""), None);
    }

    #[test]
    fn every_target_has_its_file_and_its_corpus() {
        let at = root().join("fuzz");
        for (name, _) in TARGETS {
            assert!(at.join(format!("fuzz_targets/{name}.rs")).exists(), "{name}");
            let corpus = std::fs::read_dir(at.join("corpus").join(name));
            assert!(corpus.is_ok_and(|mut files| files.next().is_some()), "no corpus of {name}");
        }
    }
}
