//! A view read and written in order, as a file is.

use super::View;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// A [`View`] with a position. It ends exactly at the view's length.
///
/// # Examples
/// ```
/// use std::io::{Read, Seek, Write};
///
/// let mut stream = twocan::MemoryMap::anonymous(5)?.stream()?;
/// stream.write_all(b"HELLO")?;
/// assert_eq!(stream.write(b"!")?, 0);
/// stream.rewind()?;
/// let mut text = String::new();
/// stream.read_to_string(&mut text)?;
/// assert_eq!(text, "HELLO");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ViewStream {
    view: View,
    pos: u64,
}

impl ViewStream {
    pub(super) fn new(view: View) -> ViewStream {
        ViewStream { view, pos: 0 }
    }

    /// The view underneath.
    pub fn get_ref(&self) -> &View {
        &self.view
    }

    /// The view, without the position.
    pub fn into_inner(self) -> View {
        self.view
    }

    /// Where the next bytes are, and how many of `wanted` there are.
    fn next(&self, wanted: usize) -> (usize, usize) {
        let len = self.view.len();
        let at = usize::try_from(self.pos).unwrap_or(usize::MAX).min(len);
        (at, wanted.min(len - at))
    }
}

impl Read for ViewStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let (at, n) = self.next(to.len());
        self.view.read_into(at, &mut to[..n])?;
        self.pos += n as u64;
        Ok(n)
    }
}

impl Write for ViewStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let (at, n) = self.next(from.len());
        self.view.write(at, &from[..n])?;
        self.pos += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.view.flush()?)
    }
}

impl Seek for ViewStream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let pos = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => (self.view.len() as u64).checked_add_signed(n),
            SeekFrom::Current(n) => self.pos.checked_add_signed(n),
        };
        let before_start = || io::Error::new(io::ErrorKind::InvalidInput, "a position before 0");
        self.pos = pos.ok_or_else(before_start)?;
        Ok(self.pos)
    }
}
