//! A chat's messages from a hostile peer, one after the other: what happens (1 byte), a length (2),
//! the bytes.

#![no_main]

use twocan_conversation::{Body, Conversation, Event, MAX_TEXT, MessageId, Peer, Wire, decode};

/// More marks than that one above the other are no writing.
const TOWER: usize = 31;

/// What is shown of a peer steers no terminal (the only control character is a text's line end) and
/// turns no writing around; a text covers no other line.
fn is_harmless(nick: &str, text: &str) -> bool {
    let misleads = |c| matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    let clean = |c: char| !misleads(c) && !c.is_control();
    let chars: Vec<char> = text.chars().collect();
    let tower = |run: &[char]| run.iter().all(|c| matches!(c, '\u{300}'..='\u{36F}'));
    nick.chars().all(clean)
        && chars.iter().all(|c| *c == '\n' || clean(*c))
        && !chars.windows(TOWER).any(tower)
}

/// A message that is read keeps the limits, those of what it says of itself included.
fn read(bytes: &[u8]) {
    let Ok(Wire::Text(text)) = decode(bytes) else { return };
    assert!(usize::from(bytes[1]) <= twocan::MAX_NICK && said_len(bytes) <= MAX_TEXT);
    assert!(text.nick.len() <= twocan::MAX_NICK && is_harmless(&text.nick, &text.text));
    // A tab becomes four spaces, a control character a picture of three bytes.
    assert!(text.text.len() <= 4 * MAX_TEXT);
}

/// How long the text is, by the message's own word.
fn said_len(bytes: &[u8]) -> usize {
    let word = bytes.get(10..14).and_then(|word| word.try_into().ok());
    word.map_or(0, |word| u32::from_le_bytes(word) as usize)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The fuzzer's inputs are short. As long as it says it is, a message may be taken.
    if bytes.len() >= 14 && said_len(bytes) <= 2 * MAX_TEXT {
        let mut whole = bytes.to_vec();
        whole.resize(bytes.len().max(14 + usize::from(bytes[1]) + said_len(bytes)), b'x');
        read(&whole);
    }
    let mut chat = Conversation::new("cat", "me");
    chat.begin(0);
    let (mut rest, mut position) = (bytes, 0);
    while let [what, low, high, tail @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (part, tail) = tail.split_at(len.min(tail.len()));
        rest = tail;
        position += 64;
        let peer = || Peer { nick: String::from_utf8_lossy(part).into_owned(), pid: None };
        let event = match what & 7 {
            0 => Event::Joined(peer()),
            1 => Event::Left(peer()),
            2 => Event::Died(peer()),
            3 => Event::Delivered(u64::from(what >> 3)),
            4 => Event::Accepted(u64::from(what >> 3)),
            _ => {
                let id = MessageId { region: u64::from(what >> 6), position };
                Event::Message { id, bytes: part.to_vec() }
            }
        };
        chat.feed(event, i64::from(*what));
    }
    for entry in chat.entries() {
        if let Body::Theirs { nick, text } = &entry.body {
            assert!(is_harmless(nick, text));
        }
    }
});
