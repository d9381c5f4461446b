//! The bytes of a chat message.
//!
//! ```text
//! kind u8 | kind's own fields
//! kind 1, text:  1 | nick length u8 | time of sending, i64 LE, ms since 1970 UTC
//!                  | text length u32 LE | nick | text
//! ```
//!
//! Two rules keep old and new versions together. A kind that is not known is passed over in
//! silence. Bytes behind the known fields are passed over too, so a later version may append
//! fields. Everything else must fit exactly.

use crate::{MAX_MESSAGE, clean_nick, clean_text};
use std::fmt;
use twocan::MAX_NICK;

/// The longest text in bytes. A longer one has to be sent in pieces; a peer's longer one is
/// malformed.
pub const MAX_TEXT: usize = 64 * 1024;

const KIND_TEXT: u8 = 1;
/// kind, nick length, time, text length
const TEXT_HEAD: usize = 1 + 1 + 8 + 4;

const _: () = assert!(TEXT_HEAD + MAX_NICK + MAX_TEXT <= MAX_MESSAGE);

/// What a message says. Already cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wire {
    /// Somebody said something.
    Text(Text),
    /// A kind of message that this version does not know.
    Unknown {
        /// The number of the kind.
        kind: u8,
    },
}

/// A line or more of text, with who said it and when. Already cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The name the speaker gave; may be empty.
    pub nick: String,
    /// When it was sent by the speaker's wall clock, in milliseconds since 1970-01-01 UTC. Any
    /// value is possible.
    pub sent_ms: i64,
    /// What was said; `\n` between lines.
    pub text: String,
}

/// The bytes are no chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no chat message")
    }
}

impl std::error::Error for Malformed {}

/// The bytes of a text. A nick or text over its limit is cut at a character boundary.
pub fn encode_text(nick: &str, sent_ms: i64, text: &str) -> Vec<u8> {
    let nick = cut(nick, MAX_NICK);
    let text = cut(text, MAX_TEXT);
    let mut bytes = Vec::with_capacity(TEXT_HEAD + nick.len() + text.len());
    bytes.push(KIND_TEXT);
    bytes.push(nick.len() as u8);
    bytes.extend_from_slice(&sent_ms.to_le_bytes());
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(nick.as_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Reads what a peer wrote. Checks every length before it is used, and cleans what it returns.
///
/// # Errors
///
/// [`Malformed`] if a length does not fit, or a text is no UTF-8.
pub fn decode(bytes: &[u8]) -> Result<Wire, Malformed> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Malformed);
    }
    match bytes.first() {
        None => Err(Malformed),
        Some(&KIND_TEXT) => decode_text(bytes).map(Wire::Text),
        Some(&kind) => Ok(Wire::Unknown { kind }),
    }
}

fn decode_text(bytes: &[u8]) -> Result<Text, Malformed> {
    let (head, rest) = bytes.split_at_checked(TEXT_HEAD).ok_or(Malformed)?;
    let nick_len = usize::from(head[1]);
    let sent_ms = i64::from_le_bytes(head[2..10].try_into().map_err(|_| Malformed)?);
    let text_len = u32::from_le_bytes(head[10..14].try_into().map_err(|_| Malformed)?);
    let text_len = usize::try_from(text_len).map_err(|_| Malformed)?;
    if nick_len > MAX_NICK || text_len > MAX_TEXT {
        return Err(Malformed);
    }
    let (nick, rest) = rest.split_at_checked(nick_len).ok_or(Malformed)?;
    let (text, _later) = rest.split_at_checked(text_len).ok_or(Malformed)?;
    Ok(Text {
        nick: clean_nick(str::from_utf8(nick).map_err(|_| Malformed)?),
        sent_ms,
        text: clean_text(str::from_utf8(text).map_err(|_| Malformed)?),
    })
}

/// The beginning of `text`, at most `max` bytes long, cut between two characters.
pub fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(nick: &str, sent_ms: i64, text: &str) -> Wire {
        Wire::Text(Text { nick: nick.into(), sent_ms, text: text.into() })
    }

    #[test]
    fn a_text_comes_back_as_it_went() {
        for (nick, at, said) in [
            ("alice", 0, "hi"),
            ("밥", -1, "안녕\n두 줄"),
            ("", i64::MAX, ""),
            ("x", i64::MIN, "👩‍👩‍👧‍👦"),
        ] {
            assert_eq!(decode(&encode_text(nick, at, said)), Ok(text(nick, at, said)));
        }
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let bytes = encode_text("bo", 0x0102, "hey");
        assert_eq!(bytes, b"\x01\x02\x02\x01\0\0\0\0\0\0\x03\0\0\0bohey");
    }

    #[test]
    fn every_shortened_message_is_malformed_and_none_panics() {
        let whole = encode_text("alice", 7, "안녕");
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len]), Err(Malformed), "{len} bytes");
        }
    }

    #[test]
    fn lengths_beyond_the_limits_are_malformed() {
        let mut bytes = encode_text("", 0, &"x".repeat(MAX_TEXT));
        assert!(decode(&bytes).is_ok());
        bytes[10..14].copy_from_slice(&(MAX_TEXT as u32 + 1).to_le_bytes());
        bytes.push(b'x');
        assert_eq!(decode(&bytes), Err(Malformed));
        let mut bytes = encode_text("a", 0, &"b".repeat(300));
        bytes[1] = 65;
        assert_eq!(decode(&bytes), Err(Malformed));
        bytes[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&bytes), Err(Malformed));
        assert_eq!(decode(&vec![9; MAX_MESSAGE + 1]), Err(Malformed));
    }

    #[test]
    fn what_is_no_utf8_is_malformed() {
        let mut bytes = encode_text("a", 0, "text");
        *bytes.last_mut().unwrap() = 0xff;
        assert_eq!(decode(&bytes), Err(Malformed));
    }

    #[test]
    fn a_later_version_may_add_kinds_and_fields() {
        assert_eq!(decode(&[200, 1, 2, 3]), Ok(Wire::Unknown { kind: 200 }));
        let mut bytes = encode_text("a", 5, "b");
        bytes.extend_from_slice(b"a field of version 2");
        assert_eq!(decode(&bytes), Ok(text("a", 5, "b")));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let bytes = encode_text("n", 0, &"가".repeat(MAX_TEXT));
        let Ok(Wire::Text(t)) = decode(&bytes) else { panic!("not a text") };
        assert_eq!(t.text.len(), MAX_TEXT - MAX_TEXT % 3);
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        for round in 0..20_000usize {
            let bytes: Vec<u8> = (0..round % 64)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state as u8 & if round % 2 == 0 { 0x0f } else { 0xff }
                })
                .collect();
            let _ = decode(&bytes);
        }
    }
}
