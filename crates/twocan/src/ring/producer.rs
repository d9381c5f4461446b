//! The writing side of a ring.

use super::{Lines, MemoryMut, ONE_LINE, reached};
use crate::layout::{Kind, LINE, RECORD_HEAD, head_word, max_payload, record_size, stamp};
use crate::sync::Ordering;

// SYNC payload-published: see `Producer::publish`.
const PUBLISH: Ordering =
    if cfg!(twocan_mutant = "relaxed-stamp-store") { Ordering::Relaxed } else { Ordering::Release };

/// There is no room for the record yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Room for one record, reserved by [`Producer::reserve`]. Nothing is visible before it is
/// published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// Position of the record.
    pub(crate) position: u64,
    /// Where its payload starts, in bytes from the ring's beginning.
    pub(crate) payload_at: usize,
}

/// Positions of the producer. All of it is private to the producing half.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    /// Where the next record goes. Bytes, monotonic, wraps at 2^64.
    head: u64,
    /// Everything before this may be overwritten: the peer's acknowledgement when it was last
    /// looked at.
    acked: u64,
    capacity: u64,
    /// A record that ends here or before has room, and does not cross the ring's end.
    bound: u64,
    /// From the head to the line here no line is known to begin with payload; before the head: ask.
    blank: u64,
    /// The nearer of the two: as far as this a record of one line has nothing to ask.
    clear: u64,
    /// The lines before this were taken, if somebody streams.
    taken: u64,
    /// Nobody answers, as far as is known.
    streams: bool,
    /// Bytes of the last record, if lines should be taken for those like it; 0 = not now.
    wants: u64,
}

/// Lines that a stream takes together at least.
const GROUP: u64 = if cfg!(loom) { 2 } else { 32 };

/// Lines of the next record that are taken ahead at most: a page and its head. On two cores that
/// share a cache this takes a round trip of 64 bytes from 213 to 135 ns, one of 4 KiB from 1.5 to
/// 1.15 us.
const AHEAD: u64 = 72;

impl Producer {
    pub(crate) fn new(start: u64, capacity: usize) -> Producer {
        let capacity = capacity as u64;
        let mut ring = Producer {
            head: start,
            acked: start,
            capacity,
            bound: start,
            blank: start,
            clear: start,
            taken: start,
            streams: true,
            wants: 0,
        };
        ring.set_bound();
        ring
    }

    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    #[inline]
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    #[inline]
    pub(crate) fn max_payload(&self) -> usize {
        max_payload(self.capacity as usize)
    }

    /// Takes a newer acknowledgement into account; false = it lies outside what was sent, or runs
    /// backwards.
    #[must_use]
    pub(crate) fn credit(&mut self, acked: u64) -> bool {
        let forward = acked.wrapping_sub(self.acked);
        if forward > self.head.wrapping_sub(self.acked) || acked % LINE as u64 != 0 {
            return false;
        }
        self.acked = acked;
        self.set_bound();
        true
    }

    fn set_bound(&mut self) {
        let to_end = self.capacity - self.offset(self.head) as u64;
        self.bound = self.head.wrapping_add(to_end.min(self.free()));
        self.set_blank(self.blank);
    }

    #[inline(always)]
    fn set_blank(&mut self, blank: u64) {
        self.blank = blank;
        self.clear = if reached(blank, self.bound) { self.bound } else { blank };
    }

    #[inline]
    fn offset(&self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    /// Bytes that can be published now, keeping one line free.
    #[inline]
    fn free(&self) -> u64 {
        self.capacity - self.head.wrapping_sub(self.acked) - LINE as u64
    }

    /// Is more than a sixteenth of the ring free?
    pub(crate) fn is_roomy(&self) -> bool {
        self.free() > self.capacity / 16
    }

    /// Is there room for a record with `len` bytes of payload, and for the padding it may need?
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let size = record_size(len) as u64;
        let to_end = self.capacity - self.offset(self.head) as u64;
        self.free() >= if size > to_end { to_end + size } else { size }
    }

    /// Finds room for `len` bytes of payload, which must not exceed `max_payload`. Publishes
    /// padding first if the record would cross the ring's end. Padding wakes nobody: a consumer
    /// that sleeps in front of it has nothing to do before the record behind it comes, and then it
    /// acknowledges both.
    #[inline]
    pub(crate) fn reserve<M: MemoryMut>(&mut self, memory: &M, len: usize) -> Result<Slot, Full> {
        debug_assert!(len <= self.max_payload());
        let size = record_size(len) as u64;
        let to_end = self.capacity - self.offset(self.head) as u64;
        if size > to_end {
            if self.free() < to_end {
                return Err(Full);
            }
            self.publish(memory, Kind::Pad, to_end as usize - RECORD_HEAD);
        }
        self.set_bound();
        if self.free() < size {
            return Err(Full);
        }
        self.reserved(memory, size);
        Ok(self.slot())
    }

