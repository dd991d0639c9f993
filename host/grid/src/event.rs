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
}

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
}
