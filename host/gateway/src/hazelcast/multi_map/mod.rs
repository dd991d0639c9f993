//! `MultiMap`: a map with several values for a key, each once, as in Hazelcast unless it is configured
//! to keep lists.
//!
//! The values of a key are a collection of distinct items, whose labels are the hashes of the blobs: two
//! values are equal if their types and payloads are.

mod bulk;
mod listeners;

use std::sync::Arc;

use convoke_grid::op::{DistinctOp, Effect, GenericOp, KeyOp, Op};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::multi_map::{self, Request};
use convoke_hazelcast::data::Data;

use super::collections;
use super::errors::Failure;
use super::keys::{Format, write_key};
use super::map::{Place, Retry, Task, denied, locking};
use super::names;
use super::session::{Begun, Respond, Session, respond, start};
use super::settings::INVOCATION_MS_MAX;
use super::whole;

/// A request on one key that is one operation of the grid.
struct KeyRequest<'a> {
    name: &'a str,
    key: Data<'a>,
    /// The thread that may hold the lock on the key.
    thread_id: i64,
    op: KeyOp<'a>,
    respond: Respond,
}

/// The values of a reply.
fn values(reply: &Reply) -> Vec<Data<'_>> {
    let Reply::List(values) = reply else { return Vec::new() };
    values.iter().filter_map(data).collect()
}

fn data(reply: &Reply) -> Option<Data<'_>> {
    if let Reply::Bytes(bytes) = reply { Data::new(bytes) } else { None }
}

fn number(reply: &Reply) -> i64 {
    if let Reply::Integer(number) = reply { *number } else { 0 }
}

/// The request, if it is one operation on one key.
fn key_request<'a>(request: &Request<'a>) -> Option<KeyRequest<'a>> {
    macro_rules! row {
        ($r:ident, $op:expr, $respond:expr) => {
            KeyRequest {
                name: $r.name,
                key: $r.key,
                thread_id: $r.thread_id,
                op: $op,
                respond: $respond,
            }
        };
    }
    Some(match request {
        Request::Put(r) => {
            row!(r, KeyOp::Distinct(DistinctOp::Add(vec![r.value.bytes()])), |output, id, reply| {
                multi_map::Put::respond(output, id, 0, number(&reply) > 0);
            })
        }
        Request::Get(r) => row!(r, KeyOp::Distinct(DistinctOp::All), |output, id, reply| {
            multi_map::Get::respond(output, id, 0, List::from(&values(&reply)[..]));
        }),
        Request::Remove(r) => row!(r, KeyOp::Distinct(DistinctOp::Take), |output, id, reply| {
            multi_map::Remove::respond(output, id, 0, List::from(&values(&reply)[..]));
        }),
        Request::RemoveEntry(r) => {
            let remove = DistinctOp::Remove(vec![r.value.bytes()]);
            row!(r, KeyOp::Distinct(remove), |output, id, reply| {
                multi_map::RemoveEntry::respond(output, id, 0, number(&reply) > 0);
            })
        }
        Request::Delete(r) => row!(r, KeyOp::Generic(GenericOp::Remove), |output, id, _| {
            multi_map::Delete::respond(output, id, 0);
        }),
        Request::ContainsKey(r) => {
            row!(r, KeyOp::Generic(GenericOp::Touch), |output, id, reply| {
                multi_map::ContainsKey::respond(output, id, 0, number(&reply) > 0);
            })
        }
        Request::ContainsEntry(r) => {
            let contains = DistinctOp::ContainsAll(vec![r.value.bytes()]);
            row!(r, KeyOp::Distinct(contains), |output, id, reply| {
                multi_map::ContainsEntry::respond(output, id, 0, number(&reply) > 0);
            })
        }
        Request::ValueCount(r) => {
            row!(r, KeyOp::Distinct(DistinctOp::Length), |output, id, reply| {
                let count = i32::try_from(number(&reply)).unwrap_or(i32::MAX);
                multi_map::ValueCount::respond(output, id, 0, count);
            })
        }
        _ => return None,
    })
}

/// Whether a request changes nothing, and is no lock.
fn is_read(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::KeySet(_)
            | Request::Values(_)
            | Request::EntrySet(_)
            | Request::ContainsValue(_)
            | Request::Size(_)
            | Request::IsLocked(_)
    )
}

