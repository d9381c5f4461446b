//! Errors that name the cause and the cure.

use crate::peer::PeerInfo;
use std::{fmt, io};

/// What an [`Error`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name breaks the rules of [`crate::name`].
    InvalidName,
    /// Nobody holds an object of this name.
    NotFound,
    /// Somebody holds an object of this name already.
    AlreadyExists,
    /// The name belongs to an object of another kind (a map where an event was asked for).
    WrongKind,
    /// Both ends of the channel are held.
    InUse,
    /// The existing map is smaller than what was asked for. Lengths in bytes.
    TooSmall {
        /// Length of the existing map.
        has: u64,
        /// Length that was asked for.
        asked: u64,
    },
    /// A position or range lies outside the object.
    OutOfRange,
    /// A position is not a multiple of the size of the atomic asked for.
    Misaligned,
    /// A file or directory in the way belongs to somebody else.
    ForeignOwner,
    /// The system does not allow it.
    PermissionDenied,
    /// No memory or disk space is left for it.
    NoSpace,
    /// The two ends do not fit: layout, label, limits or direction.
    Incompatible,
    /// An argument makes no sense.
    InvalidInput,
    /// The time is up.
    TimedOut,
    /// The [`Cancel`](crate::Cancel) of the call was cancelled.
    Cancelled,
    /// The ring has no room (`try_` calls).
    Full,
    /// No message is there (`try_` calls).
    Empty,
    /// The message is longer than what the call accepts. Bytes.
    TooLarge {
        /// The longest message that would have been accepted.
        max: u64,
    },
    /// The peer has finished sending.
    Finished,
    /// The peer said goodbye.
    PeerClosed,
    /// The peer's process ended without saying goodbye.
    PeerDied,
    /// The peer does not read (any more).
    ReceiverGone,
    /// The peer broke the protocol.
    PeerMisbehaved(Violation),
    /// A long message was written whole, but its acknowledgement did not come in time.
    OutcomeUnknown,
    /// The end was opened for the other direction only.
    WrongDirection,
    /// The handle was made before `fork`; the child must open its own.
    Forked,
    /// The system lacks something that is needed.
    Unsupported,
    /// Another process holds the directory's lock and does not go on.
    Stuck,
    /// Anything else the operating system said.
    Os,
}

/// In which way a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A record's length or flags are impossible.
    BadRecord,
    /// Fragments of a long message do not fit together.
    BadFragment,
    /// A message is longer than the agreed limit.
    TooLong,
    /// The acknowledgement runs backwards or past what was sent.
    BadAcknowledgement,
    /// The region handed over is unsealed, short, sparse, or of another format.
    BadRegion,
    /// A handshake message is malformed, or came when none was due.
    BadHandshake,
}

impl Violation {
    /// A few words for a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Violation::BadRecord => "bad length",
            Violation::BadFragment => "fragments that do not fit together",
            Violation::TooLong => "longer than the agreed limit",
            Violation::BadAcknowledgement => "an impossible acknowledgement",
            Violation::BadRegion => "a region that is not sealed and whole",
            Violation::BadHandshake => "a malformed handshake",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// In which way two ends do not fit ([`ErrorKind::Incompatible`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The two programs were built with different memory layouts.
    Layout {
        /// The other end's layout version.
        theirs: u32,
        /// This program's.
        ours: u32,
    },
    /// The two ends speak different things.
    Label {
        /// The other end's label; empty = raw bytes.
        theirs: String,
        /// This end's.
        ours: String,
    },
    /// The longest messages differ. Bytes.
    MaxMessage {
        /// The other end's limit.
        theirs: u64,
        /// This end's.
        ours: u64,
    },
    /// Both only send, or both only receive.
    Direction,
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with its cause and its cure. One pointer wide.
///
/// `Display` prints the sentence that says what is wrong, then the sentence (or command line) that
/// helps.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    name: Option<String>,
    cause: String,
    cure: Option<String>,
    holders: Vec<PeerInfo>,
    mismatch: Option<Mismatch>,
    os: Option<i32>,
}

