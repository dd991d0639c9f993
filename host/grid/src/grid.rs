//! One member's grid: the type that the owner of this crate uses.
//!
//! See [`Grid`] for the order in which to call its methods.

mod coordination;
mod merging;
mod publishing;
mod routing;
mod spanning;
#[cfg(test)]
mod testing;
mod transactions;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use convoke_membership::{MemberId, View};
use parking_lot::{Mutex, RwLock};

use crate::OpError;
use crate::calls::{Answer, Calls};
use crate::control::Control;
use crate::host::{GridSettings, Host, Report};
use crate::item::{ALL_HASHES, Held, Item};
use crate::map::{Map, MapCatalog};
use crate::message::Message;
use crate::op::{Effect, Op};
use crate::partition::{ChunkRange, Executed, Partition, Role, Slot};
use crate::partitions::Partitions;
use crate::session::{Opened, Peer, Receipt, Verdict};
use crate::shared::Shared;
use crate::table::Table;
use crate::topic::Topics;

pub use crate::limits::OP_MS_MAX;
pub use publishing::{Listener, SUBSCRIPTIONS_MS_MAX};
pub use routing::{Started, WAITING_BYTES_MAX};

/// Interval at which [`Grid::tick`] must be called, in milliseconds.
pub const TICK_MS: u64 = 50;
/// Shortest pause of the process that is reported, in milliseconds.
const PAUSE_MS: u64 = 1_000;
/// Maximum number of entries that one write may evict in each partition.
const EVICTIONS_OF_PARTITION_MAX: usize = 16_384;
/// Maximum number of additional sweeps in one tick, over all partitions with many expired entries.
const CROWDED_SWEEPS_MAX: usize = 10;
/// Interval of messages to other members that keep connections alive, in milliseconds, so that a
/// dead connection is noticed.
pub const ALIVE_MS: u64 = 1_000;
/// Interval at which the copies of one partition are compared, in milliseconds.
const CHECK_MS: u64 = 30_000;
/// Interval at which old removals are forgotten, in milliseconds.
const FORGET_MS: u64 = 10_000;
/// Minimum time for which removals are remembered, in milliseconds: much longer than it takes to
/// notice that a member is missing. While one is missing, all removals since then are kept; see
/// [`crate::control`].
const REMOVAL_MS: u64 = 60_000;
/// Maximum number of bytes of removals that this member remembers.
pub const REMOVALS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A result that becomes available later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One member's grid. Clones refer to the same grid.
///
/// # Call order
///
/// A grid does no I/O and has no thread of its own. Its owner calls it:
///
/// 1. [`Grid::new`]; then [`Grid::settle`] before the first view, if the number of partitions was
///    left open.
/// 2. For each view of the membership: [`Grid::expect_view`] before the view is shown to anyone,
///    then [`Grid::handle_view`], in the order of the views. [`Grid::expect_view`] only stores
///    counts, so it may be called by the thread of the membership.
/// 3. [`Grid::tick`] every [`TICK_MS`] milliseconds.
/// 4. For each of [`Grid::peers`], as long as it is in the view, a task that sends to it: it waits
///    for [`Peer::poll_wanted`], opens a connection, and names [`Peer::session`] and
///    [`Peer::acknowledged`]. The receiver passes these to [`Grid::handle_opened`] and sends back
///    the receipt, which the sender passes to [`Grid::handle_resumed`]. If that returns `true`, the
///    sender sends what [`Peer::poll_send`] returns, and calls [`Peer::handle_closed`] when the
///    connection closes.
/// 5. For each open connection, the receiver passes received bytes to [`Grid::handle_bytes`] and
///    sends back the receipts, which the sender passes to [`Grid::handle_received`]. The receiver
///    also sends back what [`Peer::poll_aside`] returns, which the sender passes to
///    [`Grid::handle_aside`].
/// 6. For clients, at any time: [`Grid::get_here`], [`Grid::start`], [`Grid::block`],
///    [`Grid::transact`], [`Grid::publish`] and others.
/// 7. [`Grid::leave`] before the member leaves the membership. Steps 2 to 5 continue until its
///    future completes or the owner's deadline has passed.
///
/// All methods may be called from any thread. None of them blocks: they hold locks for a short time
/// only, and whatever waits for other members is returned as a future or runs in [`Host::spawn`].
#[derive(Clone)]
pub struct Grid {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    /// Held while a table is adopted, one at a time. Taken before `control`.
    adopting: Mutex<()>,
    /// Taken before the lock of a partition.
    control: Mutex<Control>,
    /// A locked partition uses `shared`, and nothing else of this.
    partitions: Partitions,
    /// Its locks may be taken while a partition is locked.
    shared: Shared,
    /// The table that this member follows.
    table: RwLock<Option<Arc<Table>>>,
    /// Members of the last expected view, with their generations; the table may still be that of
    /// the previous view.
    expected: RwLock<Vec<(MemberId, u32)>>,
    /// Number of members in the view that store data; [`u32::MAX`] before the first view.
    data_members: AtomicU32,
    /// Number of connections that other members have opened so far, from which each gets its
    /// number.
    connections: AtomicU64,
    /// Milliseconds to add to the deadlines of data from before this member took over the clock of
    /// this cluster.
    shift_ms: AtomicI64,
    /// Whether the data of this member comes from this very cluster.
    is_same_cluster: AtomicBool,
    calls: Calls,
    topics: Topics,
    listeners: publishing::Listeners,
    /// Blocked operations of other members, by member and request.
    blocked: Mutex<BTreeMap<(MemberId, u64), Arc<Slot>>>,
    coordinator: RwLock<Option<MemberId>>,
    /// A table whose sender is not known to be the coordinator yet, and its time in milliseconds.
    early: Mutex<Option<(MemberId, Table, u64)>>,
    timers: Mutex<Timers>,
    merging: AtomicBool,
    merged: AtomicU64,
    events_dropped: AtomicU64,
    /// See [`routing::WAITING_BYTES_MAX`].
    waiting_bytes: AtomicUsize,
    settings: Mutex<BTreeMap<String, (String, crate::Version)>>,
    /// Settings of this member, which apply until one is set for all members.
    own_settings: Mutex<BTreeMap<String, String>>,
    /// Transactions that this member runs.
    running: transactions::Running,
}

