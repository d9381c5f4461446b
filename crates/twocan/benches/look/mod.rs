//! The run: cases in turn, figures, bars.

mod cases;
mod helper;

use cases::{CASES, Case};
use helper::Helper;
use std::collections::HashMap;
use std::time::Duration;

/// One figure of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The median of the round, or its only value.
    pub(crate) middle: f64,
    /// The 99th percentile, where there is one.
    pub(crate) p99: f64,
}

pub(crate) fn main() {
    if helper::serve() {
        return;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|a| a == "--quick");
    let wanted = |case: &Case| {
        let mut names = args.iter().filter(|a| !a.starts_with("--")).peekable();
        names.peek().is_none() || names.any(|n| case.name.contains(n.as_str()))
    };
    let cases: Vec<&Case> = CASES.iter().filter(|case| wanted(case)).collect();
    helper::pin(0);
    let mut helper = Helper::start();
    let rounds = if quick {
        3
    } else if args.iter().any(|a| a == "--one") {
        1
    } else {
        11
    };
    let mut samples: HashMap<&str, Vec<Sample>> = HashMap::new();
    for round in 0..=rounds {
        for case in &cases {
            let n = if quick { case.count / 8 } else { case.count };
            let sample = (case.run)(&mut helper, n);
            if round > 0 {
                samples.entry(case.name).or_default().push(sample); // round 0 warms up
            }
        }
    }
    println!("{:44} {:>9} {:>9} {:>9} {:>9}", "", "median", "p99", "best", "worst");
    let mut figures = HashMap::new();
    for case in &cases {
        let figure = Figure::of(case, &samples[case.name]);
        figure.print(case);
        figures.insert(case.name, figure);
    }
    bars(&figures, &samples);
    if args.iter().any(|a| !a.starts_with("--")) {
        return; // only some of the cases were wanted
    }
    let idle = if quick { 1 } else { 5 };
    let switches = helper.switches_while_blocked(Duration::from_secs(idle));
    bar("context switches of a blocked receiver", switches as f64, "<=", 0.0);
    println!("(all its threads, {idle} s)");
}

struct Figure {
    median: f64,
    p99: f64,
    best: f64,
    worst: f64,
}

impl Figure {
    fn of(case: &Case, samples: &[Sample]) -> Figure {
        let mut middles: Vec<f64> = samples.iter().map(|s| s.middle).collect();
        let mut p99s: Vec<f64> = samples.iter().map(|s| s.p99).collect();
        let median = helper::percentile(&mut middles, 50);
        let (low, high) = (middles[0], middles[middles.len() - 1]);
        let (best, worst) = if case.more_is_better { (high, low) } else { (low, high) };
        Figure { median, p99: helper::percentile(&mut p99s, 50), best, worst }
    }

    fn print(&self, case: &Case) {
        let number = |x: f64| match x {
            x if x.is_nan() => String::from("-"),
            x if x < 1000.0 => format!("{x:.1}"),
            x => format!("{x:.0}"),
        };
        println!(
            "{:38} {:>5} {:>9} {:>9} {:>9} {:>9}",
            case.name,
            case.unit,
            number(self.median),
            number(self.p99),
            number(self.best),
            number(self.worst)
        );
    }
}

fn bars(figures: &HashMap<&str, Figure>, samples: &HashMap<&str, Vec<Sample>>) {
    println!();
    // Round by round: a virtual machine's cores may be moved between two rounds, and with them
    // every figure.
    let ratio = |a: &str, b: &str| {
        let pairs = samples.get(a)?.iter().zip(samples.get(b)?);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| a.middle / b.middle).collect();
        Some(helper::percentile(&mut ratios, 50))
    };
    for case in ["48 B round trip, always spinning", "48 B round trip, adaptive"] {
        if let Some(ratio) = ratio(case, "raw line round trip") {
            bar(&format!("{case}, times raw"), ratio, "<=", 1.6);
        }
    }
    if let Some(ratio) = ratio("48 B round trip, both asleep", "raw futex round trip, both asleep")
    {
        println!("{:52} {ratio:.2}", "both asleep, times raw futex");
    }
    if let Some(stream) = figures.get("stream 48 B, send, recv_into") {
        bar("stream 48 B, M/s", stream.median, ">", 10.0);
    }
}

fn bar(what: &str, value: f64, relation: &str, bar: f64) {
    let met = if relation == "<=" { value <= bar } else { value > bar };
    println!("{what:52} {value:.2}   ({relation} {bar}: {})", if met { "met" } else { "NOT MET" });
}
