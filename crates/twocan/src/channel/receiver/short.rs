//! The short way of a message: it is there, or comes at once as an answer, and nothing else is to
//! be said or done than to acknowledge the one before. Everything else goes by `search`.

use super::super::NOWHERE;
use super::{Receiver, SHORT, pour_record};
use crate::layout::LINE;
use crate::park::{Order, Woken};
use crate::region::{PeerRegion, Ring};
use crate::ring::{Consumer, Memory, ONE_LINE, Record};
use crate::session::{End, Front};
use crate::sync::{Ordering, unrelated};

/// What is not for the shortest way.
enum Other {
    Record,
    /// The store was made, and its fence; what comes behind them is for `acknowledged`.
    Acknowledged {
        slim: bool,
    },
}

/// What is made of a message of one line: a position, and what fits beside it.
trait Take {
    /// Is the message handed out for good? If not, it comes again.
    const SETTLES: bool = true;
    /// One of so many bytes?
    fn fits(&mut self, len: usize) -> bool;
    fn take(self, lines: Ring<'_>, position: u64, len: usize) -> u64;
}

/// Its position and, in the lowest bits, its length.
struct Place;

impl Take for Place {
    #[inline(always)]
    fn fits(&mut self, _len: usize) -> bool {
        true
    }
    #[inline(always)]
    fn take(self, _lines: Ring<'_>, position: u64, len: usize) -> u64 {
        position | len as u64
    }
}

/// As `Place`, or position and length, of a message that stays where it is.
struct Lent;

impl Take for Lent {
    const SETTLES: bool = cfg!(twocan_mutant = "lent-is-taken");
    #[inline(always)]
    fn fits(&mut self, _len: usize) -> bool {
        true
    }
    #[inline(always)]
    fn take(self, lines: Ring<'_>, position: u64, len: usize) -> u64 {
        Place.take(lines, position, len)
    }
}

impl TakeRecord for Lent {
    type Made = (u64, usize);
    const SETTLES: bool = cfg!(twocan_mutant = "lent-is-taken");
    #[inline(always)]
    fn take(self, _region: &PeerRegion, _lines: Ring<'_>, record: &Record) -> (u64, usize) {
        (record.position, record.len)
    }
}

/// A copy. Messages are often short, and as long as the one before: then nothing is called, and no
/// load waits for the length that stands in the ring.
struct Copy<'a> {
    buffer: &'a mut Vec<u8>,
    foreseen: usize,
}

impl Take for Copy<'_> {
    #[inline(always)]
    fn fits(&mut self, len: usize) -> bool {
        let usual = self.buffer.len();
        self.foreseen = unrelated(usual as u64) as usize;
        len == usual && (*SHORT.start()..=ONE_LINE).contains(&self.foreseen)
    }
    #[inline(always)]
    fn take(self, lines: Ring<'_>, position: u64, _len: usize) -> u64 {
        // All of it; to say so would be a call that never comes.
        if let Some(to) = self.buffer.get_mut(..self.foreseen) {
            lines.copy_out(position, to);
        }
        position
    }
}

/// What is made of a record.
pub(super) trait TakeRecord {
    type Made;
    /// Is the message handed out for good? If not, it comes again.
    const SETTLES: bool = true;
    /// It is told the region, which is at hand.
    fn take(self, region: &PeerRegion, lines: Ring<'_>, record: &Record) -> Self::Made;
}

/// The record itself.
pub(super) struct Itself;

impl TakeRecord for Itself {
    type Made = Record;
    #[inline(always)]
    fn take(self, _region: &PeerRegion, _lines: Ring<'_>, record: &Record) -> Record {
        *record
    }
}

/// A copy of any length, and its position.
struct Pour<'a>(&'a mut Vec<u8>);

impl TakeRecord for Pour<'_> {
    type Made = u64;
    #[inline(always)]
    fn take(self, region: &PeerRegion, lines: Ring<'_>, record: &Record) -> u64 {
        pour_record(region, lines, record, self.0);
        record.position
    }
}

