//! Waiters and setters of named events are killed at any moment: nobody else's signal is lost.
//!
//! The stories, one of them in each trial, chosen by chance:
//! - *An auto-reset event, and a waiter is killed* about when it is set, once. Legal: the survivor
//!   goes; or the killed one had been released and took the signal along, and the event is not set.
//!   Illegal: it is set, and the survivor sleeps; or both went.
//! - *An auto-reset event, and its setter is killed.* Legal: the survivor goes at least once if one
//!   `set` had returned, and no more often than `set` was called; it is not set when all is quiet.
//! - *A manual-reset event, and a waiter is killed* about when it is set, or set and reset at once.
//!   Legal: the survivor, who waited, goes.
//! - *A manual-reset event, and its setter is killed*, setting and resetting. Legal: the survivor
//!   goes if one `set` had returned, or if the event is set when all is quiet.

use crate::chance::Chance;
use crate::support::{say, unique, until_asleep};
use crate::survivor::Survivor;
use crate::zygote::{Zygote, pipe, strike};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use twocan::{Event, Reset};

/// Stories at a time.
const STAGES: u64 = 3;

/// The victim. Descriptor: its report, one byte for each step.
pub fn play(words: &[&str], fds: Vec<OwnedFd>) {
    let [report] = <[OwnedFd; 1]>::try_from(fds).expect("a pipe");
    let mut report = File::from(report);
    let mut step = || report.write_all(&[1]).expect("the test reads");
    match *words {
        ["waits", name] => {
            let event = Event::open_existing(name).unwrap();
            step();
            event.wait().unwrap();
            step();
            loop {
                std::thread::park(); // whatever it took along goes with it
            }
        }
        ["sets", name, resets, seed] => {
            let mut chance = Chance::new(seed.parse().unwrap());
            let event = Event::open_existing(name).unwrap();
            let pause = chance.below(60);
            loop {
                event.set().unwrap();
                step();
                if resets == "and resets" {
                    event.reset().unwrap();
                }
                // Now and then long enough for the waiter to be asleep again.
                spin(chance.below(pause + 1));
            }
        }
        _ => panic!("no such role: {words:?}"),
    }
}

fn spin(micros: u64) {
    let end = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

#[derive(Debug, Default)]
pub struct Report {
    kills: u64,
    /// Releases of the survivors.
    released: u64,
    /// Signals that a killed waiter took along, as it may.
    taken_along: u64,
    /// Sets that had returned.
    sets: u64,
}

struct Stage<'z> {
    zygote: &'z Zygote,
    name: String,
    event: Event,
    survivor: Survivor,
    report: Report,
}

