//! A fixed scenario for counting instructions: `cargo xtask count` runs it under callgrind.
//!
//! The count of one call is a difference of two runs of different length, so whatever a run does
//! once falls out.

use twocan::{Channel, Spin};

fn main() {
    let args: Vec<String> = std::env::args().filter(|a| !a.starts_with("--")).collect();
    let [_, what, bytes, count] = &args[..] else {
        println!("counted: send|recv|recv-into|batch|echo BYTES COUNT; see `cargo xtask count`");
        return;
    };
    let (bytes, count): (usize, usize) =
        (bytes.parse().expect("bytes"), count.parse().expect("a count"));
    let ends = Channel::options().spin(Spin::Always).pair();
    let (mut a, mut b) = ends.expect("a pair");
    let message = vec![7u8; bytes];
    let mut buffer = Vec::with_capacity(bytes);
    // Past what happens only at the beginning of a channel.
    for _ in 0..2000 {
        a.send(&message).expect("room");
        b.receiver().recv_into(&mut buffer).expect("a message");
    }
    b.receiver().ack();
    let batch = vec![message.clone(); 16];
    match what.as_str() {
        "send" | "recv" | "recv-into" => {
            (0..count).for_each(|_| {
                a.send(&message).expect("room");
            });
        }
        "batch" => {
            (0..count / 16).for_each(|_| {
                a.sender().send_batch(&batch).expect("room");
            });
        }
        other => panic!("what is {other}?"),
    }
    match what.as_str() {
        "recv" => (0..count).for_each(|_| drop(b.recv().expect("a message"))),
        "recv-into" => (0..count).for_each(|_| {
            b.receiver().recv_into(&mut buffer).expect("a message");
        }),
        _ => {}
    }
    std::process::exit(0); // nothing of the end counts
}
