//! Holding something by its name: until a signal, until the input ends, or while a command runs.

use crate::cli::Hold;
use crate::exit::{Exit, Failure, io_failure};
use crate::platform;
use crate::signals::Ending;
use std::io::{self, IsTerminal, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// Why holding ended, or what happened to the command.
enum Moment {
    Signal(i32),
    EndOfInput,
    Exited(io::Result<ExitStatus>),
}

/// Signals are watched from before the object exists until after it is gone.
pub(crate) struct Holding {
    sender: Sender<Moment>,
    moments: Receiver<Moment>,
    ending: Ending,
}

impl Holding {
    /// To be called before the object is made, so that no signal falls between.
    pub(crate) fn prepare() -> Result<Holding, Failure> {
        let (sender, moments) = mpsc::channel();
        let wake = sender.clone();
        let ending = Ending::watch(move |signal| {
            let _ = wake.send(Moment::Signal(signal));
        })?;
        Ok(Holding { sender, moments, ending })
    }

    /// Says that the object exists, and holds it as asked.
    pub(crate) fn hold(self, how: &Hold, announcement: &str) -> Result<(), Failure> {
        if let Some((program, arguments)) = how.command.split_first() {
            let mut command = Command::new(program);
            command.args(arguments);
            return self.run(command);
        }
        crate::print(announcement)?;
        if !how.hold && end_of_input_counts() {
            let sender = self.sender.clone();
            thread::spawn(move || {
                let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
                let _ = sender.send(Moment::EndOfInput);
            });
        }
        match self.moments.recv() {
            Ok(Moment::Signal(_)) => Err(self.ending.failure()),
            _ => Ok(()),
        }
    }

    /// Runs the command while holding; its exit code becomes ours, as with flock(1).
    fn run(self, mut command: Command) -> Result<(), Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|e| Failure {
            // What shells answer: 127 = there is none, 126 = it cannot be run.
            code: if e.kind() == io::ErrorKind::NotFound { 127 } else { 126 },
            ..io_failure(&program, &e)
        })?;
        let pid = child.id();
        let sender = self.sender.clone();
        thread::spawn(move || {
            let _ = sender.send(Moment::Exited(Child::wait(&mut child)));
        });
        loop {
            match self.moments.recv() {
                Ok(Moment::Signal(signal)) => platform::pass_on(signal, pid),
                Ok(Moment::EndOfInput) => {}
                Ok(Moment::Exited(Ok(status))) => return outcome(status),
                Ok(Moment::Exited(Err(e))) => return Err(io_failure(&program, &e)),
                Err(_) => return Err(Failure::quiet(Exit::Other as u8)),
            }
        }
    }
}

/// A background job of a script has /dev/null as its input: that is at its end from the start, and
/// means nothing.
fn end_of_input_counts() -> bool {
    io::stdin().is_terminal() || platform::stdin_is_pipe()
}

fn outcome(status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().unwrap_or_else(|| 128 + platform::signal_of(status));
    Err(Failure::quiet(u8::try_from(code).unwrap_or(Exit::Other as u8)))
}
