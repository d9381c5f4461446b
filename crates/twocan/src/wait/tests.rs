use super::*;
use crate::{Event, Reset};
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn events(n: usize, reset: Reset) -> Vec<Event> {
    (0..n).map(|_| Event::anonymous(reset).unwrap()).collect()
}

fn list(events: &[Event]) -> Vec<&dyn Waitable> {
    events.iter().map(|e| e as &dyn Waitable).collect()
}

/// A wait that was forgotten looks once more when its time is up: it must not last so long.
fn prompt<T>(wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    assert!(start.elapsed() < LONG / 2, "nobody woke it");
    result
}

/// Sets `event` a little later, when the caller most likely sleeps.
fn set_soon(event: &Event) -> thread::JoinHandle<()> {
    let event = event.try_clone().unwrap();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        event.set().unwrap();
    })
}

#[test]
fn empty_lists_and_duplicates_are_refused() {
    let kind = |e: Error| e.kind();
    assert_eq!(wait_any(&[], Until::FOREVER).map_err(kind), Err(ErrorKind::InvalidInput));
    assert_eq!(wait_all(&[], Until::FOREVER).map_err(kind), Err(ErrorKind::InvalidInput));
    let e = Event::anonymous(Reset::Auto).unwrap();
    let same = e.try_clone().unwrap();
    assert_eq!(wait_all(&[&e, &same], Until::now()).map_err(kind), Err(ErrorKind::InvalidInput));
    assert_eq!(wait_any(&[&e, &same], Until::now()).unwrap(), None);
}

#[test]
fn the_lowest_ready_index_wins_and_only_that_is_taken() {
    let all = events(3, Reset::Auto);
    all[2].set().unwrap();
    all[1].set().unwrap();
    assert_eq!(wait_any(&list(&all), Until::now()).unwrap(), Some(1));
    assert_eq!(wait_any(&list(&all), Until::now()).unwrap(), Some(2));
    assert_eq!(wait_any(&list(&all), Until::now()).unwrap(), None);
}

#[test]
fn a_sleeper_wakes_for_any_of_them() {
    for n in [1, 2, 127, 128, 129, 200, 300] {
        let all = events(n, Reset::Auto);
        for at in [0, n / 2, n - 1] {
            let setter = set_soon(&all[at]);
            assert_eq!(prompt(|| wait_any(&list(&all), LONG).unwrap()), Some(at), "{at} of {n}");
            setter.join().unwrap();
        }
        assert_eq!(wait_any(&list(&all), Duration::from_millis(5)).unwrap(), None);
    }
}

#[test]
fn cancelling_ends_a_wait_of_any_size() {
    for n in [1, 5, 250] {
        let all = events(n, Reset::Manual);
        let cancel = Cancel::new();
        let later = cancel.clone();
        let canceller = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            later.cancel();
        });
        let error = prompt(|| wait_any(&list(&all), (LONG, &cancel)).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_eq!(wait_all(&list(&all), &cancel).unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(all[0].wait_until(&cancel).unwrap_err().kind(), ErrorKind::Cancelled);
        // What is ready wins over a cancellation.
        all[0].set().unwrap();
        assert_eq!(wait_any(&list(&all), &cancel).unwrap(), Some(0));
        canceller.join().unwrap();
    }
}

#[test]
fn a_cancel_can_be_waited_on() {
    let (cancel, event) = (Cancel::new(), Event::anonymous(Reset::Auto).unwrap());
    assert_eq!(wait_any(&[&event, &cancel], Until::now()).unwrap(), None);
    let later = cancel.clone();
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        later.cancel();
    });
    assert_eq!(prompt(|| wait_any(&[&event, &cancel], LONG).unwrap()), Some(1));
    canceller.join().unwrap();
    event.set().unwrap();
    assert!(wait_all(&[&event, &cancel], LONG).unwrap());
}

