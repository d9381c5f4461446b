//! Which byte of a region is where. One picture, and the compiler holds the code to it.
//!
//! A region is one direction of a channel: everything in it is written by its owner and only read
//! by the peer.
//!
//! ```text
//!        0  identity    magic, layout version, fingerprint, region id, capacity, start
//!      128  arm_rx      the owner's receiver sleeps (generation * 4 + mode)
//!      256  arm_tx      the owner's sender sleeps
//!      384  bell_rx     the PEER's receiver sleeps on this word
//!      512  bell_tx     the PEER's sender sleeps on this word
//!      640  ack, taken  how far the owner's application has read the peer's regions
//!      768  end         final position and reason; 0 while the owner goes on sending
//!      896  closed_rx   the owner does not receive
//!     1024  discard     records before this position are to be skipped
//!     1152  asym        the owner's process takes part in the asymmetric fence
//!     4096  ring        `capacity` bytes, a power of two
//!
//!     a record, at a multiple of 64, never across the ring's end:
//!        0  stamp       u64, position | 1 = this record is complete; else nothing here yet
//!        8  head        u64, kind << 32 | payload length in bytes
//!       16  payload     then up to the next multiple of 64: unused
//! ```
//!
//! Fields stand 128 bytes apart because processors fetch lines of 64 bytes in pairs: two fields
//! that different processes write must not travel together.

use crate::sync::{AtomicU32, AtomicU64};

/// Says what the memory is: "TWOCAN" and two bytes that no text has.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"TWOCAN\x00\xE1");
/// Counts incompatible changes of this file, of `session::wire` and of the waiting protocol.
pub(crate) const VERSION: u32 = 1;
/// A record starts at a multiple of this; also the unit of the acknowledgement word.
pub(crate) const LINE: usize = 64;
/// Where the ring begins: one page, so that the ring can have pages of its own kind.
pub(crate) const RING_AT: usize = 4096;
/// Bytes of a record before its payload: stamp and head share the first line with short payloads.
pub(crate) const RECORD_HEAD: usize = 16;
/// Smallest ring: four records of one kibibyte still let a sender run ahead.
pub(crate) const MIN_CAPACITY: usize = 4 << 10;
/// Largest ring: what one peer may make the other map.
pub(crate) const MAX_CAPACITY: usize = 1 << 30;
/// Default ring: from here on a backlog forms and streaming is not bound by the line being written.
pub(crate) const DEFAULT_CAPACITY: usize = 1 << 20;
/// Default limit of one message in bytes, the same on both sides.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 64 << 20;

/// A value alone on its pair of cache lines.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Alone<T>(pub(crate) T);

impl<T> std::ops::Deref for Alone<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Written once, before the region is handed to anybody.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) magic: AtomicU64,
    pub(crate) version: AtomicU32,
    pub(crate) fingerprint: AtomicU32,
    pub(crate) id: AtomicU64,
    pub(crate) capacity: AtomicU64,
    pub(crate) start: AtomicU64,
}

/// How far the owner's application has read.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Progress {
    /// Generation of the peer's region << 32 | position / 64, low 32 bits. 0 = nothing known. Unit:
    /// lines. Written by the owner's receiver (by its watcher once, before the first message). May
    /// be stale by any amount.
    pub(crate) ack: AtomicU64,
    /// Number (position | 1) of the last long message that the application acknowledged in the
    /// region that `ack` names; 0 = none. Stored before `ack`.
    pub(crate) taken: AtomicU64,
}

/// The control words of a region.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) identity: Alone<Identity>,
    pub(crate) arm_rx: Alone<AtomicU64>,
    pub(crate) arm_tx: Alone<AtomicU64>,
    pub(crate) bell_rx: Alone<AtomicU32>,
    pub(crate) bell_tx: Alone<AtomicU32>,
    pub(crate) progress: Alone<Progress>,
    /// Final position | `END_FINISHED` or `END_GOODBYE`; 0 while the owner may still send.
    pub(crate) end: Alone<AtomicU64>,
    /// 1 = the owner does not receive (any more).
    pub(crate) closed_rx: Alone<AtomicU32>,
    /// Position | 1: the reader skips what lies before it; 0 = nothing to skip.
    pub(crate) discard: Alone<AtomicU64>,
    /// 1 = the owner's process takes part in the asymmetric fence; then it does so for good.
    pub(crate) asym: Alone<AtomicU32>,
}

#[cfg(test)]
impl Header {
    /// As in a new region.
    pub(crate) fn blank() -> Header {
        let word = || Alone(AtomicU64::new(0));
        let half = || Alone(AtomicU32::new(0));
        let identity = Identity {
            magic: AtomicU64::new(0),
            version: AtomicU32::new(0),
            fingerprint: AtomicU32::new(0),
            id: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            start: AtomicU64::new(0),
        };
        Header {
            identity: Alone(identity),
            arm_rx: word(),
            arm_tx: word(),
            bell_rx: half(),
            bell_tx: half(),
            progress: Alone(Progress { ack: AtomicU64::new(0), taken: AtomicU64::new(0) }),
            end: word(),
            closed_rx: half(),
            discard: word(),
            asym: half(),
        }
    }
}

