//! Named objects and what surrounds them: full disks, forks, children that inherit, directories of
//! others, other users.

mod support;

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use support::{Child, TempDir, am_root, eventually, listen, say, stay, unique};
use twocan::{Access, Channel, Error, ErrorKind, Event, MemoryMap, Reset, Sharing, wait_any};

/// nobody.
const STRANGER: u32 = 65_534;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let Some(words) = support::role() else { return };
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    match args[..] {
        ["full disk", path] => full_disk(path),
        ["forks", name] => forks(name),
        ["leaves a fork", name] => leaves_a_fork(name),
        ["has a child", name, inherit] => has_a_child(name, inherit == "yes"),
        ["opens", name] => say(&answer(MemoryMap::open_existing(name))),
        ["makes", name] => say(&answer(MemoryMap::create_new(name, 1))),
        ["holds shared", name] => {
            let mut options = MemoryMap::options();
            let map = options.sharing(Sharing::Everyone).create_new(name, 64).unwrap();
            map.view().unwrap().write(0, "for all").unwrap();
            say("held");
            stay();
        }
        ["opens shared", name] => {
            let mut options = MemoryMap::options();
            say(&answer(options.sharing(Sharing::Everyone).open_existing(name)));
        }
        _ => panic!("no such role: {args:?}"),
    }
}

fn answer(result: Result<MemoryMap, Error>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(e) => e.to_string(),
    }
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("an error").kind()
}

/// Asks one question of a child whose directory is `dir`.
fn ask_in(dir: &std::path::Path, role: &str, name: &str) -> String {
    let mut child = Child::start_with(role, &[name], |c| {
        c.env("TWOCAN_DIR", dir);
    });
    let answer = child.hear();
    child.finish();
    answer
}

#[test]
fn a_full_disk_is_an_error_and_never_a_signal() {
    let dir = TempDir::new("full");
    let path = dir.0.join("names");
    let path = path.to_str().unwrap();
    let mut child = Child::start_with("full disk", &[path], |c| {
        c.env("TWOCAN_DIR", path);
    });
    match child.hear().as_str() {
        "done" => child.finish(),
        other => match other.strip_prefix("skip ") {
            Some(why) => eprintln!("skipped: {why}"),
            None => panic!("{other}"),
        },
    }
}

/// Mounts a small file system where nobody else sees it.
fn mount_small(path: &str) -> std::io::Result<()> {
    let ok = |code| if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    std::fs::create_dir(path)?;
    let target = std::ffi::CString::new(path).unwrap();
    let (root, tmpfs, none) = (c"/", c"tmpfs", std::ptr::null());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let options = c"size=1m,mode=0700".as_ptr().cast();
    // SAFETY: C strings that live through the calls; the mounts are those of this process alone.
    unsafe {
        ok(libc::unshare(libc::CLONE_NEWNS))?;
        ok(libc::mount(none, root.as_ptr(), none, private, none.cast()))?;
        ok(libc::mount(tmpfs.as_ptr(), target.as_ptr(), tmpfs.as_ptr(), 0, options))
    }
}

