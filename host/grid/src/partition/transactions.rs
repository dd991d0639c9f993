//! The part of one partition in transactions over several partitions: locks, the copies that a
//! transaction works on, and prepared changes. See `docs/transactions.md`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

use super::Partition;
use super::executed::{Executed, Slot};
use super::locks::{
    Admission, COPIED_BYTES_MAX, LockKey, Open, QUEUED_BYTES_MAX, QUEUED_MAX, Queued, RESOLVE_MS,
    Unresolved,
};
use super::ticket::{Needs, Ticket};
use crate::access::{Access, BatchTimer};
use crate::edit::{Edit, Record, RecordChange};
use crate::encoding;
use crate::entry::{Entry, Expiry};
use crate::limits::OP_MS_MAX;
use crate::map::Map;
use crate::op::{
    Decision, Effect, MapOp, Op, TRANSACTION_BYTES_MAX, TransactionId, TransactionOp, WatchedKey,
    WholeOp,
};
use crate::shared::Shared;
use crate::{OpError, Reply};

/// Maximum number of transactions of one partition that are open.
const OPEN_MAX: usize = 10_000;

/// A prepared transaction, as the primary and its backups store it.
#[derive(Default, Serialize, Deserialize)]
struct Prepared<'a> {
    /// Map and hash of each lock.
    #[serde(borrow)]
    locks: Vec<(&'a str, u32)>,
    /// Maps of which all keys are locked.
    #[serde(borrow)]
    locked_maps: Vec<&'a str>,
    /// Consecutive encoded records.
    #[serde(borrow, with = "serde_bytes")]
    records: &'a [u8],
    participants: Option<Vec<u16>>,
}

impl Partition {
    fn lock_key(shared: &Shared, map: &Map, key: &[u8]) -> LockKey {
        (map.index, shared.settings.hasher.hash(key))
    }

    fn lock_keys(shared: &Shared, map: &Map, op: &Op<'_>) -> Vec<LockKey> {
        op.keys().into_iter().map(|key| Self::lock_key(shared, map, key)).collect()
    }

    /// Queues an operation if one of its keys is locked. Returns `None` if it can be executed.
    pub(super) fn wait_for_locks(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        op: &Op<'_>,
    ) -> Option<Executed> {
        let concerns_all = matches!(op, Op::Whole(_));
        let keys = Self::lock_keys(shared, map, op);
        if !self.transactions.concerns_any(&keys, concerns_all) {
            return None;
        }
        Some(self.enqueue(map, encoding::encoded(op), keys, concerns_all))
    }

    fn enqueue(
        &mut self,
        map: &Arc<Map>,
        op: Vec<u8>,
        keys: Vec<LockKey>,
        concerns_all: bool,
    ) -> Executed {
        let queue = &self.transactions.queue;
        if queue.len() >= QUEUED_MAX
            || self.transactions.queued_bytes.saturating_add(op.len()) > QUEUED_BYTES_MAX
        {
            return Executed::Done(Err(OpError::Conflict), None);
        }
        let slot = Arc::new(Slot::default());
        let (map, waits) = (Arc::clone(map), Arc::clone(&slot));
        self.transactions.push(Queued { map, op, keys, concerns_all, slot });
        Executed::Queued(waits)
    }

    /// Whether a blocked operation must keep waiting since a key is locked.
    pub(super) fn skips_waiter(&mut self, shared: &Shared, map: &Map, op: &Op<'_>) -> bool {
        if self.transactions.is_idle() {
            return false;
        }
        let is_locked = self.transactions.concerns_any(&Self::lock_keys(shared, map, op), false);
        self.transactions.skipped_waiter |= is_locked;
        is_locked
    }

