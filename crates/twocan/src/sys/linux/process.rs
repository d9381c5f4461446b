//! Who holds what, for the words of an error or a listing. Never used to decide that somebody is
//! dead.

use super::object::UNFINISHED;
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// An object of the file system: device and inode.
pub(crate) type FileId = (u64, u64);

/// The processes that have a descriptor of one of `wanted` (and the name of its file), as far as
/// this user may see them.
pub(crate) fn holders(wanted: &[(FileId, &str)]) -> HashMap<FileId, Vec<u32>> {
    let ids: HashSet<FileId> = wanted.iter().map(|(id, _)| *id).collect();
    let names: HashSet<&OsStr> = wanted.iter().map(|(_, name)| OsStr::new(*name)).collect();
    // A maker's descriptor shows no name, as the file had none when it was opened: `#` and the
    // inode.
    let likely = |name: &OsStr| {
        let bytes = name.as_encoded_bytes();
        names.contains(name) || bytes.starts_with(b"#") || bytes.starts_with(UNFINISHED.as_bytes())
    };
    let mut found: HashMap<FileId, Vec<u32>> = HashMap::new();
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let link = descriptor.path();
            // The name first: a look at a stranger's file may block, on a network that is down.
            let named = |path: &PathBuf| path.file_name().is_some_and(likely);
            if !fs::read_link(&link).as_ref().is_ok_and(named) {
                continue;
            }
            let Ok(data) = fs::metadata(&link) else { continue };
            let id = (data.dev(), data.ino());
            if ids.contains(&id) {
                let pids = found.entry(id).or_default();
                if !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
        }
    }
    found
}

/// What helps against a code of the system whose words do not say it.
pub(crate) fn advice(code: i32) -> Option<&'static str> {
    match Errno::from_raw_os_error(code) {
        Errno::MFILE => Some("Raise the limit of this process, as ulimit -n 4096 does"),
        Errno::NFILE => Some("Raise the limit of the system, as sysctl fs.file-max does"),
        Errno::FBIG => Some("Raise the limit of this process, as ulimit -f unlimited does"),
        _ => None,
    }
}

/// This process, as others of its pid namespace see it.
pub(crate) fn own_pid() -> u32 {
    std::process::id()
}

/// For tests that open hundreds of ends: as many descriptors as the system lets us have, at least
/// so many.
#[cfg(test)]
pub(crate) fn allow_descriptors(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.unwrap_or(u64::MAX);
    if now.current.is_some_and(|n| n < wanted) {
        let current = Some(wanted.min(most));
        setrlimit(Resource::Nofile, Rlimit { current, maximum: now.maximum })
            .expect("below the maximum");
    }
    assert!(most >= wanted, "{wanted} descriptors are needed, {most} allowed: see ulimit -Hn");
}
