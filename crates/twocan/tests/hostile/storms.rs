//! Stores as fast as they can be made, around the place where the victim reads.

use crate::card::LIMIT;
use crate::meeting::*;
use crate::shared::*;
use std::time::{Duration, Instant};

/// Between two looks at the session.
const STRIDE: u64 = 256;

/// No storm lasts longer: a slow victim makes no room for stores.
const STORM_TIME_MAX: Duration = Duration::from_secs(2);

/// Calls `store` until the budget is used up or the victim has hung up.
fn storm(m: &mut Meeting<'_>, mut store: impl FnMut(&mut Meeting<'_>)) {
    let (until, deadline) = (m.mine.writes() + m.budget, Instant::now() + STORM_TIME_MAX);
    let (begun, mut turns) = (m.position(), 0u64);
    while m.mine.writes() < until && Instant::now() < deadline && !m.ended() {
        for _ in 0..STRIDE {
            store(m);
        }
        // Room for the victim to send, so that it has time to receive.
        turns += 1;
        if turns % 16 == 0 {
            m.acknowledge();
        }
    }
    // A storm that nobody has seen shows nothing: the victim comes by once at least.
    for _ in 0..1000 {
        if m.position() != begun || m.ends_soon() {
            break;
        }
    }
    m.linger(3);
}

/// Publishes what is at hand while there is room, without waiting.
fn publish(m: &mut Meeting<'_>, kind: u64, len: u64) -> bool {
    publish_with(m, kind, len, &[])
}

fn publish_with(m: &mut Meeting<'_>, kind: u64, len: u64, payload: &[u8]) -> bool {
    let padding = if (16 + len).next_multiple_of(64) > m.to_end() { m.to_end() } else { 0 };
    let needed = padding + (16 + len).next_multiple_of(64) + 64;
    if m.head.wrapping_sub(m.position()) + needed > m.mine.capacity {
        return false;
    }
    if padding > 0 {
        m.publish(PAD, padding - 16, &[]);
    }
    m.publish(kind, len, payload);
    true
}

/// The record that the victim reads next claims one length after the other: some are good, some
/// are not, and the word changes between two reads of it.
pub fn lengths(m: &mut Meeting<'_>) {
    // Honest ones first: they pass through as many calls as it takes to be read.
    let n = 1 + m.chance.below(200);
    for _ in 0..n {
        publish(m, DATA, 48);
    }
    let good = DATA << 32 | 40;
    let capacity = m.mine.capacity;
    let bad = [
        DATA << 32 | (quarter(capacity) + 1),
        DATA << 32 | 0xFFFF_FFF0,
        DATA << 32 | (m.to_end() + 1),
        FIRST << 32 | 8,
        9 << 32 | 40,
    ];
    let bad = bad[m.chance.below(bad.len() as u64) as usize];
    let at = m.mine.at(m.head) + 8;
    m.mine.put(at, good);
    m.mine.put(at - 8, m.head | 1);
    m.ring();
    let mut turns = 0;
    storm(m, |m| {
        m.mine.put(at, bad);
        m.mine.put(at, good);
        turns += 1;
        // The honest length was read: the next one will not be.
        if turns % (4 * STRIDE) == 0 {
            let next = m.mine.at(m.head.wrapping_add(64));
            m.mine.put(next + 8, bad);
            m.mine.put(next, m.head.wrapping_add(64) | 1);
        }
    });
}

/// The unread records change their lengths all the time, but each of them is possible: the victim
/// must take one, and copy so many bytes.
pub fn honest_lengths(m: &mut Meeting<'_>) {
    storm(m, |m| {
        publish(m, DATA, 48);
        let back = 64 * (1 + m.chance.below(8));
        let position = m.head.wrapping_sub(back);
        let len = m.chance.below(49);
        m.mine.put(m.mine.at(position) + 8, DATA << 32 | len);
        m.mine.put(m.mine.at(position) + 8, DATA << 32 | 48);
    });
}

