//! Named events between real processes: kills at any instant, idleness, kernels without
//! futex_waitv.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use support::{Child, LONG, eventually, listen, say, stay, unique};
use twocan::{Cancel, ErrorKind, Event, Reset, Until, Waitable, wait_all, wait_any};

/// Trials of a kill at some instant.
const KILLS: u64 = 120;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let Some(words) = support::role() else { return };
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    match args[..] {
        ["waits", name] => {
            let event = Event::open_existing(name).unwrap();
            say("waiting");
            while event.wait_until(Until::FOREVER).unwrap() {
                say("got it");
            }
        }
        ["waits once", name] => {
            let event = Event::open_existing(name).unwrap();
            say("waiting");
            event.wait().unwrap();
            // Nothing may be done with it: the next moment it is killed, or takes no more.
            stay();
        }
        ["sets for ever", name] => {
            let event = Event::open_existing(name).unwrap();
            say("setting");
            loop {
                event.set().unwrap();
            }
        }
        ["holds", name] => {
            let event = Event::options(Reset::Auto).initially_set(true).create_new(name).unwrap();
            say("held");
            stay();
            drop(event);
        }
        ["waits for many", name, count] => {
            let count: usize = count.parse().unwrap();
            let open = |i| Event::open_existing(&format!("{name}-{i}")).unwrap();
            let events: Vec<Event> = (0..count).map(open).collect();
            let list: Vec<&dyn Waitable> = events.iter().map(|e| e as &dyn Waitable).collect();
            say("waiting");
            // A time-out would look once more and hide that nobody woke it: none here.
            while let Some(at) = wait_any(&list, Until::FOREVER).unwrap() {
                say(&at.to_string());
            }
        }
        ["waits for all", name] => {
            let open = |i| Event::open_existing(&format!("{name}-{i}")).unwrap();
            let events: Vec<Event> = (0..2).map(open).collect();
            say("waiting");
            assert!(wait_all(&[&events[1], &events[0]], Until::FOREVER).unwrap());
            say("got all");
            stay();
        }
        ["idles"] => idles(),
        _ => panic!("no such role: {args:?}"),
    }
}

#[test]
fn one_process_sets_and_the_other_goes() {
    for reset in [Reset::Auto, Reset::Manual] {
        let name = unique("go");
        let event = Event::create_new(&name, reset).unwrap();
        let mut waiter = Child::start("waits once", &[&name]);
        waiter.expect("waiting");
        event.set().unwrap();
        waiter.finish();
        assert_eq!(event.try_wait().unwrap(), reset == Reset::Manual);
    }
    let name = unique("many-times");
    let event = Event::create_new(&name, Reset::Auto).unwrap();
    let mut waiter = Child::start("waits", &[&name]);
    waiter.expect("waiting");
    for _ in 0..200 {
        event.set().unwrap();
        waiter.expect("got it");
    }
}

