//! One session: two processes, watched until both are done. An end that dies or hangs is told of,
//! never waited for without a limit.

use crate::task::{Found, Side, Task};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The hidden word on the command line that makes this program one end of a session.
pub(crate) const WORD: &str = "end";
/// Where POSIX shared memory lives, and the folders of the sessions.
const MEMORY: &str = "/dev/shm";
/// What the second end gets after the first has ended badly.
const GRACE: Duration = Duration::from_millis(500);

struct Running {
    side: Side,
    child: Child,
    pidfd: OwnedFd,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    status: Option<ExitStatus>,
}

/// The two ends (or the one that is both).
pub(crate) struct Session {
    task: Task,
    ends: Vec<Running>,
    clean: fn(&crate::task::Place),
    dir: TempDir,
    patience: Duration,
}

fn name(side: Side) -> &'static str {
    if side == Side::A { "a" } else { "b" }
}

/// What all names of this run begin with.
pub(crate) fn mark() -> String {
    format!("tcb{}n", std::process::id())
}

/// A folder in memory for the files of one session.
fn folder() -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    // No tag of a session begins with a dash: no sweep takes it for its own.
    let prefix = mark() + "-";
    builder.prefix(&prefix);
    builder.tempdir_in(MEMORY).or_else(|_| builder.tempdir())
}

/// On Ctrl-C and its relatives: removes what is there. The ends go with this process.
pub(crate) fn leave_nothing_behind() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            swept(&mark());
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

impl Running {
    fn start(dir: &Path, task: &str, side: Side) -> Result<Running, String> {
        let file = |kind| dir.join(format!("{}.{kind}", name(side)));
        let errors = File::create(file("err")).map_err(|e| e.to_string())?;
        let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
        command.args([WORD, name(side), task]).env("TWOCAN_DIR", dir.join("names"));
        command.env("TMPDIR", dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().map_err(|e| format!("cannot start an end: {e}"))?;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())?;
        let input = child.stdin.take();
        let lines = reader(child.stdout.take());
        Ok(Running { side, child, pidfd, input, lines, status: None })
    }
}

/// Lines as they come.
fn reader(from: Option<ChildStdout>) -> Receiver<String> {
    let (tx, rx) = channel();
    if let Some(from) = from {
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    break;
                }
            }
        });
    }
    rx
}

impl Session {
    pub(crate) fn start(
        mut task: Task,
        threads: bool,
        clean: fn(&crate::task::Place),
    ) -> Result<Session, String> {
        let dir = folder().map_err(|e| format!("no folder for a session: {e}"))?;
        task.place.dir = dir.path().to_owned();
        std::fs::create_dir(dir.path().join("names")).map_err(|e| e.to_string())?;
        let patience = Duration::from_secs(20) + Duration::from_millis(3 * task.millis);
        let patience = patience + Duration::from_millis(20 * task.channels as u64);
        let words = serde_json::to_string(&task).map_err(|e| e.to_string())?;
        let mut session = Session { task, ends: Vec::new(), clean, dir, patience };
        let sides = [Side::A, Side::B];
        for side in if threads { &sides[..1] } else { &sides[..] } {
            let end = Running::start(session.dir.path(), &words, *side)?;
            session.ends.push(end);
        }
        Ok(session)
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.ends.iter().map(|end| end.child.id()).collect()
    }

    /// Waits until both ends have said this line.
    pub(crate) fn reached(&self, step: &str) -> Result<(), String> {
        let deadline = Instant::now() + self.patience;
        for end in &self.ends {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                match end.lines.recv_timeout(left) {
                    Ok(line) if line == step => break,
                    Ok(_) => {}
                    Err(_) => return Err(self.complaint(end.side, "did not get ready")),
                }
            }
        }
        Ok(())
    }

    /// Lets both go on from a step.
    pub(crate) fn go_on(&mut self) {
        for end in &mut self.ends {
            if let Some(input) = &mut end.input {
                let _ = writeln!(input);
            }
        }
    }

    /// Waits for both, and takes what they found: A's first.
    pub(crate) fn finish(mut self) -> Result<Vec<Found>, String> {
        let mut deadline = Instant::now() + self.patience;
        let mut late = false;
        while self.ends.iter().any(|end| end.status.is_none()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                late = self.ends.iter().all(|end| end.status.is_none_or(|s| s.success()));
                break;
            }
            self.look(left);
            if self.ends.iter().any(|end| end.status.is_some_and(|s| !s.success())) {
                deadline = deadline.min(Instant::now() + GRACE);
            }
        }
        let stuck: Vec<&Running> = self.ends.iter().filter(|e| e.status.is_none()).collect();
        if late {
            let side = stuck[0].side;
            let text = format!("was not done after {:.0?} and was ended", self.patience);
            return Err(self.complaint(side, &text));
        }
        for end in &self.ends {
            if let Some(status) = end.status.filter(|s| !s.success()) {
                let how = match status.signal() {
                    Some(signal) => format!("was killed by signal {signal}"),
                    None => "ended with an error".to_owned(),
                };
                let other = if stuck.is_empty() { "" } else { "; the other one waited on" };
                return Err(format!("{}{other}", self.complaint(end.side, &how)));
            }
        }
        let mut found: Vec<Found> = Vec::new();
        for end in &self.ends {
            let path = self.dir.path().join(format!("{}.json", name(end.side)));
            let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
            let more: Vec<Found> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            found.extend(more);
        }
        Ok(found)
    }

    /// Sleeps until an end is gone, at most so long.
    fn look(&mut self, left: Duration) {
        let waiting: Vec<&Running> = self.ends.iter().filter(|e| e.status.is_none()).collect();
        let mut fds: Vec<PollFd<'_>> =
            waiting.iter().map(|e| PollFd::new(&e.pidfd, PollFlags::IN)).collect();
        let time =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let _ = poll(&mut fds, Some(&time));
        for end in self.ends.iter_mut().filter(|end| end.status.is_none()) {
            end.status = end.child.try_wait().ok().flatten();
        }
    }

    /// What happened, and what the end itself said of it.
    fn complaint(&self, side: Side, what: &str) -> String {
        let which = if side == Side::A { "the measuring end" } else { "the answering end" };
        let path = self.dir.path().join(format!("{}.err", name(side)));
        let said = std::fs::read_to_string(path).unwrap_or_default();
        let said = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("");
        if said.is_empty() { format!("{which} {what}") } else { format!("{which} {what}: {said}") }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for end in &mut self.ends {
            if end.status.is_none() {
                let _ = end.child.kill();
                let _ = end.child.wait();
            }
        }
        (self.clean)(&self.task.place);
        swept(&self.task.place.tag);
    }
}

/// Removes what lies in shared memory under names that begin so.
fn swept(start: &str) {
    for entry in std::fs::read_dir(MEMORY).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(start) {
            let path = entry.path();
            let _ = if path.is_dir() {
                std::fs::remove_dir_all(path)
            } else {
                std::fs::remove_file(path)
            };
        }
    }
}
