//! An end of a 1:1 two-way channel.

mod bytes;
mod conditions;
mod delivery;
mod loan;
mod long;
mod message;
mod options;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

pub use bytes::{ByteReader, ByteWriter};
pub use conditions::{Acknowledged, PeerChange, Room};
pub use delivery::Delivery;
pub use loan::Loan;
pub use message::{Incoming, Message, Seq};
pub use options::{ChannelOptions, Invitation};
pub use receiver::Receiver;
pub use sender::Sender;

pub use crate::direction::Direction;
use crate::session::Owner;
pub use crate::spin::Spin;
use crate::{CloseError, Error, PeerInfo, RecvError, Result, SendError, Until};
use std::time::Duration;

/// In the place of a position, on the ways on which each store counts: no record begins here, and
/// none of one line is so long.
const NOWHERE: u64 = u64::MAX;

/// One end of a channel between two processes (or two ends in one process).
///
/// Messages are bytes, whole and in order. What [`send`](Channel::send) accepted belongs to the
/// channel: it reaches the application of the other seat even if processes are killed one after the
/// other, as long as one attached end lives. Dropping an end says goodbye and waits for nothing;
/// [`close`](Channel::close) waits until everything was taken.
///
/// # Examples
/// ```
/// use twocan::Channel;
///
/// let (mut here, mut there) = Channel::pair()?;
/// here.send("hello")?;
/// let message = there.recv()?;
/// assert_eq!(message.to_str()?, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Channel {
    // Dropped in this order: the last message is acknowledged before the goodbye.
    rx: Receiver,
    tx: Sender,
}

impl Channel {
    /// Opens one end of the channel `name`; either side may come first. Does not wait for the other
    /// side.
    ///
    /// # Errors
    /// `InvalidName`; `InUse` if two ends live already (told after up to a second, in which a dying
    /// holder may go); `Incompatible` if the other end's label, limits, direction or layout do not
    /// fit; `ForeignOwner`, `NoSpace`.
    #[doc(alias = "connect")]
    #[doc(alias = "bind")]
    #[doc(alias = "listen")]
    #[doc(alias = "join")]
    pub fn open(name: &str) -> Result<Channel> {
        ChannelOptions::new().open(name)
    }

    /// Options: nick, label, direction, limits, waiting.
    pub fn options() -> ChannelOptions {
        ChannelOptions::new()
    }

    /// Both ends in this process, without a name. For tests and threads.
    ///
    /// # Errors
    /// Those of the system: out of memory, descriptors or threads.
    pub fn pair() -> Result<(Channel, Channel)> {
        ChannelOptions::new().pair()
    }

    /// One end here, and an invitation that hands the other to a child process.
    ///
    /// # Errors
    /// As [`pair`](Channel::pair).
    pub fn invite() -> Result<(Channel, Invitation)> {
        ChannelOptions::new().invite()
    }

    /// The end that the process that started this one has [`attach`](Invitation::attach)ed. Once
    /// only.
    ///
    /// # Errors
    /// `NotFound` if this process was not invited.
    pub fn invited() -> Result<Channel> {
        ChannelOptions::new().invited()
    }

    pub(crate) fn from_owner(owner: Owner, spin: Spin) -> Channel {
        Channel { rx: Receiver::new(owner.clone(), spin), tx: Sender::new(owner, spin) }
    }

    /// Sends one message and waits for room if there is none. `Ok` means: in memory, will be
    /// delivered while one end lives. For a message longer than [`Sender::max_loan`]: the other
    /// side's application has taken it.
    ///
    /// Before it waits it acknowledges what `recv` has handed out.
    ///
    /// # Errors
    /// See [`SendError`]. A departed peer is reported only if the call would have to wait, once.
    pub fn send(&mut self, message: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        self.send_until(message, Until::FOREVER)
    }

    /// Sends if there is room now. A message longer than [`Sender::max_loan`] is `TooLarge` here.
    ///
    /// # Errors
    /// `Full`, and those of [`send`](Channel::send).
    pub fn try_send(&mut self, message: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        self.tx.try_send(message)
    }

    /// As [`send`](Channel::send), waiting at most `time`.
    ///
    /// # Errors
    /// `TimedOut`, `OutcomeUnknown`, and those of [`send`](Channel::send).
    pub fn send_timeout(
        &mut self,
        message: impl AsRef<[u8]>,
        time: Duration,
    ) -> Result<Seq, SendError> {
        self.send_until(message, time)
    }

