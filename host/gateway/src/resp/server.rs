//! The RESP server of one member: state shared by all its clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use convoke_grid::grid::OP_MS_MAX;
use convoke_grid::op::{Op, WholeOp};
use convoke_grid::{Grid, Later, Map, OpError, Reply, Started};
use parking_lot::{Mutex, RwLock};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::client::Client;
use super::client_info::ClientInfo;
use super::connection::Connection;
use super::lanes::Lanes;
use crate::databases::{DATABASES, map_name};
use crate::pubsub::PubSub;
use crate::trust::{Passwords, Trust};
use crate::{FINISH_MS_MAX, FINISH_POLL_MS};

/// A client that does not authenticate within this time is disconnected, in milliseconds.
const UNAUTHENTICATED_MS_MAX: u64 = 10_000;
/// A client that does not read pending output for this long is disconnected, in milliseconds.
const STALLED_MS_MAX: u64 = 60_000;
/// A client that sends no more data of a large incomplete request for this long is disconnected, in
/// milliseconds.
const STARVED_MS_MAX: u64 = 60_000;
/// Interval at which clients are checked for these timeouts, in milliseconds.
const CLIENT_CHECK_MS: u64 = 1_000;
/// Interval at which a member that starts checks whether it has a partition table, in milliseconds.
const PARTITIONS_POLL_MS: u64 = 5;
/// Pause after a failed `accept`, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The Redis version whose commands are implemented; client libraries check it.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

/// Settings of the RESP server.
#[derive(Clone, Debug, Default)]
pub struct RespSettings {
    /// Passwords of clients.
    pub passwords: Passwords,
    /// Maximum number of connected clients.
    pub clients_max: usize,
    /// Clients that send no command for this long are disconnected; `None` for never.
    pub idle: Option<Duration>,
    /// Whether to answer as a node of a Redis Cluster.
    pub redis_cluster: bool,
}

/// The address at which cluster clients connect to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its IP address.
    pub ip: IpAddr,
    /// The host name that clients should connect to, if one is configured.
    pub hostname: Option<String>,
    /// Its TCP port.
    pub port: u16,
}

impl Endpoint {
    /// The host that clients connect to: the host name, or else the IP address.
    #[must_use]
    pub fn host(&self) -> String {
        self.hostname.clone().unwrap_or_else(|| self.ip.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hostname {
            Some(name) => write!(f, "{name}:{}", self.port),
            None => SocketAddr::new(self.ip, self.port).fmt(f),
        }
    }
}

/// A member as presented to cluster clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Node ID, 40 characters.
    pub id: String,
    /// Member ID.
    pub member: convoke_membership::MemberId,
    /// Where it serves RESP; `None` if RESP is turned off.
    pub endpoint: Option<Endpoint>,
    /// Whether it is this member.
    pub this: bool,
    /// Whether it stores data, that is, is not a lite member.
    pub stores: bool,
}

/// The members of the cluster, provided by the owner of the server.
pub trait Cluster: Send + Sync + 'static {
    /// All members, oldest first.
    fn nodes(&self) -> Vec<ClusterNode>;
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct RespCounters {
    /// Accepted connections.
    pub accepted: AtomicU64,
    /// Connections rejected because the maximum number of clients was reached.
    pub turned_away: AtomicU64,
    /// Commands started.
    pub commands: AtomicU64,
    /// Clients disconnected because they did not read replies or messages, or did not complete a
    /// request.
    pub cut_off: AtomicU64,
    /// Failed authentication attempts.
    pub wrong_passwords: AtomicU64,
}

/// A RESP server; see the [module](self).
pub struct Server {
    pub(crate) grid: Grid,
    pub(crate) settings: RespSettings,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) pubsub: Arc<PubSub>,
    /// Counters since the start.
    pub counters: RespCounters,
    started: Instant,
    /// Value of the command counter at the last `CONFIG RESETSTAT`.
    pub(crate) counted_from: AtomicU64,
    /// The TCP port.
    pub(crate) port: u16,
    maps: RwLock<[Option<Arc<Map>>; DATABASES]>,
    client_infos: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    last_id: AtomicU64,
    /// The member is leaving: no further command starts.
    pub(crate) is_finishing: AtomicBool,
    /// Set once the server is serving.
    lanes: OnceLock<Arc<Lanes>>,
}

impl Server {
    /// Creates a server. It accepts no connections until [`serve`](Self::serve).
    #[must_use]
    pub fn new(
        grid: Grid,
        pubsub: Arc<PubSub>,
        settings: RespSettings,
        cluster: Arc<dyn Cluster>,
        port: u16,
    ) -> Arc<Self> {
        Arc::new(Self {
            grid,
            settings,
            cluster,
            pubsub,
            counters: RespCounters::default(),
            started: Instant::now(),
            counted_from: AtomicU64::new(0),
            port,
            maps: RwLock::default(),
            client_infos: Mutex::default(),
            last_id: AtomicU64::new(0),
            is_finishing: AtomicBool::new(false),
            lanes: OnceLock::new(),
        })
    }

