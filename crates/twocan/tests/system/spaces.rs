//! Containers: processes that share the directory, but not the numbers of processes, the network,
//! or the clock.

use crate::roles::converse;
use crate::support::{Child, LONG, say, stay, unique};
use crate::{skipped, trust};
use twocan::{Channel, ErrorKind, Event, MemoryMap, RecvError, Reset};

pub fn play(args: &[&str]) -> bool {
    match *args {
        ["asks", name] => {
            let mut end = Channel::open(name).unwrap();
            let peer = end.wait_peer(LONG).unwrap();
            converse(&mut end, 100);
            say(&format!("pid {:?} user {:?}", peer.pid(), peer.user()));
            let third = Channel::open(name).unwrap_err();
            assert_eq!(third.kind(), ErrorKind::InUse);
            say(&third.to_string().lines().next().unwrap_or_default().replace(name, "NAME"));
            let why = end.recv_timeout(LONG).unwrap_err();
            say(&format!("{why:?}"));
        }
        ["holds", name] => {
            let map = MemoryMap::create_new(name, 64).unwrap();
            map.view().unwrap().write(0, "inside").unwrap();
            let event = Event::create_new(&format!("{name}-e"), Reset::Auto).unwrap();
            say("held");
            assert!(event.wait_timeout(LONG).unwrap());
            say("woken");
            stay();
        }
        _ => return false,
    }
    true
}

/// What a child in a namespace says first, or `None` and why there is no such namespace.
fn begin(row: &str, spaces: &str, role: &[&str]) -> Option<(Child, String)> {
    let mut all = vec![spaces];
    all.extend(role);
    let mut child = Child::start("inside", &all);
    let said = child.hear();
    match said.strip_prefix("skip ") {
        Some(why) => {
            skipped(row, why);
            None
        }
        None => Some((child, said)),
    }
}

/// Ends in namespaces of their own and here, in both orders; who is killed is missed.
fn talk_across(row: &str, spaces: &str) -> bool {
    let name = unique("spaces");
    let Some((echo, said)) = begin(row, spaces, &["echo", &name]) else { return false };
    assert_eq!(said, "open");
    // One here and one there.
    let mut end = Channel::open(&name).unwrap();
    converse(&mut end, 100);
    assert!(end.peer().unwrap().pid().is_some(), "whoever is further in is seen from outside");
    drop(end);
    // Each in its own.
    let Some((mut asks, said)) = begin(row, spaces, &["spaces", "asks", &name]) else {
        return false;
    };
    // SAFETY: no memory.
    let me = unsafe { libc::geteuid() };
    if spaces.contains('p') {
        assert_eq!(said, format!("pid None user Some({me})"));
        let who = asks.hear();
        // It sees itself, and of the other that it is there.
        assert!(who.contains("a process elsewhere"), "{who}");
        assert!(who.starts_with("NAME is in use by ") && who.contains(" and "), "{who}");
    } else {
        assert!(said.starts_with("pid Some("), "{said}");
        asks.hear();
    }
    // The process that keeps the namespace is killed, and with it everything inside.
    echo.kill();
    assert_eq!(asks.hear(), format!("{:?}", RecvError::PeerDied));
    asks.finish();
    true
}

#[test]
fn two_pid_namespaces_share_the_directory() {
    let row = "pid-namespaces";
    if talk_across(row, "p") && objects_across(row, "p") {
        trust(row, "pairs, maps and events across; who is killed is missed");
    }
}

#[test]
fn two_network_namespaces_share_the_directory() {
    let row = "net-namespaces";
    if talk_across(row, "n") && talk_across(row, "pn") && objects_across(row, "n") {
        trust(row, "pairs, maps and events across; who is killed is missed");
    }
}

#[test]
fn clocks_of_two_namespaces_differ_by_days() {
    let row = "time-namespaces";
    if talk_across(row, "t") && objects_across(row, "t") {
        trust(row, "clocks 11 days apart: pairs, maps and events across");
    }
}

fn objects_across(row: &str, spaces: &str) -> bool {
    let name = unique("object");
    let Some((mut holder, said)) = begin(row, spaces, &["spaces", "holds", &name]) else {
        return false;
    };
    assert_eq!(said, "held");
    let map = MemoryMap::open_existing(&name).unwrap();
    assert_eq!(map.view().unwrap().read::<[u8; 6]>(0).unwrap(), *b"inside");
    let event = Event::open_existing(&format!("{name}-e")).unwrap();
    event.set().unwrap();
    assert_eq!(holder.hear(), "woken");
    drop((map, event));
    holder.kill();
    crate::support::eventually("the names are gone", || MemoryMap::open_existing(&name).is_err());
    drop(MemoryMap::create_new(&name, 1).unwrap());
    drop(Event::create_new(&format!("{name}-e"), Reset::Auto).unwrap());
    true
}
