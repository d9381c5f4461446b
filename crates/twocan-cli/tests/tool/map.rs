//! `twocan map` and `twocan ls`.

use crate::rig::{Place, Running, err, expect_end, out};
use std::process::Stdio;

fn create(place: &Place, args: &[&str]) -> Running {
    let mut holder = place.start(&[&["map", "create"], args].concat());
    assert!(holder.out_line().ends_with(" bytes, held until Ctrl-C."));
    holder
}

#[test]
fn the_cat_of_two_shell_lines() {
    let place = Place::new();
    let mut holder = place.start(&["map", "create", "Cat", "10000", "--text", "HI Night Mo."]);
    assert_eq!(holder.out_line(), "Cat: 10000 bytes, held until Ctrl-C.");
    let text = place.run(&["map", "read", "Cat", "--text"]);
    expect_end(&text, 0, "");
    assert_eq!(out(&text), "HI Night Mo.\n");
    let bytes = place.run(&["map", "read", "Cat"]).stdout;
    assert_eq!(bytes.len(), 10_000);
    assert!(bytes.starts_with(b"HI Night Mo.\0"));
    holder.kill();
    let gone = place.run(&["map", "read", "Cat", "--text"]);
    assert_eq!(gone.status.code(), Some(5));
    let words = err(&gone);
    assert!(
        words
            .starts_with("twocan: there is no map named Cat. A map lives while somebody holds it:")
    );
    assert!(words.contains("twocan map create Cat 10000"), "{words}");
    let _again = create(&place, &["Cat", "10000"]);
}

#[test]
fn write_and_read_ranges() {
    let place = Place::new();
    let _holder = create(&place, &["Cat", "100"]);
    expect_end(&place.run(&["map", "write", "Cat", "밤", "--at", "97"]), 0, "");
    let read = place.run(&["map", "read", "Cat", "--at", "97", "--len", "3"]);
    assert_eq!(read.stdout, "밤".as_bytes());
    assert_eq!(out(&place.run(&["map", "read", "Cat", "--at", "97", "--text"])), "밤\n");
    assert!(place.run(&["map", "read", "Cat", "--at", "100"]).stdout.is_empty());
    for args in [
        &["map", "write", "Cat", "밤", "--at", "98"][..],
        &["map", "read", "Cat", "--at", "101"],
        &["map", "read", "Cat", "--at", "99", "--len", "2"],
        &["map", "read", "Cat", "--at", "18446744073709551615", "--len", "2"],
    ] {
        let outside = place.run(args);
        assert_eq!(outside.status.code(), Some(1), "{args:?} {}", err(&outside));
        assert!(err(&outside).contains("has 100 bytes"), "{args:?} {}", err(&outside));
    }
}

#[test]
fn a_file_to_begin_with() {
    let place = Place::new();
    let file = place.dir.path().join("data");
    std::fs::write(&file, [7u8, 0, 255]).unwrap();
    let path = file.to_str().unwrap();
    let _holder = create(&place, &["Data", "1KiB", "--file", path]);
    let bytes = place.run(&["map", "read", "Data"]).stdout;
    assert_eq!((&bytes[..4], bytes.len()), (&[7, 0, 255, 0][..], 1024));
    let small = place.run(&["map", "create", "Small", "2", "--file", path]);
    let words = "twocan: the map Small would have 2 bytes, and 3 are to be written. \
                 Give it a larger size.\n";
    expect_end(&small, 1, words);
    assert_eq!(
        place.run(&["map", "create", "X", "2", "--file", "/no/such"]).status.code(),
        Some(5)
    );
}

#[test]
fn held_while_a_command_runs_and_ends_with_its_code() {
    let place = Place::new();
    let read = [BIN_READ, "; exit 7"].concat();
    let args = ["map", "create", "Cat", "10", "--text", "meow", "--", "sh", "-c", &read];
    let output = place.run(&args);
    expect_end(&output, 7, "");
    assert_eq!(out(&output), "meow\n");
    let args = ["map", "create", "Cat", "10", "--", "sh", "-c", "kill -9 $$"];
    assert_eq!(place.run(&args).status.code(), Some(128 + 9));
    let missing = place.run(&["map", "create", "Cat", "10", "--", "/no/such/program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert_eq!(place.run(&["map", "read", "Cat"]).status.code(), Some(5));
    place.expect_clean();
}

const BIN_READ: &str = concat!("'", env!("CARGO_BIN_EXE_twocan"), "' map read Cat --text");

#[test]
fn a_background_job_holds_though_its_input_is_dev_null() {
    let place = Place::new();
    let mut command = place.command(&["map", "create", "Cat", "10"]);
    let mut holder = Running::new(command.stdin(Stdio::null()));
    holder.out_line();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(place.run(&["map", "read", "Cat"]).status.code(), Some(0));
    holder.signal("TERM");
    assert_eq!(holder.code(), 143);
    place.expect_clean();
}

#[test]
fn the_end_of_a_pipe_ends_the_holding_unless_told_to_hold() {
    let place = Place::new();
    let mut holder = create(&place, &["Cat", "10"]);
    holder.end_input();
    assert_eq!(holder.code(), 0);
    let mut holder = create(&place, &["Cat", "10", "--hold"]);
    holder.end_input();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(place.run(&["map", "read", "Cat"]).status.code(), Some(0));
    holder.signal("INT");
    assert_eq!(holder.code(), 130);
    let mut holder = create(&place, &["Cat", "10"]);
    holder.signal("HUP");
    assert_eq!(holder.code(), 129);
    place.expect_clean();
}

#[test]
fn names_that_exist_or_are_something_else() {
    let place = Place::new();
    let holder = create(&place, &["Cat", "10"]);
    let twice = place.run(&["map", "create", "Cat", "10"]);
    assert_eq!(twice.status.code(), Some(4));
    let pid = holder.pid();
    assert!(
        err(&twice).starts_with(&format!("twocan: a map named Cat exists, held by pid {pid}."))
    );
    let event = place.run(&["event", "set", "Cat"]);
    assert_eq!(event.status.code(), Some(1));
    assert!(err(&event).starts_with("twocan: Cat is a map, not an event."), "{}", err(&event));
    let empty = place.run(&["map", "create", "Zero", "0"]);
    expect_end(&empty, 2, "twocan: a map needs at least 1 byte.\n");
}

#[test]
fn ls_shows_what_is_there() {
    let place = Place::new();
    expect_end(&place.run(&["ls"]), 0, "");
    assert_eq!(out(&place.run(&["ls"])), "Nothing here. Start with: twocan chat cat\n");
    let map = create(&place, &["Cat", "10000"]);
    let mut event = place.start(&["event", "create", "go"]);
    event.out_line();
    let mut chat = place.start(&["chat", "cat", "--plain"]);
    chat.err_until("waiting");
    let listed = out(&place.run(&["ls"]));
    let rows: Vec<Vec<&str>> = listed.lines().map(|l| l.split_whitespace().collect()).collect();
    let (map_pid, event_pid) = (map.pid().to_string(), event.pid().to_string());
    assert!(rows.contains(&vec!["Cat", "map", "10000", "-", "pid", map_pid.as_str()]), "{listed}");
    let chat_pid = chat.pid().to_string();
    let row = vec!["cat", "channel", "-", "chat/1", "pid", chat_pid.as_str()];
    assert!(rows.contains(&row), "{listed}");
    assert!(rows.contains(&vec!["go", "event", "-", "-", "pid", event_pid.as_str()]), "{listed}");
}