    /// Accepts clients on all `listeners`; never returns.
    pub async fn serve(self: Arc<Self>, listeners: Vec<TcpListener>) {
        let lanes = self.lanes.get_or_init(|| {
            let lanes = Lanes::new(tokio::runtime::Handle::current().metrics().num_workers());
            lanes.start();
            lanes
        });
        self.await_partitions().await;
        for listener in listeners {
            tokio::spawn(Arc::clone(&self).accept(listener, Arc::clone(lanes)));
        }
        let mut check = tokio::time::interval(Duration::from_millis(CLIENT_CHECK_MS));
        loop {
            check.tick().await;
            self.kill_timed_out(self.elapsed_ms());
        }
    }

    /// Accepts clients on one more listener until the future is dropped. Does nothing before
    /// [`serve`](Self::serve).
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        if let Some(lanes) = self.lanes.get().cloned() {
            self.accept(listener, lanes).await;
        }
    }

    /// Waits until the number of partitions is known, so that the first clients of a member that
    /// starts get no errors; for at most [`OP_MS_MAX`], as an operation would.
    async fn await_partitions(&self) {
        let end = Instant::now() + Duration::from_millis(OP_MS_MAX);
        while self.grid.partitions() == 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(PARTITIONS_POLL_MS)).await;
        }
    }

    /// Milliseconds since the server was created, on a monotonic clock used for all timeouts of
    /// clients. Never zero, which stands for "none".
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of connected clients.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.client_infos.lock().len()
    }

    /// Stops starting commands and closes each connection once its pending replies are sent. Waits
    /// for at most [`FINISH_MS_MAX`]. Blocked commands are not waited for; they have changed
    /// nothing.
    pub async fn finish(&self) {
        self.is_finishing.store(true, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_millis(FINISH_MS_MAX);
        loop {
            let mut is_open = false;
            for info in self.client_infos() {
                is_open |= !info.is_blocked.load(Ordering::Relaxed);
                info.waker.wake();
            }
            if !is_open || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(FINISH_POLL_MS)).await;
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, lanes: Arc<Lanes>) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    if self.clients() >= self.settings.clients_max {
                        self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(reject(stream));
                        continue;
                    }
                    let Ok(at) = stream.local_addr() else { continue };
                    let Ok(stream) = without_assumed_readiness(stream) else { continue };
                    let _ = stream.set_nodelay(true);
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    let info = Arc::new(ClientInfo::new(id, from, at, self.elapsed_ms()));
                    self.add_client(&info);
                    if let Some(client) = Client::new(&self, info) {
                        let assignment = Arc::new(lanes.assign(from.ip()));
                        let connection = Connection::new(stream, client, Arc::clone(&assignment));
                        assignment.spawn(Box::new(connection));
                    } else {
                        self.remove_client(id);
                    }
                }
                Err(error) => {
                    warn!(%error, "failed to accept a RESP connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }

    /// Disconnects clients that are idle, do not authenticate, do not read replies or do not
    /// complete a request, as of `now` in [`Server::elapsed_ms`].
    fn kill_timed_out(&self, now: u64) {
        let idle_ms = self.settings.idle.map(|idle| idle.as_millis() as u64);
        for info in self.client_infos() {
            let past = |since: &AtomicU64, ms: u64| {
                let since = since.load(Ordering::Relaxed);
                since > 0 && now.saturating_sub(since) > ms
            };
            let may_idle = info.is_blocked.load(Ordering::Relaxed) || info.is_subscribed();
            let is_idle = !may_idle && idle_ms.is_some_and(|ms| past(&info.active_ms, ms));
            let is_trusted = info.is_trusted.load(Ordering::Relaxed);
            let is_unauthenticated =
                !is_trusted && now.saturating_sub(info.since_ms) > UNAUTHENTICATED_MS_MAX;
            let is_stalled = past(&info.stalled_ms, STALLED_MS_MAX);
            if is_stalled {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.peer, "closing the connection of a client that does not read its replies");
            }
            let is_starved = past(&info.starved_ms, STARVED_MS_MAX);
            if is_starved {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.peer, "closing the connection of a client that does not complete a large request");
            }
            if is_idle || is_unauthenticated || is_stalled || is_starved {
                info.kill();
            }
        }
    }

    pub(crate) fn client_infos(&self) -> Vec<Arc<ClientInfo>> {
        self.client_infos.lock().values().cloned().collect()
    }

    fn add_client(&self, info: &Arc<ClientInfo>) {
        self.client_infos.lock().insert(info.id, Arc::clone(info));
    }

    pub(crate) fn remove_client(&self, id: u64) {
        self.client_infos.lock().remove(&id);
    }

    /// Checks a password, for a user name if one is given. Returns the permissions, or `None` if it
    /// is wrong, which is counted.
    pub(crate) fn trust_of(&self, user: Option<&[u8]>, password: &[u8]) -> Option<Trust> {
        let trust = self.settings.passwords.trust_of(user, password);
        if trust.is_none() {
            self.counters.wrong_passwords.fetch_add(1, Ordering::Relaxed);
        }
        trust
    }

    /// The map of a database, opened on first use.
    pub(crate) fn database(&self, database: usize) -> Result<Arc<Map>, OpError> {
        if let Some(Some(map)) = self.maps.read().get(database) {
            return Ok(Arc::clone(map));
        }
        let map = self.grid.open(&map_name(database))?;
        if let Some(place) = self.maps.write().get_mut(database) {
            *place = Some(Arc::clone(&map));
        }
        Ok(map)
    }

    /// The databases whose maps are open on this member.
    pub(crate) fn databases(&self) -> Vec<(usize, Arc<Map>)> {
        let known = self.grid.maps();
        (0..DATABASES)
            .filter_map(|database| {
                let name = map_name(database);
                let map = known.iter().find(|map| *map.name == name)?;
                Some((database, Arc::clone(map)))
            })
            .collect()
    }

    /// Starts an operation in a partition. The future may be ready at once.
    pub(crate) fn submit(
        &self,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
    ) -> Later<Result<Reply, OpError>> {
        match self.grid.start(map, partition, op) {
            Started::Now(reply) => Box::pin(std::future::ready(reply)),
            Started::Later(later) => later,
        }
    }

    /// Whether commands on all keys include a partition: all partitions, or, with
    /// `--redis-cluster`, those whose primary is this member, since cluster clients add up the
    /// replies of the nodes.
    pub(crate) fn reports_partition(&self, partition: u16) -> bool {
        let is_primary = || {
            let table = self.grid.table();
            let primary =
                table.and_then(|table| table.partitions.get(usize::from(partition))?.primary());
            primary == Some(self.grid.me())
        };
        !self.settings.redis_cluster || is_primary()
    }

    /// Runs an operation in all partitions that [`reports_partition`](Self::reports_partition)
    /// includes.
    pub(crate) async fn submit_all(
        &self,
        map: &Arc<Map>,
        op: WholeOp<'_>,
    ) -> Result<Vec<Reply>, OpError> {
        let op = Op::Whole(op);
        let reported =
            (0..self.grid.partitions()).filter(|partition| self.reports_partition(*partition));
        let all: Vec<_> = reported.map(|partition| self.submit(map, partition, &op)).collect();
        futures_util::future::join_all(all).await.into_iter().collect()
    }
}

