//! More words than one `futex_waitv` holds, and kernels without it: helper threads that live as
//! long as one wait.

use super::{Outcome, WAITV_MAX, Word, wait, wait_many, wait_one, wake_all_local, wake_word};
use crate::sync::AtomicU32;
use crate::sys::thread::without_signals;
use std::sync::atomic::{AtomicU8, Ordering, fence};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

/// How long the caller sleeps before it looks again if the system gives it no helper thread.
const NO_THREAD_NAP: Duration = Duration::from_millis(10);

/// Starts a helper in `scope`, with all signals blocked: handlers run on the application's own
/// threads. False = the system gave no thread.
fn helper<'scope, F>(scope: &'scope Scope<'scope, '_>, work: F) -> bool
where
    F: FnOnce() + Send + 'scope,
{
    let builder = Builder::new().name("twocan-wait".into()).stack_size(64 * 1024);
    without_signals(|| builder.spawn_scoped(scope, work).is_ok())
}

/// One `futex_waitv` per thread, each with a private stop word in its last place; this thread takes
/// the first group.
pub(super) fn in_groups(words: &[Word], deadline: Option<Instant>) -> Outcome {
    let stop = AtomicU32::new(0);
    let halt = || {
        // SYNC group-stop: pairs with the compare of the other groups' futex_waitv.
        stop.store(1, Ordering::Release);
        wake_all_local(&stop);
    };
    let sleep = |part: &[Word], deadline| {
        let mut list = Vec::with_capacity(WAITV_MAX);
        list.extend_from_slice(part);
        // SYNC group-stop: compared by the kernel when this group goes to sleep.
        list.push(Word::local(&stop, 0));
        let outcome = wait_many(&list, deadline);
        halt();
        outcome
    };
    std::thread::scope(|scope| {
        let mut groups = words.chunks(WAITV_MAX - 1);
        let first = groups.next().unwrap_or_default();
        let mut limit = deadline;
        for part in groups {
            let sleep = &sleep;
            if !helper(scope, move || drop_outcome(sleep(part, None))) {
                limit = earlier(deadline, NO_THREAD_NAP);
                break;
            }
        }
        let outcome = sleep(first, limit);
        real_timeout(outcome, limit, deadline)
    })
}

fn drop_outcome(_: Outcome) {}

/// Runs `sleep`, which sleeps elsewhere until the moment it is given, while helper threads sleep on
/// `words`; the first of them that wakes calls `poke`, which ends that sleep.
pub(crate) fn beside(
    words: &[Word],
    poke: impl Fn() + Sync,
    deadline: Option<Instant>,
    sleep: impl FnOnce(Option<Instant>),
) {
    let stop = AtomicU32::new(0);
    let listen = |part: &[Word]| {
        let mut list = part.to_vec();
        // SYNC group-stop: compared by the kernel when this group goes to sleep.
        list.push(Word::local(&stop, 0));
        drop_outcome(wait(&list, None));
        poke();
    };
    std::thread::scope(|scope| {
        let mut limit = deadline;
        for part in words.chunks(WAITV_MAX - 1) {
            let listen = &listen;
            if !helper(scope, move || listen(part)) {
                limit = earlier(deadline, NO_THREAD_NAP);
                break;
            }
        }
        sleep(limit);
        // SYNC group-stop: pairs with the compare of the groups' futex_waitv.
        stop.store(1, Ordering::Release);
        wake_all_local(&stop);
    });
}

/// The helper's states: it sleeps or may be about to; it has left.
const MAY_SLEEP: u8 = 1;
const LEFT: u8 = 2;

/// One FUTEX_WAIT per word, each on a thread of its own; this thread sleeps on a private word that
/// the first who leaves changes. The others are freed by waking their word again and again until
/// they have left: a wake that comes between a helper's look and its sleep is lost, and the word
/// itself must not be changed by a waiter.
pub(super) fn one_thread_each(words: &[Word], deadline: Option<Instant>) -> Outcome {
    let done = AtomicU32::new(0);
    let marks: Vec<AtomicU8> = words.iter().map(|_| AtomicU8::new(LEFT)).collect();
    let work = |word: &Word, mark: &AtomicU8| {
        // SYNC helper-done: pairs with the fence in `free_all`. The mark stands before the look;
        // the order matters: a mark after the look would be missed.
        fence(Ordering::SeqCst);
        if done.load(Ordering::Acquire) == 0 {
            // Tests hold it up where a wake is lost.
            #[cfg(test)]
            std::thread::sleep(Duration::from_micros(300));
            if cfg!(twocan_mutant = "mark-late") {
                mark.store(MAY_SLEEP, Ordering::Relaxed);
            }
            wait_one(word, None);
        }
        done.store(1, Ordering::Release);
        wake_all_local(&done);
        mark.store(LEFT, Ordering::Release);
    };
    std::thread::scope(|scope| {
        let mut limit = deadline;
        for (word, mark) in words.iter().zip(&marks) {
            let work = &work;
            if !cfg!(twocan_mutant = "mark-late") {
                mark.store(MAY_SLEEP, Ordering::Relaxed);
            }
            if !helper(scope, move || work(word, mark)) {
                mark.store(LEFT, Ordering::Relaxed);
                limit = earlier(deadline, NO_THREAD_NAP);
                break;
            }
        }
        let outcome = wait_one(&Word::local(&done, 0), limit);
        free_all(&done, words, &marks);
        real_timeout(outcome, limit, deadline)
    })
}

/// Returns when no helper is asleep any more.
fn free_all(done: &AtomicU32, words: &[Word], marks: &[AtomicU8]) {
    done.store(1, Ordering::Release);
    // SYNC helper-done
    fence(Ordering::SeqCst);
    let mut pause = Duration::from_micros(20);
    loop {
        let mut asleep = false;
        for (word, mark) in words.iter().zip(marks) {
            if mark.load(Ordering::Acquire) == MAY_SLEEP {
                asleep = true;
                wake_word(word);
            }
        }
        if !asleep || cfg!(twocan_mutant = "wake-helpers-once") {
            return;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(1));
    }
}

fn earlier(deadline: Option<Instant>, nap: Duration) -> Option<Instant> {
    let soon = Instant::now() + nap;
    Some(deadline.map_or(soon, |t| t.min(soon)))
}

/// The end of a nap is no time-out of the caller's.
fn real_timeout(outcome: Outcome, limit: Option<Instant>, deadline: Option<Instant>) -> Outcome {
    if outcome == Outcome::TimedOut && limit != deadline { Outcome::Woken } else { outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_futex_waitv_all_helpers_leave() {
        // Whoever finds his word changed frees the others at each moment of their falling asleep.
        let words: Vec<AtomicU32> = (0..6).map(|_| AtomicU32::new(0)).collect();
        for round in 0..60_usize {
            let changed = round % words.len();
            let expected = |i| u32::from(i == changed);
            let make = |(i, w)| Word::local(w, expected(i));
            let list: Vec<Word> = words.iter().enumerate().map(make).collect();
            let deadline = Instant::now() + Duration::from_secs(20);
            assert_ne!(one_thread_each(&list, Some(deadline)), Outcome::TimedOut);
        }
        let list: Vec<Word> = words.iter().map(|w| Word::shared(w, 0)).collect();
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(one_thread_each(&list, Some(deadline)), Outcome::TimedOut);
        assert!(Instant::now() >= deadline);
    }
}
