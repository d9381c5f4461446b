//! One place where a thread sleeps on many descriptors.

use super::fd::Fd;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// Token of the poller's own wake-up.
const POKE: u64 = u64::MAX;
/// Events that one call of the system brings.
const AT_ONCE: usize = 256;
/// Calls of the system in one `wait`, should events come as fast as they are fetched.
const MAX_CALLS: usize = 64;

/// An epoll set with a wake-up of its own. Edge-triggered: whoever is told looks at everything.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Fd,
    poke: Poke,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = Fd::make(|| epoll::create(epoll::CreateFlags::CLOEXEC))?;
        let poller = Poller { epoll, poke: Poke::new()? };
        poller.add(poller.poke.fd(), POKE)?;
        Ok(poller)
    }

    /// Reports `token` whenever something happens on `fd`, until `fd` is closed.
    pub(crate) fn add(&self, fd: &Fd, token: u64) -> io::Result<()> {
        let events = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), events)?)
    }

    /// Reports nothing more of `fd`.
    pub(crate) fn remove(&self, fd: &Fd) {
        // Refused only for what is not in the set.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Makes `wait` return.
    pub(crate) fn poke(&self) {
        self.poke.poke();
    }

    /// Waits for events or the deadline (`None` = never); appends the tokens of all that has
    /// happened.
    pub(crate) fn wait(&self, deadline: Option<Instant>, tokens: &mut Vec<u64>) -> io::Result<()> {
        let mut timeout = deadline.map(|t| {
            // A millisecond more than asked for is late, one less would be a loop.
            let left = t.saturating_duration_since(Instant::now()).min(Duration::from_secs(3600));
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        for _ in 0..MAX_CALLS {
            let mut space = [MaybeUninit::<epoll::Event>::uninit(); AT_ONCE];
            let events = match epoll::wait(&self.epoll, &mut space, timeout.as_ref()) {
                Ok((events, _)) => events,
                Err(Errno::INTR) => break,
                Err(e) => return Err(e.into()),
            };
            for event in events.iter() {
                match event.data.u64() {
                    POKE => self.poke.settle(),
                    token => tokens.push(token),
                }
            }
            if events.len() < AT_ONCE {
                break;
            }
            timeout = Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        Ok(())
    }
}

/// A wake-up for whoever polls it.
#[derive(Debug)]
pub(crate) struct Poke(Fd);

impl Poke {
    pub(crate) fn new() -> io::Result<Poke> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Poke(Fd::make(|| eventfd(0, flags))?))
    }

    /// Polls readable from now on. Async-signal-safe; nothing in a forked child.
    pub(crate) fn poke(&self) {
        if !self.0.is_forked() {
            // Full means poked already.
            let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        }
    }

    fn settle(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0
    }
}
