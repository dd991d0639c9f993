//! The log of clients that were refused.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::warn;

/// Minimum time between two lines of one protocol, in milliseconds.
const LOG_MS: u64 = 10_000;

/// Limits the lines of one protocol: a client that tries again and again does not fill the log.
pub(crate) struct RefusalLog {
    protocol: &'static str,
    started: Instant,
    /// When the last line was logged, in milliseconds since the start; 0 for never.
    last_ms: AtomicU64,
    /// Refusals since then.
    unlogged: AtomicU64,
}

impl RefusalLog {
    pub(crate) fn new(protocol: &'static str) -> Self {
        let (last_ms, unlogged) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { protocol, started: Instant::now(), last_ms, unlogged }
    }

    /// Logs that a client was refused, unless another one was a short time ago. The next line says
    /// how many were not logged.
    pub(crate) fn add(&self, client: impl fmt::Display, reason: impl fmt::Display) {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(unlogged) = self.is_due(now_ms) {
            let protocol = self.protocol;
            warn!(%client, protocol, unlogged, "refused a client: {reason}");
        }
    }

    /// The number of refusals that were not logged, if this one is to be logged.
    fn is_due(&self, now_ms: u64) -> Option<u64> {
        let last = self.last_ms.load(Ordering::Relaxed);
        let is_due = last == 0 || now_ms.saturating_sub(last) >= LOG_MS;
        // One of several threads logs.
        let (relaxed, now) = (Ordering::Relaxed, now_ms.max(1));
        if is_due && self.last_ms.compare_exchange(last, now, relaxed, relaxed).is_ok() {
            return Some(self.unlogged.swap(0, relaxed));
        }
        self.unlogged.fetch_add(1, relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_those_that_were_not_logged() {
        let log = RefusalLog::new("RESP");
        let times = [0, 1, LOG_MS, LOG_MS + 1, LOG_MS + 2, 3 * LOG_MS];
        let due = times.map(|now_ms| log.is_due(now_ms));
        assert_eq!(due, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
