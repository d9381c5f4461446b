//! Waits on more ends than one sleep on words holds. The crowd is there to make it so many; the
//! stories are told with some of its ends, or with an end beside it.

use super::super::doors::{Attention, BEHIND_A_LOOK, Visit};
use crate::sys::process::allow_descriptors;
use crate::{
    Cancel, Channel, ErrorKind, Event, Receiver, RecvError, Reset, Sender, Until, Waitable,
    wait_all, wait_any,
};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(20);
/// Ends of a crowd: two words each, more than 128.
const MANY: usize = 66;

/// Receivers to wait for, and the senders that can wake them.
struct Crowd {
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    /// The other direction; not used, but an end of sending would be news.
    _back: Vec<(Sender, Receiver)>,
}

impl Crowd {
    fn new() -> Crowd {
        Crowd::of(MANY)
    }

    fn of(size: usize) -> Crowd {
        allow_descriptors(20 * size as u64 + 8000);
        let mut crowd = Crowd { senders: vec![], receivers: vec![], _back: vec![] };
        for _ in 0..size {
            let (a, b) = Channel::options().send_capacity(4096).pair().unwrap();
            let ((tx, back_rx), (back_tx, rx)) = (a.into_split(), b.into_split());
            crowd.senders.push(tx);
            crowd.receivers.push(rx);
            crowd._back.push((back_tx, back_rx));
        }
        crowd
    }

    fn list(&self) -> Vec<&dyn Waitable> {
        self.receivers.iter().map(|r| r as &dyn Waitable).collect()
    }

    fn wait<'c>(&self, until: impl Into<Until<'c>>) -> Option<usize> {
        wait_any(&self.list(), until).unwrap()
    }
}

/// Does something a little later, when the caller most likely sleeps, and hands back what it was
/// given.
fn soon<T: Send + 'static>(
    mut thing: T,
    what: impl FnOnce(&mut T) + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        thread::sleep(SOON);
        what(&mut thing);
        thing
    })
}

fn send(sender: &mut Sender, what: &str) {
    sender.send(what).unwrap();
}

/// A wait that was forgotten looks once more when its time is up: it must not last so long.
fn prompt<T>(wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    assert!(start.elapsed() < LONG / 2, "nobody woke it");
    result
}

#[test]
fn each_of_many_wakes_a_sleeper_again_and_again() {
    let mut crowd = Crowd::new();
    for round in 0..3 {
        for at in [0, MANY / 2, MANY - 1, 7] {
            let sender = soon(crowd.senders.remove(at), |tx| send(tx, "x"));
            assert_eq!(prompt(|| crowd.wait(LONG)), Some(at), "round {round}");
            crowd.senders.insert(at, sender.join().unwrap());
            // Still there: at once, however often it is asked for.
            assert_eq!(crowd.wait(LONG), Some(at));
            assert_eq!(crowd.wait(Until::now()), Some(at));
            assert_eq!(&*crowd.receivers[at].try_recv().unwrap(), b"x");
            assert_eq!(crowd.wait(Duration::from_millis(5)), None);
        }
    }
}

#[test]
fn the_lowest_of_many_wins_and_only_that_is_taken() {
    let mut crowd = Crowd::new();
    assert_eq!(crowd.wait(Until::now()), None);
    for at in [40, 3, 65] {
        crowd.senders[at].send("x").unwrap();
    }
    for at in [3, 40, 65] {
        assert_eq!(crowd.wait(LONG), Some(at));
        crowd.receivers[at].try_recv().unwrap();
    }
    // What has no bell counts as well, wherever it stands.
    let (first, last) = (Event::anonymous(Reset::Auto).unwrap(), Event::anonymous(Reset::Auto));
    let last = last.unwrap();
    last.set().unwrap();
    crowd.senders[9].send("x").unwrap();
    first.set().unwrap();
    let mut list: Vec<&dyn Waitable> = vec![&first];
    list.extend(crowd.list());
    list.push(&last);
    assert_eq!(wait_any(&list, LONG).unwrap(), Some(0));
    assert_eq!(wait_any(&list, LONG).unwrap(), Some(10));
    drop(list);
    crowd.receivers[9].try_recv().unwrap();
    let mut list = crowd.list();
    list.push(&last);
    assert_eq!(wait_any(&list, LONG).unwrap(), Some(MANY));
    assert_eq!(wait_any(&list, Until::now()).unwrap(), None);
}

