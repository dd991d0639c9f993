//! Blocked operations of a partition.

use std::collections::VecDeque;
use std::sync::Arc;

use super::executed::{Executed, Slot};
use crate::map::Map;

/// Maximum number of blocked operations of one partition.
const WAITERS_MAX: usize = 10_000;

/// Number of blocked operations from which those are dropped that no task waits for.
const SWEPT_MIN: usize = 64;

/// A blocked operation: executed once it has an element to return.
pub(super) struct Waiter {
    pub(super) map: Arc<Map>,
    /// The hashes of its keys, so that the operation need not be decoded for most changes.
    pub(super) hashes: Box<[u32]>,
    /// The operation, encoded.
    pub(super) op: Vec<u8>,
    pub(super) slot: Arc<Slot>,
}

/// Blocked operations, in the order in which they are served.
#[derive(Default)]
pub(super) struct Waiters {
    queue: VecDeque<Waiter>,
    /// Their number from which those are dropped that no task waits for: twice that after the last
    /// time, so that each costs little.
    sweep_at: usize,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.queue.iter()
    }

    /// Drops those that no task waits for, if there are many. Returns whether there is room for
    /// another one.
    pub(super) fn make_room(&mut self) -> bool {
        if self.queue.len() >= self.sweep_at.max(SWEPT_MIN) {
            self.queue.retain(|waiter| !waiter.slot.is_closed());
            self.sweep_at = (self.queue.len() * 2).min(WAITERS_MAX);
        }
        self.queue.len() < WAITERS_MAX
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.queue.push_back(waiter);
    }

    /// Removes and returns all of them; those that still wait must be pushed again in the same
    /// order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        std::mem::take(&mut self.queue).into_iter()
    }

    /// Releases all of them to their tasks, which send them to the next primary.
    pub(super) fn give_up(&mut self) {
        for waiter in self.queue.drain(..) {
            if waiter.slot.claim() {
                waiter.slot.fill(Executed::NotPrimary);
            }
        }
    }
}
