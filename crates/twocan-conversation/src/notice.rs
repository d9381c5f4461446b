//! What a chat says about the conversation itself, word by word.

use crate::Why;
use std::fmt;

/// A sentence of the chat, not of a person. `Display` gives its words, without mark or time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Nobody is there yet.
    Alone {
        /// The channel's name.
        name: String,
    },
    /// Who I am and how to leave.
    Welcome {
        /// My nick.
        nick: String,
    },
    /// Messages wait here for the other side.
    Kept {
        /// How many.
        waiting: u64,
    },
    /// The other side came.
    Joined {
        /// Its nick as shown.
        nick: String,
        /// Its process, if known.
        pid: Option<u32>,
        /// Messages that were waiting for it.
        waiting: u64,
    },
    /// The other side came again.
    Returned {
        /// Its nick as shown.
        nick: String,
        /// Its process, if known.
        pid: Option<u32>,
        /// Messages that were waiting for it.
        waiting: u64,
    },
    /// Both sides use one nick.
    SameNick {
        /// The nick.
        nick: String,
        /// How the other side's is shown.
        shown: String,
    },
    /// The other side said goodbye.
    Left {
        /// Its nick as shown.
        nick: String,
    },
    /// The other side's process ended without a goodbye.
    Died {
        /// Its nick as shown.
        nick: String,
    },
    /// We leave, and these messages go with us.
    Gone {
        /// How many.
        lost: u64,
        /// Who did not take them.
        nick: String,
    },
    /// Something came that is no chat message.
    Malformed {
        /// Whose program sent it, as shown.
        nick: String,
    },
    /// The other side broke the channel's protocol.
    Misbehaved {
        /// The channel's name.
        name: String,
        /// Its process, if known.
        pid: Option<u32>,
        /// In which way.
        how: String,
    },
    /// A line could not be sent.
    NotSent {
        /// Why not.
        why: Why,
    },
    /// An answer to a command of this side, in its own words.
    Own {
        /// The words.
        text: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Alone { name } => write!(
                f,
                "{name}: waiting for the other side. In another terminal: twocan chat {name}"
            ),
            Notice::Welcome { nick } => {
                write!(f, "(you are {nick}; /help for commands, Ctrl-D to leave)")
            }
            Notice::Kept { waiting: 1 } => f.write_str(
                "kept: 1 message waits for the other side. If you leave before, it is gone.",
            ),
            Notice::Kept { waiting } => write!(
                f,
                "kept: {waiting} messages wait for the other side. \
                 If you leave before, they are gone."
            ),
            Notice::Joined { nick, pid, waiting } => {
                write!(f, "{nick} joined{}.{}", Pid(*pid), Delivering(*waiting))
            }
            Notice::Returned { nick, pid, waiting } => {
                write!(f, "{nick} is back{}.{}", Pid(*pid), Delivering(*waiting))
            }
            Notice::SameNick { nick, shown } => {
                write!(f, "the other side also calls itself {nick}; shown as {shown}.")
            }
            Notice::Left { nick } => {
                write!(f, "{nick} left. Waiting for the other side to come back; Ctrl-D to leave.")
            }
            Notice::Died { nick } => write!(
                f,
                "{nick}'s program ended without saying goodbye. \
                 What you write is kept until it returns."
            ),
            Notice::Gone { lost: 1, nick } => {
                write!(f, "1 message was not taken by {nick} and is gone.")
            }
            Notice::Gone { lost, nick } => {
                write!(f, "{lost} messages were not taken by {nick} and are gone.")
            }
            Notice::Malformed { nick } => write!(
                f,
                "{nick}'s program sent something that is no chat message; it is not shown."
            ),
            Notice::Misbehaved { name, pid, how } => {
                write!(f, "{name}: ")?;
                match pid {
                    Some(pid) => write!(f, "pid {pid}")?,
                    None => f.write_str("the other side")?,
                }
                write!(f, " wrote something that is no message ({how}). Conversation ended.")
            }
            Notice::NotSent { why } => write!(f, "not sent: {why}."),
            Notice::Own { text } => f.write_str(text),
        }
    }
}

struct Pid(Option<u32>);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))
    }
}

struct Delivering(u64);

impl fmt::Display for Delivering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" 1 waiting message is being delivered."),
            n => write!(f, " {n} waiting messages are being delivered."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of api.md 5.2; whoever changes one here changes what people read.
    #[test]
    fn the_words_are_the_agreed_ones() {
        let bob = || "bob".to_owned();
        let expect = [
            (
                Notice::Alone { name: "cat".into() },
                "cat: waiting for the other side. In another terminal: twocan chat cat",
            ),
            (
                Notice::Welcome { nick: "alice".into() },
                "(you are alice; /help for commands, Ctrl-D to leave)",
            ),
            (
                Notice::Kept { waiting: 1 },
                "kept: 1 message waits for the other side. If you leave before, it is gone.",
            ),
            (Notice::Joined { nick: bob(), pid: Some(4190), waiting: 0 }, "bob joined (pid 4190)."),
            (Notice::Joined { nick: bob(), pid: None, waiting: 0 }, "bob joined."),
            (
                Notice::Joined { nick: bob(), pid: Some(4190), waiting: 3 },
                "bob joined (pid 4190). 3 waiting messages are being delivered.",
            ),
            (
                Notice::SameNick { nick: "alice".into(), shown: "alice (2)".into() },
                "the other side also calls itself alice; shown as alice (2).",
            ),
            (
                Notice::Left { nick: bob() },
                "bob left. Waiting for the other side to come back; Ctrl-D to leave.",
            ),
            (
                Notice::Died { nick: bob() },
                "bob's program ended without saying goodbye. \
                 What you write is kept until it returns.",
            ),
            (
                Notice::Returned { nick: bob(), pid: Some(4307), waiting: 2 },
                "bob is back (pid 4307). 2 waiting messages are being delivered.",
            ),
            (
                Notice::Returned { nick: bob(), pid: Some(4307), waiting: 1 },
                "bob is back (pid 4307). 1 waiting message is being delivered.",
            ),
            (
                Notice::Gone { lost: 2, nick: bob() },
                "2 messages were not taken by bob and are gone.",
            ),
            (Notice::Gone { lost: 1, nick: bob() }, "1 message was not taken by bob and is gone."),
            (
                Notice::Misbehaved {
                    name: "cat".into(),
                    pid: Some(4190),
                    how: "bad length".into(),
                },
                "cat: pid 4190 wrote something that is no message (bad length). \
                 Conversation ended.",
            ),
        ];
        for (notice, words) in expect {
            assert_eq!(notice.to_string(), words);
        }
    }
}
