//! The director's side: a directory of its own, and peers that are told what to do and asked what
//! came of it.

use crate::support::TempDir;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// No answer within this time is a failure, on any machine.
const PATIENCE: Duration = Duration::from_secs(25);

/// Where a story plays: a directory for its names, which it leaves as empty as it found it.
pub struct Stage {
    dir: TempDir,
}

impl AsRef<Path> for Stage {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl Stage {
    pub fn new(story: &str) -> Stage {
        Stage { dir: TempDir::new(story) }
    }

    pub fn path(&self) -> &Path {
        &self.dir.0
    }

    /// A process that has not done anything yet.
    pub fn peer(&self, who: &'static str) -> Peer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("TWOCAN_TEST_ROLE", who).env("TWOCAN_DIR", self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(answer) = line.strip_prefix('@') {
                    let _ = said.send(answer.to_owned());
                }
            }
        });
        Peer { who, process, lines, open: String::new() }
    }

    /// A process that has opened the channel "cat", as most do.
    pub fn opened(&self, who: &'static str) -> Peer {
        self.opened_with(who, "ring=4096")
    }

    pub fn opened_with(&self, who: &'static str, options: &str) -> Peer {
        let mut peer = self.peer(who);
        peer.open = format!("open cat nick={who} {options}");
        let open = peer.open.clone();
        peer.does(&open);
        peer
    }

    /// Kill -9, and the same end again in a new process.
    pub fn restart(&self, peer: Peer) -> Peer {
        let (who, open) = (peer.who, peer.open.clone());
        peer.kill();
        let mut again = self.peer(who);
        again.does(&open);
        again.open = open;
        again
    }

    /// Both ends, attached to each other.
    pub fn pair(&self) -> (Peer, Peer) {
        self.pair_with("ring=4096")
    }

    pub fn pair_with(&self, options: &str) -> (Peer, Peer) {
        let (mut a, mut b) = (self.opened_with("a", options), self.opened_with("b", options));
        a.does("wait-peer");
        b.does("wait-peer");
        (a, b)
    }

    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Everybody goes in peace, and nothing is left but the lock file.
    pub fn end<const N: usize>(self, peers: [Peer; N]) {
        peers.into_iter().for_each(Peer::finish);
        assert_eq!(self.files(), [".lock"], "something was left behind");
    }

    /// As `end`, in a story in which somebody was killed and did not come back: a corpse's files go
    /// when the next program uses the directory.
    pub fn end_with_corpses<const N: usize>(self, peers: [Peer; N]) {
        peers.into_iter().for_each(Peer::finish);
        let mut broom = self.peer("broom");
        broom.does("sweep");
        broom.finish();
        assert_eq!(self.files(), [".lock"], "something was left behind");
    }
}

/// A second process. Dropped, it is killed.
pub struct Peer {
    who: &'static str,
    process: std::process::Child,
    lines: mpsc::Receiver<String>,
    /// What opened its channel.
    open: String,
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Starts something; the answer is heard later.
    pub fn tell(&mut self, command: &str) {
        let mut input = self.process.stdin.as_ref().unwrap();
        writeln!(input, "{command}").unwrap_or_else(|e| panic!("{} at {command:?}: {e}", self.who));
    }

    /// The next answer.
    pub fn hear(&mut self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("{} gave no answer: {e}", self.who))
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("{} gave no answer to {command:?}: {e}", self.who))
    }

    #[track_caller]
    pub fn says(&mut self, command: &str, answer: &str) {
        let said = self.ask(command);
        assert_eq!(said, answer, "{} was told {command:?}", self.who);
    }

    #[track_caller]
    pub fn does(&mut self, command: &str) {
        self.says(command, "ok");
    }

    /// The answer to what it was told before.
    #[track_caller]
    pub fn hears(&mut self, answer: &str) {
        let said = self.hear();
        assert_eq!(said, answer, "{}", self.who);
    }

    /// It has not answered yet: it waits.
    #[track_caller]
    pub fn waits(&mut self) {
        std::thread::sleep(Duration::from_millis(30));
        if let Ok(said) = self.lines.try_recv() {
            panic!("{} should wait, but says {said:?}", self.who);
        }
    }

    /// A command that is its last: it ends by itself.
    pub fn ends_by(mut self, command: &str) {
        self.tell(command);
        self.wait_for_end();
    }

    fn wait_for_end(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.who);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kill -9, and wait until the kernel has cleaned up.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn signal(&self, number: i32) {
        // SAFETY: a process of ours that has not been waited for.
        unsafe { libc::kill(self.pid() as i32, number) };
    }

    /// Ends its input, and waits until it has gone in peace.
    pub fn finish(mut self) {
        drop(self.process.stdin.take());
        let status = self.wait_for_end();
        assert!(status.success(), "{} ended with {status}", self.who);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