#[test]
fn events_and_cancellations_wake_a_wait_at_doors() {
    let crowd = Crowd::new();
    let (event, object) = (Event::anonymous(Reset::Auto).unwrap(), Cancel::new());
    let mut list = crowd.list();
    list.insert(30, &event);
    list.push(&object);
    for _ in 0..3 {
        let setter = soon(event.try_clone().unwrap(), |e| e.set().unwrap());
        assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(30));
        setter.join().unwrap();
    }
    for _ in 0..2 {
        let cancel = Cancel::new();
        let canceller = soon(cancel.clone(), |c| c.cancel());
        let error = prompt(|| wait_any(&crowd.list(), (LONG, &cancel)).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        canceller.join().unwrap();
        // And it is not heard any more when others wait.
        assert_eq!(crowd.wait(Duration::from_millis(5)), None);
    }
    let canceller = soon(object.clone(), |c| c.cancel());
    assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(MANY + 1));
    canceller.join().unwrap();
    assert_eq!(wait_any(&list, (LONG, &object)).unwrap(), Some(MANY + 1));
    let start = Instant::now();
    assert_eq!(crowd.wait(Duration::from_millis(60)), None);
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn comings_and_goings_wake_a_wait_at_doors() {
    let name = format!("unit-doors-{}", std::process::id());
    let open = |name: &str| Channel::options().send_capacity(4096).open(name).unwrap();
    let crowd = Crowd::new();
    let mut here = open(&name);
    for round in 0..3 {
        let change = here.receiver().peer_change();
        let mut list = crowd.list();
        list.push(&change);
        let comes = soon((name.clone(), None), move |(name, there)| *there = Some(open(name)));
        assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(MANY), "round {round}");
        let mut there = comes.join().unwrap().1.expect("opened");
        drop(list);
        there.wait_peer(LONG).unwrap();
        let mut list = crowd.list();
        list.push(here.receiver());
        // The doorbells are those of the new session.
        for _ in 0..2 {
            let sender = soon(there, |there| send(there.sender(), "hello"));
            assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(MANY), "round {round}");
            there = sender.join().unwrap();
            drop(list);
            assert_eq!(&*here.try_recv().unwrap(), b"hello");
            list = crowd.list();
            list.push(here.receiver());
        }
        let gone = soon(Some(there), |there| drop(there.take()));
        assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(MANY), "round {round}");
        gone.join().unwrap();
        drop(list);
        assert_eq!(here.try_recv().unwrap_err(), RecvError::PeerClosed);
    }
}

#[test]
fn room_and_acknowledgements_wake_a_wait_at_doors() {
    let crowd = Crowd::new();
    let (mut here, mut there) = Channel::options().send_capacity(4096).pair().unwrap();
    let first = here.send("to be taken").unwrap();
    while here.try_send([0; 900]).is_ok() {}
    while here.try_send([0; 1]).is_ok() {}
    let last = here.sender().sent().unwrap();
    let take_one = |there: Channel| {
        soon(there, |there| {
            drop(there.recv().unwrap());
            there.receiver().ack();
        })
    };
    let acknowledged = here.sender().acknowledged_past(first);
    let mut list = crowd.list();
    list.push(&acknowledged);
    assert_eq!(wait_any(&list, SOON).unwrap(), None);
    let reader = take_one(there);
    assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(MANY));
    there = reader.join().unwrap();
    // Two that share a bell: only one of them is ready.
    while here.try_send([0; 1]).is_ok() {}
    let sender = here.sender();
    let (acknowledged, room) = (sender.acknowledged_past(last), sender.room(500));
    let mut list = crowd.list();
    list.extend([&acknowledged as &dyn Waitable, &room]);
    assert_eq!(wait_any(&list, SOON).unwrap(), None);
    let reader = take_one(there);
    assert_eq!(prompt(|| wait_any(&list, LONG).unwrap()), Some(MANY + 1));
    reader.join().unwrap();
}

