//! The reading side of a ring. Everything it reads was written by somebody who may be hostile: each
//! word is read once, checked, and then used.

use super::{Lines, Memory};
use crate::error::Violation;
use crate::layout::{Kind, LINE, RECORD_HEAD, head_word, max_payload, record_size, stamp};
use crate::sync::{Ordering, unrelated};

// SYNC payload-published: see `Consumer::ready`.
const PEEK: Ordering =
    if cfg!(twocan_mutant = "relaxed-stamp-load") { Ordering::Relaxed } else { Ordering::Acquire };

/// A checked record: its payload lies inside the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) position: u64,
    /// Payload bytes.
    pub(crate) len: usize,
    /// Where the payload starts, in bytes from the ring's beginning.
    pub(crate) payload_at: usize,
    /// Position behind the record.
    pub(crate) next: u64,
}

impl Record {
    /// How many lines of the ring it takes.
    pub(crate) fn lines(&self) -> u64 {
        self.next.wrapping_sub(self.position) / LINE as u64
    }
}

/// What stands at the consumer's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peek {
    Empty,
    Record(Record),
    Bad(Violation),
}

/// Where the consumer is. Private to the consuming half.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    position: u64,
    capacity: u64,
    /// Bytes of the last plain record.
    usual: u64,
}

impl Consumer {
    pub(crate) fn new(position: u64, capacity: usize) -> Consumer {
        Consumer { position, capacity: capacity as u64, usual: LINE as u64 }
    }

    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// More records than this do not fit into the ring.
    pub(crate) fn lines(&self) -> usize {
        self.capacity as usize / LINE
    }

    /// Goes on behind a record that was peeked at.
    #[inline]
    pub(crate) fn advance(&mut self, record: &Record) {
        self.advance_to(record.next);
    }

    #[inline(always)]
    pub(crate) fn advance_to(&mut self, next: u64) {
        self.position = next;
    }

    /// The same, behind a record of one line, which stands at `position`; where the next begins.
    #[inline(always)]
    pub(crate) fn advance_line(&mut self, position: u64) -> u64 {
        self.position = position.wrapping_add(LINE as u64);
        self.position
    }

    /// Has something been published here? One load.
    #[inline(always)]
    pub(crate) fn ready<'a>(&self, lines: impl Lines<'a>) -> bool {
        // SYNC payload-published
        lines.stamp(self.position).load(PEEK) == stamp(self.position)
    }

    /// Kind and length, as they are now: whoever asks twice may be told two things.
    #[inline(always)]
    fn head<'a>(&self, lines: impl Lines<'a>) -> u64 {
        lines.head(self.position).load(Ordering::Relaxed)
    }

    /// Was the last record one of a line?
    #[inline(always)]
    pub(crate) fn is_used_to_lines(&self) -> bool {
        self.usual == LINE as u64
    }

    /// The length of the record at `position`, if one is there and is a whole message of one line,
    /// of at most `longest` bytes (no more than fit a line). Where the next one begins need not be
    /// computed from it.
    #[inline(always)]
    pub(crate) fn line<'a>(position: u64, lines: impl Lines<'a>, longest: u32) -> Option<usize> {
        // As in `ready` and in `plain`. A line lies inside the ring wherever it begins.
        // SYNC payload-published
        if lines.stamp(position).load(PEEK) != stamp(position) {
            return None;
        }
        let head = || lines.head(position).load(Ordering::Relaxed);
        let len = head().wrapping_sub(head_word(Kind::Data, 0));
        if len > u64::from(longest) && !cfg!(twocan_mutant = "no-bounds-check") {
            return None;
        }
        let len = if cfg!(twocan_mutant = "double-fetch") { head() } else { len };
        Some(len as u32 as usize)
    }

    /// The record here, which is `ready`, if it is a whole message of at most `longest` bytes (no
    /// more than fits a record). Anything else is for `peek`.
    #[inline(always)]
    pub(crate) fn plain<'a>(&mut self, lines: impl Lines<'a>, longest: u32) -> Option<Record> {
        // One load of kind and length together, and one comparison of both: no other kind comes
        // within `longest` of it. The acquire of `ready` orders it.
        let len = self.head(lines).wrapping_sub(head_word(Kind::Data, 0));
        let checked = !cfg!(twocan_mutant = "no-bounds-check");
        if len > u64::from(longest) && checked {
            return None;
        }
        let at = self.position & (self.capacity - 1);
        let size = record_size(len as u32 as usize) as u64;
        if at + size > self.capacity && checked {
            return None;
        }
        let len = if cfg!(twocan_mutant = "double-fetch") { self.head(lines) } else { len };
        // Where the next record begins is foreseen, not computed from a length that is still on its
        // way from the other core: so several lines can be on their way at once.
        let mut foreseen = unrelated(self.usual);
        if size != self.usual {
            foreseen = self.grow_used_to(size);
        }
        Some(Record {
            kind: Kind::Data,
            position: self.position,
            len: len as u32 as usize,
            payload_at: at as usize + RECORD_HEAD,
            next: self.position.wrapping_add(foreseen),
        })
    }

    /// The same record again, of which only position and length were kept.
    #[inline(always)]
    pub(crate) fn plain_again(&self, position: u64, len: usize) -> Record {
        let at = (position & (self.capacity - 1)) as usize;
        let next = position.wrapping_add(self.usual);
        Record { kind: Kind::Data, position, len, payload_at: at + RECORD_HEAD, next }
    }

    #[cold]
    #[inline(never)]
    fn grow_used_to(&mut self, size: u64) -> u64 {
        self.usual = size;
        size
    }

    /// Passes over the records that are `void`; true = behind them stands something. No honest ring
    /// holds more of them than lines. A hostile one may go on for ever, and this look has no limit
    /// of time: it ends with true, as the call that follows has one.
    pub(crate) fn pass_over<M: Memory>(
        &mut self,
        memory: &M,
        void: impl Fn(&Record) -> bool,
    ) -> bool {
        let endless = cfg!(twocan_mutant = "endless-look");
        for _ in 0..=if endless { usize::MAX - 1 } else { self.lines() } {
            match self.peek(memory) {
                Peek::Record(record) if void(&record) => self.advance(&record),
                Peek::Empty => return false,
                _ => return true,
            }
        }
        true
    }

    /// Looks at the record here, padding included.
    #[inline]
    pub(crate) fn peek<M: Memory>(&self, memory: &M) -> Peek {
        let lines = memory.lines();
        if !self.ready(lines) {
            return Peek::Empty;
        }
        let at = (self.position & (self.capacity - 1)) as usize;
        // One load of kind and length together; the acquire above orders it.
        let word = self.head(lines);
        let len = word as u32 as usize;
        let Some(kind) = Kind::from_bits((word >> 32) as u32) else {
            return Peek::Bad(Violation::BadRecord);
        };
        let to_end = self.capacity as usize - at;
        let fits = match kind {
            // Padding reaches exactly to the end, and is shorter than the record it made room for.
            Kind::Pad => len + RECORD_HEAD == to_end && len < max_payload(self.capacity as usize),
            _ => len <= max_payload(self.capacity as usize) && record_size(len) <= to_end,
        };
        if !fits && !cfg!(twocan_mutant = "no-bounds-check") {
            return Peek::Bad(Violation::BadRecord);
        }
        let next = self.position.wrapping_add(record_size(len) as u64);
        let again = cfg!(twocan_mutant = "double-fetch");
        let len = if again { self.head(lines) as u32 as usize } else { len };
        Peek::Record(Record {
            kind,
            position: self.position,
            len,
            payload_at: at + RECORD_HEAD,
            next,
        })
    }
}
