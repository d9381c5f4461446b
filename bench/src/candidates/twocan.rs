//! Twocan, through its public face only.

use super::End;
use crate::task::{Place, Side, Work};
use anyhow::{Context, Result};
use twocan::{Channel, Spin};

pub(crate) const SPIN: u8 = 0;
pub(crate) const ADAPTIVE: u8 = 1;
pub(crate) const NEVER: u8 = 2;

/// Messages of a batch.
const BATCH: usize = 16;

/// Bytes of a ring; the default where that does.
fn capacity(place: &Place) -> usize {
    if place.many {
        4 << 10
    } else if place.size > 256 << 10 {
        4 * place.size // the least in which a message fits in one piece
    } else {
        1 << 20
    }
}

pub(crate) fn open(place: &Place, spin: u8) -> Result<Channel> {
    let mut options = Channel::options();
    options.spin(match spin {
        SPIN => Spin::Always,
        NEVER => Spin::Never,
        _ => Spin::Adaptive,
    });
    Ok(options.send_capacity(capacity(place)).open(&place.name())?)
}

/// Own buffers on both sides: copied in by `send`, out by `recv_into`.
pub(crate) struct Copying<const WAY: u8> {
    end: Channel,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl<const WAY: u8> End for Copying<WAY> {
    const HOW: &'static str = match WAY {
        SPIN => "send, recv_into; Spin::Always",
        NEVER => "send, recv_into; Spin::Never",
        _ => "send, recv_into; defaults (Spin::Adaptive, ring of 1 MiB; 4 messages of 1 MiB)",
    };

    fn does(work: Work, _size: usize) -> bool {
        match work {
            Work::Roundtrip => true,
            Work::Stream => WAY != NEVER,
            Work::Parked => WAY == NEVER,
            Work::Open | Work::Memory | Work::Idle => WAY == ADAPTIVE,
            Work::Wake => false,
        }
    }

    fn open(place: &Place, _side: Side) -> Result<Self> {
        let end = open(place, WAY)?;
        let outgoing = vec![0; place.size];
        Ok(Copying { end, outgoing, incoming: Vec::with_capacity(place.size) })
    }

    fn rings(place: &Place) -> Option<usize> {
        Some(2 * capacity(place))
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.end.send(&self.outgoing[..len])?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.end.receiver().recv_into(&mut self.incoming)?;
        Ok(read(&self.incoming))
    }
}

/// Written in the ring, read in the ring.
pub(crate) struct Lending<const WAY: u8> {
    end: Channel,
}

impl<const WAY: u8> End for Lending<WAY> {
    const HOW: &'static str = if WAY == SPIN {
        "loan and commit, Delivery::as_slice; Spin::Always"
    } else {
        "loan and commit, Delivery::as_slice; defaults"
    };

    fn does(work: Work, _size: usize) -> bool {
        match work {
            Work::Roundtrip => true,
            Work::Stream => WAY == ADAPTIVE,
            _ => false,
        }
    }

    fn open(place: &Place, _side: Side) -> Result<Self> {
        Ok(Lending { end: open(place, WAY)? })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut loan = self.end.sender().loan(len)?;
        fill(&mut loan);
        loan.commit();
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let delivery = self.end.receiver().recv_delivery()?;
        // SAFETY: the other end is this program too, and writes a message once.
        let bytes = unsafe { delivery.as_slice() }.context("the message lies in the ring")?;
        let result = read(bytes);
        delivery.acknowledge();
        Ok(result)
    }
}

/// As [`Copying`], sixteen messages with one call.
pub(crate) struct Batching {
    end: Copying<ADAPTIVE>,
    batch: Vec<Vec<u8>>,
    filled: usize,
}

impl End for Batching {
    const HOW: &'static str = "send_batch of 16, recv_into; defaults";

    fn does(work: Work, size: usize) -> bool {
        work == Work::Stream && size <= 64 << 10
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let end = Copying::open(place, side)?;
        Ok(Batching { end, batch: vec![vec![0; place.size]; BATCH], filled: 0 })
    }

    #[inline]
    fn send(&mut self, _len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.batch[self.filled]);
        self.filled += 1;
        if self.filled == BATCH { self.flush() } else { Ok(()) }
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.end.recv(read)
    }

    fn flush(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.filled {
            sent += self.end.end.sender().send_batch(&self.batch[sent..self.filled])?;
        }
        self.filled = 0;
        Ok(())
    }
}
