//! Kill one end, start it again: what was accepted arrives, what was acknowledged does not come again.

use crate::stage::Stage;

#[test]
fn messages_sent_while_the_reader_is_dead_arrive() {
    let stage = Stage::new("meanwhile");
    let (mut a, mut b) = stage.pair();
    a.does("send before");
    b.says("recv", "before");
    b.does("ack");
    b.kill();
    a.does("send meanwhile");
    let mut b = stage.opened("b");
    a.does("send after");
    b.says("recv", "meanwhile");
    b.says("recv", "after");
    stage.end([a, b]);
}

#[test]
fn what_a_killed_reader_had_in_hand_comes_again_under_its_number_and_what_it_acknowledged_does_not()
{
    let stage = Stage::new("in-hand");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    a.does("send two");
    b.says("recv", "one");
    b.says("recv", "two"); // acknowledges the first
    let number = b.ask("seq");
    let mut b = stage.restart(b);
    b.says("recv", "two");
    b.says("seq", &number);
    b.does("ack");
    // The sender has not looked at the acknowledgement when its reader dies.
    let mut b = stage.restart(b);
    a.does("send three");
    b.says("recv", "three");
    stage.end([a, b]);
}

#[test]
fn an_acknowledged_delivery_does_not_come_again_and_a_dropped_one_does() {
    let stage = Stage::new("delivery");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    a.does("send two");
    b.says("delivery take", "one");
    b.says("delivery leave", "two");
    let number = b.ask("seq");
    let mut b = stage.restart(b);
    b.says("delivery take", "two");
    b.says("seq", &number);
    let mut b = stage.restart(b);
    b.says("try-recv", "!Empty");
    stage.end([a, b]);
}

#[test]
fn chains_of_deaths_lose_nothing() {
    // One end was alive at every moment; but the one that had A's first messages in hand is dead, too.
    let stage = Stage::new("chain");
    let (mut a, b) = stage.pair();
    a.does("send 1");
    let mut a = stage.restart(a);
    a.does("wait-peer");
    a.does("send 2");
    let mut b = stage.restart(b); // has read nothing
    b.does("wait-peer");
    let mut a = stage.restart(a);
    a.does("wait-peer");
    a.does("send 3");
    let mut b = stage.restart(b); // nothing either
    for expected in ["1", "2"] {
        b.says("recv", expected);
    }
    b.does("ack");
    let mut b = stage.restart(b);
    b.says("recv", "3");
    b.says("try-recv", "!Empty");
    stage.end([a, b]);
}

#[test]
fn a_fifth_life_waits_until_the_first_is_read() {
    let stage = Stage::new("five");
    let (mut a, mut b) = stage.pair();
    for life in 1..5 {
        a.does(&format!("send {life}"));
        a.kill();
        a = stage.opened("a");
        if life < 4 {
            a.does("wait-peer");
        }
    }
    a.does("send 5"); // accepted, and waits with its end
    a.says("peer", "nobody");
    b.says("recv", "1");
    b.says("recv", "!PeerDied");
    a.does("wait-peer");
    for life in 2..5 {
        b.says("recv", &life.to_string());
        b.says("recv", "!PeerDied");
    }
    b.says("recv", "5");
    stage.end([a, b]);
}

#[test]
fn discarded_messages_are_not_read_by_whoever_comes() {
    let stage = Stage::new("discard");
    let (mut a, mut b) = stage.pair();
    a.does("send question");
    b.says("recv", "question");
    b.does("send stale answer");
    b.does("send another");
    let mut a = stage.restart(a); // a new asker
    b.says("recv", "!PeerDied");
    b.says("discard", "2");
    b.does("send fresh");
    let first = a.ask("recv");
    if first == "fresh" {
        a.does("ack");
        b.says("unacknowledged", "0");
    } else {
        panic!("{first:?} was discarded");
    }
    stage.end([a, b]);
}

#[test]
fn a_batch_arrives_in_order_and_whole() {
    let stage = Stage::new("batch");
    let (mut a, mut b) = stage.pair();
    a.says("batch one two three", "3");
    for expected in ["one", "two", "three"] {
        b.says("recv", expected);
    }
    stage.end([a, b]);
}
