//! CRC-64 with the polynomial of Jones, as RDB uses it: reflected, with initial value 0.

/// The polynomial, reflected.
const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;
/// Bytes that one step processes.
const STRIDE: usize = 8;

/// `TABLES[n][byte]`: the effect of a byte that `n` other bytes follow.
static TABLES: [[u64; 256]; STRIDE] = tables();

const fn tables() -> [[u64; 256]; STRIDE] {
    let mut tables = [[0; 256]; STRIDE];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u64, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < STRIDE {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[n - 1][byte];
            tables[n][byte] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

/// The checksum of these bytes.
pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    let mut crc = 0;
    for stride in strides {
        let mixed = (crc ^ u64::from_le_bytes(*stride)).to_le_bytes();
        let effect = |(at, byte): (usize, &u8)| TABLES[STRIDE - 1 - at][usize::from(*byte)];
        crc = mixed.iter().enumerate().map(effect).fold(0, |sum, effect| sum ^ effect);
    }
    rest.iter()
        .fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
        assert_eq!(crc64(b""), 0);
    }

    #[test]
    fn several_bytes_at_once_are_as_one_after_the_other() {
        let bytes: Vec<u8> = (0..100_u8).map(|n| n.wrapping_mul(37)).collect();
        for end in 0..bytes.len() {
            let one = |crc: u64, byte: &u8| {
                crc >> 8 ^ TABLES[0][usize::from(crc.to_le_bytes()[0] ^ byte)]
            };
            assert_eq!(crc64(&bytes[..end]), bytes[..end].iter().fold(0, one));
        }
    }
}
