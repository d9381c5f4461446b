//! A peer that is out for harm. The promise: it can send nonsense, and nothing worse. No panic, no
//! undefined behaviour, no signal, no call that outlives its time-out, no memory beyond a bound.
//!
//! How it is tried. The victim is an ordinary program on the public face: it sends, receives,
//! takes deliveries, waits, all with time-outs, as fast as it can. The attacker is another process
//! that speaks the handshake and then writes its own region, which it alone can write: one lie a
//! session on purpose (`acts`), and storms of stores around the place where the victim reads
//! (`storms`). A third process stands at the seat's door and talks nonsense. The attacker's nick
//! says which lie it is telling; the victim counts what it was answered under each nick, so that at
//! the end it is known which branch of the checks every lie has reached: one that was not reached
//! fails the test. Built with AddressSanitizer the same run shows that no byte beside the mapping
//! is touched.
//!
//! `TWOCAN_WRITES` sets the number of stores (default 1,000,000), `TWOCAN_KNOCKS` how often every
//! lie of the handshake is told (default 1), `TWOCAN_SEED` repeats the choices of a run.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/chance.rs"]
mod chance;
#[path = "../channels/fake.rs"]
#[allow(dead_code, reason = "its regions and packets are for the stories of one lie")]
mod fake;
#[path = "../support/mod.rs"]
mod support;

mod acts;
mod attacker;
mod card;
mod doors;
mod meeting;
mod shared;
mod storms;
mod victim;

use chance::Chance;
use doors::{HELLOS, Knock, LIES, Lie, WELCOMES};
use fake::{Socket, bells, seat_of};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;
use support::{Child, TempDir, say, seed, setting};

/// Resident memory of the victim at most. Its messages are up to 128 KiB, the regions up to 1 MiB,
/// four at most are kept; the rest is the program. AddressSanitizer keeps shadows and what was
/// freed last.
const RSS_MAX_KIB: u64 = 24 << 10;
const RSS_MAX_KIB_ASAN: u64 = 160 << 10;
/// Descriptors and regions that it holds at most at any time.
const FDS_MAX: usize = 96;
const MAPS_MAX: usize = 12;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let Some(words) = support::role() else { return };
    match words[0].as_str() {
        "victim" => victim::play(&words),
        "attacker" => attacker::play(&words),
        "outsider" => attacker::stand_outside(&words),
        "invited" => invited(),
        other => panic!("no role is called {other}"),
    }
}

/// Is this a build with AddressSanitizer? (`cfg(sanitize)` is not stable.)
fn has_asan() -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    // Its shadow begins there.
    maps.lines().any(|line| line.starts_with("7fff7000-") || line.starts_with("7fff8000-"))
}

fn start(role: &str, args: &[&str], dir: &TempDir) -> Child {
    Child::start_with(role, args, |command| {
        command.env("TWOCAN_DIR", &dir.0);
        if std::env::var_os("ASAN_OPTIONS").is_none() {
            command.env("ASAN_OPTIONS", "quarantine_size_mb=8");
        }
    })
}

/// What the victim has counted and held.
struct Testimony {
    answers: BTreeMap<(String, String), u64>,
    rss_kib: u64,
    calls: u64,
}

/// Ends the victim in peace and hears it.
fn hear_out(mut victim: Child) -> Testimony {
    victim.end_input();
    let mut answers = BTreeMap::new();
    let mut peaks = Vec::new();
    loop {
        let line = victim.hear();
        if let Some(saw) = line.strip_prefix("saw ") {
            let parts: Vec<&str> = saw.split('|').collect();
            answers.insert((parts[0].to_owned(), parts[1].to_owned()), parts[2].parse().unwrap());
        } else if let Some(words) = line.strip_prefix("peaks ") {
            peaks = words.split(' ').map(|w| w.parse::<u64>().unwrap()).collect();
        } else if line == "end" {
            break;
        } else {
            panic!("the victim is gone: {line:?}");
        }
    }
    victim.finish();
    let [rss_kib, fds, maps, calls] = peaks[..] else { panic!("it says what it held") };
    println!("victim: {calls} calls, {rss_kib} KiB, {fds} descriptors, {maps} regions at most");
    let limit = if has_asan() { RSS_MAX_KIB_ASAN } else { RSS_MAX_KIB };
    assert!(rss_kib < limit, "{rss_kib} KiB resident");
    assert!(fds < FDS_MAX as u64, "{fds} descriptors");
    assert!(maps < MAPS_MAX as u64, "{maps} regions");
    Testimony { answers, rss_kib, calls }
}

fn count(testimony: &Testimony, act: &str, answer: &str) -> u64 {
    let key = (act.to_owned(), answer.to_owned());
    testimony.answers.get(&key).copied().unwrap_or(0)
}

/// A run of so many stores must show an answer to every lie.
const EVERY_BRANCH: u64 = 100_000_000;

