//! What the watcher does for an end: notices deaths, answers newcomers, finishes its own HELLO.
//! Nothing here waits; every step can be repeated, and a kill between any two leaves nothing
//! half-done in the other process.

use super::open;
use super::seat::Rebound;
use super::state::*;
use super::wire::{Hello, MAX_WIRE, Unusable, Welcome};
use super::{Departed, End};
use crate::direction::Direction;
use crate::error::Violation;
use crate::layout::{END_GOODBYE, END_REASON};
use crate::peer::PeerInfo;
use crate::region::PeerRegion;
use crate::ring::Memory;
use crate::sync::Ordering;
use crate::sys::closer::Shy;
use crate::sys::socket::{self, Connection, Process, Reached, Received};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Newcomers that may stand at the door at once; more wait in the listener's queue.
const MAX_PENDING: usize = 8;
/// A connection that has not said HELLO by then is closed. It never decides about a death: a living
/// newcomer that was only slow connects again.
const HELLO_LIMIT: Duration = Duration::from_secs(2);
/// Pause before connecting again to an end whose WELCOME could not be used: a lack of descriptors
/// may pass.
const LONG_PAUSE: Duration = Duration::from_millis(500);
/// Rounds of one step; then others get their turn.
const MAX_ROUNDS: usize = 64;
/// Pause before connecting again to a full queue, or accepting again without descriptors.
const PAUSE: Duration = Duration::from_millis(20);

impl End {
    /// Looks at everything that can have happened, until nothing more does. Returns when to look
    /// again if nothing is reported until then.
    pub(super) fn step(&self) -> Option<Instant> {
        let mut state = self.lock();
        let state = &mut *state;
        for _ in 0..MAX_ROUNDS {
            if state.closed {
                return None;
            }
            let now = Instant::now();
            let mut moved = self.check_seat(state, now);
            moved |= self.check_session(state);
            moved |= self.check_connecting(state);
            moved |= self.connect_again(state, now);
            moved |= self.accept(state, now);
            moved |= self.check_pending(state, now);
            moved |= self.answer(state);
            moved |= self.check_lean(state);
            if !moved {
                let silent = state.pending.iter().filter(|p| p.hello.is_none());
                let silent = silent.filter(|_| !state.nameless).map(|p| p.since + HELLO_LIMIT);
                let again = state.again.map(|(t, _)| t);
                let later = again.into_iter().chain(state.accept_again).chain(state.rebind_again);
                return silent.chain(later).min();
            }
        }
        Some(Instant::now()) // somebody keeps us busy: go on after the others
    }

    // ---- our seat ----

    /// Whoever sweeps the directory takes the names away, not the session; the seat is bound again.
    fn check_seat(&self, state: &mut State, now: Instant) -> bool {
        let Some(seat) = &mut state.seat else { return false };
        if state.seat_lost || state.rebind_again.is_some_and(|t| now < t) {
            return false;
        }
        state.rebind_again = None;
        match seat.rebind() {
            Rebound::Unharmed => return false,
            Rebound::Again => {
                crate::note!("{}: the directory was swept; seat bound again", self.shown_name());
                self.watcher.watch_seat(seat, self);
            }
            Rebound::Later => state.rebind_again = Some(now + PAUSE),
            Rebound::Lost => {
                state.seat_lost = true;
                crate::note!("{}: the directory was swept; the seat is lost", self.shown_name());
            }
        }
        true
    }

    // ---- the present session ----

    fn check_session(&self, state: &mut State) -> bool {
        let Some(session) = &state.session else { return false };
        // The socket's end comes earlier than the pidfd's word; a forked child may keep the socket
        // open. The pidfd is asked first: what a dead process had queued is there when the socket
        // is read.
        let dead = session.process.is_dead() && !cfg!(twocan_mutant = "no-pidfd");
        let how = match session.connection.recv(MAX_WIRE) {
            Received::Nothing if dead => None,
            Received::Nothing => return false,
            Received::End => None,
            Received::Message(..) | Received::Oversized | Received::Short => {
                Some(Departed::Misbehaved(Violation::BadHandshake))
            }
        };
        self.end_session(state, how);
        true
    }

