//! The windows of `send`, of `recv` and of acknowledging.

use crate::chance::message;
use crate::stage::{
    Choice, Finally, Moment, Points, Tally, Victim, checked, is_asleep, leave_nothing, receive,
};
use crate::support::{unique, until_asleep};
use crate::trace::Thread;
use crate::victim::{PAUSES, READ, READY, SENT, open};
use crate::zygote::Zygote;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use twocan::{Receiver, RecvError, SendError, Sender, Until, wait_any};

/// What is read from a victim until its death is told.
fn read_out(rx: &mut Receiver) -> Vec<u64> {
    let mut counters = Vec::new();
    loop {
        match receive(rx) {
            Ok(message) => counters.push(checked(&message)),
            Err(RecvError::PeerDied) => return counters,
            Err(other) => panic!("{other}"),
        }
    }
}

fn own_thread() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { libc::gettid() }
}

/// Somebody is killed at every step of `send`; the survivor here reads what came of it.
pub fn sends(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let (tx, mut rx) = open(&name).into_split();
    let mut points = Points::new();
    let (mut counter, mut struck) = (0, None::<(usize, Moment)>);
    while let Some(point) = points.next() {
        let first = counter.to_string();
        let mut victim = Victim::start(zygote, &["sends", &name, how, &first]);
        let mut due = Vec::new();
        loop {
            match victim.line() {
                (SENT, n, _) => due.push(n),
                (what, ..) if how == "when there is room" => break assert_eq!(what, READY),
                (what, ..) => {
                    for n in due.drain(..) {
                        assert_eq!(checked(&receive(&mut rx).unwrap()), n);
                        counter = n + 1;
                    }
                    rx.ack();
                    if what == READY {
                        break;
                    }
                    assert_eq!(what, PAUSES);
                    victim.say_word();
                }
            }
        }
        if let Some((point, at)) = struck {
            points.went_on(point, at.elapsed());
        }
        counter += due.len() as u64;
        let End { at, seen, got, ended } =
            window(&mut points, &mut victim, &mut rx, how, point, choice);
        struck = Some((point, at));
        // What `send` accepted is there, whole; of the window's, all that came is in order.
        let of_window = if how == "a batch" { 3 } else { 1 };
        let committed = got.len() - due.len();
        due.extend(counter..counter + committed as u64);
        assert!(committed <= of_window && got == due, "step {point}: {got:?} for {due:?}");
        assert!(!ended || committed == of_window, "accepted, and not there: {got:?}");
        if committed > 0 {
            points.tally.whole += 1
        } else {
            points.tally.absent += 1
        }
        // What the survivor could see while the victim lived is what is there.
        assert!(seen.is_none_or(|seen| seen != got.is_empty()), "step {point}: {seen:?}, {got:?}");
        counter += of_window as u64;
    }
    drop((tx, rx));
    leave_nothing(&name);
    points.finish()
}

/// What came of a victim.
struct End {
    /// When it was struck.
    at: Moment,
    /// Was there something to be read before?
    seen: Option<bool>,
    /// What was read after.
    got: Vec<u64>,
    /// Was it behind the window?
    ended: bool,
}

/// One victim, up to its death.
fn window(
    points: &mut Points,
    victim: &mut Victim<'_>,
    rx: &mut Receiver,
    how: &str,
    point: usize,
    choice: Choice,
) -> End {
    let pid = victim.pid;
    let beside = matches!(how, "to a sleeper" | "when there is room" | "a long one");
    let (tell, told) = std::sync::mpsc::channel();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (mut reader, mut rx) = (None, Some(rx));
        if let Some(rx) = rx.take_if(|_| beside) {
            let over = &over;
            reader = Some(scope.spawn(move || {
                tell.send(own_thread()).unwrap();
                while how == "when there is room" && !over.load(Ordering::Acquire) {
                    if is_asleep(pid) {
                        break;
                    }
                    std::thread::sleep(Duration::from_micros(50));
                }
                read_out(rx)
            }));
        }
        let _end = Finally(|| over.store(true, Ordering::Release));
        if how == "to a sleeper" {
            until_asleep(std::process::id(), told.recv().unwrap() as u32);
        }
        let thread = Thread::seize(pid, 0).unwrap();
        victim.say_word();
        let (made, ended) = points.lead(thread, point);
        let seen = rx.as_ref().map(|rx| wait_any(&[&**rx], Until::now()).unwrap().is_some());
        let at = victim.strike(&[thread]);
        over.store(true, Ordering::Release);
        points.reached(point, made, choice);
        let beside = reader.map(|reader| reader.join().unwrap());
        let got = beside.or_else(|| rx.map(read_out)).expect("one of the two reads");
        End { at, seen, got, ended }
    })
}

