//! `cargo xtask generate`: what must agree with the sources is written from them.
//!
//! Two kinds of blocks in the documents, each between a begin and an end comment:
//!
//! * `<!-- include PATH -->` .. `<!-- end -->` holds that file as a code block;
//! * `<!-- sync table -->` .. `<!-- end -->` holds the table of all `// SYNC name: ..` comments of
//!   the library.
//!   Every name must stand on two sides at least.

use crate::files::{Tree, root};
use std::collections::BTreeMap;

const END: &str = "<!-- end -->";
const LIBRARY: &str = "crates/twocan/src/";

/// Writes the blocks, or compares them.
pub(crate) fn generate(write: bool) -> Result<(), String> {
    let tree = Tree::read()?;
    let mut stale = Vec::new();
    for file in tree.markdown() {
        let fresh = filled(&tree, &file.path, &file.text)?;
        if fresh == file.text {
            continue;
        }
        if write {
            std::fs::write(root().join(&file.path), fresh).map_err(|e| e.to_string())?;
            println!("written: {}", file.path);
        } else {
            stale.push(file.path.as_str());
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("out of date, run `cargo xtask generate`: {}", stale.join(", ")))
}

/// The document with all its blocks made anew.
fn filled(tree: &Tree, path: &str, text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        out += line;
        out.push('\n');
        let Some(block) = block(tree, line).map_err(|e| format!("{path}:{}: {e}", at + 1))? else {
            continue;
        };
        if !lines.by_ref().any(|(_, line)| line == END) {
            return Err(format!("{path}:{}: a block without {END}", at + 1));
        }
        out += &block;
        out += END;
        out.push('\n');
    }
    Ok(out)
}

/// What belongs below `line`, if it begins a block.
fn block(tree: &Tree, line: &str) -> Result<Option<String>, String> {
    let Some(words) = line.strip_prefix("<!-- ").and_then(|l| l.strip_suffix(" -->")) else {
        return Ok(None);
    };
    if words == "sync table" {
        return sync_table(tree).map(Some);
    }
    let Some(path) = words.strip_prefix("include ") else { return Ok(None) };
    let file = tree.get(path).ok_or_else(|| format!("there is no {path}"))?;
    let language = if path.ends_with(".rs") { "rust" } else { "text" };
    Ok(Some(format!("```{language}\n{}\n```\n", file.text.trim_end())))
}

/// One side of a pair: the file below `src` with the function, and what its comment says.
type Side = (String, String);

/// All sides by name, in the order of the files.
fn sides(tree: &Tree) -> BTreeMap<String, Vec<Side>> {
    let mut found: BTreeMap<String, Vec<Side>> = BTreeMap::new();
    for file in tree.rust() {
        let Some(short) = file.path.strip_prefix(LIBRARY) else { continue };
        if short.ends_with("tests.rs") || short.starts_with("loom_models/") {
            continue;
        }
        let mut lines = file.text.lines().map(str::trim_start).peekable();
        let mut function = String::new();
        while let Some(line) = lines.next() {
            if let Some(name) = function_name(line) {
                function = format!(", `{name}`");
            }
            let Some(rest) = line.strip_prefix("// SYNC ") else { continue };
            let mut rest = rest.to_owned();
            while let Some(more) = lines.next_if(|line| goes_on(line)) {
                rest.push(' ');
                rest += more.trim_start_matches('/').trim();
            }
            let (names, says) = names(&rest);
            // The first sentence: the rest is for the reader of the code.
            let says = says.split(". ").next().unwrap_or("").trim_end_matches(['.', ' ']);
            for name in names {
                let side = (format!("`{short}`{function}"), says.to_owned());
                found.entry(name.to_owned()).or_default().push(side);
            }
        }
    }
    found
}

