//! The ring against a simple model, from positions just below every wrap, over old bytes that look
//! like stamps; and the consumer against memory that somebody hostile has filled.

mod heap;

use super::*;
use crate::error::Violation;
use crate::layout::{Kind, LINE, RECORD_HEAD, head_word, max_payload, record_size, stamp};
use crate::sync::Ordering::Relaxed;
use heap::Heap;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::VecDeque;

/// What a payload is filled with.
#[derive(Debug, Clone, Copy)]
enum Fill {
    Number(u8),
    /// At every word, the stamp of the record that may stand there so many laps later.
    Stamps(u8),
}

#[derive(Debug, Clone)]
enum Step {
    /// A record in one or two parts (the first of 0 or 16 bytes).
    Push(Kind, usize, bool, Fill),
    /// A message by the short way.
    Plain(usize, Fill),
    /// Reserved, written to, and given up.
    GiveUp(usize, Fill),
    /// Reserved, written in place, and published shorter.
    Loan(usize, usize, Fill),
    TakeAhead(usize),
    Streams(bool),
    Consume,
    /// Acknowledges so many of the records that were consumed and are not acknowledged yet.
    Acknowledge(usize),
}

struct Expected {
    kind: Kind,
    position: u64,
    bytes: Vec<u8>,
}

/// The ring, and what it should hold.
struct Model {
    memory: Heap,
    producer: Producer,
    consumer: Consumer,
    messages: VecDeque<Expected>,
    /// Positions behind consumed records that are not acknowledged yet.
    unacknowledged: VecDeque<u64>,
}

impl Model {
    /// With old bytes like the stamps of a lap, or with none.
    fn new(capacity: usize, start: u64, old_lap: Option<u64>) -> Model {
        let old = |lap: u64| move |at: u64| stamp(at.wrapping_add(lap * capacity as u64));
        let memory = match old_lap {
            Some(lap) => Heap::new(capacity, start, old(lap)),
            None => Heap::fresh(capacity, start),
        };
        Model {
            memory,
            producer: Producer::new(start, capacity),
            consumer: Consumer::new(start, capacity),
            messages: VecDeque::new(),
            unacknowledged: VecDeque::new(),
        }
    }

    fn bytes(&self, fill: Fill, position: u64, len: usize) -> Vec<u8> {
        let word = |i: u64| match fill {
            Fill::Number(n) => u64::from(n).wrapping_mul(0x0101_0101_0101_0101) ^ position ^ i,
            Fill::Stamps(laps) => {
                let ahead =
                    RECORD_HEAD as u64 + i * 8 + u64::from(laps) * self.memory.capacity as u64;
                stamp(position.wrapping_add(ahead))
            }
        };
        let words = (0..len.div_ceil(8) as u64).flat_map(|i| word(i).to_ne_bytes());
        words.take(len).collect()
    }