    /// Executes a step of a transaction, if this member is the serving primary.
    pub(crate) fn transact(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        op: &TransactionOp<'_>,
    ) -> Executed {
        if self.serving_primary().is_none() {
            return Executed::NotPrimary;
        }
        match op {
            // Transactions run at the primary of their home partition only.
            TransactionOp::Execute { id, .. }
                if id.home == self.number && id.member != shared.me =>
            {
                Executed::Done(Err(OpError::Conflict), None)
            }
            TransactionOp::Execute { id, is_first, ops, watched, .. } => {
                let keys = match lock_keys_of(shared, watched, ops) {
                    Ok(keys) => keys,
                    Err(error) => return Executed::Done(Err(error), None),
                };
                let maps = exchanged_maps(shared, ops);
                match self.transactions.admit(*id, *is_first, &keys, &maps) {
                    Admission::Execute => self.execute_in_transaction(shared, now, op, &keys),
                    Admission::Refuse => Executed::Done(Err(OpError::Conflict), None),
                    Admission::Wait => {
                        // The queue contains encoded `Op`s.
                        let op = encoding::encoded(&Op::Transaction(op.clone()));
                        self.enqueue(map, op, keys, !maps.is_empty())
                    }
                }
            }
            TransactionOp::Commit(id) => self.commit(shared, *id, now),
            TransactionOp::Abort(id) => self.abort(shared, *id, now),
            TransactionOp::Decision(id) => self.decision(shared, *id),
            TransactionOp::Forget(id) => self.forget_decision(shared, *id, now),
            // The grid runs it, not a partition.
            TransactionOp::Run { .. } => Executed::Done(Err(OpError::Malformed), None),
        }
    }

    fn execute_in_transaction(
        &mut self,
        shared: &Shared,
        now: Duration,
        op: &TransactionOp<'_>,
        keys: &[LockKey],
    ) -> Executed {
        let TransactionOp::Execute { id, continues, prepare, watched, ops, maps, .. } = op else {
            return Executed::Done(Err(OpError::Malformed), None);
        };
        let is_known = self.transactions.open.get(id).is_some_and(|open| !open.is_recovered);
        if *continues != is_known || self.transactions.open.len() >= OPEN_MAX {
            return Executed::Done(Err(OpError::Conflict), None);
        }
        let locks = (keys, &*exchanged_maps(shared, ops));
        let touches = ops.is_empty() || ops.iter().any(|op| op.op.touches());
        let opened = self.open_transaction(shared, *id, maps, locks, touches, now);
        let executed = opened.and_then(|mut open| {
            let done = self.execute_all(shared, &mut open, watched, ops, now);
            let done = done.and_then(|replies| {
                if *prepare || open.is_prepared {
                    self.prepare(shared, *id, &mut open, now)?;
                }
                Ok((replies, !open.changes.records.is_empty()))
            });
            self.transactions.open.insert(*id, open);
            done
        });
        match executed {
            Ok((replies, changes)) => {
                let store = self.transactions.open.get(id).map(|open| Arc::clone(&open.store));
                let mut needs = store.map(|store| self.replicate(shared, &store, now));
                if needs.as_ref().is_none_or(|needs| needs.is_empty()) {
                    needs = self.settling_keys(shared, keys);
                }
                let ticket = needs.and_then(|needs| self.ticket(needs));
                let reply = vec![Reply::flag(changes), Reply::List(replies)];
                Executed::Done(Ok(Reply::List(reply)), ticket)
            }
            // Earlier changes here are discarded when the whole transaction is aborted.
            Err(error) => Executed::Done(Err(error), None),
        }
    }

    /// The acknowledgements that reads of these keys have to wait for.
    fn settling_keys(&mut self, shared: &Shared, keys: &[LockKey]) -> Option<Needs> {
        keys.iter().rev().find_map(|(map, hash)| {
            let map = shared.maps.at(*map)?;
            let needs = self.settling(&map, *hash, false);
            (!needs.is_empty()).then_some(needs)
        })
    }

