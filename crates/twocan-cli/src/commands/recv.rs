//! `twocan recv`: prints messages, each acknowledged only after it was written.

use crate::cli::Recv;
use crate::exit::{Exit, Failure, io_failure};
use crate::open::{self, Wanted};
use crate::signals::Ending;
use crate::units;
use std::fmt::Write as _;
use std::io::{self, Write};
use twocan::{Delivery, Direction, PeerInfo, Receiver, RecvError, Until};

/// Runs the command.
pub(crate) fn run(args: &Recv, quiet: bool) -> Result<(), Failure> {
    let ending = Ending::watch(|_| {})?;
    let options = open::raw_options(&args.channel, "recv", Direction::RecvOnly);
    let wanted = Wanted { name: &args.name, verb: "recv", label: &args.channel.label };
    let mut channel = open::open(&options, wanted, |_| args.wait, args.timeout, &ending, quiet)?;
    if args.timeout.is_none() {
        let words = format!("waiting for somebody to send: echo hi | twocan send {}", args.name);
        open::greet(&channel, quiet, &ending, &words);
    }
    let mut printing =
        Printing { args, ending, out: io::stdout().lock(), line: Vec::new(), count: 0, bytes: 0 };
    printing.run(channel.receiver())
}

/// What became of one message.
enum Printed {
    Whole,
    /// Nobody reads our standard output any more.
    Unwanted,
}

struct Printing<'a> {
    args: &'a Recv,
    ending: Ending,
    out: io::StdoutLock<'static>,
    /// The bytes of one message as they are printed; kept for its memory.
    line: Vec<u8>,
    /// Messages and bytes from the present sender.
    count: u64,
    bytes: u64,
}

impl Printing<'_> {
    fn run(&mut self, receiver: &mut Receiver) -> Result<(), Failure> {
        let mut left = self.args.count;
        while left != Some(0) {
            let until = Until::from(self.args.timeout).cancelled(self.ending.cancel());
            match receiver.recv_delivery_until(until) {
                Ok(delivery) => {
                    let failed = |e| io_failure("standard output", &e);
                    if let Printed::Unwanted = print(self, &delivery).map_err(failed)? {
                        return Ok(());
                    }
                    self.count += 1;
                    self.bytes += delivery.len() as u64;
                    delivery.acknowledge();
                    left = left.map(|n| n - 1);
                }
                Err(e) => {
                    let peer = receiver.departed().cloned();
                    if self.ends(e, peer.as_ref())? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Does the command end with this? False = go on with the next sender.
    fn ends(&mut self, e: RecvError, peer: Option<&PeerInfo>) -> Result<bool, Failure> {
        let failure = match e {
            RecvError::Cancelled => return Err(self.ending.failure()),
            RecvError::TimedOut => {
                let limit = units::in_words(self.args.timeout.unwrap_or_default());
                let name = &self.args.name;
                let text =
                    format!("no message within {limit}. To send one: echo hi | twocan send {name}");
                return Err(Failure::new(Exit::TimedOut, text));
            }
            RecvError::Finished | RecvError::PeerClosed => None,
            RecvError::PeerDied => {
                let text = died(&self.args.name, peer, self.count, self.bytes);
                Some(Failure::new(Exit::PeerDied, text))
            }
            RecvError::PeerMisbehaved(v) => {
                let (name, who) = (&self.args.name, open::process(peer));
                let text = format!(
                    "{name}: {who} wrote something that is no message ({v}). Conversation ended."
                );
                Some(Failure::new(Exit::Misbehaved, text))
            }
            e => return Err(twocan::Error::from(e).into()),
        };
        if e != RecvError::Finished {
            (self.count, self.bytes) = (0, 0);
        }
        match failure {
            Some(failure) if !self.args.keep => Err(failure),
            Some(failure) => {
                failure.print();
                Ok(false)
            }
            None => Ok(!self.args.keep),
        }
    }
}

/// The words for a sender that was killed.
pub(crate) fn died(name: &str, peer: Option<&PeerInfo>, count: u64, bytes: u64) -> String {
    format!(
        "{name}: {} ended without saying goodbye after {} ({} byte{}).",
        open::process(peer),
        units::messages(count),
        bytes,
        if bytes == 1 { "" } else { "s" },
    )
}

fn print(printing: &mut Printing<'_>, delivery: &Delivery<'_>) -> io::Result<Printed> {
    let line = &mut printing.line;
    line.resize(delivery.len(), 0);
    delivery.copy_to(line);
    if printing.args.json {
        *line = json(delivery, line).into_bytes();
    }
    if printing.args.null {
        line.push(0);
    } else if !printing.args.raw {
        line.push(b'\n');
    }
    match printing.out.write_all(line).and_then(|()| printing.out.flush()) {
        Ok(()) => Ok(Printed::Whole),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::Unwanted),
        Err(e) => Err(e),
    }
}

/// One object: seq (the same again if the message comes again), bytes, and text or hex.
fn json(delivery: &Delivery<'_>, message: &[u8]) -> String {
    let seq = delivery.seq();
    let seq = format!("{:x}-{}", seq.region(), seq.position());
    let object = match str::from_utf8(message) {
        Ok(text) => serde_json::json!({ "seq": seq, "bytes": message.len(), "text": text }),
        Err(_) => serde_json::json!({ "seq": seq, "bytes": message.len(), "hex": hex(message) }),
    };
    object.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}
