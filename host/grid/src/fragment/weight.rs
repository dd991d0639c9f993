//! Counts the memory of fragments, per map.

use std::sync::atomic::Ordering;

use super::Fragment;
use crate::map::Map;

/// Bytes of a fragment, and of its removals.
pub(crate) type Weight = (usize, usize);

pub(crate) fn weigh(fragment: &Fragment) -> Weight {
    (fragment.bytes(), fragment.removal_bytes())
}

/// Updates the counters of a map on this member.
pub(crate) fn count(map: &Map, before: Weight, after: &Fragment) {
    let after = weigh(after);
    for (counter, before, after) in
        [(&map.bytes, before.0, after.0), (&map.removal_bytes, before.1, after.1)]
    {
        if before != after {
            // Both are sizes in memory, far below the maximum of an i64.
            counter.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
        }
    }
}
