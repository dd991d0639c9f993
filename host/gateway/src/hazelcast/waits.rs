//! Requests that wait for an item or for a lock. They end when their structure is destroyed, and those
//! that wait for an item also when the member leaves.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use convoke_grid::Unblock;
use convoke_hazelcast::error::ErrorCode;
use parking_lot::Mutex;

use super::errors::Failure;
use super::names::Object;

/// What the requests that wait for one structure share.
#[derive(Default)]
struct Ending {
    unblock: Arc<Unblock>,
    is_destroyed: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The number of requests, of each structure for which there are any.
    waiting: HashMap<Object<'static>, (Arc<Ending>, usize)>,
    is_leaving: bool,
}

/// All requests of this member that wait; see the [module](self).
#[derive(Clone, Default)]
pub(super) struct Waits(Arc<Mutex<State>>);

impl Waits {
    /// A request begins to wait for a structure.
    pub(super) fn begin(&self, object: Object<'_>) -> Waiting {
        let object = object.into_owned();
        let mut state = self.0.lock();
        let is_leaving = state.is_leaving;
        let (ending, count) = state.waiting.entry(object.clone()).or_default();
        *count += 1;
        if is_leaving {
            ending.unblock.set();
        }
        Waiting { waits: self.clone(), object, ending: Arc::clone(ending) }
    }

    /// Ends the requests that wait for a structure, as it is destroyed.
    pub(super) fn destroyed(&self, object: &Object<'_>) {
        let ending = self.0.lock().waiting.remove(&object.clone().into_owned());
        if let Some((ending, _)) = ending {
            ending.is_destroyed.store(true, Ordering::Release);
            ending.unblock.set();
        }
    }

    /// The number of requests that wait for a structure.
    #[cfg(test)]
    pub(super) fn count(&self, object: &Object<'_>) -> usize {
        self.0.lock().waiting.get(&object.clone().into_owned()).map_or(0, |(_, count)| *count)
    }

    /// Ends the requests that wait for an item, now and from now on.
    pub(super) fn leave(&self) {
        let mut state = self.0.lock();
        state.is_leaving = true;
        for (ending, _) in state.waiting.values() {
            ending.unblock.set();
        }
    }
}

/// A request that waits, until it is dropped.
pub(super) struct Waiting {
    waits: Waits,
    object: Object<'static>,
    ending: Arc<Ending>,
}

impl Waiting {
    /// Set once an operation that waits for an item is to end.
    pub(super) fn unblock(&self) -> Arc<Unblock> {
        Arc::clone(&self.ending.unblock)
    }

    /// An error if the structure was destroyed.
    pub(super) fn check_exists(&self) -> Result<(), Failure> {
        if !self.ending.is_destroyed.load(Ordering::Acquire) {
            return Ok(());
        }
        let Object { service, name } = &self.object;
        let text = format!("{name:?} ({service}) was destroyed while the request was waiting");
        Err(Failure::new(ErrorCode::DistributedObjectDestroyed, text))
    }

    /// Whether the member leaves.
    pub(super) fn is_leaving(&self) -> bool {
        self.waits.0.lock().is_leaving
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.waits.0.lock();
        let Some((ending, count)) = state.waiting.get_mut(&self.object) else { return };
        // Others may wait for a structure of this name that was created again.
        if Arc::ptr_eq(ending, &self.ending) {
            *count -= 1;
            if *count == 0 {
                state.waiting.remove(&self.object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_structure_ends_only_what_waits_for_it_then() {
        let waits = Waits::default();
        let (a, b) = (Object::new("s", "a"), Object::new("s", "b"));
        let (one, two, other) = (waits.begin(a.clone()), waits.begin(a.clone()), waits.begin(b));
        waits.destroyed(&a);
        assert!(one.unblock().is_set() && two.check_exists().is_err());
        assert!(!other.unblock().is_set() && other.check_exists().is_ok());
        let again = waits.begin(a.clone());
        drop((one, two));
        assert!(again.check_exists().is_ok());
        waits.destroyed(&a);
        assert!(again.check_exists().is_err());
        drop((again, other));
        assert!(waits.0.lock().waiting.is_empty());
    }

    #[test]
    fn nothing_waits_while_the_member_leaves() {
        let waits = Waits::default();
        let before = waits.begin(Object::new("s", "a"));
        waits.leave();
        let after = waits.begin(Object::new("s", "b"));
        for waiting in [before, after] {
            assert!(waiting.unblock().is_set() && waiting.is_leaving());
            assert!(waiting.check_exists().is_ok(), "it was not destroyed");
        }
    }
}