#[derive(Default)]
struct Timers {
    ticked_at: Option<Duration>,
    alive_at: Duration,
    check_at: Duration,
    checked: usize,
    forget_at: Duration,
    pulse_at: Duration,
}

impl Grid {
    /// Creates the grid of member `me`, before its first view. `catalog` has the settings of maps
    /// that apply while `me` coordinates.
    #[must_use]
    pub fn new(
        me: MemberId,
        host: Arc<dyn Host>,
        settings: GridSettings,
        catalog: MapCatalog,
    ) -> Self {
        let partitions = Partitions::default();
        if let Some(count) = settings.partitions {
            partitions.settle(count, &*host);
        }
        let control = Control::new(me, partitions.len() as u16, catalog.clone());
        Self {
            inner: Arc::new(Inner {
                control: Mutex::new(control),
                adopting: Mutex::new(()),
                partitions,
                shared: Shared::new(me, host, settings, catalog),
                table: RwLock::default(),
                expected: RwLock::default(),
                data_members: AtomicU32::new(u32::MAX),
                connections: AtomicU64::new(0),
                shift_ms: AtomicI64::new(0),
                is_same_cluster: AtomicBool::new(true),
                calls: Calls::default(),
                topics: Topics::default(),
                listeners: publishing::Listeners::default(),
                blocked: Mutex::default(),
                coordinator: RwLock::new(None),
                early: Mutex::default(),
                timers: Mutex::default(),
                merging: AtomicBool::new(false),
                merged: AtomicU64::new(0),
                events_dropped: AtomicU64::new(0),
                waiting_bytes: AtomicUsize::new(0),
                settings: Mutex::default(),
                own_settings: Mutex::default(),
                running: transactions::Running::default(),
            }),
        }
    }

    /// The id of this member.
    #[must_use]
    pub fn me(&self) -> MemberId {
        self.inner.shared.me
    }

    /// Sets what this member's configuration left open to the values of its cluster, before the
    /// first view: the number of partitions, and the settings of maps that apply while this member
    /// coordinates. Until then, those of the oldest member apply, except for memory bounds.
    pub fn settle(&self, partitions: u16, catalog: &MapCatalog) {
        let shared = &self.inner.shared;
        self.inner.partitions.settle(partitions, &*shared.host);
        shared.maps.settle(catalog);
        self.inner.control.lock().settle(self.partitions(), catalog.clone());
    }

