//! `cargo xtask tidy`: the rules that no compiler checks. Each has a test that shows it fail.

mod code;
pub(crate) mod documents;
mod rust;

use crate::files::Tree;
use std::fmt;

/// One line that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// From 1; 0 = the whole file.
    line: usize,
    text: String,
    /// A warning is printed and does not fail.
    warning: bool,
}

impl Finding {
    fn error(path: &str, line: usize, text: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, text: text.into(), warning: false }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.warning { "warning: " } else { "" };
        write!(f, "{}:{}: {word}{}", self.path, self.line, self.text)
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

/// All rules, in the order in which they report.
const RULES: [(&str, Rule); 13] = [
    ("file length", rust::file_length),
    ("columns", rust::columns),
    ("rooms of unsafe", rust::unsafe_rooms),
    ("rooms of the operating system", rust::system_rooms),
    ("rooms of extern", rust::extern_rooms),
    ("one source of atomics", rust::atomics),
    ("orderings come in pairs", rust::paired_orderings),
    ("ignored tests have a reason", rust::ignored),
    ("nothing left to do", rust::leftovers),
    ("no machine paths", documents::machine_paths),
    ("documented cargo commands", documents::cargo_commands),
    ("links", documents::links),
    ("dependencies have a reason", documents::dependencies),
];

/// Runs all rules over the project.
pub(crate) fn tidy() -> Result<(), String> {
    let tree = Tree::read()?;
    let (mut errors, mut warnings) = (0, 0);
    for (name, rule) in RULES {
        for finding in rule(&tree) {
            println!("{finding}  [{name}]");
            if finding.warning {
                warnings += 1;
            } else {
                errors += 1;
            }
        }
    }
    let files = tree.files.len();
    println!("{} rules, {files} files: {errors} errors, {warnings} warnings", RULES.len());
    if errors == 0 { Ok(()) } else { Err(format!("tidy found {errors} errors")) }
}
