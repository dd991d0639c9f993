//! Tables, which the coordinator computes and all members follow; and the lease.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_membership::MemberId;

use super::state::{Grid, Later};
use crate::host::Report;
use crate::lease::{Due, Voters};
use crate::message::Message;
use crate::table::{Table, TableStamp};

impl Grid {
    /// Executes the due actions of the coordinator.
    pub(super) fn coordinate(&self) {
        let shared = &self.inner.shared;
        let now = shared.now();
        let table = self.inner.table();
        let now_ms = shared.clock.now_ms(now);
        let actions = self.inner.control.lock().poll(now, now_ms, table.as_ref());
        for member in actions.query {
            shared.send(member, &Message::Query);
        }
        if let Some(table) = actions.publish {
            if !actions.lost.is_empty() && table.stamp.version + table.stamp.term > 2 {
                self.inner.report_lost(actions.lost);
            }
            let version = shared.clock.last();
            shared.send_all(&Message::Table { version, now_ms, table: Table::clone(&table) });
            self.adopt(table, now_ms);
        }
    }

    /// Handles a table and the time of its sender. If the view in which the sender coordinates has
    /// not arrived yet, the table is kept until then.
    pub(super) fn handle_table(&self, from: MemberId, table: Table, now_ms: u64) {
        if !table.is_valid(self.partitions()) {
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
        let shared = &self.inner.shared;
        let _one_at_a_time = self.inner.adopting.lock();
        let old = self.inner.table();
        if old.as_ref().is_some_and(|old| old.stamp >= table.stamp) {
            return;
        }
        let continuous = old.as_ref().is_none_or(|old| {
            table.continues(old.stamp) && old.generation(shared.me) == table.generation(shared.me)
        });
        let now = shared.now();
        if old.as_ref().is_some_and(|old| old.stamp.term != table.stamp.term) {
            shared.branched_us.store(now.as_micros() as u64, Ordering::Relaxed);
        }
        if table.stamp.author != shared.me && (old.is_none() || !continuous) {
            // This member joins a cluster: it takes over the cluster's time, and its own entries
            // keep their remaining lifetime.
            shared.lease.void();
            let shift_ms = shared.clock.set(now, now_ms);
            if old.is_some() {
                self.inner.shift_ms.fetch_add(shift_ms, Ordering::Relaxed);
            }
        }
        if old.as_ref().is_some_and(|old| old.lineage != table.lineage) {
            self.inner.is_same_cluster.store(false, Ordering::Relaxed);
        }
        let missing_since_ms = table.missing_since_ms().unwrap_or(u64::MAX);
        shared.missing_since_ms.store(missing_since_ms, Ordering::Relaxed);
        let recopies = old.as_ref().is_some_and(|old| !old.maps.has_copies_of(&table.maps));
        if shared.maps.adopt(&table.maps) {
            self.inner.report(Report::MapSettings);
        }
        let is_expected = {
            let expected = self.inner.expected.read();
            let me = expected.iter().find(|(id, _)| *id == shared.me);
            me.is_none_or(|(_, generation)| {
                table.generation(shared.me).is_none_or(|g| g == *generation)
            })
        };
        *self.inner.table.write() = Some(Arc::clone(&table));
        if is_expected {
            shared.lease.resume();
        }
        let (mut leftover, mut lost) = (0, Vec::new());
        for (number, partition) in (0..).zip(&self.inner.partitions) {
            let mut partition = partition.lock();
            if !partition.adopt(shared, old.as_deref(), &table, continuous, recopies) {
                lost.push(number);
            }
            leftover += usize::from(partition.leftover);
        }
        let is_moved = old.as_ref().is_none_or(|old| !table.has_primaries_of(old));
        if is_moved || !continuous {
            // Another primary may have made changes before it knew that this member follows them,
            // and a primary that is lost may not have reported its last ones.
            self.inner.following.handle_uncertain();
        }
        if !continuous {
            shared.send_all(&Message::Diverged { stamp: table.stamp });
            self.inner.report(Report::Diverged);
            if leftover > 0 {
                self.inner.report(Report::Merging { partitions: leftover });
            } else {
                self.clear_merge_state();
            }
        }
        if !lost.is_empty() {
            self.inner.report_lost(lost);
        }
        let safe = self.is_safe();
        let (configured, data_members) = self.shape();
        let backups = configured.min(data_members.saturating_sub(1));
        self.inner.report(Report::Table { table, safe, backups, configured });
        self.renew(now);
        if leftover > 0 {
            self.merge_leftovers();
        } else {
            self.report_settled();
        }
    }

    /// Resets the state of a merge, once nothing is left to merge.
    pub(super) fn clear_merge_state(&self) {
        self.inner.shift_ms.store(0, Ordering::Relaxed);
        self.inner.is_same_cluster.store(true, Ordering::Relaxed);
    }

    /// Reports to the coordinator that this member has nothing left to merge, if the table still
    /// lists it as missing.
    pub(super) fn report_settled(&self) {
        let me = self.me();
        let Some(table) = self.table() else { return };
        if table.missing.iter().any(|missing| missing.id == me)
            && let Some(generation) = table.generation(me)
        {
            self.send_to_coordinator(Message::DataMerged { stamp: table.stamp, generation });
        }
    }

    /// Handles that a member has merged its data of other tables.
    pub(super) fn handle_settled(&self, from: MemberId, stamp: TableStamp, generation: u32) {
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
            let shared = &self.inner.shared;
            self.handle_table(from, table, shared.clock.now_ms(shared.now()));
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
            (Some(id), Message::DataMerged { stamp, generation }) if id == self.me() => {
                self.handle_settled(id, stamp, generation);
            }
            (Some(id), message) => {
                self.inner.shared.send(id, &message);
            }
            (None, _) => {}
        }
    }

