//! The examples as real processes, each test in a name space of its own (`TWOCAN_DIR`).

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// No step of an example takes longer, also on a loaded machine.
const STEP_MAX: Duration = Duration::from_secs(30);

/// A directory for the names of one test. Gone at the end; until then only the lock file may stay.
struct Names(PathBuf);

impl Names {
    fn new() -> Names {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let dir = base.join(format!("twocan-test-examples-{}-{number}", std::process::id()));
        Names(dir)
    }

    fn command(&self, example: &str) -> Command {
        // target/debug/deps/examples-HASH -> target/debug/examples/NAME
        let here = std::env::current_exe().unwrap();
        let folder = here.parent().unwrap().parent().unwrap().join("examples");
        let path = folder.join(example);
        assert!(path.exists(), "run a plain `cargo test`, or `cargo build --examples` first");
        let mut command = Command::new(path);
        command.env("TWOCAN_DIR", &self.0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn start(&self, example: &str) -> Running {
        Running::new(example, self.command(example).stdin(Stdio::piped()).spawn().unwrap())
    }

    /// Runs to the end.
    fn run(&self, example: &str) -> Output {
        ended(example, self.command(example).spawn().unwrap())
    }

    /// The files that are still there, but for the lock file.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name != ".lock").collect()
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that one talks to line by line. Killed when dropped.
struct Running {
    example: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn new(example: &str, mut child: Child) -> Running {
        let input = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tx, rx) = std::sync::mpsc::channel();
        std::thread::spawn(move || forward(lines, &tx));
        Running { example: example.to_owned(), child, input, lines: rx }
    }

    fn line(&self) -> String {
        let what = format!("{} printed nothing in time", self.example);
        self.lines.recv_timeout(STEP_MAX).expect(&what)
    }

    fn type_line(&mut self, text: &str) {
        writeln!(self.input.as_mut().unwrap(), "{text}").unwrap();
    }

    /// End of standard input.
    fn close_input(&mut self) {
        self.input = None;
    }

    fn kill(&mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
    }

    fn wait(&mut self) -> bool {
        let end = Instant::now() + STEP_MAX;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < end, "{} did not end", self.example);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(lines: Lines<BufReader<ChildStdout>>, tx: &std::sync::mpsc::Sender<String>) {
    for line in lines.map_while(Result::ok) {
        if tx.send(line).is_err() {
            return;
        }
    }
}

/// Waits for the end, with a time limit, and collects what was printed.
fn ended(example: &str, mut child: Child) -> Output {
    let end = Instant::now() + STEP_MAX;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() >= end {
            let _ = child.kill();
            let out = child.wait_with_output().unwrap();
            panic!("{example} did not end; it printed {:?}", text(&out.stdout));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of an example that must have ended well.
fn good(out: &Output) -> String {
    assert!(out.status.success(), "{} {}", out.status, text(&out.stderr));
    text(&out.stdout)
}

/// The two windows exchange a line each way; a text longer than the slot is cut; closing one ends
/// both conversations; and with the last window the exit event dies: the next pair talks again.
#[test]
fn classic_chat_between_two_windows_twice() {
    let names = Names::new();
    for _ in 0..2 {
        let mut a = names.start("classic_chat");
        assert_eq!(a.line(), "this is window A");
        let mut b = names.start("classic_chat");
        assert_eq!(b.line(), "this is window B");
        a.type_line("밤이 좋아 🌙");
        assert_eq!(b.line(), "밤이 좋아 🌙");
        b.type_line("HI Night Mo.");
        assert_eq!(a.line(), "HI Night Mo.");
        b.type_line(&"x".repeat(1000));
        assert_eq!(a.line(), "x".repeat(255));
        a.close_input();
        assert_eq!((a.line(), b.line()), ("the chat is over".into(), "the chat is over".into()));
        b.close_input();
        assert!(a.wait() && b.wait());
    }
    assert_eq!(names.left(), Vec::<String>::new());
}

/// The reader sees the text while the writer lives; after kill -9 of the writer the name is free.
#[test]
fn cat_writer_and_cat_reader_and_a_killed_writer() {
    let names = Names::new();
    let mut writer = names.start("cat_writer");
    assert_eq!(writer.line(), "Cat: 10000 bytes, held until Enter");
    assert_eq!(good(&names.run("cat_reader")), "HI Night Mo.\n");
    let second = names.run("cat_writer");
    assert!(!second.status.success() && text(&second.stderr).contains("AlreadyExists"));

    writer.kill();
    let orphan = names.run("cat_reader");
    assert!(!orphan.status.success() && text(&orphan.stderr).contains("NotFound"));
    let mut writer = names.start("cat_writer");
    writer.line();
    writer.type_line("");
    assert!(writer.wait());
    assert_eq!(names.left(), Vec::<String>::new());
}

#[test]
fn hello_twice_greets_both_ways() {
    let names = Names::new();
    let first = names.command("hello").spawn().unwrap();
    let second = names.command("hello").spawn().unwrap();
    let (one, two) = (first.id(), second.id());
    assert_eq!(good(&ended("hello", first)), format!("hello from {two}\n"));
    assert_eq!(good(&ended("hello", second)), format!("hello from {one}\n"));
    assert_eq!(names.left(), Vec::<String>::new());
}

#[test]
fn stay_answers_one_peer_after_the_other() {
    let names = Names::new();
    let stay = names.start("stay");
    assert_eq!(stay.line(), "cat: waiting");
    for _ in 0..2 {
        let hello = names.command("hello").spawn().unwrap();
        let pid = hello.id();
        assert_eq!(good(&ended("hello", hello)), format!("hello from {pid}\n"));
        assert_eq!(stay.line(), format!("pid {pid} joined"));
        assert!(stay.line().ends_with(&format!(" hello from {pid}")));
        assert_eq!(stay.line(), format!("pid {pid} left"));
    }
}

#[test]
fn pair_with_child_asks_and_answers() {
    let names = Names::new();
    let out = good(&names.run("pair_with_child"));
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["the child says 42", "the parent asks what is your number?"]);
    assert_eq!(names.left(), Vec::<String>::new());
}

#[test]
fn the_examples_of_one_process() {
    let names = Names::new();
    assert_eq!(good(&names.run("echo_thread")), "one\n둘\nthree\n3 echoed\n");
    assert_eq!(good(&names.run("wait_any")), "first\nsecond\nstop\n");
    assert_eq!(names.left(), Vec::<String>::new());
}
