//! Elements at random, from tables with empty slots.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// Elements that are told at most, when they may repeat.
const REPEATS_MAX: usize = 1_000_000;

/// One: each is as likely, since each lies in one slot.
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

/// So many, each at most once; below zero as many, each as often as it comes.
pub(super) fn some<T: Clone>(
    length: usize,
    slots: usize,
    count: i64,
    seed: u64,
    at: impl Fn(usize) -> Option<T>,
) -> Vec<T> {
    let mut rng = SmallRng::seed_from_u64(seed);
    if length == 0 || count == 0 {
        return Vec::new();
    }
    let many = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let draw = |rng: &mut SmallRng| loop {
        let slot = rng.random_range(0..slots);
        if let Some(element) = at(slot) {
            return (slot, element);
        }
    };
    if count < 0 {
        return (0..many.min(REPEATS_MAX)).map(|_| draw(&mut rng).1).collect();
    }
    if many >= length / 3 {
        // Nearly all: shuffle, and take the first.
        let mut all: Vec<T> = (0..slots).filter_map(&at).collect();
        if many < length {
            all.shuffle(&mut rng);
            all.truncate(many);
        }
        return all;
    }
    let mut chosen = std::collections::BTreeSet::new();
    let mut elements = Vec::with_capacity(many);
    while elements.len() < many {
        let (slot, element) = draw(&mut rng);
        if chosen.insert(slot) {
            elements.push(element);
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_distinct_and_repeats_repeat() {
        let at = |slot: usize| slot.is_multiple_of(3).then_some(slot);
        let distinct = |count| {
            let mut chosen = some(100, 300, count, 7, at);
            chosen.sort_unstable();
            chosen.dedup();
            chosen.len()
        };
        assert_eq!((distinct(5), distinct(60), distinct(200)), (5, 60, 100));
        assert_eq!(some(100, 300, -250, 7, at).len(), 250);
        assert!(some(0, 300, 5, 7, at).is_empty());
        assert!(one(300, 7, at).is_some_and(|slot| slot % 3 == 0));
    }
}
