//! The process that is killed: gets ready, enters the window, and does not come out of it.

use crate::chance::{message, read};
use crate::support::LONG;
use crate::trace::{begin, end};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use twocan::{Channel, ChannelOptions, Event, Receiver, RecvError, Sender, Spin, Violation};

/// Bytes of the ring; the longest payload is a quarter of it.
pub const CAPACITY: usize = 4096;
/// A line of the report: what, counter, 1 = whole.
pub const LINE: usize = 17;
pub const SENT: u8 = 1;
pub const READ: u8 = 2;
/// It waits for the word to go on: not yet, or now, at the window.
pub const PAUSES: u8 = 3;
pub const READY: u8 = 4;
/// The peer has lied, and was told so.
pub const REFUSED: u8 = 5;

pub struct Victim {
    report: File,
    word: File,
}

/// Sleeps at once: what it does is the same each time.
fn options() -> ChannelOptions {
    let mut options = Channel::options();
    options.send_capacity(CAPACITY).spin(Spin::Never);
    options
}

/// Waits for a seat, should a dying process hold it for long; whether it is too long is looked at
/// elsewhere.
pub fn open(name: &str) -> Channel {
    let open = || options().open_until(name, LONG);
    // Twice, should the machine have been stopped for as long as that.
    open().or_else(|_| open()).unwrap()
}

impl Victim {
    pub fn new(fds: Vec<OwnedFd>) -> Victim {
        let [report, word] = <[OwnedFd; 2]>::try_from(fds).expect("two pipes");
        Victim { report: report.into(), word: word.into() }
    }

    fn line(&mut self, what: u8, counter: u64, whole: bool) {
        let mut line = [0; LINE];
        line[0] = what;
        line[1..9].copy_from_slice(&counter.to_le_bytes());
        line[9] = u8::from(whole);
        self.report.write_all(&line).expect("the test reads the report");
    }

    /// Says that it is ready, and waits for the word.
    fn ready(&mut self) {
        self.wait_for_word(READY);
    }

    fn pause(&mut self) {
        self.wait_for_word(PAUSES);
    }

    fn wait_for_word(&mut self, what: u8) {
        self.line(what, 0, true);
        self.word.read_exact(&mut [0]).expect("the test says the word");
    }
}

pub fn play(words: &[&str], fds: Vec<OwnedFd>) {
    let mut victim = Victim::new(fds);
    match *words {
        ["idles"] => victim.ready(),
        ["sends", name, how, first] => sends(&mut victim, name, how, first.parse().unwrap()),
        ["reads", name, how] => reads(&mut victim, name, how),
        ["hears", name, before] => hears(&mut victim, name, before.parse().unwrap()),
        ["opens", name] => {
            victim.ready();
            begin();
            let _channel = options().open(name).unwrap();
            end();
        }
        ["joins", name] => {
            victim.ready();
            let _channel = options().open(name).unwrap();
            victim.pause();
        }
        ["welcomes", name, first] => {
            let first: u64 = first.parse().unwrap();
            let mut channel = open(name);
            for i in 0..2 {
                channel.send(message(first + i, 40)).unwrap();
            }
            victim.ready();
        }
        ["leaves", name, how, first] => leaves(&mut victim, name, how, first.parse().unwrap()),
        ["signals", name, how] => {
            let event = Event::open_existing(name).unwrap();
            victim.ready();
            begin();
            match how {
                "set" | "set, manual" => event.set().unwrap(),
                "wait" => event.wait().unwrap(),
                "take" => drop(event.try_wait().unwrap()),
                "reset" => event.reset().unwrap(),
                _ => panic!("no such way: {how}"),
            }
            end();
        }
        _ => panic!("no such role: {words:?}"),
    }
}

