//! What an attached peer does that no honest one would: one act a session, under its own name, and
//! what the victim must have said of it.

use crate::card::LIMIT;
use crate::meeting::*;
use crate::shared::*;
use crate::storms;
use std::time::{Duration, Instant};

pub struct Act {
    /// The nick of the peer; the victim counts its answers under it.
    pub name: &'static str,
    pub play: fn(&mut Meeting<'_>),
    /// Each of these the victim must have answered, or a branch of the checks was not reached.
    pub says: &'static [&'static str],
}

const fn act(name: &'static str, play: fn(&mut Meeting<'_>), says: &'static [&'static str]) -> Act {
    Act { name, play, says }
}

const RECORD: &[&str] = &["in BadRecord"];
const FRAGMENT: &[&str] = &["in BadFragment"];
const LONG: &[&str] = &["in TooLong"];
const ACKED: &[&str] = &["in BadAcknowledgement"];
const NOTHING: &[&str] = &["in TimedOut", "in Empty", "in PeerDied"];

/// These need a ring in which a record may be longer than a message.
pub const IN_A_LARGE_RING: &[&str] = &["message-over-the-limit"];
/// Which of its halves the victim looks with first decides what it says: these are played often.
pub const SEVERAL_TIMES: &[&str] =
    &["ack-that-fills-and-lies", "storm-of-fragments", "storm-of-lengths", "deaf"];

