//! What the system and C++ offer as queues and counters: POSIX message queues, eventfd, and
//! Boost.Interprocess.

use super::End;
use super::shared::wait_for;
use super::sockets::connection;
use crate::task::{Place, Side, Work};
use anyhow::{Context, Result, bail, ensure};
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_close, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// A queue in each direction.
pub(crate) struct Posix {
    /// What it writes, what it reads.
    queues: Vec<MqdT>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    size: usize,
}

fn queue_name(place: &Place, way: &str) -> String {
    format!("/{}-{way}", place.name())
}

/// As long a queue as the system allows, down to two messages.
fn make(name: &str, size: usize) -> Result<MqdT> {
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
    let mut last = None;
    for depth in [256, 64, 10, 4, 2] {
        let attributes = MqAttr::new(0, depth, size as i64, 0);
        match mq_open(name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attributes)) {
            Ok(queue) => return Ok(queue),
            Err(e) => last = Some(e),
        }
    }
    let most = std::fs::read_to_string("/proc/sys/fs/mqueue/msgsize_max").unwrap_or_default();
    bail!(
        "mq_open refuses even two messages of {size} bytes ({last:?}); the system allows {} bytes",
        most.trim()
    );
}

impl End for Posix {
    const HOW: &'static str = "mq_send, mq_receive, blocking; a queue of 256, or as many as the \
        system allows";

    fn does(work: Work, size: usize) -> bool {
        !matches!(work, Work::Wake | Work::Memory) && size <= 64 << 10
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let ways = if side == Side::A { ["ab", "ba"] } else { ["ba", "ab"] };
        let ready = place.path("mq");
        let queues = if side == Side::A {
            let queues = ways.map(|way| make(&queue_name(place, way), place.size));
            std::fs::write(&ready, "")?;
            queues
        } else {
            wait_for(&ready)?;
            ways.map(|way| {
                let name = queue_name(place, way);
                Ok(mq_open(name.as_str(), MQ_OFlag::O_RDWR, Mode::empty(), None)?)
            })
        };
        if side == Side::B {
            // Both have them; nothing is left behind whoever is killed.
            ways.iter().for_each(|way| _ = mq_unlink(queue_name(place, way).as_str()));
        }
        let queues = queues.into_iter().collect::<Result<_>>()?;
        let (outgoing, incoming) = (vec![0; place.size], vec![0; place.size]);
        Ok(Posix { queues, outgoing, incoming, size: place.size })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        mq_send(&self.queues[0], &self.outgoing[..len], 0)?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let len = mq_receive(&self.queues[1], &mut self.incoming, &mut 0)?;
        ensure!(len == self.size, "{len} bytes came");
        Ok(read(&self.incoming))
    }

    fn clean(place: &Place) {
        for way in ["ab", "ba"] {
            let _ = mq_unlink(queue_name(place, way).as_str());
        }
    }
}

impl Drop for Posix {
    fn drop(&mut self) {
        self.queues.drain(..).for_each(|queue| _ = mq_close(queue));
    }
}

/// A counter in each direction: 8 bytes, whatever the message.
pub(crate) struct Eventfd {
    out: OwnedFd,
    inn: OwnedFd,
}

/// Hands two descriptors over a socket.
fn hand_over(place: &Place, fds: [&OwnedFd; 2]) -> Result<()> {
    let socket = connection(place, Side::A)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fds.map(|fd| fd.as_fd());
    ensure!(control.push(SendAncillaryMessage::ScmRights(&fds)), "room for two");
    sendmsg(&socket, &[IoSlice::new(&[1])], &mut control, SendFlags::empty())?;
    Ok(())
}

fn taken_over(place: &Place) -> Result<[OwnedFd; 2]> {
    let socket = connection(place, Side::B)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let bytes = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(&socket, bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    fds.try_into().ok().context("two descriptors")
}

impl End for Eventfd {
    const HOW: &'static str = "write to one counter, read the other; carries 8 bytes";
    const CARRIES: Option<usize> = Some(8);

    fn does(work: Work, size: usize) -> bool {
        match work {
            Work::Roundtrip => size == 8,
            Work::Parked | Work::Idle => true,
            _ => false,
        }
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        if side == Side::A {
            let out = eventfd(0, EventfdFlags::CLOEXEC)?;
            let inn = eventfd(0, EventfdFlags::CLOEXEC)?;
            hand_over(place, [&out, &inn])?;
            return Ok(Eventfd { out, inn });
        }
        let [inn, out] = taken_over(place)?;
        Ok(Eventfd { out, inn })
    }

    #[inline]
    fn send(&mut self, _len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut word = [0; 8];
        fill(&mut word);
        rustix::io::write(&self.out, &word)?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut word = [0; 8];
        rustix::io::read(&self.inn, &mut word)?;
        Ok(read(&word))
    }
}