#[test]
fn no_store_of_a_hostile_peer_does_more_than_end_its_session() {
    let goal = setting("TWOCAN_WRITES").unwrap_or(1_000_000);
    let seed = seed();
    println!("TWOCAN_SEED={seed} TWOCAN_WRITES={goal}");
    let started = Instant::now();
    let dir = TempDir::new("hostile");
    let (path, seeds) = (dir.0.to_str().unwrap(), seed.to_string());
    let mut victim = start("victim", &["cat", &seeds], &dir);
    victim.expect("open");
    let mut attacker = start("attacker", &[path, &goal.to_string(), &seeds], &dir);
    let mut outsider = start("outsider", &[path, &seeds], &dir);
    let done = attacker.hear();
    let words: Vec<&str> = done.split(' ').collect();
    assert_eq!(words[0], "done", "TWOCAN_SEED={seed}: the attacker was stopped");
    let numbers: Vec<u64> = words[1..].iter().map(|w| w.parse().unwrap()).collect();
    let [writes, sessions, moved, _rounds] = numbers[..] else { panic!("four numbers: {done}") };
    outsider.end_input();
    let knocks = outsider.hear();
    attacker.finish();
    outsider.finish();
    let testimony = hear_out(victim);
    assert_eq!(support::files(&dir), [".lock"], "something was left behind");

    let mut missing = Vec::new();
    for act in acts::ACTS {
        for answer in act.says {
            let n = count(&testimony, act.name, answer);
            println!("{:32} {answer:24} {n}", act.name);
            if n == 0 {
                missing.push(format!("{}: {answer}", act.name));
            }
        }
    }
    for (key, n) in &testimony.answers {
        assert!(!key.1.contains("un"), "TWOCAN_SEED={seed}: {key:?} {n} times");
    }
    // A short run need not reach every branch; the length of CI must.
    if goal < EVERY_BRANCH {
        println!("not reached in so few stores: {missing:?}");
    } else {
        assert!(missing.is_empty(), "TWOCAN_SEED={seed}: never answered: {missing:#?}");
    }
    assert!(moved > 0, "no sleeper was ever moved");
    let asan = if has_asan() { "under AddressSanitizer" } else { "without AddressSanitizer" };
    println!("{moved} sleepers moved; outsider: {knocks}; {:.1?}", started.elapsed());
    println!(
        "trust: hostile-peer: {writes} stores in {sessions} sessions {asan}, {} calls answered, \
         {} kinds of lie, 0 panics, 0 hangs, {} MiB resident at most",
        testimony.calls,
        acts::ACTS.len(),
        testimony.rss_kib >> 10,
    );
}

/// A second process that was invited and hears its inviter's WELCOME.
fn invited() {
    let mut options = twocan::Channel::options();
    let can = options.max_message(card::LIMIT as usize).invited();
    let answer = can.expect("it was invited").recv_timeout(support::LONG);
    say(answer.map_or_else(victim::received, |_| "a message"));
}

/// What an invited process says to this WELCOME.
fn welcomed_with(lie: Option<&Lie>) -> String {
    let (ours, theirs) = bells();
    let mut child = Child::start_with("invited", &[], |command: &mut Command| {
        let fd = theirs.0.as_raw_fd();
        command.env("TWOCAN_INVITATION", fd.to_string());
        // SAFETY: fcntl may be called between fork and exec; the descriptor lives until then.
        unsafe {
            command.pre_exec(move || {
                if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
    });
    drop(theirs);
    assert!(ours.hear() > 0, "HELLO");
    let mut knock = Knock::welcome();
    lie.iter().for_each(|lie| (lie.tell)(&mut knock));
    knock.send(&ours).unwrap();
    if lie.is_none() {
        drop(ours); // attached, and gone
        return child.hear();
    }
    let answer = child.hear();
    child.finish();
    answer
}

#[test]
fn a_welcome_that_lies_is_named() {
    assert_eq!(welcomed_with(None), "PeerDied", "without a lie it is attached");
    let all = LIES.iter().chain(WELCOMES);
    for lie in all.clone() {
        assert_eq!(welcomed_with(Some(lie)), lie.says, "{}", lie.name);
    }
    println!("trust: hostile-welcome: {} lies, each named", all.count());
}

#[test]
fn a_hello_that_lies_is_not_answered() {
    let rounds = setting("TWOCAN_KNOCKS").unwrap_or(1);
    let seed = seed();
    println!("TWOCAN_SEED={seed} TWOCAN_KNOCKS={rounds}");
    let mut chance = Chance::new(seed);
    let dir = TempDir::new("hello");
    let mut victim = start("victim", &["cat", &seed.to_string()], &dir);
    victim.expect("open");
    let seat = seat_of(&dir.0);
    let mut refused = 0u64;
    for _ in 0..rounds {
        for lie in LIES.iter().chain(HELLOS) {
            let mut knock = Knock::hello();
            (lie.tell)(&mut knock);
            let socket = Socket::connect(&dir.0, &seat);
            // The system itself carries no more than so many descriptors and bytes.
            if knock.send(&socket).is_ok() {
                assert_eq!(socket.hear(), 0, "TWOCAN_SEED={seed}: {}", lie.name);
                refused += 1;
            }
        }
        for _ in 0..50 {
            doors::noise(&Socket::connect(&dir.0, &seat), &mut chance);
            refused += 1;
        }
        // Whatever was said, an honest newcomer is answered.
        let socket = Socket::connect(&dir.0, &seat);
        Knock::hello().send(&socket).unwrap();
        assert!(socket.hear() > 0, "TWOCAN_SEED={seed}: an honest HELLO is not answered");
    }
    let testimony = hear_out(victim);
    assert!(count(&testimony, "knock", "in PeerDied") > 0, "{:?}", testimony.answers);
    assert_eq!(support::files(&dir), [".lock"], "something was left behind");
    println!(
        "trust: hostile-handshake: {refused} packets of {} kinds, none answered, {} MiB resident \
         at most",
        LIES.len() + HELLOS.len(),
        testimony.rss_kib >> 10,
    );
}
