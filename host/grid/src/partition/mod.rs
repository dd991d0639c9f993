//! One partition on this member, and its role in it.
//!
//! The state comes first, then the operations on it:
//! - `role`: the role of this member, with its state
//! - [`ticket`], `executed`: pending replication of a reply, and the result of an operation
//! - `waiters`, `locks`: operations that wait for an element or for locks
//! - `primary`: becoming the primary, and taking over
//! - `executing`, `step`, `blocking`: operations
//! - `replication`, `copies`: records and copies for the backups
//! - `retention`, `merging`: expiry and eviction of entries, and entries of another table
//! - `transactions`: steps of transactions over several partitions
//! - `backup`: the role of a backup, applying records and requesting copies

mod backup;
mod blocking;
mod copies;
mod executed;
mod executing;
mod locks;
mod merging;
mod primary;
mod replication;
mod retention;
mod role;
pub(crate) mod step;
pub(crate) mod ticket;
mod transactions;
mod waiters;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use convoke_membership::MemberId;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::Version;
use crate::access::{Access, Changes};
use crate::fragment::{Fragment, count, weigh};
use crate::item::Held;
use crate::limits::OP_MS_MAX;
use crate::map::Map;
use crate::message::Message;
use crate::shared::Shared;
use crate::table::Table;

pub(crate) use executed::{Executed, Slot};
use locks::Transactions;
pub(crate) use locks::Unresolved;
use role::LinkState;
pub(crate) use role::{ChunkRange, Role};
use ticket::Needs;
use waiters::Waiters;

/// A former primary whose last writes are not confirmed yet.
struct Retiring {
    to: MemberId,
    epoch: u64,
    since: Duration,
    writes: Vec<Needs>,
}

/// See the [module](self).
pub(crate) struct Partition {
    pub(crate) number: u16,
    /// Epoch of the assignment that this member follows.
    pub(crate) epoch: u64,
    pub(crate) role: Role,
    /// Whether the data is of another table and must be merged first.
    pub(crate) leftover: bool,
    /// Fragments by the index of their map.
    fragments: Vec<Option<Box<Fragment>>>,
    rng: SmallRng,
    changes: Changes,
    /// Writes that are not on all backups yet, by the hash of the key; `None` stands for all keys.
    in_flight: VecDeque<(Option<u32>, Needs)>,
    /// Number of copies that this backup has requested; identifies the current copy.
    asks: u64,
    /// Whether other backups may lack data that this primary took over; reads wait until they have
    /// been compared.
    inherited: bool,
    /// Records of a step that is not complete yet.
    step: Vec<u8>,
    /// Backups whose copies became incomplete, to be reported to the coordinator.
    incomplete: Vec<MemberId>,
    /// Unconfirmed writes of the former primary: it hands over once they are replicated.
    retiring: Option<Retiring>,
    /// A hand-over that arrived before the table: its sender and epoch.
    handed: Option<(MemberId, u64)>,
    waiters: Waiters,
    transactions: Transactions,
    /// Tasks that wait for a change of the partition.
    wakers: Vec<(Duration, Waker)>,
}

impl Partition {
    pub(crate) fn new(number: u16, seed: u64) -> Self {
        Self {
            number,
            epoch: 0,
            role: Role::Idle,
            leftover: false,
            fragments: Vec::new(),
            rng: SmallRng::seed_from_u64(seed),
            changes: Changes::default(),
            in_flight: VecDeque::new(),
            asks: 0,
            inherited: false,
            step: Vec::new(),
            incomplete: Vec::new(),
            retiring: None,
            handed: None,
            waiters: Waiters::default(),
            transactions: Transactions::default(),
            wakers: Vec::new(),
        }
    }

    /// The fragment of a map, which is created if it does not exist.
    fn fragment(&mut self, map: &Map) -> &mut Fragment {
        if self.fragments.len() <= map.index {
            self.fragments.resize_with(map.index + 1, || None);
        }
        self.fragments[map.index].get_or_insert_default()
    }

    /// Like [`Partition::fragment`], but returns `None` if it does not exist.
    pub(crate) fn fragment_of(&self, map: &Map) -> Option<&Fragment> {
        self.fragments.get(map.index)?.as_deref()
    }

