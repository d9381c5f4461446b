//! The state of a conversation: who is there, what was said, what has arrived.

use crate::parts::{Body, Effect, Entry, EntryId, Event, MessageId, Peer, Tick, Why};
use crate::wire::{self, MAX_TEXT, Wire};
use crate::{Notice, clean_nick, clean_text};
use std::collections::{BTreeMap, VecDeque};

/// How many entries are remembered; older ones are forgotten.
const MAX_ENTRIES: usize = 10_000;

/// How many of the peer's regions are remembered for telling repeats: the library hands over at
/// most four.
const MAX_REGIONS: usize = 8;

/// Shown for a peer that gave no nick.
const NAMELESS: &str = "the other side";

/// A conversation of two over a channel.
///
/// ```
/// use twocan_conversation::{Body, Conversation, Effect, Event, Peer, Tick};
///
/// let mut talk = Conversation::new("cat", "alice");
/// talk.feed(Event::Joined(Peer { nick: "bob".into(), pid: Some(7) }), 0);
/// let effects = talk.say("hello", 1_000);
/// let [Effect::Show(id), Effect::Send { bytes, .. }] = &effects[..] else { panic!() };
/// assert!(!bytes.is_empty());
/// talk.feed(Event::Accepted(*id), 1_001);
/// let Body::Mine { tick, .. } = &talk.entry(*id).unwrap().body else { panic!() };
/// assert_eq!(*tick, Tick::Sent);
/// ```
#[derive(Debug)]
pub struct Conversation {
    name: String,
    nick: String,
    peer: Option<Peer>,
    /// Nick as shown of the last one that went, and whether without a goodbye.
    departed: Option<(String, bool)>,
    entries: VecDeque<Entry>,
    next_id: EntryId,
    /// My texts that the other side has not taken: how far each has come.
    open: BTreeMap<EntryId, Tick>,
    /// The last position shown of each region, the latest region last.
    seen: VecDeque<MessageId>,
    kept_told: bool,
    same_nick_told: bool,
    malformed_told: bool,
}

impl Conversation {
    /// A conversation that has not begun, on the channel `name`, with me as `nick`.
    pub fn new(name: &str, nick: &str) -> Conversation {
        Conversation {
            name: name.to_owned(),
            nick: clean_nick(nick),
            peer: None,
            departed: None,
            entries: VecDeque::new(),
            next_id: 0,
            open: BTreeMap::new(),
            seen: VecDeque::new(),
            kept_told: false,
            same_nick_told: false,
            malformed_told: false,
        }
    }

    /// Says who waits for whom; for the beginning, when nobody has joined yet.
    pub fn begin(&mut self, now_ms: i64) -> Vec<Effect> {
        let alone = Notice::Alone { name: self.name.clone() };
        let welcome = Notice::Welcome { nick: self.nick.clone() };
        vec![self.notice(alone, now_ms), self.notice(welcome, now_ms)]
    }

    /// Who I am and what can be done; for the beginning when somebody is there already.
    pub fn welcome(&mut self, now_ms: i64) -> Vec<Effect> {
        let welcome = Notice::Welcome { nick: self.nick.clone() };
        vec![self.notice(welcome, now_ms)]
    }

    /// I say something. Blank text is passed over.
    pub fn say(&mut self, text: &str, now_ms: i64) -> Vec<Effect> {
        let text = clean_text(text.trim_end_matches(['\r', '\n']));
        if text.trim().is_empty() {
            return Vec::new();
        }
        if text.len() > MAX_TEXT {
            return vec![self.notice(Notice::NotSent { why: Why::TooLong(MAX_TEXT) }, now_ms)];
        }
        let bytes = wire::encode_text(&self.nick, now_ms, &text);
        let body = Body::Mine { nick: self.nick.clone(), text, tick: Tick::Waiting };
        let entry = self.push(body, now_ms);
        self.open.insert(entry, Tick::Waiting);
        let mut effects = vec![Effect::Show(entry), Effect::Send { entry, bytes }];
        let death_was_told = matches!(self.departed, Some((_, true)));
        if self.peer.is_none() && !self.kept_told && !death_was_told {
            self.kept_told = true;
            effects.push(self.notice(Notice::Kept { waiting: self.undelivered() }, now_ms));
        }
        effects
    }

    /// The chat itself says something to me, such as the answer to a command.
    pub fn tell(&mut self, text: &str, now_ms: i64) -> Vec<Effect> {
        vec![self.notice(Notice::Own { text: text.to_owned() }, now_ms)]
    }

    /// Something happened on the channel.
    pub fn feed(&mut self, event: Event, now_ms: i64) -> Vec<Effect> {
        match event {
            Event::Joined(peer) => self.joined(peer, now_ms),
            Event::Message { id, bytes } => self.message(id, &bytes, now_ms),
            Event::Left(peer) => self.departed(&peer, false, now_ms),
            Event::Died(peer) => self.departed(&peer, true, now_ms),
            Event::Misbehaved(how) => self.misbehaved(how, now_ms),
            Event::Accepted(entry) => self.tick(entry, Tick::Sent),
            Event::Delivered(entry) => self.tick(entry, Tick::Delivered),
            Event::NotSent(entry, why) => {
                let mut effects = self.tick(entry, Tick::Refused);
                effects.push(self.notice(Notice::NotSent { why }, now_ms));
                effects
            }
        }
    }

