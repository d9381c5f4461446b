//! What is received.

use crate::{Error, ErrorKind, PeerInfo, Result};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use zerocopy::FromBytes;

/// A message's number: the random id of the region it was written to, and its position there. The
/// same message comes again under the same number; no other message ever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seq {
    pub(crate) region: u64,
    pub(crate) position: u64,
}

impl Seq {
    /// Which end, in which of its lives, sent it.
    pub fn region(self) -> u64 {
        self.region
    }

    /// Where it lies in the order of that end's messages (bytes; later ones are higher, until they
    /// wrap).
    pub fn position(self) -> u64 {
        self.position
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{:x}", self.region, self.position)
    }
}

/// Up to this many bytes a message needs no allocation.
const INLINE: usize = 64;

#[derive(Clone)]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

/// A received message: an owned copy of its bytes. Dereferences to `[u8]`.
#[derive(Clone)]
pub struct Message {
    bytes: Bytes,
    seq: Seq,
}

impl Message {
    /// Room for `len` bytes, filled by `fill`.
    #[inline]
    pub(crate) fn fill(len: usize, seq: Seq, fill: impl FnOnce(&mut [u8])) -> Message {
        if len <= INLINE {
            let mut bytes = [0; INLINE];
            fill(&mut bytes[..len]);
            return Message { bytes: Bytes::Inline { len: len as u8, bytes }, seq };
        }
        let mut bytes = vec![0; len];
        fill(&mut bytes);
        Message { bytes: Bytes::Heap(bytes), seq }
    }

    pub(crate) fn from_vec(bytes: Vec<u8>, seq: Seq) -> Message {
        Message { bytes: Bytes::Heap(bytes), seq }
    }

    /// Its number.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The message as text.
    ///
    /// # Errors
    /// `InvalidInput` if it is not UTF-8; nothing is guessed.
    pub fn to_str(&self) -> Result<&str> {
        std::str::from_utf8(self).map_err(|e| {
            let at = e.valid_up_to();
            Error::new(
                ErrorKind::InvalidInput,
                format!("the message is not UTF-8 text (byte {at})"),
            )
        })
    }

    /// The message as text, with U+FFFD for what is not UTF-8.
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self)
    }

    /// The message as a value of the same length.
    ///
    /// # Errors
    /// `InvalidInput` if the lengths differ.
    ///
    /// # Examples
    /// ```
    /// use twocan::{Channel, zerocopy::IntoBytes};
    /// let (mut a, mut b) = Channel::pair()?;
    /// a.send(7u32.as_bytes())?;
    /// assert_eq!(b.recv()?.read::<u32>()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read<T: FromBytes>(&self) -> Result<T> {
        T::read_from_bytes(self).map_err(|_| {
            let (has, needs) = (self.len(), size_of::<T>());
            Error::new(
                ErrorKind::InvalidInput,
                format!("the message has {has} bytes, the value needs {needs}"),
            )
        })
    }

    /// The bytes, without a copy if they are more than a few.
    pub fn into_vec(self) -> Vec<u8> {
        match self.bytes {
            Bytes::Inline { len, bytes } => bytes[..usize::from(len)].to_vec(),
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl Deref for Message {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {} bytes)", self.seq, self.len())
    }
}

/// A message or what happened between messages, in the order of the stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Incoming {
    /// A peer has come; its messages follow.
    Joined(PeerInfo),
    /// A message.
    Message(Message),
    /// The peer has finished sending; it may still receive.
    Finished,
    /// The peer said goodbye, after its last message.
    Left(PeerInfo),
    /// The peer's process ended without a goodbye, after its last message.
    Died(PeerInfo),
}
