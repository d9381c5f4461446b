//! The test's side: the victim's report, the points of a window, and what they have shown.

use crate::chance::read;
use crate::support::LONG;
use crate::trace::{LOOK, Stop, Thread, Watchdog};
use crate::victim::{LINE, READY, open};
use crate::zygote::{Zygote, pipe, strike};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use twocan::{Message, Receiver, RecvError};

/// Whoever comes next goes on within this time.
pub const SECOND: Duration = Duration::from_secs(1);

/// How long this process has stood still altogether although it wanted to run, in milliseconds: on
/// a busy machine, or on one that was stopped for a while.
static STALLED: AtomicU64 = AtomicU64::new(0);

/// Counts that, for as long as the process lives.
pub fn count_stalls() {
    const BEAT: Duration = Duration::from_millis(20);
    std::thread::spawn(|| {
        loop {
            let start = Instant::now();
            std::thread::sleep(BEAT);
            let late = start.elapsed().saturating_sub(2 * BEAT).as_millis();
            STALLED.fetch_add(late as u64, Ordering::Relaxed);
        }
    });
}

/// A time that does not count stalls.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Instant, u64);

impl Moment {
    pub fn now() -> Moment {
        Moment(Instant::now(), STALLED.load(Ordering::Relaxed))
    }

    pub fn elapsed(self) -> Duration {
        let stalled = STALLED.load(Ordering::Relaxed) - self.1;
        self.0.elapsed().saturating_sub(Duration::from_millis(stalled))
    }
}

/// A process that will be killed.
pub struct Victim<'z> {
    pub pid: i32,
    zygote: &'z Zygote,
    report: File,
    word: File,
}

impl<'z> Victim<'z> {
    pub fn start(zygote: &'z Zygote, words: &[&str]) -> Victim<'z> {
        let ((report, theirs), (wait, word)) = (pipe(), pipe());
        let pid = zygote.spawn(words, &[theirs.as_fd(), wait.as_fd()]);
        Victim { pid, zygote, report: report.into(), word: word.into() }
    }

    /// The next line of its report: what, counter, whole.
    pub fn line(&mut self) -> (u8, u64, bool) {
        let mut fds = [PollFd::new(&self.report, PollFlags::IN)];
        let limit = Timespec { tv_sec: LONG.as_secs() as i64, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "a second process is stuck");
        let mut line = [0; LINE];
        self.report.read_exact(&mut line).expect("the second process lives");
        (line[0], u64::from_le_bytes(line[1..9].try_into().unwrap()), line[9] == 1)
    }

    pub fn until_ready(&mut self) {
        assert_eq!(self.line().0, READY);
    }

    pub fn say_word(&mut self) {
        self.word.write_all(&[1]).unwrap();
    }

    /// Kill -9; the traced threads are given free. The rest of its dying goes on beside.
    pub fn strike(&self, traced: &[Thread]) -> Moment {
        let now = Moment::now();
        strike(self.pid);
        traced.iter().for_each(|thread| thread.bury());
        now
    }
}

impl Drop for Victim<'_> {
    fn drop(&mut self) {
        self.zygote.kill(self.pid);
    }
}

/// Which steps of a window: all, or about so many.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub most: usize,
    pub seed: u64,
    /// Of those between which nothing happens that another process could see, one is enough.
    pub distinct: bool,
}

impl Choice {
    /// `total` steps lead through the window; 0 is in front of the first, `total` behind the last.
    pub fn of(&self, total: usize) -> Vec<usize> {
        let stride = total.div_ceil(self.most).max(1);
        let first = (self.seed % stride as u64) as usize;
        let mut steps: Vec<usize> = (first..total).step_by(stride).collect();
        steps.push(total);
        steps
    }
}

/// What a family of windows has shown.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub windows: usize,
    pub points: usize,
    /// Steps through all windows, once each.
    pub steps: usize,
    /// Instructions (addresses) that were met, and those at which somebody was killed.
    pub met: usize,
    pub killed_at: usize,
    /// The message was there, or not yet.
    pub whole: usize,
    pub absent: usize,
    pub slowest: Duration,
    /// Points that were tried again, as it took too long.
    pub again: usize,
    /// Windows of which every point was tried; of the rest, one of so many at worst.
    pub full: usize,
    pub sparsest: usize,
    /// Steps that changed what another process could see, where that was looked at.
    pub seen: usize,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.windows += other.windows;
        self.points += other.points;
        self.steps += other.steps;
        self.met += other.met;
        self.killed_at += other.killed_at;
        self.whole += other.whole;
        self.absent += other.absent;
        self.slowest = self.slowest.max(other.slowest);
        self.again += other.again;
        self.full += other.full;
        self.sparsest = self.sparsest.max(other.sparsest);
        self.seen += other.seen;
    }

    /// "7158 points of 11102 in 13 windows (every one in 12, at least one of 4 in the rest)"
    pub fn figure(&self) -> String {
        let Tally { windows, points, steps, full, sparsest, .. } = self;
        let tried = match full {
            n if n == windows && points < steps => "every one that differs from outside".to_owned(),
            n if n == windows => "every one".to_owned(),
            0 => format!("at least one of {sparsest}"),
            n => format!("every one in {n}, at least one of {sparsest} in the rest"),
        };
        format!("{points} points of {steps} in {windows} windows ({tried})")
    }
}

