//! The role of the primary.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::ticket::{Need, Needs, Ticket, is_received};
use super::{Partition, Role};
use crate::encoding;
use crate::event::Event;
use crate::item::{ALL_HASHES, Held, Item};
use crate::map::Map;
use crate::message::{MapStart, Message};
use crate::op::{Effect, Op, is_held_by_another};
use crate::session::{Peer, Sent};
use crate::shared::Shared;
use crate::table::{Assignment, Table};
use crate::{OpError, Reply, Version};

/// Maximum number of unacknowledged bytes of copies to one member.
const COPY_WINDOW_BYTES: usize = 1024 * 1024;
/// Bytes of entries that are read for a copy while the partition is locked.
const CHUNK_BYTES: usize = 128 * 1024;
/// Bytes of one message of a copy; a structure is divided into several.
const PART_BYTES: usize = 1024 * 1024;
/// Maximum number of expired entries that are dropped in one sweep of one map.
pub(crate) const DUE_MAX: usize = 2_000;
/// Maximum number of blocked operations of one partition.
const WAITERS_MAX: usize = 10_000;

/// The state of a primary.
pub(crate) struct PrimaryRole {
    pub(crate) links: Vec<Link>,
    /// The former primary, until it has handed over.
    pub(crate) awaits: Option<MemberId>,
}

impl PrimaryRole {
    /// Whether it may serve.
    pub(crate) fn is_ready(&self) -> bool {
        self.awaits.is_none()
    }

    /// The link to a backup.
    fn link(&mut self, member: MemberId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.peer.id() == member)
    }
}

/// The primary's state of a backup.
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    pub(crate) place: u8,
    /// See [`crate::table::Replica::complete`].
    pub(crate) complete: Option<u8>,
    pub(crate) state: LinkState,
    /// The backup's last request, which identifies its copy.
    ask: u64,
    /// Its copy turned out to be incomplete, but the table does not say so yet: until then, writes
    /// wait for it all the same.
    invalidated: bool,
    /// It did not keep up, and writes do not wait for it: it is invited to ask again once it does.
    is_behind: bool,
    /// The end of its copy. It has everything that was sent before, even if it refused that at the
    /// time.
    done: Option<Sent>,
}

impl Link {
    /// Whether writes of a map wait for it.
    fn counts(&self, map: &Map) -> bool {
        let backups = map.settings().backups;
        self.complete.is_some_and(|complete| complete <= backups) && self.place <= backups
    }

    /// Whether its copy includes this message.
    pub(crate) fn has(&self, sent: Option<Sent>) -> bool {
        let covers = |done: Sent| {
            sent.is_none_or(|sent| done.session != sent.session || sent.number <= done.number)
        };
        matches!(self.state, LinkState::Synced) && self.done.is_some_and(covers)
    }
}

/// The progress of a backup's copy.
pub(crate) enum LinkState {
    /// It has not asked yet.
    Expected,
    /// These ranges are to be sent: index of the map, start and end of the hashes.
    Copying(VecDeque<(usize, u64, u64)>),
    /// Everything was sent.
    Sent,
    /// It is complete.
    Synced,
}

/// A blocked operation: executed once it has an element to return.
pub(crate) struct Waiter {
    pub(crate) map: Arc<Map>,
    /// The operation, encoded.
    pub(crate) op: Vec<u8>,
    pub(crate) slot: Arc<Slot>,
}

/// Receives the outcome of a blocked operation. The operation is executed only after its slot is
/// claimed, and a claimed slot is filled or released. Otherwise an element that was removed for a
/// client that has gone would be lost.
#[derive(Default)]
pub(crate) struct Slot {
    inner: Mutex<SlotInner>,
}

