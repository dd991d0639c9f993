//! The RESP server of one member: what all its clients share.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use convoke_grid::grid::OP_MS_MAX;
use convoke_grid::op::{Op, WholeOp};
use convoke_grid::{Grid, Later, Map, OpError, Reply, Started};
use parking_lot::{Mutex, RwLock};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::answer::Refusal;
use super::client::{Client, ClientInfo};
use super::commands::{Wording, is_above_zero, whole};
use super::connection::Connection;
use super::lanes::Lanes;
use crate::pubsub::PubSub;
use crate::trust::{Passwords, Trust};

/// Databases, each a map of its own.
pub const DATABASES: usize = 16;
/// A client that has not said who it is within this time is cut off.
const UNAUTHENTICATED_MS_MAX: u64 = 10_000;
/// A client that takes nothing of what is to be sent for this long is cut off.
const STALLED_MS_MAX: u64 = 60_000;
/// A client that sends nothing of a long request that it has begun for this long is cut
/// off.
const STARVED_MS_MAX: u64 = 60_000;
/// How often clients are looked through for such.
const LOOK_MS: u64 = 1_000;
/// How long a member that leaves waits for answers that its clients are owed, in milliseconds.
pub const FINISH_MS_MAX: u64 = 2_000;
/// How often it looks whether they have them.
pub(crate) const FINISH_LOOK_MS: u64 = 5;
/// How often a member that starts looks whether it is in a cluster.
const STARTED_LOOK_MS: u64 = 5;
/// A pause after the system refuses to accept.
const ACCEPT_PAUSE_MS: u64 = 100;

/// The name of a database's map.
#[must_use]
pub fn map_name(database: usize) -> String {
    format!("resp:{database}")
}

/// What clients may do.
#[derive(Clone, Debug, Default)]
pub struct RespSettings {
    /// What they must know.
    pub passwords: Passwords,
    /// Clients at once.
    pub clients_max: usize,
    /// A client that asks nothing for so long is cut off.
    pub idle: Option<Duration>,
    /// Whether to speak as a node of a Redis Cluster.
    pub redis_cluster: bool,
}

/// Where clients of a Redis Cluster dial a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its IP address.
    pub ip: IpAddr,
    /// Its name, if clients are to dial that.
    pub hostname: Option<String>,
    /// Its TCP port.
    pub port: u16,
}

impl Endpoint {
    /// What clients dial.
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

/// A member, as clients of a Redis Cluster see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Names it: 40 characters.
    pub id: String,
    /// The member's id.
    pub member: convoke_membership::MemberId,
    /// Where it serves RESP; `None` when it does not.
    pub endpoint: Option<Endpoint>,
    /// Whether this is the one that was asked.
    pub this: bool,
    /// Whether it stores data.
    pub stores: bool,
}

/// What the server asks of its member.
pub trait Cluster: Send + Sync + 'static {
    /// All members, oldest first.
    fn nodes(&self) -> Vec<ClusterNode>;
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct RespCounters {
    /// Clients that were accepted.
    pub accepted: AtomicU64,
    /// Clients that were turned away, since there were too many.
    pub turned_away: AtomicU64,
    /// Commands that were begun.
    pub commands: AtomicU64,
    /// Clients that were cut off, since they did not keep up.
    pub cut_off: AtomicU64,
    /// Wrong passwords.
    pub refused: AtomicU64,
}

/// See the [module](self).
pub struct Server {
    pub(crate) grid: Grid,
    pub(crate) settings: RespSettings,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) pubsub: Arc<PubSub>,
    /// Counts since the start.
    pub counters: RespCounters,
    started: Instant,
    /// Commands that were counted when a client last reset the count it is shown.
    pub(crate) counted_from: AtomicU64,
    /// The port that it serves at.
    pub(crate) port: u16,
    maps: RwLock<[Option<Arc<Map>>; DATABASES]>,
    client_infos: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
    last_id: AtomicU64,
    /// No further command begins.
    pub(crate) is_finishing: AtomicBool,
    /// Filled once it serves.
    lanes: OnceLock<Arc<Lanes>>,
}

impl Server {
    /// A server that serves nobody yet.
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

