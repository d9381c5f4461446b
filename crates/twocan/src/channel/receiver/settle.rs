//! Handing out, acknowledging, waiting.

use super::super::delivery::Found;
use super::super::{Message, Seq};
use super::Receiver;
use crate::Until;
use crate::layout::{END_FINISHED, END_REASON, Kind};
use crate::park::{self, Woken};
use crate::ring::{Consumer, Memory, Record, reached};
use crate::session::{Front, Half, Owner, takes_part};
use crate::spin::Pace;
use crate::sync::Ordering;
use crate::sys::futex;
use std::sync::Arc;

/// So many messages in a row without a wait are a stream.
const BACKLOG: u32 = 8;

impl Receiver {
    #[inline]
    pub(in crate::channel) fn seq(&self, found: &Found) -> Seq {
        self.seq_at(match (found, &self.held) {
            (Found::Record(record), _) => record.position,
            (Found::Long, held) => held.as_ref().map_or(0, |h| h.number & !1),
        })
    }

    /// The number of a message of the region in front.
    #[inline(always)]
    pub(super) fn seq_at(&self, position: u64) -> Seq {
        Seq { region: self.view.inbox.first().map_or(0, |f| f.region.shape().id), position }
    }

    #[inline]
    pub(in crate::channel) fn len(&self, found: &Found) -> usize {
        match found {
            Found::Record(record) => record.len,
            Found::Long => self.held_bytes().len(),
        }
    }

    #[inline]
    pub(in crate::channel) fn held_bytes(&self) -> &[u8] {
        self.held.as_ref().map_or(&[], |h| &h.bytes)
    }

    /// Copies part of a record; the range lies inside it.
    #[inline]
    pub(in crate::channel) fn copy(&self, record: &Record, at: usize, to: &mut [u8]) {
        assert!(!self.owner.is_forked(), "a delivery does not survive fork");
        if let Some(front) = self.front() {
            front.region.copy_out(record.payload_at + at, to);
        }
    }

    /// The bytes of a record where they lie.
    #[inline]
    pub(in crate::channel) fn bytes_of(&self, record: &Record) -> Option<*const [u8]> {
        let front = self.front().filter(|_| !self.owner.is_forked())?;
        Some(front.region.payload(record.payload_at, record.len))
    }

    #[inline]
    pub(in crate::channel) fn copied(&self, found: &Found) -> Message {
        let seq = self.seq(found);
        match found {
            Found::Record(record) => Message::fill(record.len, seq, |to| self.copy(record, 0, to)),
            Found::Long => Message::from_vec(self.held_bytes().to_vec(), seq),
        }
    }

    #[inline]
    pub(super) fn hand_out(&mut self, found: Found) -> Message {
        let message = match &found {
            Found::Long => {
                let seq = self.seq(&found);
                let bytes = self.held.as_mut().map(|h| std::mem::take(&mut h.bytes));
                Message::from_vec(bytes.unwrap_or_default(), seq)
            }
            Found::Record(_) => self.copied(&found),
        };
        self.settle(found);
        message
    }

    /// Goes on behind a plain message that was handed out.
    #[inline(always)]
    pub(super) fn settle_record(&mut self, record: &Record) {
        self.settle_to(record.next);
    }

    /// The same; `next` is behind it.
    #[inline(always)]
    pub(super) fn settle_to(&mut self, next: u64) {
        self.ring.advance_to(next);
        self.settled(next);
    }

    /// The same, of a message of one line at `position`.
    #[inline(always)]
    pub(super) fn settle_line(&mut self, position: u64) {
        let next = self.ring.advance_line(position);
        self.settled(next);
    }

    #[inline(always)]
    fn settled(&mut self, next: u64) {
        self.run = self.run.wrapping_add(1);
        *self.due.position.get_mut() = next | 1;
        if cfg!(twocan_mutant = "ack-in-recv") {
            self.ack();
        }
    }