/// Bytes of message `counter` to a reader of this kind.
fn length(how: &str, counter: u64) -> usize {
    if how.ends_with("a long one") && counter % 2 == 1 { 1100 } else { 40 }
}

/// Somebody is killed at every step of `recv` and of acknowledging; the next reader tells what was
/// left to it.
pub fn reads(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let (mut tx, mut rx) = open(&name).into_split();
    let over = twocan::Cancel::new();
    // A sender that always waits for room, or one that stays ahead.
    let fed = how == "and wakes" || how.ends_with("a long one");
    let tally = std::thread::scope(|scope| {
        let mut own = None;
        if fed {
            let over = &over;
            scope.spawn(move || feed(&mut tx, how, over));
        } else {
            own = Some(tx);
        }
        let _end = Finally(|| over.cancel());
        read_by_victims(zygote, &name, how, choice, own, &mut rx)
    });
    drop(rx);
    leave_nothing(&name);
    tally
}

fn feed(tx: &mut Sender, how: &str, over: &twocan::Cancel) {
    let mut counter = 0;
    loop {
        match tx.send_until(message(counter, length(how, counter)), over) {
            Ok(_) => counter += 1,
            Err(SendError::PeerDied) => {} // told once; nothing of it was accepted
            Err(SendError::Cancelled | SendError::OutcomeUnknown) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

fn read_by_victims(
    zygote: &Zygote,
    name: &str,
    how: &str,
    choice: Choice,
    mut tx: Option<Sender>,
    rx: &mut Receiver,
) -> Tally {
    let mut points = Points::new();
    let mut seqs = HashMap::new();
    // The first of these must come next, and the last may.
    let (mut low, mut high, mut struck) = (0, 0, None::<(usize, Moment)>);
    while let Some(point) = points.next() {
        if let Some(tx) = &mut tx {
            for counter in seqs.len() as u64..low + 4 {
                let bytes = message(counter, length(how, counter));
                seqs.insert(counter, tx.send(bytes).unwrap());
            }
        }
        let mut victim = Victim::start(zygote, &["reads", name, how]);
        let mut in_hand = None;
        loop {
            let (what, counter, whole) = victim.line();
            if what == READY {
                break;
            }
            assert_eq!((what, whole), (READ, true), "message {counter}");
            match in_hand {
                None => assert!(low <= counter && counter <= high, "{counter}: {low} to {high}"),
                Some(last) => assert_eq!(counter, last + 1),
            }
            in_hand = Some(counter);
        }
        if let Some((point, at)) = struck {
            points.went_on(point, at.elapsed());
        }
        let in_hand = in_hand.expect("it reads before it is ready");
        let thread = Thread::seize(victim.pid, 0).unwrap();
        victim.say_word();
        let (made, ended) = points.lead(thread, point);
        let most = in_hand + if how == "a delivery" { 2 } else { 1 };
        let first_open = |tx: &Sender| (in_hand..most).find(|n| !tx.is_acknowledged(seqs[n]));
        let seen = tx.as_ref().map(first_open);
        struck = Some((point, victim.strike(&[thread])));
        points.reached(point, made, choice);
        assert_eq!(read_out(rx), []);
        (low, high) = (if ended { most } else { in_hand }, most);
        if let (Some(tx), Some(seen)) = (&tx, seen) {
            // What was not acknowledged comes again, and nothing else; what the survivor could see
            // of that while the victim lived is what counts.
            let open = first_open(tx);
            assert_eq!(open, seen, "step {point}");
            let next = open.unwrap_or(most);
            assert!(low <= next, "step {point}: {next} comes again");
            (low, high) = (next, next);
            if next > in_hand { points.tally.whole += 1 } else { points.tally.absent += 1 }
        }
    }
    points.finish()
}
