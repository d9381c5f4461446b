//! Who is measured. One file a family; the table below is the only list.

mod boost;
mod iceoryx2;
mod libraries;
mod limits;
mod many;
mod pipes;
mod queues;
mod shared;
mod sockets;
mod threads;
mod twocan;
mod zeromq;

pub(crate) use many::{Many, VisitMany, WAITERS, with_many};
pub(crate) use shared::Shared;

use crate::task::{Place, Side, Work};
use anyhow::Result;

/// One end of a two-way connection that carries messages.
///
/// `fill` writes the whole payload and `read` reads the whole of it: in a buffer of its own where
/// the candidate copies, where it lies where the candidate lends.
pub(crate) trait End: Sized {
    /// How it was set up; printed with the results.
    const HOW: &'static str;
    /// Two threads of one process, not two processes.
    const THREADS: bool = false;
    /// What it carries, if that is not the message.
    const CARRIES: Option<usize> = None;

    /// Does this work, with messages of this size, make sense for it?
    fn does(work: Work, size: usize) -> bool;
    /// Why it is not here, if it is not.
    fn missing() -> Option<String> {
        None
    }
    /// Opens one end. Side A makes what must be made first; side B waits for it.
    fn open(place: &Place, side: Side) -> Result<Self>;
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()>;
    /// Waits for a message.
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R>;
    /// Sends what was held back.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    /// Bytes of the rings of one channel, both directions, where that is known.
    fn rings(_place: &Place) -> Option<usize> {
        None
    }
    /// Removes what killed ends have left behind outside of the session's folder.
    fn clean(_place: &Place) {}
}

/// Something to do with a candidate.
pub(crate) trait Visit {
    type Out;
    fn visit<E: End>(self) -> Self::Out;
}

/// What is known of a candidate without opening it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) id: &'static str,
    pub(crate) how: &'static str,
    pub(crate) does: fn(Work, usize) -> bool,
    pub(crate) missing: Option<String>,
    pub(crate) clean: fn(&Place),
    pub(crate) rings: fn(&Place) -> Option<usize>,
    pub(crate) threads: bool,
    /// Only on request.
    pub(crate) hidden: bool,
}

macro_rules! table {
    ($($id:literal => $end:ty,)*) => {
        /// All candidates, in the order of the tables.
        pub(crate) fn all() -> Vec<Facts> {
            vec![$(Facts {
                id: $id,
                how: <$end>::HOW,
                does: <$end>::does,
                missing: <$end>::missing(),
                clean: <$end>::clean,
                rings: <$end>::rings,
                threads: <$end>::THREADS,
                hidden: $id == "dies",
            }),*]
        }

        /// Calls `visit` with the type of the candidate; `None` if there is no such candidate.
        pub(crate) fn with<V: Visit>(id: &str, visit: V) -> Option<V::Out> {
            match id {
                $($id => Some(visit.visit::<$end>()),)*
                _ => None,
            }
        }
    };
}

table! {
    "line" => limits::Line,
    "memcpy" => limits::Copy,
    "futex" => limits::Futex,
    "twocan-spin" => twocan::Copying<{ twocan::SPIN }>,
    "twocan" => twocan::Copying<{ twocan::ADAPTIVE }>,
    "twocan-parked" => twocan::Copying<{ twocan::NEVER }>,
    "twocan-batch" => twocan::Batching,
    "twocan-loan" => twocan::Lending<{ twocan::ADAPTIVE }>,
    "twocan-loan-spin" => twocan::Lending<{ twocan::SPIN }>,
    "socket" => sockets::Socket,
    "pipe" => pipes::Pipe,
    "eventfd" => queues::Eventfd,
    "mq" => queues::Posix,
    "iceoryx2-copy" => iceoryx2::Copying<false>,
    "iceoryx2-loan" => iceoryx2::Lending<false>,
    "iceoryx2-wait-copy" => iceoryx2::Copying<true>,
    "iceoryx2-wait-loan" => iceoryx2::Lending<true>,
    "ipc-channel" => libraries::IpcChannel,
    "interprocess" => libraries::Interprocess,
    "boost" => boost::Boost,
    "zeromq" => zeromq::ZeroMq,
    "rtrb-threads" => threads::Rtrb,
    "crossbeam-threads" => threads::Crossbeam,
    "dies" => limits::Dies,
}
