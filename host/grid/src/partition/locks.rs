//! Locks of transactions over several partitions: open transactions of one partition, and
//! operations that wait for them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};
use std::time::Duration;

use super::executed::{Executed, Slot};
use crate::access::Changes;
use crate::fragment::Fragment;
use crate::map::Map;
use crate::op::TransactionId;
use crate::shared::Shared;

/// Maximum number of operations of one partition that wait for the locks of transactions.
pub(super) const QUEUED_MAX: usize = 10_000;
/// Maximum size of those operations, in bytes.
pub(super) const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum size of the entries that all open transactions of one member have locked, in bytes: a
/// transaction works on copies of them.
pub(super) const COPIED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Interval at which a primary asks the home partition for the outcome of an open transaction, in
/// milliseconds.
pub(super) const RESOLVE_MS: u64 = 500;

/// The identity of a lock: the index of the map, and the hash of the key. Keys with equal hashes
/// share a lock.
pub(super) type LockKey = (usize, u32);

/// Open transactions of one partition at its primary, and operations that wait for them.
#[derive(Default)]
pub(super) struct Transactions {
    pub(super) locks: HashMap<LockKey, TransactionId>,
    /// Maps of which all keys are locked, by index.
    pub(super) locked_maps: BTreeMap<usize, TransactionId>,
    pub(super) open: BTreeMap<TransactionId, Open>,
    /// Served in order of arrival, separately for each key.
    pub(super) queue: VecDeque<Queued>,
    pub(super) queued_bytes: usize,
    /// Number of queued operations by key.
    pub(super) queued_keys: HashMap<LockKey, u32>,
    /// Number of queued operations that concern all keys.
    pub(super) queued_for_all_keys: usize,
    /// Whether a blocked operation found a key locked and must be retried.
    pub(super) skipped_waiter: bool,
}

/// A transaction that has executed operations in this partition.
pub(super) struct Open {
    pub(super) locks: Vec<LockKey>,
    /// Maps of which it has locked all keys, by index.
    pub(super) locked_maps: Vec<usize>,
    /// Copies of the locked keys, by the index of the map.
    pub(super) copies: BTreeMap<usize, Fragment>,
    /// The memory of these copies.
    pub(super) room: Room,
    /// The changes made to the copies.
    pub(super) changes: Changes,
    /// The internal map that it is prepared in.
    pub(super) store: Arc<Map>,
    /// Whether it is prepared, or its preparation is in progress.
    pub(super) is_prepared: bool,
    /// Whether this primary took it over, so that there are no copies to continue with.
    pub(super) is_recovered: bool,
    /// The partitions in which it is to be committed, including this one. Only set in the home
    /// partition.
    pub(super) participants: Option<Vec<u16>>,
    /// The time at which the home partition is asked next for its outcome, since start.
    pub(super) resolve_at: Duration,
    /// Whether its outcome is being looked up.
    pub(super) is_resolving: bool,
}

/// Memory of the copies of a transaction, returned on drop.
pub(super) struct Room {
    pub(super) all: Arc<AtomicUsize>,
    pub(super) bytes: usize,
}

impl Room {
    /// Reserves more bytes. Returns whether the total is within the bound.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let before = self.all.fetch_add(bytes, atomic::Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= COPIED_BYTES_MAX
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, atomic::Ordering::Relaxed);
    }
}

/// An operation that waits for locks.
pub(super) struct Queued {
    pub(super) map: Arc<Map>,
    /// Encoded.
    pub(super) op: Vec<u8>,
    pub(super) keys: Vec<LockKey>,
    pub(super) concerns_all: bool,
    pub(super) slot: Arc<Slot>,
}

/// How an operation may proceed if its keys are locked.
pub(super) enum Admission {
    Execute,
    Wait,
    Refuse,
}

/// A transaction whose outcome is to be resolved.
pub(crate) enum Unresolved {
    /// To be looked up in its home partition.
    Ask(TransactionId),
    /// Decided in this home partition; some partitions may not have committed.
    Finish(TransactionId, Vec<u16>),
}

