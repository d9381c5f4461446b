//! `twocan ls`: what is there, as a table.

use crate::exit::Failure;
use twocan::{Listed, ListedKind, Scope};

const NOTHING: &str = "Nothing here. Start with: twocan chat cat\n";

const HEADINGS: [&str; 4] = ["NAME", "KIND", "SIZE", "HOLDERS"];

/// Runs the command.
pub(crate) fn run() -> Result<(), Failure> {
    let listed = twocan::list()?;
    if listed.is_empty() {
        return crate::print(NOTHING);
    }
    let rows: Vec<_> = listed.iter().map(row).collect();
    crate::print(&table(&rows))
}

fn row(listed: &Listed) -> [String; 4] {
    let kind = match listed.kind {
        ListedKind::Map => "map",
        ListedKind::Event => "event",
        ListedKind::Channel => "channel",
        _ => "other",
    };
    // As it has to be written to reach it.
    let scope = if listed.scope == Scope::Machine { "Global\\" } else { "" };
    let size = listed.len.map_or(String::new(), |len| len.to_string());
    let holders: Vec<String> = listed.holders.iter().map(|pid| format!("pid {pid}")).collect();
    [format!("{scope}{}", listed.name), kind.to_owned(), size, holders.join(", ")]
}

fn table(rows: &[[String; 4]]) -> String {
    use unicode_width::UnicodeWidthStr;
    let headings = HEADINGS.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let widths: Vec<usize> =
        (0..4).map(|i| all().map(|row| row[i].width()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let fill = " ".repeat(width + 2 - cell.width());
            line.push_str(&format!("{cell}{fill}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_headings() {
        let row = |cells: [&str; 4]| cells.map(str::to_owned);
        let rows = [row(["고양이", "map", "10000", "pid 1, pid 2"]), row(["x", "event", "", ""])];
        assert_eq!(
            table(&rows),
            "NAME    KIND   SIZE   HOLDERS\n\
             고양이  map    10000  pid 1, pid 2\n\
             x       event\n"
        );
    }
}
