//! Both ends in one process, each half on a thread of its own, in every form in which a program can
//! touch the bytes of a message: copied, lent for writing, read where they lie, in fragments. A
//! plain run holds the contents to their word; under ThreadSanitizer (`cargo xtask tsan`) also each
//! access: what the writer wrote must come before the reader's reading, and that before the next
//! writing of the same line.

use std::time::Duration;
use twocan::{Channel, ChannelOptions, Event, Receiver, Reset, Sender, wait_any};

const LONG: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 400;

/// Small rings: every line is used again and again.
fn pair() -> (Channel, Channel) {
    ChannelOptions::new().send_capacity(4096).pair().unwrap()
}

fn bytes(round: u64) -> Vec<u8> {
    let len = match round % 50 {
        0 => 9000, // in fragments
        n => n * 19 % 1000,
    };
    (0..len).map(|i| (i ^ round) as u8).collect()
}

fn writes(mut tx: Sender) {
    for round in 0..ROUNDS {
        let message = bytes(round);
        if message.len() <= tx.max_loan() && round % 3 == 0 {
            let mut loan = tx.loan(message.len()).unwrap();
            loan.copy_from_slice(&message);
            loan.commit();
        } else {
            tx.send(&message).unwrap();
        }
    }
    let last = tx.sent().unwrap();
    tx.wait_acknowledged(last, LONG).unwrap();
}

fn reads(mut rx: Receiver) {
    let mut buffer = Vec::new();
    for round in 0..ROUNDS {
        let expected = bytes(round);
        match round % 4 {
            0 => assert_eq!(&*rx.recv_timeout(LONG).unwrap(), &expected[..]),
            1 => {
                let delivery = rx.recv_delivery_until(LONG).unwrap();
                // SAFETY: the peer is this test, which writes no record that is not acknowledged.
                let there = unsafe { delivery.as_slice() };
                assert!(there.is_none_or(|there| there == expected), "round {round}");
                delivery.acknowledge();
            }
            2 => {
                rx.recv_into_until(&mut buffer, LONG).unwrap();
                assert_eq!(buffer, expected);
            }
            _ => {
                assert_eq!(wait_any(&[&rx], LONG).unwrap(), Some(0));
                assert_eq!(&*rx.try_recv().unwrap(), &expected[..]);
            }
        }
    }
    rx.ack();
}

#[test]
fn every_form_of_writing_meets_every_form_of_reading_in_both_directions() {
    let (a, b) = pair();
    let ((a_tx, a_rx), (b_tx, b_rx)) = (a.into_split(), b.into_split());
    std::thread::scope(|scope| {
        scope.spawn(|| writes(a_tx));
        scope.spawn(|| writes(b_tx));
        scope.spawn(|| reads(a_rx));
        scope.spawn(|| reads(b_rx));
    });
}

/// What was written before `set` belongs to whom it lets go.
#[test]
fn an_event_hands_plain_memory_over() {
    struct Shared(std::cell::UnsafeCell<u64>);
    // SAFETY: the two events below say whose turn it is; that they do is what is tested.
    unsafe impl Sync for Shared {}
    let cell = Shared(std::cell::UnsafeCell::new(0));
    let cell = &cell;
    let event = || Event::anonymous(Reset::Auto).unwrap();
    let (ping, pong) = (event(), event());
    let add = |mine: &Event, theirs: &Event| {
        for _ in 0..ROUNDS {
            assert!(mine.wait_timeout(LONG).unwrap());
            // SAFETY: it is this thread's turn.
            unsafe { *cell.0.get() += 1 };
            theirs.set().unwrap();
        }
    };
    ping.set().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| add(&ping, &pong));
        scope.spawn(|| add(&pong, &ping));
    });
    // SAFETY: the threads have ended.
    assert_eq!(unsafe { *cell.0.get() }, 2 * ROUNDS);
}
