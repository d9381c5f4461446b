//! Plain shared memory for the physical limits and for meeting: a file in the session's folder,
//! mapped by both ends.

use crate::task::Side;
use anyhow::{Context, Result};
use memmap2::{MmapOptions, MmapRaw};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64};

pub(crate) struct Shared(MmapRaw);

impl Shared {
    /// Side A makes it, under another name until it has its size; side B waits for it.
    pub(crate) fn open(path: &Path, len: usize, side: Side) -> Result<Shared> {
        if side == Side::A {
            let draft = path.with_extension("draft");
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).open(&draft)?;
            file.set_len(len as u64)?;
            let map = MmapOptions::new().map_raw(&file)?;
            std::fs::rename(draft, path)?;
            return Ok(Shared(map));
        }
        wait_for(path)?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Shared(MmapOptions::new().map_raw(&file)?))
    }

    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.0.len()), "inside the map");
        // SAFETY: inside the mapping, as just checked.
        unsafe { self.0.as_mut_ptr().add(offset) }
    }

    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8));
        // SAFETY: aligned, inside the mapping, which lives as long as `self`; atomic on both sides.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast()) }
    }

    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4));
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast()) }
    }

    /// Copies in. The caller's protocol keeps the other side away from these bytes meanwhile.
    #[inline]
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: inside the mapping; a private buffer does not overlap it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Copies out; as [`copy_in`](Shared::copy_in).
    #[inline]
    pub(crate) fn copy_out(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.at(offset, bytes.len());
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }
}

/// Waits until the other end has made a file. Its supervisor ends it if that never happens.
pub(crate) fn wait_for(path: &Path) -> Result<()> {
    while !path.try_exists().with_context(|| format!("looking for {}", path.display()))? {
        std::thread::yield_now();
    }
    Ok(())
}
