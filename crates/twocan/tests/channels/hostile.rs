//! A peer that lies: the honest end names the lie and goes on with the next peer.

use crate::fake::*;
use crate::stage::{Peer, Stage};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// An honest end that has met a fake one.
fn met(stage: &Stage) -> (Peer, Region, Socket) {
    let mut honest = stage.opened("honest");
    let region = Region::new(Flaw::None);
    let socket = Socket::connect(stage, &seat_of(stage));
    socket.say_hello(&region);
    assert!(socket.hear() > 0, "WELCOME");
    honest.says("in", "joined fake");
    (honest, region, socket)
}

/// Whatever was done to it, it goes on with the next.
fn goes_on(stage: Stage, mut honest: Peer) {
    let mut next = stage.opened("next");
    next.does("wait-peer");
    next.does("send hello");
    honest.says("in", "joined next");
    honest.says("in", "message hello");
    honest.does("send you");
    next.says("recv", "you");
    stage.end([honest, next]);
}

#[test]
fn a_fake_that_plays_by_the_rules_is_a_peer() {
    let stage = Stage::new("fake");
    let (mut honest, region, _socket) = met(&stage);
    region.record(START, 1, 5, b"hello");
    honest.says("recv", "hello");
    region.word(END, 64 | 2);
    drop(_socket);
    honest.says("recv", "!PeerClosed");
    goes_on(stage, honest);
}

#[test]
fn records_with_impossible_lengths_or_kinds_end_the_conversation() {
    for (kind, len, told) in [
        (1, 1025, "BadRecord"),
        (1, u32::MAX, "BadRecord"),
        (2, 100, "BadRecord"),
        (0, 5, "BadRecord"),
        (77, 5, "BadRecord"),
        (3, 15, "BadFragment"),
        (3, 16, "BadFragment"), // a number of 0 is none
    ] {
        let stage = Stage::new("record");
        let (mut honest, region, socket) = met(&stage);
        region.record(START, kind, len, b"");
        honest.says("recv", &format!("!PeerMisbehaved({told})"));
        assert_eq!(socket.hear(), 0, "its session has ended");
        goes_on(stage, honest);
    }
}

