//! Harnesses of the inputs that change a fragment: records of a primary, and items of a copy.

use super::*;
use crate::edit::Record;
use crate::entry::Idle;
use crate::hasher::KeyHasher;
use crate::item::{ALL_HASHES, Item};
use crate::map::{MapCatalog, Maps};
use crate::value::{HashEdit, ListEdit, Score, SetEdit, SortedSetEdit, StructureEdit};
use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX, encoding};

const NOW_MS: u64 = 1_700_000_000_000;

/// Bytes of the items between two cuts of a copy; small, for many cuts.
const COPY_BYTES: usize = 64;

fn map() -> std::sync::Arc<Map> {
    Maps::new(MapCatalog::default()).open("m").unwrap()
}

fn hash(key: &[u8]) -> u32 {
    KeyHasher::new([3; 16]).hash(key)
}

fn score(number: f64) -> Score {
    Score::new(number).unwrap()
}

fn structures() -> [StructureEdit<'static>; 4] {
    [
        StructureEdit::List(ListEdit::PushBack(vec![b"a", b"b", b"c"])),
        StructureEdit::Hash(HashEdit::Set(vec![(b"f", b"v"), (b"g", b"w")])),
        StructureEdit::Set(SetEdit::Add(vec![b"x", b"y"])),
        StructureEdit::SortedSet(SortedSetEdit::Set(vec![(score(0.0), b"x"), (score(-2.5), b"y")])),
    ]
}

fn key_of(at: usize) -> &'static [u8] {
    [&b"list"[..], b"hash", b"set", b"zset"][at]
}

/// Checks invariants of a fragment after any input: a copy of it is equal, and its counters match
/// its contents.
fn check(fragment: &Fragment) {
    let map = map();
    let mut copy = Fragment::default();
    copy.begin_copy(fragment.cleared(), fragment.floor());
    let mut start = ALL_HASHES.start;
    while start < ALL_HASHES.end {
        let mut last = None;
        start = fragment.items(&(start..ALL_HASHES.end), COPY_BYTES, &mut |item| {
            assert!(copy.load(&map, NOW_MS, &mut last, hash, item), "{item:?}");
        });
    }
    let contents = |fragment: &Fragment| {
        let mut items = Vec::new();
        fragment.items(&ALL_HASHES, usize::MAX, &mut |item| items.push(format!("{item:?}")));
        items
    };
    assert_eq!(contents(fragment), contents(&copy));
    assert_eq!(fragment.digest(), copy.digest());
    assert_eq!(fragment.heap_bytes, copy.heap_bytes);
    assert_eq!(fragment.removal_bytes, copy.removal_bytes);
    for entry in fragment.entries_from(0) {
        assert!(entry.key().len() <= KEY_BYTES_MAX);
        match entry {
            Entry::Plain(entry) => assert!(entry.value().len() <= VALUE_BYTES_MAX),
            Entry::Structured(entry) => assert!(entry.value.len() > 0, "an empty structure"),
        }
    }
}

