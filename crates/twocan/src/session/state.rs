//! What an end knows: its session, the two lists of regions, and who waits at its door. No system
//! calls here.

use super::Half;
use super::open::Wanted;
use super::seat::Seat;
use super::wire::{Hello, Listed, MAX_REGIONS};
use crate::error::Violation;
use crate::peer::PeerInfo;
use crate::region::{PeerRegion, Shape};
use crate::ring::{Consumer, Memory, expand};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::closer::Shy;
use crate::sys::socket::{Connection, Process};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// How a peer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departed {
    Closed,
    Died,
    Misbehaved(Violation),
}

/// The doorbells of one session.
#[derive(Debug)]
pub(crate) struct Bells {
    /// Poll readable when the peer rings this end's receiver, sender.
    own: [Arc<Shy>; 2],
    peers_receiver: Shy,
    peers_sender: Shy,
}

impl Bells {
    pub(crate) fn new(own: [Shy; 2], peers_receiver: Shy, peers_sender: Shy) -> Bells {
        Bells { own: own.map(Arc::new), peers_receiver, peers_sender }
    }

    /// Where the peer rings for one half of this end.
    pub(crate) fn own(&self, sleeper: Half) -> &Arc<Shy> {
        let [receiver, sender] = &self.own;
        match sleeper {
            Half::Receiver => receiver,
            Half::Sender => sender,
        }
    }

    /// Rings for one half of the peer.
    pub(crate) fn ring(&self, sleeper: Half) {
        crate::sys::socket::ring(match sleeper {
            Half::Receiver => &self.peers_receiver,
            Half::Sender => &self.peers_sender,
        });
    }
}

/// The session with a live peer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Line,
    pub(crate) process: Process,
    pub(crate) region: Arc<PeerRegion>,
    pub(crate) info: PeerInfo,
    pub(crate) bells: Bells,
    /// Position in the own region from which this peer reads.
    pub(crate) starts_at: u64,
}

/// A region of the other seat. The first in the inbox is being read.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) generation: u32,
    pub(crate) region: Arc<PeerRegion>,
    /// Acknowledged up to here. Advanced by the receiving half.
    pub(crate) read: Arc<AtomicU64>,
    /// The peer that wrote it, if this end was attached to it; `None` for regions handed on already
    /// dead.
    pub(crate) met: Option<PeerInfo>,
    /// Its owner is gone. Always so for regions handed on.
    pub(crate) gone: Option<Departed>,
}

/// A dead predecessor's region that the other seat has not read to its end.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) generation: u32,
    pub(crate) region: Arc<PeerRegion>,
    /// Known to be acknowledged up to here.
    pub(crate) position: u64,
}

/// A connection to the earlier end that has not brought WELCOME yet.
#[derive(Debug)]
pub(crate) struct Connecting {
    pub(crate) connection: Line,
    pub(crate) process: Process,
    pub(crate) said_hello: bool,
    /// The region id of the end that was meant: connecting again is for this one only.
    pub(crate) whom: Option<u64>,
    /// HELLO carries our own pidfd.
    pub(crate) introduce: bool,
    /// Our sides of the doorbells whose other sides went with HELLO.
    pub(crate) bells: Option<[Shy; 2]>,
}

impl Connecting {
    pub(crate) fn new(
        connection: Connection,
        process: Process,
        whom: Option<u64>,
        introduce: bool,
    ) -> Connecting {
        Connecting {
            connection: Line(connection),
            process,
            said_hello: false,
            whom,
            introduce,
            bells: None,
        }
    }
}

/// The connection of this end. Given up, it is shut down at once: the close that follows elsewhere
/// may come late, and whoever is at the other side shall not wait for it.
#[derive(Debug)]
pub(crate) struct Line(pub(crate) Connection);

impl std::ops::Deref for Line {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.0.is_forked() {
            self.0.shutdown();
        }
    }
}

/// Somebody who connected to our seat.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) connection: Line,
    pub(crate) process: Process,
    pub(crate) hello: Option<(Hello, Vec<Shy>)>,
    pub(crate) since: Instant,
}

impl Pending {
    pub(crate) fn new(connection: Connection, process: Process) -> Pending {
        Pending { connection: Line(connection), process, hello: None, since: Instant::now() }
    }
}

