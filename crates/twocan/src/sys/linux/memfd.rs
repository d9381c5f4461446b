//! Regions of memory that are handed to another process, and copies that may race with it.

use super::fd::Fd;
use crate::error::{Error, Result};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What `fstatfs` says of memory that swaps and has 4 KiB pages; huge-page files pass the same seals and must not
/// get through, since touching them can fail.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Everything an owner seals away: size, and any write that does not come from a mapping made before.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::FUTURE_WRITE)
    .union(SealFlags::SEAL);

/// A shared mapping; not inherited by forked children.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    len: usize,
    /// The process it was made in: a forked child does not have it.
    generation: u32,
}

// SAFETY: a mapping is plain memory that any thread may reach; all access goes through atomics and racy copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(fd: &Fd, len: usize, protection: ProtFlags) -> rustix::io::Result<Mapping> {
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe {
            rustix::mm::mmap(null_mut(), len, protection, MapFlags::SHARED, fd, 0)?
        };
        let mapping = Mapping {
            address: NonNull::new(address.cast()).ok_or(rustix::io::Errno::NOMEM)?,
            len,
            generation: super::fork::generation(),
        };
        // SAFETY: exactly the range just mapped. A child must not write its parent's region.
        unsafe { rustix::mm::madvise(address, len, Advice::LinuxDontFork)? };
        Ok(mapping)
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if super::fork::generation() != self.generation {
            return; // a forked child never had it
        }
        // SAFETY: exactly the range that `new` mapped in this process; nobody borrows it any more.
        let _ = unsafe { rustix::mm::munmap(self.address.as_ptr().cast(), self.len) };
    }
}

/// An allocated memfd of `len` bytes, mapped read-write and then sealed: from now on only this mapping can write.
pub(crate) fn create_sealed(len: usize) -> Result<(Fd, Mapping)> {
    let no_space = |e: rustix::io::Errno| {
        Error::from_os(format_args!("no memory for a region of {} KiB", len >> 10), e)
            .with_cure("Free some, or ask for a smaller send_capacity")
    };
    let fd = Fd::make(|| {
        rustix::fs::memfd_create("twocan", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
    })
    .map_err(|e| Error::from_os("cannot make a region of memory", e))?;
    rustix::fs::ftruncate(&fd, len as u64).map_err(no_space)?;
    rustix::fs::fallocate(&fd, rustix::fs::FallocateFlags::empty(), 0, len as u64).map_err(no_space)?;
    let mapping = Mapping::new(&fd, len, ProtFlags::READ | ProtFlags::WRITE).map_err(no_space)?;
    rustix::fs::fcntl_add_seals(&fd, SEALS)
        .map_err(|e| Error::from_os("cannot seal a region of memory", e))?;
    Ok((fd, mapping))
}

/// Maps somebody else's region read-only, or `None` if it is not sealed, not ordinary memory, not exactly `len`
/// bytes long, not allocated throughout, or cannot be mapped.
pub(crate) fn map_sealed(fd: &Fd, len: usize) -> Option<Mapping> {
    let stat = rustix::fs::fstat(fd).ok()?;
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
    let sealed = rustix::fs::fcntl_get_seals(fd).is_ok_and(|s| s.contains(SEALS));
    let ordinary = rustix::fs::fstatfs(fd).is_ok_and(|s| s.f_type as u64 == TMPFS_MAGIC);
    let exact = stat.st_size as u64 == len as u64;
    // A hole would be filled, and paid for, by our reading.
    let allocated = stat.st_blocks as u64 * 512 >= len as u64;
    let checked = regular && sealed && ordinary && exact && allocated;
    if !checked && !cfg!(twocan_mutant = "no-region-check") {
        return None;
    }
    Mapping::new(fd, len, ProtFlags::READ).ok()
}

/// Up to here the word-by-word copy costs no more than a string instruction takes to start.
const SMALL: usize = 256;

/// Copies out of memory that another process may be writing: then the result is a mixture of old and new bytes.
///
/// # Safety
/// `from` is readable for `to.len()` bytes and does not overlap `to`. The compiler sees neither a reference nor a
/// plain access to the shared side: small copies are relaxed atomics, large ones one opaque string instruction.
#[inline]
pub(crate) unsafe fn copy_out(from: *const u8, to: &mut [u8]) {
    if to.len() > SMALL && cfg!(target_arch = "x86_64") {
        // SAFETY: the caller's promise for `from`; `to` is an exclusive slice.
        return unsafe { copy_string(from, to.as_mut_ptr(), to.len()) };
    }
    if !from.addr().is_multiple_of(8) {
        for (i, byte) in to.iter_mut().enumerate() {
            // SAFETY: inside the range that the caller vouches for; a byte is always aligned.
            *byte = unsafe { (*from.add(i).cast::<AtomicU8>()).load(Ordering::Relaxed) };
        }
        return;
    }
    let whole = to.len() / 8 * 8;
    let (words, tail) = to.split_at_mut(whole);
    for (i, chunk) in words.chunks_exact_mut(8).enumerate() {
        // SAFETY: inside the range that the caller vouches for, aligned to 8 (checked above).
        let word = unsafe { (*from.add(i * 8).cast::<AtomicU64>()).load(Ordering::Relaxed) };
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    for (i, byte) in tail.iter_mut().enumerate() {
        // SAFETY: as above; a byte is always aligned.
        *byte = unsafe { (*from.add(whole + i).cast::<AtomicU8>()).load(Ordering::Relaxed) };
    }
}

/// Copies into memory that another process may be reading.
///
/// # Safety
/// `to` is writable for `from.len()` bytes, aligned to 8, and does not overlap `from`. See [`copy_out`].
#[inline]
pub(crate) unsafe fn copy_in(from: &[u8], to: *mut u8) {
    if from.len() > SMALL && cfg!(target_arch = "x86_64") {
        // SAFETY: the caller's promise for `to`; `from` is a slice.
        return unsafe { copy_string(from.as_ptr(), to, from.len()) };
    }
    debug_assert!(to.addr().is_multiple_of(8));
    let whole = from.len() / 8 * 8;
    for (i, chunk) in from[..whole].chunks_exact(8).enumerate() {
        let word = u64::from_ne_bytes(chunk.try_into().expect("chunks of 8"));
        // SAFETY: inside the range that the caller vouches for, aligned to 8.
        unsafe { (*to.add(i * 8).cast::<AtomicU64>()).store(word, Ordering::Relaxed) };
    }
    for (i, byte) in from[whole..].iter().enumerate() {
        // SAFETY: as above; a byte is always aligned.
        unsafe { (*to.add(whole + i).cast::<AtomicU8>()).store(*byte, Ordering::Relaxed) };
    }
}

/// One string instruction, which the compiler cannot look into.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes; the two do not overlap.
#[inline]
unsafe fn copy_string(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's promise is that of the instruction: it reads `len` bytes at rsi and writes them at rdi,
    // upwards (the direction flag is clear by the ABI).
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: as above.
    unsafe {
        // Not reached: the callers ask for it on x86-64 only.
        let _ = (from, to, len);
        core::hint::unreachable_unchecked()
    }
}
