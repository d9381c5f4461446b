//! A conversation from outside: events in, what people read out.

use twocan_conversation::{
    Body, Conversation, Effect, Event, MAX_TEXT, MessageId, Peer, Tick, Why, encode_text,
};

/// A conversation with the transcript that a person would have seen.
struct Seen {
    talk: Conversation,
    lines: Vec<String>,
    sent: Vec<u64>,
    position: u64,
}

impl Seen {
    fn new() -> Seen {
        let talk = Conversation::new("cat", "alice");
        Seen { talk, lines: Vec::new(), sent: Vec::new(), position: 0 }
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Show(id) => {
                    let entry = self.talk.entry(id).expect("a shown entry exists");
                    self.lines.push(match &entry.body {
                        Body::Mine { text, .. } => format!("> {text}"),
                        Body::Theirs { nick, text } => format!("{nick}: {text}"),
                        Body::Notice(notice) => format!("* {notice}"),
                    });
                }
                Effect::Send { entry, .. } => self.sent.push(entry),
                Effect::Ticked(_) => {}
            }
        }
    }

    fn feed(&mut self, event: Event) {
        let effects = self.talk.feed(event, 0);
        self.take(effects);
    }

    fn say(&mut self, text: &str) {
        let effects = self.talk.say(text, 0);
        self.take(effects);
    }

    /// Bob's program sends `text` with the next number.
    fn hears(&mut self, nick: &str, text: &str) -> MessageId {
        self.position += 64;
        let id = MessageId { region: 1, position: self.position };
        self.feed(Event::Message { id, bytes: encode_text(nick, 0, text) });
        id
    }

    fn deliver_all(&mut self) {
        for id in std::mem::take(&mut self.sent) {
            self.feed(Event::Accepted(id));
            self.feed(Event::Delivered(id));
        }
    }

    fn expect(&mut self, lines: &[&str]) {
        assert_eq!(self.lines, lines);
        self.lines.clear();
    }

    fn tick(&self, id: u64) -> Tick {
        match &self.talk.entry(id).expect("entry").body {
            Body::Mine { tick, .. } => *tick,
            other => panic!("not mine: {other:?}"),
        }
    }
}

fn peer(nick: &str, pid: u32) -> Peer {
    Peer { nick: nick.into(), pid: Some(pid) }
}

#[test]
fn from_alone_to_joined_to_died_to_back() {
    let mut seen = Seen::new();
    let begin = seen.talk.begin(0);
    seen.take(begin);
    seen.expect(&[
        "* cat: waiting for the other side. In another terminal: twocan chat cat",
        "* (you are alice; /help for commands, Ctrl-D to leave)",
    ]);
    seen.say("are you there?");
    seen.say("hello?");
    seen.say("I wait");
    seen.expect(&[
        "> are you there?",
        "* kept: 1 message waits for the other side. If you leave before, it is gone.",
        "> hello?",
        "> I wait",
    ]);
    seen.feed(Event::Joined(peer("bob", 4190)));
    seen.expect(&["* bob joined (pid 4190). 3 waiting messages are being delivered."]);
    seen.deliver_all();
    assert_eq!(seen.talk.undelivered(), 0);
    seen.hears("bob", "안녕");
    seen.feed(Event::Died(peer("bob", 4190)));
    seen.say("one");
    seen.say("two");
    seen.feed(Event::Joined(peer("bob", 4307)));
    seen.expect(&[
        "bob: 안녕",
        "* bob's program ended without saying goodbye. What you write is kept until it returns.",
        "> one",
        "> two",
        "* bob is back (pid 4307). 2 waiting messages are being delivered.",
    ]);
}

#[test]
fn a_message_that_comes_again_is_shown_once() {
    let mut seen = Seen::new();
    seen.feed(Event::Joined(peer("bob", 1)));
    seen.lines.clear();
    let first = seen.hears("bob", "one");
    let second = seen.hears("bob", "two");
    for id in [first, second, second] {
        seen.feed(Event::Message { id, bytes: encode_text("bob", 0, "again") });
    }
    let other = MessageId { region: 2, position: 0 };
    seen.feed(Event::Message { id: other, bytes: encode_text("bob", 0, "after the return") });
    seen.hears("bob", "three");
    seen.expect(&["bob: one", "bob: two", "bob: after the return", "bob: three"]);
}

