//! The project's own commands. `cargo xtask` without a word prints them.
//!
//! No dependencies: it builds in seconds and checks a tree that does not compile yet.

mod bench;
mod check;
mod count;
mod files;
mod fuzz;
mod generate;
mod mutants;
mod run;
mod sanitizer;
mod tidy;
mod trust;
mod tsan;
mod wrap;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  check [--no-tests]    everything a reviewer would ask for; CI runs the same
                        (--no-tests: `cargo test` has run already, leave it out)
  tidy                  the rules that no compiler checks
  wrap                  breaks comments that are longer than 100 columns
  generate [--check]    writes (or compares) what is generated inside the documents
  count [--write]       instructions of a send and a receive, compared with (or put into) the record
  mutants NAME..|all    builds in one deliberate fault and expects the named test to fail
  mutants list          the faults, and the test that must catch each
  tsan                  the tests of the library under ThreadSanitizer
  trust [--long]        each promise beside the run that proves it, in its CI length or its
      [--only ROW]      long one; exit code 1 if one did not hold
  fuzz [--seconds N] [TARGET]
                        what a hostile peer may hand over, found by a fuzzer (60 s a target);
                        --keep adds to the corpus what reaches more
  bench [--quick] ..    Twocan beside the limits of the machine and its rivals, as a table
                        (bench --help: what else it takes)
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Check { tests: bool },
    Tidy,
    Wrap,
    Generate { write: bool },
    Count { write: bool },
    Mutants(Vec<String>),
    Tsan,
    Trust(trust::Choice),
    Fuzz(fuzz::Wish),
    Bench(Vec<String>),
    Help,
}

fn parse(words: &[&str]) -> Result<Command, String> {
    match words {
        ["check"] => Ok(Command::Check { tests: true }),
        ["check", "--no-tests"] => Ok(Command::Check { tests: false }),
        ["tidy"] => Ok(Command::Tidy),
        ["wrap"] => Ok(Command::Wrap),
        ["generate"] => Ok(Command::Generate { write: true }),
        ["generate", "--check"] => Ok(Command::Generate { write: false }),
        ["count"] => Ok(Command::Count { write: false }),
        ["count", "--write"] => Ok(Command::Count { write: true }),
        ["mutants", names @ ..] if !names.is_empty() => Ok(Command::Mutants(owned(names))),
        ["tsan"] => Ok(Command::Tsan),
        ["trust", more @ ..] => choice(more).map(Command::Trust),
        ["fuzz", rest @ ..] => fuzz::parse(rest).map(Command::Fuzz),
        ["bench", rest @ ..] => Ok(Command::Bench(owned(rest))),
        [] | ["help" | "--help" | "-h"] => Ok(Command::Help),
        _ => Err(format!("xtask: \"{}\" is no command.\n\n{USAGE}", words.join(" "))),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn choice(words: &[&str]) -> Result<trust::Choice, String> {
    let mut choice = trust::Choice::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--long" => choice.long = true,
            "--only" => choice.only = words.next().map(|row| (*row).to_owned()),
            other => return Err(format!("xtask: trust knows no \"{other}\".\n\n{USAGE}")),
        }
    }
    Ok(choice)
}

/// The first words of all commands; the tidy rule on documented commands reads it.
const COMMANDS: [&str; 10] =
    ["check", "tidy", "wrap", "generate", "count", "mutants", "tsan", "trust", "fuzz", "bench"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match parse(&words) {
        Ok(Command::Check { tests }) => check::check(tests),
        Ok(Command::Tidy) => tidy::tidy(),
        Ok(Command::Wrap) => wrap::wrap(),
        Ok(Command::Generate { write }) => generate::generate(write),
        Ok(Command::Count { write }) => count::count(write),
        Ok(Command::Mutants(names)) => mutants::mutants(&names),
        Ok(Command::Tsan) => tsan::tsan(),
        Ok(Command::Trust(choice)) => trust::trust(&choice),
        Ok(Command::Fuzz(wish)) => fuzz::fuzz(&wish),
        Ok(Command::Bench(words)) => bench::bench(&words),
        Ok(Command::Help) => {
            print!("{USAGE}");
            Ok(())
        }
        Err(text) => {
            eprint!("{text}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_usage_and_parses() {
        for name in COMMANDS {
            assert!(USAGE.contains(&format!("\n  {name}")), "{name} is not explained");
        }
        assert_eq!(parse(&["check", "--no-tests"]), Ok(Command::Check { tests: false }));
        assert_eq!(parse(&["mutants", "all"]), Ok(Command::Mutants(owned(&["all"]))));
        assert!(parse(&["mutants"]).is_err());
        let choice = trust::Choice { long: true, only: Some("wrap".to_owned()) };
        assert_eq!(parse(&["trust", "--long", "--only", "wrap"]), Ok(Command::Trust(choice)));
        assert!(parse(&["trust", "--lnog"]).is_err());
        assert_eq!(parse(&[]), Ok(Command::Help));
        assert!(parse(&["chekc"]).is_err());
    }
}
