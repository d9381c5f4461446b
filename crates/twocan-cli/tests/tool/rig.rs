//! Runs the binary, reads it line by line, and cleans up after a failed test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const BIN: &str = env!("CARGO_BIN_EXE_twocan");

/// What takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Names of its own for one test.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::Builder::new().prefix("twocan-test-").tempdir().unwrap() }
    }

    /// Where the names are; made by the tool.
    pub(crate) fn names(&self) -> std::path::PathBuf {
        self.dir.path().join("names")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.args(args).env("TWOCAN_DIR", self.names()).env_remove("RUST_LOG");
        command.env("USER", "tester").env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
        command
    }

    /// Runs to the end with `input` as standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        finish(child, args)
    }

    /// Runs to the end without input.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap(), args)
    }

    /// Starts and lets run.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::new(self.command(args).stdin(Stdio::piped()))
    }

    /// Nothing is left behind but the one lock file.
    pub(crate) fn expect_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.names())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.contains("lock"))
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Waits for the end of a child, at most [`LIMIT`].
fn finish(mut child: Child, args: &[&str]) -> Output {
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        bytes
    });
    let err = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        bytes
    });
    let status = wait(&mut child).unwrap_or_else(|| panic!("twocan {args:?} does not end"));
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}

fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The exit code and standard error as asked, with everything said when it is not so.
pub(crate) fn expect_end(output: &Output, code: i32, stderr: &str) {
    assert_eq!(output.status.code(), Some(code), "out: {}\nerr: {}", lossy(output), err(output));
    assert_eq!(err(output), stderr);
}

fn lossy(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A running twocan whose lines can be waited for. Killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
    seen: String,
}

impl Running {
    pub(crate) fn new(command: &mut Command) -> Running {
        Running::spawn(command.stdout(Stdio::piped()))
    }

    /// As `new`, with the command's own standard output.
    pub(crate) fn spawn(command: &mut Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        // A test that keeps standard output for itself has set it already.
        let out = child.stdout.take().map_or_else(|| mpsc::channel().1, lines);
        let err = lines(child.stderr.take().unwrap());
        Running { child, stdin, out, err, seen: String::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The end of its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn out_line(&mut self) -> String {
        next(&self.out, &mut self.seen, "output")
    }

    pub(crate) fn err_line(&mut self) -> String {
        next(&self.err, &mut self.seen, "error")
    }

    /// Reads standard error up to a line with these words.
    pub(crate) fn err_until(&mut self, words: &str) -> String {
        loop {
            let line = self.err_line();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// All further lines of standard output, to its end.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Ok(line) = self.out.recv_timeout(LIMIT) {
            rest.push(line);
        }
        rest
    }

    pub(crate) fn err_rest(&mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Ok(line) = self.err.recv_timeout(LIMIT) {
            rest.push(line);
        }
        rest
    }

    /// Standard output has come to its end, with nothing more in it.
    pub(crate) fn rest_is_over(&self) -> bool {
        self.out.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Disconnected)
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end; the exit code.
    pub(crate) fn code(&mut self) -> i32 {
        let status = wait(&mut self.child);
        let status = status.unwrap_or_else(|| panic!("does not end; seen:\n{}", self.seen));
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next(from: &Receiver<String>, seen: &mut String, what: &str) -> String {
    match from.recv_timeout(LIMIT) {
        Ok(line) => {
            seen.push_str(&format!("{what}: {line}\n"));
            line
        }
        Err(e) => panic!("no line of {what}: {e}; seen:\n{seen}"),
    }
}
