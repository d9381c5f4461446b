//! Too little of something: descriptors, addresses, lockable memory, length of files, room on the
//! disk; and a directory that is not there, or cannot be written.

use crate::roles::{BRIEF, everything, report};
use crate::support::{Child, LONG, TempDir, am_root, eventually, listen, say, stay, unique};
use crate::{is_played, jail, skipped, trust};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::time::Duration;
use twocan::{Channel, Error, ErrorKind, Event, MemoryMap, RecvError, Reset};

/// nobody.
const OTHER: u32 = 65_534;

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["descriptors", spare] => descriptors(spare.parse().unwrap()),
        ["addresses", spare] => addresses(spare.parse().unwrap()),
        ["lengths", most] => lengths(most.parse().unwrap()),
        ["unlockable"] => {
            jail::limit(libc::RLIMIT_MEMLOCK, 0).unwrap();
            say(&report(&everything("m", LONG)));
        }
        ["full", path] => full(path),
        ["no more files", path] => no_more_files(path),
        ["read-only", path] => read_only(path),
        ["nothing but", "/tmp"] => no_shared_memory(),
        ["says", name] => say(&word(Channel::open(name).map(drop))),
        ["has no room", name] => no_room(name),
        ["is invited without room"] => {
            jail::limit(libc::RLIMIT_AS, (jail::status("VmSize") << 10) + (16 << 20)).unwrap();
            let mut end = Channel::options().send_capacity(4096).invited().unwrap();
            say(&format!("{:?}", end.recv_timeout(LONG).unwrap_err()));
        }
        ["spends all", name] => spends_all(name),
        _ => return false,
    }
    true
}

fn word<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|e| format!("{:?} {e}", e.kind()), |_| "ok".into())
}

/// Tries everything under a limit, and again without it: what failed has spoilt nothing.
fn under(what: libc::__rlimit_resource_t, most: u64, after: u64) {
    jail::limit(what, most).unwrap();
    let tried = everything("under", BRIEF);
    jail::limit(what, after).unwrap();
    say(&report(&tried));
    let again = report(&everything("again", LONG));
    assert!(again.split(' ').all(|w| w.ends_with("=ok")), "after {}: {again}", report(&tried));
}

fn descriptors(spare: u64) {
    let before = jail::descriptors();
    under(libc::RLIMIT_NOFILE, jail::next_descriptor() + spare, 1024);
    // The watcher keeps three: its set, its alarm, its names.
    eventually("all others are closed", || jail::descriptors() <= before + 3);
}

fn addresses(spare: u64) {
    // What the test program itself needs for its words.
    drop(vec![1_u8; 1 << 16]);
    under(libc::RLIMIT_AS, (jail::status("VmSize") << 10) + spare, libc::RLIM_INFINITY);
}

fn lengths(most: u64) {
    under(libc::RLIMIT_FSIZE, most, libc::RLIM_INFINITY);
}

/// Runs a role in directories of its own until everything goes; how many runs were short.
fn sweep(role: &str, steps: impl Iterator<Item = u64>) -> (u32, u32) {
    let (mut short, mut runs) = (0, 0);
    for step in steps {
        let dir = TempDir::new("short");
        let names = dir.0.join("names");
        let mut child = Child::start_with("shortage", &[role, &step.to_string()], |c| {
            c.env("TWOCAN_DIR", &names);
        });
        let said = child.hear();
        assert!(!said.is_empty(), "{role}: with {step} the child died");
        child.finish();
        let left = std::fs::read_dir(&names).into_iter().flatten();
        let left: Vec<_> = left.map(|e| e.unwrap().file_name()).filter(|n| n != ".lock").collect();
        assert!(left.is_empty(), "{role}: with {step} stays {left:?}");
        runs += 1;
        if said.split(' ').any(|w| !w.ends_with("=ok")) {
            println!("{role} {step}: {said}");
            short += 1;
        }
    }
    (runs, short)
}

#[test]
fn out_of_descriptors_at_every_point() {
    let (runs, short) = sweep("descriptors", 0..48);
    assert!(short > 20 && short < runs, "{short} of {runs}");
    trust(
        "no-descriptors",
        format!("{runs} limits, {short} met: errors, nothing left, works again"),
    );
}

