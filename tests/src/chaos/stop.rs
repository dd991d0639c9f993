//! An end that is asked for from outside.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self) {
        *self.lock() = true;
        self.shared.1.notify_all();
    }

    /// Whether somebody has.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.lock()
    }

    /// Waits for so long, or until the end is asked for.
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
