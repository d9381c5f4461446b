//! The chat on a full screen.

mod draw;
mod editor;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod wrap;

use super::link::{Link, Linked};
use super::{Input, channel_failed, now_ms};
use crate::exit::{Failure, io_failure};
use jiff::tz::TimeZone;
use state::{Look, Screen};
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use terminal::Terminal;
use twocan_conversation::{Conversation, Effect};

/// Inputs that are worked on before the screen is drawn again.
const BURST: usize = 256;

/// Talks until somebody wants us to leave. The terminal is as before when this returns, or panics.
pub(super) fn run(
    talk: &mut Conversation,
    link: &Link,
    inputs: Sender<Input>,
    queue: &Receiver<Input>,
    first: Vec<Effect>,
) -> Result<(), Failure> {
    let look = Look {
        colour: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        zone: TimeZone::system(),
    };
    let broken = |e| io_failure("the terminal", &e);
    let mut terminal = Terminal::enter().map_err(broken)?;
    read_keys(inputs);
    let mut screen = Screen::new(talk, look);
    act(&mut screen, link, first);
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut screen)).map_err(broken)?;
        let Ok(first) = queue.recv() else {
            return Ok(());
        };
        let mut shown_after_drawing = 0;
        for input in burst(first, queue) {
            match input {
                Input::Signal | Input::End => return Ok(()),
                Input::Line(_) => {}
                Input::Terminal(event) => {
                    let effects = screen.terminal_event(event, now_ms());
                    act(&mut screen, link, effects);
                }
                Input::Link(Linked::Incoming(event)) => {
                    let effects = screen.talk.feed(event, now_ms());
                    act(&mut screen, link, effects);
                    shown_after_drawing += 1;
                }
                Input::Link(Linked::Outgoing(event)) => {
                    let effects = screen.talk.feed(event, now_ms());
                    act(&mut screen, link, effects);
                }
                Input::Link(Linked::Failed(e)) => return Err(channel_failed(&e)),
            }
            if screen.leaves {
                return Ok(());
            }
        }
        if shown_after_drawing > 0 {
            terminal.draw(|frame| draw::draw(frame, &mut screen)).map_err(broken)?;
            (0..shown_after_drawing).for_each(|_| link.shown());
        }
    }
}

/// The first input and what waits behind it, `BURST` in all at most. What is not taken stays in the
/// queue.
fn burst<T>(first: T, queue: &Receiver<T>) -> impl Iterator<Item = T> + '_ {
    std::iter::once(first).chain(queue.try_iter().take(BURST - 1))
}

fn act(screen: &mut Screen<'_>, link: &Link, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Send { entry, bytes } => link.send(entry, bytes),
            Effect::Show(id) => screen.appeared(id),
            Effect::Ticked(_) => {}
        }
    }
}

/// The keyboard on a thread of its own; it ends with the process.
fn read_keys(inputs: Sender<Input>) {
    thread::spawn(move || {
        while let Ok(event) = ratatui::crossterm::event::read() {
            if inputs.send(Input::Terminal(event)).is_err() {
                return;
            }
        }
        let _ = inputs.send(Input::End);
    });
}
