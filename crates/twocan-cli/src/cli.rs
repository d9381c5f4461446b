//! The command line: one table for parsing, help, completions and the man page.

use crate::units;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Two programs on one machine talk, both ways, through shared memory.
#[derive(Debug, Parser)]
#[command(name = "twocan", version, max_term_width = 100, infer_subcommands = false)]
#[command(long_about = "Two programs on one machine talk, both ways, through shared memory. \
    Either side starts first. Kill one, start it again: nothing is lost while the other lives, \
    and nothing is left behind to clean up.")]
pub(crate) struct Cli {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more on standard error (-vv: still more)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Talk with somebody in another terminal
    #[command(long_about = "Talk with somebody in another terminal. Run the same command there; \
        either side may come first, leave, be killed and return.\n\nThe screen form needs a \
        terminal on both standard input and output. Otherwise, or with --plain, each line is a \
        message: the \
        other side's come to standard output as `nick: text`, notices go to standard error. Plain \
        chat ends at the end of its input, after everything was taken by the other side; what the \
        other side has said by then is printed first, and anything later stays with it for the \
        next one to come.")]
    #[command(after_help = "Examples:\n  twocan chat cat\n  twocan chat cat --as bob\n  \
        echo hi | twocan chat cat --plain")]
    Chat(Chat),
    /// Send messages: TEXT, or each line of standard input
    #[command(long_about = "Send messages: TEXT, or each line of standard input as one message \
        (without its line end). Waits until the other side's program has taken them.")]
    #[command(
        after_help = "Examples:\n  twocan send cat \"hi there\"\n  seq 5 | twocan send cat\n  \
        tail -f log | twocan send cat --keep\n  twocan send cat --whole < picture.png"
    )]
    Send(Send),
    /// Print the messages that somebody sends
    #[command(
        long_about = "Print the messages that somebody sends, each with a line end. Ends when \
        the sender says goodbye. A message counts as taken once it is written: if this program is \
        killed before, the next one gets it again."
    )]
    #[command(after_help = "Examples:\n  twocan recv cat\n  twocan recv cat --count 1 --raw > \
        picture.png\n  twocan recv cat --keep --json | jq .text")]
    Recv(Recv),
    /// Join standard input and output to the other side's: any bytes, any amount, both ways
    #[command(long_about = "Join standard input and output to the other side's: any bytes, any \
        amount, both ways. The end of the input on one side becomes the end of the output on the \
        other, while the other direction goes on. The pieces it sends have no meaning of \
        their own.")]
    #[command(after_help = "Examples:\n  twocan pipe cat < big.iso        and    \
        twocan pipe cat > copy.iso < /dev/null\n  tar c . | twocan pipe cat        and    \
        twocan pipe cat < /dev/null | tar x")]
    Pipe(Pipe),
    /// Make, read or write a named piece of shared memory
    #[command(subcommand)]
    Map(Map),
    /// Make, set, reset or wait for a named event
    #[command(subcommand)]
    Event(Event),
    /// List what is there: name, kind, size, label, holders
    #[command(after_help = "Example:\n  twocan ls")]
    Ls,
    /// Show it all without a second terminal: two processes, two kills, nothing lost
    #[command(after_help = "Example:\n  twocan demo")]
    Demo,
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  twocan completions bash > \
        ~/.local/share/bash-completion/completions/twocan")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page (of one command, if named)
    #[command(after_help = "Example:\n  twocan man > ~/.local/share/man/man1/twocan.1")]
    Man {
        /// A command, such as send or map-create
        command: Option<String>,
    },
    /// One end of the demo
    #[command(hide = true)]
    DemoEnd(DemoEnd),
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// The name both sides use
    pub(crate) name: String,
    /// The name the other side sees (otherwise your user name)
    #[arg(long = "as", value_name = "NICK")]
    pub(crate) nick: Option<String>,
    /// One line a message, no screen
    #[arg(long)]
    pub(crate) plain: bool,
    /// If two are talking already, wait for one of them to leave
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The name both sides use
    pub(crate) name: String,
    /// The message; without it, each line of standard input is one
    pub(crate) text: Option<String>,
    /// All of standard input is one message, as it is
    #[arg(long, conflicts_with = "text")]
    pub(crate) whole: bool,
    /// If a receiver leaves before it has taken everything, wait for the next one
    #[arg(long)]
    pub(crate) keep: bool,
    /// Longest wait for somebody to take a message, such as 5s or 500ms
    #[arg(long, value_name = "T", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) channel: ChannelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Recv {
    /// The name both sides use
    pub(crate) name: String,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Go on with the next sender when one leaves
    #[arg(long)]
    pub(crate) keep: bool,
    /// Add nothing after a message
    #[arg(long, conflicts_with_all = ["null", "json"])]
    pub(crate) raw: bool,
    /// A NUL byte after each message instead of a line end
    #[arg(short = '0', long = "null", conflicts_with = "json")]
    pub(crate) null: bool,
    /// One JSON object a line: seq, bytes, and text (or hex, if it is no UTF-8)
    #[arg(long)]
    pub(crate) json: bool,
    /// Longest wait for the next message, such as 5s or 500ms
    #[arg(long, value_name = "T", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,
    /// If both ends are in use, wait for one of them to become free
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) channel: ChannelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Pipe {
    /// The name both sides use
    pub(crate) name: String,
    /// If both ends are in use, wait for one of them to become free
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) channel: ChannelArgs,
}