/// Does this end take part in the asymmetric fence?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lean {
    No,
    /// A half asked; the process is not registered yet, or never can be.
    Asked,
    Yes,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) closed: bool,
    /// Without a name nobody can come after the first peer.
    pub(crate) nameless: bool,
    pub(crate) receives: bool,
    pub(crate) lean: Lean,
    /// The peer's regions must be allocated throughout.
    pub(crate) whole: bool,
    /// Touch the memory of regions when they come.
    pub(crate) prefault: bool,
    pub(crate) seat: Option<Seat>,
    pub(crate) connecting: Option<Connecting>,
    /// The earlier end's queue was full, or it cut us off: try again at this time, if it is still
    /// that end.
    pub(crate) again: Option<(Instant, u64)>,
    /// Descriptors ran out: accept and look again at this time.
    pub(crate) accept_again: Option<Instant>,
    /// The seat's files are gone and its name was locked: try again at this time.
    pub(crate) rebind_again: Option<Instant>,
    /// The seat's files are gone for good: somebody else has its place.
    pub(crate) seat_lost: bool,
    pub(crate) pending: Vec<Pending>,
    pub(crate) session: Option<Session>,
    pub(crate) inbox: VecDeque<Inbound>,
    pub(crate) outbox: Vec<Outbound>,
    /// The own region's place among the regions of its seat.
    pub(crate) generation: u32,
    /// The highest generation of the other seat that was seen or given out.
    pub(crate) other_generation: u32,
    /// Own records before this are acknowledged.
    pub(crate) acked: u64,
    /// Number of the last long message that a peer's application is known to have taken; 0 = none.
    pub(crate) taken: u64,
    /// Peers met so far.
    pub(crate) epoch: u64,
    pub(crate) departure: Option<(u64, Departed)>,
    /// Whose departure that was.
    pub(crate) departed: Option<PeerInfo>,
}

/// What the sending half knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct TxView {
    pub(crate) peer: Option<Arc<PeerRegion>>,
    pub(crate) generation: u32,
    pub(crate) epoch: u64,
    pub(crate) starts_at: u64,
    pub(crate) acked: u64,
    pub(crate) taken: u64,
    pub(crate) departure: Option<(u64, Departed)>,
    pub(crate) departed: Option<PeerInfo>,
    /// Nobody can come any more.
    pub(crate) alone_for_ever: bool,
    /// Regions of predecessors were still unread.
    pub(crate) predecessors: bool,
    /// This end takes part in the asymmetric fence.
    pub(crate) lean: bool,
}

/// The region that the receiving half reads.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) generation: u32,
    pub(crate) region: Arc<PeerRegion>,
    pub(crate) read: Arc<AtomicU64>,
    pub(crate) met: Option<PeerInfo>,
    pub(crate) gone: Option<Departed>,
}

/// What the receiving half knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct RxView {
    /// The regions to read, in order; at most four.
    pub(crate) inbox: Vec<Front>,
    /// The live peer's region; often the front's.
    pub(crate) live: Option<Arc<PeerRegion>>,
    pub(crate) departure: Option<(u64, Departed)>,
    pub(crate) alone_for_ever: bool,
    /// This end takes part in the asymmetric fence.
    pub(crate) lean: bool,
}

impl State {
    pub(crate) fn new(own: Shape, wanted: &Wanted) -> State {
        State {
            closed: false,
            nameless: false,
            receives: wanted.receives(),
            lean: Lean::No,
            whole: wanted.is_open_to_others() && !cfg!(twocan_mutant = "takes-sparse"),
            prefault: wanted.prefault,
            seat: None,
            connecting: None,
            again: None,
            accept_again: None,
            rebind_again: None,
            seat_lost: false,
            pending: Vec::new(),
            session: None,
            inbox: VecDeque::new(),
            outbox: Vec::new(),
            generation: 1,
            other_generation: 0,
            acked: own.start,
            taken: 0,
            epoch: 0,
            departure: None,
            departed: None,
        }
    }

    fn alone_for_ever(&self) -> bool {
        self.nameless
            && self.session.is_none()
            && self.connecting.is_none()
            && self.pending.is_empty()
    }

