//! Blocked operations of a partition.

use std::sync::Arc;

use super::executed::Slot;
use crate::map::Map;

/// A blocked operation: executed once it has an element to return.
pub(super) struct Waiter {
    pub(super) map: Arc<Map>,
    /// The operation, encoded.
    pub(super) op: Vec<u8>,
    pub(super) slot: Arc<Slot>,
}
