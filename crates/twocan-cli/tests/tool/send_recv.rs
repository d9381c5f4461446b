//! `twocan send` and `twocan recv`.

use crate::rig::{LIMIT, Place, Running, err, expect_end, out};
use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_word_from_one_terminal_to_the_other_whoever_starts_first() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "cat"]);
    expect_end(&place.run(&["send", "cat", "안녕"]), 0, "");
    assert_eq!(recv.rest(), ["안녕"]);
    assert_eq!(recv.code(), 0);
    let mut send = place.start(&["send", "cat", "hi"]);
    let recv = place.run(&["recv", "cat"]);
    expect_end(&recv, 0, "");
    assert_eq!(out(&recv), "hi\n");
    assert_eq!(send.code(), 0);
    place.expect_clean();
}

#[test]
fn lines_come_back_as_they_went() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "cat"]);
    expect_end(&place.run_with(&["send", "cat"], b"1\n2\n3\n4\n5\n"), 0, "");
    assert_eq!(recv.rest(), ["1", "2", "3", "4", "5"]);
    assert_eq!(recv.code(), 0);
    let mut recv = place.start(&["recv", "cat"]);
    expect_end(&place.run_with(&["send", "cat"], b"\n a \n\nlast"), 0, "");
    assert_eq!(recv.rest(), ["", " a ", "", "last"]);
}

#[test]
fn no_message_at_all_is_fine() {
    let place = Place::new();
    expect_end(&place.run_with(&["send", "cat"], b""), 0, "");
}

#[test]
fn many_lines_come_once_and_in_order() {
    let place = Place::new();
    let lines: Vec<String> = (0..100_000).map(|n| format!("line {n}")).collect();
    let mut recv = place.start(&["recv", "cat"]);
    let input = lines.join("\n");
    let sender = thread::scope(|scope| {
        let sender = scope.spawn(|| place.run_with(&["send", "cat"], input.as_bytes()));
        let got = recv.rest();
        assert!(got == lines, "{} of {} lines, or out of order", got.len(), lines.len());
        sender.join().unwrap()
    });
    expect_end(&sender, 0, "");
}

#[test]
fn whole_raw_and_zero() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..=255u8).cycle().take(3_000_000).collect();
    let recv = Receiving::start(&place, &["recv", "cat", "--raw"]);
    expect_end(&place.run_with(&["send", "cat", "--whole"], &bytes), 0, "");
    let got = recv.end();
    assert!(got.stdout == bytes, "{} bytes", got.stdout.len());
    let recv = Receiving::start(&place, &["recv", "cat", "-0"]);
    expect_end(&place.run_with(&["send", "cat"], b"a\nb"), 0, "");
    assert_eq!(recv.end().stdout, b"a\0b\0");
}

#[test]
fn json_has_text_or_hex() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "cat", "--json"]);
    expect_end(&place.run_with(&["send", "cat"], b"say \"\xed\x95\x9c\"\t\n\xff\x00"), 0, "");
    let objects: Vec<serde_json::Value> =
        recv.rest().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["text"], "say \"한\"\t");
    assert_eq!(objects[0]["bytes"], 10);
    assert_eq!(objects[1]["hex"], "ff00");
    assert!(objects[1].get("text").is_none());
    assert_ne!(objects[0]["seq"], objects[1]["seq"]);
}

#[test]
fn count_leaves_the_rest_to_the_next() {
    let place = Place::new();
    let mut send = place.start(&["send", "cat", "--keep"]);
    for n in 1..=5 {
        send.say(&n.to_string());
    }
    send.end_input();
    assert_eq!(out(&place.run(&["recv", "cat", "--count", "2"])), "1\n2\n");
    assert_eq!(out(&place.run(&["recv", "cat", "--count", "1"])), "3\n");
    assert_eq!(out(&place.run(&["recv", "cat"])), "4\n5\n");
    assert_eq!(send.code(), 0);
}

