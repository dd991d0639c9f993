//! The instance that calls a capability.

use std::sync::Arc;

use tokio::time::Instant;

use super::log_budget::LogBudget;
use super::mode::Mode;
use crate::ticker::Running;

/// An instance of a mode, and the limits of its running call.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) mode: Arc<Mode>,
    pub(crate) log: LogBudget,
    /// Set while a call runs.
    pub(crate) running: Option<Running>,
    /// The deadline of the running call.
    pub(crate) ends: Instant,
}

impl Caller {
    pub(crate) fn new(mode: Arc<Mode>) -> Self {
        let log = LogBudget::new(mode.rehearsal.is_some());
        Self { mode, log, running: None, ends: Instant::now() }
    }

    /// [`Mode::unless_stopped`]; the wait does not count as computing time.
    pub(crate) fn unless_stopped<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>> {
        let waiting = self.running.as_ref().map(Running::wait);
        let given = self.mode.unless_stopped(future);
        async move {
            let _waiting = waiting;
            given.await
        }
    }
}
