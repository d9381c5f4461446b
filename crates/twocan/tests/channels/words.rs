//! What the lines of a script are made of.

use std::fmt::Debug;
use std::time::Duration;
use twocan::*;

/// Longer than the director's patience: a wait that should have ended, and ends by its limit, is a
/// failure and not a slow success.
pub const LONG: Duration = Duration::from_secs(120);

/// An end, or its halves.
pub enum Can {
    Whole(Channel),
    Split(Option<Sender>, Option<Receiver>),
}

impl Can {
    pub fn tx(&mut self) -> &mut Sender {
        match self {
            Can::Whole(channel) => channel.sender(),
            Can::Split(tx, _) => tx.as_mut().expect("the sending half is gone"),
        }
    }

    pub fn rx(&mut self) -> &mut Receiver {
        match self {
            Can::Whole(channel) => channel.receiver(),
            Can::Split(_, rx) => rx.as_mut().expect("the receiving half is gone"),
        }
    }

    pub fn send(&mut self, bytes: &[u8], until: Until<'_>) -> Result<Seq, SendError> {
        match self {
            Can::Whole(channel) => channel.send_until(bytes, until),
            Can::Split(..) => self.tx().send_until(bytes, until),
        }
    }
}

/// The bytes of a long message.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes.extend_from_slice(&x.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub fn ms(word: &str) -> Duration {
    Duration::from_millis(word.parse().expect("milliseconds"))
}

pub fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

pub fn done<T, E: Debug>(result: Result<T, E>) -> String {
    result.map_or_else(|e| format!("!{e:?}"), |_| "ok".into())
}

pub fn told<T>(result: Result<T>) -> String {
    result.map_or_else(|e| format!("!{e}"), |_| "ok".into())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn options(words: &[&str]) -> ChannelOptions {
    let mut options = Channel::options();
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("nick", nick) => options.nick(nick),
            ("label", label) => options.label(label),
            ("ring", bytes) => options.send_capacity(number(bytes)),
            ("max", bytes) => options.max_message(number(bytes)),
            ("spin", "never") => options.spin(Spin::Never),
            ("send-only", _) => options.direction(Direction::SendOnly),
            ("recv-only", _) => options.direction(Direction::RecvOnly),
            _ => panic!("no such option: {word}"),
        };
    }
    options
}

/// Does something many times, with another text each time.
pub fn trips(rounds: &str, mut trip: impl FnMut(&[u8]) -> Result<(), String>) -> String {
    for round in 0..number(rounds) {
        if let Err(e) = trip(round.to_string().as_bytes()) {
            return format!("!{e} in round {round}");
        }
    }
    "ok".into()
}

pub fn incoming(what: Result<Incoming, RecvError>) -> String {
    match what {
        Ok(Incoming::Joined(p)) => format!("joined {}", p.nick()),
        Ok(Incoming::Message(m)) => format!("message {}", text(&m)),
        Ok(Incoming::Finished) => "finished".into(),
        Ok(Incoming::Left(p)) => format!("left {}", p.nick()),
        Ok(Incoming::Died(p)) => format!("died {}", p.nick()),
        Ok(other) => format!("!{other:?}"),
        Err(e) => format!("!{e:?}"),
    }
}

/// Forks behind the library's back, as `clone` does: no handler of `pthread_atfork` runs, and the
/// child keeps every descriptor. The answer is its pid.
pub fn fork_unseen() -> String {
    // SAFETY: the child calls the system and nothing else, and never returns.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: as above; the director hears the end of its own pipes only.
        unsafe {
            libc::close(0);
            libc::close(1);
            libc::close(2);
            loop {
                libc::pause();
            }
        }
    }
    pid.to_string()
}

/// Forks. The child tries the end that it inherited, says how that went, and stays; the parent
/// answers with the child's pid and those words.
pub fn fork(can: &mut Can) -> String {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the child uses the handles under test and plain system calls, and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let sent = can.tx().try_send("from the child").map(|_| ());
        let received = can.rx().try_recv().map(|_| ());
        let words = format!("{sent:?} {received:?}");
        // SAFETY: the bytes live; then nothing but sleep until somebody kills us.
        unsafe {
            libc::write(ends[1], words.as_ptr().cast(), words.len());
            libc::close(0); // the director hears the end of its own pipes only
            libc::close(1);
            libc::close(2);
            loop {
                libc::pause();
            }
        }
    }
    let mut words = [0u8; 100];
    // SAFETY: the buffer is as long as said; the descriptors are ours.
    let n = unsafe {
        libc::close(ends[1]);
        let n = libc::read(ends[0], words.as_mut_ptr().cast(), words.len());
        libc::close(ends[0]);
        n
    };
    format!("{pid} {}", text(&words[..n as usize]))
}
