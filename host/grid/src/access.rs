//! Access of an operation to the part of a map that contains its key: reads and edits, which record
//! changes and events.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use rand::Rng as _;
use rand::rngs::SmallRng;

use crate::OpError;
use crate::clock::{Clock, Version};
use crate::edit::{Edit, Record, RecordChange};
use crate::entry::{Entry, Expiry, Idle, Meta, Plain};
use crate::event::{Class, EVENT_VALUES_BYTES_MAX, Event, ITEM_EVENTS_MAX};
use crate::fragment::{Applied, Fragment};
use crate::hasher::KeyHasher;
use crate::host::Host;
use crate::item::Item;
use crate::limits::BATCH_MS_MAX;
use crate::map::{Eviction, Map};
use crate::tracking::{Change, Origin};
use crate::value::{HashEdit, Kind, Structure, StructureEdit};

/// Maximum number of entries that one write may evict in its own partition.
const EVICTIONS_PER_WRITE_MAX: usize = 64;
/// With concurrent writes, a map whose entries are evicted may exceed its bound by this fraction:
/// one eighth.
const OVER_SHARE: u64 = 8;
/// An idle deadline is only moved if it changes by at least this fraction of the period, which
/// limits updates to backups; entries never expire early.
const IDLE_STEPS: u64 = 16;
/// Maximum number of expired fields that one edit removes.
const DUE_FIELDS_AT_ONCE: usize = 1_024;
/// Maximum number of expired fields of one hash that are dropped in one sweep.
const DUE_FIELDS_MAX: usize = 10_000;
/// Bytes of records in one message; a step with more is sent in several.
const RECORDS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Effects of an operation besides its reply.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Consecutive encoded records.
    pub(crate) records: Vec<u8>,
    /// Offsets at which they may be divided into messages.
    cuts: Vec<usize>,
    /// Events for listeners.
    pub(crate) events: Vec<Event>,
    /// Length of the values in `events`, in bytes.
    pub(crate) event_bytes: usize,
    /// The hash of the key that was changed last, and its plain value before that, for its events.
    replaced: Option<(u32, Bytes)>,
    /// Changes of keys, for members that follow their map.
    pub(crate) followed: Vec<Change>,
    /// The client that is named as the origin of the changes that the current operation makes, if
    /// any.
    pub(crate) origin: Option<Origin>,
    /// The last such client; all operations of a transaction have the same.
    pub(crate) last_origin: Option<Origin>,
    /// Hashes of the keys that changed; `None` stands for all keys.
    pub(crate) changed: Vec<Option<u32>>,
    /// Keys whose structure was changed or removed: blocked operations may wait for these changes.
    pub(crate) filled: Vec<Box<[u8]>>,
    /// Whether all keys were removed: an operation that is blocked on a stream may wait for that.
    pub(crate) cleared: bool,
}

impl Changes {
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        record.encode(&mut self.records);
        let before = self.cuts.last().copied().unwrap_or(0);
        if self.records.len() - before >= RECORDS_BYTES_MAX {
            self.cuts.push(self.records.len());
        }
    }

    /// The records as messages, each with a flag whether more follow.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let end = self.records.len();
        let starts = [0].into_iter().chain(self.cuts.iter().copied()).filter(move |s| *s < end);
        let ends = self.cuts.iter().copied().chain([end]);
        starts.zip(ends).map(move |(from, to)| (&self.records[from..to], to < end))
    }

    /// Appends encoded records.
    pub(crate) fn push_encoded(&mut self, records: &[u8]) {
        self.records.extend_from_slice(records);
        let before = self.cuts.last().copied().unwrap_or(0);
        if self.records.len() - before >= RECORDS_BYTES_MAX {
            self.cuts.push(self.records.len());
        }
    }

    /// Reports a change to members that follow the map, except for updates of the time of access.
    pub(crate) fn follow(&mut self, map: &Map, key: &[u8], edit: &Edit<'_>) {
        if !map.is_followed() || matches!(edit, Edit::Touch { .. }) {
            return;
        }
        let is_same = |last: &Change| {
            last.key.as_deref() == Some(key) && last.map == map.name && last.origin == self.origin
        };
        if !self.followed.last().is_some_and(is_same) {
            let key = Some(Bytes::copy_from_slice(key));
            self.followed.push(Change { map: map.name.clone(), key, origin: self.origin });
        }
    }

    /// Reports to members that follow the map that all its keys in this partition are removed.
    pub(crate) fn follow_clear(&mut self, map: &Map) {
        if map.is_followed() {
            let (map, origin) = (map.name.clone(), self.origin);
            self.followed.push(Change { map, key: None, origin });
        }
    }

    pub(crate) fn clear_records(&mut self) {
        self.records.clear();
        self.cuts.clear();
    }
}

