//! The promise that everything else serves: kill -9 either end at any instruction, one after the
//! other in any order, never both dead at once, and restart them. Every accepted message reaches
//! the application of the other side, in order, whole; only what a killed reader had not
//! acknowledged comes again, with the same number.
//!
//! How it is tried. Two ends, A and B, send to each other and read from each other at the same
//! time, small messages and such as need many fragments, fast readers and slow ones. Each end
//! writes a log into a pipe, which outlives it: its sender a line *after* `send` said Ok, its
//! reader a line *after* it has the message in hand and *before* it asks for the next. A director
//! kills one of them, waits for its end, starts it again, waits until it is attached, and kills
//! again: at a moment that chance picks, often before the newcomer has even opened.
//!
//! What a dead process's log proves (`ledger` holds it to this):
//! - "sent n" is there: n was accepted. It must be read on the other side, once, at its place.
//! - "sent n" is the last line: n + 1 may have been under way. It may be read or not; its successor
//!   goes on with n + 2.
//! - "read n" is there: the application had n. It may come once more, with the same number, if and
//!   only if it is the last line and its reader was killed: the reader had not asked for more, so n
//!   was not acknowledged. Had it asked and been killed before the next line, n does not come again
//!   but nothing proves it: both are legal.
//! - A message read but not logged was not acknowledged: it comes again, and is logged then.
//!
//! Several such pairs at a time: dying takes longer than computing.
//!
//! The same for waiters and setters of events: `signals` tells their stories.
//!
//! `TWOCAN_KILLS` sets the number of kills (default 2000; of waiters and setters 600),
//! `TWOCAN_SEED` repeats the choices of a run.

#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/survivor.rs"]
mod survivor;
#[path = "../support/zygote.rs"]
mod zygote;

mod actor;
mod director;
mod ledger;
mod signals;

use chance::Chance;
use director::Director;
use ledger::Report;
use std::time::Instant;
use support::{on_stage, seed, setting};

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let words = support::role().unwrap_or_default();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["zygote"] => zygote::serve(|words, fds| match words {
            ["waits" | "sets", ..] => signals::play(words, fds),
            _ => actor::play(words, fds),
        }),
        ["signals"] => signals::kill_all(setting("TWOCAN_KILLS").unwrap_or(600), seed()),
        _ => {}
    }
}

/// Pairs at a time. Until a killed process is gone takes some milliseconds in which nobody
/// computes: the kernel puts its watch of file names away.
const PAIRS: u64 = 4;
/// Kills after which a pair says farewell and its accounts are settled: the logs stay small.
const CHAPTER: u64 = 1000;

#[test]
fn whoever_is_killed_whenever_nothing_is_lost_and_nothing_comes_twice() {
    let (kills, seed) = (setting("TWOCAN_KILLS").unwrap_or(2000), seed());
    println!("TWOCAN_SEED={seed} TWOCAN_KILLS={kills}");
    let started = Instant::now();
    let pair = |number: u64| {
        let mut chance = Chance::new(seed ^ number << 56);
        let mut report = Report::default();
        let mut left = kills / PAIRS + u64::from(number < kills % PAIRS);
        while left > 0 {
            let chapter = left.min(CHAPTER);
            let mut director = Director::start(Chance::new(chance.word()));
            (0..chapter).for_each(|_| director.kill_one());
            report.add(&director.end());
            left -= chapter;
        }
        report
    };
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let pairs: Vec<_> = (0..PAIRS).map(|number| scope.spawn(move || pair(number))).collect();
        pairs.into_iter().for_each(|pair| report.add(&pair.join().unwrap()));
    });
    println!("{kills} kills in {:.1} s: {report}", started.elapsed().as_secs_f64());
    assert!(report.is_clean(), "TWOCAN_SEED={seed}: {report}");
    println!("trust: random-kills: {kills} kills, {}", report.figures());
}

#[test]
fn whoever_waits_or_sets_and_is_killed_loses_nobody_elses_signal() {
    on_stage("signals");
}
