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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use convoke_membership::View;

    use super::super::testing::{adopt_view, member};
    use super::*;
    use crate::Started;
    use crate::host::{Host, Report};
    use crate::lease::LEASE_MS;
    use crate::limits::BATCH_MS_MAX;
    use crate::map::MapCatalog;
    use crate::op::{KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf, WholeOp};

    /// A host whose clock advances each time it is read.
    #[derive(Default)]
    struct Slow {
        now_ms: AtomicU64,
        per_reading_ms: AtomicU64,
    }

    impl Host for Slow {
        fn now(&self) -> Duration {
            let ms = self.per_reading_ms.load(Ordering::Relaxed);
            Duration::from_millis(self.now_ms.fetch_add(ms, Ordering::Relaxed) + ms)
        }

        fn unix_ms(&self) -> u64 {
            0
        }

        fn random(&self) -> u64 {
            4
        }

        fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

        fn report(&self, _: Report) {}
    }

    fn slow_grid() -> (Grid, Arc<Slow>) {
        let (me, host) = (member(1, false), Arc::new(Slow::default()));
        let settings = crate::testing::settings();
        let grid =
            Grid::new(me.id, Arc::clone(&host) as Arc<dyn Host>, settings, MapCatalog::default());
        adopt_view(&grid, &View::founded_by(me));
        (grid, host)
    }

    fn put(key: &[u8]) -> Op<'_> {
        let (lifetime, condition, answer) = (Lifetime::Forever, PutIf::Always, PutAnswer::Done);
        let put = PlainOp::Put { kind: 0, value: b"value", lifetime, condition, answer };
        Op::Key(key, KeyOp::Plain(put))
    }

    fn now(started: Started) -> Result<Reply, OpError> {
        match started {
            Started::Now(result) => result,
            Started::Later(_) => panic!("it has to wait"),
        }
    }

    #[test]
    fn a_batch_that_takes_too_long_is_undone() {
        let (grid, host) = slow_grid();
        let map = grid.open("a").unwrap();
        let home = grid.partition_of(b"key");
        let batch = |count: usize| Op::Batch { watched: Vec::new(), ops: vec![put(b"key"); count] };
        host.per_reading_ms.store(BATCH_MS_MAX / 10, Ordering::Relaxed);
        assert_eq!(now(grid.start(&map, home, &batch(100))), Err(OpError::TookTooLong));
        host.per_reading_ms.store(0, Ordering::Relaxed);
        grid.tick();
        let length = || now(grid.start(&map, home, &Op::Whole(WholeOp::Length)));
        assert_eq!(length(), Ok(Reply::Integer(0)));
        assert!(now(grid.start(&map, home, &batch(100))).is_ok());
        assert_eq!(length(), Ok(Reply::Integer(1)));
    }

    #[test]
    fn a_step_is_undone_if_the_lease_has_ended_meanwhile() {
        let (grid, host) = slow_grid();
        let map = grid.open("a").unwrap();
        let home = grid.partition_of(b"key");
        let stepped = |ms: u64| {
            let stepped = grid.step(&map, home, |step| {
                step.execute(&put(b"key"))?.ok()?;
                host.now_ms.fetch_add(ms, Ordering::Relaxed);
                Some(())
            });
            matches!(stepped, StepResult::Done { .. })
        };
        assert!(!stepped(LEASE_MS));
        grid.tick();
        let length = || now(grid.start(&map, home, &Op::Whole(WholeOp::Length)));
        assert_eq!(length(), Ok(Reply::Integer(0)));
        assert!(stepped(0));
        assert_eq!(length(), Ok(Reply::Integer(1)));
    }
}
