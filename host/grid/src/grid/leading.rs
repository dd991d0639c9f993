//! Tables: made by the coordinator, followed by all; and the doubt of a member
//! that stood still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_membership::MemberId;

use super::{CONFIRM_MS_MAX, Grid};
use crate::core::Report;
use crate::message::Message;
use crate::table::{Stamp, Table};

/// How much the shared clock is drawn to the coordinator's own with each pulse.
const CLOCK_STEP_MS: u64 = 1;

impl Grid {
    /// Does what the coordinator has to do now.
    pub(super) fn lead(&self) {
        let core = &self.inner.core;
        let now = core.now();
        let table = core.table();
        let orders = self.inner.control.lock().poll(now, table.as_ref());
        for member in orders.query {
            core.send(member, &Message::Query);
        }
        if let Some(table) = orders.publish {
            if !orders.lost.is_empty() && table.stamp.version + table.stamp.term > 2 {
                self.inner.report(Report::Lost { partitions: orders.lost });
            }
            let version = core.clock.last();
            core.send_all(&Message::Table { version, table: Table::clone(&table) });
            self.adopt(table);
        }
    }

    /// The coordinator's table came.
    pub(super) fn handle_table(&self, from: MemberId, table: Table) {
        let coordinator = *self.inner.coordinator.read();
        if coordinator == Some(from) && table.is_sound(self.partitions()) {
            self.adopt(Arc::new(table));
        }
    }

    /// Follows a table, if it is newer than the one that is followed.
    pub(super) fn adopt(&self, table: Arc<Table>) {
        let core = &self.inner.core;
        let _one_at_a_time = self.inner.adopting.lock();
        let old = core.table();
        if old.as_ref().is_some_and(|old| old.stamp >= table.stamp) {
            return;
        }
        let continuous = old.as_ref().is_none_or(|old| {
            table.continues(old.stamp) && old.generation(core.me) == table.generation(core.me)
        });
        if old.as_ref().is_some_and(|old| old.stamp.term != table.stamp.term) {
            core.branched_us.store(core.now().as_micros() as u64, Ordering::Relaxed);
        }
        *core.table.write() = Some(Arc::clone(&table));
        let mut leftover = 0;
        for partition in &core.partitions {
            let mut partition = partition.lock();
            partition.adopt(core, old.as_deref(), &table, continuous);
            leftover += usize::from(partition.leftover);
        }
        if !continuous {
            core.send_all(&Message::Away { stamp: table.stamp });
            if leftover > 0 {
                self.inner.report(Report::Merging { partitions: leftover });
            }
        }
        let safe = self.is_safe();
        self.inner.report(Report::Table { table, safe });
        if leftover > 0 {
            self.merge_leftovers();
        }
    }

    /// A member says which table it follows.
    pub(super) fn handle_report(&self, from: MemberId, table: Option<Table>) {
        let is_coordinator = self.inner.control.lock().is_coordinator();
        if is_coordinator {
            let own = self.table();
            self.inner.control.lock().handle_report(from, table, own.as_ref());
            self.lead();
        } else if let Some(table) = table {
            self.handle_table(from, table);
        }
    }

    /// A copy was completed, or is no more.
    pub(super) fn handle_copy(
        &self,
        partition: u16,
        epoch: u64,
        member: MemberId,
        complete: Option<u8>,
    ) {
        self.inner.control.lock().handle_copy(partition, epoch, member, complete);
    }

    pub(super) fn tell_coordinator(&self, message: Message<'_>) {
        let coordinator = *self.inner.coordinator.read();
        match (coordinator, message) {
            (Some(id), Message::Completed { partition, epoch, member, place })
                if id == self.me() =>
            {
                self.handle_copy(partition, epoch, member, Some(place));
            }
            (Some(id), Message::Spoiled { partition, epoch, member }) if id == self.me() => {
                self.handle_copy(partition, epoch, member, None);
            }
            (Some(id), message) => {
                self.inner.core.send(id, &message);
            }
            (None, _) => {}
        }
    }

    /// The coordinator tells all which table is the newest, and its clock.
    pub(super) fn pulse(&self, now: Duration) {
        let core = &self.inner.core;
        if !self.inner.control.lock().is_coordinator() {
            return;
        }
        let now_ms = core.clock.lead(now, core.host.unix_ms(), CLOCK_STEP_MS);
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
        let now = core.now();
        core.clock.follow(now, now_ms);
        match core.table() {
            Some(table) if table.stamp == stamp => {}
            // This member went another way, and its coordinator does not know.
            Some(table) if table.stamp > stamp => {
                let table = Some(Table::clone(&table));
                let version = core.clock.last();
                core.send(from, &Message::Report { version, table });
            }
            // It missed a table.
            _ => {
                core.send(from, &Message::Query);
            }
        }
    }

    /// This member stood still for so long that the others may have gone on
    /// without it.
    pub(super) fn begin_doubt(&self, now: Duration, pause: Duration) {
        if self.inner.core.peers.read().is_empty() {
            return;
        }
        self.inner.report(Report::Paused { ms: pause.as_millis() as u64 });
        self.inner.doubt.store(true, Ordering::Release);
        let mut doubt = self.inner.doubts.lock();
        doubt.since = Some(now);
        doubt.nonce = self.inner.core.host.random();
        let nonce = doubt.nonce;
        drop(doubt);
        if let Some(table) = self.inner.core.table() {
            let confirm = Message::Confirm { nonce, stamp: table.stamp };
            let coordinator = *self.inner.coordinator.read();
            match coordinator {
                Some(id) if id != self.me() => {
                    self.inner.core.send(id, &confirm);
                }
                _ => {
                    self.inner.core.send_all(&confirm);
                }
            }
        }
    }

    pub(super) fn handle_confirmed(&self, nonce: u64, yes: bool) {
        let mut doubt = self.inner.doubts.lock();
        if doubt.since.is_some() && doubt.nonce == nonce && yes {
            doubt.since = None;
            drop(doubt);
            self.end_doubt();
        }
    }

    /// Doubt ends: by then membership has decided who belongs to whom.
    pub(super) fn tick_doubt(&self, now: Duration) {
        let mut doubt = self.inner.doubts.lock();
        let Some(since) = doubt.since else { return };
        let alone = self.inner.core.peers.read().is_empty();
        if alone || now >= since + Duration::from_millis(CONFIRM_MS_MAX) {
            doubt.since = None;
            drop(doubt);
            self.end_doubt();
        }
    }

    fn end_doubt(&self) {
        self.inner.doubt.store(false, Ordering::Release);
        for partition in &self.inner.core.partitions {
            partition.lock().wake_all();
        }
    }

    /// Hands over everything that this member holds. Completes when it holds
    /// nothing that others need; the caller bounds the time.
    pub fn leave(&self) -> super::Later<()> {
        let grid = self.clone();
        let me = self.me();
        // All know: those who leave as well wait for nobody who does.
        self.inner.control.lock().handle_leaving(me);
        self.inner.core.send_all(&Message::Leaving);
        self.lead();
        Box::pin(std::future::poll_fn(move |context| {
            let holds = |table: &Arc<Table>| table.partitions.iter().any(|a| a.of(me).is_some());
            let others = grid.inner.control.lock().others_store();
            let holds = grid.table().as_ref().is_some_and(holds);
            // What it was asked before is answered, and has arrived.
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
