//! All raw pointers of the channel: one region of shared memory, and bounded copies in and out of it.

use crate::error::{Result, Violation};
use crate::layout::*;
use crate::raw;
use crate::ring::{Memory, MemoryMut};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::fd::Fd;
use crate::sys::memfd;
use crate::sys::memory::Mapping;

/// What one end knows about a region before it reads it: told in the handshake, checked against the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Random; with a position it names a message for ever.
    pub(crate) id: u64,
    /// Ring bytes, a power of two.
    pub(crate) capacity: u64,
    /// Position of the first record.
    pub(crate) start: u64,
}

impl Shape {
    /// Could such a region exist?
    pub(crate) fn is_sane(&self) -> bool {
        self.capacity.is_power_of_two()
            && self.capacity >= MIN_CAPACITY as u64
            && self.capacity <= MAX_CAPACITY as u64
            && self.start % LINE as u64 == 0
    }
}

/// One region: header and ring, with the descriptor that hands it on.
#[derive(Debug)]
struct Region {
    mapping: Mapping,
    shape: Shape,
    fd: Fd,
}

/// A region that this end made and alone may write.
#[derive(Debug)]
pub(crate) struct OwnRegion {
    region: Region,
    /// One bit for each line of the ring: does a record begin here? Right for what has been sent and not acknowledged.
    /// Private memory: an acknowledgement in the middle of a record would send a successor to where nothing is ever
    /// found, or to bytes that somebody chose. Written by the producer alone.
    begins: Box<[AtomicU64]>,
}

/// A region of the other seat, or of a predecessor in our own: read-only.
#[derive(Debug)]
pub(crate) struct PeerRegion(Region);

impl Region {
    fn header(&self) -> &Header {
        // SAFETY: the mapping is at least RING_AT bytes long, page-aligned, lives as long as `self`, and the header
        // consists of atomics only, which are valid for any bytes and may change under us.
        unsafe { &*self.mapping.base().as_ptr().cast::<Header>() }
    }

    fn at(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at + len <= self.shape.capacity as usize, "a copy leaves the ring");
        // SAFETY: the mapping is RING_AT + capacity bytes long, and the line above keeps us inside.
        unsafe { self.mapping.base().as_ptr().add(RING_AT + at) }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at % 8 == 0);
        // SAFETY: inside the mapping (checked by `at`), aligned to 8 (RING_AT and `at` are), lives as long as
        // `self`; an atomic may change under us.
        unsafe { &*self.at(at, 8).cast::<AtomicU64>() }
    }

    fn copy_out(&self, at: usize, to: &mut [u8]) {
        // SAFETY: the source range lies inside the mapping (checked by `at`); `to` is ours.
        unsafe { raw::copy_out(self.at(at, to.len()), to) }
    }
}

impl OwnRegion {
    /// Makes a region of its own: allocated, mapped read-write, then sealed so that nobody else ever writes it.
    pub(crate) fn create(capacity: usize, shape_start: u64, id: u64) -> Result<OwnRegion> {
        let shape = Shape { id, capacity: capacity as u64, start: shape_start };
        assert!(shape.is_sane(), "the options have been checked");
        let (fd, mapping) = memfd::create_sealed(RING_AT + capacity)?;
        let begins = (0..capacity / LINE).step_by(64).map(|_| AtomicU64::new(0)).collect();
        let region = OwnRegion { region: Region { mapping, shape, fd }, begins };
        region.set_begin(shape_start as usize & (capacity - 1));
        let identity = &region.region.header().identity;
        identity.magic.store(MAGIC, Ordering::Relaxed);
        identity.version.store(VERSION, Ordering::Relaxed);
        identity.fingerprint.store(fingerprint(), Ordering::Relaxed);
        identity.id.store(id, Ordering::Relaxed);
        identity.capacity.store(shape.capacity, Ordering::Relaxed);
        identity.start.store(shape.start, Ordering::Relaxed);
        Ok(region)
    }

    pub(crate) fn shape(&self) -> Shape {
        self.region.shape
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.region.fd
    }

