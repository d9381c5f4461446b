//! Kill at every instruction: of `send`, of `recv` and acknowledging, of opening, meeting and
//! leaving; of setting an event, waiting for it, and resetting it. And not killed, but lied to at
//! every instruction of `recv`.
//!
//! How it is tried. A second process gets ready, and is then led through a window of its program
//! one instruction at a time (ptrace). After so many instructions it is killed. The survivor and
//! whoever comes next must find: what `send` accepted is there, whole, in order; what it had not
//! accepted is there whole or not at all; what was acknowledged does not come again, what was not
//! comes; and the channel goes on within a second. Then the next victim goes one instruction
//! further.
//!
//! A kill in front of an instruction and one behind it are two points; a system call counts as one
//! instruction here, and what a kill does in the middle of one is the kernel's affair (and that of
//! the test `kill`).
//!
//! `TWOCAN_STEPS` sets how many points of each window are tried (spread over it evenly, at another
//! place in each run; `TWOCAN_SEED` repeats them). `all` = every one. `distinct` = in the windows
//! of opening, meeting and leaving, one of those between which nothing happens that another
//! process could see: no system call, no change of shared memory. `TWOCAN_WINDOW` picks one window
//! by its name.

#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[allow(dead_code, reason = "this file uses a part")]
#[cfg(target_arch = "x86_64")]
#[path = "../channels/fake.rs"]
mod fake;

#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/survivor.rs"]
mod survivor;
#[path = "../support/zygote.rs"]
mod zygote;

#[cfg(target_arch = "x86_64")]
mod lies;
#[cfg(target_arch = "x86_64")]
mod messages;
#[cfg(target_arch = "x86_64")]
mod sessions;
#[cfg(target_arch = "x86_64")]
mod signals;
#[cfg(target_arch = "x86_64")]
mod stage;
#[cfg(target_arch = "x86_64")]
mod trace;
#[cfg(target_arch = "x86_64")]
mod victim;
#[cfg(target_arch = "x86_64")]
mod windows;

use support::on_stage;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let words = support::role().unwrap_or_default();
    #[cfg(target_arch = "x86_64")]
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["zygote"] => zygote::serve(victim::play),
        ["lies"] => windows::of_lies(),
        ["messages"] => windows::of_messages(),
        ["sessions"] => windows::of_sessions(),
        ["signals"] => windows::of_signals(),
        _ => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    for (role, row) in [
        ("messages", "kill-steps"),
        ("sessions", "kill-steps-open"),
        ("signals", "kill-steps-events"),
    ] {
        if words.first().is_some_and(|word| word == role) {
            let why = "this test knows the instructions of x86-64 only";
            support::say(&format!("trust: {row}: skipped: {why}"));
        }
    }
}

#[test]
fn a_message_is_whole_or_absent_at_every_instruction() {
    on_stage("messages");
}

#[test]
fn whoever_is_killed_in_coming_or_going_leaves_the_channel_to_the_next() {
    on_stage("sessions");
}

#[test]
fn a_length_that_changes_at_any_instruction_is_true_or_refused() {
    on_stage("lies");
}

#[test]
fn a_signal_is_given_and_taken_or_not_at_every_instruction() {
    on_stage("signals");
}
