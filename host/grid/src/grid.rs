//! The grid of one member: the main type of this crate.
//!
//! See [`Grid`] for the order in which to call its methods.

mod attempt;
mod changes;
mod coordination;
mod dispatch;
mod following;
mod listeners;
mod losses;
mod merging;
mod open;
mod publishing;
mod requests;
mod resolving;
mod room;
mod routing;
mod spanning;
mod state;
mod step;
#[cfg(test)]
mod testing;
mod tick;
mod transactions;
mod unblock;
mod unpublished;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use convoke_membership::{MemberId, View};
use parking_lot::{Mutex, RwLock};

use crate::OpError;
use crate::calls::Calls;
use crate::control::Control;
use crate::host::{GridSettings, Host};
use crate::map::{Map, MapCatalog};
use crate::message::Message;
use crate::partition::Role;
use crate::partitions::Partitions;
use crate::session::{Opened, Peer, Receipt};
use crate::shared::Shared;
use crate::table::Table;
use crate::topic::Topics;

pub use crate::limits::OP_MS_MAX;
use changes::Changes;
use following::Following;
pub use listeners::Listener;
use listeners::Listeners;
pub use open::{AbortReason, OpenTransaction, TransactionAge};
pub use publishing::SUBSCRIPTIONS_MS_MAX;
pub use requests::Running;
pub use routing::{Started, WAITING_BYTES_MAX};
pub use state::{Grid, Later};
use state::{Inner, Timers, Transactions};
pub use step::StepResult;
pub use tick::{ALIVE_MS, REMOVALS_BYTES_MAX, TICK_MS};
pub use unblock::Unblock;
use unpublished::Unpublished;

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
            partitions.create(count, &*host);
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
                listeners: Listeners::default(),
                unpublished: Unpublished::default(),
                losses: Mutex::default(),
                changes: Changes::default(),
                following: Following::default(),
                blocked: Mutex::default(),
                coordinator: RwLock::new(None),
                early: Mutex::default(),
                timers: Mutex::new(Timers::default()),
                merging: AtomicBool::new(false),
                merged: AtomicU64::new(0),
                events_dropped: AtomicU64::new(0),
                waiting_bytes: AtomicUsize::new(0),
                settings: Mutex::default(),
                own_settings: Mutex::default(),
                setting_changes: AtomicU64::new(0),
                running: Transactions::default(),
                requests: OnceLock::new(),
            }),
        }
    }

    /// The id of this member.
    #[must_use]
    pub fn me(&self) -> MemberId {
        self.inner.shared.me
    }

    /// Sets values that this member's configuration left open to those of its cluster, before the
    /// first view: the number of partitions, and the settings of maps that apply while this member
    /// coordinates. Until then, those of the oldest member apply, except for memory bounds.
    pub fn adopt_settings(&self, partitions: u16, catalog: &MapCatalog) {
        let shared = &self.inner.shared;
        self.inner.partitions.create(partitions, &*shared.host);
        shared.maps.set_own(catalog);
        self.inner.control.lock().adopt_settings(self.partitions(), catalog.clone());
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

    /// A map of the host itself, which clients cannot open; see [`Maps::open_system`](crate::Maps::open_system).
    ///
    /// # Errors
    /// As [`Grid::open`].
    pub fn open_system(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.inner.shared.maps.open_system(name)
    }

    /// A map that holds data structures, which other clients cannot open; see
    /// [`Maps::open_structure`](crate::Maps::open_structure).
    ///
    /// # Errors
    /// As [`Grid::open`].
    pub fn open_structure(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.inner.shared.maps.open_structure(name)
    }

    /// A map of collections, which clients cannot open as a map; see
    /// [`Maps::open_collections`](crate::Maps::open_collections).
    ///
    /// # Errors
    /// As [`Grid::open`].
    pub fn open_collections(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.inner.shared.maps.open_collections(name)
    }

    /// The map that stores the leases of a map's keys; see
    /// [`Maps::leases_of`](crate::Maps::leases_of).
    ///
    /// # Errors
    /// As [`Grid::open`].
    pub fn leases_of(&self, map: &Map) -> Result<Arc<Map>, OpError> {
        self.inner.shared.maps.leases_of(map)
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

    /// Whether data is safe: all possible replicas exist and are complete, and no member has data
    /// left to merge.
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

    /// The number of members in the view, and that for which writes wait, if there are too few of them.
    #[must_use]
    pub fn missing_members(&self) -> Option<(u32, u32)> {
        let shared = &self.inner.shared;
        let (here, needed) = (shared.members_here(), shared.settings.min_members);
        (here < needed).then_some((here, needed))
    }

    /// Whether this member holds data of another table that is not merged yet.
    #[must_use]
    pub fn has_leftovers(&self) -> bool {
        self.inner.partitions.iter().any(|partition| partition.lock().leftover)
    }

    /// The number of copies besides the primary according to the settings, and the number of
    /// members that store data.
    fn shape(&self) -> (usize, usize) {
        let copies = self.inner.shared.maps.catalog().copies_max();
        let data_members = match self.inner.data_members.load(Ordering::Relaxed) {
            u32::MAX => self.inner.control.lock().data_members(),
            shown => shown as usize,
        };
        (copies, data_members)
    }

    /// Number of complete replicas, and of required replicas, over all partitions.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        let (copies, data_members) = self.shape();
        self.table().map_or((0, 0), |table| table.progress(copies, data_members))
    }

    /// The digests of this member's copy of a partition, by map name, without empty maps. `None`
    /// without a complete copy.
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

    /// Number of reads on this member that found their key, and of those that did not.
    #[must_use]
    pub fn lookups(&self) -> (u64, u64) {
        let all = self.inner.partitions.iter().map(|partition| partition.lock().lookups());
        all.fold((0, 0), |(hits, misses), (more, less)| {
            (hits.saturating_add(more), misses.saturating_add(less))
        })
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
            // Changes that were not processed are lost too.
            self.inner.following.handle_uncertain();
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

    /// Announces a view that will be passed to [`Grid::handle_view`]. Returns immediately. Must be
    /// called before the view is visible to clients: once a client sees enough members, or one that
    /// stores data, its operations must not be refused for lack of them.
    pub fn expect_view(&self, view: &View) {
        let count = |members: usize| u32::try_from(members).unwrap_or(u32::MAX - 1);
        let shared = &self.inner.shared;
        let table = self.inner.table();
        let known = table.as_ref().and_then(|table| table.generation(shared.me));
        if known.is_some_and(|known| view.get(shared.me).is_some_and(|me| me.generation != known)) {
            // This member was removed, or comes from another cluster, so that its partitions have
            // other primaries. It must not renew its lease for the old table with members of this
            // view.
            shared.lease.suspend();
        }
        let (here, needed) = (count(view.len()), shared.settings.min_members);
        let before = shared.members.swap(here, Ordering::Relaxed);
        // Before its first view a member serves nothing.
        if (before == 0 || before >= needed) != (here >= needed) {
            self.inner.report(crate::host::Report::Writes { here, needed });
        }
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
        let is_gone = !gone.is_empty();
        for peer in gone {
            let id = peer.id();
            peer.end();
            self.inner.calls.handle_gone(id);
            shared.copying.lock().remove(&id);
            shared.diverged.lock().remove(&id);
            self.inner.listeners.forget(id);
            self.inner.following.forget(id);
            self.inner.blocked.lock().retain(|(member, _), slot| {
                let stays = *member != id;
                if !stays {
                    slot.close();
                }
                stays
            });
        }
        self.inner.refresh_interest();
        self.inner.mark_followed();
        if is_gone {
            // It may have made changes that it has not reported.
            self.inner.following.handle_uncertain();
        }
        let table = self.inner.table();
        if let Some(table) = table.as_ref().filter(|_| !new.is_empty()) {
            let _one_at_a_time = self.inner.adopting.lock();
            for partition in &self.inner.partitions {
                partition.lock().relink(shared, table);
            }
        }
        for id in new {
            // This opens the connection over which out-of-band messages are sent back.
            shared.send(id, &Message::KeepAlive);
            self.announce_to(id);
        }
        self.inner.control.lock().handle_view(now, view, table.as_ref());
        self.renew(now);
        self.coordinate();
        let early = self.inner.early.lock().take();
        if let Some((from, table, now_ms)) = early {
            self.handle_table(from, table, now_ms);
        }
        self.inner.changes.note();
    }
}
