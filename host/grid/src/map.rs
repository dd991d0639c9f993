//! Maps: names, settings, and counters of each map on this member.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::OpError;
use crate::entry::{Expiry, Idle};
use crate::limits::MAPS_MAX;

/// Maximum length of a map's name, in bytes.
pub const MAP_NAME_BYTES_MAX: usize = 128;
/// Prefix of the names of maps that store leases; the name of the map to which the leases belong
/// follows.
const LEASES: &str = "lease:";
/// Prefix of the names of maps that store prepared transactions; the name of the map whose
/// replication settings they share follows.
const TRANSACTIONS: &str = "transaction:";
/// Prefix of the names of maps of the host itself. They have as many backups as any map, and their
/// entries do not expire and are not evicted.
const SYSTEM: &str = "system:";
/// Maximum number of maps that a member knows: those that members have created at the same time, each
/// within [`MAPS_MAX`]. A copy of a map cannot be refused, as backups would differ from the primary.
const MAPS_COPIED_MAX: usize = 16 * MAPS_MAX;
/// Prefix of the names of maps of collections, such as queues: their keys are the names of
/// collections. The settings of their names apply, but a whole collection neither expires nor is
/// evicted; at the memory bound, writes are refused.
const COLLECTIONS: &str = "hazelcast:collection:";
/// Prefix of the names of maps that hold the data structures of clients of Hazelcast, other than their
/// maps; other clients cannot open them.
pub const STRUCTURES: &str = "hazelcast:";
/// Maximum number of synchronous, and of asynchronous, backups.
pub const BACKUPS_MAX: u8 = 6;

/// Whether a map of this name is internal: clients cannot open it.
pub(crate) fn is_internal(name: &str) -> bool {
    [LEASES, SYSTEM, STRUCTURES].iter().any(|prefix| name.starts_with(prefix))
        || holds_transactions(name)
}

/// Whether a map of this name stores prepared transactions.
pub(crate) fn holds_transactions(name: &str) -> bool {
    name.starts_with(TRANSACTIONS)
}

/// Which of two values of a key remains when two clusters merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MergePolicy {
    /// The one written last.
    #[default]
    LastWriter,
    /// The one on the larger side; that of the smaller side if there is none.
    PutIfAbsent,
    /// The one that was read more often.
    HigherHits,
    /// The one on the larger side; keys that only the smaller side has are dropped.
    Discard,
}

/// Which entries are evicted when a map is at its memory bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eviction {
    /// None: writes that need more memory are refused.
    None,
    /// The least recently used of a sample.
    #[default]
    Lru,
    /// The least frequently used of a sample.
    Lfu,
    /// A random one.
    Random,
}

/// How clients of Hazelcast see the keys and values of a map. The grid stores either as bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As [`Format::Plain`] if the map is a database of Redis clients, and as [`Format::Opaque`]
    /// otherwise.
    #[default]
    Default,
    /// Of any type. Only clients of Hazelcast can read them.
    Opaque,
    /// Plain bytes, which they share with all others: a text is a `String`, all other bytes are a
    /// `byte[]`.
    Plain,
    /// Plain bytes, which they share with all others: each value is a `byte[]`.
    PlainBytes,
}

/// Settings of a map, the same on all members of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapSettings {
    /// Number of synchronous backups: 0 to 6. Writes wait for them.
    pub backups: u8,
    /// Number of asynchronous backups: 0 to 6.
    pub async_backups: u8,
    /// Default lifetime of an entry, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Default maximum time without access, in milliseconds.
    pub max_idle_ms: Option<u64>,
    /// Bound on the bytes of keys, values and their tables on one member, copies included.
    /// Remembered removals do not count.
    pub memory_bytes_max: Option<u64>,
    /// What is evicted at that bound.
    pub eviction: Eviction,
    /// Which value remains when clusters merge.
    pub merge: MergePolicy,
    /// Whether entries have statistics: creation time and number of reads.
    pub statistics: bool,
    /// How clients of Hazelcast see keys and values.
    pub format: Format,
}

