//! Consumer groups of a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::StreamId;

/// Overhead of a group beside its name, in bytes.
pub(super) const GROUP_BYTES: usize = 128;
/// Overhead of a consumer beside its name, in bytes.
pub(super) const CONSUMER_BYTES: usize = 96;
/// Bytes of a pending entry, in the group and with its consumer.
pub(super) const PENDING_BYTES: usize = 96;

/// The position up to which a group has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The last entry that was delivered.
    pub(crate) last: StreamId,
    /// Number of entries ever added up to and including that one; `None` if unknown.
    pub(crate) read: Option<u64>,
}

/// Times of a consumer's last activity, in milliseconds of the cluster's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Activity {
    /// Its last request for entries.
    pub(crate) seen_ms: u64,
    /// The last time that it received an entry.
    pub(crate) active_ms: Option<u64>,
}

/// The deliveries of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Time of the last delivery, in milliseconds of the cluster's clock.
    pub(crate) time_ms: u64,
    /// Number of deliveries.
    pub(crate) count: u64,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) consumer: Arc<[u8]>,
    pub(crate) delivery: Delivery,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) activity: Activity,
    /// The entries that are pending for it; [`Group::pending`] has the details.
    pub(crate) pending: BTreeSet<StreamId>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) position: Position,
    pub(crate) pending: BTreeMap<StreamId, Pending>,
    pub(crate) consumers: BTreeMap<Arc<[u8]>, Consumer>,
}

impl Group {
    /// Approximate number of bytes in memory, without its name.
    pub(super) fn bytes(&self) -> usize {
        let names: usize = self.consumers.keys().map(|name| name.len() + CONSUMER_BYTES).sum();
        GROUP_BYTES + names + self.pending.len() * PENDING_BYTES
    }

    /// Makes an entry pending for a consumer, and for no other one. Returns whether it was not
    /// pending before; `None` if the consumer does not exist.
    pub(super) fn pend(
        &mut self,
        consumer: &[u8],
        id: StreamId,
        delivery: Delivery,
    ) -> Option<bool> {
        let (name, _) = self.consumers.get_key_value(consumer)?;
        let pending = Pending { consumer: Arc::clone(name), delivery };
        let old = self.pending.insert(id, pending);
        if let Some(old) = &old
            && *old.consumer != *consumer
            && let Some(owner) = self.consumers.get_mut(&old.consumer)
        {
            owner.pending.remove(&id);
        }
        self.consumers.get_mut(consumer)?.pending.insert(id);
        Some(old.is_none())
    }

    /// Makes an entry no longer pending. Returns whether it was pending.
    pub(super) fn unpend(&mut self, id: StreamId) -> bool {
        let Some(old) = self.pending.remove(&id) else { return false };
        if let Some(owner) = self.consumers.get_mut(&old.consumer) {
            owner.pending.remove(&id);
        }
        true
    }
}
