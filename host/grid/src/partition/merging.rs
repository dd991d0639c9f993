//! Merging at the primary: data of another table is compared, and merged by the map's policy.

use std::sync::Arc;
use std::time::Duration;

use super::Partition;
use super::executed::Executed;
use crate::Reply;
use crate::fragment::Fragment;
use crate::item::{Held, Item};
use crate::map::Map;
use crate::shared::Shared;

impl Partition {
    /// Ranges of another member's data that may have to be merged.
    pub(crate) fn ranges_to_merge(&self, map: &Map, held: &Held<'_>) -> Vec<(u64, u64)> {
        let blank = Fragment::default();
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
        // The member retries when no keys are locked.
        if self.serving_primary().is_none() || !self.transactions.is_idle() {
            return Executed::NotPrimary;
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
