//! Numbers that look random and come again with the same seed.
#![allow(dead_code, reason = "each test file uses a part")]

pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// splitmix64
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The bytes of message `counter`: its counter, then what its length and counter say. Whoever reads
/// it can tell whether it is whole without knowing more.
pub fn message(counter: u64, len: usize) -> Vec<u8> {
    let mut chance = Chance::new(counter ^ (len as u64) << 40);
    let mut bytes = Vec::with_capacity(len + 24);
    bytes.extend_from_slice(&counter.to_le_bytes());
    bytes.extend_from_slice(&(len as u64).to_le_bytes());
    while bytes.len() < len {
        bytes.extend_from_slice(&chance.word().to_le_bytes());
    }
    bytes.truncate(len.max(16));
    bytes
}

/// The counter that a message names, and whether the rest of it is as it was sent.
pub fn read(bytes: &[u8]) -> (u64, bool) {
    let Some(head) = bytes.first_chunk::<8>() else { return (u64::MAX, false) };
    let counter = u64::from_le_bytes(*head);
    (counter, bytes == message(counter, bytes.len()))
}
