//! Peers that lie, strangers, shortages and unlucky moments; each test is named after what must
//! hold.

mod support;

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::{Child, TempDir, am_root, listen, say, stay, unique};
use twocan::{Channel, ChannelOptions, RecvError, Scope, Sharing, Spin};

const STRANGER: u32 = 65_534;
const SOON: Duration = Duration::from_secs(3);

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let Some(words) = support::role() else { return };
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    match args[..] {
        ["sits for all", name] => {
            let mut options = Channel::options();
            let _end = options.scope(Scope::Machine).sharing(Sharing::Everyone).open(name).unwrap();
            say("sits");
            stay();
        }
        ["opens for itself", name] => {
            let mut options = Channel::options();
            match options.scope(Scope::Machine).open(name) {
                Err(e) => say(&format!("refused: {e}")),
                Ok(end) => match end.wait_peer(SOON) {
                    Ok(peer) => say(&format!("paired with user {:?}", peer.user())),
                    Err(_) => say("alone"),
                },
            }
        }
        ["sits", name] => {
            let mut end = Channel::open(name).unwrap();
            say("sits");
            while listen().is_some() {
                let _ = end.try_recv();
            }
        }
        ["was invited"] => {
            let mut end = Channel::invited().unwrap();
            end.send("here").unwrap();
            say("sent");
            stay();
        }
        ["is short of descriptors", name] => short_of_descriptors(name),
        ["is sent a slow descriptor"] => slow_descriptor(),
        _ => panic!("no such role: {args:?}"),
    }
}

// ---- half-close ----

#[test]
fn finished_is_told_after_a_padding_that_no_message_followed() {
    for _ in 0..32 {
        let (a, b) = ChannelOptions::new().send_capacity(4096).pair().unwrap();
        let ((mut a_tx, _a_rx), (_b_tx, mut b_rx)) = (a.into_split(), b.into_split());
        while a_tx.try_send([7; 1000]).is_ok() {}
        a_tx.finish();
        let why = loop {
            if let Err(why) = b_rx.recv_timeout(Duration::from_millis(500)) {
                break why;
            }
        };
        assert_eq!(why, RecvError::Finished);
    }
}

#[test]
fn a_receiver_that_never_sleeps_is_told_that_the_peer_has_finished() {
    let (a, b) = ChannelOptions::new().spin(Spin::Always).pair().unwrap();
    let ((a_tx, _a_rx), (_b_tx, mut b_rx)) = (a.into_split(), b.into_split());
    let reader = std::thread::spawn(move || b_rx.recv_timeout(SOON).unwrap_err());
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    a_tx.finish();
    assert_eq!(reader.join().unwrap(), RecvError::Finished);
    assert!(start.elapsed() < SOON / 2, "only when its time was up: without one, never");
}

// ---- acknowledgements ----

enum Part {
    Bytes(&'static [u8]),
    /// What happens while the batch is being written.
    Meanwhile(Mutex<Option<Box<dyn FnOnce() + Send>>>),
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        match self {
            Part::Bytes(bytes) => bytes,
            Part::Meanwhile(work) => {
                let once = work.lock().unwrap().take();
                if let Some(once) = once {
                    once();
                }
                b"third"
            }
        }
    }
}

fn batch_with_a_reader_that_goes(mut b: Channel) -> [Part; 3] {
    let work = move || {
        assert_eq!(&*b.recv_timeout(SOON).unwrap(), b"first");
        assert_eq!(&*b.recv_timeout(SOON).unwrap(), b"second");
        drop(b); // acknowledges, says goodbye
        std::thread::sleep(Duration::from_millis(300));
    };
    let work = Part::Meanwhile(Mutex::new(Some(Box::new(work))));
    [Part::Bytes(b"first"), Part::Bytes(b"second"), work]
}

