//! The three messages that ends exchange: the seat record (a file), HELLO and WELCOME (one datagram
//! each). Bounded, checked, little-endian; descriptors travel beside them in a fixed order.

use crate::direction::Direction;
use crate::layout::{MAGIC, VERSION, fingerprint};
use crate::region::Shape;

/// Longest label in bytes.
pub(crate) const MAX_LABEL: usize = 128;
/// Longest message of the handshake: a WELCOME with full lists and the longest strings stays below
/// it.
pub(crate) const MAX_WIRE: usize = 1024;
/// Most regions of one seat that are handed over, the live one included.
pub(crate) const MAX_REGIONS: usize = 4;

/// More lives of one seat than anybody starts; a peer that claims more wants the counter to run
/// out.
const MAX_GENERATION: u32 = 1 << 31;

/// What kind of message it is, in its first bytes.
const SEAT: u32 = 1;
const HELLO: u32 = 2;
const WELCOME: u32 = 3;

/// What an end says of itself, in its seat record and in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) direction: Direction,
    pub(crate) max_message: u64,
    pub(crate) pid: u32,
    pub(crate) label: String,
    pub(crate) nick: String,
    /// Its own region; the id also tells one end from the next at the same seat.
    pub(crate) region: Shape,
}

/// Readable without the end's help: decides refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeatRecord {
    pub(crate) card: Card,
    pub(crate) channel: String,
}

/// One region in a list, in the order of generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) generation: u32,
    pub(crate) shape: Shape,
    /// Up to here it is known to be acknowledged.
    pub(crate) position: u64,
}

/// Descriptors: the two doorbells, the regions of `outbox`, those of `inbox`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Welcome {
    pub(crate) card: Card,
    /// The newcomer's generation in its seat.
    pub(crate) generation: u32,
    /// The survivor's seat: its predecessors' regions, its own last.
    pub(crate) outbox: Vec<Listed>,
    /// The newcomer's predecessors' regions.
    pub(crate) inbox: Vec<Listed>,
}

/// Why a message could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Not ours, or cut.
    Malformed,
    /// Ours, but of another layout version.
    Version(u32),
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(kind: u32) -> Writer {
        let mut w = Writer(Vec::with_capacity(256));
        w.u64(MAGIC);
        w.u32(VERSION);
        w.u32(fingerprint());
        w.u32(kind);
        w
    }
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn text(&mut self, s: &str) {
        self.u32(s.len() as u32);
        self.0.extend_from_slice(s.as_bytes());
    }
    fn shape(&mut self, s: &Shape) {
        self.u64(s.id);
        self.u64(s.capacity);
        self.u64(s.start);
    }
    fn card(&mut self, c: &Card) {
        self.u32(direction_code(c.direction));
        self.u64(c.max_message);
        self.u32(c.pid);
        self.text(&c.label);
        self.text(&c.nick);
        self.shape(&c.region);
    }
    fn list(&mut self, list: &[Listed]) {
        self.u32(list.len() as u32);
        for l in list {
            self.u32(l.generation);
            self.u64(l.position);
            self.shape(&l.shape);
        }
    }
    fn done(self) -> Vec<u8> {
        debug_assert!(self.0.len() <= MAX_WIRE);
        self.0
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8], kind: u32) -> Result<Reader<'b>, Unusable> {
        let mut r = Reader(bytes);
        let magic = r.u64().ok_or(Unusable::Malformed)?;
        if magic != MAGIC {
            return Err(Unusable::Malformed);
        }
        let version = r.u32().ok_or(Unusable::Malformed)?;
        let print = r.u32().ok_or(Unusable::Malformed)?;
        if version != VERSION || print != fingerprint() {
            return Err(Unusable::Version(version));
        }
        if r.u32() != Some(kind) {
            return Err(Unusable::Malformed);
        }
        Ok(r)
    }
    fn bytes(&mut self, n: usize) -> Option<&'b [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }
    fn text(&mut self, max: usize) -> Option<String> {
        let len = self.u32()? as usize;
        if len > max {
            return None;
        }
        String::from_utf8(self.bytes(len)?.to_vec()).ok()
    }
    fn shape(&mut self) -> Option<Shape> {
        let shape = Shape { id: self.u64()?, capacity: self.u64()?, start: self.u64()? };
        shape.is_sane().then_some(shape)
    }
    fn card(&mut self) -> Option<Card> {
        Some(Card {
            direction: direction_of(self.u32()?)?,
            max_message: self.u64()?,
            pid: self.u32()?,
            label: self.text(MAX_LABEL)?,
            nick: crate::peer::clean_nick(&self.text(crate::peer::MAX_NICK)?),
            region: self.shape()?,
        })
    }
    fn list(&mut self, max: usize) -> Option<Vec<Listed>> {
        let n = self.u32()? as usize;
        if n > max {
            return None;
        }
        let mut list = Vec::with_capacity(n);
        for _ in 0..n {
            let generation = self.u32()?;
            let position = self.u64()?;
            let shape = self.shape()?;
            let after = list.last().is_none_or(|l: &Listed| l.generation < generation);
            if !after
                || generation == 0
                || generation > MAX_GENERATION
                || position % crate::layout::LINE as u64 != 0
            {
                return None;
            }
            list.push(Listed { generation, shape, position });
        }
        Some(list)
    }
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

