//! Publishing, credit, and what ends a wait of the sending half.

use super::super::{Direction, Seq};
use super::Sender;
use crate::error::Violation;
use crate::layout::{Kind, LINE, record_size};
use crate::park::{self};
use crate::region::{OwnRegion, PeerRegion};
use crate::ring::{Memory, Producer, reached};
use crate::session::{Departed, Half, TxView, takes_part};
use crate::spin::{Pace, Spinner};
use crate::sync::{Ordering, full_fence};
use crate::sys::futex;
use crate::until::Gone;
use crate::{SendError, Until};
use std::sync::Arc;

/// Lines between two looks at what a receiver elsewhere has acknowledged.
const SELDOM: u64 = 32;

pub(super) fn is_time_to_look(head: u64) -> bool {
    head / LINE as u64 % SELDOM == 0
}

impl Sender {
    #[inline]
    pub(super) fn admit(&mut self, len: usize) -> Result<(), SendError> {
        if self.owner.is_forked() {
            return Err(SendError::Forked);
        }
        if len as u64 > self.owner.card.max_message {
            return Err(SendError::TooLarge { max: self.max_message() });
        }
        if self.owner.card.direction == Direction::RecvOnly {
            return Err(SendError::WrongDirection);
        }
        // A peer that only sends is known as such before anything is written for it.
        if self.deaf || self.owner.news() != self.news {
            self.refresh();
            if self.deaf {
                return Err(SendError::ReceiverGone);
            }
        }
        Ok(())
    }

    /// One record, published and announced; `None` = no room as far as is known.
    #[inline]
    pub(super) fn push(&mut self, message: &[u8]) -> Option<Seq> {
        let seq = self.write(message)?;
        self.announce();
        self.take_ahead(message.len());
        Some(seq)
    }

    #[inline]
    pub(super) fn write(&mut self, message: &[u8]) -> Option<Seq> {
        let position = self.ring.push(&self.owner.own, Kind::Data, [&[], message]).ok()?;
        Some(self.accepted(position))
    }

    // Each store of a send is one of the few that the processor keeps while the lines of earlier
    // messages come: books that can be worked out later are not kept.

    #[inline(always)]
    pub(in crate::channel) fn accepted(&mut self, position: u64) -> Seq {
        self.last = position | 1;
        Seq { region: self.owner.own.shape().id, position }
    }

    /// After publishing: the fence, and the wake if somebody sleeps.
    #[inline(always)]
    pub(in crate::channel) fn announce(&mut self) {
        if self.order.published() {
            self.slim();
        }
        if self.owner.news() != self.news {
            self.refresh();
            // Whoever came may make no fence on our behalf.
            park::published();
        }
        if let Some(peer) = &self.view.peer {
            if self.owner.wake_receiver(peer, &mut self.woken) {
                self.order.woke();
            }
        }
        let head = self.ring.head();
        if self.owner.own.wants_pages(head) {
            self.owner.own.make_pages(head);
        }
    }

    /// Has this end acknowledged anything since it sent last?
    #[inline(always)]
    pub(super) fn has_heard(&self) -> bool {
        self.owner.own.header().progress.ack.load(Ordering::Relaxed) != self.heard
    }

    /// Is this a conversation? Then this end has acknowledged something since it sent last: it
    /// receives, too. A receiver that was split off may be at work elsewhere: its word is looked at
    /// seldom.
    #[inline(always)]
    pub(super) fn listen(&mut self) {
        if self.attached || is_time_to_look(self.ring.head()) {
            self.talks = self.has_heard();
            self.heard = self.owner.own.header().progress.ack.load(Ordering::Relaxed);
            self.ring.streams(!self.talks);
        }
    }

    /// Behind a message of a batch, or of what comes in pieces.
    #[inline(always)]
    pub(in crate::channel) fn take_lines(&mut self) {
        if self.ring.wants_lines() {
            self.listen();
            self.take_wanted();
        }
    }