#[test]
fn time_limits_are_kept() {
    for n in [1, 3, 200] {
        let all = events(n, Reset::Auto);
        let start = Instant::now();
        assert_eq!(wait_any(&list(&all), Duration::from_millis(60)).unwrap(), None);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(60), "{took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        // A limit in the past still looks once.
        all[n - 1].set().unwrap();
        assert_eq!(wait_any(&list(&all), start).unwrap(), Some(n - 1));
        assert_eq!(wait_any(&list(&all), start).unwrap(), None);
    }
    let forever = Until::from(Duration::MAX);
    let event = Event::options(Reset::Auto).initially_set(true).anonymous().unwrap();
    assert!(event.wait_until(forever).unwrap());
}

#[test]
fn wait_all_takes_all_or_nothing() {
    let all = events(3, Reset::Auto);
    all[0].set().unwrap();
    all[2].set().unwrap();
    assert!(!wait_all(&list(&all), Duration::from_millis(20)).unwrap());
    assert!(all[0].try_wait().unwrap() && all[2].try_wait().unwrap(), "nothing was taken");
    all[0].set().unwrap();
    all[2].set().unwrap();
    let setter = set_soon(&all[1]);
    assert!(prompt(|| wait_all(&list(&all), LONG).unwrap()));
    setter.join().unwrap();
    assert!(all.iter().all(|e| !e.try_wait().unwrap()), "all were taken");
}

#[test]
fn wait_all_of_many_and_mixed() {
    let mut all = events(150, Reset::Auto);
    all.extend(events(100, Reset::Manual));
    for event in &all[1..] {
        event.set().unwrap();
    }
    let setter = set_soon(&all[0]);
    assert!(prompt(|| wait_all(&list(&all), LONG).unwrap()));
    setter.join().unwrap();
    assert!(all[..150].iter().all(|e| !e.try_wait().unwrap()));
    assert!(all[150..].iter().all(|e| e.try_wait().unwrap()));
}

#[test]
fn manual_events_must_be_set_together() {
    // First one is set and reset, then the other: never both.
    let (a, b) =
        (Event::anonymous(Reset::Manual).unwrap(), Event::anonymous(Reset::Manual).unwrap());
    let (a2, b2) = (a.try_clone().unwrap(), b.try_clone().unwrap());
    let waiter = thread::spawn(move || wait_all(&[&a2, &b2], Duration::from_millis(300)).unwrap());
    thread::sleep(Duration::from_millis(30));
    for _ in 0..200 {
        a.set().unwrap();
        a.reset().unwrap();
        b.set().unwrap();
        b.reset().unwrap();
    }
    assert!(!waiter.join().unwrap());
}

/// A lasting object that goes away just after the looks, before the takes are sealed.
struct Fickle {
    event: Event,
    looks: std::cell::Cell<u32>,
    gone_at: u32,
}

impl Source for Fickle {
    fn begin(&self) -> Result<u64> {
        self.event.begin()
    }
    fn prepare(&self, words: &mut Vec<Word>) {
        self.event.prepare(words);
    }
    fn ready(&self, begun: u64) -> bool {
        self.event.ready(begun)
    }
    fn snapshot(&self, begun: u64) -> Option<u64> {
        self.looks.set(self.looks.get() + 1);
        if self.looks.get() == self.gone_at {
            self.event.reset().unwrap();
        }
        self.event.snapshot(begun)
    }
    fn identity(&self) -> Identity {
        self.event.identity()
    }
}

/// An event that is set just before it is armed, or just after it was looked at.
struct Sudden {
    event: Event,
    before_prepare: bool,
    looks: std::cell::Cell<u32>,
}

impl Source for Sudden {
    fn begin(&self) -> Result<u64> {
        self.event.begin()
    }
    fn prepare(&self, words: &mut Vec<Word>) {
        if self.before_prepare {
            self.event.set().unwrap();
        }
        self.event.prepare(words);
    }
    fn ready(&self, begun: u64) -> bool {
        let ready = self.event.ready(begun);
        self.looks.set(self.looks.get() + 1);
        if !self.before_prepare && self.looks.get() == 2 {
            self.event.set().unwrap();
        }
        ready
    }
    fn take(&self, begun: u64) -> bool {
        self.event.take(begun)
    }
    fn identity(&self) -> Identity {
        self.event.identity()
    }
}

