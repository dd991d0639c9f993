//! Requests that wait for a lock, or consist of several operations. Each is a future that has a copy
//! of its message, and returns the encoded response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_grid::op::Op;
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::Request as AnyRequest;
use convoke_hazelcast::codec::client::Request as ClientRequest;
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::message::Message;

use super::super::clients::Client;
use super::super::collections;
use super::super::errors::Failure;
use super::super::names::Object;
use super::super::proxies;
use super::super::schema_requests;
use super::super::server::Server;
use super::super::session::respond;
use super::super::settings::INVOCATION_MS_MAX;
use super::super::waits::Waiting;
use super::super::{flake_id, multi_map, replicated_map};
use super::{Format, KeyRequest, bulk, iterate, key_request, locking, query};

/// First interval at which a request on a locked key is tried again, in milliseconds. It doubles
/// each time.
const RETRY_MS_MIN: u64 = 2;
/// Longest such interval, in milliseconds.
const RETRY_MS_MAX: u64 = 100;

/// What a task needs.
pub(in super::super) struct Task<'a> {
    pub(in super::super) server: &'a Arc<Server>,
    pub(in super::super) client: &'a Arc<Client>,
    pub(in super::super) correlation_id: i64,
    /// The partition that the request names; negative if it names none.
    pub(in super::super) partition_id: i32,
    pub(in super::super) output: Vec<u8>,
}

/// A key in the grid.
pub(in super::super) struct Place {
    pub(in super::super) map: Arc<Map>,
    pub(in super::super) format: Format,
    pub(in super::super) partition: u16,
    pub(in super::super) key: Vec<u8>,
}

impl Task<'_> {
    pub(super) fn place(&self, name: &str, key: Data<'_>) -> Result<Place, Failure> {
        let map = self.server.open(name)?;
        let tags = self.server.tags().ok_or(OpError::NoCluster)?;
        let mut stored = Vec::new();
        let format = Format::of(&map);
        let partition = format.key(tags, key, &mut stored)?;
        Ok(Place { map, format, partition, key: stored })
    }
}

/// Waits between tries on a locked key, until a time or until the structure is destroyed.
pub(in super::super) struct Retry {
    end: Instant,
    interval_ms: u64,
    waiting: Waiting,
}

impl Retry {
    /// Tries on a key of this map for this long, in milliseconds, at most as long as clients wait.
    pub(in super::super) fn new(server: &Server, map: &Map, wait_ms: u64) -> Self {
        let wait = Duration::from_millis(wait_ms.min(INVOCATION_MS_MAX));
        let waiting = server.waits.begin(Object::of(&map.name));
        Self { end: Instant::now() + wait, interval_ms: RETRY_MS_MIN, waiting }
    }

    /// Waits for the next try. Returns false if the time has passed, and an error if the structure
    /// was destroyed.
    pub(in super::super) async fn next(&mut self) -> Result<bool, Failure> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        tokio::time::sleep(left.min(Duration::from_millis(self.interval_ms))).await;
        self.interval_ms = (self.interval_ms * 2).min(RETRY_MS_MAX);
        self.waiting.check_exists()?;
        Ok(true)
    }
}

/// Whether a request can be executed by a task.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    key_request(request).is_some()
        || locking::is_supported(request)
        || bulk::is_supported(request)
        || query::is_supported(request)
        || iterate::is_supported(request)
}

