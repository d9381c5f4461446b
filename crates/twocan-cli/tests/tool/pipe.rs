//! `twocan pipe`.

use crate::rig::{Place, Running, err, expect_end};
use crate::send_recv::Receiving;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};

/// Bytes that no compression and no repetition makes look right by chance.
fn random(len: usize, seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = seed | 1;
    let mut left = len;
    std::iter::from_fn(move || {
        let n = left.min(1 << 16);
        left -= n;
        (n > 0).then(|| {
            (0..n.div_ceil(8))
                .flat_map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
                })
                .take(n)
                .collect()
        })
    })
}

/// A pipe with its input written and its output compared, both as streams.
fn pipe(place: &Place, send: (usize, u64), expect: (usize, u64)) -> (Child, JoinHandle<()>) {
    let mut command = place.command(&["pipe", "cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    thread::spawn(move || {
        for piece in random(send.0, send.1) {
            stdin.write_all(&piece).unwrap();
        }
    });
    let compare = thread::spawn(move || {
        let mut piece = Vec::new();
        for (i, expected) in random(expect.0, expect.1).enumerate() {
            piece.resize(expected.len(), 0);
            stdout.read_exact(&mut piece).unwrap();
            assert!(piece == expected, "piece {i} differs");
        }
        assert_eq!(stdout.read(&mut [0]).unwrap(), 0, "more than was sent");
    });
    (child, compare)
}

fn both_ways(left: usize, right: usize) {
    let place = Place::new();
    let (mut a, compare_a) = pipe(&place, (left, 17), (right, 23));
    let (mut b, compare_b) = pipe(&place, (right, 23), (left, 17));
    compare_a.join().unwrap();
    compare_b.join().unwrap();
    assert!(a.wait().unwrap().success() && b.wait().unwrap().success());
    place.expect_clean();
}

#[test]
fn sixty_four_mebibytes_arrive_identical() {
    both_ways(64 << 20, 0);
}

#[test]
fn both_ways_at_once() {
    both_ways(16 << 20, 16 << 20);
}

#[test]
fn nothing_arrives_as_nothing() {
    both_ways(0, 0);
}

#[test]
#[ignore = "a gibibyte; run with --ignored"]
fn a_gibibyte_arrives_identical() {
    both_ways(1 << 30, 0);
}

#[test]
fn the_end_of_one_input_leaves_the_other_direction_open() {
    let place = Place::new();
    let mut one = place.start(&["pipe", "cat"]);
    let mut other = place.start(&["pipe", "cat"]);
    one.say("question");
    one.end_input();
    assert_eq!(other.out_line(), "question");
    assert!(other.rest_is_over(), "the end of the input became the end of the output");
    for n in 0..3 {
        other.say(&format!("answer {n}"));
        assert_eq!(one.out_line(), format!("answer {n}"));
    }
    other.end_input();
    assert_eq!((one.code(), other.code()), (0, 0));
    place.expect_clean();
}

#[test]
fn a_killed_side_is_told_with_6() {
    let place = Place::new();
    let mut one = place.start(&["pipe", "cat"]);
    let mut other = place.start(&["pipe", "cat"]);
    other.say("hi");
    assert_eq!(one.out_line(), "hi");
    let pid = other.pid();
    other.kill();
    assert_eq!(one.code(), 6);
    let words =
        format!("twocan: cat: pid {pid} ended without saying goodbye after 1 message (3 bytes).");
    assert_eq!(one.err_rest(), [words]);
}

#[test]
fn a_side_that_leaves_before_the_end_is_told_with_7() {
    let place = Place::new();
    let mut command = place.command(&["pipe", "cat"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut other = Running::spawn(command.stdin(Stdio::piped()).stdout(writer));
    drop(command);
    drop(reader);
    let one = place.run_with(&["pipe", "cat"], &vec![7; 8 << 20]);
    assert_eq!(other.code(), 0, "nobody reads its output: it ends quietly");
    assert_eq!(one.status.code(), Some(7), "{}", err(&one));
    let words = format!("twocan: cat: pid {} left before it had read everything.\n", other.pid());
    assert_eq!(err(&one), words);
}

#[test]
fn a_signal_says_goodbye() {
    let place = Place::new();
    let mut one = place.start(&["pipe", "cat"]);
    let mut other = place.start(&["pipe", "cat"]);
    other.say("hi");
    one.out_line();
    one.signal("INT");
    assert_eq!(one.code(), 130);
    assert_eq!(other.code(), 0, "the other side left, and all was read");
    place.expect_clean();
}

#[test]
fn a_pipe_talks_with_send_and_recv() {
    let place = Place::new();
    let recv = Receiving::start(&place, &["recv", "cat", "--raw"]);
    expect_end(&place.run_with(&["pipe", "cat"], b"some\0bytes\n"), 0, "");
    assert_eq!(recv.end().stdout, b"some\0bytes\n");
}