#[test]
fn out_of_addresses() {
    // Down to where a program has no heap, and hence no chance: that is not tried.
    let steps = [256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 65536];
    let (runs, short) = sweep("addresses", steps.into_iter().map(|kib| kib << 10));
    assert!(short > 2, "{short} of {runs}");
    trust("no-addresses", format!("{runs} limits, {short} met: errors, nothing left, works again"));
}

#[test]
fn files_may_not_be_long() {
    // The system's own answer to this is a signal.
    let (runs, short) = sweep("lengths", [0, 1, 20, 4095, 4096, 50_000, 1 << 20].into_iter());
    assert!(short > 4, "{short} of {runs}");
    trust("short-files", format!("{runs} limits, {short} met: errors, no SIGXFSZ"));
}

#[test]
fn nothing_needs_locked_memory() {
    let dir = TempDir::new("unlockable");
    let names = dir.0.join("names");
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut child = Child::start_with("shortage", &["unlockable"], |c| {
        c.env("TWOCAN_DIR", &names);
        // Root may lock what it likes.
        if am_root() {
            c.uid(OTHER).gid(OTHER);
        }
    });
    let said = child.hear();
    assert!(said.split(' ').all(|w| w.ends_with("=ok")), "{said}");
    child.finish();
}

/// The newcomer of `rough_seas` is short; here it is the one who sits.
#[test]
fn an_end_without_descriptors_meets_its_peer_when_it_has_some_again() {
    let name = unique("spent");
    let mut child = Child::start("shortage", &["spends all", &name]);
    child.expect("spent");
    let end = Channel::open(&name).unwrap();
    assert!(end.wait_peer(Duration::from_millis(300)).is_err());
    child.tell("let go");
    end.wait_peer(LONG).unwrap();
    child.expect("met");
}

fn spends_all(name: &str) {
    let end = Channel::open(name).unwrap();
    jail::limit(libc::RLIMIT_NOFILE, jail::next_descriptor()).unwrap();
    say("spent");
    listen();
    jail::limit(libc::RLIMIT_NOFILE, 1024).unwrap();
    end.wait_peer(LONG).unwrap();
    say("met");
    stay();
}

#[test]
fn who_has_no_room_for_the_others_ring_accuses_nobody() {
    let name = unique("room");
    let mut end = Channel::options().send_capacity(64 << 20).open(&name).unwrap();
    let mut child = Child::start("shortage", &["has no room", &name]);
    child.expect("nobody came");
    child.expect("met");
    end.send("large").unwrap();
    child.expect("large");
    child.finish();
    // An invitation is for once: it is over, and not because the other side misbehaved.
    let mut options = Channel::options();
    let (_end, mut invitation) = options.send_capacity(64 << 20).invite().unwrap();
    let mut child = Child::start_with("shortage", &["is invited without room"], |command| {
        invitation.attach(command).unwrap();
    });
    child.expect("PeerClosed");
    child.finish();
}

fn no_room(name: &str) {
    jail::limit(libc::RLIMIT_AS, (jail::status("VmSize") << 10) + (16 << 20)).unwrap();
    let mut end = Channel::options().send_capacity(4096).open(name).unwrap();
    assert_eq!(end.recv_timeout(Duration::from_secs(1)).unwrap_err(), RecvError::TimedOut);
    say("nobody came");
    jail::limit(libc::RLIMIT_AS, libc::RLIM_INFINITY).unwrap();
    end.wait_peer(LONG).unwrap();
    say("met");
    say(end.recv_timeout(LONG).unwrap().to_str().unwrap());
    stay();
}

// ---- the disk ----

/// Plays a role that mounts something, for a row; says why if it cannot.
fn mounted(
    row: &str,
    role: &str,
    path: &str,
    change: impl FnOnce(&mut std::process::Command),
) -> bool {
    is_played(row, Child::start_with("shortage", &[role, path], change))
}

fn memory_at(path: &str, options: &str) -> bool {
    let made = std::fs::create_dir_all(path)
        .and_then(|()| jail::own_mounts())
        .and_then(|()| jail::mount_memory(path, options));
    match made {
        Ok(()) => true,
        Err(e) => {
            say(&format!("skip a file system cannot be mounted: {e}"));
            false
        }
    }
}

#[test]
fn a_disk_that_is_full_to_the_last_page() {
    let dir = TempDir::new("pages");
    let path = dir.0.join("names");
    let path = path.to_str().unwrap().to_owned();
    if mounted("full-disk", "full", &path, |c| {
        c.env("TWOCAN_DIR", &path);
    }) {
        trust("full-disk", "1 MiB with 0 to 12 pages free: errors, no SIGBUS, nothing left");
    }
}

