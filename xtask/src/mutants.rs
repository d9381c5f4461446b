//! `cargo xtask mutants`: a test of a promise is trusted once it has failed on a broken copy.
//!
//! A fault stands in the source behind `#[cfg(twocan_mutant = "NAME")]` (the healthy line behind
//! the same with `not(..)`) and has one row in [`TABLE`]. Here the fault is built in, and the named
//! test must fail. A fault that does not compile, or a filter that matches no test, counts as
//! survived: nothing has been shown.

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
    TABLE.iter().chain(rules::TABLE)
}

const TABLE: &[Mutant] = &[
    row(
        "publish-first",
        "the stamp is stored after the message",
        Place::Test("kill"),
        "whoever_is_killed_whenever_nothing_is_lost_and_nothing_comes_twice",
    ),
    row("publish-first", "the same, in every interleaving", Place::Loom, "loom_ring_"),
    row("publish-first", "the same, at every instruction", Place::Test("steps"), STEPS),
    row(
        "ack-in-recv",
        "a message is acknowledged when the next is asked for",
        Place::Test("kill"),
        "whoever_is_killed_whenever_nothing_is_lost_and_nothing_comes_twice",
    ),
    row("ack-in-recv", "the same, at every instruction", Place::Test("steps"), STEPS),
    row(
        "set-in-two-steps",
        "a set event and its sleepers' wake are one step",
        Place::Test("steps"),
        "a_signal_is_given_and_taken_or_not",
    ),
    row(
        "wake-one",
        "all who wait are woken, or one that dies takes the wake along",
        Place::Test("kill"),
        "whoever_waits_or_sets_and_is_killed",
    ),
    row(
        "no-clear-seat",
        "what a dead holder left of a seat is cleared",
        Place::Test("steps"),
        "whoever_is_killed_in_coming_or_going",
    ),
    row(
        "no-clear-seat",
        "the same, at random moments",
        Place::Test("cycles"),
        "whoever_is_killed_while_it_makes",
    ),
    row(
        "corpse-is-alive",
        "a file without a holder is nobody's object",
        Place::Test("cycles"),
        "whoever_is_killed_while_it_makes",
    ),
    row(
        "leave-corpse",
        "the last holder removes the name",
        Place::Test("cycles"),
        "whoever_comes_and_goes_again_and_again",
    ),
    row(
        "leak-session",
        "a session's descriptors are closed",
        Place::Test("cycles"),
        "whoever_comes_and_goes_again_and_again",
    ),
    row(
        "no-hand-over",
        "a newcomer gets the dead regions",
        Place::Test("kill"),
        "whoever_is_killed_whenever_nothing_is_lost_and_nothing_comes_twice",
    ),
    row(
        "no-final-ack",
        "a dead peer's last acknowledgement is read",
        Place::Test("channels"),
        "resume::what_a_killed_reader_had_in_hand",
    ),
    row(
        "no-restart",
        "a long message starts again for a new reader",
        Place::Test("channels"),
        "long::a_reader_killed_in_the_middle",
    ),
    row(
        "reset-is-the-end",
        "what was queued is read behind a reset",
        Place::Test("channels"),
        "hostile::a_welcome_that_stands_behind_a_reset_is_read",
    ),
    row(
        "no-region-check",
        "a region is checked before it is mapped",
        Place::Test("channels"),
        "hostile::a_region_that_could_change_under_us",
    ),
    row(
        "sparse-from-anyone",
        "another user's region is allocated throughout",
        Place::Unit,
        "what_could_fail_under_a_reader_is_not_mapped",
    ),
    row(
        "no-bounds-check",
        "a record lies inside the ring",
        Place::Test("channels"),
        "hostile::records_with_impossible_lengths",
    ),
    row(
        "no-bounds-check",
        "the same, by a peer that writes as it likes",
        Place::Test("hostile"),
        "no_store_of_a_hostile_peer",
    ),
    row(
        "no-fragment-check",
        "fragments make up the announced length",
        Place::Test("channels"),
        "hostile::fragments_that_do_not_fit",
    ),
    row(
        "no-length-check",
        "no message is longer than the limit",
        Place::Test("hostile"),
        "no_store_of_a_hostile_peer",
    ),
    row(
        "no-seal-check",
        "a region cannot change its size",
        Place::Test("hostile"),
        "a_hello_that_lies_is_not_answered",
    ),
    row(
        "no-size-check",
        "a region is as large as was told",
        Place::Test("hostile"),
        "a_hello_that_lies_is_not_answered",
    ),
    row(
        "trust-woken",
        "wake state belongs to a session",
        Place::Test("channels"),
        "hostile::what_was_woken_last_belongs_to_a_session",
    ),
    row(
        "no-ack-check",
        "an acknowledgement names the end of a record",
        Place::Test("channels"),
        "hostile::an_acknowledgement_of_what_was_never_sent",
    ),
    row(
        "no-ack-before-send-waits",
        "an end acknowledges before it waits in send",
        Place::Test("channels"),
        "talk::two_ends_with_one_thread_each",
    ),
    row(
        "no-zero-ahead",
        "the next stamp is zeroed first",
        Place::Test("channels"),
        "talk::a_forged_record_in_old_bytes",
    ),
    row("no-zero-ahead", "the same, against a model", Place::Unit, "ring::"),
    row(
        "no-wake",
        "who sleeps is woken",
        Place::Test("channels"),
        "waits::wait_any_acknowledges_what_was_handed_out",
    ),
    row(
        "no-wake-at-attach",
        "a newcomer wakes who slept before it knew of it",
        Place::Test("channels"),
        "hostile::what_was_sent_before_welcome_came",
    ),
    row(
        "no-limit",
        "at most four regions are kept",
        Place::Test("channels"),
        "resume::a_fifth_life_waits",
    ),
    row("no-bell", "a waker changes the word that is slept on", Place::Loom, "loom_park_"),
    row("no-second-look", "a sleeper looks again after arming", Place::Loom, "loom_park_"),
    row(
        "no-fence-publish",
        "full fence between publishing and the look at the arm",
        Place::Loom,
        "loom_park_",
    ),
    row("no-fence-arm", "full fence between arming and the second look", Place::Loom, "loom_park_"),
    row("late-bell", "the bell is read before arming", Place::Loom, "loom_park_"),
    row("same-arm", "every sleep has a value of its own", Place::Loom, "loom_park_"),
    row("forget-count", "an arm stays while somebody sleeps", Place::Loom, "loom_park_one_arm"),
    row("no-fence-publish", "the same, for a sleeper at the doors", Place::Loom, "loom_door_"),
    row("no-fence-arm", "the same, for a sleeper at the doors", Place::Loom, "loom_door_"),
    row("same-arm", "the same, for a sleeper at the doors", Place::Loom, "loom_door_"),
    row(
        "door-forgets-ring",
        "a doorbell that rang is armed anew before the next sleep",
        Place::Loom,
        "loom_door_every_record",
    ),
    row("door-forgets-ring", "the same, between threads", Place::Unit, "no_ring_is_lost"),
    row(
        "door-drain-late",
        "a doorbell is emptied before arm and look",
        Place::Loom,
        "loom_door_every_record",
    ),
    row("door-drain-late", "the same, between threads", Place::Unit, "no_ring_is_lost"),
    row(
        "door-no-generation",
        "an arm of somebody else's is no proof that nothing came",
        Place::Unit,
        "what_came_while_the_half_was_armed_for_somebody_else",
    ),
    row(
        "door-empties-in-silence",
        "whoever empties a doorbell tells the others",
        Place::Unit,
        "whoever_empties_a_doorbell",
    ),
    row(
        "door-put-out",
        "a sleeper that leaves lets the doorbell stay armed",
        Place::Unit,
        "a_sleeper_for_few_that_leaves",
    ),
    row(
        "door-rings-alone",
        "a ring at the door wakes those on the word as well",
        Place::Unit,
        "sleepers_of_both_kinds_on_one_half",
    ),
    row(
        "door-no-news",
        "the watcher's news reaches the sets of doorbells",
        Place::Unit,
        "comings_and_goings_wake_a_wait_at_doors",
    ),
    row(
        "door-deaf",
        "the set hears the doorbell it arms",
        Place::Unit,
        "each_of_many_wakes_a_sleeper",
    ),
    row("relaxed-stamp-store", "the stamp publishes the payload", Place::Loom, "loom_ring_"),
    row("relaxed-stamp-load", "who sees the stamp sees the payload", Place::Loom, "loom_ring_"),
    row(
        "relaxed-ack-store",
        "an acknowledgement comes after the copy",
        Place::Loom,
        "loom_ring_a_line_is_used_again",
    ),
    row(
        "relaxed-ack-load",
        "who sees it may overwrite",
        Place::Loom,
        "loom_ring_a_line_is_used_again",
    ),
    row(
        "local-before-news",
        "the flag first, then the word",
        Place::Loom,
        "loom_news_ends_a_sleep",
    ),
    row(
        "no-local",
        "the watcher changes the word that is slept on",
        Place::Loom,
        "loom_news_ends_a_sleep",
    ),
    row(
        "forget-taken",
        "what a dying reader had taken is known",
        Place::Test("channels"),
        "hostile::a_message_taken_by_a_reader",
    ),
    row(
        "unwatched",
        "what cannot be watched is looked at",
        Place::Test("system"),
        "refused::an_end_that_may_watch_nothing_more",
    ),
    row(
        "no-room-is-their-fault",
        "a lack of room here is no fault of the other side",
        Place::Test("system"),
        "shortage::who_has_no_room",
    ),
    row(
        "no-length-limit",
        "no file is made longer than the process may",
        Place::Test("system"),
        "shortage::files_may_not_be_long",
    ),
    row(
        "only-records-are-watched",
        "a seat whose socket was removed is bound again",
        Place::Test("system"),
        "swept::what_is_swept",
    ),
    row(
        "sockets-tell-all",
        "a death is told although a copy of the process goes on",
        Place::Test("system"),
        "lives::copies_of_a_process",
    ),
    row(
        "waits-by-the-wall-clock",
        "no wait is by a clock that can be set",
        Place::Test("system"),
        "clocks::no_wait_is",
    ),
    row(
        "by-another-clock",
        "a limit is by the clock that is asked for",
        Place::Test("system"),
        "clocks::time_outs_are_kept_in_a_namespace",
    ),
    row(
        "signal-expires",
        "a signal waits for whoever is stopped",
        Place::Test("system"),
        "stops::a_stopped_waiter",
    ),
    row(
        "own-user-only",
        "who is let in by the option for everyone is let in",
        Place::Test("system"),
        "users::everyone_is_let_in",
    ),
    row(
        "refusal-ignored",
        "a fence that is refused is made up for",
        Place::Test("system"),
        "sandbox::a_pair_of_which_one_end_locks_itself_in",
    ),
    row(
        "deaf-is-quiet",
        "a doorbell that cannot be heard is replaced by its word",
        Place::Test("system"),
        "crowds::a_wait_on_many_ends_needs_no_descriptors",
    ),
    row(
        "endless-look",
        "a look has an end whatever the ring's writer does",
        Place::Unit,
        "a_ring_that_goes_on_for_ever",
    ),
];

