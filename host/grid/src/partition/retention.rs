//! Entries that the primary drops by itself: expired and evicted ones, and old removals.

use std::sync::Arc;
use std::time::Duration;

use super::Partition;
use super::role::LinkState;
use crate::Version;
use crate::map::Map;
use crate::shared::Shared;

/// Maximum number of expired entries that are dropped in one sweep of one map.
const DUE_MAX: usize = 2_000;

/// Keys with their hashes.
type Due = Vec<(u32, Box<[u8]>)>;

impl Partition {
    /// Takes expired keys of each map, at most `max` of each.
    fn take_due(&mut self, shared: &Shared, now_ms: u64, max: usize) -> Vec<(Arc<Map>, Due)> {
        let mut all = Vec::new();
        for (index, fragment) in self.fragments.iter_mut().enumerate() {
            let mut due = Vec::new();
            if let Some(fragment) = fragment {
                fragment.take_due(now_ms, max, &mut due);
            }
            if !due.is_empty()
                && let Some(map) = shared.maps.at(index)
            {
                all.push((map, due));
            }
        }
        all
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
            self.serve_waiters(shared, map, now);
        }
        is_evicted
    }

    /// Drops expired entries and expired fields of hashes, and records the events, if this member
    /// is the serving primary and holds its lease. At most [`DUE_MAX`] of each map; returns whether
    /// there may be more.
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
            is_more |= self.access(shared, &map, now, |access| {
                due.iter()
                    .fold(false, |is_more, (hash, key)| access.drop_due(*hash, key) || is_more)
            });
            self.replicate(shared, &map, now);
            self.serve_waiters(shared, &map, now);
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

    /// Forgets the older half of the removals of each map, to limit memory. Returns their number.
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
            // At least the oldest version is forgotten, even if all removals have the same version.
            let limit = Version(limit.0.saturating_add(1));
            let Some(map) = shared.maps.at(index) else { continue };
            count += middle + 1;
            self.access(shared, &map, now, |access| access.give_up_removals(limit));
            self.replicate(shared, &map, now);
        }
        count
    }
}