    /// Calls `work` with access to a fragment, and updates the map's counters.
    fn access<R>(
        &mut self,
        shared: &Shared,
        map: &Map,
        now: Duration,
        work: impl FnOnce(&mut Access<'_>) -> R,
    ) -> R {
        self.fragment(map);
        let Some(fragment) = self.fragments[map.index].as_deref_mut() else {
            unreachable!("made above");
        };
        let before = weigh(fragment);
        let may_evict = self.transactions.is_idle();
        let (rng, changes) = (&mut self.rng, &mut self.changes);
        let result = work(&mut access_to(shared, map, fragment, rng, changes, may_evict, now));
        count(map, before, fragment);
        result
    }

    /// Changes a fragment, and updates the map's counters.
    fn counted<R>(&mut self, map: &Map, change: impl FnOnce(&mut Fragment) -> R) -> R {
        let fragment = self.fragment(map);
        let before = weigh(fragment);
        let result = change(fragment);
        count(map, before, fragment);
        result
    }

    /// Exchanges all entries of two maps in this partition.
    fn exchange(&mut self, [one, other]: [&Map; 2], version: Version) {
        if one.index == other.index {
            return;
        }
        let mut first = std::mem::take(self.fragment(one));
        let second = self.fragment(other);
        let before = [weigh(&first), weigh(second)];
        first.exchange(second, version);
        count(other, before[1], second);
        count(one, before[0], &first);
        *self.fragment(one) = first;
    }

    /// Summaries of the maps that a replica at this place has.
    fn held<'a>(&self, maps: &'a [Arc<Map>], place: u8) -> Vec<Held<'a>> {
        let has = |map: &&Arc<Map>| map.settings().copies() >= usize::from(place);
        maps.iter()
            .filter(has)
            .filter_map(|map| Some(self.fragment_of(map)?.held(&map.name)))
            .collect()
    }

    /// Number of reads that found their key, and of those that did not.
    pub(crate) fn lookups(&self) -> (u64, u64) {
        let all = self.fragments.iter().flatten();
        all.fold((0, 0), |(hits, misses), of| (hits + of.hits, misses + of.misses))
    }

    /// Whether there is no data.
    pub(crate) fn is_blank(&self) -> bool {
        self.fragments.iter().flatten().all(|fragment| fragment.is_blank())
    }

    /// Drops all data.
    pub(crate) fn drop_all(&mut self, shared: &Shared) {
        for (index, fragment) in std::mem::take(&mut self.fragments).into_iter().enumerate() {
            if let (Some(fragment), Some(map)) = (fragment, shared.maps.at(index)) {
                count(&map, weigh(&fragment), &Fragment::default());
            }
        }
        self.leftover = false;
    }

    /// Registers `waker` until the state of the partition changes, or until a later tick.
    pub(crate) fn wake_at(&mut self, since: Duration, waker: &Waker) {
        if !self.wakers.iter().any(|(_, other)| other.will_wake(waker)) {
            self.wakers.push((since, waker.clone()));
        }
    }

    pub(crate) fn wake_all(&mut self) {
        for (_, waker) in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Wakes tasks that have waited since this time or longer.
    pub(crate) fn wake_old(&mut self, since: Duration) {
        for (_, waker) in self.wakers.extract_if(.., |(waiting, _)| *waiting <= since) {
            waker.wake();
        }
    }

    /// Adopts the role that a table assigns to this member. `continuous` if the table continues the
    /// previous one; `recopies` if numbers of backups of maps have changed. Returns `false` if this
    /// member became primary with an incomplete copy.
    pub(crate) fn adopt(
        &mut self,
        shared: &Shared,
        old: Option<&Table>,
        table: &Table,
        continuous: bool,
        recopies: bool,
    ) -> bool {
        let assignment = &table.partitions[usize::from(self.number)];
        if !continuous {
            self.waiters.give_up();
            self.transactions.reset();
            self.role = Role::Idle;
            self.epoch = 0;
            self.handed = None;
            self.leftover = !self.is_blank();
            self.retiring = None;
            self.step.clear();
        }
        if recopies {
            // All copies are compared again, except that of the next primary.
            let takes_over = assignment.primary() == Some(shared.me);
            match &mut self.role {
                Role::Primary(role) => role.links.clear(),
                Role::Backup(role) if !takes_over => role.forget_place(),
                Role::Backup(_) | Role::Idle => {}
            }
        }
        let mut has_all_writes = true;
        let led = matches!(self.role, Role::Primary(_)) && assignment.primary() != Some(shared.me);
        let writes = if led { std::mem::take(&mut self.in_flight) } else { VecDeque::new() };
        // A member that was removed, or whose data diverged, does not hand over.
        let stays = |id| {
            let generation = old.and_then(|old| old.generation(id));
            let away = shared.diverged.lock().get(&id).is_some_and(|stamp| *stamp >= table.stamp);
            !away && generation.is_some() && generation == table.generation(id)
        };
        match assignment.of(shared.me) {
            Some(_) if assignment.primary() == Some(shared.me) => {
                has_all_writes = self.become_primary(shared, stays, assignment);
            }
            Some(replica) => self.become_backup(shared, stays, assignment, replica.place),
            None => {
                self.role = Role::Idle;
                if !self.leftover {
                    self.drop_all(shared);
                }
            }
        }
        self.epoch = self.epoch.max(assignment.epoch);
        if !matches!(self.role, Role::Primary(_)) {
            self.transactions.reset();
        }
        if led && let Some(to) = assignment.primary() {
            let writes = writes.into_iter().map(|(_, needs)| needs).collect();
            let since = shared.now();
            self.retiring = Some(Retiring { to, epoch: assignment.epoch, since, writes });
            self.waiters.give_up();
            self.hand_over(shared);
        }
        self.wake_all();
        has_all_writes
    }

    /// Sends the hand-over to the next primary, once all writes are replicated.
    pub(crate) fn hand_over(&mut self, shared: &Shared) {
        let Some(retiring) = &mut self.retiring else { return };
        retiring.writes.retain(ticket::is_open);
        let late = shared.now() >= retiring.since + Duration::from_millis(OP_MS_MAX);
        let message = Message::Handoff { partition: self.number, epoch: retiring.epoch };
        let replicated = retiring.writes.is_empty() || late;
        if replicated && (shared.send(retiring.to, &message).is_some() || late) {
            self.retiring = None;
            shared.retiring.lock().remove(&self.number);
        } else {
            shared.retiring.lock().insert(self.number);
        }
    }

    /// Does periodic work. Returns whether more expired entries may be left.
    pub(crate) fn tick(&mut self, shared: &Shared, now: Duration) -> bool {
        self.hand_over(shared);
        match &self.role {
            Role::Primary(_) => {
                let is_more = self.expire_due(shared, now);
                self.invite_again();
                return is_more;
            }
            Role::Backup(_) => self.ask_again(shared, now),
            Role::Idle => {}
        }
        false
    }

    /// Whether the hand-over is complete, or none is required.
    pub(crate) fn has_retired(&self) -> bool {
        self.retiring.is_none()
    }

    /// A short description of its state, for debugging.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("epoch {}", self.epoch);
        match &self.role {
            Role::Idle => text += " idle",
            Role::Primary(role) => {
                text += if role.is_ready() { " primary" } else { " awaits hand-over" };
                for link in &role.links {
                    text += match link.state {
                        LinkState::Expected => " expected",
                        LinkState::Copying(_) => " copying",
                        LinkState::Sent => " sent",
                        LinkState::Synced => " synced",
                    };
                }
            }
            Role::Backup(role) => text += role.describe(),
        }
        if self.leftover {
            text += " leftover";
        }
        text
    }

    /// The digests of maps that a replica at this place has, by index.
    pub(crate) fn digests(&self, maps: &[Arc<Map>], place: u8) -> Vec<(usize, u64)> {
        maps.iter()
            .filter(|map| map.settings().copies() >= usize::from(place))
            .filter_map(|map| Some((map.index, self.fragment_of(map)?)))
            .filter(|(_, fragment)| !fragment.is_blank())
            .map(|(index, fragment)| (index, fragment.digest()))
            .collect()
    }
}

/// Access of an operation to a fragment. Its records and events go to `changes`.
fn access_to<'p>(
    shared: &'p Shared,
    map: &'p Map,
    fragment: &'p mut Fragment,
    rng: &'p mut SmallRng,
    changes: &'p mut Changes,
    may_evict: bool,
    now: Duration,
) -> Access<'p> {
    Access {
        map,
        fragment,
        clock: &shared.clock,
        host: &*shared.host,
        hasher: &shared.settings.hasher,
        rng,
        changes,
        since_start: now,
        now_ms: shared.clock.now_ms(now),
        merging: shared.may_merge(now),
        touches: true,
        may_evict,
        missing_since_ms: shared.missing_since_ms.load(Ordering::Relaxed),
    }
}