/// The test of `send`, `recv` and acknowledge, led by single steps.
const STEPS: &str = "a_message_is_whole_or_absent_at_every_instruction";

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
    for name in which.iter().filter(|name| !whole && all().all(|m| m.name != **name)) {
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

/// Every fault in the sources has a row, and every row a fault.
pub(crate) fn compare(tree: &Result<Tree, String>) -> Result<(), String> {
    let tree = tree.as_ref().map_err(Clone::clone)?;
    let rows: BTreeSet<&str> = all().map(|m| m.name).collect();
    let found = named_in(tree);
    let mut wrong = Vec::new();
    for name in found.iter().filter(|name| !rows.contains(name.as_str())) {
        wrong.push(format!("the fault \"{name}\" has no row in xtask/src/mutants.rs"));
    }
    for name in rows.iter().filter(|name| !found.contains(**name)) {
        wrong.push(format!("the row \"{name}\" has no fault in the sources"));
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
    fn no_row_stands_twice_and_no_name_is_reserved() {
        let rows: BTreeSet<_> = all().map(|m| (m.name, m.place, m.test)).collect();
        assert_eq!(rows.len(), all().count());
        let names: BTreeSet<&str> = all().map(|m| m.name).collect();
        assert!(!names.contains(HEALTHY) && !names.contains("all") && !names.contains("list"));
    }
}
