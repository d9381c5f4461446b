//! The lives of processes: fork, clone, exec, threads that go, children that inherit, zombies. Who
//! is an end, and when it has gone, is the kernel's word and nobody's guess.

use crate::roles::converse;
use crate::support::{Child, LONG, eventually, listen, say, stay, unique};
use crate::{jail, trust};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use twocan::{Channel, ErrorKind, Event, MemoryMap, RecvError};

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["was invited"] => {
            let mut end = Channel::invited().unwrap();
            end.send("here").unwrap();
            say("sent");
            stay();
        }
        ["meets", name] => {
            let mut end = Channel::open(name).unwrap();
            converse(&mut end, 10);
            say("met");
            stay();
        }
        ["waits", name] => {
            let event = Event::open_existing(name).unwrap();
            say("waits");
            event.wait().unwrap();
            say("released");
        }
        ["leaves a fork", name] => leaves_a_copy(name, || {
            // SAFETY: the copy only sleeps.
            unsafe { libc::fork() }
        }),
        // No handler runs: the copy has all descriptors.
        ["leaves a clone", name] => leaves_a_copy(name, || {
            // SAFETY: as a fork, without its handlers; the copy only sleeps.
            unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 }
        }),
        ["becomes another program", name] => becomes_another(name),
        ["has a child", name] => has_a_child(name),
        ["a thread opens", name] => a_thread_opens(name),
        ["its first thread goes", name] => first_thread_goes(name),
        _ => return false,
    }
    true
}

/// Holds an end and a map, and leaves a copy of itself behind.
fn leaves_a_copy(name: &str, copy: impl FnOnce() -> i32) {
    let mut end = Channel::open(name).unwrap();
    end.send("hello").unwrap();
    let pid = copy();
    if pid == 0 {
        // SAFETY: no memory is touched.
        unsafe {
            libc::sleep(60);
            libc::_exit(0);
        }
    }
    say(&pid.to_string());
    listen();
}

/// A child whose copy goes on after it was killed: its death is told, its seat is free.
fn outlived_by_a_copy(role: &str) {
    let name = unique("copied");
    let mut child = Child::start("lives", &[role, &name]);
    let pid: u32 = child.hear().parse().unwrap();
    let mut end = Channel::open(&name).unwrap();
    assert_eq!(&*end.recv_timeout(LONG).unwrap(), b"hello");
    child.kill();
    assert_eq!(end.recv_timeout(LONG).unwrap_err(), RecvError::PeerDied, "{role}");
    assert!(is_there(pid), "{role}: the copy has not gone");
    let mut next = Child::start("echo", &[&name]);
    next.expect("open");
    converse(&mut end, 10);
    jail::signal(pid, libc::SIGKILL);
    drop(end);
    next.expect("closed");
    next.finish();
}

/// The same, but it says goodbye.
fn says_goodbye_beside_a_copy(role: &str) {
    let name = unique("goodbye");
    let mut child = Child::start("lives", &[role, &name]);
    let pid: u32 = child.hear().parse().unwrap();
    let mut end = Channel::open(&name).unwrap();
    assert_eq!(&*end.recv_timeout(LONG).unwrap(), b"hello");
    child.tell("go");
    assert_eq!(end.recv_timeout(LONG).unwrap_err(), RecvError::PeerClosed, "{role}");
    assert!(is_there(pid), "{role}: the copy has not gone");
    let mut next = Child::start("echo", &[&name]);
    next.expect("open");
    converse(&mut end, 10);
    jail::signal(pid, libc::SIGKILL);
    child.finish();
}

fn is_there(pid: u32) -> bool {
    state(pid).is_some_and(|s| s != 'Z')
}

/// The letter in the process's `stat`.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

#[test]
fn copies_of_a_process_are_no_ends() {
    for role in ["leaves a fork", "leaves a clone"] {
        outlived_by_a_copy(role);
        says_goodbye_beside_a_copy(role);
    }
    trust("copies", "fork and bare clone, killed and goodbye: told at once, seat free");
}

#[test]
fn who_becomes_another_program_has_gone() {
    let name = unique("exec");
    let mut child = Child::start("lives", &["becomes another program", &name]);
    child.expect("goes");
    let mut end = Channel::open(&name).unwrap();
    // Killed or turned into something else: it said no goodbye.
    let why = loop {
        match end.recv_timeout(LONG) {
            Ok(message) => assert_eq!(&*message, b"hello"),
            Err(why) => break why,
        }
    };
    assert_eq!(why, RecvError::PeerDied);
    assert!(is_there(child.pid()));
    let map = || MemoryMap::open_existing(&name).map(drop).map_err(|e| e.kind());
    eventually("its map is gone", || map() == Err(ErrorKind::NotFound));
    let mut next = Child::start("echo", &[&name]);
    next.expect("open");
    converse(&mut end, 10);
    assert!(is_there(child.pid()), "it was there all the time");
    trust("exec", "an end that becomes another program has died, though its process lives");
}