impl Error {
    /// `cause` is a sentence without its full stop; it names the object.
    pub(crate) fn new(kind: ErrorKind, cause: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            name: None,
            cause: cause.into(),
            cure: None,
            holders: Vec::new(),
            mismatch: None,
            os: None,
        }))
    }

    /// An unexpected answer of the operating system while doing `what` ("cannot open the directory
    /// X").
    pub(crate) fn from_os(what: impl fmt::Display, e: impl Into<io::Error>) -> Error {
        // Below, somebody may have known the words.
        let e = match e.into().downcast::<Error>() {
            Ok(told) => return told,
            Err(e) => e,
        };
        let kind = match e.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorKind::PermissionDenied
            }
            io::ErrorKind::StorageFull
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            _ => ErrorKind::Os,
        };
        let mut error = Error::new(kind, format!("{what}: {}", os_words(&e)));
        error.0.os = e.raw_os_error();
        #[cfg(not(loom))]
        {
            let advice = e.raw_os_error().and_then(crate::sys::process::advice);
            error.0.cure = advice.map(str::to_owned);
        }
        error
    }

    pub(crate) fn with_name(mut self, name: impl Into<String>) -> Error {
        self.0.name = Some(name.into());
        self
    }

    /// `cure` is a sentence without its full stop, or a command line after a colon and a newline.
    pub(crate) fn with_cure(mut self, cure: impl Into<String>) -> Error {
        self.0.cure = Some(cure.into());
        self
    }

    pub(crate) fn with_holders(mut self, holders: Vec<PeerInfo>) -> Error {
        self.0.holders = holders;
        self
    }

    pub(crate) fn with_mismatch(mut self, mismatch: Mismatch) -> Error {
        self.0.mismatch = Some(mismatch);
        self
    }

    pub(crate) fn with_os(mut self, code: i32) -> Error {
        self.0.os = Some(code);
        self
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The name of the object concerned, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Who holds the object that is in the way ([`ErrorKind::InUse`], [`ErrorKind::AlreadyExists`],
    /// [`ErrorKind::Incompatible`]). May be empty.
    pub fn holders(&self) -> &[PeerInfo] {
        &self.0.holders
    }

    /// In which way the two ends do not fit, for [`ErrorKind::Incompatible`].
    pub fn mismatch(&self) -> Option<&Mismatch> {
        self.0.mismatch.as_ref()
    }

    /// The sentence that says what is wrong, without the cure.
    pub fn cause(&self) -> &str {
        &self.0.cause
    }

    /// What helps.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }

    /// The operating system's code, if it was the system that said no.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.os
    }

    /// The peer is gone: it said goodbye, died, or finished.
    pub fn is_peer_gone(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::PeerClosed
                | ErrorKind::PeerDied
                | ErrorKind::Finished
                | ErrorKind::ReceiverGone
        )
    }

    /// Nothing has happened yet: time is up, cancelled, full or empty. Calling again makes sense.
    pub fn is_nothing_yet(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::TimedOut | ErrorKind::Cancelled | ErrorKind::Full | ErrorKind::Empty
        )
    }
}

/// The system's words without the code that `io::Error` appends; codes are for `raw_os_error`.
fn os_words(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.cause)?;
        f.write_str(".")?;
        if let Some(cure) = &self.0.cure {
            write!(f, " {cure}")?;
            if !cure.contains('\n') && !cure.ends_with(['.', ')']) && !cure.contains(": ") {
                f.write_str(".")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &self.to_string())
            .field("os", &self.0.os)
            .finish()
    }
}

impl std::error::Error for Error {}

