//! All raw pointers of the channel: one region of shared memory, and bounded copies in and out of
//! it.

use crate::error::{Result, Violation};
use crate::layout::*;
use crate::raw;
use crate::ring::{Lines, Memory, MemoryMut, ONE_LINE, Starts};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::closer::Shy;
use crate::sys::fd::Fd;
use crate::sys::memfd;
use crate::sys::memory::Mapping;
use std::marker::PhantomData;

/// What one end knows about a region before it reads it: told in the handshake, checked against the
/// memory.
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
    /// Behind the last record, padding included. Private to the process: the peer finds its way by
    /// the stamps.
    head: AtomicU64,
    starts: Starts,
    /// Bytes from the first position on: once the head has come so far, the pages behind it are
    /// made. `u64::MAX`: all are.
    ahead_at: AtomicU64,
}

/// Pages are made so many bytes at a time in the first lap, when the head comes within half of it:
/// one call is cheaper than a fault for each page, and nobody waits for long.
const STEP: u64 = 64 << 10;
/// Who has sent no more than this may never send much: its pages come one by one.
const QUIET: u64 = 16 << 10;

/// A region of the other seat, or of a predecessor in our own: read-only.
#[derive(Debug)]
pub(crate) struct PeerRegion(Region);

impl Region {
    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the mapping is at least RING_AT bytes long, page-aligned, lives as long as
        // `self`, and the header consists of atomics only, which are valid for any bytes and may
        // change under us.
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
        // SAFETY: inside the mapping (checked by `at`), aligned to 8 (RING_AT and `at` are), lives
        // as long as `self`; an atomic may change under us.
        unsafe { &*self.at(at, 8).cast::<AtomicU64>() }
    }

    #[inline]
    fn ring(&self) -> Ring<'_> {
        // SAFETY: the mapping is RING_AT + capacity bytes long.
        let base = unsafe { self.mapping.base().as_ptr().add(RING_AT) };
        Ring { base, mask: self.shape.capacity - LINE as u64, region: PhantomData }
    }

    #[inline]
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        // SAFETY: the source range lies inside the mapping (checked by `at`); `to` is ours.
        unsafe { raw::copy_out(self.at(at, to.len()), to) }
    }
}

/// The lines of a ring.
#[derive(Clone, Copy)]
pub(crate) struct Ring<'a> {
    base: *mut u8,
    /// Capacity less a line: takes a position to the line it lies in.
    mask: u64,
    region: PhantomData<&'a Region>,
}

impl<'a> Lines<'a> for Ring<'a> {
    #[inline]
    fn stamp(self, position: u64) -> &'a AtomicU64 {
        // SAFETY: the capacity is a power of two and at least a line, so the masked line lies
        // inside the ring as a whole; aligned to 64; mapped while the region is borrowed; an atomic
        // may change under us.
        unsafe { &*self.base.add((position & self.mask) as usize).cast::<AtomicU64>() }
    }
    #[inline]
    fn head(self, position: u64) -> &'a AtomicU64 {
        // SAFETY: as above, 8 bytes behind, which is inside the same line.
        unsafe { &*self.base.add((position & self.mask) as usize + 8).cast::<AtomicU64>() }
    }
}

impl<'a> Ring<'a> {
    /// The header of the region that the ring is part of.
    #[inline(always)]
    pub(crate) fn header(self) -> &'a Header {
        // SAFETY: the mapping begins RING_AT bytes before the ring, with the header, and is mapped
        // while the region is borrowed; its words are atomics and may change under us.
        unsafe { &*self.base.sub(RING_AT).cast::<Header>() }
    }

    /// Copies the payload of a record of one line.
    #[inline(always)]
    pub(crate) fn copy_out(self, position: u64, to: &mut [u8]) {
        // SAFETY: the line is readable as a whole; `to` is ours.
        unsafe { raw::copy_out(self.payload(position, to.len()), to) }
    }

    /// The payload of a record of one line.
    #[inline(always)]
    fn payload(self, position: u64, len: usize) -> *mut u8 {
        assert!(len <= ONE_LINE, "a line holds no more");
        // SAFETY: as in `stamp`: the line lies inside the ring, and the payload inside the line.
        unsafe { self.base.add((position & self.mask) as usize + RECORD_HEAD) }
    }

    /// The first line of a record at `position` is about to be looked at: may those behind it be on
    /// their way at the same time.
    #[inline(always)]
    pub(crate) fn expect_read(self, position: u64, lines: u64) {
        for line in 1..lines {
            raw::expect_read(self.stamp(position.wrapping_add(line * LINE as u64)));
        }
    }
}

