//! The two words of an event, and what lies around them in its file.
//!
//! ```text
//!     0    magic  "TWOCEVNT"
//!     8    u32    layout version
//!    12    u32    kind of reset: 0 auto, 1 manual
//!   128    u32    sets:  how often it was set; wraps. Only FUTEX_WAKE_OP adds to it
//!   256    u32    taken: the value of `sets` up to which signals are taken or reset;
//!                 the event is set when it differs from `sets`
//!   384           end
//! ```

use super::{Ordering, Reset, fence, futex};
use crate::sync::AtomicU32;
use crate::sys::memory::Mapping;

const MAGIC: &[u8; 8] = b"TWOCEVNT";
const VERSION: u32 = 1;

/// Length of the file in bytes.
pub(super) const LEN: usize = 384;
pub(super) const SETS: usize = 128;
const TAKEN: usize = 256;
const _: () = assert!(SETS % 128 == 0 && TAKEN % 128 == 0 && TAKEN + 128 == LEN, "own lines");

/// The distance of `sets` from `taken` from which a setter pulls `taken` along, so that it never
/// wraps to 0.
const FAR: u32 = 1 << 31;

/// What the file holds before the words.
pub(super) fn header(reset: Reset) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..].copy_from_slice(&u32::from(reset == Reset::Manual).to_le_bytes());
    header
}

/// Reads the header; the error is the sentence for it.
pub(super) fn check(header: &[u8; 16]) -> Result<Reset, String> {
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or_default());
    if &header[..8] != MAGIC {
        return Err("its file is no event's".into());
    }
    let version = number(8);
    if version != VERSION {
        return Err(format!("it has layout {version}, this program layout {VERSION}"));
    }
    match number(12) {
        0 => Ok(Reset::Auto),
        1 => Ok(Reset::Manual),
        other => Err(format!("its kind of reset is {other}")),
    }
}

/// The mapped words.
#[derive(Debug)]
pub(super) struct Words {
    mapping: Mapping,
}

/// Both words as they were seen: `taken` first, then `sets`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) taken: u32,
    pub(super) sets: u32,
}

impl Seen {
    pub(super) fn is_set(self) -> bool {
        self.taken != self.sets
    }
}

impl Words {
    /// `mapping` is LEN bytes long, writable, and shared with all who have the event.
    pub(super) fn new(mapping: Mapping) -> Words {
        assert!(mapping.len() >= LEN);
        Words { mapping }
    }

    pub(super) fn is_forked(&self) -> bool {
        self.mapping.is_forked()
    }

    pub(super) fn sets(&self) -> &AtomicU32 {
        self.word(SETS)
    }

    fn taken(&self) -> &AtomicU32 {
        self.word(TAKEN)
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(!self.is_forked() && at + 4 <= LEN);
        // SAFETY: within the mapping (checked by `new`), aligned as the mapping starts on a page,
        // mapped as long as `self` lives; all who use it use atomics.
        unsafe { &*self.mapping.base().as_ptr().add(at).cast() }
    }

    /// Looks at both. The other order sees an event as set that is not,
    /// and takes twice.
    pub(super) fn look(&self) -> Seen {
        // SYNC event-taken: pairs with the compare-exchange in `take`, `reset` and `set`.
        let taken = self.taken().load(Ordering::Acquire);
        // SYNC event-sets: pairs with the fence and the system call in `set`.
        let sets = self.sets().load(Ordering::Acquire);
        #[cfg(twocan_mutant = "sets-first")]
        let taken = self.taken().load(Ordering::Acquire);
        Seen { taken, sets }
    }

    pub(super) fn set(&self) -> std::io::Result<()> {
        let seen = self.look();
        let far = seen.sets.wrapping_sub(seen.taken) >= FAR;
        if far && !cfg!(twocan_mutant = "no-pull") {
            // The distance never reaches the wrap, where a set event would look unset. If it fails,
            // somebody else has moved `taken`, and it is near again.
            let _ = self.advance(seen.taken, seen.sets.wrapping_sub(1));
        }
        // SYNC event-sets: what was written before is seen by whom this lets go. The system call
        // would order it as well.
        fence(Ordering::SeqCst);
        // One step, or a death between leaves sleepers beside a
        // set event; all, or the death of the one who was woken does.
        if cfg!(twocan_mutant = "set-in-two-steps") {
            self.sets().fetch_add(1, Ordering::SeqCst);
            futex::wake_all(self.sets());
            return Ok(());
        }
        let told = futex::add_one_and_wake_all(self.sets());
        if cfg!(twocan_mutant = "signal-expires") {
            std::thread::sleep(std::time::Duration::from_millis(20));
            self.reset();
        }
        told
    }

    /// Takes the signal: the one winner gets true.
    pub(super) fn take(&self) -> bool {
        let seen = self.look();
        seen.is_set() && self.advance(seen.taken, seen.sets)
    }

    /// Repeated and compared: somebody who takes meanwhile may leave a set that came
    /// before this reset.
    pub(super) fn reset(&self) {
        loop {
            let seen = self.look();
            #[cfg(test)]
            BEHIND_A_LOOK.take().into_iter().for_each(|step| step());
            let once = cfg!(twocan_mutant = "reset-once");
            if !seen.is_set() || self.advance(seen.taken, seen.sets) || once {
                return;
            }
        }
    }

    pub(super) fn advance(&self, from: u32, to: u32) -> bool {
        // SYNC event-taken: pairs with `look`.
        self.taken().compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Puts both counters near a value. For tests of the wrap.
    #[cfg(test)]
    pub(super) fn start_at(&self, taken: u32, sets: u32) {
        self.taken().store(taken, Ordering::SeqCst);
        self.sets().store(sets, Ordering::SeqCst);
    }
}

#[cfg(test)]
type Step = Box<dyn FnOnce()>;
#[cfg(test)]
thread_local! {
    /// What others do behind a reset's next look, in the thread that resets.
    pub(super) static BEHIND_A_LOOK: std::cell::Cell<Option<Step>> =
        const { std::cell::Cell::new(None) };
}
