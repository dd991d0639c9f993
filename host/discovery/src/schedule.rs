//! When a mode is called again: the intervals it asks for, and the waits after failures.

use std::time::Duration;

use crate::limits;

/// Exponential back-off: the wait is doubled after each consecutive failure, between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    ms_min: u64,
    ms_max: u64,
}

impl BackOff {
    /// After a trap, a timeout or an exceeded limit: until the next instance is created.
    pub const FAILURE: Self = Self::new(limits::BACK_OFF_MS_MIN, limits::BACK_OFF_MS_MAX);

    /// After a problem that the mode reported.
    pub const PROBLEM: Self =
        Self::new(limits::PROBLEM_BACK_OFF_MS_MIN, limits::PROBLEM_BACK_OFF_MS_MAX);

    /// Waits between `ms_min` and `ms_max` milliseconds.
    pub(crate) const fn new(ms_min: u64, ms_max: u64) -> Self {
        Self { ms_min, ms_max }
    }

    /// The wait after a failure that follows `before` consecutive failures, without jitter.
    #[must_use]
    pub fn after(self, before: u32) -> Duration {
        let doubled = self.ms_min.saturating_mul(1 << before.min(32));
        Duration::from_millis(doubled.min(self.ms_max))
    }

    /// [`after`](Self::after), with jitter, so that members that failed together do not try again
    /// together.
    pub(crate) fn jittered(self, before: u32) -> Duration {
        jittered(self.after(before))
    }
}

/// The interval until the next call, without jitter: what the mode asked for, within limits.
#[must_use]
pub fn interval(asked: Duration) -> Duration {
    asked.clamp(
        Duration::from_millis(limits::LOOK_AGAIN_MS_MIN),
        Duration::from_millis(limits::LOOK_AGAIN_MS_MAX),
    )
}

/// The interval until the next call of `discover`, without jitter, if the mode asked for `asked`.
#[must_use]
pub fn look_again(asked: Option<Duration>) -> Duration {
    interval(asked.unwrap_or(Duration::from_millis(limits::LOOK_AGAIN_MS_DEFAULT)))
}

/// `wait`, lengthened or shortened at random by up to [`limits::JITTER`].
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(1.0 - limits::JITTER..1.0 + limits::JITTER))
}

/// [`interval`], with jitter.
pub(crate) fn jittered_interval(asked: Duration) -> Duration {
    jittered(interval(asked)).max(Duration::from_millis(limits::LOOK_AGAIN_MS_MIN))
}

#[cfg(test)]
mod tests {
    use super::{BackOff, jittered_interval, look_again};
    use std::time::Duration;

    #[test]
    fn the_back_off_is_doubled_up_to_its_maximum() {
        let back_off = BackOff::new(500, 60_000);
        let waits: Vec<_> = (0..9).map(|before| back_off.after(before).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(back_off.after(u32::MAX), Duration::from_secs(60));
        let jittered = back_off.jittered(1).as_millis();
        assert!((900..=1_100).contains(&jittered));
    }

    #[test]
    fn the_interval_is_kept_within_limits() {
        for _ in 0..100 {
            assert!(jittered_interval(Duration::ZERO) >= Duration::from_millis(20));
            assert!(jittered_interval(Duration::MAX) <= Duration::from_millis(330_000));
            let second = jittered_interval(Duration::from_secs(1)).as_millis();
            assert!((900..=1100).contains(&second));
        }
        assert_eq!(look_again(Some(Duration::ZERO)), Duration::from_millis(20));
    }
}