pub const ACTS: &[Act] = &[
    // What a record may say of itself.
    act("kind-0", |m| lethal(m, 0, 5), RECORD),
    act("kind-6", |m| lethal(m, 6, 5), RECORD),
    act("kind-max", |m| lethal(m, 0xFFFF_FFFF, 5), RECORD),
    act("length-over-a-quarter", |m| lethal(m, DATA, quarter(m.mine.capacity) + 1), RECORD),
    act("length-max", |m| lethal(m, LAST, 0xFFFF_FFFF), RECORD),
    act("length-over-the-end", over_the_end, RECORD),
    act("padding-short", padding_short, RECORD),
    act("padding-over-the-end", padding_over, RECORD),
    act("padding-long", |m| lethal(m, PAD, m.to_end() - 16), RECORD),
    act("message-over-the-limit", |m| lethal(m, DATA, LIMIT + 1), LONG),
    act("stamps-of-others", stamps, NOTHING),
    act("stamps-backwards", backwards, &["in ok", "in TimedOut", "in PeerDied"]),
    act("padding-for-ever", padding_for_ever, &["in TimedOut", "in PeerDied"]),
    act("discard-for-ever", discard_for_ever, &["in TimedOut", "in PeerDied"]),
    act("discard-without-end", discard_without_end, &["in TimedOut", "in PeerDied"]),
    act("discard-nonsense", discard_nonsense, &["in ok", "in PeerDied"]),
    // Long messages.
    act("first-without-a-head", |m| lethal(m, FIRST, 15), FRAGMENT),
    act("first-with-an-even-number", |m| first(m, 2, 100, 20), FRAGMENT),
    act("first-over-the-limit", |m| first(m, 1, LIMIT + 1, 20), LONG),
    act("first-of-everything", |m| first(m, 1, u64::MAX, 20), LONG),
    act("first-without-bytes", |m| first(m, 1, 100, 0), FRAGMENT),
    act("first-with-more-than-all", |m| first(m, 1, 20, 21), FRAGMENT),
    act("first-with-all", |m| first(m, 1, 20, 20), FRAGMENT),
    act("first-of-nothing", |m| first(m, 1, 0, 4), FRAGMENT),
    act("middle-without-bytes", |m| second(m, MIDDLE, 0), FRAGMENT),
    act("middle-with-more-than-left", |m| second(m, MIDDLE, 81), FRAGMENT),
    act("middle-with-all-that-is-left", |m| second(m, MIDDLE, 80), FRAGMENT),
    act("last-before-the-end", |m| second(m, LAST, 79), FRAGMENT),
    act("last-with-more-than-left", |m| second(m, LAST, 81), FRAGMENT),
    act("fragments-without-a-beginning", orphans, &["in ok"]),
    act("fragments-cut-by-a-message", |m| cut(m, false), &["in ok"]),
    act("fragments-cut-by-a-first", |m| cut(m, true), &["in long"]),
    act("fragments-that-never-end", endless, &["in TimedOut", "in PeerDied"]),
    act("an-honest-long-message", honest_long, &["in long", "in PeerClosed"]),
    // Acknowledgements.
    act("ack-of-a-later-generation", |m| acked(m, |m| (m.their_generation + 1, m.took)), ACKED),
    act(
        "ack-of-what-was-not-sent",
        |m| acked(m, |m| (m.their_generation, m.took + (1 << 30))),
        ACKED,
    ),
    act("ack-backwards", |m| acked(m, |m| (m.their_generation, m.began.wrapping_sub(64))), ACKED),
    act("ack-inside-a-record", ack_inside, ACKED),
    act("ack-that-fills-and-lies", full_then_lies, &["out Full", "out BadAcknowledgement"]),
    act("ack-that-lies-at-the-end", lies_at_the_end, ACKED),
    act("ack-of-an-older-generation", ack_older, &["out ok", "in PeerDied"]),
    act("taken-before-it-was-read", taken_forged, &["out long"]),
    act("taken-never", taken_never, &["out OutcomeUnknown"]),
    act("reads-everything", |m| reads(m, 60), &["out ok", "out acknowledged", "in PeerDied"]),
    act("never-reads", never_reads, &["out Full", "out TimedOut", "in PeerDied"]),
    // Ends.
    act("finished", |m| end(m, 1), &["in Finished"]),
    act("finished-too-early", |m| end(m, 65), NOTHING),
    act("goodbye", goodbye, &["in PeerClosed"]),
    act("deaf", deaf, &["out ReceiverGone"]),
    act("talks-on-the-session", |m| talks(m, 1, 0), &["in BadHandshake"]),
    act("talks-without-end", |m| talks(m, 5000, 0), &["in BadHandshake"]),
    act("talks-with-descriptors", |m| talks(m, 9, 30), &["in BadHandshake"]),
    act("shuts-down", shuts_down, &["in PeerDied"]),
    // Sleeping and waking.
    act("never-rings", never_rings, NOTHING),
    act("rings-for-ever", rings, &["in TimedOut"]),
    act("moves-the-sleeper", moves, &["in TimedOut"]),
    act("asleep-in-every-way", arms, &["out ok", "in PeerDied"]),
    act("another-identity", identity, &["in ok", "in PeerDied"]),
    // As many stores as there are.
    act("storm-of-lengths", storms::lengths, RECORD),
    act("storm-of-honest-lengths", storms::honest_lengths, &["in ok"]),
    act("storm-of-payload", storms::payload, &["in ok"]),
    act("storm-of-fragments", storms::fragments, &["in long"]),
    act("storm-of-records", storms::records, &["in ok"]),
    act("storm-of-words", storms::words, &["in ok"]),
    act("storm-of-anything", storms::anything, &[]),
];

/// A few bytes of an honest message, so that the victim has something before the lie.
fn honest(m: &mut Meeting<'_>, n: u64) {
    for _ in 0..n {
        let len = m.chance.below(100) as usize;
        m.record(DATA, &vec![7; len]);
    }
}

/// One record, behind some honest ones; the victim hangs up.
fn lethal(m: &mut Meeting<'_>, kind: u64, len: u64) {
    if kind != PAD {
        let n = m.chance.below(4);
        honest(m, n);
    }
    m.lie(kind, len, &[7; 32]);
    m.until_ended();
}

fn over_the_end(m: &mut Meeting<'_>) {
    m.near_the_end();
    let len = m.to_end() - 15; // one byte too many
    m.lie(DATA, len, &[]);
    m.until_ended();
}

