//! The whole run: which sessions there are, in which order, and what they found.

use crate::Options;
use crate::candidates::{Facts, WAITERS, all};
use crate::machine;
use crate::observe::{look, shared_memory};
use crate::row::{Cores, Rounds, Row};
use crate::session::{self, Session};
use crate::task::{Place, Task, Work};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::time::Duration;

const SIZES: [usize; 7] = [8, 48, 64, 256, 1024, 4096, 65536];
const LARGE: usize = 1 << 20;
/// Of the work that has one size.
const SMALL: usize = 48;
const WAITED_ON: [usize; 4] = [1, 10, 100, 1000];
const IDLE_CHANNELS: usize = 100;
const IDLE: Duration = Duration::from_secs(5);
/// From the last message until counting begins.
const SETTLE: Duration = Duration::from_millis(500);

/// So many times as many rounds are tried for cores that were asked for.
const PATIENCE: usize = 20;

/// One row to be: a candidate at one work and size.
#[derive(Debug)]
struct Case {
    facts: Facts,
    work: Work,
    size: usize,
    channels: usize,
    rounds: Rounds,
}

/// The candidates that were asked for, and all if none were.
pub(crate) fn chosen(options: &Options) -> Result<Vec<Facts>> {
    let all = all();
    if let Some(name) = options.candidates.iter().find(|n| all.iter().all(|f| f.id != **n)) {
        bail!("there is no candidate \"{name}\"; --list names them");
    }
    let wanted = |f: &Facts| {
        if options.candidates.is_empty() {
            !f.hidden
        } else {
            options.candidates.iter().any(|c| c == f.id)
        }
    };
    Ok(all.into_iter().filter(wanted).collect())
}

/// The cases of a work, size after size.
fn cases(options: &Options, chosen: &[Facts], work: Work) -> Vec<Case> {
    let mut sizes = match work {
        Work::Roundtrip => SIZES.to_vec(),
        Work::Stream => [&SIZES[..], &[LARGE]].concat(),
        _ => vec![SMALL],
    };
    if matches!(work, Work::Roundtrip | Work::Stream) && !options.sizes.is_empty() {
        sizes.clone_from(&options.sizes);
    }
    let channels: &[usize] = match work {
        Work::Wake => &WAITED_ON,
        Work::Memory => &[IDLE_CHANNELS],
        Work::Idle => &[1, 1000],
        _ => &[1],
    };
    let mut cases = Vec::new();
    for size in sizes {
        for channels in channels {
            for facts in chosen {
                let waits = WAITERS.iter().any(|(id, _)| *id == facts.id);
                let many = work == Work::Wake || work == Work::Idle && *channels > 1;
                if many && !waits || !many && !(facts.does)(work, size) {
                    continue;
                }
                let (facts, rounds) = (facts.clone(), Rounds::default());
                cases.push(Case { facts, work, size, channels: *channels, rounds });
            }
        }
    }
    cases
}

impl Case {
    fn task(&self, options: &Options) -> Task {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let millis = options.millis.unwrap_or(if options.quick { 20 } else { 200 });
        let slow = matches!(self.work, Work::Wake | Work::Open);
        Task {
            work: self.work,
            candidate: self.facts.id.to_owned(),
            place: Place {
                dir: PathBuf::new(),
                tag: format!("{}{number}x", session::mark()),
                size: self.size,
                index: 0,
                work: self.work,
                many: matches!(self.work, Work::Wake)
                    || self.work == Work::Idle && self.channels > 1,
            },
            millis: if slow { 3 * millis } else { millis },
            channels: self.channels,
            cores: machine::cores(),
        }
    }

    fn start(&self, options: &Options) -> Result<Session, String> {
        Session::start(self.task(options), self.facts.threads, self.facts.clean)
    }

    fn round(&mut self, options: &Options) {
        if self.rounds.failed.is_some() {
            return;
        }
        match self.start(options).and_then(Session::finish) {
            Ok(found) => self.rounds.add(self.work, &found),
            Err(why) => self.rounds.failed = Some(why),
        }
    }

