//! State of a running member that its parts share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use convoke_membership::{JoinRefusal, Member, MemberId, View};

/// The published state of this member.
#[derive(Clone, Debug)]
pub(crate) struct MemberState {
    pub(crate) me: Member,
    /// `None` while it starts, and after it has left.
    pub(crate) view: Option<View>,
    /// The encoded hello for handshakes.
    pub(crate) hello: Arc<[u8]>,
    /// Members that are suspected now.
    pub(crate) suspects: Arc<[MemberId]>,
    pub(crate) leaving: bool,
    /// The reason why the other members refuse this one.
    pub(crate) refusal: Option<JoinRefusal>,
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Datagrams to the member port that did not authenticate.
    pub(crate) foreign: AtomicU64,
    /// Datagrams that were received twice.
    pub(crate) replayed: AtomicU64,
    /// Datagrams of this cluster that could not be decoded.
    pub(crate) malformed: AtomicU64,
    /// Connections to the member port that were refused.
    pub(crate) refused: AtomicU64,
    /// Members that were lost.
    pub(crate) lost: AtomicU64,
    /// Members with an open stream.
    pub(crate) links: AtomicUsize,
    /// Current candidates.
    pub(crate) candidates: AtomicUsize,
    /// Calls made to candidates.
    pub(crate) probes: AtomicU64,
    /// Round-trip times of failure detector probes.
    pub(crate) round_trips: Histogram,
    /// Partitions that lost all complete replicas, since the start of the process.
    pub(crate) lost_partitions: AtomicU64,
    /// The same for the current lineage of partition tables only.
    pub(crate) lost_here: AtomicU64,
}

/// Increments a counter.
pub(crate) fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Upper bounds of the buckets of a [`Histogram`], in microseconds.
pub(crate) const BUCKETS_US: [u64; 18] = [
    50, 75, 100, 150, 200, 300, 400, 600, 800, 1_200, 1_600, 2_500, 5_000, 10_000, 25_000, 50_000,
    100_000, 1_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bound, and one for longer durations.
    counts: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        increment(&self.counts[bucket]);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The upper bound of each bucket, in seconds, and the number of durations in it alone. The
    /// last bucket has no bound.
    pub(crate) fn buckets_s(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = BUCKETS_US.iter().map(|us| Some(*us as f64 / 1e6)).chain([None]);
        bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// The sum of all durations, in seconds.
    pub(crate) fn sum_s(&self) -> f64 {
        self.sum_us.load(Ordering::Relaxed) as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS_US, Histogram};
    use std::time::Duration;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let histogram = Histogram::default();
        for us in [1, 50, 51, 99, 2_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let buckets: Vec<(Option<f64>, u64)> = histogram.buckets_s().collect();
        assert_eq!(buckets.len(), BUCKETS_US.len() + 1);
        let filled: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(
            filled,
            [(Some(0.000_05), 2), (Some(0.000_075), 1), (Some(0.000_1), 1), (None, 1)]
        );
        assert_eq!(histogram.sum_s(), 2.000_201);
    }
}
