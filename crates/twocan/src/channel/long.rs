//! Messages that are longer than a record: a rendezvous.
//!
//! The message goes in fragments FIRST, MIDDLE.., LAST through the ring, while the reader takes
//! them out. `send` is done when the reader's word `taken` holds the message's number: its
//! application has acknowledged the whole. If the reader dies before that, its successor starts
//! behind what was already released: then the message is sent again from the beginning, under the
//! same number. A reader whose assembly is cut short (the sender gave up) discards it at the next
//! FIRST or whole message.

use super::sender::peer_credit;
use super::{Sender, Seq};
use crate::layout::{FIRST_HEAD, Kind, LINE, RECORD_HEAD};
use crate::region::PeerRegion;
use crate::ring::{Memory, reached};
use crate::spin::Pace;
use crate::sync::Ordering;
use crate::{SendError, Until};
use std::sync::Arc;

/// How far one long message is.
struct Progress {
    /// Position of its first FIRST, odd; the number under which the reader knows it. 0 = not begun.
    number: u64,
    /// Position of the FIRST of the present try.
    first: Option<u64>,
    /// Bytes in the ring in the present try.
    written: usize,
    /// The reader for whom the present try is.
    epoch: u64,
}

impl Sender {
    pub(super) fn send_long(
        &mut self,
        message: &[u8],
        until: &Until<'_>,
    ) -> Result<Seq, SendError> {
        if until.is_now() {
            return Err(SendError::TooLarge { max: self.ring.max_payload() });
        }
        // A departure from before this call is told before anything is written. One during it is
        // not: the message waits for the next reader, and the caller is never left with a message
        // that may come twice.
        let deaf = self.take_news();
        if let Some(why) = self.interruption(until, true, deaf) {
            return Err(why);
        }
        let mut progress =
            Progress { number: 0, first: None, written: 0, epoch: self.view().epoch };
        loop {
            let deaf = self.take_news();
            if self.is_taken(&progress) {
                self.long_end = self.ring.head();
                return Ok(self.accepted(progress.number & !1));
            }
            if let Some(why) = self.interruption(until, false, deaf) {
                let over = matches!(why, SendError::TimedOut | SendError::Cancelled);
                if over && progress.written == message.len() {
                    self.long_end = self.ring.head();
                    self.accepted(progress.number & !1); // `close` waits for it
                    return Err(SendError::OutcomeUnknown);
                }
                return Err(why);
            }
            self.notice_reader(&mut progress);
            self.look_for_credit()?;
            if progress.written < message.len() && self.write_fragment(message, &mut progress) {
                continue;
            }
            let number = progress.number;
            self.pause(until, Pace::Answer, move |tx, peer| {
                tx.peer_took(peer, number) || tx.credit_moved(peer)
            });
        }
    }

    /// Bytes of one fragment: several fit into the ring, so that reader and writer work at the same
    /// time.
    fn fragment_len(&self) -> usize {
        let share = (self.capacity() / 8).clamp(4 * LINE, 256 << 10);
        share.min(self.ring.max_payload() + RECORD_HEAD) - RECORD_HEAD
    }

    fn write_fragment(&mut self, message: &[u8], progress: &mut Progress) -> bool {
        let rest = &message[progress.written..];
        let max = self.fragment_len();
        let (own, ring) = self.own_and_ring();
        let pushed = match progress.first {
            None => {
                let n = rest.len().min(max - FIRST_HEAD);
                // Padding first: the number is where FIRST really stands.
                ring.reserve(own, n + FIRST_HEAD).map(|slot| {
                    let number = match progress.number {
                        0 => slot.position | 1,
                        kept => kept,
                    };
                    let mut head = [0; FIRST_HEAD];
                    head[..8].copy_from_slice(&number.to_le_bytes());
                    head[8..].copy_from_slice(&(message.len() as u64).to_le_bytes());
                    let first = ring.push(own, Kind::First, [&head, &rest[..n]]);
                    debug_assert!(first.is_ok(), "reserved above");
                    (progress.number, progress.first) = (number, Some(slot.position));
                    n
                })
            }
            Some(_) => {
                let n = rest.len().min(max);
                let kind = if n == rest.len() { Kind::Last } else { Kind::Middle };
                ring.push(own, kind, [&[], &rest[..n]]).map(|_| n)
            }
        };
        let Ok(n) = pushed else { return false };
        progress.written += n;
        self.announce();
        self.take_lines();
        true
    }

    /// A new reader that starts behind FIRST and has not taken the message gets it again from the
    /// beginning.
    fn notice_reader(&mut self, progress: &mut Progress) {
        let view = self.view();
        if view.peer.is_none() || view.epoch == progress.epoch {
            return;
        }
        let starts_at = view.starts_at;
        progress.epoch = view.epoch;
        let behind =
            progress.first.is_some_and(|first| starts_at != first && reached(starts_at, first));
        if behind && !cfg!(twocan_mutant = "no-restart") {
            if cfg!(twocan_mutant = "new-number") {
                progress.number = 0;
            }
            progress.first = None;
            progress.written = 0;
        }
    }

    fn is_taken(&self, progress: &Progress) -> bool {
        let view = self.view();
        progress.number != 0
            && (view.taken == progress.number
                || view.peer.as_ref().is_some_and(|peer| self.peer_took(peer, progress.number)))
    }

    /// The peer's `taken` speaks of our region once its acknowledgement does.
    fn peer_took(&self, peer: &Arc<PeerRegion>, number: u64) -> bool {
        number != 0
            && matches!(peer_credit(peer, self.view().generation, self.ring.acked()), Ok(Some(_)))
            // SYNC taken: pairs with the receiver's store before its acknowledgement.
            && peer.header().progress.taken.load(Ordering::Acquire) == number
    }
}