    /// Does a record begin at `position` (or end there, if it is the head)? For positions not yet acknowledged.
    pub(crate) fn is_boundary(&self, position: u64) -> bool {
        let line = (position & (self.region.shape.capacity - 1)) as usize / LINE;
        // SYNC record-begins: set before the record's stamp; whoever has its acknowledgement sees it.
        self.begins[line / 64].load(Ordering::Relaxed) >> (line % 64) & 1 == 1
    }

    fn set_begin(&self, at: usize) {
        let line = at / LINE;
        let word = &self.begins[line / 64];
        word.store(word.load(Ordering::Relaxed) | 1 << (line % 64), Ordering::Relaxed);
    }

    /// The payload of a reserved record.
    pub(crate) fn payload(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: inside the mapping (checked by `at`); only this process can write it, and the record has not been
        // published: its one writer is the sending half, which the caller borrows.
        unsafe { std::slice::from_raw_parts(self.region.at(at, len), len) }
    }

    /// The payload of a reserved record, to be written in place. The caller is the only producer of this region and
    /// holds it exclusively (`Loan` borrows the sender), and the record is not published: nobody reads it but a
    /// hostile peer, which sees half-written bytes that are ours to give.
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn payload_mut(&self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: inside the mapping (checked by `at`), and exclusive by what the caller promises above.
        unsafe { std::slice::from_raw_parts_mut(self.region.at(at, len), len) }
    }
}

impl PeerRegion {
    /// Maps a region that came from elsewhere, after checking that it cannot change its size, cannot be written by
    /// anyone but its owner's existing mapping, and is really there.
    pub(crate) fn map(fd: Fd, shape: Shape) -> Result<PeerRegion, Violation> {
        if !shape.is_sane() {
            return Err(Violation::BadRegion);
        }
        let len = RING_AT + shape.capacity as usize;
        let mapping = memfd::map_sealed(&fd, len).ok_or(Violation::BadRegion)?;
        let region = Region { mapping, shape, fd };
        let identity = &region.header().identity;
        let same = identity.magic.load(Ordering::Relaxed) == MAGIC
            && identity.version.load(Ordering::Relaxed) == VERSION
            && identity.fingerprint.load(Ordering::Relaxed) == fingerprint()
            && identity.id.load(Ordering::Relaxed) == shape.id
            && identity.capacity.load(Ordering::Relaxed) == shape.capacity
            && identity.start.load(Ordering::Relaxed) == shape.start;
        if same { Ok(PeerRegion(region)) } else { Err(Violation::BadRegion) }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.0.shape
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0.fd
    }

    /// The payload bytes where they lie.
    pub(crate) fn payload(&self, at: usize, len: usize) -> *const [u8] {
        std::ptr::slice_from_raw_parts(self.0.at(at, len), len)
    }
}

impl Memory for OwnRegion {
    fn header(&self) -> &Header {
        self.region.header()
    }
    fn capacity(&self) -> usize {
        self.region.shape.capacity as usize
    }
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        self.region.word(at)
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        self.region.copy_out(at, to);
    }
}

impl MemoryMut for OwnRegion {
    #[inline]
    fn copy_in(&self, at: usize, from: &[u8]) {
        // SAFETY: the target range lies inside the mapping (checked by `at`), which is ours to write; payloads
        // and their parts start at multiples of 8; `from` cannot overlap the ring, as no safe reference into it
        // outlives a Loan.
        unsafe { raw::copy_in(from, self.region.at(at, from.len())) }
    }

    #[inline]
    fn bounded(&self, at: usize, size: usize) {
        // One line: there is no inside.
        let (mut line, end) = (at / LINE + 1, (at + size) / LINE);
        while line < end {
            let n = (end - line).min(64 - line % 64);
            let inside = u64::MAX >> (64 - n) << (line % 64);
            let word = &self.begins[line / 64];
            word.store(word.load(Ordering::Relaxed) & !inside, Ordering::Relaxed);
            line += n;
        }
        self.set_begin((at + size) & (self.capacity() - 1));
    }
}

impl Memory for PeerRegion {
    fn header(&self) -> &Header {
        self.0.header()
    }
    fn capacity(&self) -> usize {
        self.0.shape.capacity as usize
    }
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        self.0.word(at)
    }
    #[inline]
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        self.0.copy_out(at, to);
    }
}