impl OwnRegion {
    /// Makes a region of its own: mapped read-write, then sealed so that nobody else ever writes
    /// it. Allocated if it must be `whole`.
    pub(crate) fn create(
        capacity: usize,
        shape_start: u64,
        id: u64,
        whole: bool,
    ) -> Result<OwnRegion> {
        let shape = Shape { id, capacity: capacity as u64, start: shape_start };
        assert!(shape.is_sane(), "the options have been checked");
        let (fd, mapping) = memfd::create_sealed(RING_AT + capacity, whole)?;
        let region = Region { mapping, shape, fd };
        let identity = &region.header().identity;
        identity.magic.store(MAGIC, Ordering::Relaxed);
        identity.version.store(VERSION, Ordering::Relaxed);
        identity.fingerprint.store(fingerprint(), Ordering::Relaxed);
        identity.id.store(id, Ordering::Relaxed);
        identity.capacity.store(shape.capacity, Ordering::Relaxed);
        identity.start.store(shape.start, Ordering::Relaxed);
        let (starts, ahead_at) = (Starts::of_zeros(capacity), AtomicU64::new(QUIET));
        let own = OwnRegion { region, head: AtomicU64::new(shape_start), starts, ahead_at };
        own.starts.add(shape_start);
        // The reader looks here before anything is sent. It touches no page that its owner has not:
        // the page's first stamp is zeroed before, or a byte of payload lies there.
        own.lines().stamp(shape_start).store(0, Ordering::Relaxed);
        Ok(own)
    }

    /// Does the head come near pages that are not made yet?
    #[inline(always)]
    pub(crate) fn wants_pages(&self, head: u64) -> bool {
        head.wrapping_sub(self.region.shape.start) >= self.ahead_at.load(Ordering::Relaxed)
    }

    /// Makes the next pages of the first lap.
    #[cold]
    #[inline(never)]
    pub(crate) fn make_pages(&self, head: u64) {
        let sent = head.wrapping_sub(self.region.shape.start);
        let capacity = self.region.shape.capacity;
        let known = self.ahead_at.load(Ordering::Relaxed);
        let made = if known == QUIET { 0 } else { known + STEP / 2 };
        // A large record may have passed what was made.
        let from = sent.max(made);
        if from >= capacity {
            return self.ahead_at.store(u64::MAX, Ordering::Relaxed);
        }
        let at = (self.region.shape.start.wrapping_add(from) & (capacity - 1)) as usize;
        let limit = if cfg!(twocan_mutant = "all-ahead") { capacity } else { STEP };
        let step = limit.min(capacity - from) as usize;
        let first = step.min(capacity as usize - at);
        // Refused, it comes page by page.
        let _ = self.region.mapping.populate(RING_AT + at, first, true);
        let _ = self.region.mapping.populate(RING_AT, step - first, true);
        // Halfway through what was made.
        self.ahead_at.store(from + STEP / 2, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        self.region.shape
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.region.fd
    }

    /// Where this end's records end, padding included. At least as new as anything the peer can
    /// have seen.
    pub(crate) fn head(&self) -> u64 {
        // SYNC own-head: stored before the stamp that the peer saw before it acknowledged.
        self.head.load(Ordering::Acquire)
    }

    /// Does a record begin at `position` (or end there, if it is the last)? For positions from the
    /// acknowledged one to the head. A peer that acknowledges half a record would leave its
    /// successor in the middle of payload.
    pub(crate) fn is_boundary(&self, position: u64) -> bool {
        self.starts.has(position)
    }

    /// Touches all of it now. The memory is there already, so nothing can fail that matters.
    pub(crate) fn populate(&self) {
        let _ = self.region.mapping.populate(0, self.region.mapping.len(), true);
        self.ahead_at.store(u64::MAX, Ordering::Relaxed);
    }

    /// The payload of a reserved record.
    #[inline]
    pub(crate) fn payload(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: inside the mapping (checked by `at`); only this process can write it, and the
        // record has not been published: its one writer is the sending half, which the caller
        // borrows.
        unsafe { std::slice::from_raw_parts(self.region.at(at, len), len) }
    }

    /// The payload of a reserved record, to be written in place. The caller is the only producer of
    /// this region and holds it exclusively (`Loan` borrows the sender), and the record is not
    /// published: nobody reads it but a hostile peer, which sees half-written bytes that are ours
    /// to give.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn payload_mut(&self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: inside the mapping (checked by `at`), and exclusive by what the caller promises
        // above.
        unsafe { std::slice::from_raw_parts_mut(self.region.at(at, len), len) }
    }
}

