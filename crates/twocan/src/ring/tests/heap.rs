//! Memory for rings that are tested.

use super::super::*;
use crate::sync::Ordering::Relaxed;

/// Words in front of and behind the ring that nobody may touch.
const GUARD: usize = 32;
const CANARY: u64 = 0xA5A5_5A5A_C3C3_3C3C;

/// A ring on the heap, between guards.
pub(super) struct Heap {
    header: Header,
    words: Vec<AtomicU64>,
    pub(super) starts: Starts,
    pub(super) capacity: usize,
}

impl Heap {
    /// `old` gives the bytes that lie there already: the word at each position of the first lap.
    pub(super) fn new(capacity: usize, start: u64, old: impl Fn(u64) -> u64) -> Heap {
        let words: Vec<_> = (0..capacity / 8 + 2 * GUARD).map(|_| AtomicU64::new(CANARY)).collect();
        let heap = Heap { header: Header::blank(), words, starts: Starts::new(capacity), capacity };
        for at in (0..capacity as u64).step_by(8) {
            let position = start.wrapping_add(at);
            heap.word((position & (capacity as u64 - 1)) as usize).store(old(position), Relaxed);
        }
        // A new region is all zeros; at the least its first stamp word is.
        heap.starts.add(start);
        heap.word((start & (capacity as u64 - 1)) as usize).store(0, Relaxed);
        heap
    }

    /// Nothing has been there.
    pub(super) fn fresh(capacity: usize, start: u64) -> Heap {
        let starts = Starts::of_zeros(capacity);
        starts.add(start);
        Heap { starts, ..Heap::new(capacity, start, |_| 0) }
    }

    pub(super) fn guards_are_whole(&self) -> bool {
        let behind = GUARD + self.capacity / 8;
        let whole = |w: &AtomicU64| w.load(Relaxed) == CANARY;
        self.words[..GUARD].iter().all(whole) && self.words[behind..].iter().all(whole)
    }

    /// The words of the unread records.
    pub(super) fn unread(&self, from: u64, to: u64) -> Vec<u64> {
        let mask = self.capacity as u64 - 1;
        let len = to.wrapping_sub(from);
        let word = |at| self.word((from.wrapping_add(at) & mask) as usize).load(Relaxed);
        (0..len).step_by(8).map(word).collect()
    }
}

impl Memory for Heap {
    type Lines<'a> = &'a Heap;
    fn lines(&self) -> &Heap {
        self
    }
    fn header(&self) -> &Header {
        &self.header
    }
    fn capacity(&self) -> usize {
        self.capacity
    }
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at % 8 == 0 && at < self.capacity, "word {at} is outside the ring");
        &self.words[GUARD + at / 8]
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        assert!(at % 8 == 0 && at + to.len() <= self.capacity, "a copy leaves the ring");
        for (i, chunk) in to.chunks_mut(8).enumerate() {
            chunk
                .copy_from_slice(&self.word(at + i * 8).load(Relaxed).to_ne_bytes()[..chunk.len()]);
        }
    }
}

impl MemoryMut for Heap {
    fn begins(&self, position: u64) -> bool {
        self.starts.add(position)
    }
    fn blank_until(&self, position: u64) -> u64 {
        self.starts.run_from(position)
    }
    fn covers(&self, position: u64, lines: usize) {
        self.starts.cover(position, lines);
    }
    fn places(&self, position: u64, lines: usize) -> bool {
        self.starts.place(position, lines)
    }
    fn places_near(&self, position: u64, lines: usize) -> Option<bool> {
        self.starts.place_near(position, lines)
    }
    fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(at % 8 == 0 && at + from.len() <= self.capacity, "a copy leaves the ring");
        for (i, chunk) in from.chunks(8).enumerate() {
            let word = self.word(at + i * 8);
            let mut bytes = word.load(Relaxed).to_ne_bytes();
            bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(bytes), Relaxed);
        }
    }
}
