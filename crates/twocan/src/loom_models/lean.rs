//! Halves that make no fence: those who need one call for it (`sys::fence::everywhere`).
//!
//! loom knows no such call. Here it is modelled as what it is: an interruption. The thread that is
//! to be reached offers *moments*, between any two of its steps that matter; at one of them, or
//! when it has gone or waits, it makes the fence and says so, and the caller waits for that. A
//! moment at which nobody calls orders nothing: it is one relaxed load.

use super::*;
use crate::park::Order;

#[derive(Default)]
struct Everywhere {
    called: AtomicU32,
    /// The call that was answered last.
    answered: AtomicU32,
}

impl Everywhere {
    /// Between two steps of the thread that is to be reached.
    fn moment(&self) {
        let called = self.called.load(Relaxed);
        if called > self.answered.load(Relaxed) {
            fence(SeqCst);
            self.answered.store(called, Relaxed);
        }
    }

    /// It leaves its processor: whoever calls need not reach it any more.
    fn off(&self) {
        fence(SeqCst);
        self.answered.store(u32::MAX, Relaxed);
    }

    /// The call, by one thread.
    fn call(&self) {
        fence(SeqCst);
        let call = self.called.load(Relaxed) + 1;
        self.called.store(call, Relaxed);
        while self.answered.load(Relaxed) < call {
            thread::yield_now();
        }
        fence(SeqCst);
    }
}

/// As `Sender::announce` of a half that takes part, up to its look at the news.
fn push_without_fence(world: &World, ring: &mut Producer, everywhere: &Everywhere, n: u64) {
    let mut order = Order::default();
    order.agree(true);
    everywhere.moment();
    ring.push(&world.memory, Kind::Data, [&[], &message(n, 16)]).unwrap();
    everywhere.moment();
    order.published();
}

/// A half works without fences, for a peer that is gone by now; one comes that takes no part, so it
/// calls for none. `tell` does: either the half sees the news behind its publishing, and wakes; or
/// the peer, when it looks before it sleeps, sees the record.
#[test]
fn loom_lean_a_half_without_fences_is_told_of_a_peer() {
    check(Some(4), || {
        // `news` belongs to the sending end, whose `local` nobody sleeps on.
        let world = World::new(2);
        let session = Arc::new(Mutex::new(false));
        let everywhere = Arc::new(Everywhere::default());
        let (other, installed, reached) = (world.clone(), session.clone(), everywhere.clone());
        let sender = thread::spawn(move || {
            push_without_fence(&other, &mut other.memory.producer(), &reached, 0);
            let news = park::news(&other.news);
            reached.moment();
            // It ends, or waits for the lock.
            reached.off();
            if news != 1 {
                // As `refresh`: the new view is taken under the lock.
                assert!(*installed.lock().unwrap(), "news without a session");
                published();
                ring_receiver(&other, &mut Woken::default());
            }
        });
        let mut installed = session.lock().unwrap();
        *installed = true;
        park::tell(&world.news, &AtomicU32::new(0), || everywhere.call());
        drop(installed);
        receive(&world, 1, 16); // begins when WELCOME was read
        sender.join().unwrap();
    });
}

/// Both take part: the sleeper calls for a fence between its arm and its second look, and so pays
/// for both.
#[test]
fn loom_lean_a_sleeper_makes_the_fence_for_both() {
    check(Some(3), || {
        let world = World::new(8);
        let everywhere = Arc::new(Everywhere::default());
        let (other, reached) = (world.clone(), everywhere.clone());
        let sender = thread::spawn(move || {
            let (mut ring, mut woken) = (other.memory.producer(), Woken::default());
            for n in 0..2 {
                push_without_fence(&other, &mut ring, &reached, n);
                reached.moment();
                ring_receiver(&other, &mut woken);
                ring.take_ahead(&other.memory, 16);
            }
            reached.off();
        });
        let memory = &world.memory;
        let mut ring = memory.consumer();
        let arming = Mutex::new(Arming::default());
        for n in 0..2 {
            while !take(memory, &mut ring, n, 16) {
                sleep_for_record(&world, 1, &arming, || {
                    // As `End::fence_for_peer`.
                    if !cfg!(twocan_mutant = "no-membarrier") {
                        everywhere.call();
                    }
                    ring.ready(memory)
                });
            }
        }
        sender.join().unwrap();
    });
}
