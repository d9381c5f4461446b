//! Sleepers at doorbells: what stays armed from wait to wait, and what a ring brings.

use super::{BELL_RX, Direction, Slept, World, check, send, take};
use crate::park::{self, Arming, MODE_DOORBELL, Watch, sleep_unless};
use crate::sync::{Ordering::*, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// A doorbell in an edge-triggered set: each ring is reported once, unless the bell has been
/// emptied by then.
#[derive(Default)]
pub(super) struct Door {
    /// Rings in the queue; is there something to report?
    state: Mutex<(u32, bool)>,
    cpu: Condvar,
}

impl Door {
    pub(super) fn ring(&self) {
        fence(SeqCst); // a system call
        let mut state = self.state.lock().unwrap();
        *state = (state.0 + 1, true);
        self.cpu.notify_all();
    }

    fn empty(&self) {
        fence(SeqCst); // a system call
        self.state.lock().unwrap().0 = 0;
    }

    fn is_reported(state: &mut (u32, bool)) -> bool {
        std::mem::take(&mut state.1) && state.0 > 0
    }

    /// Without waiting.
    fn has_rung(&self) -> bool {
        fence(SeqCst); // a system call
        Door::is_reported(&mut self.state.lock().unwrap())
    }

    fn sleep(&self) {
        fence(SeqCst); // a system call
        let mut state = self.state.lock().unwrap();
        while !Door::is_reported(&mut state) {
            state = self.cpu.wait(state).unwrap();
        }
    }
}

/// As `sleep_at_doors` with one door; what is armed stays armed.
fn wait_at_door(world: &World, arming: &Mutex<Arming>, watch: &mut Watch, look: impl Fn() -> bool) {
    if world.door.has_rung() {
        watch.rang();
    }
    loop {
        let armed = arming.lock().unwrap().door();
        let quiet = match armed {
            Some(armed) if !watch.is_due(Some(armed)) => watch.pass(armed),
            _ => {
                let mut arming = arming.lock().unwrap();
                world.door.empty();
                arming.arm_door(&world.memory.consumers.arm_rx);
                watch.pass(arming.door().expect("just armed"));
                false
            }
        };
        fence(SeqCst);
        if !quiet {
            if look() {
                return;
            }
            watch.found_nothing();
        }
        if cfg!(twocan_mutant = "door-drain-late") {
            world.door.empty();
        }
        world.door.sleep();
        watch.rang();
        if look() {
            return;
        }
    }
}

/// The receiver waits at its doorbell, which stays armed from wait to wait: each record is found,
/// by a ring or by a look.
#[test]
fn loom_door_every_record_is_found() {
    check(Some(3), || {
        let world = World::new(8);
        let other = world.clone();
        let producer = thread::spawn(move || send(&other, 2, 16));
        let memory = &world.memory;
        let (mut ring, arming) = (memory.consumer(), Mutex::new(Arming::default()));
        let mut watch = Watch::default();
        for n in 0..2 {
            wait_at_door(&world, &arming, &mut watch, || ring.ready(memory));
            assert!(take(memory, &mut ring, n, 16), "a wait that ends has found something");
        }
        producer.join().unwrap();
    });
}

/// One thread sleeps on the word, another at the doorbell of the same half: one arm for both. As in
/// `End::prepare`, whoever parks beside a doorbell that is waited at keeps it armed.
#[test]
fn loom_door_one_arm_serves_both_kinds_of_sleepers() {
    check(Some(3), || {
        let world = World::new(2);
        let arming = Arc::new(Mutex::new(Arming::default()));
        let (other, others) = (world.clone(), arming.clone());
        let at_door = thread::spawn(move || {
            let ring = other.memory.consumer();
            wait_at_door(&other, &others, &mut Watch::default(), || ring.ready(&other.memory));
        });
        let (other, others) = (world.clone(), arming.clone());
        let parked = thread::spawn(move || {
            let (Direction { producers, consumers, .. }, ring) =
                (&other.memory, other.memory.consumer());
            while !ring.ready(&other.memory) {
                let bell: Slept<'_> = (BELL_RX, &producers.bell_rx);
                let words = [(bell, park::read(bell.1))];
                others.lock().unwrap().arm(&consumers.arm_rx, MODE_DOORBELL);
                sleep_unless(|| ring.ready(&other.memory), || other.kernel.sleep(1, &words));
                others.lock().unwrap().disarm(&consumers.arm_rx, true);
            }
        });
        send(&world, 1, 16);
        at_door.join().unwrap();
        parked.join().unwrap();
    });
}
