//! The chat as two people see it: two real terminals, in tmux. Skipped, with the reason printed,
//! where there is none.

use crate::rig::{BIN, LIMIT, Place};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

/// A tmux server of its own, ended when dropped.
struct Tmux<'a> {
    place: &'a Place,
    socket: String,
}

impl<'a> Tmux<'a> {
    fn start(place: &'a Place) -> Option<Tmux<'a>> {
        let socket = place.dir.path().join("tmux").to_str().unwrap().to_owned();
        let tmux = Tmux { place, socket };
        if Command::new("tmux").arg("-V").output().is_err() {
            println!("skipped: tmux is not installed");
            return None;
        }
        let output = tmux.tmux(&["new-session", "-d", "-s", "t", "-x", "80", "-y", "40", "sh"]);
        if !output.status.success() {
            println!("skipped: tmux does not start: {}", String::from_utf8_lossy(&output.stderr));
            return None;
        }
        assert!(tmux.tmux(&["split-window", "-v", "-t", "t", "sh"]).status.success());
        Some(tmux)
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S", &self.socket]).args(args);
        command.env("TWOCAN_DIR", self.place.names()).env_remove("TMUX");
        command.env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8").env("PS1", "$ ").env("TZ", "UTC");
        command.output().unwrap()
    }

    fn keys(&self, pane: usize, keys: &[&str]) {
        let target = format!("t.{pane}");
        let args = [&["send-keys", "-t", &target], keys].concat();
        assert!(self.tmux(&args).status.success());
    }

    fn line(&self, pane: usize, text: &str) {
        let target = format!("t.{pane}");
        assert!(self.tmux(&["send-keys", "-t", &target, "-l", text]).status.success());
        self.keys(pane, &["Enter"]);
    }

    fn screen(&self, pane: usize) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-t", &format!("t.{pane}")]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_for(&self, pane: usize, words: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen(pane);
            if screen.contains(words) {
                return screen;
            }
            assert!(start.elapsed() < LIMIT, "no {words:?} in pane {pane}:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn cursor(&self, pane: usize) -> String {
        let args = ["display-message", "-p", "-t", &format!("t.{pane}"), "#{cursor_x},#{cursor_y}"];
        String::from_utf8_lossy(&self.tmux(&args).stdout).trim().to_owned()
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The pid in "bob joined (pid 4190)."
fn pid_of(screen: &str, words: &str) -> String {
    let rest = screen.rsplit(words).next().unwrap();
    rest.trim_start_matches(" (pid ").chars().take_while(char::is_ascii_digit).collect()
}

#[test]
fn two_terminals_talk_one_is_killed_and_comes_back() {
    let place = Place::new();
    let Some(tmux) = Tmux::start(&place) else { return };
    let chat = |nick: &str| format!("'{BIN}' chat cat --as {nick}; echo ended with $?");
    tmux.line(0, &chat("alice"));
    tmux.wait_for(0, "* (you are alice; /help for commands, Ctrl-D to leave)");
    tmux.line(1, &chat("bob"));
    let joined = tmux.wait_for(0, "bob joined (pid ");
    tmux.wait_for(1, "alice joined");

    tmux.line(0, "안녕 bob");
    tmux.wait_for(1, "alice: 안녕 bob");
    tmux.wait_for(0, "alice: 안녕 bob ✓✓");
    tmux.line(1, "밤이에요 👋");
    tmux.wait_for(0, "bob: 밤이에요 👋");
    tmux.keys(0, &["-l", "한글"]);
    tmux.wait_for(0, "> 한글");
    let rows = tmux.screen(0).lines().count();
    assert_eq!(tmux.cursor(0), format!("6,{}", rows - 1), "the real cursor is at the caret");
    tmux.keys(0, &["Enter"]);
    tmux.wait_for(1, "alice: 한글");

    let pid = pid_of(&joined, "bob joined");
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    tmux.wait_for(0, "bob's program ended without saying goodbye.");
    tmux.line(0, "are you all right?");
    tmux.wait_for(0, "are you all right? ✓");
    // A killed program cannot put its terminal in order: Enter is no line end there until somebody
    // says so. What is typed before the shell is back may get lost on the way.
    tmux.wait_for(1, "ended with 137");
    tmux.tmux(&[
        "send-keys",
        "-t",
        "t.1",
        "-l",
        "stty sane; tput rmcup; clear; echo order $((1+1))",
    ]);
    tmux.keys(1, &["C-j"]);
    tmux.wait_for(1, "order 2");
    tmux.line(1, &chat("bob"));
    tmux.wait_for(0, "bob is back (pid ");
    tmux.wait_for(1, "alice: are you all right?");
    tmux.line(1, "네!");
    tmux.wait_for(0, "bob: 네!");

    tmux.line(1, "/quit");
    tmux.wait_for(1, "ended with 0");
    tmux.wait_for(0, "bob left. Waiting for the other side to come back");
    tmux.line(0, "still there?");
    tmux.wait_for(0, "kept: 1 message waits");
    tmux.keys(0, &["C-d"]);
    let after = tmux.wait_for(0, "ended with 0");
    assert!(after.contains("* 1 message was not taken by bob and is gone."), "{after}");
    assert!(!after.contains("waiting for the other side"), "the screen is as before:\n{after}");
}

#[test]
fn a_pasted_text_is_inserted_and_a_signal_restores_the_terminal() {
    let place = Place::new();
    let Some(tmux) = Tmux::start(&place) else { return };
    tmux.line(0, &format!("'{BIN}' chat cat --as alice; echo ended with $?"));
    tmux.wait_for(0, "you are alice");
    tmux.tmux(&["set-buffer", "first\nsecond"]);
    tmux.tmux(&["paste-buffer", "-p", "-t", "t.0"]);
    let screen = tmux.wait_for(0, "  second");
    assert!(screen.contains("> first") && !screen.contains("alice: first"), "{screen}");
    let listed = String::from_utf8(place.run(&["ls"]).stdout).unwrap();
    let pid = listed.split("pid ").nth(1).unwrap().trim().to_owned();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let screen = tmux.wait_for(0, "ended with 143");
    assert!(!screen.contains("> first"), "{screen}");
    tmux.line(0, "stty -a | tr ' ' '\\n' | grep -x -e icanon -e echo | tr '\\n' '+'");
    tmux.wait_for(0, "icanon+echo");
}
