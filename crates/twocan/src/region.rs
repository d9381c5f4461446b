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
pub(crate) struct OwnRegion(Region);

/// A region of the other seat, or of a predecessor in our own: read-only.
#[derive(Debug)]
pub(crate) struct PeerRegion(Region);

impl Region {
    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the mapping is at least RING_AT bytes long, page-aligned, lives as long as `self`, and the header
        // consists of atomics only, which are valid for any bytes and may change under us.
        unsafe { &*self.mapping.base().as_ptr().cast::<Header>() }
    }

    #[inline]
    fn at(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at + len <= self.shape.capacity as usize, "a copy leaves the ring");
        // SAFETY: the mapping is RING_AT + capacity bytes long, and the line above keeps us inside.
        unsafe { self.mapping.base().as_ptr().add(RING_AT + at) }
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at % 8 == 0);
        // SAFETY: inside the mapping (checked by `at`), aligned to 8 (RING_AT and `at` are), lives as long as
        // `self`; an atomic may change under us.
        unsafe { &*self.at(at, 8).cast::<AtomicU64>() }
    }

    #[inline]
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
        let region = OwnRegion(Region { mapping, shape, fd });
        let identity = &region.0.header().identity;
        identity.magic.store(MAGIC, Ordering::Relaxed);
        identity.version.store(VERSION, Ordering::Relaxed);
        identity.fingerprint.store(fingerprint(), Ordering::Relaxed);
        identity.id.store(id, Ordering::Relaxed);
        identity.capacity.store(shape.capacity, Ordering::Relaxed);
        identity.start.store(shape.start, Ordering::Relaxed);
        Ok(region)
    }

    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        self.0.shape
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0.fd
    }

    /// The payload of a reserved record.
    pub(crate) fn payload(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: inside the mapping (checked by `at`); only this process can write it, and the record has not been
        // published: its one writer is the sending half, which the caller borrows.
        unsafe { std::slice::from_raw_parts(self.0.at(at, len), len) }
    }

    /// The payload of a reserved record, to be written in place. The caller is the only producer of this region and
    /// holds it exclusively (`Loan` borrows the sender), and the record is not published: nobody reads it but a
    /// hostile peer, which sees half-written bytes that are ours to give.
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn payload_mut(&self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: inside the mapping (checked by `at`), and exclusive by what the caller promises above.
        unsafe { std::slice::from_raw_parts_mut(self.0.at(at, len), len) }
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

    #[inline]
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
    #[inline]
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

impl MemoryMut for OwnRegion {
    #[inline]
    fn copy_in(&self, at: usize, from: &[u8]) {
        // SAFETY: the target range lies inside the mapping (checked by `at`), which is ours to write; payloads
        // and their parts start at multiples of 8; `from` cannot overlap the ring, as no safe reference into it
        // outlives a Loan.
        unsafe { raw::copy_in(from, self.0.at(at, from.len())) }
    }
}

impl Memory for PeerRegion {
    #[inline]
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
