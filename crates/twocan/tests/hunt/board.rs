//! What the players and the observer share: words of a file that all have mapped. Nothing of the
//! library takes part in it.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A lane is one waiter and those who wake it.
pub const LANES: usize = 3;
const WORDS: usize = 8;
const LEN: usize = LANES * WORDS * 64;

/// The words of one lane, each on a line of its own.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// Rounds for which the waker's call has returned: what the waiter waits for is there.
    Said,
    /// When the last of them began, on the machine's clock.
    SaidAt,
    /// Rounds for which the waiter's call has returned.
    Heard,
    /// How long the waker shall think before the next, in nanoseconds.
    Wish,
    /// The waiter's process.
    Waiter,
    /// 1 = the waiter has done all its rounds.
    Done,
}

pub struct Board(*const AtomicU64);

// SAFETY: words of a mapping that stays to the end of the process; all who use them use atomics.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    /// Maps the board of this path; makes it if it is not there.
    pub fn at(path: &Path) -> &'static Board {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).unwrap();
        file.set_len(LEN as u64).unwrap();
        let (fd, protection) = (file.as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new range that the kernel chooses, of a file that is long enough and is never
        // made shorter.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), LEN, protection, libc::MAP_SHARED, fd, 0) };
        assert_ne!(base, libc::MAP_FAILED);
        Box::leak(Box::new(Board(base.cast())))
    }

    fn word(&self, lane: usize, word: Word) -> &AtomicU64 {
        assert!(lane < LANES);
        // SAFETY: inside the mapping, aligned; it is never unmapped.
        unsafe { &*self.0.add((lane * WORDS + word as usize) * 8) }
    }

    /// The waker, before its call.
    pub fn begins(&self, lane: usize) {
        self.word(lane, Word::SaidAt).store(now(), Relaxed);
    }

    /// The waker, after its call.
    pub fn said(&self, lane: usize, round: u64) {
        self.word(lane, Word::Said).store(round, Relaxed);
    }

    /// The waiter, after its call.
    pub fn heard(&self, lane: usize, round: u64) {
        self.word(lane, Word::Heard).store(round, Relaxed);
    }

    pub fn said_at(&self, lane: usize) -> u64 {
        self.word(lane, Word::SaidAt).load(Relaxed)
    }

    pub fn wish(&self, lane: usize, nanos: u64) {
        self.word(lane, Word::Wish).store(nanos, Relaxed);
    }

    pub fn wished(&self, lane: usize) -> u64 {
        self.word(lane, Word::Wish).load(Relaxed)
    }

    /// The waiter says where it is.
    pub fn sits(&self, lane: usize) {
        self.word(lane, Word::Waiter).store(std::process::id().into(), Relaxed);
    }

    pub fn done(&self, lane: usize) {
        self.word(lane, Word::Done).store(1, Relaxed);
    }

    pub fn is_done(&self, lane: usize) -> bool {
        self.word(lane, Word::Done).load(Relaxed) != 0
    }

    /// What the observer looks at: (heard, said).
    pub fn debt(&self, lane: usize) -> (u64, u64) {
        (self.word(lane, Word::Heard).load(Relaxed), self.word(lane, Word::Said).load(Relaxed))
    }

    /// The waiter's process, if it sits already.
    pub fn waiter(&self, lane: usize) -> Option<u64> {
        let pid = self.word(lane, Word::Waiter).load(Relaxed);
        (pid != 0).then_some(pid)
    }
}

/// The machine's clock in nanoseconds, the same in every process.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the place it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