impl Receiver {
    /// A message of one line that is there and is no answer: the shortest way. Calls nothing, and
    /// so has nothing to save: what is not for it comes back as an error.
    #[inline(always)]
    fn line<T: Take>(&mut self, mut take: T) -> Result<u64, Other> {
        let owner = &*self.owner;
        if !self.short || !self.ring.is_used_to_lines() || owner.is_forked() {
            return Err(Other::Record);
        }
        let front = self.view.inbox.first().ok_or(Other::Record)?;
        let (lines, position) = (front.region.lines(), self.ring.position());
        if *self.due.position.get_mut() != 0 {
            // What is due is all that lies before. It stays so until it is known what comes then:
            // in most cases that is due at once.
            let (order, woken) = (&mut self.order, &self.woken);
            say(position, self.generation, front, lines, owner, self.news, order, woken)?;
        } else if owner.news() != self.news {
            return Err(Other::Record);
        }
        let len = Consumer::line(position, lines, self.longest_line).filter(|len| take.fits(*len));
        // SYNC discard
        let discard = lines.header().discard.load(Ordering::Acquire);
        let (Some(len), 0) = (len, discard) else {
            *self.due.position.get_mut() = 0;
            return Err(Other::Record);
        };
        let taken = take.take(lines, position, len);
        if T::SETTLES {
            self.settle_line(position);
        } else {
            *self.due.position.get_mut() = 0;
        }
        Ok(taken)
    }

    /// The position and, in the lowest bits, the length; or `NOWHERE`. It was settled: nothing of
    /// it may be overwritten before the next call.
    #[inline(never)]
    pub(super) fn line_here(&mut self) -> u64 {
        match self.line(Place) {
            Ok(found) => found,
            Err(Other::Record) => NOWHERE,
            Err(Other::Acknowledged { slim }) => self.nothing_here(slim),
        }
    }

    #[cold]
    #[inline(never)]
    fn nothing_here(&mut self, slim: bool) -> u64 {
        self.acknowledged(slim);
        NOWHERE
    }

    /// The next message into a buffer, by one of the short ways: its position, or `NOWHERE`.
    #[inline(never)]
    pub(super) fn quick_into(&mut self, buffer: &mut Vec<u8>) -> u64 {
        match self.line(Copy { buffer, foreseen: 0 }) {
            Ok(position) => position,
            Err(Other::Record) => self.record_into(buffer),
            Err(Other::Acknowledged { slim }) => self.acknowledged_into(slim, buffer),
        }
    }

    #[cold]
    #[inline(never)]
    fn acknowledged_into(&mut self, slim: bool, buffer: &mut Vec<u8>) -> u64 {
        self.acknowledged(slim);
        self.record_into(buffer)
    }

    #[inline(never)]
    fn record_into(&mut self, buffer: &mut Vec<u8>) -> u64 {
        self.record(Pour(buffer)).unwrap_or(NOWHERE)
    }

    /// As `quick_into`, if this half `is_asked`.
    #[inline(never)]
    pub(super) fn answer_into(&mut self, buffer: &mut Vec<u8>) -> u64 {
        self.answer(Pour(buffer)).unwrap_or(NOWHERE)
    }

    /// Position and length of the next message, by one of the short ways; it stays the next. The
    /// position may be `NOWHERE`.
    #[inline(never)]
    pub(super) fn lend_here(&mut self) -> (u64, usize) {
        match self.line(Lent) {
            Ok(found) => place_of(found),
            Err(Other::Record) => self.lend_record(),
            Err(Other::Acknowledged { slim }) => self.lend_acknowledged(slim),
        }
    }

    #[cold]
    #[inline(never)]
    fn lend_acknowledged(&mut self, slim: bool) -> (u64, usize) {
        self.acknowledged(slim);
        self.lend_record()
    }

    #[inline(never)]
    fn lend_record(&mut self) -> (u64, usize) {
        self.record(Lent).unwrap_or((NOWHERE, 0))
    }

    /// As `lend_here`, if this half `is_asked`.
    #[inline(never)]
    pub(super) fn lend_answer(&mut self) -> (u64, usize) {
        self.answer(Lent).unwrap_or((NOWHERE, 0))
    }

    /// Goes on behind a record that was lent, to `next`, and acknowledges it.
    #[inline(never)]
    pub(in crate::channel) fn done(&mut self, next: u64) {
        self.settle_to(next);
        let owner = &*self.owner;
        let front = self.view.inbox.first();
        let Some(front) = front.filter(|_| self.short && !owner.is_forked()) else {
            return self.ack();
        };
        let due = std::mem::take(self.due.position.get_mut());
        let (lines, order, woken) = (front.region.lines(), &mut self.order, &self.woken);
        let said = say(due & !1, self.generation, front, lines, owner, self.news, order, woken);
        if let Err(Other::Acknowledged { slim }) = said {
            self.acknowledged(slim);
        }
    }

