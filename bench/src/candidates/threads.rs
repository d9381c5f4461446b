//! Between two threads of one process: anchors for what leaving out the process boundary is worth.

use super::End;
use crate::task::{Place, Side, Work};
use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use rtrb::{Consumer, Producer, RingBuffer};
use std::any::Any;
use std::collections::HashMap;
use std::hint::spin_loop;
use std::sync::Mutex;

/// Halves that side A has made for side B, by name.
static HALVES: Mutex<Option<HashMap<String, Box<dyn Any + Send>>>> = Mutex::new(None);

fn meet<T: Send + 'static>(place: &Place, side: Side, pair: impl FnOnce() -> (T, T)) -> Result<T> {
    let lock = || HALVES.lock().map_err(|_| anyhow!("the other thread panicked"));
    if side == Side::A {
        let (mine, other) = pair();
        lock()?.get_or_insert_default().insert(place.name(), Box::new(other));
        return Ok(mine);
    }
    loop {
        if let Some(half) = lock()?.get_or_insert_default().remove(&place.name()) {
            return half.downcast().map(|half| *half).map_err(|_| anyhow!("of another kind"));
        }
        std::thread::yield_now();
    }
}

/// A ring of bytes in each direction.
pub(crate) struct Rtrb {
    tx: Producer<u8>,
    rx: Consumer<u8>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl End for Rtrb {
    const HOW: &'static str = "TWO THREADS of one process; RingBuffer<u8>, push_entire_slice, \
        pop_entire_slice; both spin";
    const THREADS: bool = true;

    fn does(work: Work, _size: usize) -> bool {
        matches!(work, Work::Roundtrip | Work::Stream)
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let bytes = place.depth(1 << 14) * place.size;
        let (tx, rx) = meet(place, side, || {
            let ((a_tx, b_rx), (b_tx, a_rx)) = (RingBuffer::new(bytes), RingBuffer::new(bytes));
            ((a_tx, a_rx), (b_tx, b_rx))
        })?;
        Ok(Rtrb { tx, rx, outgoing: vec![0; place.size], incoming: vec![0; place.size] })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        while self.tx.push_entire_slice(&self.outgoing[..len]).is_err() {
            spin_loop();
        }
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        while self.rx.pop_entire_slice(&mut self.incoming).is_err() {
            spin_loop();
        }
        Ok(read(&self.incoming))
    }
}

/// Bytes of a message that lie in the channel itself.
const SHORT: usize = 64;

enum Message {
    Short([u8; SHORT]),
    Long(Vec<u8>),
}

/// A bounded channel in each direction; a message changes its owner.
pub(crate) struct Crossbeam {
    tx: Sender<Message>,
    rx: Receiver<Message>,
    size: usize,
}

impl End for Crossbeam {
    const HOW: &'static str = "TWO THREADS of one process; bounded(n) of messages that hold up to \
        64 bytes, or a Vec; recv spins a little and then sleeps";
    const THREADS: bool = true;

    fn does(work: Work, _size: usize) -> bool {
        matches!(work, Work::Roundtrip | Work::Stream | Work::Parked)
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let depth = place.depth(1 << 14);
        let (tx, rx) = meet(place, side, || {
            let ((a_tx, b_rx), (b_tx, a_rx)) = (bounded(depth), bounded(depth));
            ((a_tx, a_rx), (b_tx, b_rx))
        })?;
        Ok(Crossbeam { tx, rx, size: place.size })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let message = if len <= SHORT {
            let mut bytes = [0; SHORT];
            fill(&mut bytes[..len]);
            // The length is the same for all of a session: it need not travel.
            Message::Short(bytes)
        } else {
            let mut bytes = vec![0; len];
            fill(&mut bytes);
            Message::Long(bytes)
        };
        self.tx.send(message).ok().context("the other thread is gone")
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        match self.rx.recv()? {
            Message::Short(bytes) => Ok(read(&bytes[..self.size])),
            Message::Long(bytes) => Ok(read(&bytes)),
        }
    }
}