    /// Goes on behind what was handed out; it is owed an acknowledgement from now on.
    #[inline]
    pub(in crate::channel) fn settle(&mut self, found: Found) {
        let (position, number) = match found {
            Found::Record(record) => return self.settle_record(&record),
            Found::Long => match self.held.take() {
                Some(held) => (held.next, held.number),
                None => return,
            },
        };
        *self.due.position.get_mut() = position | 1;
        *self.due.number.get_mut() = number;
        if cfg!(twocan_mutant = "ack-in-recv") {
            self.ack();
        }
    }

    /// Says to the peer that everything before `position` may be overwritten, and wakes its sender.
    #[inline]
    pub(super) fn acknowledge(&mut self, position: u64, number: u64) {
        self.store_progress(position, number);
        let slim = self.order.published();
        self.acknowledged(slim);
    }

    /// After the store and its fence.
    pub(super) fn acknowledged(&mut self, slim: bool) {
        if slim {
            self.slim();
        }
        if self.owner.news() != self.news {
            self.refresh();
            // Whoever came may make no fence on our behalf.
            park::published();
        }
        if let (Some(live), Some(front)) = (&self.view.live, self.view.inbox.first()) {
            let reads_it = Arc::ptr_eq(live, &front.region);
            if reads_it && self.owner.wake_sender(live, &mut self.woken) {
                self.order.woke();
            }
        }
    }

    /// Many fences were made: asks for the asymmetric one, or sees whether the peer is in by now.
    #[cold]
    fn slim(&mut self) {
        if self.view.lean {
            self.order.agree(self.view.live.as_ref().is_some_and(|peer| takes_part(peer)));
        } else if !self.sleepy {
            self.owner.ask_lean();
        }
    }

    #[inline]
    pub(super) fn store_progress(&self, position: u64, number: u64) {
        let Some(front) = self.view.inbox.first() else { return };
        let progress = &self.owner.own.header().progress;
        if number != 0 {
            // SYNC taken: before the acknowledgement of LAST.
            progress.taken.store(number, Ordering::Release);
        }
        // SYNC read-position: pairs with the watcher, which hands it to a newcomer.
        front.read.store(position, Ordering::Release);
        progress.acknowledge(self.generation, position);
    }

    /// The same for a wait on `&self`: several threads may come here at once, and store the same.
    pub(in crate::channel) fn ack_shared(&self) {
        // SYNC due: two threads that wait on one receiver; the one that takes it acknowledges.
        let position = self.due.position.swap(0, Ordering::AcqRel);
        if position == 0 || self.owner.is_forked() {
            return;
        }
        // SYNC due
        let number = self.due.number.swap(0, Ordering::AcqRel);
        self.store_progress(position & !1, number);
        park::published();
        let (_, view) = self.owner.rx_view();
        if let Some(live) = &view.live {
            self.owner.wake_sender(live, &mut Woken::default());
        }
    }

    pub(in crate::channel) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Would a call find something (a message, an event, an end) without waiting?
    pub(in crate::channel) fn is_ready(&self) -> bool {
        if self.held.is_some() {
            return true;
        }
        let fetched;
        let view = if self.owner.news() == self.news {
            &self.view
        } else {
            fetched = self.owner.rx_view().1;
            &fetched
        };
        for front in &view.inbox {
            // SYNC read-position
            let mut ring = if front.generation == self.generation {
                self.ring.clone()
            } else {
                Consumer::new(front.read.load(Ordering::Acquire), front.region.capacity())
            };
            // SYNC discard
            let discard = front.region.header().discard.load(Ordering::Acquire);
            let void = |record: &Record| {
                let discarded = discard != 0 && !reached(record.position, discard & !1);
                discarded || record.kind == Kind::Pad
            };
            if ring.pass_over(&*front.region, void) {
                return true;
            }
            if front.gone.is_some() {
                if front.met.is_some() {
                    return true;
                }
                continue; // nothing to report: look behind it
            }
            return self.is_finished(front, ring.position());
        }
        view.inbox.iter().all(|front| front.gone.is_some()) && view.alone_for_ever
    }

