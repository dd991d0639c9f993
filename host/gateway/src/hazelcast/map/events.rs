//! Events that concern many entries at once: reported once to each listener, when the request that
//! caused them is complete.

use convoke_grid::op::{Op, WholeOp};
use convoke_grid::{Event, OpError};
use convoke_hazelcast::codec::entry_event;

use super::super::errors::Failure;
use super::super::server::Server;

/// What happened to many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapEvent {
    Cleared,
    Evicted,
}

impl MapEvent {
    const ALL: [Self; 2] = [Self::Cleared, Self::Evicted];

    /// The name of its event in the grid.
    const fn name(self) -> &'static str {
        match self {
            Self::Cleared => "clear-all",
            Self::Evicted => "evict-all",
        }
    }

    /// A constant of [`entry_event`].
    pub(super) const fn event_type(self) -> i32 {
        match self {
            Self::Cleared => entry_event::CLEAR_ALL,
            Self::Evicted => entry_event::EVICT_ALL,
        }
    }

    /// The event with its number of entries, if it is one of these.
    pub(super) fn decode(event: &Event) -> Option<(Self, i32)> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == event.name)?;
        let count = event.value.as_deref()?.first_chunk()?;
        Some((kind, i32::from_be_bytes(*count)))
    }
}

/// The partition whose primary reports events that concern all of a map.
pub(super) fn home(server: &Server, name: &str) -> u16 {
    server.grid.partition_of(name.as_bytes())
}

/// Reports that something happened to this number of entries.
pub(super) async fn announce(
    server: &Server,
    name: &str,
    event: MapEvent,
    count: i64,
) -> Result<(), Failure> {
    let map = server.open(name)?;
    let value = i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes();
    let op = Op::Whole(WholeOp::Announce { name: event.name(), value: &value });
    match server.submit(&map, home(server, name), &op).await {
        // The entries are gone: the client must not repeat that.
        Ok(_) | Err(OpError::Indeterminate | OpError::Unavailable | OpError::Busy) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
