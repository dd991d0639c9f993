//! Clients, each with all its connections to this member, and the locks that they hold.
//!
//! The grid grants leases, Hazelcast locks without an end. So a lock is a lease that the members to
//! which its client is connected renew. The member which granted it reports it to the others, see
//! [`lock_reports`](super::lock_reports), once it has been held for [`REPORT_AFTER_MS`]: if that member
//! is lost before, the lease ends within [`LEASE_MS`]. A client that has lost its connections to all
//! members has [`ABSENT_MS_MAX`] to connect again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use convoke_grid::Map;
use convoke_hazelcast::error::ErrorCode;
use parking_lot::Mutex;
use uuid::Uuid;

use super::errors::Failure;
use super::settings::LISTENERS_MAX;

/// Duration of a lease for a lock without an end, in milliseconds.
pub(super) const LEASE_MS: u64 = 300_000;
/// Interval at which such leases are renewed, in milliseconds.
const RENEW_MS: u64 = 60_000;
/// Time in which a client that lost its connections may connect again, in milliseconds. Then its
/// locks are released, unless it is connected to another member.
const ABSENT_MS_MAX: u64 = 60_000;
/// Time in which other members report that a client is connected to them, in milliseconds.
const ANSWER_MS_MAX: u64 = 5_000;
/// Time after which a lock is reported to other members, in milliseconds.
const REPORT_AFTER_MS: u64 = 2_000;
/// Interval at which it is reported again, in milliseconds.
const REPORT_MS: u64 = 60_000;
/// Time without a report of a lock after which another member reports it, in milliseconds.
const UNREPORTED_MS_MAX: u64 = 90_000;
/// Maximum number of locks that are remembered of clients without a connection to this member.
const UNCLAIMED_MAX: usize = 100_000;
/// Maximum number of locks that are renewed for one client.
pub(super) const LOCKS_MAX: usize = 100_000;
/// The reference of requests that are not numbered, such as those of the client for Node.js.
const NO_REFERENCE: i64 = 0;
/// Number of requests about locks whose results are remembered for each client.
const REFERENCES_MAX: usize = 1_024;
/// Maximum number of clients that are remembered.
const CLIENTS_MAX: usize = 100_000;

/// Length of the name of a lock's owner, in bytes: the client's id, and the number of its thread.
pub(super) const OWNER_BYTES: usize = 24;

/// A lock that a client holds.
#[derive(Clone)]
pub(super) struct Lock {
    pub(super) map: Arc<Map>,
    pub(super) partition: u16,
    /// The stored key.
    pub(super) key: Box<[u8]>,
    pub(super) owner: [u8; OWNER_BYTES],
}

/// The key of a lock, and who holds it.
type LockId = (Box<str>, Box<[u8]>, [u8; OWNER_BYTES]);

struct HeldLock {
    lock: Lock,
    renewed_ms: u64,
    /// When it is reported to other members.
    report_at_ms: u64,
    /// Whether other members know of it.
    is_reported: bool,
}

/// The id of the client that owns a lock.
pub(super) fn client_of(owner: &[u8; OWNER_BYTES]) -> Uuid {
    owner.first_chunk().map_or_else(Uuid::nil, |id| Uuid::from_bytes(*id))
}

impl Lock {
    fn id(&self) -> LockId {
        (self.map.name.clone(), self.key.clone(), self.owner)
    }
}

/// A request about a lock, by which it is recognized if it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) thread_id: i64,
    /// 0 if the client does not number its requests: then each request is a new one.
    pub(super) reference_id: i64,
    pub(super) is_unlock: bool,
}

#[derive(Default)]
struct State {
    connections: usize,
    /// Since when it has no connection.
    absent_since_ms: u64,
    /// When other members were asked whether it is connected to them.
    asked_ms: Option<u64>,
    /// Whether one of them has said so.
    is_elsewhere: bool,
    locks: HashMap<LockId, HeldLock>,
    /// Released locks of which other members know.
    released: Vec<Lock>,
    references: VecDeque<(Reference, bool)>,
}

/// A client.
pub(super) struct Client {
    pub(super) uuid: Uuid,
    state: Mutex<State>,
    /// Number of its listeners, on all its connections to this member.
    listeners: AtomicUsize,
}

