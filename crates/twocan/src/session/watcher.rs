//! One thread for the whole process that sleeps on all seats, sessions and processes, and lets the
//! ends look when something happened. It has all signals blocked and no path that panics.

use super::seat::Seat;
use super::{End, Owner};
use crate::error::{Error, Result};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::fd::Fd;
use crate::sys::poller::Poller;
use crate::sys::watch::Names;
use crate::sys::{fence, fork, thread};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The token of the watched names; no end has it, as ends have addresses.
const NAMES: u64 = 1;

#[derive(Debug)]
pub(crate) struct Watcher {
    poller: Poller,
    /// By token. Weak: an end that its application dropped is not kept.
    ends: Mutex<HashMap<u64, Weak<End>>>,
    /// Watches the names of seats. `None` = the system has none left; then a sweep is noticed late.
    names: Option<Names>,
    /// Which end a watched name belongs to.
    named: Mutex<HashMap<i32, u64>>,
    /// Ends that asked to be looked at.
    asked: Mutex<Vec<u64>>,
    /// Is the process registered for the asymmetric fence?
    fence: AtomicU32,
    /// Not 0: something could not be watched, and all ends are looked at from time to time.
    blind: AtomicU32,
    fork: u32,
}

const FENCE_UNASKED: u32 = 0;
const FENCE_COMES: u32 = 1;
const FENCE_THERE: u32 = 2;

/// How often a watcher looks at all ends, should the system refuse it a watch. Nobody waits for
/// ever for what it did not see.
const BLIND_PAUSE: Duration = Duration::from_millis(250);