    fn limit(&self, len: usize) -> usize {
        len % (self.producer.max_payload() + 1)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push(kind, len, two, fill) => self.push(kind, self.limit(len), two, fill),
            Step::Plain(len, fill) => self.plain(self.limit(len), fill),
            Step::GiveUp(len, fill) => {
                self.in_place(self.limit(len), None, fill);
            }
            Step::Loan(len, less, fill) => {
                let len = self.limit(len);
                self.in_place(len, Some(len - less % (len + 1)), fill);
            }
            Step::TakeAhead(len) => self.producer.take_ahead(&self.memory, self.limit(len)),
            Step::Streams(so) => self.producer.streams(so),
            Step::Consume => self.consume(),
            Step::Acknowledge(n) => {
                let n = n.min(self.unacknowledged.len());
                if let Some(last) = self.unacknowledged.drain(..n).next_back() {
                    assert!(self.producer.credit(last));
                }
            }
        }
        // As the sending half does.
        if self.producer.wants_lines() {
            self.producer.take_group(&self.memory);
        }
    }

    /// Where the next record of this length will stand, padding considered.
    fn place(&self, len: usize) -> u64 {
        let capacity = self.memory.capacity as u64;
        let to_end = capacity - (self.producer.head() & (capacity - 1));
        let skip = if record_size(len) as u64 > to_end { to_end } else { 0 };
        self.producer.head().wrapping_add(skip)
    }

    fn push(&mut self, kind: Kind, len: usize, two: bool, fill: Fill) {
        let position = self.place(len);
        let bytes = self.bytes(fill, position, len);
        let (first, second) = bytes.split_at(if two && len >= 16 { 16 } else { 0 });
        let room = self.producer.has_room(len);
        let used = self.producer.head().wrapping_sub(self.producer.acked());
        let needs = position.wrapping_sub(self.producer.head()) + (record_size(len) + LINE) as u64;
        assert_eq!(
            room,
            used + needs <= self.memory.capacity as u64,
            "all but one line can be used"
        );
        let pushed = self.producer.push(&self.memory, kind, [first, second]);
        assert_eq!(pushed.is_ok(), room, "has_room tells what push will do");
        if let Ok(at) = pushed {
            assert_eq!(at, position);
            self.messages.push_back(Expected { kind, position, bytes });
        }
    }

    fn plain(&mut self, len: usize, fill: Fill) {
        let position = self.producer.head();
        let bytes = self.bytes(fill, position, len);
        // As the sending half does.
        let short = if len <= ONE_LINE {
            self.producer.push_line(&self.memory, &bytes)
        } else {
            self.producer.push_few(&self.memory, &bytes)
        };
        // It need not: there may be news in between, and the message is refused.
        if short.is_none() && len > ONE_LINE && len % 3 == 0 {
            return;
        }
        if let Some(at) = short.or_else(|| self.producer.push_plain(&self.memory, &bytes)) {
            assert_eq!(at, position);
            self.messages.push_back(Expected { kind: Kind::Data, position, bytes });
        }
    }

    /// Records begin where they are known to begin, and nowhere else.
    fn starts_are_right(&self) {
        let (acked, head) = (self.producer.acked(), self.producer.head());
        let mut reader = Consumer::new(acked, self.memory.capacity);
        let mut begins = vec![acked, head];
        while reader.position() != head {
            let Peek::Record(record) = reader.peek(&self.memory) else { panic!("no record") };
            begins.push(record.position);
            reader.advance(&record);
        }
        let lines = head.wrapping_sub(acked) / LINE as u64;
        for line in 0..=lines {
            let position = acked.wrapping_add(line * LINE as u64);
            let is = begins.contains(&position);
            assert_eq!(self.memory.starts.has(position), is, "{position:x} from {acked:x}");
        }
    }

    fn in_place(&mut self, len: usize, publish: Option<usize>, fill: Fill) {
        // As the sending half does.
        let (ring, memory) = (&mut self.producer, &self.memory);
        let quick = len <= ONE_LINE && ring.has_line() || ring.reserve_plain(memory, len);
        if !quick && ring.reserve(memory, len).is_err() {
            return;
        }
        let slot = self.producer.slot();
        let mut bytes = self.bytes(fill, slot.position, len);
        self.memory.copy_in(slot.payload_at, &bytes);
        if let Some(shorter) = publish {
            if shorter <= ONE_LINE && self.producer.has_line() {
                self.producer.publish_line(&self.memory, shorter);
            } else {
                self.producer.publish(&self.memory, Kind::Data, shorter);
            }
            bytes.truncate(shorter);
            self.messages.push_back(Expected { kind: Kind::Data, position: slot.position, bytes });
        }
    }

    fn consume(&mut self) {
        // Half of them as a receiver of messages of one line does.
        let (position, longest) = (self.consumer.position(), self.producer.max_payload() as u32);
        if position & LINE as u64 != 0 && self.consumer.ready(&self.memory) {
            if let Some(len) = Consumer::line(position, &self.memory, longest.min(ONE_LINE as u32))
            {
                let expected = self.messages.pop_front().expect("a record nobody pushed");
                let kind = Kind::Data;
                assert_eq!(
                    (expected.kind, expected.position, expected.bytes.len()),
                    (kind, position, len)
                );
                let mut bytes = vec![0; len];
                let at = position & (self.memory.capacity as u64 - 1);
                self.memory.copy_out(at as usize + RECORD_HEAD, &mut bytes);
                assert!(bytes == expected.bytes, "other bytes than were pushed");
                self.unacknowledged.push_back(self.consumer.advance_line(position));
                return;
            }
        }
        loop {
            match self.consumer.peek(&self.memory) {
                Peek::Empty => {
                    assert!(self.messages.is_empty(), "a published record is not seen");
                    assert_eq!(self.consumer.position(), self.producer.head());
                    return;
                }
                Peek::Bad(violation) => panic!("an honest ring is refused: {violation}"),
                Peek::Record(record) => {
                    self.consumer.advance(&record);
                    if record.kind == Kind::Pad {
                        assert_eq!(record.next & (self.memory.capacity as u64 - 1), 0);
                        continue;
                    }
                    let expected = self.messages.pop_front().expect("a record nobody pushed");
                    assert_eq!((record.kind, record.position), (expected.kind, expected.position));
                    let mut bytes = vec![0; record.len];
                    self.memory.copy_out(record.payload_at, &mut bytes);
                    assert!(bytes == expected.bytes, "other bytes than were pushed");
                    self.unacknowledged.push_back(record.next);
                    return;
                }
            }
        }
    }

    /// Runs a step and checks what must hold after any.
    fn checked(&mut self, step: &Step) {
        let (from, to) = (self.producer.acked(), self.producer.head());
        let before = self.memory.unread(from, to);
        self.step(step);
        let after = self.memory.unread(from, to);
        assert!(before == after, "something that is not acknowledged was overwritten: {step:?}");
        assert!(self.memory.guards_are_whole(), "something outside the ring was written");
        let next = Consumer::new(self.producer.head(), self.memory.capacity);
        assert_eq!(next.peek(&self.memory), Peek::Empty, "old bytes are taken for a record");
        self.starts_are_right();
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Data), Just(Kind::First), Just(Kind::Middle), Just(Kind::Last)]
}

