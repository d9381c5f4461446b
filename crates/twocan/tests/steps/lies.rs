//! A peer that changes what it has published while it is being read: at every instruction.
//!
//! The victim reads one message; its peer is made by hand and lies. For each instruction of the
//! window there is one such peer: up to there the record says its true length, from there on one
//! that no record of this ring can have. Whoever looks twice is told two things. Only two answers
//! are right: the message as it was published, or the lie by its name.

use crate::chance::message;
use crate::fake::{Flaw, RING, Region, START, Socket};
use crate::stage::{Choice, Points, Tally, Victim, leave_nothing};
use crate::support::unique;
use crate::trace::{Stop, Thread, Watchdog};
use crate::victim::{PAUSES, READ, READY, REFUSED};
use crate::zygote::Zygote;
use std::path::PathBuf;

const DATA: u64 = 1;
const LEN: u32 = 40;
/// Less than the whole ring, so that whoever believes it reads on and answers, but more than any
/// record may have.
const LIE: u32 = 3000;
/// A record of `LEN` bytes takes one line.
const LINE: u64 = 64;

/// The socket of whoever has this name open, by its seat record. Other windows share the directory.
fn seat(name: &str) -> (PathBuf, String) {
    let dir = PathBuf::from(std::env::var_os("TWOCAN_DIR").expect("set by the test"));
    let is_ours = |file: &str| {
        let record = std::fs::read(dir.join(file)).unwrap_or_default();
        file.ends_with(".seat") && record.windows(name.len()).any(|part| part == name.as_bytes())
    };
    let files = std::fs::read_dir(&dir).unwrap().flatten();
    let mut names = files.map(|file| file.file_name().into_string().unwrap());
    let file = names.find(|file| is_ours(file)).expect("the victim has a seat");
    let socket = file.trim_end_matches(".seat").to_owned();
    (dir, socket)
}

pub fn lies(zygote: &Zygote, how: &str, choice: Choice) -> Tally {
    let name = unique("lies");
    let before = match how {
        "the first of a peer" => 0,
        "the second" => 1,
        "one of many" => 3,
        _ => panic!("no such window: {how}"),
    };
    let mut points = Points::new();
    let mut victim = Victim::start(zygote, &["hears", &name, &before.to_string()]);
    // One more beforehand: what is left of a peer that lied is cleared away in the next window, and
    // all shall be of one length.
    meet(&mut points, &mut victim, &name, before, 0);
    points.tally = Points::new().tally;
    while let Some(point) = points.next() {
        let made = meet(&mut points, &mut victim, &name, before, point);
        points.reached(point, made, choice);
    }
    drop(victim);
    leave_nothing(&name);
    let Tally { whole, absent, .. } = points.tally;
    assert!(whole > 1 && absent > 1, "all lies came too early or too late: {whole}, {absent}");
    points.finish()
}

/// One peer, which lies `point` instructions behind the beginning of the window. Returns how many
/// were made.
fn meet(
    points: &mut Points,
    victim: &mut Victim<'_>,
    name: &str,
    before: u64,
    point: usize,
) -> usize {
    assert_eq!(victim.line().0, PAUSES);
    let region = Region::new(Flaw::None);
    let (dir, seat) = seat(name);
    let socket = Socket::connect(dir, &seat);
    socket.say_hello(&region);
    assert!(socket.hear() > 0, "WELCOME");
    for n in 0..=before {
        region.record(START + n * LINE, DATA, LEN, &message(n, LEN as usize));
    }
    victim.say_word();
    assert_eq!(victim.line().0, READY);
    let made = turn_at(points, victim, point, || {
        region.word(RING + START + before * LINE + 8, DATA << 32 | u64::from(LIE));
    });
    match victim.line() {
        (READ, len, whole) => {
            assert!(len == u64::from(LEN) && whole, "step {made}: {len} bytes, whole: {whole}");
            points.tally.whole += 1;
        }
        (REFUSED, ..) => points.tally.absent += 1,
        other => panic!("step {made}: {other:?}"),
    }
    made
}

/// Leads the victim `point` instructions into its window, lies, and lets it go on. Returns how many
/// were made.
fn turn_at(points: &mut Points, victim: &mut Victim<'_>, point: usize, lie: impl Fn()) -> usize {
    let thread = Thread::seize(victim.pid, 0).unwrap();
    let _dog = Watchdog::over(thread.0);
    victim.say_word();
    assert_eq!(thread.wait(), Stop::Trap, "the window begins");
    // It ends where it began, at the second trap.
    let border = thread.place();
    let mut made = 0;
    while made < point {
        thread.step();
        match thread.wait() {
            Stop::Trap if thread.place() == border => break,
            Stop::Trap => made += 1,
            other => panic!("after {made} steps: {other:?}"),
        }
    }
    lie();
    if made == point {
        points.killed_at(thread);
        thread.go_on();
        assert_eq!(thread.wait(), Stop::Trap, "after {made} steps and a lie: no answer");
        assert_eq!(thread.place(), border);
    }
    thread.let_go();
    made
}
