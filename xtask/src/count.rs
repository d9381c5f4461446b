//! `cargo xtask count`: instructions of one call, which do not depend on how fast or how busy the
//! machine is.
//!
//! A fixed scenario (`crates/twocan/benches/counted.rs`) runs under callgrind with two lengths; the
//! difference, by message, is what a call takes. The figures are kept in `counts.txt` beside this
//! file and compared in CI. callgrind knows no membarrier, so the plain fences are counted.

use crate::files::root;
use crate::run::{Outcome, cargo, words};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a new compiler may change without anybody's doing.
const TOLERANCE_PERCENT: f64 = 5.0;

/// The middle one of so many is taken: where in the ring a channel begins is left to chance, and
/// what its other threads do meanwhile.
const TIMES: usize = 5;

/// What is counted: the scenario, its base (what it does besides), bytes, and both lengths.
struct Row {
    what: &'static str,
    base: Option<&'static str>,
    bytes: u32,
    counts: (u32, u32),
}

/// The longer messages are as long as we copy ourselves: beyond, the C library's copy takes a tenth
/// more or less by the place in the ring, which is left to chance where it begins.
const ROWS: &[Row] = &[
    Row { what: "send", base: None, bytes: 48, counts: (800, 7200) },
    Row { what: "batch", base: None, bytes: 48, counts: (800, 7200) },
    Row { what: "recv", base: Some("send"), bytes: 48, counts: (800, 7200) },
    Row { what: "recv-into", base: Some("send"), bytes: 48, counts: (800, 7200) },
    Row { what: "send", base: None, bytes: 250, counts: (320, 2880) },
    Row { what: "recv-into", base: Some("send"), bytes: 250, counts: (320, 2880) },
];

/// For `check`: skips where there is no valgrind.
pub(crate) fn step() -> Outcome {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if valgrind.is_err() {
        return Outcome::Skipped("no valgrind here; CI installs it".to_owned());
    }
    match count(false) {
        Ok(()) => Outcome::Ok,
        Err(why) => Outcome::Failed(why),
    }
}

/// Counts, and writes the figures or compares them.
pub(crate) fn count(write: bool) -> Result<(), String> {
    let program = build()?;
    let mut figures = Vec::new();
    for row in ROWS {
        let mut costs = [0.0; TIMES];
        for cost in &mut costs {
            *cost = per_call(&program, row.what, row)?;
            if let Some(base) = row.base {
                *cost -= per_call(&program, base, row)?;
            }
        }
        costs.sort_by(f64::total_cmp);
        let cost = costs[TIMES / 2];
        figures.push((format!("{} {}", row.what, row.bytes), cost));
    }
    if write {
        let text: String = figures.iter().map(|(n, c)| format!("{n} {c:.1}\n")).collect();
        std::fs::write(record(), text).map_err(|e| format!("cannot write the record: {e}"))?;
    }
    let recorded = std::fs::read_to_string(record()).map_err(|e| format!("no record: {e}"))?;
    compare(&figures, &recorded)
}

fn record() -> PathBuf {
    root().join("xtask/src/counts.txt")
}

fn compare(figures: &[(String, f64)], recorded: &str) -> Result<(), String> {
    let mut far = 0;
    for (name, now) in figures {
        let line = recorded.lines().find_map(|l| l.strip_prefix(name.as_str())?.strip_prefix(' '));
        let Some(then) = line.and_then(|n| n.trim().parse::<f64>().ok()) else {
            return Err(format!("{name} is not recorded; `cargo xtask count --write` does it"));
        };
        let change = (now / then - 1.0) * 100.0;
        let within = change.abs() <= TOLERANCE_PERCENT;
        far += u32::from(!within);
        let verdict = if within { "" } else { "  TOO FAR" };
        println!("{name:16} {now:7.1} instructions, recorded {then:7.1} ({change:+.1} %){verdict}");
    }
    if far == 0 {
        return Ok(());
    }
    Err(format!(
        "{far} figures are more than {TOLERANCE_PERCENT} % away from the record; if that is meant, \
         `cargo xtask count --write` and say why"
    ))
}

/// Builds the scenario; where it lies is what cargo says.
fn build() -> Result<PathBuf, String> {
    let args = ["bench", "-p", "twocan", "--bench", "counted", "--no-run"];
    let mut command = cargo(&args, &[]);
    let output = command.output().map_err(|e| format!("cannot start {}: {e}", words(&command)))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{} failed:\n{text}", words(&command)));
    }
    let path = text.lines().rev().find_map(|l| l.rsplit_once('(')?.1.strip_suffix(')'));
    path.map(|p| root().join(p)).ok_or_else(|| format!("cargo names no program:\n{text}"))
}

fn per_call(program: &Path, what: &str, row: &Row) -> Result<f64, String> {
    let (short, long) = row.counts;
    let difference =
        total(program, what, row.bytes, long)? - total(program, what, row.bytes, short)?;
    Ok(difference / f64::from(long - short))
}

/// Instructions of a whole run.
fn total(program: &Path, what: &str, bytes: u32, count: u32) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    command.args([what, &bytes.to_string(), &count.to_string()]).stdin(Stdio::null());
    // When the two ends begin to leave their fences out depends on another thread: here never.
    command.env("TWOCAN_TEST_NO_MEMBARRIER", "1");
    // Where the system has laid a program so that valgrind cannot read its tables, it dies before
    // it begins; the next time it lies elsewhere.
    let mut text = String::new();
    for _ in 0..8 {
        let output = command.output().map_err(|e| format!("cannot start valgrind: {e}"))?;
        text = String::from_utf8_lossy(&output.stderr).into_owned();
        let figure = collected(&text).filter(|_| output.status.success());
        if let Some(figure) = figure {
            return Ok(figure);
        }
    }
    Err(format!("valgrind counted nothing for {what} {bytes} {count}:\n{text}"))
}

/// The figure in callgrind's last words: `==12== Collected : 3320092`.
fn collected(text: &str) -> Option<f64> {
    text.lines().find_map(|l| l.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_in_what_callgrind_says() {
        assert_eq!(collected("==7== \n==7== Collected : 3320092\n==7==\n"), Some(3_320_092.0));
        assert_eq!(collected("==7== nothing\n"), None);
    }

    #[test]
    fn a_figure_far_from_the_record_is_an_error_and_so_is_one_without_a_record() {
        let now = |n| [("send 48".to_owned(), n)];
        assert!(compare(&now(172.0), "send 48 170.0\n").is_ok());
        assert!(compare(&now(180.0), "send 48 170.0\n").unwrap_err().contains("1 figures"));
        assert!(compare(&now(150.0), "send 48 170.0\n").is_err());
        assert!(compare(&now(172.0), "send 480 172.0\n").unwrap_err().contains("not recorded"));
    }
}