fn fills() -> impl Strategy<Value = Fill> {
    prop_oneof![any::<u8>().prop_map(Fill::Number), (0..3u8).prop_map(Fill::Stamps)]
}

/// Mostly a few lines, sometimes anything up to the longest record; often exactly full lines.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..200usize,
        2 => (1..8usize).prop_map(|lines| lines * LINE - RECORD_HEAD),
        1 => any::<usize>(),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (kinds(), lengths(), any::<bool>(), fills())
            .prop_map(|(k, l, t, f)| Step::Push(k, l, t, f)),
        6 => (lengths(), fills()).prop_map(|(l, f)| Step::Plain(l, f)),
        2 => (lengths(), fills()).prop_map(|(l, f)| Step::GiveUp(l, f)),
        2 => (lengths(), lengths(), fills()).prop_map(|(l, s, f)| Step::Loan(l, s, f)),
        4 => lengths().prop_map(Step::TakeAhead),
        2 => any::<bool>().prop_map(Step::Streams),
        6 => Just(Step::Consume),
        4 => (1..8usize).prop_map(Step::Acknowledge),
    ]
}

/// Positions from which a short run crosses a wrap of the position, of the acknowledgement word, or
/// of the ring.
fn starts() -> impl Strategy<Value = u64> {
    let wraps = prop_oneof![Just(1u64 << 32), Just(1 << 38), Just(1 << 63), Just(0)];
    let below = (wraps, 0..64u64).prop_map(|(w, lines)| w.wrapping_sub(lines * LINE as u64));
    prop_oneof![3 => below, 1 => any::<u64>().prop_map(|p| p & !(LINE as u64 - 1))]
}

fn capacities() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(4usize << 10), 2 => Just(8 << 10), 1 => Just(64 << 10)]
}

fn many() -> ProptestConfig {
    let cases = std::env::var("TWOCAN_CASES").map_or(300, |n| n.parse().expect("a number"));
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn messages_come_out_as_they_went_in(
        capacity in capacities(),
        start in starts(),
        old_lap in prop::option::weighted(0.75, 0..3u64),
        steps in prop::collection::vec(steps(), 1..250),
    ) {
        let mut model = Model::new(capacity, start, old_lap);
        steps.iter().for_each(|step| model.checked(step));
        while !model.messages.is_empty() {
            model.checked(&Step::Consume);
        }
        model.checked(&Step::Consume);
    }

    #[test]
    fn the_acknowledgement_word_carries_every_position_a_ring_can_be_at(
        start in starts(),
        behind in 0..1u64 << 24,
        generation in 1..u32::MAX,
    ) {
        let position = start.wrapping_add(behind * LINE as u64);
        let header = Header::blank();
        prop_assert_eq!(header.progress.acknowledged(generation, start), Ok(None));
        header.progress.acknowledge(generation, position);
        prop_assert_eq!(header.progress.acknowledged(generation, start), Ok(Some(position)));
        prop_assert_eq!(header.progress.acknowledged(generation + 1, start), Ok(None));
        prop_assert_eq!(header.progress.acknowledged(generation - 1, start), Err(()));
    }

    #[test]
    fn credit_takes_exactly_what_was_sent_and_not_taken_back(
        start in starts(),
        lines in 0..40u64,
        acked in 0..40u64,
        said in prop_oneof![any::<u64>(), (0..6000u64).prop_map(|d| d.wrapping_sub(3000))],
    ) {
        let memory = Heap::new(4096, start, |_| 0);
        let mut producer = Producer::new(start, 4096);
        for _ in 0..lines {
            producer.push(&memory, Kind::Data, [&[], b"x"]).unwrap();
        }
        let acked = start.wrapping_add(acked.min(lines) * LINE as u64);
        prop_assert!(producer.credit(acked));
        let said = start.wrapping_add(said);
        let allowed = (0..=lines)
            .map(|n| start.wrapping_add(n * LINE as u64))
            .any(|p| p == said && reached(p, acked));
        prop_assert_eq!(producer.credit(said), allowed);
        prop_assert_eq!(producer.acked(), if allowed { said } else { acked });
    }

    #[test]
    fn a_hostile_ring_is_never_left_and_always_ends(
        capacity in capacities(),
        start in starts(),
        lines in prop::collection::vec(hostile_line(), 1024),
    ) {
        let memory = Heap::new(capacity, start, |_| 0x0123_4567_89AB_CDEF);
        let mask = capacity as u64 - 1;
        for at in (0..capacity as u64).step_by(LINE) {
            let position = start.wrapping_add(at);
            let place = (position & mask) as usize;
            let line = &lines[place / LINE];
            let to_end = capacity - place;
            memory.word(place).store(line.stamp.unwrap_or(stamp(position)), Relaxed);
            memory.word(place + 8).store(line.head(capacity, to_end), Relaxed);
        }
        let mut consumer = Consumer::new(start, capacity);
        let mut records = 0;
        while let Peek::Record(record) = consumer.peek(&memory) {
            records += 1;
            prop_assert!(records <= capacity / LINE, "round and round");
            prop_assert!(record.len <= capacity / 4);
            let mut bytes = vec![0; record.len];
            memory.copy_out(record.payload_at, &mut bytes);
            let step = record.next.wrapping_sub(record.position);
            prop_assert!(step > 0 && step % LINE as u64 == 0);
            prop_assert!((record.position & mask) + step <= capacity as u64);
            consumer.advance(&record);
            prop_assert_eq!(consumer.position(), record.next);
        }
    }
}

