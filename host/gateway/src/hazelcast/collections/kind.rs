//! Kinds of collections: the service and the map of each, and the keys in it.
//!
//! ```text
//! key    '{' tag (2 bytes) '}' name of the collection
//! ```
//!
//! The hash tag is that of the partition which clients compute from the name.

use std::sync::Arc;

use convoke_grid::{Grid, Map, OpError};
use convoke_hazelcast::codec::service_name;

use super::super::keys::TAG_BYTES;
use super::super::server::Server;

/// A kind of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Queue,
    List,
    Set,
    Ringbuffer,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Queue, Self::List, Self::Set, Self::Ringbuffer];

    /// The name of its service.
    pub(super) const fn service(self) -> &'static str {
        match self {
            Self::Queue => service_name::QUEUE,
            Self::List => service_name::LIST,
            Self::Set => service_name::SET,
            Self::Ringbuffer => service_name::RINGBUFFER,
        }
    }

    /// The kind of this service.
    pub(in super::super) fn of(service: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.service() == service)
    }

    /// The map of its collections.
    pub(super) fn open(self, grid: &Grid) -> Result<Arc<Map>, OpError> {
        grid.open_collections(match self {
            Self::Queue => "queue",
            Self::List => "list",
            Self::Set => "set",
            Self::Ringbuffer => "ringbuffer",
        })
    }
}

/// Writes the key of a collection to `stored`, which is cleared first. Returns its partition.
pub(super) fn key(server: &Server, name: &str, stored: &mut Vec<u8>) -> Result<u16, OpError> {
    let tags = server.tags().ok_or(OpError::NoCluster)?;
    let partition = tags.partition_of_name(name);
    stored.clear();
    tags.append_tag(partition, stored);
    stored.extend_from_slice(name.as_bytes());
    Ok(partition)
}

/// The name of the collection with this key.
pub(super) fn name(stored: &[u8]) -> Option<&str> {
    std::str::from_utf8(stored.get(TAG_BYTES..)?).ok()
}
