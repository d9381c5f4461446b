use super::words::BEHIND_A_LOOK;
use super::*;
use std::sync::atomic::{AtomicU32, Ordering as O};
use std::thread;
use std::time::Instant;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(20);

fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, O::Relaxed);
    format!("test-event-{what}-{}-{n}", std::process::id())
}

/// A wait that was forgotten looks once more when its time is up: it must not last so long.
fn prompt<T>(wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    assert!(start.elapsed() < LONG / 2, "nobody woke it");
    result
}

/// Starts `n` threads that wait, and returns when all of them sleep in the kernel.
fn sleepers(event: &Event, n: usize) -> Vec<thread::JoinHandle<bool>> {
    let (tell, told) = std::sync::mpsc::channel();
    let start = |_| {
        let (event, tell) = (event.try_clone().unwrap(), tell.clone());
        thread::spawn(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            prompt(|| event.wait_timeout(LONG).unwrap())
        })
    };
    let handles = (0..n).map(start).collect();
    for tid in told.iter().take(n) {
        until_asleep(tid.as_raw_nonzero().get());
    }
    handles
}

fn until_asleep(tid: i32) {
    let path = format!("/proc/self/task/{tid}/wchan");
    let stat = format!("/proc/self/task/{tid}/stat");
    for _ in 0..20_000 {
        let at = std::fs::read_to_string(&path).unwrap_or_default();
        let state = std::fs::read_to_string(&stat).unwrap_or_default();
        let asleep = state.rsplit(')').next().is_some_and(|s| s.trim_start().starts_with('S'));
        // Without wchan (hardened kernels show 0): asleep is all that can be known.
        if asleep && (at.contains("futex") || at == "0" || at.is_empty()) {
            return;
        }
        thread::sleep(Duration::from_micros(100));
    }
    panic!("thread {tid} does not sleep");
}

#[test]
fn auto_takes_one_manual_lets_all_go() {
    let event = Event::anonymous(Reset::Auto).unwrap();
    assert!(!event.try_wait().unwrap());
    event.set().unwrap();
    assert!(event.try_wait().unwrap());
    assert!(!event.try_wait().unwrap());

    let handles = sleepers(&event, 3);
    for gone in 1..=3 {
        event.set().unwrap();
        let deadline = Instant::now() + LONG;
        while handles.iter().filter(|h| h.is_finished()).count() < gone {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(SHORT);
        assert_eq!(handles.iter().filter(|h| h.is_finished()).count(), gone);
    }
    assert!(handles.into_iter().all(|h| h.join().unwrap()));

    let event = Event::anonymous(Reset::Manual).unwrap();
    let handles = sleepers(&event, 4);
    event.set().unwrap();
    assert!(handles.into_iter().all(|h| h.join().unwrap()));
    assert!(event.try_wait().unwrap() && event.try_wait().unwrap());
    event.reset().unwrap();
    assert!(!event.try_wait().unwrap());
}

#[test]
fn set_and_reset_in_quick_order_let_all_manual_waiters_go() {
    let event = Event::anonymous(Reset::Manual).unwrap();
    for _ in 0..20 {
        let handles = sleepers(&event, 4);
        event.set().unwrap();
        event.reset().unwrap();
        assert!(handles.into_iter().all(|h| h.join().unwrap()));
        assert!(!event.try_wait().unwrap());
    }
}

#[test]
fn the_counters_may_wrap() {
    for start in [u32::MAX - 2, u32::MAX, (1 << 31) - 1, 1 << 31] {
        for reset in [Reset::Auto, Reset::Manual] {
            let event = Event::anonymous(reset).unwrap();
            event.shared.words.start_at(start, start);
            for _ in 0..6 {
                assert!(!event.try_wait().unwrap());
                event.set().unwrap();
                event.set().unwrap();
                assert!(event.try_wait().unwrap());
                event.reset().unwrap();
            }
        }
    }
}

#[test]
fn a_set_event_stays_set_however_often_it_is_set() {
    // One set before 2^32 of them would make the words equal again.
    let event = Event::anonymous(Reset::Auto).unwrap();
    event.shared.words.start_at(5, 4);
    event.set().unwrap();
    let seen = event.shared.words.look();
    assert!(seen.is_set());
    assert_eq!(seen.sets.wrapping_sub(seen.taken), 2, "taken was pulled along");
    assert!(event.try_wait().unwrap());
    assert!(!event.try_wait().unwrap());
    // Just before the distance that pulls, nothing is moved.
    event.shared.words.start_at(0, (1 << 31) - 1);
    event.set().unwrap();
    assert_eq!(event.shared.words.look().taken, 0);
    event.set().unwrap();
    assert_eq!(event.shared.words.look().taken, (1 << 31) - 1);
}

#[test]
fn no_signal_is_taken_twice_and_none_is_lost() {
    // One set at a time, taken by one of three: as many waits return as sets were made.
    const SETS: u32 = 2000;
    let event = Event::anonymous(Reset::Auto).unwrap();
    let taken = Arc::new(AtomicU32::new(0));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (event, taken) = (event.try_clone().unwrap(), taken.clone());
            thread::spawn(move || {
                while prompt(|| event.wait_timeout(LONG).unwrap()) {
                    if taken.fetch_add(1, O::SeqCst) >= SETS {
                        return;
                    }
                }
                panic!("a signal was lost");
            })
        })
        .collect();
    for n in 0..SETS {
        event.set().unwrap();
        while taken.load(O::SeqCst) <= n {
            thread::yield_now();
        }
        assert_eq!(taken.load(O::SeqCst), n + 1, "taken twice");
    }
    for n in 0..3 {
        event.set().unwrap();
        while taken.load(O::SeqCst) <= SETS + n {
            thread::yield_now();
        }
    }
    workers.into_iter().for_each(|w| w.join().unwrap());
}

