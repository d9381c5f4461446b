//! Both ends in one process: every form of sending and receiving.

use std::time::Duration;
use twocan::{Cancel, Channel, ChannelOptions, Incoming, RecvError, SendError, Until, wait_any};

const LONG: Duration = Duration::from_secs(20);

fn small() -> (Channel, Channel) {
    ChannelOptions::new().send_capacity(4096).pair().unwrap()
}

#[test]
fn messages_arrive_in_order_both_ways() {
    let (mut a, mut b) = Channel::pair().unwrap();
    for i in 0..1000u32 {
        a.send(i.to_le_bytes()).unwrap();
        b.send((i * 2).to_le_bytes()).unwrap();
    }
    for i in 0..1000u32 {
        assert_eq!(b.recv_timeout(LONG).unwrap().read::<u32>().unwrap(), i);
        assert_eq!(a.recv_timeout(LONG).unwrap().read::<u32>().unwrap(), i * 2);
    }
    assert_eq!(a.try_recv().unwrap_err(), RecvError::Empty);
}

#[test]
fn a_full_ring_refuses_waits_and_goes_on() {
    let (mut a, mut b) = small();
    let message = [7u8; 1000];
    let mut sent = 0;
    while a.try_send(message).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 3, "a quarter each, and not all of the last one is free");
    assert_eq!(a.try_send(message).unwrap_err(), SendError::Full);
    assert_eq!(a.send_timeout(message, Duration::from_millis(5)).unwrap_err(), SendError::TimedOut);
    let reader = std::thread::spawn(move || {
        for _ in 0..sent + 1 {
            assert_eq!(&*b.recv_timeout(LONG).unwrap(), &message);
        }
        b
    });
    a.send_timeout(message, LONG).unwrap();
    reader.join().unwrap();
}

#[test]
fn every_length_up_to_a_record_and_far_beyond() {
    let (mut a, mut b) = small();
    let reader = std::thread::spawn(move || {
        let mut n = 0usize;
        while let Ok(m) = b.recv_timeout(LONG) {
            assert!(m.iter().enumerate().all(|(i, x)| *x == (i + n) as u8), "message {n}");
            n += 1;
        }
        n
    });
    let mut n = 0usize;
    for len in (0..1100).chain([4096, 5000, 65536, 1 << 20]) {
        let bytes: Vec<u8> = (0..len).map(|i| (i + n) as u8).collect();
        a.send_timeout(&bytes, LONG).unwrap();
        n += 1;
    }
    a.close().unwrap();
    assert_eq!(reader.join().unwrap(), n);
}

#[test]
fn long_messages_in_both_directions_at_once() {
    let (a, b) = ChannelOptions::new().send_capacity(65536).pair().unwrap();
    let run = |channel: Channel, seed: u8| {
        let (mut tx, mut rx) = channel.into_split();
        let len = 8 << 20;
        let sender = std::thread::spawn(move || {
            let bytes: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(seed)).collect();
            tx.send_timeout(&bytes, LONG).unwrap();
            tx
        });
        let m = rx.recv_timeout(LONG).unwrap();
        rx.ack();
        assert_eq!(m.len(), len);
        (sender.join().unwrap(), rx)
    };
    let other = std::thread::spawn(move || run(b, 3));
    let mine = run(a, 5);
    drop((mine, other.join().unwrap()));
}

#[test]
fn goodbye_is_reported_once_after_the_last_message_and_then_again_for_a_pair() {
    let (mut a, mut b) = Channel::pair().unwrap();
    a.send("last").unwrap();
    drop(a);
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"last");
    assert_eq!(b.recv_timeout(LONG).unwrap_err(), RecvError::PeerClosed);
    assert_eq!(b.recv_timeout(LONG).unwrap_err(), RecvError::PeerClosed, "nobody can come");
}

#[test]
fn half_close_ends_one_direction() {
    let (a, b) = Channel::pair().unwrap();
    let (mut a_tx, mut a_rx) = a.into_split();
    let (mut b_tx, mut b_rx) = b.into_split();
    a_tx.send("bye").unwrap();
    a_tx.finish();
    assert_eq!(&*b_rx.recv_timeout(LONG).unwrap(), b"bye");
    assert_eq!(b_rx.recv_timeout(LONG).unwrap_err(), RecvError::Finished);
    b_tx.send("still here").unwrap();
    assert_eq!(&*a_rx.recv_timeout(LONG).unwrap(), b"still here");
    drop((b_tx, b_rx));
    assert_eq!(a_rx.recv_timeout(LONG).unwrap_err(), RecvError::PeerClosed);
}

#[test]
fn incoming_tells_who_came_and_went() {
    let (mut a, mut b) = Channel::options().nick("alice").pair().unwrap();
    a.send("hi").unwrap();
    assert!(matches!(b.recv_incoming(LONG), Ok(Incoming::Joined(p)) if p.nick() == "alice"));
    assert!(matches!(b.recv_incoming(LONG), Ok(Incoming::Message(m)) if &*m == b"hi"));
    drop(a);
    assert!(matches!(b.recv_incoming(LONG), Ok(Incoming::Left(p)) if p.nick() == "alice"));
}

#[test]
fn cancel_and_time_out_end_a_wait() {
    let (_a, mut b) = Channel::pair().unwrap();
    assert_eq!(b.recv_timeout(Duration::from_millis(5)).unwrap_err(), RecvError::TimedOut);
    let cancel = Cancel::new();
    let other = cancel.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        other.cancel();
    });
    assert_eq!(b.recv_until(&cancel).unwrap_err(), RecvError::Cancelled);
    thread.join().unwrap();
}

