//! Rules about documents and the project as a whole.

use super::Finding;
use crate::COMMANDS;
use crate::files::Tree;

/// A file may not speak of the machine it was written on. Put together here, so that this file
/// passes.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("/tmp/", "wt-"),
];

/// No absolute paths of somebody's machine, in any text file.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &tree.files {
        for (at, line) in file.text.lines().enumerate() {
            for path in MACHINE_PATHS.iter().filter(|path| begins_in(line, path)) {
                found.push(Finding::error(&file.path, at + 1, format!("a machine's path: {path}")));
            }
        }
    }
    found
}

/// `path` as the start of an absolute path, not as the middle of a longer one. A user called `me`
/// is an example and nobody's.
fn begins_in(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let user = line[at + path.len()..].split(|c: char| !c.is_alphanumeric()).next();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.~}>".contains(c)) && user != Some("me")
    })
}

/// The command lines in the fenced blocks of a document, with their line numbers. A pipeline gives
/// its parts; a prompt (`$ `) and a comment are taken off.
pub(crate) fn commands(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence: Option<bool> = None;
    for (at, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = match fence {
                Some(_) => None,
                None => Some(matches!(language.trim(), "" | "sh" | "console" | "text")),
            };
            continue;
        }
        if fence == Some(true) {
            let line = line.split(" # ").next().unwrap_or(line);
            for part in line.split('|') {
                // Two columns of a block: what it does, then what to type.
                let part = part.rsplit("   ").find(|p| !p.trim().is_empty()).unwrap_or(part).trim();
                found.push((at + 1, part.strip_prefix("$ ").unwrap_or(part)));
            }
        }
    }
    found
}

/// What a document tells people to type to cargo exists: the sub-commands of xtask, the packages,
/// the examples.
pub(crate) fn cargo_commands(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.markdown() {
        for (line, command) in commands(&file.text) {
            if let Some(missing) = missing_in(tree, command) {
                found.push(Finding::error(&file.path, line, missing));
            }
        }
    }
    found
}

fn missing_in(tree: &Tree, command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "cargo")?;
    if words[..at].iter().any(|word| !word.contains('=')) {
        return None;
    }
    let words = &words[at + 1..];
    if words.first() == Some(&"xtask") {
        let name = words.get(1)?;
        return (!COMMANDS.contains(name)).then(|| format!("there is no `cargo xtask {name}`"));
    }
    for pair in words.windows(2).take_while(|pair| pair[0] != "--") {
        let [option, name] = [pair[0], pair[1]];
        let path = match option {
            "-p" | "--package" if name == "xtask" => "xtask/Cargo.toml".to_owned(),
            "-p" | "--package" => format!("crates/{name}/Cargo.toml"),
            "--example" => format!("crates/twocan/examples/{name}.rs"),
            "--test" => format!("crates/twocan/tests/{name}.rs"),
            "--bench" => format!("crates/twocan/benches/{name}.rs"),
            _ => continue,
        };
        if !tree.has(&path) {
            return Some(format!("`{command}`: there is no {path}"));
        }
    }
    None
}

/// Relative links in documents lead to files of the project, and to headings that are there.
pub(crate) fn links(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.markdown() {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (at, line) in file.text.lines().enumerate() {
            for target in link_targets(line).filter(|target| !target.contains("://")) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() { file.path.clone() } else { joined(folder, path) };
                let headed = anchor.is_empty()
                    || tree.get(&path).is_some_and(|file| has_heading(&file.text, anchor));
                if !tree.has(&path) || !headed {
                    found.push(Finding::error(
                        &file.path,
                        at + 1,
                        format!("a dead link: {target}"),
                    ));
                }
            }
        }
    }
    found
}

/// Is there a heading whose anchor is `anchor`: small letters, words joined by hyphens?
fn has_heading(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim()).any(|heading| {
        let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
        heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-") == anchor
    })
}

fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// `path` as seen from `folder`, with `..` resolved.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every outside dependency stands in ARCHITECTURE.md as `` `name` `` with its reason.
pub(crate) fn dependencies(tree: &Tree) -> Vec<Finding> {
    let architecture = tree.get("ARCHITECTURE.md").map_or("", |file| file.text.as_str());
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        let mut inside = false;
        for (at, line) in file.text.lines().enumerate() {
            if line.starts_with('[') {
                inside = line.trim_end().ends_with("dependencies]");
                continue;
            }
            let name = line.split(['=', '.']).next().unwrap_or("").trim();
            let ours = name.starts_with("twocan") || name.starts_with('#') || name.is_empty();
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            if inside && !ours && is_name && !architecture.contains(&format!("`{name}`")) {
                let text = format!("`{name}` has no line in ARCHITECTURE.md");
                found.push(Finding::error(&file.path, at + 1, text));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_are_refused_and_others_are_not() {
        let line = format!("see {}someone/notes.txt", MACHINE_PATHS[0]);
        let tree = Tree::of(&[("docs/a.md", &line), ("b.rs", "// docs/home/ and /home/me")]);
        let found = machine_paths(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "docs/a.md");
    }

    #[test]
    fn commands_are_read_from_shell_blocks() {
        let text = "cargo nowhere\n```sh\n$ cargo test\necho a | twocan send cat\n```\n\
                    ```rust\ncargo\n```";
        let lines: Vec<&str> = commands(text).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["cargo test", "echo a", "twocan send cat"]);
    }

    #[test]
    fn two_columns_give_the_right_one() {
        let text = "```text\nTry it, in two terminals:     cargo run --release -- chat cat\n```";
        assert_eq!(commands(text), [(2, "cargo run --release -- chat cat")]);
        let text = "```sh\ntwocan demo      # nothing is lost\n```";
        assert_eq!(commands(text), [(2, "twocan demo")]);
    }

    #[test]
    fn a_command_that_leads_nowhere_is_told() {
        let text = "```sh\ncargo xtask tydy\ncargo run -p twocan-clii\ncargo run --example helo\n\
                    cargo test\nA=1 cargo test -p twocan --test gone\ncargo xtask check\n```";
        let tree = Tree::of(&[("README.md", text), ("crates/twocan/Cargo.toml", "")]);
        let lines: Vec<usize> = cargo_commands(&tree).iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3, 4, 6]);
    }

    #[test]
    fn dead_links_are_told() {
        let text = "# Here\n[a](protocol.md#two-words) [b](../README.md) [c](#here)\n\
                    [d](https://example.org/gone)\n[e](gone.md)\n[f](protocol.md#two)\n";
        let protocol = ("docs/protocol.md", "## Two words\n");
        let tree = Tree::of(&[("docs/a.md", text), protocol, ("README.md", "")]);
        let lines: Vec<usize> = links(&tree).iter().map(|f| f.line).collect();
        assert_eq!(lines, [4, 5]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_told() {
        let toml = "[package]\nname = \"x\"\n[dependencies]\n# why\ntwocan.workspace = true\n\
                    libc = \"0.2\"\n[dev-dependencies]\nproptest = \"1\"\n[lints]\n\
                    workspace = true\n";
        let tree =
            Tree::of(&[("crates/x/Cargo.toml", toml), ("ARCHITECTURE.md", "`libc`: atfork")]);
        let found = dependencies(&tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("proptest"));
    }
}
