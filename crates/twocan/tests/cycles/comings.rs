//! Kills in the middle of making, opening, answering and closing.

use crate::chance::Chance;
use crate::files;
use crate::support::{LONG, say, unique};
use crate::zygote::{Zygote, pipe, strike};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use twocan::{Channel, ErrorKind, Event, MemoryMap, Reset};

/// What a victim does until it is killed, over and over. Both ends of each kind of object, alone
/// and together with this process.
const WAYS: [&str; 5] = ["map", "event", "channel", "newcomer", "host"];
const LEN: u64 = 5000;

/// The victim.
pub fn play(words: &[&str], fds: Vec<OwnedFd>) {
    let [way, name] = *words else { panic!("no such role: {words:?}") };
    let [report] = <[OwnedFd; 1]>::try_from(fds).expect("a pipe");
    let mut tell = Some(std::fs::File::from(report));
    let mut host = None;
    let mut went_round = || {
        if let Some(mut pipe) = tell.take() {
            pipe.write_all(&[1]).unwrap();
        }
    };
    loop {
        match way {
            "map" => {
                // The name may be the other's for the moment.
                if let Ok(map) = MemoryMap::create_new(name, LEN) {
                    map.view().unwrap().write(0, "not zero").unwrap();
                    drop(MemoryMap::open_existing(name));
                }
                drop(MemoryMap::create_or_open(name, LEN));
            }
            "event" => {
                if let Ok(event) = Event::create_new(name, Reset::Manual) {
                    event.set().unwrap();
                    drop(Event::open_existing(name));
                }
                drop(Event::create_or_open(name, Reset::Auto));
            }
            "host" => {
                // It stays, and answers whoever comes.
                let end = host.get_or_insert_with(|| open(name).expect("nobody else is there"));
                let _ = end.recv_timeout(Duration::from_millis(1));
            }
            _ => {
                if let Ok(mut end) = open(name) {
                    let _ = end.try_send("on the way");
                }
            }
        }
        went_round();
    }
}

fn open(name: &str) -> twocan::Result<Channel> {
    Channel::options().send_capacity(4096).open(name)
}

pub fn kill_all(kills: u64, seed: u64) {
    let dir = std::env::var_os("TWOCAN_DIR").expect("set by the test");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (number, way) in WAYS.into_iter().enumerate() {
            let mut chance = Chance::new(seed ^ (number as u64) << 56);
            let dir = &dir;
            scope.spawn(move || {
                let (zygote, name) = (Zygote::start(dir.as_ref()), unique(way));
                (0..kills).for_each(|_| kill_one(&zygote, way, &name, &mut chance));
            });
        }
    });
    assert_eq!(files(), Vec::<String>::new());
    let (ways, time) = (WAYS.len() as u64, started.elapsed().as_secs_f64());
    say(&format!("{} kills in {time:.1} s", kills * ways));
    say(&format!(
        "trust: kill-open-close: {kills} kills in each of {ways} ways of making, opening, \
         answering and closing, always opened again, 0 files left"
    ));
}

fn kill_one(zygote: &Zygote, way: &str, name: &str, chance: &mut Chance) {
    let (mut report, theirs) = {
        let (ours, theirs) = pipe();
        (std::fs::File::from(ours), theirs)
    };
    let beside = way == "newcomer" || chance.percent(50);
    let here = (way == "newcomer").then(|| open(name).unwrap());
    let pid = zygote.spawn(&[way, name], &[theirs.as_fd()]);
    drop(theirs);
    // In its first round, or in a later one.
    if way == "host" || chance.percent(50) {
        report.read_exact(&mut [0]).expect("the victim goes round");
    }
    let end = Instant::now() + Duration::from_micros(chance.below(2500));
    while Instant::now() < end {
        if beside { meet(way, name) } else { std::hint::spin_loop() }
    }
    strike(pid);
    if beside {
        meet(way, name);
    }
    zygote.reap(pid);
    drop(here);
    if chance.percent(50) {
        find_nothing(way, name);
    }
    open_again(way, name);
    let stem = name.trim_start_matches("t-");
    let left: Vec<String> = files().into_iter().filter(|file| file.contains(stem)).collect();
    assert_eq!(left, Vec::<String>::new(), "{way}");
}

/// This process is at the same name.
fn meet(way: &str, name: &str) {
    match way {
        "map" => {
            if let Ok(map) = MemoryMap::open_existing(name) {
                assert_eq!(map.len(), LEN, "never seen half-made");
            }
        }
        "event" => drop(Event::open_existing(name)),
        "host" => drop(open(name)),
        _ => std::thread::sleep(Duration::from_micros(20)),
    }
}

/// The dead one's object is nobody's.
fn find_nothing(way: &str, name: &str) {
    let found = match way {
        "map" => MemoryMap::open_existing(name).map(drop),
        "event" => Event::open_existing(name).map(drop),
        _ => return, // there is no way to look for a channel without sitting down
    };
    assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
}

/// The next one finds nothing in its way, and nothing of the dead one.
fn open_again(way: &str, name: &str) {
    match way {
        "map" => {
            let map = MemoryMap::create_new(name, LEN).unwrap();

            let bytes: [u8; 8] = map.view().unwrap().read(0).unwrap();
            assert_eq!(bytes, [0; 8]);
            assert!(!MemoryMap::open_existing(name).unwrap().was_created());
        }
        "event" => {
            let event = Event::create_new(name, Reset::Auto).unwrap();
            assert!(!event.try_wait().unwrap());
            Event::open_existing(name).unwrap().set().unwrap();
            assert!(event.try_wait().unwrap());
        }
        _ => {
            let (mut a, mut b) = (open(name).unwrap(), open(name).unwrap());
            a.send("there").unwrap();
            assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"there");
            b.send("and back").unwrap();
            assert_eq!(&*a.recv_timeout(LONG).unwrap(), b"and back");
        }
    }
}