    #[inline(always)]
    fn take_wanted(&mut self) {
        if self.ring.wants_lines() {
            self.ring.take_group(&self.owner.own);
        }
    }

    /// In a conversation the next message will be an answer to an answer: its lines are taken now,
    /// while the peer is at work. Who only sends takes many at once, and seldom.
    #[inline(always)]
    pub(super) fn take_ahead(&mut self, len: usize) {
        self.listen();
        if !self.talks {
            self.take_wanted();
        } else {
            // The message first: who waits for the answer counts from here, and the lines may be
            // far away. Without the asymmetric fence `announce` has made one. A half that was split
            // off may be one of two streams, and nobody waits.
            if self.attached && self.order.is_lean() {
                full_fence();
            }
            self.ring.take_ahead(&self.owner.own, len);
        }
    }

    /// Many fences were made: asks for the asymmetric one, or sees whether the peer is in by now.
    #[cold]
    fn slim(&mut self) {
        if self.view.lean {
            self.order.agree(self.view.peer.as_ref().is_some_and(|peer| takes_part(peer)));
        } else if !self.sleepy {
            self.owner.ask_lean();
        }
    }

    /// Takes up what the watcher has changed.
    #[cold]
    pub(super) fn refresh(&mut self) {
        let (news, view) = self.owner.tx_view();
        if view.epoch != self.view.epoch || view.peer.is_some() != self.view.peer.is_some() {
            self.woken.forget();
        }
        if reached(view.acked, self.ring.acked()) && !self.ring.credit(view.acked) {
            debug_assert!(false, "the session checks against the published head");
        }
        // SYNC closed-rx
        self.deaf = view.peer.as_ref().is_some_and(is_deaf);
        let admitted = !self.deaf && self.owner.card.direction != Direction::RecvOnly;
        let longest = (self.ring.max_payload() as u64).min(self.owner.card.max_message) as usize;
        self.limit = if admitted { longest + 1 } else { 0 };
        self.order.agree(view.lean && view.peer.as_ref().is_some_and(|peer| takes_part(peer)));
        self.news = news;
        self.view = view;
    }

    /// The acknowledged position as far as is known now; a violation is left for those who may act
    /// on it.
    pub(in crate::channel) fn credit_now(&self) -> u64 {
        if self.owner.is_forked() {
            return self.ring.acked(); // the regions are not mapped here
        }
        let fetched;
        let view = if self.owner.news() == self.news {
            &self.view
        } else {
            fetched = self.owner.tx_view().1;
            &fetched
        };
        let own = self.ring.acked();
        let known = if reached(view.acked, own) { view.acked } else { own };
        match view.peer.as_ref().map(|peer| peer_credit(peer, view.generation, known)) {
            Some(Ok(Some(position)))
                if position.wrapping_sub(known) <= self.ring.head().wrapping_sub(known) =>
            {
                position
            }
            _ => known,
        }
    }

    /// Looks at the peer's acknowledgement.
    pub(super) fn take_credit(&mut self) -> Result<(), SendError> {
        let Some(peer) = &self.view.peer else { return Ok(()) };
        let (acked, head) = (self.ring.acked(), self.ring.head());
        let position = match peer_credit(peer, self.view.generation, acked) {
            Ok(None) => return Ok(()),
            Ok(Some(position)) => position,
            Err(()) => return Err(self.violation(Violation::BadAcknowledgement)),
        };
        let sent = position.wrapping_sub(acked) <= head.wrapping_sub(acked);
        let honest = sent && self.owner.own.is_boundary(position);
        if !honest && !cfg!(twocan_mutant = "no-ack-check") {
            return Err(self.violation(Violation::BadAcknowledgement));
        }
        if position != acked {
            // Told before it is used: if the session has ended, a successor starts at what its end
            // saw, and a peer that goes on raising its word must not make us overwrite that.
            self.owner.credited(position);
            if self.owner.news() != self.news {
                return Ok(());
            }
            let _ = self.ring.credit(position);
        }
        if self.view.predecessors {
            self.view.predecessors = false;
            self.owner.predecessors_read();
        }
        Ok(())
    }

