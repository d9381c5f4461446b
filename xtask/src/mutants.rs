//! `cargo xtask mutants`: a test of a promise is trusted once it has failed on a broken copy.
//!
//! A fault stands in the source behind `#[cfg(twocan_mutant = "NAME")]` (the healthy line behind
//! the same with `not(..)`) and has a row in `mutants/`. Here the fault is built in, and the named
//! test must fail. A fault that does not compile, or a filter that matches no test, counts as
//! survived: nothing has been shown.

mod faults;
mod rules;

use crate::files::{Tree, target};
use crate::run::{Ended, cargo, finish, own_group, words};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The reserved name under which nothing is broken: the same tests must pass.
const HEALTHY: &str = "none";

/// A test that runs longer has lost a wake or a message: that is a catch, by hanging.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);

/// Which tests of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code, reason = "the table need not use all of them")]
enum Place {
    /// Beside the code.
    Unit,
    /// Beside the code, as loom models (`--cfg loom`, release).
    Loom,
    /// `tests/NAME.rs`.
    Test(&'static str),
}

/// One deliberate fault and the test that must catch it.
#[derive(Debug, Clone, Copy)]
struct Mutant {
    /// As in `cfg(twocan_mutant = "NAME")`.
    name: &'static str,
    /// The rule that is broken, in a few words.
    breaks: &'static str,
    package: &'static str,
    place: Place,
    /// Name of the test, as for `cargo test FILTER`.
    test: &'static str,
}

/// All faults. `cargo xtask check` compares the names with the sources.
fn all() -> impl Iterator<Item = &'static Mutant> {
    faults::TABLE.iter().chain(rules::TABLE)
}

const fn row(name: &'static str, breaks: &'static str, place: Place, test: &'static str) -> Mutant {
    Mutant { name, breaks, package: "twocan", place, test }
}

/// Runs the named faults, or all.
pub(crate) fn mutants(which: &[String]) -> Result<(), String> {
    if which == ["list"] {
        for m in all() {
            println!("{:24} {}", m.name, m.breaks);
            println!("{:24} caught by {:?} {} of {}", "", m.place, m.test, m.package);
        }
        return Ok(());
    }
    let whole = which == ["all"];
    if whole {
        compare(&Tree::read())?;
    }
    let unknown = which.iter().find(|name| !whole && all().all(|m| m.name != **name));
    if let Some(name) = unknown {
        return Err(format!("there is no mutant \"{name}\"; `cargo xtask mutants list` has all"));
    }
    let mut rows: Vec<&Mutant> =
        all().filter(|m| whole || which.iter().any(|name| name == m.name)).collect();
    // What one fault needs built is built once.
    rows.sort_by_key(|m| (m.name, m.place));
    let start = Instant::now();
    let survived = run_all(&rows)?;
    if !survived.is_empty() {
        return Err(format!("survived: {}", survived.join(", ")));
    }
    if whole {
        let names: BTreeSet<&str> = rows.iter().map(|m| m.name).collect();
        let (faults, tests, minutes) = (names.len(), rows.len(), start.elapsed().as_secs() / 60);
        println!(
            "trust: mutants: {faults} faults, each caught by its test ({tests} rows, {minutes} min)"
        );
    }
    Ok(())
}

