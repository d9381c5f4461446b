//! Sleeping at many doors: the doorbells of channels in one set, for waits that `futex_waitv` does
//! not hold.
//!
//! Each thread keeps one set from wait to wait, and the channels stay armed in it. So a wait costs
//! a look at what rang since the last one, and a wake costs what has rung, not what is waited for.
//! A channel whose bell has not rung since a look found nothing there need not be looked at again:
//! its peer rings at the first thing it publishes behind that look.

use crate::Cancel;
use crate::park::Watch;
use crate::sys::closer::Shy;
use crate::sys::fork;
use crate::sys::poller::Poller;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

/// One of the objects that are waited for, as the set sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// It has no doorbell here: its words must be slept on.
    Words,
    /// To be looked at behind the fence.
    Look,
    /// Not ready, and its bell will ring when it is.
    Quiet,
}

/// A doorbell in the set.
#[derive(Debug)]
struct Door {
    /// Number and place; another for each that stands in the same place.
    token: u64,
    /// Whose it is: address of the end, and which half.
    owner: (usize, u8),
    /// What is in the poller.
    bell: Weak<Shy>,
    watch: Watch,
    /// The wait in which it was asked for last, and for which object.
    wait: u64,
    index: usize,
    /// Several objects of that wait stand behind it.
    shared: bool,
}

/// What other threads reach.
#[derive(Debug)]
pub(crate) struct Porter {
    poller: Poller,
    marks: Mutex<Marks>,
    fork: u32,
}

#[derive(Debug, Default)]
struct Marks {
    /// The set's thread sleeps or is about to.
    waiting: bool,
    doors: BTreeMap<u64, Mark>,
}

/// What other threads say of a door; of several, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Somebody else has emptied its doorbell, and armed it: to be looked at.
    Emptied,
    /// Something happened to its session.
    News,
    /// The end is gone.
    Gone,
}

impl Porter {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, token: u64, mark: Mark) {
        let mut marks = self.marks();
        let known = marks.doors.entry(token).or_insert(mark);
        *known = mark.max(*known);
        if marks.waiting {
            self.poller.poke();
        }
    }

    fn is_waiting(&self) -> bool {
        self.marks().waiting
    }
}

/// The sets in which one half of an end stands.
#[derive(Debug, Default)]
pub(crate) struct Ears(Mutex<Vec<(Weak<Porter>, u64)>>);

impl Ears {
    fn list(&self) -> MutexGuard<'_, Vec<(Weak<Porter>, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All look at this half again.
    pub(crate) fn tell(&self, mark: Mark) {
        if cfg!(twocan_mutant = "door-no-news") {
            return;
        }
        self.list().retain(|(porter, token)| {
            let porter = porter.upgrade();
            porter.as_ref().inspect(|p| p.mark(*token, mark)).is_some()
        });
    }

    /// Somebody else has emptied the doorbell: those who sleep on it must look.
    pub(crate) fn tell_others(&self, doors: &Doors) {
        for (porter, token) in &*self.list() {
            if let Some(porter) = porter.upgrade().filter(|p| !Arc::ptr_eq(p, &doors.porter)) {
                // Who does not wait finds another arm than it knows when it comes.
                if porter.is_waiting() && !cfg!(twocan_mutant = "door-empties-in-silence") {
                    porter.mark(*token, Mark::Emptied);
                }
            }
        }
    }

    /// Does anybody sleep on the doorbell now? Then it must ring.
    pub(crate) fn anybody_waits(&self) -> bool {
        self.list().iter().any(|(p, _)| p.upgrade().is_some_and(|p| p.is_waiting()))
    }
}

/// One thread's set.
#[derive(Debug)]
pub struct Doors {
    porter: Arc<Porter>,
    doors: Vec<Option<Door>>,
    free: Vec<usize>,
    /// How many doors there ever were; part of the token.
    made: u32,
    /// Counts the waits.
    wait: u64,
    /// By object of the present wait: its place in `doors`, or `NONE`. Until it is asked for: that
    /// of the wait before.
    places: Vec<u32>,
    /// The object that is asked now.
    pub(super) index: usize,
    reported: Vec<u64>,
    /// What is heard for the present wait only, by the index of the object.
    passing: Vec<(usize, Cancel)>,
    /// Doors of ends that went during the wait which had them.
    leaving: Vec<u64>,
}

const NONE: u32 = u32::MAX;
/// Tokens with this bit are objects of the present wait alone (`Cancel`).
const PASSING: u64 = 1 << 63;
/// The index of the cancellation that ends the wait itself.
pub(super) const BESIDE: usize = usize::MAX >> 2;

thread_local! {
    static KEPT: Cell<Option<Doors>> = const { Cell::new(None) };
}

