//! `twocan chat --plain`: both ways, kills and returns, refusals, ends.

use crate::rig::{Place, Running, err, expect_end};

fn chat(place: &Place, nick: &str) -> Running {
    place.start(&["chat", "cat", "--plain", "--as", nick])
}

/// Alice and Bob, who know of each other.
fn alice_and_bob(place: &Place) -> (Running, Running) {
    let mut alice = chat(place, "alice");
    alice.err_until("waiting for the other side");
    let mut bob = chat(place, "bob");
    alice.err_until("bob joined");
    bob.err_until("alice joined");
    (alice, bob)
}

#[test]
fn two_people_talk_in_korean() {
    let place = Place::new();
    let mut alice = chat(&place, "alice");
    assert_eq!(
        alice.err_line(),
        "* cat: waiting for the other side. In another terminal: twocan chat cat"
    );
    assert_eq!(alice.err_line(), "* (you are alice; /help for commands, Ctrl-D to leave)");
    let mut bob = chat(&place, "bob");
    assert_eq!(alice.err_line(), format!("* bob joined (pid {}).", bob.pid()));
    alice.say("안녕하세요, 밤이에요");
    assert_eq!(bob.out_line(), "alice: 안녕하세요, 밤이에요");
    bob.say("네, 안녕히 주무세요 👋🏽");
    assert_eq!(alice.out_line(), "bob: 네, 안녕히 주무세요 👋🏽");
    alice.end_input();
    assert_eq!(alice.code(), 0);
    let left = "* alice left. Waiting for the other side to come back; Ctrl-D to leave.";
    assert_eq!(bob.err_until("left"), left);
    bob.end_input();
    assert_eq!(bob.code(), 0);
    place.expect_clean();
}

#[test]
fn what_was_written_alone_arrives() {
    let place = Place::new();
    let mut alice = chat(&place, "alice");
    for line in ["one", "two", "three"] {
        alice.say(line);
    }
    let kept = "* kept: 1 message waits for the other side. If you leave before, it is gone.";
    assert_eq!(alice.err_until("kept"), kept);
    let mut bob = chat(&place, "bob");
    for line in ["one", "two", "three"] {
        assert_eq!(bob.out_line(), format!("alice: {line}"));
    }
    let joined = alice.err_until("joined");
    assert!(joined.starts_with("* bob joined (pid ") && !joined.contains("kept"), "{joined}");
    alice.end_input();
    assert_eq!(alice.code(), 0);
}

#[test]
fn kill_one_and_start_it_again_nothing_is_lost() {
    let place = Place::new();
    let (mut alice, mut bob) = alice_and_bob(&place);
    bob.say("hi");
    assert_eq!(alice.out_line(), "bob: hi");
    alice.say("before");
    assert_eq!(bob.out_line(), "alice: before");
    bob.kill();
    let died = "* bob's program ended without saying goodbye. \
                What you write is kept until it returns.";
    assert_eq!(alice.err_line(), died);
    alice.say("meanwhile 하나");
    alice.say("meanwhile 둘");
    let mut bob = chat(&place, "bob");
    let back = alice.err_line();
    assert!(back.starts_with(&format!("* bob is back (pid {}).", bob.pid())), "{back}");
    // "before" was printed; whether it was acknowledged before the kill is a race, and both are
    // right.
    let mut first = bob.out_line();
    if first == "alice: before" {
        first = bob.out_line();
    }
    assert_eq!(first, "alice: meanwhile 하나");
    assert_eq!(bob.out_line(), "alice: meanwhile 둘");
    bob.say("I am back");
    assert_eq!(alice.out_line(), "bob: I am back");
    bob.end_input();
    assert_eq!(bob.code(), 0);
}

#[test]
fn the_same_nick_is_told() {
    let place = Place::new();
    let mut one = chat(&place, "alice");
    one.err_until("you are alice");
    let mut two = chat(&place, "alice");
    assert_eq!(one.err_line(), format!("* alice (2) joined (pid {}).", two.pid()));
    let same = "* the other side also calls itself alice; shown as alice (2).";
    assert_eq!(one.err_line(), same);
    two.say("me too");
    assert_eq!(one.out_line(), "alice (2): me too");
}

