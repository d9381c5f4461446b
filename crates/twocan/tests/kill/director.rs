//! Starts the ends, kills them, and reads their logs.

use crate::actor::{ATTACHED, LINE};
use crate::chance::Chance;
use crate::ledger::{Incarnation, Line, Report, settle};
use crate::support::{TempDir, unique};
use crate::zygote::{Zygote, pipe};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Nothing here takes that long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running end.
struct Running {
    pid: i32,
    /// Closed, it says farewell.
    enough: OwnedFd,
    attached: Receiver<()>,
    log: JoinHandle<Vec<Line>>,
    /// The first message that it would send.
    first: u64,
}

/// One side: an end after the other.
struct Side {
    running: Option<Running>,
    /// The present one has said that it is attached.
    attached: bool,
    past: Vec<Incarnation>,
}

pub struct Director {
    zygote: Zygote,
    dir: TempDir,
    name: String,
    chance: Chance,
    sides: [Side; 2],
}

impl Director {
    pub fn start(chance: Chance) -> Director {
        let side = || Side { running: None, attached: false, past: Vec::new() };
        let (dir, sides) = (TempDir::new("kill"), [side(), side()]);
        let zygote = Zygote::start(&dir.0);
        let mut director = Director { zygote, dir, name: unique("kill"), chance, sides };
        director.spawn(0, 0);
        director.spawn(1, 0);
        director.wait_attached(0);
        director.wait_attached(1);
        director
    }

    fn spawn(&mut self, side: usize, first: u64) {
        let (log, writer) = pipe();
        let (reader, enough) = pipe();
        let words = [self.name.as_str(), &first.to_string(), &self.chance.word().to_string()];
        let pid = self.zygote.spawn(&words, &[writer.as_fd(), reader.as_fd()]);
        drop((writer, reader));
        let (tell, attached) = channel();
        let log = std::thread::spawn(move || read_log(log.into(), &tell));
        self.sides[side].running = Some(Running { pid, enough, attached, log, first });
        self.sides[side].attached = false;
    }

    fn wait_attached(&mut self, side: usize) {
        let Side { running: Some(running), attached, .. } = &mut self.sides[side] else { return };
        if *attached {
            return;
        }
        match running.attached.recv_timeout(PATIENCE) {
            Ok(()) => *attached = true,
            Err(RecvTimeoutError::Timeout) => {
                panic!("end {side} is not attached after {PATIENCE:?}")
            }
            Err(RecvTimeoutError::Disconnected) => panic!("end {side} ended by itself"),
        }
    }

    /// Kills one of the two at some moment, and starts it again. The other is attached all the
    /// while.
    pub fn kill_one(&mut self) {
        let mut victim = self.chance.below(2) as usize;
        let newcomer = self.sides.iter().position(|side| !side.attached);
        match newcomer {
            // Killed again before it has opened, or in the middle of it.
            Some(newcomer) if self.chance.percent(20) => victim = newcomer,
            Some(newcomer) => self.wait_attached(newcomer),
            None => {}
        }
        let longest = [1, 300, 3_000, 10_000][self.chance.below(4) as usize];
        std::thread::sleep(Duration::from_micros(self.chance.below(longest)));
        let first = self.kill(victim);
        if self.chance.percent(10) {
            std::thread::sleep(Duration::from_micros(self.chance.below(5_000)));
        }
        self.spawn(victim, first);
    }

    /// Returns the counter with which the successor begins: behind the one that may have been under
    /// way.
    fn kill(&mut self, side: usize) -> u64 {
        let running = self.sides[side].running.take().expect("it runs");
        self.zygote.kill(running.pid);
        let lines = running.log.join().unwrap();
        let incarnation = Incarnation { first: running.first, lines };
        let next = incarnation.under_way() + 1;
        self.sides[side].past.push(incarnation);
        next
    }

    /// Lets both say farewell, and settles the accounts.
    pub fn end(mut self) -> Report {
        self.wait_attached(0);
        self.wait_attached(1);
        let running = self.sides.iter_mut().map(|side| side.running.take().expect("it runs"));
        let mut lives = Vec::new();
        for Running { pid, enough, log, first, .. } in running {
            drop(enough);
            lives.push((pid, log, first));
        }
        for (number, (pid, log, first)) in lives.into_iter().enumerate() {
            match self.zygote.finish(pid, PATIENCE) {
                Some(0) => {}
                Some(status) => println!("end {number} ended with status {status:#x}"),
                // Its log tells what is missing.
                None => println!("end {number} does not hear the farewell"),
            }
            let lines = log.join().unwrap();
            self.sides[number].past.push(Incarnation { first, lines });
        }
        let [a, b] = &self.sides;
        let mut report = settle(&a.past, &b.past);
        report.add(&settle(&b.past, &a.past));
        let files: Vec<_> = std::fs::read_dir(&self.dir.0).unwrap().flatten().collect();
        report.left_behind = files.iter().filter(|f| f.file_name() != ".lock").count() as u64;
        report
    }
}

fn read_log(pipe: File, tell: &Sender<()>) -> Vec<Line> {
    let (mut pipe, mut lines) = (BufReader::new(pipe), Vec::new());
    let mut bytes = [0; LINE];
    while pipe.read_exact(&mut bytes).is_ok() {
        let line = Line::read(&bytes);
        if line.what == ATTACHED {
            let _ = tell.send(());
        }
        lines.push(line);
    }
    lines
}
