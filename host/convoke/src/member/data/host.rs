//! The grid's interface to the process: time, randomness, tasks and reports.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use convoke_grid::{Host, Report};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::member::state::Counters;

/// The grid's host: this process.
pub(super) struct Process {
    started: Duration,
    runtime: Handle,
    was_safe: AtomicBool,
    /// Number of backups that were possible before; [`usize::MAX`] at the start.
    backups: AtomicUsize,
    counters: Arc<Counters>,
    changed: Arc<Notify>,
}

impl Process {
    /// A host on the calling runtime. `changed` is notified of each table change.
    pub(super) fn new(counters: Arc<Counters>, changed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            started: since_boot(),
            runtime: Handle::current(),
            was_safe: AtomicBool::new(false),
            backups: AtomicUsize::new(usize::MAX),
            counters,
            changed,
        })
    }
}

impl Process {
    /// All backups exist that are possible.
    fn log_safe(&self, backups: usize, configured: usize) {
        let what = match backups {
            _ if backups == configured => "data is safe: every partition has all its backups",
            0 => "data is complete, without backups: no other member stores data",
            _ => "data is safe: every partition has as many backups as there are members for",
        };
        match self.counters.lost_here.load(Ordering::Relaxed) {
            0 => info!(backups, "{what}"),
            lost => info!(
                backups,
                lost,
                "{what}; partitions that were lost hold only what was written or restored since"
            ),
        }
    }
}

/// Time since the machine booted, including suspension: other members do not wait for a suspended
/// one.
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
            // Other members may have data that this member lacks because it was partitioned.
            Report::Diverged => self.counters.lost_here.store(0, Ordering::Relaxed),
            Report::Table { safe, backups, configured, .. } => {
                let before = self.backups.swap(backups, Ordering::Relaxed);
                if backups < before && before != usize::MAX {
                    warn!(
                        backups,
                        configured,
                        "too few members store data: partitions have fewer backups than configured"
                    );
                }
                let was = self.was_safe.swap(safe, Ordering::Relaxed);
                if safe && !was {
                    self.log_safe(backups, configured);
                } else if !safe && was {
                    info!("data is not safe yet: backups are being synchronized");
                } else if safe && backups != before {
                    self.log_safe(backups, configured);
                }
            }
            Report::Writes { here, needed } if here < needed => {
                warn!(
                    members = here,
                    needed, "writes are refused: there are fewer members than --min-members"
                );
            }
            Report::Writes { here, needed } => {
                info!(members = here, needed, "writes are accepted again");
            }
            Report::MapSettings => {
                info!("map settings changed: the settings of the oldest member apply");
            }
            Report::Lost { partitions } => {
                let count = partitions.len() as u64;
                self.counters.lost_partitions.fetch_add(count, Ordering::Relaxed);
                self.counters.lost_here.fetch_add(count, Ordering::Relaxed);
                warn!(
                    partitions = count,
                    "data loss: {count} partitions have no complete replica left; members that return may restore some"
                );
            }
            Report::Merging { partitions } => {
                info!(
                    partitions,
                    "this member was partitioned; merging its data into the cluster's"
                );
            }
            Report::Merged { items } => info!(items, "merge completed"),
            Report::Differs { partition, member } => {
                warn!(partition, %member, "a backup differs from its primary and is being rebuilt");
            }
            Report::Paused { ms } => {
                warn!(
                    ms,
                    "this process was paused; it serves data again once the other members have renewed its lease"
                );
            }
            Report::Resumed { ms } => info!(ms, "serves data again after the pause"),
            Report::RemovalsGivenUp { count } => {
                warn!(
                    count,
                    "discarded the oldest tombstones kept for a missing member: too many keys were deleted; if it returns, writes that only it has from before then are dropped"
                );
            }
        }
    }
}