    /// The number of partitions; 0 while it is not known.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.inner.partitions.len() as u16
    }

    /// The partition of a key: its slot among 16,384, scaled. While the number of partitions is not
    /// known, it is an invalid one, and operations on it are refused.
    #[must_use]
    pub fn partition_of(&self, key: &[u8]) -> u16 {
        match self.partitions() {
            0 => u16::MAX,
            partitions => crate::slot::partition(crate::slot::slot(key), partitions),
        }
    }

    /// The map of this name; see [`Maps::open`](crate::Maps::open).
    ///
    /// # Errors
    /// [`OpError::Malformed`] when the name is empty, too long, or that of an internal map;
    /// [`OpError::TooManyMaps`] when there are too many maps.
    pub fn open(&self, name: &str) -> Result<Arc<Map>, OpError> {
        if crate::map::is_internal(name) {
            return Err(OpError::Malformed);
        }
        self.inner.shared.maps.open(name)
    }

    /// The maps that exist on this member.
    #[must_use]
    pub fn maps(&self) -> Vec<Arc<Map>> {
        self.inner.shared.maps.all()
    }

    /// The table that this member follows.
    #[must_use]
    pub fn table(&self) -> Option<Arc<Table>> {
        self.inner.table()
    }

    /// The cluster's time, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.inner.shared.clock.now_ms(self.inner.shared.now())
    }

    /// Whether data is safe: every replica that is possible exists and is complete, and no member
    /// has data left to merge.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        let (copies, data_members) = self.shape();
        let is_safe = |table: &Table| {
            table.is_safe(copies, data_members)
                && table.is_merged()
                && table.is_of(&self.inner.expected.read())
        };
        self.table().is_some_and(|table| is_safe(&table)) && !self.has_leftovers()
    }

    /// Whether this member holds data of another table that is not merged yet.
    #[must_use]
    pub fn has_leftovers(&self) -> bool {
        self.inner.partitions.iter().any(|partition| partition.lock().leftover)
    }

    /// The wanted number of copies besides the primary, and the number of members that store data.
    fn shape(&self) -> (usize, usize) {
        let copies = self.inner.shared.maps.catalog().copies_max();
        let data_members = match self.inner.data_members.load(Ordering::Relaxed) {
            u32::MAX => self.inner.control.lock().data_members(),
            shown => shown as usize,
        };
        (copies, data_members)
    }

    /// Number of complete replicas, and of wanted replicas, over all partitions.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        let (copies, data_members) = self.shape();
        self.table().map_or((0, 0), |table| table.progress(copies, data_members))
    }

    /// The digests of this member's copy of a partition, by the names of maps that are not empty.
    /// `None` without a complete copy.
    #[must_use]
    pub fn digests(&self, partition: u16) -> Option<BTreeMap<String, u64>> {
        let shared = &self.inner.shared;
        let partition = self.inner.partitions.get(usize::from(partition))?.lock();
        let place = match &partition.role {
            Role::Primary(_) => 0,
            Role::Backup(role) if role.is_synced() => role.place,
            _ => return None,
        };
        let maps = shared.maps.all();
        let digests = partition.digests(&maps, place);
        Some(digests.into_iter().map(|(map, digest)| ((*maps[map].name).into(), digest)).collect())
    }

    /// Number of unfinished transactions over several partitions, in the partitions of which this
    /// member is the primary. One that involves several of them is counted several times.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        self.inner.partitions.iter().map(|p| p.lock().open_transactions()).sum()
    }

    /// A short description of the coordinator's state, for debugging.
    #[must_use]
    pub fn describe_control(&self) -> String {
        self.inner.control.lock().describe(self.table().as_ref())
    }

    /// A short description of the state of a partition, for debugging.
    #[must_use]
    pub fn describe(&self, partition: u16) -> String {
        let partition = self.inner.partitions[usize::from(partition)].lock();
        partition.describe()
    }

    /// The other members of the view.
    #[must_use]
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.inner.shared.peers.read().values().cloned().collect()
    }

    /// Another member, if it is in the view.
    #[must_use]
    pub fn peer(&self, id: MemberId) -> Option<Arc<Peer>> {
        self.inner.shared.peer(id)
    }

    /// Handles that a member opened a connection, and named its session and the last message that
    /// it knows to be acknowledged ([`Peer::acknowledged`]). `None` when that member is not in the
    /// view (yet); then the connection must be closed.
    #[must_use]
    pub fn handle_opened(&self, from: MemberId, session: u64, acknowledged: u64) -> Option<Opened> {
        let connection = self.inner.connections.fetch_add(1, Ordering::Relaxed);
        let opened = self.peer(from)?.handle_opened(connection, session, acknowledged);
        if opened.is_new {
            // Unprocessed messages of the previous session are lost.
            for partition in &self.inner.partitions {
                partition.lock().mark_incomplete(&self.inner.shared, from);
            }
        }
        Some(opened)
    }

    /// Handles bytes of a connection, identified by [`Opened::connection`]. `None` when the
    /// connection must be closed.
    #[must_use]
    pub fn handle_bytes(&self, from: MemberId, connection: u64, bytes: &[u8]) -> Option<Receipt> {
        let peer = self.peer(from)?;
        peer.handle_bytes(connection, bytes, |message| self.handle_message(from, message))
    }

    /// Handles an aside of a member ([`Peer::poll_aside`]). Other messages are ignored.
    pub fn handle_aside(&self, from: MemberId, bytes: &[u8]) {
        match Message::decode(bytes) {
            Some(Message::Renew { nonce, stamp, generation }) => {
                self.handle_renew(from, nonce, stamp, generation);
            }
            Some(Message::Renewed { nonce, yes }) => self.handle_renewed(from, nonce, yes),
            _ => {}
        }
    }

    /// Handles the [`Receipt::Resume`] of a connection to a member. Returns `false` when the
    /// connection must be closed.
    #[must_use]
    pub fn handle_resumed(
        &self,
        to: MemberId,
        session: u64,
        received: u64,
        refused: &[u64],
    ) -> bool {
        let Some(peer) = self.peer(to) else { return false };
        let fresh = self.inner.shared.host.random();
        let useful = peer.handle_resumed(session, received, refused, fresh);
        if peer.session() != session {
            self.messages_lost(to);
        }
        useful
    }

    /// Handles a receipt for messages of a session.
    pub fn handle_received(&self, to: MemberId, session: u64, received: u64, refused: &[u64]) {
        let Some(peer) = self.peer(to) else { return };
        peer.handle_received(session, received, refused);
        let shared = &self.inner.shared;
        let retiring: Vec<u16> = shared.retiring.lock().iter().copied().collect();
        for number in retiring {
            self.inner.partitions[usize::from(number)].lock().hand_over(shared);
        }
        self.pump(to);
    }

    /// Handles that unacknowledged messages to a member are lost.
    fn messages_lost(&self, to: MemberId) {
        let shared = &self.inner.shared;
        self.inner.calls.handle_gone(to);
        shared.copying.lock().remove(&to);
        for partition in &self.inner.partitions {
            partition.lock().handle_lost(to);
        }
        self.announce_to(to);
    }

    /// Continues the copies that are being made for a member.
    fn pump(&self, to: MemberId) {
        let shared = &self.inner.shared;
        let Some(mut open) = shared.copying.lock().get(&to).cloned() else { return };
        while let Some(number) = open.pop_first() {
            let done = self.inner.partitions[usize::from(number)].lock().pump(shared, to);
            if !done {
                return;
            }
            if let Some(copying) = shared.copying.lock().get_mut(&to) {
                copying.remove(&number);
            }
        }
    }

    /// Announces a view that will be passed to [`Grid::handle_view`]. It returns at once, and must
    /// be called before the view is shown to anyone: a client that has seen enough members, or one
    /// that stores data, must not be refused for lack of them.
    pub fn expect_view(&self, view: &View) {
        let count = |members: usize| u32::try_from(members).unwrap_or(u32::MAX - 1);
        let shared = &self.inner.shared;
        let table = self.inner.table();
        let known = table.as_ref().and_then(|table| table.generation(shared.me));
        if known.is_some_and(|known| view.get(shared.me).is_some_and(|me| me.generation != known)) {
            // This member was removed, or comes from another cluster, so others are the primaries
            // of its partitions. It must not use the members of this view to renew its lease with
            // the old table.
            shared.lease.suspend();
        }
        shared.members.store(count(view.len()), Ordering::Relaxed);
        self.inner.data_members.store(count(view.data_members()), Ordering::Relaxed);
        let members = view.members().iter().map(|member| (member.id, member.generation));
        *self.inner.expected.write() = members.collect();
    }

    /// Handles a new view, for which [`Grid::expect_view`] was called before.
    pub fn handle_view(&self, view: &View) {
        let shared = &self.inner.shared;
        let now = shared.now();
        let mut new = Vec::new();
        let gone: Vec<Arc<Peer>> = {
            let mut peers = shared.peers.write();
            let gone = peers.extract_if(.., |id, _| !view.contains(*id));
            let gone = gone.map(|(_, peer)| peer).collect();
            for member in view.members().iter().filter(|member| member.id != shared.me) {
                peers.entry(member.id).or_insert_with(|| {
                    new.push(member.id);
                    Arc::new(Peer::new(member.id, shared.host.random()))
                });
            }
            gone
        };
        *self.inner.coordinator.write() = Some(view.coordinator().id);
        for peer in gone {
            let id = peer.id();
            peer.end();
            self.inner.calls.handle_gone(id);
            shared.copying.lock().remove(&id);
            shared.diverged.lock().remove(&id);
            self.inner.listeners.forget(id);
            self.inner.blocked.lock().retain(|(member, _), slot| {
                let stays = *member != id;
                if !stays {
                    slot.close();
                }
                stays
            });
        }
        self.inner.refresh_interest();
        let table = self.inner.table();
        if let Some(table) = table.as_ref().filter(|_| !new.is_empty()) {
            let _one_at_a_time = self.inner.adopting.lock();
            for partition in &self.inner.partitions {
                partition.lock().relink(shared, table);
            }
        }
        for id in new {
            // This opens the connection over which asides are sent back.
            shared.send(id, &Message::Alive);
            self.announce_to(id);
        }
        self.inner.control.lock().handle_view(now, view, table.as_ref());
        self.renew(now);
        self.coordinate();
        let early = self.inner.early.lock().take();
        if let Some((from, table, now_ms)) = early {
            self.handle_table(from, table, now_ms);
        }
    }

    /// Does periodic work. Must be called every [`TICK_MS`] milliseconds.
    pub fn tick(&self) {
        let shared = &self.inner.shared;
        let now = shared.now();
        self.renew(now);
        self.inner.calls.tick(now);
        let old = now.saturating_sub(Duration::from_millis(TICK_MS));
        let peers = self.peers();
        for peer in &peers {
            peer.wake_old(old);
        }
        let mut due = Due::default();
        let pause;
        {
            let mut timers = self.inner.timers.lock();
            pause = timers.ticked_at.replace(now).map(|before| now.saturating_sub(before));
            let is_due = |at: &mut Duration, every_ms: u64| {
                let due = now >= *at;
                if due {
                    *at = now + Duration::from_millis(every_ms);
                }
                due
            };
            due.alive = is_due(&mut timers.alive_at, ALIVE_MS);
            due.forget = is_due(&mut timers.forget_at, FORGET_MS);
            due.pulse = is_due(&mut timers.pulse_at, ALIVE_MS);
            let count = self.inner.partitions.len();
            if is_due(&mut timers.check_at, CHECK_MS / count.max(1) as u64) {
                due.check = Some(timers.checked % count.max(1));
                timers.checked += 1;
            }
        }
        if let Some(pause) = pause.filter(|pause| *pause >= Duration::from_millis(PAUSE_MS))
            && !peers.is_empty()
        {
            self.inner.report(Report::Paused { ms: pause.as_millis() as u64 });
        }
        let leftover = self.sweep(now, old, &due);
        // Copies of partitions of other primaries count toward memory bounds too.
        for map in shared.maps.all() {
            self.inner.make_room(&map, || 0);
        }
        if due.alive {
            for peer in &peers {
                peer.push(|bytes| Message::Alive.encode(bytes));
            }
            if !leftover {
                self.report_settled();
            }
        }
        for peer in &peers {
            self.pump(peer.id());
        }
        self.coordinate();
        if due.pulse {
            self.pulse(now);
        }
        if leftover {
            self.merge_leftovers();
        }
    }

    /// Does periodic work in each partition. Returns whether any has data left to merge.
    fn sweep(&self, now: Duration, old: Duration, due: &Due) -> bool {
        let shared = &self.inner.shared;
        let table = self.inner.table();
        let missing_since_ms = shared.missing_since_ms.load(Ordering::Relaxed);
        let forget_ms = shared.clock.now_ms(now).saturating_sub(REMOVAL_MS).min(missing_since_ms);
        let removal_bytes: u64 = shared.maps.all().iter().map(|map| map.removal_bytes()).sum();
        let (mut leftover, mut given_up, mut crowded) = (false, 0, Vec::new());
        for (number, partition) in self.inner.partitions.iter().enumerate() {
            let mut partition = partition.lock();
            leftover |= partition.leftover;
            if partition.tick(shared, now) {
                crowded.push(number as u16);
            }
            partition.wake_old(old);
            if due.check == Some(number) {
                partition.check(shared, now);
            }
            if due.forget {
                partition.forget(shared, now, forget_ms);
            }
            if removal_bytes > REMOVALS_BYTES_MAX {
                given_up += partition.give_up_removals(shared, now);
            }
            let unreported = match &table {
                Some(table) if due.alive => partition.unreported(table),
                _ => Vec::new(),
            };
            let unresolved = partition.unresolved(now, |home| {
                table.as_ref()?.partitions.get(usize::from(home))?.primary()
            });
            let incomplete = partition.take_incomplete();
            let (epoch, events) = (partition.epoch, partition.take_events());
            drop(partition);
            self.inner.publish_events(&events);
            let partition = number as u16;
            for unresolved in unresolved {
                self.inner.resolve(partition, unresolved);
            }
            for member in incomplete {
                self.send_to_coordinator(Message::Incomplete { partition, epoch, member });
            }
            for (member, place) in unreported {
                self.send_to_coordinator(Message::Completed { partition, epoch, member, place });
            }
        }
        self.expire_crowded(now, crowded);
        if given_up > 0 && missing_since_ms < u64::MAX {
            self.inner.report(Report::RemovalsGivenUp { count: given_up });
        }
        leftover
    }

    /// Continues with partitions that have more expired entries than one sweep drops, for instance
    /// if all keys have the same hash tag and deadline.
    fn expire_crowded(&self, now: Duration, mut crowded: Vec<u16>) {
        let shared = &self.inner.shared;
        let mut left = CROWDED_SWEEPS_MAX;
        while !crowded.is_empty() && left > 0 {
            crowded.retain(|number| {
                let may_go_on = left > 0;
                left = left.saturating_sub(1);
                may_go_on && self.inner.at(*number, |partition| partition.expire_due(shared, now))
            });
        }
    }

    /// Handles a message of another member.
    fn handle_message(&self, from: MemberId, bytes: &[u8]) -> Verdict {
        self.process_message(from, bytes).unwrap_or(Verdict::Malformed)
    }

    /// As [`Grid::handle_message`]; `None` when the message is malformed.
    fn process_message(&self, from: MemberId, bytes: &[u8]) -> Option<Verdict> {
        let shared = &self.inner.shared;
        let message = Message::decode(bytes)?;
        let at = |number: u16| self.inner.partitions.get(usize::from(number));
        match message {
            Message::Records { partition, epoch, copy, time_ms, more, records } => {
                let mut partition = at(partition)?.lock();
                shared.clock.observe_time(shared.now(), time_ms);
                return Some(partition.handle_records(shared, from, (epoch, copy), more, records));
            }
            Message::Alive => {}
            Message::MakeRoom { map, bytes } => {
                let map = shared.maps.open(map).ok()?;
                let before = map.bytes();
                self.inner.evict(&map, || before.saturating_sub(map.bytes()) >= bytes);
            }
            Message::Invite { partition, epoch } => {
                at(partition)?.lock().handle_invite(shared, from, epoch);
            }
            Message::SyncAsk { partition, epoch, ask, place, held } => {
                let incomplete =
                    at(partition)?.lock().handle_ask(shared, from, epoch, ask, place, &held);
                if incomplete {
                    self.send_to_coordinator(Message::Incomplete {
                        partition,
                        epoch,
                        member: from,
                    });
                }
            }
            Message::SyncStart { partition, epoch, ask, maps } => {
                at(partition)?.lock().handle_start(shared, from, epoch, ask, &maps);
            }
            Message::Chunk { partition, epoch, map, start, end, first, last, items } => {
                let partition = at(partition)?;
                let map = shared.maps.open(map).ok()?;
                let is_range = start <= end && end <= ALL_HASHES.end;
                let part = is_range.then_some(ChunkRange { range: start..end, first, last })?;
                partition.lock().handle_chunk(shared, from, epoch, &map, &part, items)?;
            }
            Message::SyncDone { partition, epoch, ask } => {
                at(partition)?.lock().handle_done(shared, from, epoch, ask);
            }
            Message::Synced { partition, epoch, ask } => {
                let place = at(partition)?.lock().handle_synced(from, epoch, ask);
                if let Some(place) = place {
                    let member = from;
                    self.send_to_coordinator(Message::Completed {
                        partition,
                        epoch,
                        member,
                        place,
                    });
                }
            }
            Message::Check { partition, epoch, copy, digests } => {
                at(partition)?.lock().handle_check(shared, from, (epoch, copy), &digests);
            }
            Message::Handoff { partition, epoch } => {
                at(partition)?.lock().handle_handoff(shared, from, epoch);
            }
            Message::Diverged { stamp } => {
                shared.diverged.lock().insert(from, stamp);
                for partition in &self.inner.partitions {
                    partition.lock().give_up_handoff(shared, from);
                }
            }
            Message::Ask { id, version, partition, map, waits, op } => {
                shared.clock.observe(version);
                at(partition)?;
                self.handle_ask(from, id, partition, map, waits, &op);
            }
            Message::Cancel { id } => self.handle_cancel(from, id),
            Message::Answer { id, version, outcome } => {
                shared.clock.observe(version);
                self.inner.calls.handle_answer(from, id, Answer::Outcome(outcome));
            }
            Message::MergeAsk { id, partition, held } => {
                let partition = at(partition)?;
                self.handle_merge_ask(from, id, &partition.lock(), &held);
            }
            Message::MergeWant { id, ranges } => {
                self.inner.calls.handle_answer(from, id, Answer::Wants(ranges));
            }
            Message::Merge { id, partition, same_cluster, map, items } => {
                at(partition)?;
                let items = Item::decode_all(items)?;
                self.handle_merge(from, id, partition, map, &items, same_cluster);
            }
            Message::Merged { id, done } => {
                self.inner.calls.handle_answer(from, id, Answer::Merged(done));
            }
            Message::Query => {
                let table = self.inner.table().map(|table| Table::clone(&table));
                let version = shared.clock.last();
                shared.send(from, &Message::Report { version, table });
            }
            Message::Report { version, table } => {
                shared.clock.observe(version);
                self.handle_report(from, table);
            }
            Message::Table { version, now_ms, table } => {
                shared.clock.observe(version);
                self.handle_table(from, table, now_ms);
            }
            Message::Pulse { stamp, now_ms } => self.handle_pulse(from, stamp, now_ms),
            Message::Completed { partition, epoch, member, place } => {
                self.handle_copy(partition, epoch, member, Some(place));
            }
            Message::Incomplete { partition, epoch, member } => {
                self.handle_copy(partition, epoch, member, None);
            }
            // These are sent as asides only.
            Message::Renew { .. } | Message::Renewed { .. } => return None,
            Message::Settled { stamp, generation } => {
                self.handle_settled(from, stamp, generation);
            }
            Message::Leaving => {
                self.inner.control.lock().handle_leaving(from);
                self.coordinate();
            }
            Message::Publish { id, topic, payload } => {
                let (topic, payload) = (topic.to_vec().into(), payload.to_vec().into());
                let count = self.inner.topics.deliver(&topic, &payload);
                shared.send(from, &Message::Delivered { id, count });
            }
            Message::Delivered { id, count } => {
                self.inner.calls.handle_answer(from, id, Answer::Delivered(count));
            }
            Message::Subscriptions { id, query } => {
                // A member that does not read its answers gets no more of them.
                if shared.peer(from).is_some_and(|peer| !peer.is_full()) {
                    let found = self.inner.topics.query(&query);
                    shared.send(from, &Message::Subscribed { id, found });
                }
            }
            Message::Subscribed { id, found } => {
                self.inner.calls.handle_answer(from, id, Answer::Subscriptions(found));
            }
            Message::Interest { maps } => {
                self.inner.listeners.interest(from, maps);
                self.inner.refresh_interest();
            }
            Message::Events(events) => self.inner.listeners.deliver(&events),
            Message::Setting { name, value, version } => {
                self.inner.take_setting(name, value, version);
            }
        }
        Some(Verdict::Processed)
    }

    /// Answers, as the primary, a member that offers data to merge.
    fn handle_merge_ask(&self, from: MemberId, id: u64, partition: &Partition, held: &Held<'_>) {
        let shared = &self.inner.shared;
        match shared.maps.open(held.map) {
            Ok(map) if partition.serving_primary().is_some() => {
                let ranges = partition.wanted(&map, held);
                shared.send(from, &Message::MergeWant { id, ranges });
            }
            _ => {
                shared.send(from, &Message::Merged { id, done: false });
            }
        }
    }
}

