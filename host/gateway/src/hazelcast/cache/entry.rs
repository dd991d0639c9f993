//! Requests on one key, each of which is one operation of the grid.

use std::sync::Arc;

use convoke_grid::op::{CacheAction, CacheOp, CachePolicy, GenericOp, KeyOp, Op, cache_value};
use convoke_grid::{Later, OpError, Reply};
use convoke_hazelcast::codec::cache::{self, Request};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::message::Message;

use super::super::errors::Failure;
use super::super::keys::write_key;
use super::super::server::Server;
use super::super::session::{Begun, Respond, Session, respond, start};
use super::super::view;
use super::settings::{Cache, requested};
use super::{NO_COMPLETION, Tag, tasks};

/// A request on one key.
pub(super) struct EntryRequest<'a> {
    pub(super) name: &'a str,
    pub(super) key: Data<'a>,
    /// `None`: whether there is an entry.
    pub(super) action: Option<CacheAction<'a>>,
    pub(super) policy: Option<CachePolicy>,
    pub(super) completion_id: i32,
    pub(super) respond: Respond,
}

/// The value of a reply.
pub(super) fn value(reply: &Reply) -> Option<Data<'_>> {
    match reply {
        Reply::Bytes(bytes) => Data::new(bytes),
        _ => None,
    }
}

/// Whether a reply says that something was done, or is so.
pub(super) fn flag(reply: &Reply) -> bool {
    matches!(reply, Reply::Integer(number) if *number != 0)
}

/// The blob of a boolean: its header, with the type id -4, and a byte.
const fn boolean(is_true: bool) -> [u8; 9] {
    [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, is_true as u8]
}

macro_rules! respond {
    ($request:ident: value) => {
        |output, id, reply| cache::$request::respond(output, id, 0, value(&reply))
    };
    ($request:ident: flag) => {
        |output, id, reply| cache::$request::respond(output, id, 0, flag(&reply))
    };
}

/// The request, if it is one on one key.
///
/// # Errors
/// Its expiry policy is not one that is known.
pub(super) fn entry_request<'a>(
    request: &Request<'a>,
) -> Result<Option<EntryRequest<'a>>, Failure> {
    macro_rules! row {
        ($r:ident, $action:expr, $policy:expr, $completion_id:expr, $respond:expr) => {
            EntryRequest {
                name: $r.name,
                key: $r.key,
                action: $action,
                policy: match $policy {
                    Some(policy) => Some(requested(policy)?),
                    None => None,
                },
                completion_id: $completion_id,
                respond: $respond,
            }
        };
    }
    let none: Option<Data<'_>> = None;
    Ok(Some(match request {
        Request::ContainsKey(r) => {
            row!(r, None, none, NO_COMPLETION, respond!(ContainsKey: flag))
        }
        Request::Get(r) => {
            let get = Some(CacheAction::Get);
            row!(r, get, r.expiry_policy, NO_COMPLETION, respond!(Get: value))
        }
        Request::Put(r) => {
            let value = r.value.bytes();
            let action =
                if r.get { CacheAction::GetAndPut(value) } else { CacheAction::Put(value) };
            row!(r, Some(action), r.expiry_policy, r.completion_id, respond!(Put: value))
        }
        Request::PutIfAbsent(r) => {
            let action = Some(CacheAction::PutIfAbsent(r.value.bytes()));
            row!(r, action, r.expiry_policy, r.completion_id, respond!(PutIfAbsent: flag))
        }
        Request::Replace(r) => {
            let value = r.new_value.bytes();
            let action = match r.old_value {
                None => CacheAction::Replace(value),
                Some(old) => CacheAction::ReplaceIf(old.bytes(), value),
            };
            row!(r, Some(action), r.expiry_policy, r.completion_id, |output, id, reply| {
                let replaced = boolean(flag(&reply));
                cache::Replace::respond(output, id, 0, Data::new(&replaced));
            })
        }
        Request::GetAndReplace(r) => {
            let action = Some(CacheAction::GetAndReplace(r.value.bytes()));
            row!(r, action, r.expiry_policy, r.completion_id, respond!(GetAndReplace: value))
        }
        Request::Remove(r) => {
            let action = match r.current_value {
                None => CacheAction::Remove,
                Some(value) => CacheAction::RemoveIf(value.bytes()),
            };
            row!(r, Some(action), none, r.completion_id, respond!(Remove: flag))
        }
        Request::GetAndRemove(r) => {
            let action = Some(CacheAction::GetAndRemove);
            row!(r, action, none, r.completion_id, respond!(GetAndRemove: value))
        }
        _ => return Ok(None),
    }))
}

/// An operation on an entry of a cache.
pub(super) fn op<'a>(
    cache: &Cache,
    action: CacheAction<'a>,
    policy: Option<CachePolicy>,
    tag: &'a [u8],
) -> KeyOp<'a> {
    KeyOp::Cache(CacheOp {
        action,
        policy: policy.unwrap_or(cache.policy),
        overrides: policy.is_some(),
        room: cache.room,
        tag,
    })
}