    /// Ends the present session: reads the peer's last acknowledgement, and keeps its region for
    /// the application.
    pub(super) fn end_session(&self, state: &mut State, how: Option<Departed>) {
        let Some(session) = state.session.take() else { return };
        session.connection.shutdown();
        // First the news, then the last acknowledgement: see `credited`.
        self.tell();
        let header = session.region.header();
        let mut how = how;
        if !cfg!(twocan_mutant = "no-final-ack") {
            // SYNC credited
            let acked = self.acked.load(Ordering::Acquire);
            if crate::ring::reached(acked, state.acked) {
                state.acked = acked;
            }
            // SYNC acknowledged: the ack first, then `taken`, which the peer stored before it.
            let ack = header.progress.ack.load(Ordering::Acquire);
            let taken = header.progress.taken.load(Ordering::Acquire);
            if let Err(violation) =
                state.absorb(ack, taken, self.own.head(), |at| self.own.is_boundary(at))
            {
                how = how.or(Some(Departed::Misbehaved(violation)));
            }
        }
        // SYNC end-word
        let reason = header.end.load(Ordering::Acquire) & END_REASON;
        let how = how.unwrap_or(match reason {
            END_GOODBYE => Departed::Closed,
            _ => Departed::Died,
        });
        if let Some(last) = state.inbox.iter_mut().find(|i| Arc::ptr_eq(&i.region, &session.region))
        {
            last.gone = Some(how);
        }
        state.departure = Some((session.info.epoch, how));
        state.departed = Some(session.info.clone());
        crate::note!("{}: {:?} {how:?}", self.shown_name(), session.info.pid);
        self.tell();
    }

    // ---- our own HELLO ----

    fn check_connecting(&self, state: &mut State) -> bool {
        let Some(connecting) = &mut state.connecting else { return false };
        if !connecting.said_hello {
            connecting.said_hello = true;
            if self.say_hello(connecting).is_err() {
                crate::note!("{}: HELLO could not be queued", self.shown_name());
                // At a seat the other side closes the silent connection, and it is tried again.
                if state.nameless {
                    state.connecting = None;
                    self.tell();
                }
            }
            return true;
        }
        // First whether it is dead, then what it had queued: a WELCOME counts even if its sender
        // died after it.
        let dead = connecting.process.is_dead();
        let lost = match connecting.connection.recv(MAX_WIRE) {
            Received::Message(bytes, fds) => {
                let Some(connecting) = state.connecting.take() else { return false };
                let whom = connecting.whom;
                if let Err(why) = self.welcomed(state, connecting, &bytes, fds) {
                    state.again = whom.map(|whom| (Instant::now() + LONG_PAUSE, whom));
                    match why {
                        Some(violation) => self.unwelcome(state, violation),
                        None => self.tell(), // our own lack of room may pass
                    }
                }
                return true;
            }
            Received::Nothing => dead,
            Received::Short => {
                // It stays queued, whoever dies.
                state.accept_again = Some(Instant::now() + PAUSE);
                return false;
            }
            Received::Oversized => {
                state.again = connecting.whom.map(|whom| (Instant::now() + LONG_PAUSE, whom));
                state.connecting = None;
                self.unwelcome(state, Violation::BadHandshake);
                return true;
            }
            Received::End => true,
        };
        if !lost {
            return false;
        }
        // Cut off without WELCOME. If that end still lives, it was a misunderstanding: connect
        // again.
        let Some(connecting) = state.connecting.take() else { return false };
        if let (Some(whom), false) = (connecting.whom, connecting.process.is_dead()) {
            state.again = Some((Instant::now() + PAUSE, whom));
        }
        self.tell();
        true
    }

    /// The earlier end answered with nonsense. Whoever comes next is met at our own seat.
    fn unwelcome(&self, state: &mut State, violation: Violation) {
        crate::note!("{}: unusable WELCOME: {violation}", self.shown_name());
        state.departure = Some((state.epoch, Departed::Misbehaved(violation)));
        self.tell();
    }

    fn say_hello(&self, connecting: &mut Connecting) -> std::io::Result<()> {
        let (own_rx, peers_rx) = socket::doorbell()?;
        let (own_tx, peers_tx) = socket::doorbell()?;
        connecting.bells = Some([own_rx, own_tx]);
        let me = if connecting.introduce { socket::own_pidfd()? } else { None };
        let hello = Hello { card: self.card.clone(), own_pidfd: me.is_some() };
        let mut fds = vec![self.own.fd().as_fd(), peers_rx.as_fd(), peers_tx.as_fd()];
        fds.extend(me.as_ref().map(AsFd::as_fd));
        connecting.connection.send(&hello.encode(), &fds)
    }

