//! `ReplicatedMap`: a map of the grid with the interface of Hazelcast's replicated map.
//!
//! Its entries are stored on as many members as those of any map, not on all, and a request goes to
//! the primary of its key: so clients read what was written last. Clients that keep copies of the
//! entries (near caches) are notified of changes.

mod bulk;
mod listeners;

use std::sync::Arc;

use convoke_grid::op::{
    Effect, GenericOp, KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf, WholeOp,
};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::replicated_map::{self, Request};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;
use super::keys::{BLOB_KIND, write_key};
use super::map::{Task, denied};
use super::names;
use super::session::{Begun, Respond, Session, start};
use super::whole;

/// A request on one key that is one operation of the grid.
struct KeyRequest<'a> {
    name: &'a str,
    key: Data<'a>,
    op: KeyOp<'a>,
    respond: Respond,
}

/// The lifetime of an entry, from the time to live in milliseconds: with 0 it does not expire.
fn lifetime(ttl: i64) -> Lifetime {
    match u64::try_from(ttl) {
        Ok(ttl_ms) if (1..i64::MAX).contains(&ttl) => Lifetime::For(ttl_ms),
        _ => Lifetime::Forever,
    }
}

fn put(value: Data<'_>, ttl: i64, answer: PutAnswer) -> KeyOp<'_> {
    KeyOp::Plain(PlainOp::Put {
        kind: BLOB_KIND,
        value: value.bytes(),
        lifetime: lifetime(ttl),
        condition: PutIf::Always,
        answer,
    })
}

fn value(reply: &Reply) -> Option<Data<'_>> {
    if let Reply::Bytes(bytes) = reply { Data::new(bytes) } else { None }
}

/// The request, if it is one operation on one key.
fn key_request<'a>(request: &Request<'a>) -> Option<KeyRequest<'a>> {
    let (name, key, op, respond): (_, _, _, Respond) = match request {
        Request::Put(r) => {
            (r.name, r.key, put(r.value, r.ttl, PutAnswer::Old), |output, id, reply| {
                replicated_map::Put::respond(output, id, 0, value(&reply));
            })
        }
        Request::Get(r) => (r.name, r.key, KeyOp::Plain(PlainOp::Get), |output, id, reply| {
            replicated_map::Get::respond(output, id, 0, value(&reply));
        }),
        Request::Remove(r) => (r.name, r.key, KeyOp::Plain(PlainOp::Take), |output, id, reply| {
            replicated_map::Remove::respond(output, id, 0, value(&reply));
        }),
        Request::ContainsKey(r) => {
            (r.name, r.key, KeyOp::Generic(GenericOp::Touch), |output, id, reply| {
                replicated_map::ContainsKey::respond(output, id, 0, reply == Reply::Integer(1));
            })
        }
        _ => return None,
    };
    Some(KeyRequest { name, key, op, respond })
}

/// Whether a request of several keys changes nothing.
fn is_read(request: &Request<'_>) -> bool {
    !matches!(request, Request::PutAll(_) | Request::PutAllWithMetadata(_) | Request::Clear(_))
}

/// Begins a request of a replicated map.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    if let Request::Put(put) = request
        && put.ttl < 0
    {
        let text = format!("the time to live is negative: {} ms", put.ttl);
        return Err(Failure::new(ErrorCode::IllegalArgument, text));
    }
    if let Some(request) = key_request(request) {
        return begin_on_key(session, output, correlation_id, request);
    }
    if listeners::begin(session, output, correlation_id, request)? {
        return Ok(Begun::Done);
    }
    if !session.trust.may_write() && !is_read(request) {
        return Err(denied());
    }
    if let Request::EndEntryViewIteration(_) = request {
        // An iteration is described by its cursor, so there is nothing to end.
        replicated_map::EndEntryViewIteration::respond(output, correlation_id, 0);
        return Ok(Begun::Done);
    }
    Ok(Begun::Task)
}

fn begin_on_key(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: KeyRequest<'_>,
) -> Result<Begun, Failure> {
    let map = session.open_stored(names::REPLICATED_MAP, request.name)?;
    let server = Arc::clone(&session.server);
    let tags = server.tags().ok_or(OpError::NoCluster)?;
    let partition = write_key(tags, request.key, &mut session.key);
    if matches!(request.op, KeyOp::Plain(PlainOp::Get)) {
        let mut take = |value: Option<&[u8]>| {
            replicated_map::Get::respond(output, correlation_id, 0, value.and_then(Data::new));
        };
        match server.grid.get_here(&map, partition, &session.key, &mut take) {
            Some(Ok(())) => return Ok(Begun::Done),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    let op = Op::Key(&session.key, request.op);
    if !session.trust.may_write() && op.effect() != Effect::Reads {
        return Err(denied());
    }
    Ok(start(&server, output, correlation_id, (&map, partition), &op, request.respond))
}

/// Executes a request of several keys, or of all.
pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    bulk::execute(task, request).await
}

/// The map of the grid that holds a replicated map.
fn open(task: &Task<'_>, name: &str) -> Result<Arc<Map>, Failure> {
    task.server.open_stored(names::REPLICATED_MAP, name)
}

/// Removes all entries of a replicated map that a client destroys.
pub(super) async fn destroy(task: &Task<'_>, name: &str) -> Result<(), Failure> {
    whole::sum(task.server, &open(task, name)?, WholeOp::Clear).await?;
    Ok(())
}
