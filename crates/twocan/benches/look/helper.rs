//! The second process, and small tools.

use super::cases;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use twocan::Channel;

const ROLE: &str = "TWOCAN_FIRST_LOOK";

/// Ties this thread, and those it starts from now on, to one core.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    if let Err(e) = sched_setaffinity(None, &set) {
        println!("not pinned to core {core}: {e}");
    }
}

/// Sorts, and takes the value below which `percent` of them lie.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

/// A name for one run of one case.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("first-look-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The process on the other core.
pub(crate) struct Helper {
    child: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Helper {
    pub(crate) fn start() -> Helper {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(ROLE, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program again");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Helper { child, input, output }
    }

    /// Lets it do its part of a case, and waits until it is ready.
    pub(crate) fn tell(&mut self, part: &str, name: &str) {
        writeln!(self.input, "{part} {name}").expect("the helper listens");
        self.expect("ready");
    }

    /// Waits for a line.
    pub(crate) fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the helper speaks");
        assert_eq!(line.trim(), word, "what the helper says");
    }

    /// Context switches of all threads of the helper while it waits in `recv` and nothing happens.
    pub(crate) fn switches_while_blocked(&mut self, time: Duration) -> u64 {
        let name = unique();
        let mut here = Channel::open(&name).expect("a channel");
        self.tell("block", &name);
        here.wait_peer(Duration::from_secs(10)).expect("the helper comes");
        std::thread::sleep(Duration::from_millis(200));
        let before = self.switches();
        std::thread::sleep(time);
        let after = self.switches();
        here.send("go on").expect("the helper is there");
        self.expect("done");
        after - before
    }

    fn switches(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("proc");
        let mut sum = 0;
        for task in tasks.flatten() {
            let status = std::fs::read_to_string(task.path().join("status")).expect("proc");
            let switches = status.lines().filter(|l| l.contains("ctxt_switches"));
            sum += switches
                .filter_map(|l| l.split_whitespace().last()?.parse::<u64>().ok())
                .sum::<u64>();
        }
        sum
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn say(word: &str) {
    println!("{word}");
}

/// In the second process: serves until the first one goes.
pub(crate) fn serve() -> bool {
    if std::env::var_os(ROLE).is_none() {
        return false;
    }
    pin(1);
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { break };
        let Some((part, name)) = line.split_once(' ') else { break };
        cases::part(part, name);
        say("done");
    }
    true
}
