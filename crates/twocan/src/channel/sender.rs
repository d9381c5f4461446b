//! The sending half.

use super::conditions::{Acknowledged, PeerChange, Room};
use super::{ByteWriter, Direction, Loan, Seq, Spin};
use crate::error::Violation;
use crate::layout::{END_FINISHED, Kind, LINE};
use crate::park::{self, Woken};
use crate::region::{OwnRegion, PeerRegion};
use crate::ring::{Consumer, Memory, Peek, Producer, Slot, reached};
use crate::session::{Departed, Half, Owner, TxView};
use crate::spin::{Pace, Spinner};
use crate::sync::Ordering;
use crate::sys::futex;
use crate::until::Gone;
use crate::{PeerInfo, SendError, Until};
use std::sync::Arc;
use std::time::Duration;

/// The sending half of an end. Messages leave in the order of the `send` calls.
///
/// There is one sender, and it is not cloned: for several threads put it in a `Mutex`.
#[derive(Debug)]
pub struct Sender {
    owner: Arc<Owner>,
    pub(super) ring: Producer,
    /// The news that `view` is as old as.
    news: u64,
    view: TxView,
    woken: Woken,
    last: Option<Seq>,
    /// What lies before this was discarded by this half: nobody needs to take it any more.
    discarded: Option<u64>,
    /// Epoch of the last departure that this half has reported.
    reported: u64,
    /// The peer that is attached does not receive.
    deaf: bool,
    spinner: Spinner,
    words: Vec<futex::Word>,
    /// Still part of a `Channel`: then the goodbye is for both halves at once.
    attached: bool,
}

impl Sender {
    pub(crate) fn new(owner: Arc<Owner>, spin: Spin) -> Sender {
        let shape = owner.own.shape();
        Sender {
            ring: Producer::new(shape.start, shape.capacity as usize),
            owner,
            news: 0,
            view: TxView::default(),
            woken: Woken::default(),
            last: None,
            discarded: None,
            reported: 0,
            deaf: false,
            spinner: Spinner::new(spin),
            words: Vec::new(),
            attached: true,
        }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn detach(&mut self) {
        self.attached = false;
    }

    /// See [`Channel::send`](crate::Channel::send). A split sender acknowledges nothing on the receiver's behalf.
    ///
    /// # Errors
    /// As there.
    pub fn send(&mut self, message: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        self.send_until(message, Until::FOREVER)
    }

    /// See [`Channel::try_send`](crate::Channel::try_send).
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_send(&mut self, message: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        let message = message.as_ref();
        self.admit(message.len())?;
        if message.len() > self.ring.max_payload() {
            return Err(SendError::TooLarge { max: self.ring.max_payload() });
        }
        match self.push(message) {
            Some(seq) => Ok(seq),
            None => {
                self.wait_for_room(message.len(), &Until::now())?;
                self.push(message).ok_or(SendError::Full)
            }
        }
    }

    /// See [`Channel::send_timeout`](crate::Channel::send_timeout).
    ///
    /// # Errors
    /// As there.
    pub fn send_timeout(
        &mut self,
        message: impl AsRef<[u8]>,
        time: Duration,
    ) -> Result<Seq, SendError> {
        self.send_until(message, time)
    }

    /// See [`Channel::send_until`](crate::Channel::send_until).
    ///
    /// # Errors
    /// As there.
    pub fn send_until<'c>(
        &mut self,
        message: impl AsRef<[u8]>,
        until: impl Into<Until<'c>>,
    ) -> Result<Seq, SendError> {
        let message = message.as_ref();
        self.admit(message.len())?;
        if message.len() > self.ring.max_payload() {
            return self.send_long(message, &until.into());
        }
        if let Some(seq) = self.push(message) {
            return Ok(seq);
        }
        let until = until.into();
        loop {
            self.wait_for_room(message.len(), &until)?;
            if let Some(seq) = self.push(message) {
                return Ok(seq);
            }
        }
    }

    /// Sends as many of `messages` as there is room for and wakes the peer once. Waits for room for the first; the
    /// result is how many were accepted (0 only for an empty slice).
    ///
    /// # Errors
    /// As [`send`](Sender::send), for the first message; `TooLarge` if one of them is longer than
    /// [`max_loan`](Sender::max_loan) (those before it are sent).
    pub fn send_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize, SendError> {
        let mut sent = 0;
        for message in messages {
            let message = message.as_ref();
            let fits = self.admit(message.len());
            if fits.is_err() || message.len() > self.ring.max_payload() {
                if sent > 0 {
                    break;
                }
                fits?;
                return Err(SendError::TooLarge { max: self.ring.max_payload() });
            }
            if self.write(message).is_some() {
                sent += 1;
                continue;
            }
            if sent > 0 {
                break;
            }
            self.wait_for_room(message.len(), &Until::FOREVER)?;
            if self.write(message).is_some() {
                sent += 1;
            }
        }
        if sent > 0 {
            self.announce();
        }
        Ok(sent)
    }

