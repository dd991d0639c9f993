//! Replay protection with a sliding window.

/// Maximum distance below the newest number at which an unseen one is still accepted.
pub const REPLAY_WINDOW: u64 = 1024;

const WORDS: usize = (REPLAY_WINDOW / 64) as usize;

/// A sliding window over one sender's counters (after RFC 6479).
///
/// Invariant: the bit `n % REPLAY_WINDOW` represents the one number `n` in `newest - REPLAY_WINDOW
/// + 1 ..= newest` that maps to it.
#[derive(Clone, Debug)]
pub(crate) struct ReplayWindow {
    newest: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window that has seen `first` only.
    pub(crate) fn starting_at(first: u64) -> Self {
        let mut window = Self { newest: first, seen: [0; WORDS] };
        window.mark(first);
        window
    }

    /// Returns true exactly once for each number; false for a number seen before, and for one below
    /// the window.
    pub(crate) fn accept(&mut self, number: u64) -> bool {
        if number > self.newest {
            self.advance(number);
        } else if self.newest - number >= REPLAY_WINDOW || self.is_marked(number) {
            return false;
        }
        self.mark(number);
        true
    }

    fn advance(&mut self, number: u64) {
        if number - self.newest >= REPLAY_WINDOW {
            self.seen = [0; WORDS];
        } else {
            for skipped in self.newest + 1..=number {
                let (word, bit) = position(skipped);
                self.seen[word] &= !bit;
            }
        }
        self.newest = number;
    }

    fn mark(&mut self, number: u64) {
        let (word, bit) = position(number);
        self.seen[word] |= bit;
    }

    fn is_marked(&self, number: u64) -> bool {
        let (word, bit) = position(number);
        self.seen[word] & bit != 0
    }
}

fn position(number: u64) -> (usize, u64) {
    let at = number % REPLAY_WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_number_is_accepted_once() {
        let mut window = ReplayWindow::starting_at(5);
        assert!(!window.accept(5));
        assert!(window.accept(6));
        assert!(!window.accept(6));
        assert!(window.accept(4));
        assert!(!window.accept(4));
    }

    #[test]
    fn the_oldest_number_of_the_window_is_accepted_and_the_one_before_is_not() {
        let mut window = ReplayWindow::starting_at(5000);
        assert!(!window.accept(5000 - REPLAY_WINDOW));
        assert!(window.accept(5000 - REPLAY_WINDOW + 1));
    }

    #[test]
    fn the_first_and_last_numbers_are_handled() {
        let mut window = ReplayWindow::starting_at(0);
        assert!(!window.accept(0));
        assert!(window.accept(u64::MAX));
        assert!(!window.accept(u64::MAX));
        assert!(window.accept(u64::MAX - 1));
        assert!(!window.accept(0));
    }

    /// A reference model of the window that never forgets.
    struct Model {
        newest: u64,
        seen: HashSet<u64>,
    }

    impl Model {
        fn accept(&mut self, number: u64) -> bool {
            let remembered = self.newest.saturating_sub(number) < REPLAY_WINDOW;
            self.newest = self.newest.max(number);
            remembered && self.seen.insert(number)
        }
    }

    proptest! {
        #[test]
        fn a_window_agrees_with_the_reference_model(
            first in 0..3000_u64,
            numbers in prop::collection::vec(0..6000_u64, 0..2000),
        ) {
            let mut window = ReplayWindow::starting_at(first);
            let mut model = Model { newest: first, seen: HashSet::from([first]) };
            for number in numbers {
                prop_assert_eq!(window.accept(number), model.accept(number), "number {}", number);
            }
        }

        #[test]
        fn a_window_never_accepts_a_number_twice(
            numbers in prop::collection::vec(
                prop_oneof![any::<u64>(), 0..4096_u64, (u64::MAX - 4096)..=u64::MAX],
                1..500,
            ),
        ) {
            let mut window = ReplayWindow::starting_at(numbers[0]);
            let mut accepted = HashSet::from([numbers[0]]);
            for &number in &numbers {
                if window.accept(number) {
                    prop_assert!(accepted.insert(number), "number {} twice", number);
                }
            }
        }
    }
}
