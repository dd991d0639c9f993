//! Invalidations of near caches.
//!
//! Each invalidation of a partition has the next number, from 1 on, so that a client can notice that
//! it has missed some. The numbers are those of one registration; the id of the partitions is that
//! of the connection. After a reconnection, a client sees another id, and drops what it has cached.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use convoke_grid::{Class, Event, Listener};
use convoke_hazelcast::codec::events::MapInvalidation;
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::{List, Packed};
use convoke_hazelcast::data::{Data, Value};
use parking_lot::Mutex;
use uuid::Uuid;

use super::super::errors::Failure;
use super::super::keys::{Format, client_key};
use super::super::session::Session;
use super::super::view;
use super::listeners::Registration;

/// Invalidates the entries of a near cache.
pub(super) struct NearCache {
    registration: Registration,
    map: Box<str>,
    /// The id of the partitions.
    partition_uuid: Uuid,
    /// The partition of invalidations that concern all keys: that of the map's name, as a key.
    home: u16,
    /// The last number of each partition.
    sequences: Mutex<BTreeMap<u16, i64>>,
}

impl Listener for NearCache {
    fn handle_event(&self, event: &Event) {
        let (key, partition) = match (event.class, client_key(&event.key)) {
            (Class::New | Class::Announced, _) => return,
            (Class::Cleared, _) => (None, self.home),
            (_, Some(key)) => (Some(key), self.registration.server.grid.partition_of(&event.key)),
            (_, None) => return,
        };
        if !self.registration.is_wanted_of(partition) {
            return;
        }
        // Held until the event is in its queue: numbers are in order there.
        let mut sequences = self.sequences.lock();
        let sequence = sequences.entry(partition).or_default();
        *sequence += 1;
        let mut message = Vec::new();
        let invalidation = MapInvalidation {
            source_uuid: view::uuid(self.registration.server.grid.me()),
            partition_uuid: self.partition_uuid,
            sequence: *sequence,
            key: key.as_deref().and_then(Data::new),
        };
        let message_type = map::AddNearCacheInvalidationListener::INVALIDATION;
        invalidation.write(&mut message, message_type, self.registration.correlation_id());
        self.registration.push_of(message, Some(partition));
    }
}

/// The near caches that were registered on a connection.
pub(super) type NearCaches = Vec<Weak<NearCache>>;

/// Registers a near cache, or responds with the last numbers of its partitions. Returns false if the
/// request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<bool, Failure> {
    match request {
        Request::AddNearCacheInvalidationListener(r) => {
            // Clients count the invalidations of each partition in which they compute a key to be.
            if Format::of(&*session.open(r.name)?).is_plain() {
                let text = "a near cache of a map of plain bytes";
                return Err(Failure::unsupported("Map.addNearCacheInvalidationListener", text));
            }
            let tags = session.server.tags().ok_or(convoke_grid::OpError::NoCluster)?;
            let name = Value::Text(r.name).encode();
            let listener = Arc::new(NearCache {
                registration: session.listeners.registration(correlation_id, r.local_only),
                map: r.name.into(),
                partition_uuid: session.listeners.partition_uuid,
                home: Data::new(&name).map_or(0, |name| tags.partition(name)),
                sequences: Mutex::default(),
            });
            let near = Arc::downgrade(&listener);
            session.server.open(r.name)?;
            // It remains when the map is destroyed: clients may still have copies of entries.
            let uuid = session.listeners.register(None, r.name, listener)?;
            session.listeners.near_caches.retain(|near| near.strong_count() > 0);
            session.listeners.near_caches.push(near);
            map::AddNearCacheInvalidationListener::respond(output, correlation_id, 0, uuid);
        }
        Request::FetchNearCacheInvalidationMetadata(r) => {
            let near_caches: Vec<_> =
                session.listeners.near_caches.iter().filter_map(Weak::upgrade).collect();
            let mut sequences: Vec<(&str, Vec<(i32, i64)>)> = Vec::new();
            // Clients expect each name.
            for name in r.names {
                let near = near_caches.iter().find(|near| *near.map == *name);
                let last = near.map(|near| {
                    let last = near.sequences.lock();
                    last.iter().map(|(number, last)| (i32::from(*number), *last)).collect()
                });
                sequences.push((name, last.unwrap_or_default()));
            }
            let sequences: Vec<_> =
                sequences.iter().map(|(name, last)| (*name, Packed::from(&last[..]))).collect();
            // A client of all members asks each of them, one of a single member only that.
            let is_local = near_caches.iter().all(|near| near.registration.local_only);
            let grid = &session.server.grid;
            let table = grid.table();
            let mut uuids = Vec::new();
            for (number, assignment) in
                table.iter().flat_map(|table| table.partitions.iter().enumerate())
            {
                if !is_local || assignment.primary() == Some(grid.me()) {
                    let number = i32::try_from(number).unwrap_or(i32::MAX);
                    uuids.push((number, session.listeners.partition_uuid));
                }
            }
            map::FetchNearCacheInvalidationMetadata::respond(
                output,
                correlation_id,
                0,
                List::from(&sequences[..]),
                Packed::from(&uuids[..]),
            );
        }
        _ => return Ok(false),
    }
    Ok(true)
}
