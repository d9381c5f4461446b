//! Tables for people.

use crate::candidates::{Facts, WAITERS};
use crate::row::Row;
use crate::task::Work;

/// Says how each candidate is set up, or why it is not here.
pub(crate) fn how(chosen: &[Facts]) {
    println!("candidates");
    for facts in chosen {
        println!("  {:<18}{}", facts.id, facts.how);
        if let Some((_, how)) = WAITERS.iter().find(|(id, _)| *id == facts.id) {
            println!("  {:<18}many at once: {how}", "");
        }
        if let Some(why) = &facts.missing {
            println!("  {:<18}MISSING: {why}", "");
        }
    }
    println!();
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

pub(crate) fn print(rows: &[Row]) {
    let mut last = None;
    for row in rows {
        let group = (row.work, row.size, row.channels);
        if last != Some(group) {
            heading(row);
            last = Some(group);
        }
        match &row.missing {
            Some(why) => println!("  {:<18}- {why}", row.candidate),
            None => line(rows, row),
        }
    }
}

fn heading(row: &Row) {
    let limit = limit_of(row).unwrap_or("-");
    println!();
    match row.work {
        Work::Roundtrip => println!("round trip, {} B; limit: {limit}", row.size),
        Work::Stream => println!("one way, streaming, {} B; limit: {limit}", row.size),
        Work::Parked => println!("round trip, both asleep, {} B; limit: {limit}", row.size),
        Work::Wake => println!("wake-up of one who waits on {} channels", row.channels),
        Work::Open => println!("from open on both sides to the first message received"),
        Work::Memory => println!("memory an idle channel, both processes, of {}", row.channels),
        Work::Idle => println!("idle for 5 s, both processes, {} channels", row.channels),
    }
    let heads = match row.work {
        Work::Memory => ["bytes", "private", "shared", "threads", "files", ""],
        Work::Idle => ["switches", "voluntary", "other", "CPU us", "", ""],
        Work::Stream => ["M/s", "worst", "GB/s", "ns p99", "x limit", "x twocan"],
        _ => ["ns p50", "p99", "p99.9", "worst p50", "x limit", "x twocan"],
    };
    print!("  {:<18}", "");
    heads.iter().for_each(|head| print!("{head:>12}"));
    println!();
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

fn line(rows: &[Row], row: &Row) {
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
        ],
        Work::Stream => {
            [mega(row.per_second), mega(row.worst), number(bytes), number(row.p99), limit, ours]
        }
        _ => [number(row.p50), number(row.p99), number(row.p999), number(row.worst), limit, ours],
    };
    print!("  {:<18}", row.candidate);
    cells.iter().for_each(|cell| print!("{cell:>12}"));
    if let Some(sleeps) = row.figures.get("sleeps").filter(|_| row.work == Work::Parked) {
        print!("   slept {sleeps:.2} times a trip");
    }
    println!();
}
