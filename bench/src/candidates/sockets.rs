//! Unix stream sockets, straight.

use super::End;
use super::shared::wait_for;
use crate::task::{Place, Side, Work};
use anyhow::Result;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use std::io::{BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

/// Room of the reader's buffer: so much that one call takes many small messages; next to nothing
/// where memory counts, since this buffer is ours and not the candidate's.
pub(crate) fn read_ahead(place: &Place) -> usize {
    if place.many || place.work == Work::Memory { 64 } else { 64 << 10 }
}

/// Listens under a name that appears when it listens.
pub(crate) fn connection(place: &Place, side: Side) -> Result<UnixStream> {
    let path = place.path("socket");
    if side == Side::B {
        wait_for(&path)?;
        return Ok(UnixStream::connect(path)?);
    }
    let draft = path.with_extension("draft");
    let listener = UnixListener::bind(&draft)?;
    std::fs::rename(draft, path)?;
    Ok(listener.accept()?.0)
}

pub(crate) struct Socket {
    out: UnixStream,
    inn: BufReader<UnixStream>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl End for Socket {
    const HOW: &'static str = "SOCK_STREAM, buffers of 1 MiB asked for; write_all, read_exact \
        through a BufReader of 64 KiB";

    fn does(work: Work, _size: usize) -> bool {
        work != Work::Wake
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let out = connection(place, side)?;
        if !place.many {
            set_socket_send_buffer_size(&out, 1 << 20)?;
            set_socket_recv_buffer_size(&out, 1 << 20)?;
        }
        let inn = BufReader::with_capacity(read_ahead(place), out.try_clone()?);
        let (outgoing, incoming) = (vec![0; place.size], vec![0; place.size]);
        Ok(Socket { out, inn, outgoing, incoming })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.out.write_all(&self.outgoing[..len])?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.inn.read_exact(&mut self.incoming)?;
        Ok(read(&self.incoming))
    }
}