#[test]
fn fragments_that_do_not_fit_together_end_the_conversation() {
    let first = |total: u64| [1u64.to_le_bytes(), total.to_le_bytes()].concat();
    for (total, second, told) in [
        (u64::MAX, None, "TooLong"),
        ((64 << 20) + 1, None, "TooLong"),
        (4, None, "BadFragment"),              // FIRST has all of it
        (20, Some((4, 0)), "BadFragment"),     // nothing
        (20, Some((4, 100)), "BadFragment"),   // more than announced
        (2000, Some((5, 100)), "BadFragment"), // LAST before the end
        (20, Some((4, 16)), "BadFragment"),    // the end without LAST
    ] {
        let stage = Stage::new("fragment");
        let (mut honest, region, _socket) = met(&stage);
        region.record(START, 3, 20, &[first(total), b"abcd".to_vec()].concat());
        if let Some((kind, len)) = second {
            region.record(START + 64, kind, len, b"");
        }
        honest.says("recv", &format!("!PeerMisbehaved({told})"));
        goes_on(stage, honest);
    }
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_conversation() {
    for ack in [1 << 32 | 0xDEAD, 7 << 32, u64::MAX] {
        let stage = Stage::new("ack");
        let (mut honest, region, _socket) = met(&stage);
        honest.says("flood 1000", "3 !Full");
        region.word(ACK, ack);
        honest.says("long-for 5000 1000 1", "!PeerMisbehaved(BadAcknowledgement)");
        // What it lied about is not gone: the next peer gets it.
        let mut next = stage.opened("next");
        for _ in 0..3 {
            assert_eq!(next.ask("recv").len(), 1000);
        }
        honest.finish();
        stage.end([next]);
    }
}

#[test]
fn an_acknowledgement_that_lies_at_the_very_end_loses_nothing_either() {
    let stage = Stage::new("last-ack");
    let (mut honest, region, socket) = met(&stage);
    honest.does("send kept");
    region.word(ACK, 1 << 32 | 0xDEAD);
    drop(socket);
    honest.says("recv", "!PeerMisbehaved(BadAcknowledgement)");
    let mut next = stage.opened("next");
    next.says("recv", "kept");
    stage.end([honest, next]);
}

#[test]
fn an_end_word_that_lies_is_no_end() {
    let stage = Stage::new("end");
    let (mut honest, region, socket) = met(&stage);
    for lie in [START + 64 * 9 + 1, u64::MAX, 3] {
        region.word(END, lie);
        honest.says("try-recv", "!Empty");
    }
    // It "has finished" and goes on: no harm.
    region.word(END, START | 1);
    honest.says("recv", "!Finished");
    region.record(START, 1, 4, b"more");
    honest.says("recv", "more");
    drop(socket);
    assert!(["!PeerDied", "!PeerClosed"].contains(&&*honest.ask("recv")));
    goes_on(stage, honest);
}

#[test]
fn a_region_that_could_change_under_us_is_not_mapped() {
    for flaw in [Flaw::Unsealed, Flaw::Short, Flaw::NoMagic, Flaw::NoMemfd] {
        let stage = Stage::new("region");
        let mut honest = stage.opened("honest");
        let socket = Socket::connect(&stage, &seat_of(&stage));
        socket.say_hello(&Region::new(flaw));
        assert_eq!(socket.hear(), 0, "no WELCOME");
        honest.says("try-in", "!Empty");
        honest.says("peer", "nobody");
        goes_on(stage, honest);
    }
}

#[test]
fn a_region_with_holes_is_one_of_zeroes() {
    let stage = Stage::new("holes");
    let mut honest = stage.opened("honest");
    let (socket, region) = (Socket::connect(&stage, &seat_of(&stage)), Region::new(Flaw::Sparse));
    socket.say_hello(&region);
    assert_ne!(socket.hear(), 0, "WELCOME");
    honest.says("try-in", "joined fake");
    honest.says("try-in", "!Empty");
    region.record(START, 1, 5, b"hello");
    honest.says("recv", "hello");
    drop((socket, region));
    honest.says("recv", "!PeerDied");
    goes_on(stage, honest);
}

#[test]
fn a_hello_that_is_cut_too_long_or_without_its_descriptors_is_not_answered() {
    let stage = Stage::new("hello");
    let honest = stage.opened("honest");
    let region = Region::new(Flaw::None);
    let whole = hello(&region);
    let fd = region.file.as_raw_fd();
    let long = vec![b'x'; 5000];
    let longer = [&whole[..], &[0]].concat();
    for (bytes, fds) in [
        (&whole[..20], vec![fd; 3]),
        (&whole[..whole.len() - 1], vec![fd; 3]),
        (&longer, vec![fd; 3]),
        (&long, vec![]),
        (&whole, vec![]),
        (&whole, vec![fd; 2]),
        (&whole, vec![fd; 4]),
        (&whole, vec![fd; 30]),
        (b"hello?", vec![]),
    ] {
        let socket = Socket::connect(&stage, &seat_of(&stage));
        socket.send(bytes, &fds).unwrap();
        assert_eq!(socket.hear(), 0, "{} bytes, {} descriptors", bytes.len(), fds.len());
    }
    // Two HELLOs, one behind the other, are one too many, whichever is read first.
    let socket = Socket::connect(&stage, &seat_of(&stage));
    socket.say_hello(&region);
    let _ = socket.send(&whole, &[]);
    while socket.hear() > 0 {}
    let mut honest = honest;
    while honest.ask("try-in") != "!Empty" {}
    goes_on(stage, honest);
}

#[test]
fn connections_that_say_nothing_do_not_keep_an_honest_newcomer_out() {
    let stage = Stage::new("silent");
    let honest = stage.opened("honest");
    let _silent: Vec<Socket> = (0..10).map(|_| Socket::connect(&stage, &seat_of(&stage))).collect();
    goes_on(stage, honest);
}

/// The fake has the first seat; an honest end comes and has said HELLO.
fn first_seat(stage: &Stage, region: &Region) -> (Peer, String, Socket) {
    let mut honest = stage.opened("honest");
    let seat = seat_of(stage);
    honest.does("drop");
    std::fs::write(stage.path().join(format!("{seat}.seat")), seat_record(region)).unwrap();
    let listener = Socket::listen(stage, &seat);
    honest.does("open cat nick=honest ring=4096");
    let socket = listener.accept();
    wait_for_bytes(&socket);
    (honest, seat, socket)
}

fn clear(stage: &Stage, seat: &str) {
    for name in [seat.to_owned(), format!("{seat}.seat")] {
        std::fs::remove_file(stage.path().join(name)).unwrap();
    }
}

#[test]
fn a_welcome_that_stands_behind_a_reset_is_read() {
    // The first end queues WELCOME and is killed with our HELLO unread: the kernel reports the
    // reset before what was queued. Whoever stops there throws away the only copy of what that end
    // had to say.
    let stage = Stage::new("reset");
    let region = Region::new(Flaw::None);
    region.record(START, 1, 4, b"last");
    let (mut honest, seat, socket) = first_seat(&stage, &region);
    let (one, two) = bells();
    let fds = [one.0.as_raw_fd(), two.0.as_raw_fd(), region.file.as_raw_fd()];
    honest.signal(libc::SIGSTOP);
    socket.send(&welcome(&region), &fds).unwrap();
    drop(socket);
    honest.signal(libc::SIGCONT);
    honest.says("recv", "last");
    honest.says("recv", "!PeerDied");
    clear(&stage, &seat);
    goes_on(stage, honest);
}

#[test]
fn what_was_sent_before_welcome_came_wakes_a_peer_that_sleeps_already() {
    // The first end has answered, seen an empty ring, and gone to sleep. The newcomer publishes
    // before it has read the answer: it knows nobody whom it could wake. When it has read it, it
    // must.
    for doing in ["send early", "finish"] {
        let stage = Stage::new("asleep");
        let region = Region::new(Flaw::None);
        let (mut honest, seat, socket) = first_seat(&stage, &region);
        let theirs = socket.hear_region(0);
        region.word(ARM_RX, 4 | 1);
        honest.does("split");
        honest.does(doing);
        let bell = || {
            let mut word = [0; 4];
            theirs.read_exact_at(&mut word, BELL_RX).unwrap();
            u32::from_le_bytes(word)
        };
        assert_eq!(bell(), 0, "nobody is known to sleep");
        let (one, two) = bells();
        let fds = [one.0.as_raw_fd(), two.0.as_raw_fd(), region.file.as_raw_fd()];
        socket.send(&welcome(&region), &fds).unwrap();
        crate::support::eventually("the sleeper is woken", || bell() != 0);
        drop(socket);
        honest.says("recv", "!PeerDied");
        clear(&stage, &seat);
        stage.end([honest]);
    }
}

/// Where the honest end's only long message begins, and where it ends; `None` = not yet whole.
fn long_message(theirs: &std::fs::File) -> Option<(u64, u64)> {
    let mut ring = vec![0; CAPACITY as usize];
    theirs.read_exact_at(&mut ring, RING).unwrap();
    let word = |at: usize| u64::from_le_bytes(ring[at..at + 8].try_into().unwrap());
    let records = (0..ring.len()).step_by(64).map(|at| (at, word(at), word(at + 8)));
    let is_one = |at: usize, stamp: u64| stamp & 1 == 1 && (stamp & !1) % CAPACITY == at as u64;
    let of = |kind: u64| {
        records.clone().find(|(at, stamp, head)| is_one(*at, *stamp) && head >> 32 == kind)
    };
    let ((_, first, _), (_, last, head)) = (of(3)?, of(5)?);
    Some((first & !1, (last & !1) + (16 + (head & 0xFFFF_FFFF)).next_multiple_of(64)))
}

#[test]
fn a_message_taken_by_a_reader_that_died_without_waking_anybody_is_not_sent_again() {
    // The reader is killed between its acknowledgement and the wake: the sender sleeps, and hears
    // of it by the death alone.
    let stage = Stage::new("taken");
    let mut honest = stage.opened_with("honest", "ring=4096 spin=never");
    let region = Region::new(Flaw::None);
    let socket = Socket::connect(&stage, &seat_of(&stage));
    socket.say_hello(&region);
    let theirs = socket.hear_region(2);
    honest.does("wait-peer");
    honest.tell("long 2000 1");
    crate::support::eventually("it is written whole", || long_message(&theirs).is_some());
    honest.waits();
    let (first, end) = long_message(&theirs).unwrap();
    region.word(TAKEN, first | 1);
    region.word(ACK, 1 << 32 | (end / 64) & 0xFFFF_FFFF);
    drop(socket);
    honest.hears("ok");
    honest.says("recv", "!PeerDied");
    let mut next = stage.opened("next");
    next.does("wait-peer");
    next.says("try-recv", "!Empty");
    stage.end([honest, next]);
}

#[test]
fn a_welcome_that_is_no_welcome_attaches_nobody() {
    for lie in 0..7 {
        let stage = Stage::new("welcome");
        let flaw = if lie == 0 { Flaw::Unsealed } else { Flaw::None };
        let region = Region::new(flaw);
        let (mut honest, seat, socket) = first_seat(&stage, &region);
        let mut bytes = welcome(&region);
        let (one, two) = bells();
        let mut fds = vec![one.0.as_raw_fd(), two.0.as_raw_fd(), region.file.as_raw_fd()];
        match lie {
            1 => bytes.truncate(bytes.len() - 1),
            2 => bytes.resize(5000, 0),
            3 => fds.truncate(2),
            4 => fds.push(fds[0]),
            5 => fds.resize(30, fds[0]),
            6 => bytes[24] ^= 1, // another limit than its seat record says
            _ => {}
        }
        socket.send(&bytes, &fds).unwrap();
        assert_eq!(socket.hear_all(), 0, "lie {lie}: hung up on");
        honest.says("try-in", "!Empty");
        honest.says("peer", "nobody");
        clear(&stage, &seat);
        goes_on(stage, honest);
    }
}

/// Until the other side's HELLO stands in the queue, unread.
fn wait_for_bytes(socket: &Socket) {
    let mut poll = libc::pollfd { fd: socket.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "no HELLO");
}

#[test]
fn a_sleeper_that_was_moved_to_another_word_is_still_told_of_the_death() {
    let stage = Stage::new("moved");
    let (mut honest, region, socket) = met(&stage);
    honest.tell("recv-forever");
    // It sleeps on our bell and on a word of its own. We can move it away from the bell only.
    crate::support::eventually("it sleeps, and is moved", || region.requeue(BELL_RX, 4000) > 0);
    drop((socket, region));
    honest.hears("!PeerDied");
    goes_on(stage, honest);
}

#[test]
fn what_was_woken_last_belongs_to_a_session() {
    // Both fakes sleep under the same value. Whoever remembers the first one's sleep as ended does
    // not wake the second.
    let stage = Stage::new("woken");
    let mut honest = stage.opened("honest");
    for rang in 0..2 {
        let region = Region::new(Flaw::None);
        region.word(ARM_RX, 4 | 1);
        let socket = Socket::connect(&stage, &seat_of(&stage));
        socket.say_hello(&region);
        let theirs = socket.hear_region(2);
        honest.does("wait-peer");
        honest.does("send wake up");
        crate::support::eventually("the sleeper is woken", || {
            let mut word = [0; 4];
            theirs.read_exact_at(&mut word, BELL_RX).unwrap();
            u32::from_le_bytes(word) > rang
        });
        drop(socket);
        honest.says("recv", "!PeerDied");
    }
    honest.finish();
    assert_eq!(stage.files(), [".lock"]);
}