#[derive(Debug, Clone)]
struct HostileLine {
    /// `None` = the right one.
    stamp: Option<u64>,
    kind: u32,
    len: HostileLen,
}

#[derive(Debug, Clone)]
enum HostileLen {
    Any(u32),
    NearMax(i32),
    NearEnd(i32),
}

impl HostileLine {
    fn head(&self, capacity: usize, to_end: usize) -> u64 {
        let near = |at: usize, by: i32| (at as i64 + i64::from(by)) as u32;
        let len = match self.len {
            HostileLen::Any(len) => len,
            HostileLen::NearMax(by) => near(max_payload(capacity), by),
            HostileLen::NearEnd(by) => near(to_end - RECORD_HEAD, by),
        };
        u64::from(self.kind) << 32 | u64::from(len)
    }
}

fn hostile_line() -> impl Strategy<Value = HostileLine> {
    let stamps = prop_oneof![19 => Just(None), 1 => any::<u64>().prop_map(Some)];
    let lens = prop_oneof![
        8 => (0..300u32).prop_map(HostileLen::Any),
        1 => any::<u32>().prop_map(HostileLen::Any),
        1 => (-70..70i32).prop_map(HostileLen::NearMax),
        2 => (-70..70i32).prop_map(HostileLen::NearEnd),
    ];
    let kinds = prop_oneof![19 => 1..6u32, 1 => any::<u32>()];
    (stamps, kinds, lens).prop_map(|(stamp, kind, len)| HostileLine { stamp, kind, len })
}

#[test]
fn what_was_copied_and_then_not_sent_is_no_record() {
    let capacity = 16 << 10;
    let memory = Heap::fresh(capacity, 0);
    let mut ring = Producer::new(0, capacity);
    for _ in 0..61 {
        let line = ring.push_line(&memory, &[1; 48]);
        line.or_else(|| ring.push_plain(&memory, &[1; 48])).unwrap();
    }
    // Reaches the end of a word of the books; at the beginning of its second line a forged record.
    let second = 62 * LINE as u64;
    let mut message = [0; 176];
    message[48..56].copy_from_slice(&stamp(second).to_ne_bytes());
    message[56..64].copy_from_slice(&head_word(Kind::Data, 8).to_ne_bytes());
    if ring.push_few(&memory, &message).is_none() {
        assert_eq!(ring.push_line(&memory, &[7; 8]), Some(61 * LINE as u64));
    }
    assert_eq!(Consumer::new(ring.head(), capacity).peek(&memory), Peek::Empty);
}

