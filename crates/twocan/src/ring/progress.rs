//! How far a reader is: one word, by which it gives room back to the writer of the ring.

use crate::layout::{LINE, Progress};
use crate::sync::Ordering;

// SYNC acknowledged: see the two functions below.
const SAY: Ordering =
    if cfg!(twocan_mutant = "relaxed-ack-store") { Ordering::Relaxed } else { Ordering::Release };
// SYNC acknowledged: the other side of it.
const HEAR: Ordering =
    if cfg!(twocan_mutant = "relaxed-ack-load") { Ordering::Relaxed } else { Ordering::Acquire };

impl Progress {
    /// Says that everything before `position` of the peer's region `generation` may be overwritten.
    #[inline]
    pub(crate) fn acknowledge(&self, generation: u32, position: u64) {
        // SYNC acknowledged: pairs with `acknowledged`. What was copied out before this is not
        // overwritten before.
        self.ack.store(ack_word(generation, position), SAY);
    }

    /// The reader's position in our region `generation`, at or behind `known`: `None` = it does not
    /// read ours yet; an error = it lies.
    #[inline]
    pub(crate) fn acknowledged(&self, generation: u32, known: u64) -> Result<Option<u64>, ()> {
        // SYNC acknowledged: pairs with `acknowledge`.
        let word = self.ack.load(HEAR);
        match (word >> 32) as u32 {
            g if g == generation => Ok(Some(expand(known, word as u32))),
            g if g < generation => Ok(None),
            _ => Err(()),
        }
    }
}

/// The position that `lines` (its low 32 bits, in lines) stands for, at or after `known`.
pub(crate) fn expand(known: u64, lines: u32) -> u64 {
    let forward = lines.wrapping_sub((known / LINE as u64) as u32);
    known.wrapping_add(u64::from(forward) * LINE as u64)
}

/// The acknowledgement word.
pub(crate) fn ack_word(generation: u32, position: u64) -> u64 {
    u64::from(generation) << 32 | u64::from((position / LINE as u64) as u32)
}
