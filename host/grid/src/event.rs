//! What happened to a key, for those who listen.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What an event is about. Listeners choose among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// Any kind of value: removed, renamed, expiry set.
    Generic,
    /// Plain bytes.
    Plain,
    /// A list.
    List,
    /// A set.
    Set,
    /// A hash.
    Hash,
    /// A sorted set.
    SortedSet,
    /// Expired.
    Expired,
    /// Evicted at the memory bound.
    Evicted,
    /// A key that was not there.
    New,
}

/// One thing that happened to one key. Told once, by the key's primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The map.
    pub map: String,
    /// What kind of thing.
    pub class: Class,
    /// Its name, as RESP clients know it: `set`, `lpush`, `del`, `expired` ….
    pub name: String,
    /// The key.
    pub key: Bytes,
}
