//! Events of keys.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Class of an event, by which listeners select events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// For any type of value: removed, renamed, expiry set.
    Generic,
    /// Plain values.
    Plain,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Hashes.
    Hash,
    /// Sorted sets.
    SortedSet,
    /// The key expired.
    Expired,
    /// The key was evicted at the memory bound.
    Evicted,
    /// The key was created.
    New,
    /// Streams.
    Stream,
    /// All keys that a partition has of the map were removed at once. The key is empty.
    Cleared,
    /// Published by a protocol without a change. The key is empty, and the value is that of the
    /// event.
    Announced,
    /// An item was `added` to a collection or `removed` from it. The value is the item.
    Item,
}

/// Maximum length of the values in the events of one step, in bytes. Further ones are left out.
pub(crate) const EVENT_VALUES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Maximum number of events of items in one step. Further ones are left out.
pub(crate) const ITEM_EVENTS_MAX: usize = 100_000;

/// One event of one key. Published once, by the key's primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The name of the map.
    pub map: String,
    /// Its class.
    pub class: Class,
    /// Its name, as in keyspace notifications of Redis: `set`, `lpush`, `del`, `expired` and so on.
    pub name: String,
    /// The key.
    pub key: Bytes,
    /// Whether the step created the key just before: after [`Class::New`].
    pub is_first: bool,
    /// The plain value after the event, or the item, if a listener asked for values.
    pub value: Option<Bytes>,
    /// The plain value before the event, or the one of several values that was removed, if a listener
    /// asked for values.
    pub old_value: Option<Bytes>,
}
