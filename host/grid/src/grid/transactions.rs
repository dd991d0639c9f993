//! Runs transactions over several partitions: two-phase commit, whose decision is stored in the
//! home partition. See `docs/transactions.md`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::join_all;

use super::routing::{route, settle};
use super::{Grid, Inner, Later, Started, spanning};
use crate::map::Map;
use crate::op::{
    ANSWER_BYTES_MAX, Decision, Effect, MapOp, Op, SeveralOp, TRANSACTION_OPS_MAX, TransactionId,
    TransactionOp, WatchedKey,
};
use crate::partition::{Executed, Slot, Unresolved};
use crate::{OpError, Reply, encoding};

/// Transactions that one member runs at a time, at most.
const RUNNING_MAX: usize = 10_000;
/// What a transaction has not locked by then, in milliseconds, it does not lock: it is refused,
/// within the time that its client waits.
const LOCK_MS_MAX: u64 = 4_000;
/// Tries to apply a decided transaction in one partition, before that is left to the next tick.
const COMMIT_TRIES_MAX: usize = 3;

/// Transactions that this member runs.
#[derive(Default)]
pub(super) struct Running {
    attempts: AtomicU64,
    count: AtomicUsize,
}

/// Why a transaction does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// This member is not the primary of the home partition any more.
    Moved,
    /// An older one has a lock: another attempt may succeed once these keys are free.
    Conflict(u16, Arc<Map>, Vec<Box<[u8]>>),
    /// A partition has another primary, which knows nothing of the locks: another attempt may
    /// succeed.
    LocksLost,
    /// It cannot be done.
    Failed(OpError),
}

impl From<OpError> for Stop {
    fn from(error: OpError) -> Self {
        Self::Failed(error)
    }
}

/// What executing something in one partition came to.
pub(super) type Executing = Pin<Box<dyn Future<Output = Result<Done, Stop>> + Send>>;

/// Replies of one partition.
pub(super) struct Done {
    partition: u16,
    /// It has changed something, so far.
    changes: bool,
    pub(super) replies: Vec<Reply>,
}

/// One attempt.
pub(super) struct Transaction {
    inner: Arc<Inner>,
    id: TransactionId,
    /// Since start, when its client asked for it.
    started: Duration,
    /// Partitions that were asked to execute something, and whether they changed anything.
    partitions: BTreeMap<u16, bool>,
    maps: Vec<Arc<Map>>,
    /// It changes nothing, and so need not survive anything.
    only_reads: bool,
}

impl Grid {
    /// Starts a transaction: operations on any keys of any maps, executed as one step. With
    /// `batch` the reply is a list with one for each, of which some may be errors; without it
    /// there is one operation, and its reply is returned.
    ///
    /// No client sees a part of what it does, and all of it happens or nothing, whichever member is
    /// lost meanwhile. It takes one round trip and one write on backups more than a write in
    /// one partition, so those go to [`Grid::start`].
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
        // A partition that this member leads saves the way to another.
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
}

impl Inner {
    /// A step of a transaction that this member was asked for.
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

    fn start_running(self: &Arc<Self>, home: u16, op: &Op<'_>, now: Duration) -> Executed {
        if self.partitions[usize::from(home)].lock().serving_primary().is_none() {
            return Executed::NotHere;
        }
        if self.running.count.fetch_add(1, Ordering::Relaxed) >= RUNNING_MAX {
            self.running.count.fetch_sub(1, Ordering::Relaxed);
            return Executed::Done(Err(OpError::Conflict), None);
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
        // It begins before any operation that is started later: those find its keys locked.
        if running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.shared.host.spawn(running);
        }
        Executed::Runs(slot)
    }

