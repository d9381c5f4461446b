//! The only operating-system calls of the crate. This file is the one place that names an operating
//! system; each system mirrors the same file names and signatures below its folder, and `contract`
//! holds the suite that all pass.
//!
//! # The contract
//!
//! `futex` -- sleeping on words.
//!   - `wait(words, deadline)` compares and sleeps in one step: if a word has changed before, or is
//!     changed and woken at any later time, it returns. Any number of words. It may return for no
//!     reason. It never returns `TimedOut` early. It uses no processor time while nothing happens.
//!   - `wake_all(word)` wakes all who sleep on a shared word, in all processes;
//!     `wake_all_local(word)` those of this process on a private one, and may be called in a signal
//!     handler.
//!   - `add_one_and_wake_all(word)` does both or, if the process is killed, neither.
//!
//! `fork` -- a handle made before a fork belongs to the parent.
//!   - `generation()` differs between a process and its forked children. (Windows: always 0.)
//!
//! `fence` -- the asymmetric fence.
//!   - After `register` (true), a call of `everywhere` in any process that runs this code orders
//!     the threads of this process as if each had made a full fence at some moment during the call.
//!     False: not here; then nobody relies on it. May take milliseconds. `register_alone` does it
//!     only if that takes microseconds.
//!   - `rely` is called before the first end says that it takes part; `is_relied_upon` from then
//!     on.
//!
//! `fd` -- owned descriptors (Windows: handles).
//!   - `Fd::make` and `make_all`: closed in forked children before they run any code, closed on
//!     exec. `inheritable`: neither.
//!   - A drop in the process that made it closes it; a drop in a forked child does nothing.
//!
//! `dir` -- where names live.
//!   - `Directory::open_in(scope)` gives the one directory of the user (of the machine) or says
//!     whose it is.
//!   - `lock(hash, patience)` excludes every other process and thread from the same hash; it ends
//!     with the process that holds it; a holder that does not go on becomes an error that names it.
//!     `try_lock` never waits.
//!
//! `object` -- files that stand for named objects.
//!   - `prepare` + `publish`: the name appears at once, whole and held; or not at all. What fails
//!     leaves nothing.
//!   - `open`: finds only what somebody holds, and holds it too; removes what nobody holds.
//!   - `release`: the last holder's name is gone when it returns. A killed holder holds nothing.
//!
//! `permission` -- who else is let in.
//!   - `Permission::of(sharing)` finds the group or the user, or says that there is none.
//!   - What is made with it lets in its maker, the administrator, and those; where the system
//!     cannot do that, the making is an error, and nobody is let in.
//!   - What is opened with it is refused if others than those made it, or may write to it.
//!
//! `memory` -- mapped memory.
//!   - `Mapping`: a range for as long as it lives, zero where nothing was stored; not in forked
//!     children, unless inheritable.
//!   - `copy_opaque` (x86-64): copies bytes that others may change, unseen by the compiler.
//!   - `populate`: after it, loads (stores) in the range find memory.
//!
//! `memfd` -- regions.
//!   - `create_sealed(len, whole)`: memory that only the mapping it returns ever writes; there from
//!     the beginning if it must be whole, or else as it is touched, which never fails otherwise
//!     than any touch of memory may.
//!   - `map_sealed(fd, len, whole)`: read-only, and only what `create_sealed` could have made:
//!     nothing its owner or anybody does afterwards makes a read of it fail.
//!
//! `socket` -- seats and sessions. Nothing here waits.
//!   - `Listener::bind` takes a seat; it is free again after `shutdown`, or when the process ends
//!     however it ends.
//!   - `Connection::reach` finds `Free`, `Busy` (held, try again) or connects; what was sent before
//!     the other side looks is kept for it. Messages stay apart, carry descriptors, and arrive
//!     whole or not at all.
//!   - `recv`: `End` comes after everything that was queued, whatever error the system reports in
//!     between.
//!   - `process`: who is at the other side by the word of the kernel; `is_dead` never says so of a
//!     living process.
//!   - `ring` never waits, whatever the other side has done to the doorbell.
//!
//! `closer` -- descriptors that a peer had a hand in (`Shy`).
//!   - A drop never waits for a close; what was dropped is closed in the end, unless its own close
//!     never ends. `settle` waits a moment for it.
//!
//! `files` -- small files beside the seats. `random` -- words nobody guesses. `invitation` -- one
//! connection to one child.
//!
//! `poller` -- `wait` returns when something happened on a descriptor that was added (also before
//! it was added), or `poke` was called, or the deadline has passed; it uses no processor time
//! otherwise.
//!
//! `process`, `user`, `thread` -- words for errors, groups, and threads on which no signal handler
//! runs.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(test)]
mod contract;
