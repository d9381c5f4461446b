//! An end of a 1:1 two-way channel. (Interface sketch: bodies follow.)
#![allow(missing_docs, unused_variables, clippy::todo, dead_code)]
use crate::sys::futex::Word;
use crate::wait::{Identity, Source};
use crate::{CloseError, Error, PeerInfo, RecvError, Result, SendError, Until};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seq {
    pub(crate) region: u64,
    pub(crate) position: u64,
}
impl Seq {
    pub fn region(self) -> u64 {
        self.region
    }
    pub fn position(self) -> u64 {
        self.position
    }
}
impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Direction {
    #[default]
    Both,
    SendOnly,
    RecvOnly,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Spin {
    #[default]
    Adaptive,
    Never,
    Always,
}

#[derive(Debug)]
pub struct Channel {
    _p: (),
}
#[derive(Debug)]
pub struct Sender {
    _p: (),
}
#[derive(Debug)]
pub struct Receiver {
    _p: (),
}
#[derive(Debug, Clone, Default)]
pub struct ChannelOptions {
    _p: (),
}
#[derive(Debug)]
pub struct Invitation {
    _p: (),
}

impl ChannelOptions {
    pub fn new() -> Self {
        todo!()
    }
    pub fn nick(&mut self, nick: impl Into<String>) -> &mut Self {
        todo!()
    }
    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        todo!()
    }
    pub fn direction(&mut self, d: Direction) -> &mut Self {
        todo!()
    }
    pub fn send_capacity(&mut self, bytes: usize) -> &mut Self {
        todo!()
    }
    pub fn max_message(&mut self, bytes: usize) -> &mut Self {
        todo!()
    }
    pub fn spin(&mut self, s: Spin) -> &mut Self {
        todo!()
    }
    pub fn open(&self, name: &str) -> Result<Channel> {
        todo!()
    }
    /// Waits until a seat is free (also while the other end does not fit).
    pub fn open_until<'c>(&self, name: &str, until: impl Into<Until<'c>>) -> Result<Channel> {
        todo!()
    }
    pub fn pair(&self) -> Result<(Channel, Channel)> {
        todo!()
    }
    pub fn invite(&self) -> Result<(Channel, Invitation)> {
        todo!()
    }
}
impl Invitation {
    /// Hands the other end to the child that `command` will start.
    pub fn attach(&mut self, command: &mut std::process::Command) -> Result<()> {
        todo!()
    }
}
impl Channel {
    pub fn open(name: &str) -> Result<Channel> {
        todo!()
    }
    pub fn options() -> ChannelOptions {
        todo!()
    }
    pub fn pair() -> Result<(Channel, Channel)> {
        todo!()
    }
    pub fn invite() -> Result<(Channel, Invitation)> {
        todo!()
    }
    pub fn invited() -> Result<Channel> {
        todo!()
    }
    pub fn send(&mut self, m: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn try_send(&mut self, m: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn send_timeout(&mut self, m: impl AsRef<[u8]>, t: Duration) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn send_until<'c>(
        &mut self,
        m: impl AsRef<[u8]>,
        u: impl Into<Until<'c>>,
    ) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn try_recv(&mut self) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn recv_timeout(&mut self, t: Duration) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn recv_until<'c>(&mut self, u: impl Into<Until<'c>>) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn recv_incoming<'c>(&mut self, u: impl Into<Until<'c>>) -> Result<Incoming, RecvError> {
        todo!()
    }
    pub fn sender(&mut self) -> &mut Sender {
        todo!()
    }
    pub fn receiver(&mut self) -> &mut Receiver {
        todo!()
    }
    pub fn split(&mut self) -> (&mut Sender, &mut Receiver) {
        todo!()
    }
    pub fn into_split(self) -> (Sender, Receiver) {
        todo!()
    }
    pub fn name(&self) -> Option<&str> {
        todo!()
    }
    pub fn peer(&self) -> Option<PeerInfo> {
        todo!()
    }
    pub fn wait_peer<'c>(&self, u: impl Into<Until<'c>>) -> Result<PeerInfo> {
        todo!()
    }
    /// Waits until the peer's application has acknowledged everything.
    pub fn close(self) -> Result<(), CloseError> {
        todo!()
    }
    pub fn close_until<'c>(self, u: impl Into<Until<'c>>) -> Result<(), CloseError> {
        todo!()
    }
}
impl Sender {
    pub fn send(&mut self, m: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn try_send(&mut self, m: impl AsRef<[u8]>) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn send_timeout(&mut self, m: impl AsRef<[u8]>, t: Duration) -> Result<Seq, SendError> {
        todo!()
    }
    pub fn send_until<'c>(
        &mut self,
        m: impl AsRef<[u8]>,
        u: impl Into<Until<'c>>,
    ) -> Result<Seq, SendError> {
        todo!()
    }
    /// Sends as many as there is room for, at least one; waits for room for the first.
    pub fn send_batch<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize, SendError> {
        todo!()
    }
    pub fn loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        todo!()
    }
    pub fn try_loan(&mut self, len: usize) -> Result<Loan<'_>, SendError> {
        todo!()
    }
    pub fn loan_until<'c>(
        &mut self,
        len: usize,
        u: impl Into<Until<'c>>,
    ) -> Result<Loan<'_>, SendError> {
        todo!()
    }
    pub fn max_loan(&self) -> usize {
        todo!()
    }
    pub fn max_message(&self) -> usize {
        todo!()
    }
    pub fn capacity(&self) -> usize {
        todo!()
    }
    /// The last message accepted.
    pub fn sent(&self) -> Option<Seq> {
        todo!()
    }
    /// The last message of ours that the other side's application has acknowledged.
    pub fn acknowledged(&self) -> Option<Seq> {
        todo!()
    }
    pub fn is_acknowledged(&self, seq: Seq) -> bool {
        todo!()
    }
    /// How many of our messages are not acknowledged yet.
    pub fn unacknowledged(&self) -> u64 {
        todo!()
    }
    pub fn wait_acknowledged<'c>(
        &mut self,
        seq: Seq,
        u: impl Into<Until<'c>>,
    ) -> Result<(), SendError> {
        todo!()
    }
    pub fn discard_unacknowledged(&mut self) -> u64 {
        todo!()
    }
    /// Half-close: the peer gets `Finished` after the last message.
    pub fn finish(self) {
        todo!()
    }
    pub fn peer(&self) -> Option<PeerInfo> {
        todo!()
    }
    pub fn room(&self, len: usize) -> Room<'_> {
        todo!()
    }
    pub fn acknowledged_past(&self, seq: Seq) -> Acknowledged<'_> {
        todo!()
    }
    pub fn peer_change(&self) -> PeerChange {
        todo!()
    }
    pub fn writer(&mut self) -> ByteWriter<'_> {
        todo!()
    }
}
impl Receiver {
    pub fn recv(&mut self) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn try_recv(&mut self) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn recv_timeout(&mut self, t: Duration) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn recv_until<'c>(&mut self, u: impl Into<Until<'c>>) -> Result<Message, RecvError> {
        todo!()
    }
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Seq, RecvError> {
        todo!()
    }
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Seq, RecvError> {
        todo!()
    }
    pub fn recv_into_until<'c>(
        &mut self,
        buffer: &mut Vec<u8>,
        u: impl Into<Until<'c>>,
    ) -> Result<Seq, RecvError> {
        todo!()
    }
    pub fn recv_delivery(&mut self) -> Result<Delivery<'_>, RecvError> {
        todo!()
    }
    pub fn recv_delivery_until<'c>(
        &mut self,
        u: impl Into<Until<'c>>,
    ) -> Result<Delivery<'_>, RecvError> {
        todo!()
    }
    pub fn recv_incoming<'c>(&mut self, u: impl Into<Until<'c>>) -> Result<Incoming, RecvError> {
        todo!()
    }
    /// Acknowledges what `recv` has handed out.
    pub fn ack(&mut self) {
        todo!()
    }
    pub fn iter(&mut self) -> impl Iterator<Item = Message> + '_ {
        std::iter::empty()
    }
    pub fn try_iter(&mut self) -> impl Iterator<Item = Message> + '_ {
        std::iter::empty()
    }
    pub fn peer(&self) -> Option<PeerInfo> {
        todo!()
    }
    pub fn peer_change(&self) -> PeerChange {
        todo!()
    }
    pub fn reader(&mut self) -> ByteReader<'_> {
        todo!()
    }
}
#[derive(Debug, Clone)]
pub struct Message {
    _p: (),
}
impl Message {
    pub fn seq(&self) -> Seq {
        todo!()
    }
    pub fn to_str(&self) -> Result<&str> {
        todo!()
    }
    pub fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        todo!()
    }
    pub fn read<T: zerocopy::FromBytes>(&self) -> Result<T> {
        todo!()
    }
    pub fn into_vec(self) -> Vec<u8> {
        todo!()
    }
}
impl std::ops::Deref for Message {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}
#[derive(Debug)]
#[must_use]
pub struct Delivery<'r> {
    _p: std::marker::PhantomData<&'r mut Receiver>,
}
impl Delivery<'_> {
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn seq(&self) -> Seq {
        todo!()
    }
    pub fn copy_to(&self, out: &mut [u8]) {
        todo!()
    }
    pub fn read_at(&self, at: usize, out: &mut [u8]) -> Result<()> {
        todo!()
    }
    pub fn to_message(&self) -> Message {
        todo!()
    }
    pub fn acknowledge(self) {
        todo!()
    }
}
#[derive(Debug)]
#[must_use]
pub struct Loan<'s> {
    _p: std::marker::PhantomData<&'s mut Sender>,
}
impl Loan<'_> {
    pub fn commit(self) -> Seq {
        todo!()
    }
    pub fn commit_len(self, n: usize) -> Seq {
        todo!()
    }
}
impl std::ops::Deref for Loan<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}
impl std::ops::DerefMut for Loan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        todo!()
    }
}
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Incoming {
    Joined(PeerInfo),
    Message(Message),
    Finished,
    Left(PeerInfo),
    Died(PeerInfo),
}
#[derive(Debug)]
pub struct Room<'s>(&'s Sender);
#[derive(Debug)]
pub struct Acknowledged<'s>(&'s Sender);
/// Ready when a peer has come or gone since it was made.
#[derive(Debug)]
pub struct PeerChange {
    _p: (),
}
macro_rules! stub { ($($t:ty),*) => { $( impl Source for $t {
    fn begin(&self) -> Result<u64> { todo!() }
    fn prepare(&self, words: &mut Vec<Word>) { todo!() }
    fn ready(&self, begun: u64) -> bool { todo!() }
    fn identity(&self) -> Identity { todo!() }
} )* } }
stub!(Receiver, Room<'_>, Acknowledged<'_>, PeerChange);
#[derive(Debug)]
pub struct ByteWriter<'s>(&'s mut Sender);
impl std::io::Write for ByteWriter<'_> {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        todo!()
    }
    fn flush(&mut self) -> std::io::Result<()> {
        todo!()
    }
}
#[derive(Debug)]
pub struct ByteReader<'r>(&'r mut Receiver);
impl std::io::Read for ByteReader<'_> {
    fn read(&mut self, b: &mut [u8]) -> std::io::Result<usize> {
        todo!()
    }
}
impl std::io::BufRead for ByteReader<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        todo!()
    }
    fn consume(&mut self, n: usize) {
        todo!()
    }
}
