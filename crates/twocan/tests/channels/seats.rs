//! Two ends to a name: who gets a seat, who is refused, and who only seems to hold one.

use crate::fake::{Flaw, Region, START, Socket, seat_of};
use crate::stage::{Peer, Stage};

#[test]
fn both_ends_may_be_in_one_process() {
    let stage = Stage::new("one-process");
    let mut p = stage.peer("p");
    p.does("x: open cat");
    p.does("y: open cat");
    p.does("x: send hello");
    p.says("y: recv", "hello");
    p.does("y: send you");
    p.says("x: recv", "you");
    p.does("x: drop");
    p.says("y: recv", "!PeerClosed");
    p.does("x: open cat");
    p.does("x: wait-peer");
    stage.end([p]);
}

#[test]
fn of_three_that_race_two_win_and_the_third_is_told_by_whom() {
    let stage = Stage::new("race");
    let mut peers = ["a", "b", "c"].map(|who| stage.peer(who));
    for round in 0..50 {
        for peer in &mut peers {
            peer.tell("open-until 1 cat");
        }
        let answers = peers.each_mut().map(Peer::hear);
        let winners: Vec<usize> = (0..3).filter(|i| answers[*i] == "ok").collect();
        assert_eq!(winners.len(), 2, "round {round}: {answers:?}");
        let loser = 3 - winners[0] - winners[1];
        let pids = winners.iter().map(|i| peers[*i].pid()).collect::<Vec<_>>();
        let told = |p: u32, q: u32| {
            format!(
                "!cat is in use by pid {p} and pid {q}. A channel has two ends.\\n        Choose \
                 another name, or wait for one of them to leave: twocan chat cat --wait"
            )
        };
        let possible = [told(pids[0], pids[1]), told(pids[1], pids[0])];
        assert!(possible.contains(&answers[loser]), "round {round}: {}", answers[loser]);
        for i in winners {
            peers[i].does("wait-peer");
        }
        for peer in &mut peers {
            peer.does("drop");
        }
    }
    stage.end(peers);
}

#[test]
fn two_that_do_not_fit_refuse_each_other_and_say_why() {
    let stage = Stage::new("refusals");
    for (first, second, told) in [
        (
            "label=chat/1",
            "",
            "cat is a chat (pid PID, alice), and this program speaks raw bytes. To say one line \
             in it:\\n        echo hi | twocan chat cat --plain",
        ),
        (
            "label=orders/2",
            "label=chat/1",
            "cat is not a chat: pid PID (alice) opened it for \"orders/2\". Choose another name.",
        ),
        (
            "",
            "label=orders/2",
            "cat is not what this program speaks: pid PID (alice) opened it for raw bytes. \
             Choose another name.",
        ),
        (
            "max=1048576",
            "",
            "cat: pid PID (alice) allows messages to 1 MiB, this program to 64 MiB. Set \
             --max-message (max_message) the same on both sides.",
        ),
        (
            "send-only",
            "send-only",
            "cat: pid PID (alice) only wants to send, and so does this program. One of the two \
             must do the other.",
        ),
        (
            "recv-only",
            "recv-only",
            "cat: pid PID (alice) only wants to receive, and so does this program. One of the \
             two must do the other.",
        ),
    ] {
        let mut a = stage.opened_with("alice", first);
        let mut b = stage.peer("b");
        let expected = format!("!{}", told.replace("PID", &a.pid().to_string()));
        b.says(&format!("open-until 1 cat {second}"), &expected);
        // Refused before anything of it was there: the first is as alone as before.
        a.says("peer", "nobody");
        b.does(&format!("open cat {}", first.replace("send-only", "").replace("recv-only", "")));
        a.does("wait-peer");
        a.finish();
        b.finish();
    }
    stage.end([]);
}

#[test]
fn an_end_of_another_layout_is_named_with_both_versions() {
    let stage = Stage::new("layout");
    let a = stage.opened("alice");
    let seat = stage.files().into_iter().find(|name| name.ends_with(".seat")).unwrap();
    let path = stage.path().join(seat);
    let mut record = std::fs::read(&path).unwrap();
    record[8] = 3;
    std::fs::write(&path, record).unwrap();
    let mut b = stage.peer("b");
    let pid = a.pid();
    b.says(
        "open-until 1 cat",
        &format!(
            "!cat: pid {pid} uses layout 3, this program layout 1. Update the older of the two."
        ),
    );
    stage.end([a, b]);
}

#[test]
fn a_direction_is_one_way_and_each_end_is_told() {
    let stage = Stage::new("direction");
    let mut a = stage.opened_with("a", "send-only");
    let mut b = stage.opened_with("b", "recv-only");
    b.does("wait-peer");
    a.does("send there");
    b.says("recv", "there");
    a.says("try-recv", "!WrongDirection");
    b.says("try-send back", "!WrongDirection");
    b.does("drop");
    b.does("open cat");
    b.does("wait-peer");
    b.says("send back", "!ReceiverGone");
    a.does("drop");
    a.does("open cat recv-only");
    b.says("recv", "!PeerClosed");
    a.does("wait-peer");
    b.does("send at last");
    a.says("recv", "at last");
    b.says("recv", "!Finished");
    stage.end([a, b]);
}