impl<'z> Stage<'z> {
    fn new(zygote: &'z Zygote, reset: Reset, for_ever: bool) -> Stage<'z> {
        let name = unique("signals");
        let event = Event::create_new(&name, reset).unwrap();
        let survivor = Survivor::start(&event, for_ever);
        Stage { zygote, name, event, survivor, report: Report::default() }
    }

    fn victim(&self, words: &[&str]) -> (i32, File) {
        let (ours, theirs) = pipe();
        (self.zygote.spawn(words, &[theirs.as_fd()]), ours.into())
    }

    /// Waits until a victim waits, or is about to.
    fn waiter(&self, chance: &mut Chance) -> (i32, File) {
        let (pid, mut report) = self.victim(&["waits", &self.name]);
        report.read_exact(&mut [0]).expect("it comes to wait");
        match chance.below(4) {
            0 => {}
            1 => spin(chance.below(100)),
            _ => until_asleep(pid as u32, pid as u32),
        }
        (pid, report)
    }

    /// The victim is dead; how many more steps it had reported.
    fn bury(&mut self, pid: i32, mut report: File) -> u64 {
        self.zygote.reap(pid);
        self.report.kills += 1;
        let mut rest = Vec::new();
        report.read_to_end(&mut rest).unwrap();
        rest.len() as u64
    }

    /// A waiter about to be killed, and the survivor waiting; either was there first.
    fn both_wait(&self, chance: &mut Chance) -> (i32, File, u64) {
        let survivor_first = chance.percent(50);
        let early = survivor_first.then(|| self.survivor.begin());
        let (pid, report) = self.waiter(chance);
        let before = early.unwrap_or_else(|| self.survivor.begin());
        (pid, report, before)
    }

    fn auto_waiter(&mut self, chance: &mut Chance) {
        let (pid, report, before) = self.both_wait(chance);
        let late = chance.percent(70);
        if !late {
            strike(pid);
        }
        self.event.set().unwrap();
        if late {
            spin([0, 2, 20][chance.below(3) as usize]);
            strike(pid);
        }
        let released = self.bury(pid, report);
        // Nobody sets it any more; whoever was woken is not asleep.
        self.survivor.until_asleep();
        let went = self.survivor.got() - before;
        assert!(went + released <= 1, "one set, and two went");
        if went == 0 {
            assert!(!self.event.try_wait().unwrap(), "it is set, and a waiter sleeps");
            self.report.taken_along += 1;
            self.event.set().unwrap();
            self.survivor.goes(before);
        }
        self.report.sets += 1;
        self.report.released += 1;
    }

    fn auto_setter(&mut self, chance: &mut Chance) {
        self.survivor.until_asleep();
        let before = self.survivor.got();
        let sets = self.kill_setter("and sets", chance);
        self.survivor.until_asleep();
        let went = self.survivor.got() - before;
        assert!(!self.event.try_wait().unwrap(), "it is set, and a waiter sleeps");
        assert!(went <= sets + 1, "{sets} sets, and {went} went");
        assert!(sets == 0 || went > 0, "{sets} sets, and nobody went");
        self.report.released += went;
    }

    fn kill_setter(&mut self, how: &str, chance: &mut Chance) -> u64 {
        let seed = chance.word().to_string();
        let (pid, mut report) = self.victim(&["sets", &self.name, how, &seed]);
        let begun = chance.percent(80);
        if begun {
            report.read_exact(&mut [0]).expect("it sets");
        }
        spin(chance.below(300));
        strike(pid);
        let sets = self.bury(pid, report) + u64::from(begun);
        self.report.sets += sets;
        sets
    }

    fn manual_waiter(&mut self, chance: &mut Chance) {
        let (pid, report, before) = self.both_wait(chance);
        let late = chance.percent(70);
        if !late {
            strike(pid);
        }
        self.event.set().unwrap();
        if chance.percent(50) {
            self.event.reset().unwrap();
        }
        if late {
            spin([0, 2, 20][chance.below(3) as usize]);
            strike(pid);
        }
        self.bury(pid, report);
        self.survivor.goes(before);
        self.event.reset().unwrap();
        self.report.sets += 1;
        self.report.released += 1;
    }

    fn manual_setter(&mut self, chance: &mut Chance) {
        let before = self.survivor.begin();
        let sets = self.kill_setter("and resets", chance);
        if sets > 0 || self.event.try_wait().unwrap() {
            self.survivor.goes(before);
        }
        // It may have been set and reset by the killed one, or not at all.
        self.event.set().unwrap();
        self.survivor.goes(before);
        self.event.reset().unwrap();
        self.report.released += 1;
    }
}

pub fn kill_all(kills: u64, seed: u64) {
    let dir = std::env::var_os("TWOCAN_DIR").expect("set by the test");
    let started = Instant::now();
    let mut all = Report::default();
    std::thread::scope(|scope| {
        let stages: Vec<_> = (0..STAGES)
            .map(|number| {
                let mut chance = Chance::new(seed ^ number << 56);
                let share = kills / STAGES + u64::from(number < kills % STAGES);
                let dir = &dir;
                scope.spawn(move || {
                    let zygote = Zygote::start(dir.as_ref());
                    let mut once = Stage::new(&zygote, Reset::Auto, false);
                    let mut auto = Stage::new(&zygote, Reset::Auto, true);
                    let mut manual = Stage::new(&zygote, Reset::Manual, false);
                    for _ in 0..share {
                        match chance.below(4) {
                            0 => once.auto_waiter(&mut chance),
                            1 => auto.auto_setter(&mut chance),
                            2 => manual.manual_waiter(&mut chance),
                            _ => manual.manual_setter(&mut chance),
                        }
                    }
                    [once.report, auto.report, manual.report]
                })
            })
            .collect();
        for report in stages.into_iter().flat_map(|stage| stage.join().unwrap()) {
            all.kills += report.kills;
            all.released += report.released;
            all.taken_along += report.taken_along;
            all.sets += report.sets;
        }
    });
    let Report { kills, released, taken_along, sets } = all;
    say(&format!("{kills} kills in {:.1} s", started.elapsed().as_secs_f64()));
    say(&format!(
        "trust: event-kills: {kills} kills of waiters and setters, {sets} sets, survivors released \
         {released} times, 0 signals lost, {taken_along} taken along as promised"
    ));
}
