//! Handshakes that lie: each lie alone, in a packet that is honest but for it.

use crate::card::{Card, LIMIT, Listed, WELCOME, lists};
use crate::fake::{Socket, bells};
use crate::shared::{NOBODY, Plan, Shared};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A packet before it is sent.
pub struct Knock {
    pub card: Card,
    /// WELCOME, whatever the card says of its kind.
    is_welcome: bool,
    region: Option<Shared>,
    /// Sent instead of the region's own descriptor.
    instead: Option<OwnedFd>,
    bells: [OwnedFd; 2],
    /// The two other sides of the bells.
    _kept: [OwnedFd; 2],
    /// So many descriptors fewer, or copies of the last one more.
    fewer: usize,
    more: usize,
    /// What is done to the bytes at last.
    spoil: fn(&mut Vec<u8>),
}

pub struct Lie {
    pub name: &'static str,
    pub tell: fn(&mut Knock),
    /// What an end says whose WELCOME it was.
    pub says: &'static str,
}

const fn lie(name: &'static str, tell: fn(&mut Knock)) -> Lie {
    Lie { name, tell, says: "BadHandshake" }
}

const fn region(name: &'static str, tell: fn(&mut Knock)) -> Lie {
    Lie { name, tell, says: "BadRegion" }
}

/// Lies that HELLO and WELCOME have in common.
pub const LIES: &[Lie] = &[
    lie("another magic", |k| k.card.magic ^= 1),
    lie("version 0", |k| k.card.version = 0),
    lie("the next version", |k| k.card.version += 1),
    lie("another layout", |k| k.card.fingerprint ^= 1 << 31),
    lie("a seat record", |k| k.card.kind = 1),
    lie("a kind that is none", |k| k.card.kind = u32::MAX),
    lie("a third direction", |k| k.card.direction = 3),
    lie("another limit", |k| k.card.limit += 1),
    lie("a label that we do not speak", |k| k.card.label = b"chat/1".to_vec()),
    lie("a label too long", |k| k.card.label = vec![b'l'; 129]),
    lie("a label longer than the packet", |k| k.card.lengths[0] = Some(128)),
    lie("a label without end", |k| k.card.lengths[0] = Some(u32::MAX)),
    lie("a label that is no text", |k| k.card.label = vec![0xFF; 3]),
    lie("a nick too long", |k| k.card.nick = vec![b'n'; 65]),
    lie("a nick without end", |k| k.card.lengths[1] = Some(u32::MAX)),
    lie("a nick that is no text", |k| k.card.nick = vec![0xC3, 0x28]),
    lie("no ring", |k| k.shape(1, 0)),
    lie("a ring of any size", |k| k.shape(1, 4096 + 64)),
    lie("a ring too small", |k| k.shape(1, 2048)),
    lie("a ring too large", |k| k.shape(1, 1 << 31)),
    lie("a ring of everything", |k| k.shape(1, 1 << 63)),
    lie("a beginning between lines", |k| k.shape(2, 32)),
    lie("an odd beginning", |k| k.shape(2, 1)),
    lie("cut before the last byte", |k| k.spoil = |b| b.truncate(b.len() - 1)),
    lie("cut in the middle", |k| k.spoil = |b| b.truncate(b.len() / 2)),
    lie("cut behind the kind", |k| k.spoil = |b| b.truncate(20)),
    lie("one byte", |k| k.spoil = |b| b.truncate(1)),
    lie("one byte more", |k| k.spoil = |b| b.push(0)),
    lie("as long as can be", |k| k.spoil = |b| b.resize(1024, 0)),
    lie("longer than can be", |k| k.spoil = |b| b.resize(1025, 0)),
    lie("a flood", |k| k.spoil = |b| b.resize(60_000, 0)),
    lie("no descriptors", |k| k.fewer = 9),
    lie("a descriptor missing", |k| k.fewer = 1),
    lie("a descriptor too many", |k| k.more = 1),
    lie("as many descriptors as can be", |k| k.more = 9),
    lie("more descriptors than can be", |k| k.more = 10),
    lie("a flood of descriptors", |k| k.more = 200),
    lie("a bell that is memory", |k| k.bells[0] = memory()),
    lie("a bell that is a pipe", |k| k.bells[1] = pipe()),
    lie("a bell that is a file", |k| k.bells[0] = opened("/dev/null")),
    lie("a bell that is a stream", |k| k.bells[1] = socket(libc::AF_UNIX, libc::SOCK_STREAM)),
    lie("a bell to the network", |k| k.bells[0] = socket(libc::AF_INET, libc::SOCK_DGRAM)),
    // The regions.
    region("another id", |k| k.shape(0, 1)),
    region("another size", |k| k.shape(1, 8192)),
    region("another beginning", |k| k.shape(2, 64)),
    region("memory that may shrink", |k| k.plan(Plan::without(libc::F_SEAL_SHRINK))),
    region("memory that may grow", |k| k.plan(Plan::without(libc::F_SEAL_GROW))),
    region("memory for writing", |k| k.plan(Plan::without(libc::F_SEAL_FUTURE_WRITE))),
    region("memory with open seals", |k| k.plan(Plan::without(libc::F_SEAL_SEAL))),
    region("memory too short", |k| k.plan(Plan { longer: -4096, ..Plan::honest(4096, 0) })),
    region("memory a byte too short", |k| k.plan(Plan { longer: -1, ..Plan::honest(4096, 0) })),
    region("memory too long", |k| k.plan(Plan { longer: 4096, ..Plan::honest(4096, 0) })),
    // Its length alone gives it away: such a file has whole huge pages, a region never has. That
    // its kind would, too, is shown beside the check.
    region("huge pages", |k| k.plan(Plan { huge: true, ..Plan::honest(1 << 20, 0) })),
    region("memory without the magic", |k| k.identity(0, 1)),
    region("memory of another version", |k| k.identity(8, 2)),
    region("memory of another layout", |k| k.identity(8, 1 << 40)),
    region("memory with another id", |k| k.identity(16, 1)),
    region("memory with another capacity", |k| k.identity(24, 4096)),
    region("memory with another beginning", |k| k.identity(32, 64)),
    region("a pipe for memory", |k| k.instead = Some(pipe())),
    region("a socket for memory", |k| k.instead = Some(socket(libc::AF_UNIX, libc::SOCK_STREAM))),
    region("a device for memory", |k| k.instead = Some(opened("/dev/zero"))),
    region("a folder for memory", |k| k.instead = Some(opened("/"))),
    region("a file for memory", |k| k.instead = Some(file())),
    region("an eventfd for memory", |k| k.instead = Some(eventfd())),
];