    /// Serves on all `listeners` for as long as the process runs.
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
        let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
        loop {
            look.tick().await;
            self.look_through(self.elapsed_ms());
        }
    }

    /// Serves on one more, once [`serve`](Self::serve) runs; until this is dropped.
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        if let Some(lanes) = self.lanes.get().cloned() {
            self.accept(listener, lanes).await;
        }
    }

    /// Waits until it is known how many partitions there are, so that the first clients of a
    /// member that starts are not refused; for at most [`OP_MS_MAX`], as an operation would.
    async fn await_partitions(&self) {
        let end = Instant::now() + Duration::from_millis(OP_MS_MAX);
        while self.grid.partitions() == 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(STARTED_LOOK_MS)).await;
        }
    }

    /// Milliseconds since it was made, by a monotonic clock: all elapsed times are measured
    /// by this one. Never zero, which stands for "none".
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The port that it serves at.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Clients that are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.client_infos.lock().len()
    }

    /// Lets no further command begin, and closes each connection once what it began is
    /// answered: for at most [`FINISH_MS_MAX`]. Commands that wait for something to take are
    /// not waited for; they have taken nothing.
    pub async fn finish(&self) {
        self.is_finishing.store(true, Ordering::Relaxed);
        let end = Instant::now() + Duration::from_millis(FINISH_MS_MAX);
        loop {
            let mut is_open = false;
            for info in self.client_infos() {
                is_open |= !info.is_waiting.load(Ordering::Relaxed);
                info.waker.wake();
            }
            if !is_open || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(FINISH_LOOK_MS)).await;
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, lanes: Arc<Lanes>) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    if self.clients() >= self.settings.clients_max {
                        self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
                        tokio::spawn(turn_away(stream));
                        continue;
                    }
                    let Ok(at) = stream.local_addr() else { continue };
                    let Ok(stream) = unassumed(stream) else { continue };
                    let _ = stream.set_nodelay(true);
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    let info = Arc::new(ClientInfo::new(id, from, at, self.elapsed_ms()));
                    self.add(&info);
                    if let Some(client) = Client::new(&self, info) {
                        let home = Arc::new(lanes.home(from.ip()));
                        let connection = Connection::new(stream, client, Arc::clone(&home));
                        home.seat(Box::new(connection));
                    } else {
                        self.gone(id);
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a RESP client");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }

    /// Cuts off clients that are idle, do not authenticate, or do not take what is sent, as
    /// of a moment of [`Server::elapsed_ms`].
    fn look_through(&self, now: u64) {
        let idle_ms = self.settings.idle.map(|idle| idle.as_millis() as u64);
        for info in self.client_infos() {
            let past = |since: &AtomicU64, ms: u64| {
                let since = since.load(Ordering::Relaxed);
                since > 0 && now.saturating_sub(since) > ms
            };
            let waits = info.is_waiting.load(Ordering::Relaxed) || info.is_subscribed();
            let is_idle = !waits && idle_ms.is_some_and(|ms| past(&info.active_ms, ms));
            let is_trusted = info.is_trusted.load(Ordering::Relaxed);
            let is_stranger =
                !is_trusted && now.saturating_sub(info.since_ms) > UNAUTHENTICATED_MS_MAX;
            let is_stalled = past(&info.stalled_ms, STALLED_MS_MAX);
            if is_stalled {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.from, "a client does not take its answers; it is cut off");
            }
            let is_starved = past(&info.starved_ms, STARVED_MS_MAX);
            if is_starved {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.from, "a client does not finish a long request; it is cut off");
            }
            if is_idle || is_stranger || is_stalled || is_starved {
                info.kill();
            }
        }
    }

    pub(crate) fn client_infos(&self) -> Vec<Arc<ClientInfo>> {
        self.client_infos.lock().values().cloned().collect()
    }

    fn add(&self, info: &Arc<ClientInfo>) {
        self.client_infos.lock().insert(info.id, Arc::clone(info));
    }

    pub(crate) fn gone(&self, id: u64) {
        self.client_infos.lock().remove(&id);
    }

    /// What someone may do who says to be `user` and knows this password.
    pub(crate) fn trust_of(&self, user: Option<&[u8]>, password: &[u8]) -> Option<Trust> {
        let trust = self.settings.passwords.trust_of(user, password);
        if trust.is_none() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        trust
    }

    /// The map of a database.
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

    /// Databases that were used through this member.
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

    /// Begins an operation; its answer is there later, or already.
    pub(crate) fn ask(
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

    /// Whether clients are told of a partition here: of all of them, or, by a node of a
    /// Redis Cluster, of those that it leads; clients add up what the nodes tell.
    pub(crate) fn tells_of(&self, partition: u16) -> bool {
        let leads = || {
            let table = self.grid.table();
            let leader =
                table.and_then(|table| table.partitions.get(usize::from(partition))?.primary());
            leader == Some(self.grid.me())
        };
        !self.settings.redis_cluster || leads()
    }

    /// Asks all partitions that clients are told of here.
    pub(crate) async fn ask_all(
        &self,
        map: &Arc<Map>,
        op: WholeOp<'_>,
    ) -> Result<Vec<Reply>, OpError> {
        let op = Op::Whole(op);
        let told = (0..self.grid.partitions()).filter(|partition| self.tells_of(*partition));
        let all: Vec<_> = told.map(|partition| self.ask(map, partition, &op)).collect();
        futures_util::future::join_all(all).await.into_iter().collect()
    }

    /// Removes all keys of some databases, whichever member leads the partitions.
    ///
    /// # Errors
    /// `INDETERMINATE` when only some partitions were flushed.
    pub(crate) async fn flush(&self, databases: Range<usize>) -> Result<(), Refusal> {
        const PARTITIONS: Wording =
            Wording { things: "partitions", done: "were flushed", changes: is_above_zero };
        let op = Op::Whole(WholeOp::Clear);
        // All are begun before any is waited for: one that cannot be reached delays none.
        let mut asked = Vec::new();
        for database in databases {
            let map = self.database(database)?;
            asked.extend((0..self.grid.partitions()).map(|number| self.ask(&map, number, &op)));
        }
        let replies = futures_util::future::join_all(asked).await;
        whole(replies.into_iter().map(|reply| (1, reply)).collect(), PARTITIONS)?;
        Ok(())
    }
}

