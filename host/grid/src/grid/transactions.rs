//! Runs transactions over several partitions with two-phase commit; the decision is stored in the
//! home partition. See `docs/transactions.md`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use super::attempt::{AttemptError, Transaction};
use super::routing::{Started, route};
use super::spanning;
use super::state::{Grid, Inner, Later};
use crate::map::Map;
use crate::op::{
    Effect, MapOp, Op, SeveralOp, TRANSACTION_OPS_MAX, TransactionId, TransactionOp, WatchedKey,
    WholeOp,
};
use crate::partition::{Executed, Slot};
use crate::{OpError, encoding};

/// Maximum number of transactions that one member runs at a time.
const RUNNING_MAX: usize = 10_000;
/// Time limit for locking all keys of a transaction, in milliseconds, after which it is refused;
/// shorter than the time that its client waits.
pub(super) const LOCK_MS_MAX: u64 = 4_000;

impl Grid {
    /// Starts a transaction: operations on any keys of any maps, executed as one step. With `batch`
    /// the reply is a list with one reply per operation, some of which may be errors; without it
    /// there is one operation, and its reply is returned.
    ///
    /// A transaction is atomic and isolated, even if members are lost meanwhile. It takes one round
    /// trip and one write on backups more than a write in one partition, for which [`Grid::start`]
    /// should be used.
    pub fn transact(
        &self,
        watched: Vec<WatchedKey<'_>>,
        ops: Vec<MapOp<'_>>,
        batch: bool,
    ) -> Started {
        let keys = || {
            let of_ops = ops.iter().flat_map(|op| op.op.keys());
            of_ops.chain(watched.iter().map(|watched| watched.key))
        };
        // Prefers a partition whose primary is this member, which saves a round trip.
        let is_here = |key: &&[u8]| self.inner.primary(self.partition_of(key)) == Some(self.me());
        let Some(key) = keys().find(is_here).or_else(|| keys().next()) else {
            return Started::Now(Err(OpError::Malformed));
        };
        let home = self.partition_of(key);
        let name = ops.first().map(|op| op.map).or(watched.first().map(|watched| watched.map));
        let map = match self.open(name.unwrap_or_default()) {
            Ok(map) => map,
            Err(error) => return Started::Now(Err(error)),
        };
        self.start(&map, home, &Op::Transaction(TransactionOp::Run { watched, ops, batch }))
    }

    /// Starts to exchange all keys of two maps, in one transaction over all partitions: an operation
    /// on either map is executed entirely before it or entirely after it. Both maps must have the
    /// same number of backups. Their other settings stay with their names, and so do leases of
    /// keys.
    ///
    /// Each key gets a new version. What a member that was partitioned wrote to one of the maps
    /// before counts as removed, and what it writes later is merged into the map of that name.
    pub fn exchange(&self, one: &Arc<Map>, other: &Map) -> Started {
        if !one.has_copies_of(other) {
            return Started::Now(Err(OpError::Malformed));
        }
        let is_here = |number: &u16| self.inner.primary(*number) == Some(self.me());
        let home = (0..self.partitions()).find(is_here).unwrap_or(0);
        let op = Op::Whole(WholeOp::Exchange(&other.name));
        let ops = vec![MapOp { map: &one.name, op }];
        let run = TransactionOp::Run { watched: Vec::new(), ops, batch: false };
        self.start(one, home, &Op::Transaction(run))
    }
}

impl Inner {
    /// Executes a step of a transaction on behalf of another member.
    pub(super) fn transact(
        self: &Arc<Self>,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        step: &TransactionOp<'_>,
        now: Duration,
    ) -> Executed {
        let (watched, ops) = step.parts();
        if watched.len().saturating_add(ops.len()) > TRANSACTION_OPS_MAX {
            return Executed::Done(Err(OpError::Malformed), None);
        }
        if let TransactionOp::Run { .. } = step {
            return self.start_running(partition, op, now);
        }
        for MapOp { map, op } in ops {
            if op.effect() == Effect::Adds
                && let Ok(map) = self.shared.maps.open(map)
            {
                self.make_room(&map, || op.added_bytes());
            }
        }
        self.at(partition, |partition| partition.execute(&self.shared, map, now, op))
    }

    /// Reserves one of the transactions that this member may run.
    pub(super) fn count_running(&self) -> Result<(), OpError> {
        if self.running.count.fetch_add(1, Ordering::Relaxed) < RUNNING_MAX {
            return Ok(());
        }
        self.running.count.fetch_sub(1, Ordering::Relaxed);
        Err(OpError::Conflict)
    }

    fn start_running(self: &Arc<Self>, home: u16, op: &Op<'_>, now: Duration) -> Executed {
        if self.partitions[usize::from(home)].lock().serving_primary().is_none() {
            return Executed::NotPrimary;
        }
        if let Err(error) = self.count_running() {
            return Executed::Done(Err(error), None);
        }
        let slot = Arc::new(Slot::default());
        slot.claim();
        let (inner, filled, op) = (Arc::clone(self), Arc::clone(&slot), encoding::encoded(op));
        let mut running: Later<()> = Box::pin(async move {
            let executed = match postcard::from_bytes::<Op<'_>>(&op) {
                Ok(Op::Transaction(TransactionOp::Run { watched, ops, batch })) => {
                    run(&inner, home, now, &watched, &ops, batch).await
                }
                _ => Executed::Done(Err(OpError::Malformed), None),
            };
            inner.running.count.fetch_sub(1, Ordering::Relaxed);
            filled.fill(executed);
        });
        // Polled once: it must lock its keys before any operation that is started later.
        if running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.shared.host.spawn(running);
        }
        Executed::Runs(slot)
    }
}

/// Attempts a transaction until it completes, fails, or reaches its time limit.
async fn run(
    inner: &Arc<Inner>,
    home: u16,
    now: Duration,
    watched: &[WatchedKey<'_>],
    ops: &[MapOp<'_>],
    batch: bool,
) -> Executed {
    let started = inner.shared.clock.next(now);
    let deadline = now + Duration::from_millis(LOCK_MS_MAX);
    loop {
        let attempt = inner.running.attempts.fetch_add(1, Ordering::Relaxed);
        let id = TransactionId { started, member: inner.shared.me, attempt, home };
        let mut transaction = match Transaction::new(inner, id, now, watched, ops) {
            Ok(transaction) => transaction,
            Err(error) => return Executed::Done(Err(error), None),
        };
        let done = spanning::execute(&mut transaction, watched, ops, batch).await;
        let done = match done {
            Ok(reply) => transaction.commit(reply).await,
            Err(stop) => Err(stop),
        };
        let stop = match done {
            Ok(reply) => return Executed::Done(reply, None),
            Err(stop) => stop,
        };
        transaction.abort();
        match stop {
            AttemptError::NotPrimary => return Executed::NotPrimary,
            AttemptError::Failed(error) => return Executed::Done(Err(error), None),
            AttemptError::Conflict(..) | AttemptError::LocksLost
                if inner.shared.now() >= deadline =>
            {
                return Executed::Done(Err(OpError::Conflict), None);
            }
            AttemptError::LocksLost => {}
            AttemptError::Conflict(partition, map, keys) => {
                // A read is used to wait: it is answered once the keys are unlocked.
                let op = if keys.is_empty() {
                    Op::Whole(WholeOp::Length)
                } else {
                    Op::Several(SeveralOp::Exist(keys.iter().map(|key| &**key).collect()))
                };
                if let Ok(owned) = inner.own(&map, partition, &op, now) {
                    let _ = route(Arc::clone(inner), owned).await;
                }
            }
        }
    }
}