    /// What to say when I leave now: `None` if nothing is lost by it.
    ///
    /// A peer that is there already holds what the channel accepted, and will read it without us.
    pub fn leave(&self) -> Option<Notice> {
        let lost = match self.peer {
            Some(_) => self.open.values().filter(|t| **t == Tick::Waiting).count() as u64,
            None => self.undelivered(),
        };
        (lost > 0).then(|| Notice::Gone { lost, nick: self.other_nick() })
    }

    /// How many of my texts the other side's program has not taken yet.
    pub fn undelivered(&self) -> u64 {
        self.open.len() as u64
    }

    /// Is the other side there?
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// My nick.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// The other side's nick as shown: of who is there, or of who was there last.
    pub fn other_nick(&self) -> String {
        match (&self.peer, &self.departed) {
            (Some(peer), _) => self.shown(&peer.nick),
            (None, Some((nick, _))) => nick.clone(),
            (None, None) => NAMELESS.to_owned(),
        }
    }

    /// All entries that are remembered, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// One entry, unless it was forgotten.
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        let first = self.entries.front()?.id;
        self.entries.get(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    fn joined(&mut self, peer: Peer, now_ms: i64) -> Vec<Effect> {
        let nick = self.shown(&peer.nick);
        let same = !self.nick.is_empty() && clean_nick(&peer.nick) == self.nick;
        let (pid, waiting) = (peer.pid, self.undelivered());
        self.peer = Some(peer);
        self.kept_told = false;
        self.malformed_told = false;
        let returned = self.departed.as_ref().is_some_and(|(last, _)| *last == nick);
        let mut effects = vec![if returned {
            self.notice(Notice::Returned { nick: nick.clone(), pid, waiting }, now_ms)
        } else {
            self.notice(Notice::Joined { nick: nick.clone(), pid, waiting }, now_ms)
        }];
        if same && !self.same_nick_told {
            self.same_nick_told = true;
            let notice = Notice::SameNick { nick: self.nick.clone(), shown: nick };
            effects.push(self.notice(notice, now_ms));
        }
        effects
    }

    fn departed(&mut self, peer: &Peer, died: bool, now_ms: i64) -> Vec<Effect> {
        let nick = self.shown(&peer.nick);
        self.peer = None;
        self.departed = Some((nick.clone(), died));
        let notice = if died { Notice::Died { nick } } else { Notice::Left { nick } };
        vec![self.notice(notice, now_ms)]
    }

    fn misbehaved(&mut self, how: String, now_ms: i64) -> Vec<Effect> {
        let nick = self.other_nick();
        let pid = self.peer.take().and_then(|p| p.pid);
        self.departed = Some((nick, false));
        vec![self.notice(Notice::Misbehaved { name: self.name.clone(), pid, how }, now_ms)]
    }

    fn message(&mut self, id: MessageId, bytes: &[u8], now_ms: i64) -> Vec<Effect> {
        if !self.is_new(id) {
            return Vec::new();
        }
        match wire::decode(bytes) {
            Ok(Wire::Text(text)) => {
                let nick = self.shown(&text.nick);
                let entry = self.push(Body::Theirs { nick, text: text.text }, text.sent_ms);
                vec![Effect::Show(entry)]
            }
            Ok(Wire::Unknown { .. }) => Vec::new(),
            Err(_) if self.malformed_told => Vec::new(),
            Err(_) => {
                self.malformed_told = true;
                vec![self.notice(Notice::Malformed { nick: self.other_nick() }, now_ms)]
            }
        }
    }

    /// A message that was shown already comes again, with its number, after somebody was killed.
    fn is_new(&mut self, id: MessageId) -> bool {
        if let Some(last) = self.seen.iter_mut().find(|s| s.region == id.region) {
            let new = id.position > last.position;
            last.position = last.position.max(id.position);
            return new;
        }
        if self.seen.len() == MAX_REGIONS {
            self.seen.pop_front();
        }
        self.seen.push_back(id);
        true
    }

    fn tick(&mut self, entry: EntryId, tick: Tick) -> Vec<Effect> {
        let Some(was) = self.open.get_mut(&entry) else {
            return Vec::new();
        };
        if *was == tick {
            return Vec::new();
        }
        *was = tick;
        if matches!(tick, Tick::Delivered | Tick::Refused) {
            self.open.remove(&entry);
        }
        let first = self.entries.front().map_or(0, |e| e.id);
        let Some(index) = entry.checked_sub(first).and_then(|i| usize::try_from(i).ok()) else {
            return Vec::new();
        };
        if let Some(Entry { body: Body::Mine { tick: shown, .. }, .. }) =
            self.entries.get_mut(index)
        {
            *shown = tick;
        }
        vec![Effect::Ticked(entry)]
    }

    fn shown(&self, nick: &str) -> String {
        let nick = clean_nick(nick);
        if nick.is_empty() {
            NAMELESS.to_owned()
        } else if nick == self.nick {
            format!("{nick} (2)")
        } else {
            nick
        }
    }

    fn notice(&mut self, notice: Notice, now_ms: i64) -> Effect {
        Effect::Show(self.push(Body::Notice(notice), now_ms))
    }

    fn push(&mut self, body: Body, at_ms: i64) -> EntryId {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        let id = self.next_id;
        self.next_id += 1;
        self.entries.push_back(Entry { id, at_ms, body });
        id
    }
}
