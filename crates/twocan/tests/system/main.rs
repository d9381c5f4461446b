//! The system turning on us: full disks, spent limits, system calls that are not there, stopped
//! processes, swept directories, namespaces, other users. Each story ends in the same way: it works
//! by another road, or an error says what is missing; never a signal, never a hang.
//!
//! Processes that change themselves for ever (filters, limits, namespaces, users) are children.
//! Each has an alarm clock: a hang is a death by SIGALRM, and that a failure.
//!
//! `TWOCAN_STOPS` and `TWOCAN_STOP_MS` say how many ends are stopped, and for how long.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/mod.rs"]
mod support;

mod jail;
mod roles;

mod clocks;
mod crowds;
mod guest;
mod lives;
mod refused;
mod sandbox;
mod shortage;
mod spaces;
mod stops;
mod swept;
mod users;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    if let Some(words) = support::role() {
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        roles::play(&args);
    }
}

/// A line for the table of what was proved.
fn trust(row: &str, figure: impl std::fmt::Display) {
    println!("trust: {row}: {figure}");
}

/// A story, or a part of it, that cannot be told on this machine.
fn skipped(row: &str, why: &str) {
    println!("trust: {row}: skipped: {why}");
}

/// Hears a child out that says "done" at its end, or "skip" and why. True = done.
fn is_played(row: &str, mut child: support::Child) -> bool {
    loop {
        match child.hear().as_str() {
            "done" => {
                child.finish();
                return true;
            }
            "" => panic!("{row}: the child died"),
            line => match line.strip_prefix("skip ") {
                Some(why) => {
                    skipped(row, why);
                    return false;
                }
                None => println!("{line}"),
            },
        }
    }
}

/// A number from the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    support::setting(name).unwrap_or(otherwise)
}
