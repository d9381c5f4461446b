//! Finding the next message, and everything else that may come instead.

use super::super::delivery::Found;
use super::{Assembly, Held, Receiver};
use crate::error::Violation;
use crate::layout::{FIRST_HEAD, Kind, max_payload};
use crate::region::PeerRegion;
use crate::ring::{Consumer, Memory, ONE_LINE, Peek, Record, reached};
use crate::session::{Departed, Front, takes_part};
use crate::sync::Ordering;
use crate::until::Gone;
use crate::{PeerInfo, RecvError, Until};
use std::sync::Arc;

/// What a search brought.
pub(super) enum Event {
    Found(Found),
    Joined(PeerInfo),
    Departed(Option<PeerInfo>, Departed),
}

impl Receiver {
    /// The next message. The way of a plain message that is there, or that comes while we look, is
    /// short; everything else is `search`. A duration is added to the clock only if there is
    /// nothing yet.
    #[inline]
    pub(super) fn find<'c>(&mut self, until: impl Into<Until<'c>>) -> Result<Found, RecvError> {
        self.enter()?;
        let answer = self.await_answer();
        let (mut learns, mut late) = (answer == Some(true), None);
        let mut given = Some(until);
        let mut limit = None;
        loop {
            if let Some(record) = self.at_hand() {
                if learns {
                    self.head_start.learn(late, record.lines());
                }
                return Ok(Found::Record(record));
            }
            if let Some(until) = given.take() {
                let until = limit.insert(until.into());
                let gone = until.gone().is_some();
                late = if !gone && answer.is_some() { self.glance() } else { None };
                if late.is_some() || !gone && answer.is_none() && self.stand_back() {
                    continue;
                }
            }
            learns = false;
            // What is come by otherwise is handed over in memory, and only then.
            let mut other = None;
            if self.found_otherwise(limit.as_ref().unwrap_or(&Until::FOREVER), &mut other) {
                return other.unwrap_or(Err(RecvError::Empty));
            }
        }
    }

    /// The next message if it is there now. Gives no head start and learns nothing of waiting.
    pub(super) fn find_now(&mut self) -> Result<Found, RecvError> {
        self.enter()?;
        let mut other = None;
        loop {
            if let Some(record) = self.at_hand() {
                return Ok(Found::Record(record));
            }
            if self.found_otherwise(&Until::now(), &mut other) {
                self.run = 0;
                return other.unwrap_or(Err(RecvError::Empty));
            }
        }
    }

    /// Waits once; true = `other` says what there is. A bool, because the message that ends the
    /// wait is what every nanosecond counts for.
    #[inline(never)]
    fn found_otherwise(
        &mut self,
        until: &Until<'_>,
        other: &mut Option<Result<Found, RecvError>>,
    ) -> bool {
        *other = Some(match self.search(until, false) {
            Ok(None) => return false,
            Ok(Some(Event::Found(found))) => Ok(found),
            Ok(Some(Event::Departed(_, how))) => Err(departed(how)),
            Ok(Some(Event::Joined(_))) => unreachable!("only asked for by recv_incoming"),
            Err(e) => Err(e),
        });
        true
    }

    /// Of every call that asks for the next message.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), RecvError> {
        if self.owner.is_forked() {
            return Err(RecvError::Forked);
        }
        self.ack();
        Ok(())
    }

    /// A whole message in the ring, if nothing else comes first.
    #[inline]
    pub(super) fn at_hand(&mut self) -> Option<Record> {
        // The flag first, then the look, as in `search`.
        if self.owner.news() != self.news || self.held.is_some() {
            return None;
        }
        let region = &self.view.inbox.first()?.region;
        let lines = region.lines();
        if !self.ring.ready(lines) {
            return None;
        }
        let record = self.ring.plain(lines, self.longest)?;
        // SYNC discard
        let discard = region.header().discard.load(Ordering::Acquire);
        if discard != 0 || self.assembly.is_some() {
            return None;
        }
        self.joined = self.generation;
        // Nothing stands in the way of the next one either.
        let live = self.view.live.as_ref();
        self.short = live.is_some_and(|live| Arc::ptr_eq(live, region));
        Some(record)
    }

    /// Looks for anything there can be, and waits once. `None` = look again.
    pub(super) fn search(
        &mut self,
        until: &Until<'_>,
        joins: bool,
    ) -> Result<Option<Event>, RecvError> {
        let mut skipped = 0u32;
        loop {
            // The flag first, then the look, then the report: what is known to be gone now has
            // written its last.
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
                    // An honest ring holds fewer records than lines; a hostile one may go on for
                    // ever.
                    let patient = skipped as usize <= self.ring.lines() && until.is_now();
                    if patient || skipped % 64 != 0 || until.gone().is_none() {
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

    pub(super) fn newly_joined(&mut self, wanted: bool) -> Option<PeerInfo> {
        if !wanted || self.joined == self.generation {
            return None;
        }
        let met = self.front()?.met.clone()?;
        self.joined = self.generation;
        Some(met)
    }

    #[inline]
    pub(super) fn front(&self) -> Option<&Front> {
        self.view.inbox.first()
    }

    /// One look at the region in front.
    #[inline]
    fn look(&mut self) -> Look {
        let Some(front) = self.view.inbox.first() else {
            if !self.view.alone_for_ever {
                return Look::Nothing;
            }
            // Without a name nobody comes any more: said again at each call.
            return Look::Left(None, self.view.departure.map_or(Departed::Closed, |(_, how)| how));
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
        self.short = false;
        let region = self.view.inbox[0].region.clone();
        let mut whole = None;
        match record.kind {
            Kind::Pad => {
                self.ring.advance(&record);
                return Look::Skipped;
            }
            Kind::Data => self.assembly = None,
            Kind::First => match self.begin(&region, &record) {
                Ok(_) if cfg!(twocan_mutant = "keep-fragments") && self.assembly.is_some() => {}
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

    pub(super) fn begin(
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
        if total > self.owner.card.max_message && !cfg!(twocan_mutant = "no-length-check") {
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

    /// The peer (or a dead predecessor of it) broke the protocol: what is left of its region is not
    /// read.
    pub(super) fn violation(&mut self, violation: Violation) -> RecvError {
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
    pub(super) fn refresh(&mut self) {
        self.short = false;
        let (news, view) = self.owner.rx_view();
        let same = match (&view.live, &self.view.live) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.woken.forget();
        }
        self.order.agree(view.lean && view.live.as_ref().is_some_and(|peer| takes_part(peer)));
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
        let longest = max_payload(front.region.capacity()) as u64;
        self.longest = longest.min(self.owner.card.max_message) as u32;
        self.longest_line = self.longest.min(ONE_LINE as u32);
        // SYNC taken: it speaks of the region that `ack` names, and is cleared before that names
        // another.
        let progress = &self.owner.own.header().progress;
        progress.taken.store(0, Ordering::Release);
        progress.acknowledge(self.generation, start);
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
    let fits = more > 0 && more <= assembly.total - have;
    if !fits && !cfg!(twocan_mutant = "no-fragment-check") {
        return Err(Violation::BadFragment);
    }
    assembly.bytes.resize(have + more, 0);
    region.copy_out(record.payload_at + from, &mut assembly.bytes[have..]);
    Ok(())
}

pub(super) fn departed(how: Departed) -> RecvError {
    match how {
        Departed::Closed => RecvError::PeerClosed,
        Departed::Died => RecvError::PeerDied,
        Departed::Misbehaved(v) => RecvError::PeerMisbehaved(v),
    }
}
