//! A channel as two streams of bytes, for code that wants `Read` and `Write`.

use super::{Receiver, Sender};
use crate::RecvError;
use std::io::{BufRead, Error, Read, Result, Write};

/// Writes bytes as messages. Made by [`Sender::writer`]. Each `write` is one message of up to
/// [`Sender::max_loan`] bytes; `flush` does nothing, as nothing is held back.
#[derive(Debug)]
pub struct ByteWriter<'s> {
    sender: &'s mut Sender,
}

impl<'s> ByteWriter<'s> {
    pub(super) fn new(sender: &'s mut Sender) -> ByteWriter<'s> {
        ByteWriter { sender }
    }
}

impl Write for ByteWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let n = bytes.len().min(self.sender.max_loan()).min(self.sender.max_message());
        if n > 0 {
            self.sender.send(&bytes[..n])?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads messages as one stream of bytes. Made by [`Receiver::reader`]. Ends when the peer finishes
/// or says goodbye; a peer that died is an error (`ConnectionReset`). A message counts as
/// acknowledged when it was read to its end and more is asked for. What is left of a half-read
/// message when the reader is dropped is gone.
#[derive(Debug)]
pub struct ByteReader<'r> {
    receiver: &'r mut Receiver,
    message: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<'r> ByteReader<'r> {
    pub(super) fn new(receiver: &'r mut Receiver) -> ByteReader<'r> {
        ByteReader { receiver, message: Vec::new(), at: 0, ended: false }
    }
}

impl BufRead for ByteReader<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        while self.at == self.message.len() && !self.ended {
            self.at = 0;
            self.message.clear();
            match self.receiver.recv_into(&mut self.message) {
                Ok(_) => {}
                Err(RecvError::Finished | RecvError::PeerClosed) => self.ended = true,
                Err(e) => return Err(Error::from(e)),
            }
        }
        Ok(&self.message[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.message.len());
    }
}

impl Read for ByteReader<'_> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let from = self.fill_buf()?;
        let n = from.len().min(to.len());
        to[..n].copy_from_slice(&from[..n]);
        self.consume(n);
        Ok(n)
    }
}
