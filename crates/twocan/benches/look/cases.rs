//! What is measured: each case with its two sides.

use super::Sample;
use super::helper::{Helper, percentile, say, unique};
use rustix::thread::futex::{self, Flags};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use twocan::{Channel, MemoryMap, Spin};

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) more_is_better: bool,
    /// Round trips or messages of a round.
    pub(crate) count: u64,
    pub(crate) run: fn(&mut Helper, u64) -> Sample,
}

const fn trips(name: &'static str, count: u64, run: fn(&mut Helper, u64) -> Sample) -> Case {
    Case { name, unit: "ns", more_is_better: false, count, run }
}

const fn stream(name: &'static str, run: fn(&mut Helper, u64) -> Sample) -> Case {
    Case { name, unit: "M/s", more_is_better: true, count: 3_000_000, run }
}

pub(crate) const CASES: &[Case] = &[
    trips("raw line round trip", 200_000, raw_line),
    trips("48 B round trip, always spinning", 200_000, |h, n| channel(h, n, "echo-always")),
    trips("48 B round trip, adaptive", 200_000, |h, n| channel(h, n, "echo-adaptive")),
    trips("raw futex round trip, both asleep", 8_000, raw_futex),
    trips("48 B round trip, both asleep", 8_000, |h, n| channel(h, n, "echo-never")),
    stream("stream 48 B, send, recv_into", |h, n| streaming(h, n, "drain-into", 1)),
    stream("stream 48 B, send, recv", |h, n| streaming(h, n, "drain", 1)),
    stream("stream 48 B, send_batch of 16, recv_into", |h, n| streaming(h, n, "drain-into", 16)),
];

const PATIENCE: Duration = Duration::from_secs(20);
/// Ends a round; no message begins so.
const END: u64 = u64::MAX;
/// Round trips under one reading of the clock, which itself costs a tenth of one.
const GROUP: u64 = 16;

fn spin_of(part: &str) -> Spin {
    match part {
        "echo-always" => Spin::Always,
        "echo-never" => Spin::Never,
        _ => Spin::Adaptive,
    }
}

/// The helper's side of a case.
pub(crate) fn part(part: &str, name: &str) {
    match part {
        "raw-line" => with_words(name, |line, _, _| {
            let mut seen = 0;
            loop {
                let now = line.load(Ordering::Acquire);
                if now == END {
                    return;
                }
                if now != seen && now & 1 == 1 {
                    seen = now + 1;
                    line.store(seen, Ordering::Release);
                }
                spin_loop();
            }
        }),
        "raw-futex" => with_words(name, |_, mine, other| {
            let mut seen = 0;
            loop {
                sleep_while(mine, seen);
                seen = mine.load(Ordering::Acquire);
                if seen == u32::MAX {
                    return;
                }
                other.store(seen, Ordering::Release);
                let _ = futex::wake(other, Flags::empty(), 1);
            }
        }),
        "drain" => drain(name, false),
        "drain-into" => drain(name, true),
        "block" => {
            let mut end = Channel::open(name).expect("a channel");
            say("ready");
            let _ = end.recv_timeout(PATIENCE);
        }
        echo => {
            let mut end = open(name, spin_of(echo));
            let mut message = Vec::new();
            while end.receiver().recv_into(&mut message).is_ok() {
                if end.send(&message).is_err() {
                    break;
                }
            }
        }
    }
}

fn open(name: &str, spin: Spin) -> Channel {
    let end = Channel::options().spin(spin).open(name).expect("a channel");
    say("ready");
    end.wait_peer(PATIENCE).expect("the other side");
    end
}

/// The measuring side opens first.
fn meet(helper: &mut Helper, part: &str) -> Channel {
    let name = unique();
    let end = Channel::options().spin(spin_of(part)).open(&name).expect("a channel");
    helper.tell(part, &name);
    end.wait_peer(PATIENCE).expect("the helper comes");
    end
}

/// Runs one round trip after the other: the median of groups, and the 99th percentile of single
/// ones.
fn measure(n: u64, mut trip: impl FnMut(u64)) -> Sample {
    let (mut groups, mut singles) = (Vec::new(), Vec::new());
    let mut i = 0;
    let mut next = || {
        i += 1;
        trip(i);
    };
    for _ in 0..n / 10 {
        next();
    }
    for _ in 0..n / GROUP {
        let start = Instant::now();
        (0..GROUP).for_each(|_| next());
        groups.push(start.elapsed().as_nanos() as f64 / GROUP as f64);
    }
    for _ in 0..n / 4 {
        let start = Instant::now();
        next();
        singles.push(start.elapsed().as_nanos() as f64);
    }
    Sample { middle: percentile(&mut groups, 50), p99: percentile(&mut singles, 99) }
}