#[test]
fn a_reader_that_acknowledges_during_a_batch_and_goes_is_not_accused() {
    let (mut a, b) = Channel::pair().unwrap();
    assert_eq!(a.sender().send_batch(&batch_with_a_reader_that_goes(b)).unwrap(), 3);
    assert_eq!(a.recv_timeout(SOON).unwrap_err(), RecvError::PeerClosed);
}

#[test]
fn what_was_acknowledged_during_a_batch_does_not_come_again() {
    let name = unique("batch");
    let mut a = Channel::open(&name).unwrap();
    let b = Channel::open(&name).unwrap();
    b.wait_peer(SOON).unwrap();
    assert_eq!(a.sender().send_batch(&batch_with_a_reader_that_goes(b)).unwrap(), 3);
    let mut c = Channel::open(&name).unwrap();
    assert_eq!(c.recv_timeout(SOON).unwrap().to_str().unwrap(), "third");
}

#[test]
fn try_recv_finds_the_message_behind_a_hundred_discarded_ones() {
    let (mut a, mut b) = Channel::pair().unwrap();
    for _ in 0..100 {
        a.send("old").unwrap();
    }
    a.sender().discard_unacknowledged();
    a.send("new").unwrap();
    assert_eq!(&*b.try_recv().unwrap(), b"new");
}

// ---- coming and going ----

#[test]
fn an_unused_invitation_is_a_goodbye() {
    let (mut end, invitation) = Channel::invite().unwrap();
    drop(invitation);
    assert_eq!(end.recv_timeout(SOON).unwrap_err(), RecvError::PeerClosed);
}

#[test]
fn a_dropped_end_has_left_also_while_a_peer_change_is_kept() {
    let (mut a, mut b) = Channel::pair().unwrap();
    let change = b.receiver().peer_change();
    drop(b);
    assert_eq!(a.recv_timeout(SOON).unwrap_err(), RecvError::PeerClosed);
    drop(change);
}

#[test]
fn two_ends_meet_after_one_was_short_of_descriptors() {
    let dir = TempDir::new("short");
    let mut a = Child::start_with("sits", &["meet"], |c| {
        c.env("TWOCAN_DIR", &dir.0);
    });
    a.expect("sits");
    // SAFETY: a signal to our own child.
    unsafe { libc::kill(a.pid() as i32, libc::SIGSTOP) };
    let mut b = Child::start_with("is short of descriptors", &["meet"], |c| {
        c.env("TWOCAN_DIR", &dir.0);
    });
    b.expect("no descriptors left");
    // SAFETY: as above.
    unsafe { libc::kill(a.pid() as i32, libc::SIGCONT) };
    b.expect("met");
}

fn short_of_descriptors(name: &str) {
    let end = Channel::open(name).unwrap();
    std::thread::sleep(Duration::from_millis(300)); // HELLO is queued
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
        if hoard.len() > 100_000 {
            break;
        }
    }
    say("no descriptors left");
    std::thread::sleep(Duration::from_millis(700));
    drop(hoard);
    say(if end.wait_peer(Duration::from_secs(5)).is_ok() { "met" } else { "alone for ever" });
}

// ---- hostile ----

#[test]
fn an_end_for_the_current_user_does_not_pair_with_another_user() {
    if !am_root() {
        return;
    }
    let dir = TempDir::new("strangers");
    let open = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&dir.0, open(0o755)).unwrap();
    std::fs::create_dir(dir.0.join("machine")).unwrap();
    std::fs::set_permissions(dir.0.join("machine"), open(0o1777)).unwrap();
    let mut stranger = Child::start_with("sits for all", &["trap"], |c| {
        c.env("TWOCAN_DIR", &dir.0).uid(STRANGER).gid(STRANGER);
    });
    stranger.expect("sits");
    let mut victim = Child::start_with("opens for itself", &["trap"], |c| {
        c.env("TWOCAN_DIR", &dir.0);
    });
    let said = victim.hear();
    assert!(said.starts_with("refused"), "{said}");
}

