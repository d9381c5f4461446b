//! One place where a thread sleeps on many descriptors.

use super::fd::Fd;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// Token of the poller's own wake-up.
const POKE: u64 = u64::MAX;

/// An epoll set with a wake-up of its own. Edge-triggered: whoever is told looks at everything.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Fd,
    poke: Fd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = Fd::make(|| epoll::create(epoll::CreateFlags::CLOEXEC))?;
        let poke = Fd::make(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))?;
        let poller = Poller { epoll, poke };
        poller.add(&poller.poke, POKE)?;
        Ok(poller)
    }

    /// Reports `token` whenever something happens on `fd`, until `fd` is closed.
    pub(crate) fn add(&self, fd: &Fd, token: u64) -> io::Result<()> {
        let events = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), events)?)
    }

    /// Makes `wait` return.
    pub(crate) fn poke(&self) {
        // Full means poked already.
        let _ = rustix::io::write(&self.poke, &1u64.to_ne_bytes());
    }

    /// Waits for events or the deadline (`None` = never); appends the tokens.
    pub(crate) fn wait(&self, deadline: Option<Instant>, tokens: &mut Vec<u64>) -> io::Result<()> {
        let timeout = deadline.map(|t| {
            // A millisecond more than asked for is late, one less would be a loop.
            let left = t.saturating_duration_since(Instant::now()).min(Duration::from_secs(3600));
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 64];
        let events = match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        for event in events.iter() {
            let token = event.data.u64();
            if token == POKE {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(&self.poke, &mut count);
            } else {
                tokens.push(token);
            }
        }
        Ok(())
    }
}