/// What the raw channel commands have in common.
#[derive(Debug, Args)]
pub(crate) struct ChannelArgs {
    /// What is spoken on the channel; the other side must use the same label [default: raw bytes]
    #[arg(long, value_name = "L", default_value = "", hide_default_value = true)]
    pub(crate) label: String,
    /// Longest message in bytes; must be the same on both sides [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::memory_size)]
    pub(crate) max_message: Option<usize>,
    /// Memory for messages on their way from here, in bytes [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::memory_size)]
    pub(crate) capacity: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Map {
    /// Make a map and hold it until Ctrl-C (or while COMMAND runs)
    #[command(long_about = "Make a map and hold it: a map lives while somebody holds it. Holds \
        until Ctrl-C or SIGTERM, or until the end of standard input if that is a terminal or a \
        pipe; or, with COMMAND, while that runs, and ends with its exit code.")]
    #[command(after_help = "Examples:\n  twocan map create Cat 10000 --text \"HI Night Mo.\"\n  \
        twocan map create Cat 1MiB --file data.bin --hold &\n  \
        twocan map create Cat 64KiB -- ./program-that-opens-Cat")]
    Create(MapCreate),
    /// Print the bytes of a map
    #[command(
        after_help = "Examples:\n  twocan map read Cat > bytes\n  twocan map read Cat --text\n  \
        twocan map read Cat --at 100 --len 16 | xxd"
    )]
    Read {
        /// The map's name
        name: String,
        /// Position of the first byte
        #[arg(long, value_name = "P", default_value = "0", value_parser = units::size)]
        at: u64,
        /// How many bytes [default: to the end]
        #[arg(long, value_name = "N", value_parser = units::size)]
        len: Option<u64>,
        /// UTF-8 text up to the first zero byte, and a line end
        #[arg(long)]
        text: bool,
    },
    /// Write text into a map
    #[command(after_help = "Example:\n  twocan map write Cat \"good night\" --at 100")]
    Write {
        /// The map's name
        name: String,
        /// The text
        text: String,
        /// Position of its first byte
        #[arg(long, value_name = "P", default_value = "0", value_parser = units::size)]
        at: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MapCreate {
    /// The map's name
    pub(crate) name: String,
    /// Its size: 10000, 64KiB, 1MiB
    #[arg(value_parser = units::size)]
    pub(crate) size: u64,
    /// Text to begin with
    #[arg(long, conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// File with the bytes to begin with
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) hold: Hold,
}

/// How long something is held.
#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// Hold on at the end of standard input
    #[arg(long)]
    pub(crate) hold: bool,
    /// Hold while this command runs, and end with its exit code
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Event {
    /// Make an event and hold it until Ctrl-C (or while COMMAND runs)
    #[command(after_help = "Examples:\n  twocan event create go --manual\n  \
        twocan event create go -- ./run-the-workers")]
    Create {
        /// The event's name
        name: String,
        /// It stays set until it is reset, and wakes everybody (otherwise: one waiter takes it)
        #[arg(long)]
        manual: bool,
        #[command(flatten)]
        hold: Hold,
    },
    /// Set an event that somebody holds
    #[command(after_help = "Example:\n  twocan event set go")]
    Set {
        /// The event's name
        name: String,
    },
    /// Reset an event that somebody holds
    #[command(after_help = "Example:\n  twocan event reset go")]
    Reset {
        /// The event's name
        name: String,
    },
    /// Wait until an event is set; makes it if nobody has
    #[command(after_help = "Example:\n  twocan event wait go --timeout 5s && echo went")]
    Wait {
        /// The event's name
        name: String,
        /// If it has to be made: it stays set until it is reset
        #[arg(long)]
        manual: bool,
        /// Longest wait, such as 5s or 500ms
        #[arg(long, value_name = "T", value_parser = units::duration)]
        timeout: Option<Duration>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoEnd {
    /// The channel
    pub(crate) name: String,
    /// What this end does: ping, pong, or stream
    pub(crate) role: String,
    /// Which start of this end it is
    pub(crate) life: u32,
}

/// The whole table, with the exit codes below its help.
pub(crate) fn command() -> clap::Command {
    let table = crate::exit::table_text();
    let environment = "Environment:\n  TWOCAN_DIR  where names live instead of \
        /dev/shm/twocan-UID\n  \
        NO_COLOR    no colours";
    Cli::command().after_help(format!(
        "{table}\n{environment}\n\n\
        Examples:\n  twocan chat cat                        in two terminals\n  \
        twocan recv cat  and  echo hi | twocan send cat\n  twocan demo"
    ))
}

/// What the bare command says.
pub(crate) const FIRST_RUN: &str = "\
twocan chat cat                 two people talk: run it in two terminals
twocan recv cat                 takes messages from: echo hi | twocan send cat
twocan map create Cat 10000     holds a named piece of shared memory: twocan map read Cat
twocan demo                     shows it without a second terminal    (twocan help for all)
";

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_sound() {
        super::command().debug_assert();
        assert_eq!(super::FIRST_RUN.lines().count(), 4);
    }
}
