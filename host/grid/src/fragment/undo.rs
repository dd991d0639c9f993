//! The undo log of a step, with which its edits are rolled back.
//!
//! While a fragment records, each edit adds its inverse to the log: a copy of a plain value or of
//! its overwritten bytes, the inverse edit of a structure, which is as small as the edit, or the
//! removed entry itself. Statistics and the time of the last use are not restored.

use super::Fragment;
use crate::clock::Version;
use crate::edit::Edit;
use crate::encoding;
use crate::entry::{Entry, Meta, Plain, Structured};
use crate::ordered::Hashed as _;
use crate::value::StructureEdit;

/// An entry that was removed from the fragment.
#[derive(Debug)]
pub(super) enum RemovedEntry {
    Plain(Plain),
    Structured(Structured),
}

/// The undo log, in the order of the edits.
#[derive(Debug, Default)]
pub(super) struct Undo(Vec<(u32, Box<[u8]>, Previous)>);

/// The state of a key before an edit.
#[derive(Debug)]
enum Previous {
    /// No entry, or a removal with this version.
    Absent(Option<Version>),
    Entry(RemovedEntry),
    /// A structure: its metadata, and the encoded edits that restore it.
    Structure(Meta, Vec<u8>),
    /// A plain value of which a part is overwritten: its metadata, the index and the bytes of that
    /// part, and the length of the value.
    Part {
        meta: Meta,
        at: usize,
        bytes: Box<[u8]>,
        length: usize,
    },
}

impl Undo {
    /// Adds an entry that was removed.
    pub(super) fn keep(&mut self, hash: u32, key: &[u8], taken: RemovedEntry) {
        self.0.push((hash, key.into(), Previous::Entry(taken)));
    }
}

/// Start and end of the bytes that an edit overwrites in a plain value of this length; `None` if it
/// changes more than that.
fn overwritten(edit: &Edit<'_>, length: usize) -> Option<(usize, usize)> {
    match edit {
        Edit::Append(_) => Some((length, length)),
        Edit::Splice(at, bytes) => {
            let at = usize::try_from(*at).unwrap_or(usize::MAX).min(length);
            Some((at, at.saturating_add(bytes.len()).min(length)))
        }
        _ => None,
    }
}

impl Fragment {
    /// Starts to record the inverse of each edit.
    pub(crate) fn record_undo(&mut self) {
        self.undo = Some(Undo::default());
    }

    /// Discards the undo log; the edits are kept.
    pub(crate) fn keep_edits(&mut self) {
        self.undo = None;
    }