impl PeerRegion {
    /// Maps a region that came from elsewhere, after checking that it cannot change its size,
    /// cannot be written by anyone but its owner's existing mapping, and is really there (all of
    /// it, if it must be `whole`). The error `None` is nobody's fault: this process has no room for
    /// it now.
    pub(crate) fn map(fd: Shy, shape: Shape, whole: bool) -> Result<PeerRegion, Option<Violation>> {
        let bad = || Some(Violation::BadRegion);
        if !shape.is_sane() {
            return Err(bad());
        }
        let len = RING_AT + shape.capacity as usize;
        let mapping = memfd::map_sealed(fd.fd(), len, whole).ok_or_else(bad)?.map_err(|_| {
            if cfg!(twocan_mutant = "no-room-is-their-fault") { bad() } else { None }
        })?;
        let fd = fd.trusted().ok_or_else(bad)?;
        let region = Region { mapping, shape, fd };
        let identity = &region.header().identity;
        let same = identity.magic.load(Ordering::Relaxed) == MAGIC
            && identity.version.load(Ordering::Relaxed) == VERSION
            && identity.fingerprint.load(Ordering::Relaxed) == fingerprint()
            && identity.id.load(Ordering::Relaxed) == shape.id
            && identity.capacity.load(Ordering::Relaxed) == shape.capacity
            && identity.start.load(Ordering::Relaxed) == shape.start;
        if same { Ok(PeerRegion(region)) } else { Err(bad()) }
    }

    #[inline]
    pub(crate) fn shape(&self) -> Shape {
        self.0.shape
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0.fd
    }

    /// Touches all of it now, for reading.
    pub(crate) fn populate(&self) {
        let _ = self.0.mapping.populate(0, self.0.mapping.len(), false);
    }

    /// The payload bytes where they lie.
    #[inline]
    pub(crate) fn payload(&self, at: usize, len: usize) -> *const [u8] {
        std::ptr::slice_from_raw_parts(self.0.at(at, len), len)
    }
}

impl Memory for OwnRegion {
    #[inline]
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
    type Lines<'a> = Ring<'a>;
    #[inline]
    fn lines(&self) -> Ring<'_> {
        self.region.ring()
    }
    #[inline]
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        self.region.copy_out(at, to);
    }
}

impl MemoryMut for OwnRegion {
    #[inline(always)]
    fn copy_in(&self, at: usize, from: &[u8]) {
        // SAFETY: the target range lies inside the mapping (checked by `at`), which is ours to
        // write; payloads and their parts start at multiples of 8; `from` cannot overlap the ring,
        // as no safe reference into it outlives a Loan.
        unsafe { raw::copy_in(from, self.region.at(at, from.len())) }
    }
    #[inline(always)]
    fn copy_in_line(&self, position: u64, from: &[u8]) {
        // SAFETY: as above, and inside the line.
        unsafe { raw::copy_in(from, self.lines().payload(position, from.len())) }
    }
    #[inline(always)]
    fn begins(&self, position: u64) -> bool {
        self.starts.add(position)
    }
    #[inline(always)]
    fn blank_until(&self, position: u64) -> u64 {
        self.starts.run_from(position)
    }
    #[inline(always)]
    fn covers(&self, position: u64, lines: usize) {
        if lines > 0 {
            self.starts.cover(position, lines);
        }
    }
    #[inline(always)]
    fn places(&self, position: u64, lines: usize) -> bool {
        self.starts.place(position, lines)
    }
    #[inline(always)]
    fn places_near(&self, position: u64, lines: usize) -> Option<bool> {
        self.starts.place_near(position, lines)
    }
    #[inline(always)]
    fn head_moves(&self, head: u64) {
        // SYNC own-head: pairs with the check of a last acknowledgement, by way of the stamp stored
        // after this.
        self.head.store(head, Ordering::Release);
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
    type Lines<'a> = Ring<'a>;
    #[inline]
    fn lines(&self) -> Ring<'_> {
        self.0.ring()
    }
    #[inline]
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        self.0.copy_out(at, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Kind, record_size};
    use crate::ring::{MemoryMut, Producer};