impl Doors {
    /// This thread's set, or a new one. An error: the system gives none.
    fn take() -> io::Result<Doors> {
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        if let Some(doors) = kept.filter(|d| d.porter.fork == fork::generation()) {
            return Ok(doors);
        }
        let porter =
            Porter { poller: Poller::new()?, marks: Mutex::default(), fork: fork::generation() };
        Ok(Doors {
            porter: Arc::new(porter),
            doors: Vec::new(),
            free: Vec::new(),
            made: 0,
            wait: 0,
            places: Vec::new(),
            index: 0,
            reported: Vec::new(),
            passing: Vec::new(),
            leaving: Vec::new(),
        })
    }

    fn place(token: u64) -> usize {
        (token & u64::from(u32::MAX)) as usize
    }

    fn door(&mut self, token: u64) -> Option<&mut Door> {
        self.doors.get_mut(Doors::place(token))?.as_mut().filter(|d| d.token == token)
    }

    /// The door of half `which` of the end at `owner`, made if it must be. Called for one object
    /// after the other.
    pub(crate) fn find(&mut self, owner: usize, which: u8, ears: &Ears) -> u64 {
        let owner = (owner, which);
        let guess = self.places.get(self.index).copied().unwrap_or(NONE) as usize;
        let guessed = self.doors.get(guess).and_then(Option::as_ref);
        let known = guessed.filter(|d| d.owner == owner && !d.watch.has_rung()).map(|d| d.token);
        let token = known.unwrap_or_else(|| self.look_up(owner, ears));
        let place = Doors::place(token);
        let (wait, index) = (self.wait, self.index);
        if let Some(door) = self.door(token) {
            door.shared = door.wait == wait && (door.shared || door.index != index);
            (door.wait, door.index) = (wait, if door.shared { door.index } else { index });
        }
        self.places[index] = place as u32;
        token
    }

    fn look_up(&mut self, owner: (usize, u8), ears: &Ears) -> u64 {
        let mut list = ears.list();
        let me = Arc::as_ptr(&self.porter);
        let mine = |porter: &Weak<Porter>| porter.as_ptr() == me;
        let known = list.iter().find(|(porter, _)| mine(porter)).map(|(_, token)| *token);
        if let Some(token) = known.filter(|token| self.door(*token).is_some()) {
            return token;
        }
        list.retain(|(porter, _)| !mine(porter) && porter.strong_count() > 0);
        let place = self.free.pop().unwrap_or_else(|| {
            self.doors.push(None);
            self.doors.len() - 1
        });
        self.made = (self.made + 1) & 0x7FFF_FFFF;
        let token = u64::from(self.made) << 32 | place as u64;
        let mut watch = Watch::default();
        watch.rang(); // whatever stands armed, this set does not hear it yet
        let (bell, wait) = (Weak::new(), 0);
        let door = Door { token, owner, bell, watch, wait, index: 0, shared: false };
        self.doors[place] = Some(door);
        list.push((Arc::downgrade(&self.porter), token));
        token
    }

    /// Doors there are, and places for them.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.doors.iter().flatten().count(), self.doors.len())
    }

    /// Places of ends that are gone are free.
    fn close_the_left(&mut self) {
        for token in std::mem::take(&mut self.leaving) {
            if self.door(token).is_some() {
                self.doors[Doors::place(token)] = None;
                self.free.push(Doors::place(token));
            }
        }
    }

    pub(crate) fn watch(&mut self, token: u64) -> Option<&mut Watch> {
        self.door(token).map(|d| &mut d.watch)
    }

    /// The set hears `bell` from now on, in place of an earlier one.
    pub(crate) fn hear(&mut self, token: u64, bell: &Arc<Shy>) -> io::Result<()> {
        let porter = self.porter.clone();
        let Some(door) = self.door(token) else { return Ok(()) };
        if door.bell.as_ptr() == Arc::as_ptr(bell) {
            return Ok(());
        }
        if let Some(old) = door.bell.upgrade() {
            porter.poller.remove(old.fd());
        }
        door.bell = Weak::new();
        if !cfg!(twocan_mutant = "door-deaf") {
            porter.poller.add(bell.fd(), token)?;
        }
        door.bell = Arc::downgrade(bell);
        Ok(())
    }

    /// Hears a cancellation as long as this wait lasts. False = it must be slept on as a word.
    pub(super) fn hear_cancel(&mut self, cancel: &Cancel) -> bool {
        let index = self.index;
        if self.passing.iter().any(|(i, _)| *i == index) {
            return true;
        }
        let token = PASSING | index as u64;
        let heard = cancel.poke().is_some_and(|p| self.porter.poller.add(p.fd(), token).is_ok());
        if heard {
            self.passing.push((index, cancel.clone()));
        }
        heard
    }

    /// The object `index` has no door.
    pub(super) fn none_at(&mut self, index: usize) {
        self.places[index] = NONE;
    }

    /// A look behind the fence has found nothing at the object `index`.
    pub(super) fn found_nothing(&mut self, index: usize) {
        #[cfg(test)]
        behind_a_look(index);
        let place = self.places[index] as usize;
        if let Some(Some(door)) = self.doors.get_mut(place) {
            door.watch.found_nothing();
            if let (true, Some(bell)) =
                (cfg!(twocan_mutant = "door-drain-late"), door.bell.upgrade())
            {
                crate::sys::socket::empty_doorbell(&bell);
            }
        }
    }
}

