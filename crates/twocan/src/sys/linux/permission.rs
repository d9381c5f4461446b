//! Who else may open what others can find: modes, groups, and access lists for one user more.
//!
//! An access list (a POSIX ACL) belongs to the file as its mode does, and every check of the kernel
//! looks into it: of files as they are opened, of sockets as somebody connects. The bits of the
//! group in a mode are then the mask of the list, so they do not say that a group may do anything.

use super::dir::Directory;
use super::user;
use crate::{Error, ErrorKind, Result, Sharing};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, XattrFlags, chmodat, chownat, fchmod, fchown, fgetxattr,
    fgetxattr_query, fremovexattr, fsetxattr, fstat, lgetxattr, lgetxattr_query, lremovexattr,
    lsetxattr, statat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Who may open an object besides its maker (and root, who may open everything).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    Nobody,
    /// The members of the group with this number.
    Group(u32),
    /// The user with this number.
    User(u32),
    Everyone,
}

impl Permission {
    /// # Errors
    /// `InvalidInput` if there is no such group or user.
    pub(crate) fn of(sharing: &Sharing) -> Result<Permission> {
        let bad = |cause: String| Error::new(ErrorKind::InvalidInput, cause);
        match sharing {
            Sharing::CurrentUser => Ok(Permission::Nobody),
            Sharing::Everyone => Ok(Permission::Everyone),
            Sharing::Group(name) => {
                let group = user::group_id(name);
                let group = group.ok_or_else(|| bad(format!("there is no group named {name}")))?;
                Ok(Permission::Group(group))
            }
            Sharing::User(name) => {
                let guest = user::user_id(name);
                let guest = guest.ok_or_else(|| bad(format!("there is no user named {name}")))?;
                if user::stands_for_unknown_users(guest) {
                    return Err(bad(format!(
                        "user {name} stands for all users whom this user namespace does not know"
                    )));
                }
                Ok(Permission::User(guest))
            }
        }
    }

    /// May a process of this user be at the other end? The permissions of files have decided for
    /// groups; of a user the kernel tells us itself.
    pub(super) fn lets_in(self, uid: Option<u32>) -> bool {
        let own = uid.is_some_and(|uid| uid == user::me() || uid == 0);
        match self {
            Permission::Nobody => own,
            Permission::User(_) if cfg!(twocan_mutant = "any-guest") => true,
            Permission::User(guest) => own || uid == Some(guest),
            Permission::Group(_) => true,
            Permission::Everyone => own || !cfg!(twocan_mutant = "own-user-only"),
        }
    }

    /// May an object of this owner and mode be trusted? Ours and root's, if only those may write
    /// whom we let in; that of a group's member or of the one user likewise; anybody's, if both
    /// sides have asked for that.
    pub(super) fn accepts(self, stat: &Stat, place: &Place<'_>) -> bool {
        let owner = stat.st_uid == user::me() || stat.st_uid == 0;
        let mode = stat.st_mode;
        match self {
            Permission::Everyone => true,
            // With a list, the bits of the group do not say who may write.
            Permission::Group(group) => {
                (stat.st_gid == group || owner) && mode & 0o002 == 0 && !place.has_list()
            }
            Permission::User(guest) => {
                let known =
                    owner || stat.st_uid == guest || cfg!(twocan_mutant = "any-owner-is-the-guest");
                let alone = mode & 0o020 == 0
                    || place.list().is_some_and(|l| only_these_write(&l, &[user::me(), guest]))
                    || cfg!(twocan_mutant = "list-not-read");
                known && alone && mode & 0o002 == 0
            }
            Permission::Nobody => owner && mode & 0o022 == 0,
        }
    }

    /// Lets them in to what is there. Until then it must be closed to all others.
    pub(super) fn give(self, place: &Place<'_>) -> io::Result<()> {
        // A list that the directory gives to all its files: it would let in whom it names as soon
        // as the mode opens its mask, and may keep out others.
        let shared_by_mode = matches!(self, Permission::Group(_) | Permission::Everyone);
        if shared_by_mode && place.has_list() && !cfg!(twocan_mutant = "list-inherited") {
            place.remove_list()?;
        }
        match self {
            Permission::Nobody => place.set_mode(0o600),
            Permission::Everyone => place.set_mode(0o666),
            Permission::Group(group) => {
                place.set_group(group)?;
                place.set_mode(0o660)
            }
            Permission::User(guest) => {
                let told = |error: Error| Err(error.into());
                // The mode changes with it, in one step.
                match place.set_list(&list_for(guest)) {
                    // Some file systems keep what they are given, and do not look into it.
                    Ok(()) if place.mode()? & 0o070 == 0o060 => Ok(()),
                    Ok(()) | Err(Errno::OPNOTSUPP) => no_lists(place, guest).map_or(Ok(()), told),
                    Err(Errno::INVAL) => told(unknown_here(guest)),
                    Err(e) => Err(e.into()),
                }
            }
        }
    }
}

