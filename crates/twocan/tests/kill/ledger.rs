//! Holds the logs of both sides against the promise.

use crate::actor::{ATTACHED, FAILED, FAREWELL, LINE, READ, SENT};
use std::collections::HashMap;
use std::fmt;

/// One line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub what: u64,
    pub counter: u64,
    /// Region and position.
    pub seq: [u64; 2],
    pub whole: bool,
}

impl Line {
    pub fn read(bytes: &[u8; LINE]) -> Line {
        let word = |i: usize| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap());
        Line { what: word(0), counter: word(1), seq: [word(2), word(3)], whole: word(4) == 1 }
    }
}

/// One life of an end: the first message that it would send, and its log.
pub struct Incarnation {
    pub first: u64,
    pub lines: Vec<Line>,
}

impl Incarnation {
    fn of(&self, what: u64) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.what == what)
    }

    /// The message that it may have been sending when it died.
    pub fn under_way(&self) -> u64 {
        self.of(SENT).last().map_or(self.first, |line| line.counter + 1)
    }

    /// Was it attached? Its log may have been cut before that line: then it may have been.
    fn surely_attached(&self) -> bool {
        self.of(ATTACHED).next().is_some()
    }
}

/// What should have been read, in its order.
struct Due {
    counter: u64,
    /// `None` for one that was under way.
    seq: Option<[u64; 2]>,
    /// Which life of the sender.
    life: usize,
    seen: bool,
}

#[derive(Debug, Default)]
pub struct Report {
    sent: u64,
    read: u64,
    /// Came again, as they may.
    repeated: u64,
    /// Under way when their sender was killed, and arrived.
    unlogged: u64,
    lost: u64,
    /// Came again although they must not.
    twice: u64,
    disordered: u64,
    corrupt: u64,
    /// Read under another number than they were sent, or never sent.
    strange: u64,
    failed: u64,
    /// Lives that ended before their log said that they were attached.
    early_ends: u64,
    pub left_behind: u64,
}

/// The messages from `senders` to `readers`.
pub fn settle(senders: &[Incarnation], readers: &[Incarnation]) -> Report {
    let mut report = Report::default();
    let mut dues = list(senders);
    report.sent = dues.iter().filter(|due| due.seq.is_some()).count() as u64;
    let places: HashMap<u64, usize> =
        dues.iter().enumerate().map(|(place, due)| (due.counter, place)).collect();
    let mut next = 0;
    let mut last: Option<Line> = None;
    for life in readers {
        for (i, line) in life.of(READ).enumerate() {
            report.read += 1;
            report.corrupt += u64::from(!line.whole);
            if last == Some(*line) {
                // The last that the one before had in hand, and the first of this one?
                *if i == 0 { &mut report.repeated } else { &mut report.twice } += 1;
                continue;
            }
            last = Some(*line);
            let Some(&place) = places.get(&line.counter) else {
                report.strange += 1;
                println!("never sent: {line:x?}");
                continue;
            };
            let due = &mut dues[place];
            match due.seq {
                Some(seq) => report.strange += u64::from(seq != line.seq),
                None => report.unlogged += 1,
            }
            if due.seen {
                report.twice += 1;
                println!("came twice: {line:x?}");
            } else if place < next {
                report.disordered += 1;
                println!("out of order: {line:x?}");
            }
            due.seen = true;
            next = next.max(place + 1);
        }
    }
    report.lost = lost(senders, &dues);
    report.early_ends = senders.iter().filter(|life| !life.surely_attached()).count() as u64;
    report.failed = senders.iter().map(|life| life.of(FAILED).count() as u64).sum();
    report
}

fn list(senders: &[Incarnation]) -> Vec<Due> {
    let mut dues = Vec::new();
    for (life, incarnation) in senders.iter().enumerate() {
        let due = |counter, seq| Due { counter, seq, life, seen: false };
        dues.extend(incarnation.of(SENT).map(|line| due(line.counter, Some(line.seq))));
        if dues.last().is_none_or(|due: &Due| due.counter & FAREWELL == 0) {
            dues.push(due(incarnation.under_way(), None));
        }
    }
    dues
}

/// What an end accepted that was never attached is gone with it; but all of it, or nothing.
fn lost(senders: &[Incarnation], dues: &[Due]) -> u64 {
    let mut lost = 0;
    for (life, incarnation) in senders.iter().enumerate() {
        let of_life = || dues.iter().filter(|due| due.life == life && due.seq.is_some());
        let missing: Vec<u64> = of_life().filter(|due| !due.seen).map(|due| due.counter).collect();
        let heard_of = dues.iter().any(|due| due.life == life && due.seen);
        if !missing.is_empty() && (incarnation.surely_attached() || heard_of) {
            println!("life {life} of the sender: lost {missing:?}");
            lost += missing.len() as u64;
        }
    }
    lost
}

impl Report {
    pub fn add(&mut self, other: &Report) {
        self.sent += other.sent;
        self.read += other.read;
        self.repeated += other.repeated;
        self.unlogged += other.unlogged;
        self.lost += other.lost;
        self.twice += other.twice;
        self.disordered += other.disordered;
        self.corrupt += other.corrupt;
        self.strange += other.strange;
        self.failed += other.failed;
        self.early_ends += other.early_ends;
        self.left_behind += other.left_behind;
    }

    /// The line of the trust table.
    pub fn figures(&self) -> String {
        let Report { sent, repeated, lost, corrupt, disordered, twice, .. } = self;
        format!(
            "{sent} messages, {lost} lost, {corrupt} corrupt, {disordered} out of order, \
             {twice} twice, {repeated} repeated as promised"
        )
    }

    pub fn is_clean(&self) -> bool {
        let bad = [
            self.lost,
            self.twice,
            self.disordered,
            self.corrupt,
            self.strange,
            self.failed,
            self.left_behind,
        ];
        self.sent > 0 && bad.iter().all(|n| *n == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { sent, read, repeated, unlogged, lost, twice, disordered, .. } = self;
        write!(
            f,
            "{sent} sent, {read} read, {repeated} repeated as they may, {unlogged} arrived of \
             those under way, {} lives ended before they were attached; {lost} lost, \
             {twice} twice, {disordered} out of order, {} corrupt, {} under a wrong number, \
             {} failed calls, {} files left behind",
            self.early_ends, self.corrupt, self.strange, self.failed, self.left_behind
        )
    }
}
