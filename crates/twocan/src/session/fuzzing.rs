//! A doorway for the fuzz targets of `fuzz/`, compiled with `--cfg fuzzing` only; no part of the
//! public face. Each function takes what a hostile peer may hand over, and panics if a promise
//! about it is broken.

use super::state::State;
use super::wire::{Card, Hello, Listed, MAX_LABEL, MAX_REGIONS, MAX_WIRE, SeatRecord, Welcome};
use super::{End, Owner, Wanted, nameless, nameless_newcomer};
use crate::layout::{LINE, RING_AT};
use crate::name::{Name, decode_stem};
use crate::region::{OwnRegion, PeerRegion, Shape};
use crate::ring::{Memory, MemoryMut};
use crate::sync::Ordering;
use crate::sys::closer::Shy;
use crate::sys::fd::Fd;
use crate::sys::socket::{Connection, Received, doorbell};
use crate::{Channel, RecvError, Spin, Until, wait_any};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const CAPACITY: usize = 4096;
/// The limit of a message in the `records` target: four rings.
const LIMIT: usize = 4 * CAPACITY;

fn wanted() -> Wanted {
    Wanted { capacity: CAPACITY, max_message: LIMIT, ..Wanted::default() }
}

fn copy_of(fd: &Fd) -> Shy {
    Shy::new(Fd::make(|| fd.as_fd().try_clone_to_owned()).expect("a descriptor"))
}

/// A name that is accepted keeps the rules, and has a file name that is one and stands for it
/// again.
pub fn names(raw: &str) {
    let Ok(name) = Name::parse(raw) else { return };
    assert!(name.as_str().chars().all(|c| !c.is_control() && c != '\\'));
    let stem = name.file_stem();
    assert!(!stem.is_empty() && stem.len() <= 200 && !stem.contains('/') && !stem.starts_with('.'));
    let (hash, text) = decode_stem(&stem).expect("our own stem");
    assert_eq!(hash, name.hash128());
    assert!(text.is_none_or(|text| text == name.as_str()));
    let _ = decode_stem(raw);
}

/// What is read from a packet keeps the limits and is what would be written: no byte more or less
/// is the same.
pub fn packets(bytes: &[u8]) {
    let exact = |refuses: &dyn Fn(&[u8]) -> bool| {
        let (longer, shorter) = ([bytes, &[0]].concat(), &bytes[..bytes.len() - 1]);
        assert!(refuses(&longer) && refuses(shorter));
    };
    let kept = |card: &Card, written: &[u8]| {
        assert!(card.label.len() <= MAX_LABEL && card.nick.len() <= crate::MAX_NICK);
        assert!(written.len() <= MAX_WIRE);
    };
    if let Ok(record) = SeatRecord::decode(bytes) {
        kept(&record.card, &record.encode());
        assert_eq!(SeatRecord::decode(&record.encode()).as_ref(), Ok(&record));
        exact(&|other| SeatRecord::decode(other).is_err());
    }
    if let Ok(hello) = Hello::decode(bytes) {
        kept(&hello.card, &hello.encode());
        assert_eq!(Hello::decode(&hello.encode()).as_ref(), Ok(&hello));
        exact(&|other| Hello::decode(other).is_err());
    }
    if let Ok(welcome) = Welcome::decode(bytes) {
        kept(&welcome.card, &welcome.encode());
        assert_eq!(Welcome::decode(&welcome.encode()).as_ref(), Ok(&welcome));
        exact(&|other| Welcome::decode(other).is_err());
        let (outbox, inbox) = (&welcome.outbox, &welcome.inbox);
        assert!(outbox.len() <= MAX_REGIONS && inbox.len() < MAX_REGIONS);
        let rising = |list: &[Listed]| list.is_sorted_by(|a, b| a.generation < b.generation);
        assert!(rising(outbox) && rising(inbox));
        let heir = |l: &Listed| 0 < l.generation && l.generation < welcome.generation;
        assert!(inbox.iter().all(heir) && outbox.iter().all(|l| l.generation > 0));
    }
}

