//! Limits how many tests run concurrently; tests that are heavy or sensitive to timing run
//! exclusively.

use std::num::NonZero;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Concurrent tests per core: they wait more than they compute.
const PERMITS_PER_CORE: usize = 2;

/// Number of concurrent tests on this machine.
static PERMITS: LazyLock<usize> =
    LazyLock::new(|| PERMITS_PER_CORE * thread::available_parallelism().map_or(1, NonZero::get));

/// Permits in use.
static IN_USE: Mutex<usize> = Mutex::new(0);
static RETURNED: Condvar = Condvar::new();

/// The permission of a test to run, until dropped. A test acquires one at most: with two, tests
/// could deadlock.
///
/// A waiting exclusive test does not block shared ones from starting, since the machine would
/// otherwise be idle until all running tests have ended.
#[derive(Debug)]
pub struct Permit {
    count: usize,
}

impl Permit {
    /// Waits for a permit to run concurrently with other shared tests.
    #[must_use]
    pub fn shared() -> Self {
        Self::acquire(1)
    }

    /// Waits until no other test runs.
    #[must_use]
    pub fn exclusive() -> Self {
        Self::acquire(*PERMITS)
    }

    fn acquire(count: usize) -> Self {
        let mut in_use = RETURNED
            .wait_while(lock(), |in_use| *in_use + count > *PERMITS)
            .unwrap_or_else(PoisonError::into_inner);
        *in_use += count;
        Self { count }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *lock() -= self.count;
        RETURNED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}
