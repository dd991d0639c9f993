//! State of one member that its partitions use while they are locked.
//!
//! It has no reference to the partitions, nor to the state of the grid above them, so that code of
//! a partition cannot lock another partition or that state, whose locks precede its own. For the
//! same reason a partition only uses the outgoing half of a peer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::{Mutex, RwLock};

use crate::clock::Clock;
use crate::host::{GridSettings, Host};
use crate::lease::Lease;
use crate::map::{MapCatalog, Maps};
use crate::message::Message;
use crate::session::{Peer, Sent};
use crate::table::TableStamp;

/// Time limit for members of another branch to merge their data, in milliseconds.
const MERGE_MS: u64 = 60_000;

/// See the [module](self).
pub(crate) struct Shared {
    pub(crate) me: MemberId,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) settings: GridSettings,
    pub(crate) maps: Maps,
    pub(crate) clock: Clock,
    /// The other members of the view.
    pub(crate) peers: RwLock<BTreeMap<MemberId, Arc<Peer>>>,
    /// Number of members in the view, for `min_members`.
    pub(crate) members: AtomicU32,
    /// The right of this member to serve.
    pub(crate) lease: Lease,
    /// See [`Table::missing_since_ms`](crate::table::Table::missing_since_ms); [`u64::MAX`] when no
    /// member is missing.
    pub(crate) missing_since_ms: AtomicU64,
    /// When this member followed a new branch, in microseconds since start; zero before that.
    pub(crate) branched_us: AtomicU64,
    /// Partitions that are being copied to each member.
    pub(crate) copying: Mutex<BTreeMap<MemberId, BTreeSet<u16>>>,
    /// Members whose data diverged, with the table that they followed then.
    pub(crate) diverged: Mutex<BTreeMap<MemberId, TableStamp>>,
    /// Bytes of the copies that transactions work on.
    pub(crate) transaction_bytes: Arc<AtomicUsize>,
    /// Partitions that are being handed over.
    pub(crate) retiring: Mutex<BTreeSet<u16>>,
}

impl Shared {
    /// The state of a member before its first view. See [`Grid::new`](crate::Grid::new).
    pub(crate) fn new(
        me: MemberId,
        host: Arc<dyn Host>,
        settings: GridSettings,
        catalog: MapCatalog,
    ) -> Self {
        let bytes = *me.as_bytes();
        let writer = u64::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        Self {
            me,
            clock: Clock::new(host.now(), host.unix_ms(), writer),
            maps: Maps::new(catalog),
            peers: RwLock::default(),
            members: AtomicU32::new(0),
            lease: Lease::default(),
            missing_since_ms: AtomicU64::new(u64::MAX),
            branched_us: AtomicU64::new(0),
            copying: Mutex::default(),
            diverged: Mutex::default(),
            transaction_bytes: Arc::default(),
            retiring: Mutex::default(),
            settings,
            host,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.host.now()
    }

    pub(crate) fn peer(&self, id: MemberId) -> Option<Arc<Peer>> {
        self.peers.read().get(&id).cloned()
    }

    /// Sends a message to a member, if it is in the view.
    pub(crate) fn send(&self, to: MemberId, message: &Message<'_>) -> Option<Sent> {
        let peer = self.peer(to)?;
        Some(peer.push(|bytes| message.encode(bytes)))
    }

    /// Sends an out-of-band message to a member, if it is in the view.
    pub(crate) fn send_out_of_band(&self, to: MemberId, message: &Message<'_>) {
        if let Some(peer) = self.peer(to) {
            peer.push_out_of_band(|bytes| message.encode(bytes));
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

    /// Whether the view has as many members as writes need, and as many have renewed the lease.
    pub(crate) fn has_enough_members(&self, now: Duration) -> bool {
        let needed = self.settings.min_members;
        needed <= 1 || (self.members_here() >= needed && self.lease.permits_writes(now))
    }

    /// Whether writes may start, or are refused for lack of members in the view. Otherwise they wait
    /// for the lease.
    pub(crate) fn may_start_writes(&self, now: Duration) -> bool {
        let needed = self.settings.min_members;
        self.members_here() < needed || self.has_enough_members(now)
    }

    /// Number of members in the view.
    pub(crate) fn members_here(&self) -> u32 {
        self.members.load(Ordering::Relaxed)
    }
}
