//! The roles of the attackers: one that is attached and plays all acts in turn, and one that
//! stands at the door.

use crate::acts::{ACTS, Act, IN_A_LARGE_RING, SEVERAL_TIMES};
use crate::chance::Chance;
use crate::doors::{Knock, noise};
use crate::fake::{Socket, seat_of};
use crate::meeting::greet;
use crate::shared::{Shared, Theirs};
use crate::support::say;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Every act is played so often at least.
const ROUNDS_MIN: u32 = 2;
/// Stores of one storm at most.
const STORM_MAX: u64 = 10_000_000;

struct Attacker<'a> {
    dir: &'a Path,
    seat: String,
    regions: Vec<Shared>,
    theirs: Option<Theirs>,
    chance: Chance,
    goal: u64,
    sessions: u64,
    moved: u64,
}

impl Attacker<'_> {
    fn writes(&self) -> u64 {
        self.regions.iter().map(Shared::writes).sum()
    }

    fn play(&mut self, act: &Act) {
        let large = IN_A_LARGE_RING.contains(&act.name);
        let which = if large { 0 } else { self.chance.below(self.regions.len() as u64) as usize };
        let region = &self.regions[which];
        region.clear();
        let met = greet(self.dir, &self.seat, region, act.name);
        let met = met.unwrap_or_else(|| panic!("{}: an honest HELLO was refused", act.name));
        if self.theirs.as_ref().is_none_or(|t| t.id != met.id()) {
            self.theirs = Some(met.map());
        }
        let theirs = self.theirs.as_ref().expect("mapped above");
        let budget = (self.goal / 8).clamp(20_000, STORM_MAX);
        let budget = 1 + self.chance.below(budget);
        let mut meeting = met.meeting(region, theirs, &mut self.chance, budget);
        // What former sessions left unread would hide what this one does.
        meeting.acknowledge();
        (act.play)(&mut meeting);
        self.moved += meeting.moved;
        self.sessions += 1;
    }
}

/// `attacker DIR WRITES SEED`.
pub fn play(words: &[String]) {
    let dir = Path::new(&words[1]);
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let goal = number(2);
    let mut chance = Chance::new(number(3));
    let far = chance.word() & !0xFFFF_FFFF;
    // Records begin where rings, acknowledgement words or positions wrap soon.
    let places = [
        (1 << 20, far),
        (4096, 0),
        (4096, 0u64.wrapping_sub(2048)),
        (8192, (1 << 38) - 4096),
        (64 << 10, 0u64.wrapping_sub(64 << 10)),
        (64 << 10, 1 << 63),
    ];
    let made = places.iter().zip(1..).map(|((size, start), id)| Shared::new(*size, *start, id));
    let mut attacker = Attacker {
        dir,
        seat: seat_of(dir),
        regions: made.collect(),
        theirs: None,
        chance,
        goal,
        sessions: 0,
        moved: 0,
    };
    let mut rounds = 0;
    while rounds < ROUNDS_MIN || attacker.writes() < goal {
        for act in ACTS {
            let times = if SEVERAL_TIMES.contains(&act.name) { 4 } else { 1 };
            (0..times).for_each(|_| attacker.play(act));
        }
        rounds += 1;
    }
    let (writes, sessions, moved) = (attacker.writes(), attacker.sessions, attacker.moved);
    say(&format!("done {writes} {sessions} {moved} {rounds}"));
    crate::support::stay();
}

/// `outsider DIR SEED`: connections that say nothing, go at once, or say anything.
pub fn stand_outside(words: &[String]) {
    static STOP: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(|| {
        crate::support::stay();
        STOP.store(true, Ordering::Relaxed);
    });
    let dir = Path::new(&words[1]);
    let mut chance = Chance::new(words[2].parse().expect("a number"));
    let seat = seat_of(dir);
    let (mut knocks, mut silent) = (0u64, Vec::new());
    while !STOP.load(Ordering::Relaxed) {
        let socket = Socket::connect(dir, &seat);
        match chance.below(8) {
            0 => silent.push(socket),
            1 => drop(socket),
            2 => {
                let _ = Knock::hello().send(&socket); // and gone before it is answered
            }
            _ => noise(&socket, &mut chance),
        }
        if silent.len() > 3 {
            silent.clear();
        }
        knocks += 1;
        std::thread::sleep(Duration::from_micros(200 + chance.below(3000)));
    }
    say(&format!("knocked {knocks}"));
}