fn full(path: &str) {
    if !memory_at(path, "size=1m,mode=0700") {
        return;
    }
    drop(Channel::open("first").unwrap()); // the lock file is there
    let filler = std::path::Path::new(path).join("filler");
    let mut kinds = Vec::new();
    for free in 0..=12 {
        let _ = std::fs::remove_file(&filler);
        let file = std::fs::File::create(&filler).unwrap();
        use std::os::fd::AsRawFd;
        while fallocate(file.as_raw_fd(), 4096) {}
        let full = file.metadata().unwrap().len();
        file.set_len(full - free * 4096).unwrap();
        let tried = everything(&format!("page{free}"), LONG);
        kinds.push(report(&tried));
        let map = tried.iter().find(|(what, _)| *what == "map").unwrap();
        if let Err(e) = &map.1 {
            assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
        }
        let seat = tried.iter().find(|(what, _)| *what == "open").unwrap();
        if let Err(e) = &seat.1 {
            assert_eq!(e.kind(), ErrorKind::NoSpace, "{e}");
            assert!(e.to_string().contains(path), "{e}");
        }
        let count = std::fs::read_dir(path).unwrap().count();
        assert_eq!(count, 2, "only the lock and the filler are there: {kinds:?}");
    }
    assert!(kinds[0].contains("event=NoSpace") && kinds[0].contains("open=NoSpace"), "{kinds:?}");
    assert!(kinds[0].contains(" pair=ok"), "regions lie elsewhere: {kinds:?}");
    assert!(kinds[12].split(' ').all(|w| w.ends_with("=ok")), "{kinds:?}");
    live_pair_on_a_full_disk(&filler);
    say("done");
}

fn fallocate(file: i32, more: i64) -> bool {
    // SAFETY: no memory; the file is the caller's.
    unsafe {
        let end = libc::lseek(file, 0, libc::SEEK_END);
        libc::posix_fallocate(file, end, more) == 0
    }
}

/// Once open, a pair needs nothing of the disk.
fn live_pair_on_a_full_disk(filler: &std::path::Path) {
    let _ = std::fs::remove_file(filler);
    let (mut a, mut b) = (Channel::open("live").unwrap(), Channel::open("live").unwrap());
    let file = std::fs::File::create(filler).unwrap();
    use std::os::fd::AsRawFd;
    while fallocate(file.as_raw_fd(), 4096) {}
    let long = vec![7_u8; 3 << 20];
    let reader = std::thread::spawn(move || b.recv_timeout(LONG).unwrap().len());
    a.send_timeout(&long, LONG).unwrap();
    assert_eq!(reader.join().unwrap(), long.len());
}

#[test]
fn a_disk_without_room_for_one_more_file() {
    let dir = TempDir::new("inodes");
    let path = dir.0.join("names");
    let path = path.to_str().unwrap().to_owned();
    if mounted("no-inodes", "no more files", &path, |c| {
        c.env("TWOCAN_DIR", &path);
    }) {
        trust("no-inodes", "a disk for 2 to 9 files: errors, nothing left");
    }
}

fn no_more_files(path: &str) {
    if !memory_at(path, "size=1m,mode=0700,nr_inodes=2") {
        return;
    }
    let mut reports = Vec::new();
    for files in 2..10 {
        let options = format!("nr_inodes={files}");
        jail::mount(None, path, None, libc::MS_REMOUNT, Some(&options)).unwrap();
        reports.push(report(&everything(&format!("n{files}"), LONG)));
        for file in std::fs::read_dir(path).unwrap() {
            assert_eq!(file.unwrap().file_name(), ".lock", "{reports:?}");
        }
    }
    assert!(reports[0].contains(" event=NoSpace") && reports[0].contains("open=NoSpace"));
    assert!(reports.last().unwrap().split(' ').all(|w| w.ends_with("=ok")), "{reports:?}");
    say("done");
}

#[test]
fn a_read_only_directory_is_an_error_that_names_it() {
    let dir = TempDir::new("fixed");
    let path = dir.0.join("names");
    let path = path.to_str().unwrap().to_owned();
    if mounted("read-only", "read-only", &path, |c| {
        c.env("TWOCAN_DIR", &path);
    }) {
        trust("read-only", "errors that name the directory; a live pair goes on");
    }
}

