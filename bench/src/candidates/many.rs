//! Waiting on many channels: each candidate's own way.

use super::iceoryx2::{Ports, no};
use super::libraries::meet;
use super::sockets::connection;
use super::twocan::{ADAPTIVE, open};
use crate::task::{Place, Side};
use anyhow::{Context, Result, anyhow};
use iceoryx2::prelude::{CallbackProgression, WaitSet, WaitSetAttachmentId, WaitSetBuilder, ipc};
use ipc_channel::ipc::{IpcReceiver, IpcReceiverSet, IpcSender, channel};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use twocan::{Channel, Receiver, Sender, Until, Waitable, wait_any};

/// One end of many connections. A message is a time stamp.
pub(crate) trait Many: Sized {
    const HOW: &'static str;

    fn open(place: &Place, side: Side, channels: usize) -> Result<Self>;
    fn send(&mut self, at: usize, stamp: u64) -> Result<()>;
    /// Waits for what comes back on this one.
    fn answer(&mut self, at: usize) -> Result<u64>;
    /// Waits on all: which one, and its message.
    fn wait(&mut self) -> Result<(usize, u64)>;
    fn reply(&mut self, at: usize, value: u64) -> Result<()> {
        self.send(at, value)
    }
}

/// Something to do with one of them.
pub(crate) trait VisitMany {
    type Out;
    fn visit<M: Many>(self) -> Self::Out;
}

macro_rules! table {
    ($($id:literal => $end:ty,)*) => {
        /// Who can wait on many, and how.
        pub(crate) const WAITERS: &[(&str, &str)] = &[$(($id, <$end>::HOW)),*];

        /// Calls `visit` with the type; `None` if it cannot wait on many.
        pub(crate) fn with_many<V: VisitMany>(id: &str, visit: V) -> Option<V::Out> {
            match id {
                $($id => Some(visit.visit::<$end>()),)*
                _ => None,
            }
        }
    };
}

table! {
    "twocan" => Twocan,
    "socket" => Epoll,
    "iceoryx2-wait-copy" => WaitSets,
    "ipc-channel" => ReceiverSet,
}

/// Many channels need many descriptors.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

struct Twocan {
    tx: Vec<Sender>,
    rx: Vec<Receiver>,
}

impl Many for Twocan {
    const HOW: &'static str = "wait_any over Receivers, then try_recv; rings of 4 KiB";

    fn open(place: &Place, _side: Side, channels: usize) -> Result<Self> {
        more_descriptors();
        let ends: Result<Vec<Channel>> =
            (0..channels).map(|i| open(&place.nth(i), ADAPTIVE)).collect();
        let ends = ends?;
        for end in &ends {
            end.wait_peer(Duration::from_secs(20))?;
        }
        let (tx, rx) = ends.into_iter().map(Channel::into_split).unzip();
        Ok(Twocan { tx, rx })
    }

    fn send(&mut self, at: usize, stamp: u64) -> Result<()> {
        self.tx[at].send(stamp.to_ne_bytes())?;
        Ok(())
    }

    fn answer(&mut self, at: usize) -> Result<u64> {
        word(&self.rx[at].recv()?)
    }

    fn wait(&mut self) -> Result<(usize, u64)> {
        let all: Vec<&dyn Waitable> = self.rx.iter().map(|rx| rx as &dyn Waitable).collect();
        let at = wait_any(&all, Until::FOREVER)?.context("there is no limit")?;
        let value = word(&self.rx[at].try_recv()?)?;
        self.rx[at].ack();
        Ok((at, value))
    }
}

fn word(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_ne_bytes(bytes.try_into()?))
}

struct Epoll {
    epoll: OwnedFd,
    sockets: Vec<UnixStream>,
    events: Vec<epoll::Event>,
}

impl Many for Epoll {
    const HOW: &'static str = "one epoll set over stream sockets, then read";

    fn open(place: &Place, side: Side, channels: usize) -> Result<Self> {
        more_descriptors();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut sockets = Vec::new();
        for i in 0..channels {
            let socket = connection(&place.nth(i), side)?;
            let data = epoll::EventData::new_u64(i as u64);
            epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
            sockets.push(socket);
        }
        Ok(Epoll { epoll, sockets, events: Vec::with_capacity(1) })
    }

