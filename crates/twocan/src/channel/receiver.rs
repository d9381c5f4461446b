//! The receiving half: what an application calls. How a message is found is in `short` and
//! `search`, how it is handed out, acknowledged and waited for in `settle`.

mod search;
mod settle;
mod short;

use search::{Event, departed};
use short::{Itself, place_of};

use super::delivery::{Delivery, Found};
use super::{ByteReader, Incoming, Message, NOWHERE, PeerChange, Seq, Spin};
use crate::park::{Order, Woken};
use crate::region::{PeerRegion, Ring};
use crate::ring::{Consumer, Memory, ONE_LINE, Record};
use crate::session::{Departed, Owner, RxView};
use crate::spin::{HeadStart, Pace, Spinner};
use crate::sync::{AtomicU64, unrelated};
use crate::sys::futex;
use crate::{PeerInfo, RecvError, Until};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The receiving half of an end.
///
/// What a call has handed out is *acknowledged* when the next message is asked for, when the end
/// goes to sleep, by
/// [`ack`](Receiver::ack), and on drop (not while panicking). A process killed before that gets it
/// again, in the life that follows, under the same number.
#[derive(Debug)]
pub struct Receiver {
    owner: Owner,
    /// The news that `view` is as old as.
    news: u64,
    view: RxView,
    /// Where we are in the region in front.
    ring: Consumer,
    /// Nothing is half-way, and the region in front is the live peer's, who has been met: the next
    /// plain message can go the short way.
    short: bool,
    /// The longest message of the region in front that comes in one record.
    longest: u32,
    /// The same in one line.
    longest_line: u32,
    /// Generation of the region that `ring` reads; 0 = none yet.
    generation: u32,
    /// What was handed out and is to be acknowledged. Shared with waits on `&self`.
    due: Due,
    assembly: Option<Assembly>,
    /// A long message that is whole but not handed out for good (its delivery was dropped).
    held: Option<Held>,
    woken: Woken,
    order: Order,
    /// Sleeps at once: then a fence on all processors would cost more than those it saves.
    sleepy: bool,
    /// Generation whose arrival, whose end of sending was reported last.
    joined: u32,
    finished: u32,
    /// Whose departure was reported last.
    departed: Option<PeerInfo>,
    spinner: Spinner,
    /// How far this end had sent when this half waited last: if no further by now, what comes is no
    /// answer.
    said: u64,
    /// How far it had sent when this half gave the peer a head start last.
    started: u64,
    /// What this wait is for.
    pace: Pace,
    /// Messages taken since this half waited last.
    run: u32,
    /// How long the next answer is waited for before the first look.
    pub(super) head_start: HeadStart,
    words: Vec<futex::Word>,
    /// Still part of a `Channel`: then both halves go together.
    attached: bool,
}

/// An acknowledgement that is owed: position | 1, and the long message's number if it is one. 0 =
/// none.
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

impl Receiver {
    pub(crate) fn new(owner: Owner, spin: Spin) -> Receiver {
        Receiver {
            owner,
            news: 0,
            view: RxView::default(),
            ring: Consumer::new(0, crate::layout::MIN_CAPACITY),
            short: false,
            longest: 0,
            longest_line: 0,
            generation: 0,
            due: Due::default(),
            assembly: None,
            held: None,
            woken: Woken::default(),
            order: Order::default(),
            sleepy: Spinner::new(spin).sleeps_at_once(),
            joined: 0,
            finished: 0,
            departed: None,
            spinner: Spinner::new(spin),
            said: 0,
            started: 0,
            pace: Pace::Stream,
            run: 0,
            head_start: HeadStart::new(),
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
        let found = if self.is_asked() {
            self.answer(Itself)
        } else {
            match self.line_here() {
                NOWHERE => self.record(Itself),
                found => return Ok(self.line_message(found)),
            }
        };
        match found {
            Some(record) => Ok(self.message(&record)),
            None => self.recv_slowly(Until::FOREVER),
        }
    }

    /// The next message if it is there now.
    ///
    /// # Errors
    /// `Empty`, and those of [`recv`](Receiver::recv).
    pub fn try_recv(&mut self) -> Result<Message, RecvError> {
        let found = self.find_now()?;
        Ok(self.hand_out(found))
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
        if self.is_asked() {
            return self.recv_slowly(until);
        }
        match self.line_here() {
            NOWHERE => match self.record(Itself) {
                Some(record) => Ok(self.message(&record)),
                None => self.recv_slowly(until),
            },
            found => Ok(self.line_message(found)),
        }
    }

    /// What `line_here` found, as a message.
    #[inline(always)]
    fn line_message(&self, found: u64) -> Message {
        let (position, len) = place_of(found);
        let region = self.view.inbox.first().map_or(0, |front| front.region.shape().id);
        Message::fill(len, Seq { region, position }, |to| {
            if let Some(front) = self.front() {
                front.region.lines().copy_out(position, to);
            }
        })
    }

    /// A record as a message of its own, made where the caller wants it: a message that is moved
    /// when it has just been written costs more than finding the region once more. It was settled,
    /// but not acknowledged.
    #[inline(always)]
    fn message(&self, record: &Record) -> Message {
        Message::fill(record.len, self.seq(&Found::Record(*record)), |to| {
            if let Some(front) = self.front() {
                copy_record(&front.region, front.region.lines(), record, to);
            }
        })
    }

    #[inline(never)]
    fn recv_slowly<'c>(&mut self, until: impl Into<Until<'c>>) -> Result<Message, RecvError> {
        let found = self.find(until)?;
        Ok(self.hand_out(found))
    }

