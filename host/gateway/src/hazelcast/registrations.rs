//! Listeners of clients. Each is of one connection, and ends with it, when it is removed, or when its
//! structure is destroyed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use convoke_grid::{Grid, Listener};
use parking_lot::Mutex;
use uuid::Uuid;

use super::clients::CountedListener;
use super::names::Object;
use crate::pubsub::Subscription;

/// What a client listens to, until it is dropped.
pub(super) struct Registered {
    grid: Grid,
    /// The id of a listener of the grid.
    listener: Option<u64>,
    _subscription: Option<Subscription>,
    _counted: CountedListener,
}

impl Registered {
    /// Events of a map of the grid, and messages.
    pub(super) fn new(
        grid: &Grid,
        counted: CountedListener,
        listener: Option<(&str, Arc<dyn Listener>)>,
        subscription: Option<Subscription>,
    ) -> Self {
        let listener = listener.map(|(map, listener)| grid.listen(map, listener));
        let grid = grid.clone();
        Self { grid, listener, _subscription: subscription, _counted: counted }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(id) = self.listener {
            self.grid.unlisten(id);
        }
    }
}

/// A listener, by the id that its client knows.
struct Registration {
    uuid: Uuid,
    /// The structure with which it ends.
    object: Option<Object<'static>>,
    registered: Registered,
}

/// The listeners of one connection.
#[derive(Default)]
pub(super) struct Registrations {
    all: Mutex<Vec<Registration>>,
    /// Whether there has been one, so that there may be events.
    has_listened: AtomicBool,
}

impl Registrations {
    /// Whether there may be events.
    pub(super) fn has_listened(&self) -> bool {
        self.has_listened.load(Ordering::Relaxed)
    }

    /// Adds a listener, which ends with a structure if one is given. Returns its id.
    pub(super) fn add(&self, object: Option<Object<'_>>, registered: Registered) -> Uuid {
        let uuid = Uuid::now_v7();
        let object = object.map(Object::into_owned);
        self.has_listened.store(true, Ordering::Relaxed);
        self.all.lock().push(Registration { uuid, object, registered });
        uuid
    }

    /// Removes a listener. Returns whether there was one of this id.
    pub(super) fn remove(&self, uuid: Uuid) -> bool {
        let removed = {
            let mut all = self.all.lock();
            let at = all.iter().position(|known| known.uuid == uuid);
            at.map(|at| all.swap_remove(at))
        };
        removed.is_some()
    }

    /// Removes the listeners of a structure. They end when they are dropped, which must not happen
    /// while the grid delivers an event or a message.
    pub(super) fn take_of(&self, object: &Object<'_>) -> Vec<Registered> {
        let of_object = |known: &mut Registration| known.object.as_ref() == Some(object);
        let taken = self.all.lock().extract_if(.., of_object).collect::<Vec<_>>();
        taken.into_iter().map(|taken| taken.registered).collect()
    }

    /// Removes all.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.all.lock());
        drop(all);
    }
}
