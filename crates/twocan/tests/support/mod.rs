//! Second processes for tests: the test program starts itself again in a role.
//!
//! The child is the ignored test `child` of the same file; it finds its role in an environment
//! variable, says lines that begin with `@`, and goes when its standard input ends.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

const ROLE: &str = "TWOCAN_TEST_ROLE";
const SEPARATOR: char = '\u{1f}';

/// A time that is long enough on any machine, and ends a test that hangs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A name that no other test, and no other run, has.
pub(crate) fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("t-{what}-{}-{n}", std::process::id())
}

/// A second process. Dropped, it is killed.
pub(crate) struct Child {
    process: std::process::Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Child {
    pub(crate) fn start(role: &str, args: &[&str]) -> Child {
        Child::start_with(role, args, |_| {})
    }

    /// `change` may set the environment or the user.
    pub(crate) fn start_with(
        role: &str,
        args: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Child {
        let mut words = vec![role];
        words.extend(args);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, words.join(&SEPARATOR.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        change(&mut command);
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Child { process, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it says; an empty one if it has ended.
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return String::new();
            }
            if let Some((_, said)) = line.trim_end().split_once('@') {
                return said.to_owned();
            }
        }
    }

    pub(crate) fn expect(&mut self, what: &str) {
        assert_eq!(self.hear(), what);
    }

    pub(crate) fn tell(&mut self, line: &str) {
        let mut input = self.process.stdin.as_ref().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Returns when the thread that plays the role sleeps in a futex.
    pub(crate) fn until_asleep(&self) {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        for task in tasks {
            let tid = task.unwrap().file_name().to_str().unwrap().parse().unwrap();
            until_asleep(self.pid(), tid);
        }
    }

    /// Kill -9, and wait until the kernel has cleaned up.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// It has nothing more to be told: it may say its last and go.
    pub(crate) fn end_input(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Ends its input, and waits until it has gone in peace.
    pub(crate) fn finish(mut self) {
        self.end_input();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success(), "{rest}");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns when a thread of a process sleeps in the kernel's futex (or, where the kernel does not
/// show this, sleeps for a while).
pub(crate) fn until_asleep(pid: u32, tid: u32) {
    const LOOKS: u32 = 20;
    let task = format!("/proc/{pid}/task/{tid}");
    let mut looks = 0;
    eventually("it sleeps", || {
        let read = |file: &str| std::fs::read_to_string(format!("{task}/{file}"));
        let (stat, wchan) = (read("stat").unwrap_or_default(), read("wchan").unwrap_or_default());
        let asleep = stat.rsplit(')').next().is_some_and(|s| s.trim_start().starts_with('S'));
        looks = if asleep { looks + 1 } else { 0 };
        asleep && wchan.contains("futex") || looks > LOOKS
    });
}

/// Plays a role in a process of its own, with a directory of its own (what it counts there is
/// nobody else's), and shows what it says.
pub(crate) fn on_stage(role: &str) {
    let dir = TempDir::new(role);
    let mut stage = Child::start_with(role, &[], |command| {
        command.env("TWOCAN_DIR", &dir.0);
    });
    loop {
        match stage.hear() {
            line if line.is_empty() => break,
            line => println!("{line}"),
        }
    }
    stage.finish();
}

/// A number from the environment: how many, how long.
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// The number that names a run and all its choices.
pub(crate) fn seed() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    setting("TWOCAN_SEED").unwrap_or(now)
}

/// In the child: the role and its arguments. `None` = not started by a test.
pub(crate) fn role() -> Option<Vec<String>> {
    let words = std::env::var(ROLE).ok()?;
    Some(words.split(SEPARATOR).map(str::to_owned).collect())
}

/// In the child: says a line.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    write!(out, "\n@{line}\n").unwrap();
    out.flush().unwrap();
}

/// In the child: the next line that it is told; `None` = it shall go.
pub(crate) fn listen() -> Option<String> {
    let mut line = String::new();
    let n = std::io::stdin().read_line(&mut line).unwrap();
    (n > 0).then(|| line.trim_end().to_owned())
}

/// In the child: waits until it shall go.
pub(crate) fn stay() {
    while listen().is_some() {}
}

/// Tries until it is so; panics when it takes too long.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come to pass: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A directory of its own, removed with all that is in it.
pub(crate) struct TempDir(pub(crate) std::path::PathBuf);

impl TempDir {
    pub(crate) fn new(what: &str) -> TempDir {
        let path = std::env::temp_dir().join(unique(what));
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }
}

/// The files of a directory, sorted.
pub(crate) fn files(dir: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(&dir.0).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn am_root() -> bool {
    // SAFETY: no arguments, no memory.
    unsafe { libc::geteuid() == 0 }
}
