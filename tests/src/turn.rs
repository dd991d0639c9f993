//! Tests take turns: most run side by side, the heavy and the timed ones alone.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// The right to use the machine, until dropped. A test takes one, and one only:
/// two could wait for each other.
#[derive(Debug)]
pub enum Turn {
    /// Beside other tests.
    Shared(RwLockReadGuard<'static, ()>),
    /// With nothing beside it.
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// Waits until no test runs that has to be alone.
    #[must_use]
    pub fn shared() -> Self {
        Self::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until no other test runs.
    #[must_use]
    pub fn alone() -> Self {
        Self::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner))
    }
}
