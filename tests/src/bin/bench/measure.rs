//! Helpers that several benches share.

use std::time::{Duration, Instant};

use convoke_tests::Member;

/// Timeout of any single wait.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The time at which a member first logged a view of `size` members.
pub(crate) fn shown(member: &Member, size: usize) -> Instant {
    member.wait(WAIT_MAX, "a view of this size", |record| {
        let (at, _) = record.views.iter().find(|(_, view)| view.0.len() == size)?;
        Some(*at)
    })
}
