//! Makes room in maps with a memory bound: evicts entries here, and asks other primaries to evict.

use std::sync::Arc;

use super::state::Inner;
use crate::map::Map;
use crate::message::Message;

/// Maximum number of entries that one write may evict in each partition.
const EVICTIONS_OF_PARTITION_MAX: usize = 16_384;

impl Inner {
    /// Evicts from a map until `needed` more bytes fit. Other primaries are asked to evict entries
    /// that this member only has copies of.
    pub(super) fn make_room(&self, map: &Arc<Map>, needed: impl FnOnce() -> usize) {
        let Some(max) = map.settings().evicts_at() else { return };
        let needed = needed() as u64;
        let over = || map.bytes().saturating_add(needed).saturating_sub(max);
        if needed > max || over() == 0 {
            return;
        }
        self.evict(map, || over() == 0);
        let bytes = over();
        if bytes > 0 && needed > 0 && map.may_ask_for_room(self.shared.now()) {
            self.shared.send_all(&Message::MakeRoom { map: &map.name, bytes });
        }
    }

    /// Evicts from partitions of which this member is the primary, until `is_enough` or nothing is
    /// left to evict. Evicts one entry at a time from each partition in turn, to distribute the
    /// evictions.
    pub(super) fn evict(&self, map: &Arc<Map>, is_enough: impl Fn() -> bool) {
        let count = self.partitions.len();
        let start = self.shared.host.random() as usize % count.max(1);
        let now = self.shared.now();
        for _ in 0..EVICTIONS_OF_PARTITION_MAX {
            let mut is_any = false;
            for step in 0..count {
                if is_enough() {
                    return;
                }
                let number = ((start + step) % count) as u16;
                is_any |= self.at(number, |partition| partition.evict(&self.shared, map, now));
            }
            if !is_any {
                return;
            }
        }
    }
}
