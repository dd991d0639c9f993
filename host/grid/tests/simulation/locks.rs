//! Locks that end by themselves: at no time do two owners hold one, and none is held for ever.

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::op::LeaseOp;
use convoke_grid::{MapCatalog, MapSettings, Op, OpError, Reply};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::faults::{split_from_majority, strike};
use crate::store::{STEP, Store};
use crate::world::seeds;

const SECOND: Duration = Duration::from_secs(1);
const PARTITIONS: u16 = 7;
/// Seeds of each scenario by default.
const COUNT: u64 = 24;
const KEYS: usize = 3;
/// Owners that want the lock of each key.
const OWNERS: usize = 4;
/// Operations of an owner in a second, if replies come at once.
const RATE: f64 = 15.0;
/// How much earlier a lease may end than by the time of the simulation, as the cluster's clock
/// follows that of a machine.
const EARLY: Duration = Duration::from_millis(400);
/// How much later: while the cluster's clock waits for a machine's that is behind it, and while an
/// operation of unknown outcome may still be executed.
const LATE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Hold,
    Renew,
    Release,
}

/// An owner of the lock of one key. It has a new name after an operation of unknown outcome, which
/// may be executed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    key: usize,
    number: usize,
    incarnation: usize,
}

impl Owner {
    fn name(self) -> String {
        format!("owner-{}-{}", self.number, self.incarnation)
    }
}

/// A time in which an owner certainly holds a lock.
#[derive(Clone, Copy, Debug)]
struct Held {
    owner: Owner,
    from: Duration,
    until: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    owner: Owner,
    is_busy: bool,
    holds: Option<Held>,
}

#[derive(Debug, Default)]
struct Log {
    clients: Vec<Client>,
    held: Vec<Held>,
    /// Leases that may have been granted, with the latest time at which they end.
    granted: Vec<(Owner, Duration)>,
    /// When an owner was refused.
    refused: Vec<(Owner, Duration)>,
    /// Leases that ended early.
    lost: Vec<(Owner, Action, Duration)>,
}

impl Log {
    /// A client does not rely on its lease any longer.
    fn end(&mut self, index: usize, now: Duration) {
        if let Some(held) = self.clients[index].holds.take() {
            self.held.push(Held { until: held.until.min(now), ..held });
        }
    }

    fn check(&self, seed: u64) {
        assert!(self.lost.is_empty(), "SEED={seed}: ended early: {:?}", self.lost);
        for (at, one) in self.held.iter().enumerate() {
            for other in &self.held[..at] {
                let is_same = one.owner == other.owner || one.owner.key != other.owner.key;
                let overlap = one.from < other.until && other.from < one.until;
                assert!(is_same || !overlap, "SEED={seed}: both hold a lock: {one:?}, {other:?}");
            }
        }
        for (owner, at) in &self.refused {
            let may_hold = |(other, until): &(Owner, Duration)| {
                other.key == owner.key && other != owner && until >= at
            };
            let is_right = self.granted.iter().any(may_hold);
            assert!(is_right, "SEED={seed}: nobody holds the lock that {owner:?} wants at {at:?}");
        }
    }
}

/// An operation in progress. If its task ends without a reply, the outcome is unknown.
struct InProgress {
    log: Arc<Mutex<Log>>,
    action: Action,
    client: usize,
    at: Duration,
    lease: Duration,
    /// Until when the client holds the lock, if it does.
    holds_until: Option<Duration>,
    is_done: bool,
}

impl InProgress {
    fn end(&mut self, now: Duration, answer: &Result<Reply, OpError>) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        let mut log = self.log.lock();
        let owner = log.clients[self.client].owner;
        let is_unknown = *answer == Err(OpError::Indeterminate);
        let is_granted = matches!(answer, Ok(Reply::Integer(1..)));
        if self.action != Action::Release && (is_unknown || is_granted) {
            log.granted.push((owner, now + self.lease + LATE));
        }
        if self.action == Action::Hold && *answer == Ok(Reply::Integer(0)) {
            log.refused.push((owner, self.at));
        }
        let is_over = match self.action {
            Action::Hold => false,
            Action::Renew => *answer == Ok(Reply::Integer(0)),
            Action::Release => *answer == Err(OpError::Held),
        };
        if is_over && self.holds_until.is_some_and(|until| now < until) {
            log.lost.push((owner, self.action, now));
        }
        if is_unknown {
            log.end(self.client, self.at);
        }
        let client = &mut log.clients[self.client];
        client.is_busy = false;
        client.owner.incarnation += usize::from(is_unknown);
        let until = self.at + self.lease.saturating_sub(EARLY);
        match (self.action, &mut client.holds) {
            (Action::Hold, holds) if is_granted => *holds = Some(Held { owner, from: now, until }),
            // It has held it until now.
            (Action::Renew, Some(held)) if is_granted => held.until = held.until.max(until),
            _ => {}
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.end(self.at, &Err(OpError::Indeterminate));
    }
}

