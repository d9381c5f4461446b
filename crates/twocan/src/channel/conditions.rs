//! What `wait_any` and `wait_all` can wait on besides events: messages, room, acknowledgements,
//! comings and goings.

use super::{Receiver, Sender, Seq};
use crate::Result;
use crate::session::{End, Half, Owner};
use crate::sys::futex::Word;
use crate::wait::{Attention, Doors, Identity, Source};
use std::sync::Arc;

/// What of an end is waited for; part of the identity.
const MESSAGE: u64 = 1;
const ROOM: u64 = 2;
const ACKNOWLEDGED: u64 = 3;
const PEER: u64 = 4;

fn identity(end: &End, what: u64) -> Identity {
    Identity(what, std::ptr::from_ref(end) as u64)
}

fn begin(end: &End) -> Result<u64> {
    if end.is_forked() { Err(crate::error::forked()) } else { Ok(0) }
}

/// What the sender is asked for changes from wait to wait: each looks for itself.
fn loud(attention: Attention) -> Attention {
    if attention == Attention::Quiet { Attention::Look } else { attention }
}

/// Ready when `recv` would not wait: a message is there (of a long one: its first part), or a
/// departure, or the end of sending is to be reported. Waiting acknowledges what `recv` has handed
/// out.
impl Source for Receiver {
    fn begin(&self) -> Result<u64> {
        begin(self.owner())
    }
    fn prepare(&self, words: &mut Vec<Word>) {
        self.ack_shared();
        self.owner().prepare_now(Half::Receiver, words);
    }
    fn attend(&self, doors: &mut Doors) -> Attention {
        self.ack_shared();
        self.owner().attend(Half::Receiver, doors)
    }
    fn has_door(&self) -> bool {
        true
    }
    fn ready(&self, _: u64) -> bool {
        self.is_ready()
    }
    fn leans(&self) -> bool {
        self.owner().leans(Half::Receiver)
    }
    fn disarm(&self) {
        self.owner().disarm(Half::Receiver);
    }
    fn identity(&self) -> Identity {
        identity(self.owner(), MESSAGE)
    }
}

/// What is waited for of a sender: it is woken as whoever sends is.
trait OfSender {
    fn sender(&self) -> &Sender;
    fn is_ready(&self) -> bool;
    /// Tells it from all else that this end is waited for.
    fn what(&self) -> u64;
}

impl<C: OfSender> Source for C {
    fn begin(&self) -> Result<u64> {
        begin(self.sender().owner())
    }
    fn prepare(&self, words: &mut Vec<Word>) {
        self.sender().owner().prepare_now(Half::Sender, words);
    }
    fn attend(&self, doors: &mut Doors) -> Attention {
        loud(self.sender().owner().attend(Half::Sender, doors))
    }
    fn has_door(&self) -> bool {
        true
    }
    fn ready(&self, _: u64) -> bool {
        self.is_ready()
    }
    fn leans(&self) -> bool {
        self.sender().owner().leans(Half::Sender)
    }
    fn disarm(&self) {
        self.sender().owner().disarm(Half::Sender);
    }
    fn identity(&self) -> Identity {
        identity(self.sender().owner(), self.what())
    }
}

/// Ready when a message of a certain length can be sent without waiting. Made by [`Sender::room`].
#[derive(Debug)]
pub struct Room<'s> {
    sender: &'s Sender,
    len: usize,
}

impl<'s> Room<'s> {
    pub(super) fn new(sender: &'s Sender, len: usize) -> Room<'s> {
        Room { sender, len: len.min(sender.max_loan()) }
    }
}

impl OfSender for Room<'_> {
    fn sender(&self) -> &Sender {
        self.sender
    }
    fn is_ready(&self) -> bool {
        self.sender.has_room_now(self.len) || self.sender.has_unreported_departure()
    }
    fn what(&self) -> u64 {
        ROOM
    }
}

/// Ready when a message was acknowledged. Made by [`Sender::acknowledged_past`].
#[derive(Debug)]
pub struct Acknowledged<'s> {
    sender: &'s Sender,
    seq: Seq,
}

impl<'s> Acknowledged<'s> {
    pub(super) fn new(sender: &'s Sender, seq: Seq) -> Acknowledged<'s> {
        Acknowledged { sender, seq }
    }
}

impl OfSender for Acknowledged<'_> {
    fn sender(&self) -> &Sender {
        self.sender
    }
    fn is_ready(&self) -> bool {
        self.sender.is_acknowledged(self.seq)
    }
    fn what(&self) -> u64 {
        ACKNOWLEDGED | self.seq.position << 3
    }
}

/// Ready when a peer has come or gone since it was made. Made by [`Sender::peer_change`] and
/// [`Receiver::peer_change`]. One-shot: make another for the next change.
#[derive(Debug)]
pub struct PeerChange {
    end: Arc<End>,
    seen: (u64, bool),
}

impl PeerChange {
    pub(super) fn new(owner: &Owner) -> PeerChange {
        PeerChange { end: owner.end(), seen: owner.presence() }
    }
}

impl Source for PeerChange {
    fn begin(&self) -> Result<u64> {
        begin(&self.end)
    }
    fn prepare(&self, words: &mut Vec<Word>) {
        self.end.prepare_local(words);
    }
    fn attend(&self, doors: &mut Doors) -> Attention {
        self.end.attend_news(doors)
    }
    fn has_door(&self) -> bool {
        true
    }
    fn ready(&self, _: u64) -> bool {
        self.end.presence() != self.seen
    }
    fn identity(&self) -> Identity {
        identity(&self.end, PEER)
    }
}