/// Work that is due in one tick.
#[derive(Default)]
struct Due {
    alive: bool,
    forget: bool,
    pulse: bool,
    check: Option<usize>,
}

impl Inner {
    /// Calls `work` with the locked partition, and publishes the resulting events.
    fn at<R>(&self, partition: u16, work: impl FnOnce(&mut Partition) -> R) -> R {
        let mut partition = self.partitions[usize::from(partition)].lock();
        let result = work(&mut partition);
        let events = partition.take_events();
        drop(partition);
        self.publish_events(&events);
        result
    }

    /// Executes an operation here, if this member is the primary. `now` is when the lease was
    /// checked.
    fn execute(
        self: &Arc<Self>,
        map: &Arc<Map>,
        partition: u16,
        op: &Op<'_>,
        now: Duration,
    ) -> Executed {
        if let Op::Transaction(step) = op {
            return self.transact(map, partition, op, step, now);
        }
        if op.effect() == Effect::Adds {
            self.make_room(map, || op.added_bytes());
        }
        self.at(partition, |partition| partition.execute(&self.shared, map, now, op))
    }

    /// Evicts from a map until `needed` more bytes fit. Other primaries are asked to evict what
    /// this member only has copies of.
    fn make_room(&self, map: &Arc<Map>, needed: impl FnOnce() -> usize) {
        let Some(max) = map.settings().evicts_at() else { return };
        let needed = needed() as u64;
        let over = || map.bytes().saturating_add(needed).saturating_sub(max);
        if needed > max || over() == 0 {
            return;
        }
        self.evict(map, || over() == 0);
        let bytes = over();
        if bytes > 0 && needed > 0 && map.may_ask_for_room(self.shared.now()) {
            self.shared.send_all(&Message::MakeRoom { map: &map.name, bytes });
        }
    }

    /// Evicts from partitions of which this member is the primary, until `is_enough` or nothing is
    /// left to evict. It takes one entry at a time from each partition, so that none is emptied for
    /// the others.
    fn evict(&self, map: &Arc<Map>, is_enough: impl Fn() -> bool) {
        let count = self.partitions.len();
        let start = self.shared.host.random() as usize % count.max(1);
        let now = self.shared.now();
        for _ in 0..EVICTIONS_OF_PARTITION_MAX {
            let mut is_any = false;
            for step in 0..count {
                if is_enough() {
                    return;
                }
                let number = ((start + step) % count) as u16;
                is_any |= self.at(number, |partition| partition.evict(&self.shared, map, now));
            }
            if !is_any {
                return;
            }
        }
    }

    /// The table that this member follows.
    fn table(&self) -> Option<Arc<Table>> {
        self.table.read().clone()
    }

    /// Whether the view has members, none of which stores data.
    fn has_no_data_member(&self) -> bool {
        self.data_members.load(Ordering::Relaxed) == 0
    }

    fn report(&self, report: Report) {
        self.shared.host.report(report);
    }
}
