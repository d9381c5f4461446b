//! Stopped processes: a debugger, a terminal, a laptop that slept. A stopped end is alive: nobody
//! is told of a death, time-outs are kept, and everything goes on when it goes on.

use crate::roles::converse;
use crate::support::{Child, LONG, eventually, unique};
use crate::{jail, setting, trust};
use std::time::{Duration, Instant};
use twocan::{Channel, ErrorKind, Event, RecvError, Reset, SendError, Spin, Until, wait_any};

const SHORT: Duration = Duration::from_millis(50);

/// Returns when every thread of the process stands still. The signal alone says nothing: one thread
/// hears of it and stops the others, which may still take what comes meanwhile.
fn stop(pid: u32) {
    jail::signal(pid, libc::SIGSTOP);
    let stopped = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    eventually("it stands still", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.map(Result::unwrap).all(stopped)
    });
}

#[test]
fn a_stopped_end_is_no_dead_end() {
    let stops = setting("TWOCAN_STOPS", 4);
    let length = Duration::from_millis(setting("TWOCAN_STOP_MS", 1000));
    // Side by side, as they only wait; half as many shorter ones beside them.
    let started = Instant::now();
    std::thread::scope(|scope| {
        for i in 0..stops + stops / 2 {
            let length = if i < stops { length } else { length / 10 };
            scope.spawn(move || stop_an_end(i, length));
        }
    });
    let secs = length.as_secs_f64();
    let took = started.elapsed().as_secs_f64();
    let more = stops / 2;
    let words = "no false death, all time-outs kept";
    trust(
        "stopped",
        format!("{stops} stops of {secs} s, {more} of a tenth: {words} ({took:.0} s)"),
    );
}

fn stop_an_end(i: u64, length: Duration) {
    let name = unique("stopped");
    let ms = length.as_millis() as u64;
    let patient = (60 + 2 * ms / 1000).to_string();
    let mut child = Child::start("patient", &[&patient, "echo", &name]);
    let mut end = Channel::options().spin(Spin::Never).send_capacity(4096).open(&name).unwrap();
    child.expect("open");
    converse(&mut end, 20);
    if i % 2 == 1 {
        // In the middle of its work, not asleep.
        end.send_timeout(1_u32.to_le_bytes(), LONG).unwrap();
    }
    let stopped = Instant::now();
    stop(child.pid());
    if i % 2 == 1 && end.recv_timeout(SHORT).is_ok() {
        // Its answer was faster than the stop.
    }
    let queued = look_at_a_stopped_end(&mut end, &name, child.pid());
    // Everything at once, for the rest of the time.
    let left = length.saturating_sub(stopped.elapsed());
    if !left.is_zero() {
        assert_eq!(end.recv_timeout(left).unwrap_err(), RecvError::TimedOut);
    }
    assert!(stopped.elapsed() >= length);
    assert!(end.peer().is_some());
    jail::signal(child.pid(), libc::SIGCONT);
    for k in 0..queued {
        let answer = end.recv_timeout(LONG).unwrap();
        // (The one that was under way when it was stopped may come first.)
        assert!(answer.len() == 900 || k == 0 && answer.len() == 4, "{}", answer.len());
    }
    while end.recv_timeout(SHORT).is_ok() {}
    converse(&mut end, 20);
    drop(end);
    child.expect("closed"); // the first it hears of any departure
    child.finish();
}

/// What others notice of a stop: nothing comes, nothing is taken, and nobody is dead. Returns how
/// many messages wait for it.
fn look_at_a_stopped_end(end: &mut Channel, name: &str, pid: u32) -> u64 {
    let begun = Instant::now();
    assert_eq!(end.recv_timeout(SHORT).unwrap_err(), RecvError::TimedOut);
    assert!(begun.elapsed() >= SHORT);
    let begun = Instant::now();
    assert_eq!(wait_any(&[&*end.receiver()], Until::from(SHORT)).unwrap(), None);
    assert!(begun.elapsed() >= SHORT);
    let mut queued = 0;
    while end.try_send([9; 900]).is_ok() {
        queued += 1;
    }
    assert_eq!(end.try_send([9; 900]).unwrap_err(), SendError::Full);
    let begun = Instant::now();
    assert_eq!(end.send_timeout([9; 900], SHORT).unwrap_err(), SendError::TimedOut);
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(end.peer().unwrap().pid(), Some(pid));
    let third = Channel::open(name).unwrap_err();
    assert_eq!(third.kind(), ErrorKind::InUse, "{third}");
    assert!(third.to_string().contains(&format!("pid {pid}")), "{third}");
    assert_eq!(end.peer().unwrap().pid(), Some(pid));
    queued
}

#[test]
fn killed_while_stopped_is_dead() {
    let name = unique("stop-kill");
    let mut child = Child::start("echo", &[&name]);
    child.expect("open");
    let mut end = Channel::open(&name).unwrap();
    converse(&mut end, 5);
    stop(child.pid());
    assert_eq!(end.recv_timeout(SHORT).unwrap_err(), RecvError::TimedOut);
    child.kill();
    assert_eq!(end.recv_timeout(LONG).unwrap_err(), RecvError::PeerDied);
}

#[test]
fn a_stopped_waiter_of_an_event_takes_its_signal_afterwards() {
    let name = unique("stop-event");
    let event = Event::create_new(&name, Reset::Auto).unwrap();
    let mut child = Child::start("lives", &["waits", &name]);
    child.expect("waits");
    child.until_asleep();
    stop(child.pid());
    event.set().unwrap();
    std::thread::sleep(SHORT);
    jail::signal(child.pid(), libc::SIGCONT);
    child.expect("released");
    child.finish();
    assert!(!event.try_wait().unwrap());
}