fn padding_short(m: &mut Meeting<'_>) {
    m.near_the_end();
    let less = 64 - 16 + m.chance.below(2);
    m.lie(PAD, m.to_end() - 16 - less, &[]);
    m.until_ended();
}

fn padding_over(m: &mut Meeting<'_>) {
    m.near_the_end();
    m.lie(PAD, m.to_end() - 15, &[]);
    m.until_ended();
}

/// Everything that looks like a stamp and is none.
fn stamps(m: &mut Meeting<'_>) {
    let (at, head) = (m.mine.at(m.head), m.head);
    m.mine.put(at + 8, DATA << 32 | 5);
    let capacity = m.mine.capacity;
    for lie in [
        head,
        head.wrapping_add(64) | 1,
        head.wrapping_add(capacity) | 1,
        head.wrapping_sub(capacity) | 1,
        head | 3,
        u64::MAX,
        0,
    ] {
        m.mine.put(at, lie);
        m.ring();
        m.linger(3);
        assert!(m.position() == head, "a stamp that is none was taken for one: {lie:x}");
    }
}

/// What was read comes again at the same place; a reader that looked back would read it again.
fn backwards(m: &mut Meeting<'_>) {
    let start = m.head;
    honest(m, 5);
    if m.until_read() {
        for back in 0..8 {
            m.claim(start.wrapping_add(back * 64), DATA, 5, b"again");
        }
        m.mine.put(m.mine.at(m.head), 0);
        m.ring();
        m.linger(10);
    }
}

/// How long the acts last that never end.
const FOR_EVER: Duration = Duration::from_millis(150);

/// Padding at the end of the ring, and all before it what is passed over without a word: fragments
/// without a beginning. The reader is never given anything.
fn padding_for_ever(m: &mut Meeting<'_>) {
    m.near_the_end();
    for_ever(m, |m| {
        let most = quarter(m.mine.capacity);
        let to_end = m.to_end() - 16;
        if to_end < most {
            m.publish(PAD, to_end, &[]);
        } else {
            m.publish(MIDDLE, 100.min(most), &[]);
        }
    });
}

/// Messages that are discarded before they are read, as fast as they can be written.
fn discard_for_ever(m: &mut Meeting<'_>) {
    m.mine.put(DISCARD, m.head.wrapping_add(1 << 40) | 1);
    for_ever(m, |m| m.publish(DATA, 5, b"void!"));
}

/// The same without regard to how far the reader is: whoever looks for the end of it without a
/// limit does not find it.
fn discard_without_end(m: &mut Meeting<'_>) {
    m.mine.put(DISCARD, m.head.wrapping_add(1 << 60) | 1);
    let (until, deadline) = (m.mine.writes() + m.budget, Instant::now() + FOR_EVER);
    while m.mine.writes() < until && Instant::now() < deadline && !m.ended() {
        for _ in 0..256 {
            m.claim(m.head, DATA, 5, &[]);
            m.head = m.head.wrapping_add(64);
        }
    }
    m.linger(20);
}

/// Publishes while the reader follows.
fn for_ever(m: &mut Meeting<'_>, publish: impl Fn(&mut Meeting<'_>)) {
    let deadline = Instant::now() + FOR_EVER;
    while Instant::now() < deadline && !m.ended() {
        for _ in 0..64 {
            if m.head.wrapping_sub(m.position()) < m.mine.capacity / 2 {
                publish(m);
            }
        }
    }
    m.linger(20);
}

fn discard_nonsense(m: &mut Meeting<'_>) {
    for lie in [1, u64::MAX, m.head, m.head.wrapping_sub(64) | 1, m.head ^ 1 << 63] {
        m.mine.put(DISCARD, lie);
        honest(m, 3);
        m.ring();
        m.linger(3);
    }
    m.mine.put(DISCARD, 0);
    honest(m, 1);
    m.until_read();
}

