//! What the machine itself allows. No protection against anything: two honest ends that always
//! come.

use super::{End, Shared};
use crate::task::{Place, Side, Work};
use anyhow::Result;
use rustix::thread::futex::{self, Flags};
use std::hint::spin_loop;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const LINE: usize = 64;
/// Pauses between two looks at a stream.
const SELDOM: u32 = 64;

/// One cache line that goes to and fro: a word whose lowest bit says who wrote it.
pub(crate) struct Line {
    shared: Shared,
    mine: u64,
}

impl End for Line {
    const HOW: &'static str = "one cache line, two stores, nothing else; carries 8 bytes";
    const CARRIES: Option<usize> = Some(8);

    fn does(work: Work, _size: usize) -> bool {
        work == Work::Roundtrip
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let shared = Shared::open(&place.path("line"), 4096, side)?;
        Ok(Line { shared, mine: u64::from(side == Side::A) })
    }

    #[inline]
    fn send(&mut self, _len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut word = [0; 8];
        fill(&mut word);
        self.shared.u64(0).store(u64::from_ne_bytes(word) << 1 | self.mine, Release);
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let line = self.shared.u64(0);
        let word = loop {
            let word = line.load(Acquire);
            if word & 1 != self.mine {
                break word >> 1;
            }
            spin_loop();
        };
        Ok(read(&word.to_ne_bytes()))
    }
}

/// A ring of slots in each direction: `memcpy` in, a stamp, `memcpy` out.
pub(crate) struct Copy {
    shared: Shared,
    buffer: Vec<u8>,
    slots: u64,
    stride: usize,
    /// From the stamp to the message.
    head: usize,
    /// Something was sent since the last message came: an answer is expected.
    asked: bool,
    /// Where each direction begins: what this end writes, what it reads.
    outgoing: usize,
    incoming: usize,
    sent: u64,
    taken: u64,
    /// How far the other side is known to have read.
    credit: u64,
}

impl Copy {
    /// The slot, and the line in which the reader says how far it is, are apart.
    fn slot(&self, base: usize, number: u64) -> usize {
        base + 2 * LINE + (number % self.slots) as usize * self.stride
    }
}

impl End for Copy {
    const HOW: &'static str = "memcpy into a slot of a shared ring, a stamp in the slot's first \
        word, memcpy out of it; both ends spin";

    fn does(work: Work, _size: usize) -> bool {
        matches!(work, Work::Roundtrip | Work::Stream)
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        // Also in a round trip, where there is never more than one: two slots that are used again
        // and again were half as fast at 64 KiB.
        let slots = place.depth(1 << 14);
        // A short message shares the stamp's line, a longer one begins on a line of its own.
        let head = if place.size + 8 <= LINE { 8 } else { LINE };
        let stride = (place.size + head).next_multiple_of(LINE);
        let half = (2 * LINE + slots * stride).next_multiple_of(4096);
        let shared = Shared::open(&place.path("copy"), 2 * half, side)?;
        let (outgoing, incoming) = if side == Side::A { (0, half) } else { (half, 0) };
        Ok(Copy {
            shared,
            buffer: vec![0; place.size],
            slots: slots as u64,
            stride,
            head,
            asked: false,
            outgoing,
            incoming,
            sent: 0,
            taken: 0,
            credit: 0,
        })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.buffer[..len]);
        while self.sent - self.credit >= self.slots {
            self.credit = self.shared.u64(self.outgoing).load(Acquire);
            spin_loop();
        }
        let at = self.slot(self.outgoing, self.sent);
        self.shared.copy_in(at + self.head, &self.buffer[..len]);
        self.sent += 1;
        self.asked = true;
        self.shared.u64(at).store(self.sent, Release);
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let at = self.slot(self.incoming, self.taken);
        self.taken += 1;
        // Whoever looks all the time at the line that is being written slows the writer down: a
        // reader of a stream looks seldom, and finds several when it comes.
        let pauses = if std::mem::take(&mut self.asked) { 1 } else { SELDOM };
        while self.shared.u64(at).load(Acquire) != self.taken {
            (0..pauses).for_each(|_| spin_loop());
        }
        self.shared.copy_out(at + self.head, &mut self.buffer);
        // Now and then is enough for a ring; each time where it is short.
        if self.taken.is_multiple_of((self.slots / 8).max(1)) {
            self.shared.u64(self.incoming).store(self.taken, Release);
        }
        Ok(read(&self.buffer))
    }
}

/// Two words to sleep on, with the message beside them. Never looks twice before it sleeps.
pub(crate) struct Futex {
    shared: Shared,
    buffer: Vec<u8>,
    outgoing: usize,
    incoming: usize,
    sent: u32,
    taken: u32,
}

impl End for Futex {
    const HOW: &'static str = "FUTEX_WAKE after each message, FUTEX_WAIT at once; two words, no \
        protocol";

    fn does(work: Work, _size: usize) -> bool {
        matches!(work, Work::Roundtrip | Work::Parked | Work::Idle)
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let half = (LINE + place.size).next_multiple_of(4096);
        let shared = Shared::open(&place.path("futex"), 2 * half, side)?;
        let (outgoing, incoming) = if side == Side::A { (0, half) } else { (half, 0) };
        Ok(Futex { shared, buffer: vec![0; place.size], outgoing, incoming, sent: 0, taken: 0 })
    }

    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.buffer[..len]);
        self.shared.copy_in(self.outgoing + 8, &self.buffer[..len]);
        self.sent += 1;
        let word = self.shared.u32(self.outgoing);
        word.store(self.sent, Release);
        futex::wake(word, Flags::empty(), 1)?;
        Ok(())
    }

    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let word = self.shared.u32(self.incoming);
        while word.load(Acquire) == self.taken {
            // Whatever ended the sleep, the next look decides.
            let _ = futex::wait(word, Flags::empty(), self.taken, None);
        }
        self.taken += 1;
        self.shared.copy_out(self.incoming + 8, &mut self.buffer);
        Ok(read(&self.buffer))
    }
}

/// For the test of the harness: its answering end kills itself, and the other would wait for ever.
pub(crate) struct Dies {
    line: Line,
    left: Option<u32>,
}

impl End for Dies {
    const HOW: &'static str = "kills itself: for the test of this program";
    const CARRIES: Option<usize> = Some(8);

    fn does(_work: Work, _size: usize) -> bool {
        true
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let left = (side == Side::B).then_some(100);
        Ok(Dies { line: Line::open(place, side)?, left })
    }

    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.line.send(len, fill)
    }

    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match &mut self.left {
            Some(0) => {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL)?;
                loop {
                    self.line.shared.u64(LINE).store(0, Relaxed);
                }
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.line.recv(read)
    }
}
