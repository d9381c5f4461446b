//! Other users of the machine: Mallory cannot open, occupy, remove or overhear what is Alice's;
//! Bob, whom she lets in, can. Users by number: none of them needs an account.

use crate::roles::{again, converse, leave_with_the_input};
use crate::support::{Child, TempDir, am_root, say, stay, unique};
use crate::{is_played, jail, skipped, trust};
use std::fmt::Write;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use twocan::{Channel, Error, Event, MemoryMap, Reset, Scope, Sharing, Spin};

pub const ALICE: u32 = 61_001;
pub const BOB: u32 = 61_002;
pub const MALLORY: u32 = 61_003;
/// A group that every system has. All users act as its members but Mallory, who is in none.
pub const GROUP: &str = "users";

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["holds", name, sharing] => holds(name, sharing),
        ["tries", name, sharing] => tries(name, sharing),
        ["talks", name, sharing] => {
            let mut end = options(sharing).open(name).unwrap();
            converse(&mut end, 50);
            assert!(MemoryMap::options().sharing(shared(sharing)).open_existing(name).is_ok());
            let event =
                Event::options(Reset::Auto).sharing(shared(sharing)).open_existing(&event(name));
            event.unwrap().set().unwrap();
            say(&format!("user {:?}", end.peer().unwrap().user()));
        }
        ["meets", name, sharing] => {
            let mut end = options(sharing).open(name).unwrap();
            converse(&mut end, 50);
            say(&format!("user {:?}", end.peer().unwrap().user()));
        }
        ["sits", name, sharing] => {
            let mut end = options(sharing).open(name).unwrap();
            say("open");
            leave_with_the_input();
            loop {
                if let Ok(message) = end.recv() {
                    end.send(&*message).unwrap();
                }
            }
        }
        ["breaks in", dir, pid] => say(&break_in(Path::new(dir), pid)),
        ["puts", kind, path] => put(kind, Path::new(path)),
        ["occupied"] => occupied(),
        _ => return false,
    }
    true
}

/// A number is that of the one user who is let in; the user's name stands behind a prefix.
pub fn shared(with: &str) -> Sharing {
    match with {
        user if user.bytes().all(|b| b.is_ascii_digit()) => Sharing::User(user.to_owned()),
        user if user.starts_with("user:") => Sharing::User(user["user:".len()..].to_owned()),
        "me" | "own" => Sharing::CurrentUser,
        "all" => Sharing::Everyone,
        group => Sharing::Group(group.to_owned()),
    }
}

/// What is the user's own lies in the user's own directory; all else, in that of the machine.
fn scope(with: &str) -> Scope {
    if with == "own" { Scope::Session } else { Scope::Machine }
}

pub fn options(with: &str) -> twocan::ChannelOptions {
    let mut options = Channel::options();
    options.scope(scope(with)).sharing(shared(with)).spin(Spin::Never);
    options
}

pub fn event(name: &str) -> String {
    format!("{name}-event")
}

/// One of each, and an end that answers.
fn holds(name: &str, with: &str) {
    let map = MemoryMap::options().scope(Scope::Machine).sharing(shared(with)).create_new(name, 64);
    let map = map.unwrap();
    map.view().unwrap().write(0, "secret").unwrap();
    let mut events = Event::options(Reset::Auto);
    let _event =
        events.scope(Scope::Machine).sharing(shared(with)).create_new(&event(name)).unwrap();
    let mut end = options(with).open(name).unwrap();
    say("held");
    let over = std::sync::Arc::new(AtomicBool::new(false));
    let told = over.clone();
    std::thread::spawn(move || {
        stay();
        told.store(true, Ordering::Relaxed);
    });
    // It goes in peace: a corpse could be removed by its owner only.
    while !over.load(Ordering::Relaxed) {
        if let Ok(message) = end.recv_timeout(Duration::from_millis(20)) {
            end.send(&*message).unwrap();
        }
    }
}