/// The packet comes with `more` descriptors besides the honest ones, at an end that waits for HELLO
/// or for WELCOME. Whatever it is, the end goes on living.
pub fn handshake(hello: bool, fewer: usize, more: usize, bytes: &[u8]) {
    let (ours, theirs) = Connection::pair().expect("a pair");
    let end = match hello {
        true => nameless(&wanted(), theirs, None),
        false => nameless_newcomer(&wanted(), theirs, false),
    };
    let end = end.expect("an end");
    end.step();
    let region = OwnRegion::create(CAPACITY, 0, 7, true).expect("memory");
    let bells = doorbell().expect("bells");
    let mut fds: Vec<BorrowedFd<'_>> = vec![bells.0.as_fd(), bells.1.as_fd(), region.fd().as_fd()];
    if hello {
        fds.rotate_right(1);
    }
    fds.extend(vec![region.fd().as_fd(); more]);
    fds.truncate(fds.len().saturating_sub(fewer));
    if ours.send(bytes, &fds).is_ok() {
        end.step();
    }
    let attached = end.peer().is_some();
    let answered = hello && matches!(ours.recv(MAX_WIRE), Received::Message(..));
    // Not one descriptor more or less than the packet speaks of. (One more could be taken for the
    // process, and its end for that of the peer: answered all the same.)
    let due = match hello {
        true => Hello::decode(bytes).map(|hello| 3 + usize::from(hello.own_pidfd)),
        false => Welcome::decode(bytes).map(|w| 2 + w.outbox.len() + w.inbox.len()),
    };
    assert!(!(attached || answered) || due == Ok(fds.len()), "{} descriptors", fds.len());
    let mut can = Channel::from_owner(end, Spin::Never);
    let received = can.try_recv();
    match attached {
        true => assert_eq!(received.unwrap_err(), RecvError::Empty),
        // Still waiting, or told why not.
        false => assert!(received.is_err()),
    }
}

/// A region that is mapped has all seals, the size that was told, and says of itself what was told.
pub fn attach(fd: OwnedFd, id: u64, capacity: u64, start: u64) -> bool {
    let shape = Shape { id, capacity, start };
    let fd = Shy::new(Fd::make(|| Ok::<_, std::io::Error>(fd)).expect("given"));
    let Ok(region) = PeerRegion::map(fd, shape, false) else { return false };
    assert_eq!((region.shape(), region.capacity() as u64), (shape, capacity));
    let identity = &region.header().identity;
    let said = [&identity.id, &identity.capacity, &identity.start];
    assert_eq!(said.map(|word| word.load(Ordering::Relaxed)), [id, capacity, start]);
    // Touches every line: a hole in the mapping would be a signal.
    for at in (0..region.capacity()).step_by(LINE) {
        region.word(at).load(Ordering::Relaxed);
    }
    true
}

/// A reader before a dead peer's region with these bytes: the control words first, then the ring.
/// Every call returns, messages keep the limit, and the region comes to its end.
pub fn records(bytes: &[u8]) {
    let Some((control, ring)) = bytes.split_first_chunk::<24>() else { return };
    let word = |at: usize| u64::from_le_bytes(control[at..at + 8].try_into().expect("8 bytes"));
    let region = OwnRegion::create(CAPACITY, 0, 7, true).expect("memory");
    region.header().end.store(word(0), Ordering::Relaxed);
    region.header().discard.store(word(8), Ordering::Relaxed);
    region.copy_in(0, &ring[..ring.len().min(CAPACITY)]);
    let peer = PeerRegion::map(copy_of(region.fd()), region.shape(), true).expect("honest");
    let mut can = Channel::from_owner(heir(peer), Spin::Never);
    let mut buffer = Vec::new();
    // No ring holds more records than lines; each may be handed out twice, as a delivery.
    for turn in 0..4 * CAPACITY / LINE {
        let rx = can.receiver();
        let way = word(16) >> (2 * (turn % 32)) & 3;
        let received = match way {
            0 => rx.try_recv().map(|m| m.len()),
            1 => rx.try_recv_into(&mut buffer).map(|_| buffer.len()),
            2 => rx.recv_delivery_until(Until::now()).map(|delivery| {
                buffer.resize(delivery.len(), 0);
                delivery.copy_to(&mut buffer);
                delivery.acknowledge();
                buffer.len()
            }),
            _ => {
                wait_any(&[&*rx], Until::now()).expect("neither cancelled nor forked");
                drop(rx.recv_delivery_until(Until::now())); // comes again
                rx.try_recv().map(|m| m.len())
            }
        };
        match received {
            Ok(len) => assert!(len <= LIMIT),
            Err(RecvError::PeerClosed | RecvError::PeerMisbehaved(_)) => return,
            Err(other) => panic!("a dead region answers {other:?}"),
        }
    }
    panic!("the region has no end");
}

/// An end that holds a dead region of the other seat, and to whom nobody can come.
fn heir(region: PeerRegion) -> Owner {
    let wanted = wanted();
    let (own, card) = wanted.make().expect("memory");
    let mut state = State::new(own.shape(), &wanted);
    state.nameless = true;
    state.install(1, Arc::new(region), 0, None);
    Owner::of(End::new(own, card, None, state).expect("a watcher")).expect("a watcher")
}

const _: () = assert!(RING_AT == CAPACITY);
