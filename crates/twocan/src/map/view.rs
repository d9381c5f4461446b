//! A mapped range of a map, and copies in and out of it.

use super::{Access, Handle, ViewStream, memory::Memory, range};
use crate::{Error, ErrorKind, Result, error};
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use zerocopy::{FromBytes, Immutable, IntoBytes, TryFromBytes};

/// A range of a [`MemoryMap`](crate::MemoryMap), mapped. It holds the map, and with it the name.
///
/// All reads and writes are copies. Others may write at the same moment: then a copy holds some
/// bytes from before and some from after (torn), but nothing worse happens. For words that must not
/// tear use [`atomic_u32`](View::atomic_u32) and [`atomic_u64`](View::atomic_u64).
///
/// # Examples
/// ```
/// use std::sync::atomic::Ordering;
/// use twocan::MemoryMap;
///
/// let view = MemoryMap::anonymous(64)?.view()?;
/// view.write(0, &42_u32)?;
/// view.write(8, "text")?;
/// assert_eq!(view.read::<u32>(0)?, 42);
/// assert_eq!(view.read_vec(8..12)?, b"text");
/// view.atomic_u32(4)?.fetch_add(1, Ordering::Relaxed);
/// # Ok::<(), twocan::Error>(())
/// ```
#[derive(Debug)]
pub struct View {
    // Before the handle: the mapping goes first, so that no mapping outlives the holder's lock.
    memory: Memory,
    access: Access,
    handle: Arc<Handle>,
}

impl View {
    pub(super) fn new(
        handle: Arc<Handle>,
        range: impl RangeBounds<u64>,
        access: Access,
    ) -> Result<View> {
        if !handle.access.allows(access) {
            let cause = format!("{} was opened {}", handle.words(), handle.access.words());
            let cure = format!("Open it {}", access.words());
            return Err(handle.about(ErrorKind::PermissionDenied, cause).with_cure(cure));
        }
        let (start, end) = range::resolve(&range, handle.len)
            .map_err(|shown| range::outside(&handle, None, &shown))?;
        if start == end {
            return Err(Error::new(ErrorKind::InvalidInput, "a view needs at least 1 byte"));
        }
        let memory = Memory::map(&handle, start, end, access)?;
        Ok(View { memory, access, handle })
    }

    /// Length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a view has at least one byte")]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// What this view allows.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Copies a value out.
    ///
    /// # Errors
    /// `OutOfRange`; `Forked` in a forked child.
    pub fn read<T: FromBytes>(&self, pos: usize) -> Result<T> {
        self.for_reading(pos, size_of::<T>())?;
        Ok(self.memory.read_value(pos))
    }

    /// Copies a value out and checks it: for types of which not every bit pattern is a value, such
    /// as `bool` and enums.
    ///
    /// # Errors
    /// `InvalidInput` if the bytes are no `T`; `OutOfRange`.
    pub fn try_read<T: TryFromBytes>(&self, pos: usize) -> Result<T> {
        let bytes = self.read_exactly(pos, size_of::<T>())?;
        T::try_read_from_bytes(&bytes).map_err(|_| {
            let (map, what) = (self.handle.words(), std::any::type_name::<T>());
            let cause = format!("the bytes at {pos} of {map} are no {what}");
            self.handle.about(ErrorKind::InvalidInput, cause)
        })
    }

    /// Copies out into a value or slice.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn read_into<T>(&self, pos: usize, to: &mut T) -> Result<()>
    where
        T: FromBytes + IntoBytes + ?Sized,
    {
        let bytes = to.as_mut_bytes();
        self.for_reading(pos, bytes.len())?;
        self.memory.copy_out(pos, bytes);
        Ok(())
    }

