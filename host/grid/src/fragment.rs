//! The part of one map that is in one partition.
//!
//! Plain values, structures and tombstones (remembered removals) are in three tables, each ordered
//! by the hashes of the keys; a key is in at most one of them. On the primary and on backups, every
//! change of an entry is made by [`Fragment::apply`].

mod copy;
#[cfg(test)]
mod fuzz;
mod undo;
mod weight;

use std::collections::BTreeSet;

use crate::OpError;
use crate::clock::Version;
use crate::edit::{Edit, Record, RecordChange};
use crate::entry::{Entry, Expiry, Meta, Plain, Statistics, Structured, Tombstone, Usage};
use crate::limits::VALUE_BYTES_MAX;
use crate::map::{Eviction, Map};
use crate::ordered::{Hashed as _, Ordered};
use crate::value::{EditMismatch, Structure, Type};

use undo::{RemovedEntry, Undo};
pub(crate) use weight::{count, weigh};

/// Overhead of a tombstone beside its key, in bytes.
const TOMBSTONE_BYTES: usize = 48;
/// Resolution at which deadlines are watched: 2^6 ms.
const TICK_BITS: u32 = 6;
/// Bits of the hash that a watched deadline keeps.
const WATCH_HASH_BITS: u32 = 28;
/// The last tick that can be watched, in the year 2109. Later deadlines are checked at that time.
const TICK_MAX: u64 = u64::MAX >> WATCH_HASH_BITS;
/// Number of entries that are sampled to find one to evict, as in Redis.
const EVICTION_SAMPLES: usize = 8;
/// Maximum number of slots that are visited for that.
const EVICTION_SLOTS_MAX: usize = 256;

/// Result of applying an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The key was created.
    Created,
    /// The key existed and still exists.
    Changed,
    /// The key does not exist any more, or did not exist.
    Gone,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Fragment {
    plain: Ordered<Plain>,
    structures: Ordered<Structured>,
    tombstones: Ordered<Tombstone>,
    /// All entries with a version up to this one were removed at once.
    cleared: Version,
    /// Removals up to this version were forgotten, to limit memory.
    floor: Version,
    /// Each entry that expires is watched at its deadline or earlier.
    watched: BTreeSet<u64>,
    heap_bytes: usize,
    removal_bytes: usize,
    digest: u64,
    /// The undo log, while a step that may be undone is being executed.
    undo: Option<Undo>,
    /// Whether a stream was removed or replaced since [`Fragment::note_streams`].
    stream_ended: bool,
    /// Reads that found the key.
    pub(crate) hits: u64,
    /// Reads that did not find the key.
    pub(crate) misses: u64,
}

/// The end of `bytes` in a plain value, if they start at `at`.
fn end_of(at: usize, bytes: &[u8]) -> Result<usize, EditMismatch> {
    let end = at.checked_add(bytes.len()).ok_or(EditMismatch)?;
    if end > VALUE_BYTES_MAX { Err(EditMismatch) } else { Ok(end) }
}

