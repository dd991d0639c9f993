//! Steps: sequences of operations in one partition that depend on each other's replies.

use std::sync::Arc;

use super::routing::await_replication;
use super::state::{Grid, Later};
use crate::map::Map;
use crate::partition::step::Step;
use crate::{OpError, Reply};

/// The result of a step.
pub enum StepResult<R> {
    /// It was executed.
    Done {
        /// The return value of `work`.
        result: R,
        /// Must complete before the result is sent to a client; may return
        /// [`OpError::Indeterminate`]. `None` if all backups have the required changes.
        replicated: Option<Later<Result<Reply, OpError>>>,
    },
    /// It had no effect: this member may not execute it, or `work` returned `None`.
    NotExecuted,
}

impl Grid {
    /// Executes operations on keys of one partition as one step. `work` chooses them, one after the
    /// other. Backups receive either all or none of them. No other operation is executed in the
    /// partition meanwhile, so `work` must be short, must not wait, and must not call the grid.
    ///
    /// If `work` returns `None`, all changes are undone. The step can then be attempted with
    /// [`Grid::open_transaction`], which locks keys of several partitions and may take longer.
    pub fn step<R>(
        &self,
        map: &Arc<Map>,
        partition: u16,
        work: impl FnOnce(&mut Step<'_>) -> Option<R>,
    ) -> StepResult<R> {
        let inner = &self.inner;
        let (now, partitions) = (inner.shared.now(), self.partitions());
        if partition >= partitions || !inner.may_serve(now) {
            return StepResult::NotExecuted;
        }
        let stepped = inner
            .at(partition, |partition| partition.step(&inner.shared, map, now, partitions, work));
        let Some((result, effect, ticket)) = stepped else { return StepResult::NotExecuted };
        let replicated = ticket.map(|ticket| {
            let replicated = await_replication(Arc::clone(inner), ticket, Ok(Reply::Done), effect);
            Box::pin(replicated) as Later<Result<Reply, OpError>>
        });
        StepResult::Done { result, replicated }
    }
}
