//! Listeners of entries.
//!
//! The grid reports each event once to each member that listens, from the primary of its key. A
//! client that is connected to all members registers at each of them for the events of its own
//! partitions; one that is connected to a single member registers for all.
//!
//! Those with a predicate are sent the events that match it, see [`filter`](super::filter).

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::{Class, Event, Listener, Map};
use convoke_hazelcast::codec::events::EntryEvent;
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::{entry_event, service_name};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;
use convoke_hazelcast::message::{MessageType, set_event_partition};
use convoke_hazelcast::query::Query;
use convoke_membership::MemberId;
use uuid::Uuid;

use super::super::client_info::ClientInfo;
use super::super::clients::{Client, CountedListener};
use super::super::errors::Failure;
use super::super::names::Object;
use super::super::registrations::Registered;
use super::super::server::Server;
use super::super::session::Session;
use super::super::view;
use super::Format;
use super::events::{self, MapEvent};
use super::filter::{Filter, Filtered};
use super::near_cache::NearCaches;
use crate::output_buffer::{MessageKind, OutboundMessage};
use crate::pubsub::Subscription;

/// Registers the listeners of one connection.
pub(in super::super) struct Listeners {
    server: Arc<Server>,
    info: Arc<ClientInfo>,
    /// The client, once it has authenticated.
    pub(in super::super) client: Option<Arc<Client>>,
    pub(super) near_caches: NearCaches,
    /// The id of partitions, for near caches.
    pub(super) partition_uuid: Uuid,
}

impl Listeners {
    pub(in super::super) fn new(server: &Arc<Server>, info: &Arc<ClientInfo>) -> Self {
        Self {
            server: Arc::clone(server),
            info: Arc::clone(info),
            client: None,
            near_caches: Vec::new(),
            partition_uuid: Uuid::now_v7(),
        }
    }

    /// Listens to a map of the grid, which may be one that clients cannot open, until
    /// [`remove`](Self::remove) with the id that is returned, or until a structure is destroyed.
    pub(in super::super) fn register(
        &mut self,
        object: Option<Object<'_>>,
        map: &str,
        listener: Arc<dyn Listener>,
    ) -> Result<Uuid, Failure> {
        self.register_with(object, Some((map, listener)), |_| None)
    }

    /// As [`register`](Self::register), to a map, messages or both.
    pub(in super::super) fn register_with(
        &mut self,
        object: Option<Object<'_>>,
        listener: Option<(&str, Arc<dyn Listener>)>,
        subscribe: impl FnOnce(&Server) -> Option<Subscription>,
    ) -> Result<Uuid, Failure> {
        let Some(client) = &self.client else {
            return Err(Failure::new(ErrorCode::Authentication, "authenticate first"));
        };
        let counted = CountedListener::new(client)?;
        let subscription = subscribe(&self.server);
        let registered = Registered::new(&self.server.grid, counted, listener, subscription);
        Ok(self.info.registrations.add(object, registered))
    }

    /// What a client listens to, with the id of its request.
    pub(in super::super) fn registration(
        &self,
        correlation_id: i64,
        local_only: bool,
    ) -> Registration {
        let (server, info) = (Arc::clone(&self.server), Arc::clone(&self.info));
        Registration { server, info, correlation_id, local_only }
    }

    /// Ends a listener. Returns whether there was one with this id.
    pub(in super::super) fn remove(&self, uuid: Uuid) -> bool {
        self.info.registrations.remove(uuid)
    }
}

/// What a client listens to.
pub(in super::super) struct Registration {
    pub(in super::super) server: Arc<Server>,
    pub(super) info: Arc<ClientInfo>,
    pub(in super::super) correlation_id: i64,
    /// Only events of partitions whose primary is this member.
    pub(super) local_only: bool,
}

impl Registration {
    /// The id of the request, which is that of its events.
    pub(in super::super) fn correlation_id(&self) -> i64 {
        self.correlation_id
    }

