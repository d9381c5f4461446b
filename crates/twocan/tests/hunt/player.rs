//! One end of a play: says and hears in turn, as many rounds as it is told.

use crate::aim::Aim;
use crate::board::{Board, now};
use crate::support::say;
use std::path::Path;
use std::sync::{Barrier, RwLock};
use twocan::{Channel, Event, Receiver, Reset, Sender, Spin, Until, wait_any};

/// Lanes: the answering side waits in ANSWER (and a second waiter of it in SECOND), the side that
/// begins in BEGIN.
pub const ANSWER: usize = 0;
pub const BEGIN: usize = 1;
pub const SECOND: usize = 2;

/// What was seen of the waits.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub slept: u64,
    pub longest: u64,
    /// Waits of more than 100 ms by the clock, whatever the waiter did meanwhile.
    pub long: u64,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.slept += other.slept;
        self.longest = self.longest.max(other.longest);
        self.long += other.long;
    }

    /// `begun`: when the waiter began, `said`: when the waker did.
    fn count(&mut self, begun: u64, said: u64, slept: bool) {
        let took = now().saturating_sub(begun.max(said));
        self.slept += u64::from(slept);
        self.longest = self.longest.max(took);
        self.long += u64::from(took > 100_000_000);
    }
}

/// Arguments of a player.
#[derive(Debug, Clone)]
pub struct Part {
    pub play: String,
    pub spin: Spin,
    pub rounds: u64,
    pub seed: u64,
}

/// In the child: plays the parts it is given, each on a thread, and says what it has seen.
pub fn play(words: &[String]) {
    let [_, parts, play, spin, rounds, seed, board] = words else { panic!("{words:?}") };
    let board = Board::at(Path::new(board));
    let spin = if spin == "never" { Spin::Never } else { Spin::Adaptive };
    let part = Part {
        play: play.clone(),
        spin,
        rounds: rounds.parse().unwrap(),
        seed: seed.parse().unwrap(),
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .split('+')
            .map(|lane| {
                let part = &part;
                scope.spawn(move || one(part, lane == "begin", board))
            })
            .collect();
        for thread in threads {
            tally.add(thread.join().unwrap());
        }
    });
    say(&format!("{} {} {}", tally.slept, tally.longest, tally.long));
}

fn open(part: &Part, name: &str) -> Channel {
    let channel = Channel::options().spin(part.spin).send_capacity(4096).open(name).unwrap();
    channel.wait_peer(Until::FOREVER).unwrap();
    channel
}

fn one(part: &Part, begins: bool, board: &'static Board) -> Tally {
    let mut turn = Turn::new(part, begins, board);
    match part.play.as_str() {
        "messages" => {
            let (mut tx, mut rx) = open(part, "hunt").into_split();
            turn.each(|n| _ = tx.send(n).unwrap(), |n| assert_eq!(*rx.recv().unwrap(), n));
        }
        "any" => any(part, &mut turn),
        "acknowledgements" => acknowledgements(part, &mut turn),
        "two" if !begins => return two_waiters(part, turn),
        "two" => {
            let (mut tx, mut rx) = open(part, "hunt").into_split();
            turn.each(|n| _ = tx.send(n).unwrap(), |n| assert_eq!(*rx.recv().unwrap(), n));
        }
        "events" => {
            let event = |name| Event::create_or_open(name, Reset::Auto).unwrap();
            let (ping, pong) = (event("ping"), event("pong"));
            let (mine, theirs) = if begins { (&pong, &ping) } else { (&ping, &pong) };
            turn.each(|_| theirs.set().unwrap(), |_| mine.wait().unwrap());
        }
        other => panic!("no play is called {other}"),
    }
    turn.end()
}

/// Whose turn it is, and when.
struct Turn {
    begins: bool,
    rounds: u64,
    /// Where this side waits, and where it wakes.
    own: usize,
    others: Vec<usize>,
    board: &'static Board,
    aim: Aim,
    tally: Tally,
}

impl Turn {
    fn new(part: &Part, begins: bool, board: &'static Board) -> Turn {
        let own = if begins { BEGIN } else { ANSWER };
        let mut others = vec![if begins { ANSWER } else { BEGIN }];
        if begins && part.play == "two" {
            others.push(SECOND);
        }
        board.sits(own);
        let aim = Aim::new(part.seed ^ own as u64);
        Turn { begins, rounds: part.rounds, own, others, board, aim, tally: Tally::default() }
    }