fn read_only(path: &str) {
    if !memory_at(path, "size=1m,mode=0700") {
        return;
    }
    let remount = |flag| {
        let flags = libc::MS_REMOUNT | flag;
        jail::mount(None, path, None, flags, Some("size=1m,mode=0700"))
    };
    let check = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        let text = error.to_string();
        assert!(text.contains(path) && text.contains("TWOCAN_DIR"), "{text}");
    };
    let all_refused = || {
        check(Channel::open("x").unwrap_err());
        check(MemoryMap::create_new("x", 1).unwrap_err());
        check(MemoryMap::open_existing("x").unwrap_err());
        check(Event::create_or_open("x", Reset::Auto).unwrap_err());
    };
    remount(libc::MS_RDONLY).unwrap();
    all_refused();
    remount(0).unwrap();
    let (mut a, mut b) = (Channel::open("live").unwrap(), Channel::open("live").unwrap());
    // A file system with open files cannot be made read-only: another one is put on top of it.
    jail::mount(Some("tmpfs"), path, Some("tmpfs"), libc::MS_RDONLY, Some("mode=0700")).unwrap();
    all_refused();
    assert!(!a.is_findable());
    a.send("still").unwrap();
    assert_eq!(&*b.recv_timeout(LONG).unwrap(), b"still");
    drop(a);
    assert!(b.recv_timeout(LONG).unwrap_err().is_peer_gone());
    drop(b);
    jail::unmount(path).unwrap();
    drop(Channel::open("live").unwrap());
    let left = std::fs::read_dir(path).unwrap().count();
    assert_eq!(left, 1, "only the lock");
    say("done");
}

#[test]
fn a_directory_without_the_right_to_write_names_itself() {
    if !am_root() {
        return skipped("read-only", "only root can act as another user");
    }
    let dir = TempDir::new("mine");
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let names = dir.0.join("names");
    let ask = |role: &[&str]| {
        let mut child = Child::start_with("shortage", role, |c| {
            c.env("TWOCAN_DIR", &names).uid(OTHER).gid(OTHER);
        });
        let said = child.hear();
        child.finish();
        said
    };
    // It cannot be made,
    let said = ask(&["says", "x"]);
    assert!(said.starts_with("PermissionDenied cannot make "), "{said}");
    assert!(said.contains("names: permission denied") && said.contains("TWOCAN_DIR"), "{said}");
    // or nothing can be made in it.
    std::fs::create_dir(&names).unwrap();
    std::os::unix::fs::chown(&names, Some(OTHER), None).unwrap();
    std::fs::set_permissions(&names, std::fs::Permissions::from_mode(0o500)).unwrap();
    let said = ask(&["says", "x"]);
    assert!(said.starts_with("PermissionDenied cannot lock "), "{said}");
    assert!(said.contains("names: permission denied") && said.contains("TWOCAN_DIR"), "{said}");
}

#[test]
fn without_shared_memory_names_live_in_tmp() {
    if mounted("no-dev-shm", "nothing but", "/tmp", |c| {
        c.env_remove("TWOCAN_DIR");
    }) {
        trust("no-dev-shm", "names in /tmp, everything works");
    }
}

fn no_shared_memory() {
    // /dev itself is covered: there is no /dev/shm any more.
    let covered = jail::own_mounts()
        .and_then(|()| jail::mount_memory("/dev", "size=64k,mode=0755"))
        .and_then(|()| jail::mount_memory("/tmp", "size=8m,mode=1777"));
    if let Err(e) = covered {
        return say(&format!("skip a file system cannot be mounted: {e}"));
    }
    assert!(!std::path::Path::new("/dev/shm").exists());
    let all = report(&everything("tmp", LONG));
    assert!(all.split(' ').all(|w| w.ends_with("=ok")), "{all}");
    let held = MemoryMap::create_new("here", 1).unwrap();
    // SAFETY: no memory.
    let me = unsafe { libc::geteuid() };
    assert!(std::path::Path::new(&format!("/tmp/twocan-{me}/here.map")).exists());
    drop(held);
    // A system without any place at all.
    jail::mount(None, "/tmp", None, libc::MS_REMOUNT | libc::MS_RDONLY, None).unwrap();
    let error = MemoryMap::create_new("here", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    say("done");
}
