//! What all parts of one member's grid share.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::{Mutex, RwLock};

use crate::access::KeyHasher;
use crate::clock::Clock;
use crate::lease::Lease;
use crate::map::Maps;
use crate::message::Message;
use crate::partition::Partition;
use crate::session::{Peer, Sent};
use crate::table::{Stamp, Table};

/// How long what members of another branch held may take to come in.
const MERGE_MS: u64 = 60_000;

/// What the grid wants of whoever runs it.
pub trait Host: Send + Sync + 'static {
    /// Time since the process started, that in which the machine was suspended included.
    fn now(&self) -> Duration;

    /// The machine's clock, in milliseconds since 1970.
    fn unix_ms(&self) -> u64;

    /// A number at random.
    fn random(&self) -> u64;

    /// Runs a task that waits for other members. It ends by itself.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);

    /// Something happened that operators and listeners want to know.
    fn report(&self, report: Report);
}

/// What happened to the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// There is a new partition table; `safe` when all copies are complete.
    Table {
        /// The table.
        table: Arc<Table>,
        /// All copies that there are to be are complete.
        safe: bool,
    },
    /// The next table does not continue the one that this member followed before: what it
    /// reported of that one does not hold for this one.
    Diverged,
    /// Maps are set in another way from now on: as the oldest member has it.
    MapSettings,
    /// No complete copy was left of these partitions: what they held is lost,
    /// but for what is merged from members that return.
    Lost {
        /// Their numbers.
        partitions: Vec<u16>,
    },
    /// This member held data of another table; it is being merged.
    Merging {
        /// Partitions with such data.
        partitions: usize,
    },
    /// All of that is merged.
    Merged {
        /// Entries and removals that were sent.
        items: u64,
    },
    /// A backup was found to differ, and is made anew.
    Differs {
        /// The partition.
        partition: u16,
        /// Whose copy.
        member: MemberId,
    },
    /// This process was paused; it answers again once the others have confirmed its
    /// place.
    Paused {
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// More removals than this member remembers while a member is missing: the oldest are
    /// given up.
    RemovalsGivenUp {
        /// How many, about.
        count: usize,
    },
}

/// How a grid is.
#[derive(Clone, Debug)]
pub struct GridSettings {
    /// Number of partitions; the same on all members. `None`: known only once this member is in
    /// a cluster, see [`Grid::settle`](crate::Grid::settle).
    pub partitions: Option<u16>,
    /// Writes are refused while fewer members are in the view.
    pub min_members: u32,
    /// Hashes keys; the same on all members.
    pub hasher: KeyHasher,
}

/// All partitions; none before their number is known.
#[derive(Default)]
pub(crate) struct Partitions(OnceLock<Box<[Mutex<Partition>]>>);

impl Partitions {
    /// So many, unless their number is known already.
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
    /// Members in the view, for `min_members`.
    pub(crate) members: AtomicU32,
    /// Those of them that store data; [`u32::MAX`] before the first view.
    pub(crate) data_members: AtomicU32,
    /// Connections that other members opened, ever: each has a number of its own.
    pub(crate) connections: AtomicU64,
    /// Members of the view that is shown, by id and generation; the table may still be of the
    /// view before.
    pub(crate) expected: RwLock<Vec<(MemberId, u32)>>,
    /// The right of this member to answer for partitions.
    pub(crate) lease: Lease,
    /// See [`Table::missing_since_ms`]; [`u64::MAX`] when nobody is missing.
    pub(crate) missing_since_ms: AtomicU64,
    /// Milliseconds to add to the deadlines of what this member held before it followed
    /// the time of this cluster.
    pub(crate) shift_ms: AtomicI64,
    /// Whether what this member held comes from this very cluster.
    pub(crate) is_same_cluster: AtomicBool,
    /// Microseconds since start when another branch was followed; zero before.
    pub(crate) branched_us: AtomicU64,
    /// Partitions that are being copied to a member.
    pub(crate) copying: Mutex<BTreeMap<MemberId, BTreeSet<u16>>>,
    /// Members that went another way before they followed this table.
    pub(crate) diverged: Mutex<BTreeMap<MemberId, Stamp>>,
    /// Bytes of the copies that transactions work on.
    pub(crate) transaction_bytes: Arc<AtomicUsize>,
    /// Partitions that are about to be handed over.
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

    /// Sends a message to a member that is there.
    pub(crate) fn send(&self, to: MemberId, message: &Message<'_>) -> Option<Sent> {
        let peer = self.peer(to)?;
        Some(peer.push(|bytes| message.encode(bytes)))
    }

    /// Sends an aside to a member that is there.
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

    /// Whether the branch that is followed began so lately that a member may not
    /// have brought in yet what it held before.
    pub(crate) fn may_merge(&self, now: Duration) -> bool {
        let since = Duration::from_micros(self.branched_us.load(Ordering::Relaxed));
        since > Duration::ZERO && now < since + Duration::from_millis(MERGE_MS)
    }

    /// How many members are in the view.
    pub(crate) fn members_here(&self) -> u32 {
        self.members.load(Ordering::Relaxed)
    }

    /// Whether the view has members, and none of them stores data.
    pub(crate) fn has_no_data_member(&self) -> bool {
        self.data_members.load(Ordering::Relaxed) == 0
    }
}
