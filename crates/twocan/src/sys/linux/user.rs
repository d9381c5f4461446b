//! Users and groups.

use std::ffi::{CStr, CString};

/// The user as whom this process acts.
pub(crate) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Most bytes of an entry of the user or group database that are looked at.
const ENTRY_MAX: usize = 64 * 1024;

/// The name of a user, or its number if it has none.
pub(crate) fn name_of(uid: u32) -> String {
    let mut buffer = vec![0u8; 4096];
    loop {
        // SAFETY: a plain C struct of integers and pointers, filled by the call before it is read.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let space = buffer.as_mut_ptr().cast();
        // SAFETY: all pointers lead to live memory of the length given.
        let code = unsafe { libc::getpwuid_r(uid, &mut entry, space, buffer.len(), &mut found) };
        if code == libc::ERANGE && buffer.len() < ENTRY_MAX {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if code != 0 || found.is_null() {
            return uid.to_string();
        }
        // SAFETY: found: pw_name points to a string in `buffer`.
        return unsafe { CStr::from_ptr(entry.pw_name) }.to_string_lossy().into_owned();
    }
}

/// The number of a group; `None` = there is no such group.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let mut buffer = vec![0u8; 4096];
    loop {
        // SAFETY: a plain C struct of integers and pointers, filled by the call before it is read.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let (key, space) = (name.as_ptr(), buffer.as_mut_ptr().cast());
        // SAFETY: all pointers lead to live memory of the length given; `name` ends in NUL.
        let code = unsafe { libc::getgrnam_r(key, &mut entry, space, buffer.len(), &mut found) };
        if code == libc::ERANGE && buffer.len() < ENTRY_MAX {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        return (code == 0 && !found.is_null()).then_some(entry.gr_gid);
    }
}
