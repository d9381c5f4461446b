//! Libraries on top of sockets: ipc-channel, interprocess, ZeroMQ.

use super::End;
use super::shared::wait_for;
use super::sockets::read_ahead;
use crate::task::{Place, Side, Work};
use anyhow::{Result, anyhow};
use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Stream, ToFsName};
use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};
use serde::{Deserialize, Serialize};
use std::io::{self, BufReader, Read, Write};
use std::sync::Arc;

/// Servo's channels, for bytes.
pub(crate) struct IpcChannel {
    tx: IpcBytesSender,
    rx: IpcBytesReceiver,
    outgoing: Vec<u8>,
}

/// Two channels of one kind, one in each direction; the second side makes them.
pub(super) fn meet<T, R>(
    place: &Place,
    side: Side,
    make: impl Fn() -> io::Result<(T, R)>,
) -> Result<(T, R)>
where
    T: Serialize + for<'de> Deserialize<'de>,
    R: Serialize + for<'de> Deserialize<'de>,
{
    let path = place.path("ipc");
    if side == Side::A {
        let (server, name) = IpcOneShotServer::new()?;
        let draft = path.with_extension("draft");
        std::fs::write(&draft, name)?;
        std::fs::rename(draft, path)?;
        let (_, halves) = server.accept().map_err(|e| anyhow!("{e:?}"))?;
        return Ok(halves);
    }
    wait_for(&path)?;
    let server: IpcSender<(T, R)> = IpcSender::connect(std::fs::read_to_string(path)?)?;
    let ((there_tx, there_rx), (back_tx, back_rx)) = (make()?, make()?);
    server.send((there_tx, back_rx)).map_err(|e| anyhow!("{e:?}"))?;
    Ok((back_tx, there_rx))
}

impl End for IpcChannel {
    const HOW: &'static str = "bytes_channel in each direction, which is its way for bytes; recv \
        makes a Vec";

    fn does(work: Work, _size: usize) -> bool {
        work != Work::Wake
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let (tx, rx) = meet(place, side, bytes_channel)?;
        Ok(IpcChannel { tx, rx, outgoing: vec![0; place.size] })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.tx.send(&self.outgoing[..len])?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let bytes = self.rx.recv().map_err(|e| anyhow!("{e:?}"))?;
        Ok(read(&bytes))
    }
}

/// The reading side of a stream that the writing side has too.
struct Half(Arc<Stream>);

impl Read for Half {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

/// The interprocess crate's local socket.
pub(crate) struct Interprocess {
    rx: BufReader<Half>,
    tx: Arc<Stream>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl End for Interprocess {
    const HOW: &'static str = "local_socket in an Arc; write_all, read_exact through a BufReader \
        of 64 KiB";

    fn does(work: Work, _size: usize) -> bool {
        work != Work::Wake
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let (path, ready) = (place.path("local"), place.path("listening"));
        let name = path.to_fs_name::<GenericFilePath>()?;
        let stream = if side == Side::A {
            let listener = ListenerOptions::new().name(name).create_sync()?;
            std::fs::write(ready, "")?;
            listener.accept()?
        } else {
            wait_for(&ready)?;
            Stream::connect(name)?
        };
        let tx = Arc::new(stream);
        let rx = BufReader::with_capacity(read_ahead(place), Half(tx.clone()));
        Ok(Interprocess { rx, tx, outgoing: vec![0; place.size], incoming: vec![0; place.size] })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        (&*self.tx).write_all(&self.outgoing[..len])?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.rx.read_exact(&mut self.incoming)?;
        Ok(read(&self.incoming))
    }
}
