//! Transactions whose operations depend on the replies of previous ones.

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

/// The age of a transaction: of two that need the same keys, the older one takes precedence. All
/// attempts of a transaction have the same age.
#[derive(Clone, Copy, Debug)]
pub struct TransactionAge {
    started: Version,
    now: Duration,
}

/// The reason why an attempt ended. It had no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// This member is not the primary of the home partition.
    NotPrimary,
    /// Another transaction has locked the keys, or a primary was lost: try again after
    /// [`OpenTransaction::give_up`].
    Retry,
    /// The transaction fails permanently.
    Failed(OpError),
}

/// One attempt of a transaction; see [`Grid::open_transaction`].
pub struct OpenTransaction {
    transaction: Transaction,
    inner: Arc<Inner>,
    age: TransactionAge,
    conflict: Option<ConflictingKeys>,
}

/// Keys of one partition that another transaction has locked.
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

    /// Opens a transaction over keys of these maps, in any partitions. This member must be the
    /// primary of the home partition, and runs it.
    ///
    /// Each operation locks its keys. Changes are not visible to other clients until the
    /// transaction is committed. They are discarded if it is dropped, if this member is lost, or if
    /// keys cannot be locked.
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
        Ok(OpenTransaction { transaction, inner, age, conflict: None })
    }
}

impl OpenTransaction {
    /// Executes an operation on keys.
    ///
    /// # Errors
    /// An [`AbortReason`], after which nothing else can be executed. An error of the operation
    /// itself is returned as [`Reply::Failed`].
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

    /// Commits all executed operations; once this returns, their effects survive the loss of this
    /// member.
    ///
    /// # Errors
    /// [`AbortReason`] if the transaction has no effect. The inner error is
    /// [`OpError::Indeterminate`]: it is unknown whether it has been committed.
    pub async fn commit(&mut self) -> Result<Result<(), OpError>, AbortReason> {
        match self.transaction.commit(Reply::Done).await {
            Ok(done) => Ok(done.map(|_| ())),
            Err(stop) => Err(self.stopped(stop)),
        }
    }

    /// Releases all locks, and waits until the keys that could not be locked are unlocked.
    ///
    /// # Errors
    /// [`OpError::Conflict`] if the time limit of the transaction has passed.
    pub async fn give_up(mut self) -> Result<(), OpError> {
        self.transaction.abort();
        let deadline = self.age.now + Duration::from_millis(LOCK_MS_MAX);
        if self.inner.shared.now() >= deadline {
            return Err(OpError::Conflict);
        }
        if let Some(ConflictingKeys { partition, map, keys }) = self.conflict.take() {
            // A read of the keys is used to wait: it is answered once they are unlocked.
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
                self.conflict = Some(ConflictingKeys { partition, map, keys });
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