/// What happened to an item of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemChange {
    Added,
    Removed,
}

/// The time that operations may take which are executed one after the other in one partition.
pub(crate) struct BatchTimer<'p> {
    host: &'p dyn Host,
    until: Duration,
}

impl<'p> BatchTimer<'p> {
    /// Starts it.
    pub(crate) fn start(host: &'p dyn Host) -> Self {
        Self { host, until: host.now() + Duration::from_millis(BATCH_MS_MAX) }
    }

    /// An error if the time is over.
    pub(crate) fn check(&self) -> Result<(), OpError> {
        if self.host.now() > self.until { Err(OpError::TookTooLong) } else { Ok(()) }
    }
}

/// Access of one operation to a fragment.
pub(crate) struct Access<'p> {
    pub(crate) map: &'p Map,
    pub(crate) fragment: &'p mut Fragment,
    pub(crate) clock: &'p Clock,
    pub(crate) host: &'p dyn Host,
    pub(crate) hasher: &'p KeyHasher,
    pub(crate) rng: &'p mut SmallRng,
    pub(crate) changes: &'p mut Changes,
    pub(crate) since_start: Duration,
    pub(crate) now_ms: u64,
    /// Whether members may still merge entries of the other side of a split.
    pub(crate) merging: bool,
    /// Whether reads count as uses of keys.
    pub(crate) touches: bool,
    /// Whether entries may be evicted: not while a transaction holds locks, nor from the copies
    /// that it works on.
    pub(crate) may_evict: bool,
    /// The earliest time since which a member is missing that may merge old entries, in
    /// milliseconds of the cluster's clock; [`u64::MAX`] if none is missing.
    pub(crate) missing_since_ms: u64,
}

