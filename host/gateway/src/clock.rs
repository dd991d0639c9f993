//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds. The clock may be set at any time: use it for expiry times that
/// clients give, never to measure durations.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