/// Begins a request of a multimap.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    if listeners::begin(session, output, correlation_id, request)? {
        return Ok(Begun::Done);
    }
    let Some(request) = key_request(request) else {
        if !session.trust.may_write() && !is_read(request) {
            return Err(denied());
        }
        return Ok(Begun::Task);
    };
    // Not all clients check this before they send a request.
    if request.key.is_null() || collections::has_null(&request.op) {
        return Err(Failure::null());
    }
    if !session.trust.may_write() && request.op_effect() != Effect::Reads {
        return Err(denied());
    }
    let map = session.open_stored(names::MULTI_MAP, request.name)?;
    let server = Arc::clone(&session.server);
    let tags = server.tags().ok_or(OpError::NoCluster)?;
    let partition = write_key(tags, request.key, &mut session.key);
    let op = Op::Key(&session.key, request.op);
    Ok(start(&server, output, correlation_id, (&map, partition), &op, request.respond))
}

impl KeyRequest<'_> {
    fn op_effect(&self) -> Effect {
        Op::Key(b"", self.op.clone()).effect()
    }
}

/// Executes a request that waits for a lock, or consists of several operations.
pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match key_request(request) {
        Some(request) => execute_on_key(task, &request).await,
        None if bulk::is_supported(request) => bulk::execute(task, request).await,
        None => execute_on_lock(task, request).await,
    }
}

/// The map of the grid that holds a multimap.
fn open(task: &Task<'_>, name: &str) -> Result<Arc<Map>, Failure> {
    task.server.open_stored(names::MULTI_MAP, name)
}

fn place(task: &Task<'_>, map: &Arc<Map>, key: Data<'_>) -> Result<Place, Failure> {
    let tags = task.server.tags().ok_or(OpError::NoCluster)?;
    let mut stored = Vec::new();
    let partition = write_key(tags, key, &mut stored);
    Ok(Place { map: Arc::clone(map), format: Format::Blobs, partition, key: stored })
}

/// Executes a request on a key as soon as no other thread has locked it.
async fn execute_on_key(task: &mut Task<'_>, request: &KeyRequest<'_>) -> Result<(), Failure> {
    let place = place(task, &open(task, request.name)?, request.key)?;
    let owner = task.client.owner(request.thread_id);
    let mut retry = Retry::new(task.server, &place.map, INVOCATION_MS_MAX);
    loop {
        let op = Box::new(Op::Key(&place.key, request.op.clone()));
        let op = Op::By { owner: &owner, op };
        match task.server.submit(&place.map, place.partition, &op).await {
            Err(OpError::Held) if retry.next().await? => {}
            reply => {
                respond(&mut task.output, task.correlation_id, reply, request.respond);
                return Ok(());
            }
        }
    }
}

async fn execute_on_lock(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::Lock(r) => {
            let place = place(task, &open(task, r.name)?, r.key)?;
            let reference = locking::reference(r.thread_id, r.reference_id, false);
            locking::lock_or_fail(task, place, reference, r.ttl).await?;
            multi_map::Lock::respond(&mut task.output, id, 0);
        }
        Request::TryLock(r) => {
            let place = place(task, &open(task, r.name)?, r.key)?;
            let reference = locking::reference(r.thread_id, r.reference_id, false);
            let wait_ms = u64::try_from(r.timeout).unwrap_or(0);
            let is_locked = locking::lock(task, place, reference, r.lease, wait_ms).await?;
            multi_map::TryLock::respond(&mut task.output, id, 0, is_locked);
        }
        Request::IsLocked(r) => {
            let place = place(task, &open(task, r.name)?, r.key)?;
            let is_locked = locking::is_locked(task, &place).await?;
            multi_map::IsLocked::respond(&mut task.output, id, 0, is_locked);
        }
        Request::Unlock(r) => {
            let place = place(task, &open(task, r.name)?, r.key)?;
            let reference = locking::reference(r.thread_id, r.reference_id, true);
            locking::unlock(task, place, reference).await?;
            multi_map::Unlock::respond(&mut task.output, id, 0);
        }
        Request::ForceUnlock(r) => {
            let place = place(task, &open(task, r.name)?, r.key)?;
            locking::force_unlock(task, &place).await?;
            multi_map::ForceUnlock::respond(&mut task.output, id, 0);
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

/// Removes all entries of a multimap that a client destroys.
pub(super) async fn destroy(task: &Task<'_>, name: &str) -> Result<(), Failure> {
    whole::destroy(task.server, &open(task, name)?).await
}
