//! Listeners of entries, and of near caches.
//!
//! The grid reports each event once to each member that listens, from the primary of its key. A
//! client that is connected to all members registers at each of them for the events of its own
//! partitions; one that is connected to a single member registers for all.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::{Class, Event, Listener};
use convoke_hazelcast::codec::events::{EntryEvent, MapInvalidation};
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::{List, Packed, entry_event};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;
use convoke_hazelcast::message::{MessageType, set_event_partition};
use convoke_membership::MemberId;
use parking_lot::Mutex;
use uuid::Uuid;

use super::super::client_info::ClientInfo;
use super::super::errors::Failure;
use super::super::server::Server;
use super::super::session::Session;
use super::super::settings::LISTENERS_MAX;
use super::super::view;
use super::FORMAT;
use crate::output_buffer::{MessageKind, OutboundMessage, OutputBuffer};

/// The listeners of one connection, until it is dropped.
pub(in super::super) struct Listeners {
    server: Arc<Server>,
    events: Arc<OutputBuffer>,
    /// The id that the client knows, and that of the grid.
    registered: Vec<(Uuid, u64)>,
}

impl Listeners {
    pub(in super::super) fn new(server: &Arc<Server>, info: &ClientInfo) -> Self {
        Self {
            server: Arc::clone(server),
            events: Arc::clone(&info.events),
            registered: Vec::new(),
        }
    }

    /// Whether there are any.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    fn add(&mut self, map: &str, listener: Arc<dyn Listener>) -> Result<Uuid, Failure> {
        self.server.open(map)?;
        self.register(map, listener)
    }

    /// Listens to a map of the grid, which may be one that clients cannot open. Returns the id for
    /// [`remove`](Self::remove).
    pub(in super::super) fn register(
        &mut self,
        map: &str,
        listener: Arc<dyn Listener>,
    ) -> Result<Uuid, Failure> {
        if self.registered.len() >= LISTENERS_MAX {
            let text = format!("this connection has {LISTENERS_MAX} listeners already");
            return Err(Failure::new(ErrorCode::IllegalState, text));
        }
        let uuid = Uuid::now_v7();
        self.registered.push((uuid, self.server.grid.listen(map, listener)));
        Ok(uuid)
    }

    /// What a client listens to, with the id of its request.
    pub(in super::super) fn registration(
        &self,
        correlation_id: i64,
        local_only: bool,
    ) -> Registration {
        let (server, events) = (Arc::clone(&self.server), Arc::clone(&self.events));
        Registration { server, events, correlation_id, local_only }
    }

    /// Ends a listener. Returns whether there was one with this id.
    pub(in super::super) fn remove(&mut self, uuid: Uuid) -> bool {
        let Some(at) = self.registered.iter().position(|(known, _)| *known == uuid) else {
            return false;
        };
        let (_, id) = self.registered.swap_remove(at);
        self.server.grid.unlisten(id);
        true
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for (_, id) in self.registered.drain(..) {
            self.server.grid.unlisten(id);
        }
    }
}

/// What a client listens to.
pub(in super::super) struct Registration {
    pub(in super::super) server: Arc<Server>,
    events: Arc<OutputBuffer>,
    pub(in super::super) correlation_id: i64,
    /// Only events of keys whose primary is this member.
    local_only: bool,
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
        if !self.local_only || key.is_empty() {
            return true;
        }
        let grid = &self.server.grid;
        let partition = usize::from(grid.partition_of(key));
        let primary = grid.table().and_then(|table| table.partitions.get(partition)?.primary());
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
        self.events.push(OutboundMessage {
            kind: MessageKind::Encoded,
            payload: message.into(),
            ..OutboundMessage::default()
        });
    }
}

/// A listener of entries.
struct EntryListener {
    registration: Registration,
    message_type: MessageType,
    /// Events that the client wants: bits of [`entry_event`].
    flags: i32,
    /// Whether events contain values.
    include_value: bool,
    /// Events of this stored key only.
    key: Option<Box<[u8]>>,
    /// The last key that was created: the event that follows is about its first value.
    created: Mutex<Option<Bytes>>,
}

