//! Models of what ships: the lines of `ring`, `park` and `layout` themselves, run by loom in every
//! order that the memory model allows. The futex is modelled in its real steps: each word is
//! compared and queued on in one step of its own, apart from the look before it; a wake wakes who
//! is queued at that moment.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p twocan --release --lib loom
//! ```
//!
//! Bounds: rings of 2 and 8 lines, 1 to 4 messages; the models of parking at most 3 or 4
//! preemptions, the others all. What loom cannot show: a load that takes effect after a later store
//! of its own thread (then a reader would copy bytes that were written after its acknowledgement).
//! For this each line has a cell for which loom itself checks who touches it and when.

mod door;

use crate::layout::{Header, Kind, LINE, stamp};
use crate::park::{
    self, Arming, MODE_DOORBELL, MODE_FUTEX, Woken, change, published, sleep_unless,
};
use crate::ring::{Consumer, Memory, MemoryMut, Peek, Producer};
use crate::sync::{AtomicU32, AtomicU64, Ordering::*, fence};
use door::Door;
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use loom::thread;

mod ends;
mod lean;

/// One line before the position wraps to 0.
const START: u64 = (LINE as u64).wrapping_neg();
const GENERATION: u32 = 1;

fn check(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // TWOCAN_LOOM=long: one more.
    let more = usize::from(std::env::var_os("TWOCAN_LOOM").is_some());
    builder.preemption_bound = preemptions.map(|n| n + more);
    builder.max_branches = 20_000;
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = count.clone();
    builder.check(move || {
        seen.fetch_add(1, Relaxed);
        model();
    });
    println!("{} executions", count.load(Relaxed));
}

// ---- the memory ----

/// Says to loom who touches the payload of a line: a read and a write without an order between them
/// end the model.
struct Touched(UnsafeCell<()>);

// SAFETY: there is nothing in the cell; loom checks each access, which is what it is for.
unsafe impl Sync for Touched {}
// SAFETY: as above.
unsafe impl Send for Touched {}

/// One direction: the producer's region with its ring, and the header of the consumer's region.
struct Direction {
    producers: Header,
    consumers: Header,
    words: Vec<AtomicU64>,
    lines: Vec<Touched>,
}

impl Direction {
    /// The ring holds old bytes which are stamps of the positions that come there in this lap, but
    /// for the first.
    fn new(lines: usize) -> Direction {
        let mask = (lines * LINE) as u64 - 1;
        let place = |word: usize| (word as u64 * 8).wrapping_sub(START) & mask;
        let old = |word| match place(word) {
            0 => 0,
            ahead if ahead % LINE as u64 == 0 => stamp(START.wrapping_add(ahead)),
            _ => 0,
        };
        Direction {
            producers: Header::blank(),
            consumers: Header::blank(),
            words: (0..lines * LINE / 8).map(|word| AtomicU64::new(old(word))).collect(),
            lines: (0..lines).map(|_| Touched(UnsafeCell::new(()))).collect(),
        }
    }

    fn producer(&self) -> Producer {
        Producer::new(START, self.capacity())
    }

    fn consumer(&self) -> Consumer {
        Consumer::new(START, self.capacity())
    }

    /// The words of a payload that the model bothers with: the first, and those where a stamp could
    /// be.
    fn words_of(at: usize, len: usize) -> impl Iterator<Item = usize> {
        (at..at + len).step_by(8).filter(move |word| *word == at || word % LINE == 0)
    }
}

impl Memory for Direction {
    type Lines<'a> = &'a Direction;
    fn lines(&self) -> &Direction {
        self
    }
    fn header(&self) -> &Header {
        &self.producers
    }
    fn capacity(&self) -> usize {
        self.lines.len() * LINE
    }
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at / 8]
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        for word in Direction::words_of(at, to.len()) {
            self.lines[word / LINE].0.with(|_| ());
            to[word - at..][..8].copy_from_slice(&self.word(word).load(Relaxed).to_ne_bytes());
        }
    }
}

