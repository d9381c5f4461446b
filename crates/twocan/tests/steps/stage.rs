//! The test's side of a victim, and the windows of `send` and `recv`.

use crate::chance::read;
use crate::support::{LONG, unique, until_asleep};
use crate::trace::{Stop, Thread, Watchdog};
use crate::victim::{LINE, PAUSES, READ, READY, SENT, open};
use crate::zygote::{Zygote, pipe, strike};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use twocan::{Receiver, RecvError, SendError, Sender, Until, wait_any};

/// Whoever comes next goes on within this time.
pub const SECOND: Duration = Duration::from_secs(1);

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
    pub fn strike(&self, traced: &[Thread]) -> Instant {
        let now = Instant::now();
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
    }
}

/// The points of one window, one after the other; a point after which it went on too slowly is
/// tried once more (the machine may have been busy), and then counts.
pub struct Points {
    left: Vec<usize>,
    slow: HashSet<usize>,
    met: HashSet<u64>,
    killed_at: HashSet<u64>,
    pub tally: Tally,
}

impl Points {
    /// The first goes through the whole window, to count its steps.
    pub fn new() -> Points {
        let tally = Tally { windows: 1, ..Tally::default() };
        let (met, killed_at) = (HashSet::new(), HashSet::new());
        Points { left: vec![usize::MAX], slow: HashSet::new(), met, killed_at, tally }
    }

    pub fn next(&mut self) -> Option<usize> {
        self.left.pop()
    }

    /// So many steps were made, and led out of the window or not.
    pub fn reached(&mut self, asked: usize, made: usize, choice: Choice) {
        if asked == usize::MAX {
            self.planned(made, choice.of(made));
        }
        self.tally.points += 1;
    }

