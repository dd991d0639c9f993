//! The environment of a grid, its settings, and what it reports to operators.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;

use crate::hasher::KeyHasher;
use crate::table::Table;

/// The environment of a grid, provided by its owner.
pub trait Host: Send + Sync + 'static {
    /// Time since the process started, including the time in which the machine was suspended.
    fn now(&self) -> Duration;

    /// The machine's clock, in milliseconds since 1970.
    fn unix_ms(&self) -> u64;

    /// A random number.
    fn random(&self) -> u64;

    /// Runs a task that waits for other members. Tasks end by themselves.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Reports an event for operators. Called while locks are held: must not block, and must not
    /// call the grid.
    fn report(&self, report: Report);
}

/// An event for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A new partition table.
    Table {
        /// The table.
        table: Arc<Table>,
        /// Whether every replica that is possible exists and is complete.
        safe: bool,
        /// Number of backups that each partition can have with the members that there are.
        backups: usize,
        /// Number of backups according to the settings.
        configured: usize,
    },
    /// Writes are refused from now on, as the view has too few members, or accepted again.
    Writes {
        /// Members in the view.
        here: u32,
        /// Members that are needed.
        needed: u32,
    },
    /// The new table does not continue the previous one: this member was partitioned, or its
    /// cluster merged with another one. Earlier reports do not apply to the new table.
    Diverged,
    /// The settings of maps have changed to those of the oldest member.
    MapSettings,
    /// These partitions have no complete copy any more. Their data is lost, except for data that
    /// returning members merge.
    Lost {
        /// The partitions.
        partitions: Vec<u16>,
    },
    /// This member holds data of another table, and merges it now.
    Merging {
        /// Number of partitions with such data.
        partitions: usize,
    },
    /// The merge is complete.
    Merged {
        /// Number of entries and removals that were sent.
        items: u64,
    },
    /// A backup differs from its primary, and is copied again.
    Differs {
        /// The partition.
        partition: u16,
        /// The member with the backup.
        member: MemberId,
    },
    /// This process was paused. It serves again once its lease is renewed.
    Paused {
        /// Duration in milliseconds.
        ms: u64,
    },
    /// This member serves again after a pause.
    Resumed {
        /// Time since the pause ended, in milliseconds.
        ms: u64,
    },
    /// Too many removals had to be remembered for a missing member, and the oldest ones were
    /// forgotten.
    RemovalsGivenUp {
        /// Approximate number of them.
        count: usize,
    },
}

/// The settings of a grid.
#[derive(Clone, Debug)]
pub struct GridSettings {
    /// Number of partitions, the same on all members. `None` if it is not known before this member
    /// is in a cluster; see [`Grid::adopt_settings`](crate::Grid::adopt_settings).
    pub partitions: Option<u16>,
    /// Writes are refused while the view has fewer members.
    pub min_members: u32,
    /// Hashes keys; the same on all members.
    pub hasher: KeyHasher,
}
