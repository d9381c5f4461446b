//! `twocan event`: a named event from the shell.

use super::hold::Holding;
use crate::cli::Event as Args;
use crate::exit::{Exit, Failure};
use crate::signals::Ending;
use crate::units;
use twocan::{ErrorKind, Event, Reset, Until};

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args {
        Args::Create { name, manual, hold } => {
            let holding = Holding::prepare()?;
            let event = Event::create_new(&name, reset(manual))?;
            let kind = if manual { "manual" } else { "auto" };
            let ended = holding.hold(&hold, &format!("{name}: {kind} event, held until Ctrl-C.\n"));
            drop(event);
            ended
        }
        Args::Set { name } => Ok(open(&name, "wake")?.set()?),
        Args::Reset { name } => Ok(open(&name, "reset it for")?.reset()?),
        Args::Wait { name, manual, timeout } => {
            let ending = Ending::watch(|_| {})?;
            let event = Event::create_or_open(&name, reset(manual))?;
            match event.wait_until(Until::from(timeout).cancelled(ending.cancel())) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    let limit = units::in_words(timeout.unwrap_or_default());
                    let cure = format!("To set it: twocan event set {name}");
                    let text = format!("nobody set the event {name} within {limit}. {cure}");
                    Err(Failure::new(Exit::TimedOut, text))
                }
                Err(e) if e.kind() == ErrorKind::Cancelled => Err(ending.failure()),
                Err(e) => Err(e.into()),
            }
        }
    }
}

fn reset(manual: bool) -> Reset {
    if manual { Reset::Manual } else { Reset::Auto }
}

fn open(name: &str, purpose: &str) -> Result<Event, Failure> {
    Event::open_existing(name).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::new(
            Exit::NotFound,
            format!(
                "nobody holds an event named {name}, so there is nobody to {purpose}. \
                 Start the waiter first: twocan event wait {name}"
            ),
        ),
        _ => e.into(),
    })
}
