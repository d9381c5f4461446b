//! One user more, and nobody else: Alice names Bob, and Bob names Alice. Mallory stays outside, and
//! so does Carol, who is in the group of both.

use crate::roles::{converse, leave_with_the_input};
use crate::support::{Child, LONG, TempDir, am_root, eventually, listen, say, stay, unique};
use crate::users::{self, ALICE, BOB, GROUP, MALLORY, Stage, all_refused, options, shared};
use crate::{is_played, jail, refused, skipped, trust};
use std::ffi::CString;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;
use twocan::{Channel, Error, ErrorKind, Event, MemoryMap, RecvError, Reset, Scope, Sharing};

/// In the group of Alice and Bob.
const CAROL: u32 = 61_004;
/// As words of a role.
const FOR_ALICE: &str = "61001";
const FOR_BOB: &str = "61002";

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["hosts", name, with] => host(name, with),
        ["visits", name, with] => visit(name, with),
        ["sits", name, with] => {
            let mut end = options(with).open(name).unwrap();
            say("open");
            leave_with_the_input();
            loop {
                if let Ok(message) = end.recv() {
                    end.send(&*message).unwrap();
                }
            }
        }
        ["has no lists", how, name] => without_lists(how, name),
        ["in a namespace", name] => in_a_namespace(name),
        _ => return false,
    }
    true
}

/// Holds one of each, with an end that answers; at the end somebody has set and written.
fn host(name: &str, with: &str) {
    let (mut maps, mut events) = (MemoryMap::options(), Event::options(Reset::Auto));
    let map = maps.scope(Scope::Machine).sharing(shared(with)).create_new(name, 64).unwrap();
    map.view().unwrap().write(0, "secret").unwrap();
    events.scope(Scope::Machine).sharing(shared(with));
    let event = events.create_new(&users::event(name)).unwrap();
    let end = options(with).open(name).unwrap();
    say("held");
    let answering = std::thread::spawn(move || answer(end));
    stay();
    let seen = map.view().unwrap().read::<[u8; 4]>(32).unwrap() == *b"seen";
    let set = event.wait_timeout(Duration::ZERO).unwrap();
    answering.join().unwrap();
    say(&format!("seen {seen} set {set}"));
}

/// Answers one peer after the other until the first has said that it was the last.
fn answer(mut end: Channel) {
    loop {
        match end.recv_timeout(LONG) {
            Ok(message) if &*message == b"last" => return,
            Ok(message) => drop(end.send(&*message).unwrap()),
            Err(RecvError::TimedOut) => panic!("nobody says the last word"),
            Err(_) => {}
        }
    }
}

/// Uses one of each as whoever is let in may.
fn visit(name: &str, with: &str) {
    let (mut maps, mut events) = (MemoryMap::options(), Event::options(Reset::Auto));
    let map = maps.scope(Scope::Machine).sharing(shared(with)).open_existing(name).unwrap();
    let view = map.view().unwrap();
    assert_eq!(view.read::<[u8; 6]>(0).unwrap(), *b"secret");
    view.write(32, "seen").unwrap();
    events.scope(Scope::Machine).sharing(shared(with));
    events.open_existing(&users::event(name)).unwrap().set().unwrap();
    let mut end = options(with).open(name).unwrap();
    converse(&mut end, 50);
    say(&format!("met {:?}", end.peer().unwrap().user()));
    end.send("last").unwrap();
    end.close().unwrap();
}

/// A stage on which names live where access lists are kept.
fn stage(row: &str) -> Option<Stage> {
    let stage = Stage::new(row)?;
    let trial = stage.machine().join("trial");
    std::fs::write(&trial, "").unwrap();
    let kept = set_list(&trial, "access", &list_for(BOB, 0));
    std::fs::remove_file(&trial).unwrap();
    match kept {
        Ok(()) => Some(stage),
        Err(e) => {
            skipped(row, &format!("{}: access lists: {e}", stage.machine().display()));
            None
        }
    }
}

type Entry = (u16, u16, u32);

/// Owner, one user, a closed group, everybody masked to reading and writing, and others.
fn list_for(user: u32, others: u16) -> Vec<Entry> {
    const NONE: u32 = u32::MAX;
    vec![(1, 6, NONE), (2, 6, user), (4, 0, NONE), (0x10, 6, NONE), (0x20, others, NONE)]
}

