//! A session with the victim, and what the acts are made of.

use crate::card::{Card, Listed, Welcome};
use crate::chance::Chance;
use crate::fake::{Socket, bells};
use crate::shared::*;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

pub const DATA: u64 = 1;
pub const PAD: u64 = 2;
pub const FIRST: u64 = 3;
pub const MIDDLE: u64 = 4;
pub const LAST: u64 = 5;

const LINE: u64 = 64;
/// How long an act waits for the victim to come by. Long enough for a loaded machine; what has not
/// happened by then is missing from the count of answers, and fails the test.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Meeting<'a> {
    pub mine: &'a Shared,
    pub theirs: &'a Theirs,
    pub socket: Socket,
    pub chance: &'a mut Chance,
    /// Stores of a storm.
    pub budget: u64,
    /// How the victim names our region in its acknowledgements, and we its.
    generation: u32,
    pub their_generation: u32,
    /// Where our next record goes.
    pub head: u64,
    /// Up to here we know the victim to have read.
    read: u64,
    /// Up to here we have read the victim's records.
    pub took: u64,
    /// Where that was when the session began.
    pub began: u64,
    /// Sleepers that were moved.
    pub moved: u64,
}

fn size(len: u64) -> u64 {
    (16 + len).next_multiple_of(LINE)
}

/// The longest payload of one record.
pub fn quarter(capacity: u64) -> u64 {
    capacity / 4
}

/// What was met at the seat: the parts of a session that do not borrow.
pub struct Met {
    socket: Socket,
    generation: u32,
    own: Listed,
    region: File,
}

/// HELLO as an honest newcomer says it; `None` if the victim hung up.
pub fn greet(dir: &Path, seat: &str, region: &Shared, nick: &str) -> Option<Met> {
    let socket = Socket::connect(dir, seat);
    let (one, two) = bells();
    let fds = [region.file.as_raw_fd(), one.0.as_raw_fd(), two.0.as_raw_fd()];
    socket.send(&Card::hello(region, nick).encode(), &fds).ok()?;
    let (bytes, mut fds) = socket.hear_whole();
    if bytes.is_empty() {
        return None;
    }
    let welcome = Welcome::read(&bytes);
    let region = File::from(fds.swap_remove(welcome.own_fd));
    Some(Met { socket, generation: welcome.generation, own: welcome.own, region })
}

impl Met {
    pub fn map(&self) -> Theirs {
        Theirs::map(&self.region, self.own.shape[0], self.own.shape[1])
    }

    pub fn id(&self) -> u64 {
        self.own.shape[0]
    }

    pub fn meeting<'a>(
        self,
        mine: &'a Shared,
        theirs: &'a Theirs,
        chance: &'a mut Chance,
        budget: u64,
    ) -> Meeting<'a> {
        Meeting {
            mine,
            theirs,
            socket: self.socket,
            chance,
            budget,
            generation: self.generation,
            their_generation: self.own.generation,
            head: mine.start,
            read: mine.start,
            took: self.own.position,
            began: self.own.position,
            moved: 0,
        }
    }
}