impl MemoryMut for Direction {
    fn copy_in(&self, at: usize, from: &[u8]) {
        for word in Direction::words_of(at, from.len()) {
            self.lines[word / LINE].0.with_mut(|_| ());
            let bytes = from[word - at..][..8].try_into().expect("8 bytes");
            self.word(word).store(u64::from_ne_bytes(bytes), Relaxed);
        }
    }
}

/// The bytes of message `n`: never a stamp.
fn message(n: u64, len: usize) -> Vec<u8> {
    (0..len / 8).flat_map(|_| (1000 + n).to_ne_bytes()).collect()
}

/// Takes the record at the consumer's position, if there is one, and compares it with message `n`.
fn take(memory: &Direction, ring: &mut Consumer, n: u64, len: usize) -> bool {
    loop {
        match ring.peek(memory) {
            Peek::Empty => return false,
            Peek::Bad(violation) => panic!("an honest ring is refused: {violation:?}"),
            Peek::Record(record) => {
                ring.advance(&record);
                if record.kind == Kind::Pad {
                    continue;
                }
                assert_eq!(record.len, len);
                let mut bytes = vec![0; len];
                memory.copy_out(record.payload_at, &mut bytes);
                let expected = message(n, len);
                for word in Direction::words_of(record.payload_at, len) {
                    let at = word - record.payload_at;
                    assert_eq!(bytes[at..at + 8], expected[at..at + 8], "a torn message");
                }
                return true;
            }
        }
    }
}

fn credit(memory: &Direction, ring: &mut Producer) {
    let said = memory.consumers.progress.acknowledged(GENERATION, ring.acked());
    if let Some(position) = said.expect("generations are right") {
        assert!(ring.credit(position), "an honest acknowledgement is refused");
    }
}

// ---- the kernel ----

/// A word that can be slept on, and its number in the kernel's table.
type Slept<'a> = (usize, &'a AtomicU32);
const BELL_RX: usize = 0;
const BELL_TX: usize = 1;
const LOCAL: usize = 2;

#[derive(Default)]
struct Kernel {
    queue: Mutex<Queue>,
    cpu: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Word and sleeper.
    waiting: Vec<(usize, usize)>,
    woken: [bool; 4],
}

