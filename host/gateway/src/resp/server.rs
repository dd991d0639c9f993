//! The RESP server of one member: state shared by all its clients.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use convoke_grid::op::{Op, WholeOp};
use convoke_grid::{Grid, Later, Map, OpError, Reply, Started};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::client_info::ClientInfo;
use super::dispatch;
use super::maintenance::Leave;
use super::monitor::Monitors;
use super::script_cache::Scripts;
use super::scripts::Functions;
pub use super::stats::LaneCounter;
use super::stats::Stats;
use super::tracking::Tracking;
use crate::databases::{DATABASES, map_name};
use crate::lanes::Lanes;
use crate::pubsub::PubSub;
use crate::refusals::RefusalLog;
use crate::trust::{Passwords, Trust};

/// The Redis version whose commands are implemented; client libraries check it.
pub(crate) const REDIS_VERSION: &str = "7.4.0";

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
    /// Where it serves clients of Hazelcast; `None` if it does not.
    pub hazelcast: Option<Endpoint>,
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
    pub commands: LaneCounter,
    /// Clients disconnected because they did not read replies or messages, or did not complete a
    /// request.
    pub cut_off: AtomicU64,
    /// Failed authentication attempts.
    pub wrong_passwords: AtomicU64,
}

/// Values of counters at the last `CONFIG RESETSTAT`. `INFO` shows the difference.
#[derive(Debug, Default)]
pub(crate) struct ResetCounters {
    pub(crate) commands: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) expired_fields: AtomicU64,
    pub(crate) evicted: AtomicU64,
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
}

/// Time for which the end of a pause waits for the commands that it held back, in milliseconds.
const START_MS_MAX: u64 = 100;

/// What `CLIENT PAUSE` has paused on this member.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// Until when, in milliseconds of the server's monotonic clock; 0 for no pause.
    until_ms: AtomicU64,
    /// Whether only commands that write are paused.
    only_writes: AtomicBool,
    /// Number of commands that wait for its end.
    waiting: AtomicUsize,
    /// Notified when it is ended, and when no command waits any more.
    changed: Notify,
}

/// A command that a pause holds back. It counts until this is dropped.
pub(crate) struct HeldBack(Arc<Server>);

impl HeldBack {
    fn new(server: Arc<Server>) -> Self {
        server.pause.waiting.fetch_add(1, Ordering::SeqCst);
        Self(server)
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        let pause = &self.0.pause;
        if pause.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            pause.changed.notify_waiters();
        }
    }
}

impl Pause {
    /// Number of commands that wait for its end: at most one for each client.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Pauses until a time. As in Redis, a pause is not shortened, nor are fewer commands paused
    /// while it lasts.
    pub(crate) fn begin(&self, now_ms: u64, until_ms: u64, only_writes: bool) {
        let is_paused = self.until_ms.load(Ordering::Relaxed) > now_ms;
        let pauses_all = is_paused && !self.only_writes.load(Ordering::Relaxed);
        self.only_writes.store(only_writes && !pauses_all, Ordering::Relaxed);
        if is_paused {
            self.until_ms.fetch_max(until_ms, Ordering::Relaxed);
        } else {
            self.until_ms.store(until_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn end(&self) {
        self.until_ms.store(0, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// How many milliseconds a pause lasts from now on, and whether only commands that write are
    /// paused; `None` without a pause.
    pub(crate) fn state(&self, now_ms: u64) -> Option<(u64, bool)> {
        let left_ms = self.until_ms.load(Ordering::Relaxed).saturating_sub(now_ms);
        (left_ms > 0).then(|| (left_ms, self.only_writes.load(Ordering::Relaxed)))
    }

    /// Whether a command has to wait.
    #[inline]
    pub(crate) fn holds(
        &self,
        writes: impl FnOnce() -> bool,
        now_ms: impl FnOnce() -> u64,
    ) -> bool {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        until_ms > 0
            && until_ms > now_ms()
            && (!self.only_writes.load(Ordering::Relaxed) || writes())
    }
}

/// A RESP server; see the [module](self).
pub struct Server {
    pub(crate) grid: Grid,
    pub(crate) settings: RespSettings,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) pubsub: Arc<PubSub>,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) monitors: Monitors,
    pub(crate) stats: Stats,
    /// What `CONFIG RESETSTAT` has set to zero.
    pub(crate) reset: ResetCounters,
    pub(crate) functions: Functions,
    /// Counters since the start.
    pub counters: RespCounters,
    pub(crate) refusals: RefusalLog,
    started: Instant,
    /// The TCP port.
    pub(crate) port: u16,
    maps: RwLock<[Option<Arc<Map>>; DATABASES]>,
    client_infos: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    pub(super) last_id: AtomicU64,
    pub(crate) pause: Pause,
    /// The leave of this member, once it is announced.
    pub(crate) leave: Mutex<Option<Leave>>,
    /// The member is leaving: no further command starts.
    pub(crate) is_finishing: AtomicBool,
    /// Notified then: no further client is accepted.
    pub(super) finishing: Notify,
    /// Set once the server is serving.
    pub(super) lanes: OnceLock<Arc<Lanes>>,
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
        let tracking = Tracking::new(grid.clone());
        Arc::new(Self {
            grid,
            tracking,
            monitors: Monitors::default(),
            stats: Stats::new(dispatch::command_names()),
            reset: ResetCounters::default(),
            settings,
            cluster,
            pubsub,
            scripts: Arc::default(),
            functions: Functions::default(),
            counters: RespCounters::default(),
            refusals: RefusalLog::new("RESP"),
            started: Instant::now(),
            port,
            maps: RwLock::default(),
            client_infos: Mutex::default(),
            last_id: AtomicU64::new(0),
            pause: Pause::default(),
            leave: Mutex::default(),
            is_finishing: AtomicBool::new(false),
            finishing: Notify::new(),
            lanes: OnceLock::new(),
        })
    }

    /// Milliseconds since the server was created, on a monotonic clock used for all timeouts of
    /// clients. Never zero, which stands for "none".
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Waits until a command may start that `CLIENT PAUSE` holds back.
    pub(crate) async fn pause_ended(self: Arc<Self>, writes: bool) -> HeldBack {
        let held = HeldBack::new(Arc::clone(&self));
        loop {
            let changed = self.pause.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.pause.holds(|| writes, || self.elapsed_ms()) {
                return held;
            }
            // Another client may make it longer.
            let (left_ms, _) = self.pause.state(self.elapsed_ms()).unwrap_or_default();
            let _ = tokio::time::timeout(Duration::from_millis(left_ms), changed).await;
        }
    }

    /// Waits until the commands that a pause held back have started, for a bounded time.
    pub(crate) async fn held_back_have_started(&self) {
        let started = async {
            loop {
                let changed = self.pause.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.pause.waiting() == 0 {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(START_MS_MAX), started).await;
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

    pub(crate) fn client_info(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.client_infos.lock().get(&id).cloned()
    }

    pub(crate) fn client_infos(&self) -> Vec<Arc<ClientInfo>> {
        self.client_infos.lock().values().cloned().collect()
    }

    pub(crate) fn add_client(&self, info: &Arc<ClientInfo>) {
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