    /// Sends the stamp of the current table, and the coordinator's clock, to all members.
    pub(super) fn pulse(&self, now: Duration) {
        let shared = &self.inner.shared;
        if !self.inner.control.lock().is_coordinator() {
            return;
        }
        let now_ms = shared.clock.approach(now, shared.host.unix_ms());
        if let Some(table) = self.inner.table()
            && table.stamp.author == shared.me
        {
            shared.send_all(&Message::Heartbeat { stamp: table.stamp, now_ms });
        }
    }

    pub(super) fn handle_pulse(&self, from: MemberId, stamp: TableStamp, now_ms: u64) {
        let shared = &self.inner.shared;
        if *self.inner.coordinator.read() != Some(from) {
            return;
        }
        match self.inner.table() {
            Some(table) if table.stamp == stamp => shared.clock.synchronize(shared.now(), now_ms),
            // This member's table is newer, which its coordinator does not know.
            Some(table) if table.stamp > stamp => {
                let table = Some(Table::clone(&table));
                let version = shared.clock.last();
                shared.send(from, &Message::Report { version, table });
            }
            // A table was missed.
            _ => {
                shared.send(from, &Message::Query);
            }
        }
    }

    /// Requests renewal of the lease, if it is due.
    pub(super) fn renew(&self, now: Duration) {
        let shared = &self.inner.shared;
        let voters = self.voters();
        let Some(table) = self.inner.table() else { return };
        let leads = table.partitions.iter().any(|a| a.primary() == Some(shared.me));
        // With `min_members`, one that hands over its partitions needs it for the last replies.
        if !leads && !voters.others.is_empty() && voters.writers_min == 0 {
            return;
        }
        let was_held = shared.lease.is_held(now);
        let Due::Ask { nonce, all } = shared.lease.poll(now, &voters, shared.host.random()) else {
            if !was_held && shared.lease.is_held(now) {
                self.wake_all();
            }
            return;
        };
        let generation = table.generation(shared.me);
        let renew = Message::Renew { nonce, stamp: table.stamp, generation };
        match voters.coordinator.filter(|_| !all) {
            Some(coordinator) => shared.send_out_of_band(coordinator, &renew),
            None => voters.others.iter().for_each(|other| shared.send_out_of_band(*other, &renew)),
        }
    }

    fn voters(&self) -> Voters {
        let shared = &self.inner.shared;
        let coordinator = self.inner.coordinator.read().filter(|id| *id != shared.me);
        let writers_min = shared.settings.min_members.saturating_sub(1) as usize;
        Voters { others: shared.peers.read().keys().copied().collect(), writers_min, coordinator }
    }

    /// Handles a member's request to renew its lease. If this member's table is older, it does not
    /// answer. A member that was removed, and returned with another generation, must not serve
    /// before it has the table with that generation.
    pub(super) fn handle_renew(
        &self,
        from: MemberId,
        nonce: u64,
        stamp: TableStamp,
        generation: Option<u32>,
    ) {
        let shared = &self.inner.shared;
        let Some(table) = self.inner.table() else { return };
        let known = table.generation(from);
        let yes = table.continues(stamp) && known.is_some() && known == generation;
        if yes || table.stamp > stamp {
            shared.send_out_of_band(from, &Message::Renewed { nonce, yes });
        }
    }

    pub(super) fn handle_renewed(&self, from: MemberId, nonce: u64, yes: bool) {
        let shared = &self.inner.shared;
        if shared.lease.handle_renewed(shared.now(), &self.voters(), from, nonce, yes) {
            self.wake_all();
        }
    }

    /// Wakes the tasks that wait for this member's lease.
    fn wake_all(&self) {
        for partition in &self.inner.partitions {
            partition.lock().wake_all();
        }
    }

    /// The members that have announced that they leave, as far as this one knows.
    #[must_use]
    pub fn leaving(&self) -> BTreeSet<MemberId> {
        self.inner.control.lock().leaving()
    }

    /// Hands over all partitions. Completes once no other member depends on this member's data. The
    /// caller must set a deadline.
    pub fn leave(&self) -> Later<()> {
        let grid = self.clone();
        let me = self.me();
        // All members are notified, so that several leaving members do not wait for each other.
        self.inner.control.lock().handle_leaving(me);
        self.inner.shared.send_all(&Message::Leaving);
        self.coordinate();
        Box::pin(std::future::poll_fn(move |context| {
            let holds = |table: &Arc<Table>| table.partitions.iter().any(|a| a.of(me).is_some());
            let others = grid.inner.control.lock().others_store();
            let holds = grid.table().as_ref().is_some_and(holds);
            // Requests are answered, and these answers acknowledged.
            let partitions = &grid.inner.partitions;
            let retired = || partitions.iter().all(|partition| partition.lock().has_retired());
            let sent = || grid.peers().iter().all(|peer| peer.backlog() == 0);
            if !others || (!holds && retired() && sent()) {
                return std::task::Poll::Ready(());
            }
            let now = grid.inner.shared.now();
            if let Some(partition) = grid.inner.partitions.first() {
                partition.lock().wake_at(now, context.waker());
            }
            std::task::Poll::Pending
        }))
    }
}
