//! Starts the ends, kills them, and reads their logs.

use crate::actor::{ATTACHED, LINE, LOG_FD};
use crate::chance::Chance;
use crate::ledger::{Incarnation, Line, Report, settle};
use crate::support::{TempDir, unique};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing here takes that long on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running end.
struct Running {
    process: Child,
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
    dir: TempDir,
    name: String,
    chance: Chance,
    sides: [Side; 2],
}

impl Director {
    pub fn start(chance: Chance) -> Director {
        let side = || Side { running: None, attached: false, past: Vec::new() };
        let dir = TempDir::new("kill");
        let mut director = Director { dir, name: unique("kill"), chance, sides: [side(), side()] };
        director.spawn(0, 0);
        director.spawn(1, 0);
        director.wait_attached(0);
        director.wait_attached(1);
        director
    }

    fn spawn(&mut self, side: usize, first: u64) {
        let (reader, writer) = pipe();
        let words = [self.name.as_str(), &first.to_string(), &self.chance.word().to_string()]
            .join("\u{1f}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("TWOCAN_TEST_ROLE", words).env("TWOCAN_DIR", &self.dir.0);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let fd = writer.as_raw_fd();
        // SAFETY: one system call between fork and exec; `dup2` leaves its target open across exec.
        unsafe {
            command.pre_exec(move || match libc::dup2(fd, LOG_FD) {
                LOG_FD => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        let process = command.spawn().unwrap();
        drop(writer);
        let (tell, attached) = channel();
        let log = std::thread::spawn(move || read_log(reader, &tell));
        self.sides[side].running = Some(Running { process, attached, log, first });
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
        let mut running = self.sides[side].running.take().expect("it runs");
        running.process.kill().unwrap();
        running.process.wait().unwrap();
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
        for side in &mut self.sides {
            drop(side.running.as_mut().and_then(|running| running.process.stdin.take()));
        }
        for (number, side) in self.sides.iter_mut().enumerate() {
            let mut running = side.running.take().expect("it runs");
            let deadline = Instant::now() + PATIENCE;
            let status = loop {
                if let Some(status) = running.process.try_wait().unwrap() {
                    break status;
                }
                if Instant::now() > deadline {
                    // Its log tells what is missing.
                    println!("end {number} does not hear the farewell");
                    running.process.kill().unwrap();
                }
                std::thread::sleep(Duration::from_millis(2));
            };
            println!("end {number} ended: {status}");
            let lines = running.log.join().unwrap();
            side.past.push(Incarnation { first: running.first, lines });
        }
        let [a, b] = &self.sides;
        let mut report = settle(&a.past, &b.past);
        report.add(&settle(&b.past, &a.past));
        let files: Vec<_> = std::fs::read_dir(&self.dir.0).unwrap().flatten().collect();
        report.left_behind = files.iter().filter(|f| f.file_name() != ".lock").count() as u64;
        report
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        for running in self.sides.iter_mut().filter_map(|side| side.running.as_mut()) {
            let _ = running.process.kill();
            let _ = running.process.wait();
        }
    }
}

/// The writing side stands far above what a child expects at low numbers.
fn pipe() -> (File, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are ours afterwards.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        let high = libc::fcntl(ends[1], libc::F_DUPFD_CLOEXEC, 50);
        assert!(high >= 50);
        libc::close(ends[1]);
        (File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(high))
    }
}

fn read_log(mut pipe: File, tell: &Sender<()>) -> Vec<Line> {
    let mut lines = Vec::new();
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
