//! `twocan ls`: what is there.

use crate::exit::Failure;

/// Runs the command.
pub(crate) fn run() -> Result<(), Failure> {
    crate::print("Nothing here. Start with: twocan chat cat\n")
}
