//! Copies between private memory and memory that another process may change at the same moment.
//!
//! Never a reference into shared memory, and no plain load or store that the compiler could repeat
//! or invent: on x86-64 the copy is one opaque instruction, elsewhere relaxed atomics. A race gives
//! torn data, nothing worse. 1, 2, 4 and 8 aligned bytes are copied at once.

use std::sync::atomic::AtomicU64;
#[cfg(any(not(target_arch = "x86_64"), twocan_tsan))]
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};

/// Copies `len` bytes; exactly one side may be shared.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes; they do not overlap. The private side is
/// nobody else's meanwhile.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // In line for what is most often sent.
    // SAFETY: the caller vouches for both ranges; each step wants as many bytes as it is asked for.
    unsafe {
        match len {
            48 => three_blocks(from, to),
            33..=64 => {
                two_blocks(from, to);
                two_blocks(from.add(len - 32), to.add(len - 32));
            }
            16..=32 => first_and_last(from, to, len - 16),
            ..16 => few(from, to, len),
            65..=SMALL => blocks(from, to, len),
            _ => crate::sys::memory::copy_opaque(from, to, len),
        }
    }
}

/// Copies to lines of which another core may have a copy: the stores wait for the lines, so they
/// are few and wide; the loads are narrow, because one that is wider than a store just before it
/// waits until that store is out, and all those to other lines with it.
///
/// # Safety
/// As [`copy`].
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn copy_words(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; each step wants as many bytes as it is asked for.
    unsafe {
        match len {
            48 => six_words(from, to),
            33..=64 => {
                two_words::<0>(from, to);
                two_words::<16>(from, to);
                two_words::<0>(from.add(len - 32), to.add(len - 32));
                two_words::<16>(from.add(len - 32), to.add(len - 32));
            }
            16..=32 => {
                two_words::<0>(from, to);
                two_words::<0>(from.add(len - 16), to.add(len - 16));
            }
            8..16 => {
                one_word(from, to);
                one_word(from.add(len - 8), to.add(len - 8));
            }
            ..8 => few(from, to, len),
            65..=WORDS => many_words(from, to, len),
            _ => crate::sys::memory::copy_opaque(from, to, len),
        }
    }
}

/// Up to here words are faster than the C library's copy.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
const WORDS: usize = 256;

/// Copies 8 bytes.
///
/// # Safety
/// As [`copy`], for 8 bytes.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn one_word(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        std::arch::asm!(
            "mov {a}, qword ptr [{from}]",
            "mov qword ptr [{to}], {a}",
            from = in(reg) from,
            to = in(reg) to,
            a = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies the 16 bytes from `AT` on.
