//! Sessions with both ends in this process, and the directory in view.

use super::{MODE_DOORBELL, Woken};
use crate::name::Name;
use crate::park::{self, Arming};
use crate::sync::AtomicU64;
use crate::sys::dir::{Directory, PATIENCE};
use crate::sys::files;
use crate::sys::futex::BEFORE_A_WAKE;
use crate::{Channel, ErrorKind, Spin};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn unique(what: &str) -> String {
    let [a, _] = crate::sys::random::words().unwrap();
    format!("unit-{what}-{a:x}")
}

fn seat_files(name: &str) -> [String; 4] {
    let hash = Name::parse(name).unwrap().hash128();
    [
        format!("ch-{hash:032x}.0"),
        format!("ch-{hash:032x}.0.seat"),
        format!("ch-{hash:032x}.1"),
        format!("ch-{hash:032x}.1.seat"),
    ]
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_swept_directory_does_not_part_the_two_and_the_seats_are_bound_again() {
    let name = unique("swept");
    let mut a = Channel::open(&name).unwrap();
    let mut b = Channel::open(&name).unwrap();
    b.wait_peer(LONG).unwrap();
    let dir = Directory::open().unwrap();
    for file in seat_files(&name) {
        files::unlink(&dir, &file);
    }
    a.send("still here").unwrap();
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"still here");
    let there = |dir: &Directory| {
        let all = dir.file_names();
        seat_files(&name).iter().all(|f| all.contains(f))
    };
    eventually("the seats are bound again", || there(&dir));
    let third = Channel::open(&name).unwrap_err();
    assert_eq!(third.kind(), ErrorKind::InUse);
    drop(a);
    assert!(matches!(b.recv_timeout(LONG), Err(crate::RecvError::PeerClosed)));
    let mut c = Channel::open(&name).unwrap();
    c.send("next").unwrap();
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"next");
    drop((b, c));
    let all = dir.file_names();
    assert!(seat_files(&name).iter().all(|f| !all.contains(f)), "nothing is left");
}

#[test]
fn whoever_took_the_name_after_a_sweep_keeps_it() {
    let name = unique("taken");
    let a = Channel::open(&name).unwrap();
    let dir = Directory::open().unwrap();
    let hash = Name::parse(&name).unwrap().hash128();
    // Under the lock the old end cannot come back at once.
    let lock = dir.lock(hash, PATIENCE).unwrap();
    for file in seat_files(&name) {
        files::unlink(&dir, &file);
    }
    let opener = std::thread::spawn({
        let name = name.clone();
        move || Channel::open(&name).unwrap()
    });
    drop(lock);
    let b = opener.join().unwrap();
    drop(a);
    // Whichever was faster, dropping the one has not taken the other's seat away.
    let c = Channel::open(&name).unwrap();
    b.wait_peer(LONG).unwrap();
    drop((b, c));
}

/// The sleeper's kernel call compares the bell. A wake before the change finds nobody who compares
/// a moment later.
#[test]
fn the_bell_has_changed_when_the_wake_comes() {
    let (mut a, mut b) = Channel::options().spin(Spin::Never).pair().unwrap();
    let sleeper = std::thread::spawn(move || while b.recv().is_ok() {});
    let (tell, told) = std::sync::mpsc::channel();
    BEFORE_A_WAKE.set(Some(Box::new(move |bell| tell.send(bell).unwrap())));
    let mut seen = Vec::new();
    eventually("it sleeps, and is woken", || {
        a.send("x").unwrap();
        seen.extend(told.try_iter());
        seen.len() >= 3
    });
    BEFORE_A_WAKE.set(None);
    // (The watcher may have rung as well.)
    assert!((1..).zip(&seen).all(|(rings, bell)| rings <= *bell), "{seen:?}");
    drop(a);
    sleeper.join().unwrap();
}

#[test]
fn a_sleep_is_ended_once_and_the_next_one_again() {
    let (mut woken, word) = (Woken::default(), AtomicU64::new(0));
    let mut arming = Arming::default();
    assert_eq!(woken.sleeper(&word), None, "nobody sleeps");
    arming.arm(&word, park::MODE_FUTEX);
    assert_eq!(woken.sleeper(&word), Some(park::MODE_FUTEX));
    assert_eq!(woken.sleeper(&word), None, "woken already; the peer's next messages cost nothing");
    arming.disarm(&word, false);
    assert_eq!(woken.sleeper(&word), None);
    arming.arm(&word, MODE_DOORBELL);
    assert_eq!(woken.sleeper(&word), Some(MODE_DOORBELL));
    woken.forget();
    assert_eq!(woken.sleeper(&word), Some(MODE_DOORBELL), "another peer, another sleep");
}
