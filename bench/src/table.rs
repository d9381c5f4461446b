//! Tables for people.

use crate::candidates::{Facts, WAITERS};
use crate::row::Row;
use crate::task::Work;
use std::fmt::Write;

/// Says how each candidate is set up, or why it is not here.
pub(crate) fn how(chosen: &[Facts]) -> String {
    let mut out = String::from("candidates\n");
    for facts in chosen {
        let _ = writeln!(out, "  {:<20}{}", facts.id, facts.how);
        if let Some((_, how)) = WAITERS.iter().find(|(id, _)| *id == facts.id) {
            let _ = writeln!(out, "  {:<20}many at once: {how}", "");
        }
        if let Some(why) = &facts.missing {
            let _ = writeln!(out, "  {:<20}MISSING: {why}", "");
        }
    }
    out + "\n"
}

/// The physical limit that a row is held against.
pub(crate) fn limit_of(row: &Row) -> Option<&'static str> {
    match row.work {
        Work::Roundtrip if row.size <= 64 => Some("line"),
        Work::Roundtrip | Work::Stream => Some("memcpy"),
        Work::Parked => Some("futex"),
        _ => None,
    }
}

fn find<'r>(rows: &'r [Row], like: &Row, candidate: &str) -> Option<&'r Row> {
    rows.iter().find(|r| {
        (r.work, r.size, r.channels) == (like.work, like.size, like.channels)
            && r.candidate == candidate
    })
}

pub(crate) fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    let mut last = None;
    for row in rows {
        let group = (row.work, row.size, row.channels);
        if last != Some(group) {
            heading(&mut out, row);
            last = Some(group);
        }
        match &row.missing {
            Some(why) => _ = writeln!(out, "  {:<20}- {why}", row.candidate),
            None => line(&mut out, rows, row),
        }
    }
    out
}

fn heading(out: &mut String, row: &Row) {
    let limit = limit_of(row).unwrap_or("-");
    let title = match row.work {
        Work::Roundtrip => format!("round trip, {} B; limit: {limit}", row.size),
        Work::Stream => format!("one way, streaming, {} B; limit: {limit}", row.size),
        Work::Parked => format!("round trip, both asleep, {} B; limit: {limit}", row.size),
        Work::Wake => format!("wake-up of one who waits on {} channels", row.channels),
        Work::Open => "from open on both sides to the first message received".to_owned(),
        Work::Memory => format!("memory an idle channel, both processes, of {}", row.channels),
        Work::Idle => format!("idle for 5 s, both processes, {} channels", row.channels),
    };
    let heads = match row.work {
        Work::Memory => ["bytes", "private", "shared", "mapped", "threads", "files", ""],
        Work::Idle => ["switches", "voluntary", "other", "CPU us", "", "", ""],
        Work::Stream => ["M/s", "worst", "GB/s", "ns p99", "x limit", "x twocan", "rounds"],
        _ => ["ns p50", "p99", "p99.9", "worst p50", "x limit", "x twocan", "rounds"],
    };
    let heads: String = heads.iter().map(|head| format!("{head:>11}")).collect();
    let _ = writeln!(out, "\n{title}\n  {:<20}{heads}", "");
}

/// How many times slower than another one.
fn times(row: &Row, other: Option<&Row>) -> String {
    match (row.p50, other.and_then(|r| r.p50)) {
        (Some(this), Some(other)) => format!("{:.2}", this / other),
        _ => "-".to_owned(),
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() < 10.0 && value.fract() != 0.0 => format!("{value:.2}"),
        Some(value) if value.abs() < 100.0 && value.fract() != 0.0 => format!("{value:.1}"),
        Some(value) => {
            let digits = format!("{:.0}", value.abs());
            let mut text = String::new();
            for (i, digit) in digits.chars().enumerate() {
                if i > 0 && (digits.len() - i).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            if value < 0.0 { format!("-{text}") } else { text }
        }
    }
}

fn line(out: &mut String, rows: &[Row], row: &Row) {
    let figure = |name: &str| number(row.figures.get(name).copied());
    let limit = limit_of(row).and_then(|limit| find(rows, row, limit));
    let ours = if row.work == Work::Parked { "twocan-parked" } else { "twocan" };
    let (limit, ours) = (times(row, limit), times(row, find(rows, row, ours)));
    let mega = |value: Option<f64>| number(value.map(|v| v / 1e6));
    let bytes = row.per_second.map(|rate| rate * row.size as f64 / 1e9);
    let cells = match row.work {
        Work::Memory => [
            number(row.p50),
            figure("private"),
            figure("shared"),
            figure("mapped_shared"),
            figure("threads"),
            figure("descriptors"),
            String::new(),
        ],
        Work::Idle => [
            number(row.p50),
            figure("voluntary"),
            figure("involuntary"),
            figure("busy_us"),
            String::new(),
            String::new(),
            String::new(),
        ],
        Work::Stream => [
            mega(row.per_second),
            mega(row.worst),
            number(bytes),
            number(row.p99),
            limit,
            ours,
            row.rounds.to_string(),
        ],
        _ => [
            number(row.p50),
            number(row.p99),
            number(row.p999),
            number(row.worst),
            limit,
            ours,
            row.rounds.to_string(),
        ],
    };
    let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
    let _ = write!(out, "  {:<20}{cells}", row.candidate);
    if let Some(sleeps) = row.figures.get("sleeps").filter(|_| row.work == Work::Parked) {
        let _ = write!(out, "   slept {sleeps:.2} times a trip");
    }
    if let Some(cores) = row.cores.filter(|_| row.work != Work::Open) {
        let _ = write!(out, "   ({})", cores.describe());
    }
    out.push('\n');
}
