//! A message where it lies.

use super::{Message, Receiver, Seq};
use crate::ring::Record;
use crate::{Error, ErrorKind, Result};

/// What a search found: a record in the ring, or the long message that the receiver holds.
#[derive(Debug)]
pub(super) enum Found {
    Record(Record),
    Long,
}

/// A received message that has not been acknowledged. Dropped, it comes again, under the same
/// number; a process killed now leaves it to its successor. It does not dereference to its bytes,
/// since their writer could change them: copy what you check.
///
/// # Examples
/// ```
/// let (mut a, mut b) = twocan::Channel::pair()?;
/// a.send("once")?;
/// drop(b.receiver().recv_delivery()?); // not acknowledged: comes again
/// let delivery = b.receiver().recv_delivery()?;
/// let mut bytes = [0; 4];
/// delivery.copy_to(&mut bytes);
/// delivery.acknowledge();
/// assert_eq!(&bytes, b"once");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a delivery that is not acknowledged comes again"]
pub struct Delivery<'r> {
    receiver: &'r mut Receiver,
    found: Found,
}

impl<'r> Delivery<'r> {
    #[inline]
    pub(super) fn new(receiver: &'r mut Receiver, found: Found) -> Delivery<'r> {
        Delivery { receiver, found }
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.receiver.len(&self.found)
    }

    /// Is it a message of no bytes?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its number.
    pub fn seq(&self) -> Seq {
        self.receiver.seq(&self.found)
    }

    /// Copies the whole of it.
    ///
    /// # Panics
    /// If `to` is not exactly as long as the message.
    pub fn copy_to(&self, to: &mut [u8]) {
        assert_eq!(to.len(), self.len(), "the buffer must have the message's length");
        self.copy(0, to);
    }

    /// Copies the bytes from `at` on.
    ///
    /// # Errors
    /// `OutOfRange` if the message ends before `to` is full.
    pub fn read_at(&self, at: usize, to: &mut [u8]) -> Result<()> {
        let len = self.len();
        if at > len || to.len() > len - at {
            return Err(Error::new(
                ErrorKind::OutOfRange,
                format!(
                    "the message has {len} bytes; {at}..{} is outside it",
                    at.saturating_add(to.len())
                ),
            ));
        }
        self.copy(at, to);
        Ok(())
    }

    fn copy(&self, at: usize, to: &mut [u8]) {
        match &self.found {
            Found::Record(record) => self.receiver.copy(record, at, to),
            Found::Long => to.copy_from_slice(&self.receiver.held_bytes()[at..at + to.len()]),
        }
    }

    /// A copy of it; still not acknowledged.
    pub fn to_message(&self) -> Message {
        self.receiver.copied(&self.found)
    }

    /// The application is done with it: it does not come again, whoever is killed.
    #[inline]
    pub fn acknowledge(self) {
        let Delivery { receiver, found } = self;
        match found {
            Found::Record(record) => receiver.done(record.next),
            Found::Long => {
                receiver.settle(found);
                receiver.ack();
            }
        }
    }

    /// The bytes where they lie, without a copy; `None` for a message whose place is gone.
    ///
    /// # Safety
    /// Their writer must not change them while the slice lives. An honest peer never does; a
    /// hostile one can, and then the behaviour is undefined.
    #[inline]
    pub unsafe fn as_slice(&self) -> Option<&[u8]> {
        match &self.found {
            Found::Long => Some(self.receiver.held_bytes()),
            Found::Record(record) => {
                let bytes = self.receiver.bytes_of(record)?;
                // SAFETY: inside a mapping that the receiver keeps while `self` borrows it; that
                // the bytes do not change is what the caller promises.
                Some(unsafe { &*bytes })
            }
        }
    }
}
