//! What goes into a conversation and what comes out of it.

use crate::Notice;
use std::fmt;
use twocan::{PeerInfo, Seq};

/// Number of an entry, counted from 0 in the order of showing.
pub type EntryId = u64;

/// The number of a message on its channel: the same again when the message comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The region it was written to.
    pub region: u64,
    /// Its position there; grows from message to message.
    pub position: u64,
}

impl From<Seq> for MessageId {
    fn from(seq: Seq) -> MessageId {
        MessageId { region: seq.region(), position: seq.position() }
    }
}

/// What the conversation needs to know of the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name it gave itself; cleaned again here.
    pub nick: String,
    /// Its process, if the kernel told.
    pub pid: Option<u32>,
}

impl From<&PeerInfo> for Peer {
    fn from(info: &PeerInfo) -> Peer {
        Peer { nick: info.nick().to_owned(), pid: info.pid() }
    }
}

/// How far a text of mine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// The channel has no room for it yet.
    Waiting,
    /// The channel has it: it arrives as long as one end lives.
    Sent,
    /// The other side's program has shown it.
    Delivered,
    /// It was not sent and never will be.
    Refused,
}

/// Why a text was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Longer than this many bytes.
    TooLong(usize),
    /// The other side does not read.
    NobodyReads,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::TooLong(max) => write!(f, "longer than {max} bytes"),
            Why::NobodyReads => f.write_str("the other side does not read"),
        }
    }
}

/// One thing to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// When it happened or was sent, in milliseconds since 1970-01-01 UTC. A peer may claim any
    /// value.
    pub at_ms: i64,
    /// What it is.
    pub body: Body,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Something I said.
    Mine {
        /// My nick.
        nick: String,
        /// The text.
        text: String,
        /// How far it has come.
        tick: Tick,
    },
    /// Something the other side said. Cleaned.
    Theirs {
        /// The speaker's nick as shown.
        nick: String,
        /// The text.
        text: String,
    },
    /// A sentence of the chat itself.
    Notice(Notice),
}

/// What happened on the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The other side came.
    Joined(Peer),
    /// A message came.
    Message {
        /// Its number.
        id: MessageId,
        /// Its bytes, unchecked.
        bytes: Vec<u8>,
    },
    /// The other side said goodbye.
    Left(Peer),
    /// The other side's process ended without a goodbye.
    Died(Peer),
    /// The other side broke the channel's protocol, in this way.
    Misbehaved(String),
    /// The channel has accepted a text of mine.
    Accepted(EntryId),
    /// The other side's program has acknowledged a text of mine.
    Delivered(EntryId),
    /// A text of mine cannot be sent.
    NotSent(EntryId, Why),
}

/// What the user interface is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Show this new entry.
    Show(EntryId),
    /// The tick of this entry has changed.
    Ticked(EntryId),
    /// Send these bytes for this entry.
    Send {
        /// The entry to which the answer belongs.
        entry: EntryId,
        /// The message.
        bytes: Vec<u8>,
    },
}