impl Meeting<'_> {
    // ---- what the victim does ----

    /// Has the victim hung up?
    pub fn ended(&self) -> bool {
        self.ends_within(0)
    }

    /// Waits a moment for it.
    pub fn ends_soon(&self) -> bool {
        self.ends_within(1)
    }

    fn ends_within(&self, ms: i32) -> bool {
        let mut poll =
            libc::pollfd { fd: self.socket.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut poll, 1, ms) > 0 }
    }

    /// Waits until the victim has noticed. Rings now and then, as it may be asleep.
    pub fn until_ended(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.ends_within(2) && Instant::now() < deadline {
            self.ring();
        }
    }

    /// How far the victim has read our region.
    pub fn position(&mut self) -> u64 {
        let word = self.theirs.get(ACK);
        if (word >> 32) as u32 == self.generation {
            let forward = (word as u32).wrapping_sub((self.read / LINE) as u32);
            self.read = self.read.wrapping_add(u64::from(forward) * LINE);
        }
        self.read
    }

    /// Waits until the victim is at our head; false = it is not coming.
    pub fn until_read(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.position() == self.head {
                return true;
            }
            if self.ends_within(1) || Instant::now() > deadline {
                return false;
            }
            self.ring();
        }
    }

    /// Goes on for a while, so that the victim calls everything that it calls.
    pub fn linger(&mut self, ms: u64) {
        let deadline = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < deadline && !self.ends_within(1) {}
    }

    // ---- what an honest end does ----

    /// Wakes the victim's two halves, whether they sleep or not.
    pub fn ring(&self) {
        for bell in [BELL_RX, BELL_TX] {
            self.mine.put(bell, self.mine.get(bell).wrapping_add(1) & 0xFFFF_FFFF);
            self.mine.wake(bell);
        }
    }

    /// Bytes from the head to the ring's end.
    pub fn to_end(&self) -> u64 {
        let capacity = self.mine.capacity;
        capacity - (self.head & (capacity - 1))
    }

    /// A record at `position` that says it is of this kind and length. The stamp comes last.
    pub fn claim(&self, position: u64, kind: u64, len: u64, payload: &[u8]) {
        let at = self.mine.at(position);
        let room = (RING + self.mine.capacity - at - 16) as usize;
        self.mine.bytes(at + 16, &payload[..payload.len().min(room)]);
        self.mine.put(at + 8, kind << 32 | len);
        self.mine.put(at, position | 1);
    }

    /// Claims it at the head as an honest end does, and goes on behind it: room was seen to be
    /// there, for the cleared stamp too.
    pub fn publish(&mut self, kind: u64, len: u64, payload: &[u8]) {
        let next = self.head.wrapping_add(size(len));
        self.mine.put(self.mine.at(next), 0);
        self.claim(self.head, kind, len, payload);
        self.head = next;
    }

    /// Claims it at the head, and stays there.
    pub fn lie(&self, kind: u64, len: u64, payload: &[u8]) {
        self.claim(self.head, kind, len, payload);
        self.ring();
    }

    /// An honest record, behind padding if need be; false = the victim does not make room.
    pub fn record(&mut self, kind: u64, payload: &[u8]) -> bool {
        let len = payload.len() as u64;
        assert!(len <= quarter(self.mine.capacity));
        let padding = if size(len) > self.to_end() { self.to_end() } else { 0 };
        let needed = padding + size(len) + LINE;
        let deadline = Instant::now() + PATIENCE;
        while self.head.wrapping_sub(self.position()) + needed > self.mine.capacity {
            if self.ends_within(1) || Instant::now() > deadline {
                return false;
            }
            self.ring();
        }
        if padding > 0 {
            self.publish(PAD, padding - 16, &[]);
        }
        self.publish(kind, len, payload);
        true
    }

    /// Honest records until the ring's end is nearer than a quarter.
    pub fn near_the_end(&mut self) {
        let most = quarter(self.mine.capacity);
        while self.to_end() > 2 * LINE {
            let len = most.min(self.to_end() - 2 * LINE - 16);
            if !self.record(DATA, &vec![0x5A; len as usize]) {
                return;
            }
        }
    }

    /// The head of a long message: number and whole length.
    pub fn first(number: u64, total: u64, bytes: usize) -> Vec<u8> {
        let mut payload = number.to_le_bytes().to_vec();
        payload.extend_from_slice(&total.to_le_bytes());
        payload.resize(16 + bytes, 0xF1);
        payload
    }

    /// The victim's records that we have not read: kind, position, length.
    pub fn unread(&self) -> Vec<(u64, u64, u64)> {
        let (mut at, mut found) = (self.took, Vec::new());
        let word = |position: u64, more: u64| {
            self.theirs.get(RING + (position & (self.theirs.capacity - 1)) + more)
        };
        while word(at, 0) == at | 1 && found.len() < 4096 {
            let head = word(at, 8);
            found.push((head >> 32, at, head & 0xFFFF_FFFF));
            at = at.wrapping_add(size(head & 0xFFFF_FFFF));
        }
        found
    }

    /// The payload's first word of a record of the victim's.
    pub fn payload(&self, position: u64) -> u64 {
        self.theirs.get(RING + (position & (self.theirs.capacity - 1)) + 16)
    }

    /// The acknowledgement word that names a position of the victim's region.
    pub fn say_read(&self, generation: u32, position: u64) {
        self.mine.put(ACK, u64::from(generation) << 32 | u64::from((position / LINE) as u32));
        self.ring();
    }

    /// Acknowledges everything there is; what it was.
    pub fn acknowledge(&mut self) -> Vec<(u64, u64, u64)> {
        let unread = self.unread();
        if let Some((_, position, len)) = unread.last() {
            self.took = position.wrapping_add(size(*len));
        }
        self.say_read(self.their_generation, self.took);
        unread
    }

    /// Where a record of the victim's ends.
    pub fn behind((_, position, len): (u64, u64, u64)) -> u64 {
        position.wrapping_add(size(len))
    }
}
