//! Partitions that have lost their data.

use std::collections::VecDeque;

use super::state::Grid;

/// Number of losses that are remembered.
const LOSSES_MAX: usize = 16_384;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Losses {
    /// How many there were.
    count: u64,
    recent: VecDeque<u16>,
}

impl Losses {
    pub(super) fn add(&mut self, partitions: &[u16]) {
        self.count += partitions.len() as u64;
        self.recent.extend(partitions);
        let surplus = self.recent.len().saturating_sub(LOSSES_MAX);
        self.recent.drain(..surplus);
    }

    fn since(&self, count: u64) -> (u64, Vec<u16>) {
        let new = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        let known = self.recent.len().saturating_sub(new);
        (self.count, self.recent.iter().skip(known).copied().collect())
    }
}

impl Grid {
    /// The partitions that have lost data since there were `count` losses, as this member knows: it
    /// coordinates, or is the next primary. Returns how many losses there are now, and the
    /// partitions of the recent ones.
    #[must_use]
    pub fn losses_since(&self, count: u64) -> (u64, Vec<u16>) {
        self.inner.losses.lock().since(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_is_returned_once() {
        let mut losses = Losses::default();
        assert_eq!(losses.since(0), (0, vec![]));
        losses.add(&[3, 5]);
        assert_eq!(losses.since(0), (2, vec![3, 5]));
        losses.add(&[5]);
        assert_eq!(losses.since(2), (3, vec![5]));
        assert_eq!(losses.since(3), (3, vec![]));
    }

    #[test]
    fn old_losses_are_forgotten() {
        let mut losses = Losses::default();
        for _ in 0..3 {
            losses.add(&[7; 10_000]);
        }
        let (count, recent) = losses.since(0);
        assert_eq!((count, recent.len()), (30_000, LOSSES_MAX));
    }
}