    /// The window has so many steps, and these will be tried.
    pub fn planned(&mut self, steps: usize, mut chosen: Vec<usize>) {
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
        self.tally.slowest = self.tally.slowest.max(took);
        if took > SECOND {
            assert!(self.slow.insert(point), "after step {point} it takes {took:?} to go on");
            self.left.push(point);
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

/// What is read from a victim until its death is told.
fn read_out(rx: &mut Receiver) -> Vec<u64> {
    let mut counters = Vec::new();
    loop {
        match rx.recv_timeout(LONG) {
            Ok(message) => counters.push(checked(&message)),
            Err(RecvError::PeerDied) => return counters,
            Err(other) => panic!("{other}"),
        }
    }
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

fn own_thread() -> i32 {
    // SAFETY: no arguments, no memory.
    unsafe { libc::gettid() }
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

/// Somebody is killed at every step of `send`; the survivor here reads what came of it.
pub fn sends(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let (tx, mut rx) = open(&name).into_split();
    let mut points = Points::new();
    let (mut counter, mut struck) = (0, None);
    while let Some(point) = points.next() {
        let first = counter.to_string();
        let mut victim = Victim::start(zygote, &["sends", &name, how, &first]);
        let mut due = Vec::new();
        loop {
            match victim.line() {
                (SENT, n, _) => due.push(n),
                (what, ..) if how == "when there is room" => break assert_eq!(what, READY),
                (what, ..) => {
                    for n in due.drain(..) {
                        assert_eq!(checked(&rx.recv_timeout(LONG).unwrap()), n);
                        counter = n + 1;
                    }
                    rx.ack();
                    if what == READY {
                        break;
                    }
                    assert_eq!(what, PAUSES);
                    victim.say_word();
                }
            }
        }
        if let Some((point, at)) = struck {
            points.went_on(point, Instant::now() - at);
        }
        counter += due.len() as u64;
        let End { at, seen, got, ended } =
            window(&mut points, &mut victim, &mut rx, how, point, choice);
        struck = Some((point, at));
        // What `send` accepted is there, whole; of the window's, all that came is in order.
        let of_window = if how == "a batch" { 3 } else { 1 };
        let committed = got.len() - due.len();
        due.extend(counter..counter + committed as u64);
        assert!(committed <= of_window && got == due, "step {point}: {got:?} for {due:?}");
        assert!(!ended || committed == of_window, "accepted, and not there: {got:?}");
        if committed > 0 {
            points.tally.whole += 1
        } else {
            points.tally.absent += 1
        }
        // What the survivor could see while the victim lived is what is there.
        assert!(seen.is_none_or(|seen| seen == !got.is_empty()), "step {point}: {seen:?}, {got:?}");
        counter += of_window as u64;
    }
    drop((tx, rx));
    leave_nothing(&name);
    points.finish()
}

/// What came of a victim.
struct End {
    /// When it was struck.
    at: Instant,
    /// Was there something to be read before?
    seen: Option<bool>,
    /// What was read after.
    got: Vec<u64>,
    /// Was it behind the window?
    ended: bool,
}

/// One victim, up to its death.
fn window(
    points: &mut Points,
    victim: &mut Victim<'_>,
    rx: &mut Receiver,
    how: &str,
    point: usize,
    choice: Choice,
) -> End {
    let pid = victim.pid;
    let beside = matches!(how, "to a sleeper" | "when there is room" | "a long one");
    let (tell, told) = std::sync::mpsc::channel();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (mut reader, mut rx) = (None, Some(rx));
        if let Some(rx) = rx.take_if(|_| beside) {
            let over = &over;
            reader = Some(scope.spawn(move || {
                tell.send(own_thread()).unwrap();
                while how == "when there is room" && !over.load(Ordering::Acquire) {
                    if is_asleep(pid) {
                        break;
                    }
                    std::thread::sleep(Duration::from_micros(50));
                }
                read_out(rx)
            }));
        }
        let _end = Finally(|| over.store(true, Ordering::Release));
        if how == "to a sleeper" {
            until_asleep(std::process::id(), told.recv().unwrap() as u32);
        }
        let thread = Thread::seize(pid, 0).unwrap();
        victim.say_word();
        let (made, ended) = points.lead(thread, point);
        let seen = rx.as_ref().map(|rx| wait_any(&[&**rx], Until::now()).unwrap().is_some());
        let at = victim.strike(&[thread]);
        over.store(true, Ordering::Release);
        points.reached(point, made, choice);
        let beside = reader.map(|reader| reader.join().unwrap());
        let got = beside.or_else(|| rx.map(read_out)).expect("one of the two reads");
        End { at, seen, got, ended }
    })
}

/// Bytes of message `counter` to a reader of this kind.
fn length(how: &str, counter: u64) -> usize {
    if how.ends_with("a long one") && counter % 2 == 1 { 1100 } else { 40 }
}

/// Somebody is killed at every step of `recv` and of acknowledging; the next reader tells what was
/// left to it.
pub fn reads(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let (mut tx, mut rx) = open(&name).into_split();
    let over = twocan::Cancel::new();
    // A sender that always waits for room, or one that stays ahead.
    let fed = how == "and wakes" || how.ends_with("a long one");
    let tally = std::thread::scope(|scope| {
        let mut own = None;
        if fed {
            let over = &over;
            scope.spawn(move || feed(&mut tx, how, over));
        } else {
            own = Some(tx);
        }
        let _end = Finally(|| over.cancel());
        read_by_victims(zygote, &name, how, choice, own, &mut rx)
    });
    drop(rx);
    leave_nothing(&name);
    tally
}

fn feed(tx: &mut Sender, how: &str, over: &twocan::Cancel) {
    let mut counter = 0;
    loop {
        match tx.send_until(crate::chance::message(counter, length(how, counter)), over) {
            Ok(_) => counter += 1,
            Err(SendError::PeerDied) => {} // told once; nothing of it was accepted
            Err(SendError::Cancelled | SendError::OutcomeUnknown) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

fn read_by_victims(
    zygote: &Zygote,
    name: &str,
    how: &str,
    choice: Choice,
    mut tx: Option<Sender>,
    rx: &mut Receiver,
) -> Tally {
    let mut points = Points::new();
    let mut seqs = HashMap::new();
    // The first of these must come next, and the last may.
    let (mut low, mut high, mut struck) = (0, 0, None);
    while let Some(point) = points.next() {
        if let Some(tx) = &mut tx {
            for counter in seqs.len() as u64..low + 4 {
                let bytes = crate::chance::message(counter, length(how, counter));
                seqs.insert(counter, tx.send(bytes).unwrap());
            }
        }
        let mut victim = Victim::start(zygote, &["reads", name, how]);
        let mut in_hand = None;
        loop {
            let (what, counter, whole) = victim.line();
            if what == READY {
                break;
            }
            assert_eq!((what, whole), (READ, true), "message {counter}");
            match in_hand {
                None => assert!(low <= counter && counter <= high, "{counter}: {low} to {high}"),
                Some(last) => assert_eq!(counter, last + 1),
            }
            in_hand = Some(counter);
        }
        if let Some((point, at)) = struck {
            points.went_on(point, Instant::now() - at);
        }
        let in_hand = in_hand.expect("it reads before it is ready");
        let thread = Thread::seize(victim.pid, 0).unwrap();
        victim.say_word();
        let (made, ended) = points.lead(thread, point);
        let most = in_hand + if how == "a delivery" { 2 } else { 1 };
        let first_open = |tx: &Sender| (in_hand..most).find(|n| !tx.is_acknowledged(seqs[n]));
        let seen = tx.as_ref().map(first_open);
        struck = Some((point, victim.strike(&[thread])));
        points.reached(point, made, choice);
        assert_eq!(read_out(rx), []);
        (low, high) = (if ended { most } else { in_hand }, most);
        if let (Some(tx), Some(seen)) = (&tx, seen) {
            // What was not acknowledged comes again, and nothing else; what the survivor could see
            // of that while the victim lived is what counts.
            let open = first_open(tx);
            assert_eq!(open, seen, "step {point}");
            let next = open.unwrap_or(most);
            assert!(low <= next, "step {point}: {next} comes again");
            (low, high) = (next, next);
            if next > in_hand { points.tally.whole += 1 } else { points.tally.absent += 1 }
        }
    }
    points.finish()
}