#[test]
fn a_descriptor_that_is_slow_to_close_does_not_stop_the_process() {
    let dir = TempDir::new("slow");
    let path = dir.0.to_str().unwrap().to_owned();
    let mut child = Child::start_with("is sent a slow descriptor", &[], |c| {
        c.env("TWOCAN_DIR", &path);
    });
    child.expect("sits");
    // SAFETY: signals to our own child.
    unsafe { libc::kill(child.pid() as i32, libc::SIGSTOP) };
    let _deaf = send_slow_descriptor(&path);
    // SAFETY: as above.
    unsafe { libc::kill(child.pid() as i32, libc::SIGCONT) };
    child.expect("goes on");
}

fn seat_socket(dir: &str) -> std::path::PathBuf {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_str().unwrap().ends_with(".0"))
        .unwrap()
}

fn connect(path: &std::path::Path) -> i32 {
    // SAFETY: plain system calls with live buffers of the lengths given.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK, 0);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as u16;
        for (to, from) in address.sun_path.iter_mut().zip(path.to_str().unwrap().bytes()) {
            *to = from as _;
        }
        let len = size_of::<libc::sockaddr_un>() as u32;
        libc::connect(fd, (&raw const address).cast(), len);
        fd
    }
}

fn slow_descriptor() {
    let _end = Channel::open("x").unwrap();
    say("sits");
    std::thread::sleep(Duration::from_millis(1500));
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let pair = Channel::pair();
        let _ = done.send(pair.is_ok());
    });
    match is_done.recv_timeout(SOON) {
        Ok(true) => say("goes on"),
        _ => say("everything stands still"),
    }
    std::process::exit(0);
}

/// Its close waits, for whoever closes it last, until the data is taken or the time is up.
fn send_slow_descriptor(dir: &str) -> std::net::TcpStream {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let deaf = server.accept().unwrap().0;
    client.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut &client, &[0; 65536]).is_ok() {}
    let seat = connect(&seat_socket(dir));
    // SAFETY: live buffers of the lengths given; the control message is built in an aligned, zeroed
    // buffer.
    unsafe {
        let linger = libc::linger { l_onoff: 1, l_linger: 20 };
        let len = size_of::<libc::linger>() as u32;
        let pointer = (&raw const linger).cast();
        libc::setsockopt(client.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, pointer, len);
        let mut byte = [1u8];
        let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut control = [0u64; 4];
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut iov;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(head).cast::<i32>().write_unaligned(client.as_raw_fd());
        assert_eq!(libc::sendmsg(seat, &raw const message, 0), 1);
    }
    drop(client);
    deaf
}

// ---- forks ----

#[test]
fn a_forked_child_may_ask_an_inherited_end_anything_and_lives() {
    let (mut a, _b) = Channel::pair().unwrap();
    a.send("x").unwrap();
    // SAFETY: the child makes a few calls and leaves without running anything else.
    let status = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            let _ = a.sender().unacknowledged();
            let _ = a.sender().acknowledged();
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(pid, &raw mut status, 0);
        status
    };
    assert!(libc::WIFEXITED(status), "ended by signal {}", libc::WTERMSIG(status));
}

// ---- invitations ----

#[test]
fn the_death_of_an_invited_child_is_told() {
    // The socket pair was made by the parent: its kernel credentials name the parent itself, so
    // the child must introduce itself.
    let (mut end, mut invitation) = Channel::invite().unwrap();
    let mut child = Child::start_with("was invited", &[], |command| {
        invitation.attach(command).unwrap();
    });
    drop(invitation);
    child.expect("sent");
    assert_eq!(&*end.recv_timeout(SOON).unwrap(), b"here");
    assert_eq!(end.peer().unwrap().pid(), Some(child.pid()));
    child.kill();
    assert!(matches!(end.recv_timeout(SOON), Err(RecvError::PeerDied)));
}
