//! The grid and its shared state.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use convoke_membership::MemberId;
use parking_lot::{Mutex, RwLock};

use super::changes::Changes;
use super::following::Following;
use super::listeners::Listeners;
use super::losses::Losses;
use super::requests::Runner;
use super::unpublished::Unpublished;
use crate::Version;
use crate::calls::Calls;
use crate::control::Control;
use crate::host::Report;
use crate::partition::{Partition, Slot};
use crate::partitions::Partitions;
use crate::shared::Shared;
use crate::table::Table;
use crate::topic::Topics;

/// A result that becomes available later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One member's grid. Clones refer to the same grid.
///
/// # Call order
///
/// A grid does no I/O and has no thread of its own. Its owner calls it:
///
/// 1. [`Grid::new`]; then [`Grid::adopt_settings`] before the first view, if the number of
///    partitions was left open.
/// 2. For each view of the membership: [`Grid::expect_view`] before the view is shown to anyone,
///    then [`Grid::handle_view`], in the order of the views. [`Grid::expect_view`] only stores
///    counts, so it may be called by the thread of the membership.
/// 3. [`Grid::tick`] every [`TICK_MS`](super::TICK_MS) milliseconds.
/// 4. For each of [`Grid::peers`], as long as it is in the view, a task that sends to it: it waits
///    for [`Peer::poll_connect`], opens a connection, and names [`Peer::session`] and
///    [`Peer::acknowledged`]. The receiver passes these to [`Grid::handle_opened`] and sends back
///    the receipt, which the sender passes to [`Grid::handle_resumed`]. If that returns `true`, the
///    sender sends what [`Peer::poll_send`] returns, and calls [`Peer::handle_closed`] when the
///    connection closes.
/// 5. For each open connection, the receiver passes received bytes to [`Grid::handle_bytes`] and
///    sends back the receipts, which the sender passes to [`Grid::handle_received`]. The receiver
///    also sends back what [`Peer::poll_out_of_band`] returns, which the sender passes to
///    [`Grid::handle_out_of_band`].
/// 6. For clients, at any time: [`Grid::get_here`], [`Grid::start`], [`Grid::block`],
///    [`Grid::transact`], [`Grid::publish`] and others.
/// 7. [`Grid::leave`] before the member leaves the membership. Steps 2 to 5 continue until its
///    future completes or the owner's deadline has passed.
///
/// All methods may be called from any thread. None of them blocks: they hold locks for a short time
/// only, and anything that waits for other members is returned as a future or runs in [`Host::spawn`].
///
/// Messages of one member are handled one after the other, regardless of the thread that calls
/// [`Grid::handle_bytes`]; those of several members, and the other methods, run in parallel.
///
/// A partition is changed under its lock, and a thread holds one such lock at a time. "Locks in
/// `host/grid`" in `ARCHITECTURE.md` lists all of them in their order.
///
/// [`Host::spawn`]: crate::Host::spawn
/// [`Peer::acknowledged`]: crate::Peer::acknowledged
/// [`Peer::handle_closed`]: crate::Peer::handle_closed
/// [`Peer::poll_out_of_band`]: crate::Peer::poll_out_of_band
/// [`Peer::poll_send`]: crate::Peer::poll_send
/// [`Peer::poll_connect`]: crate::Peer::poll_connect
/// [`Peer::session`]: crate::Peer::session
#[derive(Clone)]
pub struct Grid {
    pub(super) inner: Arc<Inner>,
}