    /// Has the peer's word about our region changed since it was last taken into account?
    pub(in crate::channel) fn credit_moved(&self, peer: &Arc<PeerRegion>) -> bool {
        let credit = peer_credit(peer, self.view.generation, self.ring.acked());
        !matches!(credit, Ok(None)) && credit != Ok(Some(self.ring.acked()))
    }

    /// As `take_credit`; a violation ends the session but not the wait.
    pub(in crate::channel) fn look_for_credit(&mut self) -> Result<(), SendError> {
        match self.take_credit() {
            Err(SendError::PeerMisbehaved(_)) => Ok(()),
            other => other,
        }
    }

    pub(super) fn violation(&mut self, violation: Violation) -> SendError {
        self.owner.misbehaved(violation);
        self.refresh();
        self.reported = self.view.epoch;
        SendError::PeerMisbehaved(violation)
    }

    /// The latest departure, if the peer is gone and this half has not reported it.
    pub(in crate::channel) fn departure(&mut self) -> Option<SendError> {
        if self.view.peer.is_some() {
            return None;
        }
        let how = match self.view.departure {
            // Without a name nobody comes any more: said again at each call.
            departure if self.view.alone_for_ever => {
                departure.map_or(Departed::Closed, |(_, how)| how)
            }
            Some((epoch, how)) if epoch > self.reported => {
                self.reported = epoch;
                how
            }
            _ => return None,
        };
        Some(match how {
            Departed::Closed => SendError::PeerClosed,
            Departed::Died => SendError::PeerDied,
            Departed::Misbehaved(v) => SendError::PeerMisbehaved(v),
        })
    }

    /// Would a message of `len` bytes find room, by the latest acknowledgement?
    pub(in crate::channel) fn has_room_now(&self, len: usize) -> bool {
        let mut ring = self.ring.clone();
        let _ = ring.credit(self.credit_now());
        ring.has_room(len)
    }

    pub(in crate::channel) fn has_unreported_departure(&self) -> bool {
        let (_, view) = self.owner.tx_view();
        let new = view.departure.is_some_and(|(epoch, _)| epoch > self.reported);
        match &view.peer {
            Some(peer) => is_deaf(peer),
            None => new || view.alone_for_ever,
        }
    }

    /// Flags first, then the look, then the report: takes up the news, and says whether the peer is
    /// known to read no more. What it acknowledged before that is seen by the look that follows.
    pub(in crate::channel) fn take_news(&mut self) -> bool {
        if self.owner.news() != self.news {
            self.refresh();
        }
        self.view.peer.as_ref().is_some_and(is_deaf)
    }

    /// What ends a wait of this half, other than what it waits for. `deaf` is what `take_news` said
    /// before the look.
    pub(in crate::channel) fn interruption(
        &mut self,
        until: &Until<'_>,
        departures: bool,
        deaf: bool,
    ) -> Option<SendError> {
        if departures || self.view.alone_for_ever {
            if let Some(departure) = self.departure() {
                return Some(departure);
            }
        }
        if deaf {
            return Some(SendError::ReceiverGone);
        }
        match until.gone()? {
            Gone::TimedOut => Some(SendError::TimedOut),
            Gone::Cancelled => Some(SendError::Cancelled),
        }
    }

