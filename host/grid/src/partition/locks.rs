//! Locks of transactions over several partitions: the state of those that are open in one of them,
//! and the operations that wait.

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

/// Operations of one partition that wait for the locks of transactions, at most.
pub(super) const QUEUED_MAX: usize = 10_000;
/// Bytes of those operations, at most.
pub(super) const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the entries that all open transactions of one member have locked, at most: a
/// transaction works on copies of them.
pub(super) const COPIED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// After this time, in milliseconds, a primary asks the home partition what became of a
/// transaction, and again each time it has passed.
pub(super) const RESOLVE_MS: u64 = 500;

/// A key as locks know it: the index of its map, and its hash. Two keys with one hash share a
/// lock.
pub(super) type LockKey = (usize, u32);

/// Open transactions of one partition at its primary, and operations that wait for them.
#[derive(Default)]
pub(super) struct Transactions {
    pub(super) locks: HashMap<LockKey, TransactionId>,
    /// Maps of which all keys are locked, by index.
    pub(super) locked_maps: BTreeMap<usize, TransactionId>,
    pub(super) open: BTreeMap<TransactionId, Open>,
    /// First come, first served, key by key.
    pub(super) queue: VecDeque<Queued>,
    pub(super) queued_bytes: usize,
    /// How many queued operations name a key.
    pub(super) queued_keys: HashMap<LockKey, u32>,
    /// How many queued operations are about all keys.
    pub(super) queued_whole: usize,
    /// A blocked operation found a key locked: it is to be tried again.
    pub(super) skipped_waiter: bool,
}

/// A transaction that has executed something here.
pub(super) struct Open {
    pub(super) locks: Vec<LockKey>,
    /// Maps of which it has locked all keys, by index.
    pub(super) locked_maps: Vec<usize>,
    /// Copies of the locked keys, by the index of the map.
    pub(super) copies: BTreeMap<usize, Fragment>,
    /// Memory for those.
    pub(super) room: Room,
    /// What it did to them.
    pub(super) changes: Changes,
    /// Where it is prepared.
    pub(super) store: Arc<Map>,
    /// It is in the store, or on its way there.
    pub(super) is_prepared: bool,
    /// This primary took it over: there are no copies to go on with.
    pub(super) is_recovered: bool,
    /// It is to be committed here and in these partitions. Set in its home partition only.
    pub(super) participants: Option<Vec<u16>>,
    /// When the home partition is asked next what became of it, since start.
    pub(super) resolve_at: Duration,
    /// Somebody finds that out now.
    pub(super) is_resolving: bool,
}

/// Memory that the copies of a transaction take, given back when they are dropped.
pub(super) struct Room {
    pub(super) all: Arc<AtomicUsize>,
    pub(super) bytes: usize,
}

impl Room {
    /// Takes more. Returns whether it is within the bound.
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
    pub(super) is_whole: bool,
    pub(super) slot: Arc<Slot>,
}

/// What an operation may do about locked keys.
pub(super) enum Admission {
    Execute,
    Wait,
    Refuse,
}

/// A transaction whose outcome this primary has to find out.
pub(crate) enum Unresolved {
    /// The home partition knows it.
    Ask(TransactionId),
    /// This is its home, it is decided, and not all partitions may have committed.
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

    /// Whether a key is locked, or an operation on it waits already.
    pub(crate) fn concerns(&self, map: &Map, hash: u32) -> bool {
        let key = (map.index, hash);
        !self.is_idle()
            && (self.owner(&key).is_some()
                || self.queued_whole > 0
                || self.queued_keys.contains_key(&key))
    }

    pub(super) fn concerns_any(&self, keys: &[LockKey], is_whole: bool) -> bool {
        let concerned =
            |key: &LockKey| self.owner(key).is_some() || self.queued_keys.contains_key(key);
        self.queued_whole > 0 || (is_whole && !self.is_idle()) || keys.iter().any(concerned)
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.queued_bytes += queued.op.len();
        self.queued_whole += usize::from(queued.is_whole);
        for key in &queued.keys {
            *self.queued_keys.entry(*key).or_default() += 1;
        }
        self.queue.push_back(queued);
    }

    pub(super) fn take_queue(&mut self) -> VecDeque<Queued> {
        self.queued_bytes = 0;
        self.queued_whole = 0;
        self.queued_keys.clear();
        std::mem::take(&mut self.queue)
    }

    /// Forgets everything: this member is not the primary any more. Operations that wait are to
    /// be sent to the next one.
    pub(crate) fn reset(&mut self) {
        for queued in self.take_queue() {
            if queued.slot.claim() {
                queued.slot.fill(Executed::NotPrimary);
            }
        }
        *self = Self::default();
    }

    /// Whether the transaction may lock these keys, and all keys of these maps, or has to wait. An older
    /// transaction waits for a younger one and never the other way round ("wait-die", Rosenkrantz
    /// et al., 1978), so that none wait for one another.
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
        // What is queued may wait for this very transaction, which goes first.
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
