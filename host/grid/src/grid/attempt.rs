//! One attempt of a transaction over several partitions.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::routing::{await_replication, route};
use super::state::Inner;
use crate::map::Map;
use crate::op::{ANSWER_BYTES_MAX, Effect, MapOp, Op, TransactionId, TransactionOp, WatchedKey};
use crate::tracking::ClientTraits;
use crate::{OpError, Reply};

/// The reason why a transaction does not continue.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// This member is no longer the primary of the home partition.
    NotPrimary,
    /// An older transaction holds locks: another attempt may succeed once these keys are unlocked.
    Conflict(u16, Arc<Map>, Vec<Box<[u8]>>),
    /// A primary was lost, and with it the locks that it held: another attempt may succeed.
    LocksLost,
    /// The transaction fails permanently.
    Failed(OpError),
}

impl From<OpError> for AttemptError {
    fn from(error: OpError) -> Self {
        Self::Failed(error)
    }
}

/// A request to one partition that is being executed.
pub(super) type Executing = Pin<Box<dyn Future<Output = Result<Done, AttemptError>> + Send>>;

/// Replies of one partition.
pub(super) struct Done {
    partition: u16,
    /// Whether it has changed anything so far.
    changes: bool,
    pub(super) replies: Vec<Reply>,
}

/// One attempt.
pub(super) struct Transaction {
    inner: Arc<Inner>,
    id: TransactionId,
    /// The time at which the client requested it, since start.
    started: Duration,
    /// Partitions that were asked to execute something, and whether they changed anything.
    partitions: BTreeMap<u16, bool>,
    maps: Vec<Arc<Map>>,
    /// Whether it changes nothing, so that no decision has to be stored.
    only_reads: bool,
    /// What the client asks of the operations.
    client: Option<ClientTraits>,
}

