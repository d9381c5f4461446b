//! Somebody who waits for an event, and is not killed.
#![allow(dead_code, reason = "each test file uses a part")]

use crate::support::{LONG, eventually, until_asleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;
use twocan::{Cancel, Event};

/// A thread of this process that waits when it is told to: once, or again and again.
pub(crate) struct Survivor {
    got: Arc<AtomicU64>,
    /// It has heard the word, and waits from now on.
    waits: Arc<AtomicBool>,
    tid: u32,
    stop: Cancel,
    word: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Survivor {
    pub(crate) fn start(event: &Event, for_ever: bool) -> Survivor {
        let (got, stop) = (Arc::new(AtomicU64::new(0)), Cancel::new());
        let (count, cancel, event) = (got.clone(), stop.clone(), event.try_clone().unwrap());
        let waits = Arc::new(AtomicBool::new(false));
        let ((tell, told), waiting) = (channel(), waits.clone());
        let (begin, begun): (Sender<()>, Receiver<()>) = channel();
        let thread = std::thread::spawn(move || {
            // SAFETY: no arguments, no memory.
            tell.send(unsafe { libc::gettid() } as u32).unwrap();
            while for_ever || begun.recv().is_ok() {
                waiting.store(true, Ordering::SeqCst);
                match event.wait_until(&cancel) {
                    Ok(_) => count.fetch_add(1, Ordering::SeqCst),
                    Err(_) => return,
                };
            }
        });
        let tid = told.recv().unwrap();
        Survivor { got, waits, tid, stop, word: Some(begin), thread: Some(thread) }
    }

    pub(crate) fn got(&self) -> u64 {
        self.got.load(Ordering::SeqCst)
    }

    /// Lets it wait, once; returns how often it has gone before.
    pub(crate) fn begin(&self) -> u64 {
        let before = self.got();
        self.word.as_ref().unwrap().send(()).unwrap();
        // Until it waits for the event, and not for our word.
        eventually("the survivor waits", || self.waits.swap(false, Ordering::SeqCst));
        self.until_asleep();
        before
    }

    /// Does it sleep in the kernel?
    pub(crate) fn is_asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.tid));
        let stat = stat.unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
    }

    pub(crate) fn until_asleep(&self) {
        until_asleep(std::process::id(), self.tid);
    }

    /// Has gone once more than `before`, sooner or later.
    pub(crate) fn goes(&self, before: u64) {
        let deadline = Instant::now() + LONG;
        while self.got() == before {
            assert!(Instant::now() < deadline, "a signal is lost: the survivor sleeps");
            std::thread::yield_now();
        }
    }
}

impl Drop for Survivor {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.word.take());
        let done = self.thread.take().unwrap().join();
        assert!(done.is_ok() || std::thread::panicking());
    }
}