    /// Copies a range out.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn read_vec(&self, range: impl RangeBounds<usize>) -> Result<Vec<u8>> {
        let (start, end) = self.resolve(range)?;
        self.read_exactly(start, end - start)
    }

    /// Copies a value, a slice or a `str` in.
    ///
    /// # Errors
    /// `OutOfRange`; `PermissionDenied` for a view that is for reading only; `NoSpace` for a map
    /// that was not allocated.
    pub fn write<T>(&self, pos: usize, value: &T) -> Result<()>
    where
        T: IntoBytes + Immutable + ?Sized,
    {
        let bytes = value.as_bytes();
        self.for_writing(pos, bytes.len())?;
        self.memory.copy_in(pos, bytes);
        Ok(())
    }

    /// Sets every byte of a range.
    ///
    /// # Errors
    /// As [`write`](View::write).
    pub fn fill(&self, range: impl RangeBounds<usize>, byte: u8) -> Result<()> {
        let (start, end) = self.resolve(range)?;
        self.for_writing(start, end - start)?;
        self.memory.fill(start, end - start, byte);
        Ok(())
    }

    /// Writes what was stored to the file, and returns when it is there. Nothing to do for named
    /// and anonymous maps.
    ///
    /// # Errors
    /// What the system says about the file.
    pub fn flush(&self) -> Result<()> {
        self.flush_range(..)
    }

    /// As [`flush`](View::flush), for a range.
    ///
    /// # Errors
    /// As `flush`; `OutOfRange`.
    pub fn flush_range(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let (start, end) = self.resolve(range)?;
        self.check_fork()?;
        if !matches!(self.handle.backing, super::Backing::File { .. }) {
            return Ok(());
        }
        let flushed = self.memory.flush(start, end - start);
        flushed.map_err(|e| Error::from_os(format!("cannot write {}", self.handle.words()), e))
    }

    /// A word of the map as an atomic, shared with all who map it.
    ///
    /// # Errors
    /// `Misaligned`, `OutOfRange`; `PermissionDenied` for a view that is for reading only.
    pub fn atomic_u32(&self, pos: usize) -> Result<&AtomicU32> {
        self.for_atomic(pos, 4)?;
        Ok(self.memory.atomic_u32(pos))
    }

    /// A double word of the map as an atomic, shared with all who map it.
    ///
    /// # Errors
    /// As [`atomic_u32`](View::atomic_u32).
    pub fn atomic_u64(&self, pos: usize) -> Result<&AtomicU64> {
        self.for_atomic(pos, 8)?;
        Ok(self.memory.atomic_u64(pos))
    }

    /// Where the view lies in this process.
    pub fn as_ptr(&self) -> *const u8 {
        self.memory.as_ptr()
    }

    /// The bytes themselves.
    ///
    /// # Safety
    /// While the slice lives nobody writes to the range, in any process; the file is not cut short;
    /// in a map that was not allocated a hole that finds no memory ends the process.
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: passed on to the caller.
        unsafe { self.memory.as_slice() }
    }

    /// The bytes themselves, to change them.
    ///
    /// # Safety
    /// As [`as_slice`](View::as_slice), and nobody reads the range either; the view's access allows
    /// stores.
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: passed on to the caller.
        unsafe { self.memory.as_mut_slice() }
    }

    /// The view as a stream with a position, from its start.
    pub fn into_stream(self) -> ViewStream {
        ViewStream::new(self)
    }

    fn read_exactly(&self, pos: usize, len: usize) -> Result<Vec<u8>> {
        self.for_reading(pos, len)?;
        let mut bytes = vec![0; len];
        self.memory.copy_out(pos, &mut bytes);
        Ok(bytes)
    }

    fn resolve(&self, range: impl RangeBounds<usize>) -> Result<(usize, usize)> {
        let wide = (range.start_bound().map(|n| *n as u64), range.end_bound().map(|n| *n as u64));
        let (start, end) = range::resolve(&wide, self.len() as u64)
            .map_err(|shown| range::outside(&self.handle, Some(self.len() as u64), &shown))?;
        Ok((start as usize, end as usize))
    }

    fn check_fork(&self) -> Result<()> {
        if self.memory.is_forked() { Err(error::forked()) } else { Ok(()) }
    }

    fn check(&self, pos: usize, len: usize) -> Result<()> {
        self.check_fork()?;
        match pos.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            end => {
                let end = end.map_or_else(|| "(too large)".into(), |end| end.to_string());
                let shown = format!("{pos}..{end}");
                Err(range::outside(&self.handle, Some(self.len() as u64), &shown))
            }
        }
    }

    fn for_reading(&self, pos: usize, len: usize) -> Result<()> {
        self.check(pos, len)?;
        self.memory.touch(pos, len, false).map_err(|e| self.no_memory(e))
    }

    fn for_writing(&self, pos: usize, len: usize) -> Result<()> {
        self.check(pos, len)?;
        if !self.access.stores() {
            let (map, access) = (self.handle.words(), self.access.words());
            let cause = format!("this view of {map} is {access}");
            let error = self.handle.about(ErrorKind::PermissionDenied, cause);
            return Err(error.with_cure("Ask for Access::ReadWrite"));
        }
        self.memory.touch(pos, len, true).map_err(|e| self.no_memory(e))
    }

    fn for_atomic(&self, pos: usize, size: usize) -> Result<()> {
        self.for_writing(pos, size)?;
        if self.memory.is_aligned(pos, size) {
            return Ok(());
        }
        let map = self.handle.words();
        let cause = format!("{pos} is no multiple of {size} bytes in {map}");
        Err(self.handle.about(ErrorKind::Misaligned, cause))
    }

    fn no_memory(&self, e: std::io::Error) -> Error {
        let dir = match &self.handle.backing {
            super::Backing::Named(named) => Some(named.dir()),
            _ => None,
        };
        crate::named::not_made(e, &self.handle.words(), self.handle.len, dir)
    }
}