/// Asks for everything, and says what came of it, one error a line.
fn tries(name: &str, with: &str) {
    let tried = |what: &str, result: Result<(), Error>| match result {
        Ok(()) => say(&format!("{what} ok")),
        Err(e) => say(&format!("{what} {:?} {}", e.kind(), e.to_string().replace('\n', " "))),
    };
    let mut maps = MemoryMap::options();
    maps.scope(scope(with)).sharing(shared(with));
    let mut events = Event::options(Reset::Auto);
    events.scope(scope(with)).sharing(shared(with));
    tried("open-map", maps.open_existing(name).map(drop));
    tried("make-map", maps.create_new(name, 1).map(drop));
    tried("any-map", maps.create_or_open(name, 1).map(drop));
    tried("open-event", events.open_existing(&event(name)).map(drop));
    tried("make-event", events.create_new(&event(name)).map(drop));
    let met = |end: Channel| end.wait_peer(Duration::from_millis(300)).map(drop);
    tried("channel", options(with).open(name).and_then(met));
    say("tried");
}

/// With the hands, not with the library: everything the system might allow.
fn break_in(dir: &Path, pid: &str) -> String {
    let mut done = String::new();
    let files: Vec<PathBuf> = match std::fs::read_dir(dir) {
        Ok(files) => files.map(|f| f.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    for path in &files {
        let lock = path.ends_with(".lock");
        let is_socket = std::fs::metadata(path).is_ok_and(|m| m.file_type().is_socket());
        let mut did = |what, worked| {
            if worked && !(lock && what == "read") {
                let _ = write!(done, "{what} {} ", path.display());
            }
        };
        did("read", std::fs::read(path).is_ok());
        did("connected to", is_socket && seqpacket(path).is_ok());
        did("wrote", !lock && std::fs::OpenOptions::new().write(true).open(path).is_ok());
        did("opened up", std::fs::set_permissions(path, Permissions::from_mode(0o777)).is_ok());
        did("moved", std::fs::rename(path, dir.join("mine")).is_ok());
        did("removed", std::fs::remove_file(path).is_ok());
    }
    let process = PathBuf::from("/proc").join(pid);
    if std::fs::read_dir(process.join("fd")).is_ok() {
        done.push_str("saw descriptors ");
    }
    if std::fs::File::open(process.join("mem")).is_ok() {
        done.push_str("opened memory ");
    }
    if std::fs::remove_dir(dir).is_ok() || std::fs::rename(dir, dir.with_extension("x")).is_ok() {
        done.push_str("took the directory ");
    }
    format!("{} files: {}", files.len(), if done.is_empty() { "nothing" } else { done.trim() })
}

fn seqpacket(path: &Path) -> io::Result<()> {
    // A stream does not fit a socket of packets: refused in another way than for want of rights.
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(e),
        _ => Ok(()),
    }
}

fn put(kind: &str, path: &Path) {
    let _ = std::fs::remove_file(path);
    let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    match kind {
        "link" => symlink("/etc/passwd", path).unwrap(),
        "file" => std::fs::write(path, "mine").unwrap(),
        "open file" => {
            std::fs::write(path, "mine").unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        }
        "directory" => std::fs::create_dir(path).unwrap(),
        "pipe" => {
            // SAFETY: a C string that lives through the call.
            assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o666) }, 0);
        }
        "socket" => {
            let socket = std::os::unix::net::UnixDatagram::bind(path).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
            say("put");
            stay();
            return drop(socket);
        }
        _ => panic!("{kind}?"),
    }
    say("put");
    stay();
}

// ---- the stage ----

pub struct Stage {
    pub dir: TempDir,
    pub name: String,
}

