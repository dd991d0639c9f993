//! The server of one member: state shared by all its connections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use convoke_grid::op::{KeyOp, LeaseOp, Op};
use convoke_grid::{Grid, Later, Map, OpError, Reply, Started};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore};

use super::cache;
use super::client_info::ClientInfo;
use super::clients::{Clients, Due, LEASE_MS, Lock};
use super::errors::Failure;
use super::id_generator::IdGenerator;
use super::keys::{Format, LateTags, Tags};
use super::lock_reports;
use super::names;
use super::objects::Objects;
use super::schemas::Schemas;
use super::settings::{COLLECTING_MAX, HazelcastSettings};
use super::view::{self, ClusterView};
use super::waits::Waits;
use crate::databases;
use crate::lanes::Lanes;
use crate::pubsub::PubSub;
use crate::refusals::RefusalLog;
use crate::resp::server::Cluster;

/// Maximum number of times that a lock of a client that is gone is released: how often one thread
/// may have acquired it.
const RELEASES_MAX: usize = 1_000;

/// Counters since the start.
#[derive(Debug, Default)]
pub struct HazelcastCounters {
    /// Accepted connections.
    pub accepted: AtomicU64,
    /// Connections closed because the maximum number of them was reached.
    pub turned_away: AtomicU64,
    /// Requests.
    pub requests: AtomicU64,
    /// Messages that clients have published on topics.
    pub published: AtomicU64,
    /// Messages of topics that were passed on to clients.
    pub delivered: AtomicU64,
    /// Clients that were refused because of their cluster name or password.
    pub refused: AtomicU64,
    /// Connections closed because the client did not read responses or events, or did not complete a
    /// request.
    pub cut_off: AtomicU64,
}

/// A data structure: the name of its service, and its own.
pub(super) type ProxyName = (String, String);

/// A server for clients of Hazelcast; see the [module](crate::hazelcast).
pub struct Server {
    pub(super) grid: Grid,
    pub(super) pubsub: Arc<PubSub>,
    pub(super) settings: HazelcastSettings,
    cluster: Arc<dyn Cluster>,
    /// Counters since the start.
    pub counters: HazelcastCounters,
    pub(super) clients: Clients,
    pub(super) schemas: Schemas,
    /// Limits the number of requests that collect entries at the same time.
    pub(super) collecting: Semaphore,
    /// Changes of the data structures that exist, in order.
    pub(super) objects: Objects,
    pub(super) id_generator: IdGenerator,
    pub(super) caches: cache::Configs,
    tags: LateTags,
    view: RwLock<view::Shared>,
    /// The data structures that clients have named.
    pub(super) proxies: Mutex<BTreeSet<ProxyName>>,
    infos: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    pub(super) last_id: AtomicU64,
    pub(super) refusals: RefusalLog,
    started: Instant,
    port: u16,
    /// The member is leaving: no further request starts.
    pub(super) is_finishing: AtomicBool,
    /// Notified then: no further client is accepted.
    pub(super) finishing: Notify,
    /// Requests that wait.
    pub(super) waits: Waits,
    /// Set once the server is serving.
    pub(super) lanes: OnceLock<Arc<Lanes>>,
}

impl Server {
    /// Creates a server. It accepts no connections until [`serve`](Self::serve). `cluster` says
    /// where each member serves clients of Hazelcast; `port` is the port of this one.
    #[must_use]
    pub fn new(
        grid: Grid,
        pubsub: Arc<PubSub>,
        settings: HazelcastSettings,
        cluster: Arc<dyn Cluster>,
        port: u16,
    ) -> Arc<Self> {
        Arc::new(Self {
            grid,
            pubsub,
            settings,
            cluster,
            counters: HazelcastCounters::default(),
            clients: Clients::default(),
            schemas: Schemas::default(),
            collecting: Semaphore::new(COLLECTING_MAX),
            objects: Objects::default(),
            id_generator: IdGenerator::default(),
            caches: cache::Configs::default(),
            tags: LateTags::default(),
            view: RwLock::default(),
            proxies: Mutex::default(),
            infos: Mutex::default(),
            last_id: AtomicU64::new(0),
            refusals: RefusalLog::new("Hazelcast"),
            started: Instant::now(),
            port,
            is_finishing: AtomicBool::new(false),
            finishing: Notify::new(),
            waits: Waits::default(),
            lanes: OnceLock::new(),
        })
    }

