//! Seats: two places of a name, each held by a listening socket, and the opening of a channel.

use super::state::{Connecting, State};
use super::wire::{Card, MAX_LABEL, MAX_WIRE, SeatRecord, Unusable};
use super::{End, Owner};
use crate::direction::Direction;
use crate::error::{Error, ErrorKind, Mismatch, Result};
use crate::layout::{
    DEFAULT_CAPACITY, DEFAULT_MAX_MESSAGE, LINE, MAX_CAPACITY, MIN_CAPACITY, VERSION,
};
use crate::name::{Name, files::SeatFiles};
use crate::peer::PeerInfo;
use crate::region::OwnRegion;
use crate::sys::dir::{DirLock, Directory, PATIENCE};
use crate::sys::fd::Fd;
use crate::sys::files;
use crate::sys::object::{self, Permission, Spec};
use crate::sys::process::FileId;
use crate::sys::socket::{Connection, Listener, Process, Reached};
use crate::sys::watch;
use crate::{Scope, Sharing, Until};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long a refusal is looked at again before it is told: a dying process frees its memory before
/// it closes its sockets (about 130 ms for a gibibyte).
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// Pauses between two tries to get a seat.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// How often an end tries, some milliseconds apart, to make the files of its seat again.
const REBIND_TRIES: u32 = 50;

/// What an end is to be like.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) nick: String,
    pub(crate) label: String,
    pub(crate) direction: Direction,
    pub(crate) capacity: usize,
    pub(crate) max_message: usize,
    pub(crate) prefault: bool,
    pub(crate) sharing: Sharing,
    pub(crate) scope: Scope,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted {
            nick: String::new(),
            label: String::new(),
            direction: Direction::Both,
            capacity: DEFAULT_CAPACITY,
            max_message: DEFAULT_MAX_MESSAGE,
            prefault: false,
            sharing: Sharing::CurrentUser,
            scope: Scope::Session,
        }
    }
}

impl Wanted {
    /// May other users be at the other end? Their memory is not to be paid for by us, nor ours by
    /// them.
    pub(super) fn is_open_to_others(&self) -> bool {
        self.sharing != Sharing::CurrentUser
    }

    /// Checks the options and makes the region.
    pub(super) fn make(&self) -> Result<(OwnRegion, Card)> {
        let bad = |text: String| Err(Error::new(ErrorKind::InvalidInput, text));
        if self.label.len() > MAX_LABEL {
            return bad(format!(
                "a label has at most {MAX_LABEL} bytes, this one {}",
                self.label.len()
            ));
        }
        if self.max_message == 0 || self.max_message > u32::MAX as usize {
            return bad("max_message lies between 1 byte and 4 GiB - 1".into());
        }
        if self.capacity > MAX_CAPACITY {
            return bad(format!(
                "send_capacity is at most {MAX_CAPACITY} bytes, not {}",
                self.capacity
            ));
        }
        let capacity = self.capacity.max(MIN_CAPACITY).next_power_of_two();
        let [id, start] = crate::sys::random::words()?;
        // A random beginning: counters wrap in some of the tests of every run, not after centuries.
        let start = start & !(LINE as u64 - 1);
        let others = self.is_open_to_others() && !cfg!(twocan_mutant = "gives-sparse");
        let own = OwnRegion::create(capacity, start, id, self.prefault || others)?;
        if self.prefault {
            own.populate();
        }
        let card = Card {
            direction: self.direction,
            max_message: self.max_message as u64,
            pid: std::process::id(),
            label: self.label.clone(),
            nick: crate::peer::clean_nick(&self.nick),
            region: own.shape(),
        };
        Ok((own, card))
    }
}

