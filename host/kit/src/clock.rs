//! Virtual time: a runtime whose clock advances only while all tasks wait.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::time::Instant;
use tracing::Dispatch;
use tracing::dispatcher::with_default;

use crate::log::Log;

/// A runtime with virtual time and a log.
#[derive(Debug)]
pub(crate) struct Clock {
    runtime: Runtime,
    started: Instant,
    dispatch: Dispatch,
    pub(crate) log: Log,
}

impl Clock {
    pub(crate) fn start() -> io::Result<Rc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let started = runtime.block_on(async { Instant::now() });
        let log = Log::default();
        Ok(Rc::new(Self { runtime, started, dispatch: log.dispatch(), log }))
    }

    /// Runs `future` to completion, together with spawned tasks.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        with_default(&self.dispatch, || self.runtime.block_on(future))
    }

    /// The virtual time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        let _inside = self.enter();
        self.started.elapsed()
    }

    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}