    /// The transaction with these keys locked and copied, and with all keys of these maps locked. That
    /// is a use of the keys if it `touches` them.
    fn open_transaction(
        &mut self,
        shared: &Shared,
        id: TransactionId,
        maps: &[&str],
        (keys, locked_maps): (&[LockKey], &[usize]),
        touches: bool,
        now: Duration,
    ) -> Result<Open, OpError> {
        let mut open = match self.transactions.open.remove(&id) {
            Some(open) => open,
            None => Open::new(shared, store(shared, maps)?, now),
        };
        let now_ms = shared.clock.now_ms(now);
        let hasher = &shared.settings.hasher;
        for key in keys {
            let Some(map) = shared.maps.at(key.0) else { continue };
            if self.transactions.locks.insert(*key, id).is_some() {
                continue;
            }
            open.locks.push(*key);
            let hash = key.1;
            let fragment = self.fragment(&map);
            let copy = open.copies.entry(map.index).or_default();
            copy.begin_copy(fragment.cleared(), fragment.floor());
            let range = u64::from(hash)..u64::from(hash) + 1;
            let entries = fragment.entries_from(hash).take_while(|entry| entry.hash() == hash);
            let (names, bytes) = entries.fold((Vec::new(), 0), |(mut names, bytes), entry| {
                names.push(Box::<[u8]>::from(entry.key()));
                (names, bytes + entry.bytes())
            });
            if !open.room.take(bytes) {
                // It is aborted, which releases its locks.
                let is_alone = open.room.bytes > COPIED_BYTES_MAX;
                self.transactions.open.insert(id, open);
                return Err(if is_alone { OpError::AnswerTooLong } else { OpError::Busy });
            }
            let mut structure = None;
            fragment.items(&range, usize::MAX, &mut |item| {
                copy.load(&map, now_ms, &mut structure, |key| hasher.hash(key), item);
            });
            for name in names.into_iter().filter(|_| touches) {
                fragment.use_entry(hash, &name, now_ms, now_ms as u32);
            }
        }
        for map in locked_maps {
            self.transactions.locked_maps.insert(*map, id);
            open.locked_maps.push(*map);
        }
        Ok(open)
    }

