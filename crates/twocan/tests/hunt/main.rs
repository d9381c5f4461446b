//! A hunt for lost wakes. Two sides say and hear in turn, one message at a time, so that a wake
//! that does not come is a waiter that sleeps for ever; `aim` makes each side fall asleep just when
//! the other wakes it. Both sides wait without a limit: nothing but the wake ends a sleep.
//!
//! An observer outside looks at them. A wake is lost when what a waiter waits for has been there
//! for 100 ms (the waker's call has returned) and, at every one of at least twenty looks during
//! that time, every thread of the players slept in the kernel: nobody is left who could wake it.
//! Whoever was woken and does not get a core is not asleep, nor is one that holds a lock meanwhile,
//! and a frozen machine is not looked at: the load of the machine makes nothing fail. The longest
//! wait by the clock, and how many took more than 100 ms, are told beside it.
//!
//! The plays: messages both ways; a message and its acknowledgement (a sender that sleeps); a wait
//! for any of three things; two threads that wait for the same message; two events. Each is played
//! by two processes and by two threads of one, with waiters that sleep at once and such as look for
//! a while, with and without membarrier.
//!
//! `TWOCAN_ROUNDS` sets the rounds of each test (default 4000), `TWOCAN_SEED` repeats the delays.

#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/mod.rs"]
mod support;

mod aim;
mod board;
#[path = "../support/chance.rs"]
mod chance;
mod player;

use board::{Board, LANES};
use player::{ANSWER, BEGIN, SECOND, Tally};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use support::{Child, TempDir, setting};

/// A waiter that slept so long beside what it waits for was not woken.
const LOST: Duration = Duration::from_millis(100);
const LOOKS: u32 = 20;
/// Nobody gets on for so long: something hangs that is no sleep.
const STUCK: Duration = Duration::from_secs(60);

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    if let Some(words) = support::role() {
        player::play(&words);
    }
}

/// One after the other: each wants both cores.
static STAGE: Mutex<()> = Mutex::new(());

/// Plays in all ways, `rounds` in sum.
fn hunt(play: &str, rounds: u64) -> Tally {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = support::seed();
    println!("{play}: TWOCAN_SEED={seed} TWOCAN_ROUNDS={rounds}");
    let mut all = Tally::default();
    for processes in [2, 1] {
        for spin in ["never", "adaptive"] {
            for fence in ["membarrier", "plain"] {
                let way = Way { play, processes, spin, fence };
                let started = Instant::now();
                let tally = way.run(rounds.div_ceil(8), seed);
                let took = started.elapsed();
                println!("{way:?} in {took:.1?}: {tally:?}");
                all.add(tally);
            }
        }
    }
    all
}

#[derive(Debug)]
struct Way<'a> {
    play: &'a str,
    processes: u32,
    spin: &'a str,
    fence: &'a str,
}

impl Way<'_> {
    fn run(&self, rounds: u64, seed: u64) -> Tally {
        let dir = TempDir::new("hunt");
        let path = dir.0.join("board");
        let board = Board::at(&path);
        let names = dir.0.join("names");
        std::fs::create_dir(&names).unwrap();
        let (rounds, seed) = (rounds.to_string(), seed.to_string());
        let start = |parts: &str| {
            let words = [parts, self.play, self.spin, &rounds, &seed, path.to_str().unwrap()];
            Child::start_with("player", &words, |command| {
                command.env("TWOCAN_DIR", &names);
                if self.fence == "plain" {
                    command.env("TWOCAN_TEST_NO_MEMBARRIER", "1");
                }
            })
        };
        let mut children = match self.processes {
            1 => vec![start("begin+answer")],
            _ => vec![start("begin"), start("answer")],
        };
        let mut lanes = vec![ANSWER, BEGIN];
        if self.play == "two" {
            lanes.push(SECOND);
        }
        observe(board, &lanes, self);
        let mut tally = Tally::default();
        for child in &mut children {
            let said = child.hear();
            let mut numbers = said.split(' ').map(|n| n.parse::<u64>().unwrap());
            let mut next = || numbers.next().unwrap();
            tally.add(Tally { slept: next(), longest: next(), long: next() });
        }
        children.into_iter().for_each(Child::finish);
        tally
    }
}

/// Looks at the waiters until all have done their rounds. Panics when one sleeps although it was
/// woken.
fn observe(board: &Board, lanes: &[usize], way: &Way<'_>) {
    let mut seen = [((0, 0), Instant::now(), 0u32); LANES];
    let mut moved = Instant::now();
    while !lanes.iter().all(|lane| board.is_done(*lane)) {
        std::thread::sleep(Duration::from_millis(4));
        for lane in lanes {
            let debt = board.debt(*lane);
            let (before, since, looks) = &mut seen[*lane];
            if debt != *before {
                moved = Instant::now();
            }
            let owed = debt.1 > debt.0;
            if debt == *before && owed && all_asleep(board, lanes) {
                *looks += 1;
                let lost = *looks >= LOOKS && since.elapsed() >= LOST;
                assert!(!lost, "a wake was lost: {way:?}, waiter {lane}, (heard, said) {debt:?}");
            } else {
                (*before, *since, *looks) = (debt, Instant::now(), 0);
            }
        }
        let debts: Vec<_> = lanes.iter().map(|lane| board.debt(*lane)).collect();
        assert!(moved.elapsed() < STUCK, "nobody gets on: {way:?}, (heard, said) {debts:?}");
    }
}

/// Does every thread of the players sleep in the kernel (and not: wait for a core, or stand in a
/// frozen group)?
fn all_asleep(board: &Board, lanes: &[usize]) -> bool {
    let sleeps = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat")));
        stat.is_ok_and(|s| s.rsplit(')').next().is_some_and(|s| s.trim_start().starts_with('S')))
    };
    lanes.iter().all(|lane| {
        let Some(pid) = board.waiter(*lane) else { return false };
        std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|mut tasks| tasks.all(sleeps))
    })
}

fn rounds() -> u64 {
    setting("TWOCAN_ROUNDS").unwrap_or(4000)
}

#[test]
fn no_wake_is_lost_between_messages() {
    hunt("messages", rounds());
}

#[test]
fn no_wake_is_lost_between_a_message_and_its_acknowledgement() {
    hunt("acknowledgements", rounds());
}

#[test]
fn no_wake_is_lost_by_who_waits_for_any_of_three() {
    hunt("any", rounds());
}

#[test]
fn no_wake_is_lost_by_two_who_wait_for_the_same() {
    hunt("two", rounds());
}

#[test]
fn no_wake_is_lost_between_events() {
    hunt("events", rounds());
}

#[test]
#[ignore = "minutes; `cargo xtask trust` runs it"]
fn the_long_hunt() {
    let rounds = setting("TWOCAN_ROUNDS").unwrap_or(5_000_000);
    let mut all = Tally::default();
    for (play, share) in
        [("messages", 40), ("acknowledgements", 20), ("any", 15), ("two", 10), ("events", 15)]
    {
        all.add(hunt(play, rounds * share / 100));
    }
    println!(
        "trust: lost-wake: 0 lost in {rounds} rounds, {} sleeps; longest wait by the clock {:.1} \
         ms, {} above 100 ms (woken, but without a core)",
        all.slept,
        all.longest as f64 / 1e6,
        all.long
    );
}