/// Bytes change while they are copied out.
pub fn payload(m: &mut Meeting<'_>) {
    let len = quarter(m.mine.capacity).min(4000) & !7;
    storm(m, |m| {
        publish(m, DATA, len);
        let position = m.position();
        for _ in 0..8 {
            let word = m.chance.word();
            let at = m.mine.at(position.wrapping_add(16 + (word >> 8) % len));
            m.mine.put(at & !7, word);
        }
    });
}

/// Long messages whose fragments change while they are put together: number, whole length, kinds.
pub fn fragments(m: &mut Meeting<'_>) {
    let share = quarter(m.mine.capacity).min(1500) & !7;
    let whole = 24_000;
    let mut sent = whole;
    storm(m, |m| {
        let number = m.head | 1;
        let published = if sent >= whole {
            let head = Meeting::first(number, whole, 0);
            publish_with(m, FIRST, share, &head).then(|| sent = share - 16)
        } else {
            let n = share.min(whole - sent);
            let kind = if sent + n == whole { LAST } else { MIDDLE };
            publish(m, kind, n).then(|| sent += n)
        };
        // The whole length of the one that is read next becomes another, now and then.
        if published.is_some() && m.chance.percent(1) {
            let position = m.position();
            m.mine.put(m.mine.at(position) + 24, LIMIT - (position & 0xFFF));
        }
    });
}

/// Small messages, at full speed.
pub fn records(m: &mut Meeting<'_>) {
    storm(m, |m| {
        let len = m.chance.below(49);
        if !publish(m, DATA, len) {
            // Full: what lies behind the reader may be anything.
            let (word, behind) = (m.chance.word(), m.position().wrapping_sub(64));
            m.mine.put(m.mine.at(behind) + (word & 0x38), word);
        }
    });
}

/// Every control word takes any value that does not end the session by itself.
pub fn words(m: &mut Meeting<'_>) {
    storm(m, |m| {
        let word = m.chance.word();
        let (at, word) = match word >> 56 & 15 {
            0..3 => (ARM_RX, word),
            3..6 => (ARM_TX, word),
            6 => (BELL_RX, word & 0xFFFF_FFFF),
            7 => (BELL_TX, word & 0xFFFF_FFFF),
            8 => (TAKEN, word),
            9 => (END, word & !63), // no reason given
            10 => (CLOSED_RX, word >> 3 & 1),
            11 => (DISCARD, m.head.wrapping_sub(64 * (word & 7)) | 1),
            12 => (ACK, word & 0xFFFF_FFFF), // generation 0: nobody's
            13 => (word >> 8 & 32, word),
            14 => (ASYM, word & 1),
            _ => (NOBODY, word),
        };
        m.mine.put(at, word);
        if word & 0xFF00 == 0 {
            publish(m, DATA, 24);
            m.acknowledge();
        }
    });
}

/// Any word anywhere, mostly near the place where the victim reads.
pub fn anything(m: &mut Meeting<'_>) {
    let mut patience = m.chance.below(20_000);
    storm(m, |m| {
        let word = m.chance.word();
        let len = word & 63;
        publish(m, DATA, len);
        if patience > 0 {
            patience -= 1;
            return;
        }
        let position = m.position();
        let near = position.wrapping_add((word >> 8 & 31) * 8);
        match word >> 60 {
            0..8 => m.mine.put(m.mine.at(near) & !7, word),
            8..10 => m.mine.put(m.mine.at(position) + 8, (1 + (word >> 20) % 5) << 32 | word >> 44),
            10..12 => m.mine.put(m.mine.at(position), position.wrapping_add(word >> 30 & 127) | 1),
            12 => m.mine.put(128 * (1 + (word >> 20 & 7)), word),
            13 => m.mine.put(ACK, u64::from(m.their_generation) << 32 | word >> 32),
            14 => m.mine.put(m.mine.at(word) & !7, word),
            _ => m.mine.put(word >> 8 & 0x7F8, word),
        }
    });
}
