//! Hashes of elements, and the estimated number of distinct ones: O. Ertl, "New cardinality
//! estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284), with the parameters of Redis.

use super::value::{INDEX_BITS, REGISTERS, Registers};

/// Bits of a hash whose zeros are counted.
const RANK_BITS: u32 = 64 - INDEX_BITS;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;
/// Seed of the hash in Redis.
const SEED: u64 = 0xADC8_3B19;

/// The register of an element, and the value that it has at least: one more than the zeros that
/// precede the first one in the rest of the hash.
pub(super) fn register_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, SEED);
    let rank = (hash >> INDEX_BITS | 1 << RANK_BITS).trailing_zeros() + 1;
    (hash as usize & (REGISTERS - 1), rank as u8)
}

/// MurmurHash64A by Austin Appleby.
fn murmur64a(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xC6A4_A793_5BD1_E995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let mut word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        word = word.wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

/// The estimated number of distinct elements.
pub(super) fn estimate(registers: &Registers) -> u64 {
    let mut histogram = [0_u32; 256];
    registers.iter().for_each(|register| histogram[usize::from(*register)] += 1);
    let all = REGISTERS as f64;
    let share = |count: u32| f64::from(count) / all;
    let highest = RANK_BITS as usize + 1;
    let mut sum = all * tau(share(REGISTERS as u32 - histogram[highest]));
    for count in histogram[1..highest].iter().rev() {
        sum = (sum + f64::from(*count)) * 0.5;
    }
    sum += all * sigma(share(histogram[0]));
    (ALPHA * all * all / sum).round() as u64
}

/// σ of the paper.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut factor, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * factor;
        factor += factor;
        if sum == before {
            return sum;
        }
    }
}

/// τ of the paper.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut factor, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * factor;
        if sum == before {
            return sum / 3.0;
        }
    }
}