#[test]
fn the_same_nick_is_told_once_and_shown_with_a_number() {
    let mut seen = Seen::new();
    seen.feed(Event::Joined(peer("alice", 5)));
    seen.hears("alice", "me too");
    seen.feed(Event::Left(peer("alice", 5)));
    seen.feed(Event::Joined(peer("alice", 6)));
    seen.expect(&[
        "* alice (2) joined (pid 5).",
        "* the other side also calls itself alice; shown as alice (2).",
        "alice (2): me too",
        "* alice (2) left. Waiting for the other side to come back; Ctrl-D to leave.",
        "* alice (2) is back (pid 6).",
    ]);
}

#[test]
fn somebody_else_joins_rather_than_is_back() {
    let mut seen = Seen::new();
    seen.feed(Event::Joined(peer("bob", 5)));
    seen.feed(Event::Left(peer("bob", 5)));
    seen.feed(Event::Joined(peer("carol", 6)));
    assert_eq!(seen.lines.last().unwrap(), "* carol joined (pid 6).");
    seen.feed(Event::Left(peer("", 6)));
    let last = "* the other side left. Waiting for the other side to come back; Ctrl-D to leave.";
    assert_eq!(seen.lines.last().unwrap(), last);
}

#[test]
fn leaving_says_what_is_lost_and_is_silent_otherwise() {
    let mut seen = Seen::new();
    assert_eq!(seen.talk.leave(), None);
    seen.feed(Event::Joined(peer("bob", 5)));
    seen.say("one");
    seen.say("two");
    for id in [1, 2] {
        seen.feed(Event::Accepted(id));
    }
    assert_eq!(seen.talk.leave(), None, "bob holds them and reads them without us");
    seen.feed(Event::Left(peer("bob", 5)));
    let words = "2 messages were not taken by bob and are gone.";
    assert_eq!(seen.talk.leave().unwrap().to_string(), words);
    seen.feed(Event::Delivered(1));
    assert_eq!(
        seen.talk.leave().unwrap().to_string(),
        "1 message was not taken by bob and is gone."
    );
}

#[test]
fn ticks_follow_the_channel_and_never_go_back() {
    let mut seen = Seen::new();
    seen.say("hi");
    assert_eq!(seen.tick(0), Tick::Waiting);
    seen.feed(Event::Accepted(0));
    assert_eq!(seen.tick(0), Tick::Sent);
    seen.feed(Event::Delivered(0));
    assert_eq!(seen.tick(0), Tick::Delivered);
    seen.feed(Event::Accepted(0));
    assert_eq!(seen.tick(0), Tick::Delivered);
    assert_eq!(seen.talk.undelivered(), 0);
    seen.feed(Event::Delivered(99));
}

#[test]
fn what_cannot_be_sent_is_told() {
    let mut seen = Seen::new();
    seen.feed(Event::Joined(peer("bob", 5)));
    seen.say(&"x".repeat(MAX_TEXT + 1));
    seen.say("  \n");
    seen.say("hi");
    seen.feed(Event::NotSent(2, Why::NobodyReads));
    seen.expect(&[
        "* bob joined (pid 5).",
        "* not sent: longer than 65536 bytes.",
        "> hi",
        "* not sent: the other side does not read.",
    ]);
    assert_eq!((seen.tick(2), seen.talk.undelivered()), (Tick::Refused, 0));
}

#[test]
fn a_hostile_peer_is_cleaned_and_malformed_bytes_are_told_once() {
    let mut seen = Seen::new();
    seen.feed(Event::Joined(peer("bo\x1b[31mb\u{202E}", 5)));
    seen.hears("bo\x07b", "\x1b]0;owned\x07\u{202E}abc");
    for position in [1_000, 2_000] {
        let id = MessageId { region: 1, position };
        seen.feed(Event::Message { id, bytes: vec![1, 255, 0] });
    }
    let id = MessageId { region: 1, position: 3_000 };
    seen.feed(Event::Message { id, bytes: vec![77, 1, 2, 3] });
    seen.expect(&[
        "* bo[31mb joined (pid 5).",
        "bob: ␛]0;owned␇abc",
        "* bo[31mb's program sent something that is no chat message; it is not shown.",
    ]);
    seen.feed(Event::Misbehaved("bad length".into()));
    seen.expect(&[
        "* cat: pid 5 wrote something that is no message (bad length). Conversation ended.",
    ]);
    assert!(seen.talk.peer().is_none());
}

#[test]
fn the_memory_is_bounded() {
    let mut seen = Seen::new();
    seen.feed(Event::Joined(peer("bob", 5)));
    for n in 0..20_000u64 {
        let id = MessageId { region: n, position: n };
        seen.feed(Event::Message { id, bytes: encode_text("bob", i64::MIN, "x") });
    }
    assert_eq!(seen.talk.entries().len(), 10_000);
    assert_eq!(seen.talk.entry(0), None);
    assert!(seen.talk.entry(20_000).is_some());
}
