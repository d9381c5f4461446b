//! The windows of an event: a signal is given or not, taken or not, and nobody else's is lost.

use crate::stage::{Choice, Finally, Points, Tally, Victim, is_asleep};
use crate::support::{eventually, unique};
use crate::survivor::Survivor;
use crate::trace::Thread;
use crate::zygote::Zygote;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use twocan::{Event, Reset};

/// A setter is killed while a survivor waits. The event is set and the survivor goes, or neither.
pub fn sets(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let reset = if how == "set, manual" { Reset::Manual } else { Reset::Auto };
    let event = Event::create_new(&name, reset).unwrap();
    let survivor = Survivor::start(&event, false);
    let mut points = Points::new();
    while let Some(point) = points.next() {
        let mut victim = Victim::start(zygote, &["signals", &name, how]);
        victim.until_ready();
        let before = survivor.begin();
        let thread = Thread::seize(victim.pid, 0).unwrap();
        victim.say_word();
        let (made, ended) = points.lead(thread, point);
        let at = victim.strike(&[thread]);
        points.reached(point, made, choice);
        // Whoever was woken is not asleep for long.
        eventually("it goes or sleeps", || survivor.got() > before || survivor.is_asleep());
        let went = survivor.got() > before;
        if !went {
            assert!(!ended, "it was set, and a waiter sleeps");
            assert!(!event.try_wait().unwrap(), "step {point}: it is set, and a waiter sleeps");
            event.set().unwrap();
            survivor.goes(before);
        }
        points.went_on(point, at.elapsed());
        event.reset().unwrap();
        if went { points.tally.whole += 1 } else { points.tally.absent += 1 }
    }
    points.finish()
}

/// A waiter is killed: before it sleeps, while another sets, on its way out. Its survivor, who
/// waits too, gets the signal; or the killed one took it along, and then the next set is the
/// survivor's.
pub fn waits(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let event = Event::create_new(&name, Reset::Auto).unwrap();
    let survivor = Survivor::start(&event, false);
    let mut points = Points::new();
    while let Some(point) = points.next() {
        let mut victim = Victim::start(zygote, &["signals", &name, how]);
        victim.until_ready();
        let before = survivor.begin();
        let (over, pid) = (AtomicBool::new(false), victim.pid);
        let (ended, at, late) = std::thread::scope(|scope| {
            let _end = Finally(|| over.store(true, Ordering::Release));
            let setter = scope.spawn(|| set_for_sleeper(&event, pid, &over));
            let thread = Thread::seize(pid, 0).unwrap();
            victim.say_word();
            let (made, ended) = points.lead(thread, point);
            points.reached(point, made, choice);
            let at = victim.strike(&[thread]);
            over.store(true, Ordering::Release);
            (ended, at, setter.join().unwrap())
        });
        eventually("it goes or sleeps", || survivor.got() > before || survivor.is_asleep());
        let went = survivor.got() > before;
        assert!(went || !late, "set after the other's death, and a waiter sleeps");
        if !went {
            assert!(!event.try_wait().unwrap(), "step {point}: it is set, and a waiter sleeps");
            event.set().unwrap();
            survivor.goes(before);
        }
        points.went_on(point, at.elapsed());
        event.reset().unwrap();
        if ended { points.tally.whole += 1 } else { points.tally.absent += 1 }
    }
    points.finish()
}

/// Sets the event whenever the process sleeps (it may not be the first to take it, and sleep
/// again); once in any case. True = that was after the process's death.
fn set_for_sleeper(event: &Event, pid: i32, over: &AtomicBool) -> bool {
    let mut late = true;
    while !over.load(Ordering::Acquire) {
        if is_asleep(pid) {
            event.set().unwrap();
            late = false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    if late {
        event.set().unwrap();
    }
    late
}

/// Somebody is killed while it takes the signal of a set event, or resets it. It is set as before,
/// or it is not; and it can be set and taken again.
pub fn takes(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let event = Event::create_new(&name, Reset::Auto).unwrap();
    let mut points = Points::new();
    while let Some(point) = points.next() {
        event.set().unwrap();
        let mut victim = Victim::start(zygote, &["signals", &name, how]);
        victim.until_ready();
        let thread = Thread::seize(victim.pid, 0).unwrap();
        victim.say_word();
        let (made, ended) = points.lead(thread, point);
        let at = victim.strike(&[thread]);
        points.reached(point, made, choice);
        let left = event.try_wait().unwrap();
        assert!(!(ended && left), "taken, and still there");
        assert!(!event.try_wait().unwrap(), "taken once");
        event.set().unwrap();
        assert!(event.try_wait().unwrap(), "step {point}: set, and not to be had");
        points.went_on(point, at.elapsed());
        if left { points.tally.absent += 1 } else { points.tally.whole += 1 }
    }
    points.finish()
}
