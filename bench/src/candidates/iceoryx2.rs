//! iceoryx2: publish-subscribe in both directions, set up as its own benchmark is, and beside it
//! its events, which are its way to sleep.

use super::End;
use super::shared::wait_for;
use crate::task::{Place, Side, Work};
use anyhow::{Context, Result, anyhow};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use std::cell::OnceCell;
use std::fmt::Debug;
use std::hint::spin_loop;

type Service = ipc::Service;

thread_local! {
    /// One for each process, as its documentation has it.
    static NODE: OnceCell<Node<Service>> = const { OnceCell::new() };
}

pub(super) fn no<E: Debug>(error: E) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// The ports of one end.
pub(super) struct Ports {
    publisher: Publisher<Service, [u8], ()>,
    subscriber: Subscriber<Service, [u8], ()>,
    bell: Option<(Notifier<Service>, Listener<Service>)>,
}

fn node(place: &Place) -> Result<Node<Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    let root = place.dir.join("iceoryx2");
    let root = root.to_str().context("a path of plain characters")?;
    config.global.set_root_path(&Path::new(root.as_bytes()).map_err(no)?);
    config.global.prefix = FileName::new(format!("{}_", place.tag).as_bytes()).map_err(no)?;
    let builder = NodeBuilder::new().signal_handling_mode(SignalHandlingMode::Disabled);
    builder.config(&config).create::<Service>().map_err(no)
}

impl Ports {
    pub(super) fn open(place: &Place, side: Side, sleeps: bool) -> Result<Ports> {
        NODE.with(|cell| {
            if cell.get().is_none() {
                let _ = cell.set(node(place)?);
            }
            let node = cell.get().context("just made")?;
            Ports::meet(node, place, side, sleeps)
        })
    }

    fn meet(node: &Node<Service>, place: &Place, side: Side, sleeps: bool) -> Result<Ports> {
        // In a round trip a queue of one is what its own benchmark has, and the fastest.
        let depth = if place.work == Work::Stream { place.depth(256) } else { 2 };
        let service = |way: &str| {
            let name = ServiceName::new(&format!("{}-{way}", place.name())).map_err(no)?;
            node.service_builder(&name)
                .publish_subscribe::<[u8]>()
                .max_publishers(1)
                .max_subscribers(1)
                .max_nodes(2)
                .history_size(0)
                .subscriber_max_buffer_size(depth)
                .enable_safe_overflow(false)
                .open_or_create()
                .map_err(no)
        };
        let event = |way: &str| {
            let name = ServiceName::new(&format!("{}-{way}", place.name())).map_err(no)?;
            let builder = node.service_builder(&name).event();
            let builder = builder.max_notifiers(1).max_listeners(1).max_nodes(2);
            builder.open_or_create().map_err(no)
        };
        let (out, inn) = if side == Side::A { ("ab", "ba") } else { ("ba", "ab") };
        let (sending, receiving) = (service(out)?, service(inn)?);
        let publisher = sending.publisher_builder().initial_max_slice_len(place.size);
        let publisher = publisher.backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
        let publisher = publisher.create().map_err(no)?;
        let subscriber = receiving.subscriber_builder().create().map_err(no)?;
        let mut bell = None;
        if sleeps {
            let (ring, hear) = (event(out)?, event(inn)?);
            let notifier = ring.notifier_builder().create().map_err(no)?;
            let listener = hear.listener_builder().create().map_err(no)?;
            while ring.dynamic_config().number_of_listeners() == 0
                || hear.dynamic_config().number_of_notifiers() == 0
            {
                std::thread::yield_now();
            }
            bell = Some((notifier, listener));
        }
        // What is published before the other end is there is gone.
        while sending.dynamic_config().number_of_subscribers() == 0
            || receiving.dynamic_config().number_of_publishers() == 0
        {
            std::thread::yield_now();
        }
        // Even then, what is published before the other end has looked is gone.
        let looked = |side| place.path(if side == Side::A { "looked-a" } else { "looked-b" });
        for other in [Side::A, Side::B] {
            subscriber.has_samples().map_err(no)?;
            publisher.update_connections().map_err(no)?;
            if other == side {
                std::fs::write(looked(side), "")?;
            } else {
                wait_for(&looked(other))?;
            }
        }
        subscriber.has_samples().map_err(no)?;
        Ok(Ports { publisher, subscriber, bell })
    }