    /// As `reserve`, if there is room without padding as far as is known; false = `reserve` knows
    /// more.
    #[inline(always)]
    pub(crate) fn reserve_plain<M: MemoryMut>(&mut self, memory: &M, len: usize) -> bool {
        let size = record_size(len) as u64;
        let room = self.bound.wrapping_sub(self.head);
        if room < size {
            return false;
        }
        self.reserved(memory, size);
        true
    }

    /// The payload may be written and then given up.
    #[inline(always)]
    fn reserved<M: MemoryMut>(&mut self, memory: &M, size: u64) {
        // That of a record of one line lies where none begins.
        if size > LINE as u64 && !cfg!(twocan_mutant = "given-up-unseen") {
            if !cfg!(twocan_mutant = "blank-for-ever") {
                self.set_blank(self.head);
            }
            memory.covers(self.head.wrapping_add(LINE as u64), size as usize / LINE - 1);
        }
    }

    /// Where the next record goes.
    #[inline(always)]
    pub(crate) fn slot(&self) -> Slot {
        Slot { position: self.head, payload_at: self.offset(self.head) + RECORD_HEAD }
    }

    /// Copies and publishes a whole message, if there is room for it without padding as far as is
    /// known; otherwise `push` knows more.
    #[inline(always)]
    pub(crate) fn push_plain<M: MemoryMut>(&mut self, memory: &M, message: &[u8]) -> Option<u64> {
        let position = self.head;
        let room = self.bound.wrapping_sub(position);
        if room < record_size(message.len()) as u64 || cfg!(twocan_mutant = "publish-first") {
            return None;
        }
        memory.copy_in(self.offset(position) + RECORD_HEAD, message);
        self.publish(memory, Kind::Data, message.len());
        Some(position)
    }

    /// As `push_plain`, of a message of a few lines, in most cases without a call. `None` = nothing
    /// was done, ask `push_plain`.
    #[inline(always)]
    pub(crate) fn push_few<M: MemoryMut>(&mut self, memory: &M, message: &[u8]) -> Option<u64> {
        let position = self.head;
        let (room, size) = (self.bound.wrapping_sub(position), record_size(message.len()));
        if room < size as u64 || cfg!(twocan_mutant = "publish-first") {
            return None;
        }
        // The lines are asked for first: the books are done while they come. But done they are, now
        // that payload stands where records may begin.
        memory.copy_in(self.offset(position) + RECORD_HEAD, message);
        match memory.places_near(position, size / LINE) {
            Some(unknown) => self.publish_placed(memory, Kind::Data, message.len(), unknown),
            None if cfg!(twocan_mutant = "copied-and-forgotten") => return None,
            None => self.publish_apart(memory, message.len()),
        }
        Some(position)
    }

    #[cold]
    #[inline(never)]
    fn publish_apart<M: MemoryMut>(&mut self, memory: &M, len: usize) {
        self.publish(memory, Kind::Data, len);
    }

    /// Reserves, copies and publishes one record made of `parts` one after the other.
    #[inline]
    pub(crate) fn push<M: MemoryMut>(
        &mut self,
        memory: &M,
        kind: Kind,
        parts: [&[u8]; 2],
    ) -> Result<u64, Full> {
        let len = parts[0].len() + parts[1].len();
        let slot = self.reserve(memory, len)?;
        if cfg!(twocan_mutant = "publish-first") {
            self.publish(memory, kind, len);
        }
        if !parts[0].is_empty() {
            memory.copy_in(slot.payload_at, parts[0]);
        }
        memory.copy_in(slot.payload_at + parts[0].len(), parts[1]);
        if !cfg!(twocan_mutant = "publish-first") {
            self.publish(memory, kind, len);
        }
        Ok(slot.position)
    }

    /// Makes the record at `head` visible. Its payload has been written and there is room for it.
    #[inline(always)]
    pub(crate) fn publish<M: MemoryMut>(&mut self, memory: &M, kind: Kind, len: usize) {
        let size = record_size(len) as u64;
        let next = self.head.wrapping_add(size);
        let one_line = size == LINE as u64;
        if one_line && self.is_blank(next) {
            return self.publish_before(memory, kind, len, next);
        }
        let unknown = memory.places(self.head, size as usize / LINE);
        self.publish_placed(memory, kind, len, unknown);
    }

    /// As `publish`, of a record that is in the books. Is the line behind it `unknown`?
    #[inline(always)]
    fn publish_placed<M: MemoryMut>(&mut self, memory: &M, kind: Kind, len: usize, unknown: bool) {
        let size = record_size(len) as u64;
        let next = self.head.wrapping_add(size);
        let one_line = size == LINE as u64;
        if unknown && !cfg!(twocan_mutant = "no-zero-ahead") {
            memory.lines().stamp(next).store(0, Ordering::Relaxed);
        }
        self.set_blank(if one_line { memory.blank_until(next) } else { next });
        self.publish_before(memory, kind, len, next);
        // Who sends records of one line asks again behind the last line that was taken.
        if self.streams && (one_line || !reached(self.taken, next.wrapping_add(size))) {
            self.wants = size;
        }
    }

