//! One end: sends and reads at the same time, and logs both.

use crate::chance::{Chance, message, read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs::File, io::Read, io::Write};
use twocan::{Channel, PeerChange, Receiver, RecvError, SendError, Sender, Seq, wait_any};

/// A line of the log is 40 bytes: what, counter, the two halves of the number, 1 = whole. One
/// `write`, so it is there or not.
pub const LINE: usize = 40;
pub const ATTACHED: u64 = 1;
pub const SENT: u64 = 2;
pub const READ: u64 = 3;
/// A call failed in a way that it must not.
pub const FAILED: u64 = 4;
/// The last message of a side.
pub const FAREWELL: u64 = 1 << 62;

struct Log(File);

impl Log {
    fn again(&self) -> Log {
        Log(self.0.try_clone().unwrap())
    }

    fn line(&mut self, what: u64, counter: u64, seq: Option<Seq>, whole: bool) {
        let seq = seq.map_or([0, 0], |s| [s.region(), s.position()]);
        let mut line = [0; LINE];
        let words = [what, counter, seq[0], seq[1], u64::from(whole)];
        for (to, word) in line.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        self.0.write_all(&line).expect("the director reads the log");
    }
}

/// Arguments: name of the channel, the counter to begin with, a seed. Descriptors: the log, and a
/// pipe that ends when this end shall say farewell.
pub fn play(words: &[&str], fds: Vec<OwnedFd>) {
    let [name, first, seed] = words else { return };
    let (first, seed): (u64, u64) = (first.parse().unwrap(), seed.parse().unwrap());
    let [log, enough] = <[OwnedFd; 2]>::try_from(fds).expect("two pipes");
    let mut log = Log(File::from(log));
    let mut chance = Chance::new(seed);
    // Small rings: messages of more than 1 or 4 KiB go in fragments, and a slow reader is soon
    // behind.
    let capacity = 4096 << (2 * chance.below(2));
    let channel = Channel::options().send_capacity(capacity).open(name).unwrap();
    let (mut tx, mut rx) = channel.into_split();
    let change = tx.peer_change();
    let alone = tx.peer().is_none();
    // Some send and read before anybody is there.
    let early = chance.percent(50);
    if !early {
        attached(alone, &change, &mut log);
    }
    let ending = Arc::new(AtomicBool::new(false));
    let (mut of_sender, end, word) = (log.again(), ending.clone(), chance.word());
    let sender = std::thread::spawn(move || {
        send_all(&mut tx, &mut of_sender, first, Chance::new(word), &end);
    });
    let (mut of_reader, word) = (log.again(), chance.word());
    let reader = std::thread::spawn(move || {
        read_all(&mut rx, &mut of_reader, &mut Chance::new(word));
    });
    if early {
        attached(alone, &change, &mut log);
    }
    // Until the director has had enough.
    let _ = File::from(enough).read(&mut [0]);
    ending.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    reader.join().unwrap();
}

fn attached(alone: bool, change: &PeerChange, log: &mut Log) {
    if alone {
        wait_any(&[change], Duration::from_secs(120)).unwrap();
    }
    log.line(ATTACHED, 0, None, true);
}

fn length(chance: &mut Chance) -> usize {
    match chance.below(100) {
        0..70 => 16 + chance.below(100) as usize,
        70..90 => 16 + chance.below(1000) as usize,
        90..98 => 2_000 + chance.below(10_000) as usize,
        _ => 30_000 + chance.below(40_000) as usize,
    }
}

fn by_loan(tx: &mut Sender, bytes: &[u8]) -> Result<Seq, SendError> {
    let mut loan = tx.loan(bytes.len())?;
    loan.copy_from_slice(bytes);
    Ok(loan.commit())
}

fn send_all(tx: &mut Sender, log: &mut Log, first: u64, mut chance: Chance, end: &AtomicBool) {
    let pause = [0, 0, 20, 200][chance.below(4) as usize];
    let mut counter = first;
    loop {
        let last = end.load(Ordering::Relaxed);
        let number = if last { counter | FAREWELL } else { counter };
        let bytes = message(number, length(&mut chance));
        let in_place = bytes.len() <= tx.max_loan() && chance.percent(20);
        let seq = loop {
            let sent = if in_place { by_loan(tx, &bytes) } else { tx.send(&bytes) };
            match sent {
                Ok(seq) => break seq,
                Err(SendError::PeerDied) => {} // told once; nothing of it was accepted
                Err(_) => return log.line(FAILED, number, None, false),
            }
        };
        log.line(SENT, number, Some(seq), true);
        if last {
            return;
        }
        counter += 1;
        if pause > 0 && chance.percent(10) {
            std::thread::sleep(Duration::from_micros(pause));
        }
    }
}

fn read_all(rx: &mut Receiver, log: &mut Log, chance: &mut Chance) {
    let work = [0, 0, 100, 1000][chance.below(4) as usize];
    let by_delivery = chance.percent(30);
    loop {
        let (bytes, seq) = if by_delivery {
            match rx.recv_delivery() {
                Ok(delivery) => (delivery.to_message().to_vec(), delivery.seq()),
                Err(RecvError::PeerDied) => continue,
                Err(_) => return log.line(FAILED, 0, None, false),
            }
        } else {
            match rx.recv() {
                Ok(m) => (m.to_vec(), m.seq()),
                Err(RecvError::PeerDied) => continue,
                Err(_) => return log.line(FAILED, 0, None, false),
            }
        };
        // The application works on it. A reader killed here must leave the message to its
        // successor.
        if work > 0 && chance.percent(20) {
            std::thread::sleep(Duration::from_micros(work));
        }
        let (counter, whole) = read(&bytes);
        log.line(READ, counter, Some(seq), whole);
        if by_delivery {
            match rx.recv_delivery() {
                Ok(delivery) if delivery.seq() == seq => delivery.acknowledge(),
                _ => return log.line(FAILED, counter, None, false),
            }
        }
        if counter & FAREWELL != 0 {
            rx.ack();
            return;
        }
    }
}
