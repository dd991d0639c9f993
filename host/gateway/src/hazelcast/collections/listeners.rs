//! Listeners of items.
//!
//! As for maps, a client that is connected to all members registers at each of them, for the events
//! of collections whose primary it is.

use std::sync::Arc;

use convoke_grid::{Class, Event, Listener};
use convoke_hazelcast::codec::events::ItemEvent;
use convoke_hazelcast::codec::{Request, item_event, list, queue, set};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::message::MessageType;
use uuid::Uuid;

use super::super::errors::Failure;
use super::super::map::listeners::Registration;
use super::super::names::Object;
use super::super::session::Session;
use super::super::view;
use super::{Kind, kind};

/// A listener of the items of one collection.
struct ItemListener {
    registration: Registration,
    message_type: MessageType,
    /// Whether events contain items.
    include_value: bool,
    /// The key of the collection.
    key: Box<[u8]>,
}

impl Listener for ItemListener {
    fn handle_event(&self, event: &Event) {
        let is_its_item = event.class == Class::Item && *event.key == *self.key;
        if !is_its_item || !self.registration.is_wanted(&event.key) {
            return;
        }
        let is_added = event.name == "added";
        let item = event.value.as_deref().filter(|_| self.include_value).and_then(Data::new);
        let message = ItemEvent {
            uuid: view::uuid(self.registration.member()),
            event_type: if is_added { item_event::ADDED } else { item_event::REMOVED },
            item,
        };
        let mut encoded = Vec::new();
        message.write(&mut encoded, self.message_type, self.registration.correlation_id());
        self.registration.push(encoded, &event.key);
    }

    fn wants_values(&self) -> bool {
        self.include_value
    }
}

/// A request to listen.
struct Wanted<'a> {
    kind: Kind,
    name: &'a str,
    include_value: bool,
    local_only: bool,
    message_type: MessageType,
}

fn register(
    session: &mut Session,
    correlation_id: i64,
    wanted: &Wanted<'_>,
) -> Result<Uuid, Failure> {
    let map = wanted.kind.open(&session.server.grid)?;
    let server = Arc::clone(&session.server);
    kind::key(&server, wanted.name, &mut session.key)?;
    let listener = Arc::new(ItemListener {
        registration: session.listeners.registration(correlation_id, wanted.local_only),
        message_type: wanted.message_type,
        include_value: wanted.include_value,
        key: session.key.as_slice().into(),
    });
    let object = Object::new(wanted.kind.service(), wanted.name);
    session.listeners.register(Some(object), &map.name, listener)
}

/// Registers or removes a listener. Returns false if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    id: i64,
    request: &Request<'_>,
) -> Result<bool, Failure> {
    macro_rules! add {
        ($module:ident, $kind:ident, $r:ident) => {{
            let wanted = Wanted {
                kind: Kind::$kind,
                name: $r.name,
                include_value: $r.include_value,
                local_only: $r.local_only,
                message_type: $module::AddListener::ITEM,
            };
            let uuid = register(session, id, &wanted)?;
            $module::AddListener::respond(output, id, 0, uuid);
        }};
    }
    macro_rules! remove {
        ($module:ident, $r:ident) => {{
            let was_there = session.listeners.remove($r.registration_id);
            $module::RemoveListener::respond(output, id, 0, was_there);
        }};
    }
    match request {
        Request::Queue(queue::Request::AddListener(r)) => add!(queue, Queue, r),
        Request::List(list::Request::AddListener(r)) => add!(list, List, r),
        Request::Set(set::Request::AddListener(r)) => add!(set, Set, r),
        Request::Queue(queue::Request::RemoveListener(r)) => remove!(queue, r),
        Request::List(list::Request::RemoveListener(r)) => remove!(list, r),
        Request::Set(set::Request::RemoveListener(r)) => remove!(set, r),
        _ => return Ok(false),
    }
    Ok(true)
}