#[derive(Default)]
struct SlotInner {
    state: SlotState,
    /// The task does not wait any more; takes effect unless the slot is claimed.
    is_closing: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
enum SlotState {
    #[default]
    Waiting,
    /// The operation is being executed.
    Claimed,
    Filled(Executed),
    Closed,
}

impl Slot {
    /// Whether the operation may be executed now. [`Slot::fill`] or [`Slot::release`] must follow.
    pub(crate) fn claim(&self) -> bool {
        let mut inner = self.inner.lock();
        let is_free = matches!(inner.state, SlotState::Waiting) && !inner.is_closing;
        if is_free {
            inner.state = SlotState::Claimed;
        }
        is_free
    }

    /// Stores the outcome in a claimed slot.
    pub(crate) fn fill(&self, outcome: Executed) {
        self.end_claim(SlotState::Filled(outcome));
    }

    /// Releases a slot whose operation had no element to return. Returns whether a task still
    /// waits.
    fn release(&self) -> bool {
        self.end_claim(SlotState::Waiting);
        !self.is_closed()
    }

    fn end_claim(&self, state: SlotState) {
        let mut inner = self.inner.lock();
        debug_assert!(matches!(inner.state, SlotState::Claimed), "the slot must be claimed");
        inner.state = match state {
            SlotState::Waiting if inner.is_closing => SlotState::Closed,
            state => state,
        };
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        let inner = self.inner.lock();
        inner.is_closing || matches!(inner.state, SlotState::Closed)
    }

