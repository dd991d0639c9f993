//! `IMap`: requests on one key, which are executed at once if the grid can. All others are tasks.

pub(super) mod bulk;
mod evaluation;
mod events;
mod iterate;
pub(super) mod listeners;
pub(super) mod locking;
mod near_cache;
mod query;
mod scan;
mod tasks;

use std::sync::Arc;

use convoke_grid::op::{
    Effect, ExpireIf, GenericOp, KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf,
};
use convoke_grid::{Map, Reply};
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;

use super::errors::Failure;
use super::keys::{BLOB_KIND, Format};
use super::session::{Begun, Respond, Session, start};
pub(super) use tasks::{Place, Retry, Task, run};

/// How the maps of clients are stored.
const FORMAT: Format = Format::Blobs;

/// A request on one key that is one operation of the grid.
struct KeyRequest<'a> {
    name: &'a str,
    key: Data<'a>,
    /// The thread that may hold the lock on the key; `None` for requests that ignore locks.
    thread_id: Option<i64>,
    operation: KeyOperation<'a>,
    respond: Respond,
    /// How long it waits for a lock, in milliseconds; `None` for as long as the client does.
    wait_ms: Option<u64>,
}

/// An operation whose lifetime depends on the settings of its map.
#[derive(Clone, Copy)]
enum KeyOperation<'a> {
    Get,
    Contains,
    Put { value: Data<'a>, limits: Limits, condition: PutIf<'a>, answer: PutAnswer },
    Take,
    Remove,
    Evict,
    RemoveIf(Data<'a>),
    SetTtl(Limits),
}

/// Time to live and maximum idle time in milliseconds: 0 for no limit, a negative number for that of
/// the map.
#[derive(Clone, Copy)]
struct Limits {
    ttl: i64,
    max_idle: i64,
}

impl Limits {
    const DEFAULT: Self = Self { ttl: -1, max_idle: -1 };

    const fn ttl(ttl: i64) -> Self {
        Self { ttl, max_idle: -1 }
    }

    fn lifetime(self, map: &Map) -> Lifetime {
        if self.ttl < 0 && self.max_idle < 0 {
            return Lifetime::Default;
        }
        // A limit of 0, or longer than any deadline, is none.
        let is_none = |limit: i64| limit == 0 || limit == i64::MAX;
        let settings = map.settings();
        let has_ttl = if self.ttl < 0 { settings.ttl_ms.is_some() } else { !is_none(self.ttl) };
        let has_idle = if self.max_idle < 0 {
            settings.max_idle_ms.is_some()
        } else {
            !is_none(self.max_idle)
        };
        match (has_ttl, has_idle, u64::try_from(self.ttl)) {
            (false, false, _) => Lifetime::Forever,
            (true, false, Ok(ttl_ms)) => Lifetime::For(ttl_ms),
            _ => {
                let limit = |limit: i64| match u64::try_from(limit) {
                    Ok(_) if is_none(limit) => Some(u64::MAX),
                    limit => limit.ok(),
                };
                Lifetime::Limited { ttl_ms: limit(self.ttl), max_idle_ms: limit(self.max_idle) }
            }
        }
    }
}

impl<'a> KeyOperation<'a> {
    fn op(self, map: &Map) -> KeyOp<'a> {
        match self {
            Self::Get => KeyOp::Plain(PlainOp::Get),
            Self::Contains => KeyOp::Generic(GenericOp::Touch),
            Self::Put { value, limits, condition, answer } => KeyOp::Plain(PlainOp::Put {
                kind: BLOB_KIND,
                value: value.bytes(),
                lifetime: limits.lifetime(map),
                condition,
                answer,
            }),
            Self::Take => KeyOp::Plain(PlainOp::Take),
            Self::Remove => KeyOp::Generic(GenericOp::Remove),
            Self::Evict => KeyOp::Generic(GenericOp::Evict),
            Self::RemoveIf(value) => KeyOp::Plain(PlainOp::RemoveWhen(has_value(value))),
            Self::SetTtl(limits) => {
                KeyOp::Generic(GenericOp::Expire(limits.lifetime(map), ExpireIf::default()))
            }
        }
    }
}

