//! Waits for more than one `futex_waitv` holds, where objects have doorbells: one sleep in a set of
//! descriptors.

use super::doors::{Attention, BESIDE, Visit};
use super::{Armed, Goal, Waitable, cancelled};
use crate::sync::{Ordering, fence};
use crate::sys;
use crate::sys::futex::{self, Word};
use crate::until::Gone;
use crate::{Cancel, Result, Until};

/// As `sleep_until`, in a set that is there.
pub(super) fn sleep_at_doors<T>(
    objects: &[&dyn Waitable],
    until: &Until<'_>,
    goal: &impl Goal<T>,
    mut visit: Visit,
) -> Result<Option<T>> {
    visit.doors().index = BESIDE;
    let unheard = until.cancel().filter(|cancel| !visit.doors().hear_cancel(cancel));
    let mut wait = Wait { objects, visit, unheard, rest: Vec::new() };
    let mut due = Vec::with_capacity(objects.len());
    for index in 0..objects.len() {
        if wait.is_due(index) {
            // Those before it are not ready: this look may end the wait, whatever comes behind.
            if let Some(found) = goal.at(index) {
                return Ok(Some(found));
            }
            due.push(index);
        }
    }
    let mut words = Vec::new();
    loop {
        words.clear();
        let armed = wait.arm_the_rest(&mut words);
        // SYNC armed, cancel-poke: as in sleep_until. The doorbells were emptied before they were
        // armed.
        fence(Ordering::SeqCst);
        if !due.is_empty() && sys::fence::is_relied_upon() {
            // Arms that stand from an earlier wait had this behind them then.
            sys::fence::everywhere();
        }
        if let Some(found) = goal.among(&due) {
            return Ok(Some(found));
        }
        if goal.finds_each() {
            due.iter().for_each(|index| wait.visit.doors().found_nothing(*index));
        }
        match until.gone() {
            Some(Gone::Cancelled) => return Err(cancelled()),
            Some(Gone::TimedOut) => return Ok(None),
            None => {}
        }
        due.clear();
        wait.sleep(&words, until, &mut due);
        drop(armed);
        // What stirred has rung by now, and what has no bell may be ready as well: the lowest of
        // them is the lowest of all.
        due.extend(&wait.rest);
        due.sort_unstable();
        due.dedup();
        if let Some(found) = goal.among(&due) {
            return Ok(Some(found));
        }
        due.retain(|index| *index < objects.len());
        for index in due.clone() {
            wait.is_due(index);
        }
    }
}

/// The state of one wait.
struct Wait<'a, 'o, 'c> {
    objects: &'a [&'o dyn Waitable],
    visit: Visit,
    /// A cancellation that must be slept on as a word.
    unheard: Option<&'c Cancel>,
    /// Objects without a doorbell, in order.
    rest: Vec<usize>,
}

impl<'a, 'o> Wait<'a, 'o, '_> {
    /// Attends to one object: must it be looked at behind the fence?
    fn is_due(&mut self, index: usize) -> bool {
        let doors = self.visit.doors();
        doors.index = index;
        let attention = self.objects[index].attend(doors);
        if attention != Attention::Words {
            self.rest.retain(|i| *i != index);
            return attention == Attention::Look;
        }
        doors.none_at(index);
        if let Err(place) = self.rest.binary_search(&index) {
            self.rest.insert(place, index);
        }
        true
    }

    fn arm_the_rest(&mut self, words: &mut Vec<Word>) -> Armed<'o> {
        let rest = self.rest.iter().map(|index| self.objects[*index]);
        let armed = Armed::all(rest.collect(), words);
        if let Some(cancel) = self.unheard {
            cancel.prepare_word(words);
        }
        armed
    }

    fn sleep(&mut self, words: &[Word], until: &Until<'_>, stirred: &mut Vec<usize>) {
        let deadline = until.deadline();
        if words.is_empty() {
            return self.visit.sleep(deadline, stirred);
        }
        let porter = self.visit.porter();
        let visit = &mut self.visit;
        futex::beside(words, || porter.poke(), deadline, |until| visit.sleep(until, stirred));
    }
}

#[cfg(test)]
mod tests;
