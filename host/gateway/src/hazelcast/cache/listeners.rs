//! Listeners of entries, and of near caches. As for maps, a client that is connected to all members
//! registers at each of them for the events of its own partitions.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use convoke_grid::op::{cache_event as grid_event, cache_value};
use convoke_grid::{Class, Event, Listener};
use convoke_hazelcast::codec::cache::{self, Request};
use convoke_hazelcast::codec::cache_event;
use convoke_hazelcast::codec::events::{CacheEvent, CacheInvalidation};
use convoke_hazelcast::codec::structures::CacheEventData;
use convoke_hazelcast::codec::{List, Packed, service_name};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::message::Message;
use uuid::Uuid;

use super::super::errors::Failure;
use super::super::keys::client_key;
use super::super::map::listeners::Registration;
use super::super::names::Object;
use super::super::server::Server;
use super::super::session::{Begun, Session};
use super::super::view;
use super::{NO_COMPLETION, Tag, configs};

/// A listener of entries. The client calls those of its listeners that want an event.
struct EntryListener {
    registration: Registration,
    /// Full name of the cache.
    name: Box<str>,
    /// The client, whose operations it reports as completed.
    client: Uuid,
}

fn blob(stored: Option<&Bytes>) -> Option<Data<'_>> {
    stored.and_then(|stored| cache_value(stored)).and_then(|(value, _)| Data::new(value))
}

impl EntryListener {
    /// The completion id, if this member has to notify this client that an operation is done.
    fn completion_id(&self, event: &Event) -> Option<i32> {
        let tag = Tag::decode(event.value.as_ref()?)?;
        let is_sender = match tag.member {
            Some(member) => member == view::uuid(self.registration.server.grid.me()),
            None => self.registration.is_wanted(&event.key),
        };
        (tag.client == self.client && is_sender).then_some(tag.completion_id)
    }

    fn send(&self, event: &Event, kind: i32, completion_id: i32) {
        let key = client_key(&event.key);
        let (value, old_value) = match kind {
            cache_event::COMPLETED => (None, None),
            // For these, the value is the one that the entry had.
            cache_event::REMOVED | cache_event::EXPIRED => (event.old_value.as_ref(), None),
            _ => (event.value.as_ref(), event.old_value.as_ref()),
        };
        let data_old_value = blob(old_value);
        let data = [CacheEventData {
            cache_event_type: kind,
            old_value_available: data_old_value.is_some(),
            name: &self.name,
            data_key: key.as_deref().and_then(Data::new),
            data_value: blob(value),
            data_old_value,
        }];
        let changes = CacheEvent { kind, completion_id, keys: List::from(&data) };
        let mut message = Vec::new();
        let message_type = cache::AddEntryListener::CACHE;
        changes.write(&mut message, message_type, self.registration.correlation_id);
        self.registration.push(message, &event.key);
    }
}

impl Listener for EntryListener {
    fn handle_event(&self, event: &Event) {
        let kind = match (event.class, event.name.as_str()) {
            (Class::Generic, grid_event::DONE) => {
                if let Some(id) = self.completion_id(event) {
                    self.send(event, cache_event::COMPLETED, id);
                }
                return;
            }
            (Class::Plain, grid_event::CREATED) => cache_event::CREATED,
            (Class::Plain, grid_event::UPDATED) => cache_event::UPDATED,
            (Class::Generic, "del") => cache_event::REMOVED,
            (Class::Expired, _) => cache_event::EXPIRED,
            _ => return,
        };
        if self.registration.is_wanted(&event.key) {
            self.send(event, kind, NO_COMPLETION);
        }
    }

    fn wants_values(&self) -> bool {
        true
    }
}

/// Invalidates the entries of a near cache.
struct NearCacheListener {
    registration: Registration,
    name: Box<str>,
    /// Whether it is notified of each entry; `true` until the configuration is known.
    of_entries: OnceLock<bool>,
}

