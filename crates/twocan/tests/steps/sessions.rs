//! The windows of opening, meeting and leaving.
//!
//! They have thousands of instructions and two threads. So a point is a number of system calls,
//! which pass at full speed, and a number of instructions behind the last of them; one thread is
//! led, the other one runs as it likes.

use crate::chance::message;
use crate::stage::{Choice, Points, Tally, Victim, checked, leave_nothing, receive};
use crate::support::{eventually, unique};
use crate::trace::{Outside, Stop, Thread, Watchdog};
use crate::victim::{READY, SENT, open};
use crate::zygote::Zygote;
use std::collections::HashMap;
use std::time::Duration;
use twocan::{Channel, RecvError, Seq};

/// A thread that sleeps so long has nothing more to do.
const IDLE: Duration = Duration::from_millis(20);

/// The way through a window: instructions between system calls.
#[derive(Default)]
struct Way {
    segments: Vec<usize>,
    /// Steps that changed what another process could see.
    seen: Vec<usize>,
}

impl Way {
    fn steps(&self) -> usize {
        self.segments.iter().map(|len| len + 1).sum()
    }

    /// The system calls and then the instructions that lead to a step.
    fn place(&self, step: usize) -> (usize, usize) {
        let mut left = step;
        for (calls, len) in self.segments.iter().enumerate() {
            if left <= *len {
                return (calls, left);
            }
            left -= len + 1;
        }
        (usize::MAX, 0)
    }

    /// In front of each system call and behind it, and as many others; or all; or those with which
    /// something changes for others.
    fn chosen(&self, choice: Choice) -> Vec<usize> {
        let mut at = 0;
        let mut edges = Vec::new();
        for len in &self.segments {
            edges.extend([at, at + len]);
            at += len + 1;
        }
        edges.dedup();
        if choice.distinct {
            edges.extend(&self.seen);
            edges.push(at);
            edges.sort_unstable();
            edges.dedup();
            return edges;
        }
        let few = Choice { most: choice.most.div_ceil(2), ..choice };
        let mut chosen: Vec<usize> =
            few.of(edges.len()).iter().filter_map(|i| edges.get(*i).copied()).collect();
        let others = Choice { most: choice.most.saturating_sub(chosen.len()).max(1), ..choice };
        chosen.extend(if choice.most > at { (0..=at).collect() } else { others.of(at) });
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}

/// Leads victims through a window, to one point after the other.
struct Guide {
    points: Points,
    way: Way,
    calls: HashMap<u64, bool>,
    choice: Choice,
}

impl Guide {
    fn new(choice: Choice) -> Guide {
        Guide { points: Points::new(), way: Way::default(), calls: HashMap::new(), choice }
    }

    /// Leads the thread, which stands still in front of the window. True = it is behind the window:
    /// at its end, or asleep with nothing more to do.
    fn lead(&mut self, thread: Thread, point: usize, idle: impl Fn() -> bool) -> bool {
        let _dog = Watchdog::over(thread.0);
        if point == usize::MAX {
            self.survey(thread, &idle);
            let (steps, chosen) = (self.way.steps(), self.way.chosen(self.choice));
            let full = self.choice.distinct || chosen.len() > steps;
            self.points.planned(steps, full, chosen);
            self.points.tally.seen = self.way.seen.len();
            return true;
        }
        self.points.tally.points += 1;
        let (calls, steps) = self.way.place(point);
        for _ in 0..calls {
            for _ in 0..2 {
                thread.to_call();
                if !self.at_call(thread, &idle) {
                    return true;
                }
            }
        }
        for _ in 0..steps {
            if thread.is_at_call(&mut self.calls) {
                break; // another way than the first one's
            }
            thread.step();
            match thread.wait() {
                Stop::Trap => {}
                Stop::End => return true,
                other => panic!("{other:?}"),
            }
        }
        self.points.killed_at(thread);
        false
    }