#[test]
fn lookers_who_are_held_up_take_nothing_twice() {
    // Threads that only look, more than there are processors: some are held up between two loads.
    const SETS: u32 = 20_000;
    let event = Event::anonymous(Reset::Auto).unwrap();
    let (taken, stop) = (Arc::new(AtomicU32::new(0)), crate::Cancel::new());
    let lookers: Vec<_> = (0..6)
        .map(|_| {
            let (event, taken, stop) = (event.try_clone().unwrap(), taken.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.is_cancelled() {
                    if event.try_wait().unwrap() {
                        taken.fetch_add(1, O::SeqCst);
                    }
                }
            })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_millis(1500);
    for n in 0..SETS {
        event.set().unwrap();
        while taken.load(O::SeqCst) <= n {
            thread::yield_now();
        }
        assert_eq!(taken.load(O::SeqCst), n + 1, "taken twice");
        if Instant::now() > deadline {
            break;
        }
    }
    stop.cancel();
    lookers.into_iter().for_each(|l| l.join().unwrap());
}

#[test]
fn a_reset_leaves_nothing_of_the_sets_before_it_whoever_takes_meanwhile() {
    let event = Event::anonymous(Reset::Auto).unwrap();
    let stop = crate::Cancel::new();
    let taker = {
        let (event, stop) = (event.try_clone().unwrap(), stop.clone());
        thread::spawn(move || {
            while !stop.is_cancelled() {
                event.try_wait().unwrap();
            }
        })
    };
    let deadline = Instant::now() + Duration::from_millis(1500);
    for round in 0..200_000 {
        event.set().unwrap();
        event.set().unwrap();
        event.reset().unwrap();
        assert!(!event.shared.words.look().is_set(), "round {round}");
        if Instant::now() > deadline {
            break;
        }
    }
    stop.cancel();
    taker.join().unwrap();
}

/// A taker has looked between two sets and was held up; it takes while somebody resets.
#[test]
fn a_reset_that_somebody_came_before_is_repeated() {
    let event = Event::anonymous(Reset::Auto).unwrap();
    event.set().unwrap();
    let taker = event.try_clone().unwrap();
    let seen = taker.shared.words.look();
    event.set().unwrap();
    BEHIND_A_LOOK.set(Some(Box::new(move || {
        assert!(taker.shared.words.advance(seen.taken, seen.sets), "it has its signal");
    })));
    event.reset().unwrap();
    assert!(BEHIND_A_LOOK.take().is_none(), "somebody was in between");
    assert!(!event.try_wait().unwrap(), "the second set came before the reset as well");
}

#[test]
fn ping_pong_loses_no_wake() {
    const ROUNDS: u32 = 20_000;
    let (ping, pong) =
        (Event::anonymous(Reset::Auto).unwrap(), Event::anonymous(Reset::Auto).unwrap());
    let (ping2, pong2) = (ping.try_clone().unwrap(), pong.try_clone().unwrap());
    let other = thread::spawn(move || {
        for _ in 0..ROUNDS {
            assert!(prompt(|| ping2.wait_timeout(LONG).unwrap()));
            pong2.set().unwrap();
        }
    });
    for round in 0..ROUNDS {
        // So that the set meets the other one at every step of its falling asleep.
        for _ in 0..round * 7 % 900 {
            std::hint::spin_loop();
        }
        ping.set().unwrap();
        assert!(prompt(|| pong.wait_timeout(LONG).unwrap()));
    }
    other.join().unwrap();
}

#[test]
fn names_options_and_texts() {
    let name = unique("go");
    let error = Event::open_existing(&name).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "nobody holds an event named {name}, so there is nobody to wake. \
             Start the waiter first: twocan event wait {name}"
        )
    );
    let event = Event::options(Reset::Manual).initially_set(true).create_or_open(&name).unwrap();
    assert!(event.was_created() && event.try_wait().unwrap());
    assert_eq!(event.name(), Some(name.as_str()));
    // Mode and state of an existing one are its own.
    let again = Event::create_or_open(&name, Reset::Auto).unwrap();
    assert!(!again.was_created() && again.try_wait().unwrap() && event.try_wait().unwrap());
    assert_eq!(again.identity(), event.identity());
    let pid = std::process::id();
    assert_eq!(
        Event::create_new(&name, Reset::Auto).unwrap_err().to_string(),
        format!(
            "an event named {name} exists, held by pid {pid}. Use another name, or wait for it: \
             twocan event wait {name}"
        )
    );
    let wrong = crate::MemoryMap::open_existing(&name).unwrap_err();
    assert_eq!(wrong.kind(), crate::ErrorKind::WrongKind);
    assert_eq!(wrong.cause(), format!("{name} is an event, not a map"));
    drop((event, again));
    assert_eq!(Event::open_existing(&name).unwrap_err().kind(), crate::ErrorKind::NotFound);
}

#[test]
fn headers_of_others_are_refused() {
    assert_eq!(words::check(&words::header(Reset::Auto)), Ok(Reset::Auto));
    assert_eq!(words::check(&words::header(Reset::Manual)), Ok(Reset::Manual));
    assert!(words::check(&[0; 16]).is_err());
    let mut other = words::header(Reset::Auto);
    other[8] = 9;
    assert_eq!(words::check(&other).unwrap_err(), "it has layout 9, this program layout 1");
    other = words::header(Reset::Auto);
    other[12] = 2;
    assert!(words::check(&other).is_err());
}