/// First every test on the healthy code, in the very build that the faults get: one that fails
/// anyway catches nothing. Then each row. The result names what survived.
fn run_all(rows: &[&Mutant]) -> Result<Vec<&'static str>, String> {
    let mut healthy = BTreeMap::new();
    let mut tests = rows.to_vec();
    tests.sort_by_key(|m| (m.place, m.test));
    tests.dedup_by_key(|m| (m.package, m.place, m.test));
    for m in tests {
        let start = Instant::now();
        let verdict = run(m, HEALTHY)?;
        println!("healthy   {}: {verdict:?}, {:.1?} with its build", m.test, start.elapsed());
        healthy.insert((m.package, m.place, m.test), verdict);
    }
    let mut survived = Vec::new();
    for m in rows {
        let start = Instant::now();
        let verdict = match &healthy[&(m.package, m.place, m.test)] {
            Verdict::Passed => run(m, m.name)?,
            Verdict::NoSuchTest => Verdict::NoSuchTest,
            other => {
                println!("SURVIVED  {}: {} {other:?} without any fault", m.name, m.test);
                survived.push(m.name);
                continue;
            }
        };
        let whole = start.elapsed();
        match verdict {
            Verdict::Failed(took) => {
                println!("caught    {} by {} in {took:.1?} ({whole:.1?})", m.name, m.test);
            }
            Verdict::Hung => println!("caught    {} by {}, which hung", m.name, m.test),
            Verdict::Passed => println!("SURVIVED  {}: {} passed ({whole:.1?})", m.name, m.test),
            Verdict::NoSuchTest => {
                println!("SURVIVED  {}: no test is named {}", m.name, m.test);
            }
            Verdict::NoBuild => println!("SURVIVED  {}: it does not build", m.name),
        }
        if !matches!(verdict, Verdict::Failed(_) | Verdict::Hung) {
            survived.push(m.name);
        }
    }
    Ok(survived)
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Passed,
    Failed(Duration),
    Hung,
    NoSuchTest,
    NoBuild,
}

/// A stand-in for rustc that adds the fault. cargo calls it for the workspace's own crates only, so
/// the dependencies are built once for all faults, which `RUSTFLAGS` would not give.
const COMPILER: &str = r#"#!/bin/sh
rustc="$1"
shift
exec "$rustc" "$@" --cfg "twocan_mutant=\"$TWOCAN_FAULT\""
"#;

/// Puts the stand-in there, and has cargo forget what it built with another fault. It cannot know
/// that the fault has changed: its path is the same for all, so that a fault overwrites what the
/// last one left, and rustc compiles anew only what differs.
fn prepare(folder: &Path, fault: &str) -> std::io::Result<String> {
    std::fs::create_dir_all(folder)?;
    let compiler = folder.join("rustc");
    // Written only once: its time of change counts as a change of the compiler.
    if std::fs::read_to_string(&compiler).ok().as_deref() != Some(COMPILER) {
        std::fs::write(&compiler, COMPILER)?;
        let done = Command::new("chmod").arg("755").arg(&compiler).status()?;
        assert!(done.success(), "chmod {}", compiler.display());
    }
    let last = folder.join("fault");
    if std::fs::read_to_string(&last).ok().as_deref() != Some(fault) {
        let _ = std::fs::remove_file(&last);
        for profile in ["debug", "release"] {
            let known = folder.join(profile).join(".fingerprint");
            for entry in std::fs::read_dir(&known).into_iter().flatten() {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with("twocan") {
                    std::fs::remove_dir_all(entry.path())?;
                }
            }
        }
        std::fs::write(&last, fault)?;
    }
    Ok(compiler.display().to_string())
}

/// Builds with the fault, then runs the test with a time limit.
fn run(m: &Mutant, fault: &str) -> Result<Verdict, String> {
    let folder = target().join("mutants");
    let compiler = prepare(&folder, fault).map_err(|e| format!("cannot prepare {fault}: {e}"))?;
    let folder = folder.display().to_string();
    let command = |more: &[&str]| {
        let place: &[&str] = match &m.place {
            Place::Unit => &["--lib"],
            Place::Loom => &["--lib", "--release"],
            Place::Test(file) => &["--test", file],
        };
        let args = [&["test", "--quiet", "-p", m.package], place, more].concat();
        let mut command = cargo(&args, BUILD);
        command.env("RUSTC_WORKSPACE_WRAPPER", &compiler);
        command.env("CARGO_TARGET_DIR", &folder).env("TWOCAN_FAULT", fault);
        if m.place == Place::Loom {
            command.env("RUSTFLAGS", "--cfg loom");
        }
        command
    };
    let mut build = command(&["--no-run"]);
    if !build.status().is_ok_and(|status| status.success()) {
        println!("{fault} does not build: {}", words(&build));
        return Ok(Verdict::NoBuild);
    }
    let names = command(&[m.test, "--", "--list"]).output().map_err(|e| e.to_string())?;
    if !String::from_utf8_lossy(&names.stdout).contains(": test") {
        return Ok(Verdict::NoSuchTest);
    }
    let start = Instant::now();
    let mut child = own_group(&mut command(&[m.test])).spawn().map_err(|e| e.to_string())?;
    Ok(match finish(&mut child, TEST_TIME_MAX)? {
        Ended::Well => Verdict::Passed,
        Ended::Failed => Verdict::Failed(start.elapsed()),
        Ended::Hung => Verdict::Hung,
    })
}