#[test]
fn a_third_is_refused_with_the_two_and_may_wait() {
    let place = Place::new();
    let (mut alice, mut bob) = alice_and_bob(&place);
    let third = place.run(&["chat", "cat", "--plain"]);
    let (a, b) = (alice.pid(), bob.pid());
    let cure = "Choose another name, or wait for one of them to leave: twocan chat cat --wait";
    let words = format!(
        "twocan: cat is in use by pid {a} (alice) and pid {b} (bob). A channel has two ends.\n\
         \x20       \
         {cure}\n"
    );
    expect_end(&third, 4, &words);
    let mut carol = place.start(&["chat", "cat", "--plain", "--wait", "--as", "carol"]);
    alice.say("still two of us");
    assert_eq!(bob.out_line(), "alice: still two of us");
    bob.end_input();
    assert_eq!(bob.code(), 0);
    alice.err_until("carol joined");
    alice.say("hello carol");
    assert_eq!(carol.out_line(), "alice: hello carol");
}

#[test]
fn a_chat_and_a_raw_command_are_kept_apart() {
    let place = Place::new();
    let mut alice = chat(&place, "alice");
    alice.err_until("you are alice");
    let send = place.run(&["send", "cat", "hi"]);
    let words = format!(
        "twocan: cat is a chat (pid {}, alice), and send speaks raw bytes.\n        \
         To say one line in it: echo hi | twocan chat cat --plain\n",
        alice.pid()
    );
    expect_end(&send, 8, &words);
    let mut other = place.start(&["recv", "dog", "--label", "orders/2"]);
    crate::send_recv::wait_for_name(&place, "dog");
    let refused = place.run(&["chat", "dog", "--plain"]);
    let words = format!(
        "twocan: dog is not a chat: pid {} opened it for \"orders/2\". Choose another name.\n",
        other.pid()
    );
    expect_end(&refused, 8, &words);
    other.kill();
}

#[test]
fn one_line_from_a_script_waits_until_it_was_taken() {
    let place = Place::new();
    let mut alice = chat(&place, "alice");
    alice.err_until("you are alice");
    let said =
        place.run_with(&["chat", "cat", "--plain", "--as", "script"], b"hi\n/quit is text\n");
    assert_eq!(said.status.code(), Some(0), "{}", err(&said));
    assert_eq!(alice.out_line(), "script: hi");
    assert_eq!(alice.out_line(), "script: /quit is text");
    alice.end_input();
    assert_eq!(alice.code(), 0);
    place.expect_clean();
}

#[test]
fn leaving_by_a_signal_tells_what_is_lost() {
    let place = Place::new();
    let mut alice = chat(&place, "alice");
    alice.say("one");
    alice.say("two");
    alice.err_until("kept");
    // Both must have been read before the signal comes.
    alice.say("");
    std::thread::sleep(std::time::Duration::from_millis(200));
    alice.signal("INT");
    assert_eq!(alice.code(), 130);
    let last = alice.err_rest().pop();
    let words = "* 2 messages were not taken by the other side and are gone.";
    assert_eq!(last.as_deref(), Some(words));
    place.expect_clean();

    let mut alone = chat(&place, "alice");
    alone.err_until("you are alice");
    alone.signal("TERM");
    assert_eq!(alone.code(), 143);
    assert!(alone.err_rest().is_empty(), "alone and nothing written: silent");
}

#[test]
fn escape_sequences_of_the_peer_do_nothing() {
    let place = Place::new();
    let (mut alice, mut bob) = alice_and_bob(&place);
    bob.say("\u{1b}[2J\u{1b}]0;title\u{7}\u{202E}abc");
    assert_eq!(alice.out_line(), "bob: ␛[2J␛]0;title␇abc");
    bob.say(&"x".repeat(100_000));
    let mut long = String::new();
    while long.len() < 100_000 {
        long.push_str(alice.out_line().strip_prefix("bob: ").unwrap());
    }
    assert_eq!(long, "x".repeat(100_000));
}

#[test]
fn many_lines_and_a_quiet_chat() {
    let place = Place::new();
    let mut alice = place.start(&["-q", "chat", "cat", "--plain", "--as", "alice"]);
    let input: String = (0..5_000).map(|n| format!("line {n}\n")).collect();
    let args = ["chat", "cat", "--plain", "--as", "bob", "-q"];
    expect_end(&place.run_with(&args, input.as_bytes()), 0, "");
    for n in 0..5_000 {
        assert_eq!(alice.out_line(), format!("bob: line {n}"));
    }
    alice.end_input();
    assert_eq!(alice.code(), 0);
    assert!(alice.err_rest().is_empty());
}