impl EntryListener {
    /// The blob of a value, if the client wants values.
    fn blob<'a>(&self, value: Option<&'a Bytes>) -> Option<Data<'a>> {
        value.filter(|_| self.include_value).and_then(|value| Data::new(value))
    }

    fn event_type(&self, event: &Event) -> Option<i32> {
        match (event.class, event.name.as_str()) {
            (Class::New, _) => {
                *self.created.lock() = Some(event.key.clone());
                None
            }
            (Class::Plain, _) => {
                let mut created = self.created.lock();
                if created.as_ref() == Some(&event.key) {
                    *created = None;
                    Some(entry_event::ADDED)
                } else {
                    Some(entry_event::UPDATED)
                }
            }
            (Class::Generic, "restore") => Some(entry_event::UPDATED),
            (Class::Generic, "del") => Some(entry_event::REMOVED),
            (Class::Expired, _) => Some(entry_event::EXPIRED),
            (Class::Evicted, _) => Some(entry_event::EVICTED),
            _ => None,
        }
    }
}

impl Listener for EntryListener {
    fn handle_event(&self, event: &Event) {
        if self.key.as_ref().is_some_and(|key| **key != *event.key) {
            return;
        }
        let Some(event_type) = self.event_type(event) else { return };
        if self.flags & event_type == 0 || !self.registration.is_wanted(&event.key) {
            return;
        }
        let Some(key) = FORMAT.client_key(&event.key) else { return };
        let mut message = Vec::new();
        let entry = EntryEvent {
            event_type,
            uuid: view::uuid(self.registration.server.grid.me()),
            number_of_affected_entries: 1,
            key: Data::new(&key),
            value: self.blob(event.value.as_ref()),
            old_value: self.blob(event.old_value.as_ref()),
            merging_value: None,
        };
        entry.write(&mut message, self.message_type, self.registration.correlation_id);
        self.registration.push(message, &event.key);
    }

    fn wants_values(&self) -> bool {
        self.include_value
    }
}

/// Invalidates the entries of a near cache.
struct NearCacheListener(Registration);

impl Listener for NearCacheListener {
    fn handle_event(&self, event: &Event) {
        if matches!(event.class, Class::New) || !self.0.is_wanted(&event.key) {
            return;
        }
        let key = FORMAT.client_key(&event.key);
        if key.is_none() && event.class != Class::Cleared {
            return;
        }
        let me = view::uuid(self.0.server.grid.me());
        let mut message = Vec::new();
        let invalidation = MapInvalidation {
            source_uuid: me,
            partition_uuid: me,
            sequence: 0,
            key: key.as_deref().and_then(Data::new),
        };
        let message_type = map::AddNearCacheInvalidationListener::INVALIDATION;
        invalidation.write(&mut message, message_type, self.0.correlation_id);
        self.0.push(message, &event.key);
    }
}

/// Registers or removes a listener. Returns false if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<bool, Failure> {
    let registration =
        |session: &Session, local_only| session.listeners.registration(correlation_id, local_only);
    let entries = |session: &Session, local_only, message_type, (flags, include_value), key| {
        Arc::new(EntryListener {
            registration: registration(session, local_only),
            message_type,
            flags,
            include_value,
            key,
            created: Mutex::default(),
        })
    };
    match request {
        Request::AddEntryListener(r) => {
            let message_type = map::AddEntryListener::ENTRY;
            let listener = entries(
                session,
                r.local_only,
                message_type,
                (r.listener_flags, r.include_value),
                None,
            );
            let uuid = session.listeners.add(r.name, listener)?;
            map::AddEntryListener::respond(output, correlation_id, 0, uuid);
        }
        Request::AddEntryListenerToKey(r) => {
            let server = Arc::clone(&session.server);
            let tags = server.tags().ok_or(convoke_grid::OpError::NoCluster)?;
            FORMAT.key(tags, r.key, &mut session.key);
            let key = Some(session.key.as_slice().into());
            let message_type = map::AddEntryListenerToKey::ENTRY;
            let listener = entries(
                session,
                r.local_only,
                message_type,
                (r.listener_flags, r.include_value),
                key,
            );
            let uuid = session.listeners.add(r.name, listener)?;
            map::AddEntryListenerToKey::respond(output, correlation_id, 0, uuid);
        }
        Request::AddNearCacheInvalidationListener(r) => {
            let listener = Arc::new(NearCacheListener(registration(session, r.local_only)));
            let uuid = session.listeners.add(r.name, listener)?;
            map::AddNearCacheInvalidationListener::respond(output, correlation_id, 0, uuid);
        }
        Request::RemoveEntryListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            map::RemoveEntryListener::respond(output, correlation_id, 0, removed);
        }
        // Nothing to compare: invalidations have no sequence. One that is lost closes the connection,
        // after which clients begin with an empty near cache.
        Request::FetchNearCacheInvalidationMetadata(_) => {
            map::FetchNearCacheInvalidationMetadata::respond(
                output,
                correlation_id,
                0,
                List::default(),
                Packed::default(),
            );
        }
        _ => return Ok(false),
    }
    Ok(true)
}