    /// Records the inverse of an edit, before the edit is applied.
    pub(super) fn remember(&mut self, hash: u32, key: &[u8], edit: &Edit<'_>) {
        let removes = matches!(edit, Edit::Remove | Edit::Drop | Edit::Lapse);
        let before = match self.get(hash, key) {
            None => Previous::Absent(self.removed_at(hash, key)),
            // The removed entry itself is added to the log.
            Some(_) if removes => return,
            Some(Entry::Plain(entry)) => {
                let (meta, usage) = (entry.meta(), entry.usage);
                let (kind, value) = (entry.kind(), entry.value());
                match overwritten(edit, value.len()) {
                    Some((at, end)) => {
                        let (bytes, length) = (value[at..end].into(), value.len());
                        Previous::Part { meta, at, bytes, length }
                    }
                    None => {
                        let entry = Plain::new(hash, usage, &meta, key, kind, value);
                        Previous::Entry(RemovedEntry::Plain(entry))
                    }
                }
            }
            Some(Entry::Structured(entry)) => {
                let mut edits = Vec::new();
                match edit {
                    Edit::Put { .. } => return,
                    Edit::Structure(edit) => {
                        let each = &mut |edit: StructureEdit<'_>| {
                            encoding::append(&edit, &mut edits);
                        };
                        entry.value.inverse(edit, each);
                    }
                    _ => {}
                }
                Previous::Structure(entry.meta, edits)
            }
        };
        if let Some(undo) = &mut self.undo {
            undo.0.push((hash, key.into(), before));
        }
    }

    /// Rolls back to the state at [`Fragment::record_undo`].
    pub(crate) fn undo_edits(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        for (hash, key, before) in undo.0.into_iter().rev() {
            match &before {
                Previous::Structure(meta, edits) => {
                    self.restore_structure(hash, &key, *meta, edits);
                    continue;
                }
                Previous::Part { meta, at, bytes, length } => {
                    self.restore_part(hash, &key, meta, |entry| {
                        entry.restore(meta, *at, bytes, *length);
                    });
                    continue;
                }
                Previous::Absent(_) | Previous::Entry(_) => {}
            }
            self.take(hash, &key);
            self.remove_tombstone(hash, &key);
            match before {
                Previous::Absent(Some(removed)) => self.add_tombstone(hash, &key, removed),
                Previous::Entry(RemovedEntry::Plain(entry)) => {
                    let meta = entry.meta();
                    self.add_plain(entry, &meta);
                }
                Previous::Entry(RemovedEntry::Structured(entry)) => self.add_structured(entry),
                Previous::Absent(None) | Previous::Structure(..) | Previous::Part { .. } => {}
            }
        }
    }

    fn restore_part(
        &mut self,
        hash: u32,
        key: &[u8],
        meta: &Meta,
        restore: impl FnOnce(&mut Plain),
    ) {
        let Some(entry) = self.plain.get_mut(hash, |entry| entry.key() == key) else {
            debug_assert!(false, "a value that was taken out is brought back before its parts");
            return;
        };
        let (bytes, old) = (entry.bytes(), entry.version());
        restore(entry);
        self.heap_bytes = self.heap_bytes + entry.bytes() - bytes;
        self.renew(hash, old, meta.version);
    }

    fn restore_structure(&mut self, hash: u32, key: &[u8], meta: Meta, mut edits: &[u8]) {
        let Some(entry) = self.structures.get_mut(hash, |entry| entry.key() == key) else {
            debug_assert!(false, "an emptied structure is kept when it is taken out");
            return;
        };
        let (bytes, old, first_ms) = (entry.bytes(), entry.meta, entry.first_ms());
        while let Ok((edit, rest)) = postcard::take_from_bytes::<StructureEdit<'_>>(edits) {
            let applied = entry.value.apply(&edit);
            debug_assert!(applied.is_ok(), "the inverse of an edit applies: {edit:?}");
            edits = rest;
        }
        entry.meta = meta;
        self.heap_bytes = self.heap_bytes + entry.bytes() - bytes;
        let new_first_ms = entry.first_ms();
        self.renew(hash, old.version, meta.version);
        self.watch(hash, first_ms, new_first_ms);
    }

    /// Restores a removed structure; the key must not exist.
    pub(super) fn add_structured(&mut self, entry: Structured) {
        let (hash, meta, first_ms) = (entry.hash(), entry.meta, entry.first_ms());
        self.heap_bytes += entry.bytes();
        self.digest ^= super::digest_term(hash, meta.version, false);
        self.structures.insert(entry);
        self.watch(hash, None, first_ms);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Expiry;
    use crate::map::{Map, MapCatalog, Maps};
    use crate::value::stream::{Counters, NewEntry};
    use crate::value::{
        HashEdit, ListEdit, Score, SetEdit, SortedSetEdit, StreamEdit, StreamId, Structure,
    };

    /// The contents of a fragment, in a form that can be compared.
    fn shown(fragment: &Fragment) -> (Vec<String>, Vec<String>, u64, usize, usize) {
        let entry = |entry: Entry<'_>| {
            let value = match &entry {
                Entry::Plain(plain) => format!("{:?}", plain.value()),
                Entry::Structured(structured) => {
                    let mut edits = Vec::new();
                    structured.value.rebuild(&mut |edit| edits.push(format!("{edit:?}")));
                    edits.concat()
                }
            };
            format!("{:?} {:?} {value}", entry.key(), entry.meta())
        };
        (
            fragment.entries_from(0).map(entry).collect(),
            fragment.removals_from(0).map(|of| format!("{of:?}")).collect(),
            fragment.digest(),
            fragment.bytes() - fragment.plain.bytes() - fragment.structures.bytes(),
            fragment.removal_bytes(),
        )
    }

    /// Applies a random edit that fits the existing value.
    fn change(fragment: &mut Fragment, map: &Map, version: u64, step: (u8, u8, u8)) {
        let (key, what, more) = step;
        let key = [key % 5];
        let hash = u32::from(key[0]) << 28;
        let byte = [more % 4];
        let value: Vec<u8> = vec![more; usize::from(more % 7)];
        let expiry = Expiry {
            deadline_ms: (more % 2 == 0).then_some(1_000_000 + u64::from(more)),
            idle: None,
        };
        let score = Score::new(f64::from(more)).unwrap();
        let length = match fragment.get(hash, &key) {
            Some(Entry::Structured(entry)) => entry.value.len() as u64,
            _ => 0,
        };
        let id = StreamId::new(more.into(), 1);
        let has_member = match fragment.get(hash, &key) {
            Some(Entry::Structured(entry)) => match &entry.value {
                Structure::Hash(all) => all.get(&byte).is_some(),
                Structure::Set(all) => all.contains(&byte),
                Structure::SortedSet(all) => all.score(&byte).is_some(),
                Structure::Stream(all) => all.get(id).is_some(),
                Structure::List(_) => false,
            },
            _ => false,
        };
        let at = u64::from(more) % length.max(1);
        let of_list = |edit| Edit::Structure(StructureEdit::List(edit));
        let deadline_ms = 2_000 + u64::from(more);
        let of_hash = |edit| Edit::Structure(StructureEdit::Hash(edit));
        let is_after_last = match fragment.get(hash, &key) {
            Some(Entry::Structured(entry)) => match &entry.value {
                Structure::Stream(stream) => stream.counters().last < id,
                _ => false,
            },
            _ => true,
        };
        let of_stream = |edit| Edit::Structure(StructureEdit::Stream(edit));
        let edit = match what % 29 {
            24 => of_hash(HashEdit::SetKeeping(vec![(&byte, &value), (&[9], &value)])),
            25 | 26 => of_hash(HashEdit::SetExpiring(vec![
                (&byte, &value, deadline_ms),
                (&[9], &byte, deadline_ms + 1),
            ])),
            27 if !has_member => return,
            27 => of_hash(HashEdit::Expire(vec![
                (&byte, Some(deadline_ms)),
                (&byte, (more % 3 == 0).then_some(deadline_ms)),
            ])),
            0 | 1 => Edit::Put { kind: 0, value: &value, expiry },
            2 => Edit::Remove,
            3 => Edit::Drop,
            4 => Edit::Lapse,
            5 => Edit::Expire(expiry),
            6 => Edit::Append(&value),
            7 => Edit::Splice(u64::from(more % 9), &value),
            8 => of_list(ListEdit::PushFront(vec![&value, &byte])),
            9 => of_list(ListEdit::PushBack(vec![&byte, &value])),
            10 => of_list(ListEdit::PopFront(u64::from(more % 3).min(length))),
            11 => of_list(ListEdit::PopBack(u64::from(more % 3).min(length))),
            12 => of_list(ListEdit::Set(at, &value)),
            13 => of_list(ListEdit::Insert(at, &value)),
            28 => of_list(ListEdit::InsertMany(at, vec![&value, &byte])),
            14 => of_list(ListEdit::Remove((0..length).filter(|at| at % 2 == 0).collect())),
            15 => Edit::Structure(StructureEdit::Hash(HashEdit::Set(vec![
                (&byte, &value),
                (&[9], &value),
                (&byte, &byte),
            ]))),
            16 => Edit::Structure(StructureEdit::Set(SetEdit::Add(vec![&byte, &[9], &byte]))),
            17 => Edit::Structure(StructureEdit::SortedSet(SortedSetEdit::Set(vec![
                (score, &byte),
                (score, &[9]),
            ]))),
            18 if is_after_last => {
                of_stream(StreamEdit::Add(NewEntry { id, fields: vec![&value, &byte] }))
            }
            19 => {
                let counters = Counters { last: StreamId::MAX, added: more.into(), deleted: id };
                of_stream(StreamEdit::Count(counters))
            }
            20 => of_stream(StreamEdit::Trim(id)),
            _ if !has_member => return,
            _ => match fragment.get(hash, &key).map(|entry| entry.kind()) {
                Some(crate::value::Type::Hash) => {
                    Edit::Structure(StructureEdit::Hash(HashEdit::Remove(vec![&byte])))
                }
                Some(crate::value::Type::Set) => {
                    Edit::Structure(StructureEdit::Set(SetEdit::Remove(vec![&byte])))
                }
                Some(crate::value::Type::Stream) => of_stream(StreamEdit::Delete(vec![id])),
                _ => Edit::Structure(StructureEdit::SortedSet(SortedSetEdit::Remove(vec![&byte]))),
            },
        };
        let fits = match (&edit, fragment.get(hash, &key)) {
            (Edit::Expire(_), there) => there.is_some(),
            (Edit::Append(_) | Edit::Splice(..), there) => {
                matches!(there, Some(Entry::Plain(_)))
            }
            (Edit::Structure(_), Some(Entry::Plain(_))) => false,
            (Edit::Structure(edit), Some(Entry::Structured(entry))) => {
                entry.value.kind() == Structure::for_edit(edit).kind()
            }
            (Edit::Structure(StructureEdit::List(edit)), None) => {
                matches!(edit, ListEdit::PushFront(_) | ListEdit::PushBack(_))
            }
            _ => true,
        };
        if fits {
            fragment.apply(map, 1_000, hash, &key, Version(version), &edit).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_step_that_is_given_up_leaves_no_trace(
            before in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..40),
            steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..40),
            after in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..10),
        ) {
            let map = Maps::new(MapCatalog::default()).open("m").unwrap();
            let mut fragment = Fragment::default();
            let mut version = 0;
            let mut apply = |fragment: &mut Fragment, steps: &[(u8, u8, u8)]| {
                for step in steps {
                    version += 1;
                    change(fragment, &map, version, *step);
                }
            };
            apply(&mut fragment, &before);
            let expected = shown(&fragment);
            fragment.record_undo();
            apply(&mut fragment, &steps);
            fragment.undo_edits();
            prop_assert_eq!(shown(&fragment), expected);
            // The fragment can be used as before.
            apply(&mut fragment, &after);
        }
    }
}