fn full_disk(path: &str) {
    if let Err(e) = mount_small(path) {
        return say(&format!("skip a small disk cannot be mounted: {e}"));
    }
    let text = MemoryMap::create_new("large", 16 << 20).unwrap_err().to_string();
    let (has, rest) = text.split_once(" free, ").unwrap();
    assert!(has.starts_with(&format!("{path} has 10")) && has.ends_with(" KiB"), "{text}");
    let cure = "Free some, or mount it larger, or set TWOCAN_DIR.";
    assert_eq!(rest, format!("the map needs 16 MiB. {cure}"));
    assert_eq!(kind(MemoryMap::open_existing("large")), ErrorKind::NotFound);
    // 2 MiB are below what is asked about beforehand: fallocate itself says no.
    assert_eq!(kind(MemoryMap::create_new("large", 2 << 20)), ErrorKind::NoSpace);
    drop(MemoryMap::create_new("fits", 512 << 10).unwrap());

    // Delayed: made at once, refused when the store (or load) finds no memory.
    let map = MemoryMap::options().delay_allocate(true).create_new("sparse", 16 << 20).unwrap();
    let opened = MemoryMap::open_existing("sparse").unwrap();
    for view in [map.view().unwrap(), opened.view().unwrap()] {
        view.write(0, "here").unwrap();
        let error = view.fill(.., 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert!(error.cause().starts_with(path), "{error}");
        assert_eq!(kind(view.write(15 << 20, "there")), ErrorKind::NoSpace);
        assert_eq!(kind(view.read::<u8>(15 << 20)), ErrorKind::NoSpace);
        assert_eq!(kind(view.atomic_u32(15 << 20)), ErrorKind::NoSpace);
        assert_eq!(view.read::<[u8; 4]>(0).unwrap(), *b"here");
    }
    // An event needs a page, and there is none.
    assert_eq!(kind(Event::create_new("event", Reset::Auto)), ErrorKind::NoSpace);
    drop((map, opened));
    drop(Event::create_new("event", Reset::Auto).unwrap());
    say("done");
}

#[test]
fn delayed_allocation_takes_memory_when_touched() {
    let name = unique("delayed");
    let map = MemoryMap::options().delay_allocate(true).create_new(&name, 1 << 30).unwrap();
    let blocks = || {
        use std::os::fd::AsFd;
        let file = std::fs::File::from(map.as_fd().try_clone_to_owned().unwrap());
        file.metadata().unwrap().blocks()
    };
    assert_eq!(blocks(), 0);
    let view = map.view().unwrap();
    view.write(1 << 29, "half way").unwrap();
    assert!((1..4096).contains(&blocks()), "{}", blocks());
    assert_eq!(view.read::<[u8; 8]>(1 << 29).unwrap(), *b"half way");
    let full = MemoryMap::create_new(&unique("at-once"), 1 << 20).unwrap();
    assert_eq!(full.len(), 1 << 20);
}

#[test]
fn a_forked_child_holds_nothing() {
    let name = unique("forks");
    let mut child = Child::start("forks", &[&name]);
    child.expect("parent is well");
    child.finish();
}

fn forks(name: &str) {
    let map = MemoryMap::create_new(name, 100).unwrap();
    let view = map.view().unwrap();
    let event = Event::anonymous(Reset::Auto).unwrap();
    // SAFETY: the child only uses the library, writes nothing, and leaves with _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let checked = std::panic::catch_unwind(|| {
            assert_eq!(kind(map.view()), ErrorKind::Forked);
            assert_eq!(kind(map.try_clone()), ErrorKind::Forked);
            assert_eq!(kind(view.read::<u8>(0)), ErrorKind::Forked);
            assert_eq!(kind(view.write(0, &1_u8)), ErrorKind::Forked);
            assert_eq!(kind(view.atomic_u32(0)), ErrorKind::Forked);
            assert_eq!(kind(event.set()), ErrorKind::Forked);
            assert_eq!(kind(event.try_wait()), ErrorKind::Forked);
            assert_eq!(kind(wait_any(&[&event], twocan::Until::now())), ErrorKind::Forked);
            // It may open its own.
            let own = MemoryMap::open_existing(name).unwrap();
            assert_eq!(own.view().unwrap().len(), 100);
        });
        drop((view, map, event));
        // SAFETY: no destructors are wanted.
        unsafe { libc::_exit(if checked.is_ok() { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0);
    view.write(0, "still").unwrap();
    assert!(MemoryMap::open_existing(name).is_ok());
    event.set().unwrap();
    say("parent is well");
}

#[test]
fn a_fork_does_not_keep_the_name_of_a_killed_parent() {
    let name = unique("orphan");
    let mut parent = Child::start("leaves a fork", &[&name]);
    let pid: i32 = parent.hear().parse().unwrap();
    assert!(MemoryMap::open_existing(&name).is_ok());
    parent.kill();
    // SAFETY: signal 0 only asks.
    let lives = unsafe { libc::kill(pid, 0) } == 0;
    assert!(lives, "the forked child is there");
    // The fork closes what it must not keep before it runs any code; it may not have run yet.
    eventually("the name is gone", || MemoryMap::open_existing(&name).is_err());
    assert_eq!(kind(MemoryMap::open_existing(&name)), ErrorKind::NotFound);
    // SAFETY: the process was started for this test.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn leaves_a_fork(name: &str) {
    let map = MemoryMap::create_new(name, 100).unwrap();
    let view = map.view().unwrap();
    // SAFETY: the child only sleeps, and ends itself after a while if the test does not.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: no memory is touched.
        unsafe {
            libc::sleep(60);
            libc::_exit(0);
        }
    }
    say(&pid.to_string());
    stay();
    drop(view);
}

