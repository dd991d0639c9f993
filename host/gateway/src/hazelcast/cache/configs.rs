//! The configurations of caches, in a map of the cluster that clients cannot open. The key is the
//! full name of the cache, the value the configuration as it was sent.
//!
//! Each member remembers what the configurations mean. It forgets one when it changes, and reads it
//! again after a while, in case the report of a change was lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use convoke_grid::op::{KeyOp, Lifetime, PlainOp, PutAnswer, PutIf};
use convoke_grid::{Event, Listener, Map, OpError, Reply};
use convoke_hazelcast::cache::CacheConfigHolder;
use convoke_hazelcast::codec::Encoded;
use convoke_hazelcast::error::ErrorCode;
use parking_lot::RwLock;

use super::super::errors::Failure;
use super::super::names::CACHES;
use super::super::server::Server;
use super::settings::Cache;

/// Name of the map of configurations among those of the host.
const CONFIGS: &str = "hazelcast-caches";
/// Maximum length of a configuration, in bytes.
const CONFIG_BYTES_MAX: usize = 256 * 1_024;
/// A configuration is read again after this time.
const REMEMBERED_MAX: Duration = Duration::from_secs(10);
/// Maximum number of configurations that are remembered.
const CACHES_MAX: usize = 1_000;
/// Maximum number of attempts to change a configuration while others do.
const CHANGES_MAX: usize = 100;

/// The caches that this member has used lately.
#[derive(Default)]
pub(in super::super) struct Configs {
    known: Arc<Known>,
    is_listening: AtomicBool,
}

/// A cache, and when its configuration was read.
type Remembered = (Arc<Cache>, Instant);

#[derive(Default)]
struct Known {
    caches: RwLock<HashMap<Box<str>, Remembered>>,
    /// Number of changes of configurations. What was read before one is not remembered after it.
    changes: AtomicU64,
}

/// Forgets configurations that change.
struct Forgets(Weak<Known>);

impl Listener for Forgets {
    fn handle_event(&self, event: &Event) {
        let Some(known) = self.0.upgrade() else { return };
        let mut caches = known.caches.write();
        known.changes.fetch_add(1, Ordering::Relaxed);
        match str::from_utf8(&event.key) {
            Ok(name) if !name.is_empty() => drop(caches.remove(name)),
            _ => caches.clear(),
        }
    }
}

impl Configs {
    /// The cache of this full name, if this member remembers it.
    pub(super) fn known(&self, server: &Arc<Server>, name: &str) -> Option<Arc<Cache>> {
        let known =
            self.known.caches.read().get(name).map(|(cache, since)| (Arc::clone(cache), *since));
        let (cache, since) = known?;
        if since.elapsed() >= REMEMBERED_MAX && self.begin_check(name) {
            let (server, name): (_, Box<str>) = (Arc::clone(server), name.into());
            tokio::spawn(async move { check(&server, &name).await });
        }
        Some(cache)
    }

    /// Whether the configuration is to be read again: once each time.
    fn begin_check(&self, name: &str) -> bool {
        let mut caches = self.known.caches.write();
        let Some((_, since)) = caches.get_mut(name) else { return false };
        let is_due = since.elapsed() >= REMEMBERED_MAX;
        if is_due {
            *since = Instant::now();
        }
        is_due
    }

    fn forget(&self, name: &str) {
        self.known.caches.write().remove(name);
    }

    fn changes(&self) -> u64 {
        self.known.changes.load(Ordering::Relaxed)
    }

    fn remember(&self, name: &str, cache: &Arc<Cache>, changes: u64) {
        let mut caches = self.known.caches.write();
        if self.changes() != changes {
            return;
        }
        if caches.len() >= CACHES_MAX && !caches.contains_key(name) {
            caches.clear();
        }
        caches.insert(name.into(), (Arc::clone(cache), Instant::now()));
    }
}

fn not_found(name: &str) -> Failure {
    Failure::new(ErrorCode::CacheNotExists, format!("there is no cache {name}"))
}

/// Reads a configuration again, in case the report of its change was lost.
async fn check(server: &Arc<Server>, name: &str) {
    let changes = server.caches.changes();
    match read(server, name).await {
        Ok(Some(stored)) => {
            if let Ok(cache) = meaning(server, name, &stored) {
                server.caches.remember(name, &Arc::new(cache), changes);
            }
        }
        Ok(None) => server.caches.forget(name),
        // It is tried again later.
        Err(_) => {}
    }
}

