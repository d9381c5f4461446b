//! `twocan send`: messages from the command line or standard input, each taken by somebody before
//! we end.

use crate::cli::Send;
use crate::exit::{Exit, Failure, io_failure};
use crate::feed::{self, Feed, Framing};
use crate::open::{self, Patience, Wanted};
use crate::signals::Ending;
use crate::units;
use std::sync::mpsc::Receiver;
use twocan::{Channel, Direction, ErrorKind, PeerInfo, SendError, Seq, Until};

/// Runs the command.
pub(crate) fn run(args: Send, quiet: bool) -> Result<(), Failure> {
    let (input, items) = feed::channel();
    let wake = input.clone();
    let ending = Ending::watch(move |_| feed::stop(&wake))?;
    let options = open::raw_options(&args.channel, "send", Direction::SendOnly);
    let wanted = Wanted { name: &args.name, verb: "send", label: &args.channel.label };
    let seat_is_worth_it =
        |e: &twocan::Error| e.kind() == ErrorKind::InUse || open::is_wrong_direction(e);
    let channel = open::open(&options, wanted, seat_is_worth_it, args.timeout, &ending, quiet)?;

    let max = args.channel.max_message.unwrap_or(open::DEFAULT_MAX_MESSAGE);
    let mut sending = Sending { channel, peer: None, ending, args: &args, quiet };
    if let Some(text) = &args.text {
        sending.send(text.as_bytes())?;
    } else {
        let framing = if args.whole { Framing::Whole { max } } else { Framing::Lines { max } };
        feed::read_stdin(framing, input);
        sending.send_all(&items)?;
    }
    sending.finish()
}

fn waiting_words(name: &str) -> String {
    format!("waiting for somebody to take it: twocan recv {name}   (Ctrl-C gives up)")
}

struct Sending<'a> {
    channel: Channel,
    /// Who was there last.
    peer: Option<PeerInfo>,
    ending: Ending,
    args: &'a Send,
    quiet: bool,
}

impl Sending<'_> {
    fn send_all(&mut self, items: &Receiver<Feed>) -> Result<(), Failure> {
        loop {
            match items.recv() {
                Ok(Feed::Item(message)) => self.send(&message)?,
                Ok(Feed::End) | Err(_) => return Ok(()),
                Ok(Feed::Failed(e)) if e.kind() == std::io::ErrorKind::FileTooLarge => {
                    return Err(Failure::new(Exit::Unfit, format!("{e}.")));
                }
                Ok(Feed::Failed(e)) => return Err(io_failure("standard input", &e)),
                Ok(Feed::Stop) => {}
            }
            if self.ending.cancel().is_cancelled() {
                return Err(self.interrupted());
            }
        }
    }

    /// Hands one message to the channel; waits for room, and for a long one until it was taken.
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        match self.channel.try_send(message) {
            Ok(_) => return Ok(()),
            Err(SendError::TooLarge { .. } | SendError::Full) => {}
            Err(e) => self.again(e)?,
        }
        let _patience = Patience::new(self.quiet, waiting_words(&self.args.name));
        loop {
            self.look_at_peer();
            let until = Until::from(self.args.timeout).cancelled(self.ending.cancel());
            match self.channel.send_until(message, until) {
                Ok(_) => return Ok(()),
                Err(e) => self.again(e)?,
            }
        }
    }

    /// Waits until everything was taken, and says goodbye.
    fn finish(mut self) -> Result<(), Failure> {
        let Some(last) = self.channel.sender().sent() else {
            return Ok(());
        };
        let _patience = Patience::new(self.quiet, waiting_words(&self.args.name));
        loop {
            self.look_at_peer();
            match self.wait(last) {
                Ok(()) => return Ok(()),
                Err(_) if self.channel.sender().is_acknowledged(last) => return Ok(()),
                Err(e) => self.again(e)?,
            }
        }
    }

    fn wait(&mut self, last: Seq) -> Result<(), SendError> {
        let until = Until::from(self.args.timeout).cancelled(self.ending.cancel());
        self.channel.sender().wait_acknowledged(last, until)
    }

    fn look_at_peer(&mut self) {
        if let Some(peer) = self.channel.peer() {
            self.peer = Some(peer);
        }
    }

    /// Is the error one after which we try again? If not: how the command ends.
    fn again(&mut self, e: SendError) -> Result<(), Failure> {
        let lost = self.channel.sender().unacknowledged();
        match e {
            SendError::PeerClosed | SendError::PeerDied if self.args.keep => Ok(()),
            SendError::Full => Ok(()),
            SendError::PeerClosed => Err(Failure::new(Exit::PeerLeft, self.left("left", lost))),
            SendError::PeerDied => {
                Err(Failure::new(Exit::PeerDied, self.left("ended without saying goodbye", lost)))
            }
            SendError::Cancelled => Err(self.interrupted()),
            SendError::TimedOut => Err(Failure::new(Exit::TimedOut, self.nobody(lost))),
            SendError::PeerMisbehaved(v) => {
                let who = open::process(self.peer.as_ref());
                let name = &self.args.name;
                let text = format!(
                    "{name}: {who} wrote something that is no message ({v}). Conversation ended."
                );
                Err(Failure::new(Exit::Misbehaved, text))
            }
            e => Err(twocan::Error::from(e).into()),
        }
    }

    fn left(&self, how: &str, lost: u64) -> String {
        let (name, who) = (&self.args.name, open::process(self.peer.as_ref()));
        let (messages, verb) = (units::messages(lost), if lost == 1 { "was" } else { "were" });
        format!(
            "{name}: {who} {how}; {messages} {verb} not taken. \
             To wait for the next one: twocan send {name} --keep"
        )
    }

    fn nobody(&self, lost: u64) -> String {
        let limit = units::in_words(self.args.timeout.unwrap_or_default());
        let lost = match lost {
            0 | 1 => format!("nobody took the message within {limit}; it was not delivered"),
            n => format!("nobody took {n} messages within {limit}; they were not delivered"),
        };
        format!("{lost}. To take what is sent: twocan recv {}", self.args.name)
    }

    /// A signal: what was not taken is said, because it is gone now if nobody is there.
    fn interrupted(&mut self) -> Failure {
        let lost = self.channel.sender().unacknowledged();
        let mut failure = self.ending.failure();
        if lost > 0 && self.channel.peer().is_none() {
            let verb = if lost == 1 { "was not taken and is" } else { "were not taken and are" };
            failure.text = format!("{} {verb} gone.", units::messages(lost));
        }
        failure
    }
}
