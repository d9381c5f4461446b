//! `twocan ls`: what is there, as a table.

use crate::exit::Failure;
use twocan::{Listed, ListedKind, Scope};

const NOTHING: &str = "Nothing here. Start with: twocan chat cat\n";

const HEADINGS: [&str; 5] = ["NAME", "KIND", "SIZE", "LABEL", "HOLDERS"];

/// For a cell that has nothing to say; keeps the columns countable for scripts.
const NONE: &str = "-";

/// Runs the command.
pub(crate) fn run() -> Result<(), Failure> {
    let listed = twocan::list()?;
    if listed.is_empty() {
        return crate::print(NOTHING);
    }
    let rows: Vec<_> = listed.iter().map(row).collect();
    crate::print(&table(&rows))
}

fn row(listed: &Listed) -> [String; 5] {
    let kind = match listed.kind {
        ListedKind::Map => "map",
        ListedKind::Event => "event",
        ListedKind::Channel => "channel",
        _ => "other",
    };
    // As it has to be written to reach it.
    let scope = if listed.scope == Scope::Machine { "Global\\" } else { "" };
    let size = listed.len.map_or(NONE.to_owned(), |len| len.to_string());
    let label = listed.label.as_deref().filter(|label| !label.is_empty()).unwrap_or(NONE);
    let holders: Vec<String> = listed.holders.iter().map(|pid| format!("pid {pid}")).collect();
    let holders = if holders.is_empty() { NONE.to_owned() } else { holders.join(", ") };
    // A label was chosen by whoever opened the channel; it goes to a terminal here.
    let label = twocan_conversation::clean_text(label);
    [format!("{scope}{}", listed.name), kind.to_owned(), size, label, holders]
}

fn table(rows: &[[String; 5]]) -> String {
    use unicode_width::UnicodeWidthStr;
    let headings = HEADINGS.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(rows);
    let widths: Vec<usize> =
        (0..HEADINGS.len()).map(|i| all().map(|row| row[i].width()).max().unwrap_or(0)).collect();
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
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        let rows = [
            row(["고양이", "map", "10000", "-", "pid 1, pid 2"]),
            row(["x", "channel", "-", "chat/1", "pid 3"]),
        ];
        assert_eq!(
            table(&rows),
            "NAME    KIND     SIZE   LABEL   HOLDERS\n\
             고양이  map      10000  -       pid 1, pid 2\n\
             x       channel  -      chat/1  pid 3\n"
        );
    }
}