    /// WELCOME came: from here on this end is attached, even if its sender is dead by now (the next
    /// step notices).
    fn welcomed(
        &self,
        state: &mut State,
        connecting: Connecting,
        bytes: &[u8],
        fds: Vec<Shy>,
    ) -> Result<(), Option<Violation>> {
        let welcome = Welcome::decode(bytes).map_err(|_| Violation::BadHandshake)?;
        let due = 2 + welcome.outbox.len() + welcome.inbox.len();
        let own_bells = connecting.bells.ok_or(Violation::BadHandshake)?;
        let superfluous = fds.len() > due && !cfg!(twocan_mutant = "spare-descriptors");
        let fits = self.fits(&welcome.card) || cfg!(twocan_mutant = "unfit-welcome");
        if fds.len() < due || superfluous || !fits {
            return Err(Some(Violation::BadHandshake));
        }
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or(Violation::BadHandshake);
        let (peers_receiver, peers_sender) = (next()?, next()?);
        let bells = socket::is_doorbell(&peers_receiver) && socket::is_doorbell(&peers_sender);
        if !bells && !cfg!(twocan_mutant = "any-bell") {
            return Err(Some(Violation::BadHandshake));
        }
        let mut map = |listed: &super::wire::Listed| {
            let region = Arc::new(PeerRegion::map(next()?, listed.shape, state.whole)?);
            Ok::<_, Option<Violation>>((*listed, region))
        };
        let theirs: Vec<_> = welcome.outbox.iter().map(&mut map).collect::<Result<_, _>>()?;
        let ours: Vec<_> = welcome.inbox.iter().map(&mut map).collect::<Result<_, _>>()?;
        let Some(live) = theirs.last().map(|(_, region)| region.clone()) else {
            return Err(Some(Violation::BadHandshake));
        };
        // From here on nothing fails.
        state.epoch += 1;
        let info = self.describe(&connecting.process, &welcome.card.nick, state.epoch);
        state.generation = welcome.generation;
        for (listed, region) in ours {
            if cfg!(twocan_mutant = "no-pass-on") {
                continue;
            }
            let (generation, position) = (listed.generation, listed.position);
            state.outbox.push(Outbound { generation, region, position });
        }
        if let Some((first, _)) = theirs.first() {
            // SYNC acknowledged: nothing was read before, so the receiving half does not write this
            // word yet. The survivor must find its own knowledge here, should we die without a
            // word.
            self.own.header().progress.acknowledge(first.generation, first.position);
        }
        let last = theirs.len() - 1;
        for (i, (listed, region)) in theirs.into_iter().enumerate() {
            let met = (i == last).then(|| info.clone());
            state.install(listed.generation, region, listed.position, met);
        }
        crate::note!("{}: joined {:?}", self.shown_name(), info.pid);
        let connection = connecting.connection;
        let bells = Bells::new(own_bells, peers_receiver, peers_sender);
        let starts_at = self.own.shape().start;
        let process = connecting.process;
        let session = Session { connection, process, region: live, info, bells, starts_at };
        let session = state.session.insert(session);
        self.tell();
        self.wake_sleepers_of(session);
        Ok(())
    }

    fn connect_again(&self, state: &mut State, now: Instant) -> bool {
        let Some((at, whom)) = state.again else { return false };
        if now < at || state.session.is_some() || state.connecting.is_some() {
            return false;
        }
        state.again = None;
        let Some(seat) = &state.seat else { return false };
        match seat.reach_other(whom) {
            Some(Reached::Connected(connection)) => {
                let process = connection.process();
                // The seat may have changed hands since it was looked at.
                if process.is_welcome(seat.permission()) {
                    self.register(&connection, &process);
                    let connecting = Connecting::new(connection, process, Some(whom), false);
                    state.connecting = Some(connecting);
                }
            }
            Some(Reached::Busy) => state.again = Some((now + PAUSE, whom)),
            Some(Reached::Free) => {}
            None => {}
        }
        true
    }

