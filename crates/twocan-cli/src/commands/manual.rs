//! `twocan completions` and `twocan man`: both from the table of the command line.

use crate::cli;
use crate::exit::{Exit, Failure, io_failure};
use clap_complete::Shell;

/// Prints the completion script for a shell.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "twocan", &mut script);
    crate::print(&String::from_utf8_lossy(&script))
}

/// Prints the man page of the tool, or of one command.
pub(crate) fn man(command: Option<&str>) -> Result<(), Failure> {
    let mut table = cli::command();
    table.build();
    let mut page = &table;
    // As the pages name each other: `map-create` is the command `map create`.
    for word in command.into_iter().flat_map(|c| c.split(['-', ' '])) {
        let Some(found) = page.find_subcommand(word) else {
            let name = command.unwrap_or_default();
            let text = format!("there is no command {name}. See: twocan help");
            return Err(Failure::new(Exit::Usage, text));
        };
        page = found;
    }
    let page = page.clone();
    let mut roff = Vec::new();
    clap_mangen::Man::new(page).render(&mut roff).map_err(|e| io_failure("the man page", &e))?;
    crate::print(&String::from_utf8_lossy(&roff))
}
