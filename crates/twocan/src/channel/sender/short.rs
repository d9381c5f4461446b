//! The short ways of a message: there is room, and nothing else is to be said or done than to
//! publish it. Everything else goes by `credit`.

use super::super::{NOWHERE, Seq};
use super::Sender;
use super::credit::is_time_to_look;
use crate::layout::Kind;
use crate::ring::{ONE_LINE, Slot};
use std::ops::RangeInclusive;

/// Fits one line, and is copied without a call.
#[inline(always)]
fn is_one_line(message: &[u8]) -> bool {
    message.len().wrapping_sub(8) <= ONE_LINE - 8
}

/// Messages of more than a line that are copied without a call.
const FEW: RangeInclusive<usize> = ONE_LINE + 1..=256;

impl Sender {
    /// The short way of a message that has room and about which there is nothing to be said.
    #[inline(always)]
    pub(in crate::channel) fn quick(&mut self, message: &[u8]) -> Option<Seq> {
        let position = self.quick_send(message);
        let region = self.owner.own.shape().id;
        (position != NOWHERE).then_some(Seq { region, position })
    }

    /// Its position; `NOWHERE` = the long way. What comes back in a register need not be stored,
    /// and a function whose last act is a call has nothing to save for later.
    #[inline(never)]
    fn quick_send(&mut self, message: &[u8]) -> u64 {
        let owner = &*self.owner;
        // Copied without a call.
        let admitted = is_one_line(message) && message.len() < self.limit;
        if !admitted || owner.is_forked() || owner.news() != self.news {
            return self.quick_send_few(message);
        }
        match self.ring.push_line(&owner.own, message) {
            // The head has come at most 64 lines further than `quick_send_lines` has asked for
            // pages for, which are made long before they are needed.
            Some(position) => self.sent_now(position, message.len(), false),
            None => self.quick_send_lines(message),
        }
    }

    /// The same, of a few lines.
    #[inline(never)]
    fn quick_send_few(&mut self, message: &[u8]) -> u64 {
        let owner = &*self.owner;
        let admitted = FEW.contains(&message.len()) && message.len() < self.limit;
        if !admitted || owner.is_forked() || owner.news() != self.news {
            return self.quick_send_lines(message);
        }
        match self.ring.push_few(&owner.own, message) {
            Some(position) => {
                let more = self.owner.own.wants_pages(self.ring.head()) || self.ring.wants_lines();
                self.sent_now(position, message.len(), more)
            }
            None => self.quick_send_lines(message),
        }
    }

    #[inline(never)]
    fn quick_send_lines(&mut self, message: &[u8]) -> u64 {
        let owner = &*self.owner;
        if message.len() >= self.limit || owner.is_forked() || owner.news() != self.news {
            return NOWHERE;
        }
        match self.ring.push_plain(&owner.own, message) {
            Some(position) => {
                let more = self.owner.own.wants_pages(self.ring.head()) || self.ring.wants_lines();
                self.sent_now(position, message.len(), more)
            }
            None => NOWHERE,
        }
    }

    #[inline(always)]
    fn sent_now(&mut self, position: u64, len: usize, more: bool) -> u64 {
        self.last = position | 1;
        if self.is_calm() && !more { position } else { self.after_sending(len) }
    }

    /// After publishing, without a fence: is there nothing more to do?
    #[inline(always)]
    fn is_calm(&self) -> bool {
        let (owner, head) = (&*self.owner, self.ring.head());
        self.order.is_lean()
            && owner.news() == self.news
            && self.view.peer.as_ref().is_some_and(|peer| owner.receiver_is_awake(peer))
            && !self.talks
            && if self.attached { !self.has_heard() } else { !is_time_to_look(head) }
    }

    /// The position of the message that was sent. Not told: to keep it over the call would cost
    /// the caller a store.
    #[inline(never)]
    fn after_sending(&mut self, len: usize) -> u64 {
        self.announce();
        self.take_ahead(len);
        self.last & !1
    }

    /// As far as the record; the caller says that it was `accepted`.
    #[inline(always)]
    pub(super) fn quick_write(&mut self, message: &[u8]) -> Option<u64> {
        let owner = &*self.owner;
        if message.len() >= self.limit || owner.is_forked() || owner.news() != self.news {
            return None;
        }
        // Copied without a call.
        let line =
            if is_one_line(message) { self.ring.push_line(&owner.own, message) } else { None };
        line.or_else(|| self.ring.push_plain(&owner.own, message))
    }

    /// Room for a message that is to be written in place, where nothing is to be asked.
    #[inline(always)]
    pub(in crate::channel) fn quick_loan(&mut self, len: usize) -> Option<Slot> {
        let owner = &*self.owner;
        if len >= self.limit || owner.is_forked() || owner.news() != self.news {
            return None;
        }
        if len <= ONE_LINE && self.ring.has_line() {
            return Some(self.ring.slot());
        }
        self.quick_loan_lines(len).then(|| self.ring.slot())
    }

    #[inline(never)]
    fn quick_loan_lines(&mut self, len: usize) -> bool {
        self.ring.reserve_plain(&self.owner.own, len)
    }

    /// Publishes what was written in place.
    #[inline(always)]
    pub(in crate::channel) fn commit(&mut self, len: usize) -> Seq {
        let position = self.quick_commit(len);
        Seq { region: self.owner.own.shape().id, position }
    }

    #[inline(never)]
    fn quick_commit(&mut self, len: usize) -> u64 {
        assert!(!self.owner.is_forked(), "a loan does not survive fork");
        let position = self.ring.head();
        if len <= ONE_LINE && self.ring.has_line() {
            self.ring.publish_line(&self.owner.own, len);
            return self.sent_now(position, len, false);
        }
        self.quick_commit_lines(len)
    }

    #[inline(never)]
    fn quick_commit_lines(&mut self, len: usize) -> u64 {
        let position = self.ring.head();
        self.ring.publish(&self.owner.own, Kind::Data, len);
        let more = self.owner.own.wants_pages(self.ring.head()) || self.ring.wants_lines();
        self.sent_now(position, len, more)
    }

    #[inline]
    pub(in crate::channel) fn loaned(&self, slot: Slot, len: usize) -> &[u8] {
        assert!(!self.owner.is_forked(), "a loan does not survive fork");
        self.owner.own.payload(slot.payload_at, len)
    }

    #[inline]
    pub(in crate::channel) fn loaned_mut(&mut self, slot: Slot, len: usize) -> &mut [u8] {
        assert!(!self.owner.is_forked(), "a loan does not survive fork");
        // Exclusive: `&mut self` is the only producer of the region, and the slot lies behind its
        // head.
        self.owner.own.payload_mut(slot.payload_at, len)
    }
}
