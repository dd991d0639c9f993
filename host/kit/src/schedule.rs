//! When a mode is called next: the schedule of the host, without jitter.

use convoke_discovery::schedule::{BackOff, interval, look_again};
use convoke_discovery::{CallError, Instance, Problem, Snapshot};
use tokio::time::{Instant, sleep_until};

/// When the next calls of `discover` and `announce` are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    discover: Instant,
    announce: Option<Instant>,
    /// Consecutive failures, which lengthen the wait after the next one.
    failures: u32,
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
        Self { discover: now, announce: instance.announces().then_some(now), failures: 0 }
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
                Err(error) => self.announce = Some(self.fail(error, tally)),
            }
        }
        if tally.stopped.is_none() && self.discover <= Instant::now() {
            match instance.discover().await {
                Ok(snapshot) => {
                    tally.calls += 1;
                    self.failures = 0;
                    self.discover = Instant::now() + look_again(snapshot.look_again);
                    tally.snapshot = Some(snapshot);
                }
                Err(error) => self.discover = self.fail(error, tally),
            }
        }
    }

    /// Records a failure; returns when the call is made again.
    fn fail(&mut self, error: CallError, tally: &mut Tally) -> Instant {
        let wait = BackOff::PROBLEM.after(self.failures);
        self.failures += 1;
        match error {
            CallError::Problem(problem @ (Problem::Temporary(_) | Problem::Failed(_))) => {
                tally.problems += 1;
                tally.last_problem = Some(problem);
            }
            error => tally.stopped = Some(error),
        }
        Instant::now() + wait
    }
}