#[test]
fn a_record_whose_length_would_leave_the_ring_is_refused() {
    let memory = Heap::new(4096, 0, |_| 0);
    for (kind, len, good) in [
        (Kind::Data, max_payload(4096), true),
        (Kind::Data, max_payload(4096) + 1, false),
        (Kind::Last, u32::MAX as usize, false),
        (Kind::Pad, 0, false), // padding ends where the ring ends
    ] {
        memory.word(8).store(head_word(kind, len), Relaxed);
        memory.word(0).store(stamp(0), Relaxed);
        let seen = Consumer::new(0, 4096).peek(&memory);
        assert_eq!(matches!(seen, Peek::Record(_)), good, "{kind:?} {len}");
    }
}

/// A ring whose writer changes the length of the record at 0 between any two looks at it.
struct Fickle {
    heap: Heap,
    looks: Cell<usize>,
    /// What the looks find, the last one for ever.
    lengths: [usize; 3],
}

impl Memory for Fickle {
    type Lines<'a> = &'a Fickle;
    fn lines(&self) -> &Fickle {
        self
    }
    fn header(&self) -> &Header {
        self.heap.header()
    }
    fn capacity(&self) -> usize {
        self.heap.capacity()
    }
    fn word(&self, at: usize) -> &AtomicU64 {
        let word = self.heap.word(at);
        if at == 8 {
            let length = self.lengths[self.looks.get().min(2)];
            self.looks.set(self.looks.get() + 1);
            word.store(head_word(Kind::Data, length), Relaxed);
        }
        word
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        self.heap.copy_out(at, to);
    }
}

#[test]
fn a_length_that_changes_between_two_looks_is_used_as_it_was_checked() {
    let (short, lie) = (40, 5000); // the ring ends before
    for lengths in [[short, lie, lie], [short, short, lie], [lie, short, lie], [short, lie, short]]
    {
        let fickle = |lengths| {
            let heap = Heap::new(4096, 0, |_| 0);
            heap.word(0).store(stamp(0), Relaxed);
            Fickle { heap, looks: Cell::new(0), lengths }
        };
        let memory = fickle(lengths);
        let mut consumer = Consumer::new(0, 4096);
        let plain = consumer.plain(&memory, max_payload(4096) as u32);
        let memory = fickle(lengths);
        let peeked = match consumer.peek(&memory) {
            Peek::Record(record) => Some(record),
            Peek::Bad(violation) => {
                assert_eq!(violation, Violation::BadRecord);
                None
            }
            Peek::Empty => panic!("it is there"),
        };
        let memory = fickle(lengths);
        let line = Consumer::line(0, &memory, ONE_LINE as u32);
        assert_eq!(line, (lengths[0] == short).then_some(short), "{lengths:?}");
        for record in [plain, peeked] {
            // What the first look found is what counts.
            assert_eq!(record.is_some(), lengths[0] == short, "{lengths:?}: {record:?}");
            if let Some(record) = record {
                let size = record_size(short) as u64;
                assert_eq!((record.len, record.next), (short, size), "{lengths:?}");
            }
        }
    }
}

#[test]
fn an_idle_ring_can_be_filled_to_its_last_line_but_one() {
    for start in [0, 64, 4096 - 64, 1 << 38, u64::MAX - 63] {
        let memory = Heap::new(4096, start, |_| u64::MAX);
        let mut producer = Producer::new(start, 4096);
        let sent = (0..).take_while(|_| producer.push(&memory, Kind::Data, [&[], &[]]).is_ok());
        assert_eq!(sent.count(), 4096 / LINE - 1);
    }
}

#[test]
fn a_ring_that_goes_on_for_ever_is_looked_at_for_a_while() {
    let heap = Heap::new(4096, 0, |_| 0);
    let put = |position: u64| {
        let at = (position & 4095) as usize;
        heap.word(at + 8).store(head_word(Kind::Data, 8), Relaxed);
        heap.word(at).store(stamp(position), Relaxed);
    };
    put(0);
    let passed = Cell::new(0);
    // Its writer keeps in step: behind each record that is passed over stands another.
    let void = |record: &Record| {
        put(record.next);
        passed.set(passed.get() + 1);
        passed.get() < 100_000
    };
    let mut ring = Consumer::new(0, 4096);
    assert!(ring.pass_over(&heap, void), "whoever asks again has a limit of time");
    assert_eq!(passed.get(), ring.lines() + 1);
    // An honest one comes to its end.
    let mut ring = Consumer::new(0, 4096);
    let heap = Heap::new(4096, 0, |_| 0);
    heap.word(8).store(head_word(Kind::Data, 8), Relaxed);
    heap.word(0).store(stamp(0), Relaxed);
    assert!(!ring.pass_over(&heap, |_| true) && ring.position() == 64);
    assert!(Consumer::new(0, 4096).pass_over(&heap, |_| false));
}
