//! `cargo xtask tsan`: the tests that run in one process, under ThreadSanitizer.
//!
//! It needs the sources of the standard library, because that has to be instrumented too: without
//! it every `join` looks like a race. The toolchain in use will do (`rustup component add
//! rust-src`; `RUSTC_BOOTSTRAP` allows the rest), or a nightly one. Where neither has them the
//! command says so and ends well; nothing has been shown then.
//!
//! ThreadSanitizer knows neither fences nor assembly, and tells memory by its address. So with
//! `--cfg twocan_tsan` the payload of messages is copied by plain accesses, which it watches, and
//! two ends in one process map a region at one address. What orders those accesses is then the
//! stamp and the acknowledgement alone. The fences of the wake handshake order no data; loom and
//! the hunt for lost wakes stand for them. No report is suppressed.

use crate::files::{root, target};
use crate::run::{Ended, finish_within, words};
use crate::sanitizer::{self, SYSTEM};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Place of the tests, what limits them, and why these. The rest of `tests/` are stories of several
/// processes, which share no address.
const TESTS: &[(&[&str], &[&str])] = &[
    (&["--lib"], &[]),
    (&["--test", "threads"], &[]),
    (&["--test", "hunt"], &["--skip", "child"]),
    (&["--test", "pair"], &["--skip", "child"]),
];

/// All tests of one place.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs them; an error for any report or failure.
pub(crate) fn tsan() -> Result<(), String> {
    let found = match sanitizer::missing("tsan") {
        Some(why) => Err(why),
        None => toolchain(),
    };
    let toolchain = match found {
        Ok(toolchain) => toolchain,
        Err(why) => {
            println!("trust: threads: skipped: {why}");
            return Ok(());
        }
    };
    let folder = target().join("tsan");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut tests = 0;
    for (place, limits) in TESTS {
        let name = place.last().map_or("lib", |word| word.trim_start_matches('-'));
        let log = folder.join(format!("{name}.log"));
        let mut build = command(&toolchain, place, &["--no-run"]);
        match finish_within(&mut build, &log, 4 * LIMIT)? {
            Ended::Well => {}
            ended => return Err(format!("{ended:?}: {}; see {}", words(&build), log.display())),
        }
        let mut run = command(&toolchain, place, &[&["--"], *limits].concat());
        let ended = finish_within(&mut run, &log, LIMIT)?;
        let text = std::fs::read(&log).map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&text);
        let reports = text.matches("WARNING: ThreadSanitizer").count();
        if ended != Ended::Well || reports > 0 {
            let log = log.display();
            return Err(format!("{name}: {ended:?}, {reports} reports; see {log}"));
        }
        let passed = passed(&text);
        println!("{name}: {passed} tests, no report");
        tests += passed;
    }
    println!("trust: threads: 0 reports in {tests} tests");
    Ok(())
}

/// Which cargo builds, and the words that choose it.
#[derive(Debug, PartialEq, Eq)]
enum Toolchain {
    /// The one that runs this.
    Own,
    Nightly,
}

fn command(toolchain: &Toolchain, place: &[&str], more: &[&str]) -> Command {
    let mut command = match toolchain {
        Toolchain::Own => {
            let mut own = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            own.env("RUSTC_BOOTSTRAP", "1");
            own
        }
        Toolchain::Nightly => {
            // Through rustup's own cargo: the one that runs this is tied to its toolchain.
            let mut rustups = Command::new("cargo");
            rustups.arg("+nightly");
            for inherited in ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN"] {
                rustups.env_remove(inherited);
            }
            rustups
        }
    };
    command.args(["test", "-Zbuild-std", "--target", SYSTEM, "-p", "twocan"]);
    command.args(place).args(more).current_dir(root()).stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", target().join("tsan"));
    command.env("RUSTFLAGS", "-Zsanitizer=thread --cfg twocan_tsan");
    // A process that had any report ends with 66.
    command.env("TSAN_OPTIONS", "halt_on_error=0 exitcode=66");
    command
}

/// One that has the sources of the standard library; or what is not there, and how to get it.
fn toolchain() -> Result<Toolchain, String> {
    let own = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if has_sources(Command::new(own).args(["--print", "sysroot"])) {
        return Ok(Toolchain::Own);
    }
    if has_sources(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"])) {
        return Ok(Toolchain::Nightly);
    }
    let cure = "`rustup component add rust-src`";
    Err(format!("no sources of the standard library, in this toolchain or a nightly one: {cure}"))
}

fn has_sources(ask: &mut Command) -> bool {
    ask.stdin(Stdio::null()).stderr(Stdio::null());
    ask.output().is_ok_and(|said| {
        let sysroot = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        said.status.success() && has_sources_at(Path::new(&sysroot))
    })
}

fn has_sources_at(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/std").is_dir()
}

/// "test result: ok. 81 passed; .."
pub(crate) fn passed(text: &str) -> u64 {
    let count = |line: &str| {
        let rest = line.split_once("test result: ok. ")?.1;
        rest.split(' ').next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn passed_tests_are_counted_in_all_places() {
        let text = "test result: ok. 81 passed; 0 failed\n\ntest result: ok. 5 passed; 0 failed\n";
        assert_eq!(passed(text), 86);
        assert_eq!(passed("test result: FAILED. 3 passed; 1 failed"), 0);
    }
}