/// Why a send did not succeed. The message was not accepted, unless the variant says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// `try_` calls: there is no room now.
    Full,
    /// The time is up before there was room.
    TimedOut,
    /// The call's [`Cancel`](crate::Cancel) was cancelled.
    Cancelled,
    /// The call would have had to wait, and the peer had said goodbye. Reported once per departed
    /// peer; the next call waits for the next peer.
    PeerClosed,
    /// The call would have had to wait, and the peer's process had ended without a goodbye.
    /// Reported once.
    PeerDied,
    /// The peer has closed its receiving half, or was opened to send only: nobody will read this.
    ReceiverGone,
    /// The peer broke the protocol; its session has ended.
    PeerMisbehaved(Violation),
    /// The message is longer than this call accepts, in bytes.
    TooLarge {
        /// The longest message that would be accepted.
        max: usize,
    },
    /// A message longer than [`Sender::max_loan`](crate::Sender::max_loan) was written whole, but
    /// the time was up before the peer acknowledged it: it may or may not arrive.
    OutcomeUnknown,
    /// This end was opened to receive only.
    WrongDirection,
    /// The number is not that of a message which this end sent.
    ForeignSeq,
    /// The end was opened before `fork`.
    Forked,
}

/// Why a receive brought no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// `try_` calls: nothing is there now.
    Empty,
    /// The time is up.
    TimedOut,
    /// The call's [`Cancel`](crate::Cancel) was cancelled.
    Cancelled,
    /// The peer has finished sending; it may still receive. Reported once per peer.
    Finished,
    /// The peer said goodbye, after the last message received. Reported once; the next call waits
    /// for the next peer.
    PeerClosed,
    /// The peer's process ended without a goodbye. Reported once; the next call waits for the next
    /// peer.
    PeerDied,
    /// The peer broke the protocol; its session has ended. The next call waits for the next peer.
    PeerMisbehaved(Violation),
    /// This end was opened to send only.
    WrongDirection,
    /// The end was opened before `fork`.
    Forked,
}

/// `close` could not hand everything over. Bytes and messages that were not acknowledged are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseError {
    /// Messages of this end that no application acknowledged.
    pub unacknowledged: u64,
    /// What ended the waiting.
    pub reason: SendError,
}

macro_rules! predicates {
    ($($t:ty),*) => { $(
        impl $t {
            /// The peer is gone: it said goodbye, died, finished, or no longer reads.
            pub fn is_peer_gone(self) -> bool {
                Error::from(self).is_peer_gone()
            }
            /// Nothing has happened yet; calling again makes sense.
            pub fn is_nothing_yet(self) -> bool {
                Error::from(self).is_nothing_yet()
            }
        }
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Error::from(*self), f)
            }
        }
        impl std::error::Error for $t {}
        impl From<$t> for io::Error {
            fn from(e: $t) -> io::Error {
                Error::from(e).into()
            }
        }
    )* };
}
predicates!(SendError, RecvError);

impl From<SendError> for Error {
    fn from(e: SendError) -> Error {
        use ErrorKind as Kind;
        let next = Some(NEXT);
        let (kind, cause, cure): (_, String, _) = match e {
            SendError::Full => (Kind::Full, "there is no room for the message now".into(), None),
            SendError::TimedOut => {
                let cause = "nobody took the message in time; it was not delivered";
                (Kind::TimedOut, cause.into(), None)
            }
            SendError::Cancelled => (Kind::Cancelled, "the call was cancelled".into(), None),
            SendError::PeerClosed => (Kind::PeerClosed, CLOSED.into(), next),
            SendError::PeerDied => (Kind::PeerDied, DIED.into(), next),
            SendError::ReceiverGone => {
                (Kind::ReceiverGone, "the other side does not receive".into(), None)
            }
            SendError::PeerMisbehaved(v) => (Kind::PeerMisbehaved(v), misbehaved(v), next),
            SendError::TooLarge { max } => (
                ErrorKind::TooLarge { max: max as u64 },
                format!("the message is longer than {max} bytes, the most that this call accepts"),
                None,
            ),
            SendError::OutcomeUnknown => (
                ErrorKind::OutcomeUnknown,
                "the message was written whole, but was not acknowledged in time: \
                 it may or may not arrive"
                    .into(),
                None,
            ),
            SendError::WrongDirection => {
                (Kind::WrongDirection, "this end was opened to receive only".into(), None)
            }
            SendError::ForeignSeq => (
                ErrorKind::InvalidInput,
                "the number is not that of a message which this end sent".into(),
                None,
            ),
            SendError::Forked => (ErrorKind::Forked, FORKED.into(), Some(FORKED_CURE)),
        };
        let error = Error::new(kind, cause);
        if let Some(cure) = cure { error.with_cure(cure) } else { error }
    }
}