    /// Finds out what became of a transaction, and does what follows from it.
    pub(super) fn resolve(self: &Arc<Self>, partition: u16, unresolved: Unresolved) {
        let inner = Arc::clone(self);
        self.shared.host.spawn(Box::pin(async move {
            let id = match unresolved {
                Unresolved::Ask(id) => {
                    match inner.decision(id).await {
                        Some(Decision::Committed) => {
                            inner.ask_once(partition, TransactionOp::Commit(id)).await;
                        }
                        Some(Decision::Aborted) => {
                            inner.ask_once(partition, TransactionOp::Abort(id)).await;
                        }
                        Some(Decision::Pending) | None => {}
                    }
                    id
                }
                Unresolved::Finish(id, participants) => {
                    if inner.decision(id).await == Some(Decision::Committed) {
                        inner.finish_transaction(id, &participants).await;
                    }
                    id
                }
            };
            let now = inner.shared.now();
            inner.at(partition, |partition| partition.tried_to_resolve(id, now));
        }));
    }

    /// What the home partition of a transaction says of it.
    async fn decision(self: &Arc<Self>, id: TransactionId) -> Option<Decision> {
        match self.ask_once(id.home, TransactionOp::Decision(id)).await? {
            Reply::Integer(0) => Some(Decision::Pending),
            Reply::Integer(1) => Some(Decision::Committed),
            Reply::Integer(2) => Some(Decision::Aborted),
            _ => None,
        }
    }

    /// Sends a step to the primary of a partition, whichever member that is.
    async fn ask_once(self: &Arc<Self>, partition: u16, step: TransactionOp<'_>) -> Option<Reply> {
        // Any map: the step names its own.
        let map = self.shared.maps.at(0)?;
        let op = Op::Transaction(step);
        let owned = self.own(&map, partition, &op, self.shared.now()).ok()?;
        route(Arc::clone(self), owned).await.ok()
    }

    /// Applies a transaction that is decided, in all its partitions. What cannot be reached is
    /// left to the home partition's primary, which tries again.
    async fn finish_transaction(self: &Arc<Self>, id: TransactionId, participants: &[u16]) {
        let commit = |partition: u16| async move {
            for _ in 0..COMMIT_TRIES_MAX {
                if self.ask_once(partition, TransactionOp::Commit(id)).await.is_some() {
                    return true;
                }
            }
            false
        };
        let all = [id.home].into_iter().chain(participants.iter().copied()).map(commit);
        if join_all(all).await.into_iter().all(|done| done) && !participants.is_empty() {
            self.ask_once(id.home, TransactionOp::Forget(id)).await;
        }
    }

    /// Applies a decided transaction in those of its partitions that this member leads, at once.
    fn commit_here(self: &Arc<Self>, id: TransactionId, participants: &[u16]) {
        let now = self.shared.now();
        if !self.may_serve(now) {
            return;
        }
        let Some(map) = self.shared.maps.at(0) else { return };
        for number in [id.home].into_iter().chain(participants.iter().copied()) {
            let commit = Op::Transaction(TransactionOp::Commit(id));
            self.at(number, |partition| partition.execute(&self.shared, &map, now, &commit));
        }
    }
}

/// Attempts a transaction until it is done, fails, or has no time left.
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
            Stop::Moved => return Executed::NotHere,
            Stop::Failed(error) => return Executed::Done(Err(error), None),
            Stop::Conflict(..) | Stop::LocksLost if inner.shared.now() >= deadline => {
                return Executed::Done(Err(OpError::Conflict), None);
            }
            Stop::LocksLost => {}
            Stop::Conflict(partition, map, keys) => {
                // An operation that does nothing: it is answered when the keys are free.
                let keys = keys.iter().map(|key| &**key).collect();
                let op = Op::Several(SeveralOp::Exist(keys));
                if let Ok(owned) = inner.own(&map, partition, &op, now) {
                    let _ = route(Arc::clone(inner), owned).await;
                }
            }
        }
    }
}

