//! Clients, each with all its connections to this member, and the locks that they hold.
//!
//! The grid grants leases, Hazelcast locks without an end. So a lock is a lease that the member
//! which granted it renews as long as the client is connected to it; a client that lost its
//! connection has [`ABSENT_MS_MAX`] to connect again. If that member is lost, the lease ends within
//! [`LEASE_MS`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use convoke_grid::Map;
use parking_lot::Mutex;
use uuid::Uuid;

/// Duration of a lease for a lock without an end, in milliseconds.
pub(super) const LEASE_MS: u64 = 300_000;
/// Interval at which such leases are renewed, in milliseconds.
const RENEW_MS: u64 = 60_000;
/// Time in which a client that lost its connections may connect again, in milliseconds. Then its
/// locks are released.
const ABSENT_MS_MAX: u64 = 60_000;
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
    locks: HashMap<LockId, HeldLock>,
    references: VecDeque<(Reference, bool)>,
}

/// A client.
pub(super) struct Client {
    pub(super) uuid: Uuid,
    state: Mutex<State>,
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

    /// Renews a lock from now on.
    pub(super) fn hold(&self, lock: Lock, now_ms: u64) {
        let id = (lock.map.name.clone(), lock.key.clone(), lock.owner);
        self.state.lock().locks.insert(id, HeldLock { lock, renewed_ms: now_ms });
    }

    /// Renews a lock no more.
    pub(super) fn release(&self, lock: &Lock) {
        let id = (lock.map.name.clone(), lock.key.clone(), lock.owner);
        self.state.lock().locks.remove(&id);
    }

    /// Renews a key's lock no more, regardless of its owner.
    pub(super) fn release_key(&self, map: &Map, key: &[u8]) {
        self.state.lock().locks.retain(|(name, held, _), _| *name != map.name || **held != *key);
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

/// All clients of this member.
#[derive(Default)]
pub(super) struct Clients {
    by_uuid: Mutex<HashMap<Uuid, Arc<Client>>>,
}

/// What is to be done about locks.
#[derive(Default)]
pub(super) struct Due {
    /// Leases to renew.
    pub(super) renew: Vec<(Arc<Client>, Lock)>,
    /// Locks of clients that are gone.
    pub(super) release: Vec<Lock>,
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
        let new = || Arc::new(Client { uuid, state: Mutex::default() });
        let client = Arc::clone(by_uuid.entry(uuid).or_insert_with(new));
        client.state.lock().connections += 1;
        Some(Connected { client, now_ms: Box::new(now_ms) })
    }

    /// Forgets clients that are gone, and returns what is to be done about locks.
    pub(super) fn tick(&self, now_ms: u64) -> Due {
        let mut due = Due::default();
        self.by_uuid.lock().retain(|_, client| {
            if client.is_present(now_ms) {
                let renew = client.due(now_ms).into_iter().map(|lock| (Arc::clone(client), lock));
                due.renew.extend(renew);
                return true;
            }
            let locks = std::mem::take(&mut client.state.lock().locks);
            due.release.extend(locks.into_values().map(|held| held.lock));
            false
        });
        due
    }

    /// Renews a key's lock no more, regardless of its owner.
    pub(super) fn release_key(&self, map: &Map, key: &[u8]) {
        for client in self.by_uuid.lock().values() {
            client.release_key(map, key);
        }
    }
}