fn records(all: &[(&[u8], Edit<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (version, (key, edit)) in (1..).zip(all) {
        let change = RecordChange::Key(key, edit.clone());
        Record { map: "m", version: Version(version), change }.encode(&mut bytes);
    }
    bytes
}

fn record_samples() -> Vec<Vec<u8>> {
    let idle = Some(Idle { deadline_ms: NOW_MS + 9, period_ms: 9 });
    let expiry = Expiry { deadline_ms: Some(NOW_MS + 60_000), idle };
    let put = Edit::Put { kind: 1, value: b"a value", expiry };
    let mut samples = vec![
        records(&[(b"k", put.clone()), (b"k", Edit::Append(b" more")), (b"k", Edit::Remove)]),
        records(&[(b"k", put.clone()), (b"k", Edit::Splice(300, b"bytes")), (b"k", Edit::Drop)]),
        records(&[
            (b"k", put),
            (b"k", Edit::Touch { deadline_ms: NOW_MS + 20 }),
            (b"k", Edit::Expire(Expiry::NEVER)),
            (b"k", Edit::Lapse),
        ]),
    ];
    let changes = [
        vec![
            StructureEdit::List(ListEdit::PushFront(vec![b"d"])),
            StructureEdit::List(ListEdit::Set(1, b"e")),
            StructureEdit::List(ListEdit::Insert(4, b"f")),
            StructureEdit::List(ListEdit::InsertMany(2, vec![b"g", b"h"])),
            StructureEdit::List(ListEdit::Remove(vec![0, 2])),
            StructureEdit::List(ListEdit::PopFront(1)),
            StructureEdit::List(ListEdit::PopBack(2)),
        ],
        vec![
            StructureEdit::Hash(HashEdit::Set(vec![(b"f", b"longer"), (b"h", b"")])),
            StructureEdit::Hash(HashEdit::Remove(vec![b"g", b"f"])),
        ],
        vec![
            StructureEdit::Set(SetEdit::Remove(vec![b"x"])),
            StructureEdit::Set(SetEdit::Add(vec![b"x", b"z"])),
        ],
        vec![
            StructureEdit::SortedSet(SortedSetEdit::Set(vec![(score(-0.0), b"y")])),
            StructureEdit::SortedSet(SortedSetEdit::Set(vec![(score(7.0), b"x")])),
            StructureEdit::SortedSet(SortedSetEdit::Remove(vec![b"y"])),
        ],
    ];
    for (at, (first, more)) in structures().into_iter().zip(changes).enumerate() {
        let edits = std::iter::once(first).chain(more);
        let edits: Vec<_> = edits.map(|edit| (key_of(at), Edit::Structure(edit))).collect();
        samples.push(records(&edits));
    }
    for change in [
        RecordChange::Clear,
        RecordChange::Forget(Version(3)),
        RecordChange::Floor(Version(3)),
        RecordChange::Exchange("other"),
    ] {
        let mut bytes = samples[0].clone();
        Record { map: "m", version: Version(9), change }.encode(&mut bytes);
        samples.push(bytes);
    }
    samples
}

/// Consecutive records. A rejected record leaves a fragment that a copy would repair.
#[test]
fn fuzz_record() {
    convoke_harness::check!(&record_samples(), |bytes| {
        let map = map();
        let mut fragment = Fragment::default();
        let mut rest = bytes;
        while let Some((record, behind)) = Record::decode(rest) {
            rest = behind;
            let mut encoded = Vec::new();
            record.encode(&mut encoded);
            let (again, _) = Record::decode(&encoded).expect("its own encoding is decoded");
            assert_eq!(again, record);
            let hash = match &record.change {
                RecordChange::Key(key, _) => hash(key),
                _ => 0,
            };
            let _ = fragment.apply_record(&map, NOW_MS, hash, &record);
        }
        check(&fragment);
    });
}

#[test]
fn an_edit_that_makes_a_value_too_long_does_not_fit() {
    let (map, mut fragment) = (map(), Fragment::default());
    let mut apply = |edit| fragment.apply(&map, NOW_MS, hash(b"k"), b"k", Version(1), &edit);
    apply(Edit::Put { kind: 0, value: b"v", expiry: Expiry::NEVER }).unwrap();
    for at in [VALUE_BYTES_MAX as u64, u64::MAX] {
        assert!(apply(Edit::Splice(at, b"x")).is_err());
    }
    let long = vec![0; VALUE_BYTES_MAX];
    assert!(apply(Edit::Append(&long)).is_err());
    check(&fragment);
}

#[test]
fn a_part_of_an_edit_that_does_not_fit_is_counted() {
    let (map, mut fragment) = (map(), Fragment::default());
    let mut apply = |edit| {
        let edit = Edit::Structure(StructureEdit::Set(edit));
        let applied = fragment.apply(&map, NOW_MS, hash(b"set"), b"set", Version(1), &edit);
        check(&fragment);
        applied
    };
    assert!(apply(SetEdit::Add(vec![b"x", b"y"])).is_ok());
    assert!(apply(SetEdit::Remove(vec![b"x", b"x"])).is_err());
    assert!(apply(SetEdit::Remove(vec![b"y", b"y"])).is_err());
    assert_eq!(fragment.len(), 0);
}

/// Undoing edits restores the fragment.
#[test]
fn fuzz_undo() {
    let before = record_samples().concat();
    convoke_harness::check!(&record_samples(), |bytes| {
        let map = map();
        let load = |fragment: &mut Fragment, mut rest: &[u8]| {
            while let Some((record, behind)) = Record::decode(rest) {
                rest = behind;
                // A step only consists of changes of keys, all of which fit.
                let RecordChange::Key(key, _) = &record.change else { continue };
                if fragment.apply_record(&map, NOW_MS, hash(key), &record).is_err() {
                    return false;
                }
            }
            true
        };
        let mut fragment = Fragment::default();
        assert!(load(&mut fragment, &before));
        let (digest, weight) = (fragment.digest(), fragment.heap_bytes);
        fragment.record_undo();
        if load(&mut fragment, bytes) {
            fragment.undo_edits();
            assert_eq!((fragment.digest(), fragment.heap_bytes), (digest, weight));
            check(&fragment);
        }
    });
}

/// The items of a part of a copy.
#[test]
fn fuzz_item() {
    let meta = Meta { version: Version(7), ..Meta::default() };
    let mut samples =
        vec![encoding::encoded(&Item::Plain { key: b"k", meta, kind: 2, value: b"v" })];
    for (at, edit) in structures().into_iter().enumerate() {
        let mut bytes = Vec::new();
        let key = key_of(at);
        encoding::append(&Item::Structure { key, meta, edit: edit.clone() }, &mut bytes);
        encoding::append(&Item::More(edit), &mut bytes);
        encoding::append(&Item::Removal { key: b"removed", version: Version(3) }, &mut bytes);
        samples.push(bytes);
    }
    samples.push(samples.concat());
    convoke_harness::check!(&samples, |bytes| {
        let Some(items) = Item::decode_all(bytes) else { return };
        let map = map();
        let mut fragment = Fragment::default();
        let mut last = None;
        for item in &items {
            assert_eq!(Item::decode_all(&encoding::encoded(item)), Some(vec![item.clone()]));
            fragment.load(&map, NOW_MS, &mut last, hash, item);
        }
        check(&fragment);
    });
}
