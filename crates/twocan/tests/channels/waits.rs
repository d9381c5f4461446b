//! Waiting for several things at once, and costing nothing meanwhile.

use crate::stage::Stage;
use std::time::Duration;

#[test]
fn wait_any_hears_of_messages_room_acknowledgements_and_arrivals() {
    let stage = Stage::new("any");
    let mut a = stage.opened("a");
    a.does("watch");
    a.tell("wait-any 60000 change");
    a.waits();
    let mut b = stage.opened("b");
    a.hears("change");

    a.tell("wait-any 60000");
    a.waits();
    b.does("send hello");
    a.hears("message");
    a.says("recv", "hello");

    a.does("send to be taken");
    a.tell("wait-any 60000 acknowledged");
    a.waits();
    b.says("recv", "to be taken");
    b.does("ack");
    a.hears("acknowledged");

    a.says("flood 1000", "3 !Full");
    a.says("wait-any 10 room=1000", "nothing");
    a.tell("wait-any 60000 room=1000");
    a.waits();
    assert_eq!(b.ask("recv").len(), 1000);
    a.waits(); // in hand, its room is not free
    b.does("ack");
    a.hears("room=1000");
    a.does("long 1000 1"); // and it is really there

    // A departure is something to hear.
    a.tell("wait-any 60000");
    a.waits();
    b.kill();
    a.hears("message");
    a.says("recv", "!PeerDied");
    stage.end_with_corpses([a]);
}

#[test]
fn wait_any_acknowledges_what_was_handed_out() {
    let stage = Stage::new("any-ack");
    let (mut a, mut b) = stage.pair();
    a.does("send one");
    b.says("recv", "one");
    a.says("acknowledged", "false");
    b.tell("wait-any 60000");
    a.does("wait-acknowledged");
    a.does("send two");
    b.hears("message");
    b.says("recv", "two");
    stage.end([a, b]);
}

#[test]
fn a_sleeper_is_woken_by_every_message_however_close_it_comes() {
    // Each waits asleep for the other's answer, thousands of times: a wake-up that gets lost once
    // hangs the story.
    let stage = Stage::new("ping-pong");
    let (mut a, mut b) = stage.pair_with("ring=4096 spin=never");
    b.tell("echo 60000");
    a.does("ping 60000");
    b.hears("ok");
    stage.end([a, b]);
}

#[test]
fn a_sleeper_for_room_is_woken_by_every_acknowledgement() {
    let stage = Stage::new("stream");
    let (mut a, mut b) = stage.pair_with("ring=4096 spin=never");
    b.tell("count 60000");
    a.does("stream 60000 900");
    b.hears("ok");
    stage.end([a, b]);
}

#[test]
fn whoever_waits_costs_nothing() {
    let stage = Stage::new("idle");
    let (mut a, mut b) = stage.pair();
    a.tell("recv-forever");
    b.tell("recv-forever");
    a.waits();
    let switches = |pid: u32| -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let of = |status: String| -> u64 {
            let line = status.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        tasks.map(|t| of(std::fs::read_to_string(t.unwrap().path().join("status")).unwrap())).sum()
    };
    std::thread::sleep(Duration::from_millis(100));
    let before = (switches(a.pid()), switches(b.pid()));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((switches(a.pid()), switches(b.pid())), before, "nobody woke up");
    // Not asleep for ever, though.
    let mut b = stage.restart(b);
    a.hears("!PeerDied");
    b.does("send up");
    a.says("recv", "up");
    stage.end([a, b]);
}