#[test]
fn receivers_stand_in_wait_any() {
    let (mut a, mut b) = Channel::pair().unwrap();
    let (mut c, d) = Channel::pair().unwrap();
    let (_, rx_b) = b.split();
    let (_d_tx, rx_d) = d.into_split();
    assert_eq!(wait_any(&[&*rx_b, &rx_d], Until::now()).unwrap(), None);
    c.send("x").unwrap();
    assert_eq!(wait_any(&[&*rx_b, &rx_d], LONG).unwrap(), Some(1));
    a.send("y").unwrap();
    assert_eq!(wait_any(&[&*rx_b, &rx_d], LONG).unwrap(), Some(0));
}

#[test]
fn batches_loans_and_acknowledgements() {
    let (mut a, mut b) = Channel::pair().unwrap();
    let tx = a.sender();
    assert_eq!(tx.send_batch(&["one", "two", "three"]).unwrap(), 3);
    let mut loan = tx.loan(10).unwrap();
    loan[..4].copy_from_slice(b"four");
    let seq = loan.commit_len(4);
    drop(tx.loan(100).unwrap());
    assert_eq!(tx.unacknowledged(), 4);
    for expected in ["one", "two", "three", "four"] {
        assert_eq!(b.recv_timeout(LONG).unwrap().to_str().unwrap(), expected);
    }
    assert!(!tx.is_acknowledged(seq), "in hand, not acknowledged");
    b.receiver().ack();
    tx.wait_acknowledged(seq, LONG).unwrap();
    assert_eq!(tx.unacknowledged(), 0);
}

#[test]
fn bytes_flow_as_streams() {
    use std::io::{BufRead, Read, Write};
    let (a, b) = small();
    let (mut tx, _a_rx) = a.into_split();
    let (_b_tx, mut rx) = b.into_split();
    let writer = std::thread::spawn(move || {
        let mut out = tx.writer();
        for i in 0..5000 {
            writeln!(out, "line {i}").unwrap();
        }
        out.flush().unwrap();
        tx.finish();
    });
    let mut reader = rx.reader();
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert_eq!(first, "line 0\n");
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("line 1\n") && rest.ends_with("line 4999\n"));
    writer.join().unwrap();
}

#[test]
fn iterators_end_where_the_stream_does() {
    let (mut a, mut b) = Channel::pair().unwrap();
    for text in ["one", "two", "three"] {
        a.send(text).unwrap();
    }
    let now: Vec<_> = b.receiver().try_iter().take(2).map(|m| m.into_vec()).collect();
    assert_eq!(now, [b"one".to_vec(), b"two".to_vec()]);
    a.send("four").unwrap();
    drop(a);
    let rest: Vec<_> = b.receiver().iter().map(|m| m.into_vec()).collect();
    assert_eq!(rest, [b"three".to_vec(), b"four".to_vec()]);
}

#[test]
fn a_number_is_never_given_twice() {
    // Both ends die and come again: an application that passes over what it has seen must not take
    // a new message for an old one.
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let (mut a, mut b) = small();
        for _ in 0..3 {
            let seq = a.send("x").unwrap();
            assert_eq!(b.recv_timeout(LONG).unwrap().seq(), seq);
            assert!(seen.insert(seq), "{seq} twice");
        }
    }
}

#[test]
fn an_acknowledgement_of_somebody_elses_message_is_not_waited_for() {
    let (mut a, mut b) = Channel::pair().unwrap();
    let theirs = b.send("x").unwrap();
    let error = a.sender().wait_acknowledged(theirs, LONG).unwrap_err();
    assert_eq!(error, SendError::ForeignSeq);
}

#[test]
fn prefaulted_rings_work_like_others() {
    let mut options = ChannelOptions::new();
    let (mut a, mut b) = options.prefault(true).send_capacity(1 << 20).pair().unwrap();
    a.send(vec![7; 100_000]).unwrap();
    assert_eq!(b.recv_timeout(LONG).unwrap().len(), 100_000);
}

#[test]
fn close_waits_for_a_message_whose_outcome_is_unknown() {
    let soon = Duration::from_millis(20);
    let (mut a, mut b) = small();
    let message = [7; 2000]; // longer than a record, but the ring holds all of it
    assert_eq!(a.send_timeout(message, soon).unwrap_err(), SendError::OutcomeUnknown);
    let error = a.close_until(soon).unwrap_err();
    assert_eq!((error.unacknowledged, error.reason), (1, SendError::TimedOut));
    // It was not lost, as the other side had the region all the time.
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), &message);

    // Of one that is in hand all parts but the last are acknowledged.
    let (mut a, mut b) = small();
    assert_eq!(a.send_timeout(message, soon).unwrap_err(), SendError::OutcomeUnknown);
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), &message);
    let error = a.close_until(soon).unwrap_err();
    assert_eq!((error.unacknowledged, error.reason), (1, SendError::TimedOut));
}

#[test]
fn close_waits_for_a_batch() {
    let soon = Duration::from_millis(20);
    let (mut a, mut b) = small();
    // The way of a sender that knows its peer.
    a.send("first").unwrap();
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"first");
    b.receiver().ack();
    assert_eq!(a.sender().send_batch(&["one", "two", "three"]).unwrap(), 3);
    let error = a.close_until(soon).unwrap_err();
    assert_eq!((error.unacknowledged, error.reason), (3, SendError::TimedOut));
}
