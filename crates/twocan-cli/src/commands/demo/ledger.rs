//! The books of the demo: what was sent, what was taken, and whether each message was taken once
//! and in order.

use std::collections::{BTreeMap, HashSet};

/// Faults that are told; more add nothing.
const MAX_FAULTS: usize = 5;

/// What an end has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// Somebody is there.
    Joined,
    /// Message `n` of this life was accepted by the channel.
    Sent(u64),
    /// A message came: its number on the channel, and what it says about itself.
    Got { region: u64, position: u64, life: u32, n: u64 },
    /// The median round trip in nanoseconds.
    Round(u64),
    /// A message came torn, or a report is not understood.
    Broken,
}

impl Report {
    pub(super) fn parse(line: &str) -> Option<Report> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(match (kind, &numbers[..]) {
            ("joined", []) => Report::Joined,
            ("sent", [n]) => Report::Sent(*n),
            ("got", &[region, position, life, n]) => {
                Report::Got { region, position, life: u32::try_from(life).ok()?, n }
            }
            ("round", [nanos]) => Report::Round(*nanos),
            ("broken", []) => Report::Broken,
            _ => return None,
        })
    }
}

/// One direction: what one side sent, life by life, and what the other took.
#[derive(Debug, Default)]
struct Direction {
    /// Per life of the sender: messages that it reported as accepted. One more may have been,
    /// unreported.
    accepted: BTreeMap<u32, u64>,
    /// Per life of the sender: messages that were taken; also the number of the next one.
    taken: BTreeMap<u32, u64>,
    /// Numbers on the channel of all that was taken.
    seen: HashSet<(u64, u64)>,
    repeated: u64,
}

/// What a direction comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) accepted: u64,
    pub(super) taken: u64,
    pub(super) repeated: u64,
}

/// Both directions; side 0 sends on direction 0.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    directions: [Direction; 2],
    lives: [u32; 2],
    silent: [bool; 2],
    faults: Vec<String>,
}

impl Ledger {
    /// A new life of a side begins.
    pub(super) fn begin(&mut self, side: usize, life: u32) {
        self.lives[side] = life;
        self.silent[side] = false;
        self.directions[side].accepted.insert(life, 0);
    }

    pub(super) fn book(&mut self, side: usize, report: &Report) {
        match *report {
            Report::Sent(n) => {
                self.directions[side].accepted.insert(self.lives[side], n + 1);
            }
            Report::Got { region, position, life, n } => {
                self.got(1 - side, (region, position), life, n);
            }
            Report::Broken => self.fault("a message came torn.".to_owned()),
            Report::Joined | Report::Round(_) => {}
        }
    }

    fn got(&mut self, from: usize, number: (u64, u64), life: u32, n: u64) {
        let direction = &mut self.directions[from];
        if !direction.seen.insert(number) {
            direction.repeated += 1;
            return;
        }
        let next = direction.taken.entry(life).or_default();
        if n == *next {
            *next += 1;
        } else {
            let text = format!("message {n} came where {next} was due (side {from}, life {life}).");
            *next = n + 1;
            self.fault(text);
        }
    }

    pub(super) fn accepted(&self, side: usize) -> u64 {
        self.directions[side].accepted.values().sum()
    }

    pub(super) fn silent(&mut self, side: usize) {
        self.silent[side] = true;
    }

    pub(super) fn is_silent(&self, side: usize) -> bool {
        self.silent[side]
    }

    /// An accepted message whose report was cut off by the kill counts as sent: it was taken.
    pub(super) fn sum(&self, side: usize) -> Sum {
        let direction = &self.directions[side];
        let taken = direction.taken.values().sum();
        let accepted = direction
            .accepted
            .iter()
            .map(|(life, n)| (*n).max(self.unreported(side, *life).map_or(0, |()| n + 1)))
            .sum();
        Sum { accepted, taken, repeated: direction.repeated }
    }

    /// Did one more message of this life arrive than it had reported before it was killed?
    fn unreported(&self, side: usize, life: u32) -> Option<()> {
        let direction = &self.directions[side];
        let (accepted, taken) = (direction.accepted.get(&life)?, direction.taken.get(&life)?);
        (life < self.lives[side] && *taken == accepted + 1).then_some(())
    }

    /// What did not hold. Empty = all held.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        for side in [0, 1] {
            let sum = self.sum(side);
            if sum.accepted != sum.taken {
                faults.push(format!("{} sent, {} taken.", sum.accepted, sum.taken));
            }
            if sum.taken == 0 {
                faults.push("nothing was said.".to_owned());
            }
        }
        faults
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn got(position: u64, life: u32, n: u64) -> Report {
        Report::Got { region: 1 + u64::from(life), position, life, n }
    }

    fn talk() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.begin(0, 0);
        ledger.begin(1, 0);
        ledger.book(1, &Report::Sent(0));
        ledger.book(0, &got(0, 0, 0));
        for n in 0..3 {
            ledger.book(0, &Report::Sent(n));
            ledger.book(1, &got(n, 0, n));
        }
        ledger
    }

    #[test]
    fn a_repeat_with_its_old_number_counts_once() {
        let mut ledger = talk();
        ledger.book(1, &got(2, 0, 2));
        assert_eq!(ledger.sum(0), Sum { accepted: 3, taken: 3, repeated: 1 });
        assert!(ledger.faults().is_empty());
    }

    #[test]
    fn the_report_cut_off_by_a_kill_may_be_missing_once() {
        let mut ledger = talk();
        ledger.book(1, &got(3, 0, 3));
        assert!(!ledger.faults().is_empty(), "the living report all they send");
        ledger.begin(0, 1);
        ledger.book(0, &Report::Sent(0));
        ledger.book(1, &got(0, 1, 0));
        assert_eq!(ledger.sum(0), Sum { accepted: 5, taken: 5, repeated: 0 });
        assert!(ledger.faults().is_empty());
    }

    #[test]
    fn loss_doubling_and_disorder_are_faults() {
        let mut lost = talk();
        lost.book(0, &Report::Sent(3));
        assert_eq!(lost.faults(), ["4 sent, 3 taken."]);
        let mut doubled = talk();
        doubled.book(1, &got(77, 0, 2));
        assert!(!doubled.faults().is_empty());
        let mut skipped = talk();
        skipped.book(0, &Report::Sent(4));
        skipped.book(1, &got(9, 0, 4));
        assert!(!skipped.faults().is_empty());
    }

    #[test]
    fn reports_are_read_back() {
        assert_eq!(
            Report::parse("got 5 64 1 9"),
            Some(Report::Got { region: 5, position: 64, life: 1, n: 9 })
        );
        assert_eq!(Report::parse("sent 12"), Some(Report::Sent(12)));
        assert_eq!(Report::parse("joined"), Some(Report::Joined));
        for bad in ["", "sent", "sent x", "got 1 2 3", "boo"] {
            assert_eq!(Report::parse(bad), None);
        }
    }
}
