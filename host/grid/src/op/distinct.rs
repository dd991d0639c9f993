//! Operations on collections of distinct items.
//!
//! Items have labels, see [`items`](super::items). They are stored as a hash whose fields are the
//! identities, and whose values are the labels. Each item that is added or removed has an event.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::{ELEMENTS_BYTES_MAX, ELEMENTS_MAX};
use super::effect::Effect;
use super::items::{LABEL_BYTES, check, identities, identity};
use crate::access::{Access, ItemChange};
use crate::edit::Edit;
use crate::value::{Hash, HashEdit, StructureEdit};
use crate::{OpError, Reply};

/// An operation on a collection of distinct items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DistinctOp<'a> {
    /// Adds the items that have no equal; returns how many.
    Add(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes the items that are equal to one of these; returns how many.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes the items that are equal to none of these; returns how many.
    Retain(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes all items; returns how many.
    Clear,
    /// The number of items.
    Length,
    /// Whether there is an equal item for each of these; 1 or 0.
    ContainsAll(#[serde(borrow)] Vec<&'a [u8]>),
    /// All items. More than [`ELEMENTS_MAX`], or longer than [`ELEMENTS_BYTES_MAX`] together, are
    /// refused ([`OpError::AnswerTooLong`]).
    All,
    /// Returns all items, and removes the collection. Refused as [`DistinctOp::All`] is.
    Take,
}

impl DistinctOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Add(_) => Effect::Adds,
            Self::Remove(_) | Self::Retain(_) | Self::Clear | Self::Take => Effect::Changes,
            Self::Length | Self::ContainsAll(_) | Self::All => Effect::Reads,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        if let Self::Add(items) = self { items.iter().map(|item| item.len()).sum() } else { 0 }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add(items) => add(access, key, items),
            Self::Remove(items) => {
                let identities = identities(items)?;
                let Some(hash) = access.structure::<Hash>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let there = |name: &&[u8]| Some(item(name, hash.get(name)?));
                let gone: Vec<Bytes> = identities.iter().filter_map(there).collect();
                Ok(remove(access, key, &gone))
            }
            Self::Retain(items) => {
                let identities = identities(items)?;
                let hash = access.structure::<Hash>(key)?;
                let goes = |(name, _): &(&[u8], &[u8])| !identities.contains(name);
                let gone = hash.into_iter().flat_map(Hash::iter).filter(goes);
                let gone: Vec<Bytes> = gone.map(|(name, label)| item(name, label)).collect();
                Ok(remove(access, key, &gone))
            }
            Self::Clear => {
                let is_listened = access.map.is_listened();
                let hash = access.structure::<Hash>(key)?;
                let count = hash.map_or(0, Hash::len);
                let all = hash.filter(|_| is_listened).into_iter().flat_map(Hash::iter);
                let all: Vec<Bytes> = all.map(|(name, label)| item(name, label)).collect();
                if count > 0 {
                    access.remove(key);
                }
                for item in &all {
                    access.notify_item(ItemChange::Removed, key, item);
                }
                Ok(Reply::count(count))
            }
            Self::Length => Ok(Reply::count(access.structure::<Hash>(key)?.map_or(0, Hash::len))),
            Self::ContainsAll(items) => {
                check(items)?;
                let hash = access.structure::<Hash>(key)?;
                let contains = |item: &&[u8]| hash.is_some_and(|h| h.get(identity(item)).is_some());
                Ok(Reply::flag(items.iter().all(contains)))
            }
            Self::All => Ok(list(all(access, key)?)),
            Self::Take => {
                let items = all(access, key)?;
                if !items.is_empty() {
                    access.remove(key);
                }
                for item in &items {
                    access.notify_item(ItemChange::Removed, key, item);
                }
                Ok(list(items))
            }
        }
    }
}

/// All items of a collection, for one answer.
fn all(access: &mut Access<'_>, key: &[u8]) -> Result<Vec<Bytes>, OpError> {
    let Some(hash) = access.structure::<Hash>(key)? else { return Ok(Vec::new()) };
    let length = |(name, label): (&[u8], &[u8])| name.len() + label.len();
    let bytes: usize = hash.iter().map(length).sum();
    if hash.len() > ELEMENTS_MAX || bytes > ELEMENTS_BYTES_MAX {
        return Err(OpError::AnswerTooLong);
    }
    Ok(hash.iter().map(|(name, label)| item(name, label)).collect())
}

fn list(items: Vec<Bytes>) -> Reply {
    Reply::List(items.into_iter().map(Reply::Bytes).collect())
}

/// The item with this identity and label.
fn item(name: &[u8], label: &[u8]) -> Bytes {
    [label, name].concat().into()
}

fn add(access: &mut Access<'_>, key: &[u8], items: &[&[u8]]) -> Result<Reply, OpError> {
    check(items)?;
    let hash = access.structure::<Hash>(key)?;
    let is_new = |item: &&&[u8]| hash.is_none_or(|hash| hash.get(identity(item)).is_none());
    let mut new: Vec<&[u8]> = items.iter().filter(is_new).copied().collect();
    // The first of equal ones remains.
    new.sort_by_key(|item| identity(item));
    new.dedup_by_key(|item| identity(item));
    if !new.is_empty() {
        let fields = new.iter().filter_map(|item| item.split_at_checked(LABEL_BYTES));
        let fields = fields.map(|(label, name)| (name, label)).collect();
        access.edit(key, &Edit::Structure(StructureEdit::Hash(HashEdit::Set(fields))));
        for item in &new {
            access.notify_item(ItemChange::Added, key, item);
        }
    }
    Ok(Reply::count(new.len()))
}

