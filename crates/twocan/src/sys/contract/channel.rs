//! The sentences of the contract that channels rest on: seats, sessions, regions, the poller.

use super::super::closer::Shy;
use super::super::dir::{Directory, PATIENCE};
use super::super::fd::Fd;
use super::super::poller::Poller;
use super::super::socket::{self, Connection, Listener, Reached, Received};
use super::super::{closer, files, memfd, random};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A seat of its own in the user's directory; removed at the end.
struct Place {
    dir: Directory,
    file: String,
}

impl Place {
    fn new() -> Place {
        let [a, b] = random::words().unwrap();
        Place { dir: Directory::open().unwrap(), file: format!("contract-{a:x}{b:x}.0") }
    }
    fn bind(&self) -> Listener {
        // Under the lock, as a channel does it, so that no sweep comes between.
        let _lock = self.dir.lock(1, PATIENCE).unwrap();
        Listener::bind(self.dir.fd(), &self.file).unwrap()
    }
    fn reach(&self) -> Reached {
        Connection::reach(self.dir.fd(), &self.file).unwrap()
    }
    fn connect(&self) -> Connection {
        match self.reach() {
            Reached::Connected(connection) => connection,
            other => panic!("{other:?}"),
        }
    }
}

/// Is the end all that still comes? What a peer had a hand in is closed a moment later.
fn end_comes(connection: &Connection) -> bool {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        match connection.recv(100) {
            Received::Nothing if Instant::now() < limit => {
                std::thread::sleep(Duration::from_millis(1));
            }
            last => return matches!(last, Received::End),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        files::unlink(&self.dir, &self.file);
    }
}

