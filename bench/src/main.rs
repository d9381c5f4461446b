//! Twocan beside what the machine allows and beside its rivals: the same work, in one run, each
//! candidate in turn. The two ends of every session are this program again (`session`).

mod bars;
mod candidates;
mod end;
mod machine;
mod observe;
mod payload;
mod report;
mod row;
mod run;
mod session;
mod table;
mod task;
mod work;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use task::Work;

/// Measures two processes that talk, on two cores, candidate beside candidate.
#[derive(Debug, Clone, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Options {
    /// About two minutes in all, instead of half an hour.
    #[arg(long)]
    quick: bool,
    /// One object a row.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A page with plots.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Only these kinds of work.
    #[arg(long, value_name = "WORK", value_delimiter = ',')]
    only: Vec<Work>,
    /// Only these candidates; `--list` names them.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    candidates: Vec<String>,
    /// Only these sizes, in bytes.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Rounds of each kind of work [default: 11; quick: 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Milliseconds that are measured in one session [default: 200; quick: 20]
    #[arg(long, value_name = "N")]
    millis: Option<u64>,
    /// Only rounds in which the cores were so far apart; the others are tried again
    #[arg(long, value_name = "WHERE")]
    cores: Option<row::Cores>,
    /// Names the candidates and how they are set up.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, side, task] = &words[..]
        && word == session::WORD
    {
        return match end::main(side, task) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("{e:#}");
                ExitCode::FAILURE
            }
        };
    }
    match driver(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn driver(options: &Options) -> anyhow::Result<()> {
    let how = table::how(&run::chosen(options)?);
    print!("{how}");
    if options.list {
        return Ok(());
    }
    let machine = machine::describe();
    println!("{machine}");
    session::leave_nothing_behind()?;
    let rows = run::run(options)?;
    let tables = table::text(&rows) + &bars::text(&rows);
    print!("{tables}");
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")?;
    }
    if let Some(folder) = &options.report {
        report::write(folder, &rows, &format!("{machine}\n{tables}\n{how}"))?;
    }
    Ok(())
}