    fn ring(&self) -> Result<()> {
        if let Some((notifier, _)) = &self.bell {
            notifier.notify().map_err(no)?;
        }
        Ok(())
    }

    fn copy(&self, bytes: &[u8]) -> Result<()> {
        let sample = self.publisher.loan_slice_uninit(bytes.len()).map_err(no)?;
        sample.write_from_slice(bytes).send().map_err(no)?;
        self.ring()
    }

    pub(super) fn listener(&self) -> Option<&Listener<Service>> {
        self.bell.as_ref().map(|(_, listener)| listener)
    }

    pub(super) fn send(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let mut sample = self.publisher.loan_slice_uninit(len).map_err(no)?;
        let room = sample.payload_mut();
        // SAFETY: bytes that nobody else has; whatever they hold, they are bytes of a mapping.
        let room = unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), room.len()) };
        fill(room);
        // SAFETY: `fill` has written all of them.
        let sample = unsafe { sample.assume_init() };
        sample.send().map_err(no)?;
        self.ring()
    }

    /// A message if there is one.
    pub(super) fn take<R>(&self, read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        Ok(self.subscriber.receive().map_err(no)?.map(|sample| read(sample.payload())))
    }

    #[inline]
    pub(super) fn recv<R>(&self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            if let Some(sample) = self.subscriber.receive().map_err(no)? {
                return Ok(read(sample.payload()));
            }
            match &self.bell {
                None => spin_loop(),
                Some((_, listener)) => {
                    listener.blocking_wait(|_| ()).map_err(no)?;
                }
            }
        }
    }
}

const fn does(work: Work, sleeps: bool) -> bool {
    match work {
        Work::Roundtrip | Work::Stream => true,
        Work::Open => !sleeps,
        Work::Parked | Work::Idle | Work::Memory => sleeps,
        Work::Wake => false,
    }
}

/// Own buffers on both sides.
pub(crate) struct Copying<const SLEEPS: bool> {
    ports: Ports,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl<const SLEEPS: bool> End for Copying<SLEEPS> {
    const HOW: &'static str = if SLEEPS {
        "as iceoryx2-copy; after each message Notifier::notify, Listener::blocking_wait when there \
         is none"
    } else {
        "ipc::Service, [u8], loan_slice_uninit + write_from_slice, copied out of the sample; one \
         publisher, one subscriber, no history, no overflow, RetryUntilDelivered; queue of 2 \
         (stream: 1 MiB, at most 256); busy polling, as its benchmark"
    };

    fn does(work: Work, _size: usize) -> bool {
        does(work, SLEEPS)
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let ports = Ports::open(place, side, SLEEPS)?;
        Ok(Copying { ports, outgoing: vec![0; place.size], incoming: vec![0; place.size] })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.ports.copy(&self.outgoing[..len])
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let incoming = &mut self.incoming;
        self.ports.recv(|bytes| incoming[..bytes.len()].copy_from_slice(bytes))?;
        Ok(read(&self.incoming))
    }
}

/// Written and read where it lies.
pub(crate) struct Lending<const SLEEPS: bool> {
    ports: Ports,
}

impl<const SLEEPS: bool> End for Lending<SLEEPS> {
    const HOW: &'static str = if SLEEPS {
        "as iceoryx2-loan; with Notifier and Listener"
    } else {
        "as iceoryx2-copy, but written in the loan and read in the sample; busy polling"
    };

    fn does(work: Work, _size: usize) -> bool {
        matches!(work, Work::Roundtrip | Work::Stream | Work::Parked) && does(work, SLEEPS)
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        Ok(Lending { ports: Ports::open(place, side, SLEEPS)? })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        self.ports.send(len, fill)
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.ports.recv(read)
    }
}
