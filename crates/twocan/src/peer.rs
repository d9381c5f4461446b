//! What is known about the other side.

use std::time::SystemTime;

/// Longest nick in bytes; a longer one is cut at a character boundary.
pub const MAX_NICK: usize = 64;

/// What is known about a peer. Who it says it is (the nick) is its own claim; pid and user come
/// from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    pub(crate) nick: String,
    pub(crate) pid: Option<u32>,
    pub(crate) user: Option<u32>,
    pub(crate) since: SystemTime,
    pub(crate) epoch: u64,
}

impl PeerInfo {
    /// The name it gave itself, cleaned of control characters; empty if it gave none. At most
    /// [`MAX_NICK`] bytes.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// Its process id as this process sees it. `None` across pid namespaces, or when the kernel
    /// does not tell.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Its numeric user id. `None` when the kernel does not tell.
    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// When it joined, by this side's wall clock.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Counts the peers that this end has met, from 1. For display only: it starts again when both
    /// ends were gone.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Removes control characters and bidirectional overrides and cuts at [`MAX_NICK`] bytes.
pub(crate) fn clean_nick(raw: &str) -> String {
    let mut nick = String::new();
    for c in raw.chars().filter(|c| !c.is_control() && !is_bidi_control(*c)) {
        if nick.len() + c.len_utf8() > MAX_NICK {
            break;
        }
        nick.push(c);
    }
    nick
}

fn is_bidi_control(c: char) -> bool {
    let marks = matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}');
    marks || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