/// Lies that only HELLO can tell.
pub const HELLOS: &[Lie] = &[
    lie("an introduction at a seat", |k| k.introduce(1)),
    lie("an introduction that is none", |k| k.introduce(2)),
];

/// Lies that only WELCOME can tell: its lists.
pub const WELCOMES: &[Lie] = &[
    lie("no generation", |k| k.lists(0, &[(1, 0)], &[])),
    lie("a generation without successors", |k| k.lists(u32::MAX, &[(1, 0)], &[])),
    lie("a peer's generation without successors", |k| k.lists(1, &[(u32::MAX, 0)], &[])),
    lie("no region", |k| k.lists(1, &[], &[])),
    lie("a region of generation 0", |k| k.lists(1, &[(0, 0)], &[])),
    lie("a position between lines", |k| k.lists(1, &[(1, 32)], &[])),
    lie("regions out of order", |k| k.lists(1, &[(2, 0), (1, 0)], &[])),
    lie("the same region twice", |k| k.lists(1, &[(1, 0), (1, 0)], &[])),
    lie("too many regions", |k| k.lists(9, &[(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)], &[])),
    lie("too many predecessors", |k| k.lists(9, &[(1, 0)], &[(1, 0), (2, 0), (3, 0), (4, 0)])),
    lie("a predecessor that comes later", |k| k.lists(1, &[(1, 0)], &[(1, 0)])),
    lie("lists without end", |k| k.card.tail[4..8].fill(0xFF)),
    lie("a region that is another's", |k| k.card.tail[20] ^= 1),
];

impl Knock {
    /// HELLO without a lie.
    pub fn hello() -> Knock {
        let region = Shared::new(4096, 0, 0x0FA6E);
        let (one, two) = (bells(), bells());
        Knock {
            card: Card::hello(&region, "knock"),
            is_welcome: false,
            region: Some(region),
            instead: None,
            bells: [one.0.0, two.0.0],
            _kept: [one.1.0, two.1.0],
            fewer: 0,
            more: 0,
            spoil: |_| {},
        }
    }

    /// WELCOME of a first end without a lie.
    pub fn welcome() -> Knock {
        let mut knock = Knock::hello();
        (knock.card.kind, knock.is_welcome) = (WELCOME, true);
        knock.lists(1, &[(1, 0)], &[]);
        knock
    }