impl Listener for NearCacheListener {
    fn handle_event(&self, event: &Event) {
        let is_change = match (event.class, event.name.as_str()) {
            (Class::New, _) | (Class::Generic, grid_event::DONE) => false,
            (Class::Cleared, _) => true,
            _ => self.of_entries.get().copied().unwrap_or(true),
        };
        if !is_change || !self.registration.is_wanted(&event.key) {
            return;
        }
        let key = client_key(&event.key);
        if key.is_none() && event.class != Class::Cleared {
            return;
        }
        let me = view::uuid(self.registration.server.grid.me());
        let mut message = Vec::new();
        let invalidation = CacheInvalidation {
            source_uuid: Some(me),
            partition_uuid: me,
            sequence: 0,
            name: &self.name,
            key: key.as_deref().and_then(Data::new),
        };
        let message_type = cache::AddNearCacheInvalidationListener::INVALIDATION;
        invalidation.write(&mut message, message_type, self.registration.correlation_id);
        self.registration.push(message, &event.key);
    }
}

/// Registers or removes a listener. Returns `None` if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    message: Message<'_>,
    request: &Request<'_>,
) -> Result<Option<Begun>, Failure> {
    let id = message.header().correlation_id;
    let server = Arc::clone(&session.server);
    match request {
        Request::AddEntryListener(r) => {
            let Some(client) = session.client().map(|client| client.uuid) else {
                return Ok(None);
            };
            let registration = session.listeners.registration(id, r.local_only);
            let listener = EntryListener { registration, name: r.name.into(), client };
            let map = configs::entries(&server, r.name)?;
            let object = Object::new(service_name::CACHE, r.name);
            let uuid = session.listeners.register(Some(object), &map.name, Arc::new(listener))?;
            return Ok(Some(Begun::Future(Box::pin(announced(
                server,
                id,
                uuid,
                |output, id, uuid| {
                    cache::AddEntryListener::respond(output, id, 0, uuid);
                },
            )))));
        }
        Request::AddNearCacheInvalidationListener(r) => {
            let registration = session.listeners.registration(id, r.local_only);
            let of_entries = OnceLock::new();
            let listener =
                Arc::new(NearCacheListener { registration, name: r.name.into(), of_entries });
            let map = configs::entries(&server, r.name)?;
            // It remains when the cache is destroyed: clients may still have copies of entries.
            let near_cache = Arc::clone(&listener) as Arc<dyn Listener>;
            let uuid = session.listeners.register(None, &map.name, near_cache)?;
            return Ok(Some(Begun::Future(Box::pin(async move {
                if let Ok(cache) = configs::find(&server, &listener.name).await {
                    let _ = listener.of_entries.set(cache.invalidates_entries);
                }
                announced(server, id, uuid, |output, id, uuid| {
                    cache::AddNearCacheInvalidationListener::respond(output, id, 0, uuid);
                })
                .await
            }))));
        }
        Request::RemoveEntryListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            cache::RemoveEntryListener::respond(output, id, 0, removed);
        }
        Request::RemoveInvalidationListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            cache::RemoveInvalidationListener::respond(output, id, 0, removed);
        }
        // As for maps: invalidations have no sequence. One that is lost closes the connection.
        Request::FetchNearCacheInvalidationMetadata(_) => {
            let (names, partitions) = (List::default(), Packed::default());
            cache::FetchNearCacheInvalidationMetadata::respond(output, id, 0, names, partitions);
        }
        // There never is one, since none can be added.
        Request::RemovePartitionLostListener(_) => {
            cache::RemovePartitionLostListener::respond(output, id, 0, false);
        }
        _ => return Ok(None),
    }
    Ok(Some(Begun::Done))
}

/// Responds once all members know of the listener: a client waits for the completion of the
/// operations that it sends from then on.
async fn announced(
    server: Arc<Server>,
    correlation_id: i64,
    uuid: Uuid,
    respond: fn(&mut Vec<u8>, i64, Uuid),
) -> Vec<u8> {
    server.grid.announcements_received().await;
    let mut output = Vec::new();
    respond(&mut output, correlation_id, uuid);
    output
}
