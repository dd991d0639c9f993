//! Rate limit for opening connections.

use std::time::Duration;

use tokio::time::Instant;

/// Maximum number of connections opened per second: scanning a range of unused addresses must not
/// look like an attack on the network.
pub(super) const OPENED_PER_SECOND_MAX: u32 = 16_384;
/// Connections that may be opened at once after idle time.
pub(super) const OPENED_AT_ONCE_MAX: u32 = 2_048;

/// A token bucket with one token for each connection.
pub(super) struct RateLimiter {
    tokens: f64,
    filled: Instant,
}

impl RateLimiter {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: f64::from(OPENED_AT_ONCE_MAX), filled: now }
    }

    /// Whether one more connection may be opened now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let gone = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        let tokens = self.tokens + gone * f64::from(OPENED_PER_SECOND_MAX);
        self.tokens = tokens.min(f64::from(OPENED_AT_ONCE_MAX));
        self.tokens >= 1.0
    }

    /// Takes a token for a connection that was opened.
    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }

    /// When one more connection may be opened, at the latest.
    pub(super) fn next(&self) -> Instant {
        let missing = (1.0 - self.tokens).max(0.0);
        self.filled + Duration::from_secs_f64(missing / f64::from(OPENED_PER_SECOND_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let start = Instant::now();
        let mut rate_limiter = RateLimiter::new(start);
        let mut opened = 0;
        let mut now = start;
        while now < start + Duration::from_secs(2) {
            while rate_limiter.allows(now) {
                rate_limiter.take();
                opened += 1;
            }
            assert!(
                rate_limiter.next() > now && rate_limiter.next() <= now + Duration::from_millis(1)
            );
            now += Duration::from_millis(10);
        }
        let expected = OPENED_AT_ONCE_MAX + 2 * OPENED_PER_SECOND_MAX;
        assert!((expected - OPENED_PER_SECOND_MAX / 50..=expected).contains(&opened), "{opened}");
    }

    #[test]
    fn idle_time_fills_no_more_than_a_burst() {
        let start = Instant::now();
        let mut rate_limiter = RateLimiter::new(start);
        let later = start + Duration::from_secs(3_600);
        let mut opened = 0;
        while rate_limiter.allows(later) {
            rate_limiter.take();
            opened += 1;
        }
        assert_eq!(opened, OPENED_AT_ONCE_MAX);
    }
}