impl Transaction {
    pub(super) fn new(
        inner: &Arc<Inner>,
        id: TransactionId,
        started: Duration,
        watched: &[WatchedKey<'_>],
        ops: &[MapOp<'_>],
    ) -> Result<Self, OpError> {
        let mut maps: Vec<Arc<Map>> = Vec::new();
        let names = watched.iter().map(|watched| watched.map).chain(ops.iter().map(|op| op.map));
        let names = names.chain(ops.iter().filter_map(|op| op.op.other_map()));
        for name in names {
            if !maps.iter().any(|map| *map.name == *name) {
                maps.push(inner.shared.maps.open(name)?);
            }
        }
        let only_reads = ops.iter().all(|op| op.op.effect() == Effect::Reads);
        let inner = Arc::clone(inner);
        let client = ops.iter().find_map(|op| op.op.without_client().1);
        Ok(Self { inner, id, started, partitions: BTreeMap::new(), maps, only_reads, client })
    }

    /// A transaction over these maps whose operations are not known yet.
    pub(super) fn open(
        inner: &Arc<Inner>,
        id: TransactionId,
        started: Duration,
        maps: Vec<Arc<Map>>,
    ) -> Self {
        let inner = Arc::clone(inner);
        let partitions = BTreeMap::new();
        Self { inner, id, started, partitions, maps, only_reads: false, client: None }
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

    /// Number of partitions.
    pub(super) fn partitions(&self) -> u16 {
        self.inner.partitions.len() as u16
    }

    /// The map of this name, which is one of the transaction's.
    pub(super) fn map(&self, name: &str) -> Result<Arc<Map>, OpError> {
        let map = self.maps.iter().find(|map| *map.name == *name);
        map.map(Arc::clone).ok_or(OpError::Malformed)
    }

    /// Executes the next operations as this client asks.
    pub(super) fn set_client(&mut self, client: ClientTraits) {
        self.client = Some(client);
    }

    fn with_client<'a>(&self, ops: Vec<MapOp<'a>>) -> Vec<MapOp<'a>> {
        let Some(client) = self.client else { return ops };
        let with = |MapOp { map, op }| match op {
            Op::From { .. } => MapOp { map, op },
            op => MapOp { map, op: Op::From { client, op: Box::new(op) } },
        };
        ops.into_iter().map(with).collect()
    }

    /// Starts to lock keys in one partition and to execute operations there. The home partition
    /// must be the first one.
    pub(super) fn begin(
        &mut self,
        partition: u16,
        watched: Vec<WatchedKey<'_>>,
        ops: Vec<MapOp<'_>>,
    ) -> Executing {
        let ops = self.with_client(ops);
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
            // A transaction may only run at the primary of its home partition.
            if is_home && inner.primary(partition) != Some(here) {
                return Err(AttemptError::NotPrimary);
            }
            match route(Arc::clone(&inner), owned).await {
                Ok(Reply::List(parts)) => match <[Reply; 2]>::try_from(parts) {
                    Ok([Reply::Integer(changes), Reply::List(replies)]) => {
                        Ok(Done { partition, changes: changes != 0, replies })
                    }
                    _ => Err(OpError::Malformed.into()),
                },
                Ok(_) => Err(OpError::Malformed.into()),
                Err(OpError::Conflict) => Err(AttemptError::Conflict(partition, map, keys)),
                // That primary was lost. This attempt has had no effect, and never will.
                Err(OpError::Indeterminate) => Err(AttemptError::LocksLost),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Executes operations in one partition, and waits for their replies.
    pub(super) async fn execute(
        &mut self,
        partition: u16,
        ops: Vec<MapOp<'_>>,
    ) -> Result<Vec<Reply>, AttemptError> {
        let done = self.begin(partition, Vec::new(), ops).await?;
        Ok(self.end(done))
    }

    /// The replies of a completed request.
    pub(super) fn end(&mut self, done: Done) -> Vec<Reply> {
        if let Some(changes) = self.partitions.get_mut(&done.partition) {
            *changes = done.changes;
        }
        done.replies
    }

    /// Waits for all started requests, so that none is in progress when the transaction continues.
    pub(super) async fn end_all(
        &mut self,
        begun: Vec<Executing>,
    ) -> Result<Vec<Vec<Reply>>, AttemptError> {
        let mut replies = Vec::with_capacity(begun.len());
        let mut stop = None;
        for done in join_all(begun).await {
            match done {
                Ok(done) => replies.push(self.end(done)),
                // A failure takes precedence over a conflict, which may not occur again.
                Err(new @ AttemptError::Failed(_)) => stop = Some(new),
                Err(new) => _ = stop.get_or_insert(new),
            }
        }
        match stop {
            None => Ok(replies),
            Some(stop) => Err(stop),
        }
    }

    /// Commits what was executed. Returns the reply, or `Indeterminate`.
    pub(super) async fn commit(
        &mut self,
        reply: Reply,
    ) -> Result<Result<Reply, OpError>, AttemptError> {
        // The reply must not be longer than a client can receive.
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
        if !inner.shared.lease.is_held(now) {
            return Err(AttemptError::LocksLost);
        }
        let home = id.home;
        let participants: Vec<u16> =
            self.partitions.keys().copied().filter(|number| *number != home).collect();
        let decided = inner
            .at(home, |partition| partition.decide(&inner.shared, id, participants.clone(), now));
        let ticket = match decided {
            Ok(ticket) => ticket,
            Err(OpError::Conflict) => return Err(AttemptError::NotPrimary),
            Err(error) => return Err(error.into()),
        };
        // From here on, other members may find it committed.
        self.partitions.clear();
        if let Some(ticket) = ticket {
            let done =
                await_replication(Arc::clone(&inner), ticket, Ok(Reply::Done), Effect::Changes)
                    .await;
            if let Err(error) = done {
                return Ok(Err(error));
            }
        }
        if !inner.shared.has_enough_members(inner.shared.now()) {
            // The other members may continue without this one, and without this decision.
            return Ok(Err(OpError::Indeterminate));
        }
        inner.commit_here(id, &participants);
        let finishing = Arc::clone(&inner);
        inner.shared.host.spawn(Box::pin(async move {
            finishing.finish_transaction(id, &participants).await;
        }));
        Ok(Ok(reply))
    }

    /// Verifies that all values that were read existed at the same time, i.e. that all locks were
    /// held at once. Locks that are not prepared are lost with their primary.
    async fn validate(&mut self) -> Result<(), AttemptError> {
        let (home, id) = (self.id.home, self.id);
        let others: Vec<u16> =
            self.partitions.keys().copied().filter(|number| *number != home).collect();
        // With one other partition: it was locked last, while the home partition was locked
        // throughout.
        if others.len() > 1 {
            let begun = others.into_iter().map(|number| self.begin(number, vec![], vec![]));
            let begun = begun.collect();
            self.end_all(begun).await.map_err(|stop| match stop {
                AttemptError::Conflict(..) => AttemptError::LocksLost,
                stop => stop,
            })?;
        }
        let shared = &self.inner.shared;
        let is_open = self.inner.partitions[usize::from(home)].lock().has_open(id);
        if is_open && shared.lease.is_held(shared.now()) {
            Ok(())
        } else {
            Err(AttemptError::LocksLost)
        }
    }

    /// Releases all locks; all executed operations are discarded.
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
            // If the message is lost, that primary requests the outcome itself.
            let inner = Arc::clone(&inner);
            self.inner.shared.host.spawn(Box::pin(async move {
                inner.ask_once(number, TransactionOp::Abort(id)).await;
            }));
        }
    }
}
