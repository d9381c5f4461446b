//! One line of a table: all rounds of one candidate at one work and size.

use crate::task::{Found, Work};
use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// A row of the JSON and of the tables.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) work: Work,
    /// Bytes of a message.
    pub(crate) size: usize,
    /// Channels waited on, held or left idle; else 1.
    pub(crate) channels: usize,
    pub(crate) candidate: &'static str,
    /// The median; of rounds, where there are several.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) per_second: Option<f64>,
    /// The worst round's median (or rate, for a stream).
    pub(crate) worst: Option<f64>,
    /// The unit of p50, p99, p999.
    pub(crate) unit: &'static str,
    pub(crate) rounds: usize,
    /// Where the cores were, if that matters.
    pub(crate) cores: Option<Cores>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) figures: BTreeMap<String, f64>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
    /// All single times, for the plots.
    #[serde(skip)]
    pub(crate) histogram: Option<Histogram<u64>>,
}

impl Row {
    pub(crate) fn empty(work: Work, size: usize, channels: usize, candidate: &'static str) -> Row {
        Row {
            work,
            size,
            channels,
            candidate,
            p50: None,
            p99: None,
            p999: None,
            per_second: None,
            worst: None,
            unit: "ns",
            rounds: 0,
            cores: None,
            figures: BTreeMap::new(),
            missing: None,
            histogram: None,
        }
    }

    pub(crate) fn missing(mut self, why: impl Into<String>) -> Row {
        self.missing = Some(why.into());
        self
    }
}

/// Where the two cores were during a session. A host may move a virtual machine's processors at any
/// time; what one line's way to and fro takes tells where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cores {
    /// Two cores that share no cache.
    Apart,
    /// Two cores that share the last cache.
    Near,
    /// One physical core that does the work of two, or one core only.
    Together,
}

impl Cores {
    pub(crate) const ALL: [Cores; 3] = [Cores::Apart, Cores::Near, Cores::Together];

    /// A round trip of one line takes less in the caches of one core: 27 to 33 ns were seen, and
    /// the two slowed each other down to 0.7 at sums in registers.
    const ONE: f64 = 45.0;
    /// Less by way of a shared cache: 60 to 75 ns were seen, and neither slowed the other down.
    const NEAR: f64 = 150.0;
    /// Above this one of the two was not running all the time.
    const STOPPED: f64 = 1000.0;

    /// `None` if the host moved or stopped them meanwhile.
    fn of(found: &[Found]) -> Option<Cores> {
        let Some((before, after)) = found.first().and_then(|f| f.lines) else {
            return Some(Cores::Together); // one core
        };
        let at = |line: f64| match line {
            ..Self::ONE => Some(Cores::Together),
            ..Self::NEAR => Some(Cores::Near),
            ..Self::STOPPED => Some(Cores::Apart),
            _ => None,
        };
        at(before).filter(|cores| at(after) == Some(*cores))
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Cores::Apart => "cores that share no cache",
            Cores::Near => "cores that share a cache",
            Cores::Together => "one physical core",
        }
    }
}

/// What the rounds of one kind have found so far.
#[derive(Debug)]
struct Kind {
    /// Nanoseconds of one, a round.
    middles: Vec<f64>,
    /// Of a stream: messages a second, a round.
    rates: Vec<f64>,
    histogram: Histogram<u64>,
    figures: BTreeMap<String, Vec<f64>>,
}

impl Default for Kind {
    fn default() -> Kind {
        let histogram = Histogram::new(3).expect("3 digits are allowed");
        let (middles, rates, figures) = (Vec::new(), Vec::new(), BTreeMap::new());
        Kind { middles, rates, histogram, figures }
    }
}

/// What the rounds of a row have found so far.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    kinds: [Kind; 3],
    pub(crate) failed: Option<String>,
}

