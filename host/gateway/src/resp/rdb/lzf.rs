//! LZF, with which Redis compresses strings.

/// The most bytes that one byte of compressed data can stand for: a reference of three bytes repeats
/// up to 264.
const RATIO_MAX: usize = 88;
/// The longest run of literal bytes, and the first control byte that is a reference.
const LITERALS_MAX: u8 = 32;
/// In the length of a reference: another byte follows.
const LONG: usize = 7;

/// Decompresses data of a known length. `None` if it is malformed.
pub(super) fn decompress(mut data: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > data.len().saturating_mul(RATIO_MAX) {
        return None;
    }
    let mut found = Vec::with_capacity(length);
    while let Some((control, rest)) = data.split_first() {
        if *control < LITERALS_MAX {
            let (literals, rest) = rest.split_at_checked(usize::from(*control) + 1)?;
            found.extend_from_slice(literals);
            data = rest;
        } else {
            let mut repeated = usize::from(*control >> 5);
            let mut rest = rest;
            if repeated == LONG {
                let (more, behind) = rest.split_first()?;
                repeated += usize::from(*more);
                rest = behind;
            }
            let (low, behind) = rest.split_first()?;
            let distance = (usize::from(*control & 0x1F) << 8 | usize::from(*low)) + 1;
            let start = found.len().checked_sub(distance)?;
            if found.len() + repeated + 2 > length {
                return None;
            }
            // The reference may overlap what it adds.
            for at in start..start + repeated + 2 {
                found.push(found[at]);
            }
            data = behind;
        }
        if found.len() > length {
            return None;
        }
    }
    (found.len() == length).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_and_references_are_decompressed() {
        // "abc", then 9 bytes that repeat from 3 bytes back, then "xy".
        let data = [2, b'a', b'b', b'c', 7 << 5, 0, 2, 1, b'x', b'y'];
        assert_eq!(decompress(&data, 14).unwrap(), b"abcabcabcabcxy");
        assert_eq!(decompress(&data, 13), None);
        assert_eq!(decompress(&data, 15), None);
        assert_eq!(decompress(&[1 << 5, 5], 3), None, "a reference to before the start");
        assert_eq!(decompress(&[1], usize::MAX), None);
    }

    proptest! {
        #[test]
        fn arbitrary_data_does_no_harm(
            data in proptest::collection::vec(any::<u8>(), 0..200), length in 0..20_000_usize,
        ) {
            if let Some(found) = decompress(&data, length) {
                prop_assert_eq!(found.len(), length);
            }
        }
    }
}