/// Sends some in peace, then those of the window.
fn sends(victim: &mut Victim, name: &str, how: &str, first: u64) {
    let channel = open(name);
    channel.wait_peer(twocan::Until::FOREVER).unwrap();
    let mut counter = first;
    let in_peace = |victim: &mut Victim, tx: &mut Sender, counter: &mut u64, len: usize| {
        let seq = tx.send(message(*counter, len)).unwrap();
        victim.line(SENT, *counter, true);
        *counter += 1;
        seq.position()
    };
    let (mut tx, _rx) = channel.into_split();
    let mut at = in_peace(victim, &mut tx, &mut counter, 40) + 64;
    match how {
        // The next record of a quarter of the ring must not fit before its end.
        "behind padding" => {
            while CAPACITY as u64 - at % CAPACITY as u64 >= 1024 {
                victim.pause(); // until what was sent is read: then there is room
                at = in_peace(victim, &mut tx, &mut counter, 600) + 640;
            }
        }
        "when there is room" => {
            while tx.try_send(message(counter, 1000)).is_ok() {
                victim.line(SENT, counter, true);
                counter += 1;
            }
        }
        _ => {}
    }
    victim.ready();
    let next = |i: u64, len: usize| message(counter + i, len);
    let batch = [next(0, 40), next(1, 40), next(2, 40)];
    let small = next(0, 40);
    let large = next(0, 1000);
    let lines = next(0, 700);
    let long = next(0, 1100);
    begin();
    match how {
        "a small one" | "to a sleeper" => {
            tx.send(&small).unwrap();
        }
        "of several lines" => {
            tx.send(&lines).unwrap();
        }
        "behind padding" | "when there is room" => {
            tx.send(&large).unwrap();
        }
        "in place" => {
            let mut loan = tx.loan(lines.len()).unwrap();
            loan.copy_from_slice(&lines);
            loan.commit();
        }
        "a batch" => {
            tx.send_batch(&batch).unwrap();
        }
        "a long one" => {
            tx.send(&long).unwrap();
        }
        _ => panic!("no such way to send: {how}"),
    }
    end();
}

/// Reads until it has a message in hand, then does more with it in the window.
fn reads(victim: &mut Victim, name: &str, how: &str) {
    let channel = open(name);
    channel.wait_peer(twocan::Until::FOREVER).unwrap();
    let (_tx, mut rx) = channel.into_split();
    let in_hand = |victim: &mut Victim, rx: &mut Receiver| {
        let bytes = rx.recv().unwrap();
        let (counter, whole) = read(&bytes);
        victim.line(READ, counter, whole);
        counter
    };
    let counter = in_hand(victim, &mut rx);
    match how {
        // Every second message is a long one.
        "a long one" if counter % 2 == 1 => drop(in_hand(victim, &mut rx)),
        "behind a long one" if counter % 2 == 0 => drop(in_hand(victim, &mut rx)),
        _ => {}
    }
    victim.ready();
    let mut bytes = Vec::with_capacity(2000);
    begin();
    match how {
        "and acknowledges" => rx.ack(),
        "a delivery" => {
            let delivery = rx.recv_delivery().unwrap();
            bytes.resize(delivery.len(), 0);
            delivery.copy_to(&mut bytes);
            delivery.acknowledge();
        }
        "the next" | "and wakes" | "a long one" | "behind a long one" => {
            rx.recv_into(&mut bytes).unwrap();
        }
        _ => panic!("no such way to read: {how}"),
    }
    end();
}

/// From each peer that comes: reads some in peace, then one in the window, and says what came of
/// that.
fn hears(victim: &mut Victim, name: &str, before: u64) {
    let (_tx, mut rx) = open(name).into_split();
    let mut bytes = Vec::with_capacity(CAPACITY);
    loop {
        victim.pause();
        for counter in 0..before {
            rx.recv_into(&mut bytes).unwrap();
            assert_eq!(read(&bytes), (counter, true));
        }
        victim.ready();
        begin();
        let answer = rx.recv_into(&mut bytes);
        begin();
        match answer {
            Ok(_) => {
                victim.line(READ, bytes.len() as u64, read(&bytes) == (before, true));
                assert!(matches!(rx.recv_into(&mut bytes), Err(RecvError::PeerDied)));
            }
            Err(RecvError::PeerMisbehaved(Violation::BadRecord)) => victim.line(REFUSED, 0, true),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Says goodbye in the window.
fn leaves(victim: &mut Victim, name: &str, how: &str, first: u64) {
    let mut channel = open(name);
    channel.wait_peer(twocan::Until::FOREVER).unwrap();
    let unread = how == "leave, messages unread";
    if !unread {
        let _ = channel.recv().unwrap(); // to be acknowledged on the way
    }
    for i in 0..2 {
        channel.send(message(first + i, 40)).unwrap();
        victim.line(SENT, first + i, true);
    }
    victim.ready();
    begin();
    if unread {
        drop(channel)
    } else {
        channel.close().unwrap()
    }
    end();
}
