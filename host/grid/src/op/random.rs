//! Random elements of hash tables that have empty slots.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::answer::{ELEMENTS_BYTES_MAX, ELEMENTS_MAX};
use crate::OpError;

/// One random element. All are equally likely, since each is in one slot.
pub(super) fn one<T>(slots: usize, seed: u64, at: impl Fn(usize) -> Option<T>) -> Option<T> {
    let mut rng = SmallRng::seed_from_u64(seed);
    if slots == 0 {
        return None;
    }
    loop {
        if let Some(element) = at(rng.random_range(0..slots)) {
            return Some(element);
        }
    }
}

/// `count` distinct random elements; for a negative `count`, its absolute value of elements, which
/// may repeat. `bytes` returns the length of one of them in an answer.
///
/// # Errors
/// [`OpError::AnswerTooLong`] when elements that may repeat are more than [`ELEMENTS_MAX`], or
/// longer than [`ELEMENTS_BYTES_MAX`] together.
pub(super) fn some<T: Clone>(
    length: usize,
    slots: usize,
    count: i64,
    seed: u64,
    at: impl Fn(usize) -> Option<T>,
    bytes: impl Fn(&T) -> usize,
) -> Result<Vec<T>, OpError> {
    let mut rng = SmallRng::seed_from_u64(seed);
    if length == 0 || count == 0 {
        return Ok(Vec::new());
    }
    let many = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let draw = |rng: &mut SmallRng| loop {
        let slot = rng.random_range(0..slots);
        if let Some(element) = at(slot) {
            return (slot, element);
        }
    };
    if count < 0 {
        if many > ELEMENTS_MAX {
            return Err(OpError::AnswerTooLong);
        }
        let (mut elements, mut sum) = (Vec::new(), 0);
        for _ in 0..many {
            let (_, element) = draw(&mut rng);
            sum += bytes(&element);
            if sum > ELEMENTS_BYTES_MAX {
                return Err(OpError::AnswerTooLong);
            }
            elements.push(element);
        }
        return Ok(elements);
    }
    if many >= length / 3 {
        // Most of the elements are wanted: shuffling is faster than retrying.
        let mut all: Vec<T> = (0..slots).filter_map(&at).collect();
        if many < length {
            all.shuffle(&mut rng);
            all.truncate(many);
        }
        return Ok(all);
    }
    let mut chosen = std::collections::BTreeSet::new();
    let mut elements = Vec::with_capacity(many);
    while elements.len() < many {
        let (slot, element) = draw(&mut rng);
        if chosen.insert(slot) {
            elements.push(element);
        }
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_positive_count_gives_distinct_elements_and_a_negative_one_may_repeat() {
        let at = |slot: usize| slot.is_multiple_of(3).then_some(slot);
        let distinct = |count| {
            let mut chosen = some(100, 300, count, 7, at, |_| 1).unwrap();
            chosen.sort_unstable();
            chosen.dedup();
            chosen.len()
        };
        assert_eq!((distinct(5), distinct(60), distinct(200)), (5, 60, 100));
        assert_eq!(some(100, 300, -250, 7, at, |_| 1).unwrap().len(), 250);
        assert!(some(0, 300, 5, 7, at, |_| 1).unwrap().is_empty());
        assert!(one(300, 7, at).is_some_and(|slot| slot % 3 == 0));
    }

    #[test]
    fn more_repeats_than_an_answer_holds_are_refused_and_not_truncated() {
        let some = |count, bytes| some(1, 1, count, 7, Some, |_| bytes).map(|all| all.len());
        let most = ELEMENTS_MAX as i64;
        assert_eq!(some(-most, 1), Ok(ELEMENTS_MAX));
        assert_eq!(some(-most - 1, 1), Err(OpError::AnswerTooLong));
        assert_eq!(some(i64::MIN, 1), Err(OpError::AnswerTooLong));
        assert_eq!(some(-2, ELEMENTS_BYTES_MAX / 2), Ok(2));
        assert_eq!(some(-3, ELEMENTS_BYTES_MAX / 2), Err(OpError::AnswerTooLong));
        // Distinct elements: all that there are.
        assert_eq!(some(i64::MAX, ELEMENTS_BYTES_MAX), Ok(1));
    }
}