impl Stage {
    /// A machine's shared directory, and one of Alice's own, for a row. `None` = not possible here.
    pub fn new(row: &str) -> Option<Stage> {
        if !am_root() {
            skipped(row, "only root can act as several users");
            return None;
        }
        let exe = std::env::current_exe().unwrap();
        let closed = |p: &&Path| !std::fs::metadata(p).is_ok_and(|m| m.mode() & 0o005 == 0o005);
        if let Some(part) = exe.ancestors().find(closed) {
            let (exe, part) = (exe.display(), part.display());
            skipped(row, &format!("other users cannot run {exe} ({part})"));
            return None;
        }
        let dir = TempDir::new("users");
        std::fs::set_permissions(&dir.0, Permissions::from_mode(0o755)).unwrap();
        for (part, owner, mode) in [("machine", 0, 0o1777), ("alice", ALICE, 0o700)] {
            let path = dir.0.join(part);
            std::fs::create_dir(&path).unwrap();
            chown(&path, Some(owner), Some(owner)).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        Some(Stage { dir, name: unique("users") })
    }

    pub fn machine(&self) -> PathBuf {
        self.dir.0.join("machine")
    }

    fn start_in(&self, dir: &Path, user: u32, role: &[&str]) -> Child {
        let group = if user == MALLORY { MALLORY } else { group_id() };
        let (room, role) = match *role {
            ["guest", ref role @ ..] => ("guest", role),
            ref role => ("users", role),
        };
        Child::start_with(room, role, |c| {
            c.env("TWOCAN_DIR", dir).uid(user).gid(group);
        })
    }

    pub fn start(&self, user: u32, role: &[&str]) -> Child {
        self.start_in(&self.dir.0, user, role)
    }

    /// All answers of `tries`.
    pub fn tries(&self, dir: &Path, user: u32, with: &str) -> Vec<String> {
        let mut child = self.start_in(dir, user, &["tries", &self.name, with]);
        let mut said = Vec::new();
        loop {
            match child.hear().as_str() {
                "tried" => break,
                "" => panic!("the child died after {said:?}"),
                line => said.push(line.to_owned()),
            }
        }
        child.finish();
        said
    }

    fn breaks_in(&self, dir: &Path, victim: &Child) -> String {
        self.breaks_in_as(MALLORY, dir, victim)
    }

    pub fn breaks_in_as(&self, user: u32, dir: &Path, victim: &Child) -> String {
        let pid = victim.pid().to_string();
        let mut child = self.start(user, &["breaks in", dir.to_str().unwrap(), &pid]);
        let said = child.hear();
        child.finish();
        said
    }
}

pub fn group_id() -> u32 {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(GROUP)?.strip_prefix(':'));
    line.and_then(|l| l.split(':').nth(1)?.parse().ok()).unwrap_or(ALICE)
}

/// Everything was refused, and every refusal names something below `dir`.
pub fn all_refused(said: &[String], dir: &Path) {
    assert_eq!(said.len(), 6, "{said:?}");
    for line in said {
        assert!(!line.ends_with(" ok"), "{said:?}");
        // One may see that it exists, where it is open to all.
        let exists = line.starts_with("make-") && line.contains(" AlreadyExists ");
        let named = line.contains(" ForeignOwner ") && line.contains(dir.to_str().unwrap());
        assert!(exists || named, "{line}");
    }
}

// ---- the stories ----

#[test]
fn a_users_own_directory_is_closed_to_others() {
    let Some(stage) = Stage::new("private-directory") else { return };
    let own = stage.dir.0.join("alice");
    let mut child = Child::start_with("echo", &[&stage.name], |c| {
        c.env("TWOCAN_DIR", &own).uid(ALICE).gid(ALICE);
    });
    child.expect("open");
    // To the library of another user the whole directory is somebody else's.
    all_refused(&stage.tries(&own, MALLORY, "own"), &own);
    assert_eq!(stage.breaks_in(&own, &child), "0 files: nothing");
    child.finish();
    trust("private-directory", "another uid opens, lists, removes and overhears nothing");
}

#[test]
fn in_the_shared_directory_each_users_objects_are_their_own() {
    let Some(stage) = Stage::new("shared-directory") else { return };
    let mut alice = stage.start(ALICE, &["holds", &stage.name, "me"]);
    alice.expect("held");
    for with in ["me", "all"] {
        all_refused(&stage.tries(&stage.dir.0, MALLORY, with), &stage.machine());
    }
    let did = stage.breaks_in(&stage.machine(), &alice);
    assert_eq!(did, "5 files: nothing", "the lock, a map, an event, a seat and its record");
    // Alice herself is let in.
    let said = stage.tries(&stage.dir.0, ALICE, "me");
    assert!(said.contains(&"open-map ok".to_owned()), "{said:?}");
    assert!(said.contains(&"channel ok".to_owned()), "{said:?}");
    alice.finish();
    trust("shared-directory", "another uid opens, removes and overhears nothing of a user's own");
}

#[test]
fn what_mallory_holds_is_not_taken_for_alices() {
    let Some(stage) = Stage::new("squatting") else { return };
    for with in ["me", "all"] {
        let mut mallory = stage.start(MALLORY, &["holds", &stage.name, with]);
        mallory.expect("held");
        all_refused(&stage.tries(&stage.dir.0, ALICE, "me"), &stage.machine());
        mallory.finish();
    }
    trust("squatting", "a foreign map, event or seat under the name is refused by its path");
}

