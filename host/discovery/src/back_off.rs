//! Waits after failures: doubled, bounded, and never in step with others.

use std::time::Duration;

use crate::limits;

/// The wait after a failure that `before` others went before, within `min` and
/// `max` milliseconds.
pub(crate) fn after(before: u32, (min, max): (u64, u64)) -> Duration {
    let doubled = min.saturating_mul(1 << before.min(32));
    jittered(Duration::from_millis(doubled.min(max)))
}

/// `wait`, longer or shorter by a part of it.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(1.0 - limits::JITTER..1.0 + limits::JITTER))
}
