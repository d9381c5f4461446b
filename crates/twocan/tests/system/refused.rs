//! System calls that a kernel, or a sandbox around the program, does not give.

use crate::jail::{Answer, Rule, When, refuse};
use crate::roles::{answer, converse};
use crate::support::{Child, LONG, TempDir, eventually, say, unique};
use crate::trust;
use twocan::{Channel, Spin};

pub fn play(args: &[&str]) -> bool {
    let ["goes blind", name] = *args else { return false };
    let mut end = Channel::open(name).unwrap();
    // From here on nothing can be watched any more, as when a user's watches are all in use.
    install("epoll_ctl", libc::ENOSPC);
    say("open");
    answer(&mut end);
    true
}

/// What can be refused.
fn rules(what: &str, errno: i32) -> Vec<Rule> {
    const SO_PEERPIDFD: u32 = 77;
    const POPULATE: u32 = 23;
    let tmpfile = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;
    let answer = Answer::Errno(errno);
    let rule = |call, when: &[When]| Rule { call, when: when.to_vec(), answer };
    let all = |call| vec![rule(call, &[])];
    match what {
        "membarrier" => all(libc::SYS_membarrier),
        "futex_waitv" => all(libc::SYS_futex_waitv),
        "SO_PEERPIDFD" => {
            let option = [When::is(1, libc::SOL_SOCKET as u32), When::is(2, SO_PEERPIDFD)];
            vec![rule(libc::SYS_getsockopt, &option)]
        }
        "O_TMPFILE" => vec![rule(libc::SYS_openat, &[When::has(2, tmpfile)])],
        "pidfd_open" => all(libc::SYS_pidfd_open),
        "inotify_init1" => all(libc::SYS_inotify_init1),
        "inotify_add_watch" => all(libc::SYS_inotify_add_watch),
        "MADV_POPULATE" => {
            let advice = |more| rule(libc::SYS_madvise, &[When::is(2, POPULATE - more)]);
            vec![advice(0), advice(1)]
        }
        "threads" => [libc::SYS_clone, libc::SYS_clone3].map(|c| rule(c, &[])).into(),
        "file maps" => vec![rule(libc::SYS_mmap, &[When::is_not(4, u32::MAX)])],
        "F_ADD_SEALS" => vec![rule(libc::SYS_fcntl, &[When::is(1, libc::F_ADD_SEALS as u32)])],
        "OFD locks" => {
            vec![rule(libc::SYS_fcntl, &[When::is(1, libc::F_OFD_SETLK as u32)])]
        }
        "memfd_create" => all(libc::SYS_memfd_create),
        "epoll_create1" => all(libc::SYS_epoll_create1),
        "epoll_ctl" => all(libc::SYS_epoll_ctl),
        "eventfd2" => all(libc::SYS_eventfd2),
        "socketpair" => all(libc::SYS_socketpair),
        "socket" => all(libc::SYS_socket),
        "bind" => all(libc::SYS_bind),
        "listen" => all(libc::SYS_listen),
        "connect" => all(libc::SYS_connect),
        "accept4" => all(libc::SYS_accept4),
        "sendmsg" => all(libc::SYS_sendmsg),
        "recvmsg" => all(libc::SYS_recvmsg),
        "linkat" => all(libc::SYS_linkat),
        "ftruncate" => all(libc::SYS_ftruncate),
        "fallocate" => all(libc::SYS_fallocate),
        "fchmod" => all(libc::SYS_fchmod),
        "fsetxattr" => all(libc::SYS_fsetxattr),
        "lsetxattr" => all(libc::SYS_lsetxattr),
        "getrandom" => all(libc::SYS_getrandom),
        "madvise" => all(libc::SYS_madvise),
        _ => panic!("{what}: not known"),
    }
}

/// For the rest of this process's life. The clock of the alarm goes on.
pub fn install(what: &str, errno: i32) {
    refuse(&rules(what, errno)).unwrap();
}

/// What is missed by old kernels (or refused by sandboxes) and has another road.
const FALLBACKS: &[(&str, &[i32])] = &[
    ("membarrier", &[libc::ENOSYS, libc::EPERM, libc::EINVAL]),
    ("futex_waitv", &[libc::ENOSYS, libc::EPERM]),
    ("SO_PEERPIDFD", &[libc::ENOPROTOOPT, libc::EPERM, libc::EOPNOTSUPP, libc::ENOSYS]),
    ("O_TMPFILE", &[libc::EOPNOTSUPP, libc::EISDIR, libc::EINVAL, libc::EPERM, libc::ENOSYS]),
    ("inotify_init1", &[libc::ENOSYS, libc::EMFILE]),
    ("inotify_add_watch", &[libc::ENOSPC]),
    ("pidfd_open", &[libc::ENOSYS, libc::EPERM]),
    ("MADV_POPULATE", &[libc::EINVAL]),
];