    fn send(&mut self, at: usize, stamp: u64) -> Result<()> {
        self.sockets[at].write_all(&stamp.to_ne_bytes())?;
        Ok(())
    }

    fn answer(&mut self, at: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        self.sockets[at].read_exact(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn wait(&mut self) -> Result<(usize, u64)> {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), None)?;
        let at = self.events.first().context("there is no limit")?.data.u64() as usize;
        Ok((at, self.answer(at)?))
    }
}

/// iceoryx2's events in its wait set, and messages beside them.
struct WaitSets {
    ports: &'static [Ports],
    set: Option<&'static WaitSet<ipc::Service>>,
    which: HashMap<WaitSetAttachmentId<ipc::Service>, usize>,
}

impl Many for WaitSets {
    const HOW: &'static str = "a WaitSet over Listeners, then receive";

    fn open(place: &Place, side: Side, channels: usize) -> Result<Self> {
        more_descriptors();
        let ports: Result<Vec<Ports>> =
            (0..channels).map(|i| Ports::open(&place.nth(i), side, true)).collect();
        // For the life of the process: the set's guards borrow both.
        let ports: &'static [Ports] = Vec::leak(ports?);
        let mut which = HashMap::new();
        let mut waits = None;
        if side == Side::B {
            let set = WaitSetBuilder::new().create::<ipc::Service>().map_err(no)?;
            let set: &'static WaitSet<ipc::Service> = Box::leak(Box::new(set));
            for (i, ports) in ports.iter().enumerate() {
                let listener = ports.listener().context("it sleeps")?;
                let guard = Box::leak(Box::new(set.attach_notification(listener).map_err(no)?));
                which.insert(WaitSetAttachmentId::from_guard(guard), i);
            }
            waits = Some(set);
        }
        Ok(WaitSets { ports, set: waits, which })
    }

    fn send(&mut self, at: usize, stamp: u64) -> Result<()> {
        self.ports[at].send(8, |bytes| bytes.copy_from_slice(&stamp.to_ne_bytes()))
    }

    fn answer(&mut self, at: usize) -> Result<u64> {
        self.ports[at].recv(word)?
    }

    fn wait(&mut self) -> Result<(usize, u64)> {
        let set = self.set.context("side B waits")?;
        loop {
            let mut rung = None;
            let found = set.wait_and_process_once(|id| {
                rung = self.which.get(&id).copied();
                CallbackProgression::Stop
            });
            found.map_err(no)?;
            let Some(at) = rung else { continue };
            let listener = self.ports[at].listener().context("it sleeps")?;
            listener.try_wait(|_| ()).map_err(no)?;
            if let Some(value) = self.ports[at].take(word)? {
                return Ok((at, value?));
            }
        }
    }
}

/// ipc-channel's own set.
struct ReceiverSet {
    tx: Vec<IpcSender<u64>>,
    /// Side A's; those of side B are in the set.
    rx: Vec<IpcReceiver<u64>>,
    set: IpcReceiverSet,
    which: HashMap<u64, usize>,
}

impl Many for ReceiverSet {
    const HOW: &'static str = "IpcReceiverSet::select, messages of u64";

    fn open(place: &Place, side: Side, channels: usize) -> Result<Self> {
        more_descriptors();
        let set = IpcReceiverSet::new()?;
        let mut this = ReceiverSet { tx: Vec::new(), rx: Vec::new(), set, which: HashMap::new() };
        for i in 0..channels {
            let (tx, rx) = meet(&place.nth(i), side, channel::<u64>)?;
            this.tx.push(tx);
            if side == Side::A {
                this.rx.push(rx);
            } else {
                this.which.insert(this.set.add(rx)?, i);
            }
        }
        Ok(this)
    }

    fn send(&mut self, at: usize, stamp: u64) -> Result<()> {
        self.tx[at].send(stamp).map_err(|e| anyhow!("{e:?}"))
    }

    fn answer(&mut self, at: usize) -> Result<u64> {
        self.rx[at].recv().map_err(|e| anyhow!("{e:?}"))
    }

    fn wait(&mut self) -> Result<(usize, u64)> {
        let result = self.set.select()?.pop().context("there is no limit")?;
        let (id, message) = result.unwrap();
        let at = *self.which.get(&id).context("a channel of ours")?;
        Ok((at, message.to().map_err(|e| anyhow!("{e:?}"))?))
    }
}
