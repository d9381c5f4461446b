//! Memory that claims to be a region. The first bytes say how it is made (seals, length, holes) and
//! what is told of it; the rest is what stands in it.

#![no_main]

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Larger memory only costs time.
const LEN_MAX: u64 = 256 << 10;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((plan, content)) = bytes.split_first_chunk::<28>() else { return };
    let word = |at: usize| u64::from_le_bytes(plan[at..at + 8].try_into().expect("8 bytes"));
    let (id, capacity, start) = (word(0), word(8), word(16));
    let [seals, longer, holes, more] = [plan[24], plan[25], plan[26], plan[27]];
    // 128 is exact; the rest are bytes or pages off.
    let off = i64::from(longer) - 128;
    let off = if more & 1 == 0 { off } else { off * 4096 };
    let len = (4096u64.wrapping_add(capacity)).wrapping_add_signed(off).min(LEN_MAX);
    let fd = rustix::fs::memfd_create("fuzz", MemfdFlags::ALLOW_SEALING).expect("memory");
    let file = File::from(fd);
    file.set_len(len).expect("memory");
    if holes == 0 && len > 0 {
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len).expect("memory");
    }
    // Inside the file: a write behind its end would make it longer.
    let n = content.len().min(len as usize);
    file.write_all_at(&content[..n], 0).expect("memory");
    let seals = SealFlags::from_bits_truncate(u32::from(seals));
    let _ = rustix::fs::fcntl_add_seals(&file, seals); // some the kernel does not know
    let needed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    let sealed = rustix::fs::fcntl_get_seals(&file).expect("a memfd").contains(needed);
    let exact = capacity.checked_add(4096) == Some(len);
    let mapped = twocan::fuzzing::attach(file.into(), id, capacity, start);
    assert!(!mapped || (sealed && exact), "mapped: sealed {sealed}, exact {exact}");
});
