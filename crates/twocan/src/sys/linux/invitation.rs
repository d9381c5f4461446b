//! Handing one connected socket to a child.

use super::socket::Connection;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;

const VARIABLE: &str = "TWOCAN_INVITATION";

/// The command's child, and only it, inherits the connection. It is closed here when the command is
/// dropped. False in a forked child, which has nothing to hand on.
pub(crate) fn attach(command: &mut Command, connection: Connection) -> bool {
    // The descriptor is registered: atfork would close it in the child before exec. A copy that is
    // not stays.
    let Some(copy) = connection.into_inheritable() else { return false };
    command.env(VARIABLE, copy.as_raw_fd().to_string());
    // SAFETY: between fork and exec only fcntl is called, which is async-signal-safe; it moves the
    // copy, captured here, into the closure so that it lives as long as the command.
    unsafe {
        command.pre_exec(move || {
            let fd = copy.as_raw_fd();
            if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    true
}

/// The connection this process was given, once. The variable is left in the environment (changing
/// it is not safe beside other threads) but is used only once.
pub(crate) fn accept() -> Option<Connection> {
    static USED: Mutex<bool> = Mutex::new(false);
    let mut used = USED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *used {
        return None;
    }
    let raw: i32 = std::env::var(VARIABLE).ok()?.parse().ok()?;
    let connection = Connection::inherited(raw)?;
    *used = true;
    Some(connection)
}
