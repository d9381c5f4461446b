//! The packets of the handshake, each field of which may be a lie.

use crate::fake::{MAGIC, fingerprint};
use crate::shared::Shared;

/// The victim's limit for one message; both sides must agree on it.
pub const LIMIT: u64 = 128 << 10;

pub const HELLO: u32 = 2;
pub const WELCOME: u32 = 3;

/// What an end says of itself.
#[derive(Clone)]
pub struct Card {
    pub magic: u64,
    pub version: u32,
    pub fingerprint: u32,
    pub kind: u32,
    pub direction: u32,
    pub limit: u64,
    pub label: Vec<u8>,
    pub nick: Vec<u8>,
    /// Told instead of the true lengths of label and nick.
    pub lengths: [Option<u32>; 2],
    pub shape: [u64; 3],
    /// What follows the card.
    pub tail: Vec<u8>,
}

impl Card {
    pub fn hello(region: &Shared, nick: &str) -> Card {
        Card {
            magic: u64::from_le_bytes(*MAGIC),
            version: 1,
            fingerprint: fingerprint(),
            kind: HELLO,
            direction: 0,
            limit: LIMIT,
            label: Vec::new(),
            nick: nick.as_bytes().to_vec(),
            lengths: [None, None],
            shape: [region.id, region.capacity, region.start],
            tail: vec![0; 4], // no pidfd of its own
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_le_bytes().to_vec();
        let mut word = |w: u32| bytes.extend_from_slice(&w.to_le_bytes());
        [self.version, self.fingerprint, self.kind, self.direction].into_iter().for_each(&mut word);
        bytes.extend_from_slice(&self.limit.to_le_bytes());
        bytes.extend_from_slice(&std::process::id().to_le_bytes());
        for (text, told) in [&self.label, &self.nick].into_iter().zip(self.lengths) {
            let len = told.unwrap_or(text.len() as u32);
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(text);
        }
        self.shape.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
        bytes.extend_from_slice(&self.tail);
        bytes
    }
}

/// One region in a list of WELCOME.
#[derive(Clone, Copy)]
pub struct Listed {
    pub generation: u32,
    pub position: u64,
    pub shape: [u64; 3],
}

/// What follows the card in WELCOME.
pub fn lists(generation: u32, outbox: &[Listed], inbox: &[Listed]) -> Vec<u8> {
    let mut bytes = generation.to_le_bytes().to_vec();
    for list in [outbox, inbox] {
        bytes.extend_from_slice(&(list.len() as u32).to_le_bytes());
        for listed in list {
            bytes.extend_from_slice(&listed.generation.to_le_bytes());
            bytes.extend_from_slice(&listed.position.to_le_bytes());
            listed.shape.iter().for_each(|w| bytes.extend_from_slice(&w.to_le_bytes()));
        }
    }
    bytes
}

/// A WELCOME that was heard.
pub struct Welcome {
    pub generation: u32,
    /// The victim's own region is the last.
    pub own: Listed,
    /// Its descriptor's number among those that came.
    pub own_fd: usize,
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn number<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self.0.split_first_chunk::<N>().expect("a whole WELCOME");
        self.0 = tail;
        *head
    }
    fn skip(&mut self, bytes: usize) {
        self.0 = &self.0[bytes..];
    }
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.number())
    }
    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.number())
    }
    fn listed(&mut self) -> Listed {
        let (generation, position) = (self.u32(), self.u64());
        Listed { generation, position, shape: [self.u64(), self.u64(), self.u64()] }
    }
}

impl Welcome {
    /// The victim is honest: what it says is not doubted.
    pub fn read(bytes: &[u8]) -> Welcome {
        let mut r = Reader(&bytes[16..]);
        assert_eq!(r.u32(), WELCOME);
        r.skip(4 + 8 + 4); // direction, limit, pid
        for _ in ["label", "nick"] {
            let len = r.u32() as usize;
            r.skip(len);
        }
        r.skip(3 * 8); // its region, which stands in the list as well
        let generation = r.u32();
        let outbox: Vec<Listed> = (0..r.u32()).map(|_| r.listed()).collect();
        let own = *outbox.last().expect("its own region");
        Welcome { generation, own, own_fd: 1 + outbox.len() }
    }
}