impl Kernel {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap()
    }

    /// FUTEX_WAITV by thread `me`: queues on one word after the other, each compared in the same
    /// step.
    fn sleep(&self, me: usize, words: &[(Slept<'_>, u32)]) {
        fence(SeqCst); // a system call
        for ((number, word), expected) in words {
            let mut queue = self.queue();
            let expected =
                if cfg!(twocan_mutant = "late-bell") { word.load(Relaxed) } else { *expected };
            if word.load(Relaxed) != expected {
                return queue.leave(me);
            }
            queue.waiting.push((*number, me));
        }
        let mut queue = self.queue();
        while !queue.woken[me] {
            queue = self.cpu.wait(queue).unwrap();
        }
        queue.leave(me);
    }

    /// FUTEX_WAKE of all.
    fn wake_all(&self, word: usize) {
        fence(SeqCst); // a system call
        let mut queue = self.queue();
        let Queue { waiting, woken } = &mut *queue;
        waiting.iter().filter(|w| w.0 == word).for_each(|w| woken[w.1] = true);
        waiting.retain(|w| w.0 != word);
        self.cpu.notify_all();
    }
}

impl Queue {
    fn leave(&mut self, me: usize) {
        self.waiting.retain(|w| w.1 != me);
        self.woken[me] = false;
    }
}

// ---- the two halves ----

/// What two ends and their kernel share.
struct World {
    memory: Direction,
    kernel: Kernel,
    door: Door,
    /// Of the receiving end.
    news: AtomicU64,
    local: AtomicU32,
}

impl World {
    fn new(lines: usize) -> Arc<World> {
        Arc::new(World {
            memory: Direction::new(lines),
            kernel: Kernel::default(),
            door: Door::default(),
            news: AtomicU64::new(1),
            local: AtomicU32::new(0),
        })
    }
}

/// As `Sender::announce` behind its look at the news.
fn ring_receiver(world: &World, woken: &mut Woken) {
    let mode = woken.sleeper(&world.memory.consumers.arm_rx);
    if mode == Some(MODE_DOORBELL) {
        world.door.ring();
    }
    if mode.is_some() {
        change(&world.memory.producers.bell_rx);
        world.kernel.wake_all(BELL_RX);
    }
}

/// As `Sender::send`: pushes and wakes, or waits for room.
fn send(world: &World, messages: u64, len: usize) {
    let memory = &world.memory;
    let (mut ring, mut woken, mut arming) =
        (memory.producer(), Woken::default(), Arming::default());
    for n in 0..messages {
        while ring.push(memory, Kind::Data, [&[], &message(n, len)]).is_err() {
            credit(memory, &mut ring);
            if ring.has_room(len) {
                continue;
            }
            let bell: Slept<'_> = (BELL_TX, &memory.consumers.bell_tx);
            let words = [(bell, park::read(bell.1))];
            arming.arm(&memory.producers.arm_tx, MODE_FUTEX);
            let moved = || {
                let said = memory.consumers.progress.acknowledged(GENERATION, ring.acked());
                said != Ok(None) && said != Ok(Some(ring.acked()))
            };
            sleep_unless(moved, || world.kernel.sleep(0, &words));
            arming.disarm(&memory.producers.arm_tx, false);
        }
        published();
        ring_receiver(world, &mut woken);
        ring.take_ahead(memory, len);
    }
}

/// As `Receiver::pause`; several threads may sleep on one half.
fn sleep_for_record(world: &World, me: usize, arming: &Mutex<Arming>, look: impl Fn() -> bool) {
    let Direction { producers, consumers, .. } = &world.memory;
    let (bell, local): (Slept<'_>, Slept<'_>) =
        ((BELL_RX, &producers.bell_rx), (LOCAL, &world.local));
    let words = {
        let mut arming = arming.lock().unwrap();
        let words = [(bell, park::read(bell.1)), (local, park::read(local.1))];
        arming.arm(&consumers.arm_rx, MODE_FUTEX);
        words
    };
    sleep_unless(look, || world.kernel.sleep(me, &words));
    arming.lock().unwrap().disarm(&consumers.arm_rx, false);
}

/// As `Receiver::recv`: takes, acknowledges and wakes, or waits for a record.
fn receive(world: &World, messages: u64, len: usize) {
    let memory = &world.memory;
    let (mut ring, mut woken) = (memory.consumer(), Woken::default());
    let arming = Mutex::new(Arming::default());
    memory.consumers.progress.acknowledge(GENERATION, START);
    for n in 0..messages {
        while !take(memory, &mut ring, n, len) {
            sleep_for_record(world, 1, &arming, || ring.ready(memory));
        }
        memory.consumers.progress.acknowledge(GENERATION, ring.position());
        published();
        if woken.sleeper(&memory.producers.arm_tx).is_some() {
            change(&memory.consumers.bell_tx);
            world.kernel.wake_all(BELL_TX);
        }
    }
}

// ---- the models ----

/// Records of two lines, old stamps in every line, the wrap of the ring and of the position; nobody
/// sleeps.
#[test]
fn loom_ring_old_bytes_are_never_a_record() {
    const LEN: usize = 56;
    check(None, || {
        let world = World::new(8);
        let other = world.clone();
        let producer = thread::spawn(move || {
            let mut ring = other.memory.producer();
            for n in 0..2 {
                ring.push(&other.memory, Kind::Data, [&[], &message(n, LEN)]).unwrap();
                ring.take_ahead(&other.memory, LEN);
            }
        });
        let mut ring = world.memory.consumer();
        for n in 0..2 {
            while !take(&world.memory, &mut ring, n, LEN) {
                thread::yield_now();
            }
        }
        producer.join().unwrap();
        assert!(!ring.ready(&world.memory), "nothing more was sent");
    });
}

/// One line for records: each message overwrites what was acknowledged just now.
#[test]
fn loom_ring_a_line_is_used_again_only_after_its_acknowledgement() {
    const LEN: usize = 16;
    check(None, || {
        let world = World::new(2);
        let other = world.clone();
        let producer = thread::spawn(move || {
            let mut ring = other.memory.producer();
            for n in 0..3 {
                while ring.push(&other.memory, Kind::Data, [&[], &message(n, LEN)]).is_err() {
                    credit(&other.memory, &mut ring);
                    thread::yield_now();
                }
            }
        });
        let mut ring = world.memory.consumer();
        for n in 0..3 {
            while !take(&world.memory, &mut ring, n, LEN) {
                thread::yield_now();
            }
            world.memory.consumers.progress.acknowledge(GENERATION, ring.position());
        }
        producer.join().unwrap();
    });
}

/// The receiver sleeps for records; there is always room.
#[test]
fn loom_park_a_record_wakes_the_receiver() {
    check(Some(4), || {
        let world = World::new(8);
        let other = world.clone();
        let producer = thread::spawn(move || send(&other, 2, 16));
        receive(&world, 2, 16);
        producer.join().unwrap();
    });
}

/// Room for one record: the sender sleeps for the acknowledgement, the receiver for the record.
#[test]
fn loom_park_an_acknowledgement_wakes_the_sender() {
    check(Some(4), || {
        let world = World::new(2);
        let other = world.clone();
        let producer = thread::spawn(move || send(&other, 2, 16));
        receive(&world, 2, 16);
        producer.join().unwrap();
    });
}

/// Two threads wait for the same record (`wait_any` takes a receiver by shared reference): one arm
/// for both.
#[test]
fn loom_park_one_arm_serves_two_sleepers() {
    check(Some(4), || {
        let world = World::new(2);
        let arming = Arc::new(Mutex::new(Arming::default()));
        let sleeper = |me: usize| {
            let (world, arming) = (world.clone(), arming.clone());
            move || {
                let ring = world.memory.consumer();
                while !ring.ready(&world.memory) {
                    sleep_for_record(&world, me, &arming, || ring.ready(&world.memory));
                }
            }
        };
        let sleepers = [thread::spawn(sleeper(1)), thread::spawn(sleeper(2))];
        send(&world, 1, 16);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        assert!(arming.lock().unwrap().is_empty());
        let arm = &world.memory.consumers.arm_rx;
        assert_eq!(arm.load(Relaxed) & 1, 0, "nobody sleeps and the word says so");
    });
}

/// The peer dies without a word: only this end's watcher speaks, by the news, the local word and
/// its wake.
#[test]
fn loom_news_ends_a_sleep() {
    check(None, || {
        let world = World::new(2);
        let other = world.clone();
        let watcher = thread::spawn(move || {
            park::tell(&other.news, &other.local, || ());
            other.kernel.wake_all(LOCAL);
        });
        let arming = Mutex::new(Arming::default());
        let ring = world.memory.consumer();
        while park::news(&world.news) == 1 {
            let look = || park::news(&world.news) != 1 || ring.ready(&world.memory);
            sleep_for_record(&world, 1, &arming, look);
        }
        watcher.join().unwrap();
    });
}

/// A peer comes while a sender without one sends. The watcher installs the session, tells, and lets
/// the peer begin: either the sender sees the news behind its fence, and wakes; or the peer, when
/// it looks before it sleeps, sees the record.
#[test]
fn loom_news_a_record_sent_while_a_peer_comes_is_not_slept_through() {
    check(None, || {
        // Here `news` belongs to the sending end, whose `local` nobody sleeps on.
        let world = World::new(2);
        let session = Arc::new(Mutex::new(false));
        let (other, installed) = (world.clone(), session.clone());
        let sender = thread::spawn(move || {
            let memory = &other.memory;
            memory.producer().push(memory, Kind::Data, [&[], &message(0, 16)]).unwrap();
            published();
            if park::news(&other.news) != 1 {
                // As `refresh`: the new view is taken under the lock.
                assert!(*installed.lock().unwrap(), "news without a session");
                ring_receiver(&other, &mut Woken::default());
            }
        });
        let watchers = world.clone();
        let watcher = thread::spawn(move || {
            let mut session = session.lock().unwrap();
            *session = true;
            park::tell(&watchers.news, &AtomicU32::new(0), || ());
            drop(session);
            receive(&watchers, 1, 16); // begins when WELCOME was read
        });
        sender.join().unwrap();
        watcher.join().unwrap();
    });
}
