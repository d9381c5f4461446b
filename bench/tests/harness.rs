//! The benchmark as a whole: no row is forgotten, and a candidate that dies is a line, not a hang.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs it with rows as JSON.
fn run(words: &[&str]) -> (Output, u32, Vec<Value>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_twocan-bench"));
    command.args(words).arg("--json").arg(&file);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("it starts");
    let pid = child.id();
    let out = child.wait_with_output().expect("it ends");
    let text = std::fs::read_to_string(file).unwrap_or_else(|_| "[]".to_owned());
    (out, pid, serde_json::from_str(&text).expect("rows"))
}

fn row<'r>(rows: &'r [Value], work: &str, candidate: &str) -> Option<&'r Value> {
    rows.iter().find(|row| row["work"] == work && row["candidate"] == candidate)
}

/// Those that need nothing but Rust and Linux, and the work that each can do.
const ROWS: [(&str, &str); 7] = [
    (
        "roundtrip",
        "line memcpy futex twocan-spin twocan twocan-parked twocan-loan twocan-loan-spin socket \
         pipe mq iceoryx2-copy iceoryx2-loan iceoryx2-wait-copy iceoryx2-wait-loan ipc-channel \
         interprocess rtrb-threads crossbeam-threads",
    ),
    (
        "stream",
        "memcpy twocan-spin twocan twocan-batch twocan-loan socket pipe mq iceoryx2-copy \
         iceoryx2-loan iceoryx2-wait-copy iceoryx2-wait-loan ipc-channel interprocess \
         rtrb-threads crossbeam-threads",
    ),
    (
        "parked",
        "futex twocan-parked socket pipe eventfd mq iceoryx2-wait-copy iceoryx2-wait-loan \
         ipc-channel interprocess crossbeam-threads",
    ),
    ("wake", "twocan socket iceoryx2-wait-copy ipc-channel"),
    ("open", "twocan socket pipe mq iceoryx2-copy ipc-channel interprocess"),
    ("memory", "twocan socket pipe iceoryx2-wait-copy ipc-channel interprocess"),
    ("idle", "futex twocan socket pipe eventfd mq iceoryx2-wait-copy ipc-channel interprocess"),
];

#[test]
fn every_row_is_there_and_what_can_be_measured_is() {
    let page = tempfile::tempdir().expect("a folder");
    let folder = page.path().display().to_string();
    let words = ["--sizes", "48", "--rounds", "1", "--millis", "20", "--report", &folder];
    let (out, pid, rows) = run(&words);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut bad = Vec::new();
    for (work, candidates) in ROWS {
        for candidate in candidates.split_whitespace() {
            match row(&rows, work, candidate) {
                None => bad.push(format!("{work} of {candidate} is not there")),
                Some(row) if row["missing"].is_string() => {
                    bad.push(format!("{work} of {candidate}: {}", row["missing"]));
                }
                Some(row) if !row["p50"].is_number() => {
                    bad.push(format!("{work} of {candidate} has no figure"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
    // Those that need a C++ compiler are there too, with figures or with a reason.
    for candidate in ["boost", "zeromq"] {
        let row = row(&rows, "roundtrip", candidate).expect("a row");
        assert!(row["p50"].is_number() || row["missing"].is_string(), "{row}");
    }
    let page = std::fs::read_to_string(page.path().join("index.html")).expect("the report");
    assert_eq!(page.matches("<svg").count(), 4, "four plots");
    assert!(page.contains("twocan-batch") && page.contains("bars"));
    nothing_is_left_of(pid);
}

#[test]
fn an_end_that_is_killed_is_reported_and_the_others_are_measured() {
    let words = ["--only", "roundtrip", "--sizes", "8", "--candidates", "dies,line"];
    let (out, pid, rows) = run(&[&words[..], &["--rounds", "2", "--millis", "20"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let why = &row(&rows, "roundtrip", "dies").expect("a row")["missing"];
    assert!(why.as_str().is_some_and(|why| why.contains("killed by signal 9")), "{why}");
    assert!(row(&rows, "roundtrip", "line").expect("a row")["p50"].is_number());
    nothing_is_left_of(pid);
}

#[test]
fn a_candidate_that_does_not_exist_is_an_error() {
    let (out, _, _) = run(&["--candidates", "twocna"]);
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("there is no candidate \"twocna\""));
}

fn nothing_is_left_of(pid: u32) {
    let start = format!("tcb{pid}n");
    let entries = std::fs::read_dir(Path::new("/dev/shm")).expect("shared memory");
    let left: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&start))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