#[test]
fn things_in_the_way_are_refused_by_their_path() {
    let Some(stage) = Stage::new("in-the-way") else { return };
    let machine = stage.machine();
    drop(stage.tries(&stage.dir.0, ALICE, "me")); // the lock is Alice's
    let hash = fnv1a(stage.name.as_bytes());
    let places = [
        (format!("{}.map", stage.name), "map"),
        (format!("{}.map", event(&stage.name)), "event"),
        (format!("{}.event", event(&stage.name)), "event"),
        (format!("ch-{hash:032x}.0"), "channel"),
        (format!("ch-{hash:032x}.0.seat"), "channel"),
    ];
    let mut put = 0;
    for (file, concerns) in &places {
        for kind in ["link", "file", "open file", "directory", "pipe", "socket"] {
            let path = machine.join(file);
            let mut mallory = stage.start(MALLORY, &["puts", kind, path.to_str().unwrap()]);
            mallory.expect("put");
            let said = stage.tries(&stage.dir.0, ALICE, "me");
            let said: Vec<_> = said.iter().filter(|l| l.contains(concerns)).collect();
            assert!(!said.is_empty());
            for line in said {
                assert!(!line.contains(" ok"), "{kind} at {file}: {line}");
                assert!(line.contains(file.as_str()), "{kind} at {file}: {line}");
                assert!(line.contains(" ForeignOwner "), "{kind} at {file}: {line}");
            }
            assert!(path.symlink_metadata().is_ok(), "{kind} at {file} is still there");
            mallory.finish();
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_dir(&path);
            put += 1;
        }
    }
    trust("in-the-way", format!("{put} foreign links, files, pipes, sockets: refused by name"));
}

#[test]
fn a_foreign_lock_file_is_named() {
    let Some(stage) = Stage::new("in-the-way") else { return };
    let lock = stage.machine().join(".lock");
    for kind in ["link", "file", "directory", "socket"] {
        let mut mallory = stage.start(MALLORY, &["puts", kind, lock.to_str().unwrap()]);
        mallory.expect("put");
        for line in stage.tries(&stage.dir.0, ALICE, "me") {
            assert!(line.contains(lock.to_str().unwrap()), "{kind}: {line}");
            assert!(line.contains(" ForeignOwner "), "{kind}: {line}");
        }
        mallory.finish();
        let _ = std::fs::remove_file(&lock);
        let _ = std::fs::remove_dir(&lock);
    }
}

/// As the library does; the file's name is part of the protocol.
pub fn fnv1a(bytes: &[u8]) -> u128 {
    const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, b: &u8| (hash ^ u128::from(*b)).wrapping_mul(PRIME);
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)
}

#[test]
fn a_group_is_let_in_and_nobody_else() {
    let Some(stage) = Stage::new("group") else { return };
    if group_id() == ALICE {
        return skipped("group", &format!("there is no group {GROUP}"));
    }
    let mut alice = stage.start(ALICE, &["holds", &stage.name, GROUP]);
    alice.expect("held");
    let mut bob = stage.start(BOB, &["talks", &stage.name, GROUP]);
    bob.expect(&format!("user Some({ALICE})"));
    bob.finish();
    for with in ["me", "all", GROUP] {
        if with != GROUP {
            all_refused(&stage.tries(&stage.dir.0, MALLORY, with), &stage.machine());
            continue;
        }
        for line in stage.tries(&stage.dir.0, MALLORY, with) {
            assert!(!line.ends_with(" ok"), "{line}");
        }
    }
    assert_eq!(stage.breaks_in(&stage.machine(), &alice), "5 files: nothing");
    alice.finish();
    // Mallory comes first, opens everything to everybody, and waits for the group to come in.
    let mut mallory = stage.start(MALLORY, &["holds", &stage.name, "all"]);
    mallory.expect("held");
    all_refused(&stage.tries(&stage.dir.0, ALICE, GROUP), &stage.machine());
    mallory.finish();
    trust("group", "a member of the group talks; outsiders neither enter nor pose as members");
}

#[test]
fn everyone_is_let_in_by_an_option() {
    let Some(stage) = Stage::new("everyone") else { return };
    let mut alice = stage.start(ALICE, &["holds", &stage.name, "all"]);
    alice.expect("held");
    let mut mallory = stage.start(MALLORY, &["talks", &stage.name, "all"]);
    mallory.expect(&format!("user Some({ALICE})"));
    mallory.finish();
    alice.finish();
    let mut alice = stage.start(ALICE, &["holds", &stage.name, "all"]);
    alice.expect("held");
    alice.finish();
    trust("everyone", "another uid talks, opens and sets when both have asked for it");
}

