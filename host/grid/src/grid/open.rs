//! Transactions whose operations are chosen one after the other, each by the replies before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::attempt::{self, Transaction};
use super::routing::route;
use super::spanning;
use super::state::{Grid, Inner};
use super::transactions::LOCK_MS_MAX;
use crate::clock::Version;
use crate::map::Map;
use crate::op::{MapOp, Op, SeveralOp, TransactionId, WatchedKey};
use crate::{OpError, Reply};

/// How old a transaction is: of two that need the same keys, the older one is preferred. Each
/// attempt of a transaction keeps its age.
#[derive(Clone, Copy, Debug)]
pub struct TransactionAge {
    started: Version,
    now: Duration,
}

/// Why an attempt ends. Nothing of it has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// This member is not the primary of the home partition.
    NotPrimary,
    /// Another transaction has the keys, or a primary was lost: try again after
    /// [`OpenTransaction::give_up`].
    Retry,
    /// It cannot be done.
    Failed(OpError),
}

/// One attempt of a transaction; see [`Grid::open_transaction`].
pub struct OpenTransaction {
    transaction: Transaction,
    inner: Arc<Inner>,
    age: TransactionAge,
    wanted: Option<ConflictingKeys>,
}

/// Keys of one partition that another transaction has.
struct ConflictingKeys {
    partition: u16,
    map: Arc<Map>,
    keys: Vec<Box<[u8]>>,
}

impl Grid {
    /// The age of a transaction that begins now.
    #[must_use]
    pub fn age(&self) -> TransactionAge {
        let now = self.inner.shared.now();
        TransactionAge { started: self.inner.shared.clock.next(now), now }
    }

    /// Opens a transaction over keys of these maps, in any partitions. It is run by the primary of
    /// a home partition, which this member must be.
    ///
    /// Each operation locks its keys; no other client sees what it changes before the transaction
    /// is committed, and nothing of it remains if it is not: when it is dropped, when this member
    /// is lost, or when keys cannot be locked.
    ///
    /// # Errors
    /// [`OpError::Conflict`] if this member runs too many of them.
    pub fn open_transaction(
        &self,
        home: u16,
        age: TransactionAge,
        maps: Vec<Arc<Map>>,
    ) -> Result<OpenTransaction, OpError> {
        let inner = Arc::clone(&self.inner);
        inner.count_running()?;
        let attempt = inner.running.attempts.fetch_add(1, Ordering::Relaxed);
        let id = TransactionId { started: age.started, member: inner.shared.me, attempt, home };
        let transaction = Transaction::open(&inner, id, age.now, maps);
        Ok(OpenTransaction { transaction, inner, age, wanted: None })
    }
}

impl OpenTransaction {
    /// Executes an operation on keys.
    ///
    /// # Errors An error of the operation itself is a [`Reply::Failed`]. After an [`AbortReason`],
    /// nothing else can be executed.
    pub async fn execute(&mut self, map: &str, op: &Op<'_>) -> Result<Reply, AbortReason> {
        let ops = [MapOp { map, op: op.clone() }];
        let done = spanning::execute(&mut self.transaction, &[], &ops, true).await;
        match done {
            Ok(Reply::List(mut replies)) => Ok(replies.pop().unwrap_or(Reply::Nil)),
            Ok(reply) => Ok(reply),
            Err(stop) => Err(self.stopped(stop)),
        }
    }

    /// Whether these keys have the versions that they had. They are locked.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn is_unchanged(&mut self, watched: &[WatchedKey<'_>]) -> Result<bool, AbortReason> {
        match spanning::execute(&mut self.transaction, watched, &[], true).await {
            Ok(_) => Ok(true),
            Err(attempt::AttemptError::Failed(OpError::Changed)) => Ok(false),
            Err(stop) => Err(self.stopped(stop)),
        }
    }

    /// Commits: all that was executed happens, also if this member is lost now.
    ///
    /// # Errors [`AbortReason`] if nothing of it happens. The inner error is
    /// [`OpError::Indeterminate`]: it is not known whether it has.
    pub async fn commit(&mut self) -> Result<Result<(), OpError>, AbortReason> {
        match self.transaction.commit(Reply::Done).await {
            Ok(done) => Ok(done.map(|_| ())),
            Err(stop) => Err(self.stopped(stop)),
        }
    }

    /// Releases all locks, and waits until keys that could not be locked are free.
    ///
    /// # Errors
    /// [`OpError::Conflict`] if the transaction has had its time.
    pub async fn give_up(mut self) -> Result<(), OpError> {
        self.transaction.abort();
        let deadline = self.age.now + Duration::from_millis(LOCK_MS_MAX);
        if self.inner.shared.now() >= deadline {
            return Err(OpError::Conflict);
        }
        if let Some(ConflictingKeys { partition, map, keys }) = self.wanted.take() {
            // An operation that does nothing: it is answered when the keys are free.
            let keys = keys.iter().map(|key| &**key).collect();
            let op = Op::Several(SeveralOp::Exist(keys));
            if let Ok(owned) = self.inner.own(&map, partition, &op, self.inner.shared.now()) {
                let _ = route(Arc::clone(&self.inner), owned).await;
            }
        }
        Ok(())
    }

    fn stopped(&mut self, stop: attempt::AttemptError) -> AbortReason {
        match stop {
            attempt::AttemptError::NotPrimary => AbortReason::NotPrimary,
            attempt::AttemptError::LocksLost => AbortReason::Retry,
            attempt::AttemptError::Conflict(partition, map, keys) => {
                self.wanted = Some(ConflictingKeys { partition, map, keys });
                AbortReason::Retry
            }
            attempt::AttemptError::Failed(error) => AbortReason::Failed(error),
        }
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.transaction.abort();
        self.inner.running.count.fetch_sub(1, Ordering::Relaxed);
    }
}