/// What a test does behind a look that found nothing, in the thread that looked.
#[cfg(test)]
fn behind_a_look(index: usize) {
    // Taken out meanwhile: it may look itself.
    if let Some(mut step) = BEHIND_A_LOOK.take() {
        step(index);
        BEHIND_A_LOOK.set(Some(step));
    }
}

#[cfg(test)]
type Step = Box<dyn FnMut(usize)>;
#[cfg(test)]
thread_local! {
    pub(super) static BEHIND_A_LOOK: Cell<Option<Step>> =
        const { Cell::new(None) };
}

/// One wait at the doors. Its end leaves everything armed and heard.
pub(super) struct Visit {
    /// Always there; an option for `drop`.
    doors: Option<Doors>,
}

impl Visit {
    /// For a wait on `objects` objects: from now on everything that rings or is told wakes it.
    pub(super) fn begin(objects: usize) -> io::Result<Visit> {
        let mut doors = Doors::take()?;
        doors.wait += 1;
        doors.places.resize(objects, NONE);
        doors.porter.marks().waiting = true;
        let mut visit = Visit { doors: Some(doors) };
        visit.hear_of(Some(Instant::now()))?;
        visit.take_notice(None);
        visit.doors().close_the_left();
        Ok(visit)
    }

    pub(super) fn doors(&mut self) -> &mut Doors {
        self.doors.as_mut().expect("there until drop")
    }

    /// Sleeps until something rings or the deadline has passed; appends the objects concerned.
    pub(super) fn sleep(&mut self, deadline: Option<Instant>, stirred: &mut Vec<usize>) {
        if self.hear_of(deadline).is_err() {
            // Not possible for a set that is there. If it happens all the same, the caller looks
            // every millisecond.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.take_notice(Some(stirred));
    }

    fn hear_of(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let doors = self.doors();
        doors.porter.poller.wait(deadline, &mut doors.reported)
    }

    /// What rang and what was told, of the objects of this wait: into `stirred`.
    fn take_notice(&mut self, mut stirred: Option<&mut Vec<usize>>) {
        let doors = self.doors();
        let told = std::mem::take(&mut doors.porter.marks().doors);
        let rung = std::mem::take(&mut doors.reported);
        let all =
            rung.iter().map(|t| (*t, None)).chain(told.into_iter().map(|(t, m)| (t, Some(m))));
        for (token, mark) in all {
            if token & PASSING != 0 {
                stirred.iter_mut().for_each(|s| s.push((token & !PASSING) as usize));
                continue;
            }
            let wait = doors.wait;
            let Some(door) = doors.door(token) else { continue };
            // Armed already if somebody else has emptied it: who armed it again would tell them,
            // and they us, for ever.
            if mark != Some(Mark::Emptied) {
                door.watch.rang();
            }
            let (mine, place) = (door.wait == wait, Doors::place(token));
            let (index, shared) = (door.index, door.shared);
            if mark == Some(Mark::Gone) {
                doors.leaving.push(token);
            }
            let Some(stirred) = stirred.as_mut().filter(|_| mine) else { continue };
            if shared {
                let same = |(_, p): &(usize, &u32)| **p as usize == place;
                stirred.extend(doors.places.iter().enumerate().filter(same).map(|(i, _)| i));
            } else {
                stirred.push(index);
            }
        }
        doors.reported = rung;
        doors.reported.clear();
        if let Some(stirred) = stirred {
            stirred.sort_unstable();
            stirred.dedup();
        }
    }

    /// Wakes this wait; for helper threads.
    pub(super) fn porter(&mut self) -> Arc<Porter> {
        self.doors().porter.clone()
    }
}

impl Porter {
    pub(super) fn poke(&self) {
        self.poller.poke();
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(mut doors) = self.doors.take() {
            for (_, cancel) in doors.passing.drain(..) {
                cancel.poke().into_iter().for_each(|p| doors.porter.poller.remove(p.fd()));
            }
            doors.porter.marks().waiting = false;
            // Without a place for it (the thread is ending) it goes.
            let _ = KEPT.try_with(|kept| kept.set(Some(doors)));
        }
    }
}