impl From<RecvError> for Error {
    fn from(e: RecvError) -> Error {
        let (kind, cause, cure) = match e {
            RecvError::Empty => (ErrorKind::Empty, "no message is there now".to_owned(), None),
            RecvError::TimedOut => (ErrorKind::TimedOut, "no message came in time".into(), None),
            RecvError::Cancelled => (ErrorKind::Cancelled, "the call was cancelled".into(), None),
            RecvError::Finished => {
                (ErrorKind::Finished, "the other side has finished sending".into(), None)
            }
            RecvError::PeerClosed => (ErrorKind::PeerClosed, CLOSED.into(), Some(NEXT)),
            RecvError::PeerDied => (ErrorKind::PeerDied, DIED.into(), Some(NEXT)),
            RecvError::PeerMisbehaved(v) => {
                (ErrorKind::PeerMisbehaved(v), misbehaved(v), Some(NEXT))
            }
            RecvError::WrongDirection => {
                (ErrorKind::WrongDirection, "this end was opened to send only".into(), None)
            }
            RecvError::Forked => (ErrorKind::Forked, FORKED.into(), Some(FORKED_CURE)),
        };
        let error = Error::new(kind, cause);
        if let Some(cure) = cure { error.with_cure(cure) } else { error }
    }
}

const CLOSED: &str = "the other side said goodbye";
const DIED: &str = "the other side ended without saying goodbye";
const NEXT: &str = "Calling again waits for the next one";
const FORKED: &str = "this handle was opened before fork and does not work in the child";
const FORKED_CURE: &str = "Open the name again in the child";

fn misbehaved(v: Violation) -> String {
    format!(
        "the other side wrote something that is no message ({v}); \
         the conversation with it has ended"
    )
}

/// The error of a handle that is used in a forked child.
pub(crate) fn forked() -> Error {
    Error::new(ErrorKind::Forked, FORKED).with_cure(FORKED_CURE)
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.unacknowledged;
        let (noun, verb) = if n == 1 { ("message", "was") } else { ("messages", "were") };
        write!(f, "{n} {noun} {verb} not taken by the other side and {verb} lost.")
    }
}

impl std::error::Error for CloseError {}

impl From<CloseError> for Error {
    fn from(e: CloseError) -> Error {
        let text = e.to_string();
        Error::new(Error::from(e.reason).kind(), text.trim_end_matches('.'))
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        let kind = match e.kind() {
            ErrorKind::InvalidName
            | ErrorKind::InvalidInput
            | ErrorKind::Misaligned
            | ErrorKind::OutOfRange => io::ErrorKind::InvalidInput,
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::InUse => io::ErrorKind::AddrInUse,
            ErrorKind::ForeignOwner | ErrorKind::PermissionDenied => {
                io::ErrorKind::PermissionDenied
            }
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            ErrorKind::TimedOut | ErrorKind::OutcomeUnknown => io::ErrorKind::TimedOut,
            ErrorKind::Full | ErrorKind::Empty => io::ErrorKind::WouldBlock,
            ErrorKind::PeerDied => io::ErrorKind::ConnectionReset,
            ErrorKind::PeerClosed | ErrorKind::Finished => io::ErrorKind::UnexpectedEof,
            ErrorKind::ReceiverGone => io::ErrorKind::BrokenPipe,
            ErrorKind::PeerMisbehaved(_) => io::ErrorKind::InvalidData,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, e)
    }
}