fn becomes_another(name: &str) {
    let _map = MemoryMap::create_new(name, 100).unwrap();
    let mut end = Channel::open(name).unwrap();
    end.send("hello").unwrap();
    say("goes");
    end.wait_peer(LONG).unwrap();
    let error = Command::new("sleep").arg("60").exec();
    panic!("{error}");
}

#[test]
fn programs_that_an_end_starts_inherit_nothing() {
    let name = unique("parent");
    let mut child = Child::start("lives", &["has a child", &name]);
    let pid: u32 = child.hear().parse().unwrap();
    let mut end = Channel::open(&name).unwrap();
    converse(&mut end, 10);
    let theirs = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links: Vec<_> =
        theirs.map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap_or_default()).collect();
    let strange = |link: &&std::path::PathBuf| {
        let link = link.to_string_lossy();
        ["memfd:", "socket:", "anon_inode:", "twocan"].iter().any(|part| link.contains(part))
    };
    assert!(!links.iter().any(|link| strange(&link)), "{links:?}");
    child.kill();
    assert_eq!(end.recv_timeout(LONG).unwrap_err(), RecvError::PeerDied);
    jail::signal(pid, libc::SIGKILL);
}

fn has_a_child(name: &str) {
    let mut end = Channel::open(name).unwrap();
    let mut command = Command::new("sleep");
    command.arg("60").stdin(Stdio::null()).stdout(Stdio::null());
    let mut sleeper = command.spawn().unwrap();
    say(&sleeper.id().to_string());
    while let Ok(message) = end.recv() {
        end.send(&*message).unwrap();
    }
    sleeper.wait().unwrap();
}

#[test]
fn a_zombie_is_dead() {
    let name = unique("zombie");
    let mut child = Child::start("echo", &[&name]);
    child.expect("open");
    let mut end = Channel::open(&name).unwrap();
    converse(&mut end, 10);
    jail::signal(child.pid(), libc::SIGKILL);
    assert_eq!(end.recv_timeout(LONG).unwrap_err(), RecvError::PeerDied);
    eventually("nobody has waited for it", || state(child.pid()) == Some('Z'));
    let mut next = Child::start("echo", &[&name]);
    next.expect("open");
    converse(&mut end, 10);
    assert_eq!(state(child.pid()), Some('Z'));
    trust("zombie", "told at once, seat free before anybody waits for the process");
}

#[test]
fn threads_may_go_as_they_like() {
    for role in ["a thread opens", "its first thread goes"] {
        let name = unique("threads");
        let mut child = Child::start("lives", &[role, &name]);
        let pid = child.hear().parse().unwrap();
        let mut end = Channel::open(&name).unwrap();
        converse(&mut end, 100);
        if role == "its first thread goes" {
            // To many eyes the process is a zombie now.
            eventually("it has gone", || state(pid) == Some('Z'));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        converse(&mut end, 100);
        assert!(end.peer().is_some(), "{role}");
        assert_eq!(Channel::open(&name).unwrap_err().kind(), ErrorKind::InUse, "{role}");
        jail::signal(pid, libc::SIGKILL);
        assert_eq!(end.recv_timeout(LONG).unwrap_err(), RecvError::PeerDied, "{role}");
    }
    trust("threads", "the thread that opened has gone, or the first one: the end lives on");
}

fn answer_for_ever(mut end: Channel) {
    while let Ok(message) = end.recv() {
        end.send(&*message).unwrap();
    }
}

fn a_thread_opens(name: &str) {
    let name = name.to_owned();
    let end = std::thread::spawn(move || Channel::open(&name).unwrap()).join().unwrap();
    say(&std::process::id().to_string());
    answer_for_ever(end);
}

fn first_thread_goes(name: &str) {
    // The test program keeps its own first thread; that of a fork is this one.
    // SAFETY: the copy has this one thread, which goes on with what it has.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        let mut status = 0;
        // SAFETY: waits for our own child.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        return;
    }
    jail::alarm(30); // a test that fails does not know of this process
    let end = Channel::open(name).unwrap();
    std::thread::spawn(move || answer_for_ever(end));
    say(&std::process::id().to_string());
    // SAFETY: ends this thread alone; what it had on its stack is used by nobody.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}