impl Default for MapSettings {
    fn default() -> Self {
        Self {
            backups: 1,
            async_backups: 0,
            ttl_ms: None,
            max_idle_ms: None,
            memory_bytes_max: None,
            eviction: Eviction::default(),
            merge: MergePolicy::default(),
            statistics: false,
            format: Format::default(),
        }
    }
}

impl MapSettings {
    /// Number of backups of both kinds.
    #[must_use]
    pub fn copies(&self) -> usize {
        usize::from(self.backups) + usize::from(self.async_backups)
    }

    /// The bound at which entries are evicted; `None` if there is no bound, or writes are refused
    /// instead.
    #[must_use]
    pub fn evicts_at(&self) -> Option<u64> {
        self.memory_bytes_max.filter(|_| self.eviction != Eviction::None)
    }

    /// Whether entries have statistics.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.statistics || self.merge == MergePolicy::HigherHits
    }

    /// The default expiry of an entry that is written at `now_ms`.
    #[must_use]
    pub fn expiry(&self, now_ms: u64) -> Expiry {
        Expiry {
            deadline_ms: self.ttl_ms.map(|ttl| now_ms.saturating_add(ttl)),
            idle: self
                .max_idle_ms
                .map(|period_ms| Idle { period_ms, deadline_ms: now_ms.saturating_add(period_ms) }),
        }
    }
}

/// The settings of all maps, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapCatalog {
    /// For maps that are not named below.
    pub defaults: MapSettings,
    /// By name. A name with a `*` applies to all maps that begin with the part before the first `*`
    /// and end with the part after it.
    pub named: Vec<(String, MapSettings)>,
}

impl MapCatalog {
    /// The settings of a map: those of its name, of the longest pattern that matches, or the
    /// defaults.
    #[must_use]
    pub fn of(&self, name: &str) -> &MapSettings {
        let fits = |pattern: &str| {
            pattern
                .split_once('*')
                .is_some_and(|(begin, end)| name.starts_with(begin) && name.ends_with(end))
        };
        let exact = self.named.iter().find(|(named, _)| named == name);
        exact
            .or_else(|| self.named.iter().filter(|(n, _)| fits(n)).max_by_key(|(n, _)| n.len()))
            .map_or(&self.defaults, |(_, settings)| settings)
    }

    /// Whether it is within the bounds. Catalogs come from the network.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let fits = |settings: &MapSettings| {
            settings.backups <= BACKUPS_MAX && settings.async_backups <= BACKUPS_MAX
        };
        let is_name = |name: &str| (1..=MAP_NAME_BYTES_MAX).contains(&name.len());
        self.named.len() <= MAPS_MAX
            && fits(&self.defaults)
            && self.named.iter().all(|(name, settings)| is_name(name) && fits(settings))
    }

    /// This catalog with the memory bounds of another one.
    #[must_use]
    pub fn with_bounds_of(&self, other: &Self) -> Self {
        let with = |settings: &MapSettings, bounds: &MapSettings| MapSettings {
            memory_bytes_max: bounds.memory_bytes_max,
            ..*settings
        };
        let names = self.named.iter().chain(&other.named).map(|(name, _)| name.as_str());
        let names: BTreeSet<&str> = names.collect();
        let named =
            names.into_iter().map(|name| (name.into(), with(self.of(name), other.of(name))));
        Self { defaults: with(&self.defaults, &other.defaults), named: named.collect() }
    }

    /// Whether all maps have as many backups as in another catalog.
    #[must_use]
    pub fn has_copies_of(&self, other: &Self) -> bool {
        let copies = |settings: &MapSettings| (settings.backups, settings.async_backups);
        let named = self.named.iter().chain(&other.named).map(|(name, _)| name);
        copies(&self.defaults) == copies(&other.defaults)
            && named.into_iter().all(|name| copies(self.of(name)) == copies(other.of(name)))
    }

    /// Whether all maps have the same number of backups: then all backups have the same data, at
    /// any place.
    #[must_use]
    pub fn copies_are_equal(&self) -> bool {
        self.named.iter().all(|(_, settings)| settings.copies() == self.defaults.copies())
    }

    /// The highest number of backups of any map.
    #[must_use]
    pub fn copies_max(&self) -> usize {
        let all = self.named.iter().map(|(_, settings)| settings);
        all.chain([&self.defaults]).map(MapSettings::copies).max().unwrap_or(0)
    }
}

