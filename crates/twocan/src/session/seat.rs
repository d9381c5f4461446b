//! Seats: two places of a name, each held by a listening socket with a record beside it. Who holds
//! one, taking one, keeping it.

use super::wire::{MAX_WIRE, SeatRecord, Unusable};
use crate::error::{Error, ErrorKind, Result};
use crate::name::files::SeatFiles;
use crate::peer::PeerInfo;
use crate::sys::dir::{DirLock, Directory};
use crate::sys::fd::Fd;
use crate::sys::files;
use crate::sys::object::{self, Spec};
use crate::sys::permission::Permission;
use crate::sys::process::FileId;
use crate::sys::socket::{Connection, Listener, Process, Reached};
use crate::sys::watch;
use std::time::SystemTime;

/// How often an end tries, some milliseconds apart, to make the files of its seat again.
const REBIND_TRIES: u32 = 50;

/// A seat of a name, held. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Seat {
    dir: Directory,
    files: Files,
    number: usize,
    bound: Bound,
    /// What is needed to sit down again should somebody sweep the directory.
    contents: Vec<u8>,
    permission: Permission,
    /// How often that has failed.
    tries: u32,
}

/// What holds a seat.
#[derive(Debug)]
struct Bound {
    listener: Listener,
    /// Holds the record's lock, by which a corpse is known when the directory is swept.
    record: Fd,
    /// The file that stands for the listener.
    socket: FileId,
}

/// What became of a seat whose files somebody removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebound {
    /// It has them still.
    Unharmed,
    /// They are made again.
    Again,
    /// Somebody is opening this name just now: to be tried again.
    Later,
    /// Somebody else has taken the seat, or it cannot be made.
    Lost,
}

impl Seat {
    /// Sits down where nobody sits.
    pub(super) fn take(
        dir: Directory,
        lock: &DirLock,
        files: Files,
        number: usize,
        contents: Vec<u8>,
        permission: Permission,
    ) -> Result<Seat> {
        let bound = bind(&dir, lock, &files, number, &contents, permission)?;
        Ok(Seat { dir, files, number, bound, contents, permission, tries: 0 })
    }

    /// Where it stands.
    pub(super) fn dir(&self) -> &Directory {
        &self.dir
    }

    /// Who may come.
    pub(super) fn permission(&self) -> Permission {
        self.permission
    }

    /// The files whose names the watcher watches.
    pub(super) fn names(&self) -> (&Directory, [String; 2]) {
        (&self.dir, [self.files.record(self.number), self.files.socket(self.number)])
    }

    /// Would somebody who opens the name now find this seat, with its record?
    pub(super) fn is_findable(&self) -> bool {
        let (scope, number) = (self.dir.scope(), self.number);
        let record = object::id_of(&self.bound.record);
        object::leads_to(scope, &self.files.socket(number), self.bound.socket)
            && record.is_ok_and(|id| object::leads_to(scope, &self.files.record(number), id))
    }

    /// Does the socket's name still lead to this listener?
    fn has_socket(&self, dir: &Directory) -> bool {
        object::id_of_name(dir, &self.files.socket(self.number)) == Some(self.bound.socket)
            || cfg!(twocan_mutant = "only-records-are-watched")
    }

    /// If the seat's files are gone (a logout swept the directory), makes them again, where the
    /// name would be looked for now. The session goes on in any case.
    pub(super) fn rebind(&mut self) -> Rebound {
        if !watch::is_nameless(&self.bound.record) && self.has_socket(&self.dir) {
            return Rebound::Unharmed;
        }
        match self.sit_down_again() {
            // A sweep that is not over yet, or a shortage, may pass.
            Err(_) if self.tries < REBIND_TRIES => {
                self.tries += 1;
                Rebound::Later
            }
            Err(_) => Rebound::Lost,
            Ok(how) => how,
        }
    }

    fn sit_down_again(&mut self) -> Result<Rebound> {
        let dir = Directory::open_in(self.dir.scope())?;
        let Some(lock) = dir.try_lock(self.files.hash)? else { return Ok(Rebound::Later) };
        // Its socket may have been spared: then it is this end itself that would answer.
        let spared = self.has_socket(&dir);
        if !spared
            && !matches!(probe(&dir, &self.files, self.number, self.permission)?, Holder::Nobody)
        {
            return Ok(Rebound::Lost);
        }
        let Seat { files, number, contents, permission, .. } = &*self;
        self.bound = bind(&dir, &lock, files, *number, contents, *permission)?;
        self.dir = dir;
        self.tries = 0;
        Ok(Rebound::Again)
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.bound.listener
    }

    /// Connects to the other seat if the end with the region `whom` still sits there.
    pub(super) fn reach_other(&self, whom: u64) -> Option<Reached> {
        let other = 1 - self.number;
        // What cannot be told now (no descriptors left, a record on its way out) is as good as a
        // full queue.
        let reached = match Connection::reach(self.dir.fd(), &self.files.socket(other)) {
            Ok(Reached::Free) => return Some(Reached::Free),
            Ok(reached) => reached,
            Err(_) => return Some(Reached::Busy),
        };
        // Read after connecting: whoever takes a seat over writes its record before it listens.
        match self.files.read_record(&self.dir, other) {
            Ok(record) => (record.card.region.id == whom).then_some(reached),
            Err(_) => Some(Reached::Busy),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.bound.record.is_forked() {
            return;
        }
        if watch::is_nameless(&self.bound.record) {
            self.bound.listener.shutdown();
            return; // swept: the names may be somebody else's by now
        }
        // While we still listen nobody else takes the seat, so these files are ours. The record
        // first: whoever finds no socket may make a new record.
        files::unlink(&self.dir, &self.files.record(self.number));
        files::unlink(&self.dir, &self.files.socket(self.number));
        self.bound.listener.shutdown();
    }
}

/// The file names of a channel.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) hash: u128,
}