/// Contribution of one entry or removal to a digest: the finalizer of SplitMix64 over hash and
/// version.
pub(crate) fn digest_term(hash: u32, version: Version, removed: bool) -> u64 {
    let mut z = version.0 ^ (u64::from(hash) << 32) ^ if removed { u64::MAX } else { 0 };
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Fragment {
    /// Number of keys, including expired ones that are not dropped yet.
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.structures.len()
    }

    /// Number of removals that are remembered.
    pub(crate) fn removals(&self) -> usize {
        self.tombstones.len()
    }

    /// Number of keys that expire.
    pub(crate) fn expiring(&self) -> usize {
        self.watched.len()
    }

    /// Whether it has neither entries nor removals.
    pub(crate) fn is_blank(&self) -> bool {
        self.len() == 0 && self.tombstones.is_empty() && self.cleared == Version::NONE
    }

    /// Bytes of keys, values and their tables.
    pub(crate) fn bytes(&self) -> usize {
        self.heap_bytes + self.plain.bytes() + self.structures.bytes()
    }

    /// Bytes of remembered removals. They do not count toward the memory bound of the map.
    pub(crate) fn removal_bytes(&self) -> usize {
        self.removal_bytes
    }

    /// Digest of keys, versions and removals: equal copies have the same.
    pub(crate) fn digest(&self) -> u64 {
        self.digest ^ digest_term(0, self.cleared, true)
    }

    /// All entries with a version up to this one were removed at once.
    pub(crate) fn cleared(&self) -> Version {
        self.cleared
    }

    /// Removals up to this version were forgotten, to limit memory.
    pub(crate) fn floor(&self) -> Version {
        self.floor
    }

    pub(crate) fn get(&self, hash: u32, key: &[u8]) -> Option<Entry<'_>> {
        if let Some(entry) = self.plain.get(hash, |entry| entry.key() == key) {
            return Some(Entry::Plain(entry));
        }
        self.structures.get(hash, |entry| entry.key() == key).map(Entry::Structured)
    }

    /// Whether the value of a key is a stream.
    pub(crate) fn is_stream(&self, hash: u32, key: &[u8]) -> bool {
        let entry = self.structures.get(hash, |entry| entry.key() == key);
        entry.is_some_and(|entry| entry.value.kind() == Type::Stream)
    }

    /// Begins to note whether a stream is removed or replaced; see [`Fragment::has_ended_stream`].
    pub(crate) fn note_streams(&mut self) {
        self.stream_ended = false;
    }

    /// Whether a stream was removed or replaced.
    pub(crate) fn has_ended_stream(&self) -> bool {
        self.stream_ended
    }

    /// Like [`Fragment::get`], and updates statistics: the usage of the entry, hits and misses.
    pub(crate) fn use_entry(
        &mut self,
        hash: u32,
        key: &[u8],
        now_ms: u64,
        chance: u32,
    ) -> Option<Entry<'_>> {
        if let Some(entry) = self.structures.get_mut(hash, |entry| entry.key() == key) {
            self.hits += 1;
            entry.usage.touch(now_ms, chance);
            if let Some(statistics) = &mut entry.meta.statistics {
                statistics.hits = statistics.hits.saturating_add(1);
            }
            return Some(Entry::Structured(entry));
        }
        let Some(entry) = self.plain.get_mut(hash, |entry| entry.key() == key) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        entry.usage.touch(now_ms, chance);
        entry.hit();
        Some(Entry::Plain(entry))
    }

    /// Like [`Fragment::get`], and counts hits and misses of the map, but no use of the entry.
    pub(crate) fn find_entry(&mut self, hash: u32, key: &[u8]) -> Option<Entry<'_>> {
        if self.get(hash, key).is_some() {
            self.hits += 1;
        } else {
            self.misses += 1;
        }
        self.get(hash, key)
    }

    /// Sets the time of the last use and the number of uses of an entry, if they are known.
    pub(crate) fn set_usage(
        &mut self,
        hash: u32,
        key: &[u8],
        now_ms: u64,
        idle_seconds: Option<u32>,
        often: Option<u8>,
    ) {
        if let Some(entry) = self.structures.get_mut(hash, |entry| entry.key() == key) {
            entry.usage.set(now_ms, idle_seconds, often);
        } else if let Some(entry) = self.plain.get_mut(hash, |entry| entry.key() == key) {
            entry.usage.set(now_ms, idle_seconds, often);
        }
    }

    /// Passes the bytes of a key to `take`. Returns `None` if the key has an idle deadline, which a
    /// read must move, or has expired.
    pub(crate) fn get_plain(
        &mut self,
        hash: u32,
        key: &[u8],
        now_ms: u64,
        take: &mut dyn FnMut(Option<&[u8]>),
    ) -> Option<Result<(), OpError>> {
        let Some(entry) = self.plain.get_mut(hash, |entry| entry.key() == key) else {
            if self.structures.get(hash, |entry| entry.key() == key).is_some() {
                return Some(Err(OpError::WrongType));
            }
            self.misses += 1;
            take(None);
            return Some(Ok(()));
        };
        let expiry = entry.expiry();
        if expiry.idle.is_some() || expiry.is_over(now_ms) {
            return None;
        }
        // Random enough: no two reads get the same number.
        self.hits += 1;
        entry.usage.touch(now_ms, (self.hits as u32).wrapping_mul(0x9E37_79B1) >> 8);
        entry.hit();
        take(Some(entry.value()));
        Some(Ok(()))
    }

    /// The version of a remembered removal.
    pub(crate) fn removed_at(&self, hash: u32, key: &[u8]) -> Option<Version> {
        self.tombstones.get(hash, |entry| *entry.key == *key).map(|entry| entry.version)
    }

    /// Applies an edit, without comparing versions.
    pub(crate) fn apply(
        &mut self,
        map: &Map,
        now_ms: u64,
        hash: u32,
        key: &[u8],
        version: Version,
        edit: &Edit<'_>,
    ) -> Result<Applied, EditMismatch> {
        if self.undo.is_some() {
            self.remember(hash, key, edit);
        }
        match edit {
            Edit::Put { kind, value, expiry } => {
                Ok(self.put(map, now_ms, hash, key, version, *expiry, *kind, value))
            }
            Edit::Remove => {
                self.take(hash, key);
                self.add_tombstone(hash, key, version);
                Ok(Applied::Gone)
            }
            Edit::Drop | Edit::Lapse => {
                let here = self.get(hash, key).map(|entry| entry.version());
                // The key was written after the drop was decided, so the drop has no effect.
                let Some(here) = here.filter(|here| *here <= version) else {
                    return Ok(Applied::Gone);
                };
                self.take(hash, key);
                if matches!(edit, Edit::Lapse) {
                    self.add_tombstone(hash, key, here);
                }
                Ok(Applied::Gone)
            }
            Edit::Expire(expiry) => self.change_meta(hash, key, |meta| {
                meta.version = version;
                meta.shadows |= meta.expiry.outlives(expiry);
                meta.expiry = *expiry;
            }),
            Edit::Touch { deadline_ms } => self.change_meta(hash, key, |meta| {
                if let Some(idle) = &mut meta.expiry.idle {
                    idle.deadline_ms = *deadline_ms;
                }
            }),
            Edit::Append(more) => {
                let old = self.plain.get(hash, |entry| entry.key() == key).ok_or(EditMismatch)?;
                end_of(old.value().len(), more)?;
                self.change_plain(hash, key, version, |entry, meta| entry.append(meta, more))
            }
            Edit::Splice(at, bytes) => {
                let at = usize::try_from(*at).map_err(|_| EditMismatch)?;
                end_of(at, bytes)?;
                self.change_plain(hash, key, version, |entry, meta| entry.splice(meta, at, bytes))
            }
            Edit::Structure(edit) => {
                if let Some(entry) = self.structures.get_mut(hash, |entry| entry.key() == key) {
                    let (bytes, old) = (entry.bytes(), entry.meta.version);
                    let first_ms = entry.first_ms();
                    let applied = entry.value.apply(edit);
                    self.heap_bytes = self.heap_bytes + entry.bytes() - bytes;
                    let is_gone = entry.value.is_gone();
                    if applied.is_err() {
                        // A part of the edit may have been applied.
                        let new_first_ms = entry.first_ms();
                        self.watch(hash, first_ms, new_first_ms);
                        if is_gone {
                            self.take(hash, key);
                        }
                        return Err(EditMismatch);
                    }
                    entry.meta.version = version;
                    let new_first_ms = entry.first_ms();
                    self.renew(hash, old, version);
                    self.watch(hash, first_ms, new_first_ms);
                    if is_gone {
                        self.take(hash, key);
                        self.add_tombstone(hash, key, version);
                        return Ok(Applied::Gone);
                    }
                    return Ok(Applied::Changed);
                }
                if self.plain.get(hash, |entry| entry.key() == key).is_some() {
                    return Err(EditMismatch);
                }
                let mut value = Structure::for_edit(edit);
                value.apply(edit)?;
                if value.is_gone() {
                    return Ok(Applied::Gone);
                }
                let shadows = self.remove_tombstone(hash, key);
                let meta = Meta { version, shadows, ..Meta::default() };
                self.add_structure(map, now_ms, hash, key, meta, value);
                Ok(Applied::Created)
            }
        }
    }

    /// Applies a record of the primary; `hash` is that of its key, if it is about one.
    pub(crate) fn apply_record(
        &mut self,
        map: &Map,
        now_ms: u64,
        hash: u32,
        record: &Record<'_>,
    ) -> Result<(), EditMismatch> {
        match &record.change {
            RecordChange::Key(key, edit) => {
                self.apply(map, now_ms, hash, key, record.version, edit)?;
            }
            RecordChange::Clear => self.clear(record.version),
            RecordChange::Forget(version) => self.forget(*version),
            RecordChange::Floor(version) => {
                self.floor = self.floor.max(*version);
                self.forget(*version);
            }
            // It concerns two fragments.
            RecordChange::Exchange(_) => return Err(EditMismatch),
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of an entry")]
    fn put(
        &mut self,
        map: &Map,
        now_ms: u64,
        hash: u32,
        key: &[u8],
        version: Version,
        expiry: Expiry,
        kind: u8,
        value: &[u8],
    ) -> Applied {
        if let Some(entry) = self.plain.get_mut(hash, |entry| entry.key() == key) {
            let (bytes, old) = (entry.bytes(), entry.meta());
            let shadows = old.shadows || old.expiry.outlives(&expiry);
            let meta = Meta { version, expiry, statistics: old.statistics, shadows };
            entry.set(&meta, kind, value);
            entry.usage.touch(now_ms, version.0 as u32);
            self.heap_bytes = self.heap_bytes + entry.bytes() - bytes;
            self.renew(hash, old.version, version);
            self.watch(hash, old.expiry.first_ms(), expiry.first_ms());
            return Applied::Changed;
        }
        let old = if self.structures.is_empty() { None } else { self.take(hash, key) };
        let was_removed = self.remove_tombstone(hash, key);
        let shadows = old.map_or(was_removed, |old| old.shadows || old.expiry.outlives(&expiry));
        let statistics = old.and_then(|meta| meta.statistics).or_else(|| counted(map, now_ms));
        let meta = Meta { version, expiry, statistics, shadows };
        self.add_plain(Plain::new(hash, Usage::new(now_ms), &meta, key, kind, value), &meta);
        if old.is_some() { Applied::Changed } else { Applied::Created }
    }

    /// Adds a plain entry; the key must not exist.
    fn add_plain(&mut self, entry: Plain, meta: &Meta) {
        let hash = entry.hash();
        self.heap_bytes += entry.bytes();
        self.digest ^= digest_term(hash, meta.version, false);
        self.plain.insert(entry);
        self.watch(hash, None, meta.expiry.first_ms());
    }

    fn add_structure(
        &mut self,
        map: &Map,
        now_ms: u64,
        hash: u32,
        key: &[u8],
        meta: Meta,
        value: Structure,
    ) {
        let statistics = meta.statistics.or_else(|| counted(map, now_ms));
        let meta = Meta { statistics, ..meta };
        let entry = Structured::new(hash, Usage::new(now_ms), meta, key, value);
        let first_ms = entry.first_ms();
        self.heap_bytes += entry.bytes();
        self.digest ^= digest_term(hash, meta.version, false);
        self.structures.insert(entry);
        self.watch(hash, None, first_ms);
    }

    fn change_meta(
        &mut self,
        hash: u32,
        key: &[u8],
        change: impl FnOnce(&mut Meta),
    ) -> Result<Applied, EditMismatch> {
        let (old, new, first_ms, new_first_ms);
        if let Some(entry) = self.plain.get_mut(hash, |entry| entry.key() == key) {
            let (bytes, mut meta) = (entry.bytes(), entry.meta());
            old = meta;
            change(&mut meta);
            entry.set_meta(&meta);
            new = meta;
            (first_ms, new_first_ms) = (old.expiry.first_ms(), new.expiry.first_ms());
            self.heap_bytes = self.heap_bytes + entry.bytes() - bytes;
        } else if let Some(entry) = self.structures.get_mut(hash, |entry| entry.key() == key) {
            old = entry.meta;
            first_ms = entry.first_ms();
            change(&mut entry.meta);
            new = entry.meta;
            new_first_ms = entry.first_ms();
        } else {
            return Err(EditMismatch);
        }
        self.renew(hash, old.version, new.version);
        self.watch(hash, first_ms, new_first_ms);
        Ok(Applied::Changed)
    }

    fn change_plain(
        &mut self,
        hash: u32,
        key: &[u8],
        version: Version,
        change: impl FnOnce(&mut Plain, &Meta),
    ) -> Result<Applied, EditMismatch> {
        let entry = self.plain.get_mut(hash, |entry| entry.key() == key).ok_or(EditMismatch)?;
        let (bytes, old) = (entry.bytes(), entry.meta());
        change(entry, &Meta { version, ..old });
        self.heap_bytes = self.heap_bytes + entry.bytes() - bytes;
        self.renew(hash, old.version, version);
        Ok(Applied::Changed)
    }

    /// Updates the digest for a new version of one entry.
    fn renew(&mut self, hash: u32, old: Version, new: Version) {
        self.digest ^= digest_term(hash, old, false) ^ digest_term(hash, new, false);
    }

    /// Removes and returns an entry of any type, without leaving a tombstone.
    pub(crate) fn take(&mut self, hash: u32, key: &[u8]) -> Option<Meta> {
        let (meta, taken) = if let Some(entry) = self.plain.remove(hash, |entry| entry.key() == key)
        {
            self.heap_bytes -= entry.bytes();
            (entry.meta(), RemovedEntry::Plain(entry))
        } else {
            let entry = self.structures.remove(hash, |entry| entry.key() == key)?;
            self.heap_bytes -= entry.bytes();
            self.stream_ended |= entry.value.kind() == Type::Stream;
            (entry.meta, RemovedEntry::Structured(entry))
        };
        self.digest ^= digest_term(hash, meta.version, false);
        if let Some(undo) = &mut self.undo {
            undo.keep(hash, key, taken);
        }
        Some(meta)
    }

    fn add_tombstone(&mut self, hash: u32, key: &[u8], version: Version) {
        self.remove_tombstone(hash, key);
        self.tombstones.insert(Tombstone::new(hash, version, key));
        self.removal_bytes += TOMBSTONE_BYTES + key.len();
        self.digest ^= digest_term(hash, version, true);
    }

    /// Removes the tombstone of a key. Returns whether there was one.
    fn remove_tombstone(&mut self, hash: u32, key: &[u8]) -> bool {
        let Some(old) = self.tombstones.remove(hash, |entry| *entry.key == *key) else {
            return false;
        };
        self.removal_bytes -= TOMBSTONE_BYTES + key.len();
        self.digest ^= digest_term(hash, old.version, true);
        true
    }

    /// Removes all entries, and records the version of that.
    pub(crate) fn clear(&mut self, version: Version) {
        *self = Self {
            cleared: version.max(self.cleared),
            floor: self.floor,
            hits: self.hits,
            misses: self.misses,
            ..Self::default()
        };
    }

    /// Exchanges all entries with those of another map's fragment. Each entry gets this version,
    /// and all that an outdated copy holds of either map counts as removed, as it was written under
    /// the other name.
    pub(crate) fn exchange(&mut self, other: &mut Self, version: Version) {
        std::mem::swap(self, other);
        // These are about the maps.
        std::mem::swap(&mut self.hits, &mut other.hits);
        std::mem::swap(&mut self.misses, &mut other.misses);
        let cleared = Version(version.0.saturating_sub(1));
        for fragment in [self, other] {
            fragment.tombstones = Ordered::default();
            fragment.removal_bytes = 0;
            fragment.cleared = cleared;
            fragment.digest = 0;
            for entry in fragment.plain.iter_mut() {
                let bytes = entry.bytes();
                entry.set_meta(&Meta { version, ..entry.meta() });
                fragment.heap_bytes = fragment.heap_bytes + entry.bytes() - bytes;
                fragment.digest ^= digest_term(entry.hash(), version, false);
            }
            for entry in fragment.structures.iter_mut() {
                entry.meta.version = version;
                fragment.digest ^= digest_term(entry.hash(), version, false);
            }
        }
    }

    /// Forgets removals before this version.
    pub(crate) fn forget(&mut self, before: Version) {
        let (mut freed, mut digest) = (0, 0);
        self.tombstones.retain(|entry| {
            let keep = entry.version >= before;
            if !keep {
                freed += TOMBSTONE_BYTES + entry.key.len();
                digest ^= digest_term(entry.hash(), entry.version, true);
            }
            keep
        });
        self.removal_bytes -= freed;
        self.digest ^= digest;
        if self.cleared < before {
            self.cleared = Version::NONE;
        }
    }

    /// The oldest removal that is remembered.
    pub(crate) fn oldest_removal(&self) -> Option<Version> {
        let cleared = Some(self.cleared).filter(|cleared| *cleared != Version::NONE);
        self.tombstones.iter().map(|entry| entry.version).chain(cleared).min()
    }

    /// Watches the first deadline of an entry and its elements, which was `old` before.
    fn watch(&mut self, hash: u32, old: Option<u64>, new: Option<u64>) {
        let Some(deadline) = new else { return };
        // An entry whose lifetime was extended is visited at its old deadline, and watched again
        // from then on.
        if old.is_none_or(|old| deadline < old) {
            self.watched.insert(watch_mark(deadline, hash));
        }
    }

    /// Watches the first deadline of an entry that [`Fragment::take_due`] returned, if it is still
    /// there.
    pub(crate) fn watch_again(&mut self, hash: u32, key: &[u8]) {
        let first_ms = self.get(hash, key).and_then(|entry| entry.first_ms());
        self.watch(hash, None, first_ms);
    }

    /// Adds up to `max` keys that have expired, or that have expired elements, to `due`; a further
    /// call returns more. Each watched deadline is visited once.
    pub(crate) fn take_due(&mut self, now_ms: u64, max: usize, due: &mut Vec<(u32, Box<[u8]>)>) {
        let mut later = Vec::new();
        while due.len() < max
            && let Some(mark) = self.watched.first().copied()
        {
            let (tick, prefix) = (mark >> WATCH_HASH_BITS, mark & ((1 << WATCH_HASH_BITS) - 1));
            if tick >= now_ms >> TICK_BITS {
                break;
            }
            self.watched.pop_first();
            let from = (prefix << (32 - WATCH_HASH_BITS)) as u32;
            let of_mark = |hash: u32| watch_prefix(hash) == prefix;
            let entries = self.entries_from(from).take_while(|entry| of_mark(entry.hash()));
            for entry in entries {
                let Some(first) = entry.first_ms() else { continue };
                if first <= now_ms {
                    due.push((entry.hash(), entry.key().into()));
                } else {
                    later.push(watch_mark(first, entry.hash()));
                }
            }
        }
        // Added afterwards: a new deadline may be due immediately, and would be visited again.
        self.watched.extend(later);
    }

    /// All entries in the order of their hashes, starting at `from`.
    pub(crate) fn entries_from(&self, from: u32) -> impl Iterator<Item = Entry<'_>> {
        let mut plain = self.plain.iter_from(from).peekable();
        let mut structures = self.structures.iter_from(from).peekable();
        std::iter::from_fn(move || {
            let plain_first = match (plain.peek(), structures.peek()) {
                (Some(a), Some(b)) => a.hash() <= b.hash(),
                (a, _) => a.is_some(),
            };
            if plain_first {
                plain.next().map(Entry::Plain)
            } else {
                structures.next().map(Entry::Structured)
            }
        })
    }

    /// All removals in the order of their hashes, starting at `from`.
    pub(crate) fn removals_from(&self, from: u32) -> impl Iterator<Item = &Tombstone> {
        self.tombstones.iter_from(from)
    }

    /// Number of slots of both tables, for [`Fragment::at`].
    fn slots(&self) -> usize {
        self.plain.slots() + self.structures.slots()
    }

    /// The entry in one slot; each entry is in exactly one.
    fn at(&self, slot: usize) -> Option<Entry<'_>> {
        match slot.checked_sub(self.plain.slots()) {
            None => self.plain.at(slot).map(Entry::Plain),
            Some(slot) => self.structures.at(slot).map(Entry::Structured),
        }
    }

    /// A random entry; `chance` returns random numbers.
    pub(crate) fn any(&self, mut chance: impl FnMut() -> u64) -> Option<Entry<'_>> {
        if self.len() == 0 {
            return None;
        }
        loop {
            let entry = self.at((chance() % self.slots() as u64) as usize);
            if entry.is_some() {
                return entry;
            }
        }
    }

    /// Selects the entry to evict from a sample; never the key `spared`.
    pub(crate) fn victim(
        &self,
        eviction: Eviction,
        now_ms: u64,
        spared: &[u8],
        mut chance: impl FnMut() -> u64,
    ) -> Option<(u32, Box<[u8]>)> {
        let slots = self.slots();
        if eviction == Eviction::None || slots == 0 {
            return None;
        }
        let start = (chance() % slots as u64) as usize;
        let samples = (0..slots.min(EVICTION_SLOTS_MAX))
            .filter_map(|step| self.at((start + step) % slots))
            .filter(|entry| entry.key() != spared)
            .take(if eviction == Eviction::Random { 1 } else { EVICTION_SAMPLES });
        let worth = |entry: &Entry<'_>| {
            let usage = entry.usage();
            let idle = std::cmp::Reverse(usage.idle_seconds(now_ms));
            match eviction {
                Eviction::Lfu => (usage.often_at(now_ms), idle, entry.version()),
                _ => (0, idle, entry.version()),
            }
        };
        samples.min_by_key(worth).map(|entry| (entry.hash(), entry.key().into()))
    }
}

fn counted(map: &Map, now_ms: u64) -> Option<Statistics> {
    map.settings().counts().then_some(Statistics { created_ms: now_ms, hits: 0 })
}

fn watch_prefix(hash: u32) -> u64 {
    u64::from(hash >> (32 - WATCH_HASH_BITS))
}

fn watch_mark(deadline_ms: u64, hash: u32) -> u64 {
    (deadline_ms >> TICK_BITS).min(TICK_MAX) << WATCH_HASH_BITS | watch_prefix(hash)
}
