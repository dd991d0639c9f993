//! Listeners for events of keys, on this and on other members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use convoke_membership::MemberId;
use parking_lot::RwLock;

use crate::event::Event;

/// Receives events of keys. Must not block.
pub trait Listener: Send + Sync {
    /// Handles an event.
    fn handle_event(&self, event: &Event);
}

/// A local listener, and its map.
pub(super) type Own = (String, Arc<dyn Listener>);

/// Listeners, here and on other members.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) next: AtomicU64,
    pub(super) own: RwLock<BTreeMap<u64, Own>>,
    /// The maps that other members listen to.
    pub(super) others: RwLock<BTreeMap<MemberId, BTreeSet<String>>>,
}

impl Listeners {
    pub(super) fn interest(&self, from: MemberId, maps: Vec<String>) {
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

    pub(super) fn own_maps(&self) -> Vec<String> {
        let own = self.own.read();
        own.values().map(|(map, _)| map.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}