///
/// # Safety
/// As [`copy`], for those 16 bytes.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn two_words<const AT: usize>(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        std::arch::asm!(
            "movq {a}, qword ptr [{from} + {at}]",
            "movhps {a}, qword ptr [{from} + {at} + 8]",
            "movups [{to} + {at}], {a}",
            from = in(reg) from,
            to = in(reg) to,
            at = const AT,
            a = out(xmm_reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies 48 bytes, all there is in a line.
///
/// # Safety
/// As [`copy`], for 48 bytes.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn six_words(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        std::arch::asm!(
            "movq {a}, qword ptr [{from}]",
            "movhps {a}, qword ptr [{from} + 8]",
            "movq {b}, qword ptr [{from} + 16]",
            "movhps {b}, qword ptr [{from} + 24]",
            "movq {c}, qword ptr [{from} + 32]",
            "movhps {c}, qword ptr [{from} + 40]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            from = in(reg) from,
            to = in(reg) to,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies 16 bytes and more, 16 at a time; the last 16 may overlap those before.
///
/// # Safety
/// As [`copy`], and `len` is at least 16.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline]
unsafe fn many_words(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; `at` runs from 0 in steps of 16 while 16 bytes
    // are left, then the last 16.
    unsafe {
        std::arch::asm!(
            "2:",
            "movq {a}, qword ptr [{from} + {at}]",
            "movhps {a}, qword ptr [{from} + {at} + 8]",
            "movups [{to} + {at}], {a}",
            "add {at}, 16",
            "cmp {at}, {last}",
            "jb 2b",
            "movq {a}, qword ptr [{from} + {last}]",
            "movhps {a}, qword ptr [{from} + {last} + 8]",
            "movups [{to} + {last}], {a}",
            from = in(reg) from,
            to = in(reg) to,
            last = in(reg) len - 16,
            at = inout(reg) 0usize => _,
            a = out(xmm_reg) _,
            options(nostack)
        );
    }
}

/// Copies fewer than 16 bytes.
///
/// # Safety
/// As [`copy`].
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
unsafe fn few(from: *const u8, to: *mut u8, len: usize) {
    use std::arch::asm;
    macro_rules! one {
        ($register:ident, $pointer:literal, $modifier:literal) => {
            // SAFETY: the caller vouches for both ranges.
            unsafe {
                asm!(
                    concat!("mov {value", $modifier, "}, ", $pointer, " ptr [{from}]"),
                    concat!("mov ", $pointer, " ptr [{to}], {value", $modifier, "}"),
                    from = in(reg) from,
                    to = in(reg) to,
                    value = out($register) _,
                    options(nostack, preserves_flags)
                );
            }
        };
    }
    match len {
        8 => one!(reg, "qword", ""),
        4 => one!(reg, "dword", ":e"),
        2 => one!(reg, "word", ":x"),
        1 => one!(reg_byte, "byte", ""),
        // SAFETY: the caller vouches for both ranges; the two halves overlap and cover it.
        9..16 => unsafe {
            few(from, to, 8);
            few(from.add(len - 8), to.add(len - 8), 8);
        },
        // SAFETY: as above.
        5..8 => unsafe {
            few(from, to, 4);
            few(from.add(len - 4), to.add(len - 4), 4);
        },
        // SAFETY: as above.
        3 => unsafe {
            few(from, to, 2);
            few(from.add(2), to.add(2), 1);
        },
        _ => {}
    }
}

/// Up to here 16 bytes at a time cost no more than a call.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
const SMALL: usize = 256;

/// Copies 16 bytes, and the 16 bytes from `last` on, which may overlap.
///
/// # Safety
/// As [`copy`], for the 16 bytes at both places.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn first_and_last(from: *const u8, to: *mut u8, last: usize) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        std::arch::asm!(
            "movups {a}, [{from}]",
            "movups {b}, [{from} + {last}]",
            "movups [{to}], {a}",
            "movups [{to} + {last}], {b}",
            from = in(reg) from,
            to = in(reg) to,
            last = in(reg) last,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies 32 bytes.
///
/// # Safety
/// As [`copy`], for 32 bytes.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn two_blocks(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        std::arch::asm!(
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            from = in(reg) from,
            to = in(reg) to,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies 48 bytes, all there is in a line.
///
/// # Safety
/// As [`copy`], for 48 bytes.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline(always)]
unsafe fn three_blocks(from: *const u8, to: *mut u8) {
    // SAFETY: the caller vouches for both ranges.
    unsafe {
        std::arch::asm!(
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            from = in(reg) from,
            to = in(reg) to,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies 16 bytes and more, 16 at a time; the last 16 may overlap those before.
///
/// # Safety
/// As [`copy`], and `len` is at least 16.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline]
unsafe fn blocks(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller vouches for both ranges; `at` runs from 0 in steps of 16 while 16 bytes
    // are left, then the last 16.
    unsafe {
        std::arch::asm!(
            "2:",
            "movups {block}, [{from} + {at}]",
            "movups [{to} + {at}], {block}",
            "add {at}, 16",
            "cmp {at}, {last}",
            "jb 2b",
            "movups {block}, [{from} + {last}]",
            "movups [{to} + {last}], {block}",
            from = in(reg) from,
            to = in(reg) to,
            last = in(reg) len - 16,
            at = inout(reg) 0usize => _,
            block = out(xmm_reg) _,
            options(nostack)
        );
    }
}

/// Copies `len` bytes; exactly one side may be shared.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes; they do not overlap. The private side is
/// nobody else's meanwhile.
#[cfg(any(not(target_arch = "x86_64"), twocan_tsan))]
pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    macro_rules! each {
        ($atomic:ty, $at:expr) => {{
            // SAFETY: in range by the caller's word, aligned by the branch taken; atomics may race.
            unsafe {
                let value = (*from.add($at).cast::<$atomic>()).load(Ordering::Relaxed);
                (*to.add($at).cast::<$atomic>()).store(value, Ordering::Relaxed);
            }
        }};
    }
    // The widest word that both sides are aligned to, then ever smaller ones for what is left.
    let together = from as usize | to as usize;
    let mut at = 0;
    macro_rules! run {
        ($atomic:ty) => {
            let width = size_of::<$atomic>();
            if together % width == 0 {
                while len - at >= width {
                    each!($atomic, at);
                    at += width;
                }
            }
        };
    }
    run!(AtomicU64);
    run!(AtomicU32);
    run!(AtomicU16);
    run!(AtomicU8);
}

/// Stores `byte` into `len` bytes of shared memory.
///
/// # Safety
/// `to` is writable for `len` bytes.
#[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
#[inline]
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: the caller vouches for the range; the direction flag is clear by the calling
    // convention.
    unsafe {
        std::arch::asm!(
            "rep stosb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            in("al") byte,
            options(nostack, preserves_flags)
        );
    }
}

/// Stores `byte` into `len` bytes of shared memory.
///
/// # Safety
/// `to` is writable for `len` bytes.
#[cfg(any(not(target_arch = "x86_64"), twocan_tsan))]
pub(crate) unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    for at in 0..len {
        // SAFETY: in range by the caller's word; atomics may race.
        unsafe { (*to.add(at).cast::<AtomicU8>()).store(byte, Ordering::Relaxed) };
    }
}

/// Copies out of memory that another process may be writing: then the result is a mixture of old
/// and new bytes.
///
/// # Safety
/// `from` is readable for `to.len()` bytes and does not overlap `to`.
#[inline]
pub(crate) unsafe fn copy_out(from: *const u8, to: &mut [u8]) {
    if cfg!(twocan_tsan) {
        // Seen by ThreadSanitizer: an honest peer's bytes are never in a race.
        // SAFETY: the caller's promise for `from`; `to` is an exclusive slice.
        return unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
    }
    // SAFETY: the caller's promise for `from`; `to` is an exclusive slice.
    unsafe { copy(from, to.as_mut_ptr(), to.len()) };
}

/// Copies into memory that another process may be reading.
///
/// # Safety
/// `to` is writable for `from.len()` bytes and does not overlap `from`.
#[inline]
pub(crate) unsafe fn copy_in(from: &[u8], to: *mut u8) {
    if cfg!(twocan_tsan) {
        // As in `copy_out`.
        // SAFETY: the caller's promise for `to`; `from` is a slice.
        return unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }
    #[cfg(all(target_arch = "x86_64", not(twocan_tsan)))]
    // SAFETY: the caller's promise for `to`; `from` is a slice.
    unsafe {
        copy_words(from.as_ptr(), to, from.len());
    }
    #[cfg(any(not(target_arch = "x86_64"), twocan_tsan))]
    // SAFETY: as above.
    unsafe {
        copy(from.as_ptr(), to, from.len());
    }
}

/// Says that the line of `word` will be read soon. Nothing but a hint.
#[inline]
pub(crate) fn expect_read(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch changes nothing and cannot fault.
    unsafe {
        std::arch::asm!(
            "prefetcht0 [{0}]",
            in(reg) word,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// The value, of which the compiler forgets that it equals another: whoever has compared two values
/// goes on with the one that is known sooner.
#[inline(always)]
#[cfg(target_pointer_width = "64")]
pub(crate) fn unrelated(mut value: u64) -> u64 {
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags))
    };
    value
}
#[cfg(not(target_pointer_width = "64"))]
pub(crate) fn unrelated(value: u64) -> u64 {
    value
}

/// Lets some time pass: for each of `turns` three to five cycles, about a nanosecond. It begins
/// when everything before it was executed, and nothing behind it is begun before it ends, not even
/// ahead of its turn.
#[inline]
pub(crate) fn delay(turns: u32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: counts down in registers of its own. `lfence` waits for the instructions before it.
    // Without `nomem` the compiler keeps every access on its side.
    unsafe {
        std::arch::asm!(
            "lfence",
            "2:",
            "imul {x}, {x}", // each waits for the one before
            "dec {turns}",
            "jnz 2b",
            "lfence",
            x = inout(reg) 3u64 => _,
            turns = inout(reg) u64::from(turns) + 1 => _,
            options(nostack)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    for _ in 0..turns.div_ceil(16) {
        std::hint::spin_loop();
    }
}

/// A full fence: every store before it is seen by others before any load after it reads.
///
/// On x86-64 a locked instruction orders as MFENCE does (Intel SDM volume 3, 9.2.2; AMD APM volume
/// 2, 7.4.2) and takes a fraction of its time; the compiler only ever makes MFENCE of a fence.
#[inline]
pub(crate) fn full_fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: ors 0 into the word at the top of the stack, which stays what it is. Without `nomem`
    // the compiler keeps every access on its side.
    unsafe {
        std::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SYNC armed, credited: whatever its caller pairs it with.
    std::sync::atomic::fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_arrives_whole_in_shared_memory() {
        let from: Vec<u8> = (0..400).map(|n| (n % 251) as u8).collect();
        for len in 0..300 {
            let mut to = [0xEE; 400];
            // SAFETY: both ranges lie within their arrays.
            unsafe { super::copy_in(&from[1..1 + len], to[8..].as_mut_ptr()) };
            assert_eq!(to[8..8 + len], from[1..1 + len]);
            assert!(to[..8].iter().chain(&to[8 + len..]).all(|b| *b == 0xEE), "{len}");
        }
    }

    #[test]
    fn every_length_and_every_alignment_arrives_whole() {
        let from: Vec<u8> = (0..=255).collect();
        for start in 0..9 {
            for len in 0..70 {
                let mut to = [0xEE; 100];
                // SAFETY: both ranges lie within their vectors.
                unsafe { super::copy(from[start..].as_ptr(), to[start + 1..].as_mut_ptr(), len) };
                assert_eq!(to[start + 1..start + 1 + len], from[start..start + len]);
                assert!(to[..=start].iter().all(|b| *b == 0xEE));
                assert!(to[start + 1 + len..].iter().all(|b| *b == 0xEE));
                // SAFETY: as above.
                unsafe { super::fill(to[start..].as_mut_ptr(), 7, len) };
                assert!(to[start..start + len].iter().all(|b| *b == 7));
            }
        }
    }
}