/// The watcher of this process; a forked child makes its own and leaves the old one alone.
static CURRENT: Mutex<Option<Arc<Watcher>>> = Mutex::new(None);

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    /// Whoever opens an end asks for it before anything else. A process that dies gives back its
    /// descriptors from the highest number down, and that of the watched names takes it
    /// milliseconds: opened first, it comes behind the sockets by which others notice the death.
    pub(super) fn of_this_process() -> Result<Arc<Watcher>> {
        let mut current = unpoisoned(&CURRENT);
        if let Some(watcher) = current.as_ref().filter(|w| w.fork == fork::generation()) {
            return Ok(watcher.clone());
        }
        let cannot = |e| Error::from_os("cannot start the thread that watches over channels", e);
        let watcher = Arc::new(Watcher {
            poller: Poller::new().map_err(cannot)?,
            ends: Mutex::new(HashMap::new()),
            names: Names::new().ok(),
            named: Mutex::new(HashMap::new()),
            asked: Mutex::new(Vec::new()),
            fence: AtomicU32::new(match fence::is_allowed() {
                false => FENCE_COMES,
                true if fence::register_alone() => FENCE_THERE,
                true => FENCE_UNASKED,
            }),
            blind: AtomicU32::new(0),
            fork: fork::generation(),
        });
        if let Some(names) = &watcher.names {
            watcher.poller.add(names.fd(), NAMES).map_err(cannot)?;
        }
        let runner = watcher.clone();
        let builder = std::thread::Builder::new().name("twocan-watcher".into());
        // Never joined: it lives as long as the process.
        thread::without_signals(|| builder.spawn(move || runner.run())).map_err(cannot)?;
        *current = Some(watcher.clone());
        Ok(watcher)
    }

    /// Takes an end in, and looks at it soon.
    pub(super) fn watch(&self, end: &Arc<End>) -> Result<()> {
        unpoisoned(&self.ends).insert(end.token(), Arc::downgrade(end));
        end.register_all();
        self.look_at(end);
        Ok(())
    }

    pub(super) fn forget(&self, end: &End) {
        let token = end.token();
        unpoisoned(&self.ends).remove(&token);
        unpoisoned(&self.named).retain(|number, of| {
            let keep = *of != token;
            if let (false, Some(names)) = (keep, &self.names) {
                names.forget(*number);
            }
            keep
        });
    }

    /// Newcomers at the seat, and the loss of its name, make the end look.
    pub(super) fn watch_seat(&self, seat: &Seat, end: &End) {
        self.add(seat.listener().fd(), end);
        let (dir, files) = seat.names();
        for file in files {
            match self.names.as_ref().map(|names| names.watch(dir, &file)) {
                Some(Ok(number)) => {
                    unpoisoned(&self.named).insert(number, end.token());
                }
                _ => crate::note!("the name {file} is not watched"),
            }
        }
    }

    /// Events on `fd` make the end look, until `fd` is closed.
    pub(super) fn add(&self, fd: &Fd, end: &End) {
        match self.poller.add(fd, end.token()) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) if cfg!(twocan_mutant = "unwatched") => {}
            Err(e) => {
                // The limit of watches is reached, for one.
                crate::note!("cannot watch a descriptor: {e}");
                // A plain flag, read in each round: Relaxed.
                self.blind.store(1, Ordering::Relaxed);
                self.poller.poke();
            }
        }
    }

    pub(super) fn look_at(&self, end: &End) {
        unpoisoned(&self.asked).push(end.token());
        self.poller.poke();
    }

    /// Registers the process for the asymmetric fence unless that has begun, and lets the ends look
    /// when it is done. On a thread of its own, for these milliseconds: newcomers do not wait.
    pub(super) fn want_fence(self: &Arc<Self>, end: &End) {
        // SYNC fence-there: pairs with the store below. Whoever asks before that store is among the
        // ends that are looked at after it.
        match self.fence.fetch_max(FENCE_COMES, Ordering::AcqRel) {
            FENCE_UNASKED => {}
            FENCE_COMES => return,
            _ => return self.look_at(end),
        }
        let watcher = self.clone();
        let register = move || {
            if fence::register() {
                // SYNC fence-there
                watcher.fence.store(FENCE_THERE, Ordering::Release);
                let ends: Vec<u64> = unpoisoned(&watcher.ends).keys().copied().collect();
                unpoisoned(&watcher.asked).extend(ends);
                watcher.poller.poke();
            }
        };
        let builder = std::thread::Builder::new().name("twocan-fence".into());
        if let Err(e) = thread::without_signals(|| builder.spawn(register)) {
            crate::note!("no thread to register for the asymmetric fence: {e}");
        }
    }

    /// Is the process registered for the asymmetric fence?
    pub(super) fn has_fence(&self) -> bool {
        // SYNC fence-there
        self.fence.load(Ordering::Acquire) == FENCE_THERE
    }

    fn run(&self) {
        let mut deadlines: HashMap<u64, Instant> = HashMap::new();
        let mut tokens = Vec::new();
        loop {
            let blind = self.blind.load(Ordering::Relaxed) != 0;
            let soon = blind.then(|| Instant::now() + BLIND_PAUSE);
            let next = deadlines.values().min().copied().into_iter().chain(soon).min();
            if let Err(e) = self.poller.wait(next, &mut tokens) {
                crate::note!("the watcher cannot wait: {e}");
                std::thread::sleep(Duration::from_millis(50));
            }
            if let (Some(names), true) = (&self.names, tokens.contains(&NAMES)) {
                let named = unpoisoned(&self.named);
                tokens.extend(names.stirred().iter().filter_map(|number| named.get(number)));
            }
            tokens.append(&mut unpoisoned(&self.asked));
            if blind {
                tokens.extend(unpoisoned(&self.ends).keys());
            }
            let now = Instant::now();
            tokens.extend(deadlines.iter().filter(|(_, t)| **t <= now).map(|(token, _)| *token));
            tokens.sort_unstable();
            tokens.dedup();
            for token in tokens.drain(..) {
                deadlines.remove(&token);
                let end = unpoisoned(&self.ends).get(&token).and_then(Weak::upgrade);
                if let Some(next) = end.and_then(|end| end.step()) {
                    deadlines.insert(token, next);
                }
            }
        }
    }
}

#[allow(dead_code)]
fn owner_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Owner>();
}
