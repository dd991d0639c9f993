//! Tables, which the coordinator makes and all members follow; and the lease.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_membership::MemberId;

use super::Grid;
use crate::core::Report;
use crate::lease::{Due, Voters};
use crate::message::Message;
use crate::table::{Stamp, Table};

/// How far the coordinator's clock approaches its machine's clock with each pulse, in milliseconds.
const CLOCK_STEP_MS: u64 = 1;

impl Grid {
    /// Does what the coordinator has to do now.
    pub(super) fn coordinate(&self) {
        let core = &self.inner.core;
        let now = core.now();
        let table = core.table();
        let now_ms = core.clock.now_ms(now);
        let actions = self.inner.control.lock().poll(now, now_ms, table.as_ref());
        for member in actions.query {
            core.send(member, &Message::Query);
        }
        if let Some(table) = actions.publish {
            if !actions.lost.is_empty() && table.stamp.version + table.stamp.term > 2 {
                self.inner.report(Report::Lost { partitions: actions.lost });
            }
            let version = core.clock.last();
            core.send_all(&Message::Table { version, now_ms, table: Table::clone(&table) });
            self.adopt(table, now_ms);
        }
    }

    /// Handles a table and the time of its sender. If the view in which the sender coordinates has
    /// not arrived yet, the table is kept until then.
    pub(super) fn handle_table(&self, from: MemberId, table: Table, now_ms: u64) {
        if !table.is_sound(self.partitions()) {
            return;
        }
        let coordinator = *self.inner.coordinator.read();
        if coordinator == Some(from) {
            self.adopt(Arc::new(table), now_ms);
        } else {
            *self.inner.early.lock() = Some((from, table, now_ms));
        }
    }

    /// Follows a table, if it is newer than the current one.
    pub(super) fn adopt(&self, table: Arc<Table>, now_ms: u64) {
        let core = &self.inner.core;
        let _one_at_a_time = self.inner.adopting.lock();
        let old = core.table();
        if old.as_ref().is_some_and(|old| old.stamp >= table.stamp) {
            return;
        }
        let continuous = old.as_ref().is_none_or(|old| {
            table.continues(old.stamp) && old.generation(core.me) == table.generation(core.me)
        });
        let now = core.now();
        if old.as_ref().is_some_and(|old| old.stamp.term != table.stamp.term) {
            core.branched_us.store(now.as_micros() as u64, Ordering::Relaxed);
        }
        if table.stamp.author != core.me && (old.is_none() || !continuous) {
            // This member joins a cluster: it takes over the cluster's time, and its own entries
            // keep their remaining lifetime.
            core.lease.void();
            let shift_ms = core.clock.set(now, now_ms);
            if old.is_some() {
                core.shift_ms.fetch_add(shift_ms, Ordering::Relaxed);
            }
        }
        if old.as_ref().is_some_and(|old| old.lineage != table.lineage) {
            core.is_same_cluster.store(false, Ordering::Relaxed);
        }
        let missing_since_ms = table.missing_since_ms().unwrap_or(u64::MAX);
        core.missing_since_ms.store(missing_since_ms, Ordering::Relaxed);
        let recopies = old.as_ref().is_some_and(|old| !old.maps.has_copies_of(&table.maps));
        if core.maps.adopt(&table.maps) {
            self.inner.report(Report::MapSettings);
        }
        let is_expected = {
            let expected = core.expected.read();
            let me = expected.iter().find(|(id, _)| *id == core.me);
            me.is_none_or(|(_, generation)| {
                table.generation(core.me).is_none_or(|g| g == *generation)
            })
        };
        *core.table.write() = Some(Arc::clone(&table));
        if is_expected {
            core.lease.resume();
        }
        let (mut leftover, mut lost) = (0, Vec::new());
        for (number, partition) in (0..).zip(&core.partitions) {
            let mut partition = partition.lock();
            if !partition.adopt(core, old.as_deref(), &table, continuous, recopies) {
                lost.push(number);
            }
            leftover += usize::from(partition.leftover);
        }
        if !continuous {
            core.send_all(&Message::Diverged { stamp: table.stamp });
            self.inner.report(Report::Diverged);
            if leftover > 0 {
                self.inner.report(Report::Merging { partitions: leftover });
            } else {
                self.clear_merge_state();
            }
        }
        if !lost.is_empty() {
            self.inner.report(Report::Lost { partitions: lost });
        }
        let safe = self.is_safe();
        self.inner.report(Report::Table { table, safe });
        self.renew(now);
        if leftover > 0 {
            self.merge_leftovers();
        } else {
            self.report_settled();
        }
    }