#[test]
fn only_an_inheritable_map_lives_on_in_children() {
    for inherit in ["yes", "no"] {
        let name = unique("inherit");
        let mut parent = Child::start("has a child", &[&name, inherit]);
        parent.expect("started");
        parent.tell("let go");
        parent.expect("let go");
        let found = MemoryMap::open_existing(&name);
        assert_eq!(found.is_ok(), inherit == "yes", "{inherit}");
        drop(found);
        parent.tell("end the child");
        parent.expect("ended");
        assert_eq!(kind(MemoryMap::open_existing(&name)), ErrorKind::NotFound);
        parent.finish();
    }
}

fn has_a_child(name: &str, inheritable: bool) {
    let map = MemoryMap::options().inheritable(inheritable).create_new(name, 100).unwrap();
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    say("started");
    listen();
    drop(map);
    say("let go");
    listen();
    drop(cat.stdin.take());
    cat.wait().unwrap();
    say("ended");
    stay();
}

#[test]
fn the_variable_moves_the_directory() {
    let dir = TempDir::new("moved");
    let names = dir.0.join("names");
    let name = unique("moved");
    assert_eq!(ask_in(&names, "makes", &name), "ok");
    let mode = std::fs::metadata(&names).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700);
    let left: Vec<_> = std::fs::read_dir(&names).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}

#[test]
fn a_directory_with_files_of_others_is_left_alone() {
    let dir = TempDir::new("project");
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    let source_map = dir.0.join("app.js.map");
    std::fs::write(&source_map, "{}").unwrap();
    let refused = |when: &str| {
        let text = ask_in(&dir.0, "makes", "x");
        assert_eq!(
            text,
            format!(
                "{} holds other files, such as app.js.map. Set TWOCAN_DIR to a directory of its \
                 own; it need not exist.",
                dir.0.display()
            ),
            "{when}"
        );
        assert!(source_map.exists(), "{when}");
        assert_eq!(std::fs::read_dir(&dir.0).unwrap().count(), 1, "{when}");
    };
    refused("nobody has it open");
    // Not even if its owner locks it: whole, to its end, or a part.
    let owner = std::fs::File::options().read(true).write(true).open(&source_map).unwrap();
    for (kind, len) in [(libc::F_RDLCK, 0), (libc::F_WRLCK, 0), (libc::F_RDLCK, 1)] {
        lock(&owner, libc::F_UNLCK, 0);
        lock(&owner, kind, len);
        refused(&format!("locked: kind {kind}, {len} bytes"));
    }
}