/// The condition that a key has this value: its type and payload, not the hash before them.
fn has_value(value: Data<'_>) -> PutIf<'_> {
    const IDENTITY_AT: u32 = 4;
    PutIf::ValueFrom(IDENTITY_AT, value.identity())
}

/// The value of a reply.
fn value(reply: &Reply) -> Option<Data<'_>> {
    match reply {
        Reply::Bytes(bytes) => Data::new(bytes),
        _ => None,
    }
}

/// Whether a reply says that something was done, or is so.
fn flag(reply: &Reply) -> bool {
    match reply {
        Reply::Integer(number) => *number != 0,
        Reply::Nil => false,
        _ => true,
    }
}

/// A function that appends the response of a request.
macro_rules! respond {
    ($request:ident: value) => {
        |output, id, reply| map::$request::respond(output, id, 0, value(&reply))
    };
    ($request:ident: flag) => {
        |output, id, reply| map::$request::respond(output, id, 0, flag(&reply))
    };
    ($request:ident: nothing) => {
        |output, id, _| map::$request::respond(output, id, 0)
    };
}

/// The request, if it is one operation on one key.
fn key_request<'a>(request: &Request<'a>) -> Option<KeyRequest<'a>> {
    use PutAnswer::{Done, Old};
    let put =
        |value, limits, condition, answer| KeyOperation::Put { value, limits, condition, answer };
    let wait = |timeout: i64| Some(u64::try_from(timeout).unwrap_or(0));
    macro_rules! row {
        ($r:ident, $operation:expr, $request:ident: $kind:ident) => {
            row!($r, Some($r.thread_id), None, $operation, $request: $kind)
        };
        ($r:ident, $thread_id:expr, $wait_ms:expr, $operation:expr, $request:ident: $kind:ident) => {
            KeyRequest {
                name: $r.name,
                key: $r.key,
                thread_id: $thread_id,
                operation: $operation,
                respond: respond!($request: $kind),
                wait_ms: $wait_ms,
            }
        };
    }
    let limits = |ttl, max_idle| Limits { ttl, max_idle };
    Some(match request {
        Request::Get(r) => row!(r, KeyOperation::Get, Get: value),
        Request::ContainsKey(r) => row!(r, KeyOperation::Contains, ContainsKey: flag),
        Request::Put(r) => {
            row!(r, put(r.value, Limits::ttl(r.ttl), PutIf::Always, Old), Put: value)
        }
        Request::PutWithMaxIdle(r) => row!(
            r,
            put(r.value, limits(r.ttl, r.max_idle), PutIf::Always, Old),
            PutWithMaxIdle: value
        ),
        Request::PutTransient(r) => {
            row!(r, put(r.value, Limits::ttl(r.ttl), PutIf::Always, Done), PutTransient: nothing)
        }
        Request::PutTransientWithMaxIdle(r) => row!(
            r,
            put(r.value, limits(r.ttl, r.max_idle), PutIf::Always, Old),
            PutTransientWithMaxIdle: value
        ),
        Request::Set(r) => {
            row!(r, put(r.value, Limits::ttl(r.ttl), PutIf::Always, Done), Set: nothing)
        }
        Request::SetWithMaxIdle(r) => row!(
            r,
            put(r.value, limits(r.ttl, r.max_idle), PutIf::Always, Old),
            SetWithMaxIdle: value
        ),
        Request::PutIfAbsent(r) => {
            row!(r, put(r.value, Limits::ttl(r.ttl), PutIf::Absent, Old), PutIfAbsent: value)
        }
        Request::PutIfAbsentWithMaxIdle(r) => row!(
            r,
            put(r.value, limits(r.ttl, r.max_idle), PutIf::Absent, Old),
            PutIfAbsentWithMaxIdle: value
        ),
        Request::TryPut(r) => row!(
            r,
            Some(r.thread_id),
            wait(r.timeout),
            put(r.value, Limits::DEFAULT, PutIf::Always, Done),
            TryPut: flag
        ),
        Request::TryRemove(r) => {
            row!(r, Some(r.thread_id), wait(r.timeout), KeyOperation::Remove, TryRemove: flag)
        }
        Request::Replace(r) => {
            row!(r, put(r.value, Limits::DEFAULT, PutIf::Present, Old), Replace: value)
        }
        Request::ReplaceIfSame(r) => row!(
            r,
            put(r.value, Limits::DEFAULT, has_value(r.test_value), Done),
            ReplaceIfSame: flag
        ),
        Request::Remove(r) => row!(r, KeyOperation::Take, Remove: value),
        Request::Delete(r) => row!(r, KeyOperation::Remove, Delete: flag),
        Request::RemoveIfSame(r) => row!(r, KeyOperation::RemoveIf(r.value), RemoveIfSame: flag),
        Request::Evict(r) => row!(r, KeyOperation::Evict, Evict: flag),
        Request::SetTtl(r) => {
            row!(r, None, None, KeyOperation::SetTtl(Limits::ttl(r.ttl)), SetTtl: flag)
        }
        _ => return None,
    })
}

