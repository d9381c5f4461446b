//! The rows: what happens, what is promised then, and the test that tries it.

/// What a row runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Tests of `crates/twocan/tests/TARGET`, by `cargo test FILTER`, with the ignored ones.
    Test { target: &'static str, filter: &'static str },
    /// The same, optimised as a release.
    Release { target: &'static str, filter: &'static str },
    /// As a release under AddressSanitizer.
    Asan { target: &'static str, filter: &'static str },
    /// A whole target with many stories, each with a line of its own.
    Stories { target: &'static str, keys: &'static [&'static str] },
    /// Tests beside the code of the library.
    Unit { filter: &'static str },
    /// The loom models; the figure is the sum of their executions.
    Loom,
    /// Another command of `cargo xtask`, which prints the line (or one for each of the keys).
    Xtask { args: &'static [&'static str], keys: &'static [&'static str] },
}

/// How long a row runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    /// For the run: how many, how long.
    pub(super) env: &'static [(&'static str, &'static str)],
    /// It hangs if it takes longer; several times what it takes on two quiet cores.
    pub(super) minutes: u64,
}

/// One promise and its proof.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) key: &'static str,
    /// What happens.
    pub(super) event: &'static str,
    /// What holds then.
    pub(super) promise: &'static str,
    pub(super) run: Run,
    /// `None` = too long for CI.
    pub(super) ci: Option<Length>,
    /// `None` = the same as in CI.
    pub(super) long: Option<Length>,
}

const fn length(env: &'static [(&'static str, &'static str)], minutes: u64) -> Option<Length> {
    Some(Length { env, minutes })
}

/// What `tests/system` tells as root.
const SYSTEM: &[&str] = &[
    "missing-calls",
    "refused-calls",
    "one-end-lacks",
    "no-descriptors",
    "no-addresses",
    "short-files",
    "full-disk",
    "no-inodes",
    "read-only",
    "no-dev-shm",
    "stopped",
    "swept",
    "copies",
    "exec",
    "zombie",
    "threads",
    "pid-namespaces",
    "net-namespaces",
    "time-namespaces",
    "wall-clock",
    "private-directory",
    "shared-directory",
    "squatting",
    "in-the-way",
    "group",
    "one-user",
    "no-access-lists",
    "everyone",
    "occupied",
    "locked-in",
    "crowded",
    "open-directory",
];

/// What `cargo xtask fuzz` tells.
const FUZZ: &[&str] =
    &["fuzz-attach", "fuzz-records", "fuzz-handshake", "fuzz-names", "fuzz-messages"];