fn message(received: Received) -> (Vec<u8>, Vec<Shy>) {
    match received {
        Received::Message(bytes, fds) => (bytes, fds),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_seat_is_free_before_it_is_taken_and_after_it_was_shut_down() {
    let place = Place::new();
    assert!(matches!(place.reach(), Reached::Free), "no file");
    let listener = place.bind();
    assert!(matches!(place.reach(), Reached::Connected(_)));
    assert!(Listener::bind(place.dir.fd(), &place.file).is_err(), "taken");
    listener.shutdown();
    assert!(matches!(place.reach(), Reached::Free), "a file without a listener");
}

#[test]
fn a_full_queue_is_busy_and_nothing_waits() {
    let place = Place::new();
    let listener = place.bind();
    let mut waiting = Vec::new();
    while let Reached::Connected(connection) = place.reach() {
        waiting.push(connection);
        assert!(waiting.len() < 1000, "the queue has an end");
    }
    assert!(matches!(place.reach(), Reached::Busy));
    assert!(listener.accept().unwrap().is_some());
    assert!(matches!(place.reach(), Reached::Connected(_)));
}

#[test]
fn what_was_queued_outlives_its_sender_with_its_descriptors() {
    let place = Place::new();
    let listener = place.bind();
    let client = place.connect();
    let (fd, _mapping) = memfd::create_sealed(4096 * 2, true).unwrap();
    client.send(b"hello", &[fd.as_fd(), fd.as_fd()]).unwrap();
    client.send(b"again", &[]).unwrap();
    drop(client);
    closer::settle();
    let server = listener.accept().unwrap().unwrap();
    let (bytes, fds) = message(server.recv(100));
    assert_eq!((bytes.as_slice(), fds.len()), (b"hello".as_slice(), 2));
    assert!(memfd::map_sealed(fds[0].fd(), 4096 * 2, true).is_some());
    assert_eq!(message(server.recv(100)).0, b"again");
    assert!(end_comes(&server));
    assert!(server.send(b"welcome", &[]).is_err());
}

#[test]
fn an_answer_is_read_although_a_reset_is_reported_first() {
    let place = Place::new();
    let listener = place.bind();
    let client = place.connect();
    let server = listener.accept().unwrap().unwrap();
    client.send(b"hello", &[]).unwrap();
    server.send(b"welcome", &[]).unwrap();
    drop(server); // with HELLO unread: the kernel reports a reset before the answer
    closer::settle();
    assert_eq!(message(client.recv(100)).0, b"welcome");
    assert!(end_comes(&client));
}

#[test]
fn too_long_is_told_apart_and_nothing_is_nothing() {
    let (a, b) = Connection::pair().unwrap();
    assert!(matches!(a.recv(10), Received::Nothing));
    b.send(&[1; 11], &[]).unwrap();
    assert!(matches!(a.recv(10), Received::Oversized));
    a.shutdown();
    assert!(matches!(b.recv(10), Received::End));
}

#[test]
fn a_region_is_written_by_its_maker_alone() {
    let len = 4096 * 4;
    let (fd, mapping) = memfd::create_sealed(len, true).unwrap();
    let seen = memfd::map_sealed(&fd, len, true).unwrap().unwrap();
    // SAFETY: inside both mappings; volatile, since two mappings show the same memory.
    unsafe { mapping.base().as_ptr().add(100).write_volatile(7) };
    // SAFETY: as above.
    assert_eq!(unsafe { seen.base().as_ptr().add(100).read_volatile() }, 7);
    // SAFETY: a new mapping at an address of the kernel's choice, if it were allowed.
    let second = unsafe {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        mmap(std::ptr::null_mut(), len, ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)
    };
    assert!(second.is_err(), "a second writable mapping");
    assert!(rustix::fs::ftruncate(&fd, 0).is_err());
    assert!(rustix::io::pwrite(&fd, &[1], 0).is_err());
    let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    assert!(rustix::fs::fallocate(&fd, hole, 0, 4096).is_err());
}

#[test]
fn what_could_fail_under_a_reader_is_not_mapped() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    let make = || {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        Fd::make(|| memfd_create("test", flags)).unwrap()
    };
    let all = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    let unsealed = make();
    rustix::io::pwrite(&unsealed, &[0; 8192], 0).unwrap();
    assert!(memfd::map_sealed(&unsealed, 8192, false).is_none(), "not sealed");
    let sparse = make();
    ftruncate(&sparse, 8192).unwrap();
    fcntl_add_seals(&sparse, all).unwrap();
    assert!(memfd::map_sealed(&sparse, 8192, true).is_none(), "not allocated");
    assert!(memfd::map_sealed(&sparse, 8192, false).is_some(), "from whom that does not matter");
    let short = make();
    rustix::io::pwrite(&short, &[0; 4096], 0).unwrap();
    fcntl_add_seals(&short, all).unwrap();
    assert!(memfd::map_sealed(&short, 8192, false).is_none(), "shorter than announced");
    assert!(memfd::map_sealed(&short, 4096, true).is_some(), "the others differ by one thing each");
    let open = Fd::make(|| {
        rustix::fs::open("/proc/self/exe", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
    });
    assert!(memfd::map_sealed(&open.unwrap(), 4096, false).is_none(), "a file of a disk");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let Ok(huge) = Fd::make(|| memfd_create("test", flags)) else {
        return println!("skipped: this system has no huge pages");
    };
    let page = rustix::fs::fstat(&huge).unwrap().st_blksize as u64;
    ftruncate(&huge, page).unwrap();
    fcntl_add_seals(&huge, all).unwrap();
    let mapped = memfd::map_sealed(&huge, page as usize, false);
    assert!(mapped.is_none(), "pages that may be missing when they are touched");
}

#[test]
fn the_poller_reports_what_came_before_and_after_and_sleeps_otherwise() {
    let poller = Poller::new().unwrap();
    let (a, b) = Connection::pair().unwrap();
    b.send(b"early", &[]).unwrap();
    poller.add(a.fd(), 5).unwrap();
    let mut tokens = Vec::new();
    poller.wait(None, &mut tokens).unwrap();
    assert_eq!(tokens, [5]);
    tokens.clear();
    let soon = Instant::now() + Duration::from_millis(5);
    poller.wait(Some(soon), &mut tokens).unwrap();
    assert!(tokens.is_empty() && Instant::now() >= soon, "an edge is told once");
    drop(b);
    closer::settle();
    poller.wait(None, &mut tokens).unwrap();
    assert_eq!(tokens, [5]);
    poller.poke();
    poller.wait(None, &mut Vec::new()).unwrap();
}

#[test]
fn a_doorbell_never_makes_its_ringer_wait() {
    let (ours, theirs) = socket::doorbell().unwrap();
    for _ in 0..10_000 {
        socket::ring(&theirs);
    }
    assert!(socket::is_doorbell(&ours) && socket::is_doorbell(&theirs));
    drop(ours);
    socket::ring(&theirs);
    let (memory, _mapping) = memfd::create_sealed(4096, false).unwrap();
    assert!(!socket::is_doorbell(&Shy::new(memory)));
}

#[test]
fn what_is_given_up_is_closed_however_much_it_is() {
    let (given, kept): (Vec<_>, Vec<_>) = (0..500).map(|_| Connection::pair().unwrap()).unzip();
    drop(given);
    let end = Instant::now() + Duration::from_secs(20);
    while !kept.iter().all(|c| matches!(c.recv(10), Received::End)) {
        assert!(Instant::now() < end, "some are still open");
        std::thread::sleep(Duration::from_millis(1));
    }
}
