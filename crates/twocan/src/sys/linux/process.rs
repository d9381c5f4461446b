//! Who holds what, for the words of an error or a listing. Never used to decide that somebody is
//! dead.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// An object of the file system: device and inode.
pub(crate) type FileId = (u64, u64);

/// The processes that have a descriptor of one of `wanted`, as far as this user may see them.
pub(crate) fn holders(wanted: &[FileId]) -> HashMap<FileId, Vec<u32>> {
    let mut found: HashMap<FileId, Vec<u32>> = HashMap::new();
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(data) = fs::metadata(descriptor.path()) else { continue };
            let id = (data.dev(), data.ino());
            if wanted.contains(&id) {
                let pids = found.entry(id).or_default();
                if !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
        }
    }
    found
}

/// This process, as others of its pid namespace see it.
pub(crate) fn own_pid() -> u32 {
    std::process::id()
}