impl Files {
    fn socket(&self, seat: usize) -> String {
        SeatFiles { hash: self.hash, seat }.socket()
    }
    fn record(&self, seat: usize) -> String {
        SeatFiles { hash: self.hash, seat }.record()
    }

    /// Does nothing stand in the way of who sits down there? What a killed end of another user has
    /// left, only that user can remove.
    pub(super) fn is_clear(&self, dir: &Directory, seat: usize) -> bool {
        object::in_the_way(dir, &self.record(seat), false).is_none()
            && object::in_the_way(dir, &self.socket(seat), true).is_none()
    }

    fn read_record(&self, dir: &Directory, seat: usize) -> Result<SeatRecord, Unusable> {
        read(dir, &self.record(seat))
    }
}

fn read(dir: &Directory, file: &str) -> Result<SeatRecord, Unusable> {
    let bytes = files::read_small(dir, file, MAX_WIRE).ok_or(Unusable::Malformed)?;
    SeatRecord::decode(&bytes)
}

/// The record in a seat's file, for a listing.
pub(crate) fn read_record(dir: &Directory, file: &str) -> Option<SeatRecord> {
    read(dir, file).ok()
}

/// Who sits in a seat.
#[derive(Debug)]
pub(super) enum Holder {
    Nobody,
    Somebody { connection: Option<(Connection, Process)>, record: Result<SeatRecord, Unusable> },
}

impl Holder {
    pub(super) fn describe(&self) -> Option<PeerInfo> {
        let Holder::Somebody { connection, record } = self else { return None };
        let process = connection.as_ref().map(|(_, process)| process);
        let card = record.as_ref().ok().map(|r| &r.card);
        Some(PeerInfo {
            nick: card.map(|c| c.nick.clone()).unwrap_or_default(),
            // The kernel's word; the card's number may be one of another pid namespace.
            pid: match process {
                Some(process) => process.pid,
                None => card.map(|c| c.pid),
            },
            user: process.and_then(|p| p.uid),
            since: SystemTime::now(),
            epoch: 0,
        })
    }
}

/// Takes a seat that nobody holds: removes what a dead holder left, writes the record, listens.
fn bind(
    dir: &Directory,
    lock: &DirLock,
    names: &Files,
    number: usize,
    contents: &[u8],
    permission: Permission,
) -> Result<Bound> {
    let (socket, record) = (names.socket(number), names.record(number));
    let clear = || {
        files::unlink(dir, &record);
        files::unlink(dir, &socket);
    };
    if !cfg!(twocan_mutant = "no-clear-seat") {
        clear();
    }
    let spec = Spec { len: contents.len() as u64, allocate: false, permission, inheritable: false };
    let make = || {
        let prepared = object::prepare(dir, &spec, |file| files::write_all(file, contents))?;
        let held = prepared.publish(dir, lock, &record)?;
        let listener = Listener::bind(dir.fd(), &socket)?;
        files::permit(dir, &socket, permission)?;
        let id = object::id_of_name(dir, &socket).ok_or(std::io::ErrorKind::NotFound)?;
        Ok(Bound { listener, record: held, socket: id })
    };
    make().map_err(|e: std::io::Error| {
        clear();
        let foreign = object::in_the_way(dir, &record, false);
        foreign.or_else(|| object::in_the_way(dir, &socket, true)).unwrap_or_else(|| {
            Error::from_os(format_args!("cannot take a seat in {}", dir.path().display()), e)
        })
    })
}

/// Who sits there? Only the kernel says that somebody is dead.
pub(super) fn probe(
    dir: &Directory,
    names: &Files,
    seat: usize,
    permission: Permission,
) -> Result<Holder> {
    let socket = names.socket(seat);
    let reached = Connection::reach(dir.fd(), &socket).map_err(|e| {
        object::in_the_way(dir, &socket, true).unwrap_or_else(|| {
            Error::from_os(format_args!("cannot look at a seat in {}", dir.path().display()), e)
        })
    })?;
    if !matches!(reached, Reached::Free) {
        if let Some(error) = object::not_a_seat(dir, &socket, permission) {
            return Err(error);
        }
    }
    let connection = match reached {
        Reached::Free => return Ok(Holder::Nobody),
        Reached::Busy => None,
        Reached::Connected(connection) => {
            let process = connection.process();
            if !process.is_welcome(permission) {
                let path = dir.path().join(&socket);
                let owner = process.owner_name();
                let cause = format!("{} belongs to user {owner}, not to you", path.display());
                return Err(Error::new(ErrorKind::ForeignOwner, cause)
                    .with_cure("Both sides must ask for the same sharing"));
            }
            if process.is_dead() {
                return Ok(Holder::Nobody); // a forked child kept the listener
            }
            Some((connection, process))
        }
    };
    Ok(Holder::Somebody { connection, record: names.read_record(dir, seat) })
}