/// The points of one window, one after the other; a point after which it went on too slowly is
/// tried again (the machine may have been busy): three times in all, and then it counts.
pub struct Points {
    left: Vec<usize>,
    slow: HashMap<usize, u32>,
    met: HashSet<u64>,
    killed_at: HashSet<u64>,
    pub tally: Tally,
}

impl Points {
    /// The first goes through the whole window, to count its steps.
    pub fn new() -> Points {
        let tally = Tally { windows: 1, ..Tally::default() };
        let (met, killed_at) = (HashSet::new(), HashSet::new());
        Points { left: vec![usize::MAX], slow: HashMap::new(), met, killed_at, tally }
    }

    pub fn next(&mut self) -> Option<usize> {
        self.left.pop()
    }

    /// So many steps were made, and led out of the window or not.
    pub fn reached(&mut self, asked: usize, made: usize, choice: Choice) {
        if asked == usize::MAX {
            let chosen = choice.of(made);
            self.planned(made, chosen.len() > made, chosen);
        }
        self.tally.points += 1;
    }

    /// The window has so many steps, and these will be tried, which are all or stand for all.
    pub fn planned(&mut self, steps: usize, full: bool, mut chosen: Vec<usize>) {
        self.tally.full = usize::from(full);
        self.tally.sparsest = steps.div_ceil(chosen.len());
        chosen.reverse();
        (self.tally.steps, self.left) = (steps, chosen);
    }

    pub fn met(&mut self, thread: Thread) {
        self.met.insert(thread.place());
    }

    pub fn killed_at(&mut self, thread: Thread) {
        self.killed_at.insert(thread.place());
    }

    pub fn went_on(&mut self, point: usize, took: Duration) {
        if took <= SECOND {
            self.tally.slowest = self.tally.slowest.max(took);
        } else if point != usize::MAX {
            // (The first victim's way out is gone once more in any case.)
            self.tally.again += 1;
            let times = self.slow.entry(point).or_default();
            *times += 1;
            assert!(*times < 3, "after step {point} it takes {took:?} to go on, each time");
            self.left.insert(0, point); // as the last one
        }
    }

    pub fn finish(mut self) -> Tally {
        self.tally.met = self.met.len();
        self.tally.killed_at = self.killed_at.intersection(&self.met).count();
        self.tally
    }

    /// Leads the thread, which is in front of the window, `steps` instructions into it. Returns how
    /// many were made, and whether it stands behind the window.
    pub fn lead(&mut self, thread: Thread, steps: usize) -> (usize, bool) {
        let _dog = Watchdog::over(thread.0);
        assert_eq!(thread.wait(), Stop::Trap, "the window begins");
        for made in 0..steps {
            if steps == usize::MAX {
                self.met(thread);
            }
            thread.step();
            match thread.wait() {
                Stop::Trap => {}
                Stop::End => return (made, true),
                other => panic!("after {made} steps: {other:?}"),
            }
        }
        self.killed_at(thread);
        (steps, false)
    }
}

/// The next message or departure.
pub fn receive(rx: &mut Receiver) -> Result<Message, RecvError> {
    for _ in 1..LONG.as_secs() {
        match rx.recv_timeout(LOOK) {
            Err(RecvError::TimedOut) => {}
            other => return other,
        }
    }
    rx.recv_timeout(LOOK)
}

pub fn checked(bytes: &[u8]) -> u64 {
    let (counter, whole) = read(bytes);
    assert!(whole, "message {counter} is not as it was sent");
    counter
}

/// Does something at the end, also when a check fails: threads beside must end then too.
pub struct Finally<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Does the thread sleep in the kernel? (Traced, it stands still in other ways too.)
pub fn is_asleep(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

/// Both seats are taken and given back once more: then nothing of the killed ones is there.
pub fn leave_nothing(name: &str) {
    let (a, b) = (open(name), open(name));
    a.wait_peer(LONG).unwrap();
    drop((a, b));
}
