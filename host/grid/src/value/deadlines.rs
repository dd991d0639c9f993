//! Expiry of the fields of a hash.

use std::collections::{BTreeMap, BTreeSet};

/// Overhead of one deadline beside the name of its field, which is stored twice, in bytes.
const DEADLINE_BYTES: usize = 144;

/// Deadlines of fields, in milliseconds of the cluster's clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    by_name: BTreeMap<Box<[u8]>, u64>,
    in_order: BTreeSet<(u64, Box<[u8]>)>,
    bytes: usize,
}

impl Deadlines {
    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// The earliest deadline.
    pub(super) fn first_ms(&self) -> Option<u64> {
        self.in_order.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// The latest deadline.
    pub(super) fn last_ms(&self) -> Option<u64> {
        self.in_order.last().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// Fields whose deadline has passed, the earliest first.
    pub(super) fn due(&self, now_ms: u64) -> impl Iterator<Item = &[u8]> {
        let due = self.in_order.iter().take_while(move |(deadline_ms, _)| *deadline_ms <= now_ms);
        due.map(|(_, name)| &**name)
    }

    /// Sets or removes the deadline of a field.
    pub(super) fn set(&mut self, name: &[u8], deadline_ms: Option<u64>) {
        if let Some((name, old)) = self.by_name.remove_entry(name) {
            self.bytes -= DEADLINE_BYTES + 2 * name.len();
            self.in_order.remove(&(old, name));
        }
        if let Some(deadline_ms) = deadline_ms {
            self.bytes += DEADLINE_BYTES + 2 * name.len();
            self.by_name.insert(name.into(), deadline_ms);
            self.in_order.insert((deadline_ms, name.into()));
        }
    }
}
