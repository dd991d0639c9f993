//! State of a running member that its parts share.

use std::fmt::Write as _;
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
    /// Its hello for handshakes, encoded.
    pub(crate) hello: Arc<[u8]>,
    /// Members that are suspected now.
    pub(crate) suspects: Arc<[MemberId]>,
    pub(crate) leaving: bool,
    /// Why the other members refuse this one.
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
    /// The same, in the lineage of partition tables that this member follows now.
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

    /// In the format of Prometheus: each bucket counts all durations up to its bound.
    pub(crate) fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = writeln!(text, "# HELP convoke_{name} {help}\n# TYPE convoke_{name} histogram");
        let mut total = 0;
        for (at, count) in self.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let bound =
                BUCKETS_US.get(at).map_or("+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
            let _ = writeln!(text, "convoke_{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let sum_s = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "convoke_{name}_sum {sum_s}\nconvoke_{name}_count {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;
    use std::time::Duration;

    #[test]
    fn a_histogram_counts_cumulatively() {
        let histogram = Histogram::default();
        for us in [1, 50, 51, 99, 2_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x_seconds", "X.");
        for line in [
            "# TYPE convoke_x_seconds histogram",
            "convoke_x_seconds_bucket{le=\"0.00005\"} 2",
            "convoke_x_seconds_bucket{le=\"0.000075\"} 3",
            "convoke_x_seconds_bucket{le=\"1\"} 4",
            "convoke_x_seconds_bucket{le=\"+Inf\"} 5",
            "convoke_x_seconds_count 5",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in {text}");
        }
    }
}