/// Locks the first bytes of a file, as other programs do; 0 = all there can be.
fn lock(file: &std::fs::File, kind: libc::c_int, len: i64) {
    // SAFETY: a plain C struct of integers; all zeros is a value of it.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_len = len;
    // SAFETY: an open descriptor, and a live struct that the kernel reads.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn directories_that_others_can_change_are_refused() {
    let dir = TempDir::new("foreign");
    let real = dir.0.join("real");
    std::fs::create_dir(&real).unwrap();
    let refused = |path: &std::path::Path| ask_in(path, "makes", "x");
    let cure = "Set TWOCAN_DIR to a directory that you alone may change; it need not exist.";

    let link = dir.0.join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(refused(&link), format!("{} is not a directory. {cure}", link.display()));
    let file = dir.0.join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(refused(&file), format!("{} is not a directory. {cure}", file.display()));

    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o770)).unwrap();
    let shown = real.display();
    let open = format!("{shown} has mode 770: other users may change it. {cure}");
    assert_eq!(refused(&real), open);

    if !am_root() {
        return eprintln!("skipped in part: only root can give a directory to another user");
    }
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&real, Some(STRANGER), None).unwrap();
    let text = refused(&real);
    assert!(text.starts_with(&format!("{shown} belongs to user ")), "{text}");
    assert!(text.ends_with(&format!(", not to you. {cure}")), "{text}");
}

#[test]
fn links_and_pipes_in_the_place_of_objects_are_refused() {
    let dir = TempDir::new("links");
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(ask_in(&dir.0, "makes", "first"), "ok");
    std::fs::write(dir.0.join("target"), "x").unwrap();
    std::os::unix::fs::symlink("target", dir.0.join("link.map")).unwrap();
    let text = ask_in(&dir.0, "opens", "link");
    assert!(text.contains("link.map is no plain file"), "{text}");
    let text = ask_in(&dir.0, "makes", "link");
    assert!(text.contains("link.map"), "{text}");
    assert!(dir.0.join("link.map").is_symlink() && dir.0.join("target").exists());
}

#[test]
fn another_user_is_let_in_only_if_both_ask() {
    if !am_root() {
        return eprintln!("skipped: only root can act as two users");
    }
    let dir = TempDir::new("shared");
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let exe = std::env::current_exe().unwrap();
    let reachable =
        exe.ancestors().all(|p| std::fs::metadata(p).is_ok_and(|m| m.mode() & 0o005 == 0o005));
    if !reachable {
        return eprintln!("skipped: another user cannot run {}", exe.display());
    }
    let name = format!("Global\\{}", unique("all"));
    let mut holder = Child::start_with("holds shared", &[&name], |c| {
        c.env("TWOCAN_DIR", &dir.0);
    });
    holder.expect("held");
    let stranger = |role: &str| {
        let mut child = Child::start_with(role, &[&name], |c| {
            c.env("TWOCAN_DIR", &dir.0).uid(STRANGER).gid(STRANGER);
        });
        let answer = child.hear();
        child.finish();
        answer
    };
    assert_eq!(stranger("opens shared"), "ok");
    let alone = stranger("opens");
    assert!(alone.contains("Both sides must ask for the same sharing"), "{alone}");
    assert!(stranger("makes").contains("exists"));
    holder.finish();
    eventually("the name is gone", || stranger("opens shared").contains("there is no map"));
}

#[test]
fn a_group_or_user_must_exist() {
    let (group, user) = ("no-such-group".to_owned(), "no-such-user".to_owned());
    for (sharing, text) in [
        (Sharing::Group(group), "there is no group named no-such-group."),
        (Sharing::User(user), "there is no user named no-such-user."),
        (Sharing::User("-1".into()), "there is no user named -1."),
    ] {
        let refused = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), text);
        };
        let name = unique("nobody");
        let (mut maps, mut ends) = (MemoryMap::options(), Channel::options());
        maps.sharing(sharing.clone());
        refused(maps.create_new(&name, 1).unwrap_err());
        refused(maps.open_existing(&name).unwrap_err());
        let mut events = Event::options(Reset::Auto);
        refused(events.sharing(sharing.clone()).create_new(&name).unwrap_err());
        refused(ends.sharing(sharing).open(&name).unwrap_err());
    }
    let local = MemoryMap::options().sharing(Sharing::Everyone).create_new("Local\\x", 1);
    assert_eq!(kind(local), ErrorKind::InvalidInput);
    assert_eq!(MemoryMap::options().access(Access::Read).anonymous(1).unwrap().len(), 1);
}
