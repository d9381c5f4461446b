//! What a process has: descriptors, maps, threads, memory, and files in the directory.

use crate::files;
use crate::support::{LONG, eventually, say, unique};
use std::time::{Duration, Instant};
use twocan::{Channel, Event, MemoryMap, Reset};

/// Rounds before the first count: what is made once for a process is there then.
const WARM: u64 = 50;
/// Maps that the allocator and new stacks may add in the long run, whatever the number of rounds.
const MAPS_MORE: usize = 8;
/// The same for resident memory, in KiB.
const MEMORY_MORE: usize = 4 << 10;

#[derive(Debug, Clone, Copy)]
struct Household {
    fds: usize,
    threads: usize,
    maps: usize,
    memory: usize,
    files: usize,
}

impl Household {
    fn count() -> Household {
        let number = |path: &str| std::fs::read_dir(path).unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = memory.trim().trim_end_matches(" kB").parse().unwrap();
        let (fds, threads) = (number("/proc/self/fd"), number("/proc/self/task"));
        Household { fds, threads, maps, memory, files: files().len() }
    }

    fn is_within(&self, before: &Household) -> bool {
        self.fds <= before.fds
            && self.threads <= before.threads
            && self.maps <= before.maps + MAPS_MORE
            && self.memory <= before.memory + MEMORY_MORE
            && self.files == 0
    }
}

pub fn run(cycles: u64) {
    let names = [unique("map"), unique("event"), unique("channel")];
    let started = Instant::now();
    (0..WARM).for_each(|round| cycle(&names, round));
    let before = Household::count();
    (0..cycles).for_each(|round| cycle(&names, round));
    // What a thread closes for us is closed soon.
    let mut after = Household::count();
    eventually("it has no more than before", || {
        after = Household::count();
        after.is_within(&before) || {
            say(&format!("before {before:?}, after {cycles} rounds {after:?}"));
            std::thread::sleep(Duration::from_millis(200));
            false
        }
    });
    let time = started.elapsed().as_secs_f64();
    say(&format!("{cycles} rounds in {time:.1} s: before {before:?}, after {after:?}"));
    let more = |after: usize, before: usize| after.saturating_sub(before);
    say(&format!(
        "trust: open-close: {cycles} rounds of maps, events and channels: {} files, {} \
         descriptors, {} threads, {} maps, {} KiB more than before",
        after.files,
        more(after.fds, before.fds),
        more(after.threads, before.threads),
        more(after.maps, before.maps),
        more(after.memory, before.memory),
    ));
}

fn cycle([map, event, channel]: &[String; 3], round: u64) {
    let made = MemoryMap::create_new(map, 9000).unwrap();
    let found = MemoryMap::open_existing(map).unwrap();
    made.view().unwrap().write(0, "x").unwrap();
    drop((made, found));

    let made = Event::create_new(event, Reset::Auto).unwrap();
    Event::create_or_open(event, Reset::Auto).unwrap().set().unwrap();
    assert!(made.try_wait().unwrap());
    drop(made);

    let open = || Channel::options().send_capacity(4096).open(channel).unwrap();
    let (mut a, mut b) = match round % 3 {
        0 => Channel::options().send_capacity(4096).pair().unwrap(),
        _ => (open(), open()),
    };
    a.send("there").unwrap();
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"there");
    if round % 2 == 0 {
        b.receiver().ack();
        a.close().unwrap();
    } else {
        let (tx, rx) = a.into_split();
        drop(rx);
        tx.finish();
    }
    drop(b);
}