    fn row(self, cores: Cores) -> Row {
        let row = Row::empty(self.work, self.size, self.channels, self.facts.id);
        self.rounds.finish(row, cores)
    }
}

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let chosen = chosen(options)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 11 });
    let mut rows = Vec::new();
    for work in Work::ALL {
        if !options.only.is_empty() && !options.only.contains(&work) {
            continue;
        }
        let start = std::time::Instant::now();
        let mut cases = cases(options, &chosen, work);
        for case in &mut cases {
            case.rounds.failed.clone_from(&case.facts.missing);
        }
        rows.extend(match work {
            Work::Idle => idle(options, cases),
            Work::Memory => cases.into_iter().map(|case| memory(options, case)).collect(),
            Work::Open => {
                for _ in 0..rounds {
                    cases.iter_mut().for_each(|case| case.round(options));
                }
                // A millisecond says nothing about the distance of cores.
                cases.into_iter().map(|case| case.row(Cores::Together)).collect()
            }
            _ => {
                let cores = interleaved(options, &mut cases, rounds);
                cases.into_iter().map(|case| case.row(cores)).collect::<Vec<_>>()
            }
        });
        eprintln!("{}: {:.0} s", work.name(), start.elapsed().as_secs_f64());
    }
    Ok(rows)
}

/// All rounds, every case in turn. The kind that was asked for counts, or that of which there are
/// most; cases that are short of it get some more rounds.
fn interleaved(options: &Options, cases: &mut [Case], rounds: usize) -> Cores {
    for _ in 0..rounds {
        cases.iter_mut().for_each(|case| case.round(options));
    }
    let total = |cores: &Cores| cases.iter().map(|case| case.rounds.count(*cores)).sum::<usize>();
    let most = Cores::ALL.into_iter().max_by_key(total).unwrap_or(Cores::Apart);
    let cores = options.cores.unwrap_or(most);
    let more = match options.cores {
        Some(_) => PATIENCE * rounds,
        None if options.quick => rounds.div_ceil(2),
        None => rounds,
    };
    for _ in 0..more {
        let short = cases.iter_mut().filter(|case| case.rounds.count(cores) < rounds);
        short.for_each(|case| case.round(options));
    }
    cores
}

/// Bytes a channel in both processes together: those that only they have, and those in shared
/// memory, mapped or not.
fn memory(options: &Options, case: Case) -> Row {
    let row = Row { unit: "B", ..Row::empty(case.work, case.size, case.channels, case.facts.id) };
    if let Some(why) = case.rounds.failed {
        return row.missing(why);
    }
    let measured = || -> Result<Row, String> {
        let rings = (case.facts.rings)(&case.task(options).place);
        let mut session = case.start(options)?;
        let pids = session.pids();
        session.reached("one")?;
        let (before, shared_before) = (look(&pids), shared_memory());
        session.go_on();
        session.reached("all")?;
        let (grown, shared) = (look(&pids) - before, shared_memory() - shared_before);
        session.go_on();
        session.finish()?;
        let each = 1.0 / case.channels as f64;
        let mut row = row.clone();
        row.rounds = 1;
        row.p50 = Some((grown.private + shared) * each);
        let figures = [
            ("private", grown.private),
            ("mapped_shared", grown.shared),
            ("shared", shared),
            ("threads", grown.threads),
            ("descriptors", grown.descriptors),
        ];
        row.figures = figures.map(|(name, value)| (name.to_owned(), value * each)).into();
        if let Some(rings) = rings {
            row.figures.insert("rings".to_owned(), rings as f64);
        }
        Ok(row)
    };
    measured().unwrap_or_else(|why| row.clone().missing(why))
}

/// All of them idle side by side for the same seconds.
fn idle(options: &Options, cases: Vec<Case>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut running = Vec::new();
    for case in cases {
        let unit = "switches";
        let row = Row { unit, ..Row::empty(case.work, case.size, case.channels, case.facts.id) };
        let started = match case.rounds.failed.clone() {
            Some(why) => Err(why),
            None => case.start(options),
        };
        match started.and_then(|s| s.reached("waiting").map(|()| s)) {
            Ok(session) => running.push((rows.len(), session)),
            Err(why) => {
                rows.push(row.missing(why));
                continue;
            }
        }
        rows.push(row);
    }
    std::thread::sleep(SETTLE);
    let before: Vec<_> = running.iter().map(|(_, session)| look(&session.pids())).collect();
    std::thread::sleep(IDLE);
    for ((at, session), before) in running.iter().zip(before) {
        let spent = look(&session.pids()) - before;
        let row = &mut rows[*at];
        row.rounds = 1;
        row.p50 = Some(spent.voluntary + spent.involuntary);
        let figures = [
            ("voluntary", spent.voluntary),
            ("involuntary", spent.involuntary),
            ("busy_us", spent.busy / 1e3),
            ("seconds", IDLE.as_secs_f64()),
        ];
        row.figures = figures.map(|(name, value)| (name.to_owned(), value)).into();
    }
    rows
}
