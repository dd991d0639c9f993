//! The script cache of this member, and its running scripts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use convoke_grid::Grid;
use convoke_script::Script;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// Scripts that a member keeps, and bytes of their sources, at most. Others are read from the
/// cluster when they are called.
const SCRIPTS_MAX: usize = 10_000;
const SCRIPTS_BYTES_MAX: usize = 64 << 20;
/// Scripts over several partitions that a member runs at a time, each on a thread of its own. More
/// wait.
const RUNNING_MAX: usize = 16;
/// The longest source of a script that a client's connection holds, in bytes.
const RECENT_BYTES_MAX: usize = 16 << 10;
/// The setting of the cluster that changes with each `SCRIPT FLUSH`.
const FLUSHED: &str = "scripts-flushed";

/// The map that holds the sources of all scripts, by checksum.
pub(crate) const SCRIPTS_MAP: &str = "resp:scripts";

/// The scripts of one member.
pub(crate) struct Scripts {
    cache: Mutex<Cache>,
    running: Mutex<BTreeMap<u64, Entry>>,
    last_run: AtomicU64,
    /// Permits for scripts over several partitions.
    pub(crate) permits: Arc<Semaphore>,
}

#[derive(Default)]
struct Cache {
    scripts: HashMap<Arc<str>, Arc<Script>>,
    bytes: usize,
    /// The value of [`FLUSHED`] when the oldest of them was added.
    flushed: Option<String>,
    /// [`Grid::setting_changes`] before that was read.
    read_at: Option<u64>,
}

impl Cache {
    /// Empties the cache if scripts were flushed by any member.
    fn clear_if_flushed(&mut self, grid: &Grid) {
        let changes = Some(grid.setting_changes());
        if self.read_at == changes {
            return;
        }
        let flushed = grid.setting(FLUSHED);
        if flushed != self.flushed {
            *self = Self { flushed, ..Self::default() };
        }
        self.read_at = changes;
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            cache: Mutex::default(),
            running: Mutex::default(),
            last_run: AtomicU64::default(),
            permits: Arc::new(Semaphore::new(RUNNING_MAX)),
        }
    }
}

impl Scripts {
    /// The script with this checksum, if this member knows it.
    pub(crate) fn get(&self, grid: &Grid, sha: &str) -> Option<Arc<Script>> {
        let mut cache = self.cache.lock();
        cache.clear_if_flushed(grid);
        cache.scripts.get(sha).cloned()
    }

    /// Adds a script. Returns whether it was not known here.
    pub(crate) fn add(&self, grid: &Grid, script: &Arc<Script>) -> bool {
        let mut cache = self.cache.lock();
        cache.clear_if_flushed(grid);
        if cache.scripts.contains_key(&script.sha) {
            return false;
        }
        let bytes = script.source.len();
        while cache.scripts.len() >= SCRIPTS_MAX || cache.bytes + bytes > SCRIPTS_BYTES_MAX {
            // Any of them: it is read again when it is called.
            let Some(sha) = cache.scripts.keys().next().cloned() else { break };
            let dropped = cache.scripts.remove(&sha).map_or(0, |script| script.source.len());
            cache.bytes -= dropped;
        }
        cache.bytes += bytes;
        cache.scripts.insert(Arc::clone(&script.sha), Arc::clone(script));
        true
    }

    /// Number of cached scripts.
    pub(crate) fn count(&self, grid: &Grid) -> usize {
        let mut cache = self.cache.lock();
        cache.clear_if_flushed(grid);
        cache.scripts.len()
    }

    /// Clears the script caches of all members.
    pub(crate) fn flush(&self, grid: &Grid) {
        let before = grid.setting(FLUSHED).and_then(|text| text.parse::<u64>().ok());
        grid.set_setting(FLUSHED, &before.unwrap_or(0).wrapping_add(1).to_string());
        self.cache.lock().clear_if_flushed(grid);
    }

    /// Registers a running script until the result is dropped.
    pub(crate) fn started(self: &Arc<Self>, info: RunningInfo) -> RunningScript {
        let id = self.last_run.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let entry = Entry { stop: Arc::clone(&stop), info, started: Instant::now() };
        self.running.lock().insert(id, entry);
        RunningScript { scripts: Arc::clone(self), id, stop }
    }

    /// Stops all scripts that this member runs, or all functions. Returns how many there were.
    pub(crate) fn stop_all(&self, functions: bool) -> usize {
        let running = self.running.lock();
        let stopped = running.values().filter(|entry| entry.info.is_function == functions);
        stopped.map(|entry| entry.stop.store(true, Ordering::Relaxed)).count()
    }

    /// What this member runs, the oldest first.
    pub(crate) fn running(&self) -> Vec<RunningInfo> {
        let running = self.running.lock();
        let info = |entry: &Entry| {
            let ms = u64::try_from(entry.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            RunningInfo { ms, ..entry.info.clone() }
        };
        running.values().map(info).collect()
    }
}

/// The script that a client called last: most clients call one again and again, and need no lock
/// and no checksum then.
pub(crate) struct RecentScript {
    script: Arc<Script>,
    /// [`Grid::setting_changes`] when it was known.
    changes: u64,
}

impl RecentScript {
    /// `changes` is [`Grid::setting_changes`] before the script was found. `None` if its source is
    /// too long to be held by each connection.
    pub(crate) fn new(script: &Arc<Script>, changes: u64) -> Option<Self> {
        let is_short = script.source.len() <= RECENT_BYTES_MAX;
        is_short.then(|| Self { script: Arc::clone(script), changes })
    }

    /// The script, unless scripts may have been flushed since.
    pub(crate) fn get(&self, grid: &Grid) -> Option<&Arc<Script>> {
        (grid.setting_changes() == self.changes).then_some(&self.script)
    }
}

struct Entry {
    stop: Arc<AtomicBool>,
    info: RunningInfo,
    started: Instant,
}

/// What is known of a script that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunningInfo {
    /// Whether it is a function of a library.
    pub(crate) is_function: bool,
    /// The name of the function, or the checksum of the script.
    pub(crate) name: String,
    /// The command that runs it.
    pub(crate) command: Vec<Bytes>,
    /// For how long it has run, in milliseconds.
    pub(crate) ms: u64,
}

/// A script that this member runs.
pub(crate) struct RunningScript {
    scripts: Arc<Scripts>,
    id: u64,
    /// Set when it is to stop.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Drop for RunningScript {
    fn drop(&mut self) {
        self.scripts.running.lock().remove(&self.id);
    }
}
