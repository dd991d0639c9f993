//! Steps: operations of one partition that are chosen one after the other.

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
        /// What `work` returned.
        result: R,
        /// What has to complete before the result is sent to anyone; it may return
        /// [`OpError::Indeterminate`]. `None` if all backups have what it depends on.
        replicated: Option<Later<Result<Reply, OpError>>>,
    },
    /// Nothing has happened: this member may not execute it, or `work` returned `None`.
    NotExecuted,
}

impl Grid {
    /// Executes operations on keys of one partition as one step, which `work` chooses one after the
    /// other. All of them reach a backup, or none. While `work` runs, nothing else is executed in
    /// the partition, so it must be short, must not wait, and must not call the grid.
    ///
    /// If `work` returns `None`, all that the operations changed is undone: it can be attempted
    /// again with [`Grid::open_transaction`], which locks keys of several partitions, and may take
    /// its time.
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