/// Registers the connection with the runtime again. A stream returned by a listener is assumed to
/// be readable, so that data would be read before the kernel has reported it, ahead of connections
/// that became readable earlier.
fn without_assumed_readiness(stream: TcpStream) -> std::io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

async fn reject(mut stream: TcpStream) {
    let message = b"-ERR max number of clients reached\r\n";
    if let Err(error) = stream.write_all(message).await {
        debug!(%error, "client disconnected before it was rejected");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{client_of, server_with, single_member_grid};

    #[tokio::test]
    async fn clients_are_disconnected_when_idle_or_not_reading_for_too_long() {
        let idle_ms = 30 * 60_000;
        let settings = RespSettings {
            clients_max: 10,
            idle: Some(Duration::from_millis(idle_ms)),
            ..RespSettings::default()
        };
        let server = server_with(single_member_grid(), settings);
        let client = client_of(&server, Trust::Full);
        let info = &client.info;
        server.add_client(info);
        // No timeout has expired yet.
        let now = server.elapsed_ms();
        assert!(now > 0 && now < idle_ms, "{now}");
        server.kill_timed_out(now);
        assert!(!info.is_killed());
        server.kill_timed_out(info.active_ms.load(Ordering::Relaxed) + idle_ms);
        assert!(!info.is_killed());
        info.stalled_ms.store(now, Ordering::Relaxed);
        server.kill_timed_out(now + STALLED_MS_MAX);
        assert!(!info.is_killed());
        server.kill_timed_out(now + STALLED_MS_MAX + 1);
        assert!(info.is_killed());

        let client = client_of(&server, Trust::Full);
        server.add_client(&client.info);
        let active = client.info.active_ms.load(Ordering::Relaxed);
        server.kill_timed_out(active + idle_ms + 1);
        assert!(client.info.is_killed());
    }
}
