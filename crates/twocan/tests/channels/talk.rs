//! Messages between two processes: order, room, acknowledgement, goodbye.

use crate::stage::Stage;

#[test]
fn either_may_come_first_and_messages_keep_their_order_both_ways() {
    let stage = Stage::new("order");
    let mut a = stage.opened("a");
    a.does("send one"); // nobody is there yet
    a.does("send two");
    let mut b = stage.opened("b");
    b.says("recv", "one");
    b.does("send I");
    b.does("send II");
    b.says("recv", "two");
    a.says("recv", "I");
    a.says("recv", "II");
    a.says("try-recv", "!Empty");
    b.says("try-recv", "!Empty");
    stage.end([a, b]);
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_loses_nothing() {
    let stage = Stage::new("pressure");
    let (mut a, mut b) = stage.pair();
    a.says("flood 1000", "3 !Full");
    a.says("long-for 30 1000 7", "!TimedOut");
    a.tell("long 1000 7");
    a.waits();
    for _ in 0..3 {
        assert_eq!(b.ask("recv").len(), 1000);
    }
    b.does("recv-long 1000 7");
    a.hears("ok");
    stage.end([a, b]);
}

#[test]
fn acknowledging_is_what_frees_room_and_a_dropped_delivery_comes_again() {
    let stage = Stage::new("acknowledge");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    a.does("send two");
    b.says("delivery leave", "one");
    let number = b.ask("seq");
    b.says("delivery leave", "one");
    b.says("seq", &number);
    a.says("unacknowledged", "2");
    b.says("delivery take", "one");
    a.says("unacknowledged", "1");
    b.says("recv", "two");
    a.says("acknowledged", "false"); // in hand, and the program may still be killed
    b.does("ack");
    a.does("wait-acknowledged");
    stage.end([a, b]);
}

#[test]
fn close_waits_for_acknowledgement_and_says_what_was_not_taken() {
    let stage = Stage::new("close");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    a.does("send two");
    a.tell("close");
    b.says("recv", "one");
    b.says("recv", "two"); // asking for it acknowledged the first
    a.waits();
    b.says("recv", "!PeerClosed");
    a.hears("ok");

    let mut c = stage.opened("c");
    c.does("send three");
    c.does("send four");
    b.says("recv", "three");
    b.does("ack");
    c.says("close-for 30", "!TimedOut 1 message was not taken by the other side and was lost.");
    stage.end([a, b, c]);
}

#[test]
fn close_ends_although_a_refused_message_left_padding_behind() {
    let stage = Stage::new("padding");
    let (mut a, mut b) = stage.pair();
    // Wherever the ring began: some of these fill it so that the refused message has already padded
    // the ring's end.
    for round in 0..70 {
        a.does(&format!("send {round}"));
        let count = a.ask("flood 900");
        let count: usize = count.trim_end_matches(" !Full").parse().unwrap();
        a.tell("close");
        b.says("recv", &round.to_string());
        for _ in 0..count {
            assert_eq!(b.ask("recv").len(), 900);
        }
        b.says("recv", "!PeerClosed");
        a.hears("ok");
        a.does("open cat ring=4096");
    }
    stage.end([a, b]);
}

#[test]
fn finish_is_told_although_a_refused_message_left_padding_behind() {
    let stage = Stage::new("padding");
    let mut b = stage.opened("b");
    let mut a = stage.opened("a");
    for _ in 0..70 {
        a.does("split");
        let count = a.ask("flood 900");
        let count: usize = count.trim_end_matches(" !Full").parse().unwrap();
        a.does("finish");
        for _ in 0..count {
            assert_eq!(b.ask("recv").len(), 900);
        }
        b.says("recv-for 5000", "!Finished");
        a.does("drop");
        b.says("recv", "!PeerClosed");
        a.does("open cat ring=4096");
    }
    stage.end([a, b]);
}

#[test]
fn finish_ends_one_direction_and_the_other_goes_on() {
    let stage = Stage::new("finish");
    let (mut a, mut b) = stage.pair();
    a.does("split");
    a.does("send last");
    a.does("finish");
    b.says("in", "joined a");
    b.says("in", "message last");
    b.says("in", "finished");
    b.says("try-in", "!Empty"); // told once
    b.does("send answer");
    a.says("recv", "answer");
    a.does("drop");
    b.says("in", "left a");
    stage.end([a, b]);
}

#[test]
fn who_stopped_receiving_makes_the_sender_stop_waiting() {
    let stage = Stage::new("deaf");
    let (mut a, mut b) = stage.pair();
    b.does("split");
    a.says("flood 1000", "3 !Full");
    a.tell("long 1000 1");
    a.waits();
    b.does("drop-rx");
    a.hears("!ReceiverGone");
    b.does("send still");
    a.says("recv", "still");
    stage.end([a, b]);
}

#[test]
fn two_ends_with_one_thread_each_may_both_wait_in_send() {
    let stage = Stage::new("both-send");
    let (mut a, mut b) = stage.pair();
    a.says("flood 1000", "3 !Full");
    b.says("flood 1000", "3 !Full");
    // Each has a message in hand, and in it the room that the other waits for.
    assert_eq!(a.ask("recv").len(), 1000);
    assert_eq!(b.ask("recv").len(), 1000);
    a.tell("long 1000 1");
    a.waits();
    b.says("long-for 10000 1000 2", "ok"); // a has let go of its message before it waited
    assert_eq!(b.ask("recv").len(), 1000);
    a.hears("ok");
    stage.end([a, b]);
}

#[test]
fn a_time_limit_and_a_cancellation_end_a_wait_and_change_nothing() {
    let stage = Stage::new("limits");
    let (mut a, mut b) = stage.pair();
    b.says("recv-for 20", "!TimedOut");
    b.says("recv-cancel 20", "!Cancelled");
    a.does("send still works");
    b.says("recv-for 60000", "still works");
    stage.end([a, b]);
}

#[test]
fn a_forged_record_in_old_bytes_is_never_taken_for_a_message() {
    use twocan::{Channel, RecvError};
    let (mut a, mut b) = Channel::options().send_capacity(4096).pair().unwrap();
    // Reach a position at the ring's beginning, so that nothing is padded below.
    let mut at = a.send([]).unwrap().position();
    b.recv().unwrap();
    while (at + 64) % 4096 != 0 {
        at = a.send([]).unwrap().position();
        b.recv().unwrap();
    }
    let lap = at + 64;
    // A message whose second line is, to the bit, the record that would stand there one lap later.
    let mut forged = [0u8; 300];
    forged[48..56].copy_from_slice(&((lap + 4096 + 64) | 1).to_le_bytes());
    forged[56..64].copy_from_slice(&(1u64 << 32 | 5).to_le_bytes());
    forged[64..69].copy_from_slice(b"FALSE");
    assert_eq!(a.send(forged).unwrap().position(), lap);
    b.recv().unwrap();
    for _ in 0..4 {
        at = a.send([0; 800]).unwrap().position();
        b.recv().unwrap();
    }
    while at + 64 < lap + 4096 {
        at = a.send([]).unwrap().position();
        b.recv().unwrap();
    }
    assert_eq!(a.send("true").unwrap().position(), lap + 4096);
    assert_eq!(&*b.recv().unwrap(), b"true");
    assert_eq!(b.try_recv().unwrap_err(), RecvError::Empty);
}

#[test]
fn a_forged_record_behind_a_full_ring_is_never_taken_for_a_message() {
    use twocan::{Channel, RecvError};
    const LAST: u64 = 4096 - 64;
    let (mut a, mut b) = Channel::options().send_capacity(4096).pair().unwrap();
    // Up to the last two lines of the ring.
    while a.send([]).unwrap().position() % 4096 != LAST - 128 {
        b.recv().unwrap();
    }
    b.recv().unwrap();
    // The second of them holds, to the bit, the record that would stand there one lap later.
    let mut forged = [0u8; 112];
    let (at, later) = (48, a.sender().sent().unwrap().position() + 128 + 4096);
    forged[at..at + 8].copy_from_slice(&(later | 1).to_le_bytes());
    forged[at + 8..at + 16].copy_from_slice(&(1u64 << 32 | 5).to_le_bytes());
    forged[at + 16..at + 21].copy_from_slice(b"FALSE");
    assert_eq!(a.send(forged).unwrap().position() % 4096, LAST - 64);
    b.recv().unwrap();
    assert_eq!(b.try_recv().unwrap_err(), RecvError::Empty); // acknowledged
    // That line is the one that stays free, into which nothing else is ever stored.
    let sent = (0..).take_while(|_| a.try_send([]).is_ok()).count();
    assert_eq!(sent, 63);
    for _ in 0..sent {
        b.recv().unwrap();
    }
    assert_eq!(b.try_recv().unwrap_err(), RecvError::Empty);
}
