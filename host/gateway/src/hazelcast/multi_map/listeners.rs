//! Listeners of the entries of a multimap. There is an event for each value. As in Hazelcast, `delete`
//! sends none.

use std::sync::Arc;

use convoke_grid::{Class, Event, Listener, OpError};
use convoke_hazelcast::codec::events::EntryEvent;
use convoke_hazelcast::codec::multi_map::{self, Request};
use convoke_hazelcast::codec::{entry_event, service_name};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::message::MessageType;
use uuid::Uuid;

use super::super::cleared;
use super::super::errors::Failure;
use super::super::keys::{client_key, write_key};
use super::super::map::listeners::Registration;
use super::super::names::{self, Object};
use super::super::session::Session;
use super::super::view;

/// A listener of entries.
struct EntryListener {
    registration: Registration,
    message_type: MessageType,
    include_value: bool,
    /// Events of this stored key only.
    key: Option<Box<[u8]>>,
}

impl Listener for EntryListener {
    fn handle_event(&self, event: &Event) {
        if self.key.as_ref().is_some_and(|key| **key != *event.key) {
            return;
        }
        let is_added = match (event.class, event.name.as_str()) {
            (Class::Item, "added") => true,
            (Class::Item, "removed") => false,
            _ => return,
        };
        if !self.registration.is_wanted(&event.key) {
            return;
        }
        let Some(key) = client_key(&event.key) else { return };
        let value = event.value.as_ref().filter(|_| self.include_value);
        let value = value.and_then(|value| Data::new(value));
        let entry = EntryEvent {
            event_type: if is_added { entry_event::ADDED } else { entry_event::REMOVED },
            uuid: view::uuid(self.registration.member()),
            number_of_affected_entries: 1,
            key: Data::new(&key),
            value: value.filter(|_| is_added),
            old_value: value.filter(|_| !is_added),
            merging_value: None,
        };
        let mut message = Vec::new();
        entry.write(&mut message, self.message_type, self.registration.correlation_id());
        self.registration.push(message, &event.key);
    }

    fn wants_values(&self) -> bool {
        self.include_value
    }
}

/// Registers or removes a listener. Returns false if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<bool, Failure> {
    match request {
        Request::AddEntryListener(r) => {
            let message_type = multi_map::AddEntryListener::ENTRY;
            let registration = session.listeners.registration(correlation_id, r.local_only);
            let cleared = session.listeners.registration(correlation_id, r.local_only);
            let listener = EntryListener {
                registration,
                message_type,
                include_value: r.include_value,
                key: None,
            };
            let uuid = add(session, r.name, listener, cleared)?;
            multi_map::AddEntryListener::respond(output, correlation_id, 0, uuid);
        }
        Request::AddEntryListenerToKey(r) => {
            let server = Arc::clone(&session.server);
            let tags = server.tags().ok_or(OpError::NoCluster)?;
            write_key(tags, r.key, &mut session.key);
            let key = Some(session.key.as_slice().into());
            let message_type = multi_map::AddEntryListenerToKey::ENTRY;
            let registration = session.listeners.registration(correlation_id, r.local_only);
            let cleared = session.listeners.registration(correlation_id, r.local_only);
            let listener =
                EntryListener { registration, message_type, include_value: r.include_value, key };
            let uuid = add(session, r.name, listener, cleared)?;
            multi_map::AddEntryListenerToKey::respond(output, correlation_id, 0, uuid);
        }
        Request::RemoveEntryListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            multi_map::RemoveEntryListener::respond(output, correlation_id, 0, removed);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Adds a listener of entries and of the event that all of them were removed.
fn add(
    session: &mut Session,
    name: &str,
    listener: EntryListener,
    cleared: Registration,
) -> Result<Uuid, Failure> {
    let server = Arc::clone(&session.server);
    let map = server.open_stored(names::MULTI_MAP, name)?;
    let message_type = listener.message_type;
    let object = Object::new(service_name::MULTI_MAP, name);
    let listener: (&str, Arc<dyn Listener>) = (&map.name, Arc::new(listener));
    session.listeners.register_with(Some(object), Some(listener), |server| {
        Some(cleared::subscribe(server, &map.name, cleared, message_type))
    })
}