/// Begins a request on one key. Returns `None` if the request is another one.
pub(super) fn begin(
    session: &mut Session,
    output: &mut Vec<u8>,
    message: Message<'_>,
    request: &Request<'_>,
) -> Result<Option<Begun>, Failure> {
    let Some(request) = entry_request(request)? else { return Ok(None) };
    let server = Arc::clone(&session.server);
    // Operations on a key start in the order of requests.
    let is_first = session.cache_order.try_lock().is_ok();
    let known = server.caches.known(&server, request.name).filter(|_| is_first);
    let Some(cache) = known else { return tasks::later(session, message).map(Some) };
    let tags = server.tags().ok_or(OpError::NoCluster)?;
    let partition = write_key(tags, request.key, &mut session.key);
    let id = message.header().correlation_id;
    let tag = Tag {
        client: session.client().map(|client| client.uuid).unwrap_or_default(),
        completion_id: request.completion_id,
        member: Some(view::uuid(server.grid.me())),
    };
    let tag = tag.encode();
    let op = match request.action {
        None => KeyOp::Generic(GenericOp::Exists),
        Some(CacheAction::Get) if request.policy.unwrap_or(cache.policy).access.is_none() => {
            let place = (partition, &session.key[..]);
            if let Some(result) = get_here(&server, &cache, place, &request, output, id) {
                return result.map(|()| Some(Begun::Done));
            }
            let get = get(&server, &cache, place, request.policy);
            let with = request.respond;
            return Ok(Some(Begun::Future(Box::pin(async move {
                let mut output = Vec::new();
                respond(&mut output, id, get.await, with);
                output
            }))));
        }
        Some(action) => op(&cache, action, request.policy, &tag),
    };
    let op = Op::Key(&session.key, op);
    Ok(Some(match start(&server, output, id, (&cache.map, partition), &op, request.respond) {
        // The keys of caches have no locks.
        Begun::Task => return Err(OpError::Held.into()),
        begun => begun,
    }))
}

/// Reads an entry whose primary is this member. `None` if it is not, or if reading moves the
/// deadline.
fn get_here(
    server: &Server,
    cache: &Cache,
    (partition, key): (u16, &[u8]),
    request: &EntryRequest<'_>,
    output: &mut Vec<u8>,
    correlation_id: i64,
) -> Option<Result<(), Failure>> {
    let (mut has_moved, mut is_valid) = (false, true);
    let mut take = |stored: Option<&[u8]>| {
        let value = match stored.map(cache_value) {
            None => None,
            Some(None) => {
                is_valid = false;
                return;
            }
            Some(Some((_, true))) if request.policy.is_none() => {
                has_moved = true;
                return;
            }
            Some(Some((value, _))) => Data::new(value),
        };
        cache::Get::respond(output, correlation_id, 0, value);
    };
    let result = server.grid.get_here(&cache.map, partition, key, &mut take)?;
    if has_moved {
        return None;
    }
    Some(match result {
        Ok(()) if !is_valid => Err(OpError::WrongType.into()),
        result => result.map_err(Failure::from),
    })
}

/// Executes a request on one key of a cache, and appends the response.
pub(super) async fn execute(
    task: &mut tasks::Task<'_>,
    request: &EntryRequest<'_>,
) -> Result<(), Failure> {
    let order = Arc::clone(task.order);
    let order = order.lock().await;
    let cache = task.find(request.name).await?;
    let (partition, key) = task.place(request.key)?;
    let tag = task.tag(request.completion_id, true);
    let started = match request.action {
        None => {
            let exists = KeyOp::Generic(GenericOp::Exists);
            task.server.submit_key(&cache.map, partition, &key, exists)
        }
        Some(CacheAction::Get) => get(task.server, &cache, (partition, &key), request.policy),
        Some(action) => {
            let op = op(&cache, action, request.policy, &tag);
            task.server.submit_key(&cache.map, partition, &key, op)
        }
    };
    drop(order);
    let reply = started.await;
    respond(&mut task.output, task.correlation_id, reply, request.respond);
    Ok(())
}

/// Starts to read an entry. An operation that may change something is only used if the deadline
/// moves, since those are refused while too few members are there.
pub(super) fn get(
    server: &Arc<Server>,
    cache: &Arc<Cache>,
    (partition, key): (u16, &[u8]),
    policy: Option<CachePolicy>,
) -> Later<Result<Reply, OpError>> {
    let get = op(cache, CacheAction::Get, policy, &[]);
    if policy.unwrap_or(cache.policy).access.is_some() {
        return server.submit_key(&cache.map, partition, key, get);
    }
    let peek = op(cache, CacheAction::Peek, policy, &[]);
    let peeked = server.submit_key(&cache.map, partition, key, peek);
    let (server, cache, key) = (Arc::clone(server), Arc::clone(cache), key.to_vec());
    Box::pin(async move {
        let reply = peeked.await?;
        if reply != Reply::Done {
            return Ok(reply);
        }
        let get = op(&cache, CacheAction::Get, policy, &[]);
        server.submit_key(&cache.map, partition, &key, get).await
    })
}
