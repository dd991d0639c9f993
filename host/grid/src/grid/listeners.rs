//! Listeners for events of keys, on this and on other members.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use convoke_membership::MemberId;
use parking_lot::RwLock;

use crate::event::Event;

/// Receives events of keys. Must not block.
pub trait Listener: Send + Sync {
    /// Handles an event.
    fn handle_event(&self, event: &Event);

    /// Whether events shall contain values. The answer must always be the same.
    fn wants_values(&self) -> bool {
        false
    }
}

/// A local listener, and its map.
pub(super) type Own = (String, Arc<dyn Listener>);

/// Listeners, here and on other members.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) next: AtomicU64,
    pub(super) own: RwLock<BTreeMap<u64, Own>>,
    /// The maps that other members listen to, and whether they want values.
    pub(super) others: RwLock<BTreeMap<MemberId, BTreeMap<String, bool>>>,
}

impl Listeners {
    pub(super) fn interest(&self, from: MemberId, maps: Vec<(String, bool)>) {
        self.others.write().insert(from, maps.into_iter().collect());
    }

    pub(super) fn forget(&self, member: MemberId) {
        self.others.write().remove(&member);
    }

    pub(super) fn deliver(&self, events: &[Event]) {
        let own = self.own.read();
        for event in events {
            for (_, listener) in own.values().filter(|(map, _)| *map == event.map) {
                listener.handle_event(event);
            }
        }
    }

    /// The maps that this member listens to, and whether it wants values.
    pub(super) fn own_maps(&self) -> Vec<(String, bool)> {
        let mut maps: BTreeMap<String, bool> = BTreeMap::new();
        for (map, listener) in self.own.read().values() {
            *maps.entry(map.clone()).or_default() |= listener.wants_values();
        }
        maps.into_iter().collect()
    }
}
