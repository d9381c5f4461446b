//! The receiving half.

use super::delivery::{Delivery, Found};
use super::{ByteReader, Incoming, Message, PeerChange, Seq, Spin};
use crate::error::Violation;
use crate::layout::{END_FINISHED, END_REASON, FIRST_HEAD, Kind};
use crate::park::{self, Woken};
use crate::region::PeerRegion;
use crate::ring::{Consumer, Memory, Peek, Record, reached};
use crate::session::{Departed, Front, Half, Owner, RxView};
use crate::spin::{Pace, Spinner};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::futex;
use crate::until::Gone;
use crate::{PeerInfo, RecvError, Until};
use std::sync::Arc;
use std::time::Duration;

/// The receiving half of an end.
///
/// What a call has handed out is *acknowledged* when the next message is asked for, when the end goes to sleep, by
/// [`ack`](Receiver::ack), and on drop (not while panicking). A process killed before that gets it again, in the life
/// that follows, under the same number.
#[derive(Debug)]
pub struct Receiver {
    owner: Arc<Owner>,
    /// The news that `view` is as old as.
    news: u64,
    view: RxView,
    /// Where we are in the region in front.
    ring: Consumer,
    /// Generation of the region that `ring` reads; 0 = none yet.
    generation: u32,
    /// What was handed out and is to be acknowledged. Shared with waits on `&self`.
    due: Due,
    assembly: Option<Assembly>,
    /// A long message that is whole but not handed out for good (its delivery was dropped).
    held: Option<Held>,
    woken: Woken,
    /// Generation whose arrival, whose end of sending was reported last.
    joined: u32,
    finished: u32,
    /// Whose departure was reported last.
    departed: Option<PeerInfo>,
    spinner: Spinner,
    /// How far this end had sent when this half waited last: if no further by now, what comes is no answer.
    said: u64,
    words: Vec<futex::Word>,
    /// Still part of a `Channel`: then both halves go together.
    attached: bool,
}

/// An acknowledgement that is owed: position | 1, and the long message's number if it is one. 0 = none.
#[derive(Debug, Default)]
struct Due {
    position: AtomicU64,
    number: AtomicU64,
}

/// The fragments of a long message that have arrived.
#[derive(Debug)]
struct Assembly {
    number: u64,
    total: usize,
    bytes: Vec<u8>,
}

/// A long message, complete.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) number: u64,
    /// Position behind its LAST.
    next: u64,
}

/// What a search brought.
enum Event {
    Found(Found),
    Joined(PeerInfo),
    Departed(Option<PeerInfo>, Departed),
}

impl Receiver {
    pub(crate) fn new(owner: Arc<Owner>, spin: Spin) -> Receiver {
        Receiver {
            owner,
            news: 0,
            view: RxView::default(),
            ring: Consumer::new(0, crate::layout::MIN_CAPACITY),
            generation: 0,
            due: Due::default(),
            assembly: None,
            held: None,
            woken: Woken::default(),
            joined: 0,
            finished: 0,
            departed: None,
            spinner: Spinner::new(spin),
            said: 0,
            words: Vec::new(),
            attached: true,
        }
    }

    pub(super) fn detach(&mut self) {
        self.attached = false;
    }