/// With the hands, not with the library.
fn set_list(path: &Path, kind: &str, entries: &[Entry]) -> std::io::Result<()> {
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let path = CString::new(path.to_str().unwrap()).unwrap();
    let name = CString::new(format!("system.posix_acl_{kind}")).unwrap();
    let (path, name, bytes) = (path.as_ptr(), name.as_ptr(), list.as_ptr().cast());
    // SAFETY: C strings and bytes that live through the call.
    let code = unsafe { libc::lsetxattr(path, name, bytes, list.len(), 0) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn paths(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect()
}

/// Both visit and go; what they did has come to pass.
fn is_visited(stage: &Stage, mut host: Child, visitor: (u32, &str), host_user: u32) {
    let mut visitor = stage.start(visitor.0, &["guest", "visits", &stage.name, visitor.1]);
    visitor.expect(&format!("met Some({host_user})"));
    visitor.finish();
    host.end_input();
    host.expect("seen true set true");
    host.finish();
}

// ---- the stories ----

#[test]
fn one_user_is_let_in_and_nobody_else() {
    let Some(stage) = stage("one-user") else { return };
    let machine = stage.machine();
    let mut alice = stage.start(ALICE, &["guest", "hosts", &stage.name, FOR_BOB]);
    alice.expect("held");
    for user in [MALLORY, CAROL] {
        for with in ["me", "all", FOR_ALICE, FOR_BOB] {
            all_refused(&stage.tries(&stage.dir.0, user, with), &machine);
        }
        assert_eq!(stage.breaks_in_as(user, &machine, &alice), "5 files: nothing", "{user}");
    }
    // Bob has to ask for it too.
    all_refused(&stage.tries(&stage.dir.0, BOB, "me"), &machine);
    // He may use what is Alice's, and neither remove nor replace it, nor let in others.
    let did = stage.breaks_in_as(BOB, &machine, &alice);
    for may in ["read ", "wrote ", "connected to "] {
        assert!(did.contains(may), "{did}");
    }
    for may_not in ["opened up", "moved", "removed", "took", "saw", "memory"] {
        assert!(!did.contains(may_not), "{did}");
    }
    is_visited(&stage, alice, (BOB, FOR_ALICE), ALICE);
    trust("one-user", "the named uid reads, sets and talks; no third does, nor one of their group");
}

#[test]
fn one_user_may_be_given_by_name() {
    let Some(stage) = stage("one-user") else { return };
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse::<u32>().ok()?))
    };
    // Numbers that are special: root's, and the one that may stand for unknown users.
    let usual = |(_, uid): &(String, u32)| *uid != 0 && *uid < 60_000;
    let Some((name, uid)) = accounts.lines().filter_map(account).find(usual) else {
        return eprintln!("skipped: /etc/passwd names nobody but root");
    };
    let mut root = stage.start(0, &["guest", "hosts", &stage.name, &format!("user:{name}")]);
    root.expect("held");
    all_refused(&stage.tries(&stage.dir.0, MALLORY, "user:root"), &stage.machine());
    is_visited(&stage, root, (uid, "user:root"), 0);
}

#[test]
fn nobody_poses_as_the_one_user() {
    let Some(stage) = stage("one-user") else { return };
    let machine = stage.machine();
    for with in ["all", FOR_ALICE, FOR_BOB] {
        let mut mallory = stage.start(MALLORY, &["holds", &stage.name, with]);
        mallory.expect("held");
        all_refused(&stage.tries(&stage.dir.0, ALICE, FOR_BOB), &machine);
        all_refused(&stage.tries(&stage.dir.0, BOB, FOR_ALICE), &machine);
        mallory.finish();
    }
}

#[test]
fn what_lets_in_more_than_was_asked_for_is_refused() {
    let Some(stage) = stage("one-user") else { return };
    let machine = stage.machine();
    let grouped = users::group_id() != ALICE;
    if !grouped {
        eprintln!("skipped in part: there is no group {GROUP}");
    }
    for with in ["all", GROUP].into_iter().take(1 + usize::from(grouped)) {
        let mut alice = stage.start(ALICE, &["holds", &stage.name, with]);
        alice.expect("held");
        let said = stage.tries(&stage.dir.0, BOB, FOR_ALICE);
        all_refused(&said, &machine);
        assert!(said.iter().any(|l| l.contains("Both sides must ask for the same")), "{said:?}");
        alice.finish();
    }
    let mut alice = stage.start(ALICE, &["holds", &stage.name, FOR_BOB]);
    alice.expect("held");
    if grouped {
        // Not all of the group, but one.
        all_refused(&stage.tries(&stage.dir.0, BOB, GROUP), &machine);
    }
    // Somebody else stands on the list as well.
    for path in paths(&machine).iter().filter(|p| !p.ends_with(".lock")) {
        let mut list = list_for(BOB, 0);
        list.insert(2, (2, 6, MALLORY));
        set_list(path, "access", &list).unwrap();
    }
    all_refused(&stage.tries(&stage.dir.0, BOB, FOR_ALICE), &machine);
    alice.finish();
}

