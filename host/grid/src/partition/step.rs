//! A step: operations of this partition that are chosen one after the other, and executed as one.

use std::sync::Arc;
use std::time::Duration;

use super::Partition;
use super::ticket::{Needs, Ticket};
use crate::access::Changes;
use crate::map::Map;
use crate::op::{Effect, Op};
use crate::shared::Shared;
use crate::{OpError, Reply, slot};

/// Executes operations in one partition while nothing else does; see
/// [`Grid::step`](crate::Grid::step).
pub struct Step<'a> {
    partition: &'a mut Partition,
    shared: &'a Shared,
    map: &'a Arc<Map>,
    now: Duration,
    /// Number of partitions.
    partitions: u16,
    /// The hash of the only key that was used.
    hash: Option<u32>,
    has_several: bool,
    writes: bool,
}

impl Step<'_> {
    /// Executes an operation. `None` if it cannot be part of this step: its keys are not all in
    /// this partition and map, it concerns all keys, or room for it is to be found elsewhere.
    pub fn execute(&mut self, op: &Op<'_>) -> Option<Result<Reply, OpError>> {
        let (inner, _) = op.without_client();
        let may_be_part = matches!(inner, Op::Key(..) | Op::Several(_) | Op::By { .. });
        if !may_be_part || inner.other_map().is_some() {
            return None;
        }
        if let Err(error) = op.check_keys() {
            return Some(Err(error));
        }
        let (one, several);
        let keys: &[&[u8]] = if let Op::Key(key, _) = inner {
            one = [*key];
            &one
        } else {
            several = op.keys();
            &several
        };
        let here = self.partition.number;
        let is_here = |key: &&[u8]| slot::partition(slot::slot(key), self.partitions) == here;
        if keys.is_empty() || !keys.iter().all(is_here) || op.has_unnamed_keys() {
            return None;
        }
        for key in keys {
            let hash = self.shared.settings.hasher.hash(key);
            self.has_several |= *self.hash.get_or_insert(hash) != hash;
        }
        if op.effect() > Effect::Reads {
            if !self.shared.may_start_writes(self.now) {
                return None;
            }
            if let Err(error) = self.partition.may_write(self.shared, self.map) {
                return Some(Err(error));
            }
            if self.partition.is_held(self.shared, self.map, self.now, op) {
                return Some(Err(OpError::Held));
            }
            self.writes = true;
        }
        let reply =
            self.partition.access(self.shared, self.map, self.now, |access| op.execute(access));
        if reply == Err(OpError::Full) { None } else { Some(reply) }
    }
}

impl Partition {
    /// Undoes all changes of a map since [`record_undo`](crate::fragment::Fragment::record_undo).
    pub(super) fn undo(&mut self, map: &Map) {
        self.counted(map, |fragment| fragment.undo_edits());
        self.changes = Changes::default();
    }

    /// Executes a step; `None` if it cannot be executed here, or `work` returns `None`: then
    /// nothing has happened. Also returns the effect of the step, and what its result waits for.
    pub(crate) fn step<R>(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        partitions: u16,
        work: impl FnOnce(&mut Step<'_>) -> Option<R>,
    ) -> Option<(R, Effect, Option<Ticket>)> {
        self.serving_primary()?;
        // Keys may be locked; and entries that were locked must not be evicted.
        if !self.transactions.is_idle() {
            return None;
        }
        self.fragment(map).record_undo();
        let mut step = Step {
            partition: self,
            shared,
            map,
            now,
            partitions,
            hash: None,
            has_several: false,
            writes: false,
        };
        let result = work(&mut step);
        let Step { hash, has_several, writes, .. } = step;
        // Without a lease, other members may have executed something else meanwhile.
        let Some(result) = result.filter(|_| shared.lease.is_held(shared.now())) else {
            self.undo(map);
            return None;
        };
        self.fragment(map).keep_edits();
        let mut needs: Needs = self.replicate(shared, map, now);
        if needs.is_empty() && hash.is_some() {
            needs = self.settling(map, hash.unwrap_or_default(), has_several);
        }
        let ticket = self.ticket(needs);
        self.serve_waiters(shared, map, now);
        let effect = if writes { Effect::Changes } else { Effect::Reads };
        Some((result, effect, ticket))
    }
}
