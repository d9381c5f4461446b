//! An end and its session: seats, handshake, who is alive, what is handed over after a death.
//!
//! Two threads meet here: the application's (one for each half) and the process's watcher. What
//! both need stands in
//! [`State`] under a lock that nobody holds while waiting; the hot paths of the halves keep private
//! copies and learn from `news` that the copies are old.

mod attend;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod lean;
mod open;
mod seat;
mod state;
mod watcher;
pub(crate) mod wire;

pub(crate) use lean::takes_part;
pub(crate) use open::{Wanted, open};
pub(crate) use seat::read_record;
pub(crate) use state::{Departed, Front, RxView, TxView};

use crate::direction::Direction;
use crate::error::{Error, Result, Violation};
use crate::layout::{END_FINISHED, END_GOODBYE, END_REASON, Header};
use crate::park::{self, Arming, MODE_DOORBELL, MODE_FUTEX, Woken, change};
use crate::peer::PeerInfo;
use crate::region::{OwnRegion, PeerRegion};
use crate::ring::Memory;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::socket::{Connection, Process};
use crate::sys::{fence, fork, futex};
use crate::wait::{Ears, Mark};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use watcher::Watcher;
use wire::Card;

/// Which half of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Sender,
    Receiver,
}

/// Who sleeps on one half, and the regions whose bells they sleep on.
#[derive(Debug, Default)]
struct Sleepers {
    arming: Arming,
    kept: Vec<Arc<PeerRegion>>,
}

/// One end of a channel.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) own: OwnRegion,
    pub(crate) card: Card,
    pub(crate) name: Option<String>,
    /// Changes whenever something in `state` changed that a half must know.
    news: AtomicU64,
    /// What this end's sleepers sleep on besides the peer's bell; changed after `news`.
    local: AtomicU32,
    /// Own records before this are acknowledged, as far as the sending half has looked.
    acked: AtomicU64,
    sleepers: [Mutex<Sleepers>; 2],
    /// The sets of doorbells in which the halves stand, and those who wait for the session alone.
    ears: [Ears; 3],
    state: Mutex<State>,
    watcher: Arc<Watcher>,
    fork: u32,
}

impl End {
    fn new(own: OwnRegion, card: Card, name: Option<String>, state: State) -> Result<Arc<End>> {
        let watcher = Watcher::of_this_process()?;
        let start = own.shape().start;
        if !state.receives {
            own.header().closed_rx.store(1, Ordering::Relaxed);
        }
        if card.direction == Direction::RecvOnly {
            own.header().end.store(start | END_FINISHED, Ordering::Relaxed);
        }
        Ok(Arc::new(End {
            own,
            card,
            name,
            news: AtomicU64::new(1),
            local: AtomicU32::new(0),
            acked: AtomicU64::new(start),
            sleepers: Default::default(),
            ears: Default::default(),
            state: Mutex::new(state),
            watcher,
            fork: fork::generation(),
        }))
    }

