//! One pair at full rate in both directions, small messages and long ones, for as long as is asked.

use crate::support::{Child, LONG, listen, say, stay, unique};
use crate::usage::Usage;
use crate::{Chance, check, fill, setting, trust};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use twocan::Channel;

/// One message of so many is longer than the ring.
const SELDOM: u64 = 20_000;

#[test]
fn a_pair_at_full_rate() {
    let seconds = setting("TWOCAN_SOAK_SECONDS", 3);
    let name = unique("soak");
    let start = || Child::start("soak", &[&name, &seconds.to_string()]);
    let (mut left, mut right) = (start(), start());
    left.expect("open");
    right.expect("open");
    left.tell("go");
    right.tell("go");
    let did = (left.hear(), right.hear());
    assert!(!did.0.is_empty() && !did.1.is_empty(), "{did:?}");
    left.finish();
    right.finish();
    trust("soak", format!("{seconds} s at full rate: {} | {}", did.0, did.1));
}

pub fn play(name: &str, seconds: u64) {
    let mut options = Channel::options();
    let end = options.send_capacity(256 << 10).open(name).unwrap();
    end.wait_peer(LONG).unwrap();
    say("open");
    listen();
    let (mut sender, mut receiver) = end.into_split();
    let (sent, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let flat = thread::scope(|scope| {
        scope.spawn(|| {
            let (mut chance, mut buffer) = (Chance(7), Vec::new());
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                let long = chance.below(SELDOM) == 0;
                let len = if long { 300_000 } else { 9 + chance.below(100) as usize };
                fill(&mut buffer, number, len);
                sender.send_timeout(&buffer, LONG).unwrap();
                number += 1;
                sent.store(number, Ordering::Relaxed);
                bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
            fill(&mut buffer, number, 8);
            sender.send_timeout(&buffer, LONG).unwrap();
        });
        scope.spawn(|| {
            let mut number = 0;
            loop {
                let message = receiver.recv_timeout(LONG).unwrap();
                check(&message, number);
                number += 1;
                if message.len() == 8 {
                    break receiver.ack();
                }
            }
        });
        let _end = Over(&over);
        watch(seconds)
    });
    let secs = begun.elapsed().as_secs_f64();
    let (sent, bytes) = (sent.into_inner(), bytes.into_inner());
    let (rate, amount) = (sent as f64 / secs / 1e6, bytes as f64 / 1e9);
    say(&format!("{sent} messages, {amount:.1} GB, {rate:.2} M/s, none lost, {flat}"));
    stay();
}

/// Ends the sending, also when a look has found something.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Looks ten times; all looks but the first must be like the first.
fn watch(seconds: u64) -> String {
    const LOOKS: u32 = 10;
    let step = Duration::from_secs(seconds) / LOOKS;
    thread::sleep(step.max(Duration::from_millis(500)));
    let first = Usage::now();
    let mut flat = String::new();
    for _ in 1..LOOKS {
        thread::sleep(step);
        flat = Usage::settled(&first).is_flat_since(&first);
    }
    flat
}
