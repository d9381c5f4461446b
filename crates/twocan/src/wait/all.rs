//! `wait_all`: everything at once, and nothing taken before everything is there.

use super::{Goal, Waitable, begin_all, sleep_until};
use crate::{Error, ErrorKind, Result, Until};

/// Waits until all of `objects` are ready together, and takes from all of them. False = the time
/// was up; then nothing is taken. A wait whose time is up already still looks once.
///
/// It is exact for manual-reset events and for channels: there was a moment at which all were
/// ready. Auto-reset events are taken one by one once all were seen set, always in the same order,
/// and set again if one is gone meanwhile.
///
/// # Errors
/// `Cancelled`; `InvalidInput` for an empty slice, or if an object stands in it twice; `Forked` in
/// a forked child.
///
/// # Platform
/// Linux: while auto-reset events are taken on trial, others see them as not set for microseconds;
/// a reset in that time is undone if they are set again; a waiter killed in that time takes their
/// signals along. A set and reset in quick order may be missed.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use twocan::{Event, Reset, wait_all};
///
/// let (left, right) = (Event::anonymous(Reset::Auto)?, Event::anonymous(Reset::Auto)?);
/// left.set()?;
/// assert!(!wait_all(&[&left, &right], Duration::from_millis(1))?);
/// right.set()?;
/// assert!(wait_all(&[&left, &right], Duration::from_secs(1))?);
/// assert!(!left.try_wait()? && !right.try_wait()?);
/// # Ok::<(), twocan::Error>(())
/// ```
pub fn wait_all<'c>(objects: &[&dyn Waitable], until: impl Into<Until<'c>>) -> Result<bool> {
    let begun = begin_all(objects)?;
    let mut order: Vec<usize> = (0..objects.len()).collect();
    if !cfg!(twocan_mutant = "order-as-given") {
        order.sort_by_key(|i| objects[*i].identity());
    }
    let same = |w: &[usize]| objects[w[0]].identity() == objects[w[1]].identity();
    let allowed = cfg!(twocan_mutant = "same-twice");
    if !allowed && order.windows(2).any(same) {
        let cause = "the same object stands twice in the list to wait for";
        return Err(Error::new(ErrorKind::InvalidInput, cause));
    }
    let (taking, lasting): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|i| objects[*i].consumes());
    let all = All { objects, begun, taking, lasting };
    Ok(sleep_until(objects, &until.into(), &all)?.is_some())
}

struct All<'a, 'o> {
    objects: &'a [&'o dyn Waitable],
    begun: Vec<u64>,
    /// Auto-reset events, in the order in which all processes take them (mutant ORDER_DIFFERS: two
    /// who wait for the same two would each take one and put it back for ever).
    taking: Vec<usize>,
    /// What is not taken.
    lasting: Vec<usize>,
}

impl Goal<()> for All<'_, '_> {
    fn anywhere(&self) -> Option<()> {
        self.try_take()
    }

    fn at(&self, _index: usize) -> Option<()> {
        None
    }

    fn among(&self, _indices: &[usize]) -> Option<()> {
        self.try_take()
    }

    fn finds_each(&self) -> bool {
        false
    }
}

impl All<'_, '_> {
    /// Takes everything, if everything is ready together.
    fn try_take(&self) -> Option<()> {
        // A put-back wakes others, and what was put back may be complete again by now: look until
        // one look finds something missing. Others who take made progress each time this goes
        // round.
        while self.all_ready() {
            let before = self.lasting_state()?;
            let taken = self.taking.iter().take_while(|i| self.take(**i)).count();
            // Two equal answers around the takes: at the last take all the others were ready.
            if taken == self.taking.len() && self.lasting_state().as_ref() == Some(&before) {
                return Some(());
            }
            if cfg!(twocan_mutant = "no-put-back") {
                return None;
            }
            for i in self.taking[..taken].iter().rev() {
                self.objects[*i].put_back();
            }
        }
        None
    }

    fn take(&self, i: usize) -> bool {
        self.objects[i].take(self.begun[i])
    }

    fn all_ready(&self) -> bool {
        self.taking.iter().chain(&self.lasting).all(|i| self.snapshot(*i).is_some())
    }

    /// One answer of each lasting object; `None` = one is not ready.
    fn lasting_state(&self) -> Option<Vec<u64>> {
        self.lasting.iter().map(|i| self.snapshot(*i)).collect()
    }

    fn snapshot(&self, i: usize) -> Option<u64> {
        self.objects[i].snapshot(self.begun[i])
    }
}