    /// Resets the state of a merge, once nothing is left to merge.
    pub(super) fn clear_merge_state(&self) {
        self.inner.core.shift_ms.store(0, Ordering::Relaxed);
        self.inner.core.is_same_cluster.store(true, Ordering::Relaxed);
    }

    /// Reports to the coordinator that this member has nothing left to merge, if the table still
    /// lists it as missing.
    pub(super) fn report_settled(&self) {
        let me = self.me();
        let Some(table) = self.table() else { return };
        if table.missing.iter().any(|missing| missing.id == me)
            && let Some(generation) = table.generation(me)
        {
            self.send_to_coordinator(Message::Settled { stamp: table.stamp, generation });
        }
    }

    /// Handles that a member has merged its data of other tables.
    pub(super) fn handle_settled(&self, from: MemberId, stamp: Stamp, generation: u32) {
        // A report from before the member was last partitioned is outdated.
        if let Some(own) = self.table()
            && own.continues(stamp)
            && own.generation(from) == Some(generation)
        {
            self.inner.control.lock().handle_settled(from);
        }
    }

    /// Handles a member's report of its table.
    pub(super) fn handle_report(&self, from: MemberId, table: Option<Table>) {
        let is_coordinator = self.inner.control.lock().is_coordinator();
        if is_coordinator {
            let own = self.table();
            self.inner.control.lock().handle_report(from, table, own.as_ref());
            self.coordinate();
        } else if let Some(table) = table {
            let core = &self.inner.core;
            self.handle_table(from, table, core.clock.now_ms(core.now()));
        }
    }

    /// Handles that a copy became complete or incomplete (`None`).
    pub(super) fn handle_copy(
        &self,
        partition: u16,
        epoch: u64,
        member: MemberId,
        complete: Option<u8>,
    ) {
        self.inner.control.lock().handle_copy(partition, epoch, member, complete);
    }

    pub(super) fn send_to_coordinator(&self, message: Message<'_>) {
        let coordinator = *self.inner.coordinator.read();
        match (coordinator, message) {
            (Some(id), Message::Completed { partition, epoch, member, place })
                if id == self.me() =>
            {
                self.handle_copy(partition, epoch, member, Some(place));
            }
            (Some(id), Message::Incomplete { partition, epoch, member }) if id == self.me() => {
                self.handle_copy(partition, epoch, member, None);
            }
            (Some(id), Message::Settled { stamp, generation }) if id == self.me() => {
                self.handle_settled(id, stamp, generation);
            }
            (Some(id), message) => {
                self.inner.core.send(id, &message);
            }
            (None, _) => {}
        }
    }

    /// Sends the stamp of the current table, and the coordinator's clock, to all members.
    pub(super) fn pulse(&self, now: Duration) {
        let core = &self.inner.core;
        if !self.inner.control.lock().is_coordinator() {
            return;
        }
        let now_ms = core.clock.approach(now, core.host.unix_ms(), CLOCK_STEP_MS);
        if let Some(table) = core.table()
            && table.stamp.author == core.me
        {
            core.send_all(&Message::Pulse { stamp: table.stamp, now_ms });
        }
    }

