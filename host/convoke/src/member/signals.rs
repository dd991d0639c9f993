//! The signals that stop this process.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals within this time count as one, in milliseconds.
const ONE_SIGNAL_MS: u64 = 500;

/// SIGTERM and SIGINT, caught from the beginning, so that they also stop a member that is still
/// starting.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to catch the signals. Needs a runtime.
    pub(crate) fn catch() -> Result<Self, String> {
        let catch =
            |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// Waits for another signal. Duplicates of the first one are ignored: a wrapper process may
    /// forward a signal that the whole process group received as well.
    pub(super) async fn another(&mut self, first: Instant) {
        loop {
            self.next().await;
            if first.elapsed() >= Duration::from_millis(ONE_SIGNAL_MS) {
                return;
            }
        }
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