    /// Copies the next message into `buffer`, replacing what is in it; no allocation if it is large
    /// enough.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Seq, RecvError> {
        let position =
            if self.is_asked() { self.answer_into(buffer) } else { self.quick_into(buffer) };
        match position {
            NOWHERE => self.recv_into_slowly(buffer, Until::FOREVER),
            position => Ok(self.seq_at(position)),
        }
    }

    /// As [`recv_into`](Receiver::recv_into), if a message is there now.
    ///
    /// # Errors
    /// As [`try_recv`](Receiver::try_recv).
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Seq, RecvError> {
        let found = self.find_now()?;
        Ok(self.pour(found, buffer))
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
        match if self.is_asked() { NOWHERE } else { self.quick_into(buffer) } {
            NOWHERE => self.recv_into_slowly(buffer, until),
            position => Ok(self.seq_at(position)),
        }
    }

    #[inline(never)]
    fn recv_into_slowly<'c>(
        &mut self,
        buffer: &mut Vec<u8>,
        until: impl Into<Until<'c>>,
    ) -> Result<Seq, RecvError> {
        let found = self.find(until)?;
        Ok(self.pour(found, buffer))
    }

    #[inline]
    fn pour(&mut self, found: Found, buffer: &mut Vec<u8>) -> Seq {
        let seq = self.seq(&found);
        match &found {
            Found::Record(record) => {
                if let Some(front) = self.front() {
                    pour_record(&front.region, front.region.lines(), record, buffer);
                }
            }
            Found::Long => {
                buffer.clear();
                buffer.extend_from_slice(self.held_bytes());
            }
        }
        self.settle(found);
        seq
    }

    /// The next message where it lies, to be acknowledged by [`Delivery::acknowledge`] only;
    /// dropped, it comes again.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    #[inline]
    pub fn recv_delivery(&mut self) -> Result<Delivery<'_>, RecvError> {
        let lent = if self.is_asked() { self.lend_answer() } else { self.lend_here() };
        self.delivery(lent, Until::FOREVER)
    }

    /// As [`recv_delivery`](Receiver::recv_delivery), waiting only so long.
    ///
    /// # Errors
    /// As [`recv_until`](Receiver::recv_until).
    #[inline]
    pub fn recv_delivery_until<'c>(
        &mut self,
        until: impl Into<Until<'c>>,
    ) -> Result<Delivery<'_>, RecvError> {
        let lent = if self.is_asked() { (NOWHERE, 0) } else { self.lend_here() };
        self.delivery(lent, until)
    }

    /// What a short way has lent, or what `find` finds.
    #[inline(always)]
    fn delivery<'c>(
        &mut self,
        (position, len): (u64, usize),
        until: impl Into<Until<'c>>,
    ) -> Result<Delivery<'_>, RecvError> {
        let found = match position {
            NOWHERE => self.find_delivery(until)?,
            _ => Found::Record(self.ring.plain_again(position, len)),
        };
        Ok(Delivery::new(self, found))
    }

    #[inline(never)]
    fn find_delivery<'c>(&mut self, until: impl Into<Until<'c>>) -> Result<Found, RecvError> {
        self.find(until)
    }

    /// The next message or event, in the order of the stream: who joined, what was said, who left
    /// or died. Acknowledges as [`recv`](Receiver::recv) does.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled` (`Empty` if `until` is now), `PeerMisbehaved`, `WrongDirection`,
    /// `Forked`; departures are values here, but for pairs without a name, where nobody can come
    /// after the first departure was reported.
    pub fn recv_incoming<'c>(
        &mut self,
        until: impl Into<Until<'c>>,
    ) -> Result<Incoming, RecvError> {
        let until = until.into();
        self.enter()?;
        if !until.is_now() {
            self.await_answer();
        }
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
        if *self.due.position.get_mut() == 0 || self.owner.is_forked() {
            return;
        }
        let position = std::mem::take(self.due.position.get_mut());
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
        PeerChange::new(&self.owner)
    }

    /// Reads the messages as one stream of bytes.
    pub fn reader(&mut self) -> ByteReader<'_> {
        ByteReader::new(self)
    }
}

/// All of a record. One line of it lies where its position says.
#[inline(always)]
fn copy_record(region: &PeerRegion, lines: Ring<'_>, record: &Record, to: &mut [u8]) {
    if to.len() <= ONE_LINE {
        lines.copy_out(record.position, to);
    } else {
        region.copy_out(record.payload_at, to);
    }
}

/// A record into a buffer that is used again.
#[inline(always)]
fn pour_record(region: &PeerRegion, lines: Ring<'_>, record: &Record, buffer: &mut Vec<u8>) {
    // Messages are often short, and as long as the one before: then nothing is called, and no load
    // waits for the length, which is still on its way.
    let foreseen = unrelated(buffer.len() as u64) as usize;
    if buffer.len() == record.len && SHORT.contains(&record.len) {
        copy_record(region, lines, record, &mut buffer[..foreseen]);
    } else {
        pour_any(region, record.payload_at, record.len, buffer);
    }
}

#[inline(never)]
fn pour_any(region: &PeerRegion, at: usize, len: usize, buffer: &mut Vec<u8>) {
    buffer.resize(len, 0);
    region.copy_out(at, buffer);
}

/// Lengths that are copied by a few instructions.
const SHORT: RangeInclusive<usize> = 16..=64;

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
