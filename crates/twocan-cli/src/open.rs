//! Opening a channel for a command, and the words when it is refused.

use crate::cli::ChannelArgs;
use crate::exit::{Exit, Failure};
use crate::signals::Ending;
use crate::units::binary;
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use twocan::{Channel, ChannelOptions, Direction, Error, ErrorKind, Mismatch, PeerInfo, Until};
use twocan_conversation::LABEL;

/// The library's default for the longest message, in bytes.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 64 << 20;

/// How long a person waits before the tool says for what.
const PATIENCE: Duration = Duration::from_secs(1);

/// Options for a raw command; `verb` names it to whoever is refused because of it.
pub(crate) fn raw_options(args: &ChannelArgs, verb: &str, direction: Direction) -> ChannelOptions {
    let mut options = Channel::options();
    options.nick(verb).label(args.label.as_str()).direction(direction);
    if let Some(bytes) = args.max_message {
        options.max_message(bytes);
    }
    if let Some(bytes) = args.capacity {
        options.send_capacity(bytes);
    }
    options
}

/// What a command wants of a channel, for the words of a refusal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The channel's name.
    pub(crate) name: &'a str,
    /// The command: "chat", "send".
    pub(crate) verb: &'a str,
    /// The label asked for.
    pub(crate) label: &'a str,
}

impl Wanted<'_> {
    /// The refusal as people read it.
    pub(crate) fn refusal(&self, e: &Error) -> Failure {
        let code = Exit::of_kind(e.kind());
        match e.kind() {
            ErrorKind::InUse => Failure::new(code, self.in_use(e.holders())),
            ErrorKind::Incompatible => Failure::new(code, self.unfit(e)),
            _ => Failure::new(code, e.to_string()),
        }
    }

    fn in_use(&self, holders: &[PeerInfo]) -> String {
        let Wanted { name, verb, .. } = self;
        let who: Vec<String> = holders.iter().map(holder).collect();
        let who = if who.is_empty() { "two others".to_owned() } else { who.join(" and ") };
        let cure = match *verb {
            // It waits without being asked to, for as long as its time-out allows.
            "send" => "Choose another name, or wait longer for one of them to leave (--timeout)."
                .to_owned(),
            _ => format!(
                "Choose another name, or wait for one of them to leave: twocan {verb} {name} --wait"
            ),
        };
        format!("{name} is in use by {who}. A channel has two ends.\n{cure}")
    }

    fn unfit(&self, e: &Error) -> String {
        let Wanted { name, verb, label } = self;
        let peer = e.holders().first();
        let who = process(peer);
        match e.mismatch() {
            Some(Mismatch::Label { theirs, .. }) if *label == LABEL => {
                let what = quoted(theirs);
                format!("{name} is not a chat: {who} opened it for {what}. Choose another name.")
            }
            Some(Mismatch::Label { theirs, .. }) if theirs == LABEL => {
                let nick = peer.map(PeerInfo::nick).filter(|nick| !nick.is_empty());
                let nick = nick.map_or(String::new(), |nick| format!(", {nick}"));
                let ours = quoted(label);
                format!(
                    "{name} is a chat ({who}{nick}), and {verb} speaks {ours}.\n\
                     To say one line in it: echo hi | twocan chat {name} --plain"
                )
            }
            Some(Mismatch::Label { theirs, .. }) => {
                let (theirs, ours) = (quoted(theirs), quoted(label));
                let cure = "Set --label the same on both sides.";
                format!("{name}: {who} speaks {theirs}, this program {ours}. {cure}")
            }
            Some(Mismatch::Layout { theirs, ours }) => format!(
                "{name}: {who} uses layout {theirs}, this program layout {ours}. \
                 Update the older of the two."
            ),
            Some(Mismatch::MaxMessage { theirs, ours }) => format!(
                "{name}: {who} allows messages to {}, this program to {}. \
                 Set --max-message the same on both sides.",
                binary(*theirs),
                binary(*ours)
            ),
            _ => e.to_string(),
        }
    }
}

/// "pid 4123 (alice)".
pub(crate) fn holder(peer: &PeerInfo) -> String {
    let pid = peer.pid().map_or("an unknown process".to_owned(), |pid| format!("pid {pid}"));
    if peer.nick().is_empty() { pid } else { format!("{pid} ({})", peer.nick()) }
}

/// "pid 4123", or "the other side".
pub(crate) fn process(peer: Option<&PeerInfo>) -> String {
    let pid = peer.and_then(PeerInfo::pid);
    pid.map_or("the other side".to_owned(), |pid| format!("pid {pid}"))
}

/// What is spoken on a channel, for a person.
fn quoted(label: &str) -> String {
    if label.is_empty() { "raw bytes".to_owned() } else { format!("\"{label}\"") }
}

/// Does only the direction stand in the way, so that the seat is worth waiting for?
pub(crate) fn is_wrong_direction(e: &Error) -> bool {
    matches!(e.mismatch(), Some(Mismatch::Direction))
}

/// Opens a channel. `wait` says for which refusals a seat is worth waiting for.
pub(crate) fn open(
    options: &ChannelOptions,
    wanted: Wanted<'_>,
    wait: impl FnOnce(&Error) -> bool,
    timeout: Option<Duration>,
    ending: &Ending,
    quiet: bool,
) -> Result<Channel, Failure> {
    let e = match options.open(wanted.name) {
        Ok(channel) => return Ok(channel),
        Err(e) => e,
    };
    if !wait(&e) {
        return Err(wanted.refusal(&e));
    }
    tracing::info!("waiting for a seat: {e}");
    let words = format!("{}; waiting until one is free (Ctrl-C gives up)", e.cause());
    let _patience = Patience::new(quiet, words);
    match options.open_until(wanted.name, Until::from(timeout).cancelled(ending.cancel())) {
        Ok(channel) => Ok(channel),
        Err(late) if late.kind() == ErrorKind::Cancelled => Err(ending.failure()),
        Err(late) if late.kind() == ErrorKind::TimedOut => {
            Err(Failure::new(Exit::TimedOut, wanted.refusal(&e).text))
        }
        Err(late) => Err(wanted.refusal(&late)),
    }
}

/// Says on standard error what is being waited for, after a second, if that is a terminal. Silent
/// once dropped.
pub(crate) struct Patience {
    _stop: Option<mpsc::Sender<()>>,
}

impl Patience {
    pub(crate) fn new(quiet: bool, words: String) -> Patience {
        if quiet || !std::io::stderr().is_terminal() {
            return Patience { _stop: None };
        }
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                crate::tell(&format!("twocan: {words}"));
            }
        });
        Patience { _stop: Some(stop) }
    }
}

/// Waits up to a second for somebody to come, and then says what is being waited for. Returns who
/// came.
pub(crate) fn greet(channel: &Channel, quiet: bool, ending: &Ending, words: &str) {
    if quiet || !std::io::stderr().is_terminal() || channel.peer().is_some() {
        return;
    }
    match channel.wait_peer((PATIENCE, ending.cancel())) {
        Err(e) if e.kind() == ErrorKind::TimedOut => crate::tell(&format!("twocan: {words}")),
        _ => {}
    }
}
