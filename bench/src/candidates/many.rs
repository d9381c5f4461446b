//! Waiting on many channels: each candidate's own way.

use super::sockets::connection;
use super::twocan::{ADAPTIVE, open};
use crate::task::{Place, Side};
use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
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
            (0..channels).map(|i| open(&place.nth(i), ADAPTIVE, false)).collect();
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
