//! The raw pointers of a view: all bounds are checked here once more, so that the functions are
//! safe.

use super::{Access, Handle};
use crate::sys::memory::{self, Mapping, Protection};
use crate::{Error, ErrorKind, Result, raw};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use zerocopy::FromBytes;

/// Bytes that are given memory at once in a map that was not allocated.
const CHUNK: usize = 64 * 1024;

/// A mapped range of any start and length.
#[derive(Debug)]
pub(super) struct Memory {
    mapping: Mapping,
    /// From the start of the mapping, which lies on a page, to the start of the view.
    offset: usize,
    len: usize,
    /// Only for maps with holes.
    holes: Option<Holes>,
}

/// Which chunks of the mapping have memory: one bit each for "may be read" and "may be written".
#[derive(Debug)]
struct Holes {
    read: Box<[AtomicU64]>,
    written: Box<[AtomicU64]>,
}

impl Memory {
    pub(super) fn map(handle: &Handle, start: u64, end: u64, access: Access) -> Result<Memory> {
        let offset = start % memory::granularity();
        let too_long = || {
            let cause = format!("{start}..{end} is longer than this system can map");
            Error::new(ErrorKind::OutOfRange, cause)
        };
        let len = usize::try_from(end - start).map_err(|_| too_long())?;
        let (offset, from) = (offset as usize, start - offset);
        let whole = len.checked_add(offset).ok_or_else(too_long)?;
        let protection = Protection {
            write: access.stores(),
            execute: access.executes(),
            private: access == Access::CopyOnWrite,
        };
        let mapping = Mapping::of_file(handle.fd(), from, whole, protection, handle.inheritable);
        let mapping = mapping.map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied if protection.execute => {
                let cause = format!("code cannot be run in {} here", handle.words());
                Error::new(ErrorKind::Unsupported, cause)
            }
            _ => Error::from_os(format!("cannot map {}", handle.words()), e),
        })?;
        let bits = whole.div_ceil(CHUNK).div_ceil(64);
        let empty = || (0..bits).map(|_| AtomicU64::new(0)).collect();
        let holes = handle.sparse.then(|| Holes { read: empty(), written: empty() });
        Ok(Memory { mapping, offset, len, holes })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_forked(&self) -> bool {
        self.mapping.is_forked()
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.at(0)
    }

    /// Makes sure that the range has memory, in a map with holes.
    pub(super) fn touch(&self, pos: usize, len: usize, write: bool) -> io::Result<()> {
        let Some(holes) = &self.holes else { return Ok(()) };
        let bits = if write { &holes.written } else { &holes.read };
        if len == 0 {
            return Ok(());
        }
        let (first, last) = (pos + self.offset, pos + self.offset + len - 1);
        for chunk in first / CHUNK..=last / CHUNK {
            let (word, bit) = (&bits[chunk / 64], 1 << (chunk % 64));
            // A remembered "yes" is only ever about memory that stays: Relaxed.
            if word.load(Ordering::Relaxed) & bit == 0 {
                self.mapping.populate(chunk * CHUNK, CHUNK, write)?;
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    pub(super) fn flush(&self, pos: usize, len: usize) -> io::Result<()> {
        self.mapping.flush(self.offset + pos, len)
    }

    pub(super) fn is_aligned(&self, pos: usize, size: usize) -> bool {
        self.at(pos) as usize % size == 0
    }

    /// The address of a byte of the view. A forked child has no mapping: callers have asked.
    fn at(&self, pos: usize) -> *mut u8 {
        debug_assert!(pos <= self.len);
        // SAFETY: offset + len is the length of the mapping, and pos <= len.
        unsafe { self.mapping.base().as_ptr().add(self.offset + pos) }
    }

    /// The address of `len` bytes that the view has.
    fn range(&self, pos: usize, len: usize) -> *mut u8 {
        let inside = pos.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside && !self.is_forked(), "{pos} + {len} of {}", self.len);
        self.at(pos)
    }

    pub(super) fn copy_out(&self, pos: usize, to: &mut [u8]) {
        let from = self.range(pos, to.len());
        // SAFETY: `range` has checked the shared side; `to` is ours alone, and no part of the
        // mapping.
        unsafe { raw::copy(from, to.as_mut_ptr(), to.len()) };
    }

    pub(super) fn copy_in(&self, pos: usize, from: &[u8]) {
        let to = self.range(pos, from.len());
        // SAFETY: `range` has checked the shared side, the caller that it may be written; `from`
        // does not change meanwhile.
        unsafe { raw::copy(from.as_ptr(), to, from.len()) };
    }

    pub(super) fn fill(&self, pos: usize, len: usize, byte: u8) {
        let to = self.range(pos, len);
        // SAFETY: `range` has checked the range, the caller that it may be written.
        unsafe { raw::fill(to, byte, len) };
    }

    pub(super) fn read_value<T: FromBytes>(&self, pos: usize) -> T {
        let from = self.range(pos, size_of::<T>());
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `range` has checked the shared side; every byte of `value` is written, and T is
        // valid for any bytes.
        unsafe {
            raw::copy(from, value.as_mut_ptr().cast(), size_of::<T>());
            value.assume_init()
        }
    }

    pub(super) fn atomic_u32(&self, pos: usize) -> &AtomicU32 {
        assert!(self.is_aligned(pos, 4));
        // SAFETY: in range, aligned, and mapped for writing by the caller's check; lives as long as
        // the mapping.
        unsafe { &*self.range(pos, 4).cast() }
    }

    pub(super) fn atomic_u64(&self, pos: usize) -> &AtomicU64 {
        assert!(self.is_aligned(pos, 8));
        // SAFETY: in range, aligned, and mapped for writing by the caller's check; lives as long as
        // the mapping.
        unsafe { &*self.range(pos, 8).cast() }
    }

    /// # Safety
    /// Nobody writes to the bytes while the slice lives.
    pub(super) unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the view's range is mapped; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.range(0, self.len), self.len) }
    }

    /// # Safety
    /// Nobody else reads or writes the bytes while the slice lives, and the view may be written.
    pub(super) unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the view's range is mapped; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.range(0, self.len), self.len) }
    }
}
