//! The wake handshake: who is asleep says so, who has news rings. Half of every line here stands in
//! the other process.
//!
//! The lost wake-up, and why it cannot happen: a sleeper reads the bell, *arms*, makes a full
//! fence, looks again, and goes to sleep only if the bell still has the value it read (the kernel
//! compares and queues in one step). A waker publishes, makes a full fence, and reads the arm. If
//! the sleeper's look missed the news, its arm came first in the order of the two fences, so the
//! waker sees it, changes the bell and wakes: whether the sleeper is queued by then or not, it does
//! not stay asleep. The bell must be a word that the *waker* changes; a sleeper on its own word
//! would be missed between its look and its sleep.

use crate::sync::{AtomicU32, AtomicU64, Ordering, compiler_fence, full_fence};

/// Modes in the two low bits of an arm word; both parked modes are odd.
pub(crate) const MODE_FUTEX: u64 = 1;
/// Asleep on something that polls file descriptors: ring the doorbell socket.
pub(crate) const MODE_DOORBELL: u64 = 3;
const MODE_BITS: u64 = 3;
const GENERATION: u64 = 4;

/// The waking half's memory of one session: which sleep it has already ended.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    last: u64,
}

/// Does nobody sleep under this arm word? To be asked as [`Woken::sleeper`] is.
#[inline(always)]
pub(crate) fn is_awake(arm: &AtomicU64) -> bool {
    // SYNC armed: as in `Woken::sleeper`.
    arm.load(Ordering::Relaxed) & 1 == 0 || cfg!(twocan_mutant = "calm-beside-a-sleeper")
}

impl Woken {
    /// To be called after something was published and after a full fence: does the peer sleep, and
    /// has this sleep not been ended yet? Then the mode in which it sleeps.
    #[inline]
    pub(crate) fn sleeper(&mut self, arm: &AtomicU64) -> Option<u64> {
        // SYNC armed: the caller's fence pairs with the one in Arming::arm.
        let value = arm.load(Ordering::Relaxed);
        if value & 1 == 0 {
            return None;
        }
        self.new_sleep(value)
    }

    /// Is there nobody to be woken: nobody sleeps, or this sleep was ended already? To be asked as
    /// `sleeper` is.
    #[inline(always)]
    pub(crate) fn has_nobody(&self, arm: &AtomicU64) -> bool {
        // SYNC armed: as in `sleeper`.
        let value = arm.load(Ordering::Relaxed);
        value & 1 == 0 || value == self.last || cfg!(twocan_mutant = "calm-beside-a-sleeper")
    }

    #[cold]
    fn new_sleep(&mut self, value: u64) -> Option<u64> {
        let new = value != self.last || cfg!(twocan_mutant = "wake-again");
        self.last = value;
        new.then_some(value & MODE_BITS)
    }

    /// A new session: the new peer's arms count from the beginning again.
    pub(crate) fn forget(&mut self) {
        if !cfg!(twocan_mutant = "trust-woken") {
            self.last = 0;
        }
    }
}

/// The full fence between publishing and the look at the arm.
#[inline]
pub(crate) fn published() {
    if !cfg!(twocan_mutant = "no-fence-publish") {
        // SYNC armed: pairs with the fence in Arming::arm.
        full_fence();
    }
}

/// So many fences are made before it is worth asking for the asymmetric one.
const ENOUGH: u32 = 256;

/// How a half that publishes much keeps the order of its publishing and its look at the arm.
///
/// *Lean*: both processes take part in the asymmetric fence. Then the half needs no fence at all;
/// the sleeper calls for one on all processors, after its arm and before its second look. That is
/// sound for every sleeper that reads both flags after its arm: a half knew of both before it left
/// out its first fence.
#[derive(Debug, Default)]
pub(crate) struct Order {
    lean: bool,
    fenced: u32,
}

impl Order {
    /// Between publishing and the looks at the news and at the arm. True = so many fences were made
    /// that the caller should see whether the pair can do without.
    #[inline]
    pub(crate) fn published(&mut self) -> bool {
        if self.lean {
            compiler_fence();
            return false;
        }
        published();
        self.fenced = self.fenced.wrapping_add(1);
        self.fenced % ENOUGH == 0
    }

    /// As `published`, if it can be told without a fence: false = nothing was done yet.
    #[inline(always)]
    pub(crate) fn is_lean(&self) -> bool {
        if self.lean {
            compiler_fence();
        }
        self.lean
    }

    /// Somebody slept. Only who publishes much to one that is awake asks for the other fence: for a
    /// peer that sleeps each time it would cost more than it saves.
    #[cold]
    pub(crate) fn woke(&mut self) {
        self.fenced = 0;
    }

    /// What both regions say now.
    pub(crate) fn agree(&mut self, lean: bool) {
        self.lean = lean;
    }
}