    /// Has this end sent something since this half waited last?
    #[inline(always)]
    pub(super) fn is_asked(&self) -> bool {
        self.owner.own.head() != self.said
    }

    /// May the next message go a short way? Acknowledges the one before.
    #[inline(always)]
    fn is_short(&mut self) -> bool {
        let owner = &*self.owner;
        if !self.short || owner.is_forked() || owner.news() != self.news {
            return false;
        }
        let Some(front) = self.view.inbox.first() else { return false };
        let due = std::mem::take(self.due.position.get_mut());
        if due != 0 {
            let (order, woken) = (&mut self.order, &self.woken);
            let lines = front.region.lines();
            let said = say(due & !1, self.generation, front, lines, owner, self.news, order, woken);
            if let Err(Other::Acknowledged { slim }) = said {
                self.acknowledged(slim);
                return self.short; // no longer, if there were news
            }
        }
        true
    }

    /// A plain message that is there, and is no answer. It is settled: nothing of it may be
    /// overwritten before the next call. `None` = see what there is, with `find`. What `take` makes
    /// of the record is the result.
    #[inline(always)]
    pub(super) fn record<T: TakeRecord>(&mut self, take: T) -> Option<T::Made> {
        if !self.is_short() {
            return None;
        }
        let region = &*self.view.inbox.first()?.region;
        let lines = region.lines();
        if !self.ring.ready(lines) {
            return None;
        }
        let record = self.ring.plain(lines, self.longest)?;
        // SYNC discard
        if region.header().discard.load(Ordering::Acquire) != 0 {
            return None;
        }
        let taken = take.take(region, lines, &record);
        if T::SETTLES {
            self.settle_record(&record);
        }
        Some(taken)
    }

    /// The same if this half `is_asked`: waits for the answer for some microseconds, as `find`
    /// does, which goes on if it is called after all.
    #[inline(always)]
    pub(super) fn answer<T: TakeRecord>(&mut self, take: T) -> Option<T::Made> {
        if !self.is_short() {
            return None;
        }
        let owner = &*self.owner;
        let region = &*self.view.inbox.first()?.region;
        let lines = region.lines();
        let said = owner.own.head();
        let (fresh, mut late) = (self.started != said, None);
        if fresh {
            self.started = said;
            self.spinner.wait_for(&self.head_start);
        }
        let (ring, count) = (&self.ring, self.head_start.lines());
        let ready = || {
            lines.expect_read(ring.position(), count);
            ring.ready(lines)
        };
        if !ready() {
            let news = self.news;
            late = Some(self.spinner.glance(ready, || owner.news() != news)?);
        }
        let record = self.ring.plain(lines, self.longest)?;
        // SYNC discard
        if region.header().discard.load(Ordering::Acquire) != 0 {
            return None;
        }
        let taken = take.take(region, lines, &record);
        self.said = said;
        if fresh {
            self.head_start.learn(late, record.lines());
        }
        if T::SETTLES {
            self.settle_record(&record);
        }
        Some(taken)
    }
}

/// As `acknowledge`, of what lies before `position`. The region in front, whose `lines` these are,
/// is the live one's.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn say(
    position: u64,
    generation: u32,
    front: &Front,
    lines: Ring<'_>,
    owner: &End,
    news: u64,
    order: &mut Order,
    woken: &Woken,
) -> Result<(), Other> {
    // SYNC read-position: pairs with the watcher, which hands it to a newcomer.
    front.read.store(position, Ordering::Release);
    owner.own.header().progress.acknowledge(generation, position);
    let slim = order.published();
    let calm = !slim && owner.news() == news && owner.sender_is_awake(lines.header(), woken);
    if calm { Ok(()) } else { Err(Other::Acknowledged { slim }) }
}

/// What `Place` made.
#[inline(always)]
pub(super) fn place_of(found: u64) -> (u64, usize) {
    (found & !(LINE as u64 - 1), found as usize % LINE)
}

const _: () = assert!(ONE_LINE < 63, "NOWHERE is no position with a length");
