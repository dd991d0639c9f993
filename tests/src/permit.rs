//! Tests take turns: most run side by side, a few at a time; the heavy and the timed
//! ones alone.

use std::num::NonZero;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Tests that run side by side, for each core: they wait more than they compute.
const SHARES_PER_CORE: usize = 2;

/// How many run side by side on this machine.
static SHARES: LazyLock<usize> =
    LazyLock::new(|| SHARES_PER_CORE * thread::available_parallelism().map_or(1, NonZero::get));

/// The shares that are taken.
static TAKEN: Mutex<usize> = Mutex::new(0);
static RETURNED: Condvar = Condvar::new();

/// The right to use the machine, until dropped. A test takes one, and one only:
/// two could wait for each other.
///
/// A test that would be alone waits behind all that run and can run beside others: else
/// these would stand still behind it, and the machine with them.
#[derive(Debug)]
pub struct Turn {
    shares: usize,
}

impl Turn {
    /// Waits until there is room, and no test runs that has to be alone.
    #[must_use]
    pub fn shared() -> Self {
        Self::take(1)
    }

    /// Waits until no other test runs.
    #[must_use]
    pub fn alone() -> Self {
        Self::take(*SHARES)
    }

    fn take(shares: usize) -> Self {
        let mut taken = RETURNED
            .wait_while(lock(), |taken| *taken + shares > *SHARES)
            .unwrap_or_else(PoisonError::into_inner);
        *taken += shares;
        Self { shares }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *lock() -= self.shares;
        RETURNED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, usize> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}