    /// The outcome; `None` when the slot was closed before.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<Option<Executed>> {
        let mut inner = self.inner.lock();
        match std::mem::replace(&mut inner.state, SlotState::Closed) {
            SlotState::Filled(outcome) => Poll::Ready(Some(outcome)),
            SlotState::Closed => Poll::Ready(None),
            waiting => {
                inner.state = waiting;
                inner.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Closes the slot. An operation that is being executed is completed, and [`Slot::poll`]
    /// returns its outcome.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.is_closing = true;
        if matches!(inner.state, SlotState::Waiting) {
            inner.state = SlotState::Closed;
        }
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
}

/// The result of executing an operation in a partition.
pub(crate) enum Executed {
    /// It was executed, or failed. The reply must wait for the ticket.
    Done(Result<Reply, OpError>, Option<Ticket>),
    /// It waits for locks of a transaction; the slot receives the outcome.
    Queued(Arc<Slot>),
    /// It is a transaction that is running; the slot receives the outcome.
    Runs(Arc<Slot>),
    /// This member is not the serving primary.
    NotHere,
}

impl Partition {
    /// Becomes the primary, or stays it. Returns whether its copy is complete.
    pub(super) fn become_primary(
        &mut self,
        shared: &Shared,
        stays: impl Fn(MemberId) -> bool,
        assignment: &Assignment,
    ) -> bool {
        let (mut old, mut awaits) = (Vec::new(), None);
        let takes_over = self.epoch != assignment.epoch;
        // Only a complete copy has all acknowledged writes.
        let is_whole = match &self.role {
            Role::Backup(role) if self.epoch + 1 == assignment.epoch => role.is_whole,
            _ => true,
        };
        match &mut self.role {
            Role::Primary(role) if self.epoch == assignment.epoch => {
                old = std::mem::take(&mut role.links);
                awaits = role.awaits;
                // Writes do not wait for members that are not backups any more.
                for (_, needs) in &mut self.in_flight {
                    needs.retain(|need| assignment.of(need.peer.id()).is_some());
                }
            }
            Role::Backup(role) if self.epoch + 1 == assignment.epoch => {
                awaits = Some(role.primary);
            }
            _ => {}
        }
        if takes_over {
            self.in_flight.clear();
            self.step.clear();
            let handed = self.handed.is_some_and(|(_, epoch)| epoch == assignment.epoch);
            self.inherited = !handed;
        }
        // A member that is gone does not hand over.
        awaits = awaits.filter(|before| {
            stays(*before)
                && self.handed != Some((*before, assignment.epoch))
                && shared.peer(*before).is_some()
        });
        let mut links = Vec::new();
        for replica in assignment.replicas.iter().filter(|replica| replica.member != shared.me) {
            let Some(peer) = shared.peer(replica.member) else { continue };
            let known = old.iter().position(|link| link.peer.id() == replica.member);
            let known = known.map(|at| old.swap_remove(at));
            // A new peer has a new session and does not know the previous one.
            let link = match known.filter(|link| Arc::ptr_eq(&link.peer, &peer)) {
                Some(link)
                    if link.place <= replica.place || shared.maps.catalog().copies_are_equal() =>
                {
                    // Once the table says that its copy is incomplete, no member can take over with
                    // it.
                    let is_known = link.invalidated && replica.complete.is_none();
                    Link {
                        place: replica.place,
                        complete: link.complete.filter(|_| !is_known).or(replica.complete),
                        invalidated: link.invalidated && !is_known,
                        ..link
                    }
                }
                _ => Link {
                    peer,
                    place: replica.place,
                    complete: replica.complete,
                    state: LinkState::Expected,
                    ask: 0,
                    invalidated: false,
                    is_behind: false,
                    done: None,
                },
            };
            links.push(link);
        }
        self.epoch = assignment.epoch;
        self.leftover = false;
        self.role = Role::Primary(PrimaryRole { links, awaits });
        if awaits.is_none() {
            self.invite();
            if takes_over {
                self.recover_transactions(shared);
            }
        }
        is_whole
    }

    /// Adds links to members that are in the view now, but were not when the table arrived.
    pub(crate) fn relink(&mut self, shared: &Shared, table: &Table) {
        let assignment = &table.partitions[usize::from(self.number)];
        if matches!(self.role, Role::Primary(_)) && self.epoch == assignment.epoch {
            self.become_primary(shared, |_| true, assignment);
        }
    }

    /// Complete copies that the table lists as incomplete: the report may have been lost with the
    /// former coordinator.
    pub(crate) fn unreported(&self, table: &Table) -> Vec<(MemberId, u8)> {
        let assignment = &table.partitions[usize::from(self.number)];
        let Role::Primary(role) = &self.role else { return Vec::new() };
        if self.epoch != assignment.epoch {
            return Vec::new();
        }
        let synced = role.links.iter().filter(|link| matches!(link.state, LinkState::Synced));
        synced
            .filter_map(|link| Some((link.peer.id(), link.complete?)))
            .filter(|(id, complete)| {
                assignment
                    .of(*id)
                    .is_some_and(|r| r.complete.is_none_or(|listed| listed > *complete))
            })
            .collect()
    }

    /// Invites all backups that have not asked for a copy yet.
    fn invite(&self) {
        let Role::Primary(role) = &self.role else { return };
        for link in role.links.iter().filter(|link| matches!(link.state, LinkState::Expected)) {
            let message = Message::Invite { partition: self.number, epoch: self.epoch };
            link.peer.push(|bytes| message.encode(bytes));
        }
    }

    /// Handles that the former primary has handed over.
    pub(crate) fn handle_handoff(&mut self, shared: &Shared, from: MemberId, epoch: u64) {
        if self.epoch != epoch || !self.take_over(shared, from, true) {
            self.handed = Some((from, epoch));
        }
    }

    /// Handles that the former primary will not hand over: its last messages are lost.
    pub(crate) fn give_up_handoff(&mut self, shared: &Shared, from: MemberId) {
        self.take_over(shared, from, false);
    }

    /// Starts to serve, if it was waiting for this member. Returns whether it was. `settled` when
    /// all backups have the data that it takes over.
    fn take_over(&mut self, shared: &Shared, from: MemberId, settled: bool) -> bool {
        let Role::Primary(role) = &mut self.role else { return false };
        if role.awaits != Some(from) {
            return false;
        }
        role.awaits = None;
        self.inherited &= !settled;
        self.step.clear();
        self.recover_transactions(shared);
        self.invite();
        self.wake_all();
        true
    }

    /// Executes an operation, if this member is the serving primary.
    pub(crate) fn execute(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        op: &Op<'_>,
    ) -> Executed {
        if self.serving_primary().is_none() {
            return Executed::NotHere;
        }
        if let Err(error) = op.check_keys() {
            return Executed::Done(Err(error), None);
        }
        if let Op::Transaction(op) = op {
            return self.transact(shared, map, now, op);
        }
        if !self.transactions.is_idle()
            && let Some(queued) = self.wait_for_locks(shared, map, op)
        {
            return queued;
        }
        self.execute_unlocked(shared, map, now, op)
    }

    /// As [`Partition::execute`], ignoring locks.
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
        if op.effect() > Effect::Reads {
            if let Err(error) = self.may_write(shared, map) {
                return Executed::Done(Err(error), None);
            }
            if self.is_held(shared, map, now, op) {
                return Executed::Done(Err(OpError::Held), None);
            }
        }
        let reply = self.access(shared, map, now, |access| op.execute(access));
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

    /// Whether another owner holds a key of an operation.
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

    /// The state of the primary, if this member is the primary and may serve.
    pub(crate) fn serving_primary(&self) -> Option<&PrimaryRole> {
        match &self.role {
            Role::Primary(role) if role.is_ready() => Some(role),
            _ => None,
        }
    }

    /// The ticket for these needs; `None` if there are none.
    pub(super) fn ticket(&self, needs: Needs) -> Option<Ticket> {
        let (partition, epoch) = (self.number, self.epoch);
        (!needs.is_empty()).then_some(Ticket { partition, epoch, needs })
    }

    /// Reads the bytes of a key, if this member is the serving primary, the value is plain and on
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

    /// The backups that a read of this key must wait for, as a crash could still undo the last
    /// write.
    pub(super) fn settling(&mut self, map: &Map, hash: u32, any: bool) -> Needs {
        if self.inherited
            && let Role::Primary(role) = &self.role
        {
            // Another backup may lack data that this member took over: if both primaries were lost,
            // that would be undone.
            let unsure =
                |link: &&Link| link.complete.is_some() && !matches!(link.state, LinkState::Synced);
            self.inherited = role.links.iter().any(|link| unsure(&link));
            let needs: Needs = role
                .links
                .iter()
                .filter(unsure)
                .filter(|link| link.counts(map))
                .map(|link| Need { peer: Arc::clone(&link.peer), sent: None })
                .collect();
            if !needs.is_empty() {
                return needs;
            }
        }
        while self.in_flight.front().is_some_and(|(_, needs)| is_received(needs)) {
            self.in_flight.pop_front();
        }
        let last = self.in_flight.iter().rev().find(|(other, _)| any || *other == hash);
        match last {
            Some((_, needs)) if !is_received(needs) => needs.clone(),
            _ => Needs::new(),
        }
    }

    /// Sends changes to the backups. Returns what the reply must wait for.
    pub(super) fn replicate(&mut self, shared: &Shared, map: &Map, now: Duration) -> Needs {
        let mut needs = SmallVec::new();
        if self.changes.records.is_empty() {
            return needs;
        }
        let Role::Primary(role) = &mut self.role else {
            debug_assert!(false, "only a primary makes changes");
            self.changes.clear_records();
            self.changes.changed.clear();
            return needs;
        };
        let time_ms = shared.clock.now_ms(now);
        let (partition, epoch) = (self.number, self.epoch);
        for link in &mut role.links {
            if map.settings().copies() < usize::from(link.place) {
                continue;
            }
            let counts = link.counts(map);
            if !counts && link.peer.is_full() && !matches!(link.state, LinkState::Expected) {
                // No write waits for this backup, and it does not keep up: it is copied again
                // later.
                link.state = LinkState::Expected;
                link.is_behind = true;
                link.invalidated = true;
                self.incomplete.push(link.peer.id());
            }
            let sent = match link.state {
                LinkState::Expected => None,
                LinkState::Copying(_) | LinkState::Sent | LinkState::Synced => {
                    let copy = link.ask;
                    let send = |(records, more)| {
                        let message =
                            Message::Records { partition, epoch, copy, time_ms, more, records };
                        link.peer.push(|bytes| message.encode(bytes))
                    };
                    self.changes.messages().map(send).last()
                }
            };
            if counts {
                let synced = matches!(link.state, LinkState::Synced);
                needs.push(Need { peer: Arc::clone(&link.peer), sent: sent.filter(|_| synced) });
            }
        }
        self.changes.clear_records();
        if needs.is_empty() {
            self.changes.changed.clear();
        } else {
            for hash in self.changes.changed.drain(..) {
                self.in_flight.push_back((hash, needs.clone()));
            }
        }
        needs
    }

    /// Takes the backups whose copies became incomplete.
    pub(crate) fn take_incomplete(&mut self) -> Vec<MemberId> {
        std::mem::take(&mut self.incomplete)
    }

    /// Invites backups that did not keep up, once they do.
    pub(super) fn invite_again(&mut self) {
        let Role::Primary(role) = &mut self.role else { return };
        for link in role.links.iter_mut().filter(|link| link.is_behind) {
            if link.peer.backlog() <= COPY_WINDOW_BYTES {
                link.is_behind = false;
                let message = Message::Invite { partition: self.number, epoch: self.epoch };
                link.peer.push(|bytes| message.encode(bytes));
            }
        }
    }

    /// Takes the events for listeners.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.changes.events)
    }

    /// Executes the blocked operations that have an element to return now.
    pub(super) fn serve_waiters(&mut self, shared: &Shared, map: &Arc<Map>, now: Duration) {
        let mut filled = std::mem::take(&mut self.changes.filled);
        while !filled.is_empty() && !self.waiters.is_empty() {
            let waiting = std::mem::take(&mut self.waiters);
            for waiter in waiting {
                if waiter.slot.is_closed() {
                    continue;
                }
                let Ok(op) = postcard::from_bytes::<Op<'_>>(&waiter.op) else { continue };
                let wants = waiter.map.index == map.index
                    && filled.iter().any(|key| op.keys().contains(&&**key));
                let still_waits = !wants
                    || (waiter.slot.claim()
                        && !self.serve(shared, &waiter, now, &op)
                        && waiter.slot.release());
                if still_waits {
                    self.waiters.push_back(waiter);
                }
            }
            // An element that was moved to another list may serve further operations.
            filled = std::mem::take(&mut self.changes.filled);
        }
        self.changes.filled.clear();
    }

    /// Executes the blocked operations whose keys were locked, if they have an element to return.
    pub(super) fn serve_all_waiters(&mut self, shared: &Shared, now: Duration) {
        let (mut keys, mut maps) = (Vec::new(), Vec::new());
        for waiter in &self.waiters {
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
            let reply = op.execute(access);
            // The key holds another type now, so the operation keeps waiting.
            let is_other = reply == Err(OpError::WrongType) && !op.has_source(access);
            (!is_other).then_some(reply)
        });
        let Some(reply) = reply.filter(|reply| !is_nothing(reply)) else { return false };
        let needs = self.replicate(shared, &waiter.map, now);
        let ticket = self.ticket(needs);
        waiter.slot.fill(Executed::Done(reply, ticket));
        true
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
            // It is tried again when the locks are released.
            Executed::Done(Ok(Reply::Nil), None)
        } else {
            self.execute(shared, map, now, op)
        };
        match executed {
            // It does not matter that the state may not be settled: if it is undone, another member
            // is the primary, and is asked.
            Executed::Done(reply, _) if is_nothing(&reply) => {
                self.waiters.retain(|waiter| !waiter.slot.is_closed());
                if self.waiters.len() >= WAITERS_MAX {
                    return Some(Executed::Done(Err(OpError::Busy), None));
                }
                let op = encoding::encoded(op);
                let (map, slot) = (Arc::clone(map), Arc::clone(slot));
                self.waiters.push_back(Waiter { map, op, slot });
                None
            }
            executed => Some(executed),
        }
    }