/// A listener of a client, which counts until it is dropped.
pub(super) struct CountedListener(Arc<Client>);

impl CountedListener {
    /// Counts one more. An error if the client has too many.
    pub(super) fn new(client: &Arc<Client>) -> Result<Self, Failure> {
        let more = |count: usize| (count < LISTENERS_MAX).then_some(count + 1);
        match client.listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(Arc::clone(client))),
            Err(_) => {
                let text = format!("this client has {LISTENERS_MAX} listeners already");
                Err(Failure::new(ErrorCode::IllegalState, text))
            }
        }
    }
}

impl Drop for CountedListener {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Client {
    /// The name of a thread as the owner of leases.
    pub(super) fn owner(&self, thread_id: i64) -> [u8; OWNER_BYTES] {
        let mut owner = [0; OWNER_BYTES];
        owner[..16].copy_from_slice(self.uuid.as_bytes());
        owner[16..].copy_from_slice(&thread_id.to_be_bytes());
        owner
    }

    /// The result of a request that was executed already.
    pub(super) fn known_result(&self, reference: Reference) -> Option<bool> {
        if reference.reference_id == NO_REFERENCE {
            return None;
        }
        let state = self.state.lock();
        state.references.iter().find(|(known, _)| *known == reference).map(|(_, result)| *result)
    }

    /// Remembers the result of a request.
    pub(super) fn remember(&self, reference: Reference, result: bool) {
        if reference.reference_id == NO_REFERENCE {
            return;
        }
        let mut state = self.state.lock();
        if state.references.len() >= REFERENCES_MAX {
            state.references.pop_front();
        }
        state.references.push_back((reference, result));
    }

    /// Whether another lock may be renewed.
    pub(super) fn may_hold(&self) -> bool {
        self.state.lock().locks.len() < LOCKS_MAX
    }

    /// Renews a lock from now on, and reports it once it is granted.
    pub(super) fn hold(&self, lock: Lock, is_granted: bool, now_ms: u64) {
        let held =
            HeldLock { lock, renewed_ms: now_ms, report_at_ms: u64::MAX, is_reported: false };
        let mut state = self.state.lock();
        let held = state.locks.entry(held.lock.id()).or_insert(held);
        held.renewed_ms = now_ms;
        if is_granted && held.report_at_ms == u64::MAX {
            held.report_at_ms = now_ms.saturating_add(REPORT_AFTER_MS);
        }
    }

    /// Renews a lock of which another member has reported.
    fn adopt(&self, lock: Lock, now_ms: u64) {
        let mut state = self.state.lock();
        let (id, report_at_ms) = (lock.id(), now_ms.saturating_add(UNREPORTED_MS_MAX));
        if state.locks.len() >= LOCKS_MAX && !state.locks.contains_key(&id) {
            return;
        }
        let held = HeldLock { lock, renewed_ms: now_ms, report_at_ms, is_reported: true };
        let held = state.locks.entry(id).or_insert(held);
        (held.report_at_ms, held.is_reported) = (report_at_ms, true);
    }

    /// Renews a lock no more, which its owner does not hold.
    pub(super) fn forget(&self, lock: &Lock) {
        self.state.lock().locks.remove(&lock.id());
    }

    /// Renews a lock no more, which was released.
    pub(super) fn release(&self, lock: &Lock) {
        let mut state = self.state.lock();
        if let Some(held) = state.locks.remove(&lock.id())
            && held.is_reported
        {
            state.released.push(held.lock);
        }
    }

    /// Renews a key's lock no more, regardless of its owner.
    pub(super) fn release_key(&self, map: &Map, key: &[u8]) {
        let mut state = self.state.lock();
        let is_it =
            |(name, held, _): &LockId, _: &mut HeldLock| *name == map.name && **held == *key;
        let removed: Vec<HeldLock> = state.locks.extract_if(is_it).map(|(_, held)| held).collect();
        let reported = removed.into_iter().filter(|held| held.is_reported).map(|held| held.lock);
        state.released.extend(reported);
    }

    /// Whether it has a connection, or may connect again.
    fn is_present(&self, now_ms: u64) -> bool {
        let state = self.state.lock();
        state.connections > 0 || now_ms.saturating_sub(state.absent_since_ms) <= ABSENT_MS_MAX
    }

