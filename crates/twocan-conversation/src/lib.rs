//! A conversation of two people over a Twocan channel: its messages and its state, without any user
//! interface.
//!
//! A chat feeds what happens into a [`Conversation`] (a line was typed, a message came, the peer
//! left) and gets
//! [`Effect`]s back (show this, send that). The model is pure: no clock, no thread, no input or
//! output of its own. Everything that comes from the peer is checked and cleaned on its way in.

#![forbid(unsafe_code)]

mod clean;
mod conversation;
mod notice;
mod parts;
mod wire;

pub use clean::{clean_nick, clean_text};
pub use conversation::Conversation;
pub use notice::Notice;
pub use parts::{Body, Effect, Entry, EntryId, Event, MessageId, Peer, Tick, Why};
pub use wire::{MAX_TEXT, Malformed, Text, Wire, cut, decode, encode_text};

/// The label of every chat's channel. A program that opens the same name for something else is told
/// apart by it.
pub const LABEL: &str = "chat/1";

/// The longest message of a chat in bytes; both ends of a channel must agree on it. A text is
/// shorter ([`MAX_TEXT`]); the rest is room for kinds of messages to come. Fits the default ring
/// without fragments.
pub const MAX_MESSAGE: usize = 128 * 1024;
