//! Changes of a stream.

use serde::{Deserialize, Serialize};

use super::group::{Activity, Delivery, Position};
use super::id::StreamId;

/// Counters over all entries that a stream ever had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// The greatest ID that was assigned; later entries have greater ones.
    pub(crate) last: StreamId,
    /// Number of entries that were added.
    pub(crate) added: u64,
    /// The greatest ID of an entry that was deleted from within the stream.
    pub(crate) deleted: StreamId,
}

/// An entry: its ID, and names and values, alternating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewEntry<'a> {
    pub(crate) id: StreamId,
    #[serde(borrow)]
    pub(crate) fields: Vec<&'a [u8]>,
}

/// A change of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StreamEdit<'a> {
    /// Adds an entry at the end, and counts it. Creates the stream.
    Add(#[serde(borrow)] NewEntry<'a>),
    /// Restores entries at their positions, without counting them.
    Insert(#[serde(borrow)] Vec<NewEntry<'a>>),
    /// Removes entries, and remembers the greatest of their IDs as deleted.
    Delete(Vec<StreamId>),
    /// Removes entries without recording their IDs as deleted.
    Remove(Vec<StreamId>),
    /// Removes all entries up to this ID.
    Trim(StreamId),
    /// Sets the counters. Creates the stream.
    Count(Counters),
    /// Creates a group, or moves it.
    Group {
        /// Its name.
        #[serde(borrow, with = "serde_bytes")]
        name: &'a [u8],
        /// Its position.
        position: Position,
    },
    /// Removes a group, its consumers and their pending entries.
    RemoveGroup(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Creates a consumer, or updates its activity.
    Consumer {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// Its name.
        #[serde(borrow, with = "serde_bytes")]
        name: &'a [u8],
        /// When it was active.
        activity: Activity,
    },
    /// Removes a consumer and its pending entries.
    RemoveConsumer {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// Its name.
        #[serde(borrow, with = "serde_bytes")]
        name: &'a [u8],
    },
    /// Makes entries pending for this consumer and no other one.
    Pend {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The consumer.
        #[serde(borrow, with = "serde_bytes")]
        consumer: &'a [u8],
        /// The entries.
        entries: Vec<(StreamId, Delivery)>,
    },
    /// Makes entries no longer pending.
    Unpend {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The entries.
        ids: Vec<StreamId>,
    },
}