impl Transaction {
    fn new(
        inner: &Arc<Inner>,
        id: TransactionId,
        started: Duration,
        watched: &[WatchedKey<'_>],
        ops: &[MapOp<'_>],
    ) -> Result<Self, OpError> {
        let mut maps: Vec<Arc<Map>> = Vec::new();
        let names = watched.iter().map(|watched| watched.map).chain(ops.iter().map(|op| op.map));
        for name in names {
            if !maps.iter().any(|map| *map.name == *name) {
                maps.push(inner.shared.maps.open(name)?);
            }
        }
        let only_reads = ops.iter().all(|op| op.op.effect() == Effect::Reads);
        let inner = Arc::clone(inner);
        Ok(Self { inner, id, started, partitions: BTreeMap::new(), maps, only_reads })
    }

    /// The home partition.
    pub(super) fn home(&self) -> u16 {
        self.id.home
    }

    /// The partition of a key.
    pub(super) fn partition_of(&self, key: &[u8]) -> u16 {
        let count = self.inner.partitions.len() as u16;
        crate::slot::partition(crate::slot::slot(key), count)
    }

    /// The map of this name, which is one of the transaction's.
    pub(super) fn map(&self, name: &str) -> Result<Arc<Map>, OpError> {
        let map = self.maps.iter().find(|map| *map.name == *name);
        map.map(Arc::clone).ok_or(OpError::Malformed)
    }

    /// Begins to lock keys in one partition and execute operations there. In the home partition
    /// something is to be executed first.
    pub(super) fn begin(
        &mut self,
        partition: u16,
        watched: Vec<WatchedKey<'_>>,
        ops: Vec<MapOp<'_>>,
    ) -> Executing {
        let is_home = partition == self.id.home;
        let prepare = !is_home && !self.only_reads;
        let continues = self.partitions.contains_key(&partition);
        self.partitions.entry(partition).or_insert(false);
        let map = match ops.first().map(|op| op.map).or(watched.first().map(|w| w.map)) {
            Some(name) => self.map(name),
            None => self.maps.first().map(Arc::clone).ok_or(OpError::Malformed),
        };
        let map = match map {
            Ok(map) => map,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        let of_map = |name: &str| *map.name == *name;
        let keys: Vec<Box<[u8]>> = ops
            .iter()
            .filter(|op| of_map(op.map))
            .flat_map(|op| op.op.keys())
            .chain(watched.iter().filter(|watched| of_map(watched.map)).map(|watched| watched.key))
            .map(Box::from)
            .collect();
        let step = Op::Transaction(TransactionOp::Execute {
            id: self.id,
            is_first: is_home && !continues && self.partitions.len() == 1,
            continues,
            prepare,
            watched,
            ops,
            maps: self.maps.iter().map(|map| &*map.name).collect(),
        });
        let owned = self.inner.own(&map, partition, &step, self.started);
        let inner = Arc::clone(&self.inner);
        let here = inner.shared.me;
        Box::pin(async move {
            let owned = owned?;
            // Only the primary of the home partition may run it.
            if is_home && inner.primary(partition) != Some(here) {
                return Err(Stop::Moved);
            }
            match route(Arc::clone(&inner), owned).await {
                Ok(Reply::List(parts)) => match <[Reply; 2]>::try_from(parts) {
                    Ok([Reply::Integer(changes), Reply::List(replies)]) => {
                        Ok(Done { partition, changes: changes != 0, replies })
                    }
                    _ => Err(OpError::Malformed.into()),
                },
                Ok(_) => Err(OpError::Malformed.into()),
                Err(OpError::Conflict) => Err(Stop::Conflict(partition, map, keys)),
                // Nothing of it has happened, nor will it.
                Err(OpError::Indeterminate) => Err(OpError::Unavailable.into()),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Executes operations in one partition, and waits for their replies.
    pub(super) async fn execute(
        &mut self,
        partition: u16,
        ops: Vec<MapOp<'_>>,
    ) -> Result<Vec<Reply>, Stop> {
        let done = self.begin(partition, Vec::new(), ops).await?;
        Ok(self.end(done))
    }

    /// The replies of something that was begun.
    pub(super) fn end(&mut self, done: Done) -> Vec<Reply> {
        if let Some(changes) = self.partitions.get_mut(&done.partition) {
            *changes = done.changes;
        }
        done.replies
    }

    /// Waits for all that was begun, so that nothing of it is on its way any more when the
    /// transaction goes on.
    pub(super) async fn end_all(&mut self, begun: Vec<Executing>) -> Result<Vec<Vec<Reply>>, Stop> {
        let mut replies = Vec::with_capacity(begun.len());
        let mut stop = None;
        for done in join_all(begun).await {
            match done {
                Ok(done) => replies.push(self.end(done)),
                // A failure counts for more than a conflict, which another attempt may not meet.
                Err(new @ Stop::Failed(_)) => stop = Some(new),
                Err(new) => _ = stop.get_or_insert(new),
            }
        }
        match stop {
            None => Ok(replies),
            Some(stop) => Err(stop),
        }
    }

    /// Commits what was executed. Returns the reply, or `Indeterminate`.
    async fn commit(&mut self, reply: Reply) -> Result<Result<Reply, OpError>, Stop> {
        // As a client could receive it.
        if reply.bytes_at_most(ANSWER_BYTES_MAX).is_none() {
            return Err(OpError::AnswerTooLong.into());
        }
        let inner = Arc::clone(&self.inner);
        if !self.partitions.values().any(|changes| *changes) {
            self.validate().await?;
            self.abort();
            return Ok(Ok(reply));
        }
        let (id, now) = (self.id, inner.shared.now());
        let home = id.home;
        let participants: Vec<u16> =
            self.partitions.keys().copied().filter(|number| *number != home).collect();
        let decided = inner
            .at(home, |partition| partition.decide(&inner.shared, id, participants.clone(), now));
        let ticket = match decided {
            Ok(ticket) => ticket,
            Err(OpError::Conflict) => return Err(Stop::Moved),
            Err(error) => return Err(error.into()),
        };
        // From here on it may be found committed.
        self.partitions.clear();
        if let Some(ticket) = ticket {
            let done = settle(Arc::clone(&inner), ticket, Ok(Reply::Done), Effect::Changes).await;
            if let Err(error) = done {
                return Ok(Err(error));
            }
        }
        if inner.shared.members_here() < inner.shared.settings.min_members {
            // The other members may go on without this one, and without this decision.
            return Ok(Err(OpError::Indeterminate));
        }
        inner.commit_here(id, &participants);
        let finishing = Arc::clone(&inner);
        inner.shared.host.spawn(Box::pin(async move {
            finishing.finish_transaction(id, &participants).await;
        }));
        Ok(Ok(reply))
    }

    /// Makes sure that what was read was there at one time: all locks were held at once. Locks
    /// that are not prepared end with the primary that holds them.
    async fn validate(&mut self) -> Result<(), Stop> {
        let (home, id) = (self.id.home, self.id);
        let others: Vec<u16> =
            self.partitions.keys().copied().filter(|number| *number != home).collect();
        // One other partition was locked last, while the home partition was locked all the time.
        if others.len() > 1 {
            let begun = others.into_iter().map(|number| self.begin(number, vec![], vec![]));
            let begun = begun.collect();
            self.end_all(begun).await.map_err(|stop| match stop {
                Stop::Conflict(..) => Stop::LocksLost,
                stop => stop,
            })?;
        }
        let shared = &self.inner.shared;
        let is_open = self.inner.partitions[usize::from(home)].lock().has_open(id);
        if is_open && shared.lease.is_held(shared.now()) { Ok(()) } else { Err(Stop::LocksLost) }
    }

    /// Releases all locks; what was executed is dropped.
    pub(super) fn abort(&mut self) {
        let (inner, id) = (Arc::clone(&self.inner), self.id);
        let now = inner.shared.now();
        let mut others = Vec::new();
        for number in std::mem::take(&mut self.partitions).into_keys() {
            if inner.primary(number) == Some(inner.shared.me) {
                inner.at(number, |partition| partition.abort(&inner.shared, id, now));
            } else {
                others.push(number);
            }
        }
        for number in others {
            // If it does not arrive, that primary asks what became of the transaction.
            let inner = Arc::clone(&inner);
            self.inner.shared.host.spawn(Box::pin(async move {
                inner.ask_once(number, TransactionOp::Abort(id)).await;
            }));
        }
    }
}
