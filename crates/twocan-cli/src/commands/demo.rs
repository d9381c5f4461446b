//! `twocan demo`: two processes converse, each is killed once in mid-stream and started again, and
//! we keep the books.

use crate::exit::{Exit, Failure, io_failure};
use crate::signals::Ending;
use ledger::{Ledger, Report};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

mod ledger;

/// How long the two talk before a kill and after the last start.
const STREAM: Duration = Duration::from_millis(700);

/// Nothing in the demo takes longer than this; if it does, a promise was broken.
const LIMIT: Duration = Duration::from_secs(9);

/// After this time an end that was asked to stop is killed.
const GOODBYE: Duration = Duration::from_secs(1);

const NAMES: [&str; 2] = ["left", "right"];

/// Runs the demo.
pub(crate) fn run() -> Result<(), Failure> {
    let start = Instant::now();
    let (sender, moments) = mpsc::channel();
    let wake = sender.clone();
    let ending = Ending::watch(move |_| {
        let _ = wake.send(Moment::Signal);
    })?;
    let name = format!("demo-{}", std::process::id());
    let mut demo = Demo { name, start, sender, moments, ending, ledger: Ledger::default() };
    demo.round_trip()?;
    let mut ends = [demo.start_end(0, 0)?, demo.start_end(1, 0)?];
    let held = demo.converse(&mut ends);
    // Both at once, as each waits for the other before it goes.
    ends.iter_mut().for_each(|end| end.stdin = None);
    ends.iter_mut().for_each(End::leave);
    held
}

fn say(line: &str) -> Result<(), Failure> {
    crate::print(&format!("{line}\n"))
}

enum Moment {
    /// A line from one of the two.
    Report(usize, Report),
    /// One of the two has closed its output.
    Silent(usize),
    Signal,
}

struct Demo {
    name: String,
    start: Instant,
    sender: Sender<Moment>,
    moments: Receiver<Moment>,
    ending: Ending,
    ledger: Ledger,
}

impl Demo {
    fn round_trip(&mut self) -> Result<(), Failure> {
        let (mut pong, mut ping) = (self.spawn("pong", 0, 1)?, self.spawn("ping", 0, 0)?);
        let nanos = loop {
            match self.next(None)? {
                Some(Moment::Report(_, Report::Round(nanos))) => break nanos,
                Some(Moment::Silent(0)) => return Err(broken("the round trip was not measured.")),
                _ => {}
            }
        };
        for end in [&mut ping, &mut pong] {
            end.stdin = None;
            end.join();
        }
        while self.moments.try_recv().is_ok() {}
        say(&format!(
            "A round trip between two processes takes {:.2} microseconds \
             (median of {}; {} bytes there and back).",
            nanos as f64 / 1_000.0,
            super::demo_end::ROUNDS,
            super::demo_end::MESSAGE
        ))
    }

    /// Lets the two talk, with a kill of each; then asks both to stop.
    fn converse(&mut self, ends: &mut [End; 2]) -> Result<(), Failure> {
        self.wait_for_joined(0)?;
        say(&format!(
            "Two processes talk over a channel, both ways at once: \
             left (pid {}) and right (pid {}).",
            ends[0].pid(),
            ends[1].pid()
        ))?;
        for side in [0, 1] {
            self.listen(STREAM)?;
            self.kill_and_restart(ends, side)?;
        }
        self.listen(STREAM)?;
        for end in ends.iter_mut() {
            end.stdin = None;
        }
        for (side, end) in ends.iter_mut().enumerate() {
            self.wait_for_end(side, end)?;
        }
        self.close_the_books()
    }

    fn start_end(&mut self, side: usize, life: u32) -> Result<End, Failure> {
        self.ledger.begin(side, life);
        self.spawn(NAMES[side], life, side)
    }

