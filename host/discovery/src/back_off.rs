//! Exponential back-off: doubled after each failure, bounded, with jitter.

use std::time::Duration;

use crate::limits;

/// The wait after a failure that follows `before` consecutive failures: doubled each time,
/// between `min` and `max` milliseconds, with jitter.
pub(crate) fn after(before: u32, (min, max): (u64, u64)) -> Duration {
    let doubled = min.saturating_mul(1 << before.min(32));
    jittered(Duration::from_millis(doubled.min(max)))
}

/// `wait`, lengthened or shortened at random by up to
/// [`limits::JITTER`](crate::limits::JITTER).
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(1.0 - limits::JITTER..1.0 + limits::JITTER))
}