    /// The next message; waits for it, and for a peer if there is none.
    ///
    /// # Errors
    /// See [`RecvError`]. A departed peer is reported once, after its last message.
    #[inline]
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        self.recv_until(Until::FOREVER)
    }

    /// The next message if it is there now.
    ///
    /// # Errors
    /// `Empty`, and those of [`recv`](Receiver::recv).
    pub fn try_recv(&mut self) -> Result<Message, RecvError> {
        self.recv_until(Until::now())
    }

    /// As [`recv`](Receiver::recv), waiting at most `time`.
    ///
    /// # Errors
    /// `TimedOut`, and those of [`recv`](Receiver::recv).
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Message, RecvError> {
        self.recv_until(time)
    }

    /// As [`recv`](Receiver::recv), with a deadline, a cancellation, or both.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled` (`Empty` if `until` is now), and those of [`recv`](Receiver::recv).
    #[inline]
    pub fn recv_until<'c>(&mut self, until: impl Into<Until<'c>>) -> Result<Message, RecvError> {
        let found = self.find(until)?;
        Ok(self.hand_out(found))
    }

    /// Copies the next message into `buffer`, replacing what is in it; no allocation if it is large enough.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Seq, RecvError> {
        self.recv_into_until(buffer, Until::FOREVER)
    }

    /// As [`recv_into`](Receiver::recv_into), if a message is there now.
    ///
    /// # Errors
    /// As [`try_recv`](Receiver::try_recv).
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Seq, RecvError> {
        self.recv_into_until(buffer, Until::now())
    }

    /// As [`recv_into`](Receiver::recv_into), waiting only so long.
    ///
    /// # Errors
    /// As [`recv_until`](Receiver::recv_until).
    #[inline]
    pub fn recv_into_until<'c>(
        &mut self,
        buffer: &mut Vec<u8>,
        until: impl Into<Until<'c>>,
    ) -> Result<Seq, RecvError> {
        let found = self.find(until)?;
        let seq = self.seq(&found);
        match &found {
            Found::Record(record) => {
                buffer.resize(record.len, 0);
                self.copy(record, 0, buffer);
            }
            Found::Long => {
                buffer.clear();
                buffer.extend_from_slice(self.held_bytes());
            }
        }
        self.settle(found);
        Ok(seq)
    }

    /// The next message where it lies, to be acknowledged by [`Delivery::acknowledge`] only; dropped, it comes again.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    pub fn recv_delivery(&mut self) -> Result<Delivery<'_>, RecvError> {
        self.recv_delivery_until(Until::FOREVER)
    }

    /// As [`recv_delivery`](Receiver::recv_delivery), waiting only so long.
    ///
    /// # Errors
    /// As [`recv_until`](Receiver::recv_until).
    pub fn recv_delivery_until<'c>(
        &mut self,
        until: impl Into<Until<'c>>,
    ) -> Result<Delivery<'_>, RecvError> {
        let found = self.find(until)?;
        Ok(Delivery::new(self, found))
    }

    /// The next message or event, in the order of the stream: who joined, what was said, who left or died. Acknowledges
    /// as [`recv`](Receiver::recv) does.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled` (`Empty` if `until` is now), `PeerMisbehaved`, `WrongDirection`, `Forked`; departures are
    /// values here, but for pairs without a name, where nobody can come after the first departure was reported.
    pub fn recv_incoming<'c>(
        &mut self,
        until: impl Into<Until<'c>>,
    ) -> Result<Incoming, RecvError> {
        let until = until.into();
        self.enter()?;
        loop {
            return match self.search(&until, true) {
                Ok(None) => continue,
                Ok(Some(Event::Found(found))) => Ok(Incoming::Message(self.hand_out(found))),
                Ok(Some(Event::Joined(info))) => Ok(Incoming::Joined(info)),
                Ok(Some(Event::Departed(Some(info), Departed::Closed))) => Ok(Incoming::Left(info)),
                Ok(Some(Event::Departed(Some(info), Departed::Died))) => Ok(Incoming::Died(info)),
                Ok(Some(Event::Departed(_, how))) => Err(departed(how)),
                Err(RecvError::Finished) => Ok(Incoming::Finished),
                Err(e) => Err(e),
            };
        }
    }

    /// Acknowledges what was handed out: a successor will not get it again.
    #[inline]
    pub fn ack(&mut self) {
        let position = std::mem::take(self.due.position.get_mut());
        if position == 0 || self.owner.is_forked() {
            return;
        }
        let number = std::mem::take(self.due.number.get_mut());
        self.acknowledge(position & !1, number);
    }

    /// Messages until the peer finishes, says goodbye or dies.
    pub fn iter(&mut self) -> impl Iterator<Item = Message> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    /// The messages that are there now.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Message> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    /// Who is at the other end now.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.owner.peer()
    }

    /// The peer whose departure this half reported last.
    pub fn departed(&self) -> Option<&PeerInfo> {
        self.departed.as_ref()
    }

    /// Ready when a peer has come or gone since this call.
    pub fn peer_change(&self) -> PeerChange {
        PeerChange::new(self.owner.clone())
    }

    /// Reads the messages as one stream of bytes.
    pub fn reader(&mut self) -> ByteReader<'_> {
        ByteReader::new(self)
    }

    // ---- searching --------------------------------------------------------------------------------------

    /// The next message. The way of a plain message that is there, or that comes while we look, is short; everything
    /// else is `search`. A duration is added to the clock only if there is nothing yet.
    #[inline]
    fn find<'c>(&mut self, until: impl Into<Until<'c>>) -> Result<Found, RecvError> {
        self.enter()?;
        if let Some(record) = self.at_hand() {
            return Ok(Found::Record(record));
        }
        let until = until.into();
        loop {
            match self.search(&until, false)? {
                None => {}
                Some(Event::Found(found)) => return Ok(found),
                Some(Event::Departed(_, how)) => return Err(departed(how)),
                Some(Event::Joined(_)) => unreachable!("only asked for by recv_incoming"),
            }
            if let Some(record) = self.at_hand() {
                return Ok(Found::Record(record));
            }
        }
    }

    /// Of every call that asks for the next message.
    #[inline]
    fn enter(&mut self) -> Result<(), RecvError> {
        if self.owner.is_forked() {
            return Err(RecvError::Forked);
        }
        self.ack();
        Ok(())
    }

    /// A whole message in the ring, if nothing else comes first.
    #[inline]
    fn at_hand(&mut self) -> Option<Record> {
        // The flag first, then the look, as in `search`.
        if self.owner.news() != self.news || self.held.is_some() {
            return None;
        }
        let region = &self.view.inbox.first()?.region;
        let Peek::Record(record) = self.ring.peek(&**region) else { return None };
        // SYNC discard
        let discard = region.header().discard.load(Ordering::Acquire);
        let plain = record.kind == Kind::Data
            && discard == 0
            && record.len as u64 <= self.owner.card.max_message
            && self.assembly.is_none();
        if !plain {
            return None;
        }
        self.joined = self.generation;
        Some(record)
    }

    /// Looks for anything there can be, and waits once. `None` = look again.
    fn search(&mut self, until: &Until<'_>, joins: bool) -> Result<Option<Event>, RecvError> {
        let mut skipped = 0u32;
        loop {
            // The flag first, then the look, then the report: what is known to be gone now has written its last.
            if self.owner.news() != self.news {
                self.refresh();
            }
            if let Some(info) = self.newly_joined(joins) {
                return Ok(Some(Event::Joined(info)));
            }
            if self.held.is_some() {
                return Ok(Some(Event::Found(Found::Long)));
            }
            match self.look() {
                Look::Found(found) => {
                    self.joined = self.generation;
                    return Ok(Some(Event::Found(found)));
                }
                Look::Bad(violation) => return Err(self.violation(violation)),
                Look::Skipped => {
                    skipped += 1;
                    if !skipped.is_multiple_of(64) || until.gone().is_none() {
                        continue;
                    }
                }
                Look::Left(info, how) => return Ok(Some(Event::Departed(info, how))),
                Look::Finished => return Err(RecvError::Finished),
                Look::Nothing => {}
            }
            if !self.owner.receives() {
                return Err(RecvError::WrongDirection);
            }
            if let Some(gone) = until.gone() {
                return Err(match gone {
                    Gone::TimedOut if until.is_now() => RecvError::Empty,
                    Gone::TimedOut => RecvError::TimedOut,
                    Gone::Cancelled => RecvError::Cancelled,
                });
            }
            self.pause(until);
            return Ok(None);
        }
    }

    fn newly_joined(&mut self, wanted: bool) -> Option<PeerInfo> {
        if !wanted || self.joined == self.generation {
            return None;
        }
        let met = self.front()?.met.clone()?;
        self.joined = self.generation;
        Some(met)
    }

    #[inline]
    fn front(&self) -> Option<&Front> {
        self.view.inbox.first()
    }

    /// One look at the region in front.
    #[inline]
    fn look(&mut self) -> Look {
        let Some(front) = self.view.inbox.first() else {
            return match self.view.departure {
                // Without a name nobody comes any more: said again at each call.
                Some((_, how)) if self.view.alone_for_ever => Look::Left(None, how),
                _ => Look::Nothing,
            };
        };
        match self.ring.peek(&*front.region) {
            Peek::Record(record) => self.take(record),
            Peek::Bad(violation) => Look::Bad(violation),
            Peek::Empty => self.at_the_end(),
        }
    }

    #[inline]
    fn take(&mut self, record: Record) -> Look {
        let region = &self.view.inbox[0].region;
        if record.kind == Kind::Data {
            // SYNC discard
            let discard = region.header().discard.load(Ordering::Acquire);
            if discard == 0 || reached(record.position, discard & !1) {
                if record.len as u64 > self.owner.card.max_message {
                    return Look::Bad(Violation::TooLong);
                }
                self.assembly = None; // a long message that was given up
                return Look::Found(Found::Record(record));
            }
        }
        self.take_rare(record)
    }

    /// Padding, fragments, and what the sender discarded.
    #[cold]
    fn take_rare(&mut self, record: Record) -> Look {
        let region = self.view.inbox[0].region.clone();
        let mut whole = None;
        match record.kind {
            Kind::Pad => {
                self.ring.advance(&record);
                return Look::Skipped;
            }
            Kind::Data => self.assembly = None,
            Kind::First => match self.begin(&region, &record) {
                Ok(assembly) => self.assembly = assembly,
                Err(violation) => return Look::Bad(violation),
            },
            Kind::Middle | Kind::Last => {
                if let Some(mut assembly) = self.assembly.take() {
                    if let Err(violation) = append(&mut assembly, &region, &record, 0) {
                        return Look::Bad(violation);
                    }
                    let complete = assembly.bytes.len() == assembly.total;
                    if complete != (record.kind == Kind::Last) {
                        return Look::Bad(Violation::BadFragment);
                    }
                    if complete { whole = Some(assembly) } else { self.assembly = Some(assembly) }
                }
            }
        }
        self.ring.advance(&record);
        if let Some(Assembly { number, bytes, .. }) = whole {
            // Acknowledged when the application asks for the next.
            self.held = Some(Held { bytes, number, next: record.next });
            return Look::Found(Found::Long);
        }
        // A fragment that was copied (or one without a beginning) may be overwritten now.
        self.acknowledge(record.next, 0);
        Look::Skipped
    }

    fn begin(
        &self,
        region: &Arc<PeerRegion>,
        record: &Record,
    ) -> Result<Option<Assembly>, Violation> {
        if record.len < FIRST_HEAD {
            return Err(Violation::BadFragment);
        }
        let mut head = [0; FIRST_HEAD];
        region.copy_out(record.payload_at, &mut head);
        let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let (number, total) = (word(0), word(8));
        if total > self.owner.card.max_message {
            return Err(Violation::TooLong);
        }
        if number & 1 == 0 {
            return Err(Violation::BadFragment);
        }
        // SYNC discard
        let discard = region.header().discard.load(Ordering::Acquire);
        if discard != 0 && !reached(record.position, discard & !1) {
            return Ok(None);
        }
        // Grows with what arrives, not with what is announced.
        let mut assembly = Assembly { number, total: total as usize, bytes: Vec::new() };
        append(&mut assembly, region, record, FIRST_HEAD)?;
        if assembly.bytes.len() >= assembly.total {
            return Err(Violation::BadFragment);
        }
        Ok(Some(assembly))
    }

    /// Nothing more stands in the region in front.
    fn at_the_end(&mut self) -> Look {
        let front = &self.view.inbox[0];
        if let Some(how) = front.gone {
            let met = front.met.clone();
            if met.is_some() {
                self.departed.clone_from(&met);
            }
            self.assembly = None;
            self.owner.leave_front(self.generation);
            // Nothing for regions that were handed on already dead.
            return met.map_or(Look::Skipped, |info| Look::Left(Some(info), how));
        }
        if self.is_finished(front, self.ring.position()) {
            self.finished = self.generation;
            return Look::Finished;
        }
        Look::Nothing
    }

    /// The peer (or a dead predecessor of it) broke the protocol: what is left of its region is not read.
    fn violation(&mut self, violation: Violation) -> RecvError {
        let front = self.view.inbox[0].clone();
        if self.view.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, &front.region)) {
            self.owner.misbehaved(violation);
        }
        self.assembly = None;
        self.departed.clone_from(&front.met);
        self.owner.leave_front(front.generation);
        RecvError::PeerMisbehaved(violation)
    }

    /// Takes up what the watcher has changed.
    #[cold]
    fn refresh(&mut self) {
        let (news, view) = self.owner.rx_view();
        let same = match (&view.live, &self.view.live) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.woken.forget();
        }
        self.news = news;
        self.view = view;
        let Some(front) = self.view.inbox.first() else { return };
        if front.generation == self.generation {
            return;
        }
        // SYNC read-position
        let start = front.read.load(Ordering::Acquire);
        self.generation = front.generation;
        self.ring = Consumer::new(start, front.region.capacity());
        // `taken` speaks of the region that `ack` names: cleared before `ack` names another.
        let progress = &self.owner.own.header().progress;
        progress.taken.store(0, Ordering::Release);
        progress.acknowledge(self.generation, start);
    }

    // ---- handing out and acknowledging ------------------------------------------------------------------

    #[inline]
    pub(super) fn seq(&self, found: &Found) -> Seq {
        let region = self.view.inbox.first().map_or(0, |f| f.region.shape().id);
        let position = match (found, &self.held) {
            (Found::Record(record), _) => record.position,
            (Found::Long, held) => held.as_ref().map_or(0, |h| h.number & !1),
        };
        Seq { region, position }
    }

    pub(super) fn len(&self, found: &Found) -> usize {
        match found {
            Found::Record(record) => record.len,
            Found::Long => self.held_bytes().len(),
        }
    }

    pub(super) fn held_bytes(&self) -> &[u8] {
        self.held.as_ref().map_or(&[], |h| &h.bytes)
    }

    /// Copies part of a record; the range lies inside it.
    #[inline]
    pub(super) fn copy(&self, record: &Record, at: usize, to: &mut [u8]) {
        if let Some(front) = self.front() {
            front.region.copy_out(record.payload_at + at, to);
        }
    }

    /// The bytes of a record where they lie.
    pub(super) fn bytes_of(&self, record: &Record) -> Option<*const [u8]> {
        self.front().map(|front| front.region.payload(record.payload_at, record.len))
    }

    #[inline]
    pub(super) fn copied(&self, found: &Found) -> Message {
        let seq = self.seq(found);
        match found {
            Found::Record(record) => Message::fill(record.len, seq, |to| self.copy(record, 0, to)),
            Found::Long => Message::from_vec(self.held_bytes().to_vec(), seq),
        }
    }

    #[inline]
    fn hand_out(&mut self, found: Found) -> Message {
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

    /// Goes on behind what was handed out; it is owed an acknowledgement from now on.
    #[inline]
    pub(super) fn settle(&mut self, found: Found) {
        let (position, number) = match found {
            Found::Record(record) => {
                self.ring.advance(&record);
                (record.next, 0)
            }
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
    fn acknowledge(&mut self, position: u64, number: u64) {
        self.store_progress(position, number);
        park::published();
        if self.owner.news() != self.news {
            self.refresh();
        }
        if let (Some(live), Some(front)) = (&self.view.live, self.view.inbox.first()) {
            if Arc::ptr_eq(live, &front.region) {
                self.owner.wake_sender(live, &mut self.woken);
            }
        }
    }

    #[inline]
    fn store_progress(&self, position: u64, number: u64) {
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
    pub(super) fn ack_shared(&self) {
        let position = self.due.position.swap(0, Ordering::AcqRel);
        if position == 0 || self.owner.is_forked() {
            return;
        }
        let number = self.due.number.swap(0, Ordering::AcqRel);
        self.store_progress(position & !1, number);
        park::published();
        let (_, view) = self.owner.rx_view();
        if let Some(live) = &view.live {
            self.owner.wake_sender(live, &mut Woken::default());
        }
    }

    // ---- waiting ----------------------------------------------------------------------------------------

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Would a call find something (a message, an event, an end) without waiting?
    pub(super) fn is_ready(&self) -> bool {
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
            let mut ring = if front.generation == self.generation {
                self.ring.clone()
            } else {
                Consumer::new(front.read.load(Ordering::Acquire), front.region.capacity())
            };
            loop {
                match ring.peek(&*front.region) {
                    Peek::Record(record) if record.kind == Kind::Pad => ring.advance(&record),
                    Peek::Empty => break,
                    _ => return true,
                }
            }
            if front.gone.is_some() {
                if front.met.is_some() {
                    return true;
                }
                continue; // nothing to report: look behind it
            }
            return self.is_finished(front, ring.position());
        }
        view.inbox.is_empty() && view.alone_for_ever && view.departure.is_some()
    }

    /// Has the owner of `front` finished sending at `position`, and has that not been reported?
    fn is_finished(&self, front: &Front, position: u64) -> bool {
        // SYNC end-word: pairs with End::set_end. It names the position behind the last record.
        let end = front.region.header().end.load(Ordering::Acquire);
        self.finished != front.generation
            && end & END_REASON == END_FINISHED
            && end & !END_REASON == position
    }

    /// The live peer on whose bell this half sleeps, if it reads that peer's region now.
    pub(super) fn live(&self) -> Option<Arc<PeerRegion>> {
        self.owner.rx_view().1.live
    }

    fn pause(&mut self, until: &Until<'_>) {
        let said = self.owner.head();
        let pace = if said == self.said { Pace::Stream } else { Pace::Answer };
        self.said = said;
        let look = |rx: &Receiver| {
            if rx.owner.news() != rx.news {
                return true;
            }
            let Some(front) = rx.front() else { return false };
            rx.ring.ready(&*front.region) || rx.is_finished(front, rx.ring.position())
        };
        let spin = |rx: &Receiver| {
            rx.owner.news() != rx.news
                || rx.front().is_some_and(|front| rx.ring.ready(&*front.region))
        };
        if self.view.live.is_some() && self.spinner.spin(|| spin(self), until, pace) {
            return;
        }
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        self.owner.prepare(Half::Receiver, self.view.live.as_ref(), &mut words);
        until.cancel().into_iter().for_each(|c| words.push(futex::Word::local(c.word(), 0)));
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

/// What one look brought.
enum Look {
    Found(Found),
    Bad(Violation),
    /// Something that is no message was passed over; look again.
    Skipped,
    Left(Option<PeerInfo>, Departed),
    Finished,
    Nothing,
}

fn append(
    assembly: &mut Assembly,
    region: &PeerRegion,
    record: &Record,
    from: usize,
) -> Result<(), Violation> {
    let (have, more) = (assembly.bytes.len(), record.len - from);
    if more == 0 || more > assembly.total - have {
        return Err(Violation::BadFragment);
    }
    assembly.bytes.resize(have + more, 0);
    region.copy_out(record.payload_at + from, &mut assembly.bytes[have..]);
    Ok(())
}

fn departed(how: Departed) -> RecvError {
    match how {
        Departed::Closed => RecvError::PeerClosed,
        Departed::Died => RecvError::PeerDied,
        Departed::Misbehaved(v) => RecvError::PeerMisbehaved(v),
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.ack();
        if !self.attached {
            self.owner.stop_receiving();
        }
    }
}
