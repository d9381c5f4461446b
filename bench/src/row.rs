//! One line of a table: all rounds of one candidate at one work and size.

use crate::task::{Found, Work};
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

/// What the rounds of a row have found so far.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// Nanoseconds of one, a round.
    middles: Vec<f64>,
    /// Of a stream: messages a second, a round.
    rates: Vec<f64>,
    histogram: Histogram<u64>,
    figures: BTreeMap<String, Vec<f64>>,
    pub(crate) failed: Option<String>,
}

impl Default for Rounds {
    fn default() -> Rounds {
        let histogram = Histogram::new(3).expect("3 digits are allowed");
        let (middles, rates, figures) = (Vec::new(), Vec::new(), BTreeMap::new());
        Rounds { middles, rates, histogram, figures, failed: None }
    }
}

pub(crate) fn middle(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Rounds {
    /// Adds a round. A stream whose messages did not all arrive is an error, not a figure.
    pub(crate) fn add(&mut self, work: Work, found: &[Found]) {
        let Some(here) = found.first() else { return };
        for (time, count) in found.iter().flat_map(|f| &f.times) {
            let _ = self.histogram.record_n(*time, *count);
        }
        for (name, value) in found.iter().flat_map(|f| &f.figures) {
            self.figures.entry(name.clone()).or_default().push(*value);
        }
        if work != Work::Stream {
            self.middles.extend(here.middle);
            return;
        }
        match found.get(1) {
            Some(there) if (there.count, there.sum) == (here.count, here.sum) => {
                let rate = there.count as f64 * 1e9 / there.took as f64;
                self.rates.push(rate);
                self.middles.push(1e9 / rate);
            }
            Some(there) => {
                let text = format!(
                    "{} messages were sent and {} came, or not all bytes of them",
                    here.count, there.count
                );
                self.failed = Some(text);
            }
            None => self.failed = Some("the answering end said nothing".to_owned()),
        }
    }

    pub(crate) fn finish(self, mut row: Row) -> Row {
        row.rounds = self.middles.len();
        if let Some(why) = self.failed {
            return row.missing(why);
        }
        row.p50 = middle(&self.middles);
        if !self.histogram.is_empty() {
            row.p99 = Some(self.histogram.value_at_quantile(0.99) as f64);
            row.p999 = Some(self.histogram.value_at_quantile(0.999) as f64);
        }
        if row.work == Work::Stream {
            row.per_second = middle(&self.rates);
            row.worst = self.rates.iter().copied().reduce(f64::min);
        } else {
            row.per_second = row.p50.map(|ns| 1e9 / ns);
            row.worst = self.middles.iter().copied().reduce(f64::max);
        }
        for (name, values) in self.figures {
            row.figures.extend(middle(&values).map(|value| (name, value)));
        }
        row.histogram = Some(self.histogram);
        row
    }
}