    fn shape(&mut self, field: usize, value: u64) {
        self.card.shape[field] = value;
        if self.is_welcome {
            self.lists(1, &[(1, 0)], &[]);
        }
    }

    fn plan(&mut self, plan: Plan) {
        let id = self.card.shape[0];
        // Where the system cannot make it (no huge pages) there is nothing to be refused: a pipe
        // stands in.
        match Shared::make(&plan, id) {
            Some(region) => {
                self.region = Some(region);
                self.shape(1, plan.capacity);
            }
            None => {
                let row = if self.is_welcome { "hostile-welcome" } else { "hostile-handshake" };
                println!(
                    "trust: {row}: skipped: memory that this system cannot make; a pipe instead"
                );
                self.instead = Some(pipe());
            }
        }
    }

    fn identity(&mut self, at: u64, bits: u64) {
        assert!(at < NOBODY);
        self.plan(Plan { lie: (at, bits), ..Plan::honest(4096, 0) });
    }

    fn introduce(&mut self, word: u32) {
        self.card.tail = word.to_le_bytes().to_vec();
        self.more = 1;
    }

    /// Lists of (generation, position), all of the same region.
    fn lists(&mut self, generation: u32, outbox: &[(u32, u64)], inbox: &[(u32, u64)]) {
        let shape = self.card.shape;
        let listed = |l: &(u32, u64)| Listed { generation: l.0, position: l.1, shape };
        let list = |of: &[(u32, u64)]| of.iter().map(listed).collect::<Vec<_>>();
        self.card.tail = lists(generation, &list(outbox), &list(inbox));
        self.more = (outbox.len() + inbox.len()).saturating_sub(1);
    }

    /// Sends it; an error is the kernel's refusal to carry it.
    pub fn send(&self, socket: &Socket) -> std::io::Result<()> {
        let mut bytes = self.card.encode();
        (self.spoil)(&mut bytes);
        let own = self.region.as_ref().map(|r| r.file.as_raw_fd());
        let region = self.instead.as_ref().map(AsRawFd::as_raw_fd).or(own).expect("a region");
        let [one, two] = [self.bells[0].as_raw_fd(), self.bells[1].as_raw_fd()];
        let mut fds: Vec<RawFd> = match self.is_welcome {
            true => vec![one, two, region],
            false => vec![region, one, two],
        };
        let last = fds[2];
        fds.extend(vec![last; self.more]);
        fds.truncate(fds.len().saturating_sub(self.fewer));
        socket.send(&bytes, &fds)
    }
}

/// A packet of any bytes, with any descriptors.
pub fn noise(socket: &Socket, chance: &mut crate::chance::Chance) {
    let honest = Knock::hello();
    let mut bytes = honest.card.encode();
    for _ in 0..1 + chance.below(4) {
        // Not in the pid and the nick, which may be anything.
        let at = chance.below(bytes.len() as u64) as usize;
        if !(32..36).contains(&at) && !(44..49).contains(&at) {
            bytes[at] = chance.word() as u8;
        }
    }
    bytes.truncate(if chance.percent(50) { bytes.len() } else { chance.below(200) as usize });
    let own = honest.region.as_ref().map(|r| r.file.as_raw_fd()).expect("a region");
    let fds: Vec<RawFd> = (0..chance.below(5)).map(|_| own).collect();
    let _ = socket.send(&bytes, &fds);
}

fn owned(fd: RawFd) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just made by the caller, who does not keep it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn memory() -> OwnedFd {
    // SAFETY: a name that lives.
    owned(unsafe { libc::memfd_create(c"bell".as_ptr(), libc::MFD_CLOEXEC) })
}

fn pipe() -> OwnedFd {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    let [one, _other] = fds.map(owned);
    one
}

fn opened(path: &str) -> OwnedFd {
    OwnedFd::from(File::open(path).expect("there is one on every system"))
}

fn socket(domain: i32, kind: i32) -> OwnedFd {
    // SAFETY: no memory.
    owned(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) })
}

fn eventfd() -> OwnedFd {
    // SAFETY: no memory.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })
}

/// A file of the right size, which anybody may truncate.
fn file() -> OwnedFd {
    let path = std::env::temp_dir().join(crate::support::unique("hostile"));
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("room for a file");
    let _ = std::fs::remove_file(path);
    file.set_len(8192).expect("8 KiB");
    OwnedFd::from(file)
}

const _: () = assert!(LIMIT > 4096);
