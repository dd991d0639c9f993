//! `IQueue`, `IList`, `ISet` and `Ringbuffer`, on which reliable topics are built.
//!
//! All collections of one kind are keys of one map of the grid, which clients cannot open as an
//! `IMap`. A collection is in the partition that clients compute from its name, and each request is
//! one operation of the grid. Items are blobs; the hash in a blob is a label, which is not compared.
//!
//! Files: `kind` (the map of each kind, and the keys in it); a row for each request in `queue`,
//! `list`, `set` and `ringbuffer`; `replies`; `listeners` of items; `objects` (which collections
//! exist).

mod kind;
mod list;
mod listeners;
pub(super) mod objects;
mod queue;
mod replies;
mod ringbuffer;
mod set;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::Reply;
use convoke_grid::op::{DistinctOp, Effect, ItemsOp, KeyOp, Op, RingOp};
use convoke_hazelcast::codec::{List, Request};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;
use super::map::denied;
use super::names::Object;
use super::server::Server;
use super::session::{Begun, Respond, Session, respond, start};
pub(super) use kind::Kind;

/// Maximum number of items of a queue, list or set: that of Hazelcast for those without a limit.
const ITEMS_MAX: u64 = i32::MAX as u64;

/// A request that is one operation on one collection.
struct Row<'a> {
    kind: Kind,
    name: &'a str,
    op: KeyOp<'a>,
    respond: Respond,
    wait: Wait,
}

/// How long an operation whose reply is nil waits for another reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    No,
    /// For this many milliseconds.
    For(u64),
    /// As long as the client is connected.
    Forever,
}

impl Wait {
    /// A timeout in milliseconds, as clients send it.
    fn timeout(timeout: i64) -> Self {
        match u64::try_from(timeout) {
            Ok(0) | Err(_) => Self::No,
            Ok(wait_ms) => Self::For(wait_ms),
        }
    }
}

/// The row of a request. `None` if it is none of a collection, or about a listener.
///
/// # Errors
/// An argument is invalid.
fn row<'a>(request: &Request<'a>) -> Result<Option<Row<'a>>, Failure> {
    let row = match request {
        Request::Queue(request) => queue::row(request),
        Request::List(request) => list::row(request)?,
        Request::Set(request) => set::row(request),
        Request::Ringbuffer(request) => ringbuffer::row(request)?,
        _ => None,
    };
    // Not all clients check this before they send a request.
    if row.as_ref().is_some_and(|row| has_null(&row.op)) { Err(Failure::null()) } else { Ok(row) }
}

/// Whether an item or a value of an operation is null.
pub(super) fn has_null(op: &KeyOp<'_>) -> bool {
    let is_null = |item: &&[u8]| Data::new(item).is_some_and(Data::is_null);
    match op {
        KeyOp::Ring(RingOp::Add { items, .. })
        | KeyOp::Distinct(
            DistinctOp::Add(items)
            | DistinctOp::Remove(items)
            | DistinctOp::Retain(items)
            | DistinctOp::ContainsAll(items),
        )
        | KeyOp::Items(
            ItemsOp::Insert { items, .. }
            | ItemsOp::ContainsAll(items)
            | ItemsOp::RemoveAll(items)
            | ItemsOp::RetainAll(items),
        ) => items.iter().any(is_null),
        KeyOp::Items(
            ItemsOp::Replace(_, item) | ItemsOp::Remove(item) | ItemsOp::Position { item, .. },
        ) => is_null(item),
        _ => false,
    }
}

/// The blobs of items.
fn blobs<'a>(items: List<'a, Data<'a>>) -> Vec<&'a [u8]> {
    items.iter().map(Data::bytes).collect()
}

/// An index of a list.
///
/// # Errors
/// It is negative.
fn index(index: i32) -> Result<u64, Failure> {
    u64::try_from(index).map_err(|_| {
        Failure::new(ErrorCode::IndexOutOfBounds, format!("the index {index} is negative"))
    })
}

/// Begins a request of a collection.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    if listeners::begin(session, output, correlation_id, request)? {
        return Ok(Begun::Done);
    }
    let Some(row) = row(request)? else {
        let name = request.name().unwrap_or("this message");
        return Err(Failure::unsupported(name, "this form of the request"));
    };
    if !session.trust.may_write() && Op::Key(&[], row.op.clone()).effect() != Effect::Reads {
        return Err(denied());
    }
    if row.wait != Wait::No {
        return Ok(Begun::Blocking);
    }
    let server = Arc::clone(&session.server);
    let map = row.kind.open(&server.grid)?;
    let partition = kind::key(&server, row.name, &mut session.key)?;
    let op = Op::Key(&session.key, row.op);
    Ok(start(&server, output, correlation_id, (&map, partition), &op, row.respond))
}

/// Executes a request that waits, and appends the response.
pub(super) async fn execute(
    server: &Arc<Server>,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<(), Failure> {
    let Some(mut row) = row(request)? else { return Ok(()) };
    let map = row.kind.open(&server.grid)?;
    let waiting = server.waits.begin(Object::new(row.kind.service(), row.name));
    let mut key = Vec::new();
    let partition = kind::key(server, row.name, &mut key)?;
    if let Some(bounded) = ringbuffer::bounded(server, (&map, partition, &key), &row.op).await? {
        row.op = bounded;
    }
    let wait = match row.wait {
        Wait::No => Some(Duration::ZERO),
        Wait::For(wait_ms) => Some(Duration::from_millis(wait_ms)),
        Wait::Forever => None,
    };
    let op = Op::Key(&key, row.op);
    let reply = server.grid.block_until(&map, partition, &op, wait, waiting.unblock()).await;
    if reply == Ok(Reply::Nil) {
        waiting.check_exists()?;
        if waiting.is_leaving() {
            return Err(Failure::try_again("this member leaves; nothing was done"));
        }
    }
    respond(output, correlation_id, reply, row.respond);
    Ok(())
}