/// Whether a request changes nothing.
fn is_read(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::IsLocked(_)
            | Request::GetEntryView(_)
            | Request::GetAll(_)
            | Request::KeySet(_)
            | Request::Values(_)
            | Request::EntrySet(_)
            | Request::KeySetWithPredicate(_)
            | Request::ValuesWithPredicate(_)
            | Request::EntriesWithPredicate(_)
            | Request::KeySetWithPagingPredicate(_)
            | Request::ValuesWithPagingPredicate(_)
            | Request::EntriesWithPagingPredicate(_)
            | Request::Aggregate(_)
            | Request::AggregateWithPredicate(_)
            | Request::Project(_)
            | Request::ProjectWithPredicate(_)
            | Request::FetchWithQuery(_)
            | Request::Size(_)
            | Request::IsEmpty(_)
            | Request::ContainsValue(_)
            | Request::FetchKeys(_)
            | Request::FetchEntries(_)
            | Request::Flush(_)
            | Request::FetchNearCacheInvalidationMetadata(_)
    )
}

/// A client may only read.
pub(super) fn denied() -> Failure {
    Failure::new(ErrorCode::AccessControl, "user readonly may only read")
}

/// Begins a request of a map.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &Request<'_>,
) -> Result<Begun, Failure> {
    if let Some(key_request) = key_request(request) {
        return begin_on_key(session, output, correlation_id, &key_request);
    }
    if listeners::begin(session, output, correlation_id, request)?
        || near_cache::begin(session, output, correlation_id, request)?
    {
        return Ok(Begun::Done);
    }
    if !session.trust.may_write() && !is_read(request) {
        return Err(denied());
    }
    if tasks::is_supported(request) {
        return Ok(Begun::Task);
    }
    if let Some(object) = object_to_run(request) {
        return Err(Failure::no_class(request.name(), object));
    }
    Err(Failure::unsupported(request.name(), "this request"))
}

/// What a member would have to run for a request: an object whose class only the client has.
fn object_to_run(request: &Request<'_>) -> Option<&'static str> {
    Some(match request {
        Request::ExecuteOnKey(_)
        | Request::SubmitToKey(_)
        | Request::ExecuteOnKeys(_)
        | Request::ExecuteOnAllKeys(_)
        | Request::ExecuteWithPredicate(_) => "entry processor",
        Request::ReplaceAll(_) => "function",
        Request::AddInterceptor(_) => "interceptor",
        _ => return None,
    })
}

fn begin_on_key(
    session: &mut Session,
    output: &mut Vec<u8>,
    correlation_id: i64,
    request: &KeyRequest<'_>,
) -> Result<Begun, Failure> {
    let map = session.open(request.name)?;
    let server = Arc::clone(&session.server);
    let Some(tags) = server.tags() else { return Err(convoke_grid::OpError::NoCluster.into()) };
    let partition = FORMAT.key(tags, request.key, &mut session.key);
    if matches!(request.operation, KeyOperation::Get) {
        let mut take = |value: Option<&[u8]>| {
            map::Get::respond(output, correlation_id, 0, value.and_then(Data::new));
        };
        match server.grid.get_here(&map, partition, &session.key, &mut take) {
            Some(Ok(())) => return Ok(Begun::Done),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    let op = Op::Key(&session.key, request.operation.op(&map));
    if !session.trust.may_write() && op.effect() != Effect::Reads {
        return Err(denied());
    }
    // A reply that says that it is locked may be that of another member, which comes too late for a
    // task: so a request that waits for a given time is always one.
    if request.wait_ms.is_some() {
        return Ok(Begun::Task);
    }
    Ok(start(&server, output, correlation_id, (&map, partition), &op, request.respond))
}
