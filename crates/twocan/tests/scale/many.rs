//! A thousand channels and a thousand events in one process. Two processes, each with one end of
//! every channel and a handle of every event. Each has two threads that send (anywhere, anything,
//! now and then a message longer than the ring), two that receive, and one that waits for events.

use crate::support::{Child, LONG, TempDir, listen, say, stay, unique};
use crate::usage::Usage;
use crate::{Chance, check, fill, setting, trust};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use twocan::{Channel, Event, Receiver, Reset, Sender, Waitable, wait_any};

const RING: usize = 16 << 10;
const LONG_MESSAGE: u64 = 40_000;
/// One message of so many is longer than a ring.
const SELDOM: u64 = 2_000;
/// One of so many actions sets an event.
const EVENTS: u64 = 10;
/// Descriptors that an end and an event take together, generously.
const DESCRIPTORS_EACH: u64 = 16;
const WORKERS: usize = 2;

/// As many as this process and its children may have descriptors for.
fn as_many_as_fit(wanted: u64) -> u64 {
    let need = wanted * DESCRIPTORS_EACH + 1000;
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a live struct; children inherit the limit.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits);
        let raised = libc::rlimit { rlim_cur: need, rlim_max: need.max(limits.rlim_max) };
        if limits.rlim_cur < need && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) != 0 {
            limits.rlim_cur = limits.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits);
        }
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits);
    }
    let fit = limits.rlim_cur.saturating_sub(1000) / DESCRIPTORS_EACH;
    if fit < wanted {
        let most = limits.rlim_cur;
        println!(
            "trust: scale: skipped: {fit} channels and not {wanted}: this user may have {most} \
             descriptors only"
        );
    }
    wanted.min(fit)
}

#[test]
fn a_thousand_channels_and_events() {
    let count = as_many_as_fit(setting("TWOCAN_SCALE_CHANNELS", 100));
    let seconds = setting("TWOCAN_SCALE_SECONDS", 3);
    let prefix = unique("many");
    let dir = TempDir::new("many");
    let names = dir.0.join("names");
    let start = |side: &str| {
        let (count, seconds) = (count.to_string(), seconds.to_string());
        Child::start_with("many", &[&prefix, &count, &seconds, side], |c| {
            c.env("TWOCAN_DIR", &names);
        })
    };
    let begun = Instant::now();
    let mut left = start("0");
    left.expect("open");
    let mut right = start("1");
    right.expect("open");
    println!("{count} channels and {count} events are open after {:?}", begun.elapsed());
    for phase in ["first", "last"] {
        left.tell(phase);
        right.tell(phase);
        let did = (left.hear(), right.hear());
        assert!(!did.0.is_empty() && !did.1.is_empty(), "{phase}: {did:?}");
        println!("{phase} part: {} | {}", did.0, did.1);
    }
    let used = (left.hear(), right.hear());
    left.finish();
    right.finish();
    println!("right: {}", used.1);
    trust(
        "scale",
        format!("{count} channels and {count} events in one process, {seconds} s: {}", used.0),
    );
}

/// One of the two processes.
pub fn play(prefix: &str, count: usize, seconds: u64, side: usize) {
    let open = |i: usize| {
        let mut options = Channel::options();
        options.send_capacity(RING).open(&format!("{prefix}-{i}")).unwrap()
    };
    let ends: Vec<Channel> = (0..count).map(open).collect();
    let event = |i: usize| Event::create_or_open(&format!("{prefix}-e{i}"), Reset::Auto).unwrap();
    let events: Vec<Event> = (0..count).map(event).collect();
    say("open");
    listen();
    let mut all = All::new(ends, &events, side);
    let report = all.run(Duration::from_secs(seconds) / 3, 1);
    let warm = Usage::now();
    say(&report);
    listen();
    let report = all.run(Duration::from_secs(seconds) * 2 / 3, 2);
    let end = Usage::settled(&warm);
    say(&report);
    let sent = all.sent.load(Ordering::Relaxed);
    let signals = all.signals.load(Ordering::Relaxed);
    say(&format!("{sent} messages, {signals} signals, {}", end.is_flat_since(&warm)));
    stay();
}

type Outgoing = Vec<(Sender, u64)>;
type Incoming = Vec<(Receiver, u64)>;

struct All<'a> {
    senders: Vec<Outgoing>,
    receivers: Vec<Incoming>,
    events: &'a [Event],
    side: usize,
    sent: AtomicU64,
    received: AtomicU64,
    signals: AtomicU64,
}

