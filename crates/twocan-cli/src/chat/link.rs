//! The channel of a chat on two threads, one for each half, so that the loop that draws never waits
//! for it.

use super::Input;
use crate::exit::Failure;
use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use twocan::{
    Cancel, Channel, Event as Bell, Incoming, RecvError, Reset, SendError, Seq, Until, Waitable,
    wait_any,
};
use twocan_conversation::{EntryId, Event, Why};

/// What a thread of the link reports.
#[derive(Debug)]
pub(super) enum Linked {
    /// For the conversation. The loop answers what came in with [`Link::shown`].
    Incoming(Event),
    /// For the conversation, about something of ours.
    Outgoing(Event),
    /// The channel can do no more, for this reason.
    Failed(String),
}

/// A text on its way to the sending thread.
struct Outgoing {
    entry: EntryId,
    bytes: Vec<u8>,
}

/// Both threads and the ways to them.
pub(super) struct Link {
    outgoing: Sender<Outgoing>,
    /// Wakes the sending thread for what was put into `outgoing`.
    bell: Bell,
    /// One word for each `Linked::Incoming` that people can see now.
    shown: Sender<()>,
    stop: Cancel,
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    /// Starts the threads; they report to `inputs`.
    pub(super) fn start(channel: Channel, inputs: Sender<Input>) -> Result<Link, Failure> {
        let bell = Bell::anonymous(Reset::Auto)?;
        let stop = Cancel::new();
        let (outgoing, texts) = mpsc::channel();
        let (shown, acknowledged) = mpsc::channel();
        let (sender, receiver) = channel.into_split();
        let sending = Sending {
            sender,
            texts,
            waiting: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            inputs: inputs.clone(),
            bell: bell.try_clone()?,
            stop: stop.clone(),
        };
        let stopped = stop.clone();
        let threads = vec![
            thread::spawn(move || sending.run()),
            thread::spawn(move || receive(receiver, &inputs, &acknowledged, &stopped)),
        ];
        Ok(Link { outgoing, bell, shown, stop, threads })
    }

    /// Sends a text of the conversation.
    pub(super) fn send(&self, entry: EntryId, bytes: Vec<u8>) {
        let _ = self.outgoing.send(Outgoing { entry, bytes });
        if let Err(e) = self.bell.set() {
            tracing::warn!("{e}");
        }
    }

    /// One incoming event can be seen now: it may be acknowledged, and the next one fetched.
    pub(super) fn shown(&self) {
        let _ = self.shown.send(());
    }

    /// Says goodbye. What was handed over and not shown yet stands in the queue.
    pub(super) fn close(self) {
        let Link { outgoing, shown, stop, threads, .. } = self;
        drop((outgoing, shown));
        stop.cancel();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Fetches the next event only after the last one was shown. Asking for the next message
/// acknowledges the one before, so a chat that is killed between the two leaves the message to its
/// successor.
fn receive(
    mut receiver: twocan::Receiver,
    inputs: &Sender<Input>,
    shown: &Receiver<()>,
    stop: &Cancel,
) {
    loop {
        let event = match receiver.recv_incoming(Until::from(stop)) {
            Ok(Incoming::Joined(peer)) => Event::Joined((&peer).into()),
            Ok(Incoming::Message(message)) => {
                Event::Message { id: message.seq().into(), bytes: message.into_vec() }
            }
            Ok(Incoming::Left(peer)) => Event::Left((&peer).into()),
            Ok(Incoming::Died(peer)) => Event::Died((&peer).into()),
            Ok(_) => continue,
            Err(RecvError::PeerMisbehaved(how)) => Event::Misbehaved(how.to_string()),
            Err(RecvError::Cancelled) => return,
            Err(e) => {
                let _ = inputs.send(Input::Link(Linked::Failed(e.to_string())));
                return;
            }
        };
        if inputs.send(Input::Link(Linked::Incoming(event))).is_err() || shown.recv().is_err() {
            return;
        }
    }
}

/// The sending half with what it has to do.
struct Sending {
    sender: twocan::Sender,
    texts: Receiver<Outgoing>,
    /// Texts for which the channel has no room yet.
    waiting: VecDeque<Outgoing>,
    /// Texts that the channel has, oldest first.
    unacknowledged: VecDeque<(EntryId, Seq)>,
    inputs: Sender<Input>,
    bell: Bell,
    stop: Cancel,
}

impl Sending {
    fn run(mut self) {
        loop {
            let open = self.take_texts();
            if let Err(e) = self.send_waiting() {
                let _ = self.inputs.send(Input::Link(Linked::Failed(e.to_string())));
                return;
            }
            self.look_at_acknowledged();
            if !open || self.stop.is_cancelled() {
                return;
            }
            if let Err(e) = self.wait() {
                let _ = self.inputs.send(Input::Link(Linked::Failed(e.to_string())));
                return;
            }
        }
    }

    /// False when nobody can give us texts any more.
    fn take_texts(&mut self) -> bool {
        loop {
            match self.texts.try_recv() {
                Ok(text) => self.waiting.push_back(text),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn send_waiting(&mut self) -> Result<(), SendError> {
        while let Some(text) = self.waiting.front() {
            let entry = text.entry;
            let event = match self.sender.try_send(&text.bytes) {
                Ok(seq) => {
                    self.unacknowledged.push_back((entry, seq));
                    Event::Accepted(entry)
                }
                Err(SendError::Full) => return Ok(()),
                // Who went is told by the receiving half, in order with what was said.
                Err(SendError::PeerClosed | SendError::PeerDied | SendError::PeerMisbehaved(_)) => {
                    continue;
                }
                Err(SendError::ReceiverGone) => Event::NotSent(entry, Why::NobodyReads),
                Err(SendError::TooLarge { max }) => Event::NotSent(entry, Why::TooLong(max)),
                Err(e) => return Err(e),
            };
            self.waiting.pop_front();
            self.report(event);
        }
        Ok(())
    }

    fn look_at_acknowledged(&mut self) {
        while let Some((entry, seq)) = self.unacknowledged.front().copied() {
            if !self.sender.is_acknowledged(seq) {
                return;
            }
            self.unacknowledged.pop_front();
            self.report(Event::Delivered(entry));
        }
    }

    /// Sleeps until there is a text, room for the one that waits, an acknowledgement, or the end.
    fn wait(&self) -> twocan::Result<()> {
        let room = self.waiting.front().map(|text| self.sender.room(text.bytes.len()));
        let oldest = self.unacknowledged.front();
        let acknowledged = oldest.map(|(_, seq)| self.sender.acknowledged_past(*seq));
        let mut objects: Vec<&dyn Waitable> = vec![&self.stop, &self.bell];
        if let Some(room) = &room {
            objects.push(room);
        }
        if let Some(acknowledged) = &acknowledged {
            objects.push(acknowledged);
        }
        wait_any(&objects, Until::FOREVER).map(|_| ())
    }

    fn report(&self, event: Event) {
        let _ = self.inputs.send(Input::Link(Linked::Outgoing(event)));
    }
}
