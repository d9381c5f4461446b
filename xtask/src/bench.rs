//! `cargo xtask bench`: builds and runs `bench/`, a workspace of its own, since the rivals it
//! measures are heavy.

use crate::files::{root, target};
use std::process::{Command, Stdio};

/// What a feature of the benchmark needs that is no Rust: a command.
const NEEDS: [(&str, &str); 1] = [("zeromq", "c++")];

/// Runs it with these words; its own `--help` explains them.
pub(crate) fn bench(words: &[String]) -> Result<(), String> {
    let manifest = root().join("bench/Cargo.toml");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["run", "--release", "--quiet", "--manifest-path"]).arg(manifest);
    build.arg("--target-dir").arg(target());
    let have: Vec<&str> = NEEDS.iter().filter(|(_, tool)| has(tool)).map(|(f, _)| *f).collect();
    if !have.is_empty() {
        build.arg("--features").arg(have.join(","));
    }
    build.arg("--").args(words).stdin(Stdio::null());
    println!("building what is measured; the first time takes some minutes");
    match build.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the benchmark ended with {status}")),
        Err(e) => Err(format!("cannot start cargo: {e}")),
    }
}

/// Is this command here?
fn has(tool: &str) -> bool {
    let mut ask = Command::new(tool);
    ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|status| status.success())
}
