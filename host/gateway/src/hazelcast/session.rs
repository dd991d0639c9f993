//! The state of one connection, and how its requests begin.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use convoke_grid::op::{Effect, Op};
use convoke_grid::{Later, Map, OpError, Reply, Started};
use uuid::Uuid;

use super::client_info::ClientInfo;
use super::clients::{Client, Connected};
use super::errors::Failure;
use super::map::listeners::Listeners;
use super::names;
use super::server::Server;
use crate::trust::Trust;

/// Number of maps that a connection keeps open, for those that it uses most.
const MAPS_KEPT_MAX: usize = 8;

/// Appends the response to a request of this correlation id.
pub(super) type Respond = fn(&mut Vec<u8>, i64, Reply);

/// A connection; see the [module](self).
pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) info: Arc<ClientInfo>,
    pub(super) trust: Trust,
    /// The client, once it has authenticated.
    connected: Option<Connected>,
    pub(super) listeners: Listeners,
    /// The correlation id of the request to send members and partitions, and the versions that were
    /// sent.
    pub(super) view: Option<(i64, i32, i32)>,
    maps: Vec<Arc<Map>>,
    /// The stored key of the current request.
    pub(super) key: Vec<u8>,
    /// Held by a request on an entry of a cache until its operation starts, in the order of requests.
    pub(super) cache_order: Arc<tokio::sync::Mutex<()>>,
}

impl Session {
    pub(super) fn new(server: &Arc<Server>, info: Arc<ClientInfo>) -> Self {
        Self {
            server: Arc::clone(server),
            listeners: Listeners::new(server, &info),
            info,
            trust: Trust::Unauthenticated,
            connected: None,
            view: None,
            maps: Vec::new(),
            key: Vec::new(),
            cache_order: Arc::default(),
        }
    }

    /// The client. `None` before it has authenticated.
    pub(super) fn client(&self) -> Option<&Arc<Client>> {
        self.connected.as_ref().map(|connected| &connected.client)
    }

    /// The client has authenticated. Returns false if there are too many clients.
    pub(super) fn set_authenticated(&mut self, uuid: Uuid, trust: Trust) -> bool {
        let server = Arc::clone(&self.server);
        self.connected = self.server.clients.connect(uuid, move || server.elapsed_ms());
        if self.connected.is_none() {
            return false;
        }
        self.listeners.client = self.client().cloned();
        self.trust = trust;
        self.info.is_trusted.store(true, std::sync::atomic::Ordering::Relaxed);
        true
    }

    /// The map of this name, opened at its first use.
    pub(super) fn open(&mut self, name: &str) -> Result<Arc<Map>, Failure> {
        if !names::is_reserved(name)
            && let Some(map) = self.maps.iter().find(|map| *map.name == *name)
        {
            return Ok(Arc::clone(map));
        }
        let map = self.server.open(name)?;
        Ok(self.keep(map))
    }

    /// The map of the grid whose name is a prefix of [`names`](super::names) and the name of a
    /// structure, opened at its first use.
    pub(super) fn open_stored(&mut self, prefix: &str, name: &str) -> Result<Arc<Map>, Failure> {
        let is_it = |map: &&Arc<Map>| map.name.strip_prefix(prefix) == Some(name);
        if let Some(map) = self.maps.iter().find(is_it) {
            return Ok(Arc::clone(map));
        }
        let map = self.server.open_stored(prefix, name)?;
        Ok(self.keep(map))
    }

    fn keep(&mut self, map: Arc<Map>) -> Arc<Map> {
        if self.maps.len() >= MAPS_KEPT_MAX {
            self.maps.remove(0);
        }
        self.maps.push(Arc::clone(&map));
        map
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.server.remove(self.info.id);
        // Listeners refer to the connection.
        self.info.registrations.clear();
    }
}

