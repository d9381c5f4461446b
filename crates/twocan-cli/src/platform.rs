//! The few things that std cannot say on every system. Names of operating systems stand here only.

use std::io;
use std::process::ExitStatus;

/// Is standard input a pipe or a socket, with somebody at its other end?
#[cfg(unix)]
pub(crate) fn stdin_is_pipe() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let Ok(fd) = io::stdin().as_fd().try_clone_to_owned() else {
        return false;
    };
    let kind = std::fs::File::from(fd).metadata().map(|m| m.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}

#[cfg(not(unix))]
pub(crate) fn stdin_is_pipe() -> bool {
    false
}

/// Ctrl-C reaches the command without us, as a terminal sends it to both. TERM and HUP come to us
/// alone.
#[cfg(unix)]
pub(crate) fn pass_on(signal: i32, pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let signal = Signal::from_named_raw(signal).filter(|s| *s != Signal::INT);
    if let (Some(pid), Some(signal)) = (pid, signal) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(not(unix))]
pub(crate) fn pass_on(_signal: i32, _pid: u32) {}

/// The signal that ended a process; 0 = none.
#[cfg(unix)]
pub(crate) fn signal_of(status: ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

#[cfg(not(unix))]
pub(crate) fn signal_of(_status: ExitStatus) -> i32 {
    0
}

/// Passes the end of the other side's input on: who reads our standard output sees it end, while
/// the way out goes on.
#[cfg(unix)]
pub(crate) fn close_stdout() {
    if let Ok(nowhere) = std::fs::File::create("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(nowhere);
    }
}

#[cfg(not(unix))]
pub(crate) fn close_stdout() {}