#[test]
fn a_hundred_ends_leave_no_descriptor_no_mapping_and_no_file() {
    let stage = Stage::new("hundred");
    let (mut a, mut b) = stage.pair();
    let round = |a: &mut crate::stage::Peer, b: &mut crate::stage::Peer| {
        a.does("send x");
        b.says("recv", "x");
        b.does("send y");
        a.says("recv", "y");
        a.does("drop");
        b.says("recv", "!PeerClosed");
        a.does("open cat ring=4096");
        a.does("wait-peer");
        b.does("wait-peer");
    };
    round(&mut a, &mut b);
    let sizes = |a: &mut crate::stage::Peer, b: &mut crate::stage::Peer| {
        let mut ask =
            |word: &str| [&mut *a, &mut *b].map(|p| p.ask(word).parse().expect("a number"));
        let (descriptors, mappings): ([usize; 2], [usize; 2]) =
            (ask("descriptors"), ask("mappings"));
        [descriptors[0], descriptors[1], mappings[0], mappings[1], stage.files().len()]
    };
    // What a peer had a hand in is closed by a thread of its own, which may come late to it: so the
    // first figures may be too high for a while, and the last ones, too.
    let before = sizes(&mut a, &mut b);
    for _ in 0..100 {
        round(&mut a, &mut b);
    }
    let grown = |after: [usize; 5]| after.iter().zip(before).any(|(after, before)| *after > before);
    let mut after = sizes(&mut a, &mut b);
    for _ in 0..100 {
        if !grown(after) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        after = sizes(&mut a, &mut b);
    }
    assert!(!grown(after), "{before:?} became {after:?}");
    stage.end([a, b]);
}

#[test]
fn what_is_sent_while_the_ends_are_meeting_wakes_the_reader() {
    let stage = Stage::new("meeting");
    let (mut a, mut b) = (stage.peer("a"), stage.opened("b"));
    for round in 0..150 {
        b.tell("recv");
        a.does("open cat ring=4096");
        a.does(&format!("send {round}"));
        b.hears(&round.to_string());
        a.tell("recv");
        b.does("send back");
        a.hears("back");
        a.does("drop");
        b.says("recv", "!PeerClosed");
        // The other way round: the one that was there first speaks while the other comes.
        a.tell("open cat ring=4096");
        b.does(&format!("send {round}"));
        a.hears("ok");
        a.says("recv", &round.to_string());
        a.does("drop");
        b.says("recv", "!PeerClosed");
    }
    stage.end([a, b]);
}

// A wait with a time limit looks once more when the time is up: these have none.

#[test]
fn a_sleeper_is_told_that_the_other_has_finished() {
    let stage = Stage::new("finished-asleep");
    let (mut a, mut b) = stage.pair();
    a.does("split");
    b.tell("recv");
    b.waits();
    a.does("finish"); // its end of the conversation lives on: nothing but this wakes b
    b.hears("!Finished");
    stage.end([a, b]);
}

#[test]
fn each_new_peer_is_woken_also_at_its_first_sleep() {
    // Every life of b sleeps for the first time in its own memory: the same number in the same
    // word as its predecessor, which a has woken already.
    let stage = Stage::new("first-sleep");
    let mut a = stage.opened("a");
    for life in ["one", "two", "three", "four"] {
        let mut b = stage.opened("b");
        b.does("wait-peer");
        b.tell("recv");
        b.waits();
        a.does(&format!("send {life}"));
        b.hears(life);
        b.does("ack");
        b.kill();
        a.says("recv", "!PeerDied");
    }
    stage.end_with_corpses([a]);
}

#[test]
fn a_peer_that_has_just_attached_is_woken() {
    let stage = Stage::new("just-attached");
    let mut a = stage.opened("a");
    // It knows of all that has happened so far, and need not ask again.
    a.does("send early");
    let mut b = stage.opened("b");
    b.does("wait-peer");
    b.says("recv", "early");
    b.tell("recv");
    b.waits();
    a.does("send at once");
    b.hears("at once");
    stage.end([a, b]);
}

/// Two ends that talk much leave their fences out, and a stream has a way of its own on which the
/// sender looks at nothing but whether the peer sleeps.
#[test]
fn who_fell_asleep_in_a_stream_is_woken_by_its_next_message() {
    let (mut a, mut b) = twocan::Channel::pair().unwrap();
    let (heard, news) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Ok(message) = b.recv() {
            if message.len() == 9 {
                heard.send(message[0]).unwrap();
            }
        }
    });
    for _ in 0..60 {
        (0..600).for_each(|_| _ = a.send([0; 8]).unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    for n in 0..20 {
        // By now it sleeps; if it does not, the next time.
        std::thread::sleep(Duration::from_millis(10));
        a.send([n; 9]).unwrap();
        assert_eq!(news.recv_timeout(Duration::from_secs(20)), Ok(n), "was it woken?");
    }
    drop(a);
    reader.join().unwrap();
}