/// Removes items that exist; returns how many.
fn remove(access: &mut Access<'_>, key: &[u8], gone: &[Bytes]) -> Reply {
    if !gone.is_empty() {
        let names = gone.iter().map(|item| identity(item)).collect();
        access.edit(key, &Edit::Structure(StructureEdit::Hash(HashEdit::Remove(names))));
        for item in gone {
            access.notify_item(ItemChange::Removed, key, item);
        }
    }
    Reply::count(gone.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::KeyOp;
    use super::super::testing::Bench;
    use super::*;

    fn run(bench: &mut Bench, op: DistinctOp<'_>) -> Result<Reply, OpError> {
        bench.key(b"k", KeyOp::Distinct(op))
    }

    #[test]
    fn each_item_that_is_added_or_removed_has_an_event() {
        let mut bench = Bench::new();
        bench.want_values();
        let (a, again, b) = (&b"\0\0\0\0a"[..], &b"\x01\0\0\0a"[..], &b"\x02\0\0\0b"[..]);
        assert_eq!(run(&mut bench, DistinctOp::Add(vec![a, again, b])), Ok(Reply::Integer(2)));
        assert_eq!(bench.events(), ["new", "added", "added"]);
        let value = bench.changes.events.last().and_then(|event| event.value.clone());
        assert_eq!(value.as_deref(), Some(b));
        assert_eq!(run(&mut bench, DistinctOp::Add(vec![again])), Ok(Reply::Integer(0)));
        assert_eq!(bench.events(), Vec::<&str>::new());
        assert_eq!(run(&mut bench, DistinctOp::Remove(vec![again])), Ok(Reply::Integer(1)));
        let value = bench.changes.events.last().and_then(|event| event.value.clone());
        assert_eq!(value.as_deref(), Some(a), "with its own label");
        assert_eq!(run(&mut bench, DistinctOp::Clear), Ok(Reply::Integer(1)));
        assert_eq!(bench.events(), ["removed"]);
        assert_eq!(run(&mut bench, DistinctOp::Add(vec![again])), Ok(Reply::Integer(1)));
        let taken = Reply::List(vec![Reply::bytes(again)]);
        assert_eq!(run(&mut bench, DistinctOp::Take), Ok(taken));
        assert_eq!(bench.events(), ["removed"]);
        assert_eq!(run(&mut bench, DistinctOp::Take), Ok(Reply::List(Vec::new())));
        assert_eq!(bench.events(), Vec::<&str>::new());
        assert_eq!(run(&mut bench, DistinctOp::Add(vec![b"abc"])), Err(OpError::Malformed));
    }

    proptest! {
        #[test]
        fn distinct_items_behave_like_a_map_of_labels(
            steps in proptest::collection::vec(
                (0..7_u8, proptest::collection::vec((0..3_u8, 0..6_u8), 0..5)),
                0..60,
            ),
        ) {
            let (mut bench, mut model) = (Bench::new(), BTreeMap::<u8, u8>::new());
            for (what, args) in steps {
                let items: Vec<_> = args.iter().map(|(l, name)| [*l, 0, 0, 0, *name]).collect();
                let items: Vec<&[u8]> = items.iter().map(|item| &item[..]).collect();
                let names: Vec<u8> = args.iter().map(|(_, name)| *name).collect();
                let before = model.len();
                if what == 6 {
                    let all = run(&mut bench, DistinctOp::All);
                    prop_assert_eq!(run(&mut bench, DistinctOp::Take), all);
                    model.clear();
                    continue;
                }
                let (op, wanted) = match what {
                    0 | 1 => {
                        for (label, name) in &args {
                            model.entry(*name).or_insert(*label);
                        }
                        (DistinctOp::Add(items), Reply::count(model.len() - before))
                    }
                    5 => {
                        model.clear();
                        (DistinctOp::Clear, Reply::count(before))
                    }
                    2 => {
                        model.retain(|name, _| !names.contains(name));
                        (DistinctOp::Remove(items), Reply::count(before - model.len()))
                    }
                    3 => {
                        model.retain(|name, _| names.contains(name));
                        (DistinctOp::Retain(items), Reply::count(before - model.len()))
                    }
                    _ => {
                        let all = names.iter().all(|name| model.contains_key(name));
                        (DistinctOp::ContainsAll(items), Reply::flag(all))
                    }
                };
                prop_assert_eq!(run(&mut bench, op), Ok(wanted));
                let all = model.iter().map(|(name, label)| Reply::bytes(&[*label, 0, 0, 0, *name]));
                let Ok(Reply::List(mut found)) = run(&mut bench, DistinctOp::All) else {
                    panic!("a list")
                };
                found.sort_by_key(|item| match item {
                    Reply::Bytes(bytes) => bytes.last().copied(),
                    other => panic!("{other:?}"),
                });
                prop_assert_eq!(found, all.collect::<Vec<_>>());
                let length = run(&mut bench, DistinctOp::Length);
                prop_assert_eq!(length, Ok(Reply::count(model.len())));
            }
        }
    }
}
