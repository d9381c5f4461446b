//! Rules that a search over a model of the design has shown to be needed; docs/reliability.md has
//! them as a table. Faults that chance must find have the length of test that finds them.

use super::{Mutant, Place, row};

const HUNT: Place = Place::Test("hunt");
const CHANNELS: Place = Place::Test("channels");
const KILL: Place = Place::Test("kill");
const WHOEVER: &str = "whoever_is_killed_whenever_nothing_is_lost_and_nothing_comes_twice";
const BETWEEN: &str = "no_wake_is_lost_between_messages";

pub(super) const TABLE: &[Mutant] = &[
    // ---- sleeping and waking ----
    row("no-fence-publish", "the same, on this processor", HUNT, BETWEEN),
    row("no-membarrier", "a sleeper calls for the fence that was left out", HUNT, BETWEEN),
    row(
        "calm-beside-a-sleeper",
        "the short way of a stream looks whether the peer sleeps",
        CHANNELS,
        "waits::who_fell_asleep_in_a_stream",
    ),
    row("no-bell", "the same, between processes", HUNT, BETWEEN),
    row("no-second-look", "the same, between processes", HUNT, BETWEEN),
    row("late-bell", "the bell is read before arming", HUNT, BETWEEN),
    row("own-word", "a sleeper sleeps on a word that the waker changes", HUNT, BETWEEN),
    row("short-arm", "the value of a sleep never comes again", HUNT, BETWEEN),
    row("wake-first", "the bell is changed before the wake", HUNT, BETWEEN),
    row("wake-first", "the same", Place::Unit, "the_bell_has_changed_when"),
    row("wake-one", "a wake wakes all", HUNT, "no_wake_is_lost_by_two_who_wait_for_the_same"),
    row("wake-again", "one wake for each sleep", Place::Unit, "a_sleep_is_ended_once"),
    row("bell-by-store", "two threads may ring one bell", Place::Loom, "loom_bell_"),
    row("silent-end", "the end is announced like a record", Place::Loom, "loom_end_"),
    row("silent-end", "the same", CHANNELS, "waits::a_sleeper_is_told_that_the_other_has_finished"),
    row("private-futex", "sleepers of another process", CHANNELS, "waits::wait_any_hears_of"),
    row("trust-woken", "what was woken belongs to a session", CHANNELS, "waits::each_new_peer_is"),
    row(
        "welcome-first",
        "first the session, then WELCOME",
        CHANNELS,
        "waits::a_peer_that_has_just",
    ),
    row("wake-helpers-once", "wake until all have left", Place::Unit, "without_futex_waitv"),
    row("mark-late", "the mark stands before the look", Place::Unit, "without_futex_waitv"),
    row(
        "no-drain",
        "a half without fences is given one with the news",
        Place::Loom,
        "loom_lean_a_half",
    ),
    row("no-membarrier", "the same, in every interleaving", Place::Loom, "loom_lean_a_sleeper"),
    // ---- sessions and long messages ----
    row("no-lock", "a name is locked", Place::Unit, "a_lock_keeps_threads_out"),
    row(
        "no-pidfd",
        "a death is learnt from the process",
        CHANNELS,
        "seats::a_death_is_seen_although",
    ),
    row(
        "ignore-present",
        "first the present session ends",
        CHANNELS,
        "seats::a_newcomer_is_answered_when",
    ),
    row("not-monotone", "an absent acknowledgement is none", KILL, WHOEVER),
    row("newcomer-first", "the dead are read first", KILL, WHOEVER),
    row("no-pass-on", "dead regions are handed on", CHANNELS, "resume::chains_of_deaths"),
    row("new-number", "the same number again", CHANNELS, "long::a_reader_killed_with_the_whole"),
    row("keep-fragments", "FIRST discards", CHANNELS, "long::a_time_limit_in_the_middle"),
    // ---- events and waits ----
    row("wake-one", "the same, of an event", Place::Test("events"), "a_killed_waiter_loses_nobody"),
    row("sets-first", "taken is read before sets", Place::Unit, "lookers_who_are_held_up"),
    row("reset-once", "a reset is repeated", Place::Unit, "a_reset_that_somebody_came_before"),
    row("no-pull", "the counters never meet again", Place::Unit, "a_set_event_stays_set"),
    row("no-pulse", "set and reset let waiters go", Place::Unit, "set_and_reset_in_quick_order"),
    row("no-put-back", "wait_all takes all or nothing", Place::Unit, "what_was_taken_is_put_back"),
    row("order-as-given", "one order of taking", Place::Unit, "auto_reset_events_are_taken_in_one"),
    row("same-twice", "no object twice", Place::Unit, "empty_lists_and_duplicates"),
];
