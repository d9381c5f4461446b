//! Waits on more ends than one sleep on words holds, in a process that has no descriptors for the
//! set of doorbells, or may watch nothing more: every end still wakes the wait, nothing hangs, and
//! no descriptor stays behind.

use crate::jail::{self, Answer, Rule, When, refuse_here};
use crate::support::{Child, LONG, eventually, say};
use crate::trust;
use std::thread;
use std::time::Duration;
use twocan::{Channel, Event, Receiver, Reset, Sender, Waitable, wait_all, wait_any};

/// Ends: two words each, more than 128.
const MANY: usize = 70;
const SOON: Duration = Duration::from_millis(15);

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["are short of descriptors"] => short_of_descriptors(),
        ["may watch no more"] => no_more_watches(),
        _ => return false,
    }
    true
}

struct Crowd {
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    /// The way back, not used: its end would be news.
    _back: Vec<(Sender, Receiver)>,
}

fn crowd(size: usize) -> Crowd {
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

/// One end after the other wakes the sleeper; a time limit is kept; then they are ready together.
fn all_wake(crowd: &mut Crowd, some: &[usize]) {
    let Crowd { senders, receivers, .. } = crowd;
    let event = Event::anonymous(Reset::Auto).unwrap();
    for at in some {
        let sender = &mut senders[*at];
        let mut list: Vec<&dyn Waitable> = receivers.iter().map(|r| r as &dyn Waitable).collect();
        list.push(&event);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(SOON);
                sender.send("x").unwrap();
            });
            assert_eq!(wait_any(&list, LONG).unwrap(), Some(*at));
        });
        assert_eq!(&*receivers[*at].try_recv().unwrap(), b"x");
    }
    let list: Vec<&dyn Waitable> = receivers.iter().map(|r| r as &dyn Waitable).collect();
    assert_eq!(wait_any(&list, SOON).unwrap(), None);
    assert!(!wait_all(&list, SOON).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SOON);
            for tx in senders.iter_mut() {
                tx.send("y").unwrap();
            }
        });
        assert!(wait_all(&list, LONG).unwrap());
    });
    receivers.iter_mut().for_each(|rx| drop(rx.try_recv().unwrap()));
}

fn short_of_descriptors() {
    let limit = |most| jail::limit(libc::RLIMIT_NOFILE, most).unwrap();
    limit(4096);
    let mut crowd = crowd(MANY);
    // Copies that came with the handshakes are closed elsewhere, a little later.
    let mut before = 0;
    eventually("nothing is closed any more", || {
        thread::sleep(SOON);
        std::mem::replace(&mut before, jail::descriptors()) == before
    });
    jail::fill_gaps();
    let before = jail::descriptors();
    assert_eq!(jail::next_descriptor(), before as u64);
    // A set takes two. It is kept by its thread, so each try has a new one.
    for spare in 0..4 {
        limit(jail::next_descriptor() + spare);
        thread::scope(|scope| {
            scope.spawn(|| {
                all_wake(&mut crowd, &[0, MANY / 2, MANY - 1]);
                let sets = if spare < 2 { 0 } else { 2 };
                limit(4096);
                assert_eq!(jail::descriptors(), before + sets, "with {spare} to spare");
                // With enough of them the same thread makes its set.
                all_wake(&mut crowd, &[1]);
                assert_eq!(jail::descriptors(), before + 2, "with {spare} to spare at first");
            });
        });
        eventually("its set goes with the thread", || jail::descriptors() == before);
    }
    say("done");
}

fn no_more_watches() {
    const ADD: u32 = libc::EPOLL_CTL_ADD as u32;
    jail::limit(libc::RLIMIT_NOFILE, 4096).unwrap();
    let (mut old, new) = (crowd(MANY), crowd(MANY));
    all_wake(&mut old, &[5]);
    let answer = Answer::Errno(libc::ENOSPC);
    let rule = Rule { call: libc::SYS_epoll_ctl, when: vec![When::is(1, ADD)], answer };
    refuse_here(&[rule]).unwrap();
    // The doorbells of some stand in this thread's set; those of the others cannot be added.
    let (first, last) = (2, MANY + 3);
    old.senders.extend(new.senders);
    old.receivers.extend(new.receivers);
    all_wake(&mut old, &[first, last, MANY - 1, 2 * MANY - 1]);
    drop(old);
    // One for whom there is no set at all.
    thread::scope(|scope| {
        scope.spawn(|| all_wake(&mut crowd(MANY), &[7, MANY - 1]));
    });
    say("done");
}

#[test]
fn a_wait_on_many_ends_needs_no_descriptors() {
    for story in ["are short of descriptors", "may watch no more"] {
        let mut child = Child::start("crowds", &[story]);
        child.expect("done");
        child.finish();
    }
    trust("crowded", format!("waits on {MANY} ends without descriptors or watches: all wake"));
}
