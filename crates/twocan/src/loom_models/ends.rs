//! What else ends a sleep: the end of the stream, a receiver that stops, room behind padding; and
//! two threads that ring one bell.

use super::*;
use crate::layout::{END_FINISHED, END_REASON};

/// As `End::wake_both_of_peer`, for the receiver: whatever was woken before.
fn ring_now(world: &World) {
    published();
    ring_receiver(world, &mut Woken::default());
}

/// As `Receiver::is_finished`.
fn end(world: &World) -> Option<u64> {
    // SYNC end-word: as in Receiver::is_finished.
    let word = world.memory.producers.end.load(Acquire);
    (word & END_REASON == END_FINISHED).then_some(word & !END_REASON)
}

/// The peer sends its last message and finishes (`End::set_end`) while the receiver falls asleep:
/// the receiver gets the message, then the end, and sleeps through neither.
#[test]
fn loom_end_comes_after_the_last_message_and_is_slept_through_by_nobody() {
    check(Some(3), || {
        let world = World::new(8);
        let other = world.clone();
        let sender = thread::spawn(move || {
            let memory = &other.memory;
            let mut ring = memory.producer();
            let mut woken = Woken::default();
            ring.push(memory, Kind::Data, [&[], &message(0, 16)]).unwrap();
            published();
            ring_receiver(&other, &mut woken);
            // SYNC end-word: as in End::set_end.
            memory.producers.end.store(ring.head() | END_FINISHED, Release);
            if !cfg!(twocan_mutant = "silent-end") {
                ring_now(&other);
            }
        });
        let arming = Mutex::new(Arming::default());
        let mut ring = world.memory.consumer();
        let mut taken = 0;
        loop {
            if take(&world.memory, &mut ring, taken, 16) {
                taken += 1;
                continue;
            }
            if end(&world) == Some(ring.position()) {
                break;
            }
            let look = || ring.ready(&world.memory) || end(&world) == Some(ring.position());
            sleep_for_record(&world, 1, &arming, look);
        }
        assert_eq!(taken, 1, "the end was told before the last message");
        sender.join().unwrap();
    });
}

/// The receiver stops (`End::stop_receiving`) while the sender falls asleep for room.
#[test]
fn loom_end_a_receiver_that_stops_wakes_a_sender_that_waits_for_room() {
    check(None, || {
        let world = World::new(2);
        let other = world.clone();
        let receiver = thread::spawn(move || {
            // SYNC closed-rx: as in End::stop_receiving.
            other.memory.consumers.closed_rx.store(1, Release);
            published();
            if Woken::default().sleeper(&other.memory.producers.arm_tx).is_some() {
                change(&other.memory.consumers.bell_tx);
                other.kernel.wake_all(BELL_TX);
            }
        });
        let memory = &world.memory;
        let mut arming = Arming::default();
        // SYNC closed-rx: as in `is_deaf`.
        let deaf = || memory.consumers.closed_rx.load(Acquire) != 0;
        while !deaf() {
            let bell: Slept<'_> = (BELL_TX, &memory.consumers.bell_tx);
            let words = [(bell, park::read(bell.1))];
            arming.arm(&memory.producers.arm_tx, MODE_FUTEX);
            sleep_unless(deaf, || world.kernel.sleep(0, &words));
            arming.disarm(&memory.producers.arm_tx, false);
        }
        receiver.join().unwrap();
    });
}

/// Records of two lines in a ring of eight, the first behind padding: the sender comes round the
/// ring's end, finds it full, and sleeps for room while the receiver sleeps for records.
#[test]
fn loom_park_a_full_ring_and_its_wrap_leave_nobody_asleep() {
    const LEN: usize = 56;
    check(Some(3), || {
        let world = World::new(8);
        let other = world.clone();
        let producer = thread::spawn(move || send(&other, 4, LEN));
        receive(&world, 4, LEN);
        producer.join().unwrap();
    });
}

/// The sending half and the watcher (at an arrival, at the end) ring the same bell at once, each
/// for news of its own: the sleeper sees both.
#[test]
fn loom_bell_two_threads_may_ring_at_once() {
    check(Some(3), || {
        let world = World::new(2);
        let other = world.clone();
        let watcher = thread::spawn(move || {
            // SYNC end-word: stands for any news that the watcher brings.
            other.memory.producers.end.store(END_FINISHED, Release);
            ring_now(&other);
        });
        let third = world.clone();
        let sender = thread::spawn(move || {
            let memory = &third.memory;
            memory.producer().push(memory, Kind::Data, [&[], &message(0, 16)]).unwrap();
            ring_now(&third);
        });
        let arming = Mutex::new(Arming::default());
        let ring = world.memory.consumer();
        let both = || ring.ready(&world.memory) && end(&world).is_some();
        while !both() {
            sleep_for_record(&world, 1, &arming, both);
        }
        watcher.join().unwrap();
        sender.join().unwrap();
    });
}

/// What a sleeper relies on: every ring leaves a value that the bell did not have before. Two who
/// read the same value would both write the next one; and the slower of them, behind a third ring,
/// takes the bell back to what a sleeper has read since: it sleeps beside that third one.
#[test]
fn loom_bell_every_ring_counts_whoever_rings_beside() {
    check(None, || {
        let world = World::new(2);
        let other = world.clone();
        let watcher = thread::spawn(move || change(&other.memory.producers.bell_rx));
        let bell = &world.memory.producers.bell_rx;
        change(bell);
        let read = park::read(bell);
        change(bell);
        watcher.join().unwrap();
        assert_ne!(park::read(bell), read, "a ring takes the bell back");
        assert_eq!(park::read(bell), 3);
    });
}
