//! Sanitizers: what the compiler brings along, and what it does not.

use std::path::Path;
use std::process::{Command, Stdio};

/// The only system whose sanitizers are used.
pub(crate) const SYSTEM: &str = "x86_64-unknown-linux-gnu";

/// Why nothing can be built here with a sanitizer (`asan`, `tsan`); `None` = it can.
pub(crate) fn missing(name: &str) -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("sanitizers only on Linux on x86-64".to_owned());
    }
    let mut ask = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    ask.args(["--print", "target-libdir", "--target", SYSTEM]).stderr(Stdio::null());
    let libraries = match ask.output() {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).trim().to_owned(),
        _ => return Some("the compiler does not say where its libraries are".to_owned()),
    };
    if has_runtime(Path::new(&libraries), name) {
        return None;
    }
    Some(format!("this compiler comes without {name} (rustup's brings it along)"))
}

/// `librustc-stable_rt.asan.a`; what stands between depends on the channel.
fn has_runtime(libraries: &Path, name: &str) -> bool {
    let end = format!("_rt.{name}.a");
    std::fs::read_dir(libraries).is_ok_and(|files| {
        files.flatten().any(|file| {
            let file = file.file_name();
            let file = file.to_string_lossy();
            file.starts_with("librustc") && file.ends_with(&end)
        })
    })
}

/// Is there a C++ compiler? libFuzzer is built by it.
pub(crate) fn missing_cpp() -> Option<String> {
    let name = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let asked = Command::new(&name).arg("--version").stdout(Stdio::null()).status();
    let there = asked.is_ok_and(|status| status.success());
    (!there).then(|| format!("no C++ compiler ({}), which builds libFuzzer", name.display()))
}

#[cfg(test)]
mod tests {
    use super::has_runtime;

    #[test]
    fn a_runtime_is_told_by_its_file() {
        let dir = std::env::temp_dir().join(format!("xtask-sanitizer-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("librustc-stable_rt.asan.a"), "").unwrap();
        std::fs::write(dir.join("libstd-1234.rlib"), "").unwrap();
        assert!(has_runtime(&dir, "asan"));
        assert!(!has_runtime(&dir, "tsan"));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(!has_runtime(&dir, "asan"));
    }
}