    fn each(&mut self, mut says: impl FnMut([u8; 8]), mut hears: impl FnMut([u8; 8])) {
        for round in 1..=self.rounds {
            if self.begins {
                self.say(round, &mut says);
            }
            self.hear(round, &mut hears);
            if !self.begins {
                self.say(round, &mut says);
            }
        }
    }

    fn say(&mut self, round: u64, says: &mut impl FnMut([u8; 8])) {
        self.aim.think(self.board.wished(self.others[0]));
        self.others.iter().for_each(|lane| self.board.begins(*lane));
        says(round.to_le_bytes());
        self.others.iter().for_each(|lane| self.board.said(*lane, round));
    }

    fn hear(&mut self, round: u64, hears: &mut impl FnMut([u8; 8])) {
        let begun = self.aim.hold();
        hears(round.to_le_bytes());
        self.board.heard(self.own, round);
        let (wish, slept) = self.aim.learn();
        self.tally.count(begun, self.board.said_at(self.own), slept);
        self.board.wish(self.own, wish);
    }

    fn end(self) -> Tally {
        self.board.done(self.own);
        self.tally
    }
}

/// Waits on a channel among others that stay silent.
fn any(part: &Part, turn: &mut Turn) {
    let (mut tx, rx) = open(part, "hunt").into_split();
    let silent = open(part, "silent").into_split();
    let never = Event::create_or_open("never", Reset::Manual).unwrap();
    let rx = RwLock::new(rx);
    turn.each(
        |n| _ = tx.send(n).unwrap(),
        |n| {
            let mut rx = rx.write().unwrap();
            let ready = wait_any(&[&never, &silent.1, &*rx], Until::FOREVER).unwrap();
            assert_eq!(ready, Some(2));
            assert_eq!(*rx.try_recv().unwrap(), n);
        },
    );
    // Whoever leaves first would be something to hear of for the other.
    turn.board.done(turn.own);
    while !turn.board.is_done(turn.others[0]) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The side that begins waits for the acknowledgement, and so sleeps as a sender.
fn acknowledgements(part: &Part, turn: &mut Turn) {
    let (tx, rx) = open(part, "hunt").into_split();
    let (tx, rx): (RwLock<Sender>, RwLock<Receiver>) = (RwLock::new(tx), RwLock::new(rx));
    if turn.begins {
        turn.each(
            |n| _ = tx.write().unwrap().send(n).unwrap(),
            |_| {
                let mut tx = tx.write().unwrap();
                let last = tx.sent().unwrap();
                tx.wait_acknowledged(last, Until::FOREVER).unwrap();
            },
        );
    } else {
        turn.each(
            |_| rx.write().unwrap().ack(),
            |n| assert_eq!(*rx.write().unwrap().recv().unwrap(), n),
        );
    }
}

/// Two threads of the answering side wait for the same message; both must wake. One takes it.
fn two_waiters(part: &Part, mut turn: Turn) -> Tally {
    let (mut tx, rx) = open(part, "hunt").into_split();
    let rx = RwLock::new(rx);
    let (enter, leave) = (Barrier::new(2), Barrier::new(2));
    let wait = || {
        let rx = rx.read().unwrap();
        assert_eq!(wait_any(&[&*rx], Until::FOREVER).unwrap(), Some(0));
    };
    let board = turn.board;
    let second = || {
        let (mut aim, mut tally) = (Aim::new(part.seed ^ 77), Tally::default());
        board.sits(SECOND);
        for round in 1..=part.rounds {
            enter.wait();
            let begun = aim.hold();
            wait();
            board.heard(SECOND, round);
            tally.count(begun, board.said_at(SECOND), aim.learn().1);
            leave.wait();
        }
        board.done(SECOND);
        tally
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        for round in 1..=part.rounds {
            enter.wait();
            turn.hear(round, &mut |_| wait());
            leave.wait();
            let taken = rx.write().unwrap().try_recv().unwrap();
            assert_eq!(*taken, round.to_le_bytes());
            turn.say(round, &mut |n| _ = tx.send(n).unwrap());
        }
        turn.tally.add(second.join().unwrap());
    });
    turn.end()
}
