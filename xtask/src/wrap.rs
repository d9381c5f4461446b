//! `cargo xtask wrap`: breaks comments that are longer than 100 columns. rustfmt leaves them alone.
//!
//! Only a paragraph with an overlong line is touched. Lists, tables, headings and code blocks
//! inside comments stay as they are; a list item is a paragraph of its own.

use crate::files::{Tree, root};

const COLUMNS_MAX: usize = 100;

/// Rewrites the Rust files that need it.
pub(crate) fn wrap() -> Result<(), String> {
    for file in Tree::read()?.rust() {
        let fresh = wrapped(&file.text);
        if fresh != file.text {
            std::fs::write(root().join(&file.path), fresh).map_err(|e| e.to_string())?;
            println!("wrapped: {}", file.path);
        }
    }
    Ok(())
}

/// A comment that has the line to itself: what stands before the words, and the words.
fn comment(line: &str) -> Option<(&str, &str)> {
    let indent = line.len() - line.trim_start().len();
    let mark = ["//!", "///", "//"].iter().find(|mark| line[indent..].starts_with(**mark))?;
    let end = indent + mark.len();
    Some((&line[..end], line[end..].strip_prefix(' ').unwrap_or(&line[end..])))
}

/// Does a line of a comment begin something of its own, so that it is not joined to the one before?
fn begins(words: &str) -> bool {
    let numbered = words.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
    let marks = ["* ", "- ", "#", "|", "```", "SYNC ", "SAFETY:", "["];
    words.is_empty() || numbered || marks.iter().any(|mark| words.starts_with(mark))
}

/// Columns by which further lines of the paragraph are indented. `None`: the line may not be
/// broken.
fn hang(words: &str) -> Option<usize> {
    let text = words.trim_start();
    let indent = words.len() - text.len();
    let item = text.starts_with("* ") || text.starts_with("- ");
    let fixed = text.is_empty() || ["#", "|", "```"].iter().any(|mark| text.starts_with(mark));
    // Four columns without a list are code.
    (!fixed && (item || indent < 4)).then_some(if item { indent + 2 } else { indent })
}

fn wrapped(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    let (mut at, mut code) = (0, false);
    while at < lines.len() {
        let Some((prefix, words)) = comment(lines[at]) else {
            code = false;
            out += &format!("{}\n", lines[at]);
            at += 1;
            continue;
        };
        code ^= words.starts_with("```");
        let hang = hang(words).filter(|_| !code);
        let end = hang.map_or(at + 1, |hang| paragraph_end(&lines, at, prefix, hang));
        let long = lines[at..end].iter().any(|line| line.chars().count() > COLUMNS_MAX);
        match hang {
            Some(hang) if long => {
                let words: Vec<&str> = lines[at..end]
                    .iter()
                    .filter_map(|line| comment(line))
                    .map(|(_, w)| w)
                    .collect();
                fill(&mut out, prefix, hang, &words.join(" "));
            }
            _ => lines[at..end].iter().for_each(|line| out += &format!("{line}\n")),
        }
        at = end;
    }
    out
}

fn paragraph_end(lines: &[&str], at: usize, prefix: &str, hang: usize) -> usize {
    let goes_on = |line: &&str| {
        comment(line).is_some_and(|(p, words)| {
            let text = words.trim_start();
            p == prefix && words.len() - text.len() == hang && !begins(text)
        })
    };
    at + 1 + lines[at + 1..].iter().take_while(|line| goes_on(line)).count()
}

/// The words in as few lines as 100 columns allow; further lines hang.
fn fill(out: &mut String, prefix: &str, hang: usize, words: &str) {
    let first = words.len() - words.trim_start().len();
    let mut line = format!("{prefix}{}", " ".repeat(first));
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS_MAX {
            out.push_str(&line);
            out.push('\n');
            line = format!("{prefix}{}", " ".repeat(hang));
        }
        line.push(' ');
        line += word;
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlong_paragraphs_are_broken_and_others_stay() {
        let long = "word ".repeat(30);
        let text = format!("/// Short.\n///\n/// {}\n/// and more.\nfn f() {{}}\n", long.trim());
        let fresh = wrapped(&text);
        assert!(fresh.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{fresh}");
        assert!(fresh.starts_with("/// Short.\n///\n/// word "));
        assert!(fresh.ends_with("and more.\nfn f() {}\n"));
        assert_eq!(wrapped(&fresh), fresh);
    }

    #[test]
    fn code_and_tables_stay() {
        let long = "x".repeat(50);
        let text =
            format!("/// ```\n/// let {long} = \"{long}\";\n/// ```\n/// | {long} | {long} |\n");
        assert_eq!(wrapped(&text), text);
    }

    #[test]
    fn items_of_a_list_hang() {
        let long = "word ".repeat(25);
        let text = format!("    /// * {}\n    /// * b\n", long.trim());
        let fresh = wrapped(&text);
        assert!(fresh.lines().nth(1).is_some_and(|l| l.starts_with("    ///   word")), "{fresh}");
        assert!(fresh.ends_with("    /// * b\n"));

        let text = format!("//!   - {}\n//!     more.\n//!   - next\n", long.trim());
        let fresh = wrapped(&text);
        let second = fresh.lines().nth(1).unwrap_or_default();
        assert!(second.starts_with("//!     word") && second.ends_with("word more."), "{fresh}");
        assert!(fresh.ends_with("//!   - next\n"));
    }
}