/// A request in progress that returns its response, or what to write as one.
pub(super) type RequestFuture = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// What became of a request.
pub(super) enum Begun {
    /// The response is in the output.
    Done,
    /// An operation of the grid is in progress.
    Operation(Operation),
    /// It waits, or consists of several operations. The task gets a copy of the message.
    Task,
    /// As a task, but it may change something at any time: when the member leaves, its response is
    /// waited for. It ends when the member leaves, see [`Waits`](super::waits::Waits).
    Blocking,
    /// As a task; its output is the response.
    Future(RequestFuture),
}

/// An operation of the grid that is in progress.
pub(super) struct Operation {
    later: Later<Result<Reply, OpError>>,
    correlation_id: i64,
    respond: Respond,
    /// Whether its reply may be that the key is locked.
    pub(super) may_be_held: bool,
    /// The message, if it may be executed by a task after that.
    pub(super) message: Option<Vec<u8>>,
}

/// A request whose result is a future.
pub(super) fn begun(
    later: Later<Result<Reply, OpError>>,
    correlation_id: i64,
    respond: Respond,
) -> Begun {
    let (may_be_held, message) = (false, None);
    Begun::Operation(Operation { later, correlation_id, respond, may_be_held, message })
}

/// A request in progress; its output is the response, or what to write as one.
pub(super) enum Pending {
    Operation(Operation),
    Task(RequestFuture, TaskInfo),
}

/// A request that is complete.
pub(super) enum Completed {
    /// With the length of the message that was kept, in bytes.
    Operation(Result<Reply, OpError>, i64, Respond, usize),
    /// A key is locked: a task is to execute this message.
    Held(Vec<u8>),
    Task(Vec<u8>, TaskInfo),
}

/// What a connection knows of a task.
#[derive(Clone, Copy)]
pub(super) struct TaskInfo {
    /// Length of its request, in bytes.
    pub(super) bytes: usize,
    /// Whether it is [`Begun::Blocking`].
    pub(super) is_blocking: bool,
}

impl Future for Pending {
    type Output = Completed;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completed> {
        match self.get_mut() {
            Self::Operation(operation) => {
                operation.later.as_mut().poll(context).map(|reply| {
                    match (reply, operation.message.take()) {
                        (Err(OpError::Held), Some(message)) => Completed::Held(message),
                        (reply, message) => Completed::Operation(
                            reply,
                            operation.correlation_id,
                            operation.respond,
                            message.map_or(0, |message| message.len()),
                        ),
                    }
                })
            }
            Self::Task(task, info) => {
                task.as_mut().poll(context).map(|response| Completed::Task(response, *info))
            }
        }
    }
}

/// Appends the response to an operation.
pub(super) fn respond(
    output: &mut Vec<u8>,
    correlation_id: i64,
    reply: Result<Reply, OpError>,
    with: Respond,
) {
    match reply {
        Ok(Reply::Failed(error)) | Err(error) => {
            Failure::from(error).respond(output, correlation_id);
        }
        Ok(reply) => with(output, correlation_id, reply),
    }
}

/// Starts an operation. One on a key that another thread has locked is left to a task.
pub(super) fn start(
    server: &Server,
    output: &mut Vec<u8>,
    correlation_id: i64,
    (map, partition): (&Arc<Map>, u16),
    op: &Op<'_>,
    with: Respond,
) -> Begun {
    match server.grid.start(map, partition, op) {
        Started::Now(Err(OpError::Held)) => Begun::Task,
        Started::Now(reply) => {
            respond(output, correlation_id, reply, with);
            Begun::Done
        }
        Started::Later(later) => {
            let primary = server
                .grid
                .table()
                .and_then(|table| table.partitions.get(usize::from(partition))?.primary());
            let is_remote = primary != Some(server.grid.me());
            let may_be_held = op.effect() > Effect::Reads && (is_remote || map.has_leases());
            let (respond, message) = (with, None);
            Begun::Operation(Operation { later, correlation_id, respond, may_be_held, message })
        }
    }
}
