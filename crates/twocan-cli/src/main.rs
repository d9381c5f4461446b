//! The `twocan` command: chat, send, receive, pipe, maps and events between two terminals.

#![forbid(unsafe_code)]

mod chat;
mod cli;
mod commands;
mod exit;
mod feed;
mod open;
mod platform;
mod signals;
mod units;

use clap::FromArgMatches;
use cli::{Cli, Command};
use exit::Failure;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let matches = cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    log_to_stderr(cli.quiet, cli.verbose);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let quiet = cli.quiet;
    match cli.command {
        None => print(cli::FIRST_RUN),
        Some(Command::Chat(args)) => chat::run(&args, quiet),
        Some(Command::Send(args)) => commands::send::run(args, quiet),
        Some(Command::Recv(args)) => commands::recv::run(&args, quiet),
        Some(Command::Pipe(args)) => commands::pipe::run(&args, quiet),
        Some(Command::Map(map)) => commands::map::run(map),
        Some(Command::Event(event)) => commands::event::run(event),
        Some(Command::Ls) => commands::ls::run(),
        Some(Command::Demo) => commands::demo::run(),
        Some(Command::DemoEnd(args)) => commands::demo_end::run(&args),
        Some(Command::Completions { shell }) => commands::manual::completions(shell),
        Some(Command::Man { command }) => commands::manual::man(command.as_deref()),
    }
}

/// Text on standard output; a reader that has gone is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(exit::io_failure("standard output", &e))
        }
        _ => Ok(()),
    }
}

/// A line on standard error. If nobody reads it, there is nothing to do about it.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Raised while the screen is the chat's own; a log line would tear it.
pub(crate) static LOG_MUTED: AtomicBool = AtomicBool::new(false);

fn log_writer() -> Box<dyn Write> {
    if LOG_MUTED.load(Ordering::Relaxed) {
        Box::new(std::io::sink())
    } else {
        Box::new(std::io::stderr())
    }
}

fn log_to_stderr(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        (_, 2) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(log_writer)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}
