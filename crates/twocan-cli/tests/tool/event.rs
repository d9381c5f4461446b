//! `twocan event`.

use crate::rig::{Place, expect_end};

#[test]
fn a_waiter_may_come_first() {
    let place = Place::new();
    let mut waiter = place.start(&["event", "wait", "go", "--timeout", "30s"]);
    // The waiter makes the event; until then there is nobody to wake.
    loop {
        let set = place.run(&["event", "set", "go"]);
        if set.status.success() {
            break;
        }
        let words = "twocan: nobody holds an event named go, so there is nobody to wake. \
                     Start the waiter first: twocan event wait go\n";
        expect_end(&set, 5, words);
    }
    assert_eq!(waiter.code(), 0);
    place.expect_clean();
}

#[test]
fn an_auto_event_is_taken_once_and_a_manual_one_stays() {
    let place = Place::new();
    let mut auto = place.start(&["event", "create", "auto"]);
    assert_eq!(auto.out_line(), "auto: auto event, held until Ctrl-C.");
    expect_end(&place.run(&["event", "set", "auto"]), 0, "");
    expect_end(&place.run(&["event", "wait", "auto", "--timeout", "10s"]), 0, "");
    let words =
        "twocan: nobody set the event auto within 50 ms. To set it: twocan event set auto\n";
    expect_end(&place.run(&["event", "wait", "auto", "--timeout", "50ms"]), 3, words);

    let mut manual = place.start(&["event", "create", "manual", "--manual"]);
    manual.out_line();
    place.run(&["event", "set", "manual"]);
    for _ in 0..2 {
        expect_end(&place.run(&["event", "wait", "manual", "--timeout", "10s"]), 0, "");
    }
    expect_end(&place.run(&["event", "reset", "manual"]), 0, "");
    let waits = place.run(&["event", "wait", "manual", "--timeout", "50ms"]);
    assert_eq!(waits.status.code(), Some(3));
}

#[test]
fn signals_end_a_wait_and_a_holding() {
    let place = Place::new();
    let mut holder = place.start(&["event", "create", "go", "--hold"]);
    holder.out_line();
    let mut waiter = place.start(&["event", "wait", "go"]);
    // Nothing says that the waiter waits already; the signal has its handler before the event is
    // opened, or ends it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    waiter.signal("INT");
    assert_eq!(waiter.code(), 130);
    holder.signal("TERM");
    assert_eq!(holder.code(), 143);
    place.expect_clean();
}

#[test]
fn an_event_held_while_a_command_runs() {
    let place = Place::new();
    let twocan = env!("CARGO_BIN_EXE_twocan");
    let script = format!("'{twocan}' event set go && '{twocan}' event wait go --timeout 10s");
    let output = place.run(&["event", "create", "go", "--", "sh", "-c", &script]);
    expect_end(&output, 0, "");
    assert_eq!(place.run(&["event", "reset", "go"]).status.code(), Some(5));
}