    pub(super) fn wait_for_room(&mut self, len: usize, until: &Until<'_>) -> Result<(), SendError> {
        let mut patient = until.is_now();
        loop {
            let deaf = self.take_news();
            self.take_credit()?;
            if self.owner.news() != self.news {
                continue; // the credit was not used
            }
            if self.ring.has_room(len) {
                // With little room the reader is the slower one: its word is looked at less often
                // if more is let gather.
                if patient || self.ring.is_roomy() || !self.spinner.pause_once() {
                    return Ok(());
                }
                patient = true;
                continue;
            }
            if let Some(why) = self.interruption(until, true, deaf) {
                let now = until.is_now() && why == SendError::TimedOut;
                return Err(if now { SendError::Full } else { why });
            }
            let head = self.ring.head();
            let bytes = head.wrapping_sub(std::mem::replace(&mut self.waited, head));
            let run = (bytes / record_size(len) as u64) as u32;
            let pace = Spinner::for_room(run);
            self.spinner.learn(run);
            self.pause(until, pace, |tx, peer| tx.credit_moved(peer));
        }
    }

    /// Waits until own records before `target` are acknowledged. Do `departures` end it?
    pub(super) fn wait_credit(
        &mut self,
        target: u64,
        until: &Until<'_>,
        departures: bool,
    ) -> Result<(), SendError> {
        if self.owner.is_forked() {
            return Err(SendError::Forked);
        }
        loop {
            let deaf = self.take_news();
            self.look_for_credit()?;
            if reached(self.ring.acked(), target) {
                return Ok(());
            }
            if let Some(why) = self.interruption(until, departures, deaf) {
                return Err(why);
            }
            self.pause(until, Pace::Answer, |tx, peer| tx.credit_moved(peer));
        }
    }

    /// Everything this half has sent was taken.
    pub(in crate::channel) fn wait_taken(&mut self, until: Until<'_>) -> Result<(), SendError> {
        // Not up to the ring's head: padding for a message that was then refused, and what is left
        // of a long one that was given up, may stay unread for ever.
        if self.owner.is_forked() {
            return Err(SendError::Forked);
        }
        // Acknowledged is always a whole record; a long message's number is that of its first.
        let behind = (self.last & !1).wrapping_add(LINE as u64);
        let end = if reached(self.long_end, behind) && !cfg!(twocan_mutant = "first-part-is-enough")
        {
            self.long_end
        } else {
            behind
        };
        if self.last == 0 || self.discarded.is_some_and(|to| reached(to, end)) {
            return Ok(());
        }
        self.wait_credit(end, &until, false)
    }

    /// Spins, then sleeps, until `ready`, some news, or the end of `until`.
    pub(in crate::channel) fn pause(
        &mut self,
        until: &Until<'_>,
        pace: Pace,
        ready: impl Fn(&Sender, &Arc<PeerRegion>) -> bool,
    ) {
        let peer = self.view.peer.clone();
        let look = |tx: &Sender| {
            tx.owner.news() != tx.news || peer.as_ref().is_some_and(|p| ready(tx, p) || is_deaf(p))
        };
        if peer.is_some() && self.spinner.spin(|| look(self), pace) {
            return;
        }
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        self.owner.prepare(Half::Sender, peer.as_ref(), &mut words);
        until.cancel().into_iter().for_each(|c| words.push(futex::Word::local(c.word(), 0)));
        self.owner.fence_for_peer(Half::Sender);
        park::sleep_unless(
            || look(self),
            || {
                futex::wait(&words, until.deadline());
            },
        );
        self.owner.disarm(Half::Sender);
        self.words = words;
    }

    pub(in crate::channel) fn own_and_ring(&mut self) -> (&OwnRegion, &mut Producer) {
        (&self.owner.own, &mut self.ring)
    }

    pub(in crate::channel) fn view(&self) -> &TxView {
        &self.view
    }
}

/// The peer's word about our region: `None` = it does not read ours yet; an error = it lies.
pub(in crate::channel) fn peer_credit(
    peer: &Arc<PeerRegion>,
    generation: u32,
    known: u64,
) -> Result<Option<u64>, ()> {
    peer.header().progress.acknowledged(generation, known)
}

pub(super) fn is_deaf(peer: &Arc<PeerRegion>) -> bool {
    // SYNC closed-rx: pairs with End::stop_receiving.
    peer.header().closed_rx.load(Ordering::Acquire) != 0
}