/// The same connection, read only when the kernel has reported it. What a listener
/// returns is taken for ready at once: then the report of what was read already would
/// still wait, and give what arrives later a place before its turn.
fn unassumed(stream: TcpStream) -> std::io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

async fn turn_away(mut stream: TcpStream) {
    let words = b"-ERR max number of clients reached\r\n";
    if let Err(error) = stream.write_all(words).await {
        debug!(%error, "a client went before it was turned away");
    }
}

/// Milliseconds since 1970, by this machine's clock, which may be set at any time: for
/// what clients mean by such a number, never to measure how long something took.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{client_of, lone_grid, server_with};

    #[tokio::test]
    async fn clients_are_cut_off_by_how_long_they_are_idle_or_take_nothing() {
        let idle_ms = 30 * 60_000;
        let settings = RespSettings {
            clients_max: 10,
            idle: Some(Duration::from_millis(idle_ms)),
            ..RespSettings::default()
        };
        let server = server_with(lone_grid(), settings);
        let client = client_of(&server, Trust::Full);
        let info = &client.info;
        server.add(info);
        // Just now, as it was made: no bound is near.
        let now = server.elapsed_ms();
        assert!(now > 0 && now < idle_ms, "{now}");
        server.look_through(now);
        assert!(!info.is_killed());
        server.look_through(info.active_ms.load(Ordering::Relaxed) + idle_ms);
        assert!(!info.is_killed());
        info.stalled_ms.store(now, Ordering::Relaxed);
        server.look_through(now + STALLED_MS_MAX);
        assert!(!info.is_killed());
        server.look_through(now + STALLED_MS_MAX + 1);
        assert!(info.is_killed());

        let client = client_of(&server, Trust::Full);
        server.add(&client.info);
        let active = client.info.active_ms.load(Ordering::Relaxed);
        server.look_through(active + idle_ms + 1);
        assert!(client.info.is_killed());
    }
}
