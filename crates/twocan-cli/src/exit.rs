//! How a command ends: the exit codes, in one table that --help and the man page print too.

use std::fmt::Write as _;
use std::io;
use twocan::{Error, ErrorKind};

/// Every exit code and what it means. `demo` is 0 only if everything it promises held.
pub(crate) const TABLE: &[(Exit, &str)] = &[
    (Exit::Done, "done"),
    (Exit::Other, "another failure"),
    (Exit::Usage, "usage"),
    (Exit::TimedOut, "time-out"),
    (Exit::InUse, "in use"),
    (Exit::NotFound, "not found"),
    (Exit::PeerDied, "the other side ended without saying goodbye"),
    (Exit::PeerLeft, "the other side left before the end (pipe: unread data, send: not taken)"),
    (Exit::Unfit, "the two sides do not fit (label, layout, limits, direction)"),
    (Exit::Misbehaved, "the other side wrote something that is no message"),
    (Exit::Permission, "no permission, or a foreign owner"),
    (Exit::NoSpace, "no space"),
    (Exit::Hangup, "ended by SIGHUP, after saying goodbye"),
    (Exit::Interrupt, "ended by SIGINT (Ctrl-C), after saying goodbye"),
    (Exit::Terminate, "ended by SIGTERM, after saying goodbye"),
];

/// An exit code of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Other = 1,
    Usage = 2,
    TimedOut = 3,
    InUse = 4,
    NotFound = 5,
    PeerDied = 6,
    PeerLeft = 7,
    Unfit = 8,
    Misbehaved = 9,
    Permission = 10,
    NoSpace = 11,
    Hangup = 129,
    Interrupt = 130,
    Terminate = 143,
}

impl Exit {
    /// The code for an end by a signal.
    pub(crate) fn of_signal(signal: i32) -> Exit {
        match signal {
            signal_hook::consts::SIGHUP => Exit::Hangup,
            signal_hook::consts::SIGTERM => Exit::Terminate,
            _ => Exit::Interrupt,
        }
    }

    /// The code for a kind of error of the library.
    pub(crate) fn of_kind(kind: ErrorKind) -> Exit {
        match kind {
            ErrorKind::InvalidName | ErrorKind::InvalidInput => Exit::Usage,
            ErrorKind::TimedOut | ErrorKind::OutcomeUnknown => Exit::TimedOut,
            ErrorKind::InUse | ErrorKind::AlreadyExists => Exit::InUse,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::PeerDied => Exit::PeerDied,
            ErrorKind::PeerClosed | ErrorKind::ReceiverGone | ErrorKind::Finished => Exit::PeerLeft,
            ErrorKind::Incompatible | ErrorKind::TooLarge { .. } | ErrorKind::WrongDirection => {
                Exit::Unfit
            }
            ErrorKind::PeerMisbehaved(_) => Exit::Misbehaved,
            ErrorKind::PermissionDenied | ErrorKind::ForeignOwner => Exit::Permission,
            ErrorKind::NoSpace => Exit::NoSpace,
            ErrorKind::Cancelled => Exit::Interrupt,
            _ => Exit::Other,
        }
    }
}

/// The table as text, for --help and the man page.
pub(crate) fn table_text() -> String {
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning) in TABLE {
        let _ = writeln!(text, "  {:>3}  {meaning}", *exit as u8);
    }
    text
}

/// Why a command did not do what it was asked for: the words for standard error and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// After "twocan: "; further lines are indented below it. Empty = say nothing.
    pub(crate) text: String,
    /// What the shell gets.
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Failure {
        Failure { text: text.into(), code: exit as u8 }
    }

    /// Ends with this code and without words.
    pub(crate) fn quiet(code: u8) -> Failure {
        Failure { text: String::new(), code }
    }

    /// Ended by a signal, after the goodbye; the person who sent it needs no words.
    pub(crate) fn signal(signal: i32) -> Failure {
        Failure::quiet(Exit::of_signal(signal) as u8)
    }

    /// The lines for standard error, or nothing.
    pub(crate) fn print(&self) {
        if !self.text.is_empty() {
            let mut lines = self.text.lines().map(str::trim);
            crate::tell(&format!("twocan: {}", lines.next().unwrap_or_default()));
            for line in lines {
                crate::tell(&format!("        {line}"));
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        if let Some(code) = e.raw_os_error() {
            tracing::info!(os_error = code, "the operating system refused");
        }
        Failure::new(Exit::of_kind(e.kind()), e.to_string())
    }
}

/// An error of reading or writing a file or a standard stream: `what` says which.
pub(crate) fn io_failure(what: &str, e: &io::Error) -> Failure {
    let exit = match e.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        io::ErrorKind::PermissionDenied => Exit::Permission,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::NoSpace,
        _ => Exit::Other,
    };
    let words = e.to_string();
    let words = words.split(" (os error").next().unwrap_or_default().to_lowercase();
    Failure::new(exit, format!("{what}: {words}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_agreed_codes_once_each() {
        let codes: Vec<u8> = TABLE.iter().map(|(exit, _)| *exit as u8).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 129, 130, 143]);
        assert!(table_text().contains("  130  ended by SIGINT (Ctrl-C), after saying goodbye\n"));
    }
}