impl Access<'_> {
    /// A random number.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }

    fn now_versioned(&self) -> Version {
        self.clock.next(self.since_start)
    }

    /// Drops the entry if it has expired, or else its expired fields. Returns the expiry of the
    /// remaining entry.
    fn drop_if_over(&mut self, hash: u32, key: &[u8]) -> Option<Expiry> {
        let entry = self.fragment.get(hash, key)?;
        let expiry = entry.expiry();
        if expiry.is_over(self.now_ms) {
            self.expire(hash, key);
            return None;
        }
        if entry.first_ms().is_some_and(|first_ms| first_ms <= self.now_ms) {
            self.drop_due_fields(hash, key, usize::MAX);
            self.fragment.get(hash, key)?;
        }
        Some(expiry)
    }

    /// Drops at most `max` fields of a hash that have expired, and publishes the event. Returns
    /// whether more may have expired.
    fn drop_due_fields(&mut self, hash: u32, key: &[u8], max: usize) -> bool {
        let mut left = max;
        while let Some(Entry::Structured(entry)) = self.fragment.get(hash, key) {
            let Structure::Hash(fields) = &entry.value else { return false };
            let due = fields.due(self.now_ms, left.min(DUE_FIELDS_AT_ONCE));
            if due.is_empty() {
                break;
            }
            left -= due.len();
            self.map.expired_fields.fetch_add(due.len() as u64, Ordering::Relaxed);
            let names = due.iter().map(|name| &**name).collect();
            let edit = StructureEdit::Hash(HashEdit::Remove(names));
            if self.apply(hash, key, &Edit::Structure(edit)) == Applied::Gone {
                self.notify(Class::Hash, "hexpired", key);
                self.notify(Class::Generic, "del", key);
                return false;
            }
        }
        if left < max {
            self.notify(Class::Hash, "hexpired", key);
        }
        left == 0
    }

    /// Drops an entry, or its fields, if they have expired. Returns whether more may have expired.
    pub(crate) fn drop_due(&mut self, hash: u32, key: &[u8]) -> bool {
        let Some(entry) = self.fragment.get(hash, key) else { return false };
        if entry.expiry().is_over(self.now_ms) {
            self.expire(hash, key);
            return false;
        }
        let is_more = self.drop_due_fields(hash, key, DUE_FIELDS_MAX);
        self.fragment.watch_again(hash, key);
        is_more
    }

    /// Drops an expired entry and publishes the event; does nothing if the entry does not exist.
    pub(crate) fn expire(&mut self, hash: u32, key: &[u8]) {
        let Some(meta) = self.fragment.get(hash, key).map(|entry| entry.meta()) else { return };
        self.map.expired.fetch_add(1, Ordering::Relaxed);
        self.apply(hash, key, if meta.shadows { &Edit::Lapse } else { &Edit::Drop });
        self.notify(Class::Expired, "expired", key);
    }

    /// The entry of a key; updates its usage statistics.
    pub(crate) fn read(&mut self, key: &[u8]) -> Option<Entry<'_>> {
        let hash = self.hasher.hash(key);
        let idle = self.drop_if_over(hash, key).and_then(|expiry| expiry.idle);
        if !self.touches {
            return self.fragment.find_entry(hash, key);
        }
        if let Some(idle) = idle {
            self.touch_idle(hash, key, idle);
        }
        let chance = self.rng.next_u32();
        self.fragment.use_entry(hash, key, self.now_ms, chance)
    }

    /// The entry of a key, without updating its usage statistics.
    pub(crate) fn peek(&mut self, key: &[u8]) -> Option<Entry<'_>> {
        let hash = self.hasher.hash(key);
        self.drop_if_over(hash, key);
        self.fragment.get(hash, key)
    }

    /// Moves the idle deadline of an entry.
    fn touch_idle(&mut self, hash: u32, key: &[u8], idle: Idle) {
        let step = (idle.period_ms / IDLE_STEPS).max(1);
        let deadline_ms = self.now_ms.saturating_add(idle.period_ms).saturating_add(step);
        if deadline_ms >= idle.deadline_ms.saturating_add(step) {
            self.apply(hash, key, &Edit::Touch { deadline_ms });
        }
    }

    /// The plain value of a key.
    pub(crate) fn plain(&mut self, key: &[u8]) -> Result<Option<&Plain>, OpError> {
        match self.read(key) {
            None => Ok(None),
            Some(Entry::Plain(entry)) => Ok(Some(entry)),
            Some(Entry::Structured(_)) => Err(OpError::WrongType),
        }
    }

    /// The structure of a key.
    pub(crate) fn structure<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&K>, OpError> {
        match self.read(key) {
            None => Ok(None),
            Some(Entry::Plain(_)) => Err(OpError::WrongType),
            Some(Entry::Structured(entry)) => {
                K::of(&entry.value).map(Some).ok_or(OpError::WrongType)
            }
        }
    }

    /// Applies an edit to a key, and records it for the backups.
    pub(crate) fn edit(&mut self, key: &[u8], edit: &Edit<'_>) -> Applied {
        let hash = self.hasher.hash(key);
        let applied = self.apply(hash, key, edit);
        match (applied, edit) {
            (Applied::Created, Edit::Structure(_)) => {
                // A new structure gets the default expiry of the map.
                let expiry = self.map.settings().expiry(self.now_ms);
                if expiry != Expiry::NEVER {
                    self.apply(hash, key, &Edit::Expire(expiry));
                }
                self.notify(Class::New, "new", key);
            }
            (Applied::Created, _) => self.notify(Class::New, "new", key),
            _ => {}
        }
        // One that is empty now, and so removed, has room for an element that waits.
        if matches!(edit, Edit::Structure(_)) {
            self.changes.filled.push(key.into());
        }
        applied
    }

    fn apply(&mut self, hash: u32, key: &[u8], edit: &Edit<'_>) -> Applied {
        let version = self.now_versioned();
        self.apply_at(version, hash, key, edit)
    }

    fn apply_at(&mut self, version: Version, hash: u32, key: &[u8], edit: &Edit<'_>) -> Applied {
        self.fragment.note_streams();
        if self.map.has_value_listeners() {
            self.changes.replaced = self.plain_value(hash, key).map(|value| (hash, value));
        }
        match self.fragment.apply(self.map, self.now_ms, hash, key, version, edit) {
            Ok(applied) => {
                // A consumer that waits for entries gets an error when the stream is gone.
                if self.fragment.has_ended_stream() {
                    self.changes.filled.push(key.into());
                }
                let change = RecordChange::Key(key, edit.clone());
                self.changes.push(&Record { map: &self.map.name, version, change });
                self.changes.changed.push(Some(hash));
                self.changes.follow(self.map, key, edit);
                applied
            }
            Err(_) => {
                debug_assert!(false, "an operation made an edit that does not fit: {edit:?}");
                Applied::Gone
            }
        }
    }

    /// Gives a key another version without changing its value: for commands that count as a change in
    /// any case, such as for transactions that watch the key.
    pub(crate) fn mark_changed(&mut self, key: &[u8]) {
        if let Some(expiry) = self.peek(key).map(|entry| entry.expiry()) {
            self.edit(key, &Edit::Expire(expiry));
        }
    }

    /// Changes a structure, and publishes the event. An empty structure is removed.
    pub(crate) fn change(&mut self, key: &[u8], edit: StructureEdit<'_>, class: Class, name: &str) {
        let applied = self.edit(key, &Edit::Structure(edit));
        self.notify(class, name, key);
        if applied == Applied::Gone {
            self.notify(Class::Generic, "del", key);
        }
    }

    /// Removes a key, and publishes the event if it existed. Returns whether it did.
    pub(crate) fn delete(&mut self, key: &[u8]) -> bool {
        let there = self.remove(key);
        if there {
            self.notify(Class::Generic, "del", key);
        }
        there
    }

    /// Removes a key whose lifetime ends before its deadline, and publishes the event of an expiry if
    /// it existed.
    pub(crate) fn end(&mut self, key: &[u8]) {
        if self.remove(key) {
            self.map.expired.fetch_add(1, Ordering::Relaxed);
            self.notify(Class::Expired, "expired", key);
        }
    }

    /// Drops a key that no other copy can restore, without a tombstone.
    pub(crate) fn drop_entry(&mut self, key: &[u8]) {
        let hash = self.hasher.hash(key);
        if self.fragment.get(hash, key).is_some() {
            self.apply(hash, key, &Edit::Drop);
        }
    }

    /// Removes a key. Returns whether it existed.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let there = self.peek(key).is_some();
        // A member may still merge an older value, so a removal is remembered even if the key does
        // not exist.
        if there || self.merging {
            self.edit(key, &Edit::Remove);
        }
        there
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        let version = self.now_versioned();
        self.fragment.clear(version);
        self.changes.cleared = true;
        self.changes.changed.push(None);
        let record = Record { map: &self.map.name, version, change: RecordChange::Clear };
        self.changes.push(&record);
        self.changes.follow_clear(self.map);
        self.changes.replaced = None;
        self.notify(Class::Cleared, "cleared", b"");
    }

    /// Merges an item of another cluster, or of the other side of a split, if the map's policy
    /// accepts it. `structure` is the version and key of the structure that the next parts belong
    /// to, if it was accepted. With `same_cluster`, the item comes from a member of this cluster
    /// that was partitioned.
    pub(crate) fn merge(
        &mut self,
        structure: &mut Option<(Version, Box<[u8]>)>,
        item: &Item<'_>,
        same_cluster: bool,
    ) {
        let policy = self.map.settings().merge;
        let (key, meta, removed) = match item {
            Item::Plain { key, meta, .. } | Item::Structure { key, meta, .. } => {
                (*key, *meta, false)
            }
            Item::Removal { key, version } => {
                (*key, Meta { version: *version, ..Meta::default() }, true)
            }
            Item::More(edit) => {
                if let Some((version, key)) = structure {
                    let hash = self.hasher.hash(key);
                    self.apply_at(*version, hash, key, &Edit::Structure(edit.clone()));
                }
                return;
            }
        };
        *structure = None;
        let hash = self.hasher.hash(key);
        self.drop_if_over(hash, key);
        self.clock.observe(meta.version);
        let over = meta.expiry.is_over(self.now_ms);
        if over || !self.fragment.accepts(policy, (hash, key), &meta, removed, same_cluster) {
            return;
        }
        let version = meta.version;
        match item {
            Item::Plain { kind, value, .. } => {
                let put = Edit::Put { kind: *kind, value, expiry: meta.expiry };
                self.apply_at(version, hash, key, &put);
            }
            Item::Structure { edit, .. } => {
                self.apply_at(version, hash, key, &Edit::Drop);
                self.apply_at(version, hash, key, &Edit::Structure(edit.clone()));
                if meta.expiry != Expiry::NEVER {
                    self.apply_at(version, hash, key, &Edit::Expire(meta.expiry));
                }
                *structure = Some((version, key.into()));
            }
            Item::Removal { .. } => {
                self.apply_at(version, hash, key, &Edit::Remove);
            }
            Item::More(_) => {}
        }
    }

    /// Forgets removals before this version.
    pub(crate) fn forget(&mut self, before: Version) {
        let version = self.now_versioned();
        self.fragment.forget(before);
        let record = Record { map: &self.map.name, version, change: RecordChange::Forget(before) };
        self.changes.push(&record);
    }

    /// Forgets removals before this version to limit memory; see [`RecordChange::Floor`].
    pub(crate) fn give_up_removals(&mut self, before: Version) {
        let version = self.now_versioned();
        let record = Record { map: &self.map.name, version, change: RecordChange::Floor(before) };
        let applied = self.fragment.apply_record(self.map, self.now_ms, 0, &record);
        debug_assert!(applied.is_ok(), "removals can always be given up");
        self.changes.push(&record);
    }

    /// Evicts entries here until `needed` more bytes are within the bound of the map. The key
    /// `spared` is not evicted; with `replaces`, the size of its old value counts as free.
    ///
    /// # Errors
    /// [`OpError::Full`] if there is not enough room and nothing here may be evicted. In maps with
    /// eviction, concurrent writes may together exceed the bound slightly: see [`OVER_SHARE`].
    pub(crate) fn make_room(
        &mut self,
        spared: &[u8],
        needed: usize,
        replaces: bool,
    ) -> Result<(), OpError> {
        let settings = self.map.settings();
        let Some(max) = settings.memory_bytes_max else { return Ok(()) };
        let needed = (needed.saturating_add(spared.len())).max(1) as u64;
        // Evicting everything would not make enough room.
        if needed > max {
            return Err(OpError::Full);
        }
        let replaced = self.peek(spared).filter(|_| replaces);
        let replaced = replaced.map_or(0, |entry| entry.bytes()) as u64;
        let before = self.fragment.bytes();
        for _ in 0..EVICTIONS_PER_WRITE_MAX {
            let freed = before.saturating_sub(self.fragment.bytes()) as u64 + replaced;
            let then = self.map.bytes().saturating_sub(freed).saturating_add(needed);
            if then <= max {
                return Ok(());
            }
            let may_exceed = settings.eviction != Eviction::None;
            if may_exceed && then <= max + max / OVER_SHARE {
                return Ok(());
            }
            if !self.evict(spared) {
                break;
            }
        }
        Err(OpError::Full)
    }

    /// Evicts entries here, at most `evictions_max`, while there are `entries_max` or more.
    pub(crate) fn keep_below(
        &mut self,
        entries_max: usize,
        eviction: Eviction,
        spared: &[u8],
        evictions_max: usize,
    ) {
        for _ in 0..evictions_max {
            if self.fragment.len() < entries_max || !self.evict_by(eviction, spared) {
                return;
            }
        }
    }

    /// Evicts one entry of the map, if there is one that may be evicted. Returns whether it did.
    pub(crate) fn evict(&mut self, spared: &[u8]) -> bool {
        self.evict_by(self.map.settings().eviction, spared)
    }

    fn evict_by(&mut self, eviction: Eviction, spared: &[u8]) -> bool {
        if !self.may_evict {
            return false;
        }
        let rng = &mut self.rng;
        let victim = self.fragment.victim(eviction, self.now_ms, spared, || rng.next_u64());
        let Some((hash, key)) = victim else { return false };
        self.map.evicted.fetch_add(1, Ordering::Relaxed);
        let written_ms = self.fragment.get(hash, &key).map_or(0, |e| e.version().ms());
        // A missing member may have the value before the last write.
        let is_missed = written_ms >= self.missing_since_ms;
        self.apply(hash, &key, if is_missed { &Edit::Lapse } else { &Edit::Drop });
        self.notify(Class::Evicted, "evicted", &key);
        true
    }

    /// Records an event if the map has listeners.
    pub(crate) fn notify(&mut self, class: Class, name: &str, key: &[u8]) {
        if !self.map.is_listened() {
            return;
        }
        let (mut value, mut old_value) = (None, None);
        if self.map.has_value_listeners() && class != Class::New {
            let hash = self.hasher.hash(key);
            value = self.plain_value(hash, key);
            let replaced = self.changes.replaced.as_ref().filter(|(of, _)| *of == hash);
            old_value = replaced.map(|(_, value)| value.clone());
            let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
            let bytes = self.changes.event_bytes + length(&value) + length(&old_value);
            if bytes > EVENT_VALUES_BYTES_MAX {
                (value, old_value) = (None, None);
            } else {
                self.changes.event_bytes = bytes;
            }
        }
        let is_first = class != Class::New
            && self.changes.events.last().is_some_and(|last| {
                last.class == Class::New && *last.map == *self.map.name && *last.key == *key
            });
        self.changes.events.push(Event {
            map: (*self.map.name).into(),
            class,
            name: name.into(),
            key: Bytes::copy_from_slice(key),
            is_first,
            value,
            old_value,
        });
    }

    /// Records an event without a change, if the map has listeners.
    pub(crate) fn announce(&mut self, name: &str, value: &[u8]) {
        if self.map.is_listened() {
            self.changes.event_bytes += value.len();
            self.changes.events.push(Event {
                map: (*self.map.name).into(),
                class: Class::Announced,
                name: name.into(),
                key: Bytes::new(),
                is_first: false,
                value: Some(Bytes::copy_from_slice(value)),
                old_value: None,
            });
        }
    }

    /// Removes all keys except these. Returns how many were removed.
    pub(crate) fn clear_except(&mut self, keys: &[Box<[u8]>]) -> usize {
        let mut kept = Vec::new();
        for key in keys {
            match self.peek(key) {
                None => {}
                Some(Entry::Plain(entry)) => {
                    kept.push((
                        key,
                        entry.kind(),
                        Bytes::copy_from_slice(entry.value()),
                        entry.expiry(),
                    ));
                }
                // It cannot be stored again in one step.
                Some(Entry::Structured(_)) => return self.remove_except(keys),
            }
        }
        let removed = self.fragment.len().saturating_sub(kept.len());
        if removed > 0 {
            self.clear();
            for (key, kind, value, expiry) in &kept {
                let hash = self.hasher.hash(key);
                self.apply(hash, key, &Edit::Put { kind: *kind, value, expiry: *expiry });
            }
        }
        removed
    }

    /// As [`clear_except`](Self::clear_except), one key after the other.
    fn remove_except(&mut self, keys: &[Box<[u8]>]) -> usize {
        let kept: HashSet<&[u8]> = keys.iter().map(|key| &**key).collect();
        let all = self.fragment.entries_from(0).map(|entry| Box::<[u8]>::from(entry.key()));
        let others: Vec<Box<[u8]>> = all.filter(|key| !kept.contains(&**key)).collect();
        let removed = others.iter().filter(|key| self.remove(key)).count();
        if removed > 0 {
            self.notify(Class::Cleared, "cleared", b"");
        }
        removed
    }

    /// Records an event of an item of a collection if the map has listeners.
    pub(crate) fn notify_item(&mut self, change: ItemChange, key: &[u8], item: &[u8]) {
        if !self.map.is_listened() || self.changes.events.len() >= ITEM_EVENTS_MAX {
            return;
        }
        let bytes = self.changes.event_bytes + item.len();
        let has_value = self.map.has_value_listeners() && bytes <= EVENT_VALUES_BYTES_MAX;
        if has_value {
            self.changes.event_bytes = bytes;
        }
        let name = match change {
            ItemChange::Added => "added",
            ItemChange::Removed => "removed",
        };
        self.changes.events.push(Event {
            map: (*self.map.name).into(),
            class: Class::Item,
            name: name.into(),
            key: Bytes::copy_from_slice(key),
            is_first: false,
            value: has_value.then(|| Bytes::copy_from_slice(item)),
            old_value: None,
        });
    }

    /// Records an event with a given value if the map has listeners.
    pub(crate) fn report(&mut self, class: Class, name: &str, key: &[u8], value: &[u8]) {
        if self.map.is_listened() {
            self.changes.events.push(Event {
                map: (*self.map.name).into(),
                class,
                name: name.into(),
                key: Bytes::copy_from_slice(key),
                is_first: false,
                value: Some(Bytes::copy_from_slice(value)),
                old_value: None,
            });
        }
    }

    /// The plain value of a key, for an event.
    fn plain_value(&self, hash: u32, key: &[u8]) -> Option<Bytes> {
        match self.fragment.get(hash, key) {
            Some(Entry::Plain(entry)) => Some(Bytes::copy_from_slice(entry.value())),
            _ => None,
        }
    }

    /// An expiry in `ms` milliseconds from now.
    pub(crate) fn expiry_in(&self, ms: u64) -> Expiry {
        Expiry { deadline_ms: Some(self.now_ms.saturating_add(ms)), idle: None }
    }

    /// An idle expiry with this period, starting now.
    pub(crate) fn idle_for(&self, period_ms: u64) -> Idle {
        Idle { period_ms, deadline_ms: self.now_ms.saturating_add(period_ms) }
    }
}
