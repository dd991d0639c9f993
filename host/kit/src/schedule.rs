//! When a mode is called next: the schedule of the host, without jitter.

use std::time::Duration;

use convoke_discovery::{CallError, Instance, Problem, Snapshot, limits};
use tokio::time::{Instant, sleep_until};

/// When the next calls of `discover` and `announce` are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    discover: Instant,
    announce: Option<Instant>,
    back_off: Duration,
}

/// Statistics of a mode's calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) problems: u64,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) last_problem: Option<Problem>,
    /// Why it is not called again: misconfigured, denied, crashed or timed out.
    pub(crate) stopped: Option<CallError>,
}

impl Schedule {
    /// A schedule with both calls due now.
    pub(crate) fn begin(instance: &Instance) -> Self {
        let now = Instant::now();
        Self {
            discover: now,
            announce: instance.announces().then_some(now),
            back_off: BACK_OFF_MIN,
        }
    }

    pub(crate) fn next(&self) -> Instant {
        self.announce.map_or(self.discover, |announce| announce.min(self.discover))
    }

    /// Waits until the next call is due, and makes it. The announcement comes first, so that
    /// the result after it may include responses to it.
    pub(crate) async fn step(&mut self, instance: &mut Instance, tally: &mut Tally) {
        sleep_until(self.next()).await;
        if self.announce.is_some_and(|at| at <= Instant::now()) {
            match instance.announce().await {
                Ok(again) => self.announce = again.map(|wait| Instant::now() + interval(wait)),
                Err(error) => {
                    self.announce = Some(Instant::now() + self.back_off);
                    self.fail(error, tally);
                }
            }
        }
        if tally.stopped.is_none() && self.discover <= Instant::now() {
            match instance.discover().await {
                Ok(snapshot) => {
                    tally.calls += 1;
                    self.back_off = BACK_OFF_MIN;
                    self.discover =
                        Instant::now() + interval(snapshot.look_again.unwrap_or(DEFAULT));
                    tally.snapshot = Some(snapshot);
                }
                Err(error) => {
                    self.discover = Instant::now() + self.back_off;
                    self.fail(error, tally);
                }
            }
        }
    }

    fn fail(&mut self, error: CallError, tally: &mut Tally) {
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
        match error {
            CallError::Problem(problem @ (Problem::Temporary(_) | Problem::Failed(_))) => {
                tally.problems += 1;
                tally.last_problem = Some(problem);
            }
            error => tally.stopped = Some(error),
        }
    }
}

const BACK_OFF_MIN: Duration = Duration::from_millis(limits::PROBLEM_BACK_OFF_MS_MIN);
const BACK_OFF_MAX: Duration = Duration::from_millis(limits::PROBLEM_BACK_OFF_MS_MAX);
const DEFAULT: Duration = Duration::from_millis(limits::LOOK_AGAIN_MS_DEFAULT);

/// The interval that a mode asked for, within the host's limits.
pub(crate) fn interval(asked: Duration) -> Duration {
    asked.clamp(
        Duration::from_millis(limits::LOOK_AGAIN_MS_MIN),
        Duration::from_millis(limits::LOOK_AGAIN_MS_MAX),
    )
}
