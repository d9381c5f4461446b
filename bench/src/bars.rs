//! The bars that this project has set itself, held against the rows of a run. They inform; a missed
//! bar is no failure of the run.

use crate::row::Row;
use crate::task::Work;
use std::fmt::Write;

const SIZES: [usize; 7] = [8, 48, 64, 256, 1024, 4096, 65536];
const BLOCKING: [&str; 9] = [
    "socket",
    "pipe",
    "eventfd",
    "mq",
    "iceoryx2-wait-copy",
    "ipc-channel",
    "interprocess",
    "boost",
    "zeromq",
];
const COPYING: [&str; 9] = [
    "iceoryx2-copy",
    "iceoryx2-wait-copy",
    "socket",
    "pipe",
    "mq",
    "ipc-channel",
    "interprocess",
    "boost",
    "zeromq",
];

/// One bar: what it says, what was found, and whether that is enough. `None` = not measured.
struct Bar {
    text: String,
    found: Option<(f64, bool)>,
}

struct Bars<'r> {
    rows: &'r [Row],
    bars: Vec<Bar>,
}

impl<'r> Bars<'r> {
    fn row(&self, work: Work, size: usize, channels: usize, candidate: &str) -> Option<&'r Row> {
        let this = |r: &&Row| {
            (r.work, r.size, r.channels, r.candidate) == (work, size, channels, candidate)
        };
        self.rows.iter().find(this).filter(|row| row.p50.is_some())
    }

    /// The time of one.
    fn time(&self, work: Work, size: usize, candidate: &str) -> Option<f64> {
        self.row(work, size, 1, candidate)?.p50
    }

    /// Messages a second.
    fn rate(&self, size: usize, candidate: &str) -> Option<f64> {
        self.row(Work::Stream, size, 1, candidate)?.per_second
    }

    fn at_most(&mut self, text: impl Into<String>, found: Option<f64>, most: f64) {
        let found = found.map(|value| (value, value <= most));
        self.bars.push(Bar { text: text.into(), found });
    }

    fn at_least(&mut self, text: impl Into<String>, found: Option<f64>, least: f64) {
        let found = found.map(|value| (value, value >= least));
        self.bars.push(Bar { text: text.into(), found });
    }

    /// The smallest of several ratios, and of whom it is; `None` if there is none.
    fn least(ratios: impl Iterator<Item = (String, Option<f64>)>) -> (String, Option<f64>) {
        let known = ratios.filter_map(|(who, ratio)| ratio.map(|ratio| (who, ratio)));
        match known.min_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((who, ratio)) => (who, Some(ratio)),
            None => (String::new(), None),
        }
    }
}

/// `over / under`, where both are known.
fn ratio(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    Some(over? / under?)
}

fn round_trips(bars: &mut Bars<'_>) {
    let time = |bars: &Bars<'_>, size, who| bars.time(Work::Roundtrip, size, who);
    for (size, most) in [(48, 1.35), (64, 1.6)] {
        let found = ratio(time(bars, size, "twocan-spin"), time(bars, size, "line"));
        let text = format!("round trip {size} B, spinning: times the raw line, at most {most}");
        bars.at_most(text, found, most);
    }
    let found = ratio(time(bars, 64, "iceoryx2-copy"), time(bars, 64, "twocan-spin"));
    bars.at_least("round trip 64 B: times faster than iceoryx2, at least 3.5", found, 3.5);
    for (ours, theirs) in [("twocan-spin", "iceoryx2-copy"), ("twocan-loan-spin", "iceoryx2-loan")]
    {
        let each = SIZES.map(|size| {
            (format!("{size} B"), ratio(time(bars, size, theirs), time(bars, size, ours)))
        });
        let (who, found) = Bars::least(each.into_iter());
        let text = format!("round trip, every size: {theirs} / {ours}, least ({who}) above 1");
        bars.at_least(text, found, 1.0);
    }
    let each = SIZES.map(|size| {
        let (spin, ours) = (time(bars, size, "twocan-spin"), time(bars, size, "twocan"));
        (format!("{size} B"), ratio(spin, ours))
    });
    let (who, found) = Bars::least(each.into_iter());
    let text = format!("default waiting: times spinning, worst size ({who}), at most 1.15");
    bars.at_most(text, found.map(|r| 1.0 / r), 1.15);
    let parked = |bars: &Bars<'_>, who| bars.time(Work::Parked, 48, who);
    let ours = parked(bars, "twocan-parked");
    bars.at_most(
        "both asleep: times the raw futex, at most 1.15",
        ratio(ours, parked(bars, "futex")),
        1.15,
    );
    let each = BLOCKING.map(|who| (who.to_owned(), ratio(parked(bars, who), ours)));
    let (who, found) = Bars::least(each.into_iter());
    bars.at_least(format!("both asleep: the fastest rival ({who}) / Twocan, above 1"), found, 1.0);
}