fn first(m: &mut Meeting<'_>, number: u64, total: u64, bytes: usize) {
    honest(m, 1);
    let payload = Meeting::first(number, total, bytes);
    m.lie(FIRST, payload.len() as u64, &payload);
    m.until_ended();
}

/// FIRST announces 100 bytes and brings 20; then this.
fn second(m: &mut Meeting<'_>, kind: u64, len: u64) {
    let payload = Meeting::first(m.head | 1, 100, 20);
    m.record(FIRST, &payload);
    m.lie(kind, len, &[7; 90]);
    m.until_ended();
}

fn orphans(m: &mut Meeting<'_>) {
    m.record(MIDDLE, &[1; 50]);
    m.record(LAST, &[2; 50]);
    m.record(DATA, b"behind");
    m.until_read();
}

fn cut(m: &mut Meeting<'_>, again: bool) {
    let payload = Meeting::first(m.head | 1, 30_000, 100);
    m.record(FIRST, &payload);
    m.record(MIDDLE, &[1; 50]);
    if again {
        honest_long(m);
    } else {
        m.record(DATA, b"instead");
        m.record(LAST, &[1; 50]); // has no beginning any more
        m.record(DATA, b"behind");
        m.until_read();
    }
}

/// As much as the limit allows, and then from the beginning.
fn endless(m: &mut Meeting<'_>) {
    let share = quarter(m.mine.capacity).min(2000) as usize;
    let deadline = Instant::now() + FOR_EVER;
    while Instant::now() < deadline {
        let payload = Meeting::first(m.head | 1, LIMIT, share - 16);
        let mut sent = share - 16;
        if !m.record(FIRST, &payload) {
            return;
        }
        while sent + share < LIMIT as usize {
            if !m.record(MIDDLE, &vec![3; share]) {
                return;
            }
            sent += share;
        }
    }
    m.linger(20);
}

fn honest_long(m: &mut Meeting<'_>) {
    let share = quarter(m.mine.capacity).min(3000) as usize;
    let total = 30_000usize;
    let payload = Meeting::first(m.head | 1, total as u64, share - 16);
    let mut sent = share - 16;
    m.record(FIRST, &payload);
    while sent < total {
        let n = share.min(total - sent);
        sent += n;
        if !m.record(if sent == total { LAST } else { MIDDLE }, &vec![4; n]) {
            return;
        }
    }
    m.until_read();
    goodbye(m);
}

fn acked(m: &mut Meeting<'_>, lie: fn(&Meeting<'_>) -> (u32, u64)) {
    reads(m, 5);
    let (generation, position) = lie(m);
    m.say_read(generation, position);
    m.until_ended();
}

/// A record of more than one line, acknowledged in its middle.
fn ack_inside(m: &mut Meeting<'_>) {
    for _ in 0..200 {
        if let Some((_, position, _)) = m.unread().into_iter().find(|(_, _, len)| *len > 64) {
            m.say_read(m.their_generation, position.wrapping_add(64));
            return m.until_ended();
        }
        m.acknowledge();
        m.linger(5);
    }
}

fn full_then_lies(m: &mut Meeting<'_>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let used =
        |m: &Meeting<'_>| m.unread().last().map_or(0, |r| Meeting::behind(*r).wrapping_sub(m.took));
    while used(m) + 4096 < m.theirs.capacity && Instant::now() < deadline && !m.ends_soon() {}
    m.linger(100);
    // Further than it has sent, by less than a ring: only the sender's own head tells.
    m.say_read(m.their_generation, m.took.wrapping_add(m.theirs.capacity + 64));
    m.until_ended();
}

fn lies_at_the_end(m: &mut Meeting<'_>) {
    reads(m, 5);
    m.mine.put(ACK, u64::from(m.their_generation) << 32 | 0xDEAD);
}