    /// The whole window, one instruction at a time, with its system calls counted.
    fn survey(&mut self, thread: Thread, idle: &impl Fn() -> bool) {
        let (mut begin, mut len) = (0, 0);
        let mut outside = Outside::of(thread);
        loop {
            self.points.met(thread);
            if thread.is_at_call(&mut self.calls) {
                self.way.segments.push(len);
                (begin, len) = (begin + len + 1, 0);
                thread.to_call();
                if !self.at_call(thread, idle) {
                    return;
                }
                thread.to_call();
                if !self.at_call(thread, idle) {
                    return;
                }
                outside = Outside::of(thread);
                continue;
            }
            thread.step();
            len += 1;
            match thread.wait() {
                Stop::Trap if outside.has_changed(thread) => self.way.seen.push(begin + len),
                Stop::Trap => {}
                Stop::End => return self.way.segments.push(len),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until it stands in front of a system call, or behind it. False = the window is over.
    fn at_call(&self, thread: Thread, idle: &impl Fn() -> bool) -> bool {
        loop {
            match thread.wait_for(IDLE) {
                Stop::Call => return true,
                Stop::End => return false,
                Stop::Nothing if idle() => return false,
                Stop::Nothing => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The thread that looks after channels.
fn watcher_of(pid: i32) -> i32 {
    let mut found = 0;
    eventually("there is a watcher", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let tids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
        found = tids
            .into_iter()
            .find(|tid: &i32| {
                let comm = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm"));
                comm.is_ok_and(|comm| comm.trim_end() == "twocan-watcher")
            })
            .unwrap_or(0);
        found != 0
    });
    found
}

fn send(end: &mut Channel, counter: &mut u64) -> (u64, Seq) {
    let this = *counter;
    *counter += 1;
    (this, end.try_send(message(this, 40)).unwrap())
}

fn expect(end: &mut Channel, counter: u64) {
    assert_eq!(checked(&receive(end.receiver()).unwrap()), counter);
}

/// A newcomer is killed while it opens ("open": the thread that calls) or meets the survivor
/// ("join": its watcher). The survivor holds what its last peer said and did not see read, and has
/// said something that nobody has read: the next newcomer gets all of it, and so does the survivor.
pub fn opens(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let mut here = open(&name);
    let mut guide = Guide::new(choice);
    let mut counter = 0;
    // What the peer before has said, and has left.
    let mut unread = None;
    while let Some(point) = guide.points.next() {
        let said = [send(&mut here, &mut counter).0, send(&mut here, &mut counter).0];
        let role = if how == "join" { "joins" } else { "opens" };
        let mut victim = Victim::start(zygote, &[role, &name]);
        victim.until_ready();
        let (thread, others) = if how == "join" {
            new_watcher(&mut victim)
        } else {
            let main = Thread::seize(victim.pid, 0).unwrap();
            victim.say_word();
            assert_eq!(main.wait(), Stop::Trap, "the window begins");
            (main, Vec::new())
        };
        let ended = guide.lead(thread, point, || here.peer().is_some());
        let at = victim.strike(&[&[thread][..], &others].concat());
        let mut next = open(&name);
        said.iter().for_each(|counter| expect(&mut next, *counter));
        assert_eq!(next.try_recv().unwrap_err(), RecvError::Empty);
        let (last, _) = send(&mut next, &mut counter);
        drop(next);
        // The survivor reads what was left from the point before, and leaves what was said now.
        let (mut died, mut closed) = (0, unread.is_none());
        while !closed {
            match receive(here.receiver()) {
                Ok(message) => assert_eq!(Some(checked(&message)), unread.take()),
                Err(RecvError::PeerDied) => died += 1,
                Err(RecvError::PeerClosed) => closed = true,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(died <= 1 && unread.is_none(), "{died} deaths told, {unread:?} not read");
        unread = Some(last);
        guide.points.went_on(point, at.elapsed());
        if ended { guide.points.tally.whole += 1 } else { guide.points.tally.absent += 1 }
    }
    drop(here);
    leave_nothing(&name);
    guide.points.finish()
}

/// Lets a victim open, and stops the thread that it makes for its channels.
fn new_watcher(victim: &mut Victim<'_>) -> (Thread, Vec<Thread>) {
    let main = Thread::seize(victim.pid, libc::PTRACE_O_TRACECLONE).unwrap();
    victim.say_word();
    let Stop::Thread(tid) = main.wait() else { panic!("it makes a thread") };
    let watcher = Thread(tid);
    assert_eq!(watcher.wait(), Stop::Held);
    watcher.follow_none();
    main.let_go();
    (watcher, Vec::new())
}

/// The earlier end is killed while its watcher answers a newcomer. The newcomer gets all that the
/// other has said, and its death; or nothing of it.
pub fn welcomes(zygote: &Zygote, _: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let mut guide = Guide::new(choice);
    let mut counter = 0;
    while let Some(point) = guide.points.next() {
        let first = counter;
        counter += 2;
        let mut victim = Victim::start(zygote, &["welcomes", &name, &first.to_string()]);
        victim.until_ready();
        let watcher = Thread::seize(watcher_of(victim.pid), 0).unwrap();
        watcher.interrupt();
        assert_eq!(watcher.wait(), Stop::Held);
        let mut here = open(&name);
        let (said, _) = send(&mut here, &mut counter);
        guide.lead(watcher, point, || here.peer().is_some());
        let at = victim.strike(&[watcher]);
        let mut next = open(&name);
        expect(&mut next, said);
        let (last, _) = send(&mut next, &mut counter);
        let mut got = Vec::new();
        let mut died = 0;
        while got.last() != Some(&last) {
            match receive(here.receiver()) {
                Ok(message) => got.push(checked(&message)),
                Err(RecvError::PeerDied) => died += 1,
                Err(other) => panic!("{other}"),
            }
        }
        let met = got.len() > 1;
        let due = if met { vec![first, first + 1, last] } else { vec![last] };
        assert_eq!((got, died), (due, usize::from(met)), "all and its death, or nothing");
        guide.points.went_on(point, at.elapsed());
        if met { guide.points.tally.whole += 1 } else { guide.points.tally.absent += 1 }
    }
    leave_nothing(&name);
    guide.points.finish()
}

/// An end is killed while it says goodbye. What it has sent is there; its departure is told once,
/// as a death or as a goodbye; what it had not read, or not acknowledged, is there for the next.
pub fn leaves(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("steps");
    let mut here = open(&name);
    let mut guide = Guide::new(choice);
    let mut counter = 0;
    // What a peer did not acknowledge.
    let mut left = Vec::<(u64, Seq)>::new();
    while let Some(point) = guide.points.next() {
        left.push(send(&mut here, &mut counter));
        let first = counter;
        counter += 2;
        let mut victim = Victim::start(zygote, &["leaves", &name, how, &first.to_string()]);
        assert_eq!(victim.line(), (SENT, first, true));
        assert_eq!(victim.line(), (SENT, first + 1, true));
        assert_eq!(victim.line().0, READY);
        let unread = how == "leave, messages unread";
        if !unread {
            [first, first + 1].iter().for_each(|counter| expect(&mut here, *counter));
            here.receiver().ack();
        }
        let thread = Thread::seize(victim.pid, 0).unwrap();
        victim.say_word();
        assert_eq!(thread.wait(), Stop::Trap, "the window begins");
        let ended = guide.lead(thread, point, || false);
        let at = victim.strike(&[thread]);
        if unread {
            [first, first + 1].iter().for_each(|counter| expect(&mut here, *counter));
        }
        let closed = match receive(here.receiver()) {
            Err(RecvError::PeerClosed) => true,
            Err(RecvError::PeerDied) => false,
            other => panic!("{other:?}"),
        };
        assert!(closed || !ended, "it had said goodbye");
        left.retain(|(_, seq)| !here.sender().is_acknowledged(*seq));
        assert!(!ended || left.is_empty() || unread);
        let mut next = open(&name);
        left.drain(..).for_each(|(counter, _)| expect(&mut next, counter));
        let (last, _) = send(&mut next, &mut counter);
        expect(&mut here, last);
        guide.points.went_on(point, at.elapsed());
        drop(next);
        assert_eq!(receive(here.receiver()).unwrap_err(), RecvError::PeerClosed);
        if closed { guide.points.tally.whole += 1 } else { guide.points.tally.absent += 1 }
    }
    drop(here);
    leave_nothing(&name);
    guide.points.finish()
}
