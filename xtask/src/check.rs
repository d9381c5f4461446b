//! `cargo xtask check`: one command for everything a reviewer would ask for.

use crate::files::{Tree, target};
use crate::run::{Outcome, Steps, cargo, shown};
use crate::{count, generate, mutants, tidy, trust};
use std::collections::BTreeSet;
use std::process::Command;

/// The lints are errors here, warnings while one works.
const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// Runs all steps; later ones run also after a failure, so that one run shows everything.
pub(crate) fn check(tests: bool) -> Result<(), String> {
    let mut steps = Steps::default();
    steps.step("format", || shown(&mut cargo(&["fmt", "--all", "--", "--check"], &[])));
    // The benchmark is a workspace of its own; its lints take minutes the first time.
    steps.step("format of the benchmark", || {
        let fmt = ["fmt", "--manifest-path", "bench/Cargo.toml", "--", "--check"];
        shown(&mut cargo(&fmt, &[]))
    });
    steps.step("lints", || {
        let all = ["clippy", "--workspace", "--all-targets"];
        shown(&mut cargo(&[&all[..], &DENY].concat(), &[]))
    });
    steps.step("lints of the library with tracing", || {
        let library = ["clippy", "-p", "twocan", "--all-targets", "--features", "tracing"];
        shown(&mut cargo(&[&library[..], &DENY].concat(), &[]))
    });
    if tests {
        steps.step("tests", || shown(&mut cargo(&["test", "--workspace"], &[])));
    } else {
        // `cargo test` covers the default members; the rules' own tests are not among them.
        steps.step("tests of xtask", || shown(&mut cargo(&["test", "-p", "xtask"], &[])));
    }
    steps.step("documentation", || {
        // `--lib`: the library and the tool share the name `twocan`, and so the folder.
        let doc = ["doc", "--workspace", "--no-deps", "--lib"];
        shown(&mut cargo(&doc, &[("RUSTDOCFLAGS", "-D warnings")]))
    });
    steps.step("loom models", loom);
    steps.step("instructions of a call", count::step);
    steps.step("tidy", || outcome(tidy::tidy()));
    steps.step("generated parts", || outcome(generate::generate(false)));
    steps.step("documented commands", documented_commands);
    steps.step("mutant table", || outcome(mutants::compare(&Tree::read())));
    steps.step("trust table", || outcome(trust::compare(&Tree::read())));
    steps.finish()
}

fn outcome(result: Result<(), String>) -> Outcome {
    match result {
        Ok(()) => Outcome::Ok,
        Err(why) => Outcome::Failed(why),
    }
}

/// The models of ring, park and wake, with loom's atomics, in a target folder of their own.
fn loom() -> Outcome {
    let tree = match Tree::read() {
        Ok(tree) => tree,
        Err(why) => return Outcome::Failed(why),
    };
    if !has_loom_tests(&tree) {
        return Outcome::Skipped("no loom models in crates/twocan/src".to_owned());
    }
    shown(&mut loom_command(&[]))
}

pub(crate) fn loom_command(more: &[&str]) -> Command {
    let folder = target().join("loom").display().to_string();
    let env = [("RUSTFLAGS", "--cfg loom"), ("CARGO_TARGET_DIR", folder.as_str())];
    let test = ["test", "-p", "twocan", "--release", "--lib", "loom"];
    cargo(&[&test, more].concat(), &env)
}

/// Models live in `src/loom` or behind `cfg(all(test, loom))`.
fn has_loom_tests(tree: &Tree) -> bool {
    tree.rust().filter(|f| f.path.starts_with("crates/twocan/src/")).any(|f| {
        let folder_or_file = f.path.contains("/loom/") || f.path.ends_with("/loom.rs");
        let behind = ["cfg(all(test, loom))", "cfg(all(loom, test))"];
        folder_or_file || behind.iter().any(|cfg| f.text.contains(cfg))
    })
}

/// Every `twocan COMMAND` that a document tells people to type must be a command of the tool.
fn documented_commands() -> Outcome {
    let tree = match Tree::read() {
        Ok(tree) => tree,
        Err(why) => return Outcome::Failed(why),
    };
    let mut unknown = Vec::new();
    for words in tool_commands(&tree) {
        if is_known(&words) {
            println!("twocan {words}");
        } else {
            unknown.push(words);
        }
    }
    if is_known("no-such-command") {
        return Outcome::Failed("the tool accepts any word: nothing has been shown".to_owned());
    }
    if unknown.is_empty() {
        return Outcome::Ok;
    }
    Outcome::Failed(format!("a document names what the tool does not know: {}", unknown.join(", ")))
}

fn is_known(words: &str) -> bool {
    let line = format!("run --quiet -p twocan-cli -- {words} --help");
    let args: Vec<&str> = line.split(' ').collect();
    cargo(&args, &[]).output().is_ok_and(|out| out.status.success())
}

/// `chat`, `map create`, .. as they stand in the code blocks of the documents.
fn tool_commands(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in tree.markdown() {
        for (_, line) in tidy::documents::commands(&file.text) {
            let rest = ["twocan ", "cargo run --release -- ", "cargo run -- "]
                .iter()
                .find_map(|start| line.strip_prefix(start));
            let Some(rest) = rest else { continue };
            let mut words = rest.split_whitespace();
            let Some(first) = words.next().filter(|word| is_word(word)) else { continue };
            let grouped = matches!(first, "map" | "event");
            match words.next().filter(|word| grouped && is_word(word)) {
                Some(second) => found.insert(format!("{first} {second}")),
                None => found.insert(first.to_owned()),
            };
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_tool_are_collected_from_code_blocks_only() {
        let text = "Type twocan nonsense.\n\n```sh\ntwocan map create Cat 10000\n\
                    echo hi | twocan send cat\ncargo run --release -- chat cat\n\
                    twocan --help\n```\n";
        let found = tool_commands(&Tree::of(&[("README.md", text)]));
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["chat", "map create", "send"]);
    }

    #[test]
    fn loom_models_are_found_by_folder_and_by_cfg() {
        assert!(!has_loom_tests(&Tree::of(&[("crates/twocan/src/sync.rs", "#[cfg(loom)]")])));
        assert!(has_loom_tests(&Tree::of(&[("crates/twocan/src/loom/ring.rs", "")])));
        let behind = "#[cfg(all(test, loom))]\nmod model;";
        assert!(has_loom_tests(&Tree::of(&[("crates/twocan/src/ring/mod.rs", behind)])));
    }
}