/// Root has opened all files to all: of a channel, the user counts, by the word of the kernel.
#[test]
fn whoever_gets_past_the_files_is_told_by_the_kernel() {
    let Some(stage) = stage("one-user") else { return };
    let mut alice = stage.start(ALICE, &["guest", "hosts", &stage.name, FOR_BOB]);
    alice.expect("held");
    let files = || paths(&stage.machine()).into_iter().filter(|p| !p.ends_with(".lock"));
    for path in files() {
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        // A closed group is closed to its members, whatever others may.
        chown(&path, None, Some(0)).unwrap();
    }
    for user in [MALLORY, CAROL] {
        let said = stage.tries(&stage.dir.0, user, "all");
        assert!(said.contains(&"open-map ok".to_owned()), "the files are open: {said:?}");
        let channel: Vec<_> = said.iter().filter(|l| l.starts_with("channel ")).collect();
        assert!(channel.len() == 1 && channel[0].contains(" TimedOut "), "{said:?}");
    }
    for path in files() {
        std::fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
    }
    is_visited(&stage, alice, (BOB, FOR_ALICE), ALICE);
}

#[test]
fn a_killed_end_comes_back_to_its_seat_beside_the_one_user() {
    let Some(stage) = stage("one-user") else { return };
    const ROOT: (u32, &str) = (0, FOR_BOB);
    const ALICES: (u32, &str) = (ALICE, FOR_BOB);
    let pairs = [
        (ALICES, (BOB, FOR_ALICE)),
        ((BOB, FOR_ALICE), ALICES),
        (ROOT, (BOB, "user:root")),
        ((BOB, "user:root"), ROOT),
    ];
    for (first, second) in pairs {
        let name = unique("left");
        let mut killed = stage.start(first.0, &["guest", "sits", &name, first.1]);
        killed.expect("open");
        killed.kill();
        let seat = stage.machine().join(format!("ch-{:032x}.0", users::fnv1a(name.as_bytes())));
        assert!(seat.symlink_metadata().is_ok(), "nobody else may remove it");
        let mut sits = stage.start(second.0, &["guest", "sits", &name, second.1]);
        sits.expect("open");
        let mut again = stage.start(first.0, &["meets", &name, first.1]);
        again.expect(&format!("user Some({})", second.0));
        again.finish();
        sits.finish();
    }
}

/// Somebody sweeps the directory; the seat that is made again lets in whom it let in before.
#[test]
fn a_seat_that_was_swept_is_made_again_for_the_one_user() {
    let Some(stage) = stage("one-user") else { return };
    let machine = stage.machine();
    let mut alice = stage.start(ALICE, &["guest", "hosts", &stage.name, FOR_BOB]);
    alice.expect("held");
    let seat = format!("ch-{:032x}.0", users::fnv1a(stage.name.as_bytes()));
    let files = [machine.join(&seat), machine.join(format!("{seat}.seat"))];
    for path in &files {
        std::fs::remove_file(path).unwrap();
    }
    // The socket is closed to all until its list is set.
    let mode = |path: &Path| path.symlink_metadata().map_or(0, |m| m.permissions().mode());
    eventually("it is made again", || files.iter().all(|path| mode(path) & 0o070 != 0));
    for user in [MALLORY, CAROL] {
        all_refused(&stage.tries(&stage.dir.0, user, "all"), &machine);
        assert_eq!(stage.breaks_in_as(user, &machine, &alice), "5 files: nothing", "{user}");
    }
    is_visited(&stage, alice, (BOB, FOR_ALICE), ALICE);
}

/// A directory may give a list to all that is made in it. It lets in nobody whom the sharing does
/// not name, and keeps out nobody whom it does.
#[test]
fn what_a_directory_hands_down_lets_nobody_in() {
    let Some(stage) = stage("one-user") else { return };
    let machine = stage.machine();
    if users::group_id() == ALICE {
        return eprintln!("skipped: there is no group {GROUP}");
    }
    set_list(&machine, "default", &list_for(MALLORY, 6)).unwrap();
    let sharings = [(FOR_BOB, FOR_ALICE), (GROUP, GROUP), ("all", "all"), ("me", "me")];
    for (with, asks) in sharings {
        let mut alice = stage.start(ALICE, &["guest", "hosts", &stage.name, with]);
        alice.expect("held");
        if with != "all" {
            for asks in ["me", "all", FOR_ALICE] {
                all_refused(&stage.tries(&stage.dir.0, MALLORY, asks), &machine);
            }
            let did = stage.breaks_in_as(MALLORY, &machine, &alice);
            assert_eq!(did, "5 files: nothing", "shared with {with}");
        }
        let visitor = if with == "me" { ALICE } else { BOB };
        is_visited(&stage, alice, (visitor, asks), ALICE);
    }
}

