//! The thread that interrupts running modes. It ticks only while a mode runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::limits;

/// Ticks while at least one [`Running`] is held, and otherwise sleeps without a timer.
///
/// A thread and not a task: a mode that computes occupies a worker of the runtime, and with a
/// single worker no task could run to interrupt it.
#[derive(Debug)]
pub(crate) struct Ticker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    stopped: bool,
}

/// Held while a mode may be computing.
#[derive(Debug)]
pub(crate) struct Running(Arc<Shared>);

/// Held while a running mode waits in the host.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let engine = engine.weak();
        let ticking = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("mode-ticker".to_owned())
            .stack_size(256 << 10)
            .spawn(move || ticking.tick(&engine))?;
        Ok(Self(shared))
    }

    pub(crate) fn run(&self) -> Running {
        self.0.enter();
        Running(Arc::clone(&self.0))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Running {
    /// Pauses the ticks for this call until the result is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.0.leave();
        Waiting(&self.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.enter();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) {
        let mut state = self.lock();
        state.running += 1;
        if state.running == 1 {
            self.changed.notify_one();
        }
    }

    fn leave(&self) {
        self.lock().running -= 1;
    }

    fn tick(&self, engine: &EngineWeak) {
        let mut state = self.lock();
        while !state.stopped {
            if state.running == 0 {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(limits::TICK_MS));
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            state = self.lock();
        }
    }
}
