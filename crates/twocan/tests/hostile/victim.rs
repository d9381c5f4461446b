//! An ordinary program on the public face, each of its calls bounded. It counts what it was
//! answered, under the name that its peer has given itself.

use crate::card::LIMIT;
use crate::chance::Chance;
use crate::support::say;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use twocan::{Channel, Incoming, RecvError, SendError, Until, Violation, wait_any};

/// The limit of a call that may wait.
const CALL: Duration = Duration::from_millis(2);
/// A call that takes so many ticks of a second hangs. Ticks, not a clock: a machine that stands
/// still for a while stops both.
const HANG_TICKS: u32 = 45;
/// Longer ones are told apart from short ones in the count.
const LONG: usize = 20_000;

/// Calls that have returned; the watchdog looks whether it moves.
static CALLS: AtomicU64 = AtomicU64::new(0);
/// Which call is under way.
static DOING: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// Whatever goes wrong in any thread ends the process, so that it cannot be missed.
fn arm_watchdog() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("PANIC in the victim: {info}");
        std::process::abort();
    }));
    std::thread::spawn(|| {
        let (mut last, mut ticks) = (0, 0);
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let calls = CALLS.load(Ordering::Relaxed);
            ticks = if calls == last { ticks + 1 } else { 0 };
            last = calls;
            if ticks > HANG_TICKS {
                eprintln!("HANG in the victim: call {}", DOING.load(Ordering::Relaxed));
                std::process::abort();
            }
        }
    });
    std::thread::spawn(|| {
        crate::support::stay();
        STOP.store(true, Ordering::Relaxed);
    });
}

fn violation(v: Violation) -> &'static str {
    match v {
        Violation::BadRecord => "BadRecord",
        Violation::BadFragment => "BadFragment",
        Violation::TooLong => "TooLong",
        Violation::BadAcknowledgement => "BadAcknowledgement",
        Violation::BadRegion => "BadRegion",
        Violation::BadHandshake => "BadHandshake",
        _ => "unheard of",
    }
}

pub fn received(e: RecvError) -> &'static str {
    match e {
        RecvError::Empty => "Empty",
        RecvError::TimedOut => "TimedOut",
        RecvError::Finished => "Finished",
        RecvError::PeerClosed => "PeerClosed",
        RecvError::PeerDied => "PeerDied",
        RecvError::PeerMisbehaved(v) => violation(v),
        _ => "unexpected",
    }
}

fn sent(e: SendError) -> &'static str {
    match e {
        SendError::Full => "Full",
        SendError::TimedOut => "TimedOut",
        SendError::PeerClosed => "PeerClosed",
        SendError::PeerDied => "PeerDied",
        SendError::ReceiverGone => "ReceiverGone",
        SendError::OutcomeUnknown => "OutcomeUnknown",
        SendError::PeerMisbehaved(v) => violation(v),
        _ => "unexpected",
    }
}

/// What it has been answered: peer, call, answer.
type Answers = BTreeMap<(String, &'static str, &'static str), u64>;

struct Victim {
    can: Channel,
    chance: Chance,
    answers: Answers,
    buffer: Vec<u8>,
    outgoing: Vec<u8>,
    /// So that the compiler keeps all reads.
    sum: u64,
}

impl Victim {
    fn peer(&self) -> String {
        self.can.peer().map_or_else(String::new, |p| p.nick().to_owned())
    }

    fn note(&mut self, peer: String, call: &'static str, answer: &'static str) {
        *self.answers.entry((peer, call, answer)).or_default() += 1;
    }

    fn said(&mut self, peer: String, outcome: Result<&[u8], RecvError>) {
        match outcome {
            Ok(bytes) => {
                assert!(bytes.len() <= LIMIT as usize, "longer than the limit");
                self.sum ^= bytes.iter().map(|b| u64::from(*b)).sum::<u64>();
                let how = if bytes.len() > LONG { "long" } else { "ok" };
                self.note(peer, "in", how);
            }
            Err(e) => {
                let gone = matches!(
                    e,
                    RecvError::PeerClosed | RecvError::PeerDied | RecvError::PeerMisbehaved(_)
                );
                let of = if gone {
                    let departed = self.can.receiver().departed();
                    departed.map_or(peer, |p| p.nick().to_owned())
                } else {
                    peer
                };
                self.note(of, "in", received(e));
            }
        }
    }

    fn wrote(&mut self, peer: String, fine: &'static str, outcome: Result<(), SendError>) {
        let answer = match outcome {
            Ok(()) => fine,
            Err(e) => sent(e),
        };
        let gone = matches!(
            outcome,
            Err(SendError::PeerClosed | SendError::PeerDied | SendError::PeerMisbehaved(_))
        );
        let departed = if gone { self.can.sender().departed() } else { None };
        self.note(departed.map_or(peer, |p| p.nick().to_owned()), "out", answer);
    }

