//! `ITopic`: messages are delivered to the listeners of all members, in the order of their publisher.
//!
//! A client that is connected to all members registers at each of them for the messages that are
//! published there; one that is connected to a single member registers for all. Nothing is stored. A
//! client that does not keep up is disconnected, so that it knows that it missed messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::{OpError, Reply, Subscriber};
use convoke_hazelcast::codec::events::TopicEvent;
use convoke_hazelcast::codec::service_name;
use convoke_hazelcast::codec::topic::{
    AddMessageListener, Publish, PublishAll, RemoveMessageListener, Request,
};
use convoke_hazelcast::data::Data;
use uuid::Uuid;

use super::errors::Failure;
use super::map::denied;
use super::map::listeners::Registration;
use super::names::{self, Object};
use super::server::Server;
use super::session::{Begun, Respond, Session, begun};
use super::view;

/// Length of the time and the member in front of the messages, in bytes.
const HEAD_BYTES: usize = 24;

/// Begins a request of a topic.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    match request {
        Request::Publish(r) => {
            let respond: Respond = |output, id, _| Publish::respond(output, id, 0);
            publish(session, r.name, &mut std::iter::once(r.message), correlation_id, respond)
        }
        Request::PublishAll(r) => {
            let respond: Respond = |output, id, _| PublishAll::respond(output, id, 0);
            publish(session, r.name, &mut r.messages.iter(), correlation_id, respond)
        }
        Request::AddMessageListener(r) => {
            names::check(r.name)?;
            let server = Arc::clone(&session.server);
            let registration = session.listeners.registration(correlation_id, r.local_only);
            let partition = server.tags().ok_or(OpError::NoCluster)?.partition_of_name(r.name);
            let listener = Arc::new(MessageListener { server, registration, partition });
            let object = Object::new(service_name::TOPIC, r.name);
            let uuid = session.listeners.register_with(Some(object), None, |server| {
                Some(server.pubsub.subscribe_shard(&names::topic(r.name), listener))
            })?;
            AddMessageListener::respond(output, correlation_id, 0, uuid);
            Ok(Begun::Done)
        }
        Request::RemoveMessageListener(r) => {
            let removed = session.listeners.remove(r.registration_id);
            RemoveMessageListener::respond(output, correlation_id, 0, removed);
            Ok(Begun::Done)
        }
    }
}

/// Publishes messages at once, so that those of one connection stay in order. The response follows
/// when all members have delivered them to their listeners.
fn publish(
    session: &Session,
    name: &str,
    messages: &mut dyn Iterator<Item = Data<'_>>,
    correlation_id: i64,
    respond: Respond,
) -> Result<Begun, Failure> {
    if !session.trust.may_write() {
        return Err(denied());
    }
    names::check(name)?;
    let server = &session.server;
    let mut payload = Vec::with_capacity(HEAD_BYTES);
    payload.extend_from_slice(&server.grid.now_ms().to_be_bytes());
    payload.extend_from_slice(view::uuid(server.grid.me()).as_bytes());
    let mut count = 0;
    for message in messages {
        let bytes = message.bytes();
        payload.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        payload.extend_from_slice(bytes);
        count += 1;
    }
    let delivered = server.grid.publish_shard(&names::topic(name), &payload)?;
    server.counters.published.fetch_add(count, Ordering::Relaxed);
    let later = Box::pin(async move {
        delivered.await;
        Ok(Reply::Done)
    });
    Ok(begun(later, correlation_id, respond))
}

/// The time, the member and the messages of a payload; none after one that is malformed.
fn messages(payload: &[u8]) -> Option<(i64, Uuid, impl Iterator<Item = Data<'_>>)> {
    let (time, rest) = payload.split_first_chunk()?;
    let (member, mut rest) = rest.split_first_chunk()?;
    let messages = std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (message, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Data::new(message)
    });
    Some((i64::from_be_bytes(*time), Uuid::from_bytes(*member), messages))
}

/// Sends the messages of a topic to a client.
struct MessageListener {
    server: Arc<Server>,
    registration: Registration,
    /// The partition of the topic's name.
    partition: u16,
}

impl Subscriber for MessageListener {
    fn deliver(&self, _: &Bytes, _: Option<&Bytes>, _: &Bytes) {}

    fn deliver_shard(&self, _: &Bytes, payload: &Bytes) {
        let Some((publish_time, uuid, messages)) = messages(payload) else { return };
        if !self.registration.is_of(uuid) {
            return;
        }
        for item in messages {
            let mut message = Vec::new();
            let event = TopicEvent { publish_time, uuid, item };
            let id = self.registration.correlation_id();
            event.write(&mut message, AddMessageListener::TOPIC, id);
            self.registration.push_of(message, Some(self.partition));
            self.server.counters.delivered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_topic_payload() {
        let mut sample = vec![0; HEAD_BYTES];
        for message in [&[7; 9][..], &[8; 30]] {
            sample.extend_from_slice(&(message.len() as u64).to_be_bytes());
            sample.extend_from_slice(message);
        }
        assert_eq!(messages(&sample).unwrap().2.count(), 2);
        convoke_harness::check!(&[&sample[..]], |bytes| {
            if let Some((.., messages)) = messages(bytes) {
                let length: usize = messages.map(|message| message.bytes().len()).sum();
                assert!(length + HEAD_BYTES <= bytes.len());
            }
        });
    }
}