#[test]
fn a_receiver_that_leaves_early_is_told_with_7() {
    let place = Place::new();
    let mut send = place.start(&["send", "cat"]);
    for n in 1..=3 {
        send.say(&n.to_string());
    }
    let recv = Receiving::start(&place, &["recv", "cat", "--count", "1"]);
    let pid = recv.pid;
    assert_eq!(recv.end().stdout, b"1\n");
    send.end_input();
    let words = send.err_rest();
    assert_eq!(send.code(), 7);
    // The pid is known only if the sender has looked while the receiver was there.
    let expect = |who: &str| {
        format!(
            "twocan: cat: {who} left; 2 messages were not taken. \
             To wait for the next one: twocan send cat --keep"
        )
    };
    let known = expect(&format!("pid {pid}"));
    assert!(words == [known] || words == [expect("the other side")], "{words:?}");
}

#[test]
fn keep_goes_on_with_the_next_sender() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "cat", "--keep"]);
    for text in ["one", "two", "three"] {
        expect_end(&place.run(&["send", "cat", text]), 0, "");
        assert_eq!(recv.out_line(), text);
    }
    recv.signal("INT");
    assert_eq!(recv.code(), 130);
    place.expect_clean();
}

#[test]
fn a_killed_sender_is_told_with_6() {
    let place = Place::new();
    let mut recv = place.start(&["recv", "cat"]);
    let mut send = place.start(&["send", "cat"]);
    for line in ["one", "two", "three"] {
        send.say(line);
        assert_eq!(recv.out_line(), line);
    }
    let pid = send.pid();
    send.kill();
    assert_eq!(recv.code(), 6);
    let words =
        format!("twocan: cat: pid {pid} ended without saying goodbye after 3 messages (11 bytes).");
    assert_eq!(recv.err_rest(), [words]);
}

#[test]
fn a_killed_receiver_loses_nothing() {
    let place = Place::new();
    let mut send = place.start(&["send", "cat", "--keep"]);
    send.say("first");
    let mut recv = place.start(&["recv", "cat"]);
    assert_eq!(recv.out_line(), "first");
    recv.kill();
    send.say("second");
    send.say("third");
    send.end_input();
    let rest = out(&place.run(&["recv", "cat"]));
    // The first was printed; whether it was acknowledged before the kill is a race, and both are
    // right.
    assert!(["first\nsecond\nthird\n", "second\nthird\n"].contains(&rest.as_str()), "{rest}");
    assert_eq!(send.code(), 0);
}

#[test]
fn two_senders_do_not_lock_out_the_receiver() {
    let place = Place::new();
    let mut one = place.start(&["send", "cat", "a"]);
    let mut two = place.start(&["send", "cat", "b"]);
    let mut recv = place.start(&["recv", "cat", "--keep", "--count", "2"]);
    let mut got = recv.rest();
    got.sort();
    assert_eq!(got, ["a", "b"]);
    assert_eq!((one.code(), two.code(), recv.code()), (0, 0, 0));
    place.expect_clean();
}

#[test]
fn time_outs_end_with_3() {
    let place = Place::new();
    let nobody = place.run(&["send", "cat", "hi", "--timeout", "50ms"]);
    let words = "twocan: nobody took the message within 50 ms; it was not delivered. \
                 To take what is sent: twocan recv cat\n";
    expect_end(&nobody, 3, words);
    let nothing = place.run(&["recv", "cat", "--timeout", "50ms"]);
    let words = "twocan: no message within 50 ms. To send one: echo hi | twocan send cat\n";
    expect_end(&nothing, 3, words);
    place.expect_clean();
}