    fn execute_all(
        &mut self,
        shared: &Shared,
        open: &mut Open,
        watched: &[WatchedKey<'_>],
        ops: &[MapOp<'_>],
        now: Duration,
    ) -> Result<Vec<Reply>, OpError> {
        for watched in watched {
            let map = shared.maps.open(watched.map)?;
            let version = self.access_copy(shared, open, &map, now, |access| {
                crate::op::version(access, watched.key)
            });
            if version != watched.version {
                return Err(OpError::Changed);
            }
        }
        let timer = BatchTimer::start(&*shared.host);
        let mut replies = Vec::with_capacity(ops.len());
        for MapOp { map, op } in ops {
            timer.check()?;
            let map = shared.maps.open(map)?;
            replies.push(match self.execute_one(shared, open, &map, op, now) {
                Ok(reply) => reply,
                // These errors apply to the whole transaction.
                Err(error @ (OpError::TooFewMembers { .. } | OpError::Busy)) => return Err(error),
                Err(error) => Reply::Failed(error),
            });
        }
        if open.changes.records.len() > TRANSACTION_BYTES_MAX {
            return Err(OpError::TooLong);
        }
        Ok(replies)
    }

    fn execute_one(
        &mut self,
        shared: &Shared,
        open: &mut Open,
        map: &Arc<Map>,
        op: &Op<'_>,
        now: Duration,
    ) -> Result<Reply, OpError> {
        if let Op::Whole(WholeOp::Exchange(other)) = op {
            self.may_write(shared, map)?;
            let (version, change) = (shared.clock.next(now), RecordChange::Exchange(other));
            open.changes.push(&Record { map: &map.name, version, change });
            return Ok(Reply::Done);
        }
        let (inner, _) = op.without_client();
        let may_be_part = match inner {
            Op::Key(..) | Op::Several(_) | Op::Transfer(..) => true,
            Op::By { op, .. } => matches!(**op, Op::Key(..) | Op::Several(_)),
            Op::Lease(..)
            | Op::Whole(_)
            | Op::Batch { .. }
            | Op::Transaction(_)
            | Op::From { .. }
            | Op::Request { .. } => false,
        };
        if !may_be_part {
            return Err(OpError::Malformed);
        }
        if op.effect() > Effect::Reads {
            self.may_write(shared, map)?;
            if self.is_held(shared, map, now, op) {
                return Err(OpError::Held);
            }
        }
        self.access_copy(shared, open, map, now, |access| op.execute(access))
    }

    /// Provides an operation with access to the copies of a transaction.
    fn access_copy<R>(
        &mut self,
        shared: &Shared,
        open: &mut Open,
        map: &Map,
        now: Duration,
        work: impl FnOnce(&mut Access<'_>) -> R,
    ) -> R {
        let fragment = open.copies.entry(map.index).or_default();
        let (rng, changes) = (&mut self.rng, &mut open.changes);
        work(&mut super::access_to(shared, map, fragment, rng, changes, false, now))
    }

    /// Stores the transaction's changes in this partition in the internal map, from which they are
    /// replicated.
    fn prepare(
        &mut self,
        shared: &Shared,
        id: TransactionId,
        open: &mut Open,
        now: Duration,
    ) -> Result<(), OpError> {
        self.may_write(shared, &open.store)?;
        open.is_prepared = true;
        let maps: Vec<_> =
            open.locks.iter().map(|(map, hash)| (shared.maps.at(*map), *hash)).collect();
        let locks =
            maps.iter().filter_map(|(map, hash)| Some((&*map.as_ref()?.name, *hash))).collect();
        let locked: Vec<_> =
            open.locked_maps.iter().filter_map(|map| shared.maps.at(*map)).collect();
        let locked_maps = locked.iter().map(|map| &*map.name).collect();
        let records = &open.changes.records;
        let participants = open.participants.clone();
        let value = encoding::encoded(&Prepared { locks, locked_maps, records, participants });
        self.access(shared, &Arc::clone(&open.store), now, |access| {
            let put = Edit::Put { kind: 0, value: &value, expiry: Expiry::NEVER };
            access.edit(&encoding::encoded(&id), &put);
        });
        Ok(())
    }

    /// Decides in the home partition that the transaction commits, once the returned ticket is
    /// replicated.
    ///
    /// # Errors
    /// The reason why it cannot commit; it can then be aborted.
    pub(crate) fn decide(
        &mut self,
        shared: &Shared,
        id: TransactionId,
        participants: Vec<u16>,
        now: Duration,
    ) -> Result<Option<Ticket>, OpError> {
        if self.serving_primary().is_none() || !shared.lease.is_held(now) {
            return Err(OpError::Conflict);
        }
        let Some(mut open) = self.transactions.open.remove(&id) else {
            return Err(OpError::Conflict);
        };
        let store = Arc::clone(&open.store);
        open.participants = Some(participants);
        let decided = self.prepare(shared, id, &mut open, now);
        if decided.is_err() {
            open.participants = None;
        }
        // The member that runs it first has time to finish it.
        open.resolve_at = now + Duration::from_millis(OP_MS_MAX);
        self.transactions.open.insert(id, open);
        decided?;
        let needs = self.replicate(shared, &store, now);
        Ok(self.ticket(needs))
    }

    /// Applies the changes of a transaction in this partition.
    fn commit(&mut self, shared: &Shared, id: TransactionId, now: Duration) -> Executed {
        let Some(mut open) = self.transactions.open.remove(&id) else {
            return self.committed_before(shared, id);
        };
        let records = std::mem::take(&mut open.changes.records);
        let mut filled: BTreeMap<usize, Vec<Box<[u8]>>> = BTreeMap::new();
        let mut exchanged = Vec::new();
        let mut rest = &records[..];
        while let Some((record, behind)) = Record::decode(rest) {
            self.changes.push_encoded(&rest[..rest.len() - behind.len()]);
            rest = behind;
            let Ok(map) = shared.maps.open(record.map) else { continue };
            shared.clock.observe(record.version);
            if let RecordChange::Exchange(other) = &record.change {
                let Ok(other) = shared.maps.open(other) else { continue };
                self.exchange([&map, &other], record.version);
                self.changes.changed.push(None);
                for map in [map, other] {
                    self.changes.follow_clear(&map);
                    exchanged.push(map);
                }
                continue;
            }
            let now_ms = shared.clock.now_ms(now);
            let hash = record.hash(&shared.settings.hasher);
            let applied = self.counted(&map, |fragment| {
                if let RecordChange::Key(key, edit) = &record.change
                    && (matches!(edit, Edit::Structure(_)) || fragment.is_stream(hash, key))
                {
                    filled.entry(map.index).or_default().push((*key).into());
                }
                fragment.apply_record(&map, now_ms, hash, &record)
            });
            debug_assert!(applied.is_ok(), "the keys were locked: {record:?}");
            self.changes.changed.push(Some(hash));
            self.changes.origin = open.changes.last_origin;
            match &record.change {
                RecordChange::Key(key, edit) => self.changes.follow(&map, key, edit),
                RecordChange::Clear => self.changes.follow_clear(&map),
                RecordChange::Forget(_) | RecordChange::Floor(_) | RecordChange::Exchange(_) => {}
            }
            self.changes.origin = None;
        }
        self.changes.events.append(&mut open.changes.events);
        let store = Arc::clone(&open.store);
        let key = encoding::encoded(&id);
        if open.is_prepared {
            let stub = open.participants.as_ref().filter(|all| !all.is_empty()).map(|all| {
                let participants = Some(all.clone());
                encoding::encoded(&Prepared { participants, ..Prepared::default() })
            });
            self.access(shared, &store, now, |access| match &stub {
                Some(value) => {
                    access.edit(&key, &Edit::Put { kind: 0, value, expiry: Expiry::NEVER });
                }
                None => access.drop_entry(&key),
            });
        }
        let needs = self.replicate(shared, &store, now);
        let ticket = self.ticket(needs);
        self.changes.filled.clear();
        self.unlock(&open);
        if open.participants.as_ref().is_some_and(|all| !all.is_empty()) {
            // The decision stays until all partitions have committed.
            let mut decided = Open::new(shared, store, now);
            decided.is_prepared = true;
            decided.is_recovered = true;
            decided.participants = open.participants;
            decided.resolve_at = open.resolve_at;
            self.transactions.open.insert(id, decided);
        }
        for (map, keys) in filled {
            if let Some(map) = shared.maps.at(map) {
                self.changes.filled = keys;
                self.serve_waiters(shared, &map, now);
            }
        }
        for map in exchanged {
            self.changes.cleared = true;
            self.serve_waiters(shared, &map, now);
        }
        self.run_queue(shared, now);
        Executed::Done(Ok(Reply::Done), ticket)
    }

    /// The reply to a repeated commit: it waits until the backups have the changes, since the home
    /// partition may then forget its decision.
    fn committed_before(&mut self, shared: &Shared, id: TransactionId) -> Executed {
        let hash = shared.settings.hasher.hash(&encoding::encoded(&id));
        let maps = shared.maps.all();
        let mut stores = maps.iter().filter(|map| crate::map::holds_transactions(&map.name));
        let needs = stores.find_map(|store| {
            let needs = self.settling(store, hash, false);
            (!needs.is_empty()).then_some(needs)
        });
        let ticket = needs.and_then(|needs| self.ticket(needs));
        Executed::Done(Ok(Reply::Done), ticket)
    }

    /// Discards the changes of a transaction in this partition. A decided transaction cannot be
    /// aborted.
    pub(crate) fn abort(&mut self, shared: &Shared, id: TransactionId, now: Duration) -> Executed {
        let open = self.transactions.open.remove(&id);
        let Some(open) = open else { return Executed::Done(Ok(Reply::Done), None) };
        if open.participants.is_some() {
            self.transactions.open.insert(id, open);
            return Executed::Done(Err(OpError::Malformed), None);
        }
        let mut ticket = None;
        if open.is_prepared {
            let key = encoding::encoded(&id);
            self.access(shared, &open.store, now, |access| access.drop_entry(&key));
            let needs = self.replicate(shared, &open.store, now);
            ticket = self.ticket(needs);
        }
        self.unlock(&open);
        self.run_queue(shared, now);
        Executed::Done(Ok(Reply::Done), ticket)
    }

    /// The decision of a transaction whose home is this partition.
    fn decision(&mut self, shared: &Shared, id: TransactionId) -> Executed {
        let (decision, store) = match self.transactions.open.get(&id) {
            Some(open) if open.participants.is_some() => {
                let is_enough = shared.members_here() >= shared.settings.min_members;
                let decision = if is_enough { Decision::Committed } else { Decision::Pending };
                (decision, Some(Arc::clone(&open.store)))
            }
            Some(_) => (Decision::Pending, None),
            None => (Decision::Aborted, None),
        };
        // A decision that a crash could undo is not returned.
        let hash = shared.settings.hasher.hash(&encoding::encoded(&id));
        let needs = store.map(|store| self.settling(&store, hash, false));
        let ticket = needs.and_then(|needs| self.ticket(needs));
        Executed::Done(Ok(Reply::Integer(decision as i64)), ticket)
    }

    /// Forgets the decision, once all partitions have committed.
    fn forget_decision(&mut self, shared: &Shared, id: TransactionId, now: Duration) -> Executed {
        let Some(open) = self.transactions.open.remove(&id) else {
            return Executed::Done(Ok(Reply::Done), None);
        };
        let is_applied = open.locks.is_empty() && open.locked_maps.is_empty();
        if !is_applied || open.participants.is_none() {
            self.transactions.open.insert(id, open);
            return Executed::Done(Err(OpError::Malformed), None);
        }
        let key = encoding::encoded(&id);
        self.access(shared, &open.store, now, |access| access.drop_entry(&key));
        let needs = self.replicate(shared, &open.store, now);
        Executed::Done(Ok(Reply::Done), self.ticket(needs))
    }

    fn unlock(&mut self, open: &Open) {
        for key in &open.locks {
            self.transactions.locks.remove(key);
        }
        for map in &open.locked_maps {
            self.transactions.locked_maps.remove(map);
        }
    }

    /// Executes operations that waited for locks that have been released, in order.
    fn run_queue(&mut self, shared: &Shared, now: Duration) {
        for queued in self.transactions.take_queue() {
            if queued.slot.is_closed() {
                continue;
            }
            let Ok(op) = postcard::from_bytes::<Op<'_>>(&queued.op) else { continue };
            let admission = match &op {
                Op::Transaction(TransactionOp::Execute { id, is_first, ops, .. }) => {
                    let maps = exchanged_maps(shared, ops);
                    self.transactions.admit(*id, *is_first, &queued.keys, &maps)
                }
                _ if self.transactions.concerns_any(&queued.keys, queued.concerns_all) => {
                    Admission::Wait
                }
                _ => Admission::Execute,
            };
            if matches!(admission, Admission::Wait) {
                self.transactions.push(queued);
                continue;
            }
            if !queued.slot.claim() {
                continue;
            }
            queued.slot.fill(match (admission, &op) {
                (Admission::Refuse, _) => Executed::Done(Err(OpError::Conflict), None),
                (_, Op::Transaction(op)) => {
                    self.execute_in_transaction(shared, now, op, &queued.keys)
                }
                (_, op) => self.execute_unlocked(shared, &queued.map, now, op),
            });
        }
        if std::mem::take(&mut self.transactions.skipped_waiter) {
            self.serve_all_waiters(shared, now);
        }
    }

    /// Takes over the prepared transactions of this partition, when this member becomes primary.
    pub(super) fn recover_transactions(&mut self, shared: &Shared) {
        self.transactions.reset();
        for store in shared.maps.all() {
            if !crate::map::holds_transactions(&store.name) {
                continue;
            }
            let Some(fragment) = self.fragment_of(&store) else { continue };
            let mut recovered = Vec::new();
            for entry in fragment.entries_from(0) {
                let Entry::Plain(entry) = entry else { continue };
                let Ok(id) = postcard::from_bytes::<TransactionId>(entry.key()) else { continue };
                let Ok(prepared) = postcard::from_bytes::<Prepared<'_>>(entry.value()) else {
                    continue;
                };
                let mut open = Open::new(shared, Arc::clone(&store), Duration::ZERO);
                open.is_prepared = true;
                open.is_recovered = true;
                let lock =
                    |(map, hash): (&str, u32)| Some((shared.maps.open(map).ok()?.index, hash));
                open.locks = prepared.locks.into_iter().filter_map(lock).collect();
                let map = |map| Some(shared.maps.open(map).ok()?.index);
                open.locked_maps = prepared.locked_maps.into_iter().filter_map(map).collect();
                open.changes.push_encoded(prepared.records);
                open.participants = prepared.participants;
                recovered.push((id, open));
            }
            for (id, open) in recovered {
                for key in &open.locks {
                    self.transactions.locks.insert(*key, id);
                }
                for map in &open.locked_maps {
                    self.transactions.locked_maps.insert(*map, id);
                }
                self.transactions.open.insert(id, open);
            }
        }
    }

    /// Transactions whose outcome is to be looked up now: those that are open for long, and those
    /// of a member that is no longer the primary of their home partition.
    pub(crate) fn unresolved(
        &mut self,
        now: Duration,
        primary: impl Fn(u16) -> Option<MemberId>,
    ) -> Vec<Unresolved> {
        if self.serving_primary().is_none() {
            return Vec::new();
        }
        let number = self.number;
        let mut due = Vec::new();
        for (id, open) in &mut self.transactions.open {
            let is_orphan = open.participants.is_none() && primary(id.home) != Some(id.member);
            if open.is_resolving || (now < open.resolve_at && !is_orphan) {
                continue;
            }
            let unresolved = match &open.participants {
                Some(participants) => Unresolved::Finish(*id, participants.clone()),
                // The member that runs it is this one, which decides.
                None if id.home == number => continue,
                None => Unresolved::Ask(*id),
            };
            open.is_resolving = true;
            due.push(unresolved);
        }
        due
    }

    /// Records an attempt to look up the outcome of a transaction.
    pub(crate) fn tried_to_resolve(&mut self, id: TransactionId, now: Duration) {
        if let Some(open) = self.transactions.open.get_mut(&id) {
            open.is_resolving = false;
            open.resolve_at = now + Duration::from_millis(RESOLVE_MS);
        }
    }

    /// Whether a transaction is open here.
    pub(crate) fn has_open(&self, id: TransactionId) -> bool {
        self.transactions.open.contains_key(&id)
    }

    /// Transactions that are open here, if this member is the primary.
    pub(crate) fn open_transactions(&self) -> usize {
        self.transactions.open.len()
    }
}

/// The internal map for prepared transactions over these maps: that of the map with the most
/// backups.
fn store(shared: &Shared, maps: &[&str]) -> Result<Arc<Map>, OpError> {
    let mut best: Option<Arc<Map>> = None;
    for name in maps {
        let map = shared.maps.open(name)?;
        let rank = |map: &Map| (map.settings().backups, map.settings().copies());
        if best.as_ref().is_none_or(|best| rank(&map) > rank(best)) {
            best = Some(map);
        }
    }
    shared.maps.transactions_of(&*best.ok_or(OpError::Malformed)?)
}

/// The maps, by index, that a step exchanges as a whole.
fn exchanged_maps(shared: &Shared, ops: &[MapOp<'_>]) -> Vec<usize> {
    let both = ops.iter().filter_map(|MapOp { map, op }| match op {
        Op::Whole(WholeOp::Exchange(other)) => Some([*map, *other]),
        _ => None,
    });
    both.flatten().filter_map(|map| Some(shared.maps.open(map).ok()?.index)).collect()
}

/// All keys that a step names, without duplicates.
fn lock_keys_of(
    shared: &Shared,
    watched: &[WatchedKey<'_>],
    ops: &[MapOp<'_>],
) -> Result<Vec<LockKey>, OpError> {
    let mut keys = Vec::new();
    for watched in watched {
        keys.push(Partition::lock_key(shared, &*shared.maps.open(watched.map)?, watched.key));
    }
    for MapOp { map, op } in ops {
        keys.extend(Partition::lock_keys(shared, &*shared.maps.open(map)?, op));
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Edit, RecordChange};
    use crate::entry::Expiry;
    use crate::{Version, encoding};

    /// A prepared transaction, as read by a backup that becomes primary.
    #[test]
    fn fuzz_prepared() {
        let put = Edit::Put { kind: 0, value: b"value", expiry: Expiry::NEVER };
        let mut records = Vec::new();
        let removal = RecordChange::Key(b"other", Edit::Remove);
        for change in [RecordChange::Key(b"key", put), removal, RecordChange::Exchange("other")] {
            Record { map: "m", version: Version(7), change }.encode(&mut records);
        }
        let samples = [None, Some(vec![3, 300])].map(|participants| {
            let locks = vec![("m", 7), ("other", u32::MAX)];
            let locked_maps = vec!["m"];
            encoding::encoded(&Prepared { locks, locked_maps, records: &records, participants })
        });
        convoke_harness::check!(&samples, |bytes| {
            let Ok(prepared) = postcard::from_bytes::<Prepared<'_>>(bytes) else { return };
            let encoded = encoding::encoded(&prepared);
            let again = postcard::from_bytes::<Prepared<'_>>(&encoded).expect("its own encoding");
            assert_eq!(encoding::encoded(&again), encoded);
            let mut rest = prepared.records;
            while let Some((_, behind)) = Record::decode(rest) {
                assert!(behind.len() < rest.len());
                rest = behind;
            }
        });
    }
}
