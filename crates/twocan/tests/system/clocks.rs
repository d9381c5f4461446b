//! The wall clock may be set at any time. Nothing here waits by it: a filter kills the process at
//! the first system call that would.

use crate::jail::{Answer, Rule, When, refuse};
use crate::roles::converse;
use crate::support::{Child, LONG, say, unique};
use crate::{is_played, trust};
use std::time::{Duration, Instant};
use twocan::{
    Cancel, Channel, Event, RecvError, Reset, SendError, Spin, Until, wait_all, wait_any,
};

const SHORT: Duration = Duration::from_millis(60);

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["waits", name] => {
            refuse(&by_the_wall_clock()).unwrap();
            all_waits(name);
            say("done");
        }
        ["waits in its own time", name] => {
            all_waits(name);
            say("done");
        }
        ["sins"] => {
            refuse(&by_the_wall_clock()).unwrap();
            sin();
            say("not noticed");
        }
        _ => return false,
    }
    true
}

/// Every way to wait for a time of the wall clock. A relative time is by the monotonic one, and
/// `FUTEX_WAIT` knows no other; a null pointer waits for ever.
fn by_the_wall_clock() -> Vec<Rule> {
    const ABSOLUTE: u32 = 1;
    let real = libc::CLOCK_REALTIME as u32;
    let kill = |call, when: &[When]| Rule { call, when: when.to_vec(), answer: Answer::Death };
    let given = |argument| When::is_not(argument, 0);
    vec![
        kill(libc::SYS_futex, &[When::has(1, libc::FUTEX_CLOCK_REALTIME as u32), given(3)]),
        kill(libc::SYS_futex_waitv, &[When::is(4, real), given(3)]),
        kill(libc::SYS_clock_nanosleep, &[When::is(0, real), When::has(1, ABSOLUTE)]),
        kill(libc::SYS_timerfd_create, &[When::is(0, real)]),
        kill(libc::SYS_timer_create, &[When::is(0, real)]),
    ]
}

/// What the filter is for: without this the test could not fail.
fn sin() {
    let word = 0_u32;
    let soon = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    let operation = libc::FUTEX_WAIT_BITSET | libc::FUTEX_CLOCK_REALTIME;
    // SAFETY: live words; the time is long past.
    unsafe {
        libc::syscall(libc::SYS_futex, &raw const word, operation, 0, &raw const soon, 0, u32::MAX)
    };
}

fn in_time<T>(wait: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = wait();
    assert!(begun.elapsed() >= SHORT, "too early");
    assert!(begun.elapsed() < LONG, "too late");
    result
}

/// Each wait of the library, until its time is up, and a conversation in which all sleep.
fn all_waits(name: &str) {
    let mut end = Channel::options().spin(Spin::Never).send_capacity(4096).open(name).unwrap();
    converse(&mut end, 100);
    assert!(in_time(|| matches!(end.recv_timeout(SHORT), Err(RecvError::TimedOut))));
    let until = Until::from(Instant::now() + SHORT);
    assert!(in_time(|| matches!(end.receiver().recv_until(until), Err(RecvError::TimedOut))));
    let (mut a, b) = Channel::options().send_capacity(4096).pair().unwrap();
    while a.try_send([1; 900]).is_ok() {}
    assert_eq!(in_time(|| a.send_timeout([1; 900], SHORT)).unwrap_err(), SendError::TimedOut);
    assert_eq!(in_time(|| a.send_timeout([1; 9000], SHORT)).unwrap_err(), SendError::TimedOut);
    drop(b);
    let lonely = Channel::open(&format!("{name}-lonely")).unwrap();
    assert!(in_time(|| lonely.wait_peer(SHORT)).is_err());
    let event = Event::anonymous(Reset::Auto).unwrap();
    assert!(!in_time(|| event.wait_timeout(SHORT)).unwrap());
    let receiver = end.receiver();
    assert_eq!(in_time(|| wait_any(&[&event, &*receiver], SHORT)).unwrap(), None);
    assert!(!in_time(|| wait_all(&[&event, &*receiver], SHORT)).unwrap());
    let many: Vec<Event> = (0..200).map(|_| Event::anonymous(Reset::Auto).unwrap()).collect();
    let many: Vec<&dyn twocan::Waitable> = many.iter().map(|e| e as _).collect();
    assert_eq!(in_time(|| wait_any(&many, SHORT)).unwrap(), None);
    let cancel = Cancel::new();
    assert_eq!(in_time(|| wait_any(&[&cancel], SHORT)).unwrap(), None);
    drop(lonely);
}

#[test]
fn no_wait_is_by_the_wall_clock() {
    let mut sinner = Child::start("clocks", &["sins"]);
    assert_eq!(sinner.hear(), "", "the filter does not see it");
    drop(sinner);
    for way in [None, Some("futex_waitv")] {
        let name = unique("clock");
        let mut echo = Child::start("echo", &[&name]);
        echo.expect("open");
        let errno = libc::ENOSYS.to_string();
        let mut child = match way {
            None => Child::start("clocks", &["waits", &name]),
            Some(lacks) => Child::start("refuse", &[lacks, &errno, "clocks", "waits", &name]),
        };
        child.expect("done");
        child.finish();
        echo.expect("closed");
        echo.finish();
    }
    trust("wall-clock", "no wait reads it: a filter would have killed the process");
}

#[test]
fn time_outs_are_kept_in_a_namespace_whose_clock_is_days_ahead() {
    let name = unique("ahead");
    let mut echo = Child::start("echo", &[&name]);
    echo.expect("open");
    let child = Child::start("inside", &["t", "clocks", "waits in its own time", &name]);
    is_played("time-namespaces", child);
}