#[test]
fn a_closed_standard_output_ends_quietly_and_keeps_the_message() {
    let place = Place::new();
    let mut send = place.start(&["send", "cat", "--keep"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = place.command(&["recv", "cat"]);
    let mut recv = Running::spawn(command.stdin(Stdio::null()).stdout(writer));
    drop(command);
    send.say("one");
    // Read on a thread, which closes its end of the pipe with the first message.
    let first = thread::spawn(move || {
        let (mut reader, mut line) = (reader, [0; 4]);
        reader.read_exact(&mut line).map(|()| line)
    });
    let start = Instant::now();
    while !first.is_finished() {
        assert!(start.elapsed() < LIMIT, "the first message does not come");
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(&first.join().unwrap().unwrap(), b"one\n");
    send.say("two");
    assert_eq!(recv.code(), 0);
    assert!(recv.err_rest().is_empty());
    send.end_input();
    let rest = out(&place.run(&["recv", "cat"]));
    assert_eq!(rest, "two\n");
    assert_eq!(send.code(), 0);
}

#[test]
fn a_third_is_refused_with_4_and_what_does_not_fit_with_8() {
    let place = Place::new();
    let mut send = place.start(&["send", "cat", "--keep"]);
    wait_for_name(&place, "cat");
    let mut recv = place.start(&["recv", "cat", "--keep"]);
    send.say("both are there");
    recv.out_line();
    let third = place.run(&["pipe", "cat"]);
    let words = format!(
        "twocan: cat is in use by pid {} (send) and pid {} (recv). A channel has two ends.\n\
         \x20       \
         Choose another name, or wait for one of them to leave: twocan pipe cat --wait\n",
        send.pid(),
        recv.pid()
    );
    expect_end(&third, 4, &words);
    // `send` waits without being asked, so it has no --wait to be told of.
    let third = place.run(&["send", "cat", "hi", "--timeout", "50ms"]);
    assert_eq!(third.status.code(), Some(4), "{}", err(&third));
    assert!(err(&third).ends_with("leave (--timeout).\n"), "{}", err(&third));
    let _alone = place.start(&["recv", "dog", "--label", "orders/2"]);
    wait_for_name(&place, "dog");
    let other = place.run(&["send", "dog", "hi"]);
    assert_eq!(other.status.code(), Some(8), "{}", err(&other));
    assert!(err(&other).contains("orders/2"), "{}", err(&other));
    let limit = place.run(&["send", "dog", "hi", "--label", "orders/2", "--max-message", "1MiB"]);
    assert_eq!(limit.status.code(), Some(8), "{}", err(&limit));
    assert!(err(&limit).contains("--max-message"), "{}", err(&limit));
    let recv = place.run(&["recv", "dog", "--label", "orders/2"]);
    assert_eq!(recv.status.code(), Some(8), "two receivers: {}", err(&recv));
}

#[test]
fn too_long_a_message_is_refused_with_8() {
    let place = Place::new();
    let text = "x".repeat(5_000);
    let args = ["send", "cat", &text, "--max-message", "4KiB"];
    let long = place.run(&args);
    assert_eq!(long.status.code(), Some(8), "{}", err(&long));
    let args = ["send", "cat", "--whole", "--max-message", "4KiB"];
    let long = place.run_with(&args, text.as_bytes());
    let words =
        "twocan: a message is longer than 4096 bytes, the most that fits (--max-message).\n";
    expect_end(&long, 8, words);
}

#[test]
fn signals_end_a_waiting_sender_and_say_what_is_lost() {
    let place = Place::new();
    let mut send = place.start(&["send", "cat", "hi"]);
    wait_for_name(&place, "cat");
    send.signal("TERM");
    assert_eq!(send.code(), 143);
    assert_eq!(send.err_rest(), ["twocan: 1 message was not taken and is gone."]);
    place.expect_clean();
}

/// Until `twocan ls` shows a channel of this name.
pub(crate) fn wait_for_name(place: &Place, name: &str) {
    let start = Instant::now();
    while !out(&place.run(&["ls"])).lines().any(|l| l.starts_with(name)) {
        assert!(start.elapsed() < LIMIT, "{name} does not appear in ls");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A receiver whose whole output is wanted as bytes.
pub(crate) struct Receiving {
    pub(crate) pid: u32,
    thread: thread::JoinHandle<std::process::Output>,
}

impl Receiving {
    pub(crate) fn start(place: &Place, args: &[&str]) -> Receiving {
        let mut command = place.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Receiving { pid: child.id(), thread: thread::spawn(|| child.wait_with_output().unwrap()) }
    }

    pub(crate) fn end(self) -> std::process::Output {
        let start = Instant::now();
        while !self.thread.is_finished() {
            assert!(start.elapsed() < LIMIT, "pid {} does not end", self.pid);
            thread::sleep(Duration::from_millis(2));
        }
        self.thread.join().unwrap()
    }
}