    /// This member.
    pub(in super::super) fn member(&self) -> MemberId {
        self.server.grid.me()
    }

    /// Whether the client wants what this member has published.
    pub(in super::super) fn is_of(&self, member: Uuid) -> bool {
        !self.local_only || member == view::uuid(self.member())
    }

    /// Whether the client wants the events of this key; an empty one stands for all keys.
    pub(in super::super) fn is_wanted(&self, key: &[u8]) -> bool {
        // An event of all keys of a partition reaches clients once from each member.
        key.is_empty() || self.is_wanted_of(self.server.grid.partition_of(key))
    }

    /// Whether the client wants events of this partition from this member.
    pub(in super::super) fn is_wanted_of(&self, partition: u16) -> bool {
        if !self.local_only {
            return true;
        }
        let grid = &self.server.grid;
        let primary =
            grid.table().and_then(|table| table.partitions.get(usize::from(partition))?.primary());
        primary == Some(grid.me())
    }

    /// Sends an event of a key; an empty one if it concerns all keys.
    pub(in super::super) fn push(&self, message: Vec<u8>, key: &[u8]) {
        let partition = (!key.is_empty()).then(|| self.server.grid.partition_of(key));
        self.push_of(message, partition);
    }

    /// Sends an event of a partition, if it is one. Clients pass on events in order only if they are
    /// of the same partition.
    pub(in super::super) fn push_of(&self, mut message: Vec<u8>, partition: Option<u16>) {
        if let Some(partition) = partition {
            set_event_partition(&mut message, partition.into());
        }
        self.info.events.push(OutboundMessage {
            kind: MessageKind::Encoded,
            payload: message.into(),
            ..OutboundMessage::default()
        });
    }
}

/// A listener of entries.
struct EntryListener {
    registration: Registration,
    map: Arc<Map>,
    message_type: MessageType,
    /// Events that the client wants: bits of [`entry_event`].
    flags: i32,
    /// Whether events contain values.
    include_value: bool,
    /// Events of this stored key only.
    key: Option<Box<[u8]>>,
    filter: Option<Filter<Self>>,
}

impl EntryListener {
    /// The blob of a value, if the client wants values.
    fn blob(&self, value: Option<&Bytes>) -> Option<Bytes> {
        value.filter(|_| self.include_value).map(|value| self.format().client_value(value))
    }

    fn event_type(event: &Event) -> Option<i32> {
        match (event.class, event.name.as_str()) {
            (Class::Plain, _) if event.is_first => Some(entry_event::ADDED),
            (Class::Plain, _) | (Class::Generic, "restore") => Some(entry_event::UPDATED),
            (Class::Generic, "del") => Some(entry_event::REMOVED),
            (Class::Expired, _) => Some(entry_event::EXPIRED),
            (Class::Evicted, _) => Some(entry_event::EVICTED),
            _ => None,
        }
    }

    /// Sends an event of many keys. It has no key, so that neither a key nor a predicate counts.
    fn send_map_event(&self, event: &Event) {
        let Some((kind, count)) = MapEvent::decode(event) else { return };
        let server = &self.registration.server;
        let partition = events::home(server, &event.map);
        if self.flags & kind.event_type() == 0 || !self.registration.is_wanted_of(partition) {
            return;
        }
        let entry = EntryEvent {
            event_type: kind.event_type(),
            uuid: view::uuid(server.grid.me()),
            number_of_affected_entries: count,
            key: None,
            value: None,
            old_value: None,
            merging_value: None,
        };
        self.write(&entry, partition);
    }

    fn write(&self, entry: &EntryEvent<'_>, partition: u16) {
        let mut message = Vec::new();
        entry.write(&mut message, self.message_type, self.registration.correlation_id);
        self.registration.push_of(message, Some(partition));
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
        Format::of(&self.map)
    }

