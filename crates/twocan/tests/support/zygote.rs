//! Second processes by the thousand: one process that forks the others on demand.
//!
//! Starting the test program anew costs milliseconds each time. The zygote is started so once, and
//! never touches the library, so that a fork of it is as good as a fresh process, for a fraction of
//! the time. Whoever it forks dies with it, and it goes when its socket ends.
#![allow(dead_code, reason = "each test file uses a part")]

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where the zygote finds its socket.
const LINE_FD: i32 = 3;
const SEPARATOR: char = '\u{1f}';
const FDS_MAX: usize = 4;
/// A request: what, then a pid or words.
const SPAWN: u8 = b'S';
const WAIT: u8 = b'W';
const LOOK: u8 = b'L';
/// In an answer: it still runs.
const RUNS: i32 = -1;

/// The test's side. One request at a time.
pub(crate) struct Zygote {
    process: std::process::Child,
    line: Mutex<OwnedFd>,
}

impl Zygote {
    /// Starts this test program again in the role "zygote"; its `child` calls [`serve`].
    pub(crate) fn start(dir: &std::path::Path) -> Zygote {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let theirs = rustix::io::fcntl_dupfd_cloexec(theirs, 50).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("TWOCAN_TEST_ROLE", "zygote").env("TWOCAN_DIR", dir);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let fd = theirs.as_raw_fd();
        // SAFETY: one system call between fork and exec; `dup2` leaves its target open across exec.
        unsafe {
            command.pre_exec(move || match libc::dup2(fd, LINE_FD) {
                LINE_FD => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        Zygote { process: command.spawn().unwrap(), line: Mutex::new(ours) }
    }

    fn ask(&self, request: &[u8], fds: &[BorrowedFd<'_>]) -> i32 {
        let line = self.line.lock().unwrap();
        send(line.as_fd(), request, fds).expect("the zygote lives");
        let (answer, _) = receive(line.as_fd()).expect("the zygote answers");
        i32::from_le_bytes(answer.try_into().expect("four bytes"))
    }

    /// Forks a process that plays what `words` say, with these descriptors. Returns its pid.
    pub(crate) fn spawn(&self, words: &[&str], fds: &[BorrowedFd<'_>]) -> i32 {
        let mut request = vec![SPAWN];
        request.extend_from_slice(words.join(&SEPARATOR.to_string()).as_bytes());
        let pid = self.ask(&request, fds);
        assert!(pid > 0, "the zygote cannot fork");
        pid
    }

    fn about(&self, what: u8, pid: i32) -> i32 {
        let mut request = vec![what];
        request.extend_from_slice(&pid.to_le_bytes());
        self.ask(&request, &[])
    }

    /// Kill -9, and waits until the kernel has cleaned up.
    pub(crate) fn kill(&self, pid: i32) {
        strike(pid);
        self.about(WAIT, pid);
    }

    /// Waits until a killed process is gone.
    pub(crate) fn reap(&self, pid: i32) -> i32 {
        self.about(WAIT, pid)
    }

    /// The wait status of a process that has ended; `None` = it still runs.
    pub(crate) fn ended(&self, pid: i32) -> Option<i32> {
        Some(self.about(LOOK, pid)).filter(|status| *status != RUNS)
    }

    /// Waits for the end of a process; kills it when it takes too long.
    pub(crate) fn finish(&self, pid: i32, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended(pid) {
                return Some(status);
            }
            if Instant::now() > deadline {
                self.kill(pid);
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // Its forks die with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Kill -9 of a process that the zygote has forked and not yet waited for.
pub(crate) fn strike(pid: i32) {
    assert!(pid > 1);
    // SAFETY: no memory; the pid is that of a child which is waited for only later.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// In the child: forks whoever is asked for, until nobody asks any more.
pub(crate) fn serve(play: impl Fn(&[&str], Vec<OwnedFd>)) {
    die_with_parent();
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 2, "besides this one only the harness's, which sleeps");
    // SAFETY: whoever started us has put the socket there; nothing else here knows of it.
    let line = unsafe { OwnedFd::from_raw_fd(LINE_FD) };
    rustix::io::fcntl_setfd(&line, rustix::io::FdFlags::CLOEXEC).unwrap();
    while let Some((request, fds)) = receive(line.as_fd()) {
        let Some((&what, rest)) = request.split_first() else { return };
        let pid = || i32::from_le_bytes(rest.try_into().expect("four bytes"));
        let answer = match what {
            SPAWN => {
                let words = String::from_utf8(rest.to_vec()).unwrap();
                // SAFETY: no other thread of this process is at work: the child finds no lock that
                // is held.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    die_with_parent();
                    drop(line);
                    let words: Vec<&str> = words.split(SEPARATOR).collect();
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        play(&words, fds);
                    }));
                    // SAFETY: ends the process; nothing of the zygote's is run on the way.
                    unsafe { libc::_exit(if done.is_ok() { 0 } else { 101 }) }
                }
                pid
            }
            WAIT => wait(pid(), 0),
            _ => wait(pid(), libc::WNOHANG),
        };
        let _ = send(line.as_fd(), &answer.to_le_bytes(), &[]);
    }
}

fn die_with_parent() {
    // SAFETY: no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn wait(pid: i32, flags: i32) -> i32 {
    let mut status = 0;
    // SAFETY: room for one status.
    match unsafe { libc::waitpid(pid, &mut status, flags) } {
        0 => RUNS,
        _ => status,
    }
}

fn send(line: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(line, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

fn receive(line: BorrowedFd<'_>) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; 4096];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(line, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags).ok()?;
    bytes.truncate(got.bytes);
    let fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
        _ => Vec::new(),
    });
    let fds = fds.collect();
    (got.bytes > 0).then_some((bytes, fds))
}

/// A pipe: the reading end, then the writing one.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}
