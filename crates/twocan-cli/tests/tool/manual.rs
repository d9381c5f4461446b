//! Help, completions, man page, first run, usage errors.

use crate::rig::{Place, err, expect_end, out};

#[test]
fn bare_is_four_lines() {
    let bare = Place::new().run(&[]);
    expect_end(&bare, 0, "");
    assert_eq!(out(&bare).lines().count(), 4);
    for word in ["chat", "send", "recv", "map", "demo", "twocan help"] {
        assert!(out(&bare).contains(word), "{word}");
    }
}

#[test]
fn help_has_every_command_and_the_exit_codes() {
    let help = Place::new().run(&["help"]);
    expect_end(&help, 0, "");
    let help = out(&help);
    let commands =
        ["chat", "send", "recv", "pipe", "map", "event", "ls", "demo", "completions", "man"];
    for command in commands {
        assert!(help.lines().any(|l| l.trim_start().starts_with(command)), "{command} in {help}");
        let place = Place::new();
        let own = place.run(&["help", command]);
        expect_end(&own, 0, "");
        if !["map", "event"].contains(&command) {
            assert!(out(&own).contains("Example"), "{command} has an example");
        }
    }
    assert!(help.contains("  143  ended by SIGTERM, after saying goodbye"));
    assert!(!help.contains("demo-end"));
}

#[test]
fn completions_and_man_page_come_from_the_same_table() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.run(&["completions", shell]);
        expect_end(&script, 0, "");
        assert!(out(&script).contains("recv"), "{shell}");
    }
    let page = out(&place.run(&["man"]));
    assert!(page.starts_with(".ie") && page.contains(".TH twocan 1"), "{page}");
    assert!(page.contains("Exit codes") && page.contains("recv"));
    let page = out(&place.run(&["man", "send"]));
    assert!(page.contains(".TH twocan-send 1") && page.contains("whole"), "{page}");
    let page = out(&place.run(&["man", "map-create"]));
    assert!(page.contains(".TH twocan-map-create 1") && page.contains("SIZE"), "{page}");
    let none = place.run(&["man", "sned"]);
    expect_end(&none, 2, "twocan: there is no command sned. See: twocan help\n");
}

#[test]
fn usage_errors_end_with_2_and_a_suggestion() {
    let place = Place::new();
    let typo = place.run(&["chta", "cat"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(err(&typo).contains("'chat'"), "{}", err(&typo));
    for args in [
        &["send"][..],
        &["send", "cat", "x", "--timeout", "soon"],
        &["recv", "cat", "--raw", "--json"],
        &["recv", "cat", "--count", "0"],
        &["map", "create", "Cat", "big"],
    ] {
        assert_eq!(place.run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn bad_names_say_what_is_wrong() {
    let place = Place::new();
    let empty = place.run(&["send", "", "hi"]);
    expect_end(&empty, 2, "twocan: a name cannot be empty.\n");
    let slash = place.run(&["map", "read", "a\\b"]);
    let words = "twocan: \"a\\b\": a name cannot contain a backslash, except as Local\\ or \
                 Global\\ \
                 at its start.\n";
    expect_end(&slash, 2, words);
    let bell = place.run(&["event", "set", "bel\u{7}l"]);
    let words = "twocan: a name cannot contain control characters (found U+0007 at byte 3).\n";
    expect_end(&bell, 2, words);
}

#[test]
fn a_foreign_or_missing_directory_is_an_error_not_a_panic() {
    let place = Place::new();
    let file = place.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = place.command(&["ls"]).env("TWOCAN_DIR", &file).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(err(&output).starts_with("twocan: "), "{}", err(&output));
}
