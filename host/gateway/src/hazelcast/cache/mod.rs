//! `ICache`: the caches of JCache (JSR 107).
//!
//! The entries of a cache are in a map of the grid, `hazelcast:cache:` and its full name. Each operation on an
//! entry is one of [`CacheOp`], which decides by the expiry policy. A client that has synchronous
//! listeners numbers its operations; the grid publishes such a number after the events of the
//! operation, and the listeners of that client send it on.
//!
//! Files import only those above their own:
//!
//! 1. `settings`: what a configuration means, and what is refused.
//! 2. `configs`: the configurations of the cluster.
//! 3. `entry`: requests on one key.
//! 4. `listeners`, `bulk`: requests on several or all keys, `tasks`.

mod bulk;
mod configs;
mod entry;
mod listeners;
mod settings;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use convoke_hazelcast::codec::cache::Request;
use convoke_hazelcast::message::Message;
use uuid::Uuid;

pub(super) use configs::Configs;

use super::errors::Failure;
use super::map;
use super::server::Server;
use super::session::{Begun, Session};
use crate::trust::Trust;

/// Maximum number of operations of one request that are in progress at the same time.
const CONCURRENT_MAX: usize = 256;

/// The completion id of operations whose completion is not reported.
const NO_COMPLETION: i32 = -1;

/// Whether a request changes nothing.
fn is_read(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Get(_)
            | Request::GetAll(_)
            | Request::ContainsKey(_)
            | Request::Size(_)
            | Request::Iterate(_)
            | Request::IterateEntries(_)
            | Request::GetConfig(_)
            // Returns the configuration if there is one; only creating one is refused.
            | Request::CreateConfig(_)
            | Request::AddEntryListener(_)
            | Request::RemoveEntryListener(_)
            | Request::AddNearCacheInvalidationListener(_)
            | Request::RemoveInvalidationListener(_)
            | Request::FetchNearCacheInvalidationMetadata(_)
    )
}

/// Begins a request of a cache.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    message: Message<'_>,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    if !session.trust.may_write() && !is_read(request) {
        return Err(map::denied());
    }
    if let Some(begun) = entry::begin(session, output, message, request)? {
        return Ok(begun);
    }
    if let Some(begun) = listeners::begin(session, output, message, request)? {
        return Ok(begun);
    }
    tasks::begin(session, message, request)
}

/// Begins to destroy the cache of this full name, with its entries and its configuration.
pub(super) fn destroy(session: &Session, correlation_id: i64, name: &str) -> Begun {
    let (server, name): (Arc<Server>, Box<str>) = (Arc::clone(&session.server), name.into());
    Begun::Future(Box::pin(tasks::destroy(server, correlation_id, name)))
}

/// The client that is notified when an operation is done, and by which member.
///
/// ```text
/// id of the client, 16 bytes | completion id, 4 bytes | id of the member, 16 bytes, or nothing
/// ```
///
/// Exactly one member must notify the client, also while primaries change. For an operation on one
/// key it is the member that got the request, which also sends the events of the operation unless the
/// client does not know the primary. For an operation on many keys it is the primary of each
/// partition, so that its events come before.
struct Tag {
    client: Uuid,
    completion_id: i32,
    member: Option<Uuid>,
}

impl Tag {
    /// The tag of an operation; empty if the client does not wait for it to be done.
    fn encode(&self) -> Vec<u8> {
        if self.completion_id == NO_COMPLETION {
            return Vec::new();
        }
        let mut bytes = self.client.as_bytes().to_vec();
        bytes.extend_from_slice(&self.completion_id.to_be_bytes());
        if let Some(member) = self.member {
            bytes.extend_from_slice(member.as_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (client, rest) = bytes.split_first_chunk()?;
        let (completion_id, member) = rest.split_first_chunk()?;
        Some(Self {
            client: Uuid::from_bytes(*client),
            completion_id: i32::from_be_bytes(*completion_id),
            member: member.first_chunk().map(|member| Uuid::from_bytes(*member)),
        })
    }
}

fn may_write(trust: Trust) -> Result<(), Failure> {
    if trust.may_write() { Ok(()) } else { Err(map::denied()) }
}
