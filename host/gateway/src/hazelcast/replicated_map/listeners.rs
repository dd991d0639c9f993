//! Listeners of the entries of a replicated map. As in Hazelcast, an entry that expires is reported
//! as evicted.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::{Class, Event, Listener, OpError};
use convoke_hazelcast::codec::entry_event;
use convoke_hazelcast::codec::events::EntryEvent;
use convoke_hazelcast::codec::replicated_map::{self, Request};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::message::MessageType;
use convoke_hazelcast::query::Query;
use uuid::Uuid;

use super::super::cleared;
use super::super::errors::Failure;
use super::super::keys::{Format, client_key, write_key};
use super::super::map::filter::{Filter, Filtered};
use super::super::map::listeners::Registration;
use super::super::names;
use super::super::session::Session;
use super::super::view;

/// A listener of entries.
struct EntryListener {
    registration: Registration,
    message_type: MessageType,
    /// Whether events contain values; those of near caches do not.
    include_value: bool,
    /// Events of this stored key only.
    key: Option<Box<[u8]>>,
    filter: Option<Filter<Self>>,
}

impl EntryListener {
    fn event_type(&self, event: &Event) -> Option<i32> {
        match (event.class, event.name.as_str()) {
            // Without values it is not known whether the entry is new, which matters to no near cache.
            (Class::Plain, _) if self.include_value && event.old_value.is_none() => {
                Some(entry_event::ADDED)
            }
            (Class::Plain, _) => Some(entry_event::UPDATED),
            (Class::Generic, "del") => Some(entry_event::REMOVED),
            (Class::Expired | Class::Evicted, _) => Some(entry_event::EVICTED),
            _ => None,
        }
    }
}

impl Listener for EntryListener {
    fn handle_event(&self, event: &Event) {
        if self.key.as_ref().is_some_and(|key| **key != *event.key) {
            return;
        }
        if self.event_type(event).is_none() || !self.registration.is_wanted(&event.key) {
            return;
        }
        self.send_matching(event);
    }

    fn wants_values(&self) -> bool {
        self.include_value || self.filter.is_some()
    }
}

impl Filtered for EntryListener {
    fn filter(&self) -> Option<&Filter<Self>> {
        self.filter.as_ref()
    }

    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn format(&self) -> Format {
        Format::Blobs
    }

    fn send(&self, event: &Event) {
        let Some(event_type) = self.event_type(event) else { return };
        let Some(key) = client_key(&event.key) else { return };
        let blob = |value: &'_ Option<Bytes>| value.clone().filter(|_| self.include_value);
        let (value, old_value) = (blob(&event.value), blob(&event.old_value));
        let entry = EntryEvent {
            event_type,
            uuid: view::uuid(self.registration.member()),
            number_of_affected_entries: 1,
            key: Data::new(&key),
            value: value.as_deref().and_then(Data::new),
            old_value: old_value.as_deref().and_then(Data::new),
            merging_value: None,
        };
        let mut message = Vec::new();
        entry.write(&mut message, self.message_type, self.registration.correlation_id());
        self.registration.push(message, &event.key);
    }
}

/// What a request to register a listener asks for.
#[derive(Default)]
struct Wanted<'a> {
    name: &'a str,
    local_only: bool,
    excludes_value: bool,
    key: Option<Data<'a>>,
    predicate: Option<Data<'a>>,
}

/// Registers or removes a listener. Returns false if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    id: i64,
    request: &Request<'_>,
) -> Result<bool, Failure> {
    match request {
        Request::AddEntryListener(r) => {
            let wanted = Wanted { name: r.name, local_only: r.local_only, ..Wanted::default() };
            let uuid = add(session, id, replicated_map::AddEntryListener::ENTRY, &wanted)?;
            replicated_map::AddEntryListener::respond(output, id, 0, uuid);
        }
        Request::AddEntryListenerToKey(r) => {
            let wanted = Wanted {
                name: r.name,
                local_only: r.local_only,
                key: Some(r.key),
                ..Wanted::default()
            };
            let uuid = add(session, id, replicated_map::AddEntryListenerToKey::ENTRY, &wanted)?;
            replicated_map::AddEntryListenerToKey::respond(output, id, 0, uuid);
        }
        Request::AddEntryListenerWithPredicate(r) => {
            let wanted = Wanted {
                name: r.name,
                local_only: r.local_only,
                predicate: Some(r.predicate),
                ..Wanted::default()
            };
            let message_type = replicated_map::AddEntryListenerWithPredicate::ENTRY;
            let uuid = add(session, id, message_type, &wanted)?;
            replicated_map::AddEntryListenerWithPredicate::respond(output, id, 0, uuid);
        }
        Request::AddEntryListenerToKeyWithPredicate(r) => {
            let wanted = Wanted {
                name: r.name,
                local_only: r.local_only,
                key: Some(r.key),
                predicate: Some(r.predicate),
                ..Wanted::default()
            };
            let message_type = replicated_map::AddEntryListenerToKeyWithPredicate::ENTRY;
            let uuid = add(session, id, message_type, &wanted)?;
            replicated_map::AddEntryListenerToKeyWithPredicate::respond(output, id, 0, uuid);
        }
        Request::AddNearCacheEntryListener(r) => {
            let wanted = Wanted {
                name: r.name,
                local_only: r.local_only,
                excludes_value: !r.include_value,
                ..Wanted::default()
            };
            let uuid = add(session, id, replicated_map::AddNearCacheEntryListener::ENTRY, &wanted)?;
            replicated_map::AddNearCacheEntryListener::respond(output, id, 0, uuid);
        }
        Request::RemoveEntryListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            replicated_map::RemoveEntryListener::respond(output, id, 0, removed);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Adds a listener of entries and of the event that all of them were removed.
fn add(
    session: &mut Session,
    correlation_id: i64,
    message_type: MessageType,
    wanted: &Wanted<'_>,
) -> Result<Uuid, Failure> {
    let server = Arc::clone(&session.server);
    let map = server.open_stored(names::REPLICATED_MAP, wanted.name)?;
    let key = match wanted.key {
        None => None,
        Some(key) => {
            let tags = server.tags().ok_or(OpError::NoCluster)?;
            write_key(tags, key, &mut session.key);
            Some(session.key.as_slice().into())
        }
    };
    let decode = |data| {
        let query = Query::decode(data);
        query
            .map(|query| query.predicate)
            .map_err(|error| Failure::new(error.code(), error.to_string()))
    };
    let predicate = wanted.predicate.map(decode).transpose()?;
    let registration = session.listeners.registration(correlation_id, wanted.local_only);
    let cleared = session.listeners.registration(correlation_id, wanted.local_only);
    let listener = Arc::new_cyclic(|listener| EntryListener {
        registration,
        message_type,
        include_value: !wanted.excludes_value,
        key,
        filter: predicate.map(|predicate| Filter::new(predicate, listener)),
    });
    // As in Hazelcast, listeners remain when the replicated map is destroyed.
    session.listeners.register_with(None, Some((&map.name, listener)), |server| {
        Some(cleared::subscribe(server, &map.name, cleared, message_type))
    })
}