fn streams(bars: &mut Bars<'_>) {
    for (size, who, least) in [
        (48, "twocan", 40.0),
        (48, "twocan-batch", 80.0),
        (64, "twocan", 25.0),
        (64, "twocan-batch", 45.0),
    ] {
        let text = format!("stream {size} B, {who}: M/s, at least {least}");
        bars.at_least(text, bars.rate(size, who).map(|rate| rate / 1e6), least);
    }
    for size in [48, 64] {
        let found = ratio(bars.rate(size, "twocan"), bars.rate(size, "iceoryx2-copy"));
        bars.at_least(format!("stream {size} B: times iceoryx2's copy, at least 20"), found, 20.0);
    }
    let ours = ["twocan", "twocan-batch", "twocan-loan"];
    let rows = bars.rows.iter().filter(|r| r.work == Work::Stream && ours.contains(&r.candidate));
    let each = rows.map(|r| {
        (format!("{} {} B, {} rounds", r.candidate, r.size, r.rounds), ratio(r.worst, r.per_second))
    });
    let (who, found) = Bars::least(each);
    bars.at_least(format!("stream: worst round / median, least ({who}), at least 0.5"), found, 0.5);
    for size in [64 << 10, 1 << 20] {
        let ours = bars.rate(size, "twocan");
        let found = ratio(ours, bars.rate(size, "memcpy"));
        bars.at_least(
            format!("stream {size} B, copying: of memcpy in and out, at least 0.9"),
            found,
            0.9,
        );
        let each = COPYING.map(|who| (who.to_owned(), ratio(ours, bars.rate(size, who))));
        let (who, found) = Bars::least(each.into_iter());
        bars.at_least(
            format!("stream {size} B, copying: times the fastest rival ({who}), above 1"),
            found,
            1.0,
        );
    }
    let each = SIZES.iter().chain(&[1 << 20]).map(|size| {
        let theirs = bars.rate(*size, "iceoryx2-loan");
        (format!("{size} B"), ratio(bars.rate(*size, "twocan-loan"), theirs))
    });
    let (who, found) = Bars::least(each);
    bars.at_least(
        format!("stream, loan: times iceoryx2's loan, least ({who}), at least 1"),
        found,
        1.0,
    );
}

fn the_rest(bars: &mut Bars<'_>) {
    let open = bars.time(Work::Open, 48, "twocan").map(|ns| ns / 1e6);
    bars.at_most("open to first message: ms, at most 1", open, 1.0);
    for channels in [1, 1000] {
        let row = bars.row(Work::Idle, 48, channels, "twocan");
        let text = format!("idle for 5 s, {channels} channels: context switches, none");
        bars.at_most(text, row.and_then(|r| r.p50), 0.0);
    }
    let wake = |bars: &Bars<'_>, n| bars.row(Work::Wake, 48, n, "twocan").and_then(|r| r.p50);
    let found = ratio(wake(bars, 1000), wake(bars, 1));
    bars.at_most("wake-up of 1,000 channels: times that of one, at most 4", found, 4.0);
    let memory = bars.rows.iter().find(|r| r.work == Work::Memory && r.candidate == "twocan");
    let figure = |name: &str| memory.and_then(|r| r.figures.get(name).copied());
    // Shared memory beyond the rings, and what is private.
    let beyond = figure("private")
        .zip(figure("shared").zip(figure("rings")))
        .map(|(private, (shared, rings))| private + (shared - rings).max(0.0));
    bars.at_most(
        "an idle channel beyond its rings, both processes: KiB, at most 64",
        beyond.map(|bytes| bytes / 1024.0),
        64.0,
    );
    let untouched = figure("shared").zip(figure("mapped_shared")).map(|(all, used)| all - used);
    bars.at_most(
        "an idle channel: KiB of memory held that nobody touched, at most 64",
        untouched.map(|bytes| bytes / 1024.0),
        64.0,
    );
}

/// All bars as lines. Those that the run has not measured are left out of the count.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut bars = Bars { rows, bars: Vec::new() };
    round_trips(&mut bars);
    streams(&mut bars);
    the_rest(&mut bars);
    let mut out = String::from("\nbars\n");
    let mut met = (0, 0);
    for bar in bars.bars {
        let (value, word) = match bar.found {
            None => ("-".to_owned(), "not measured"),
            Some((value, fine)) => {
                met = (met.0 + u32::from(fine), met.1 + 1);
                (format!("{value:.2}"), if fine { "met" } else { "NOT MET" })
            }
        };
        let _ = writeln!(out, "  {value:>9}  {word:<13}{}", bar.text);
    }
    let _ = writeln!(out, "  {} of {} met", met.0, met.1);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(candidate: &'static str, ns: f64) -> Row {
        Row { p50: Some(ns), ..Row::empty(Work::Roundtrip, 48, 1, candidate) }
    }

    #[test]
    fn a_bar_is_met_missed_or_not_measured() {
        let says = |ours| {
            let text = text(&[row("line", 300.0), row("twocan-spin", ours)]);
            text.lines().find(|l| l.contains("round trip 48 B")).unwrap_or_default().to_owned()
        };
        assert!(says(390.0).contains("1.30  met"), "{}", says(390.0));
        assert!(says(420.0).contains("1.40  NOT MET"), "{}", says(420.0));
        assert!(text(&[]).contains("0 of 0 met"));
    }
}