    // ---- newcomers at our seat ----

    fn accept(&self, state: &mut State, now: Instant) -> bool {
        if state.accept_again.is_some_and(|t| now < t) || state.pending.len() >= MAX_PENDING {
            return false;
        }
        state.accept_again = None;
        let Some(seat) = &state.seat else { return false };
        match seat.listener().accept() {
            Ok(None) => false,
            Ok(Some(connection)) => {
                let process = connection.process();
                if process.is_welcome(seat.permission()) {
                    self.register(&connection, &process);
                    state.pending.push(Pending::new(connection, process));
                }
                true
            }
            Err(e) => {
                crate::note!("{}: cannot accept: {e}", self.shown_name());
                state.accept_again = Some(now + PAUSE);
                false
            }
        }
    }

    /// Reads what newcomers say; forgets those that went before they were answered.
    fn check_pending(&self, state: &mut State, now: Instant) -> bool {
        let (before, nameless) = (state.pending.len(), state.nameless);
        let (mut moved, mut short) = (false, false);
        state.pending.retain_mut(|pending| match pending.connection.recv(MAX_WIRE) {
            Received::Nothing => {
                let silent =
                    pending.hello.is_none() && !nameless && now >= pending.since + HELLO_LIMIT;
                !silent && !pending.process.is_dead()
            }
            Received::End | Received::Oversized => false,
            Received::Short => {
                short = true;
                true
            }
            Received::Message(bytes, fds) if pending.hello.is_none() => {
                moved = true;
                match self.read_hello(&bytes, fds, nameless) {
                    Ok(hello) => {
                        pending.hello = Some(hello);
                        true
                    }
                    Err(_) => false,
                }
            }
            Received::Message(..) => false,
        });
        if short {
            state.accept_again = Some(now + PAUSE);
        }
        let left = state.pending.len() != before;
        if left && nameless {
            self.tell(); // the only one that could come has gone
        }
        moved || left
    }

    fn read_hello(
        &self,
        bytes: &[u8],
        fds: Vec<Shy>,
        nameless: bool,
    ) -> Result<(Hello, Vec<Shy>), Unusable> {
        let hello = Hello::decode(bytes)?;
        // Only an inherited connection needs an introduction; elsewhere the kernel names the
        // newcomer.
        if hello.own_pidfd && !nameless {
            return Err(Unusable::Malformed);
        }
        let due = 3 + usize::from(hello.own_pidfd);
        if fds.len() != due || !self.fits(&hello.card) {
            crate::note!("{}: HELLO refused", self.shown_name());
            return Err(Unusable::Malformed);
        }
        Ok((hello, fds))
    }

    /// What the seat record has promised must be what the handshake says.
    fn fits(&self, other: &super::wire::Card) -> bool {
        open::compatible(&self.card, other).is_ok()
    }

    /// Answers the first newcomer with HELLO, if the present session has ended and there is a
    /// place.
    fn answer(&self, state: &mut State) -> bool {
        let ended = state.session.is_none() || cfg!(twocan_mutant = "ignore-present");
        let lone = ended && state.connecting.is_none();
        let full = !state.has_place() && !cfg!(twocan_mutant = "no-limit");
        if !lone || full {
            return false;
        }
        let Some(at) = state.pending.iter().position(|p| p.hello.is_some()) else { return false };
        let pending = state.pending.remove(at);
        state.again = None;
        if let Err(why) = self.welcome(state, pending) {
            crate::note!("{}: newcomer not answered: {why}", self.shown_name());
            if state.nameless {
                self.tell();
            }
        }
        true
    }