    /// The locks that are to be renewed now.
    fn due(&self, now_ms: u64) -> Vec<Lock> {
        let mut state = self.state.lock();
        let due = |held: &&mut HeldLock| now_ms.saturating_sub(held.renewed_ms) >= RENEW_MS;
        let renewed = state.locks.values_mut().filter(due).map(|held| {
            held.renewed_ms = now_ms;
            held.lock.clone()
        });
        renewed.collect()
    }

    /// The locks that are to be reported to other members now.
    fn unreported(&self, now_ms: u64) -> Vec<Lock> {
        let mut state = self.state.lock();
        let due = state.locks.values_mut().filter(|held| held.report_at_ms <= now_ms);
        let reported = due.map(|held| {
            held.report_at_ms = now_ms.saturating_add(REPORT_MS);
            held.is_reported = true;
            held.lock.clone()
        });
        reported.collect()
    }
}

/// A connection of a client, until it is dropped.
pub(super) struct Connected {
    pub(super) client: Arc<Client>,
    now_ms: Box<dyn Fn() -> u64 + Send>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let now_ms = (self.now_ms)();
        let mut state = self.client.state.lock();
        state.connections -= 1;
        state.absent_since_ms = now_ms;
    }
}

/// Locks of a client that has not connected to this member, and when it last heard of one.
struct Unclaimed {
    locks: HashMap<LockId, Lock>,
    heard_ms: u64,
}

/// Locks of all such clients.
#[derive(Default)]
struct AllUnclaimed {
    by_uuid: HashMap<Uuid, Unclaimed>,
    /// The number of locks.
    count: usize,
}

/// All clients of this member.
#[derive(Default)]
pub(super) struct Clients {
    by_uuid: Mutex<HashMap<Uuid, Arc<Client>>>,
    /// Locks of which other members have reported. Locked after `by_uuid`.
    unclaimed: Mutex<AllUnclaimed>,
}

/// What is to be done about locks.
#[derive(Default)]
pub(super) struct Due {
    /// Leases to renew.
    pub(super) renew: Vec<(Arc<Client>, Lock)>,
    /// Locks of clients that are gone.
    pub(super) release: Vec<Lock>,
    /// Locks to report to other members.
    pub(super) report: Vec<Lock>,
    /// Locks of clients that other members are asked for.
    pub(super) ask: Vec<Lock>,
    /// Released locks of which other members know.
    pub(super) released: Vec<Lock>,
}

impl Clients {
    /// Adds a connection of a client. `None` if there are too many clients.
    pub(super) fn connect(
        &self,
        uuid: Uuid,
        now_ms: impl Fn() -> u64 + Send + 'static,
    ) -> Option<Connected> {
        let mut by_uuid = self.by_uuid.lock();
        if by_uuid.len() >= CLIENTS_MAX && !by_uuid.contains_key(&uuid) {
            return None;
        }
        let new = || {
            let listeners = AtomicUsize::new(0);
            Arc::new(Client { uuid, state: Mutex::default(), listeners })
        };
        let client = Arc::clone(by_uuid.entry(uuid).or_insert_with(new));
        {
            let mut state = client.state.lock();
            state.connections += 1;
            (state.asked_ms, state.is_elsewhere) = (None, false);
        }
        let unclaimed = {
            let mut all = self.unclaimed.lock();
            let unclaimed = all.by_uuid.remove(&uuid);
            all.count -= unclaimed.as_ref().map_or(0, |unclaimed| unclaimed.locks.len());
            unclaimed
        };
        for lock in unclaimed.into_iter().flat_map(|unclaimed| unclaimed.locks.into_values()) {
            // It is renewed at the next opportunity.
            client.adopt(lock, now_ms().saturating_sub(RENEW_MS));
        }
        Some(Connected { client, now_ms: Box::new(now_ms) })
    }