    fn receive(&mut self, which: u64) {
        let peer = self.peer();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut into = |outcome: Result<&[u8], RecvError>| {
            buffer.clear();
            outcome.map(|bytes| buffer.extend_from_slice(bytes))
        };
        let rx = self.can.receiver();
        let outcome = match which {
            0 => into(rx.recv_timeout(CALL).as_deref().map_err(|e| *e)),
            1 => into(rx.try_recv().as_deref().map_err(|e| *e)),
            2 => rx.recv_into_until(&mut buffer, CALL).map(drop),
            3 => rx.try_recv_into(&mut buffer).map(drop),
            4 | 5 => rx.recv_delivery_until(CALL).map(|delivery| {
                let len = delivery.len();
                buffer.resize(len, 0);
                delivery.copy_to(&mut buffer);
                // In parts, where it lies; and behind its end, which is an error.
                let half = len / 2;
                delivery.read_at(half, &mut buffer[half..]).expect("inside");
                assert!(delivery.read_at(len, &mut [0]).is_err());
                if which == 4 {
                    delivery.acknowledge(); // else it comes again
                }
            }),
            _ => match rx.recv_incoming(CALL) {
                Ok(Incoming::Message(message)) => into(Ok(&message)),
                Ok(Incoming::Left(_)) => Err(RecvError::PeerClosed),
                Ok(Incoming::Died(_)) => Err(RecvError::PeerDied),
                Ok(Incoming::Finished) => Err(RecvError::Finished),
                Ok(_) => Err(RecvError::Empty),
                Err(e) => Err(e),
            },
        };
        self.said(peer, outcome.map(|()| &*buffer));
        self.buffer = buffer;
    }

    fn send(&mut self, which: u64) {
        let peer = self.peer();
        let len = match self.chance.below(4) {
            0 => self.chance.below(48),
            _ => self.chance.below(400),
        } as usize;
        let (small, all) = (&self.outgoing[..len], self.outgoing.len());
        let (fine, outcome) = match which {
            0 => ("ok", self.can.try_send(small).map(drop)),
            1 => ("ok", self.can.send_timeout(small, CALL).map(drop)),
            2 => {
                // Longer than a record of ours.
                let len = 17_000 + self.chance.below((all - 17_000) as u64) as usize;
                ("long", self.can.send_timeout(&self.outgoing[..len], 2 * CALL).map(drop))
            }
            3 => {
                let keep = self.chance.percent(50);
                let loan = self.can.sender().loan_until(len, CALL).map(|mut loan| {
                    loan.fill(7);
                    if keep {
                        loan.commit();
                    }
                });
                ("ok", loan)
            }
            _ => {
                let tx = self.can.sender();
                let last = tx.sent();
                let done = last.map(|seq| tx.wait_acknowledged(seq, CALL));
                ("acknowledged", done.unwrap_or(Ok(())))
            }
        };
        self.wrote(peer, fine, outcome);
    }

    fn wait(&mut self) {
        let (tx, rx) = self.can.split();
        let (room, change) = (tx.room(100), rx.peer_change());
        let acknowledged = tx.sent().map(|seq| tx.acknowledged_past(seq));
        let mut objects: Vec<&dyn twocan::Waitable> = vec![rx, &change, &room];
        objects.extend(acknowledged.as_ref().map(|a| a as &dyn twocan::Waitable));
        let from = self.chance.below(objects.len() as u64 - 1) as usize;
        wait_any(&objects[from..], CALL).expect("neither cancelled nor forked");
    }

    fn look_about(&mut self) {
        let tx = self.can.sender();
        tx.unacknowledged();
        tx.acknowledged();
        tx.sent().map(|seq| tx.is_acknowledged(seq));
        if self.chance.percent(5) {
            self.can.sender().discard_unacknowledged();
        }
        self.can.receiver().ack();
        let _ = self.can.wait_peer(Until::now());
    }

    fn call(&mut self) {
        let which = self.chance.below(20);
        DOING.store(which, Ordering::Relaxed);
        match which {
            0..10 => self.receive(which % 7),
            10..17 => self.send((which - 10) % 5),
            17 | 18 => self.wait(),
            _ => self.look_about(),
        }
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

/// What must not grow.
#[derive(Default)]
struct Peaks {
    rss_kib: u64,
    fds: usize,
    maps: usize,
}

impl Peaks {
    fn look(&mut self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = rss.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
        self.rss_kib = self.rss_kib.max(kib);
        self.fds = self.fds.max(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count));
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        self.maps = self.maps.max(maps.lines().filter(|l| l.contains("memfd:")).count());
    }
}

/// The role: `victim NAME SEED`.
pub fn play(words: &[String]) {
    arm_watchdog();
    let mut options = Channel::options();
    options.nick("victim").send_capacity(64 << 10).max_message(LIMIT as usize);
    let mut victim = Victim {
        can: options.open(&words[1]).expect("a seat"),
        chance: Chance::new(words[2].parse().expect("a number")),
        answers: Answers::new(),
        buffer: Vec::new(),
        outgoing: (0..60_000u32).map(|i| i as u8).collect(),
        sum: 0,
    };
    say("open");
    let mut peaks = Peaks::default();
    while !STOP.load(Ordering::Relaxed) {
        for _ in 0..500 {
            victim.call();
        }
        peaks.look();
    }
    for ((peer, call, answer), count) in &victim.answers {
        say(&format!("saw {peer}|{call} {answer}|{count}"));
    }
    let calls = CALLS.load(Ordering::Relaxed);
    say(&format!("peaks {} {} {} {calls}", peaks.rss_kib, peaks.fds, peaks.maps));
    drop(victim);
    say("end");
}
