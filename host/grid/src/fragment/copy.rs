//! Compares a fragment with a copy on another member, and copies differing ranges.

use super::{Fragment, digest_term};
use crate::clock::Version;
use crate::entry::{Entry, Meta, Plain, Structured, Usage};
use crate::item::{ALL_HASHES, HashRange, Held, Item};
use crate::map::{Map, MergePolicy};
use crate::ordered::Hashed as _;
use crate::value::Structure;

/// Maximum number of ranges into which a fragment is divided for comparison: 2^10.
const CUT_BITS_MAX: u32 = 10;
/// Approximate number of keys in one range, up to the maximum number of ranges.
const KEYS_PER_RANGE: usize = 16;

impl Fragment {
    /// The summary of this copy.
    pub(crate) fn held<'a>(&self, map: &'a str) -> Held<'a> {
        let entries = self.len() + self.removals();
        if entries == 0 {
            return Held { map, digest: self.digest(), ranges: Vec::new() };
        }
        let bits = (entries / KEYS_PER_RANGE).max(1).ilog2().min(CUT_BITS_MAX);
        Held { map, digest: self.digest(), ranges: self.range_digests(1 << bits) }
    }

    /// The digests of `count` ranges of equal width; a power of two.
    fn range_digests(&self, count: usize) -> Vec<u64> {
        let shift = 32 - count.ilog2();
        let mut digests = vec![0; count];
        let range = |hash: u32| (u64::from(hash) >> shift) as usize;
        for entry in self.entries_from(0) {
            digests[range(entry.hash())] ^= digest_term(entry.hash(), entry.version(), false);
        }
        for removal in self.removals_from(0) {
            digests[range(removal.hash())] ^= digest_term(removal.hash(), removal.version, true);
        }
        digests
    }

    /// The ranges in which another copy differs from this one, in order.
    pub(crate) fn differing(&self, other: &Held<'_>) -> Vec<HashRange> {
        let count = other.ranges.len();
        if count == 0 && self.len() + self.removals() == 0 {
            return Vec::new();
        }
        if !count.is_power_of_two() || count > 1 << CUT_BITS_MAX {
            return vec![ALL_HASHES];
        }
        let width = (1_u64 << 32) / count as u64;
        let mut ranges: Vec<HashRange> = Vec::new();
        let pairs = self.range_digests(count).into_iter().zip(&other.ranges);
        for (at, _) in pairs.enumerate().filter(|(_, (ours, theirs))| ours != *theirs) {
            let start = at as u64 * width;
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end += width,
                _ => ranges.push(start..start + width),
            }
        }
        ranges
    }

    /// Emits the items of a range in the order of hashes, until they are `bytes` long. Returns the
    /// hash at which the rest begins.
    pub(crate) fn items(
        &self,
        range: &HashRange,
        bytes: usize,
        each: &mut dyn FnMut(&Item<'_>),
    ) -> u64 {
        let start = range.start as u32;
        let within = |hash: u32| u64::from(hash) < range.end;
        let mut entries =
            self.entries_from(start).take_while(|entry| within(entry.hash())).peekable();
        let mut removals =
            self.removals_from(start).take_while(|removal| within(removal.hash())).peekable();
        let mut given = 0;
        loop {
            let next = match (entries.peek(), removals.peek()) {
                (Some(entry), Some(removal)) => entry.hash().min(removal.hash()),
                (Some(entry), None) => entry.hash(),
                (None, Some(removal)) => removal.hash(),
                (None, None) => return range.end,
            };
            if given >= bytes {
                return u64::from(next);
            }
            // All items of one hash are in the same message, so that a range can end between any
            // two hashes.
            while let Some(entry) = entries.next_if(|entry| entry.hash() == next) {
                given += entry.bytes() + 16;
                give(entry, each);
            }
            while let Some(removal) = removals.next_if(|removal| removal.hash() == next) {
                given += removal.key.len() + 16;
                each(&Item::Removal { key: &removal.key, version: removal.version });
            }
        }
    }

    /// Prepares for a copy of the primary's fragment; the differing ranges follow.
    pub(crate) fn begin_copy(&mut self, cleared: Version, floor: Version) {
        self.cleared = cleared;
        self.floor = floor;
    }

    /// Drops all entries and removals in a range, which the items of the primary will replace.
    pub(crate) fn drop_range(&mut self, range: &HashRange) {
        let start = range.start as u32;
        let within = |hash: u32| u64::from(hash) < range.end;
        let keys: Vec<(u32, Box<[u8]>)> = self
            .entries_from(start)
            .take_while(|entry| within(entry.hash()))
            .map(|entry| (entry.hash(), entry.key().into()))
            .collect();
        for (hash, key) in keys {
            self.take(hash, &key);
        }
        let keys: Vec<(u32, Box<[u8]>)> = self
            .removals_from(start)
            .take_while(|removal| within(removal.hash()))
            .map(|removal| (removal.hash(), removal.key.clone()))
            .collect();
        for (hash, key) in keys {
            self.remove_tombstone(hash, &key);
        }
    }

    /// Adds an item whose key does not exist here. Returns whether it fits.
    pub(crate) fn load(
        &mut self,
        map: &Map,
        now_ms: u64,
        last: &mut Option<(u32, Box<[u8]>)>,
        hash_of: impl Fn(&[u8]) -> u32,
        item: &Item<'_>,
    ) -> bool {
        match item {
            Item::Plain { key, meta, kind, value } => {
                let hash = hash_of(key);
                self.take(hash, key);
                self.remove_tombstone(hash, key);
                let entry = Plain::new(hash, Usage::new(now_ms), meta, key, *kind, value);
                self.add_plain(entry, meta);
                true
            }
            Item::Structure { key, meta, edit } => {
                let hash = hash_of(key);
                self.take(hash, key);
                self.remove_tombstone(hash, key);
                let mut value = Structure::for_edit(edit);
                *last = None;
                if value.apply(edit).is_err() || value.is_gone() {
                    return false;
                }
                self.add_structure(map, now_ms, hash, key, *meta, value);
                *last = Some((hash, (*key).into()));
                true
            }
            Item::More(edit) => {
                let Some((hash, key)) = last else { return false };
                let entry = self.structures.get_mut(*hash, |entry| entry.key() == &**key);
                let Some(entry) = entry else { return false };
                let (before, first_ms) = (entry.bytes(), entry.first_ms());
                let fits = entry.value.apply(edit).is_ok();
                self.heap_bytes = self.heap_bytes + entry.bytes() - before;
                let is_empty = entry.value.is_gone();
                let new_first_ms = entry.first_ms();
                self.watch(*hash, first_ms, new_first_ms);
                if is_empty {
                    self.take(*hash, key);
                }
                fits && !is_empty
            }
            Item::Removal { key, version } => {
                let hash = hash_of(key);
                self.take(hash, key);
                self.add_tombstone(hash, key, *version);
                true
            }
        }
    }

    /// Whether an entry of another cluster, or of the other side of a split, replaces the entry
    /// here. With `same_cluster`, it comes from a member of this cluster that was partitioned: then
    /// a removal of all entries here applies to it as well.
    pub(crate) fn accepts(
        &self,
        policy: MergePolicy,
        (hash, key): (u32, &[u8]),
        meta: &Meta,
        removed: bool,
        same_cluster: bool,
    ) -> bool {
        if policy == MergePolicy::Discard || (same_cluster && meta.version <= self.cleared) {
            return false;
        }
        if let Some(gone) = self.removed_at(hash, key) {
            return meta.version > gone;
        }
        let Some(here) = self.get(hash, key).map(|entry| entry.meta()) else {
            return !same_cluster || meta.version > self.floor;
        };
        let later = meta.version > here.version;
        let hits = |meta: &Meta| meta.statistics.map_or(0, |statistics| statistics.hits);
        match policy {
            MergePolicy::LastWriter => later,
            MergePolicy::HigherHits if removed => later,
            MergePolicy::HigherHits => (hits(meta), meta.version) > (hits(&here), here.version),
            MergePolicy::PutIfAbsent | MergePolicy::Discard => false,
        }
    }
}