/// Changes the bell that the sleeper's kernel call compares. Threads of both halves may ring.
pub(crate) fn change(bell: &AtomicU32) {
    if !cfg!(twocan_mutant = "no-bell") {
        // SYNC bell: pairs with the sleeper's read before it arms, and with the compare in the
        // kernel.
        if cfg!(twocan_mutant = "bell-by-store") {
            return bell.store(bell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
        bell.fetch_add(1, Ordering::Release);
    }
}

/// Says to this end's own halves that something changed which they must know. The caller wakes who
/// sleeps on `local` afterwards.
///
/// `drain` is the asymmetric fence if this end takes part in it.
pub(crate) fn tell(news: &AtomicU64, local: &AtomicU32, drain: impl FnOnce()) {
    if cfg!(twocan_mutant = "local-before-news") {
        // SYNC local-word: too early, for a test.
        local.fetch_add(1, Ordering::Release);
    }
    // SYNC session-news: pairs with `news`.
    news.fetch_add(1, Ordering::Release);
    // A half that publishes looks at the news behind its own fence: either it sees this, or what it
    // published is seen by whoever learns of the session from what the caller does next (WELCOME,
    // or a look at the peer's arms). A lean half makes no fence of its own: it is given one here.
    full_fence();
    if !cfg!(twocan_mutant = "no-drain") {
        drain();
    }
    if !cfg!(any(twocan_mutant = "local-before-news", twocan_mutant = "no-local")) {
        // SYNC local-word: pairs with `read`. The flag (news) first, then the word, then the wake.
        local.fetch_add(1, Ordering::Release);
    }
}

/// The news: a half whose copies are as old as another value must take new ones.
#[inline]
pub(crate) fn news(news: &AtomicU64) -> u64 {
    // SYNC session-news: pairs with `tell`.
    news.load(Ordering::Acquire)
}

/// What a word that will be slept on holds now; read before arming and looking.
pub(crate) fn read(word: &AtomicU32) -> u32 {
    // SYNC bell, local-word: pairs with `change` and `tell`.
    word.load(Ordering::Acquire)
}

/// The last step of parking: sleeps, unless there is something after all. The second look is the
/// one that counts: whoever published before it could see the arm did not ring.
pub(crate) fn sleep_unless(ready: impl FnOnce() -> bool, sleep: impl FnOnce()) {
    if cfg!(twocan_mutant = "no-second-look") || !ready() {
        sleep();
    }
}

/// The sleeping half's side of its arm word. Several threads may wait on one half (`wait_any` takes
/// it by shared reference): each sleep gets a value of its own, and the word stays armed until the
/// last of them has left.
#[derive(Debug, Default)]
pub(crate) struct Arming {
    /// The value in the word; a multiple of 4 when nobody sleeps.
    value: u64,
    sleepers: u32,
}

impl Arming {
    /// Says that a sleeper may come. The caller has read the words it will sleep on; it looks again
    /// afterwards.
    pub(crate) fn arm(&mut self, word: &AtomicU64, mode: u64) {
        self.sleepers += 1;
        self.raise(word, mode);
    }

    /// Says that a doorbell is listened to. Nobody is counted: it stays so until somebody else
    /// arms or disarms, or for ever, which costs the peer one ring.
    pub(crate) fn arm_door(&mut self, word: &AtomicU64) {
        self.raise(word, MODE_DOORBELL);
    }

    /// The value in the word, if it asks for the doorbell.
    pub(crate) fn door(&self) -> Option<u64> {
        (self.value & MODE_BITS == MODE_DOORBELL).then_some(self.value)
    }

    fn raise(&mut self, word: &AtomicU64, mode: u64) {
        // A value never used before: a waker that remembers an earlier sleep must not take this one
        // for it.
        let next = if cfg!(twocan_mutant = "same-arm") { 0 } else { GENERATION };
        self.value = (self.value & !MODE_BITS).wrapping_add(next) | mode;
        if cfg!(twocan_mutant = "short-arm") {
            self.value &= 2 * GENERATION - 1;
        }
        word.store(self.value, Ordering::Relaxed);
        if !cfg!(twocan_mutant = "no-fence-arm") {
            // SYNC armed: pairs with the fence in published().
            full_fence();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sleepers == 0
    }

    /// A sleeper has left. `keep`: somebody sleeps on the doorbell.
    pub(crate) fn disarm(&mut self, word: &AtomicU64, keep: bool) {
        self.sleepers -= 1;
        let keep = keep && !cfg!(twocan_mutant = "door-put-out");
        let last = self.sleepers == 0 && !(keep && self.door().is_some());
        if last || cfg!(twocan_mutant = "forget-count") {
            self.value &= !MODE_BITS;
            word.store(self.value, Ordering::Relaxed);
        }
    }
}

/// What one set knows of one doorbell.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// It rang, or there is other news: armed anew before the next sleep.
    rung: bool,
    /// The arm in force when the last wait came by.
    seen: u64,
    /// Under this arm a look has found nothing. 0 = none: arms of doorbells are never 0.
    clean: u64,
}

impl Watch {
    pub(crate) fn rang(&mut self) {
        self.rung = true;
    }

    pub(crate) fn has_rung(&self) -> bool {
        self.rung
    }

    /// Must the doorbell be emptied and armed anew? `armed` is the arm in force, if it asks for the
    /// doorbell.
    pub(crate) fn is_due(&self, armed: Option<u64>) -> bool {
        let rung = self.rung && !cfg!(twocan_mutant = "door-forgets-ring");
        rung || armed.is_none()
    }

    /// Takes note of the arm in force; true = nothing can have come since the last look that found
    /// nothing. Somebody else may have armed it since, and what was published before that rang
    /// elsewhere or nowhere: so it is the value that counts, not that it is armed.
    pub(crate) fn pass(&mut self, armed: u64) -> bool {
        (self.rung, self.seen) = (false, armed);
        self.clean == armed || (self.clean != 0 && cfg!(twocan_mutant = "door-no-generation"))
    }

    /// A look behind the arm and the fence has found nothing.
    pub(crate) fn found_nothing(&mut self) {
        self.clean = self.seen;
    }
}
