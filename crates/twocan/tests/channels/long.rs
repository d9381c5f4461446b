//! Messages that are longer than a record: accepted when the reader's program has taken them whole.

use crate::stage::Stage;

/// Some thousand fragments through a ring of 4 KiB: cannot be done within the millisecond that a
/// reader is given.
const LEN: usize = 6_000_000;

#[test]
fn sixty_four_mebibytes_pass_through_small_rings_in_both_directions_at_once() {
    let stage = Stage::new("64-mib");
    let (mut a, mut b) = stage.pair_with("ring=65536");
    let len = 64 << 20;
    a.tell(&format!("both {len} 1 2"));
    b.tell(&format!("both {len} 2 1"));
    a.hears("ok");
    b.hears("ok");
    stage.end([a, b]);
}

#[test]
fn a_reader_killed_in_the_middle_gets_the_message_from_its_beginning_however_often() {
    let stage = Stage::new("middle");
    let (mut a, mut b) = stage.pair();
    a.does("send before");
    a.tell(&format!("long {LEN} 5"));
    b.says("recv", "before");
    b.says("wait-any 60000", "message"); // it has begun
    for _ in 0..3 {
        b.says("recv-for 1", "!TimedOut");
        b = stage.restart(b);
    }
    b.does(&format!("recv-long {LEN} 5"));
    b.does("ack");
    a.hears("ok");
    a.does("send behind");
    b.says("recv", "behind");
    stage.end([a, b]);
}

#[test]
fn a_reader_killed_with_the_whole_message_in_hand_leaves_it_to_its_successor_under_its_number() {
    let stage = Stage::new("whole");
    let (mut a, mut b) = stage.pair();
    a.tell("long 50000 6");
    b.does("recv-long 50000 6");
    a.waits(); // not taken yet
    let number = b.ask("seq");
    let mut b = stage.restart(b);
    b.does("recv-long 50000 6");
    b.says("seq", &number);
    b.does("ack");
    a.hears("ok");
    let mut b = stage.restart(b);
    b.says("try-recv", "!Empty");
    stage.end([a, b]);
}

#[test]
fn a_message_taken_by_a_reader_that_died_at_once_is_sent_once() {
    let stage = Stage::new("taken");
    let (mut a, mut b) = stage.pair();
    a.tell("long 50000 7");
    b.does("recv-long 50000 7");
    a.signal(libc::SIGSTOP); // it does not see the acknowledgement
    b.does("ack");
    b.kill();
    a.signal(libc::SIGCONT);
    a.hears("ok");
    let mut b = stage.opened("b");
    b.says("try-recv", "!Empty");
    stage.end([a, b]);
}

#[test]
fn what_a_sender_killed_in_the_middle_has_written_is_no_message() {
    let stage = Stage::new("half");
    let (mut a, mut b) = stage.pair();
    a.does("send before");
    b.says("recv", "before");
    a.tell(&format!("long {LEN} 8"));
    b.says("wait-any 60000", "message"); // it has begun
    b.says("recv-for 1", "!TimedOut");
    let mut a = stage.restart(a);
    a.does("send next life");
    b.says("recv", "!PeerDied");
    b.says("recv", "next life");
    stage.end([a, b]);
}

#[test]
fn a_time_limit_in_the_middle_leaves_no_trace() {
    let stage = Stage::new("given-up");
    let (mut a, mut b) = stage.pair();
    // Nobody reads meanwhile.
    a.says(&format!("long-for 20 {LEN} 9"), "!TimedOut");
    a.tell("send short");
    b.says("recv", "short");
    a.hears("ok");
    // Somebody is in the middle of reading it; then another long one comes.
    a.tell(&format!("long-for 40 {LEN} 10"));
    b.says("wait-any 60000", "message"); // it has begun
    b.says("recv-for 1", "!TimedOut");
    a.hears("!TimedOut");
    a.tell("long 20000 11");
    b.does("recv-long 20000 11");
    b.does("ack");
    a.hears("ok");
    a.says("unacknowledged", "0");
    stage.end([a, b]);
}

#[test]
fn a_time_limit_after_the_last_byte_says_that_the_outcome_is_unknown() {
    let stage = Stage::new("unknown");
    let (mut a, mut b) = stage.pair();
    a.says("long-for 20 2000 12", "!OutcomeUnknown");
    b.does("recv-long 2000 12");
    a.does("send next");
    b.says("recv", "next");
    a.says(&format!("long-for 0 {LEN} 13"), "!TooLarge { max: 1024 }");
    stage.end([a, b]);
}

#[test]
fn a_long_message_waits_for_the_first_peer() {
    let stage = Stage::new("first-peer");
    let mut a = stage.opened("a");
    a.does("send before");
    a.tell("long 30000 14");
    a.waits();
    let mut b = stage.opened("b");
    b.says("recv", "before");
    b.does("recv-long 30000 14");
    b.does("ack");
    a.hears("ok");
    stage.end([a, b]);
}
