//! What the grid wants of the process: time, chance, tasks, and an ear.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use convoke_grid::{Host, Report};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::member::state::Counters;

/// The process, as its grid sees it.
pub(super) struct Process {
    started: Duration,
    runtime: Handle,
    was_safe: AtomicBool,
    counters: Arc<Counters>,
    changed: Arc<Notify>,
}

impl Process {
    /// For the runtime that calls this. `changed` is told of each change of tables.
    pub(super) fn new(counters: Arc<Counters>, changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            started: since_boot(),
            runtime: Handle::current(),
            was_safe: AtomicBool::new(false),
            counters,
            changed,
        })
    }
}

/// Time since the machine booted, that in which it was suspended included: others do not
/// wait for a member that sleeps.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

impl Host for Process {
    fn now(&self) -> Duration {
        since_boot().saturating_sub(self.started)
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> u64 {
        rand::random()
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.runtime.spawn(task);
    }

    fn report(&self, report: Report) {
        self.changed.notify_one();
        match report {
            // What it missed while it was partitioned, the others may have.
            Report::Rejoined => self.counters.lost_here.store(0, Ordering::Relaxed),
            Report::Table { safe, .. } => {
                let was = self.was_safe.swap(safe, Ordering::Relaxed);
                if safe && !was {
                    match self.counters.lost_here.load(Ordering::Relaxed) {
                        0 => info!("data is safe: every partition has all its copies"),
                        lost => info!(
                            lost,
                            "data is safe: every partition has all its copies; the ones lost before are empty, but for what was written or returned since"
                        ),
                    }
                } else if !safe && was {
                    info!("data is not safe yet: copies are on their way");
                }
            }
            Report::MapSettings => {
                info!("settings of maps have changed: those of the oldest member hold for all");
            }
            Report::Lost { partitions } => {
                let count = partitions.len() as u64;
                self.counters.lost_partitions.fetch_add(count, Ordering::Relaxed);
                self.counters.lost_here.fetch_add(count, Ordering::Relaxed);
                warn!(
                    partitions = count,
                    "data loss: no complete replica is left of {count} partitions; returning members may restore some"
                );
            }
            Report::Merging { partitions } => {
                info!(
                    partitions,
                    "this member went its own way for a while; what it holds is merged into the cluster's data"
                );
            }
            Report::Merged { items } => info!(items, "merged"),
            Report::Differs { partition, member } => {
                warn!(partition, %member, "a backup differs from its primary, and is made anew");
            }
            Report::Paused { ms } => {
                warn!(
                    ms,
                    "this process was paused; it serves again once the other members have confirmed its place"
                );
            }
            Report::RemovalsGivenUp { count } => {
                warn!(
                    count,
                    "too many deleted keys are remembered for a missing member; the oldest are given up: if it returns, what it alone wrote before then is dropped"
                );
            }
        }
    }
}
