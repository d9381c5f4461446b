//! Opening a channel: what an end is to be like, which seat it gets, and why it gets none.

use super::seat::{Files, Holder, Seat, probe};
use super::state::{Connecting, State};
use super::wire::{Card, MAX_LABEL, SeatRecord, Unusable};
use super::{End, Owner};
use crate::direction::Direction;
use crate::error::{Error, ErrorKind, Mismatch, Result};
use crate::layout::{
    DEFAULT_CAPACITY, DEFAULT_MAX_MESSAGE, LINE, MAX_CAPACITY, MIN_CAPACITY, VERSION,
};
use crate::name::Name;
use crate::peer::PeerInfo;
use crate::region::OwnRegion;
use crate::sys::dir::{Directory, PATIENCE};
use crate::sys::permission::Permission;
use crate::{Scope, Sharing, Until};
use std::time::{Duration, Instant};

/// How long a refusal is looked at again before it is told: a dying process frees its memory before
/// it closes its sockets (about 130 ms for a gibibyte).
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// Pauses between two tries to get a seat.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

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
pub(crate) fn open(wanted: &Wanted, name: &str, until: Option<Until<'_>>) -> Result<Owner> {
    let name = Name::parse_with(name, wanted.scope, &wanted.sharing)?;
    let permission = Permission::of(&wanted.sharing)?;
    let _first = super::watcher::Watcher::of_this_process()?;
    let (own, card) = wanted.make()?;
    let patience = Instant::now() + REFUSAL_PATIENCE;
    let mut pause = PAUSES.0;
    let state = loop {
        let error = match take_seat(wanted, &name, &card, permission) {
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
fn take_seat(wanted: &Wanted, name: &Name, card: &Card, may: Permission) -> Result<State, Refused> {
    let dir = Directory::open_in(name.scope())?;
    let files = Files { hash: name.hash128() };
    let lock = dir.lock(files.hash, PATIENCE)?;
    let contents = SeatRecord { card: card.clone(), channel: name.as_str().to_owned() }.encode();
    let (number, other) = choose(name, &dir, &files, card, may)?;
    let seat = Seat::take(dir, &lock, files, number, contents, may)?;
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
    crate::named::sweep_sometimes(seat.dir());
    state.seat = Some(seat);
    Ok(state)
}

/// A free seat, and who sits in the other.
fn choose(
    name: &Name,
    dir: &Directory,
    names: &Files,
    card: &Card,
    permission: Permission,
) -> Result<(usize, Holder), Refused> {
    let mut holders = vec![probe(dir, names, 0, permission)?, probe(dir, names, 1, permission)?];
    let free: Vec<usize> = (0..2).filter(|n| matches!(holders[*n], Holder::Nobody)).collect();
    // Rather the seat that nothing of another user's is in the way of, where such users are
    // expected.
    let clear = |n: &usize| permission == Permission::Nobody || names.is_clear(dir, *n);
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