    /// Room for a message of `len` bytes, to be written in place; waits for it. The bytes are what lay there before.
    ///
    /// # Errors
    /// `TooLarge` above [`max_loan`](Sender::max_loan); those of [`send`](Sender::send).
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.loan_until(len, Until::FOREVER)
    }

    /// As [`loan`](Sender::loan), if there is room now.
    ///
    /// # Errors
    /// `Full`, and those of [`loan`](Sender::loan).
    pub fn try_loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.loan_until(len, Until::now())
    }

    /// As [`loan`](Sender::loan), waiting only so long.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled` (`Full` if `until` is now), and those of [`loan`](Sender::loan).
    pub fn loan_until<'c>(
        &mut self,
        len: usize,
        until: impl Into<Until<'c>>,
    ) -> Result<Loan<'_>, SendError> {
        self.admit(len)?;
        if len > self.ring.max_payload() {
            return Err(SendError::TooLarge { max: self.ring.max_payload() });
        }
        let until = until.into();
        loop {
            if let Ok(slot) = self.ring.reserve(&self.owner.own, len) {
                return Ok(Loan::new(self, slot, len));
            }
            self.wait_for_room(len, &until)?;
        }
    }

    /// The longest message that goes in one piece, in bytes: a quarter of the ring less 16.
    pub fn max_loan(&self) -> usize {
        self.ring.max_payload()
    }

    /// The longest message, in bytes; the same on both sides.
    pub fn max_message(&self) -> usize {
        self.owner.card.max_message as usize
    }

    /// Bytes of the outgoing ring.
    pub fn capacity(&self) -> usize {
        self.owner.own.capacity()
    }

    /// The last message that was accepted.
    pub fn sent(&self) -> Option<Seq> {
        self.last
    }

    /// How far the other side's application has acknowledged, as far as is known now: every message of this end whose
    /// position is not behind that of the result. To ask for one message: [`is_acknowledged`](Sender::is_acknowledged).
    pub fn acknowledged(&self) -> Option<Seq> {
        if self.owner.is_forked() {
            return None;
        }
        let acked = self.credit_now();
        let shape = self.owner.own.shape();
        let some = self.last.is_some() && acked != shape.start;
        some.then(|| Seq { region: shape.id, position: acked.wrapping_sub(LINE as u64) })
    }

    /// Has the other side's application acknowledged this message of ours?
    pub fn is_acknowledged(&self, seq: Seq) -> bool {
        seq.region == self.owner.own.shape().id && !reached(seq.position, self.credit_now())
    }

    /// How many of this end's messages are neither acknowledged nor discarded.
    pub fn unacknowledged(&self) -> u64 {
        if self.owner.is_forked() {
            return 0;
        }
        let own = &self.owner.own;
        let acked = self.credit_now();
        let from = self.discarded.filter(|discarded| reached(*discarded, acked)).unwrap_or(acked);
        let mut reader = Consumer::new(from, own.capacity());
        let mut count = 0;
        while reader.position() != self.ring.head() {
            let Peek::Record(record) = reader.peek(own) else { break };
            count += u64::from(matches!(record.kind, Kind::Data | Kind::Last));
            reader.advance(&record);
        }
        count
    }

    /// Waits until the other side's application has acknowledged `seq`.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `ReceiverGone`; a departure, once: the next call waits for the next peer; `ForeignSeq`.
    pub fn wait_acknowledged<'c>(
        &mut self,
        seq: Seq,
        until: impl Into<Until<'c>>,
    ) -> Result<(), SendError> {
        if seq.region != self.owner.own.shape().id {
            return Err(SendError::ForeignSeq);
        }
        self.wait_credit(seq.position.wrapping_add(LINE as u64), &until.into(), true)
    }

    /// Tells the other side to skip what it has not read of this end's messages; the result is how many were not
    /// acknowledged. For answers that a new peer has not asked for.
    pub fn discard_unacknowledged(&mut self) -> u64 {
        let count = self.unacknowledged();
        if self.owner.is_forked() {
            return 0;
        }
        // SYNC discard: pairs with the receiver's look before it hands a record out.
        self.owner.own.header().discard.store(self.ring.head() | 1, Ordering::Release);
        self.discarded = Some(self.ring.head());
        count
    }

    /// Half-close: the peer gets `Finished` after the last message, and may go on sending.
    pub fn finish(mut self) {
        self.attached = false; // drop does the rest
    }

    /// Who is at the other end now.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.owner.peer()
    }

    /// The last peer that left or died, whether its departure was reported or not.
    pub fn departed(&self) -> Option<PeerInfo> {
        if self.owner.is_forked() { None } else { self.owner.tx_view().1.departed }
    }

    /// Ready when a message of `len` bytes can be sent without waiting, or a departure is to be reported.
    pub fn room(&self, len: usize) -> Room<'_> {
        Room::new(self, len)
    }

    /// Ready when the other side's application has acknowledged `seq`.
    pub fn acknowledged_past(&self, seq: Seq) -> Acknowledged<'_> {
        Acknowledged::new(self, seq)
    }

    /// Ready when a peer has come or gone since this call.
    pub fn peer_change(&self) -> PeerChange {
        PeerChange::new(&self.owner)
    }

    /// Writes bytes as messages, one for each `write` of up to [`max_loan`](Sender::max_loan) bytes.
    pub fn writer(&mut self) -> ByteWriter<'_> {
        ByteWriter::new(self)
    }

    // ---- inside -----------------------------------------------------------------------------------------

    #[inline]
    fn admit(&mut self, len: usize) -> Result<(), SendError> {
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
    fn push(&mut self, message: &[u8]) -> Option<Seq> {
        let seq = self.write(message)?;
        self.announce();
        self.ring.zero_ahead(&self.owner.own, message.len());
        Some(seq)
    }

    #[inline]
    fn write(&mut self, message: &[u8]) -> Option<Seq> {
        let position = self.ring.push(&self.owner.own, Kind::Data, [&[], message]).ok()?;
        Some(self.accepted(position))
    }

    pub(super) fn accepted(&mut self, position: u64) -> Seq {
        let seq = Seq { region: self.owner.own.shape().id, position };
        self.last = Some(seq);
        seq
    }

    /// After publishing: the fence, and the wake if somebody sleeps.
    #[inline]
    pub(super) fn announce(&mut self) {
        park::published();
        if self.owner.news() != self.news {
            self.refresh();
        }
        if let Some(peer) = &self.view.peer {
            self.owner.wake_receiver(peer, &mut self.woken);
        }
    }

    /// Takes up what the watcher has changed.
    #[cold]
    fn refresh(&mut self) {
        let (news, view) = self.owner.tx_view();
        if view.epoch != self.view.epoch || view.peer.is_some() != self.view.peer.is_some() {
            self.woken.forget();
        }
        if reached(view.acked, self.ring.acked()) && !self.ring.credit(view.acked) {
            debug_assert!(false, "the session checks against the published head");
        }
        // SYNC closed-rx
        self.deaf = view.peer.as_ref().is_some_and(is_deaf);
        self.news = news;
        self.view = view;
    }

    /// The acknowledged position as far as is known now; a violation is left for those who may act on it.
    pub(super) fn credit_now(&self) -> u64 {
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
    fn take_credit(&mut self) -> Result<(), SendError> {
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
            // Told before it is used: if the session has ended, a successor starts at what its end saw, and a
            // peer that goes on raising its word must not make us overwrite that.
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
    pub(super) fn credit_moved(&self, peer: &Arc<PeerRegion>) -> bool {
        let credit = peer_credit(peer, self.view.generation, self.ring.acked());
        !matches!(credit, Ok(None)) && credit != Ok(Some(self.ring.acked()))
    }

    /// As `take_credit`; a violation ends the session but not the wait.
    pub(super) fn look_for_credit(&mut self) -> Result<(), SendError> {
        match self.take_credit() {
            Err(SendError::PeerMisbehaved(_)) => Ok(()),
            other => other,
        }
    }

    pub(super) fn publish_loan(&mut self, kind: Kind, slot: Slot, len: usize) -> Seq {
        assert!(!self.owner.is_forked(), "a loan does not survive fork");
        self.ring.publish(&self.owner.own, kind, len);
        let seq = self.accepted(slot.position);
        self.announce();
        self.ring.zero_ahead(&self.owner.own, len);
        seq
    }

    pub(super) fn loaned(&self, slot: Slot, len: usize) -> &[u8] {
        assert!(!self.owner.is_forked(), "a loan does not survive fork");
        self.owner.own.payload(slot.payload_at, len)
    }

    pub(super) fn loaned_mut(&mut self, slot: Slot, len: usize) -> &mut [u8] {
        assert!(!self.owner.is_forked(), "a loan does not survive fork");
        // Exclusive: `&mut self` is the only producer of the region, and the slot lies behind its head.
        self.owner.own.payload_mut(slot.payload_at, len)
    }

    fn violation(&mut self, violation: Violation) -> SendError {
        self.owner.misbehaved(violation);
        self.refresh();
        self.reported = self.view.epoch;
        SendError::PeerMisbehaved(violation)
    }

    /// The latest departure, if the peer is gone and this half has not reported it.
    pub(super) fn departure(&mut self) -> Option<SendError> {
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
    pub(super) fn has_room_now(&self, len: usize) -> bool {
        let mut ring = self.ring.clone();
        let _ = ring.credit(self.credit_now());
        ring.has_room(len)
    }

    pub(super) fn has_unreported_departure(&self) -> bool {
        let (_, view) = self.owner.tx_view();
        let new = view.departure.is_some_and(|(epoch, _)| epoch > self.reported);
        match &view.peer {
            Some(peer) => is_deaf(peer),
            None => new || view.alone_for_ever,
        }
    }

    /// Flags first, then the look, then the report: takes up the news, and says whether the peer is known to read no
    /// more. What it acknowledged before that is seen by the look that follows.
    pub(super) fn take_news(&mut self) -> bool {
        if self.owner.news() != self.news {
            self.refresh();
        }
        self.view.peer.as_ref().is_some_and(is_deaf)
    }

    /// What ends a wait of this half, other than what it waits for. `deaf` is what `take_news` said before the look.
    pub(super) fn interruption(
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

    fn wait_for_room(&mut self, len: usize, until: &Until<'_>) -> Result<(), SendError> {
        loop {
            let deaf = self.take_news();
            self.take_credit()?;
            if self.ring.has_room(len) {
                return Ok(());
            }
            if let Some(why) = self.interruption(until, true, deaf) {
                let now = until.is_now() && why == SendError::TimedOut;
                return Err(if now { SendError::Full } else { why });
            }
            self.pause(until, |tx, peer| tx.credit_moved(peer));
        }
    }

    /// Waits until own records before `target` are acknowledged. Do `departures` end it?
    fn wait_credit(
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
            self.pause(until, |tx, peer| tx.credit_moved(peer));
        }
    }

    /// Everything this half has sent was taken.
    pub(super) fn wait_taken(&mut self, until: Until<'_>) -> Result<(), SendError> {
        // Not up to the ring's head: padding for a message that was then refused, and what is left of a long one that
        // was given up, may stay unread for ever.
        if self.owner.is_forked() {
            return Err(SendError::Forked);
        }
        let Some(last) = self.last else { return Ok(()) };
        if self.discarded.is_some_and(|discarded| !reached(last.position, discarded)) {
            return Ok(());
        }
        self.wait_credit(last.position.wrapping_add(LINE as u64), &until, false)
    }

    /// Spins, then sleeps, until `ready`, some news, or the end of `until`.
    pub(super) fn pause(
        &mut self,
        until: &Until<'_>,
        ready: impl Fn(&Sender, &Arc<PeerRegion>) -> bool,
    ) {
        let peer = self.view.peer.clone();
        let look = |tx: &Sender| {
            tx.owner.news() != tx.news || peer.as_ref().is_some_and(|p| ready(tx, p) || is_deaf(p))
        };
        if peer.is_some() && self.spinner.spin(|| look(self), Pace::Answer) {
            return;
        }
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        self.owner.prepare(Half::Sender, peer.as_ref(), &mut words);
        until.cancel().into_iter().for_each(|c| words.push(futex::Word::local(c.word(), 0)));
        park::sleep_unless(
            || look(self),
            || {
                futex::wait(&words, until.deadline());
            },
        );
        self.owner.disarm(Half::Sender);
        self.words = words;
    }

    pub(super) fn own_and_ring(&mut self) -> (&OwnRegion, &mut Producer) {
        (&self.owner.own, &mut self.ring)
    }

    pub(super) fn view(&self) -> &TxView {
        &self.view
    }
}

/// The peer's word about our region: `None` = it does not read ours yet; an error = it lies.
pub(super) fn peer_credit(
    peer: &Arc<PeerRegion>,
    generation: u32,
    known: u64,
) -> Result<Option<u64>, ()> {
    peer.header().progress.acknowledged(generation, known)
}

fn is_deaf(peer: &Arc<PeerRegion>) -> bool {
    // SYNC closed-rx: pairs with End::stop_receiving.
    peer.header().closed_rx.load(Ordering::Acquire) != 0
}

impl Drop for Sender {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if self.attached { self.owner.goodbye() } else { self.owner.finish() }
    }
}

const _: () = assert!(END_FINISHED != 0);