/// All rows. Those that are built alike stand together.
pub(super) const TABLE: &[Row] = &[
    Row {
        key: "random-kills",
        event: "kill -9 of either end at random, and resume",
        promise: "nothing lost, torn or out of order; only what was not acknowledged comes again",
        run: Run::Test { target: "kill", filter: "whoever_is_killed_whenever" },
        ci: length(&[("TWOCAN_KILLS", "20000")], 20),
        long: length(&[("TWOCAN_KILLS", "1000000")], 600),
    },
    Row {
        key: "event-kills",
        event: "kill -9 of waiters and setters of events",
        promise: "nobody else's signal is lost",
        run: Run::Test { target: "kill", filter: "whoever_waits" },
        ci: length(&[("TWOCAN_KILLS", "20000")], 20),
        long: length(&[("TWOCAN_KILLS", "1000000")], 600),
    },
    Row {
        key: "kill-open-close",
        event: "kill while maps, events and channels are made, opened, answered, closed",
        promise: "it always opens again, nothing is left",
        run: Run::Test { target: "cycles", filter: "whoever_is_killed_while" },
        ci: length(&[("TWOCAN_KILLS", "1000")], 20),
        long: length(&[("TWOCAN_KILLS", "20000")], 300),
    },
    Row {
        key: "open-close",
        event: "open and close, again and again",
        promise: "no file, descriptor, thread or map more than before",
        run: Run::Test { target: "cycles", filter: "whoever_comes_and_goes" },
        ci: length(&[("TWOCAN_CYCLES", "10000")], 20),
        long: length(&[("TWOCAN_CYCLES", "200000")], 300),
    },
    Row {
        key: "create-race",
        event: "three processes create and open one name at once",
        promise: "one maker, never a half-made object",
        run: Run::Test { target: "objects", filter: "three_processes_race_for_one_name" },
        ci: length(&[("TWOCAN_RACES", "2000")], 10),
        long: length(&[("TWOCAN_RACES", "100000")], 120),
    },
    Row {
        key: "wrap",
        event: "positions pass every wrap, over old bytes that look like records",
        promise: "every message whole, in order, none invented",
        run: Run::Unit { filter: "ring::tests::" },
        ci: length(&[("TWOCAN_CASES", "20000")], 10),
        long: length(&[("TWOCAN_CASES", "2000000")], 600),
    },
    Row {
        key: "system",
        event: "the system turns on us, other users come",
        promise: "a fallback or an error in words; never a signal, a hang, a stranger let in",
        run: Run::Stories { target: "system", keys: SYSTEM },
        ci: length(&[("TWOCAN_STOPS", "20"), ("TWOCAN_STOP_MS", "10000")], 20),
        long: None,
    },
    Row {
        key: "kill-steps",
        event: "kill at every instruction of send, recv and acknowledge",
        promise: "a message is whole or absent, and the next goes on within a second",
        run: Run::Release { target: "steps", filter: "a_message_is_whole" },
        ci: length(&[("TWOCAN_STEPS", "1700")], 20),
        long: length(&[("TWOCAN_STEPS", "all")], 120),
    },
    Row {
        key: "kill-steps-open",
        event: "kill at every instruction of open, handshake and close that differs from outside",
        promise: "the next goes on within a second, nothing is left",
        run: Run::Release { target: "steps", filter: "whoever_is_killed_in_coming" },
        ci: length(&[("TWOCAN_STEPS", "distinct")], 40),
        long: length(&[("TWOCAN_STEPS", "all")], 1200),
    },
    Row {
        key: "kill-steps-events",
        event: "kill at every instruction of set, wait and reset",
        promise: "a signal is given or not, never lost",
        run: Run::Release { target: "steps", filter: "a_signal_is_given" },
        ci: length(&[("TWOCAN_STEPS", "all")], 20),
        long: None,
    },
    Row {
        key: "length-lies",
        event: "a peer changes the length of its record at any instruction of recv",
        promise: "the message that was checked, or an error with a name",
        run: Run::Release { target: "steps", filter: "a_length_that_changes" },
        ci: length(&[("TWOCAN_STEPS", "all")], 20),
        long: None,
    },
    Row {
        key: "lost-wake",
        event: "one message at a time, the waiter just falling asleep",
        promise: "no waiter sleeps for 100 ms beside what it waits for",
        run: Run::Release { target: "hunt", filter: "the_long_hunt" },
        ci: length(&[("TWOCAN_ROUNDS", "2000000")], 40),
        long: length(&[("TWOCAN_ROUNDS", "5000000")], 100),
    },
    Row {
        key: "scale",
        event: "a thousand channels and a thousand events in one process",
        promise: "nothing lost, nothing grows",
        run: Run::Release { target: "scale", filter: "many" },
        ci: length(&[("TWOCAN_SCALE_CHANNELS", "1000"), ("TWOCAN_SCALE_SECONDS", "60")], 20),
        long: None,
    },
    Row {
        key: "soak",
        event: "one pair at full rate",
        promise: "nothing lost, nothing grows",
        run: Run::Release { target: "scale", filter: "soak" },
        ci: length(&[("TWOCAN_SOAK_SECONDS", "20")], 10),
        long: length(&[("TWOCAN_SOAK_SECONDS", "600")], 30),
    },
    Row {
        key: "loom",
        event: "every interleaving of ring, park, wake, wrap and end",
        promise: "no torn message, no lost wake",
        run: Run::Loom,
        ci: length(&[], 20),
        long: length(&[("TWOCAN_LOOM", "long")], 600),
    },
    Row {
        key: "hostile-peer",
        event: "a peer that stores what it likes into its region",
        promise: "errors with a name; no panic, no hang, no report, memory bounded",
        run: Run::Asan { target: "hostile", filter: "no_store_of" },
        ci: length(&[("TWOCAN_WRITES", "500000000")], 20),
        long: length(&[("TWOCAN_WRITES", "20000000000")], 300),
    },
    Row {
        key: "hostile-handshake",
        event: "packets that lie, are cut, or carry what they should not",
        promise: "none is answered",
        run: Run::Asan { target: "hostile", filter: "a_hello_that_lies" },
        ci: length(&[("TWOCAN_KNOCKS", "20")], 20),
        long: length(&[("TWOCAN_KNOCKS", "1000")], 120),
    },
    Row {
        key: "hostile-welcome",
        event: "an answer that lies",
        promise: "each lie is named",
        run: Run::Asan { target: "hostile", filter: "a_welcome_that_lies" },
        ci: length(&[], 20),
        long: None,
    },
    Row {
        key: "fuzz",
        event: "arbitrary bytes where a peer may hand something over",
        promise: "no panic, no report",
        run: Run::Xtask { args: &["fuzz", "--seconds", "60"], keys: FUZZ },
        ci: length(&[], 40),
        long: None,
    },
    Row {
        key: "threads",
        event: "all tests in one process under ThreadSanitizer",
        promise: "no two accesses without an order between them",
        run: Run::Xtask { args: &["tsan"], keys: &[] },
        ci: length(&[], 30),
        long: None,
    },
    Row {
        key: "mutants",
        event: "each rule broken on purpose",
        promise: "a named test fails",
        run: Run::Xtask { args: &["mutants", "all"], keys: &[] },
        ci: None,
        long: length(&[], 300),
    },
];