/// Lets clients of all locks act whenever time advances with clients.
fn join(store: &mut Store) -> Arc<Mutex<Log>> {
    let client = |index: usize| {
        let owner = Owner { key: index / OWNERS, number: index % OWNERS, incarnation: 0 };
        Client { owner, is_busy: false, holds: None }
    };
    let clients = (0..KEYS * OWNERS).map(client).collect();
    let log = Arc::new(Mutex::new(Log { clients, ..Log::default() }));
    let all = Arc::clone(&log);
    store.rate = 0.0;
    store.clients = Some(Box::new(move |store| {
        for index in 0..KEYS * OWNERS {
            act(store, &all, index);
        }
    }));
    log
}

fn act(store: &mut Store, all: &Arc<Mutex<Log>>, index: usize) {
    let now = store.world.now;
    let mut log = all.lock();
    if log.clients[index].holds.is_some_and(|held| held.until <= now) {
        log.end(index, now);
    }
    let client = log.clients[index];
    if client.is_busy || !store.world.rng.random_bool(RATE * STEP.as_secs_f64()) {
        return;
    }
    let living = store.living();
    let node = living[store.world.rng.random_range(0..living.len())];
    if store.is_stopped(node) {
        return;
    }
    let action = match client.holds {
        None => Action::Hold,
        Some(_) if store.world.rng.random_bool(0.3) => Action::Release,
        Some(_) => Action::Renew,
    };
    if action == Action::Release {
        log.end(index, now);
    }
    log.clients[index].is_busy = true;
    drop(log);
    let lease_ms = store.world.rng.random_range(600..3_000);
    let lease = Duration::from_millis(lease_ms);
    let log = Arc::clone(all);
    let holds_until = client.holds.map(|held| held.until);
    let mut open =
        InProgress { log, action, client: index, at: now, lease, holds_until, is_done: false };
    let (key, name) = (format!("lock-{}", client.owner.key), client.owner.name());
    let owner = name.as_bytes();
    let op = match action {
        Action::Hold => LeaseOp::Hold { owner, lease_ms },
        Action::Renew => LeaseOp::Renew { owner, lease_ms },
        Action::Release => LeaseOp::Release { owner },
    };
    let clock = store.clock();
    let op = Op::Lease(key.as_bytes(), op);
    store.start_op(node, &op, None, move |answer| open.end(clock(), &answer));
}

fn cluster(seed: u64, size: usize, backups: u8, min_members: u32) -> Store {
    let defaults = MapSettings { backups, ..MapSettings::default() };
    let catalog = MapCatalog { defaults, named: Vec::new() };
    let mut store = Store::new(seed, PARTITIONS, catalog).min_members(min_members);
    store.grow(size);
    store
}

fn check(store: &Store, log: &Mutex<Log>) {
    let (log, seed) = (log.lock(), store.world.seed);
    assert!(log.held.len() > 25, "SEED={seed}: locks were held {} times", log.held.len());
    log.check(seed);
}

#[test]
fn a_lock_has_one_owner_until_its_lease_ends() {
    for seed in seeds!(COUNT) {
        let mut store = cluster(seed, 3, 1, 0);
        let log = join(&mut store);
        for _ in 0..3 {
            strike(&mut store);
        }
        check(&store, &log);
    }
}

#[test]
fn with_min_members_a_lock_has_one_owner_on_both_sides_of_a_split() {
    for seed in seeds!(COUNT) {
        let size = if seed.is_multiple_of(2) { 3 } else { 5 };
        let island = size / 2;
        let mut store = cluster(seed, size, island as u8, island as u32 + 1);
        let log = join(&mut store);
        for _ in 0..2 {
            let island = store.world.rng.random_range(1..=island);
            split_from_majority(&mut store, island);
            store.run_with_clients(SECOND);
        }
        check(&store, &log);
    }
}