/// A line of memory and two words to sleep on.
fn with_words(name: &str, work: impl FnOnce(&AtomicU64, &AtomicU32, &AtomicU32)) {
    let map = MemoryMap::open_existing(name).expect("the map");
    let view = map.view().expect("a view");
    say("ready");
    work(
        view.atomic_u64(0).expect("aligned"),
        view.atomic_u32(256).expect("aligned"),
        view.atomic_u32(512).expect("aligned"),
    );
}

fn raw_line(helper: &mut Helper, n: u64) -> Sample {
    let name = unique();
    let map = MemoryMap::create_new(&name, 4096).expect("a map");
    let view = map.view().expect("a view");
    let line = view.atomic_u64(0).expect("aligned");
    helper.tell("raw-line", &name);
    let sample = measure(n, |i| {
        line.store(2 * i + 1, Ordering::Release);
        while line.load(Ordering::Acquire) != 2 * i + 2 {
            spin_loop();
        }
    });
    line.store(END, Ordering::Release);
    helper.expect("done");
    sample
}

fn sleep_while(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) == value {
        let _ = futex::wait(word, Flags::empty(), value, None);
    }
}

fn raw_futex(helper: &mut Helper, n: u64) -> Sample {
    let name = unique();
    let map = MemoryMap::create_new(&name, 4096).expect("a map");
    let view = map.view().expect("a view");
    let there = view.atomic_u32(256).expect("aligned");
    let here = view.atomic_u32(512).expect("aligned");
    helper.tell("raw-futex", &name);
    let sample = measure(n, |i| {
        there.store(i as u32, Ordering::Release);
        let _ = futex::wake(there, Flags::empty(), 1);
        sleep_while(here, i as u32 - 1);
    });
    there.store(u32::MAX, Ordering::Release);
    let _ = futex::wake(there, Flags::empty(), 1);
    helper.expect("done");
    sample
}

fn channel(helper: &mut Helper, n: u64, part: &str) -> Sample {
    let mut end = meet(helper, part);
    let (mut message, mut answer) = ([7; 48], Vec::new());
    let sample = measure(n, |i| {
        message[..8].copy_from_slice(&i.to_le_bytes());
        end.send(&message[..]).expect("room");
        end.receiver().recv_into(&mut answer).expect("an answer");
        assert_eq!(answer, message);
    });
    drop(end);
    helper.expect("done");
    sample
}

fn first_word(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[..8].try_into().expect("8 bytes"))
}

/// All words of a message, so that its bytes are really read.
fn sum(message: &[u8]) -> u64 {
    let word = |chunk: &[u8]| u64::from_ne_bytes(chunk.try_into().expect("8 bytes"));
    message.chunks_exact(8).map(word).fold(0, u64::wrapping_add)
}

/// Writes all words of a message: `first`, `first + 1`, and so on; the result is what they add up
/// to. They are not read here: a wide load of what was just stored in narrower pieces waits until
/// all earlier stores are out, those to the ring among them, and would be what is measured.
fn fill(message: &mut [u8], first: u64) -> u64 {
    let words = message.chunks_exact_mut(8).zip(first..);
    let count =
        words.map(|(word, value)| word.copy_from_slice(&value.to_ne_bytes())).count() as u64;
    count * first + count * (count - 1) / 2
}

/// Receives, reads every byte, and says at the end what they add up to.
fn drain(name: &str, into: bool) {
    let mut end = open(name, Spin::Adaptive);
    let (mut buffer, mut total) = (Vec::new(), 0u64);
    loop {
        if into {
            end.receiver().recv_into(&mut buffer).expect("a message");
            if first_word(&buffer) == END {
                break;
            }
            total = total.wrapping_add(sum(&buffer));
        } else {
            let message = end.recv().expect("a message");
            if first_word(&message) == END {
                break;
            }
            total = total.wrapping_add(sum(&message));
        }
    }
    end.send(total.to_le_bytes()).expect("room");
    let _ = end.recv_timeout(PATIENCE); // the measuring side goes first
}

fn streaming(helper: &mut Helper, n: u64, part: &str, batch: usize) -> Sample {
    let mut end = meet(helper, part);
    let mut messages = vec![[7u8; 48]; batch];
    let mut total = 0u64;
    let start = Instant::now();
    let mut i = 0;
    while i < n {
        for message in &mut messages {
            total = total.wrapping_add(fill(message, i));
            i += 1;
        }
        if batch == 1 {
            end.send(&messages[0][..]).expect("room");
            continue;
        }
        let mut sent = 0;
        while sent < batch {
            sent += end.sender().send_batch(&messages[sent..]).expect("room");
        }
    }
    end.send([0xFF; 48]).expect("room");
    let answer = end.recv_timeout(PATIENCE).expect("the sum");
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(first_word(&answer), total, "every byte arrived");
    drop(answer);
    drop(end);
    helper.expect("done");
    Sample { middle: i as f64 / seconds / 1e6, p99: f64::NAN }
}