/// A seat of a name, held. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Seat {
    dir: Directory,
    files: Files,
    number: usize,
    bound: Bound,
    /// What is needed to sit down again should somebody sweep the directory.
    contents: Vec<u8>,
    sharing: Sharing,
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
    /// Who may come.
    pub(super) fn sharing(&self) -> &Sharing {
        &self.sharing
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
            && !matches!(probe(&dir, &self.files, self.number, &self.sharing)?, Holder::Nobody)
        {
            return Ok(Rebound::Lost);
        }
        let Seat { files, number, contents, sharing, .. } = &*self;
        self.bound = bind(&dir, &lock, files, *number, contents, sharing)?;
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
struct Files {
    hash: u128,
}

impl Files {
    fn socket(&self, seat: usize) -> String {
        SeatFiles { hash: self.hash, seat }.socket()
    }
    fn record(&self, seat: usize) -> String {
        SeatFiles { hash: self.hash, seat }.record()
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
enum Holder {
    Nobody,
    Somebody { connection: Option<(Connection, Process)>, record: Result<SeatRecord, Unusable> },
}

impl Holder {
    fn describe(&self) -> Option<PeerInfo> {
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

/// Why there is no seat at the moment.
enum Refused {
    /// May pass: both seats taken, or the other end does not fit.
    For(Error),
    /// Will not pass by waiting.
    Final(Error),
}

impl From<Error> for Refused {
    fn from(e: Error) -> Refused {
        Refused::Final(e)
    }
}

/// Opens a channel; with `until`, waits for a seat that long.
pub(crate) fn open(wanted: &Wanted, name: &str, until: Option<Until<'_>>) -> Result<Arc<Owner>> {
    let name = Name::parse_with(name, wanted.scope, &wanted.sharing)?;
    let _first = super::watcher::Watcher::of_this_process()?;
    let (own, card) = wanted.make()?;
    let patience = Instant::now() + REFUSAL_PATIENCE;
    let mut pause = PAUSES.0;
    let state = loop {
        let error = match take_seat(wanted, &name, &card) {
            Ok(state) => break state,
            Err(Refused::Final(error)) => return Err(error),
            Err(Refused::For(error)) => error,
        };
        match until.map(|until| until.gone()) {
            None if Instant::now() < patience => {}
            Some(None) => {}
            Some(Some(crate::until::Gone::Cancelled)) => {
                return Err(crate::SendError::Cancelled.into());
            }
            _ => return Err(error),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSES.1);
    };
    Owner::of(End::new(own, card, Some(name.as_str().to_owned()), state)?)
}

/// Under the name's lock: finds a free seat and sits down, already connected with the other end if
/// there is one.
fn take_seat(wanted: &Wanted, name: &Name, card: &Card) -> Result<State, Refused> {
    let dir = Directory::open_in(name.scope())?;
    let files = Files { hash: name.hash128() };
    let lock = dir.lock(files.hash, PATIENCE)?;
    let contents = SeatRecord { card: card.clone(), channel: name.as_str().to_owned() }.encode();
    let (number, other) = choose(name, &dir, &files, card, &wanted.sharing)?;
    let bound = bind(&dir, &lock, &files, number, &contents, &wanted.sharing)?;
    let mut state = State::new(card.region, wanted);
    match other {
        Holder::Somebody { connection: Some((connection, process)), record } => {
            let whom = record.as_ref().ok().map(|r| r.card.region.id);
            state.connecting = Some(Connecting::new(connection, process, whom, false));
        }
        Holder::Somebody { connection: None, record: Ok(record) } => {
            state.again = Some((Instant::now(), record.card.region.id));
        }
        _ => {}
    }
    drop(lock);
    crate::named::sweep_sometimes(&dir);
    let sharing = wanted.sharing.clone();
    state.seat = Some(Seat { dir, files, number, bound, contents, sharing, tries: 0 });
    Ok(state)
}

/// A free seat, and who sits in the other.
fn choose(
    name: &Name,
    dir: &Directory,
    names: &Files,
    card: &Card,
    sharing: &Sharing,
) -> Result<(usize, Holder), Refused> {
    let mut holders = vec![probe(dir, names, 0, sharing)?, probe(dir, names, 1, sharing)?];
    let free: Vec<usize> = (0..2).filter(|n| matches!(holders[*n], Holder::Nobody)).collect();
    // What a killed end of another user has left, only that user can remove: rather the other seat,
    // where such users are expected.
    let clear = |n: &usize| {
        *sharing == Sharing::CurrentUser
            || object::in_the_way(dir, &names.record(*n), false).is_none()
                && object::in_the_way(dir, &names.socket(*n), true).is_none()
    };
    let chosen = free.iter().copied().find(clear).or(free.first().copied());
    let Some(number) = chosen else { return Err(in_use(name, &holders)) };
    let other = holders.swap_remove(1 - number);
    if let Holder::Somebody { record, .. } = &other {
        match record {
            Ok(record) => compatible(card, &record.card)
                .map_err(|why| Refused::For(why.explain(name, card, &record.card, &other)))?,
            Err(Unusable::Version(theirs)) => {
                return Err(Refused::For(other_version(name, *theirs, &other)));
            }
            // On its way out (its record goes first), or not yet whole: look again.
            Err(Unusable::Malformed) => return Err(in_use(name, &[other])),
        }
    }
    Ok((number, other))
}

/// Takes a seat that nobody holds: removes what a dead holder left, writes the record, listens.
fn bind(
    dir: &Directory,
    lock: &DirLock,
    names: &Files,
    number: usize,
    contents: &[u8],
    sharing: &Sharing,
) -> Result<Bound> {
    let (socket, record) = (names.socket(number), names.record(number));
    let clear = || {
        files::unlink(dir, &record);
        files::unlink(dir, &socket);
    };
    if !cfg!(twocan_mutant = "no-clear-seat") {
        clear();
    }
    let permission = Permission::of(sharing)?;
    let spec = Spec { len: contents.len() as u64, allocate: false, permission, inheritable: false };
    let make = || {
        let prepared = object::prepare(dir, &spec, |file| files::write_all(file, contents))?;
        let held = prepared.publish(dir, lock, &record)?;
        let listener = Listener::bind(dir.fd(), &socket)?;
        files::permit(dir, &socket, sharing)?;
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
fn probe(dir: &Directory, names: &Files, seat: usize, sharing: &Sharing) -> Result<Holder> {
    let socket = names.socket(seat);
    let reached = Connection::reach(dir.fd(), &socket).map_err(|e| {
        object::in_the_way(dir, &socket, true).unwrap_or_else(|| {
            Error::from_os(format_args!("cannot look at a seat in {}", dir.path().display()), e)
        })
    })?;
    if !matches!(reached, Reached::Free) {
        if let Some(error) = object::not_a_seat(dir, &socket, &Permission::of(sharing)?) {
            return Err(error);
        }
    }
    let connection = match reached {
        Reached::Free => return Ok(Holder::Nobody),
        Reached::Busy => None,
        Reached::Connected(connection) => {
            let process = connection.process();
            if !process.is_welcome(sharing) {
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

/// In which way two ends do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misfit {
    Label,
    Limit,
    Direction,
}

/// Can these two be the ends of one channel?
pub(super) fn compatible(a: &Card, b: &Card) -> Result<(), Misfit> {
    use Direction::{RecvOnly, SendOnly};
    if a.label != b.label {
        return Err(Misfit::Label);
    }
    if a.max_message != b.max_message {
        return Err(Misfit::Limit);
    }
    match (a.direction, b.direction) {
        (SendOnly, SendOnly) | (RecvOnly, RecvOnly) => Err(Misfit::Direction),
        _ => Ok(()),
    }
}

impl Misfit {
    fn explain(self, name: &Name, mine: &Card, theirs: &Card, holder: &Holder) -> Error {
        let shown = name.as_str();
        let info = holder.describe();
        let who = info.as_ref().map_or("somebody".to_owned(), who);
        let (cause, cure) = match self {
            Misfit::Label if theirs.label == "chat/1" => {
                let mine = if mine.label.is_empty() {
                    "this program speaks raw bytes".to_owned()
                } else {
                    format!("this program speaks \"{}\"", mine.label)
                };
                let cure = format!(
                    "To say one line in it:\n        echo hi | twocan chat {shown} --plain"
                );
                let who = who.replace(" (", ", ").replace(')', "");
                (format!("{shown} is a chat ({who}), and {mine}"), cure)
            }
            Misfit::Label => {
                let what =
                    if mine.label == "chat/1" { "a chat" } else { "what this program speaks" };
                let theirs = match theirs.label.as_str() {
                    "" => "raw bytes".to_owned(),
                    label => format!("\"{label}\""),
                };
                (
                    format!("{shown} is not {what}: {who} opened it for {theirs}"),
                    "Choose another name".to_owned(),
                )
            }
            Misfit::Limit => (
                format!(
                    "{shown}: {who} allows messages to {}, this program to {}",
                    bytes(theirs.max_message),
                    bytes(mine.max_message)
                ),
                "Set --max-message (max_message) the same on both sides".to_owned(),
            ),
            Misfit::Direction => {
                let verb = match mine.direction {
                    Direction::SendOnly => "send",
                    _ => "receive",
                };
                (
                    format!("{shown}: {who} only wants to {verb}, and so does this program"),
                    "One of the two must do the other".to_owned(),
                )
            }
        };
        let mismatch = match self {
            Misfit::Label => {
                Mismatch::Label { theirs: theirs.label.clone(), ours: mine.label.clone() }
            }
            Misfit::Limit => {
                Mismatch::MaxMessage { theirs: theirs.max_message, ours: mine.max_message }
            }
            Misfit::Direction => Mismatch::Direction,
        };
        Error::new(ErrorKind::Incompatible, cause)
            .with_cure(cure)
            .with_name(shown)
            .with_mismatch(mismatch)
            .with_holders(info.into_iter().collect())
    }
}

fn other_version(name: &Name, theirs: u32, holder: &Holder) -> Error {
    let info = holder.describe();
    let who = info.as_ref().map_or("somebody".to_owned(), who);
    let name = name.as_str();
    Error::new(
        ErrorKind::Incompatible,
        format!("{name}: {who} uses layout {theirs}, this program layout {VERSION}"),
    )
    .with_cure("Update the older of the two")
    .with_mismatch(Mismatch::Layout { theirs, ours: VERSION })
    .with_name(name)
    .with_holders(info.into_iter().collect())
}

fn in_use(name: &Name, holders: &[Holder]) -> Refused {
    let infos: Vec<PeerInfo> = holders.iter().filter_map(Holder::describe).collect();
    let named: Vec<String> = infos.iter().map(who).collect();
    let name = name.as_str();
    let error = Error::new(
        ErrorKind::InUse,
        format!("{name} is in use by {}", named.join(" and ")),
    )
    .with_cure(format!(
        "A channel has two ends.\n        Choose another name, or wait for one of them to leave: \
             twocan chat {name} --wait"
    ))
    .with_name(name)
    .with_holders(infos);
    Refused::For(error)
}

/// "pid 4123 (alice)"
fn who(info: &PeerInfo) -> String {
    let pid = info.pid.map_or("a process elsewhere".to_owned(), |p| format!("pid {p}"));
    if info.nick.is_empty() { pid } else { format!("{pid} ({})", info.nick) }
}

fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}