/// The names in front of the colon, of which there may be several, and what is said behind it.
fn names(comment: &str) -> (Vec<&str>, &str) {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Some((before, says)) = comment.split_once(':') {
        let names: Vec<&str> = before.split(", ").collect();
        if names.iter().all(|name| name.chars().all(in_name)) {
            return (names, says.trim_start());
        }
    }
    let (name, says) = comment.split_at(comment.find(|c| !in_name(c)).unwrap_or(comment.len()));
    (vec![name], says.trim_start_matches([':', ',', '.', ' ']))
}

/// The name of the function that begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let comment = before.contains("//") || before.contains('"');
    let starts = before.is_empty() || before.ends_with(' ');
    let name = after.split(['(', '<']).next()?;
    (!comment && starts && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

/// A further line of the same comment.
fn goes_on(line: &str) -> bool {
    let own = ["// SYNC ", "// SAFETY:"].iter().any(|start| line.starts_with(start));
    line.starts_with("// ") && !own
}

fn sync_table(tree: &Tree) -> Result<String, String> {
    let mut out = String::from("\n| pair | where | what the line says |\n|---|---|---|\n");
    let all = sides(tree);
    let alone: Vec<&str> =
        all.iter().filter(|(_, sides)| sides.len() < 2).map(|(name, _)| name.as_str()).collect();
    if !alone.is_empty() {
        return Err(format!("a SYNC name that stands on one side only: {}", alone.join(", ")));
    }
    for (name, sides) in all {
        for (i, (file, says)) in sides.iter().enumerate() {
            let name = if i == 0 { format!(" `{name}`") } else { String::new() };
            out += &format!("|{name} | {file} | {} |\n", says.replace('|', "\\|"));
        }
    }
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISH: (&str, &str) = (
        "crates/twocan/src/ring/producer.rs",
        "fn f() {\n    // SYNC payload-published: pairs\n    // with Consumer::peek. More.\n}\n",
    );
    const PEEK: (&str, &str) =
        ("crates/twocan/src/ring/consumer.rs", "// SYNC payload-published, a|b.\n");

    #[test]
    fn the_table_has_both_sides() {
        let table = sync_table(&Tree::of(&[PEEK, PUBLISH])).unwrap();
        assert!(
            table.contains("| `payload-published` | `ring/consumer.rs` | a\\|b |\n"),
            "{table}"
        );
        assert!(table.contains("| | `ring/producer.rs`, `f` | pairs with Consumer::peek |\n"));
    }

    #[test]
    fn a_line_may_stand_for_several_pairs_and_tests_for_none() {
        let both = ("crates/twocan/src/a.rs", "// SYNC one, two: a fence.\n");
        let other = ("crates/twocan/src/b.rs", "// SYNC one: x.\n// SYNC two: y.\n");
        let test = ("crates/twocan/src/b/tests.rs", "// SYNC one: not this.\n");
        let table = sync_table(&Tree::of(&[both, other, test])).unwrap();
        assert!(table.contains("| `two` | `a.rs` | a fence |\n"), "{table}");
        assert!(!table.contains("not this"), "{table}");
    }

    #[test]
    fn a_name_on_one_side_is_refused() {
        let error = sync_table(&Tree::of(&[PUBLISH])).unwrap_err();
        assert!(error.contains("payload-published"));
    }

    #[test]
    fn blocks_are_replaced_and_the_rest_stays() {
        let tree = Tree::of(&[("a/hello.rs", "fn main() {}\n")]);
        let text = "top\n<!-- include a/hello.rs -->\nold\n<!-- end -->\nbottom\n";
        let fresh = filled(&tree, "README.md", text).unwrap();
        let want =
            "top\n<!-- include a/hello.rs -->\n```rust\nfn main() {}\n```\n<!-- end -->\nbottom\n";
        assert_eq!(fresh, want);
        assert_eq!(filled(&tree, "README.md", &fresh).unwrap(), fresh);
    }

    #[test]
    fn a_missing_file_or_end_is_an_error() {
        let tree = Tree::of(&[("a.rs", "")]);
        assert!(filled(&tree, "x.md", "<!-- include gone.rs -->\n<!-- end -->\n").is_err());
        assert!(filled(&tree, "x.md", "<!-- include a.rs -->\n").is_err());
    }
}
