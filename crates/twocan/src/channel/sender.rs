//! The sending half: what an application calls. How most messages are published is in `short`;
//! everything else of publishing, credit and waiting in `credit`.

mod credit;
mod short;

pub(super) use credit::peer_credit;

use super::conditions::{Acknowledged, PeerChange, Room};
use super::{ByteWriter, Loan, Seq, Spin};
use crate::layout::{END_FINISHED, Kind, LINE};
use crate::park::{Order, Woken};
use crate::ring::{Consumer, Memory, Peek, Producer, Slot, reached};
use crate::session::{Owner, TxView};
use crate::spin::Spinner;
use crate::sync::Ordering;
use crate::sys::futex;
use crate::{PeerInfo, SendError, Until};
use std::time::Duration;

/// The sending half of an end. Messages leave in the order of the `send` calls.
///
/// There is one sender, and it is not cloned: for several threads put it in a `Mutex`.
#[derive(Debug)]
pub struct Sender {
    owner: Owner,
    pub(super) ring: Producer,
    /// The news that `view` is as old as.
    news: u64,
    view: TxView,
    woken: Woken,
    order: Order,
    /// Sleeps at once: then a fence on all processors would cost more than those it saves.
    sleepy: bool,
    /// Position of the last message that was accepted, | 1; 0 = none.
    last: u64,
    /// Behind the last long message that was accepted (or may have been: `OutcomeUnknown`).
    pub(super) long_end: u64,
    /// What lies before this was discarded by this half: nobody needs to take it any more.
    discarded: Option<u64>,
    /// Epoch of the last departure that this half has reported.
    reported: u64,
    /// The peer that is attached does not receive.
    deaf: bool,
    /// What is shorter than this goes the short way: one comparison for the direction, both limits
    /// and a deaf peer.
    limit: usize,
    /// Where the ring's head was when this half waited for room last.
    waited: u64,
    /// What this end had acknowledged when this half looked last, and whether that was new.
    heard: u64,
    talks: bool,
    spinner: Spinner,
    words: Vec<futex::Word>,
    /// Still part of a `Channel`: then the goodbye is for both halves at once.
    attached: bool,
}

impl Sender {
    pub(crate) fn new(owner: Owner, spin: Spin) -> Sender {
        let shape = owner.own.shape();
        Sender {
            ring: Producer::new(shape.start, shape.capacity as usize),
            owner,
            news: 0,
            view: TxView::default(),
            woken: Woken::default(),
            order: Order::default(),
            sleepy: Spinner::new(spin).sleeps_at_once(),
            last: 0,
            long_end: shape.start,
            discarded: None,
            reported: 0,
            deaf: false,
            limit: 0,
            waited: shape.start,
            heard: 0,
            talks: false,
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

    /// See [`Channel::send`](crate::Channel::send). A split sender acknowledges nothing on the
    /// receiver's behalf.
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
        if let Some(seq) = self.quick(message) {
            return Ok(seq);
        }
        self.try_send_slowly(message)
    }

    #[inline(never)]
    fn try_send_slowly(&mut self, message: &[u8]) -> Result<Seq, SendError> {
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
        if let Some(seq) = self.quick(message) {
            return Ok(seq);
        }
        self.send_slowly(message, &until.into())
    }

    #[inline(never)]
    pub(super) fn send_slowly(
        &mut self,
        message: &[u8],
        until: &Until<'_>,
    ) -> Result<Seq, SendError> {
        self.admit(message.len())?;
        if message.len() > self.ring.max_payload() {
            return self.send_long(message, until);
        }
        if let Some(seq) = self.push(message) {
            return Ok(seq);
        }
        loop {
            self.wait_for_room(message.len(), until)?;
            if let Some(seq) = self.push(message) {
                return Ok(seq);
            }
        }
    }

    /// Sends as many of `messages` as there is room for and wakes the peer once. Waits for room for
    /// the first; the result is how many were accepted (0 only for an empty slice).
    ///
    /// # Errors
    /// As [`send`](Sender::send), for the first message; `TooLarge` if one of them is longer than
    /// [`max_loan`](Sender::max_loan) (those before it are sent).
    pub fn send_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize, SendError> {
        let mut sent = 0;
        for message in messages {
            let message = message.as_ref();
            if let Some(position) = self.quick_write(message) {
                // At once: the next `as_ref` is the caller's, and may panic.
                if !cfg!(twocan_mutant = "batch-unaccounted") {
                    self.accepted(position);
                }
                self.take_lines();
                sent += 1;
                continue;
            }
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
            self.listen();
        }
        Ok(sent)
    }

    /// Room for a message of `len` bytes, to be written in place; waits for it. The bytes are what
    /// lay there before.
    ///
    /// # Errors
    /// `TooLarge` above [`max_loan`](Sender::max_loan); those of [`send`](Sender::send).
    #[inline]
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.loan_until(len, Until::FOREVER)
    }

    /// As [`loan`](Sender::loan), if there is room now.
    ///
    /// # Errors
    /// `Full`, and those of [`loan`](Sender::loan).
    #[inline]
    pub fn try_loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        self.loan_until(len, Until::now())
    }

    /// As [`loan`](Sender::loan), waiting only so long.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled` (`Full` if `until` is now), and those of [`loan`](Sender::loan).
    #[inline]
    pub fn loan_until<'c>(
        &mut self,
        len: usize,
        until: impl Into<Until<'c>>,
    ) -> Result<Loan<'_>, SendError> {
        let slot = match self.quick_loan(len) {
            Some(slot) => slot,
            None => self.loan_slowly(len, &until.into())?,
        };
        Ok(Loan::new(self, slot, len))
    }

    #[inline(never)]
    fn loan_slowly(&mut self, len: usize, until: &Until<'_>) -> Result<Slot, SendError> {
        self.admit(len)?;
        if len > self.ring.max_payload() {
            return Err(SendError::TooLarge { max: self.ring.max_payload() });
        }
        loop {
            if let Ok(slot) = self.ring.reserve(&self.owner.own, len) {
                return Ok(slot);
            }
            self.wait_for_room(len, until)?;
        }
    }

    /// The longest message that goes in one piece, in bytes: a quarter of the ring.
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
        let seq = Seq { region: self.owner.own.shape().id, position: self.last & !1 };
        (self.last != 0).then_some(seq)
    }

    /// How far the other side's application has acknowledged, as far as is known now: every message
    /// of this end whose position is not behind that of the result. To ask for one message:
    /// [`is_acknowledged`](Sender::is_acknowledged).
    pub fn acknowledged(&self) -> Option<Seq> {
        if self.owner.is_forked() {
            return None;
        }
        let acked = self.credit_now();
        let shape = self.owner.own.shape();
        let some = self.last != 0 && acked != shape.start;
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
    /// `TimedOut`, `Cancelled`, `ReceiverGone`; a departure, once: the next call waits for the next
    /// peer; `ForeignSeq`.
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

    /// Tells the other side to skip what it has not read of this end's messages; the result is how
    /// many were not acknowledged. For answers that a new peer has not asked for.
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

    /// Ready when a message of `len` bytes can be sent without waiting, or a departure is to be
    /// reported.
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

    /// Writes bytes as messages, one for each `write` of up to [`max_loan`](Sender::max_loan)
    /// bytes.
    pub fn writer(&mut self) -> ByteWriter<'_> {
        ByteWriter::new(self)
    }
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
