//! Names of objects: what they may be, and the file names that stand for them.
//!
//! A name is 1 byte or more of UTF-8, without control characters and without backslash, but for the
//! prefixes `Local\` and `Global\`. Case counts. `Local\x` is `x`; `Global\x` lives in the
//! directory that all users of the machine share. Maps and events share one name space; channels
//! have their own.

use crate::{Error, ErrorKind, Result};
use std::fmt;

pub(crate) mod files;

/// How far a name reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scope {
    /// The programs of this user.
    ///
    /// # Platform
    /// Linux: all programs of the user, in any login. Windows: those of the login session.
    #[default]
    Session,
    /// All programs of the machine, as with the prefix `Global\`. Who may open it is said by
    /// [`Sharing`].
    Machine,
}

/// Who may open an object. Both sides ask for the same; of two users, each names the other.
///
/// # Platform
/// Linux: root may always. Nobody but its owner and root removes or replaces what is shared; a
/// killed owner's file stays until one of them comes again. [`User`](Sharing::User) needs a file
/// system with access lists (POSIX ACLs): memory (tmpfs, where names live by default) and most
/// disks have them. Without them making is the error
/// [`Unsupported`](crate::ErrorKind::Unsupported), and nobody is let in. Groups and users are
/// looked up once, when the object is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Sharing {
    /// Nobody but this user.
    #[default]
    CurrentUser,
    /// The members of a group of the system, by its name. Implies [`Scope::Machine`].
    Group(String),
    /// One other user, by name or, if nobody has that name, by number (which needs no account).
    /// Implies [`Scope::Machine`].
    User(String),
    /// Everybody on this machine. Implies [`Scope::Machine`].
    Everyone,
}

/// Longest stem of a file name that holds the name itself, in bytes; longer ones hold its hash.
const STEM_MAX: usize = 200;

/// Begins the stem of a hashed name. A `%` of a name is always written `%25`, so this never stands
/// for itself.
const HASHED: &str = "%x";

/// A name that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    text: String,
    scope: Scope,
}

impl Name {
    /// Checks a name as a user wrote it, with its prefix.
    pub(crate) fn parse(raw: &str) -> Result<Name> {
        let (text, scope) = match raw.strip_prefix("Global\\") {
            Some(rest) => (rest, Scope::Machine),
            None => (raw.strip_prefix("Local\\").unwrap_or(raw), Scope::Session),
        };
        let refuse = |cause: String| Err(Error::new(ErrorKind::InvalidName, cause).with_name(raw));
        if text.is_empty() {
            return refuse("a name cannot be empty".into());
        }
        if let Some((at, c)) = raw.char_indices().find(|(_, c)| c.is_control()) {
            let code = u32::from(c);
            return refuse(format!(
                "a name cannot contain control characters (found U+{code:04X} at byte {at})"
            ));
        }
        if text.contains('\\') {
            return refuse(format!(
                "\"{raw}\": a name cannot contain a backslash, \
                 except as Local\\ or Global\\ at its start"
            ));
        }
        Ok(Name { text: text.to_owned(), scope })
    }

    /// As `parse`, for a caller who has asked for a scope and a sharing beside the name.
    pub(crate) fn parse_with(raw: &str, scope: Scope, sharing: &Sharing) -> Result<Name> {
        let mut name = Name::parse(raw)?;
        let wide = scope == Scope::Machine || *sharing != Sharing::CurrentUser;
        if wide && raw.starts_with("Local\\") {
            let cause =
                format!("\"{raw}\": the prefix Local\\ contradicts the scope of the machine");
            return Err(Error::new(ErrorKind::InvalidInput, cause).with_name(raw));
        }
        if wide {
            name.scope = Scope::Machine;
        }
        Ok(name)
    }

    /// The name without its prefix.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// FNV-1a of the name without its prefix.
    pub(crate) fn hash128(&self) -> u128 {
        fnv1a(self.text.as_bytes())
    }

    /// The readable part of a file name: the name with `/`, `%` and a leading `.` written as `%2F`,
    /// `%25`, `%2E`; or, if that is longer than 200 bytes, `%x` and the hash.
    pub(crate) fn file_stem(&self) -> String {
        let mut stem = String::with_capacity(self.text.len());
        for (at, c) in self.text.char_indices() {
            match c {
                '/' => stem.push_str("%2F"),
                '%' => stem.push_str("%25"),
                '.' if at == 0 => stem.push_str("%2E"),
                c => stem.push(c),
            }
        }
        if stem.len() > STEM_MAX { format!("{HASHED}{:032x}", self.hash128()) } else { stem }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the stem of a file name says: the name's hash, and the name if it is readable.
pub(crate) fn decode_stem(stem: &str) -> Option<(u128, Option<String>)> {
    if let Some(hash) = stem.strip_prefix(HASHED) {
        return Some((parse_hash(hash)?, None));
    }
    let mut name = String::with_capacity(stem.len());
    let mut rest = stem;
    while let Some((plain, escaped)) = rest.split_once('%') {
        name.push_str(plain);
        name.push(match escaped.get(..2)? {
            "2F" => '/',
            "25" => '%',
            "2E" => '.',
            _ => return None,
        });
        rest = &escaped[2..];
    }
    name.push_str(rest);
    let name = Name::parse(&name).ok()?;
    (name.file_stem() == stem).then(|| (name.hash128(), Some(name.text)))
}

/// A hash as 32 small hexadecimal digits.
pub(crate) fn parse_hash(digits: &str) -> Option<u128> {
    let small = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let well_formed = digits.len() == 32 && digits.bytes().all(small);
    if well_formed { u128::from_str_radix(digits, 16).ok() } else { None }
}

fn fnv1a(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = 0x0000000001000000000000000000013b;
    bytes.iter().fold(BASIS, |hash, b| (hash ^ u128::from(*b)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests;
