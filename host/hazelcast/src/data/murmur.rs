//! MurmurHash3, the variant for x86 with 32 bits (Austin Appleby).

/// Hazelcast's seed.
const SEED: u32 = 0x0100_0193;

/// Hash of `bytes` with the seed of Hazelcast.
#[must_use]
pub fn murmur3(bytes: &[u8]) -> i32 {
    finish(SEED, bytes, 0)
}

/// Hash of `prefix` followed by `bytes`.
pub(super) fn murmur3_after(prefix: [u8; 4], bytes: &[u8]) -> i32 {
    finish(block(SEED, prefix), bytes, prefix.len())
}

/// Hash of `bytes` after blocks of `before` bytes that have resulted in `hash`. Lengths count
/// modulo 2^32.
fn finish(mut hash: u32, bytes: &[u8], before: usize) -> i32 {
    let (blocks, tail) = bytes.as_chunks();
    for bytes in blocks {
        hash = block(hash, *bytes);
    }
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash ^= mix(word);
    }
    hash ^= (before + bytes.len()) as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16).cast_signed()
}

fn block(hash: u32, bytes: [u8; 4]) -> u32 {
    let hash = (hash ^ mix(u32::from_le_bytes(bytes))).rotate_left(13);
    hash.wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn mix(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}
