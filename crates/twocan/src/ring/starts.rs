//! Where payload lies, and where it does not: one bit for each line of a ring.

use crate::layout::LINE;
use crate::sync::{AtomicU64, Ordering};

/// For each line: does it begin with a stamp word, written as such, or set to 0? Then what stands
/// there is no payload, and as no stamp comes twice, none that the reader waits for.
///
/// Between the acknowledged position and the head those are the beginnings of records and nothing
/// else. Written by the producer alone; other threads may look.
#[derive(Debug)]
pub(crate) struct Starts {
    words: Box<[AtomicU64]>,
    capacity: u64,
}

const BITS: usize = u64::BITS as usize;

impl Starts {
    /// Of memory about which nothing is known.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn new(capacity: usize) -> Starts {
        Starts::of(capacity, 0)
    }

    /// Of memory that is all 0, and that shall be touched by its owner first: so the first line of
    /// each page (of 4 KiB, which is a word of these) is stored to once more.
    pub(crate) fn of_zeros(capacity: usize) -> Starts {
        Starts::of(capacity, if cfg!(twocan_mutant = "pages-unasked") { !0 } else { !1 })
    }

    fn of(capacity: usize, known: u64) -> Starts {
        let count = (capacity / LINE).div_ceil(BITS);
        let words = (0..count).map(|_| AtomicU64::new(known)).collect();
        Starts { words, capacity: capacity as u64 }
    }

    #[inline(always)]
    fn line(&self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize / LINE
    }

    #[inline]
    pub(crate) fn has(&self, position: u64) -> bool {
        let line = self.line(position);
        self.words[line / BITS].load(Ordering::Relaxed) >> (line % BITS) & 1 != 0
    }

    /// A record will begin at `position`. True = it was not known to be no payload: the caller
    /// stores a 0 there.
    #[inline(always)]
    pub(crate) fn add(&self, position: u64) -> bool {
        let line = self.line(position);
        let word = &self.words[line / BITS];
        let known = word.load(Ordering::Relaxed);
        let with = known | 1 << (line % BITS);
        if with != known {
            word.store(with, Ordering::Relaxed);
        }
        with != known
    }

    /// A record takes so many lines from `position` on, and the next will begin behind them:
    /// `cover` and `add` in one. The result is that of `add`.
    #[inline(always)]
    pub(crate) fn place(&self, position: u64, lines: usize) -> bool {
        match self.place_near(position, lines) {
            Some(unknown) => unknown,
            None => self.place_apart(position, lines),
        }
    }

    /// The same, if they are all in one word; `None` = nothing was done.
    #[inline(always)]
    pub(crate) fn place_near(&self, position: u64, lines: usize) -> Option<bool> {
        let line = self.line(position);
        let first = line % BITS;
        if first + lines >= BITS {
            return None;
        }
        let word = &self.words[line / BITS];
        let known = word.load(Ordering::Relaxed);
        let next = 1 << (first + lines);
        // All lines behind the first, the next record's included.
        let behind = ((1 << lines) - 1) << (first + 1);
        let payload = if cfg!(twocan_mutant = "payload-unseen") { 0 } else { behind };
        let with = known & !payload | next;
        if with != known {
            word.store(with, Ordering::Relaxed);
        }
        Some(known & next == 0)
    }

    #[cold]
    #[inline(never)]
    fn place_apart(&self, position: u64, lines: usize) -> bool {
        self.cover(position.wrapping_add(LINE as u64), lines - 1);
        self.add(position.wrapping_add((lines * LINE) as u64))
    }

    /// The last of the lines from `position` on that are known to be no payload, as far as one look
    /// goes. That at `position` is.
    #[inline(always)]
    pub(crate) fn run_from(&self, position: u64) -> u64 {
        let line = self.line(position);
        let word = self.words[line / BITS].load(Ordering::Relaxed);
        let run = (word >> (line % BITS)).trailing_ones();
        let behind = if cfg!(twocan_mutant = "run-too-long") { run } else { run.saturating_sub(1) };
        position.wrapping_add(u64::from(behind) * LINE as u64)
    }

    /// Payload may be written to so many lines from `position` on. They do not cross the ring's
    /// end.
    pub(crate) fn cover(&self, position: u64, lines: usize) {
        let mut line = self.line(position);
        let end = line + lines;
        while line < end {
            let (word, first) = (&self.words[line / BITS], line % BITS);
            let count = (BITS - first).min(end - line);
            let bits = (u64::MAX >> (BITS - count)) << first;
            let known = word.load(Ordering::Relaxed);
            if known & bits != 0 && !cfg!(twocan_mutant = "payload-unseen") {
                word.store(known & !bits, Ordering::Relaxed);
            }
            line += count;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_is_covered_and_nothing_beside_it() {
        let capacity = 200 * LINE;
        for (first, lines) in
            [(0, 0), (0, 1), (0, 64), (1, 63), (1, 64), (63, 2), (5, 190), (199, 1)]
        {
            // Not a power of two as capacity: the mask is not what is tried here.
            let starts = Starts { capacity: 1 << 20, ..Starts::new(capacity) };
            let at = |line: usize| (line * LINE) as u64;
            (0..200).for_each(|line| assert!(starts.add(at(line))));
            assert!((0..200).all(|line| !starts.add(at(line)) && starts.has(at(line))));
            starts.cover(at(first), lines);
            for line in 0..200 {
                let inside = (first..first + lines).contains(&line);
                assert_eq!(starts.has(at(line)), !inside, "{lines} from {first}: {line}");
            }
        }
    }
    #[test]
    fn a_record_is_placed_as_it_is_covered_and_the_next_one_added() {
        let capacity = 256 * LINE;
        let all = |starts: &Starts| -> Vec<bool> {
            (0..256).map(|line| starts.has(line * LINE as u64)).collect()
        };
        for known in [0, !0, 0xF0F0_1234_5678_9ABC] {
            for first in [0, 1, 31, 62, 63, 64, 190, 255u64] {
                for lines in (1..=70).filter(|lines| first + lines <= 256) {
                    let (one, two) = (Starts::of(capacity, known), Starts::of(capacity, known));
                    let at = first * LINE as u64;
                    let new = one.place(at, lines as usize);
                    two.cover(at + LINE as u64, lines as usize - 1);
                    assert_eq!(new, two.add(at + lines * LINE as u64), "{lines} from {first}");
                    assert_eq!(all(&one), all(&two), "{lines} from {first}");
                }
            }
        }
    }
}
