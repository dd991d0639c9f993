//! Resolves transactions over several partitions whose outcome is open: their decisions are looked
//! up in their home partitions and applied in all others.

use std::sync::Arc;

use futures_util::future::join_all;

use super::routing::route;
use super::state::Inner;
use crate::Reply;
use crate::op::{Decision, Op, TransactionId, TransactionOp};
use crate::partition::Unresolved;

/// Attempts to apply a decided transaction in one partition, before this is left to the next tick.
const COMMIT_TRIES_MAX: usize = 3;

impl Inner {
    /// Looks up the outcome of a transaction, and applies it.
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

    /// The decision of a transaction, as stored in its home partition.
    async fn decision(self: &Arc<Self>, id: TransactionId) -> Option<Decision> {
        match self.ask_once(id.home, TransactionOp::Decision(id)).await? {
            Reply::Integer(0) => Some(Decision::Pending),
            Reply::Integer(1) => Some(Decision::Committed),
            Reply::Integer(2) => Some(Decision::Aborted),
            _ => None,
        }
    }

    /// Sends a step to the current primary of a partition.
    pub(super) async fn ask_once(
        self: &Arc<Self>,
        partition: u16,
        step: TransactionOp<'_>,
    ) -> Option<Reply> {
        // Any map can be used, since the step contains the names of its maps.
        let map = self.shared.maps.at(0)?;
        let op = Op::Transaction(step);
        let owned = self.own(&map, partition, &op, self.shared.now()).ok()?;
        route(Arc::clone(self), owned).await.ok()
    }

    /// Applies a decided transaction in all its partitions. Partitions that cannot be reached are
    /// left to the home partition's primary, which tries again.
    pub(super) async fn finish_transaction(
        self: &Arc<Self>,
        id: TransactionId,
        participants: &[u16],
    ) {
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

    /// Applies a decided transaction immediately in those of its partitions whose primary is this
    /// member.
    pub(super) fn commit_here(self: &Arc<Self>, id: TransactionId, participants: &[u16]) {
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