/// The state that all clones of a grid share.
pub(super) struct Inner {
    /// Held while a table is being adopted, which excludes other adoptions. Taken before `control`.
    pub(super) adopting: Mutex<()>,
    /// Taken before the lock of a partition.
    pub(super) control: Mutex<Control>,
    /// A locked partition may only use `shared`.
    pub(super) partitions: Partitions,
    /// Its locks may be taken while a partition is locked.
    pub(super) shared: Shared,
    /// The table that this member follows.
    pub(super) table: RwLock<Option<Arc<Table>>>,
    /// Members of the last expected view, with their generations; the table may still be that of
    /// the previous view.
    pub(super) expected: RwLock<Vec<(MemberId, u32)>>,
    /// Number of members in the view that store data; [`u32::MAX`] before the first view.
    pub(super) data_members: AtomicU32,
    /// Number of connections that other members have opened so far; each gets the next number.
    pub(super) connections: AtomicU64,
    /// Milliseconds to add to the deadlines of data from before this member adopted the clock of
    /// this cluster.
    pub(super) shift_ms: AtomicI64,
    /// Whether the data of this member is from this cluster.
    pub(super) is_same_cluster: AtomicBool,
    pub(super) calls: Calls,
    pub(super) topics: Topics,
    pub(super) listeners: Listeners,
    /// Events that were not published yet.
    pub(super) unpublished: Unpublished,
    pub(super) losses: Mutex<Losses>,
    pub(super) changes: Changes,
    pub(super) following: Following,
    /// Blocked operations of other members, by member and request.
    pub(super) blocked: Mutex<BTreeMap<(MemberId, u64), Arc<Slot>>>,
    pub(super) coordinator: RwLock<Option<MemberId>>,
    /// A table whose sender is not known to be the coordinator yet, and its time in milliseconds.
    pub(super) early: Mutex<Option<(MemberId, Table, u64)>>,
    pub(super) timers: Mutex<Timers>,
    pub(super) merging: AtomicBool,
    pub(super) merged: AtomicU64,
    pub(super) events_dropped: AtomicU64,
    /// See [`super::routing::WAITING_BYTES_MAX`].
    pub(super) waiting_bytes: AtomicUsize,
    pub(super) settings: Mutex<BTreeMap<String, (String, Version)>>,
    /// Settings of this member, which apply until one is set for all members.
    pub(super) own_settings: Mutex<BTreeMap<String, String>>,
    /// Changes of either so far.
    pub(super) setting_changes: AtomicU64,
    /// Transactions that this member runs.
    pub(super) running: Transactions,
    /// Runs requests that the grid does not know.
    pub(super) requests: OnceLock<Runner>,
}

#[derive(Default)]
pub(super) struct Timers {
    pub(super) ticked_at: Option<Duration>,
    pub(super) alive_at: Duration,
    pub(super) check_at: Duration,
    pub(super) checked: usize,
    pub(super) forget_at: Duration,
    pub(super) pulse_at: Duration,
    /// The first pause after which this member has not served yet.
    pub(super) paused_at: Option<Duration>,
}

/// Transactions that this member runs.
#[derive(Default)]
pub(super) struct Transactions {
    pub(super) attempts: AtomicU64,
    pub(super) count: AtomicUsize,
}

impl Inner {
    /// Calls `work` with the locked partition, and publishes the resulting events and changes.
    pub(super) fn at<R>(&self, number: u16, work: impl FnOnce(&mut Partition) -> R) -> R {
        let mut partition = self.partitions[usize::from(number)].lock();
        let result = work(&mut partition);
        let (events, followed) = (partition.take_events(), partition.take_followed());
        let has_events = self.unpublished.push(number, events);
        drop(partition);
        self.publish_changes(&followed);
        if has_events {
            self.publish_unpublished(number);
        }
        result
    }

    /// Publishes the events of a partition in the order in which they happened. No partition may be
    /// locked.
    pub(super) fn publish_unpublished(&self, partition: u16) {
        self.unpublished.take(partition, |events| self.publish_events(events));
    }

    /// Remembers that partitions have lost their data, and reports it.
    pub(super) fn report_lost(&self, partitions: Vec<u16>) {
        self.losses.lock().add(&partitions);
        self.report(Report::Lost { partitions });
    }

    /// Whether this member holds its lease: see [`crate::lease`].
    pub(super) fn may_serve(&self, now: Duration) -> bool {
        self.shared.lease.is_held(now)
    }

    /// The primary of a partition, by the current table.
    pub(super) fn primary(&self, partition: u16) -> Option<MemberId> {
        let table = self.table.read();
        table.as_ref()?.partitions.get(usize::from(partition))?.primary()
    }

    /// The table that this member follows.
    pub(super) fn table(&self) -> Option<Arc<Table>> {
        self.table.read().clone()
    }

    /// Whether the view has members, none of which stores data.
    pub(super) fn has_no_data_member(&self) -> bool {
        self.data_members.load(Ordering::Relaxed) == 0
    }

    pub(super) fn report(&self, report: Report) {
        self.shared.host.report(report);
        self.changes.note();
    }
}
