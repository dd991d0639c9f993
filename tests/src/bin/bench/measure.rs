//! Helpers that several benches share.

use std::fs;
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

/// Resident memory of a process, in KiB; 0 if it has ended.
pub(crate) fn resident_kib(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
