//! The longest common subsequence of two values.

use serde::{Deserialize, Serialize};

use crate::limits::VALUE_BYTES_MAX;
use crate::{OpError, Reply};

/// Memory of one computation, in bytes: as much as a value may have, as in Redis.
const TABLE_BYTES_MAX: usize = VALUE_BYTES_MAX;

/// What the reply contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LcsAnswer {
    /// The subsequence.
    Text,
    /// Its length.
    Length,
    /// A map: the ranges of both values that match (`matches`), from the last to the first, and the
    /// length (`len`).
    Ranges {
        /// Only ranges of this length at least.
        min_length: u64,
        /// Each with its length.
        with_length: bool,
    },
}

/// Bytes of both values that match, one after the other.
struct Match {
    first: usize,
    second: usize,
    length: usize,
}

/// Computes the longest common subsequence.
///
/// # Errors
/// [`OpError::LcsTooLarge`] if that needs too much memory.
pub fn common_subsequence(
    first: &[u8],
    second: &[u8],
    answer: LcsAnswer,
) -> Result<Reply, OpError> {
    let width = second.len() + 1;
    let cells = (first.len() + 1).checked_mul(width).ok_or(OpError::LcsTooLarge)?;
    if cells.checked_mul(size_of::<u32>()).is_none_or(|bytes| bytes > TABLE_BYTES_MAX) {
        return Err(OpError::LcsTooLarge);
    }
    // Row i, column j: the length for the first i bytes of one and the first j of the other.
    let mut table = vec![0_u32; cells];
    for (at, byte) in first.iter().enumerate() {
        let (above, row) = table[at * width..(at + 2) * width].split_at_mut(width);
        for (column, other) in second.iter().enumerate() {
            row[column + 1] =
                if byte == other { above[column] + 1 } else { above[column + 1].max(row[column]) };
        }
    }
    let length = table[cells - 1] as usize;
    if answer == LcsAnswer::Length {
        return Ok(Reply::count(length));
    }
    let (mut i, mut j) = (first.len(), second.len());
    let mut text = Vec::with_capacity(length);
    let mut matches: Vec<Match> = Vec::new();
    while i > 0 && j > 0 {
        if first[i - 1] == second[j - 1] {
            i -= 1;
            j -= 1;
            text.push(first[i]);
            match matches.last_mut() {
                Some(last) if last.first == i + 1 && last.second == j + 1 => {
                    *last = Match { first: i, second: j, length: last.length + 1 };
                }
                _ => matches.push(Match { first: i, second: j, length: 1 }),
            }
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    let LcsAnswer::Ranges { min_length, with_length } = answer else {
        text.reverse();
        return Ok(Reply::Bytes(text.into()));
    };
    let range = |from: usize, length: usize| {
        Reply::List(vec![Reply::count(from), Reply::count(from + length - 1)])
    };
    let matches = matches.iter().filter(|found| found.length as u64 >= min_length).map(|found| {
        let mut parts = vec![range(found.first, found.length), range(found.second, found.length)];
        if with_length {
            parts.push(Reply::count(found.length));
        }
        Reply::List(parts)
    });
    Ok(Reply::Map(vec![
        (Reply::bytes(b"matches"), Reply::List(matches.collect())),
        (Reply::bytes(b"len"), Reply::count(length)),
    ]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(first: &[u8], second: &[u8]) -> Vec<u8> {
        match common_subsequence(first, second, LcsAnswer::Text) {
            Ok(Reply::Bytes(text)) => text.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn is_subsequence(part: &[u8], whole: &[u8]) -> bool {
        let mut rest = whole.iter();
        part.iter().all(|byte| rest.any(|other| other == byte))
    }

    #[test]
    fn memory_is_bounded() {
        let long = vec![b'a'; 4_095];
        assert_eq!(common_subsequence(&long, &long, LcsAnswer::Length), Ok(Reply::Integer(4_095)));
        for (first, second) in [(4_096, 4_095), (1, VALUE_BYTES_MAX)] {
            let (first, second) = (vec![b'a'; first], vec![b'a'; second]);
            let reply = common_subsequence(&first, &second, LcsAnswer::Length);
            assert_eq!(reply, Err(OpError::LcsTooLarge));
        }
        assert!(text(b"", b"abc").is_empty());
    }

    proptest! {
        #[test]
        fn it_is_a_subsequence_of_both_and_has_its_ranges(
            first in proptest::collection::vec(0..4_u8, 0..30),
            second in proptest::collection::vec(0..4_u8, 0..30),
        ) {
            let found = text(&first, &second);
            prop_assert!(is_subsequence(&found, &first) && is_subsequence(&found, &second));
            let length = common_subsequence(&first, &second, LcsAnswer::Length);
            prop_assert_eq!(length, Ok(Reply::count(found.len())));
            prop_assert_eq!(text(&second, &first).len(), found.len());
            let ranges = LcsAnswer::Ranges { min_length: 0, with_length: true };
            let Ok(Reply::Map(parts)) = common_subsequence(&first, &second, ranges) else {
                panic!("a map")
            };
            let (_, Reply::List(matches)) = &parts[0] else { panic!("matches") };
            let mut joined = Vec::new();
            for found in matches.iter().rev() {
                let Reply::List(parts) = found else { panic!("a match") };
                let number = |reply: &Reply| match reply {
                    Reply::Integer(number) => *number as usize,
                    other => panic!("{other:?}"),
                };
                let range = |reply: &Reply| match reply {
                    Reply::List(ends) => number(&ends[0])..=number(&ends[1]),
                    other => panic!("{other:?}"),
                };
                let (a, b) = (&first[range(&parts[0])], &second[range(&parts[1])]);
                prop_assert_eq!(a, b);
                prop_assert_eq!(a.len(), number(&parts[2]));
                joined.extend_from_slice(a);
            }
            prop_assert_eq!(joined, found);
        }
    }
}