fn ack_older(m: &mut Meeting<'_>) {
    m.acknowledge();
    m.say_read(0, m.took.wrapping_sub(1 << 20));
    m.linger(20);
}

/// Says of each long message that it has taken it, before it can have read it.
fn taken_forged(m: &mut Meeting<'_>) {
    for _ in 0..300 {
        for record in m.unread() {
            if record.0 == FIRST {
                m.mine.put(TAKEN, m.payload(record.1));
            }
        }
        m.acknowledge();
        if m.ends_soon() {
            return;
        }
    }
}

/// Reads long messages to their end and never says that it has them.
fn taken_never(m: &mut Meeting<'_>) {
    for _ in 0..300 {
        m.acknowledge();
        if m.ends_soon() {
            return;
        }
    }
}

fn reads(m: &mut Meeting<'_>, ms: u64) {
    for _ in 0..ms {
        for record in m.acknowledge() {
            if record.0 == FIRST {
                m.mine.put(TAKEN, m.payload(record.1));
                m.say_read(m.their_generation, Meeting::behind(record));
                m.say_read(m.their_generation, m.took);
            }
        }
        if m.ends_soon() {
            return;
        }
    }
}

fn never_reads(m: &mut Meeting<'_>) {
    honest(m, 3);
    m.linger(200);
}

fn end(m: &mut Meeting<'_>, word: u64) {
    honest(m, 2);
    m.mine.put(END, m.head.wrapping_add(word));
    m.until_read();
    m.ring();
    m.linger(10);
}

fn goodbye(m: &mut Meeting<'_>) {
    m.mine.put(END, m.head | 2);
}

fn deaf(m: &mut Meeting<'_>) {
    m.mine.put(CLOSED_RX, 1);
    m.ring();
    m.linger(60);
    m.mine.put(CLOSED_RX, 0);
    m.linger(5);
    m.mine.put(CLOSED_RX, u64::MAX);
    m.linger(5);
}

fn talks(m: &mut Meeting<'_>, bytes: usize, fds: usize) {
    let own = std::os::fd::AsRawFd::as_raw_fd(&m.mine.file);
    // The victim may hang up between the look and the send.
    let _ = m.socket.send(&vec![7; bytes], &vec![own; fds]);
    m.until_ended();
}

fn shuts_down(m: &mut Meeting<'_>) {
    // SAFETY: no memory.
    unsafe { libc::shutdown(std::os::fd::AsRawFd::as_raw_fd(&m.socket.0), libc::SHUT_WR) };
    m.until_ended();
}

/// Records come, and nobody says so.
fn never_rings(m: &mut Meeting<'_>) {
    m.linger(30);
}

fn rings(m: &mut Meeting<'_>) {
    let until = m.mine.writes() + m.budget / 4;
    while m.mine.writes() < until {
        for _ in 0..64 {
            for bell in [BELL_RX, BELL_TX] {
                let word = m.chance.word() & 0xFFFF_FFFF;
                m.mine.put(bell, word);
            }
        }
        m.ring();
    }
    m.linger(20);
}

fn moves(m: &mut Meeting<'_>) {
    for _ in 0..400 {
        m.moved += m.mine.requeue(BELL_RX) + m.mine.requeue(BELL_TX);
        m.linger(1);
        if m.moved > 3 {
            return;
        }
    }
}

/// Parked by both words, in each mode, with a new value each time: the victim wakes nobody.
fn arms(m: &mut Meeting<'_>) {
    for round in 0..2000 {
        for arm in [ARM_RX, ARM_TX] {
            let word = m.chance.word();
            m.mine.put(arm, word | if round % 2 == 0 { 1 } else { 3 });
        }
        if round % 100 == 0 {
            m.acknowledge();
            m.linger(2);
        }
    }
}

fn identity(m: &mut Meeting<'_>) {
    for at in [0, 8, 16, 24, 32] {
        let word = m.chance.word();
        m.mine.put(at, word);
        honest(m, 3);
        m.until_read();
    }
}
