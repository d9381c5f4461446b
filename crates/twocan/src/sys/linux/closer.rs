//! Closing descriptors that somebody else has had a hand in.
//!
//! A close can take its time: a TCP socket that lingers, a file of a slow file system. Whoever may
//! send us a descriptor, or queue one on a socket of ours, decides how long. So such descriptors
//! are closed on threads of their own, with no lock held; what hangs there hangs alone.

use super::fd::Fd;
use super::{fork, thread};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Closers at work at once; with all of them stuck, further descriptors stay open until one goes
/// on.
const MAX_CLOSERS: usize = 8;
/// How long a drop waits for its descriptors to be closed, so that an honest peer's are gone when
/// it returns.
const COURTESY: Duration = Duration::from_millis(20);

/// A descriptor that is closed elsewhere.
#[derive(Debug)]
pub(crate) struct Shy(Option<Fd>);

impl Shy {
    pub(crate) fn new(fd: Fd) -> Shy {
        Shy(Some(fd))
    }

    /// The descriptor itself, once it is known that its close takes no time.
    pub(crate) fn trusted(mut self) -> Option<Fd> {
        self.0.take()
    }

    pub(crate) fn fd(&self) -> &Fd {
        self.0.as_ref().expect("taken only by value")
    }
}

impl AsFd for Shy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd().as_fd()
    }
}

impl Drop for Shy {
    fn drop(&mut self) {
        // Out of the registry under its lock; `None` in a forked child, where it is closed already.
        if let Some(owned) = self.0.take().and_then(Fd::into_owned) {
            close(owned);
        }
    }
}

enum Job {
    Close(OwnedFd),
    /// Everything before this has been closed.
    Tell(Sender<()>),
}

struct Line {
    jobs: Sender<Job>,
    fork: u32,
}

/// The present closer's line of jobs; a forked child starts its own.
static LINE: Mutex<Option<Line>> = Mutex::new(None);
/// Jobs taken in and not finished by the present closer.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static CLOSERS: AtomicUsize = AtomicUsize::new(0);
/// So many jobs behind a closer mean that it is stuck.
const STUCK: usize = 64;

fn close(fd: OwnedFd) {
    if let Err(Job::Close(fd)) = put(Job::Close(fd)) {
        drop(fd); // no thread could be started: here, then
    }
}

/// Waits a moment until what was given up so far is closed. Not for the watcher.
pub(crate) fn settle() {
    let (told, tell) = channel();
    if WAITING.load(Ordering::Relaxed) > 0 && put(Job::Tell(told)).is_ok() {
        let _ = tell.recv_timeout(COURTESY);
    }
}

fn put(job: Job) -> Result<(), Job> {
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    let stale = line.as_ref().is_none_or(|l| l.fork != fork::generation());
    if stale || WAITING.load(Ordering::Relaxed) > STUCK {
        if stale {
            CLOSERS.store(0, Ordering::Relaxed);
        }
        match start() {
            Some(fresh) => *line = Some(fresh),
            None if stale => return Err(job),
            // As many as may be are at work: it waits its turn, and is closed if one goes on.
            None => {}
        }
    }
    let Some(line) = line.as_ref() else { return Err(job) };
    WAITING.fetch_add(1, Ordering::Relaxed);
    line.jobs.send(job).map_err(|e| e.0)
}

fn start() -> Option<Line> {
    if CLOSERS.load(Ordering::Relaxed) >= MAX_CLOSERS {
        return None;
    }
    let (jobs, line) = channel();
    let builder = std::thread::Builder::new().name("twocan-closer".into()).stack_size(64 << 10);
    thread::without_signals(|| builder.spawn(move || work(&line))).ok()?;
    CLOSERS.fetch_add(1, Ordering::Relaxed);
    WAITING.store(0, Ordering::Relaxed);
    Some(Line { jobs, fork: fork::generation() })
}

/// Ends when its line is replaced and empty.
fn work(line: &Receiver<Job>) {
    while let Ok(job) = line.recv() {
        match job {
            Job::Close(fd) => drop(fd),
            Job::Tell(told) => {
                let _ = told.send(());
            }
        }
        let _ = WAITING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }
    CLOSERS.fetch_sub(1, Ordering::Relaxed);
}
