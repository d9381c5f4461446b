//! Somebody removes files under the living: a logout that sweeps /dev/shm, a hasty person. What is
//! open goes on; each object can say whether others still find it; channels take their names back.

use crate::roles::converse;
use crate::support::{Child, LONG, TempDir, eventually, say, unique};
use crate::trust;
use std::path::Path;
use twocan::{Channel, ErrorKind, Event, MemoryMap, Reset};

type Sweep = fn(&Path);

pub fn play(args: &[&str]) -> bool {
    let ["all", dir] = *args else { return false };
    let dir = Path::new(dir);
    let sweeps: [(&str, Sweep); 7] = [
        ("the lock file", |dir| remove(dir, |name| name == ".lock")),
        ("sockets", |dir| remove(dir, |name| name.ends_with(".0") || name.ends_with(".1"))),
        ("one socket", |dir| remove(dir, |name| name.ends_with(".0"))),
        ("records", |dir| remove(dir, |name| name.ends_with(".seat"))),
        ("seats", |dir| remove(dir, |name| name.starts_with("ch-"))),
        ("everything", |dir| remove(dir, |_| true)),
        ("the directory", |dir| {
            let away = dir.with_extension("away");
            std::fs::rename(dir, &away).unwrap();
            std::fs::remove_dir_all(away).unwrap();
        }),
    ];
    for (what, sweep) in sweeps {
        pair_goes_on(dir, what, sweep);
    }
    objects_go_on(dir);
    the_lock_goes_from_beside_objects(dir);
    say("done");
    true
}

fn remove(dir: &Path, which: impl Fn(&str) -> bool) {
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if which(path.file_name().unwrap().to_str().unwrap()) {
            // Whoever takes its seat back meanwhile clears what is left of it, too.
            match std::fs::remove_file(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{e}"),
                _ => {}
            }
        }
    }
}

/// How many sockets and how many records of seats there are.
fn seats(dir: &Path) -> [usize; 2] {
    let names = || std::fs::read_dir(dir).into_iter().flatten().flatten();
    let count = |ends: &[&str]| {
        let of = |name: &str| ends.iter().any(|end| name.ends_with(end));
        names().filter(|file| file.file_name().to_str().is_some_and(of)).count()
    };
    [count(&[".0", ".1"]), count(&[".seat"])]
}

fn pair_goes_on(dir: &Path, what: &str, sweep: Sweep) {
    let name = unique("swept");
    let mut child = Child::start("echo", &[&name]);
    child.expect("open");
    let mut end = Channel::open(&name).unwrap();
    converse(&mut end, 5);
    assert!(end.is_findable(), "{what}");
    sweep(dir);
    converse(&mut end, 5);
    assert!(end.peer().is_some(), "{what}");
    eventually(what, || end.is_findable());
    // The other end takes its seat back, too, before somebody else asks for one: a stranger may
    // have what nobody holds.
    eventually(what, || seats(dir) == [2, 2]);
    // Both seats are theirs again: nobody else sits down.
    let refused = || Channel::open(&name).map(drop).map_err(|e| e.kind());
    eventually(what, || refused() == Err(ErrorKind::InUse));
    converse(&mut end, 5);
    // And it is the name that leads to them: a successor finds the survivor.
    child.kill();
    assert!(end.recv_timeout(LONG).unwrap_err().is_peer_gone(), "{what}");
    let mut child = Child::start("echo", &[&name]);
    child.expect("open");
    converse(&mut end, 5);
    drop(end);
    child.expect("closed");
    child.finish();
}

fn objects_go_on(dir: &Path) {
    let map = MemoryMap::create_new("swept", 100).unwrap();
    let event = Event::create_new("swept-event", Reset::Auto).unwrap();
    let (map2, event2) = (map.try_clone().unwrap(), event.try_clone().unwrap());
    let anonymous = (MemoryMap::anonymous(1).unwrap(), Event::anonymous(Reset::Auto).unwrap());
    assert!(map.is_findable() && event.is_findable());
    assert!(!anonymous.0.is_findable() && !anonymous.1.is_findable());
    remove(dir, |name| name.starts_with("swept"));
    assert!(!map.is_findable() && !map2.is_findable());
    assert!(!event.is_findable() && !event2.is_findable());
    map.view().unwrap().write(0, "still").unwrap();
    assert_eq!(map2.view().unwrap().read::<[u8; 5]>(0).unwrap(), *b"still");
    event.set().unwrap();
    assert!(event2.try_wait().unwrap());
    assert_eq!(MemoryMap::open_existing("swept").unwrap_err().kind(), ErrorKind::NotFound);
    // The next holder of the name is not touched by the going of the old ones.
    let next = MemoryMap::create_new("swept", 7).unwrap();
    drop((map, map2, event, event2));
    assert!(next.is_findable());
    assert_eq!(MemoryMap::open_existing("swept").unwrap().len(), 7);
}

/// Where the lock file was swept, any one thing that somebody holds shows whose directory it is:
/// others still open what there is and make what is new. What nobody holds shows nothing.
fn the_lock_goes_from_beside_objects(dir: &Path) {
    let lock = dir.join(".lock");
    let works = |what: &str| {
        std::fs::remove_file(&lock).unwrap();
        let new = unique("beside");
        let made = MemoryMap::create_new(&new, 3).map(drop);
        assert!(made.is_ok(), "{what}: {made:?}");
        assert!(lock.exists(), "{what}");
    };
    let map = MemoryMap::create_new("alone", 100).unwrap();
    works("a map alone");
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(MemoryMap::open_existing("alone").unwrap().len(), 100);
    drop(map);
    // What a killed holder has left stands beside the living.
    let corpse = dir.join("corpse.map");
    let event = Event::create_new("alone", Reset::Auto).unwrap();
    works("an event alone");
    std::fs::write(&corpse, "left").unwrap();
    works("an event and a corpse");
    let end = Channel::open(&unique("beside")).unwrap();
    drop(event);
    std::fs::write(&corpse, "left").unwrap();
    works("a channel and a corpse");
    drop(end);
    eventually("the seat is free", || seats(dir) == [0, 0]);
    std::fs::write(&corpse, "left").unwrap();
    std::fs::remove_file(&lock).unwrap();
    let refused = MemoryMap::create_new("alone", 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    assert!(refused.to_string().contains("corpse.map"), "{refused}");
    assert_eq!(std::fs::read(&corpse).unwrap(), b"left");
    std::fs::remove_file(&corpse).unwrap();
}

#[test]
fn what_is_swept_goes_on_and_says_so() {
    let dir = TempDir::new("swept");
    let names = dir.0.join("names");
    let mut child = Child::start_with("swept", &["all", names.to_str().unwrap()], |c| {
        c.env("TWOCAN_DIR", &names);
    });
    child.expect("done");
    child.finish();
    trust(
        "swept",
        "7 sweeps under a live pair: it goes on, its name is taken back, and it says so; a lock \
         file swept from beside maps, events and channels comes back",
    );
}

#[test]
fn a_pair_has_no_name_to_be_found_by() {
    let (a, b) = Channel::pair().unwrap();
    assert!(!a.is_findable() && !b.is_findable());
}