    /// Returns all blocked operations, so that they go to the next primary.
    pub(super) fn give_up_waiters(&mut self) {
        for waiter in self.waiters.drain(..) {
            if waiter.slot.claim() {
                waiter.slot.fill(Executed::NotHere);
            }
        }
    }

    /// Handles a backup's request for a copy, and answers what differs. Returns whether a complete
    /// copy became incomplete.
    pub(crate) fn handle_ask(
        &mut self,
        shared: &Shared,
        from: MemberId,
        epoch: u64,
        ask: u64,
        place: u8,
        held: &[Held<'_>],
    ) -> bool {
        let maps = shared.maps.all();
        if self.serving_primary().is_none() || self.epoch != epoch {
            return false;
        }
        let mut starts = Vec::new();
        let mut ranges = VecDeque::new();
        for map in maps.iter().filter(|map| map.settings().copies() >= usize::from(place)) {
            let theirs = held.iter().find(|held| *held.map == *map.name);
            let Some(fragment) = self.fragment_of(map) else { continue };
            let differing = match theirs {
                Some(held) if held.digest == fragment.digest() => Vec::new(),
                Some(held) => fragment.differing(held),
                None if fragment.is_blank() => continue,
                None => vec![ALL_HASHES],
            };
            ranges.extend(differing.iter().map(|range| (map.index, range.start, range.end)));
            starts.push(MapStart {
                map: &map.name,
                cleared: fragment.cleared(),
                floor: fragment.floor(),
                ranges: differing.into_iter().map(|range| (range.start, range.end)).collect(),
            });
        }
        let partition = self.number;
        let Role::Primary(role) = &mut self.role else { return false };
        let Some(link) = role.link(from).filter(|link| link.place == place) else { return false };
        let message = Message::SyncStart { partition, epoch, ask, maps: starts };
        link.peer.push(|bytes| message.encode(bytes));
        // A complete backup asks only if its copy is incomplete after all.
        let incomplete = matches!(link.state, LinkState::Synced);
        link.invalidated |= incomplete;
        link.is_behind = false;
        link.state = LinkState::Copying(ranges);
        link.ask = ask;
        shared.copying.lock().entry(from).or_default().insert(partition);
        self.pump(shared, from);
        incomplete
    }

    /// Sends more of a copy to a member, within the window. Returns whether nothing is left to
    /// send.
    pub(crate) fn pump(&mut self, shared: &Shared, to: MemberId) -> bool {
        loop {
            let Role::Primary(role) = &mut self.role else { return true };
            let Some(link) = role.link(to) else { return true };
            let LinkState::Copying(ranges) = &mut link.state else { return true };
            if link.peer.backlog() > COPY_WINDOW_BYTES {
                return false;
            }
            let peer = Arc::clone(&link.peer);
            let (partition, epoch) = (self.number, self.epoch);
            let Some((index, start, end)) = ranges.front().copied() else {
                link.state = LinkState::Sent;
                let message = Message::SyncDone { partition, epoch, ask: link.ask };
                link.done = Some(peer.push(|bytes| message.encode(bytes)));
                return true;
            };
            let stopped = self.send_chunk(shared, &peer, index, start..end);
            if let Role::Primary(role) = &mut self.role
                && let Some(link) = role.link(to)
                && let LinkState::Copying(ranges) = &mut link.state
            {
                match ranges.front_mut() {
                    Some(range) if stopped < end => range.1 = stopped,
                    _ => {
                        ranges.pop_front();
                    }
                }
            }
        }
    }

    /// Sends the start of a range. Returns the hash at which it stopped.
    fn send_chunk(
        &self,
        shared: &Shared,
        peer: &Peer,
        index: usize,
        range: std::ops::Range<u64>,
    ) -> u64 {
        let Some(map) = shared.maps.at(index) else { return range.end };
        let Some(fragment) = self.fragment_of(&map) else { return range.end };
        // Items are encoded while they are read, and divided into messages.
        let mut parts = vec![Vec::new()];
        let stopped = fragment.items(&range, CHUNK_BYTES, &mut |item| {
            if parts.last().is_some_and(|part: &Vec<u8>| part.len() >= PART_BYTES) {
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                encoding::append(item, part);
            }
        });
        let count = parts.len();
        for (at, items) in parts.iter().enumerate() {
            let message = Message::Chunk {
                partition: self.number,
                epoch: self.epoch,
                map: &map.name,
                start: range.start,
                end: stopped,
                first: at == 0,
                last: at + 1 == count,
                items,
            };
            peer.push(|bytes| message.encode(bytes));
        }
        stopped
    }

    /// Handles that a backup has its complete copy. Returns the place for which it is complete.
    pub(crate) fn handle_synced(&mut self, from: MemberId, epoch: u64, ask: u64) -> Option<u8> {
        let Role::Primary(role) = &mut self.role else { return None };
        if self.epoch != epoch {
            return None;
        }
        let link = role.link(from)?;
        if !matches!(link.state, LinkState::Sent) || link.ask != ask {
            return None;
        }
        link.state = LinkState::Synced;
        link.invalidated = false;
        link.complete = Some(link.complete.map_or(link.place, |c| c.min(link.place)));
        let place = link.place;
        // The copy includes these writes.
        for (_, needs) in &mut self.in_flight {
            needs.retain(|need| need.peer.id() != from || !link.has(need.sent));
        }
        self.wake_all();
        Some(place)
    }

    /// Handles that messages to a backup were lost, so that its copy is incomplete.
    pub(crate) fn handle_lost(&mut self, peer: MemberId) {
        let Role::Primary(role) = &mut self.role else { return };
        if let Some(link) = role.link(peer) {
            link.state = LinkState::Expected;
        }
        self.invite();
        self.wake_all();
    }

    /// Sends the backups the digests that their copies should have.
    pub(crate) fn check(&mut self, shared: &Shared, now: Duration) {
        if self.serving_primary().is_none() {
            return;
        }
        self.expire_due(shared, now);
        let Role::Primary(role) = &self.role else { return };
        let maps = shared.maps.all();
        for link in role.links.iter().filter(|link| matches!(link.state, LinkState::Synced)) {
            let digests = self.digests(&maps, link.place);
            let digests =
                digests.into_iter().map(|(index, digest)| (&*maps[index].name, digest)).collect();
            let (partition, epoch, copy) = (self.number, self.epoch, link.ask);
            let message = Message::Check { partition, epoch, copy, digests };
            link.peer.push(|bytes| message.encode(bytes));
        }
    }

    /// Evicts one entry of a map, if this member is the serving primary. Returns whether it did.
    pub(crate) fn evict(&mut self, shared: &Shared, map: &Arc<Map>, now: Duration) -> bool {
        let may_evict = self.transactions.is_idle() && shared.lease.is_held(now);
        if self.serving_primary().is_none() || !may_evict {
            return false;
        }
        let is_evicted = self.access(shared, map, now, |access| access.evict(b""));
        if is_evicted {
            self.replicate(shared, map, now);
        }
        is_evicted
    }

    /// Drops expired entries and records the events, if this member is the serving primary and
    /// holds its lease. At most [`DUE_MAX`] of each map; returns whether there may be more.
    pub(crate) fn expire_due(&mut self, shared: &Shared, now: Duration) -> bool {
        // Locked keys must not change, and locks are held for milliseconds only.
        let may_expire = self.transactions.is_idle() && shared.lease.is_held(now);
        if self.serving_primary().is_none() || !may_expire {
            return false;
        }
        let mut is_more = false;
        let now_ms = shared.clock.now_ms(now);
        for (map, due) in self.take_due(shared, now_ms, DUE_MAX) {
            is_more |= due.len() >= DUE_MAX;
            self.access(shared, &map, now, |access| {
                for (hash, key) in &due {
                    access.expire(*hash, key);
                }
            });
            self.replicate(shared, &map, now);
        }
        is_more
    }

    /// Forgets removals before this time.
    pub(crate) fn forget(&mut self, shared: &Shared, now: Duration, before_ms: u64) {
        let Some(role) = self.serving_primary() else { return };
        // Copies in progress, and missing ones, must still learn of the removals.
        if !role.links.iter().all(|link| matches!(link.state, LinkState::Synced)) {
            return;
        }
        let limit = Version::at(before_ms);
        for index in 0..self.fragments.len() {
            let Some(Some(fragment)) = self.fragments.get(index) else { continue };
            if fragment.oldest_removal().is_none_or(|oldest| oldest >= limit) {
                continue;
            }
            let Some(map) = shared.maps.at(index) else { continue };
            self.access(shared, &map, now, |access| access.forget(limit));
            self.replicate(shared, &map, now);
        }
    }

    /// Gives up the older half of the removals of each map, because this member remembers too many.
    /// Returns how many.
    pub(crate) fn give_up_removals(&mut self, shared: &Shared, now: Duration) -> usize {
        if self.serving_primary().is_none() {
            return 0;
        }
        let mut count = 0;
        for index in 0..self.fragments.len() {
            let Some(Some(fragment)) = self.fragments.get(index) else { continue };
            let mut versions: Vec<_> = fragment.removals_from(0).map(|r| r.version).collect();
            if versions.is_empty() {
                continue;
            }
            let middle = versions.len() / 2;
            let (_, limit, _) = versions.select_nth_unstable(middle);
            // At least the oldest is given up, even if all have the same version.
            let limit = Version(limit.0.saturating_add(1));
            let Some(map) = shared.maps.at(index) else { continue };
            count += middle + 1;
            self.access(shared, &map, now, |access| access.give_up_removals(limit));
            self.replicate(shared, &map, now);
        }
        count
    }

    /// Ranges of another member's data that may have to be merged.
    pub(crate) fn wanted(&self, map: &Map, held: &Held<'_>) -> Vec<(u64, u64)> {
        let blank = crate::fragment::Fragment::default();
        let fragment = self.fragment_of(map).unwrap_or(&blank);
        if held.digest == fragment.digest() {
            return Vec::new();
        }
        fragment.differing(held).into_iter().map(|range| (range.start, range.end)).collect()
    }

    /// Merges items of another member, as far as the map's policy accepts them.
    pub(crate) fn merge(
        &mut self,
        shared: &Shared,
        map: &Arc<Map>,
        now: Duration,
        items: &[Item<'_>],
        same_cluster: bool,
    ) -> Executed {
        // The member tries again once there are no locks.
        if self.serving_primary().is_none() || !self.transactions.is_idle() {
            return Executed::NotHere;
        }
        let mut structure = None;
        self.access(shared, map, now, |access| {
            for item in items {
                access.merge(&mut structure, item, same_cluster);
            }
        });
        let needs = self.replicate(shared, map, now);
        let ticket = self.ticket(needs);
        self.serve_waiters(shared, map, now);
        Executed::Done(Ok(Reply::Done), ticket)
    }
}

/// Whether the operation had no element to return.
fn is_nothing(reply: &Result<Reply, OpError>) -> bool {
    matches!(reply, Ok(Reply::Nil | Reply::NilList))
}
