//! Mutation of valid input.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Bytes at boundaries of encoded lengths and numbers.
const EDGES: [u8; 9] = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff, b'\r', b'\n'];

/// Maximum number of changes to one input.
const CHANGES_MAX: usize = 6;

/// Random bytes, at most `length_max` of them.
pub fn noise(random: &mut StdRng, length_max: usize) -> Vec<u8> {
    let length = random.random_range(0..=length_max);
    (0..length).map(|_| random.random()).collect()
}

/// Mutates `bytes`: bits, bytes, pieces removed, doubled, cut off or taken from `other`.
pub fn mutate(random: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..random.random_range(1..=CHANGES_MAX) {
        let at = random.random_range(0..=bytes.len());
        let length = random.random_range(0..=8).min(bytes.len() - at);
        match random.random_range(0..8) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = EDGES[random.random_range(0..EDGES.len())];
                }
            }
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            4 => bytes.truncate(at),
            5 => {
                let edge = EDGES[random.random_range(0..EDGES.len())];
                let count = random.random_range(1..=10);
                drop(bytes.splice(at..at, std::iter::repeat_n(edge, count)));
            }
            6 => {
                let from = random.random_range(0..=other.len());
                let piece = other[from..other.len().min(from + 16)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => bytes.insert(at, random.random()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn any_bytes_can_be_changed() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut bytes, mut changed) = (Vec::new(), 0);
        for _ in 0..20_000 {
            let before = bytes.clone();
            mutate(&mut random, &mut bytes, b"other bytes");
            changed += usize::from(bytes != before);
            bytes.truncate(100);
        }
        assert!(changed > 15_000, "{changed}");
    }
}
