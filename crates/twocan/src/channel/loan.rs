//! A message written where it will be read.

use super::{Sender, Seq};
use crate::ring::Slot;
use std::ops::{Deref, DerefMut};

/// Room for one message in the ring, to be written in place. Dropped without a commit, nothing was
/// sent.
///
/// # Examples
/// ```
/// let (mut a, mut b) = twocan::Channel::pair()?;
/// let mut loan = a.sender().loan(5)?;
/// loan.copy_from_slice(b"hello");
/// loan.commit();
/// assert_eq!(&*b.recv()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a loan that is not committed sends nothing"]
pub struct Loan<'s> {
    sender: &'s mut Sender,
    slot: Slot,
    len: usize,
}

impl<'s> Loan<'s> {
    #[inline]
    pub(super) fn new(sender: &'s mut Sender, slot: Slot, len: usize) -> Loan<'s> {
        Loan { sender, slot, len }
    }

    /// Sends the message. Cannot fail: the room was there.
    #[inline]
    pub fn commit(self) -> Seq {
        let len = self.len;
        self.commit_len(len)
    }

    /// Sends the first `len` bytes of it.
    ///
    /// # Panics
    /// If `len` is more than was loaned.
    #[inline]
    pub fn commit_len(self, len: usize) -> Seq {
        assert!(len <= self.len, "{len} bytes of a loan of {}", self.len);
        self.sender.commit(len)
    }
}

impl Deref for Loan<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        self.sender.loaned(self.slot, self.len)
    }
}

impl DerefMut for Loan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.sender.loaned_mut(self.slot, self.len)
    }
}
