//! Blocked operations: each is executed once it has an element to return.

use std::sync::Arc;
use std::time::Duration;

use super::Partition;
use super::executed::{Executed, Slot};
use super::waiters::Waiter;
use crate::encoding;
use crate::map::Map;
use crate::op::{Effect, Op};
use crate::shared::Shared;
use crate::{OpError, Reply};

/// Maximum length of an encoded operation, in bytes, that is compared with others which wait.
const FRUITLESS_BYTES_MAX: usize = 1_024;

impl Partition {
    /// Executes the blocked operations that have an element to return now.
    pub(super) fn serve_waiters(&mut self, shared: &Shared, map: &Arc<Map>, now: Duration) {
        let mut filled = std::mem::take(&mut self.changes.filled);
        let mut is_cleared = std::mem::take(&mut self.changes.cleared);
        // An encoded operation that has found nothing since the last one was served.
        let mut fruitless: Option<Vec<u8>> = None;
        while (is_cleared || !filled.is_empty()) && !self.waiters.is_empty() {
            let hasher = &shared.settings.hasher;
            let changed: Vec<u32> = filled.iter().map(|key| hasher.hash(key)).collect();
            for waiter in self.waiters.take() {
                if waiter.slot.is_closed() {
                    continue;
                }
                let wants = waiter.map.index == map.index
                    && (is_cleared || waiter.hashes.iter().any(|hash| changed.contains(hash)));
                if !wants {
                    self.waiters.push(waiter);
                    continue;
                }
                // Many clients may wait for the same: only the first of them is tried again.
                if fruitless.as_ref() == Some(&waiter.op) {
                    self.waiters.push(waiter);
                    continue;
                }
                let Ok(op) = postcard::from_bytes::<Op<'_>>(&waiter.op) else { continue };
                if !waiter.slot.claim() {
                    continue;
                }
                if self.serve(shared, &waiter, now, &op) {
                    fruitless = None;
                    continue;
                }
                if waiter.op.len() <= FRUITLESS_BYTES_MAX {
                    fruitless = Some(waiter.op.clone());
                }
                if waiter.slot.release() {
                    self.waiters.push(waiter);
                }
            }
            // An element that was moved to another list may allow further operations to be
            // executed.
            filled = std::mem::take(&mut self.changes.filled);
            is_cleared = false;
        }
        self.changes.filled.clear();
    }

    /// Executes the blocked operations whose keys were locked, if they have an element to return.
    pub(super) fn serve_all_waiters(&mut self, shared: &Shared, now: Duration) {
        let (mut keys, mut maps) = (Vec::new(), Vec::new());
        for waiter in self.waiters.iter() {
            let Ok(op) = postcard::from_bytes::<Op<'_>>(&waiter.op) else { continue };
            keys.extend(op.keys().into_iter().map(|key| (waiter.map.index, Box::from(key))));
            if !maps.iter().any(|map| Arc::ptr_eq(map, &waiter.map)) {
                maps.push(Arc::clone(&waiter.map));
            }
        }
        for map in maps {
            let of_map = keys.iter().filter(|(index, _)| *index == map.index);
            self.changes.filled = of_map.map(|(_, key): &(usize, Box<[u8]>)| key.clone()).collect();
            self.serve_waiters(shared, &map, now);
        }
    }

    /// Executes one blocked operation whose slot is claimed. Returns whether it had an element to
    /// return.
    fn serve(&mut self, shared: &Shared, waiter: &Waiter, now: Duration, op: &Op<'_>) -> bool {
        if self.skips_waiter(shared, &waiter.map, op) {
            return false;
        }
        if self.is_held(shared, &waiter.map, now, op) {
            return false;
        }
        let reply = self.access(shared, &waiter.map, now, |access| {
            if op.finds_nothing(access) {
                return None;
            }
            let reply = op.execute(access);
            // The key now has another type, so the operation keeps waiting.
            let is_other = reply == Err(OpError::WrongType) && !op.reports_wrong_type(access);
            (!is_other).then_some(reply)
        });
        let Some(reply) = reply.filter(|reply| !is_nothing(reply)) else { return false };
        let mut needs = self.replicate(shared, &waiter.map, now);
        if needs.is_empty() {
            // The value that it read may not be on all backups yet.
            needs = self.settling(&waiter.map, 0, true);
        }
        let ticket = self.ticket(needs);
        waiter.slot.fill(Executed::Done(reply, ticket));
        true
    }

    /// The reply of a blocked operation that ends without an element, and what it waits for: a crash
    /// must not bring back an element that others have taken.
    pub(crate) fn found_nothing(
        &mut self,
        shared: &Shared,
        map: &Map,
        now: Duration,
        op: &Op<'_>,
    ) -> Executed {
        let writes = op.effect() > Effect::Reads;
        if self.serving_primary().is_none() || writes && !shared.has_enough_members(now) {
            return Executed::NotPrimary;
        }
        let hashes = op.keys().into_iter().map(|key| shared.settings.hasher.hash(key));
        let mut needs = hashes.map(|hash| self.settling(map, hash, false));
        let needs = needs.find(|needs| !needs.is_empty()).unwrap_or_default();
        Executed::Done(Ok(Reply::Nil), self.ticket(needs))
    }

    /// Executes an operation, or blocks it until it has an element to return.
    pub(crate) fn execute_or_wait(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        op: &Op<'_>,
        slot: &Arc<Slot>,
    ) -> Option<Executed> {
        let executed = if self.serving_primary().is_some() && self.skips_waiter(shared, map, op) {
            // It is retried when the locks are released.
            Executed::Done(Ok(Reply::Nil), None)
        } else {
            self.execute(shared, map, now, op)
        };
        match executed {
            // The state may not be replicated yet, which does not matter here: if it is undone,
            // there is another primary, which is asked. See also [`Partition::found_nothing`].
            Executed::Done(reply, _) if is_nothing(&reply) => {
                if !self.waiters.make_room() {
                    return Some(Executed::Done(Err(OpError::Busy), None));
                }
                let hasher = &shared.settings.hasher;
                let hashes = op.keys().into_iter().map(|key| hasher.hash(key)).collect();
                let op = encoding::encoded(op);
                let (map, slot) = (Arc::clone(map), Arc::clone(slot));
                self.waiters.push(Waiter { map, hashes, op, slot });
                None
            }
            executed => Some(executed),
        }
    }
}

/// Whether the operation had no element to return.
fn is_nothing(reply: &Result<Reply, OpError>) -> bool {
    matches!(reply, Ok(Reply::Nil | Reply::NilList))
}
