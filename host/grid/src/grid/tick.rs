//! Periodic work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::state::Grid;
use crate::host::Report;
use crate::message::Message;

/// Interval at which [`Grid::tick`] must be called, in milliseconds.
pub const TICK_MS: u64 = 50;
/// Shortest pause of the process that is reported, in milliseconds.
const PAUSE_MS: u64 = 1_000;
/// Maximum number of additional sweeps in one tick, over all partitions with many expired entries.
const CROWDED_SWEEPS_MAX: usize = 10;
/// Interval of messages to other members that keep connections alive, in milliseconds, so that a
/// broken connection is detected.
pub const ALIVE_MS: u64 = 1_000;
/// Interval at which the copies of one partition are compared, in milliseconds.
const CHECK_MS: u64 = 30_000;
/// Interval at which old removals are forgotten, in milliseconds.
const FORGET_MS: u64 = 10_000;
/// Minimum time for which removals are remembered, in milliseconds: much longer than the detection
/// of a missing member takes. While a member is missing, all removals since then are kept; see
/// [`crate::control`].
const REMOVAL_MS: u64 = 60_000;
/// Maximum number of bytes of removals that this member remembers.
pub const REMOVALS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Work that is due in one tick.
#[derive(Default)]
struct Due {
    alive: bool,
    forget: bool,
    pulse: bool,
    check: Option<usize>,
}

impl Grid {
    /// Reports that this member serves again after a pause.
    fn report_resumption(&self, now: Duration) {
        if !self.inner.shared.lease.is_held(now) {
            return;
        }
        let paused_at = self.inner.timers.lock().paused_at.take();
        if let Some(since) = paused_at {
            let ms = now.saturating_sub(since).as_millis() as u64;
            self.inner.report(Report::Resumed { ms });
        }
    }

    /// Does periodic work. Must be called every [`TICK_MS`] milliseconds.
    pub fn tick(&self) {
        let shared = &self.inner.shared;
        let now = shared.now();
        self.renew(now);
        self.inner.calls.tick(now);
        let old = now.saturating_sub(Duration::from_millis(TICK_MS));
        let peers = self.peers();
        for peer in &peers {
            peer.wake_old(old);
        }
        let mut due = Due::default();
        let pause;
        {
            let mut timers = self.inner.timers.lock();
            pause = timers.ticked_at.replace(now).map(|before| now.saturating_sub(before));
            let is_due = |at: &mut Duration, every_ms: u64| {
                let due = now >= *at;
                if due {
                    *at = now + Duration::from_millis(every_ms);
                }
                due
            };
            due.alive = is_due(&mut timers.alive_at, ALIVE_MS);
            due.forget = is_due(&mut timers.forget_at, FORGET_MS);
            due.pulse = is_due(&mut timers.pulse_at, ALIVE_MS);
            let count = self.inner.partitions.len();
            if is_due(&mut timers.check_at, CHECK_MS / count.max(1) as u64) {
                due.check = Some(timers.checked % count.max(1));
                timers.checked += 1;
            }
        }
        if let Some(pause) = pause.filter(|pause| *pause >= Duration::from_millis(PAUSE_MS))
            && !peers.is_empty()
        {
            self.inner.report(Report::Paused { ms: pause.as_millis() as u64 });
            self.inner.timers.lock().paused_at.get_or_insert(now);
        }
        self.report_resumption(now);
        let leftover = self.sweep(now, old, &due);
        // Copies of partitions of other primaries count toward memory bounds too.
        for map in shared.maps.all() {
            self.inner.make_room(&map, || 0);
        }
        if due.alive {
            for peer in &peers {
                peer.push(|bytes| Message::KeepAlive.encode(bytes));
            }
            if !leftover {
                self.report_settled();
            }
        }
        for peer in &peers {
            self.pump(peer.id());
        }
        self.inner.catch_up_followers();
        self.coordinate();
        if due.pulse {
            self.pulse(now);
        }
        if leftover {
            self.merge_leftovers();
        }
    }

    /// Does periodic work in each partition. Returns whether any has data left to merge.
    fn sweep(&self, now: Duration, old: Duration, due: &Due) -> bool {
        let shared = &self.inner.shared;
        let table = self.inner.table();
        let missing_since_ms = shared.missing_since_ms.load(Ordering::Relaxed);
        let forget_ms = shared.clock.now_ms(now).saturating_sub(REMOVAL_MS).min(missing_since_ms);
        let removal_bytes: u64 = shared.maps.all().iter().map(|map| map.removal_bytes()).sum();
        let (mut leftover, mut given_up, mut crowded) = (false, 0, Vec::new());
        for (number, partition) in self.inner.partitions.iter().enumerate() {
            let mut partition = partition.lock();
            leftover |= partition.leftover;
            if partition.tick(shared, now) {
                crowded.push(number as u16);
            }
            partition.wake_old(old);
            if due.check == Some(number) {
                partition.check(shared, now);
            }
            if due.forget {
                partition.forget(shared, now, forget_ms);
            }
            if removal_bytes > REMOVALS_BYTES_MAX {
                given_up += partition.give_up_removals(shared, now);
            }
            let unreported = match &table {
                Some(table) if due.alive => partition.unreported(table),
                _ => Vec::new(),
            };
            let unresolved = partition.unresolved(now, |home| {
                table.as_ref()?.partitions.get(usize::from(home))?.primary()
            });
            let incomplete = partition.take_incomplete();
            let (epoch, events) = (partition.epoch, partition.take_events());
            let followed = partition.take_followed();
            let has_events = self.inner.unpublished.push(number as u16, events);
            drop(partition);
            self.inner.publish_changes(&followed);
            let partition = number as u16;
            if has_events {
                self.inner.publish_unpublished(partition);
            }
            for unresolved in unresolved {
                self.inner.resolve(partition, unresolved);
            }
            for member in incomplete {
                self.send_to_coordinator(Message::Incomplete { partition, epoch, member });
            }
            for (member, place) in unreported {
                self.send_to_coordinator(Message::Completed { partition, epoch, member, place });
            }
        }
        self.expire_crowded(now, crowded);
        if given_up > 0 && missing_since_ms < u64::MAX {
            self.inner.report(Report::RemovalsGivenUp { count: given_up });
        }
        leftover
    }

    /// Continues with partitions that have more expired entries than one sweep drops, for instance
    /// if all keys have the same hash tag and deadline.
    fn expire_crowded(&self, now: Duration, mut crowded: Vec<u16>) {
        let shared = &self.inner.shared;
        let mut left = CROWDED_SWEEPS_MAX;
        while !crowded.is_empty() && left > 0 {
            crowded.retain(|number| {
                let may_go_on = left > 0;
                left = left.saturating_sub(1);
                may_go_on && self.inner.at(*number, |partition| partition.expire_due(shared, now))
            });
        }
    }
}