    fn welcome(&self, state: &mut State, pending: Pending) -> std::io::Result<()> {
        let refuse =
            |v: Violation| std::io::Error::new(std::io::ErrorKind::InvalidData, v.as_str());
        let Some((hello, fds)) = pending.hello else { return Ok(()) };
        let mut fds = fds.into_iter();
        let (Some(region), Some(peers_receiver), Some(peers_sender)) =
            (fds.next(), fds.next(), fds.next())
        else {
            return Err(refuse(Violation::BadHandshake));
        };
        if !socket::is_doorbell(&peers_receiver) || !socket::is_doorbell(&peers_sender) {
            return Err(refuse(Violation::BadHandshake));
        }
        // Only a process that we have invited ourselves introduces itself.
        let process = match fds.next().and_then(Shy::trusted) {
            Some(pidfd) => Process::introduced(pidfd, hello.card.pid, pending.process.uid),
            None => pending.process,
        };
        let no_room = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        let region = PeerRegion::map(region, hello.card.region, state.whole);
        let region = Arc::new(region.map_err(|why| why.map_or_else(no_room, refuse))?);
        let generation =
            state.other_generation.checked_add(1).ok_or_else(|| refuse(Violation::BadHandshake))?;
        let (own_rx, newcomers_rx) = socket::doorbell()?;
        let (own_tx, newcomers_tx) = socket::doorbell()?;

        let inbox =
            if cfg!(twocan_mutant = "no-hand-over") { Vec::new() } else { state.inbox_list() };
        let outbox = state.outbox_list(self.own.shape());
        let welcome = Welcome { card: self.card.clone(), generation, outbox, inbox };
        let connection = pending.connection;
        self.register(&connection, &process);

        let info = self.describe(&process, &hello.card.nick, state.epoch + 1);
        let bells = Bells::new([own_rx, own_tx], peers_receiver, peers_sender);
        let starts_at = state.acked;
        // First the session is there for our halves (a sender that publishes from now on looks at
        // the newcomer's arm), then WELCOME is queued, then our application may see the newcomer's
        // region. The lock is held all the while: the halves see the whole or nothing.
        state.session = Some(Session {
            connection,
            process,
            region: region.clone(),
            info: info.clone(),
            bells,
            starts_at,
        });
        if !cfg!(twocan_mutant = "welcome-first") {
            self.tell();
        }
        let queued = {
            let Some(session) = &state.session else { return Ok(()) };
            let mut out: Vec<BorrowedFd<'_>> = vec![newcomers_rx.as_fd(), newcomers_tx.as_fd()];
            out.extend(state.outbox.iter().map(|o| o.region.fd().as_fd()));
            out.push(self.own.fd().as_fd());
            if !welcome.inbox.is_empty() {
                out.extend(state.inbox.iter().map(|i| i.region.fd().as_fd()));
            }
            session.connection.send(&welcome.encode(), &out)
        };
        if let Err(e) = queued {
            state.session = None; // no trace: it never was attached
            self.tell();
            return Err(e);
        }
        #[cfg(twocan_mutant = "welcome-first")]
        self.hold_back();
        state.epoch += 1;
        let start = region.shape().start;
        crate::note!("{}: joined by {:?}", self.shown_name(), info.pid);
        state.install(generation, region, start, Some(info));
        self.tell();
        Ok(())
    }

    /// Until a half that knows of no session yet has published, and a little longer: it looks at
    /// the news behind that.
    #[cfg(twocan_mutant = "welcome-first")]
    fn hold_back(&self) {
        let (head, mut left) = (self.own.head(), 1500);
        while left > 0 {
            std::thread::sleep(Duration::from_millis(10));
            left = if self.own.head() != head { left.min(50) } else { left } - 1;
        }
    }

    // ---- small things ----

    fn describe(&self, process: &Process, nick: &str, epoch: u64) -> PeerInfo {
        PeerInfo {
            nick: nick.to_owned(),
            pid: process.pid,
            user: process.uid,
            since: SystemTime::now(),
            epoch,
        }
    }

    /// The watcher is told of whatever happens on the connection or to its process.
    pub(super) fn register(&self, connection: &Connection, process: &Process) {
        self.watcher.add(connection.fd(), self);
        if let Some(pidfd) = process.pidfd() {
            self.watcher.add(pidfd, self);
        }
    }

    fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or("(pair)")
    }

    /// Everything the end already has is reported to the watcher.
    pub(super) fn register_all(&self) {
        let state = self.lock();
        if let Some(seat) = &state.seat {
            self.watcher.watch_seat(seat, self);
        }
        let pending = state.pending.iter().map(|p| (&p.connection, &p.process));
        let connecting = state.connecting.iter().map(|c| (&c.connection, &c.process));
        for (connection, process) in pending.chain(connecting) {
            self.register(connection, process);
        }
    }
}

impl super::Wanted {
    pub(crate) fn receives(&self) -> bool {
        self.direction != Direction::SendOnly
    }
}
