//! Slots of keys, as in Redis Cluster, and the partitions of slots.

/// Number of slots.
pub const SLOTS: u16 = 16_384;

/// The slot of a key: CRC-16/XMODEM of the key, or of its hash tag (the text between the first `{`
/// and the next `}`, if not empty), modulo [`SLOTS`].
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    // Fast path: few keys have a hash tag.
    if !key.contains(&b'{') {
        return crc16(key) % SLOTS;
    }
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// The partition of a slot. Consecutive slots are in the same or in consecutive partitions.
#[must_use]
pub fn partition(slot: u16, partitions: u16) -> u16 {
    (u32::from(slot) * u32::from(partitions) / u32::from(SLOTS)) as u16
}

/// The slots of a partition: the first, and the last (exclusive).
#[must_use]
pub fn slots(number: u16, partitions: u16) -> std::ops::Range<u16> {
    let first =
        |number: u16| (u32::from(number) * u32::from(SLOTS)).div_ceil(u32::from(partitions)) as u16;
    first(number)..first(number + 1)
}

const POLYNOMIAL: u16 = 0x1021;

/// Bytes that are processed in one step.
const STEP: usize = 8;

/// Contribution of a byte to the checksum, by the number of bytes after it in its step.
const TABLES: [[u16; 256]; STEP] = {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut after = 0;
        while after < STEP {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
                bit += 1;
            }
            tables[after][byte] = crc;
            after += 1;
        }
        byte += 1;
    }
    tables
};

/// CRC-16. The checksum of a step of several bytes is the sum of their contributions (Kounavis and
/// Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008).
fn crc16(bytes: &[u8]) -> u16 {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let crc = steps.iter().fold(0_u16, |crc, step| {
        let [first, second] = crc.to_be_bytes();
        let mut step = *step;
        step[0] ^= first;
        step[1] ^= second;
        step.iter().zip(TABLES.iter().rev()).fold(0, |sum, (b, table)| sum ^ table[usize::from(*b)])
    });
    rest.iter().fold(crc, |crc, b| (crc << 8) ^ TABLES[0][usize::from((crc >> 8) as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!((slot(b"123456789"), slot(b"foo"), slot(b"")), (12_739, 12_182, 0));
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }

    #[test]
    fn checksums_by_steps_and_by_bytes_are_equal() {
        let bytes: Vec<u8> = (0..100_u32).map(|n| ((n * n * 31) >> 3) as u8).collect();
        for end in 0..bytes.len() {
            let mut crc = 0_u16;
            for byte in &bytes[..end] {
                crc ^= u16::from(*byte) << 8;
                for _ in 0..8 {
                    crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
                }
            }
            assert_eq!(crc16(&bytes[..end]), crc, "{end} bytes");
        }
    }

    #[test]
    fn each_partition_has_consecutive_slots() {
        for partitions in [1, 7, 271, 5_003] {
            let mut next = 0;
            for number in 0..partitions {
                let slots = slots(number, partitions);
                assert_eq!(slots.start, next);
                assert!(slots.clone().all(|slot| partition(slot, partitions) == number));
                next = slots.end;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
