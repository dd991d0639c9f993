//! Counts the failures of a mode, and decides which of them are logged.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits;
use crate::schedule::BackOff;

/// The failures since a mode was last healthy, and what has been logged about them. The last
/// log line is always accurate: a lasting failure is logged, and so is its end.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    /// Since when calls have succeeded again.
    working_since: Option<Instant>,
    /// The number of failures logged.
    lines: usize,
    /// The failures logged since the log last said that the mode works.
    logged: Vec<String>,
}

/// A failure that is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureNotice {
    /// Further failures may be logged.
    Failure,
    /// The last failure that is logged until the mode is healthy.
    Last,
}

impl FailureNotice {
    /// The end of a log line: whether further failures are logged.
    pub(super) fn outlook(self) -> String {
        match self {
            Self::Failure => String::new(),
            Self::Last => format!(
                "; it fails repeatedly: further failures are not logged until it has worked for {} s",
                limits::HEALTHY_MS / 1_000
            ),
        }
    }
}

impl Failures {
    /// Records a failure; returns how long to wait, and whether to log it.
    pub(super) fn failed(
        &mut self,
        text: &str,
        waits: BackOff,
    ) -> (Duration, Option<FailureNotice>) {
        if self.working_since.take().is_some_and(is_healthy) {
            *self = Self::default();
        }
        let back_off = waits.jittered(self.count);
        self.count += 1;
        if self.is_silent() || self.logged.iter().any(|logged| logged == text) {
            return (back_off, None);
        }
        self.logged.push(text.to_owned());
        self.lines += 1;
        (
            back_off,
            Some(if self.is_silent() { FailureNotice::Last } else { FailureNotice::Failure }),
        )
    }

    /// Records a success; true if the log says that the mode fails, so that the recovery has to
    /// be logged.
    pub(super) fn succeeded(&mut self) -> bool {
        if self.count == 0 {
            return false;
        }
        let since = *self.working_since.get_or_insert_with(Instant::now);
        if self.is_silent() {
            let is_healthy = is_healthy(since);
            if is_healthy {
                *self = Self::default();
            }
            return is_healthy;
        }
        !std::mem::take(&mut self.logged).is_empty()
    }

    /// Whether no more failures are logged until the mode is healthy.
    fn is_silent(&self) -> bool {
        self.lines >= limits::FAILURES_LOGGED_MAX
    }
}

/// Whether a mode that has worked since `since` is healthy.
fn is_healthy(since: Instant) -> bool {
    since.elapsed() >= Duration::from_millis(limits::HEALTHY_MS)
}

#[cfg(test)]
mod tests {
    use super::{FailureNotice, Failures};
    use crate::limits;
    use crate::schedule::BackOff;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_back_off_grows_and_each_failure_is_logged_once() {
        let mut failures = Failures::default();
        let mut expected_ms = 500.0;
        for n in 0..20 {
            let (back_off, notice) = failures.failed("crashed", BackOff::FAILURE);
            let ms = back_off.as_secs_f64() * 1000.0;
            assert!((expected_ms * 0.9..=expected_ms * 1.1).contains(&ms), "{n}: {ms}");
            assert_eq!(notice, (n == 0).then_some(FailureNotice::Failure));
            expected_ms = f64::min(expected_ms * 2.0, 60_000.0);
        }
        assert!(failures.failed("something else", BackOff::FAILURE).1.is_some());
        assert!(failures.succeeded());
        assert!(!failures.succeeded());
    }

    #[tokio::test(start_paused = true)]
    async fn the_back_off_is_reset_for_a_healthy_mode() {
        let mut failures = Failures::default();
        for _ in 0..5 {
            failures.failed("crashed", BackOff::FAILURE);
        }
        failures.succeeded();
        tokio::time::advance(Duration::from_millis(limits::HEALTHY_MS / 2)).await;
        assert!(failures.failed("crashed", BackOff::FAILURE).0 > Duration::from_secs(10));
        failures.succeeded();
        tokio::time::advance(Duration::from_millis(limits::HEALTHY_MS)).await;
        let (back_off, notice) = failures.failed("crashed", BackOff::FAILURE);
        assert!(back_off < Duration::from_millis(600));
        assert_eq!(notice, Some(FailureNotice::Failure));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_log_line_about_an_unstable_mode_is_accurate() {
        let mut failures = Failures::default();
        for n in 1..limits::FAILURES_LOGGED_MAX {
            let first = failures.failed("unreachable", BackOff::FAILURE).1;
            assert_eq!(
                first,
                Some(FailureNotice::Failure),
                "{n}: the log said before that it works"
            );
            assert_eq!(failures.failed("unreachable", BackOff::FAILURE).1, None);
            assert!(failures.succeeded());
            assert!(!failures.succeeded());
        }
        assert_eq!(failures.failed("unreachable", BackOff::FAILURE).1, Some(FailureNotice::Last));
        assert!(!failures.succeeded());
        assert_eq!(failures.failed("something else", BackOff::FAILURE).1, None);
        assert!(!failures.succeeded());
        tokio::time::advance(Duration::from_millis(limits::HEALTHY_MS)).await;
        assert!(failures.succeeded(), "it is healthy, and the recovery is logged");
        assert!(!failures.succeeded());
        assert_eq!(
            failures.failed("unreachable", BackOff::FAILURE).1,
            Some(FailureNotice::Failure)
        );
    }
}