#[test]
fn a_set_in_any_gap_is_seen() {
    for before_prepare in [true, false] {
        let event = Event::anonymous(Reset::Auto).unwrap();
        let sudden = Sudden { event, before_prepare, looks: 0.into() };
        let start = Instant::now();
        assert_eq!(wait_any(&[&sudden], Duration::from_secs(3)).unwrap(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(2), "it was slept over");
    }
}

#[test]
fn what_was_taken_is_put_back_when_one_is_gone() {
    for gone_at in 1..=3 {
        let auto = Event::options(Reset::Auto).initially_set(true).anonymous().unwrap();
        let event = Event::options(Reset::Manual).initially_set(true).anonymous().unwrap();
        let fickle = Fickle { event, looks: 0.into(), gone_at };
        assert!(!wait_all(&[&auto, &fickle], Until::now()).unwrap(), "{gone_at}");
        assert!(auto.try_wait().unwrap(), "put back, gone at look {gone_at}");
    }
}

/// Writes down when it is taken and put back.
struct Recorder<'a> {
    number: u64,
    takes: bool,
    log: &'a std::cell::RefCell<Vec<String>>,
}

impl Source for Recorder<'_> {
    fn begin(&self) -> Result<u64> {
        Ok(0)
    }
    fn prepare(&self, _: &mut Vec<Word>) {}
    fn ready(&self, _: u64) -> bool {
        true
    }
    fn take(&self, _: u64) -> bool {
        self.log.borrow_mut().push(format!("take {}", self.number));
        self.takes
    }
    fn put_back(&self) {
        self.log.borrow_mut().push(format!("put back {}", self.number));
    }
    fn consumes(&self) -> bool {
        true
    }
    fn snapshot(&self, _: u64) -> Option<u64> {
        // Gone as soon as somebody has failed to take it.
        (self.takes || self.log.borrow().is_empty()).then_some(0)
    }
    fn identity(&self) -> Identity {
        Identity(1, self.number)
    }
}

#[test]
fn auto_reset_events_are_taken_in_one_order_everywhere() {
    let log = std::cell::RefCell::new(Vec::new());
    let new = |number, takes| Recorder { number, takes, log: &log };
    let (a, b, c, gone) = (new(3, true), new(1, true), new(2, true), new(4, false));
    assert!(wait_all(&[&a, &b, &c], Until::now()).unwrap());
    assert_eq!(log.take(), ["take 1", "take 2", "take 3"]);
    assert!(!wait_all(&[&gone, &a, &b], Until::now()).unwrap());
    assert_eq!(log.take(), ["take 1", "take 3", "take 4", "put back 3", "put back 1"]);
}

#[test]
fn two_who_wait_for_the_same_two_never_share_them() {
    const ROUNDS: usize = 300;
    let both = events(2, Reset::Auto);
    let done = std::sync::Arc::new(AtomicUsize::new(0));
    let stop = Cancel::new();
    let go = |flip: bool| {
        let mut both: Vec<Event> = both.iter().map(|e| e.try_clone().unwrap()).collect();
        if flip {
            both.reverse();
        }
        let (done, stop) = (done.clone(), stop.clone());
        thread::spawn(move || {
            while wait_all(&list(&both), &stop).is_ok() {
                done.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let waiters = [go(false), go(true)];
    for round in 0..ROUNDS {
        both[round % 2].set().unwrap();
        both[1 - round % 2].set().unwrap();
        let deadline = Instant::now() + LONG;
        while done.load(Ordering::SeqCst) <= round {
            assert!(Instant::now() < deadline, "stuck in round {round}");
            thread::yield_now();
        }
    }
    stop.cancel();
    waiters.into_iter().for_each(|w| w.join().unwrap());
    assert_eq!(done.load(Ordering::SeqCst), ROUNDS);
}
