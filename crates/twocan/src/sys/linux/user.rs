//! Users and groups.

use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;

/// The user as whom this process acts.
pub(crate) fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Most bytes of an entry of the user or group database that are looked at.
const ENTRY_MAX: usize = 64 * 1024;

/// What `take` reads of an entry of the user or group database; `None` = there is none. `call` is
/// one of the C library's look-ups: it gets room for the entry and for the strings of it, and
/// leaves a pointer to the entry, or null.
fn look_up<T, R>(
    mut call: impl FnMut(*mut T, *mut c_char, usize, *mut *mut T) -> i32,
    take: impl FnOnce(&T) -> R,
) -> Option<R> {
    let mut buffer = vec![0u8; 4096];
    loop {
        let mut entry = MaybeUninit::<T>::uninit();
        let mut found = std::ptr::null_mut();
        let code =
            call(entry.as_mut_ptr(), buffer.as_mut_ptr().cast(), buffer.len(), &raw mut found);
        if code == libc::ERANGE && buffer.len() < ENTRY_MAX {
            buffer.resize(buffer.len() * 4, 0);
            continue;
        }
        if code != 0 || found.is_null() {
            return None;
        }
        // SAFETY: found: the C library has filled `entry`, whose strings lie in `buffer`.
        return Some(take(unsafe { &*found }));
    }
}

/// The name of a user, or its number if it has none.
pub(crate) fn name_of(uid: u32) -> String {
    // SAFETY: the pointers lead to live memory of the length given.
    let call = |entry, room, len, found| unsafe { libc::getpwuid_r(uid, entry, room, len, found) };
    // SAFETY: the name of an entry that was found is a string that ends in NUL.
    let name = |entry: &libc::passwd| unsafe { CStr::from_ptr(entry.pw_name) }.to_owned();
    match look_up(call, name) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => uid.to_string(),
    }
}

/// The number of a user, who is given by name or, if nobody has that name, by number; `None` =
/// there is no such user. A number needs no entry in the database.
pub(crate) fn user_id(who: &str) -> Option<u32> {
    let name = CString::new(who).ok()?;
    let key = name.as_ptr();
    // SAFETY: the pointers lead to live memory of the length given; `name` ends in NUL.
    let call = |entry, room, len, found| unsafe { libc::getpwnam_r(key, entry, room, len, found) };
    look_up(call, |entry: &libc::passwd| entry.pw_uid).or_else(|| {
        let digits = !who.is_empty() && who.bytes().all(|b| b.is_ascii_digit());
        // The largest number means "no user" to the system.
        if digits { who.parse().ok().filter(|uid| *uid != u32::MAX) } else { None }
    })
}

/// The number of a group; `None` = there is no such group.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    let key = name.as_ptr();
    // SAFETY: the pointers lead to live memory of the length given; `name` ends in NUL.
    let call = |entry, room, len, found| unsafe { libc::getgrnam_r(key, entry, room, len, found) };
    look_up(call, |entry: &libc::group| entry.gr_gid)
}

/// Is this the number that the system shows instead of every user whom our user namespace does not
/// know? Outside such a namespace it is a user like others.
pub(crate) fn stands_for_unknown_users(uid: u32) -> bool {
    const USUAL: u32 = 65_534;
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let overflow = read("/proc/sys/kernel/overflowuid").trim().parse().unwrap_or(USUAL);
    let map = read("/proc/self/uid_map");
    let all_known = map.is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"]);
    uid == overflow && !all_known && !cfg!(twocan_mutant = "unknown-is-somebody")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(name_of(0), "root");
        // Without an account as well.
        assert_eq!(user_id("4123456789"), Some(4_123_456_789));
        assert_eq!(name_of(4_123_456_789), "4123456789");
        for none in ["", "no-such-user", "+1", "-1", "0x0", " 0", "4294967295", "4294967296", "a\0"]
        {
            assert_eq!(user_id(none), None, "{none:?}");
        }
        assert_eq!(user_id(&user_id("root").unwrap().to_string()), Some(0));
        assert_eq!(group_id("no-such-group"), None);
        assert_eq!(group_id("root"), Some(0));
    }
}
