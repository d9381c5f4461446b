//! One direction: records in a ring, one producer, one consumer. Knows no operating system.
//!
//! The consumer polls the stamp at its own position: the very line that carries the message. So
//! that bytes left by an earlier lap are never taken for a stamp, the producer zeroes the stamp
//! word *behind* a record before it stores the record's own stamp, unless it knows that nothing but
//! stamps has stood there (`Starts`); one line is always kept free for that.

mod consumer;
mod producer;
mod progress;
mod starts;

pub(crate) use consumer::{Consumer, Peek, Record};
pub(crate) use producer::{Producer, Slot};
#[cfg(all(test, not(loom)))]
pub(crate) use progress::ack_word;
#[cfg(not(loom))]
pub(crate) use progress::expand;
pub(crate) use starts::Starts;

use crate::layout::{Header, LINE, RECORD_HEAD};
use crate::sync::AtomicU64;

/// The memory of a region as the ring sees it. `at` counts bytes from the ring's beginning, already
/// masked; a range that leaves the ring is the implementer's panic to make (it would be a bug of
/// the ring).
pub(crate) trait Memory {
    fn header(&self) -> &Header;
    fn capacity(&self) -> usize;
    /// The 8-byte word at `at` (a multiple of 8).
    fn word(&self, at: usize) -> &AtomicU64;
    /// The ring's words by position, held in registers for one operation.
    type Lines<'a>: Lines<'a>
    where
        Self: 'a;
    fn lines(&self) -> Self::Lines<'_>;
    /// Copies out of the ring. The bytes may change meanwhile if their writer is hostile: then the
    /// copy is a mixture, nothing worse.
    fn copy_out(&self, at: usize, to: &mut [u8]);
}

/// The first two words of records. Positions are masked into the ring.
pub(crate) trait Lines<'a>: Copy {
    /// The stamp word of the record at `position`.
    fn stamp(self, position: u64) -> &'a AtomicU64;
    /// The head word of the record at `position`.
    fn head(self, position: u64) -> &'a AtomicU64;
}

/// Bytes of payload that fit into a line with the record's head.
pub(crate) const ONE_LINE: usize = LINE - RECORD_HEAD;

/// Of memory that masks nothing itself.
impl<'a, M: Memory> Lines<'a> for &'a M {
    fn stamp(self, position: u64) -> &'a AtomicU64 {
        self.word((position & (self.capacity() as u64 - 1)) as usize)
    }
    fn head(self, position: u64) -> &'a AtomicU64 {
        self.word((position & (self.capacity() as u64 - 1)) as usize + 8)
    }
}

/// Memory that this process may write.
pub(crate) trait MemoryMut: Memory {
    fn copy_in(&self, at: usize, from: &[u8]);
    /// Copies the payload of a record of one line.
    fn copy_in_line(&self, position: u64, from: &[u8]) {
        assert!(from.len() <= ONE_LINE);
        let at = (position & (self.capacity() as u64 - 1)) as usize;
        self.copy_in(at + RECORD_HEAD, from);
    }
    /// A record will begin at `position`. True = bytes of an earlier lap that stand there may be
    /// payload.
    fn begins(&self, _position: u64) -> bool {
        true
    }
    /// A record takes so many lines from `position` on, and another will begin behind them. The
    /// result is that of `begins` there.
    fn places(&self, position: u64, lines: usize) -> bool {
        self.covers(position.wrapping_add(LINE as u64), lines - 1);
        self.begins(position.wrapping_add((lines * LINE) as u64))
    }
    /// As `places`, if that takes one look; `None` = nothing was done.
    fn places_near(&self, _position: u64, _lines: usize) -> Option<bool> {
        None
    }
    /// The last line, from `position` on, up to which none is known to begin with payload; that at
    /// `position` is.
    fn blank_until(&self, position: u64) -> u64 {
        position
    }
    /// Payload may be written to so many lines from `position` on.
    fn covers(&self, _position: u64, _lines: usize) {}
    /// The next stamp makes what stands before `head` visible. Told before it, so that nobody can
    /// have acknowledged what the other threads of this process do not know of.
    fn head_moves(&self, _head: u64) {}
}

/// Is `a` at or behind `b` on the way of positions (which wrap)?
pub(crate) fn reached(a: u64, b: u64) -> bool {
    a.wrapping_sub(b) as i64 >= 0
}

#[cfg(all(test, not(loom)))]
mod tests;