/// What nothing can replace, or not everywhere: an error, told in words.
const NEEDED: &[(&str, i32)] = &[
    ("threads", libc::EAGAIN),
    ("file maps", libc::ENOMEM),
    ("F_ADD_SEALS", libc::EINVAL),
    ("OFD locks", libc::ENOLCK),
    ("memfd_create", libc::ENOSYS),
    ("epoll_create1", libc::EMFILE),
    ("epoll_ctl", libc::ENOSPC),
    ("eventfd2", libc::EMFILE),
    ("socketpair", libc::EMFILE),
    ("socket", libc::EPERM),
    ("bind", libc::EPERM),
    ("listen", libc::EPERM),
    ("connect", libc::EPERM),
    ("accept4", libc::EMFILE),
    ("sendmsg", libc::ENOBUFS),
    ("recvmsg", libc::ENOMEM),
    ("linkat", libc::EPERM),
    ("ftruncate", libc::EPERM),
    ("fallocate", libc::ENOSPC),
    ("fchmod", libc::EPERM),
    ("getrandom", libc::ENOSYS),
    ("madvise", libc::EINVAL),
];

/// Plays "everything" under a filter; what was left behind in the directory is an error.
fn without(what: &str, errno: i32, role: &str) -> String {
    let dir = TempDir::new("refused");
    let names = dir.0.join("names");
    let errno = errno.to_string();
    let mut child = Child::start_with("refuse", &[what, &errno, role, "x"], |c| {
        c.env("TWOCAN_DIR", &names);
    });
    let said = child.hear();
    assert!(!said.is_empty(), "without {what} ({errno}) the child died");
    child.finish();
    let left = std::fs::read_dir(&names).into_iter().flatten();
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).filter(|n| n != ".lock").collect();
    assert!(left.is_empty(), "without {what} ({errno}) stays: {left:?}");
    said
}

#[test]
fn what_a_kernel_may_lack_has_another_road() {
    let mut tried = 0;
    for (what, errnos) in FALLBACKS {
        for errno in *errnos {
            let said = without(what, *errno, "everything");
            let bad: Vec<_> = said.split(' ').filter(|w| !w.ends_with("=ok")).collect();
            assert!(bad.is_empty(), "without {what} ({errno}): {said}");
            tried += 1;
        }
    }
    let calls = FALLBACKS.len();
    trust("missing-calls", format!("{calls} calls missing in {tried} ways, all go on"));
}

#[test]
fn what_nothing_replaces_is_an_error_in_words() {
    for (what, errno) in NEEDED {
        let said = without(what, *errno, "a little of everything");
        println!("without {what} ({errno}): {said}");
        assert!(said.contains('='), "{said}");
        assert!(*what == "madvise" || said.contains("=ok"), "{said}");
        assert!(said.split(' ').any(|w| !w.ends_with("=ok")), "it was not refused: {said}");
    }
    trust("refused-calls", format!("{} calls refused: errors, nothing left behind", NEEDED.len()));
}

#[test]
fn a_pair_of_which_one_end_lacks_a_call_sleeps_and_wakes() {
    let rounds = crate::setting("TWOCAN_ROUNDS", 200) as u32;
    let ways = [
        ("membarrier", libc::ENOSYS),
        ("membarrier", libc::EPERM),
        ("futex_waitv", libc::ENOSYS),
        ("SO_PEERPIDFD", libc::ENOPROTOOPT),
        ("O_TMPFILE", libc::EOPNOTSUPP),
    ];
    for (what, errno) in ways {
        for lacking_first in [true, false] {
            let name = unique("lacks");
            let open = || Channel::options().spin(Spin::Never).open(&name).unwrap();
            let mut end = (!lacking_first).then(open);
            let errno = errno.to_string();
            let mut child = Child::start("refuse", &[what, &errno, "echo", &name]);
            child.expect("open");
            let mut end = end.take().unwrap_or_else(open);
            converse(&mut end, rounds);
            // Its death is told all the same, and the place is free for the next.
            child.kill();
            assert!(end.recv_timeout(LONG).is_err_and(|e| e == twocan::RecvError::PeerDied));
            let mut next = Child::start("refuse", &[what, &errno, "echo", &name]);
            next.expect("open");
            converse(&mut end, 10);
            drop(end);
            next.expect("closed");
            next.finish();
        }
    }
    trust("one-end-lacks", format!("{} pairs, {rounds} rounds each, asleep and awake", 10));
}

#[test]
fn an_invited_child_without_pidfd_open_is_met_and_missed() {
    let (mut end, mut invitation) = Channel::invite().unwrap();
    let errno = libc::ENOSYS.to_string();
    let role = ["pidfd_open", &errno, "lives", "was invited"];
    let mut child = Child::start_with("refuse", &role, |command| {
        invitation.attach(command).unwrap();
    });
    drop(invitation);
    child.expect("sent");
    assert_eq!(&*end.recv_timeout(LONG).unwrap(), b"here");
    child.kill();
    eventually("its death is told", || matches!(end.try_recv(), Err(twocan::RecvError::PeerDied)));
}

#[test]
fn an_end_that_may_watch_nothing_more_still_meets_and_misses_others() {
    let name = unique("blind");
    let mut child = Child::start("refused", &["goes blind", &name]);
    child.expect("open");
    let mut end = Channel::open(&name).unwrap();
    converse(&mut end, 10);
    drop(end);
    child.expect("closed");
    let mut other = Child::start("lives", &["meets", &name]);
    other.expect("met");
    other.kill();
    child.expect("died");
    child.finish();
}