fn no_lists(place: &Place<'_>, guest: u32) -> Option<Error> {
    if cfg!(twocan_mutant = "no-list-no-matter") {
        return None;
    }
    let (path, guest) = (place.dir().path().display(), user::name_of(guest));
    let cause = format!("{path} keeps no access lists (POSIX ACLs): user {guest} cannot be let in");
    let cure = "Set TWOCAN_DIR to a directory on a file system that does, or share with a group";
    Some(Error::new(ErrorKind::Unsupported, cause).with_cure(cure))
}

fn unknown_here(guest: u32) -> Error {
    let cause = format!("user {} is not known in this user namespace", user::name_of(guest));
    Error::new(ErrorKind::InvalidInput, cause)
}

/// Something in a directory whose permissions are looked at or set.
pub(super) enum Place<'a> {
    /// An open file.
    File(&'a Directory, BorrowedFd<'a>),
    /// By its name; a link is not followed. (A socket has no descriptor that leads to its file.)
    Name(&'a Directory, &'a str),
}

/// The attribute in which the system shows an access list.
const LIST: &str = "system.posix_acl_access";

/// A list with more entries is none of ours.
const LIST_MAX: usize = 4 + 8 * 32;

impl Place<'_> {
    fn dir(&self) -> &Directory {
        match self {
            Place::File(dir, _) | Place::Name(dir, _) => dir,
        }
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Place::File(_, file) => fchmod(file, mode)?,
            Place::Name(dir, name) => chmodat(dir.fd(), *name, mode, AtFlags::empty())?,
        }
        Ok(())
    }

    fn mode(&self) -> io::Result<u32> {
        let stat = match self {
            Place::File(_, file) => fstat(file)?,
            Place::Name(dir, name) => statat(dir.fd(), *name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        Ok(stat.st_mode)
    }

    fn set_group(&self, group: u32) -> io::Result<()> {
        let group = Some(Gid::from_raw(group));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match self {
            Place::File(_, file) => fchown(file, None, group)?,
            Place::Name(dir, name) => chownat(dir.fd(), *name, None, group, flags)?,
        }
        Ok(())
    }

    /// The access list; `None` = there is none, or it cannot be read, or it is longer than any of
    /// ours.
    fn list(&self) -> Option<Vec<u8>> {
        let mut list = vec![0; LIST_MAX];
        let read = match self {
            Place::File(_, file) => fgetxattr(file, LIST, &mut list[..]),
            Place::Name(dir, name) => lgetxattr(path(dir, name), LIST, &mut list[..]),
        };
        list.truncate(read.ok()?);
        Some(list)
    }

    fn has_list(&self) -> bool {
        let len = match self {
            Place::File(_, file) => fgetxattr_query(file, LIST),
            Place::Name(dir, name) => lgetxattr_query(path(dir, name), LIST),
        };
        len.is_ok_and(|len| len > 0)
    }

    fn set_list(&self, list: &[u8]) -> rustix::io::Result<()> {
        let flags = XattrFlags::empty();
        match self {
            Place::File(_, file) => fsetxattr(file, LIST, list, flags),
            Place::Name(dir, name) => lsetxattr(path(dir, name), LIST, list, flags),
        }
    }

    fn remove_list(&self) -> io::Result<()> {
        match self {
            Place::File(_, file) => fremovexattr(file, LIST)?,
            Place::Name(dir, name) => lremovexattr(path(dir, name), LIST)?,
        }
        Ok(())
    }
}

/// There is no call yet that takes a directory and a name.
fn path(dir: &Directory, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", dir.fd().as_raw_fd())
}

// ---- what stands in an access list: version, then { tag u16, rights u16, id u32 }, little-endian

const VERSION: u32 = 2;
const READ_WRITE: u16 = 6;
const WRITE: u16 = 2;
/// The id of entries that need none.
const NOBODY: u32 = u32::MAX;

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWN_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

/// The list that lets in its file's owner and one user more.
fn list_for(guest: u32) -> Vec<u8> {
    let group = if cfg!(twocan_mutant = "list-with-group") { READ_WRITE } else { 0 };
    let others = if cfg!(twocan_mutant = "list-open-to-all") { READ_WRITE } else { 0 };
    let entries = [
        (OWNER, READ_WRITE, NOBODY),
        (USER, READ_WRITE, guest),
        (OWN_GROUP, group, NOBODY),
        (MASK, READ_WRITE, NOBODY),
        (OTHERS, others, NOBODY),
    ];
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&rights.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    list
}

/// Does this list let nobody write but its file's owner and these users?
fn only_these_write(list: &[u8], users: &[u32]) -> bool {
    let Some((version, entries)) = list.split_first_chunk() else { return false };
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return false;
    }
    let entries = || {
        entries.chunks_exact(8).map(|e| {
            let half = |at| u16::from_le_bytes([e[at], e[at + 1]]);
            (half(0), half(2), u32::from_le_bytes([e[4], e[5], e[6], e[7]]))
        })
    };
    let mask = entries().find(|(tag, ..)| *tag == MASK).map_or(u16::MAX, |(_, rights, _)| rights);
    entries().all(|(tag, rights, id)| {
        let masked = rights & mask & WRITE == 0;
        match tag {
            OWNER | MASK => true,
            USER => masked || users.contains(&id),
            OWN_GROUP | GROUP => masked,
            OTHERS => rights & WRITE == 0,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests;