impl Transactions {
    /// Whether no key is locked.
    pub(crate) fn is_idle(&self) -> bool {
        self.locks.is_empty() && self.locked_maps.is_empty() && self.queue.is_empty()
    }

    /// The transaction that has locked a key.
    fn owner(&self, key: &LockKey) -> Option<&TransactionId> {
        self.locks.get(key).or_else(|| self.locked_maps.get(&key.0))
    }

    /// Whether a key is locked, or another operation waits for it.
    #[inline]
    pub(crate) fn concerns(&self, map: &Map, hash: u32) -> bool {
        !self.is_idle() && self.concerns_key(&(map.index, hash))
    }

    #[cold]
    fn concerns_key(&self, key: &LockKey) -> bool {
        self.owner(key).is_some()
            || self.queued_for_all_keys > 0
            || self.queued_keys.contains_key(key)
    }

    pub(super) fn concerns_any(&self, keys: &[LockKey], concerns_all: bool) -> bool {
        let concerned =
            |key: &LockKey| self.owner(key).is_some() || self.queued_keys.contains_key(key);
        self.queued_for_all_keys > 0
            || (concerns_all && !self.is_idle())
            || keys.iter().any(concerned)
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.queued_bytes += queued.op.len();
        self.queued_for_all_keys += usize::from(queued.concerns_all);
        for key in &queued.keys {
            *self.queued_keys.entry(*key).or_default() += 1;
        }
        self.queue.push_back(queued);
    }

    pub(super) fn take_queue(&mut self) -> VecDeque<Queued> {
        self.queued_bytes = 0;
        self.queued_for_all_keys = 0;
        self.queued_keys.clear();
        std::mem::take(&mut self.queue)
    }

    /// Clears all state: this member is no longer the primary. Waiting operations are to be sent to
    /// the next one.
    pub(crate) fn reset(&mut self) {
        for queued in self.take_queue() {
            if queued.slot.claim() {
                queued.slot.fill(Executed::NotPrimary);
            }
        }
        *self = Self::default();
    }

    /// Whether the transaction may lock these keys, and all keys of these maps, or must wait or give
    /// up. A transaction that holds no lock yet (`is_first`) waits in any case; others only wait for
    /// younger ones ("wait-die", Rosenkrantz et al., 1978), so there are no deadlocks.
    pub(super) fn admit(
        &self,
        id: TransactionId,
        is_first: bool,
        keys: &[LockKey],
        maps: &[usize],
    ) -> Admission {
        if is_first {
            let waits = self.concerns_any(keys, !maps.is_empty());
            return if waits { Admission::Wait } else { Admission::Execute };
        }
        // Queued operations may wait for this transaction, which takes precedence over them.
        let mut admission = Admission::Execute;
        let of_keys = keys.iter().filter_map(|key| self.owner(key));
        let of_maps = maps.iter().flat_map(|map| {
            let locks = self.locks.iter().filter(move |((index, _), _)| index == map);
            locks.map(|(_, owner)| owner).chain(self.locked_maps.get(map))
        });
        for owner in of_keys.chain(of_maps) {
            match id.cmp(owner) {
                Ordering::Equal => {}
                Ordering::Less => admission = Admission::Wait,
                Ordering::Greater => return Admission::Refuse,
            }
        }
        admission
    }
}

impl Open {
    pub(super) fn new(shared: &Shared, store: Arc<Map>, now: Duration) -> Self {
        Self {
            locks: Vec::new(),
            locked_maps: Vec::new(),
            copies: BTreeMap::new(),
            room: Room { all: Arc::clone(&shared.transaction_bytes), bytes: 0 },
            changes: Changes::default(),
            store,
            is_prepared: false,
            is_recovered: false,
            participants: None,
            resolve_at: now + Duration::from_millis(RESOLVE_MS),
            is_resolving: false,
        }
    }
}