    /// Milliseconds since the server was created, on a monotonic clock used for all timeouts of
    /// clients. Never zero, which stands for "none".
    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.infos.lock().len()
    }

    pub(super) fn infos(&self) -> Vec<Arc<ClientInfo>> {
        self.infos.lock().values().cloned().collect()
    }

    pub(super) fn add(&self, info: &Arc<ClientInfo>) {
        self.infos.lock().insert(info.id, Arc::clone(info));
    }

    pub(super) fn remove(&self, id: u64) {
        self.infos.lock().remove(&id);
    }

    /// The hash tags of partitions; `None` while the number of partitions is not known.
    pub(super) fn tags(&self) -> Option<&Tags> {
        self.tags.get(self.grid.partitions())
    }

    /// The map of this name.
    ///
    /// # Errors
    /// The name is that of no map of clients, or there are too many maps.
    pub(super) fn open(&self, name: &str) -> Result<Arc<Map>, Failure> {
        names::check_map(name)?;
        let map = self.grid.open(name)?;
        if databases::is_map_name(name) && !Format::of(&map).is_plain() {
            return Err(names::not_plain(name));
        }
        Ok(map)
    }

    /// The map of the grid that holds a structure; see [`names`](super::names).
    ///
    /// # Errors
    /// The name is too long or empty, or there are too many maps.
    pub(super) fn open_stored(&self, prefix: &str, name: &str) -> Result<Arc<Map>, Failure> {
        names::check_stored(prefix, name)?;
        Ok(self.grid.open_structure(&[prefix, name].concat())?)
    }

    /// Starts an operation in a partition. The future may be ready at once.
    pub(super) fn submit(
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

    /// Starts an operation on a stored key.
    pub(super) fn submit_key(
        &self,
        map: &Arc<Map>,
        partition: u16,
        key: &[u8],
        op: KeyOp<'_>,
    ) -> Later<Result<Reply, OpError>> {
        self.submit(map, partition, &Op::Key(key, op))
    }

    /// The members and partitions.
    pub(super) fn view(&self) -> view::Shared {
        Arc::clone(&self.view.read())
    }

    /// Sends the members and partitions to clients if they have changed.
    pub(super) fn refresh_view(&self) {
        let table = self.grid.table();
        let next: Option<ClusterView> = {
            let now_ms = self.grid.now_ms();
            self.view().next(&*self.cluster, table.as_deref(), now_ms)
        };
        if let Some(next) = next {
            *self.view.write() = Arc::new(next);
            for info in self.infos() {
                if info.watches_view.load(Ordering::Acquire) {
                    info.waker.wake();
                }
            }
        }
    }

    /// Renews locks, releases those of clients that are gone, and reports to other members.
    pub(super) async fn maintain_locks(&self, due: Due) {
        for (client, lock) in due.renew {
            if !self.renew(&lock).await {
                client.forget(&lock);
            }
        }
        for lock in due.release {
            self.release(&lock).await;
        }
        self.report_locks(lock_reports::Kind::Held, &due.report).await;
        self.report_locks(lock_reports::Kind::Asked, &due.ask).await;
        self.report_locks(lock_reports::Kind::Released, &due.released).await;
    }

    /// Renews a lock. Returns whether the owner still holds it.
    async fn renew(&self, lock: &Lock) -> bool {
        let renew = LeaseOp::Renew { owner: &lock.owner, lease_ms: LEASE_MS };
        let renewed = self.submit(&lock.map, lock.partition, &Op::Lease(&lock.key, renew)).await;
        // After an error it is renewed again later.
        renewed != Ok(Reply::Integer(0))
    }

    /// Releases a lock completely.
    async fn release(&self, lock: &Lock) {
        for _ in 0..RELEASES_MAX {
            let release = LeaseOp::Release { owner: &lock.owner };
            let released = self.submit(&lock.map, lock.partition, &Op::Lease(&lock.key, release));
            if !matches!(released.await, Ok(Reply::Integer(1..))) {
                return;
            }
        }
    }
}