    /// Does nobody answer what is sent? Then the lines of the next records are taken in groups.
    pub(crate) fn streams(&mut self, so: bool) {
        self.streams = so;
        if !so {
            self.wants = 0;
        }
    }

    /// Is it time for `take_group`?
    #[inline(always)]
    pub(crate) fn wants_lines(&self) -> bool {
        self.wants != 0
    }

    /// In a stream, behind a message and off its way: stores to the lines that come next, all at
    /// once. Each of these stores waits until its line is here, and here alone, but they wait
    /// together.
    #[inline(never)]
    pub(crate) fn take_group<M: MemoryMut>(&mut self, memory: &M) {
        let (line, size) = (LINE as u64, std::mem::take(&mut self.wants));
        if !reached(self.taken, self.head.wrapping_add(size)) {
            let wanted = (size / line).clamp(GROUP, AHEAD) * line;
            let room = self.bound.wrapping_sub(self.head);
            let all = cfg!(twocan_mutant = "group-takes-what-is-unread");
            let to = self.head.wrapping_add(if all { wanted } else { wanted.min(room) });
            let from = if reached(self.taken, self.head) { self.taken } else { self.head };
            if reached(to, from) {
                self.store_to(memory, from, to.wrapping_sub(from) / line);
                self.taken = to;
            }
        }
        // So that this is asked again behind the last of them.
        let last = self.taken.wrapping_sub(line);
        if reached(self.blank, last) {
            self.set_blank(last);
        }
    }

    /// Stores a 0 to so many lines from `from` on, which are free.
    #[inline(always)]
    fn store_to<M: MemoryMut>(&self, memory: &M, from: u64, count: u64) {
        let lines = memory.lines();
        for line in 0..count {
            let position = from.wrapping_add(line * LINE as u64);
            lines.stamp(position).store(0, Ordering::Relaxed);
        }
    }

    /// Is the line at `next`, behind the record at `head`, known not to begin with payload?
    #[inline(always)]
    fn is_blank(&self, next: u64) -> bool {
        reached(self.blank, next)
    }

    /// As `publish`, in front of a line that is blank.
    #[inline(always)]
    fn publish_before<M: MemoryMut>(&mut self, memory: &M, kind: Kind, len: usize, next: u64) {
        let (lines, position) = (memory.lines(), self.head);
        lines.head(position).store(head_word(kind, len), Ordering::Relaxed);
        memory.head_moves(next);
        // SYNC payload-published: pairs with Consumer::ready. Everything above (payload, head word,
        // the zero at the next stamp) is seen by whoever sees this stamp.
        lines.stamp(position).store(stamp(position), PUBLISH);
        self.head = next;
    }

    /// As `push_plain`, of a message that fits one line, in front of a line that is blank. `None` =
    /// ask `push_plain`.
    #[inline(always)]
    pub(crate) fn push_line<M: MemoryMut>(&mut self, memory: &M, message: &[u8]) -> Option<u64> {
        let position = self.head;
        if !self.has_line() || cfg!(twocan_mutant = "publish-first") {
            return None;
        }
        memory.copy_in_line(position, message);
        self.publish_line(memory, message.len());
        Some(position)
    }

    /// Is there room for a record of one line, in front of a line that is blank?
    #[inline(always)]
    pub(crate) fn has_line(&self) -> bool {
        reached(self.clear, self.head.wrapping_add(LINE as u64))
    }

    /// As `publish`, of a record for which `has_line` is true.
    #[inline(always)]
    pub(crate) fn publish_line<M: MemoryMut>(&mut self, memory: &M, len: usize) {
        debug_assert!(len <= ONE_LINE && self.has_line());
        self.publish_before(memory, Kind::Data, len, self.head.wrapping_add(LINE as u64));
    }

    /// After a publish, off the message's way: stores to the lines that the next record of the same
    /// size will take, so that they are here, and here alone, when it comes. Only a store does
    /// that, as it was measured; a prefetch for writing does nothing where the reader has a copy.
    ///
    /// Nobody misses what is overwritten: it lies behind the head. Who streams takes more lines and
    /// less often (`take_group`): a reader at its heels looks at the very next line.
    #[inline(always)]
    pub(crate) fn take_ahead<M: MemoryMut>(&mut self, memory: &M, len: usize) {
        let size = record_size(len) as u64;
        // Behind the record there is always one line more than `bound` says.
        let room = self.bound.wrapping_sub(self.head);
        if room <= size && !cfg!(twocan_mutant = "takes-what-is-unread") {
            return;
        }
        self.store_to(memory, self.head, (size / LINE as u64).min(AHEAD));
        let next = self.head.wrapping_add(size);
        if memory.begins(next) && !cfg!(twocan_mutant = "no-zero-ahead") {
            memory.lines().stamp(next).store(0, Ordering::Relaxed);
        }
        // Of the lines between it is not known whether a record may begin there.
        let one_line = size == LINE as u64 || cfg!(twocan_mutant = "ahead-unmarked");
        self.set_blank(if one_line { next } else { self.head });
    }
}