/// Executes a request, and returns the encoded response.
pub(in super::super) async fn run(
    server: Arc<Server>,
    client: Arc<Client>,
    message: Vec<u8>,
    may_write: bool,
) -> Vec<u8> {
    // It was decoded before.
    let Ok(message) = Message::parse(&message) else { return Vec::new() };
    let Ok(request) = AnyRequest::decode(message) else { return Vec::new() };
    let (correlation_id, partition_id) =
        (message.header().correlation_id, message.header().partition_id);
    let mut task =
        Task { server: &server, client: &client, correlation_id, partition_id, output: Vec::new() };
    let executed = match &request {
        AnyRequest::Map(request) => execute(&mut task, request).await,
        AnyRequest::MultiMap(request) => multi_map::execute(&mut task, request).await,
        AnyRequest::ReplicatedMap(request) => replicated_map::execute(&mut task, request).await,
        AnyRequest::FlakeIdGenerator(request) => flake_id::execute(&mut task, request).await,
        AnyRequest::Client(ClientRequest::SendSchema(r)) => {
            schema_requests::send(&server, &mut task.output, correlation_id, r.schema, may_write)
                .await
        }
        AnyRequest::Client(ClientRequest::SendAllSchemas(r)) => {
            schema_requests::send_all(
                &server,
                &mut task.output,
                correlation_id,
                r.schemas,
                may_write,
            )
            .await
        }
        AnyRequest::Client(ClientRequest::FetchSchema(r)) => {
            schema_requests::fetch(&server, &mut task.output, correlation_id, r.schema_id).await
        }
        AnyRequest::Client(ClientRequest::GetDistributedObjects(_)) => {
            proxies::write_proxies(&mut task).await
        }
        AnyRequest::Client(ClientRequest::DestroyProxy(r)) => {
            proxies::destroy(&mut task, r.service_name, r.name).await
        }
        request => collections::execute(&server, &mut task.output, correlation_id, request).await,
    };
    if let Err(failure) = executed {
        task.output.clear();
        failure.respond(&mut task.output, correlation_id);
    }
    task.output
}

async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if let Some(request) = key_request(request) {
        return execute_on_key(task, &request).await;
    }
    if locking::is_supported(request) {
        return locking::execute(task, request).await;
    }
    if query::is_supported(request) {
        return query::execute(task, request).await;
    }
    if iterate::is_supported(request) {
        return iterate::execute(task, request).await;
    }
    bulk::execute(task, request).await
}

/// Executes a request on a key as soon as no other thread has locked it.
async fn execute_on_key(task: &mut Task<'_>, request: &KeyRequest<'_>) -> Result<(), Failure> {
    let place = task.place(request.name, request.key)?;
    let respond_with = request.responds.of(place.format);
    let owner = task.client.owner(request.thread_id.unwrap_or_default());
    let wait_ms = request.wait_ms.unwrap_or(INVOCATION_MS_MAX);
    let mut retry = Retry::new(task.server, &place.map, wait_ms);
    loop {
        let op = Box::new(Op::Key(&place.key, request.operation.op(&place.map)?));
        let op = Op::By { owner: &owner, op };
        match task.server.submit(&place.map, place.partition, &op).await {
            Err(OpError::Held) if retry.next().await? => {}
            Err(OpError::Held) if request.wait_ms.is_some() => {
                respond_with(&mut task.output, task.correlation_id, Reply::flag(false));
                return Ok(());
            }
            reply => {
                respond(&mut task.output, task.correlation_id, reply, respond_with);
                return Ok(());
            }
        }
    }
}

/// Appends the response to a request without a result.
pub(super) fn respond_empty(task: &mut Task<'_>, request: &Request<'_>) {
    let (output, id) = (&mut task.output, task.correlation_id);
    match request {
        Request::PutAll(_) => map::PutAll::respond(output, id, 0),
        Request::PutAllWithMetadata(_) => map::PutAllWithMetadata::respond(output, id, 0),
        Request::AddIndex(_) => map::AddIndex::respond(output, id, 0),
        Request::Clear(_) => map::Clear::respond(output, id, 0),
        Request::EvictAll(_) => map::EvictAll::respond(output, id, 0),
        Request::RemoveAll(_) => map::RemoveAll::respond(output, id, 0),
        Request::Flush(_) => map::Flush::respond(output, id, 0),
        Request::Lock(_) => map::Lock::respond(output, id, 0),
        Request::Unlock(_) => map::Unlock::respond(output, id, 0),
        Request::ForceUnlock(_) => map::ForceUnlock::respond(output, id, 0),
        _ => {}
    }
}
