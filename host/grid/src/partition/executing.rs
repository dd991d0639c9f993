//! Execution of operations by the primary.

use std::sync::Arc;
use std::time::Duration;

use super::Partition;
use super::executed::Executed;
use super::role::{Link, LinkState, PrimaryRole};
use crate::map::Map;
use crate::op::{Effect, LEASED_MAX, Op, WholeOp, is_held_by_another};
use crate::shared::Shared;
use crate::{OpError, Reply};

impl Partition {
    /// Executes an operation, if this member is the serving primary.
    pub(crate) fn execute(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        op: &Op<'_>,
    ) -> Executed {
        if self.serving_primary().is_none() {
            return Executed::NotPrimary;
        }
        if let Err(error) = op.check_keys() {
            return Executed::Done(Err(error), None);
        }
        if let Op::Transaction(op) = op {
            return self.transact(shared, map, now, op);
        }
        if op.effect() > Effect::Reads && !shared.may_start_writes(now) {
            return Executed::NotPrimary;
        }
        if !self.transactions.is_idle()
            && let Some(queued) = self.wait_for_locks(shared, map, op)
        {
            return queued;
        }
        self.execute_unlocked(shared, map, now, op)
    }

    /// Like [`Partition::execute`], ignoring locks.
    pub(super) fn execute_unlocked(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        op: &Op<'_>,
    ) -> Executed {
        let leases = match op {
            Op::Lease(..) => Some(shared.maps.leases_of(map)),
            _ => None,
        };
        let map = match &leases {
            Some(Ok(leases)) => leases,
            Some(Err(error)) => return Executed::Done(Err(error.clone()), None),
            None => map,
        };
        let writes = op.effect() > Effect::Reads;
        if writes {
            if let Err(error) = self.may_write(shared, map) {
                return Executed::Done(Err(error), None);
            }
            if self.is_held(shared, map, now, op) {
                // A crash could still undo the lock.
                let hashes = op.keys().into_iter().map(|key| shared.settings.hasher.hash(key));
                let mut needs = hashes.map(|hash| self.settling(map, hash, false));
                let needs = needs.find(|needs| !needs.is_empty()).unwrap_or_default();
                return Executed::Done(Err(OpError::Held), self.ticket(needs));
            }
        }
        // A batch is undone if it takes too long.
        let can_undo = writes && op.is_batch();
        if can_undo {
            self.fragment(map).record_undo();
        }
        let reply = match op {
            Op::Whole(WholeOp::ClearUnleased) if map.leases().is_some() => {
                self.clear_unleased(shared, map, now)
            }
            _ => self.access(shared, map, now, |access| op.execute(access)),
        };
        if can_undo {
            // Without a lease, other members may have executed something else meanwhile.
            let failed = match &reply {
                Err(OpError::TookTooLong) => Some(OpError::TookTooLong),
                _ if shared.lease.is_held(shared.now()) => None,
                _ => Some(OpError::Unavailable),
            };
            if let Some(error) = failed {
                self.undo(map);
                return Executed::Done(Err(error), None);
            }
            self.fragment(map).keep_edits();
        }
        let hash = op.key().map_or(0, |key| shared.settings.hasher.hash(key));
        let needs = self.replicate(shared, map, now);
        let needs =
            if needs.is_empty() { self.settling(map, hash, op.key().is_none()) } else { needs };
        let ticket = self.ticket(needs);
        self.serve_waiters(shared, map, now);
        Executed::Done(reply, ticket)
    }

    /// Checks that a write of this map may start.
    pub(super) fn may_write(&self, shared: &Shared, map: &Map) -> Result<(), OpError> {
        let (here, needed) = (shared.members_here(), shared.settings.min_members);
        if here < needed {
            return Err(OpError::TooFewMembers { here, needed });
        }
        let waits = |link: &&Link| {
            link.place <= map.settings().backups && !matches!(link.state, LinkState::Expected)
        };
        let is_full =
            |role: &PrimaryRole| role.links.iter().filter(waits).any(|link| link.peer.is_full());
        if self.serving_primary().is_some_and(is_full) { Err(OpError::Busy) } else { Ok(()) }
    }

    /// Whether another owner holds the lock on a key of an operation.
    pub(super) fn is_held(
        &mut self,
        shared: &Shared,
        map: &Map,
        now: Duration,
        op: &Op<'_>,
    ) -> bool {
        let Some(leases) = map.leases() else { return false };
        let owner = op.owner();
        self.access(shared, leases, now, |access| {
            op.keys().iter().any(|key| is_held_by_another(access, key, owner))
        })
    }

    /// Removes all keys on which there is no lease. Returns how many.
    fn clear_unleased(
        &mut self,
        shared: &Shared,
        map: &Map,
        now: Duration,
    ) -> Result<Reply, OpError> {
        let leased: Vec<Box<[u8]>> = match map.leases() {
            Some(leases) => self.access(shared, leases, now, |access| {
                let now_ms = access.now_ms;
                let entries = access.fragment.entries_from(0);
                let leased = entries.filter(|entry| !entry.is_over(now_ms));
                leased.map(|entry| entry.key().into()).take(LEASED_MAX + 1).collect()
            }),
            None => Vec::new(),
        };
        if leased.len() > LEASED_MAX {
            return Err(OpError::Busy);
        }
        self.access(shared, map, now, |access| {
            if leased.is_empty() {
                Op::Whole(WholeOp::Clear).execute(access)
            } else {
                Ok(Reply::count(access.clear_except(&leased)))
            }
        })
    }

    /// Returns the bytes of a key, if this member is the serving primary, the value is plain and on
    /// all backups, and reading it moves no deadline.
    pub(crate) fn get(
        &mut self,
        shared: &Shared,
        map: &Map,
        now_ms: u64,
        key: &[u8],
        take: &mut dyn FnMut(Option<&[u8]>),
    ) -> Option<Result<(), OpError>> {
        self.serving_primary()?;
        let hash = shared.settings.hasher.hash(key);
        if self.transactions.concerns(map, hash) {
            return None;
        }
        let may_wait = self.inherited || !self.in_flight.is_empty();
        if may_wait && !self.settling(map, hash, false).is_empty() {
            return None;
        }
        let Some(Some(fragment)) = self.fragments.get_mut(map.index) else {
            take(None);
            return Some(Ok(()));
        };
        fragment.get_plain(hash, key, now_ms, take)
    }
}