#[test]
fn a_stopped_peer_is_alive_and_nobody_waits_for_it_longer_than_it_said() {
    let stage = Stage::new("stopped");
    let b = stage.opened("b");
    b.signal(libc::SIGSTOP);
    let mut a = stage.opened("a"); // does not wait for b
    a.says("peer", "nobody");
    b.signal(libc::SIGCONT);
    a.does("wait-peer");
    b.signal(libc::SIGSTOP);
    a.says("flood 1000", "3 !Full");
    a.says("long-for 20 1000 1", "!TimedOut");
    a.says("long-for 20 100000 1", "!TimedOut");
    a.says("recv-for 20", "!TimedOut");
    a.says("peer", "b");
    let mut c = stage.peer("c");
    for _ in 0..30 {
        // More often than a queue is long.
        let told = c.ask("open-until 1 cat");
        assert!(told.contains(&format!("pid {}", a.pid())), "{told}");
        assert!(told.contains(&format!("pid {}", b.pid())), "{told}");
    }
    b.signal(libc::SIGCONT);
    let mut b = b;
    for _ in 0..3 {
        assert_eq!(b.ask("recv").len(), 1000);
    }
    stage.end([a, b, c]);
}

#[test]
fn a_death_is_seen_although_a_child_keeps_the_sockets() {
    let stage = Stage::new("kept-sockets");
    let (mut a, mut b) = stage.pair();
    let child = a.ask("fork-unseen");
    a.does("send last");
    let mut a = stage.restart(a);
    b.says("recv", "last");
    b.says("recv", "!PeerDied");
    a.does("wait-peer");
    a.does("send from the next");
    b.says("recv", "from the next");
    // SAFETY: the process that we made the peer fork.
    unsafe { libc::kill(child.parse().unwrap(), libc::SIGKILL) };
    stage.end([a, b]);
}

#[test]
fn a_newcomer_is_answered_when_the_one_before_has_gone() {
    // Who dies closes its sockets one by one, so its successor may be there before its death can be
    // seen. What it acknowledged and wrote last counts first.
    let stage = Stage::new("successor");
    let mut honest = stage.opened("honest");
    let seat = seat_of(&stage);
    let [first, next] = [Region::new(Flaw::None), Region::new(Flaw::None)];
    let present = Socket::connect(&stage, &seat);
    present.say_hello(&first);
    assert!(present.hear() > 0, "WELCOME");
    let newcomer = Socket::connect(&stage, &seat);
    newcomer.say_hello(&next);
    for _ in 0..2 {
        // When these are hung up on, what was said before has been heard.
        let stranger = Socket::connect(&stage, &seat);
        stranger.send(b"hello?", &[]).unwrap();
        assert_eq!(stranger.hear(), 0);
    }
    assert!(!newcomer.has_news() && !present.has_news(), "the present one is still there");
    first.record(START, 1, 4, b"last");
    honest.says("recv", "last");
    honest.says("peer", "fake");
    drop(present);
    honest.says("recv", "!PeerDied");
    assert!(newcomer.hear() > 0, "WELCOME");
    next.record(START, 1, 4, b"next");
    honest.says("recv", "next");
    drop(newcomer);
    honest.says("recv", "!PeerDied");
    stage.end([honest]);
}

#[test]
fn a_forked_child_is_no_end_and_keeps_no_seat() {
    let stage = Stage::new("forked");
    let (mut a, mut b) = stage.pair();
    let said = a.ask("fork");
    let (child, said) = said.split_once(' ').unwrap();
    assert_eq!(said, "Err(Forked) Err(Forked)");
    a.does("send from the parent");
    let mut a = stage.restart(a); // its child lives on
    b.says("recv", "from the parent");
    b.says("recv", "!PeerDied");
    a.does("wait-peer");
    a.does("send from the next");
    b.says("recv", "from the next");
    // SAFETY: the process that we made the peer fork.
    unsafe { libc::kill(child.parse().unwrap(), libc::SIGKILL) };
    stage.end([a, b]);
}

#[test]
fn sweeping_the_directory_spares_the_living() {
    let stage = Stage::new("sweep");
    let a = stage.opened("a");
    let b = stage.opened("b");
    let mut broom = stage.peer("broom");
    a.kill();
    broom.does("sweep");
    let mut a = stage.opened("a");
    let mut b = b;
    b.does("wait-peer");
    a.does("send hello");
    while b.ask("recv") != "hello" {}
    stage.end([a, b, broom]);
}

#[test]
fn open_until_waits_for_a_seat() {
    let stage = Stage::new("seat");
    let (a, mut b) = stage.pair();
    let mut c = stage.peer("c");
    c.tell("open-until 60000 cat nick=c");
    c.waits();
    a.kill();
    c.hears("ok");
    b.says("recv", "!PeerDied");
    c.does("wait-peer");
    let mut d = stage.peer("d");
    d.tell("open-until 60000 cat nick=d");
    d.waits();
    c.does("drop");
    d.hears("ok");
    stage.end([b, c, d]);
}

#[test]
fn a_goodbye_frees_the_seat_at_once() {
    let stage = Stage::new("at-once");
    let (mut a, mut b) = stage.pair();
    for _ in 0..20 {
        a.does("drop");
        a.does("open-until 1 cat");
        b.says("recv", "!PeerClosed");
        a.does("wait-peer");
    }
    stage.end([a, b]);
}

#[test]
fn two_newcomers_do_not_pair_off_beside_a_survivor() {
    // A single rendezvous socket would have to be made again after a death; whoever is faster than
    // the survivor would take its place.
    let stage = Stage::new("orphan");
    let (a, mut b) = stage.pair();
    b.does("send kept");
    a.kill();
    let mut peers = ["c", "d"].map(|who| stage.peer(who));
    for peer in &mut peers {
        peer.tell("open-until 1 cat");
    }
    let answers = peers.each_mut().map(Peer::hear);
    let winner = usize::from(answers[0] != "ok");
    assert!(answers[winner] == "ok" && answers[1 - winner].contains("is in use by"), "{answers:?}");
    peers[winner].says("recv", "kept");
    let [c, d] = peers;
    stage.end([b, c, d]);
}
