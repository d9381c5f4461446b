//! `twocan demo`.

use crate::rig::{Place, err, out};

#[test]
fn the_demo_holds() {
    let place = Place::new();
    let demo = place.run(&["demo"]);
    assert_eq!(demo.status.code(), Some(0), "{}\n{}", out(&demo), err(&demo));
    let told = out(&demo);
    for words in [
        "A round trip between two processes takes",
        "Two processes talk over a channel, both ways at once",
        "Killed left (pid ",
        "Killed right (pid ",
        "each once, in order",
        "Nothing lost, nothing doubled.",
    ] {
        assert!(told.contains(words), "{words:?} in\n{told}");
    }
    place.expect_clean();
}

#[test]
fn an_interrupted_demo_takes_its_processes_along() {
    let place = Place::new();
    let mut demo = place.start(&["demo"]);
    let pids = loop {
        let line = demo.out_line();
        let pids: Vec<String> = line
            .split("(pid ")
            .skip(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
            .collect();
        if pids.len() == 2 {
            break pids;
        }
    };
    demo.signal("INT");
    assert_eq!(demo.code(), 130);
    for pid in pids {
        assert!(!std::path::Path::new("/proc").join(&pid).exists(), "pid {pid} still runs");
    }
    place.expect_clean();
}
