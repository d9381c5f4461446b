//! `twocan chat`: two people talk, on a screen or line by line.
//!
//! One loop owns everything that is seen. Threads feed it through one queue: the two halves of the
//! channel, the keyboard, the signals. Nothing polls; an idle chat sleeps.

mod link;
mod plain;
mod screen;

use crate::cli::Chat;
use crate::exit::{Exit, Failure};
use crate::open::{self, Wanted};
use crate::signals::Ending;
use link::{Link, Linked};
use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use twocan::{Channel, ErrorKind};
use twocan_conversation::{Conversation, LABEL, MAX_MESSAGE};

/// Somebody who is there already says so within this time; only for the choice of the first words.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// What the loop of a chat wakes up for.
#[derive(Debug)]
enum Input {
    /// Something happened on the channel.
    Link(Linked),
    /// A key, a paste, a new size.
    Terminal(ratatui::crossterm::event::Event),
    /// A line was read (plain).
    Line(String),
    /// Nothing more comes from the keyboard or standard input.
    End,
    /// A signal asks us to leave.
    Signal,
}

/// Runs the command.
pub(crate) fn run(args: &Chat, quiet: bool) -> Result<(), Failure> {
    let on_screen = !args.plain && io::stdin().is_terminal() && io::stdout().is_terminal();
    let (inputs, queue) = mpsc::channel();
    let wake = inputs.clone();
    let ending = Ending::watch(move |_| {
        let _ = wake.send(Input::Signal);
    })?;
    let nick = nick(args);
    let mut options = Channel::options();
    options.nick(nick.as_str()).label(LABEL).max_message(MAX_MESSAGE);
    let wanted = Wanted { name: &args.name, verb: "chat", label: LABEL };
    let seat_is_worth_it = |e: &twocan::Error| args.wait && e.kind() == ErrorKind::InUse;
    let channel = open::open(&options, wanted, seat_is_worth_it, None, &ending, quiet)?;

    let mut talk = Conversation::new(&args.name, &nick);
    let alone = channel.wait_peer((FIRST_LOOK, ending.cancel())).is_err();
    let effects = if alone { talk.begin(now_ms()) } else { talk.welcome(now_ms()) };
    let link = Link::start(channel, inputs.clone())?;
    let end = if on_screen {
        screen::run(&mut talk, &link, inputs, &queue, effects)
    } else {
        plain::run(&mut talk, &link, inputs, &queue, effects, quiet)
    };
    link.close();
    plain::last_words(&mut talk, &queue);
    end?;
    match ending.signal() {
        Some(_) => Err(ending.failure()),
        None => Ok(()),
    }
}

/// The nick asked for, or the user's name.
fn nick(args: &Chat) -> String {
    let user = || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|v| std::env::var(v).ok());
    let nick = args.nick.clone().or_else(user).unwrap_or_default();
    let nick = twocan_conversation::clean_nick(&nick);
    if nick.is_empty() { "somebody".to_owned() } else { nick }
}

/// The wall clock in milliseconds since 1970-01-01 UTC.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A failure of the channel itself, which ends the chat.
fn channel_failed(e: &str) -> Failure {
    Failure::new(Exit::Other, e)
}

/// A command of the chat, or a text to be said.
#[derive(Debug, PartialEq, Eq)]
enum Typed<'a> {
    Say(&'a str),
    Help,
    Quit,
    Unknown(&'a str),
}

/// `/word` is a command; `//word` says `/word`.
fn typed(text: &str) -> Typed<'_> {
    let Some(rest) = text.strip_prefix('/') else {
        return Typed::Say(text);
    };
    if rest.starts_with('/') {
        return Typed::Say(rest);
    }
    match rest.split_whitespace().next().unwrap_or_default() {
        "help" | "?" => Typed::Help,
        "quit" | "q" | "exit" => Typed::Quit,
        _ => Typed::Unknown(text.split_whitespace().next().unwrap_or("/")),
    }
}

/// What `/help` says, one notice a line.
const HELP: [&str; 5] = [
    "/help shows this, /quit (or Ctrl-D, Ctrl-C) leaves. To say a word with a slash: //word",
    "Enter sends, Alt-Enter begins a new line. A paste is inserted, not sent.",
    "PgUp and PgDn scroll. Up and Down bring back what you wrote.",
    "\u{2713} on its way: it arrives as long as one of you stays. \
     \u{2713}\u{2713} the other side's program has shown it.",
    "Leaving keeps nothing of yours here; what the other side has not taken is told.",
];

fn unknown(word: &str) -> String {
    format!("there is no command {word}; /help lists them. To say it: /{word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_a_command_and_two_are_a_text() {
        assert_eq!(typed("hi /help"), Typed::Say("hi /help"));
        assert_eq!(typed("/help me"), Typed::Help);
        assert_eq!(typed("/quit"), Typed::Quit);
        assert_eq!(typed("/home/me is full"), Typed::Unknown("/home/me"));
        assert_eq!(typed("//home/me is full"), Typed::Say("/home/me is full"));
        assert_eq!(typed("/"), Typed::Unknown("/"));
    }
}