/// Emits one entry; a structure in several parts.
fn give(entry: Entry<'_>, each: &mut dyn FnMut(&Item<'_>)) {
    match entry {
        Entry::Plain(entry) => each(&Item::Plain {
            key: entry.key(),
            meta: entry.meta(),
            kind: entry.kind(),
            value: entry.value(),
        }),
        Entry::Structured(entry) => give_structure(entry, each),
    }
}

fn give_structure(entry: &Structured, each: &mut dyn FnMut(&Item<'_>)) {
    let mut first = true;
    entry.value.rebuild(&mut |edit| {
        if std::mem::take(&mut first) {
            each(&Item::Structure { key: entry.key(), meta: entry.meta, edit });
        } else {
            each(&Item::More(edit));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Edit;
    use crate::entry::Expiry;
    use crate::hasher::KeyHasher;
    use crate::map::{MapCatalog, Maps};
    use crate::value::stream::NewEntry;
    use crate::value::{HashEdit, ListEdit, StreamEdit, StreamId, StructureEdit};
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn map() -> std::sync::Arc<Map> {
        Maps::new(MapCatalog::default()).open("m").unwrap()
    }

    fn hash(key: &[u8]) -> u32 {
        KeyHasher::new([3; 16]).hash(key)
    }

    fn fill(fragment: &mut Fragment, map: &Map, changes: &[(u16, u8)], version: &mut u64) {
        for (key, what) in changes {
            *version += 1;
            let key = &key.to_be_bytes()[..];
            let fields = (b"f".as_slice(), key);
            let id = StreamId::new(*version, 0);
            let edit = match what % 6 {
                0 => Edit::Remove,
                1 => Edit::Structure(StructureEdit::Hash(HashEdit::Set(vec![fields]))),
                5 => {
                    let deadline_ms = NOW_MS + u64::from(*what);
                    let fields = [fields, (key, key)];
                    let expiring = fields.iter().map(|(n, v)| (*n, *v, deadline_ms)).collect();
                    Edit::Structure(StructureEdit::Hash(HashEdit::SetExpiring(expiring)))
                }
                2 => Edit::Structure(StructureEdit::List(ListEdit::PushBack(vec![key; 300]))),
                4 => {
                    let entry = NewEntry { id, fields: vec![b"f", key] };
                    Edit::Structure(StructureEdit::Stream(StreamEdit::Add(entry)))
                }
                _ => Edit::Put { kind: 0, value: key, expiry: Expiry::NEVER },
            };
            // Primaries only make edits that fit; others are ignored.
            let _ = fragment.apply(map, NOW_MS, hash(key), key, Version(*version), &edit);
        }
    }

    fn contents(fragment: &Fragment) -> Vec<String> {
        let mut items = Vec::new();
        fragment.items(&ALL_HASHES, usize::MAX, &mut |item| items.push(format!("{item:?}")));
        items
    }

    /// Makes the copy equal to the original, as a backup does.
    fn repair(original: &Fragment, copy: &mut Fragment, map: &Map, bytes: usize) -> usize {
        let mut sent = 0;
        for range in original.differing(&copy.held("m")) {
            let mut start = range.start;
            while start < range.end {
                let mut items = Vec::new();
                let end = original.items(&(start..range.end), bytes, &mut |item| {
                    items.push(postcard::to_allocvec(item).unwrap());
                });
                assert!(end > start);
                copy.drop_range(&(start..end));
                let mut last = None;
                for item in &items {
                    let item: Item<'_> = postcard::from_bytes(item).unwrap();
                    assert!(copy.load(map, NOW_MS, &mut last, hash, &item));
                }
                sent += items.len();
                start = end;
            }
        }
        sent
    }

    proptest! {
        #[test]
        fn any_copy_can_be_repaired(
            common in proptest::collection::vec((0..400_u16, any::<u8>()), 0..300),
            ours in proptest::collection::vec((0..400_u16, any::<u8>()), 0..60),
            theirs in proptest::collection::vec((0..400_u16, any::<u8>()), 0..60),
            bytes in 1..5_000_usize,
        ) {
            let map = map();
            let (mut original, mut copy) = (Fragment::default(), Fragment::default());
            fill(&mut original, &map, &common, &mut 0);
            fill(&mut copy, &map, &common, &mut 0);
            prop_assert_eq!(original.digest(), copy.digest());
            fill(&mut original, &map, &ours, &mut 1_000);
            fill(&mut copy, &map, &theirs, &mut 2_000);
            repair(&original, &mut copy, &map, bytes);
            prop_assert_eq!(contents(&original), contents(&copy));
            prop_assert_eq!(original.digest(), copy.digest());
            prop_assert_eq!(original.heap_bytes, copy.heap_bytes);
            prop_assert_eq!(original.removal_bytes, copy.removal_bytes);
        }
    }

    #[test]
    fn little_is_sent_to_a_copy_that_lacks_one_key() {
        let map = map();
        let (mut original, mut copy) = (Fragment::default(), Fragment::default());
        let many: Vec<_> = (0..20_000_u16).map(|n| (n, 3)).collect();
        fill(&mut original, &map, &many, &mut 0);
        fill(&mut copy, &map, &many, &mut 0);
        fill(&mut original, &map, &[(20_001, 3)], &mut 50_000);
        let sent = repair(&original, &mut copy, &map, usize::MAX);
        assert!(sent < 100, "{sent}");
        assert_eq!(original.digest(), copy.digest());
    }

    #[test]
    fn the_merge_policy_decides_about_entries_of_the_other_side() {
        let map = map();
        let mut fragment = Fragment::default();
        fill(&mut fragment, &map, &[(1, 3), (2, 3), (2, 0)], &mut 10);
        let accepts = |policy, key: u16, version| {
            let key = key.to_be_bytes();
            let meta = Meta { version: Version(version), ..Meta::default() };
            fragment.accepts(policy, (hash(&key), &key), &meta, false, true)
        };
        for policy in [MergePolicy::LastWriter, MergePolicy::PutIfAbsent, MergePolicy::HigherHits] {
            assert!(accepts(policy, 9, 1), "a key that does not exist here is taken");
            assert!(!accepts(policy, 2, 13), "a later removal wins");
            assert!(accepts(policy, 2, 14), "a value written after the removal is taken");
            assert!(!accepts(policy, 1, 11), "the same version is not taken again");
        }
        assert!(accepts(MergePolicy::LastWriter, 1, 12));
        assert!(!accepts(MergePolicy::PutIfAbsent, 1, 12));
        assert!(!accepts(MergePolicy::Discard, 9, 99));
    }
}