    pub(crate) fn tx_view(&self) -> TxView {
        TxView {
            peer: self.session.as_ref().map(|s| s.region.clone()),
            generation: self.generation,
            epoch: self.epoch,
            starts_at: self.session.as_ref().map_or(self.acked, |s| s.starts_at),
            acked: self.acked,
            taken: self.taken,
            departure: self.departure,
            departed: self.departed.clone(),
            alone_for_ever: self.alone_for_ever(),
            predecessors: !self.outbox.is_empty(),
            lean: self.lean == Lean::Yes,
        }
    }

    pub(crate) fn rx_view(&self) -> RxView {
        let front = |f: &Inbound| Front {
            generation: f.generation,
            region: f.region.clone(),
            read: f.read.clone(),
            met: f.met.clone(),
            gone: f.gone,
        };
        RxView {
            inbox: self.inbox.iter().map(front).collect(),
            live: self.session.as_ref().map(|s| s.region.clone()),
            departure: self.departure,
            alone_for_ever: self.alone_for_ever(),
            lean: self.lean == Lean::Yes,
        }
    }

    /// Is there a place for one more region of the other seat?
    pub(crate) fn has_place(&self) -> bool {
        self.inbox.len() < MAX_REGIONS
    }

    /// Takes a peer's acknowledgement into account. `head` is where the own region's records end.
    /// Knowledge only grows: an absent or older acknowledgement changes nothing.
    pub(crate) fn absorb(
        &mut self,
        ack: u64,
        taken: u64,
        head: u64,
        is_boundary: impl Fn(u64) -> bool,
    ) -> Result<(), Violation> {
        let (generation, lines) = ((ack >> 32) as u32, ack as u32);
        if generation > self.generation {
            return Err(Violation::BadAcknowledgement);
        }
        for out in &mut self.outbox {
            if out.generation == generation {
                let position = expand(out.position, lines);
                if position.wrapping_sub(out.position) <= out.region.shape().capacity {
                    out.position = position;
                }
            }
        }
        self.outbox.retain(|out| {
            let reader = Consumer::new(out.position, out.region.capacity());
            let unread = reader.ready(out.region.lines());
            out.generation >= generation && unread
        });
        if generation == self.generation || cfg!(twocan_mutant = "not-monotone") {
            let position = expand(self.acked, lines);
            let sent = position.wrapping_sub(self.acked) <= head.wrapping_sub(self.acked);
            if !sent || !is_boundary(position) {
                return Err(Violation::BadAcknowledgement);
            }
            self.acked = position;
            if taken != 0 && !cfg!(twocan_mutant = "forget-taken") {
                self.taken = taken;
            }
        }
        Ok(())
    }

    /// The inbox as a newcomer needs it: how far this end's application has read.
    pub(crate) fn inbox_list(&self) -> Vec<Listed> {
        let listed = |i: &Inbound| Listed {
            generation: i.generation,
            shape: i.region.shape(),
            // SYNC read-position: pairs with the receiving half's store before its acknowledgement.
            position: i.read.load(Ordering::Acquire),
        };
        self.inbox.iter().map(listed).collect()
    }

    pub(crate) fn outbox_list(&self, own: Shape) -> Vec<Listed> {
        let listed = |o: &Outbound| Listed {
            generation: o.generation,
            shape: o.region.shape(),
            position: o.position,
        };
        let own = Listed { generation: self.generation, shape: own, position: self.acked };
        self.outbox.iter().map(listed).chain([own]).collect()
    }

    /// A region of the other seat comes behind those already there.
    pub(crate) fn install(
        &mut self,
        generation: u32,
        region: Arc<PeerRegion>,
        position: u64,
        met: Option<PeerInfo>,
    ) {
        self.other_generation = self.other_generation.max(generation);
        if self.prefault {
            region.populate();
        }
        if self.receives {
            let gone = met.is_none().then_some(Departed::Died);
            let read = Arc::new(AtomicU64::new(position));
            let inbound = Inbound { generation, region, read, met, gone };
            if cfg!(twocan_mutant = "newcomer-first") {
                return self.inbox.push_front(inbound);
            }
            self.inbox.push_back(inbound);
        }
    }
}

#[cfg(test)]
mod tests;