    pub(super) fn handle_pulse(&self, from: MemberId, stamp: Stamp, now_ms: u64) {
        let core = &self.inner.core;
        if *self.inner.coordinator.read() != Some(from) {
            return;
        }
        match core.table() {
            Some(table) if table.stamp == stamp => core.clock.follow(core.now(), now_ms),
            // This member's table is newer, which its coordinator does not know.
            Some(table) if table.stamp > stamp => {
                let table = Some(Table::clone(&table));
                let version = core.clock.last();
                core.send(from, &Message::Report { version, table });
            }
            // A table was missed.
            _ => {
                core.send(from, &Message::Query);
            }
        }
    }

    /// Renews the lease if that is due.
    pub(super) fn renew(&self, now: Duration) {
        let core = &self.inner.core;
        let voters = self.voters();
        let Some(table) = core.table() else { return };
        let leads = table.partitions.iter().any(|a| a.primary() == Some(core.me));
        if !leads && !voters.others.is_empty() {
            return;
        }
        let was_held = core.lease.is_held(now);
        let Due::Ask { nonce, all } = core.lease.poll(now, &voters, core.host.random()) else {
            if !was_held && core.lease.is_held(now) {
                self.wake_all();
            }
            return;
        };
        let generation = table.generation(core.me);
        let renew = Message::Renew { nonce, stamp: table.stamp, generation };
        match voters.coordinator.filter(|_| !all) {
            Some(coordinator) => core.send_aside(coordinator, &renew),
            None => voters.others.iter().for_each(|other| core.send_aside(*other, &renew)),
        }
    }

    fn voters(&self) -> Voters {
        let core = &self.inner.core;
        let coordinator = self.inner.coordinator.read().filter(|id| *id != core.me);
        Voters { others: core.peers.read().keys().copied().collect(), coordinator }
    }

    /// Handles a member's request to renew its lease. If this member's table is older, it does not
    /// answer. A member that was removed, and returned with another generation, must not serve
    /// before it has the table with that generation.
    pub(super) fn handle_renew(
        &self,
        from: MemberId,
        nonce: u64,
        stamp: Stamp,
        generation: Option<u32>,
    ) {
        let core = &self.inner.core;
        let Some(table) = core.table() else { return };
        let known = table.generation(from);
        let yes = table.continues(stamp) && known.is_some() && known == generation;
        if yes || table.stamp > stamp {
            core.send_aside(from, &Message::Renewed { nonce, yes });
        }
    }

    pub(super) fn handle_renewed(&self, from: MemberId, nonce: u64, yes: bool) {
        let core = &self.inner.core;
        if core.lease.handle_renewed(core.now(), &self.voters(), from, nonce, yes) {
            self.wake_all();
        }
    }

    /// Wakes the tasks that wait for this member's lease.
    fn wake_all(&self) {
        for partition in &self.inner.core.partitions {
            partition.lock().wake_all();
        }
    }

    /// Hands over all partitions. Completes when this member has no data that others need. The
    /// caller must set a deadline.
    pub fn leave(&self) -> super::Later<()> {
        let grid = self.clone();
        let me = self.me();
        // All members know this, so that leaving members do not wait for one another.
        self.inner.control.lock().handle_leaving(me);
        self.inner.core.send_all(&Message::Leaving);
        self.coordinate();
        Box::pin(std::future::poll_fn(move |context| {
            let holds = |table: &Arc<Table>| table.partitions.iter().any(|a| a.of(me).is_some());
            let others = grid.inner.control.lock().others_store();
            let holds = grid.table().as_ref().is_some_and(holds);
            // Requests are answered, and the answers acknowledged.
            let partitions = &grid.inner.core.partitions;
            let retired = || partitions.iter().all(|partition| partition.lock().has_retired());
            let sent = || grid.peers().iter().all(|peer| peer.backlog() == 0);
            if !others || (!holds && retired() && sent()) {
                return std::task::Poll::Ready(());
            }
            let now = grid.inner.core.now();
            if let Some(partition) = grid.inner.core.partitions.first() {
                partition.lock().wake_at(now, context.waker());
            }
            std::task::Poll::Pending
        }))
    }
}