/// The owner has finished sending and may still receive.
pub(crate) const END_FINISHED: u64 = 1;
/// The owner said goodbye.
pub(crate) const END_GOODBYE: u64 = 2;
/// The bits of the end word that hold the reason; positions are multiples of `LINE`.
pub(crate) const END_REASON: u64 = LINE as u64 - 1;

/// What a record is. The numbers are part of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// A whole message.
    Data = 1,
    /// Nothing: fills the ring up to its end.
    Pad = 2,
    /// The beginning of a long message: its number (u64), its whole length (u64), then bytes.
    First = 3,
    /// More bytes of a long message.
    Middle = 4,
    /// The last bytes of a long message.
    Last = 5,
}

impl Kind {
    #[inline]
    pub(crate) fn from_bits(bits: u32) -> Option<Kind> {
        Some(match bits {
            1 => Kind::Data,
            2 => Kind::Pad,
            3 => Kind::First,
            4 => Kind::Middle,
            5 => Kind::Last,
            _ => return None,
        })
    }
}

/// Bytes in front of the first fragment's share of a long message: number and whole length.
pub(crate) const FIRST_HEAD: usize = 16;

/// The head word of a record.
pub(crate) const fn head_word(kind: Kind, len: usize) -> u64 {
    (kind as u64) << 32 | len as u64
}

/// The stamp of a complete record at `position`: odd, so never 0.
pub(crate) const fn stamp(position: u64) -> u64 {
    position | 1
}

/// Bytes that a record with a payload of `len` bytes takes in the ring.
pub(crate) const fn record_size(len: usize) -> usize {
    (RECORD_HEAD + len + LINE - 1) & !(LINE - 1)
}

/// The longest payload of one record in a ring of `capacity` bytes: a quarter of the ring, so that
/// a record and the padding before it always fit, and who sends messages of a size finds a ring of
/// four times that size to be enough.
pub(crate) const fn max_payload(capacity: usize) -> usize {
    capacity / 4
}

/// Sizes and offsets folded into one number: two builds that disagree refuse each other.
pub(crate) const fn fingerprint() -> u32 {
    let parts = [
        size_of::<Header>(),
        core::mem::offset_of!(Header, progress),
        core::mem::offset_of!(Header, end),
        core::mem::offset_of!(Header, asym),
        RING_AT,
        LINE,
        RECORD_HEAD,
        FIRST_HEAD,
        max_payload(MIN_CAPACITY),
    ];
    let mut hash: u32 = 0x811C_9DC5; // FNV-1a, 32 bits
    let mut i = 0;
    while i < parts.len() {
        hash = (hash ^ parts[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    hash
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Header, identity) == 0);
    assert!(offset_of!(Header, arm_rx) == 128);
    assert!(offset_of!(Header, arm_tx) == 256);
    assert!(offset_of!(Header, bell_rx) == 384);
    assert!(offset_of!(Header, bell_tx) == 512);
    assert!(offset_of!(Header, progress) == 640);
    assert!(offset_of!(Header, end) == 768);
    assert!(offset_of!(Header, closed_rx) == 896);
    assert!(offset_of!(Header, discard) == 1024);
    assert!(offset_of!(Header, asym) == 1152);
    assert!(size_of::<Header>() <= RING_AT, "the ring begins behind the header");
    assert!(size_of::<Identity>() <= 64, "the identity is one line");
    assert!(MIN_CAPACITY / 4 > RECORD_HEAD + FIRST_HEAD, "a fragment carries at least one byte");
    assert!(MAX_CAPACITY < u32::MAX as usize, "a payload length fits the head word");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_48_byte_message_is_one_line_and_the_next_byte_starts_another() {
        assert_eq!(record_size(0), 64);
        assert_eq!(record_size(48), 64);
        assert_eq!(record_size(49), 128);
    }

    #[test]
    fn the_longest_record_and_the_padding_before_it_fit() {
        for capacity in [MIN_CAPACITY, DEFAULT_CAPACITY, MAX_CAPACITY] {
            let longest = record_size(max_payload(capacity));
            assert!(longest - LINE + longest < capacity, "and a line stays free");
        }
    }

    #[test]
    fn kinds_survive_the_head_word() {
        for kind in [Kind::Data, Kind::Pad, Kind::First, Kind::Middle, Kind::Last] {
            let word = head_word(kind, 77);
            assert_eq!(Kind::from_bits((word >> 32) as u32), Some(kind));
            assert_eq!(word as u32, 77);
        }
        assert_eq!(Kind::from_bits(0), None);
        assert_eq!(Kind::from_bits(6), None);
    }
}
