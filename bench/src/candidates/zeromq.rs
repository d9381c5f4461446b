//! ZeroMQ over its ipc transport.

use super::End;
use crate::task::{Place, Side, Work};
use anyhow::Result;

pub(crate) struct ZeroMq {
    #[cfg(feature = "zeromq")]
    socket: zmq::Socket,
    #[cfg(feature = "zeromq")]
    outgoing: Vec<u8>,
    #[cfg(feature = "zeromq")]
    incoming: Vec<u8>,
}

impl End for ZeroMq {
    const HOW: &'static str = "libzmq, built by its crate; PAIR sockets over ipc://, one I/O \
        thread beside each end, high-water mark of 1 MiB of messages (at most 16384)";

    fn does(work: Work, _size: usize) -> bool {
        work != Work::Wake
    }

    #[cfg(not(feature = "zeromq"))]
    fn missing() -> Option<String> {
        Some("needs a C++ compiler to build its library: Debian's g++".to_owned())
    }

    #[cfg(not(feature = "zeromq"))]
    fn open(_place: &Place, _side: Side) -> Result<Self> {
        anyhow::bail!("built without the feature zeromq")
    }

    #[cfg(not(feature = "zeromq"))]
    fn send(&mut self, _len: usize, _fill: impl FnOnce(&mut [u8])) -> Result<()> {
        anyhow::bail!("built without the feature zeromq")
    }

    #[cfg(not(feature = "zeromq"))]
    fn recv<R>(&mut self, _read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        anyhow::bail!("built without the feature zeromq")
    }

    #[cfg(feature = "zeromq")]
    fn open(place: &Place, side: Side) -> Result<Self> {
        thread_local! {
            static CONTEXT: zmq::Context = zmq::Context::new();
        }
        let socket = CONTEXT.with(|context| context.socket(zmq::PAIR))?;
        let depth = place.depth(1 << 14) as i32;
        socket.set_sndhwm(depth)?;
        socket.set_rcvhwm(depth)?;
        // The last message goes out, and an end without another ends all the same.
        socket.set_linger(5_000)?;
        let path = place.path("zeromq");
        let address = format!("ipc://{}", path.display());
        if side == Side::A {
            socket.bind(&address)?;
        } else {
            // It would try again by itself, but only after a tenth of a second.
            super::shared::wait_for(&path)?;
            socket.connect(&address)?;
        }
        let (outgoing, incoming) = (vec![0; place.size], vec![0; place.size]);
        Ok(ZeroMq { socket, outgoing, incoming })
    }

    #[cfg(feature = "zeromq")]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.socket.send(&self.outgoing[..len], 0)?;
        Ok(())
    }

    #[cfg(feature = "zeromq")]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.socket.recv_into(&mut self.incoming, 0)?;
        Ok(read(&self.incoming))
    }
}
