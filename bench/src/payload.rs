//! What every message carries. One code for every candidate, and never inlined, so that no compiler
//! treats two of them differently: each byte is written before it is sent, and read after it came.

/// The first word of the message that ends a session.
pub(crate) const END: u64 = 1 << 62;
/// The first word of the message with which the measured part of a stream begins.
pub(crate) const MARK: u64 = 1 << 61;
/// Seeds are smaller than this, so that no sum is taken for one of the two above.
pub(crate) const SEED_MASK: u64 = (1 << 48) - 1;

/// The seed of the answer to a message with this sum. Never 0, which a counter could not carry.
#[inline]
pub(crate) fn answer_to(total: u64) -> u64 {
    total & SEED_MASK | 1
}

/// Writes all words: `seed`, `seed + 1`, ..
#[inline(never)]
pub(crate) fn fill(bytes: &mut [u8], seed: u64) {
    for (i, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&seed.wrapping_add(i as u64).to_ne_bytes());
    }
}

/// Reads all words.
#[inline(never)]
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(8).map(first).fold(0, u64::wrapping_add)
}

/// The first word.
#[inline]
pub(crate) fn first(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
}

/// What [`sum`] says of `len` bytes that were filled with `seed`.
#[inline]
pub(crate) fn sum_of(seed: u64, len: usize) -> u64 {
    let words = (len / 8) as u64;
    words.wrapping_mul(seed).wrapping_add(words * words.saturating_sub(1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_known_beforehand() {
        for len in [8, 48, 64, 4096] {
            let mut bytes = vec![0; len];
            fill(&mut bytes, 77);
            assert_eq!((first(&bytes), sum(&bytes)), (77, sum_of(77, len)));
        }
    }
}
