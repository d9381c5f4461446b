//! Which windows there are, and what each run tries of them.

use crate::lies;
use crate::messages;
use crate::sessions;
use crate::signals;
use crate::stage::{self, Choice, Tally, Victim};
use crate::support::{say, seed, setting};
use crate::trace;
use crate::zygote::Zygote;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Mutex;
use std::time::Instant;

/// Windows at a time. Until a killed process is gone takes some milliseconds in which nobody
/// computes.
const LANES: usize = 4;

fn choice(default: usize) -> Choice {
    let seed = seed();
    say(&format!("TWOCAN_SEED={seed}"));
    let asked = std::env::var("TWOCAN_STEPS");
    let most = match asked.as_deref() {
        Ok("all" | "distinct") => usize::MAX,
        _ => setting("TWOCAN_STEPS").map_or(default, |n| n.max(1) as usize),
    };
    Choice { most, seed, distinct: asked.as_deref() == Ok("distinct") }
}

fn may_trace(zygote: &Zygote, row: &str) -> bool {
    let mut idle = Victim::start(zygote, &["idles"]);
    idle.until_ready();
    let allowed = trace::allowed(idle.pid);
    if let Err(why) = &allowed {
        say(&format!("trust: {row}: skipped: this process may not trace another ({why})"));
    }
    allowed.is_ok()
}

/// This thread, and the processes that it starts, take turns on one processor: a step is much
/// faster than between two.
fn stay_on(lane: usize) {
    let allowed = sched_getaffinity(None).unwrap();
    let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let mut one = CpuSet::new();
    one.set(all[lane % all.len()]);
    sched_setaffinity(None, &one).unwrap();
}

type Window = (&'static str, fn(&Zygote, &str, Choice) -> Tally);

/// Several windows at a time. `None` = it cannot be tried here.
fn through(row: &str, windows: &[Window], choice: Choice) -> Option<Tally> {
    let dir = std::env::var_os("TWOCAN_DIR").expect("set by the test");
    let zygote = || Zygote::start(dir.as_ref());
    if !may_trace(&zygote(), row) {
        return None;
    }
    stage::count_stalls();
    // The watcher of this process runs where it likes: it starts before anybody is pinned.
    drop(twocan::Channel::pair().unwrap());
    let mut windows = windows.to_vec();
    if let Ok(only) = std::env::var("TWOCAN_WINDOW") {
        windows.retain(|(how, _)| *how == only);
    }
    let (left, all) = (Mutex::new(windows), Mutex::new(Tally::default()));
    let (left, all, zygote) = (&left, &all, &zygote);
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || {
                stay_on(lane);
                let next = || left.lock().unwrap().pop();
                while let Some((how, play)) = next() {
                    let start = Instant::now();
                    let tally = play(&zygote(), how, choice);
                    say(&format!("{how}, {:.1} s: {tally:?}", start.elapsed().as_secs_f64()));
                    all.lock().unwrap().add(&tally);
                }
            });
        }
    });
    let files = std::fs::read_dir(&dir).unwrap().flatten().map(|file| file.file_name());
    assert_eq!(files.filter(|name| name != ".lock").collect::<Vec<_>>(), [""; 0]);
    let all = all.lock().unwrap().clone();
    Some(all)
}

pub fn of_messages() {
    let windows: [Window; 13] = [
        ("the next", messages::reads),
        ("and acknowledges", messages::reads),
        ("a delivery", messages::reads),
        ("and wakes", messages::reads),
        ("behind a long one", messages::reads),
        ("a small one", messages::sends),
        ("of several lines", messages::sends),
        ("behind padding", messages::sends),
        ("to a sleeper", messages::sends),
        ("in place", messages::sends),
        ("a batch", messages::sends),
        ("when there is room", messages::sends),
        ("a long one", messages::sends),
    ];
    let choice = choice(15);
    let Some(all) = through("kill-steps", &windows, choice) else { return };
    let Tally { slowest, again, .. } = all;
    say(&format!(
        "trust: kill-steps: {} of send, recv and acknowledge, 0 torn, 0 lost, slowest went on \
         after {} ms ({again} tried again)",
        all.figure(),
        slowest.as_millis()
    ));
}

pub fn of_lies() {
    let windows: [Window; 3] = [
        ("the first of a peer", lies::lies),
        ("the second", lies::lies),
        ("one of many", lies::lies),
    ];
    // More than of others: two looks may be few instructions apart.
    let Some(all) = through("length-lies", &windows, choice(400)) else { return };
    let Tally { windows, points, whole, absent, .. } = all;
    say(&format!(
        "trust: length-lies: the length of a record changed at {points} points in {windows} \
         windows of recv: {whole} times the message, {absent} times an error with a name"
    ));
}

pub fn of_sessions() {
    let windows: [Window; 5] = [
        ("close, all taken", sessions::leaves),
        ("leave, messages unread", sessions::leaves),
        ("welcome", sessions::welcomes),
        ("join", sessions::opens),
        ("open", sessions::opens),
    ];
    let choice = choice(16);
    let Some(all) = through("kill-steps-open", &windows, choice) else { return };
    let Tally { slowest, again, seen, .. } = all;
    // An end tells what it has taken, and its goodbye, in memory.
    assert!(seen > 2 || std::env::var_os("TWOCAN_WINDOW").is_some(), "only {seen} stores are seen");
    say(&format!(
        "trust: kill-steps-open: {} of open, handshake and close, {seen} of them a store that \
         others see, 0 lost, slowest went on after {} ms ({again} tried again)",
        all.figure(),
        slowest.as_millis()
    ));
}

pub fn of_signals() {
    let windows: [Window; 5] = [
        ("reset", signals::takes),
        ("take", signals::takes),
        ("wait", signals::waits),
        ("set", signals::sets),
        ("set, manual", signals::sets),
    ];
    let choice = choice(60);
    let Some(all) = through("kill-steps-events", &windows, choice) else { return };
    let figure = all.figure();
    say(&format!("trust: kill-steps-events: {figure} of set, wait and reset, 0 signals lost"));
}
