//! A chat line by line, for pipes and screen readers: what the other side says on standard output,
//! everything else on standard error.

use super::link::{Link, Linked};
use super::{HELP, Input, Typed, channel_failed, now_ms, typed, unknown};
use crate::exit::{Failure, io_failure};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use twocan_conversation::{Body, Conversation, Effect, Entry, Tick};

/// Lines that are read ahead of the channel. More would be memory without a bound while nobody is
/// there.
const AHEAD: usize = 256;

/// A longer line is said in pieces of so many bytes. Well below the longest text, as cleaning can
/// make it longer.
const PIECE: u64 = 16 * 1024;

/// Talks until the input has ended and everything was taken, or until somebody wants us to leave.
pub(super) fn run(
    talk: &mut Conversation,
    link: &Link,
    inputs: Sender<Input>,
    queue: &Receiver<Input>,
    first: Vec<Effect>,
    quiet: bool,
) -> Result<(), Failure> {
    let credit = read_lines(inputs);
    let interactive = io::stdin().is_terminal();
    let mut plain = Plain { talk, link, credit, quiet, interactive, input_ended: false };
    plain.act(first)?;
    while let Ok(input) = queue.recv() {
        if plain.input(input)? || (plain.input_ended && plain.talk.undelivered() == 0) {
            break;
        }
    }
    Ok(())
}

/// What stands in the queue after the goodbye was taken from the channel, and must still be seen;
/// and what is lost.
pub(super) fn last_words(talk: &mut Conversation, queue: &Receiver<Input>) {
    while let Ok(input) = queue.try_recv() {
        let Input::Link(Linked::Incoming(event) | Linked::Outgoing(event)) = input else {
            continue;
        };
        for effect in talk.feed(event, now_ms()) {
            if let Effect::Show(id) = effect
                && let Some(entry) = talk.entry(id)
                && matches!(entry.body, Body::Theirs { .. })
            {
                let _ = show(entry, true);
            }
        }
    }
    if let Some(notice) = talk.leave() {
        crate::tell(&format!("* {notice}"));
    }
}

struct Plain<'a> {
    talk: &'a mut Conversation,
    link: &'a Link,
    /// One word for each line that the channel has taken.
    credit: Sender<()>,
    quiet: bool,
    interactive: bool,
    input_ended: bool,
}

impl Plain<'_> {
    /// True: leave now.
    fn input(&mut self, input: Input) -> Result<bool, Failure> {
        match input {
            Input::Line(line) => return self.line(&line),
            Input::End => self.input_ended = true,
            Input::Signal => return Ok(true),
            Input::Terminal(_) => {}
            Input::Link(Linked::Incoming(event)) => {
                let effects = self.talk.feed(event, now_ms());
                let unwanted = self.act(effects)?;
                self.link.shown();
                return Ok(unwanted);
            }
            Input::Link(Linked::Outgoing(event)) => {
                let effects = self.talk.feed(event, now_ms());
                return self.act(effects);
            }
            Input::Link(Linked::Failed(e)) => return Err(channel_failed(&e)),
        }
        Ok(false)
    }

    fn line(&mut self, line: &str) -> Result<bool, Failure> {
        // What comes through a pipe is said as it is; only a person gives commands.
        let typed = if self.interactive { typed(line) } else { Typed::Say(line) };
        let effects = match typed {
            Typed::Say(text) => self.talk.say(text, now_ms()),
            Typed::Quit => return Ok(true),
            Typed::Help => HELP.iter().flat_map(|text| self.talk.tell(text, now_ms())).collect(),
            Typed::Unknown(word) => self.talk.tell(&unknown(word), now_ms()),
        };
        if !effects.iter().any(|e| matches!(e, Effect::Send { .. })) {
            let _ = self.credit.send(());
        }
        self.act(effects)
    }

    /// True: nobody reads our standard output any more.
    fn act(&mut self, effects: Vec<Effect>) -> Result<bool, Failure> {
        for effect in effects {
            match effect {
                Effect::Send { entry, bytes } => self.link.send(entry, bytes),
                Effect::Ticked(id) => {
                    let entry = self.talk.entry(id).map(|e| &e.body);
                    if !matches!(entry, Some(Body::Mine { tick: Tick::Delivered, .. })) {
                        let _ = self.credit.send(());
                    }
                }
                Effect::Show(id) => {
                    let Some(entry) = self.talk.entry(id) else { continue };
                    match show(entry, self.quiet) {
                        Ok(()) => {}
                        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
                        Err(e) => return Err(io_failure("standard output", &e)),
                    }
                }
            }
        }
        Ok(false)
    }
}

/// One line for one entry. My own lines are where I wrote them.
fn show(entry: &Entry, quiet: bool) -> io::Result<()> {
    match &entry.body {
        Body::Mine { .. } => Ok(()),
        Body::Theirs { nick, text } => {
            let mut out = io::stdout().lock();
            writeln!(out, "{nick}: {}", text.replace('\n', " \u{23CE} "))?;
            out.flush()
        }
        Body::Notice(_) if quiet => Ok(()),
        Body::Notice(notice) => {
            let _ = writeln!(io::stderr(), "* {notice}");
            Ok(())
        }
    }
}

/// Reads lines on a thread, [`AHEAD`] of them before the channel has taken any; gives the way to
/// say that it has.
fn read_lines(inputs: Sender<Input>) -> Sender<()> {
    let (credit, taken) = mpsc::channel();
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut ahead = 0;
        let mut line = Vec::new();
        loop {
            let read = stdin.by_ref().take(PIECE).read_until(b'\n', &mut line);
            let ended = !matches!(read, Ok(1..));
            let rest = if ended { Vec::new() } else { incomplete_tail(&mut line) };
            if !line.is_empty() {
                let text = String::from_utf8_lossy(&line).into_owned();
                if inputs.send(Input::Line(text)).is_err() {
                    return;
                }
                ahead += 1;
            }
            line = rest;
            if ended {
                break;
            }
            while ahead >= AHEAD {
                if taken.recv().is_err() {
                    return;
                }
                ahead -= 1;
            }
        }
        let _ = inputs.send(Input::End);
    });
    credit
}

/// Cuts off the bytes of a character that goes on in the next piece of an overlong line.
fn incomplete_tail(piece: &mut Vec<u8>) -> Vec<u8> {
    match str::from_utf8(piece) {
        Err(e) if e.error_len().is_none() => piece.split_off(e.valid_up_to()),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_goes_to_the_next_piece() {
        let mut piece = "밤".as_bytes()[..2].to_vec();
        piece.insert(0, b'a');
        assert_eq!(incomplete_tail(&mut piece), &"밤".as_bytes()[..2]);
        assert_eq!(piece, b"a");
        let mut whole = b"a\xffb".to_vec();
        assert!(incomplete_tail(&mut whole).is_empty());
    }
}