    fn spawn(&self, role: &str, life: u32, side: usize) -> Result<End, Failure> {
        let program = std::env::current_exe().map_err(|e| io_failure("this program", &e))?;
        let mut child = Command::new(program)
            .args(["demo-end", &self.name, role, &life.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| io_failure("a second process", &e))?;
        let stdin = child.stdin.take();
        let sender = self.sender.clone();
        let reader = child.stdout.take().map(|stdout| {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let report = Report::parse(&line).unwrap_or(Report::Broken);
                    if sender.send(Moment::Report(side, report)).is_err() {
                        return;
                    }
                }
                let _ = sender.send(Moment::Silent(side));
            })
        });
        Ok(End { child, stdin, reader, life })
    }

    /// The next thing that happens, booked; `None` when the time is up.
    fn next(&mut self, until: Option<Instant>) -> Result<Option<Moment>, Failure> {
        let limit = self.start + LIMIT;
        let wait = until.unwrap_or(limit).min(limit).saturating_duration_since(Instant::now());
        match self.moments.recv_timeout(wait) {
            Ok(Moment::Signal) => Err(self.ending.failure()),
            Ok(moment) => {
                match &moment {
                    Moment::Report(side, report) => self.ledger.book(*side, report),
                    Moment::Silent(side) => self.ledger.silent(*side),
                    Moment::Signal => {}
                }
                Ok(Some(moment))
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < limit => Ok(None),
            Err(_) => Err(broken("it took too long.")),
        }
    }

    fn listen(&mut self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if let Some(Moment::Silent(side)) = self.next(Some(until))? {
                return Err(broken(&format!("{} ended by itself.", NAMES[side])));
            }
        }
        Ok(())
    }

    fn wait_for_joined(&mut self, side: usize) -> Result<(), Failure> {
        loop {
            if let Some(Moment::Report(from, Report::Joined)) = self.next(None)?
                && from == side
            {
                return Ok(());
            }
        }
    }

    /// Everything the dead one has reported is booked before the next life begins.
    fn wait_for_silence(&mut self, side: usize) -> Result<(), Failure> {
        while !self.ledger.is_silent(side) {
            self.next(None)?;
        }
        Ok(())
    }

    fn kill_and_restart(&mut self, ends: &mut [End; 2], side: usize) -> Result<(), Failure> {
        let before = ends[side].pid();
        let sent = self.ledger.accepted(side);
        ends[side].kill();
        self.wait_for_silence(side)?;
        let life = ends[side].life + 1;
        ends[side] = self.start_end(side, life)?;
        self.wait_for_joined(side)?;
        say(&format!(
            "Killed {} (pid {before}) with SIGKILL in mid-stream, after it had sent {sent} \
             messages. Started it again (pid {}): the conversation goes on.",
            NAMES[side],
            ends[side].pid()
        ))
    }

    fn wait_for_end(&mut self, side: usize, end: &mut End) -> Result<(), Failure> {
        self.wait_for_silence(side)?;
        if end.join() { Ok(()) } else { Err(broken(&format!("{} ended badly.", NAMES[side]))) }
    }

    fn close_the_books(&self) -> Result<(), Failure> {
        for side in [0, 1] {
            let sum = self.ledger.sum(side);
            say(&format!(
                "{} sent {} messages and {} took {}: each once, in order. \
                 {} came again after a kill, with its old number.",
                NAMES[side],
                sum.accepted,
                NAMES[1 - side],
                sum.taken,
                sum.repeated
            ))?;
        }
        match &self.ledger.faults()[..] {
            [] => say(&format!(
                "Nothing lost, nothing doubled. ({:.1} s)",
                self.start.elapsed().as_secs_f64()
            )),
            faults => Err(broken(&faults.join("\n"))),
        }
    }
}

fn broken(what: &str) -> Failure {
    Failure::new(Exit::Other, format!("the demo did not hold: {what}"))
}

/// One of the two processes; killed when dropped.
struct End {
    child: Child,
    /// Closed: the end stops by itself.
    stdin: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
    life: u32,
}

impl End {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        self.join();
    }

    /// Waits for its end; true if it says that all went well.
    fn join(&mut self) -> bool {
        let status = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status.is_ok_and(|s| s.success())
    }
}

impl End {
    /// Gives it a moment to say goodbye by itself, so that it takes its names along.
    fn leave(&mut self) {
        let until = Instant::now() + GOODBYE;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