#[test]
fn what_came_while_the_half_was_armed_for_somebody_else_is_found() {
    let mut crowd = Crowd::new();
    assert_eq!(crowd.wait(Duration::from_millis(5)), None); // looked at, and armed
    // A wait of one takes the arm over and puts it down: what comes now rings nowhere.
    assert_eq!(wait_any(&[&crowd.receivers[3]], Duration::from_millis(5)).unwrap(), None);
    crowd.senders[3].send("x").unwrap();
    // Another thread's set arms again, finds it, and leaves it there.
    thread::scope(|s| s.spawn(|| assert_eq!(crowd.wait(LONG), Some(3))).join().unwrap());
    assert_eq!(prompt(|| crowd.wait(LONG)), Some(3));
}

#[test]
fn sleepers_of_both_kinds_on_one_half_are_all_woken() {
    let mut crowd = Crowd::new();
    for few_first in [true, false] {
        let mut sender = crowd.senders.remove(5);
        let nap = |is: bool| thread::sleep(if is { SOON } else { Duration::ZERO });
        thread::scope(|scope| {
            let few = scope.spawn(|| {
                nap(!few_first);
                prompt(|| wait_any(&[&crowd.receivers[5]], LONG).unwrap())
            });
            let many = [0, 1].map(|_| {
                scope.spawn(|| {
                    nap(few_first);
                    prompt(|| crowd.wait(LONG))
                })
            });
            // One that leaves again must not take the others' arm along.
            nap(true);
            assert_eq!(wait_any(&[&crowd.receivers[5]], SOON).unwrap(), None);
            sender.send("x").unwrap();
            assert_eq!(few.join().unwrap(), Some(0));
            assert_eq!(many.map(|m| m.join().unwrap()), [Some(5); 2]);
        });
        crowd.receivers[5].try_recv().unwrap();
        crowd.senders.insert(5, sender);
    }
}

#[test]
fn a_sleeper_for_few_that_leaves_does_not_put_out_the_arm_of_many() {
    let mut crowd = Crowd::new();
    let mut sender = crowd.senders.remove(5);
    thread::scope(|scope| {
        let many = scope.spawn(|| prompt(|| crowd.wait(LONG)));
        thread::sleep(SOON);
        assert_eq!(wait_any(&[&crowd.receivers[5]], SOON).unwrap(), None);
        sender.send("x").unwrap();
        assert_eq!(many.join().unwrap(), Some(5));
    });
}

#[test]
fn whoever_empties_a_doorbell_tells_the_others_who_sleep_on_it() {
    let (mut tx, rx) = Channel::pair().unwrap();
    let rx = rx.into_split().1;
    let waitable: &dyn Waitable = &rx;
    // Two sets of one thread stand for two threads.
    let (mut first, mut second) = (Visit::begin(1).unwrap(), Visit::begin(1).unwrap());
    let mut stirred = Vec::new();
    for visit in [&mut first, &mut second] {
        assert_eq!(waitable.attend(visit.doors()), Attention::Look);
        visit.doors().found_nothing(0);
        assert_eq!(waitable.attend(visit.doors()), Attention::Quiet);
        visit.sleep(Some(Instant::now()), &mut stirred);
        assert_eq!(stirred, []);
    }
    // The second has armed anew when it came, and said so.
    first.sleep(Some(Instant::now()), &mut stirred);
    assert_eq!(stirred, [0]);
    assert_eq!(waitable.attend(first.doors()), Attention::Look);
    first.doors().found_nothing(0);
    stirred.clear();
    tx.send("x").unwrap();
    second.sleep(Some(Instant::now() + LONG), &mut stirred);
    assert_eq!(stirred, [0]);
    assert_eq!(waitable.attend(second.doors()), Attention::Look); // empties, and arms anew
    stirred.clear();
    first.sleep(Some(Instant::now()), &mut stirred);
    assert_eq!(stirred, [0], "it does not hear the bell any more");
    assert_eq!(waitable.attend(first.doors()), Attention::Look);
    assert_eq!(waitable.attend(first.doors()), Attention::Look, "nobody has looked yet");
    stirred.clear();
    second.sleep(Some(Instant::now()), &mut stirred);
    assert_eq!(stirred, [], "they do not wake each other for ever");
}

