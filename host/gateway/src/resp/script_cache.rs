//! Scripts that this member knows, and those that it runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use convoke_grid::Grid;
use convoke_script::Script;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Scripts that a member keeps, and bytes of their sources, at most. Others are read from the
/// cluster when they are called.
const SCRIPTS_MAX: usize = 10_000;
const SCRIPTS_BYTES_MAX: usize = 64 << 20;
/// Scripts over several partitions that a member runs at a time, each on a thread of its own. More
/// wait.
const RUNNING_MAX: usize = 16;
/// The setting of the cluster that changes with each `SCRIPT FLUSH`.
const FLUSHED: &str = "scripts-flushed";

/// The map that holds the sources of all scripts, by checksum.
pub(crate) const SCRIPTS_MAP: &str = "resp:scripts";

/// The scripts of one member.
pub(crate) struct Scripts {
    cache: Mutex<Cache>,
    running: Mutex<BTreeMap<u64, Arc<AtomicBool>>>,
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
}

impl Cache {
    /// Empties the cache if scripts were flushed by any member.
    fn follow(&mut self, grid: &Grid) {
        let flushed = grid.setting(FLUSHED);
        if flushed != self.flushed {
            *self = Self { flushed, ..Self::default() };
        }
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
        cache.follow(grid);
        cache.scripts.get(sha).cloned()
    }

    /// Adds a script. Returns whether it was not known here.
    pub(crate) fn add(&self, grid: &Grid, script: &Arc<Script>) -> bool {
        let mut cache = self.cache.lock();
        cache.follow(grid);
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

    /// Makes all members forget their scripts.
    pub(crate) fn flush(&self, grid: &Grid) {
        let before = grid.setting(FLUSHED).and_then(|text| text.parse::<u64>().ok());
        grid.set_setting(FLUSHED, &before.unwrap_or(0).wrapping_add(1).to_string());
        self.cache.lock().follow(grid);
    }

    /// Notes that a script runs, until the result is dropped.
    pub(crate) fn started(self: &Arc<Self>) -> RunningScript {
        let id = self.last_run.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        self.running.lock().insert(id, Arc::clone(&stop));
        RunningScript { scripts: Arc::clone(self), id, stop }
    }

    /// Stops all scripts that this member runs. Returns whether there were any.
    pub(crate) fn stop_all(&self) -> bool {
        let running = self.running.lock();
        running.values().for_each(|stop| stop.store(true, Ordering::Relaxed));
        !running.is_empty()
    }
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