/// The cache of this full name.
///
/// # Errors
/// There is none.
pub(super) async fn find(server: &Arc<Server>, name: &str) -> Result<Arc<Cache>, Failure> {
    if let Some(cache) = server.caches.known(server, name) {
        return Ok(cache);
    }
    if !server.caches.is_listening.swap(true, Ordering::Relaxed) {
        let map = server.grid.open_system(CONFIGS)?;
        server.grid.listen(&map.name, Arc::new(Forgets(Arc::downgrade(&server.caches.known))));
        server.grid.announcements_received().await;
    }
    let changes = server.caches.changes();
    let stored = read(server, name).await?.ok_or_else(|| not_found(name))?;
    let cache = Arc::new(meaning(server, name, &stored)?);
    server.caches.remember(name, &cache, changes);
    Ok(cache)
}

/// The configuration of the cache of this full name: the bytes of an [`Encoded`].
pub(super) async fn read(server: &Server, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    match submit(server, name, PlainOp::Get).await? {
        Reply::Bytes(bytes) => Ok(Some(bytes.to_vec())),
        _ => Ok(None),
    }
}

/// Creates the cache of a configuration, unless it exists. Returns the configuration that it has.
///
/// # Errors
/// The configuration has something that is not offered.
pub(super) async fn create(
    server: &Arc<Server>,
    config: Encoded<'_>,
    may_write: bool,
) -> Result<Vec<u8>, Failure> {
    let holder = decode(config)?;
    let name = holder.full_name();
    if let Some(stored) = read(server, &name).await? {
        return Ok(stored);
    }
    if !may_write {
        return Err(super::map::denied());
    }
    let bytes = config.bytes();
    check_length(bytes)?;
    meaning(server, &name, bytes)?;
    match submit(server, &name, put(bytes, PutIf::Absent, PutAnswer::Old)).await? {
        Reply::Bytes(stored) => Ok(stored.to_vec()),
        _ => Ok(bytes.to_vec()),
    }
}

/// Changes the configuration of a cache, if there is one: `change` returns the changed bytes, or
/// `None` if it is as it should be.
pub(super) async fn update(
    server: &Server,
    name: &str,
    change: impl Fn(CacheConfigHolder<'_>) -> Result<Option<Vec<u8>>, Failure> + Send,
) -> Result<(), Failure> {
    for _ in 0..CHANGES_MAX {
        let Some(stored) = read(server, name).await? else { return Err(not_found(name)) };
        let encoded = Encoded::from_bytes(&stored).ok_or(OpError::Malformed)?;
        let Some(changed) = change(decode(encoded)?)? else { return Ok(()) };
        check_length(&changed)?;
        let put = put(&changed, PutIf::Value(&stored), PutAnswer::Done);
        if submit(server, name, put).await? != Reply::Nil {
            return Ok(());
        }
    }
    Err(Failure::try_again("others change the configuration of the cache"))
}

/// Removes the configuration of a cache.
pub(super) async fn remove(server: &Server, name: &str) -> Result<(), Failure> {
    submit(server, name, PlainOp::Take).await?;
    server.caches.forget(name);
    Ok(())
}

/// The map that holds the entries of a cache.
pub(super) fn entries(server: &Server, name: &str) -> Result<Arc<Map>, Failure> {
    server.open_stored(CACHES, name)
}

fn decode(config: Encoded<'_>) -> Result<CacheConfigHolder<'_>, Failure> {
    CacheConfigHolder::decode(&config)
        .map_err(|_| Failure::new(ErrorCode::IllegalArgument, "invalid configuration of a cache"))
}

fn meaning(server: &Server, name: &str, stored: &[u8]) -> Result<Cache, Failure> {
    let config = decode(Encoded::from_bytes(stored).ok_or(OpError::Malformed)?)?;
    Cache::new(entries(server, name)?, &config, server.grid.partitions())
}

fn check_length(config: &[u8]) -> Result<(), Failure> {
    if config.len() <= CONFIG_BYTES_MAX {
        return Ok(());
    }
    let text = format!("the configuration of a cache exceeds {CONFIG_BYTES_MAX} bytes");
    Err(Failure::new(ErrorCode::IllegalArgument, text))
}

fn put<'a>(value: &'a [u8], condition: PutIf<'a>, answer: PutAnswer) -> PlainOp<'a> {
    PlainOp::Put { kind: 0, value, lifetime: Lifetime::Forever, condition, answer }
}

async fn submit(server: &Server, name: &str, op: PlainOp<'_>) -> Result<Reply, Failure> {
    let map = server.grid.open_system(CONFIGS)?;
    let partition = server.grid.partition_of(name.as_bytes());
    let reply = server.submit_key(&map, partition, name.as_bytes(), KeyOp::Plain(op)).await?;
    if let Reply::Failed(error) = reply { Err(error.into()) } else { Ok(reply) }
}