    /// Was this end opened before the fork that made this process?
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.fork != fork::generation()
    }

    /// Was this end opened to receive?
    pub(crate) fn receives(&self) -> bool {
        self.card.direction != Direction::SendOnly
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics half-way; a poisoned lock is one whose holder panicked elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- what the halves ask ----

    #[inline]
    pub(crate) fn news(&self) -> u64 {
        park::news(&self.news)
    }

    /// What the sending half must know, and the news it is as old as.
    pub(crate) fn tx_view(&self) -> (u64, TxView) {
        let state = self.lock();
        (self.news(), state.tx_view())
    }

    /// What the receiving half must know, and the news it is as old as.
    pub(crate) fn rx_view(&self) -> (u64, RxView) {
        let state = self.lock();
        (self.news(), state.rx_view())
    }

    pub(crate) fn peer(&self) -> Option<PeerInfo> {
        if self.is_forked() {
            return None;
        }
        self.lock().session.as_ref().map(|s| s.info.clone())
    }

    /// Would somebody who opens the name now find this end?
    pub(crate) fn is_findable(&self) -> bool {
        !self.is_forked() && self.lock().seat.as_ref().is_some_and(|seat| seat.is_findable())
    }

    pub(crate) fn credited(&self, acked: u64) {
        // SYNC credited: pairs with `end_session`, which changes the news, fences, and reads this.
        // Either it sees this credit, or the sending half sees the news and does not use it.
        self.acked.store(acked, Ordering::Release);
        crate::sync::full_fence();
    }

    /// The peer acknowledges this end's own region: it is done with those of all predecessors.
    pub(crate) fn predecessors_read(&self) {
        let done = std::mem::take(&mut self.lock().outbox);
        drop(done);
    }

    /// The region in front of the inbox is done with: its owner gone, all acknowledged, its
    /// departure reported.
    pub(crate) fn leave_front(&self, generation: u32) {
        let mut state = self.lock();
        if state.inbox.front().is_some_and(|f| f.generation == generation) {
            state.inbox.pop_front();
            self.tell();
            drop(state);
            self.watcher.look_at(self); // a newcomer may have waited for the place
        }
    }

    /// The peer broke the protocol: its session ends now.
    pub(crate) fn misbehaved(&self, violation: Violation) {
        let mut state = self.lock();
        if state.session.is_some() {
            self.end_session(&mut state, Some(Departed::Misbehaved(violation)));
            drop(state);
            self.watcher.look_at(self);
        }
    }

    // ---- waking ----

    /// Wakes the peer's receiver if it sleeps (true: it did). The caller has published and made the
    /// full fence.
    #[inline(always)]
    pub(crate) fn wake_receiver(&self, peer: &PeerRegion, woken: &mut Woken) -> bool {
        let mode = woken.sleeper(&peer.header().arm_rx);
        if let Some(mode) = mode {
            if cfg!(twocan_mutant = "own-word") {
                futex::wake_all(&peer.header().bell_rx);
            } else {
                self.ring(Half::Receiver, mode);
            }
        }
        mode.is_some()
    }

    /// Is the peer's receiver awake? To be asked as `wake_receiver` is.
    #[inline(always)]
    pub(crate) fn receiver_is_awake(&self, peer: &PeerRegion) -> bool {
        park::is_awake(&peer.header().arm_rx)
    }

    /// Has `wake_sender` nothing to do? To be asked as it is.
    #[inline(always)]
    pub(crate) fn sender_is_awake(&self, peer: &Header, woken: &Woken) -> bool {
        woken.has_nobody(&peer.arm_tx)
    }

    /// Wakes the peer's sender if it sleeps (true: it did). The caller has acknowledged and made
    /// the full fence.
    #[inline(always)]
    pub(crate) fn wake_sender(&self, peer: &PeerRegion, woken: &mut Woken) -> bool {
        let mode = woken.sleeper(&peer.header().arm_tx);
        if let Some(mode) = mode {
            self.ring(Half::Sender, mode);
        }
        mode.is_some()
    }

    #[cold]
    fn ring(&self, sleeper: Half, mode: u64) {
        if mode == MODE_DOORBELL {
            let state = self.lock();
            if let Some(session) = &state.session {
                session.bells.ring(sleeper);
            }
        }
        // Others may sleep on the word beside whoever polls the doorbell.
        if mode != MODE_DOORBELL || !cfg!(twocan_mutant = "door-rings-alone") {
            self.ring_word(sleeper);
        }
    }

    /// Wakes whoever of the peer sleeps at this moment. For a session that our halves have just
    /// been told of: what they published before (a record, an end) woke nobody, as they knew of
    /// nobody. They looked at the news behind their fence and found it old; so their publishing
    /// comes before the fence of `tell`, and a sleeper that missed it had armed before that. Called
    /// under the lock, after `tell`.
    fn wake_sleepers_of(&self, session: &state::Session) {
        if cfg!(twocan_mutant = "no-wake-at-attach") {
            return;
        }
        let header = session.region.header();
        for (half, arm) in [(Half::Receiver, &header.arm_rx), (Half::Sender, &header.arm_tx)] {
            let mode = Woken::default().sleeper(arm);
            if mode == Some(MODE_DOORBELL) {
                session.bells.ring(half);
            }
            if mode.is_some() {
                self.ring_word(half);
            }
        }
    }

    fn ring_word(&self, sleeper: Half) {
        let header = self.own.header();
        let bell = match sleeper {
            Half::Receiver => &header.bell_rx,
            Half::Sender => &header.bell_tx,
        };
        if cfg!(twocan_mutant = "wake-first") {
            futex::wake_all(bell);
        }
        change(bell);
        if !cfg!(any(twocan_mutant = "no-wake", twocan_mutant = "wake-first")) {
            futex::wake_all(bell);
        }
    }

    fn arm_word(&self, half: Half) -> &AtomicU64 {
        let header = self.own.header();
        match half {
            Half::Sender => &header.arm_tx,
            Half::Receiver => &header.arm_rx,
        }
    }

    fn sleepers(&self, half: Half) -> MutexGuard<'_, Sleepers> {
        self.sleepers[half as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Peers met so far, and whether one is here.
    pub(crate) fn presence(&self) -> (u64, bool) {
        if self.is_forked() {
            return (0, false);
        }
        let state = self.lock();
        (state.epoch, state.session.is_some())
    }

    /// For waits that concern the session only.
    pub(crate) fn prepare_local(&self, words: &mut Vec<futex::Word>) {
        words.push(futex::Word::local(&self.local, park::read(&self.local)));
    }

    /// As `prepare`, for a wait that does not compare the news: whoever is the peer now. The local
    /// word is read first, so that a session which comes after this look wakes the sleeper.
    pub(crate) fn prepare_now(&self, half: Half, words: &mut Vec<futex::Word>) {
        let local = futex::Word::local(&self.local, park::read(&self.local));
        let peer = self.lock().session.as_ref().map(|s| s.region.clone());
        self.prepare_with(local, half, peer.as_ref(), words);
    }

    /// Appends the words this half sleeps on, and arms. See `park`.
    pub(crate) fn prepare(
        &self,
        half: Half,
        peer: Option<&Arc<PeerRegion>>,
        words: &mut Vec<futex::Word>,
    ) {
        let local = futex::Word::local(&self.local, park::read(&self.local));
        self.prepare_with(local, half, peer, words);
    }

    fn prepare_with(
        &self,
        local: futex::Word,
        half: Half,
        peer: Option<&Arc<PeerRegion>>,
        words: &mut Vec<futex::Word>,
    ) {
        let mut sleepers = self.sleepers(half);
        if let Some(peer) = peer {
            // Stays mapped while somebody may sleep on its bell.
            if !sleepers.kept.iter().any(|kept| Arc::ptr_eq(kept, peer)) {
                sleepers.kept.push(peer.clone());
            }
            let header =
                if cfg!(twocan_mutant = "own-word") { self.own.header() } else { peer.header() };
            let bell = match half {
                Half::Receiver => &header.bell_rx,
                Half::Sender => &header.bell_tx,
            };
            // Before the arm.
            words.push(futex::Word::shared(bell, park::read(bell)));
        }
        words.push(local);
        // Who polls the doorbell at this moment must go on hearing it.
        let mode = if self.door_is_waited_at(half) { MODE_DOORBELL } else { MODE_FUTEX };
        sleepers.arming.arm(self.arm_word(half), mode);
    }

    pub(crate) fn disarm(&self, half: Half) {
        let mut sleepers = self.sleepers(half);
        let keep = self.door_is_waited_at(half);
        sleepers.arming.disarm(self.arm_word(half), keep);
        if sleepers.arming.is_empty() {
            sleepers.kept.clear();
        }
    }

    /// Announces a change of the state to this end's halves. Called under the lock.
    fn tell(&self) {
        park::tell(&self.news, &self.local, || {
            if self.is_lean() {
                fence::everywhere();
            }
        });
        futex::wake_all_local(&self.local);
        self.tell_doors(Mark::News);
    }

    // ---- leaving ----

    /// Sets the end word unless a goodbye stands there already, and wakes the peer's receiver.
    fn set_end(&self, reason: u64) {
        let end = &self.own.header().end;
        let before = end.load(Ordering::Relaxed);
        if before & END_REASON >= reason {
            return;
        }
        // SYNC end-word: pairs with the receiver's look at an empty ring.
        end.store(self.own.head() | reason, Ordering::Release);
        if !cfg!(twocan_mutant = "silent-end") {
            self.wake_both_of_peer();
        }
    }

    /// After a rare store (end, closed_rx): wakes whoever of the peer may sleep, whatever was woken
    /// before.
    fn wake_both_of_peer(&self) {
        park::published();
        let peer = self.lock().session.as_ref().map(|s| s.region.clone());
        if let Some(peer) = peer {
            self.wake_receiver(&peer, &mut Woken::default());
            self.wake_sender(&peer, &mut Woken::default());
        }
    }

    /// The sending half is done; the receiving one goes on.
    pub(crate) fn finish(&self) {
        if !self.is_forked() {
            self.set_end(END_FINISHED);
        }
    }

    /// The receiving half is done; the sending one goes on. What has not been read is given up.
    pub(crate) fn stop_receiving(&self) {
        if self.is_forked() {
            return;
        }
        // SYNC closed-rx: pairs with the sender's look before it waits.
        self.own.header().closed_rx.store(1, Ordering::Release);
        let mut state = self.lock();
        state.receives = false;
        state.inbox.clear();
        self.tell();
        drop(state);
        self.wake_both_of_peer();
        self.watcher.look_at(self);
    }

    /// The goodbye of both halves together: seen by the peer as `PeerClosed` and not as a
    /// half-close first.
    pub(crate) fn goodbye(&self) {
        if !self.is_forked() {
            self.set_end(END_GOODBYE);
        }
    }

    /// Nobody holds what was sent, and it goes with this end: worth a line in a log.
    fn warn_of_loss(&self) {
        if self.is_forked() {
            return;
        }
        let state = self.lock();
        if state.session.is_none() && state.acked != self.own.head() {
            crate::note!(
                "{}: messages that nobody had taken are gone; close() would have waited",
                self.name.as_deref().unwrap_or("(pair)")
            );
        }
    }

    /// Gives the seat back and ends the session. Called once, when the last half goes.
    fn leave(&self) {
        if self.is_forked() {
            return; // the child never was an end
        }
        self.watcher.forget(self);
        self.tell_doors(Mark::Gone);
        let mut state = self.lock();
        state.closed = true;
        // Unlink first, then shut down: whoever finds the seat free afterwards finds it without our
        // files.
        drop(state.seat.take());
        if let Some(session) = state.session.take() {
            session.connection.shutdown();
            #[cfg(twocan_mutant = "leak-session")]
            std::mem::forget(session);
        }
        if let Some(connecting) = state.connecting.take() {
            connecting.connection.shutdown();
        }
        for pending in state.pending.drain(..) {
            pending.connection.shutdown();
        }
        state.inbox.clear();
        state.outbox.clear();
        drop(state);
        crate::sys::closer::settle();
    }

    /// For a test: as if there had been so many lives.
    #[cfg(test)]
    pub(crate) fn boast(&self, generation: u32) {
        self.lock().generation = generation;
    }

    fn token(&self) -> u64 {
        self as *const End as u64
    }
}

/// What the halves hold. The last of them to go says goodbye, unless its thread is panicking: then
/// the peer shall see a death.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    _share: Arc<Share>,
    /// At hand: every call begins with it.
    end: Arc<End>,
}