impl SeatRecord {
    /// Longest channel name kept in the record; a longer one is cut (it is only shown).
    const MAX_NAME: usize = 256;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(SEAT);
        w.card(&self.card);
        let mut cut = self.channel.len().min(Self::MAX_NAME);
        while !self.channel.is_char_boundary(cut) {
            cut -= 1;
        }
        w.text(&self.channel[..cut]);
        w.done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SeatRecord, Unusable> {
        let mut r = Reader::new(bytes, SEAT)?;
        let mut body = || {
            let record = SeatRecord { card: r.card()?, channel: r.text(Self::MAX_NAME)? };
            r.end()?;
            Some(record)
        };
        body().ok_or(Unusable::Malformed)
    }
}

/// HELLO: a newcomer's card; descriptors: its region, its two doorbells, and its own pidfd if
/// `own_pidfd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) card: Card,
    /// The connection was inherited, so the kernel names its maker instead of the newcomer.
    pub(crate) own_pidfd: bool,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(HELLO);
        w.card(&self.card);
        w.u32(u32::from(self.own_pidfd));
        w.done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Hello, Unusable> {
        let mut r = Reader::new(bytes, HELLO)?;
        let mut body = || {
            let card = r.card()?;
            let own_pidfd = match r.u32()? {
                0 => false,
                1 => true,
                _ => return None,
            };
            r.end()?;
            Some(Hello { card, own_pidfd })
        };
        body().ok_or(Unusable::Malformed)
    }
}

impl Welcome {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(WELCOME);
        w.card(&self.card);
        w.u32(self.generation);
        w.list(&self.outbox);
        w.list(&self.inbox);
        w.done()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Welcome, Unusable> {
        let mut r = Reader::new(bytes, WELCOME)?;
        let mut body = || {
            let welcome = Welcome {
                card: r.card()?,
                generation: r.u32()?,
                outbox: r.list(MAX_REGIONS)?,
                inbox: r.list(MAX_REGIONS - 1)?,
            };
            r.end()?;
            let own = welcome.outbox.last()?;
            let after = welcome.inbox.last().is_none_or(|l| l.generation < welcome.generation);
            let sane = 0 < welcome.generation && welcome.generation <= MAX_GENERATION;
            (own.shape == welcome.card.region && after && sane).then_some(welcome)
        };
        body().ok_or(Unusable::Malformed)
    }
}

fn direction_code(d: Direction) -> u32 {
    match d {
        Direction::Both => 0,
        Direction::SendOnly => 1,
        Direction::RecvOnly => 2,
    }
}

fn direction_of(code: u32) -> Option<Direction> {
    Some(match code {
        0 => Direction::Both,
        1 => Direction::SendOnly,
        2 => Direction::RecvOnly,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        Card {
            direction: Direction::SendOnly,
            max_message: 64 << 20,
            pid: 77,
            label: "chat/1".into(),
            nick: "alice".into(),
            region: Shape { id: 5, capacity: 4096, start: !63 },
        }
    }

    fn welcome() -> Welcome {
        let listed = |generation, id| Listed {
            generation,
            shape: Shape { id, capacity: 8192, start: 64 },
            position: 128,
        };
        let own = Listed { generation: 9, shape: card().region, position: 64 };
        Welcome {
            card: card(),
            generation: 4,
            outbox: vec![listed(1, 1), listed(7, 2), listed(8, 3), own],
            inbox: vec![listed(1, 11), listed(2, 12), listed(3, 13)],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let record = SeatRecord { card: card(), channel: "고양이".repeat(100) };
        let read = SeatRecord::decode(&record.encode()).unwrap();
        assert_eq!(read.card, record.card);
        assert!(record.channel.starts_with(&read.channel) && read.channel.len() > 250);
        let hello = Hello { card: card(), own_pidfd: true };
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        assert_eq!(Welcome::decode(&welcome().encode()), Ok(welcome()));
    }

    #[test]
    fn every_cut_and_every_longer_message_is_refused() {
        let bytes = welcome().encode();
        for n in 0..bytes.len() {
            assert!(Welcome::decode(&bytes[..n]).is_err(), "cut at {n}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Welcome::decode(&longer).is_err());
        assert!(Hello::decode(&bytes).is_err(), "another kind of message");
    }

    #[test]
    fn another_version_says_which() {
        let mut bytes = Hello { card: card(), own_pidfd: false }.encode();
        bytes[8] = 3;
        assert_eq!(Hello::decode(&bytes), Err(Unusable::Version(3)));
    }

    #[test]
    fn the_largest_messages_fit_the_buffer() {
        let mut w = welcome();
        w.card.label = "l".repeat(MAX_LABEL);
        w.card.nick = "n".repeat(crate::peer::MAX_NICK);
        assert!(w.encode().len() <= MAX_WIRE);
    }

    #[test]
    fn lists_out_of_order_are_refused() {
        let mut w = welcome();
        w.inbox.swap(0, 1);
        assert_eq!(Welcome::decode(&w.encode()), Err(Unusable::Malformed));
        let mut w = welcome();
        w.generation = 3;
        assert_eq!(Welcome::decode(&w.encode()), Err(Unusable::Malformed));
    }
}
