//! Who left, and when it is told: once to each half, after the last message, and then the next peer is waited for.

use crate::stage::Stage;

#[test]
fn recv_tells_a_goodbye_once_after_the_last_message_and_then_waits_for_the_next_peer() {
    let stage = Stage::new("goodbye");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    a.does("drop");
    b.says("recv", "one");
    b.says("recv", "!PeerClosed");
    b.says("try-recv", "!Empty");
    b.tell("recv");
    b.waits();
    let mut c = stage.opened("c");
    c.does("send two");
    b.hears("two");
    stage.end([a, b, c]);
}

#[test]
fn recv_tells_a_death_once_after_the_last_message_and_then_waits_for_the_next_peer() {
    let stage = Stage::new("death");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    a.does("send two");
    let mut a = stage.restart(a);
    a.does("send three");
    b.says("recv", "one");
    b.says("recv", "two");
    b.says("recv", "!PeerDied");
    b.says("recv", "three");
    b.says("try-recv", "!Empty");
    stage.end([a, b]);
}

#[test]
fn a_send_that_finds_room_is_fine_without_a_peer_and_one_that_must_wait_tells_the_departure_once() {
    let stage = Stage::new("send");
    for (farewell, told) in [("drop", "!PeerClosed"), ("exit 0", "!PeerDied")] {
        let (mut a, mut b) = stage.pair();
        if farewell == "drop" {
            b.does("drop");
            b.finish();
        } else {
            b.ends_by(farewell);
        }
        a.says("recv", told); // the other half has its own account
        assert_eq!(a.ask("flood 1000"), format!("3 {told}"));
        a.says("flood 1000", "0 !Full");
        a.tell("long 1000 1");
        a.waits();
        let mut b = stage.opened("b");
        for _ in 0..3 {
            assert_eq!(b.ask("recv").len(), 1000);
        }
        a.hears("ok");
        b.does("recv-long 1000 1");
        a.finish();
        b.finish();
    }
    stage.end([]);
}

#[test]
fn before_any_peer_has_come_both_simply_wait() {
    let stage = Stage::new("lone");
    let mut a = stage.opened("a");
    a.says("flood 1000", "3 !Full");
    a.says("long-for 20 1000 1", "!TimedOut");
    a.says("recv-for 20", "!TimedOut");
    a.says("peer", "nobody");
    stage.end([a]);
}

#[test]
fn dropping_an_end_waits_for_nobody() {
    let stage = Stage::new("drop");
    let (mut a, mut b) = stage.pair();
    a.says("flood 1000", "3 !Full");
    b.signal(libc::SIGSTOP);
    a.does("drop");
    a.finish();
    b.signal(libc::SIGCONT);
    for _ in 0..3 {
        assert_eq!(b.ask("recv").len(), 1000);
    }
    b.says("recv", "!PeerClosed");
    stage.end([b]);
}

#[test]
fn exit_without_drop_abort_and_panic_are_deaths() {
    let stage = Stage::new("deaths");
    let mut b = stage.opened("b");
    for way in ["exit 0", "abort"] {
        let mut a = stage.opened("a");
        a.does("wait-peer"); // what a lone end has sent goes with it
        a.does("send last words");
        a.ends_by(way);
        b.says("recv", "last words");
        b.says("recv", "!PeerDied");
    }
    let mut a = stage.opened("a");
    a.does("wait-peer");
    a.does("send last words");
    a.says("panic", "panicked: true");
    b.says("recv", "last words");
    b.says("recv", "!PeerDied");
    // The process lives, and its seat is free again.
    a.does("open cat");
    a.does("send better");
    b.says("recv", "better");
    stage.end([a, b]);
}

#[test]
fn incoming_tells_joins_messages_and_farewells_in_the_order_of_the_stream() {
    let stage = Stage::new("incoming");
    let mut b = stage.opened("b");
    b.says("try-in", "!Empty");
    let mut a = stage.opened("alice");
    a.does("send 1");
    a.does("wait-peer");
    a.does("drop");
    let mut c = stage.opened("carol");
    c.does("wait-peer");
    c.does("send 2");
    c.kill();
    let d = stage.opened("dora"); // says nothing
    d.kill();
    let mut e = stage.opened("eve");
    e.does("send 3");
    e.does("wait-peer");
    for told in
        ["joined alice", "message 1", "left alice", "joined carol", "message 2", "died carol"]
    {
        b.says("in", told);
    }
    let next = b.ask("in");
    if next == "joined dora" {
        b.says("in", "died dora");
        b.says("in", "joined eve");
    } else {
        // Dead before the watcher had answered it: never attached.
        assert_eq!(next, "joined eve");
    }
    b.says("in", "message 3");
    b.says("try-in", "!Empty");
    stage.end([a, b, e]);
}

#[test]
fn regions_handed_on_already_dead_bring_their_messages_and_no_departure() {
    let stage = Stage::new("handed-on");
    let (mut a, b) = stage.pair();
    a.does("send from the first life");
    let mut a = stage.restart(a);
    a.does("wait-peer");
    a.does("send from the second");
    let mut b = stage.restart(b);
    b.says("in", "message from the first life");
    b.says("in", "joined a");
    b.says("in", "message from the second");
    b.says("try-in", "!Empty");
    stage.end([a, b]);
}