/// Minimum interval between requests to other members to evict from a map, in milliseconds.
const ROOM_ASKED_MS: u64 = 50;

/// Settings that every operation reads and that rarely change. Each word is loaded by itself,
/// without a lock: during a change, a reader may see a new one beside an old one.
#[derive(Debug)]
struct SharedSettings {
    /// The enumerations and small numbers, one byte each; see [`Self::pack`].
    small: AtomicU64,
    /// [`u64::MAX`] means none, here and below.
    ttl_ms: AtomicU64,
    max_idle_ms: AtomicU64,
    memory_bytes_max: AtomicU64,
}

impl SharedSettings {
    fn new(settings: &MapSettings) -> Self {
        let word = || AtomicU64::new(u64::MAX);
        let new =
            Self { small: word(), ttl_ms: word(), max_idle_ms: word(), memory_bytes_max: word() };
        new.store(settings);
        new
    }

    fn pack(settings: &MapSettings) -> u64 {
        let MapSettings { backups, async_backups, eviction, merge, statistics, format, .. } =
            *settings;
        let bytes = [
            backups,
            async_backups,
            eviction as u8,
            merge as u8,
            u8::from(statistics),
            format as u8,
        ];
        bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    fn store(&self, settings: &MapSettings) {
        let MapSettings { ttl_ms, max_idle_ms, memory_bytes_max, .. } = *settings;
        for (word, value) in [
            (&self.small, Self::pack(settings)),
            (&self.ttl_ms, ttl_ms.unwrap_or(u64::MAX)),
            (&self.max_idle_ms, max_idle_ms.unwrap_or(u64::MAX)),
            (&self.memory_bytes_max, memory_bytes_max.unwrap_or(u64::MAX)),
        ] {
            word.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    fn load(&self) -> MapSettings {
        let some = |word: &AtomicU64| Some(word.load(Ordering::Relaxed)).filter(|n| *n != u64::MAX);
        let [backups, async_backups, eviction, merge, statistics, format, ..] =
            self.small.load(Ordering::Relaxed).to_le_bytes();
        MapSettings {
            backups,
            async_backups,
            ttl_ms: some(&self.ttl_ms),
            max_idle_ms: some(&self.max_idle_ms),
            memory_bytes_max: some(&self.memory_bytes_max),
            eviction: match eviction {
                1 => Eviction::Lru,
                2 => Eviction::Lfu,
                3 => Eviction::Random,
                _ => Eviction::None,
            },
            merge: match merge {
                1 => MergePolicy::PutIfAbsent,
                2 => MergePolicy::HigherHits,
                3 => MergePolicy::Discard,
                _ => MergePolicy::LastWriter,
            },
            statistics: statistics != 0,
            format: match format {
                1 => Format::Opaque,
                2 => Format::Plain,
                3 => Format::PlainBytes,
                _ => Format::Default,
            },
        }
    }
}

/// A map in this process.
#[derive(Debug)]
pub struct Map {
    /// Index of its fragment in each partition, in this process only.
    pub(crate) index: usize,
    /// Its name.
    pub name: Box<str>,
    settings: SharedSettings,
    /// Bytes on this member.
    pub(crate) bytes: AtomicI64,
    /// Bytes of remembered removals on this member.
    pub(crate) removal_bytes: AtomicI64,
    /// When other members were last asked to evict, in milliseconds since the process started.
    room_asked_ms: AtomicU64,
    /// The map that stores the leases of its keys, once there are any.
    leases: OnceLock<Arc<Self>>,
    /// The map that stores its prepared transactions, once there are any.
    transactions: OnceLock<Arc<Self>>,
    /// Whether its events are wanted.
    pub(crate) listened: AtomicBool,
    /// Whether listeners want the values of events.
    pub(crate) values_wanted: AtomicBool,
    /// Whether a member follows the changes of its keys.
    pub(crate) followed: AtomicBool,
    /// Entries that were evicted by this member.
    pub(crate) evicted: AtomicU64,
    /// Entries that expired on this member.
    pub(crate) expired: AtomicU64,
    /// Fields of hashes that expired on this member.
    pub(crate) expired_fields: AtomicU64,
}

impl Map {
    /// Its current settings.
    #[inline]
    pub fn settings(&self) -> MapSettings {
        self.settings.load()
    }

    /// Bytes of keys, values and tables on this member.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes of removals that this member remembers, so that outdated copies do not bring the keys
    /// back. They do not count toward the memory bound.
    pub fn removal_bytes(&self) -> u64 {
        u64::try_from(self.removal_bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether it has as many backups as another map; the keys of such maps can be exchanged.
    pub fn has_copies_of(&self, other: &Self) -> bool {
        let copies = |map: &Self| (map.settings().backups, map.settings().async_backups);
        copies(self) == copies(other)
    }

    /// Entries that this member evicted.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Fields of hashes that expired on this member.
    pub fn expired_fields(&self) -> u64 {
        self.expired_fields.load(Ordering::Relaxed)
    }

    /// Entries that expired on this member.
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Whether there have been leases of its keys, so that operations may be refused with
    /// [`OpError::Held`].
    pub fn has_leases(&self) -> bool {
        self.leases.get().is_some()
    }

    /// The map that stores the leases of its keys, if there are any.
    pub(crate) fn leases(&self) -> Option<&Arc<Self>> {
        self.leases.get()
    }

    /// Whether other members may be asked to evict now: at intervals of at least [`ROOM_ASKED_MS`].
    pub(crate) fn may_ask_for_room(&self, now: Duration) -> bool {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let asked_ms = self.room_asked_ms.load(Ordering::Relaxed);
        let may_ask = asked_ms == 0 || now_ms.saturating_sub(asked_ms) >= ROOM_ASKED_MS;
        if may_ask {
            self.room_asked_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        may_ask
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
    }

    /// Whether events contain values.
    pub(crate) fn has_value_listeners(&self) -> bool {
        self.values_wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn is_listened(&self) -> bool {
        self.listened.load(Ordering::Relaxed)
    }
}

/// All maps of this process.
#[derive(Debug)]
pub struct Maps {
    /// The settings in force.
    catalog: RwLock<Arc<MapCatalog>>,
    /// The settings of this member, whose memory bounds apply here.
    own: RwLock<MapCatalog>,
    known: RwLock<OpenMaps>,
}

#[derive(Debug, Default)]
struct OpenMaps {
    by_name: HashMap<Box<str>, Arc<Map>>,
    in_order: Vec<Arc<Map>>,
}

impl Maps {
    /// No maps yet, with these settings.
    #[must_use]
    pub fn new(catalog: MapCatalog) -> Self {
        Self {
            catalog: RwLock::new(Arc::new(catalog.clone())),
            own: RwLock::new(catalog),
            known: RwLock::default(),
        }
    }

    /// The settings in force.
    #[must_use]
    pub fn catalog(&self) -> Arc<MapCatalog> {
        Arc::clone(&self.catalog.read())
    }

    /// Sets this member's own settings, completed with those of its cluster.
    pub fn set_own(&self, own: &MapCatalog) {
        own.clone_into(&mut self.own.write());
        self.adopt(own);
    }

    /// Puts these settings in force, except for the memory bounds, which are this member's own.
    /// Returns whether that changes anything.
    pub fn adopt(&self, catalog: &MapCatalog) -> bool {
        let known = self.known.write();
        let own = self.own.read();
        // The catalog may be large, so it is copied only if it differs.
        let catalog = if *catalog == *own { own.clone() } else { catalog.with_bounds_of(&own) };
        if catalog == **self.catalog.read() {
            return false;
        }
        *self.catalog.write() = Arc::new(catalog);
        for map in &known.in_order {
            map.settings.store(&self.settings(&map.name));
        }
        true
    }

    /// The map of this name, which is created if there is none.
    ///
    /// # Errors
    /// [`OpError::Malformed`] when the name is too long or empty, [`OpError::TooManyMaps`] when
    /// there are [`MAPS_MAX`] others.
    pub fn open(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.open_within(name, MAPS_MAX)
    }

    /// The map of this name, of which another member has data. It is created if there is none, even
    /// if there are [`MAPS_MAX`] others.
    ///
    /// # Errors
    /// As [`Maps::open`], with the limit [`MAPS_COPIED_MAX`].
    pub(crate) fn open_copied(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.open_within(name, MAPS_COPIED_MAX)
    }

    fn open_within(&self, name: &str, maps_max: usize) -> Result<Arc<Map>, OpError> {
        if let Some(map) = self.known.read().by_name.get(name) {
            return Ok(Arc::clone(map));
        }
        if !(1..=MAP_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(OpError::Malformed);
        }
        let mut known = self.known.write();
        if let Some(map) = known.by_name.get(name) {
            return Ok(Arc::clone(map));
        }
        let index = known.in_order.len();
        if index >= maps_max {
            return Err(OpError::TooManyMaps);
        }
        let map = Arc::new(Map {
            index,
            name: name.into(),
            room_asked_ms: AtomicU64::new(0),
            settings: SharedSettings::new(&self.settings(name)),
            leases: OnceLock::new(),
            transactions: OnceLock::new(),
            bytes: AtomicI64::new(0),
            removal_bytes: AtomicI64::new(0),
            listened: AtomicBool::new(false),
            values_wanted: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            evicted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            expired_fields: AtomicU64::new(0),
        });
        known.by_name.insert(name.into(), Arc::clone(&map));
        known.in_order.push(Arc::clone(&map));
        drop(known);
        // Opening the map of leases also marks the map that it belongs to as having leases.
        if let Some(base) = name.strip_prefix(LEASES) {
            let _ = self.open_within(base, maps_max)?.leases.set(Arc::clone(&map));
        }
        Ok(map)
    }

    /// The map that stores the leases of a map's keys. It has as many backups.
    ///
    /// # Errors
    /// As [`Maps::open`].
    pub fn leases_of(&self, map: &Map) -> Result<Arc<Map>, OpError> {
        match map.leases.get() {
            Some(leases) => Ok(Arc::clone(leases)),
            None => self.open(&format!("{LEASES}{}", map.name)),
        }
    }

    /// A map of the host itself, which clients cannot open.
    ///
    /// # Errors
    /// As [`Maps::open`].
    pub fn open_system(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.open(&format!("{SYSTEM}{name}"))
    }

    /// A map that holds data structures, whose name begins with [`STRUCTURES`].
    ///
    /// # Errors
    /// As [`Maps::open`]; [`OpError::Malformed`] also if the name begins otherwise.
    pub fn open_structure(&self, name: &str) -> Result<Arc<Map>, OpError> {
        if name.starts_with(STRUCTURES) { self.open(name) } else { Err(OpError::Malformed) }
    }

    /// A map of collections, which clients cannot open as a map. Its name is `hazelcast:collection:`
    /// and this one.
    ///
    /// # Errors
    /// As [`Maps::open`].
    pub fn open_collections(&self, name: &str) -> Result<Arc<Map>, OpError> {
        self.open(&format!("{COLLECTIONS}{name}"))
    }

    /// The map that stores prepared transactions of a map. It has as many backups, and its entries
    /// do not expire, are not evicted, and are not merged.
    ///
    /// # Errors
    /// As [`Maps::open`].
    pub(crate) fn transactions_of(&self, map: &Map) -> Result<Arc<Map>, OpError> {
        if let Some(transactions) = map.transactions.get() {
            return Ok(Arc::clone(transactions));
        }
        let transactions = self.open(&format!("{TRANSACTIONS}{}", map.name))?;
        Ok(Arc::clone(map.transactions.get_or_init(|| transactions)))
    }

    fn settings(&self, name: &str) -> MapSettings {
        let catalog = self.catalog();
        if name.starts_with(SYSTEM) {
            let backups = u8::try_from(catalog.copies_max()).unwrap_or(BACKUPS_MAX);
            return MapSettings { backups: backups.min(BACKUPS_MAX), ..MapSettings::default() };
        }
        if name.starts_with(COLLECTIONS) {
            let settings = *catalog.of(name);
            let eviction = Eviction::None;
            return MapSettings { ttl_ms: None, max_idle_ms: None, eviction, ..settings };
        }
        let (base, merge) = match (name.strip_prefix(LEASES), name.strip_prefix(TRANSACTIONS)) {
            (Some(base), _) => (base, MergePolicy::default()),
            // A transaction of the other side is decided on that side.
            (_, Some(base)) => (base, MergePolicy::Discard),
            (None, None) => return *catalog.of(name),
        };
        let MapSettings { backups, async_backups, .. } = *catalog.of(base);
        MapSettings { backups, async_backups, merge, ..MapSettings::default() }
    }

    /// All maps, in the order of their indices.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Map>> {
        self.known.read().in_order.clone()
    }

    /// The map with this index.
    pub(crate) fn at(&self, index: usize) -> Option<Arc<Map>> {
        self.known.read().in_order.get(index).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_the_settings_of_its_name_or_of_the_longest_matching_pattern() {
        let with = |backups| MapSettings { backups, ..MapSettings::default() };
        let catalog = MapCatalog {
            defaults: with(1),
            named: vec![
                ("session*".into(), with(2)),
                ("session-old*".into(), with(3)),
                ("session-older".into(), with(4)),
                ("*-today".into(), with(5)),
                ("log*end".into(), with(6)),
            ],
        };
        let backups = |name| catalog.of(name).backups;
        assert_eq!(
            ["cache", "sessions", "session-old-2", "session-older"].map(backups),
            [1, 2, 3, 4]
        );
        assert_eq!(["news-today", "log-end", "log-ends", "end"].map(backups), [5, 6, 1, 1]);
        assert_eq!(catalog.copies_max(), 6);
    }

    #[test]
    fn shared_settings_are_loaded_as_stored() {
        let shared = SharedSettings::new(&MapSettings::default());
        assert_eq!(shared.load(), MapSettings::default());
        let times = [None, Some(0), Some(u64::MAX - 1)];
        let evictions = [Eviction::None, Eviction::Lru, Eviction::Lfu, Eviction::Random];
        let merges = [
            MergePolicy::LastWriter,
            MergePolicy::PutIfAbsent,
            MergePolicy::HigherHits,
            MergePolicy::Discard,
        ];
        let formats = [Format::Default, Format::Opaque, Format::Plain, Format::PlainBytes];
        for number in 0..12 {
            let settings = MapSettings {
                backups: number as u8,
                async_backups: 255 - number as u8,
                ttl_ms: times[number % 3],
                max_idle_ms: times[(number + 1) % 3],
                memory_bytes_max: times[(number + 2) % 3],
                eviction: evictions[number % 4],
                merge: merges[number / 3],
                statistics: number % 2 == 0,
                format: formats[3 - number % 4],
            };
            shared.store(&settings);
            assert_eq!(shared.load(), settings);
        }
    }

    #[test]
    fn collections_neither_expire_nor_are_evicted() {
        let maps = Maps::new(MapCatalog {
            defaults: MapSettings {
                ttl_ms: Some(1),
                max_idle_ms: Some(1),
                memory_bytes_max: Some(7),
                ..MapSettings::default()
            },
            named: vec![(
                "hazelcast:collection:set".into(),
                MapSettings { backups: 3, ..MapSettings::default() },
            )],
        });
        let queues = maps.open_collections("queue").unwrap();
        assert!(&*queues.name == "hazelcast:collection:queue" && is_internal(&queues.name));
        let settings = queues.settings();
        assert_eq!((settings.ttl_ms, settings.max_idle_ms), (None, None));
        assert_eq!((settings.memory_bytes_max, settings.eviction), (Some(7), Eviction::None));
        assert_eq!(maps.open_collections("set").unwrap().settings().backups, 3);
    }

    #[test]
    fn a_map_is_created_when_it_is_opened_first() {
        let maps = Maps::new(MapCatalog::default());
        let map = maps.open("carts").unwrap();
        assert!(Arc::ptr_eq(&map, &maps.open("carts").unwrap()));
        assert_eq!(maps.open("other").unwrap().index, 1);
        assert_eq!(maps.open("").unwrap_err(), OpError::Malformed);
        for n in 2..MAPS_MAX {
            maps.open(&format!("m{n}")).unwrap();
        }
        assert_eq!(maps.open("one too many").unwrap_err(), OpError::TooManyMaps);
        let copied = maps.open_copied("of another member").unwrap();
        assert!(Arc::ptr_eq(&copied, &maps.open("of another member").unwrap()));
    }

    #[test]
    fn the_settings_of_the_cluster_apply_to_open_and_new_maps() {
        let with = |backups, memory_bytes_max| MapSettings {
            backups,
            memory_bytes_max,
            ..MapSettings::default()
        };
        let own = MapCatalog {
            defaults: with(1, Some(7)),
            named: vec![("carts".into(), with(2, Some(8)))],
        };
        let shared =
            MapCatalog { defaults: with(1, None), named: vec![("c*".into(), with(0, Some(9)))] };
        let maps = Maps::new(own.clone());
        let carts = maps.open("carts").unwrap();
        maps.adopt(&shared);
        let settings = |map: &Map| (map.settings().backups, map.settings().memory_bytes_max);
        assert_eq!(
            settings(&carts),
            (0, Some(8)),
            "a map that was open; the bound is this member's own"
        );
        assert_eq!(settings(&maps.open("cats").unwrap()), (0, Some(7)));
        assert_eq!(settings(&maps.open("dogs").unwrap()), (1, Some(7)));
        assert!(!maps.adopt(&shared), "no change");
        assert!(!own.has_copies_of(&shared) && own.has_copies_of(&own));
        assert!(shared.is_valid());
        assert!(!MapCatalog { defaults: with(BACKUPS_MAX + 1, None), ..own }.is_valid());
    }

    #[test]
    fn leases_are_stored_in_a_map_of_their_own_with_as_many_backups() {
        let defaults = MapSettings { backups: 3, ttl_ms: Some(5), ..MapSettings::default() };
        let maps = Maps::new(MapCatalog { defaults, named: Vec::new() });
        let map = maps.open("carts").unwrap();
        assert!(map.leases().is_none());
        let leases = maps.leases_of(&map).unwrap();
        let settings = leases.settings();
        assert_eq!((settings.backups, settings.ttl_ms), (3, None));
        assert!(Arc::ptr_eq(map.leases().unwrap(), &leases));
        // A backup recognizes the leases by the map's name.
        let other = Maps::new(MapCatalog::default());
        let leases = other.open("lease:carts").unwrap();
        assert!(Arc::ptr_eq(other.open("carts").unwrap().leases().unwrap(), &leases));
    }
}