/// Goes with the last of them.
#[derive(Debug)]
struct Share(Arc<End>);

impl Owner {
    /// Starts the watcher on the end; from here on dropping the owner gives the seat back.
    fn of(end: Arc<End>) -> Result<Owner> {
        let owner = Owner { _share: Arc::new(Share(end.clone())), end };
        owner.end.watcher.watch(&owner.end)?;
        Ok(owner)
    }

    /// The end itself, for those who look without keeping it alive.
    pub(crate) fn end(&self) -> Arc<End> {
        self.end.clone()
    }
}

impl std::ops::Deref for Owner {
    type Target = End;
    #[inline(always)]
    fn deref(&self) -> &End {
        &self.end
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.goodbye();
            self.0.warn_of_loss();
        }
        self.0.leave();
    }
}

/// Both ends in this process, without a name.
pub(crate) fn pair(wanted: &Wanted) -> Result<(Owner, Owner)> {
    let _first = Watcher::of_this_process()?;
    let (a, b) = Connection::pair().map_err(|e| Error::from_os("cannot make a pair of ends", e))?;
    let first = nameless(wanted, a, None)?;
    let second = nameless_newcomer(wanted, b, false)?;
    // Attached when this returns: HELLO, WELCOME, and its reading, each done here unless the
    // watcher was faster.
    for end in [&second, &first, &second] {
        end.step();
    }
    if second.peer().is_none() {
        return Err(Error::new(crate::ErrorKind::Os, "the two ends of a pair did not meet"));
    }
    Ok((first, second))
}

