//! Answers: their bounds, and how they are composed.

use crate::limits::{KEY_BYTES_MAX, MESSAGE_BYTES_MAX};
use crate::reply::VALUE_BYTES;
use crate::{OpError, Reply};

/// Maximum number of elements in an answer whose length depends on the stored data or on a number
/// that the client gives: keys that match a pattern, random elements that may repeat. A longer
/// answer is refused ([`OpError::AnswerTooLong`]), never truncated.
pub const ELEMENTS_MAX: usize = 1_000_000;
/// Maximum total length of the elements of such an answer, in bytes.
pub const ELEMENTS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Maximum length, in bytes, of the answer to one operation, or to several in one step, that may
/// name the same value many times: as much as one message between members may carry. A longer
/// answer is refused ([`OpError::AnswerTooLong`]).
pub const ANSWER_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;

/// Maximum total length, in bytes, of the elements that one operation may remove and return, so
/// that the answer has room for them and their key. More are refused before anything is removed
/// ([`OpError::AnswerTooLong`]).
pub(super) const REMOVED_BYTES_MAX: usize = ANSWER_BYTES_MAX - 2 * KEY_BYTES_MAX;

/// Returns an error if elements of these lengths, in bytes, would not fit in one answer.
pub(super) fn check_removable(lengths: impl Iterator<Item = usize>) -> Result<(), OpError> {
    let mut room = REMOVED_BYTES_MAX;
    for length in lengths {
        // In pairs, a score accompanies each element.
        let bytes = length + 2 * VALUE_BYTES;
        room = room.checked_sub(bytes).ok_or(OpError::AnswerTooLong)?;
    }
    Ok(())
}

/// Copies values into an answer, nil for those that do not exist.
///
/// # Errors
/// [`OpError::AnswerTooLong`] beyond [`ANSWER_BYTES_MAX`].
pub(super) fn values<'e>(values: impl Iterator<Item = Option<&'e [u8]>>) -> Result<Reply, OpError> {
    let mut room = ANSWER_BYTES_MAX;
    let copy = |value: Option<&[u8]>| {
        let bytes = value.map_or(0, <[u8]>::len);
        room = room.checked_sub(bytes).ok_or(OpError::AnswerTooLong)?;
        Ok(Reply::optional(value))
    };
    Ok(Reply::List(values.map(copy).collect::<Result<_, OpError>>()?))
}

/// Copies elements into an answer.
///
/// # Errors
/// [`OpError::AnswerTooLong`] beyond [`ELEMENTS_MAX`] or [`ELEMENTS_BYTES_MAX`].
pub(super) fn bounded<'e>(elements: impl Iterator<Item = &'e [u8]>) -> Result<Reply, OpError> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for element in elements {
        bytes += element.len();
        if all.len() >= ELEMENTS_MAX || bytes > ELEMENTS_BYTES_MAX {
            return Err(OpError::AnswerTooLong);
        }
        all.push(Reply::bytes(element));
    }
    Ok(Reply::List(all))
}

/// The distinct names for which `wanted` holds.
pub(super) fn distinct<'a>(names: &[&'a [u8]], wanted: impl Fn(&[u8]) -> bool) -> Vec<&'a [u8]> {
    let mut found: Vec<&[u8]> = names.iter().copied().filter(|name| wanted(name)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// One step of a scan in the order of hashes: visits about `count` elements, all elements of one
/// hash together. Returns the hash at which the next step starts, zero at the end.
pub(super) fn scan<T>(
    elements: impl Iterator<Item = T>,
    hash: impl Fn(&T) -> u32,
    count: u64,
    mut emit: impl FnMut(&T, &mut Vec<Reply>),
) -> Reply {
    let (mut found, mut seen, mut last) = (Vec::new(), 0, None);
    let mut next = 0;
    for element in elements {
        let hash = hash(&element);
        // The cursor zero means the end; elements whose hash is zero are in the first step.
        if seen >= count && last != Some(hash) && hash > 0 {
            next = hash;
            break;
        }
        seen += 1;
        last = Some(hash);
        emit(&element, &mut found);
    }
    Reply::List(vec![Reply::Integer(i64::from(next)), Reply::List(found)])
}

/// Start and end (exclusive) of a range given as inclusive indices: from zero at the front, or
/// negative from the back, of `length` elements.
pub(super) fn span(first: i64, last: i64, length: usize) -> (usize, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let at = |index: i64| if index < 0 { index.saturating_add(length).max(-1) } else { index };
    let from = at(first).max(0);
    let to = at(last).saturating_add(1).min(length);
    if from >= to { (0, 0) } else { (from as usize, to as usize) }
}