    /// As [`send`](Channel::send), with a deadline, a cancellation, or both.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `OutcomeUnknown`, and those of [`send`](Channel::send).
    pub fn send_until<'c>(
        &mut self,
        message: impl AsRef<[u8]>,
        until: impl Into<Until<'c>>,
    ) -> Result<Seq, SendError> {
        let message = message.as_ref();
        if let Some(seq) = self.tx.quick(message) {
            return Ok(seq);
        }
        self.send_slowly(message, until.into())
    }

    #[inline(never)]
    fn send_slowly(&mut self, message: &[u8], until: Until<'_>) -> Result<Seq, SendError> {
        if message.len() <= self.tx.max_loan() {
            match self.tx.try_send(message) {
                Err(SendError::Full) => {}
                done => return done,
            }
        }
        // Two ends with one thread each, both in `send`: each waits for what the other still has in
        // hand.
        if !cfg!(twocan_mutant = "no-ack-before-send-waits") {
            self.rx.ack();
        }
        self.tx.send_until(message, until)
    }

    /// The next message; waits for it, and for a peer if there is none. Acknowledges the one
    /// before.
    ///
    /// # Errors
    /// See [`RecvError`]. A departed peer is reported once, after its last message; the next call
    /// waits for the next peer.
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        self.rx.recv()
    }

    /// The next message if it is there now.
    ///
    /// # Errors
    /// `Empty`, and those of [`recv`](Channel::recv).
    pub fn try_recv(&mut self) -> Result<Message, RecvError> {
        self.rx.try_recv()
    }

    /// As [`recv`](Channel::recv), waiting at most `time`.
    ///
    /// # Errors
    /// `TimedOut`, and those of [`recv`](Channel::recv).
    pub fn recv_timeout(&mut self, time: Duration) -> Result<Message, RecvError> {
        self.rx.recv_timeout(time)
    }

    /// As [`recv`](Channel::recv), with a deadline, a cancellation, or both.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, and those of [`recv`](Channel::recv).
    pub fn recv_until<'c>(&mut self, until: impl Into<Until<'c>>) -> Result<Message, RecvError> {
        self.rx.recv_until(until)
    }

    /// The next message or event, in order. See [`Receiver::recv_incoming`].
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`, `PeerMisbehaved`; never a departure.
    pub fn recv_incoming<'c>(
        &mut self,
        until: impl Into<Until<'c>>,
    ) -> Result<Incoming, RecvError> {
        self.rx.recv_incoming(until)
    }

    /// The sending half.
    pub fn sender(&mut self) -> &mut Sender {
        &mut self.tx
    }

    /// The receiving half.
    pub fn receiver(&mut self) -> &mut Receiver {
        &mut self.rx
    }

    /// Both halves, borrowed: so that a [`Delivery`] can be held while sending. Split halves do not
    /// acknowledge for each other: before a long wait in `send`, call [`Receiver::ack`].
    pub fn split(&mut self) -> (&mut Sender, &mut Receiver) {
        (&mut self.tx, &mut self.rx)
    }

    /// Both halves, for two threads. The goodbye is said when the last of them goes.
    pub fn into_split(self) -> (Sender, Receiver) {
        let Channel { mut rx, mut tx } = self;
        tx.detach();
        rx.detach();
        (tx, rx)
    }

    /// The name it was opened under; `None` for pairs and invitations.
    pub fn name(&self) -> Option<&str> {
        self.tx.owner().name.as_deref()
    }

    /// Would somebody who opens the name now find this end? No, for pairs and invitations, or if
    /// somebody has removed the files that stand for its seat (a logout may sweep `/dev/shm`): the
    /// two go on talking, and the end makes the files again unless its place was taken meanwhile.
    pub fn is_findable(&self) -> bool {
        self.tx.owner().is_findable()
    }

    /// Who is at the other end now.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.tx.peer()
    }

    /// Waits until somebody is at the other end.
    ///
    /// # Errors
    /// `TimedOut`, `Cancelled`; `PeerClosed` if nobody can come any more (a pair or an invitation).
    pub fn wait_peer<'c>(&self, until: impl Into<Until<'c>>) -> Result<PeerInfo> {
        let until = until.into();
        if self.tx.owner().is_forked() {
            return Err(crate::error::forked());
        }
        loop {
            let change = self.tx.peer_change();
            if let Some(peer) = self.peer() {
                return Ok(peer);
            }
            if self.tx.owner().tx_view().1.alone_for_ever {
                return Err(SendError::PeerClosed.into());
            }
            if crate::wait_any(&[&change], until)?.is_none() {
                return Err(Error::new(
                    crate::ErrorKind::TimedOut,
                    "nobody came to the other end in time",
                ));
            }
        }
    }

    /// Says goodbye after the other side's application has taken everything that was sent, however
    /// long that takes and however many peers come and go meanwhile.
    ///
    /// # Errors
    /// [`CloseError`] with the number of messages that were not taken, if that can never happen.
    pub fn close(self) -> Result<(), CloseError> {
        self.close_until(Until::FOREVER)
    }

    /// As [`close`](Channel::close), waiting only so long.
    ///
    /// # Errors
    /// As [`close`](Channel::close), also when the time is up or the call was cancelled.
    pub fn close_until<'c>(mut self, until: impl Into<Until<'c>>) -> Result<(), CloseError> {
        self.rx.ack();
        self.tx
            .wait_taken(until.into())
            .map_err(|reason| CloseError { unacknowledged: self.tx.unacknowledged(), reason })
    }
}