/// One end here; the connection for the other.
pub(crate) fn invite(wanted: &Wanted) -> Result<(Owner, Connection)> {
    let _first = Watcher::of_this_process()?;
    let (a, b) = Connection::pair().map_err(|e| Error::from_os("cannot make an invitation", e))?;
    Ok((nameless(wanted, a, None)?, b))
}

/// The other end, in the process that was invited.
pub(crate) fn invited(wanted: &Wanted, connection: Connection) -> Result<Owner> {
    nameless_newcomer(wanted, connection, true)
}

/// An end that waits for the HELLO of the one it is connected with.
fn nameless(wanted: &Wanted, connection: Connection, process: Option<Process>) -> Result<Owner> {
    let (own, card) = wanted.make()?;
    let mut state = State::new(own.shape(), wanted);
    state.nameless = true;
    let process = process.unwrap_or_else(|| connection.process());
    state.pending.push(state::Pending::new(connection, process));
    Owner::of(End::new(own, card, None, state)?)
}

/// An end that says HELLO on a connection it was given.
fn nameless_newcomer(wanted: &Wanted, connection: Connection, introduce: bool) -> Result<Owner> {
    let (own, card) = wanted.make()?;
    let mut state = State::new(own.shape(), wanted);
    state.nameless = true;
    let process = connection.process();
    state.connecting = Some(state::Connecting::new(connection, process, None, introduce));
    Owner::of(End::new(own, card, None, state)?)
}

#[cfg(test)]
mod tests;