/// Where there are no lists, one user cannot be let in: said in words, and nothing is left open, or
/// left at all.
#[test]
fn without_access_lists_it_is_an_error_in_words() {
    if !am_root() {
        return skipped("no-access-lists", "only root can mount a file system");
    }
    let mut told = 0;
    for how in [
        "ramfs",
        "fsetxattr refused",
        "lsetxattr refused",
        "fsetxattr ignored",
        "lsetxattr ignored",
    ] {
        let dir = TempDir::new("lists");
        let child = Child::start_with("guest", &["has no lists", how, &unique("lists")], |c| {
            c.env("TWOCAN_DIR", &dir.0);
        });
        told += u32::from(is_played("no-access-lists", child));
    }
    if told > 0 {
        trust("no-access-lists", format!("{told} ways to have none: Unsupported, nothing left"));
    }
}

fn without_lists(how: &str, name: &str) {
    let dir = std::env::var("TWOCAN_DIR").unwrap();
    match how.split_once(' ') {
        None => {
            let mounted = jail::own_mounts()
                .and_then(|()| jail::mount(Some("none"), &dir, Some("ramfs"), 0, None));
            if let Err(e) = mounted {
                return say(&format!("skip a ramfs cannot be mounted: {e}"));
            }
        }
        Some((call, "refused")) => refused::install(call, libc::EOPNOTSUPP),
        // Taken, and not looked into.
        Some((call, _)) => refused::install(call, 0),
    }
    let refused = |result: Result<(), Error>| {
        let error = result.expect_err(how);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{how}: {error}");
        let text =
            format!("{dir}/machine keeps no access lists (POSIX ACLs): user 61002 cannot be");
        assert!(error.to_string().starts_with(&text), "{how}: {error}");
        assert!(error.cure().is_some());
    };
    let one = Sharing::User(FOR_BOB.into());
    let make = |sharing: Sharing| {
        let (mut maps, mut events) = (MemoryMap::options(), Event::options(Reset::Auto));
        [
            maps.sharing(sharing.clone()).create_new(name, 64).map(drop),
            maps.create_or_open(name, 64).map(drop),
            events.sharing(sharing.clone()).create_new(&users::event(name)).map(drop),
            Channel::options().sharing(sharing).open(name).map(drop),
        ]
    };
    for (i, made) in make(one).into_iter().enumerate() {
        // The names of maps and events have descriptors; only a socket has none.
        if how.starts_with("lsetxattr") && i < 3 { made.unwrap() } else { refused(made) }
    }
    let machine = Path::new(&dir).join("machine");
    assert_eq!(paths(&machine), [machine.join(".lock")], "{how}");
    for sharing in [Sharing::CurrentUser, Sharing::Group("root".into()), Sharing::Everyone] {
        make(sharing).into_iter().for_each(|made| made.unwrap());
    }
    say("done");
}

/// A user namespace shows one number for all users whom it does not know. That number is nobody.
#[test]
fn in_a_user_namespace_only_a_known_user_is_let_in() {
    let Some(stage) = stage("one-user") else { return };
    let mut child = Child::start_with("guest", &["in a namespace", &stage.name], |c| {
        c.env("TWOCAN_DIR", &stage.dir.0);
        // SAFETY: a plain system call between fork and exec. If it is refused, the child says so.
        unsafe {
            c.pre_exec(|| {
                let _ = jail::leave(libc::CLONE_NEWUSER);
                Ok(())
            });
        }
    });
    match child.hear().as_str() {
        "inside" => {}
        said => {
            return eprintln!("skipped: {}", said.strip_prefix("skip ").expect("a reason"));
        }
    }
    // Alice is the last who is known there.
    for (file, count) in [("uid_map", u64::from(BOB)), ("gid_map", 4_294_967_295)] {
        let path = format!("/proc/{}/{file}", child.pid());
        std::fs::write(path, format!("0 0 {count}\n")).unwrap();
    }
    child.tell("go on");
    child.expect("done");
    child.finish();
}

fn in_a_namespace(name: &str) {
    if !std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.is_empty()) {
        return say("skip a user namespace is not given");
    }
    say("inside");
    listen();
    let make = |user: &str| {
        let sharing = Sharing::User(user.to_owned());
        let map = MemoryMap::options().sharing(sharing.clone()).create_new(name, 64).map(drop);
        let end = Channel::options().sharing(sharing).open(name).map(drop);
        [map, end]
    };
    for made in make(FOR_ALICE) {
        made.unwrap();
    }
    let unknown = "user 61002 is not known in this user namespace.";
    let overflow = "stands for all users whom this user namespace does not know.";
    for (user, text) in [(FOR_BOB, unknown), ("65534", overflow)] {
        for made in make(user) {
            let error = made.expect_err(user);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().ends_with(text), "{error}");
        }
    }
    say("done");
}
