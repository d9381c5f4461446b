//! An end as one of many that are waited for: its doorbells in the sets of `wait::doors`.

use super::{End, Half};
use crate::error::Violation;
use crate::sys::closer::Shy;
use crate::sys::socket;
use crate::wait::{Attention, Doors, Mark};
use std::sync::Arc;

/// Beside the two halves: those who wait for comings and goings only.
const NEWS: u8 = 2;

impl End {
    /// One more wait at the doors for this half. Afterwards the peer rings the doorbell for
    /// whatever a look behind the caller's fence has not found.
    pub(crate) fn attend(&self, half: Half, doors: &mut Doors) -> Attention {
        let ears = &self.ears[half as usize];
        let token = doors.find(self.address(), half as u8, ears);
        // The set's wait has begun: whoever parks on this half from now on keeps its doorbell
        // armed.
        let armed = self.sleepers(half).arming.door();
        let Some(watch) = doors.watch(token) else { return Attention::Words };
        match armed {
            Some(armed) if !watch.is_due(Some(armed)) => {
                return if watch.pass(armed) { Attention::Quiet } else { Attention::Look };
            }
            _ => {}
        }
        // A session that comes after this look is told to the set.
        let bell = self.own_bell(half);
        let deaf = bell.as_ref().is_some_and(|bell| doors.hear(token, bell).is_err());
        if deaf && !cfg!(twocan_mutant = "deaf-is-quiet") {
            return Attention::Words;
        }
        let (armed, honest) = self.arm_door(half, bell.as_deref());
        if let Some(watch) = doors.watch(token) {
            watch.pass(armed);
        }
        ears.tell_others(doors);
        if !honest {
            self.misbehaved(Violation::BadHandshake);
        }
        Attention::Look
    }

    /// The same for the session alone.
    pub(crate) fn attend_news(&self, doors: &mut Doors) -> Attention {
        let token = doors.find(self.address(), NEWS, &self.ears[NEWS as usize]);
        match doors.watch(token) {
            Some(watch) => {
                watch.pass(u64::MAX);
                Attention::Look
            }
            None => Attention::Words,
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn own_bell(&self, half: Half) -> Option<Arc<Shy>> {
        let state = self.lock();
        let bells = &state.session.as_ref()?.bells;
        Some(bells.own(half).clone())
    }

    /// Empties the doorbell and arms for it, in this order and under one lock: whatever rings for
    /// the new arm stays to be heard. The second answer: only rings were in it.
    fn arm_door(&self, half: Half, bell: Option<&Shy>) -> (u64, bool) {
        let mut sleepers = self.sleepers(half);
        let honest = bell.is_none_or(socket::empty_doorbell);
        sleepers.arming.arm_door(self.arm_word(half));
        (sleepers.arming.door().unwrap_or_default(), honest)
    }

    /// Does anybody sleep on the doorbell of this half?
    pub(super) fn door_is_waited_at(&self, half: Half) -> bool {
        self.ears[half as usize].anybody_waits()
    }

    /// All sets look at this end again.
    pub(super) fn tell_doors(&self, mark: Mark) {
        self.ears.iter().for_each(|ears| ears.tell(mark));
    }
}
