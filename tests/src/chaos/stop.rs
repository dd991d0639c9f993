//! A request to stop a run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// Requests the stop.
    pub fn request(&self) {
        *self.lock() = true;
        self.shared.1.notify_all();
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.lock()
    }

    /// Waits for `duration`, or until a stop is requested.
    pub fn wait(&self, duration: Duration) {
        let deadline = Instant::now() + duration;
        let mut is_requested = self.lock();
        while !*is_requested {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.shared.1.wait_timeout(is_requested, left);
            is_requested = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
