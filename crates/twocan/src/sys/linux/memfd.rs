//! Sealed memory that is handed to another process.

use super::fd::Fd;
use super::memory::{Mapping, Protection};
use crate::error::{Error, Result};
use rustix::fs::{MemfdFlags, SealFlags};
use std::os::fd::AsFd;

/// What `fstatfs` says of memory that swaps and has 4 KiB pages; huge-page files pass the same
/// seals and must not get through, since touching them can fail.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Everything an owner seals away: size, and any write that does not come from a mapping made
/// before.
const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// A memfd of `len` bytes, mapped read-write and then sealed: from now on only this mapping can
/// write. `whole`: all of it is allocated now; else each page when it is first stored to, or when
/// the system could refuse it then.
pub(crate) fn create_sealed(len: usize, whole: bool) -> Result<(Fd, Mapping)> {
    let no_space = |e: std::io::Error| {
        Error::from_os(format_args!("no memory for a region of {} KiB", len >> 10), e)
            .with_cure("Free some, or ask for a smaller send_capacity")
    };
    let fd = Fd::make(|| {
        rustix::fs::memfd_create("twocan", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
    })
    .map_err(|e| Error::from_os("cannot make a region of memory", e))?;
    let strict = super::memory::is_counted_strictly();
    let whole = whole || strict || cfg!(twocan_mutant = "all-at-once");
    super::object::set_len(fd.as_fd(), len as u64, whole).map_err(no_space)?;
    let mapping = Mapping::of_file(fd.as_fd(), 0, len, Protection::READ_WRITE, false)
        .map_err(|e| Error::from_os("cannot map a region of memory", e))?;
    rustix::fs::fcntl_add_seals(&fd, SEALS)
        .map_err(|e| Error::from_os("cannot seal a region of memory", e))?;
    Ok((fd, mapping))
}

/// A memfd for a map without a name: of `len` bytes for ever, written by whoever maps it.
pub(crate) fn create_fixed(len: u64, allocate: bool, inheritable: bool) -> std::io::Result<Fd> {
    let make = |more| rustix::fs::memfd_create("twocan-map", MemfdFlags::ALLOW_SEALING | more);
    let fd = if inheritable {
        Fd::inheritable(make(MemfdFlags::empty())?)
    } else {
        Fd::make(|| make(MemfdFlags::CLOEXEC))?
    };
    super::object::set_len(fd.as_fd(), len, allocate)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Maps somebody else's region read-only, or `None` if it is not sealed, not ordinary memory, not
/// exactly `len` bytes long, or not allocated throughout (if it must be `whole`). The error inside
/// is this process's own: it has no room for it. What is not allocated is filled by our reading, at
/// most once, and charged to us.
pub(crate) fn map_sealed(fd: &Fd, len: usize, whole: bool) -> Option<std::io::Result<Mapping>> {
    // The seals first: only memory answers that call, and it answers at once. A file of a slow file
    // system may take its time for all the others.
    let seals = rustix::fs::fcntl_get_seals(fd).ok()?;
    let sealed = seals.contains(SEALS) || cfg!(twocan_mutant = "no-seal-check");
    let stat = rustix::fs::fstat(fd).ok()?;
    let regular =
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
    let ordinary = rustix::fs::fstatfs(fd).is_ok_and(|s| s.f_type as u64 == TMPFS_MAGIC)
        || cfg!(twocan_mutant = "huge-pages-too");
    let exact = stat.st_size as u64 == len as u64 || cfg!(twocan_mutant = "no-size-check");
    let allocated = stat.st_blocks as u64 * 512 >= len as u64;
    let enough = allocated || !whole || cfg!(twocan_mutant = "sparse-from-anyone");
    let checked = regular && sealed && ordinary && exact && enough;
    if !checked && !cfg!(twocan_mutant = "no-region-check") {
        return None;
    }
    let mapping = Mapping::of_file(fd.as_fd(), 0, len, Protection::READ_ONLY, false);
    // Where a page can be refused to whoever touches it, that would be a signal: now it is an
    // answer. Nobody can take a page away again.
    let risky = !allocated && super::memory::is_counted_strictly();
    Some(mapping.and_then(|mapping| {
        if risky {
            mapping.populate(0, len, false)?;
        }
        Ok(mapping)
    }))
}

/// Bytes of a region that have memory.
#[cfg(test)]
pub(crate) fn allocated(fd: &Fd) -> u64 {
    rustix::fs::fstat(fd).expect("an open file").st_blocks as u64 * 512
}
