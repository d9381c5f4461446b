//! Much, and for long: a thousand channels and a thousand events between two processes, and one
//! pair at full rate. Every message arrives, in order and whole; and what a process uses (memory,
//! descriptors, threads) is the same at the end as after the first part.
//!
//! `TWOCAN_SCALE_CHANNELS` (100) and `TWOCAN_SCALE_SECONDS` (3) say how many and how long,
//! `TWOCAN_SOAK_SECONDS` (3) how long the pair runs; 1000, 60 and 600 are the long ones.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/mod.rs"]
mod support;

mod many;
mod soak;
mod usage;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let Some(words) = support::role() else { return };
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    match args[..] {
        ["many", prefix, count, seconds, side] => {
            let [count, seconds, side] =
                [count, seconds, side].map(|n| n.parse::<usize>().unwrap());
            alarm(seconds as u64);
            many::play(prefix, count, seconds as u64, side);
        }
        ["soak", name, seconds] => {
            let seconds = seconds.parse().unwrap();
            alarm(seconds);
            soak::play(name, seconds);
        }
        _ => panic!("no such role: {args:?}"),
    }
}

/// A child that lives much longer than it should hangs.
fn alarm(seconds: u64) {
    // SAFETY: no memory.
    unsafe { libc::alarm(seconds as u32 + 120) };
}

fn trust(row: &str, figure: impl std::fmt::Display) {
    println!("trust: {row}: {figure}");
}

fn setting(name: &str, otherwise: u64) -> u64 {
    support::setting(name).unwrap_or(otherwise)
}

/// Numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A message: its number, and bytes that follow from it.
fn fill(buffer: &mut Vec<u8>, number: u64, len: usize) {
    buffer.clear();
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.resize(len.max(8), number as u8);
}

/// Is this message `number`, whole?
fn check(message: &[u8], number: u64) {
    let (head, rest) = message.split_at(8);
    assert_eq!(u64::from_le_bytes(head.try_into().unwrap()), number, "lost, or out of order");
    assert!(rest.iter().all(|b| *b == number as u8), "message {number} is not whole");
}