#[test]
fn the_seat_of_another_users_killed_end_is_left_to_its_owner() {
    let Some(stage) = Stage::new("everyone") else { return };
    for (first, second) in [(ALICE, BOB), (BOB, ALICE), (0, BOB), (BOB, 0)] {
        let name = unique("left");
        let mut killed = stage.start(first, &["sits", &name, "all"]);
        killed.expect("open");
        let hash = fnv1a(name.as_bytes());
        let seat = stage.machine().join(format!("ch-{hash:032x}.0"));
        killed.kill();
        assert!(seat.symlink_metadata().is_ok(), "nobody else may remove it");
        // The one who is there now takes the other seat, and the owner comes back to the old one.
        let mut sits = stage.start(second, &["sits", &name, "all"]);
        sits.expect("open");
        let mut again = stage.start(first, &["meets", &name, "all"]);
        again.expect(&format!("user Some({second})"));
        again.finish();
        sits.finish();
    }
}

/// Where all users may write, only the owner of a file may remove it, or Mallory removes Alice's
/// names; and the directory itself is nobody's who could undo that.
#[test]
fn the_directory_of_all_is_roots_and_lets_nobody_remove_what_is_anothers() {
    let Some(stage) = Stage::new("open-directory") else { return };
    let machine = stage.machine();
    let refused = |owner: u32, mode: u32| {
        chown(&machine, Some(owner), None).unwrap();
        std::fs::set_permissions(&machine, Permissions::from_mode(mode)).unwrap();
        for with in ["me", "all"] {
            for line in stage.tries(&stage.dir.0, ALICE, with) {
                let named = line.contains(machine.to_str().unwrap());
                assert!(
                    named && line.contains(" ForeignOwner "),
                    "owner {owner}, mode {mode:o}: {line}"
                );
            }
        }
    };
    for mode in [0o777, 0o775, 0o757] {
        refused(0, mode);
    }
    for mode in [0o1777, 0o755] {
        refused(MALLORY, mode);
    }
    assert_eq!(std::fs::read_dir(&machine).unwrap().count(), 0, "nothing was made there");
    trust("open-directory", "a shared directory that others may change: refused by its path");
}

#[test]
fn a_directory_occupied_beforehand_is_refused() {
    if !am_root() {
        return skipped("occupied", "only root can act as several users");
    }
    let child = Child::start_with("users", &["occupied"], |c| {
        c.env_remove("TWOCAN_DIR");
    });
    if is_played("occupied", child) {
        trust("occupied", "a foreign directory, link or file in the user's place: refused by name");
    }
}

/// Under a /dev/shm of our own.
fn occupied() {
    let mounted =
        jail::own_mounts().and_then(|()| jail::mount_memory("/dev/shm", "size=4m,mode=1777"));
    if let Err(e) = mounted {
        return say(&format!("skip /dev/shm cannot be mounted: {e}"));
    }
    let place = PathBuf::from(format!("/dev/shm/twocan-{ALICE}"));
    let alice = || {
        let mut role = again(&["users", "tries", "x", "me"]);
        role.uid(ALICE).gid(ALICE).stdin(Stdio::null());
        // Without the machine's directory she would be told of that one.
        let role = role.env("TWOCAN_TEST_ROLE", "shortage\u{1f}says\u{1f}x");
        let out = role.output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let refused = |what: &str| {
        let said = alice();
        assert!(said.contains("@ForeignOwner "), "{what}: {said}");
        assert!(said.contains(place.to_str().unwrap()), "{what}: {said}");
    };
    std::fs::create_dir(&place).unwrap();
    chown(&place, Some(MALLORY), None).unwrap();
    for mode in [0o700, 0o755, 0o777, 0o1777] {
        std::fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
        refused("Mallory's directory");
    }
    // Her own, but open to others.
    chown(&place, Some(ALICE), None).unwrap();
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        std::fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
        refused("a directory open to others");
    }
    std::fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
    std::fs::rename(&place, "/dev/shm/elsewhere").unwrap();
    symlink("/dev/shm/elsewhere", &place).unwrap();
    refused("a link");
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "").unwrap();
    refused("a file");
    std::fs::remove_file(&place).unwrap();
    assert!(alice().contains("@ok"));
    say("done");
}
