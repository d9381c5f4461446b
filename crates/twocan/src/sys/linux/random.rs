//! Random numbers from the kernel.

use crate::error::{Error, Result};
use rustix::rand::{GetRandomFlags, getrandom};

/// Two random words.
pub(crate) fn words() -> Result<[u64; 2]> {
    let mut bytes = [0u8; 16];
    // Up to 256 bytes come whole or not at all.
    getrandom(&mut bytes, GetRandomFlags::empty())
        .map_err(|e| Error::from_os("the system has no random numbers", e))?;
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    Ok([word(0), word(8)])
}