/// For the tests that chance decides: enough of it. For the builds: rustc keeps what did not change
/// (in the release profile too, which then cannot optimise across crates) and no debug information
/// is made.
const BUILD: &[(&str, &str)] = &[
    ("TWOCAN_ROUNDS", "60000"),
    ("CARGO_INCREMENTAL", "1"),
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
];

/// The page with a table of all rules and their faults.
const PAGE: &str = "docs/reliability.md";

/// Every fault in the sources has a row, and every row a fault; a reader finds each.
pub(crate) fn compare(tree: &Result<Tree, String>) -> Result<(), String> {
    let tree = tree.as_ref().map_err(Clone::clone)?;
    let rows: BTreeSet<&str> = all().map(|m| m.name).collect();
    let found = named_in(tree);
    let mut wrong = Vec::new();
    for name in found.iter().filter(|name| !rows.contains(name.as_str())) {
        wrong.push(format!("the fault \"{name}\" has no row in xtask/src/mutants/"));
    }
    for name in rows.iter().filter(|name| !found.contains(**name)) {
        wrong.push(format!("the row \"{name}\" has no fault in the sources"));
    }
    if let Some(page) = tree.get(PAGE) {
        let stands = |name: &str| {
            let name = format!("`{name}`");
            page.text.lines().any(|line| line.starts_with('|') && line.contains(&name))
        };
        for name in rows.iter().filter(|name| !stands(name)) {
            wrong.push(format!("{PAGE} has no row of the fault \"{name}\""));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n       ")) }
}

fn named_in(tree: &Tree) -> BTreeSet<String> {
    let mark = "twocan_mutant = \"";
    let mut names = BTreeSet::new();
    for file in tree.rust().filter(|f| !f.path.starts_with("xtask/")) {
        for rest in file.text.split(mark).skip(1) {
            names.extend(rest.split('"').next().map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_without_a_row_is_told() {
        let text = "#[cfg(twocan_mutant = \"unheard_of\")]\nfn broken() {}\n";
        let tree = Ok(Tree::of(&[("crates/twocan/src/ring.rs", text)]));
        assert!(compare(&tree).unwrap_err().contains("unheard_of"));
    }

    #[test]
    fn a_fault_that_no_reader_finds_is_told() {
        let missing = |page: &str| {
            let told = compare(&Ok(Tree::of(&[(PAGE, page)]))).unwrap_err();
            told.contains(&format!("{PAGE} has no row of the fault \"{}\"", faults::TABLE[0].name))
        };
        assert!(missing("named in passing: `publish-first`"));
        assert!(!missing("| the message before its stamp | `publish-first` | kill |"));
        assert!(!missing("| the stamp | `another`, `publish-first` | loom |"));
    }

    #[test]
    fn no_row_stands_twice_and_no_name_is_reserved() {
        let rows: BTreeSet<_> = all().map(|m| (m.name, m.place, m.test)).collect();
        assert_eq!(rows.len(), all().count());
        let names: BTreeSet<&str> = all().map(|m| m.name).collect();
        assert!(!names.contains(HEALTHY) && !names.contains("all") && !names.contains("list"));
    }
}