impl<'a> All<'a> {
    fn new(ends: Vec<Channel>, events: &'a [Event], side: usize) -> All<'a> {
        let mut senders: Vec<Outgoing> = (0..WORKERS).map(|_| Vec::new()).collect();
        let mut receivers: Vec<Incoming> = (0..WORKERS).map(|_| Vec::new()).collect();
        for (i, end) in ends.into_iter().enumerate() {
            let (sender, receiver) = end.into_split();
            senders[i % WORKERS].push((sender, 0));
            receivers[i % WORKERS].push((receiver, 0));
        }
        let zero = || AtomicU64::new(0);
        let (sent, received, signals) = (zero(), zero(), zero());
        All { senders, receivers, events, side, sent, received, signals }
    }

    /// Traffic for a time. It is over when everything that the other side sent has come.
    fn run(&mut self, time: Duration, seed: u64) -> String {
        let end = Instant::now() + time;
        let over = AtomicBool::new(false);
        let (sent, received, signals) = (&self.sent, &self.received, &self.signals);
        let (events, side) = (self.events, self.side);
        let slowest = Mutex::new(Duration::ZERO);
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for (i, part) in self.senders.iter_mut().enumerate() {
                let mut chance = Chance(seed << 8 | (2 * side + i + 1) as u64);
                workers.push(scope.spawn(move || send(part, events, side, &mut chance, end, sent)));
            }
            for part in &mut self.receivers {
                let slowest = &slowest;
                workers.push(scope.spawn(move || receive(part, received, slowest)));
            }
            let waiter = scope.spawn(|| wait_for_events(events, side, &over, signals));
            for worker in workers {
                worker.join().unwrap();
            }
            over.store(true, Ordering::Relaxed);
            waiter.join().unwrap();
        });
        let (sent, received) = (sent.load(Ordering::Relaxed), received.load(Ordering::Relaxed));
        let slowest = slowest.into_inner().unwrap();
        format!("{sent} sent, {received} received; the longest search for news took {slowest:?}")
    }
}

/// Mark of the last message of a phase: no other is so short.
const LAST: usize = 8;

fn send(
    part: &mut Outgoing,
    events: &[Event],
    side: usize,
    chance: &mut Chance,
    end: Instant,
    sent: &AtomicU64,
) {
    let mut buffer = Vec::new();
    while Instant::now() < end {
        for _ in 0..64 {
            if chance.below(EVENTS) == 0 {
                // Those that the other side waits for.
                let at = chance.below(events.len() as u64 / 2) as usize * 2 + (1 - side);
                events[at].set().unwrap();
            }
            let at = chance.below(part.len() as u64) as usize;
            let len = match chance.below(SELDOM) {
                0 => LONG_MESSAGE + chance.below(LONG_MESSAGE),
                _ => 9 + chance.below(300),
            };
            let (sender, number) = &mut part[at];
            fill(&mut buffer, *number, len as usize);
            sender.send_timeout(&buffer, LONG).unwrap();
            *number += 1;
            sent.fetch_add(1, Ordering::Relaxed);
        }
        // Time for the others to fall asleep.
        if chance.below(50) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    for (sender, number) in part {
        fill(&mut buffer, *number, LAST);
        sender.send_timeout(&buffer, LONG).unwrap();
        *number += 1;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

fn receive(part: &mut Incoming, received: &AtomicU64, slowest: &Mutex<Duration>) {
    let mut left = part.len();
    let mut over = vec![false; part.len()];
    while left > 0 {
        let mut news = false;
        for (i, (receiver, number)) in part.iter_mut().enumerate() {
            // A few of each, then the next one.
            for _ in 0..16 {
                if over[i] {
                    break; // what comes now belongs to the next phase
                }
                let Ok(message) = receiver.try_recv() else { break };
                check(&message, *number);
                *number += 1;
                received.fetch_add(1, Ordering::Relaxed);
                news = true;
                if message.len() == LAST {
                    over[i] = true;
                    left -= 1;
                }
            }
        }
        for (receiver, _) in part.iter_mut() {
            receiver.ack();
        }
        if !news && left > 0 {
            let waiting = part.iter().zip(&over).filter(|(_, over)| !**over);
            let sleepers: Vec<&dyn Waitable> = waiting.map(|((r, _), _)| r as _).collect();
            let begun = Instant::now();
            assert!(wait_any(&sleepers, LONG).unwrap().is_some(), "nothing came any more");
            let mut slowest = slowest.lock().unwrap();
            *slowest = begun.elapsed().max(*slowest);
        }
    }
}

/// Takes signals of every second event.
fn wait_for_events(events: &[Event], side: usize, over: &AtomicBool, signals: &AtomicU64) {
    let mine: Vec<&dyn Waitable> =
        events.iter().enumerate().filter(|(i, _)| i % 2 == side).map(|(_, e)| e as _).collect();
    while !over.load(Ordering::Relaxed) {
        if wait_any(&mine, Duration::from_millis(50)).unwrap().is_some() {
            signals.fetch_add(1, Ordering::Relaxed);
        }
    }
}