pub(crate) fn middle(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

impl Rounds {
    pub(crate) fn count(&self, cores: Cores) -> usize {
        self.kinds[cores as usize].middles.len()
    }

    /// Adds a round, unless the cores were moved during it. A stream whose messages did not all
    /// arrive is an error, not a figure.
    pub(crate) fn add(&mut self, work: Work, found: &[Found]) {
        let Some(here) = found.first() else { return };
        let Some(cores) = Cores::of(found) else { return };
        let kind = &mut self.kinds[cores as usize];
        if work == Work::Stream {
            match found.get(1) {
                Some(there) if (there.count, there.sum) == (here.count, here.sum) => {
                    let rate = there.count as f64 * 1e9 / there.took as f64;
                    kind.rates.push(rate);
                    kind.middles.push(1e9 / rate);
                }
                Some(there) => {
                    let (sent, came) = (here.count, there.count);
                    let text = format!(
                        "{sent} messages were sent and {came} came, or not all of them whole"
                    );
                    self.failed = Some(text);
                    return;
                }
                None => self.failed = Some("the answering end said nothing".to_owned()),
            }
        } else {
            kind.middles.extend(here.middle);
        }
        for (time, count) in found.iter().flat_map(|f| &f.times) {
            let _ = kind.histogram.record_n(*time, *count);
        }
        for (name, value) in found.iter().flat_map(|f| &f.figures) {
            kind.figures.entry(name.clone()).or_default().push(*value);
        }
        if let Some((before, after)) = here.lines {
            kind.figures.entry("line".to_owned()).or_default().push(f64::midpoint(before, after));
        }
    }

    /// The row of the rounds of this kind; of another, where there is none.
    pub(crate) fn finish(self, mut row: Row, wanted: Cores) -> Row {
        if let Some(why) = self.failed {
            return row.missing(why);
        }
        let most = Cores::ALL.into_iter().max_by_key(|cores| self.count(*cores)).unwrap_or(wanted);
        let cores = if self.count(wanted) > 0 { wanted } else { most };
        let kind = &self.kinds[cores as usize];
        if kind.middles.is_empty() {
            return row.missing("the host moved or stopped the cores in every round");
        }
        row.cores = Some(cores);
        row.rounds = kind.middles.len();
        row.p50 = middle(&kind.middles);
        if !kind.histogram.is_empty() {
            row.p99 = Some(kind.histogram.value_at_quantile(0.99) as f64);
            row.p999 = Some(kind.histogram.value_at_quantile(0.999) as f64);
        }
        if row.work == Work::Stream {
            row.per_second = middle(&kind.rates);
            row.p50 = row.per_second.map(|rate| 1e9 / rate);
            row.worst = kind.rates.iter().copied().reduce(f64::min);
        } else {
            row.per_second = row.p50.map(|ns| 1e9 / ns);
            row.worst = kind.middles.iter().copied().reduce(f64::max);
        }
        for (name, values) in &kind.figures {
            row.figures.extend(middle(values).map(|value| (name.clone(), value)));
        }
        row.histogram = Some(kind.histogram.clone());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sent: u64, came: u64, lines: (f64, f64)) -> Vec<Found> {
        let end = |count| Found { count, took: 1000, lines: Some(lines), ..Found::default() };
        vec![end(sent), end(came)]
    }

    #[test]
    fn a_stream_that_lost_a_message_has_no_figure() {
        let mut rounds = Rounds::default();
        rounds.add(Work::Stream, &stream(10, 9, (300.0, 300.0)));
        let row = rounds.finish(Row::empty(Work::Stream, 8, 1, "x"), Cores::Apart);
        assert!(row.missing.is_some_and(|why| why.contains("10 messages were sent and 9 came")));
        assert_eq!(row.per_second, None);
    }

    #[test]
    fn rounds_of_cores_at_different_distances_are_not_mixed() {
        let mut rounds = Rounds::default();
        rounds.add(Work::Stream, &stream(10, 10, (300.0, 310.0)));
        rounds.add(Work::Stream, &stream(40, 40, (70.0, 71.0)));
        rounds.add(Work::Stream, &stream(80, 80, (30.0, 31.0)));
        rounds.add(Work::Stream, &stream(20, 20, (300.0, 71.0))); // moved meanwhile
        rounds.add(Work::Stream, &stream(20, 20, (30.0, 71.0)));
        rounds.add(Work::Stream, &stream(20, 20, (300.0, 9000.0))); // one did not run
        assert_eq!(Cores::ALL.map(|cores| rounds.count(cores)), [1, 1, 1]);
        let row = rounds.finish(Row::empty(Work::Stream, 8, 1, "x"), Cores::Apart);
        assert_eq!((row.rounds, row.per_second), (1, Some(1e7)));
    }
}
