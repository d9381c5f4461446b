//! A chat's messages from a hostile peer, one after the other: what happens (1 byte), a length (2),
//! the bytes.

#![no_main]

use twocan_conversation::{Body, Conversation, Event, MAX_TEXT, MessageId, Peer, Wire, decode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Wire::Text(text)) = decode(bytes) {
        assert!(text.nick.len() <= twocan::MAX_NICK);
        // What is shown steers no terminal: the only control character is the line's end.
        assert!(text.text.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(text.nick.chars().all(|c| !c.is_control()));
        // A tab becomes four spaces, a control character a picture of three bytes.
        assert!(text.text.len() <= 4 * MAX_TEXT);
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
            assert!(nick.chars().all(|c| !c.is_control()));
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
});
