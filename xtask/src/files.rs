//! The files of the project, read once.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file. The path is relative to the root, with forward slashes.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files that are tracked, or would be by the next `git add`.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Reads the project. Files that are not UTF-8 are left out.
    pub(crate) fn read() -> Result<Tree, String> {
        let root = root();
        let mut files = Vec::new();
        for path in listed(&root).unwrap_or_else(|| walked(&root)) {
            if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
                files.push(File { path, text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if files.is_empty() {
            return Err(format!("no file found below {}", root.display()));
        }
        Ok(Tree { files })
    }

    /// A tree of the given files, for the tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Tree { files: files.iter().map(file).collect() }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// A file of this path, or a directory with at least one file.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let below = format!("{path}/");
        self.files.iter().any(|f| f.path == path || f.path.starts_with(&below))
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.path.ends_with(".rs"))
    }

    pub(crate) fn markdown(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.path.ends_with(".md"))
    }
}

/// The root of the workspace: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo builds; the loom models and the mutants have folders of their own inside.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// What git knows. `None` without git, or where git refuses (a checkout of another user).
fn listed(root: &Path) -> Option<Vec<String>> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|out| out.status.success())?;
    let text = String::from_utf8_lossy(&out.stdout);
    let files: Vec<String> =
        text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    (!files.is_empty()).then_some(files)
}

/// The fallback: everything but build folders and git's own.
fn walked(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else if let Ok(inside) = path.strip_prefix(root) {
                found.push(inside.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_and_the_walk_find_the_same_sources() {
        let root = root();
        let only = |list: Vec<String>| {
            let mut list: Vec<String> =
                list.into_iter().filter(|p| p.starts_with("xtask/src/")).collect();
            list.sort();
            list
        };
        let walked = only(walked(&root));
        assert!(walked.contains(&"xtask/src/files.rs".to_owned()));
        if let Some(listed) = listed(&root) {
            assert_eq!(only(listed), walked);
        }
    }

    #[test]
    fn a_folder_counts_as_there_when_it_holds_a_file() {
        let tree = Tree::of(&[("docs/protocol.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/") && tree.has("docs/protocol.md"));
        assert!(!tree.has("doc"));
    }
}