    #[test]
    fn records_begin_where_they_begin_and_nowhere_else() {
        let capacity = 64 << 10;
        let own = OwnRegion::create(capacity, 0u64.wrapping_sub(4096), 7, false).unwrap();
        let mut producer = Producer::new(own.shape().start, capacity);
        let mut begins = vec![own.shape().start];
        let lengths = [0, 48, 49, 5000, 16000, 64, 8192, 1, 12000, 9000, 16368];
        for len in lengths.iter().cycle().take(200) {
            while producer.push(&own, Kind::Data, [&[], &vec![1; *len]]).is_err() {
                assert!(producer.credit(producer.head()));
                begins = vec![producer.head()];
            }
            begins.push(own.head());
            let mut at = begins[0];
            while at != own.head().wrapping_add(LINE as u64) {
                // Padding begins and ends somewhere, too; its end is the ring's.
                let wraps = at & (capacity as u64 - 1) == 0;
                let is = begins.contains(&at);
                assert!(!is || own.is_boundary(at), "{at:x} is one");
                assert!(is || wraps || !own.is_boundary(at) || at == own.head(), "{at:x} is none");
                at = at.wrapping_add(LINE as u64);
            }
        }
        assert_eq!(record_size(0), LINE);
        own.copy_in(0, &[]);
    }

    #[test]
    fn a_region_has_the_pages_that_were_used_and_the_next_few() {
        const MIB: u64 = 1 << 20;
        let make =
            |whole| OwnRegion::create(MIB as usize, 4 * MIB - (100 << 10), 7, whole).unwrap();
        let pages = |own: &OwnRegion| memfd::allocated(own.fd());
        assert!(pages(&make(true)) > MIB, "allocated at once");
        let strict = crate::sys::memory::is_counted_strictly();
        let own = make(false);
        if strict {
            println!("skipped: this system promises no memory that it has not");
            return;
        }
        let page = crate::sys::memory::page_size() as u64;
        assert_eq!(pages(&own), RING_AT as u64 + page);
        // Where the reader looks next is a page, too.
        let small = OwnRegion::create(16 << 10, 0, 7, false).unwrap();
        let mut producer = Producer::new(0, 16 << 10);
        while producer.push(&small, Kind::Data, [&[], &[1; 48]]).is_ok() {
            let least = RING_AT as u64 + (small.head() / page + 1) * page;
            assert!(pages(&small) >= least, "{}: {}", small.head(), pages(&small));
        }
        let mut producer = Producer::new(own.shape().start, MIB as usize);
        let (mut sent, most) =
            (0, |sent: u64| 4 * page + (sent + if sent < QUIET { 0 } else { 2 * STEP }).min(MIB));
        // Once round, over the ring's end.
        while producer.push(&own, Kind::Data, [&[], &[1; 3000]]).is_ok() {
            // As the sending half does after each message.
            if own.wants_pages(own.head()) {
                own.make_pages(own.head());
            }
            sent = own.head().wrapping_sub(own.shape().start);
            let least = if sent < QUIET + 4096 { sent } else { (sent + STEP / 4).min(MIB) };
            assert!(pages(&own) >= least, "{sent}: {}", pages(&own));
            assert!(pages(&own) >= sent && pages(&own) <= most(sent), "{sent}: {}", pages(&own));
        }
        assert!(sent > MIB - 8192 && pages(&own) == RING_AT as u64 + MIB);
        own.populate();
    }
}