    /// Has the owner of `front` finished sending at `position`, and has that not been reported?
    pub(super) fn is_finished(&self, front: &Front, position: u64) -> bool {
        // SYNC end-word: pairs with End::set_end. It names the position behind the last record.
        let end = front.region.header().end.load(Ordering::Acquire);
        self.finished != front.generation
            && end & END_REASON == END_FINISHED
            && end & !END_REASON == position
    }

    /// Is an answer to be expected, to something this end has sent since it received last? Then it
    /// gives the peer a head start before the first look; `Some(false)` = it had one before.
    #[inline]
    pub(super) fn await_answer(&mut self) -> Option<bool> {
        let said = self.owner.own.head();
        if said == self.said || self.view.live.is_none() || self.held.is_some() {
            self.pace = Pace::Stream;
            return None;
        }
        let fresh = self.started != said;
        (self.said, self.started) = (said, said);
        self.pace = Pace::Answer;
        if fresh {
            self.spinner.wait_for(&self.head_start);
        }
        Some(fresh)
    }

    /// The end of a backlog: its writer is at work on the very line that would be looked at.
    /// Looking again at once would take it away, message after message. True = some time has
    /// passed.
    #[inline(never)]
    pub(super) fn stand_back(&mut self) -> bool {
        // What is no message, as the padding at the ring's end, is no end of a backlog.
        let something = || self.front().is_some_and(|front| self.ring.ready(front.region.lines()));
        if self.run < BACKLOG || something() {
            return false;
        }
        self.spinner.learn(std::mem::take(&mut self.run));
        self.spinner.pause_once()
    }

    /// The first looks for an answer, before anything else there is to know: after so many,
    /// something is there.
    #[inline]
    pub(super) fn glance(&self) -> Option<u32> {
        let front = self.view.inbox.first()?;
        let owner = &*self.owner;
        let (lines, ring, news) = (front.region.lines(), &self.ring, self.news);
        self.spinner.glance(|| ring.ready(lines) || owner.news() != news, || false)
    }

    pub(super) fn pause(&mut self, until: &Until<'_>) {
        let look = |rx: &Receiver| {
            if rx.owner.news() != rx.news {
                return true;
            }
            let Some(front) = rx.front() else { return false };
            rx.ring.ready(front.region.lines()) || rx.is_finished(front, rx.ring.position())
        };
        let spin = |rx: &Receiver| {
            rx.owner.news() != rx.news
                || rx.front().is_some_and(|front| rx.ring.ready(front.region.lines()))
        };
        self.spinner.learn(std::mem::take(&mut self.run));
        if self.view.live.is_some() && self.spinner.spin(|| spin(self), self.pace) {
            return;
        }
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        self.owner.prepare(Half::Receiver, self.view.live.as_ref(), &mut words);
        until.cancel().into_iter().for_each(|c| words.push(futex::Word::local(c.word(), 0)));
        self.owner.fence_for_peer(Half::Receiver);
        park::sleep_unless(
            || look(self),
            || {
                futex::wait(&words, until.deadline());
            },
        );
        self.owner.disarm(Half::Receiver);
        self.words = words;
    }
}

#[cfg(test)]
mod tests {
    use crate::layout::{LINE, MIN_CAPACITY};
    use crate::{Channel, Spin};

    #[test]
    fn padding_is_no_end_of_a_backlog() {
        let mut options = Channel::options();
        options.spin(Spin::Always); // stands back on one core, too
        let (mut a, mut b) = options.send_capacity(MIN_CAPACITY).pair().unwrap();
        let (mut wraps, mut stood) = (0, 0);
        for _ in 0..100 {
            // Three lines, which do not divide the ring.
            let sent = (0..20).take_while(|_| a.try_send([1; 150]).is_ok()).count();
            for left in (0..sent).rev() {
                let before = b.rx.ring.position();
                b.recv().unwrap();
                let passed = b.rx.ring.position().wrapping_sub(before) > 3 * LINE as u64;
                b.rx.run = u32::MAX;
                let ends = b.rx.stand_back();
                assert!(left == 0 || !ends, "{left} messages are there");
                (wraps, stood) = (wraps + u32::from(passed), stood + u32::from(ends));
            }
        }
        assert!(wraps > 10 && stood > 10, "{wraps} {stood}");
    }
}
