//! The event that all entries of a multimap or replicated map were removed. It is sent once, by the
//! member that has executed the request, and not for each partition.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::WholeOp;
use convoke_grid::{Map, Subscriber};
use convoke_hazelcast::codec::entry_event;
use convoke_hazelcast::codec::events::EntryEvent;
use convoke_hazelcast::message::MessageType;
use uuid::Uuid;

use super::errors::Failure;
use super::map::listeners::Registration;
use super::names;
use super::server::Server;
use super::view;
use super::whole;
use crate::pubsub::Subscription;

/// Length of the id of a member in a report, in bytes.
const ID_BYTES: usize = 16;

/// Removes all entries that are not locked, and reports their number to the listeners of the map on
/// all members.
pub(super) async fn clear(server: &Server, map: &Arc<Map>) -> Result<(), Failure> {
    let count = whole::sum(server, map, WholeOp::ClearUnleased).await?;
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let me = view::uuid(server.grid.me());
    let report = [&me.as_bytes()[..], &count.to_be_bytes()].concat();
    // An event is lost if a member does not keep up, as other events are.
    if let Ok(delivered) = server.grid.publish_shard(&names::cleared(&map.name), &report) {
        delivered.await;
    }
    Ok(())
}

/// Sends such reports to a client.
struct ClearedListener {
    registration: Registration,
    message_type: MessageType,
}

/// Sends a client the event whenever this map is cleared.
pub(super) fn subscribe(
    server: &Server,
    map: &str,
    registration: Registration,
    message_type: MessageType,
) -> Subscription {
    let listener = Arc::new(ClearedListener { registration, message_type });
    server.pubsub.subscribe_shard(&names::cleared(map), listener)
}

impl Subscriber for ClearedListener {
    fn deliver(&self, _: &Bytes, _: Option<&Bytes>, _: &Bytes) {}

    fn deliver_shard(&self, _: &Bytes, report: &Bytes) {
        let Some((id, count)) = report.split_first_chunk::<ID_BYTES>() else { return };
        let Ok(count) = count.try_into() else { return };
        let uuid = Uuid::from_bytes(*id);
        if !self.registration.is_of(uuid) {
            return;
        }
        let event = EntryEvent {
            event_type: entry_event::CLEAR_ALL,
            uuid,
            number_of_affected_entries: i32::from_be_bytes(count),
            key: None,
            value: None,
            old_value: None,
            merging_value: None,
        };
        let mut message = Vec::new();
        event.write(&mut message, self.message_type, self.registration.correlation_id());
        self.registration.push_of(message, None);
    }
}
