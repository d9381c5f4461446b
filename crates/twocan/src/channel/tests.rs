//! A peer that lies, played with the library's own insides.

use super::Channel;
use crate::ring::Memory;
use crate::ring::ack_word;
use crate::sync::Ordering;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(3);

fn name(what: &str) -> String {
    format!("unit-{what}-{}", std::process::id())
}

#[test]
fn a_successor_reads_on_after_a_peer_that_acknowledged_half_a_record() {
    let name = name("half");
    let mut a = Channel::open(&name).unwrap();
    let b = Channel::open(&name).unwrap();
    b.wait_peer(SOON).unwrap();
    a.send([0; 200]).unwrap();
    let start = a.tx.owner().own.shape().start;
    // Aligned, and not more than was sent: but in the middle of the record.
    let lie = ack_word(1, start.wrapping_add(64));
    // SYNC acknowledged: as the library says it, but for the position.
    b.tx.owner().own.header().progress.ack.store(lie, Ordering::Release);
    drop(b);
    let mut c = Channel::open(&name).unwrap();
    c.wait_peer(SOON).unwrap();
    a.send("hello").unwrap();
    loop {
        let message = c.recv_timeout(SOON).expect("the successor is honest, and so is the sender");
        if &*message == b"hello" {
            break;
        }
    }
}

#[test]
fn an_honest_end_is_welcome_after_one_that_boasted_of_its_age() {
    // The server of a session says which generations there are. See `wire::MAX_GENERATION`.
    let name = name("age");
    let a = Channel::open(&name).unwrap();
    a.tx.owner().boast(u32::MAX);
    let b = Channel::open(&name).unwrap();
    let _ = b.wait_peer(Duration::from_millis(500));
    drop(a);
    let c = Channel::open(&name).unwrap();
    c.wait_peer(SOON).unwrap();
}

/// Each length by way of a loan and a delivery, which is dropped once; lines and more lines, in
/// turn and one after the other.
#[test]
fn what_is_lent_comes_again_until_it_is_acknowledged() {
    let (mut a, mut b) = Channel::pair().unwrap();
    let send = |end: &mut Channel, len: usize, byte: u8| {
        let mut loan = end.sender().loan(len).unwrap();
        loan.fill(byte);
        drop(loan); // given up: sends nothing
        let mut loan = end.sender().loan(len).unwrap();
        loan.fill(byte);
        loan.commit()
    };
    let take = |end: &mut Channel, other: &Channel, len: usize, byte: u8| {
        let mut seqs = vec![end.receiver().recv_delivery().unwrap().seq()];
        seqs.push(end.receiver().recv_delivery_until(SOON).unwrap().seq());
        let mut taker = || {
            let delivery = end.receiver().recv_delivery().unwrap();
            seqs.push(delivery.seq());
            let message = delivery.to_message();
            assert!(message.len() == len && message.iter().all(|b| *b == byte), "{len}");
            let mut bytes = vec![!byte; len];
            delivery.copy_to(&mut bytes);
            assert_eq!(bytes, *message, "{len}");
            assert!(!other.tx.is_acknowledged(delivery.seq()), "{len}: before");
            delivery.acknowledge();
        };
        taker();
        assert!(seqs.iter().all(|seq| *seq == seqs[0]), "{len}: another one");
        assert!(other.tx.is_acknowledged(seqs[0]), "{len}: behind");
    };
    // Often enough that fences become rare, and that the ring comes round.
    for round in 0..400_u32 {
        for len in [48, 0, 8, 48, 48, 49, 64, 64, 300, 4000, 64] {
            let byte = (round as usize + len) as u8;
            send(&mut a, len, byte);
            take(&mut b, &a, len, byte);
            if round % 2 == 0 {
                send(&mut b, len, byte);
                take(&mut a, &b, len, byte);
            }
        }
    }
}

#[test]
fn what_does_not_go_the_short_way_teaches_nothing_about_when_to_look() {
    let (mut a, mut b) = Channel::pair().unwrap();
    let mut trip = |discards: bool| {
        a.send("?").unwrap();
        b.recv().unwrap();
        if discards {
            b.send("nothing").unwrap();
            b.sender().discard_unacknowledged();
        }
        b.send("!").unwrap();
        assert_eq!(&*a.recv().unwrap(), b"!");
        format!("{:?}", a.rx.head_start)
    };
    let begin = trip(false);
    let later = (0..100).map(|_| trip(false)).last().unwrap();
    assert_ne!(begin, later, "they were there at once");
    // What was discarded once leaves its word behind.
    trip(true);
    let before = trip(false);
    (0..100).for_each(|_| assert_eq!(trip(false), before, "behind a discard"));
}