#[test]
fn an_event_dies_with_a_killed_holder() {
    let name = unique("held");
    let mut holder = Child::start("holds", &[&name]);
    holder.expect("held");
    let event = Event::open_existing(&name).unwrap();
    holder.kill();
    assert!(event.try_wait().unwrap(), "we hold it, and it is set");
    assert!(!Event::create_or_open(&name, Reset::Auto).unwrap().was_created());
    drop(event);

    let mut holder = Child::start("holds", &[&name]);
    holder.expect("held");
    holder.kill();
    let error = Event::open_existing(&name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(Event::create_new(&name, Reset::Auto).unwrap().was_created());
}

/// A thread of this process that waits again and again, and counts.
struct Survivor {
    got: Arc<AtomicU64>,
    tid: i32,
    stop: Cancel,
    thread: Option<thread::JoinHandle<()>>,
}

impl Survivor {
    fn start(event: &Event) -> Survivor {
        let (got, stop) = (Arc::new(AtomicU64::new(0)), Cancel::new());
        let (count, cancel, event) = (got.clone(), stop.clone(), event.try_clone().unwrap());
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: no arguments, no memory.
            tell.send(unsafe { libc::gettid() }).unwrap();
            while event.wait_until(&cancel).is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Survivor { got, tid: told.recv().unwrap(), stop, thread: Some(thread) }
    }

    fn until_asleep(&self) {
        support::until_asleep(std::process::id(), self.tid as u32);
    }

    fn got(&self) -> u64 {
        self.got.load(Ordering::SeqCst)
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Story: two wait for one auto-reset event. It is set, and one of them is killed about then.
/// Legal: the other one goes; or the killed one had taken the signal, and the event is not set.
/// Illegal: the event is set, and the other one sleeps.
#[test]
fn a_killed_waiter_loses_nobody_elses_signal() {
    let name = unique("victim");
    let event = Event::create_new(&name, Reset::Auto).unwrap();
    let mut taken_along = 0;
    for trial in 0..KILLS {
        let mut victim = Child::start("waits once", &[&name]);
        victim.expect("waiting");
        victim.until_asleep();
        // After the victim, so that the kernel wakes the victim first.
        let survivor = Survivor::start(&event);
        survivor.until_asleep();
        if trial % 2 == 0 {
            // SAFETY: kills a child of ours, which is waited for below.
            unsafe { libc::kill(victim.pid() as i32, libc::SIGKILL) };
            event.set().unwrap();
        } else {
            event.set().unwrap();
            spin(trial * 97 % 20_000);
        }
        victim.kill();
        // Nobody sets it any more; whoever was woken is not asleep.
        survivor.until_asleep();
        if survivor.got() == 0 {
            assert!(!event.try_wait().unwrap(), "trial {trial}: it is set, and a waiter sleeps");
            taken_along += 1;
            event.set().unwrap();
            eventually("the survivor still wakes", || survivor.got() == 1);
        }
    }
    assert!(taken_along < KILLS, "the survivor never got one");
}

fn spin(nanos: u64) {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_nanos(nanos) {
        std::hint::spin_loop();
    }
}

/// Story: a process sets an event as fast as it can and is killed in the middle. Afterwards nobody
/// sleeps beside a set event.
#[test]
fn a_killed_setter_leaves_nothing_or_everything() {
    let name = unique("setter");
    let event = Event::create_new(&name, Reset::Auto).unwrap();
    let survivor = Survivor::start(&event);
    for trial in 0..KILLS {
        let mut setter = Child::start("sets for ever", &[&name]);
        setter.expect("setting");
        spin(trial * 7_919 % 500_000);
        setter.kill();
        // The survivor takes what is left, then sleeps.
        survivor.until_asleep();
        assert!(!event.try_wait().unwrap(), "trial {trial}: it is set, and a waiter sleeps");
    }
    assert!(survivor.got() > KILLS);
}

#[test]
fn a_killed_manual_waiter_changes_nothing() {
    let name = unique("manual");
    let event = Event::create_new(&name, Reset::Manual).unwrap();
    for _ in 0..20 {
        let mut waiters: Vec<Child> =
            (0..2).map(|_| Child::start("waits once", &[&name])).collect();
        waiters.iter_mut().for_each(|w| w.expect("waiting"));
        waiters.pop().unwrap().kill();
        event.set().unwrap();
        waiters.pop().unwrap().finish();
        assert!(event.try_wait().unwrap());
        event.reset().unwrap();
    }
}

fn named_events(name: &str, count: usize, reset: Reset) -> Vec<Event> {
    (0..count).map(|i| Event::create_new(&format!("{name}-{i}"), reset).unwrap()).collect()
}

#[test]
fn many_events_are_waited_for_with_and_without_the_call_for_it() {
    for without in [false, true] {
        let name = unique("many");
        let events = named_events(&name, 250, Reset::Auto);
        let mut waiter = Child::start_with("waits for many", &[&name, "250"], |c| {
            if without {
                c.env("TWOCAN_TEST_NO_WAITV", "1");
            }
        });
        waiter.expect("waiting");
        for at in [0, 249, 126, 127, 128, 130, 77] {
            thread::sleep(Duration::from_millis(5));
            events[at].set().unwrap();
            waiter.expect(&at.to_string());
        }
        assert!(events.iter().all(|e| !e.try_wait().unwrap()));
    }
}

#[test]
fn wait_all_across_processes() {
    let name = unique("all");
    let events = named_events(&name, 2, Reset::Auto);
    let mut waiter = Child::start("waits for all", &[&name]);
    waiter.expect("waiting");
    events[0].set().unwrap();
    thread::sleep(Duration::from_millis(20));
    assert!(events[0].try_wait().unwrap(), "it takes nothing before all are set");
    events[1].set().unwrap();
    events[0].set().unwrap();
    waiter.expect("got all");
    assert!(!events[0].try_wait().unwrap() && !events[1].try_wait().unwrap());
}

#[test]
fn who_waits_does_not_run() {
    for without in [false, true] {
        let mut child = Child::start_with("idles", &[], |c| {
            if without {
                c.env("TWOCAN_TEST_NO_WAITV", "1");
            }
        });
        assert_eq!(child.hear(), "0 switches, 0 ticks", "without futex_waitv: {without}");
        child.finish();
    }
}

/// Three threads wait for one, twenty, and two hundred and fifty events; this one looks how often
/// all others ran in a second.
fn idles() {
    let (stop, (tell, told)) = (Cancel::new(), mpsc::channel());
    let waiters: Vec<_> = [1, 20, 250]
        .into_iter()
        .map(|n| {
            let (stop, tell) = (stop.clone(), tell.clone());
            thread::spawn(move || {
                let events: Vec<Event> =
                    (0..n).map(|_| Event::anonymous(Reset::Auto).unwrap()).collect();
                let list: Vec<&dyn Waitable> = events.iter().map(|e| e as &dyn Waitable).collect();
                tell.send(()).unwrap();
                let error = wait_any(&list, Until::from(LONG).cancelled(&stop)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled);
            })
        })
        .collect();
    told.iter().take(3).for_each(drop);
    // All of them, and their helpers, have gone to sleep when the sum stands still.
    let mut before = (u64::MAX, 0);
    let mut quiet = switches();
    while before != quiet {
        before = quiet;
        thread::sleep(Duration::from_millis(100));
        quiet = switches();
    }
    thread::sleep(Duration::from_secs(1));
    let after = switches();
    say(&format!("{} switches, {} ticks", after.0 - quiet.0, after.1 - quiet.1));
    stop.cancel();
    waiters.into_iter().for_each(|w| w.join().unwrap());
    assert_eq!(listen(), None);
}

/// Context switches and processor ticks of all threads but this one and the test harness's.
fn switches() -> (u64, u64) {
    // SAFETY: no arguments, no memory.
    let own = unsafe { libc::gettid() }.to_string();
    let (mut sum, mut ticks) = (0, 0);
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap();
        if task.file_name().to_str() == Some(&own) {
            continue;
        }
        let status = std::fs::read_to_string(task.path().join("status")).unwrap();
        let counts = status.lines().filter(|l| l.contains("ctxt_switches"));
        sum += counts.map(|l| l.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum::<u64>();
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        ticks += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    }
    (sum, ticks)
}

#[test]
fn a_signal_handler_does_not_end_a_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing, without SA_RESTART, for a signal that nobody else here
    // uses.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut());
    }
    let events: Vec<Event> = (0..3).map(|_| Event::anonymous(Reset::Auto).unwrap()).collect();
    let setter = events[2].try_clone().unwrap();
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // SAFETY: no arguments, no memory.
        tell.send(unsafe { libc::pthread_self() }).unwrap();
        assert!(!events[0].wait_timeout(Duration::from_millis(100)).unwrap());
        wait_any(&[&events[0], &events[1], &events[2]], LONG).unwrap()
    });
    let thread_id = told.recv().unwrap();
    for _ in 0..150 {
        thread::sleep(Duration::from_millis(1));
        // SAFETY: the thread is not joined yet.
        unsafe { libc::pthread_kill(thread_id, libc::SIGUSR2) };
    }
    setter.set().unwrap();
    assert_eq!(waiter.join().unwrap(), Some(2));
}
