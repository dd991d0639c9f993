//! State that all parts of one member's grid share.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::{Mutex, RwLock};

use crate::clock::Clock;
use crate::hasher::KeyHasher;
use crate::lease::Lease;
use crate::map::Maps;
use crate::message::Message;
use crate::partition::Partition;
use crate::session::{Peer, Sent};
use crate::table::{Stamp, Table};

/// How long members of another branch may take to merge their data, in milliseconds.
const MERGE_MS: u64 = 60_000;

/// The environment of a grid, provided by its owner.
pub trait Host: Send + Sync + 'static {
    /// Time since the process started, including the time in which the machine was suspended.
    fn now(&self) -> Duration;

    /// The machine's clock, in milliseconds since 1970.
    fn unix_ms(&self) -> u64;

    /// A random number.
    fn random(&self) -> u64;

    /// Runs a task that waits for other members. It ends by itself.
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
    },
    /// The new table does not continue the previous one: this member was partitioned, or its
    /// cluster merged with another one. Earlier reports do not apply to the new table.
    Diverged,
    /// The settings of maps have changed to those of the oldest member.
    MapSettings,
    /// No complete copy of these partitions is left. Their data is lost, except for what returning
    /// members merge.
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
    /// Too many removals had to be remembered for a missing member, and the oldest were given up.
    RemovalsGivenUp {
        /// Approximate number of them.
        count: usize,
    },
}

/// The settings of a grid.
#[derive(Clone, Debug)]
pub struct GridSettings {
    /// Number of partitions, the same on all members. `None` if it is not known before this member
    /// is in a cluster; see [`Grid::settle`](crate::Grid::settle).
    pub partitions: Option<u16>,
    /// Writes are refused while the view has fewer members.
    pub min_members: u32,
    /// Hashes keys; the same on all members.
    pub hasher: KeyHasher,
}

/// All partitions; empty before their number is known.
#[derive(Default)]
pub(crate) struct Partitions(OnceLock<Box<[Mutex<Partition>]>>);

impl Partitions {
    /// Creates this many partitions, unless their number is known already.
    pub(crate) fn settle(&self, count: u16, host: &dyn Host) {
        let new = |number| Mutex::new(Partition::new(number, host.random()));
        self.0.get_or_init(|| (0..count).map(new).collect());
    }
}

impl Deref for Partitions {
    type Target = [Mutex<Partition>];

    fn deref(&self) -> &Self::Target {
        self.0.get().map_or(&[], |partitions| partitions)
    }
}

impl<'a> IntoIterator for &'a Partitions {
    type Item = &'a Mutex<Partition>;
    type IntoIter = std::slice::Iter<'a, Mutex<Partition>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// See the [module](self).
pub(crate) struct Core {
    pub(crate) me: MemberId,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) settings: GridSettings,
    pub(crate) maps: Maps,
    pub(crate) clock: Clock,
    pub(crate) partitions: Partitions,
    pub(crate) peers: RwLock<BTreeMap<MemberId, Arc<Peer>>>,
    pub(crate) table: RwLock<Option<Arc<Table>>>,
    /// Number of members in the view, for `min_members`.
    pub(crate) members: AtomicU32,
    /// Number of members in the view that store data; [`u32::MAX`] before the first view.
    pub(crate) data_members: AtomicU32,
    /// Number of connections that other members have opened so far, from which each gets its
    /// number.
    pub(crate) connections: AtomicU64,
    /// Members of the last expected view, with their generations; the table may still be that of
    /// the previous view.
    pub(crate) expected: RwLock<Vec<(MemberId, u32)>>,
    /// The right of this member to serve.
    pub(crate) lease: Lease,
    /// See [`Table::missing_since_ms`]; [`u64::MAX`] when no member is missing.
    pub(crate) missing_since_ms: AtomicU64,
    /// Milliseconds to add to the deadlines of data from before this member took over the clock of
    /// this cluster.
    pub(crate) shift_ms: AtomicI64,
    /// Whether the data of this member comes from this very cluster.
    pub(crate) is_same_cluster: AtomicBool,
    /// When this member followed a new branch, in microseconds since start; zero before that.
    pub(crate) branched_us: AtomicU64,
    /// Partitions that are being copied to each member.
    pub(crate) copying: Mutex<BTreeMap<MemberId, BTreeSet<u16>>>,
    /// Members whose data diverged, with the table that they followed then.
    pub(crate) diverged: Mutex<BTreeMap<MemberId, Stamp>>,
    /// Bytes of the copies that transactions work on.
    pub(crate) transaction_bytes: Arc<AtomicUsize>,
    /// Partitions that are being handed over.
    pub(crate) retiring: Mutex<BTreeSet<u16>>,
}

impl Core {
    pub(crate) fn now(&self) -> Duration {
        self.host.now()
    }

    pub(crate) fn peer(&self, id: MemberId) -> Option<Arc<Peer>> {
        self.peers.read().get(&id).cloned()
    }

    pub(crate) fn table(&self) -> Option<Arc<Table>> {
        self.table.read().clone()
    }

    /// Sends a message to a member, if it is in the view.
    pub(crate) fn send(&self, to: MemberId, message: &Message<'_>) -> Option<Sent> {
        let peer = self.peer(to)?;
        Some(peer.push(|bytes| message.encode(bytes)))
    }

    /// Sends an aside to a member, if it is in the view.
    pub(crate) fn send_aside(&self, to: MemberId, message: &Message<'_>) {
        if let Some(peer) = self.peer(to) {
            peer.push_aside(|bytes| message.encode(bytes));
        }
    }

    /// Sends a message to all other members.
    pub(crate) fn send_all(&self, message: &Message<'_>) {
        for peer in self.peers.read().values() {
            peer.push(|bytes| message.encode(bytes));
        }
    }

    /// Whether the branch is so recent that members may not have merged their data yet.
    pub(crate) fn may_merge(&self, now: Duration) -> bool {
        let since = Duration::from_micros(self.branched_us.load(Ordering::Relaxed));
        since > Duration::ZERO && now < since + Duration::from_millis(MERGE_MS)
    }

    /// Number of members in the view.
    pub(crate) fn members_here(&self) -> u32 {
        self.members.load(Ordering::Relaxed)
    }

    /// Whether the view has members, none of which stores data.
    pub(crate) fn has_no_data_member(&self) -> bool {
        self.data_members.load(Ordering::Relaxed) == 0
    }
}