    /// Forgets clients that are gone, and returns what is to be done about locks.
    pub(super) fn tick(&self, now_ms: u64) -> Due {
        let mut due = Due::default();
        self.by_uuid.lock().retain(|_, client| {
            due.released.append(&mut client.state.lock().released);
            if client.is_present(now_ms) {
                let renew = client.due(now_ms).into_iter().map(|lock| (Arc::clone(client), lock));
                due.renew.extend(renew);
                due.report.extend(client.unreported(now_ms));
                return true;
            }
            let mut state = client.state.lock();
            match state.asked_ms {
                _ if state.locks.is_empty() => false,
                None => {
                    (state.asked_ms, state.is_elsewhere) = (Some(now_ms), false);
                    due.ask.extend(state.locks.values().map(|held| held.lock.clone()));
                    true
                }
                Some(at_ms) if now_ms.saturating_sub(at_ms) <= ANSWER_MS_MAX => true,
                Some(_) => {
                    let locks = std::mem::take(&mut state.locks);
                    if !state.is_elsewhere {
                        due.release.extend(locks.into_values().map(|held| held.lock));
                    }
                    false
                }
            }
        });
        let AllUnclaimed { by_uuid, count } = &mut *self.unclaimed.lock();
        by_uuid.retain(|_, unclaimed| now_ms.saturating_sub(unclaimed.heard_ms) < LEASE_MS);
        *count = by_uuid.values().map(|unclaimed| unclaimed.locks.len()).sum();
        due
    }

    /// All locks that are to be reported to other members, now or later: this member leaves.
    pub(super) fn unreported(&self) -> Vec<Lock> {
        // Those that were not granted are never to be reported.
        const EVER_MS: u64 = u64::MAX - 1;
        let by_uuid = self.by_uuid.lock();
        by_uuid.values().flat_map(|client| client.unreported(EVER_MS)).collect()
    }

    /// Whether a client has a connection to this member.
    pub(super) fn is_connected(&self, uuid: Uuid) -> bool {
        let by_uuid = self.by_uuid.lock();
        by_uuid.get(&uuid).is_some_and(|client| client.state.lock().connections > 0)
    }

    /// Another member has reported a lock.
    pub(super) fn hear_of(&self, lock: Lock, now_ms: u64) {
        let uuid = client_of(&lock.owner);
        let by_uuid = self.by_uuid.lock();
        if let Some(client) = by_uuid.get(&uuid) {
            return client.adopt(lock, now_ms);
        }
        let AllUnclaimed { by_uuid, count } = &mut *self.unclaimed.lock();
        if *count < UNCLAIMED_MAX {
            let new = || Unclaimed { locks: HashMap::new(), heard_ms: now_ms };
            let unclaimed = by_uuid.entry(uuid).or_insert_with(new);
            unclaimed.heard_ms = now_ms;
            *count += usize::from(unclaimed.locks.insert(lock.id(), lock).is_none());
        }
    }

    /// Another member has released a lock.
    pub(super) fn hear_of_release(&self, lock: &Lock) {
        let uuid = client_of(&lock.owner);
        if let Some(client) = self.by_uuid.lock().get(&uuid) {
            client.state.lock().locks.remove(&lock.id());
        }
        let AllUnclaimed { by_uuid, count } = &mut *self.unclaimed.lock();
        if let Some(unclaimed) = by_uuid.get_mut(&uuid) {
            *count -= usize::from(unclaimed.locks.remove(&lock.id()).is_some());
        }
    }

    /// A client is connected to another member.
    pub(super) fn hear_of_presence(&self, uuid: Uuid) {
        if let Some(client) = self.by_uuid.lock().get(&uuid) {
            client.state.lock().is_elsewhere = true;
        }
    }

    /// The number of locks of a client that this member renews.
    #[cfg(test)]
    pub(super) fn locks_of(&self, uuid: Uuid) -> usize {
        self.by_uuid.lock().get(&uuid).map_or(0, |client| client.state.lock().locks.len())
    }

    /// The number of locks of clients without a connection to this member.
    #[cfg(test)]
    pub(super) fn unclaimed_locks(&self) -> usize {
        self.unclaimed.lock().count
    }

    /// Whether a client that was asked for is connected to another member.
    #[cfg(test)]
    pub(super) fn is_elsewhere(&self, uuid: Uuid) -> bool {
        self.by_uuid.lock().get(&uuid).is_some_and(|client| client.state.lock().is_elsewhere)
    }

    /// Renews a key's lock no more, regardless of its owner.
    pub(super) fn release_key(&self, map: &Map, key: &[u8]) {
        for client in self.by_uuid.lock().values() {
            client.release_key(map, key);
        }
    }
}