    fn send(&self, event: &Event) {
        let Some(event_type) = Self::event_type(event) else { return };
        let Some(key) = self.format().client_key(&event.key) else { return };
        let value = self.blob(event.value.as_ref());
        let old_value = self.blob(event.old_value.as_ref());
        let entry = EntryEvent {
            event_type,
            uuid: view::uuid(self.registration.server.grid.me()),
            number_of_affected_entries: 1,
            key: Data::new(&key),
            value: value.as_deref().and_then(Data::new),
            old_value: old_value.as_deref().and_then(Data::new),
            merging_value: None,
        };
        self.write(&entry, self.registration.server.grid.partition_of(&event.key));
    }
}

impl Listener for EntryListener {
    fn handle_event(&self, event: &Event) {
        if event.class == Class::Announced {
            return self.send_map_event(event);
        }
        if self.key.as_ref().is_some_and(|key| **key != *event.key) {
            return;
        }
        let Some(event_type) = Self::event_type(event) else { return };
        let partition = self.registration.server.grid.partition_of(&event.key);
        if self.flags & event_type == 0 || !self.registration.is_wanted_of(partition) {
            return;
        }
        self.send_matching(event);
    }

    fn wants_values(&self) -> bool {
        self.include_value || self.filter.is_some()
    }
}

/// What a request for events of entries consists of.
struct Wanted<'a> {
    name: &'a str,
    local_only: bool,
    flags: i32,
    include_value: bool,
    key: Option<Data<'a>>,
    predicate: Option<Data<'a>>,
    message_type: MessageType,
}

/// Registers a listener of entries.
fn listen(
    session: &mut Session,
    correlation_id: i64,
    wanted: &Wanted<'_>,
) -> Result<Uuid, Failure> {
    session.server.open(wanted.name)?;
    let predicate = match wanted.predicate {
        Some(predicate) => {
            let query = Query::decode(predicate)?;
            if !query.partition_keys.is_empty() {
                return Err(Failure::unsupported("Map.addEntryListener", "a partition predicate"));
            }
            Some(query.predicate)
        }
        None => None,
    };
    let map = session.open(wanted.name)?;
    let key = match wanted.key {
        Some(key) => {
            let server = Arc::clone(&session.server);
            let tags = server.tags().ok_or(convoke_grid::OpError::NoCluster)?;
            Format::of(&map).key(tags, key, &mut session.key)?;
            Some(session.key.as_slice().into())
        }
        None => None,
    };
    let listener = Arc::new_cyclic(|listener| EntryListener {
        registration: session.listeners.registration(correlation_id, wanted.local_only),
        map,
        message_type: wanted.message_type,
        flags: wanted.flags,
        include_value: wanted.include_value,
        key,
        filter: predicate.map(|predicate| Filter::new(predicate, listener)),
    });
    let object = Object::new(service_name::MAP, wanted.name);
    session.listeners.register(Some(object), wanted.name, listener)
}

/// Registers or removes a listener. Returns false if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<bool, Failure> {
    macro_rules! listen {
        ($r:ident, $request:ident, $key:expr, $predicate:expr) => {{
            let wanted = Wanted {
                name: $r.name,
                local_only: $r.local_only,
                flags: $r.listener_flags,
                include_value: $r.include_value,
                key: $key,
                predicate: $predicate,
                message_type: map::$request::ENTRY,
            };
            let uuid = listen(session, correlation_id, &wanted)?;
            map::$request::respond(output, correlation_id, 0, uuid);
        }};
    }
    match request {
        Request::AddEntryListener(r) => listen!(r, AddEntryListener, None, None),
        Request::AddEntryListenerToKey(r) => {
            listen!(r, AddEntryListenerToKey, Some(r.key), None);
        }
        Request::AddEntryListenerWithPredicate(r) => {
            listen!(r, AddEntryListenerWithPredicate, None, Some(r.predicate));
        }
        Request::AddEntryListenerToKeyWithPredicate(r) => {
            listen!(r, AddEntryListenerToKeyWithPredicate, Some(r.key), Some(r.predicate));
        }
        Request::RemoveEntryListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            map::RemoveEntryListener::respond(output, correlation_id, 0, removed);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