#[test]
fn a_changing_choice_of_ends_is_heard_and_the_dead_leave_no_door() {
    let mut crowd = Crowd::of(2 * MANY);
    for round in 0..6 {
        let from = round * 11;
        let list: Vec<&dyn Waitable> =
            crowd.receivers[from..from + MANY].iter().map(|r| r as &dyn Waitable).collect();
        assert_eq!(wait_any(&list, Until::now()).unwrap(), None);
        // One outside, which is armed from an earlier round, and one inside.
        let outside = if round == 0 { 2 * MANY - 1 } else { from - 1 };
        let inside = from + MANY / 2;
        crowd.senders[outside].send("x").unwrap();
        crowd.senders[inside].send("x").unwrap();
        assert_eq!(wait_any(&list, LONG).unwrap(), Some(MANY / 2));
        drop(list);
        crowd.receivers[inside].try_recv().unwrap();
        crowd.receivers[outside].try_recv().unwrap();
    }
    drop(crowd);
    let fresh = Crowd::new();
    assert_eq!(fresh.wait(Until::now()), None);
    let mut visit = Visit::begin(1).unwrap();
    let (open, places) = visit.doors().count();
    assert_eq!((open, places), (MANY, MANY + 55), "as many as there were at once");
}

#[test]
fn wait_all_over_many_ends_takes_its_time() {
    let mut crowd = Crowd::new();
    let event = Event::options(Reset::Auto).initially_set(true).anonymous().unwrap();
    for sender in &mut crowd.senders[1..] {
        sender.send("x").unwrap();
    }
    let sender = crowd.senders.remove(0);
    let mut list = crowd.list();
    list.push(&event);
    assert!(!wait_all(&list, SOON).unwrap());
    let sender = soon(sender, |tx| send(tx, "x"));
    assert!(prompt(|| wait_all(&list, LONG).unwrap()));
    assert!(!event.try_wait().unwrap(), "taken");
    sender.join().unwrap();
}

/// The peer publishes, and rings, when the last look has found nothing and before the sleep begins:
/// the ring is heard.
#[test]
fn a_ring_between_the_last_look_and_the_sleep_is_heard() {
    for at in [0, 30, MANY - 1] {
        // New ends each time: what stands armed from an earlier wait is not looked at.
        let mut crowd = Crowd::new();
        let mut sender = Some(crowd.senders.remove(at));
        let (done, sent) = std::sync::mpsc::channel();
        BEHIND_A_LOOK.set(Some(Box::new(move |index| {
            if let Some(mut sender) = sender.take_if(|_| index == at) {
                sender.send("x").unwrap();
                done.send(sender).unwrap();
            }
        })));
        let found = prompt(|| crowd.wait(LONG));
        BEHIND_A_LOOK.set(None);
        assert_eq!(found, Some(at));
        crowd.receivers[at].try_recv().unwrap();
        drop(sent.try_recv().expect("it looked, and found nothing"));
    }
}

/// One thread sends here and there, one serves whoever is ready; every wake counts, as the sender
/// waits for the answer.
#[test]
fn no_ring_is_lost_however_close_it_comes() {
    const ROUNDS: usize = 6000;
    let mut crowd = Crowd::new();
    let mut senders = std::mem::take(&mut crowd.senders);
    let (answer, answered) = std::sync::mpsc::channel();
    let sending = thread::spawn(move || {
        let (mut seed, mut open) = (1_u64, 0);
        for round in 0..ROUNDS {
            // Bursts of one to three, so that rings come while others are served.
            for _ in 0..=round % 3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                senders[(seed >> 33) as usize % MANY].send("x").unwrap();
                open += 1;
            }
            while open > 0 {
                answered.recv_timeout(LONG).expect("an answer");
                open -= 1;
            }
        }
        senders
    });
    let total: usize = (0..ROUNDS).map(|round| round % 3 + 1).sum();
    for taken in 0..total {
        let at = crowd.wait(LONG).unwrap_or_else(|| panic!("nothing after {taken} of {total}"));
        crowd.receivers[at].try_recv().unwrap();
        answer.send(()).unwrap();
    }
    drop(sending.join().unwrap());
}
