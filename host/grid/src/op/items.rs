//! Operations on lists of items.
//!
//! An item begins with a label of [`LABEL_BYTES`]; the rest of it is its identity. Items are equal if
//! their identities are, and each is returned with the label that it was added with. So a protocol
//! can store something beside an element that is not compared.
//!
//! Unlike those of [`ListOp`](super::ListOp), these operations publish an event for each item that
//! is added or removed.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::{ELEMENTS_BYTES_MAX, ELEMENTS_MAX, bounded};
use super::effect::Effect;
use crate::access::{Access, ItemChange};
use crate::edit::Edit;
use crate::limits::VALUE_BYTES_MAX;
use crate::value::{List, ListEdit, StructureEdit};
use crate::{OpError, Reply};

/// Length of the label of an item, in bytes. Shorter items are refused ([`OpError::Malformed`]).
pub const LABEL_BYTES: usize = 4;

/// An operation on a list of items. Indices count from the front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ItemsOp<'a> {
    /// Inserts items at an index, or at the back; returns the new length, or nil if it would exceed
    /// a maximum: then nothing is inserted.
    Insert {
        /// The index of the first of them.
        at: Option<u64>,
        /// The items.
        #[serde(borrow)]
        items: Vec<&'a [u8]>,
        /// The maximum number of items in the list.
        max: u64,
    },
    /// Replaces the item at an index; returns the old one.
    Replace(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes and returns the item at an index.
    RemoveAt(u64),
    /// Removes the first item that is equal to this one; returns 1 or 0.
    Remove(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes and returns the first item, or nil.
    Pop,
    /// Removes and returns at most this many items from the front. Too many are refused, as in
    /// [`ItemsOp::Range`].
    PopMany(u64),
    /// Removes all items that are equal to one of these; returns how many.
    RemoveAll(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes all items that are equal to none of these; returns how many.
    RetainAll(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes all items; returns how many.
    Clear,
    /// The number of items.
    Length,
    /// The item at an index.
    Get(u64),
    /// The first item, or nil.
    First,
    /// Items from an index on, up to another one (exclusive) or to the end. More than
    /// [`ELEMENTS_MAX`], or longer than [`ELEMENTS_BYTES_MAX`] together, are refused
    /// ([`OpError::AnswerTooLong`]).
    Range(u64, Option<u64>),
    /// Whether there is an equal item for each of these; 1 or 0.
    ContainsAll(#[serde(borrow)] Vec<&'a [u8]>),
    /// The index of an item that is equal to this one, or nil.
    Position {
        /// The item.
        #[serde(borrow, with = "serde_bytes")]
        item: &'a [u8],
        /// The last one rather than the first.
        is_last: bool,
    },
}

impl ItemsOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Insert { .. } | Self::Replace(..) => Effect::Adds,
            Self::RemoveAt(_)
            | Self::Remove(_)
            | Self::Pop
            | Self::PopMany(_)
            | Self::RemoveAll(_)
            | Self::RetainAll(_)
            | Self::Clear => Effect::Changes,
            Self::Length
            | Self::Get(_)
            | Self::First
            | Self::Range(..)
            | Self::ContainsAll(_)
            | Self::Position { .. } => Effect::Reads,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        match self {
            Self::Insert { items, .. } => items.iter().map(|item| item.len()).sum(),
            Self::Replace(_, item) => item.len(),
            _ => 0,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Insert { at, items, max } => insert(access, key, *at, items, *max),
            Self::Replace(index, item) => {
                check([item])?;
                let old = Bytes::copy_from_slice(at(access, key, *index)?);
                edit(access, key, ListEdit::Set(*index, item));
                access.notify_item(ItemChange::Removed, key, &old);
                access.notify_item(ItemChange::Added, key, item);
                Ok(Reply::Bytes(old))
            }
            Self::RemoveAt(index) => {
                let old = Bytes::copy_from_slice(at(access, key, *index)?);
                edit(access, key, ListEdit::Remove(vec![*index]));
                access.notify_item(ItemChange::Removed, key, &old);
                Ok(Reply::Bytes(old))
            }
            Self::Remove(item) => {
                check([item])?;
                let Some(list) = access.structure::<List>(key)? else {
                    return Ok(Reply::flag(false));
                };
                let found = list.iter().position(|other| identity(other) == identity(item));
                let Some(index) = found else { return Ok(Reply::flag(false)) };
                Ok(Reply::flag(remove(access, key, vec![index as u64])? > 0))
            }
            Self::Pop => {
                let Some(list) = access.structure::<List>(key)? else { return Ok(Reply::Nil) };
                let Some(item) = list.get(0).map(Bytes::copy_from_slice) else {
                    return Ok(Reply::Nil);
                };
                edit(access, key, ListEdit::PopFront(1));
                access.notify_item(ItemChange::Removed, key, &item);
                Ok(Reply::Bytes(item))
            }
            Self::PopMany(count) => pop_many(access, key, *count),
            Self::RemoveAll(items) => remove_where(access, key, items, true),
            Self::RetainAll(items) => remove_where(access, key, items, false),
            Self::Clear => {
                let length = length(access, key)?;
                let all = if access.map.is_listened() { all(access, key)? } else { Vec::new() };
                if length > 0 {
                    edit(access, key, ListEdit::PopFront(length as u64));
                }
                for item in &all {
                    access.notify_item(ItemChange::Removed, key, item);
                }
                Ok(Reply::count(length))
            }
            Self::Length => Ok(Reply::count(length(access, key)?)),
            Self::Get(index) => Ok(Reply::bytes(at(access, key, *index)?)),
            Self::First => {
                let list = access.structure::<List>(key)?;
                Ok(Reply::optional(list.and_then(|list| list.get(0))))
            }
            Self::Range(from, to) => {
                let list = access.structure::<List>(key)?;
                let length = list.map_or(0, List::len);
                let to = to.unwrap_or(length as u64);
                if *from > to || to > length as u64 {
                    return Err(OpError::NoSuchIndex);
                }
                let Some(list) = list else { return Ok(Reply::List(Vec::new())) };
                bounded(list.range(*from as usize, to as usize))
            }
            Self::ContainsAll(items) => {
                let mut missing = identities(items)?;
                let list = access.structure::<List>(key)?;
                for other in list.into_iter().flat_map(List::iter) {
                    if missing.is_empty() {
                        break;
                    }
                    missing.remove(identity(other));
                }
                Ok(Reply::flag(missing.is_empty()))
            }
            Self::Position { item, is_last } => {
                check([item])?;
                let Some(list) = access.structure::<List>(key)? else { return Ok(Reply::Nil) };
                let is_it = |other: &[u8]| identity(other) == identity(item);
                let found = if *is_last {
                    let length = list.len();
                    list.iter().rev().position(is_it).map(|index| length - 1 - index)
                } else {
                    list.iter().position(is_it)
                };
                Ok(found.map_or(Reply::Nil, Reply::count))
            }
        }
    }
}

/// The identity of an item; empty if it has none.
pub(super) fn identity(item: &[u8]) -> &[u8] {
    item.get(LABEL_BYTES..).unwrap_or_default()
}

/// Checks that items have labels and are not too long.
pub(super) fn check<'i>(items: impl IntoIterator<Item = &'i &'i [u8]>) -> Result<(), OpError> {
    for item in items {
        match item.len() {
            0..LABEL_BYTES => return Err(OpError::Malformed),
            LABEL_BYTES..=VALUE_BYTES_MAX => {}
            _ => return Err(OpError::TooLong),
        }
    }
    Ok(())
}

/// The identities of items.
pub(super) fn identities<'a>(items: &[&'a [u8]]) -> Result<BTreeSet<&'a [u8]>, OpError> {
    check(items)?;
    Ok(items.iter().map(|item| identity(item)).collect())
}

fn length(access: &mut Access<'_>, key: &[u8]) -> Result<usize, OpError> {
    Ok(access.structure::<List>(key)?.map_or(0, List::len))
}

/// The item at an index.
fn at<'x>(access: &'x mut Access<'_>, key: &[u8], index: u64) -> Result<&'x [u8], OpError> {
    let list = access.structure::<List>(key)?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    list.and_then(|list| list.get(index)).ok_or(OpError::NoSuchIndex)
}

/// Copies of all items, for their events.
fn all(access: &mut Access<'_>, key: &[u8]) -> Result<Vec<Bytes>, OpError> {
    let list = access.structure::<List>(key)?;
    Ok(list.into_iter().flat_map(List::iter).map(Bytes::copy_from_slice).collect())
}

fn edit(access: &mut Access<'_>, key: &[u8], edit: ListEdit<'_>) {
    access.edit(key, &Edit::Structure(StructureEdit::List(edit)));
}

fn insert(
    access: &mut Access<'_>,
    key: &[u8],
    at: Option<u64>,
    items: &[&[u8]],
    max: u64,
) -> Result<Reply, OpError> {
    check(items)?;
    let before = length(access, key)?;
    if at.is_some_and(|at| at > before as u64) {
        return Err(OpError::NoSuchIndex);
    }
    let after = before + items.len();
    if after as u64 > max {
        return Ok(Reply::Nil);
    }
    if !items.is_empty() {
        let insertion = match at.filter(|at| *at < before as u64) {
            None => ListEdit::PushBack(items.to_vec()),
            Some(at) => ListEdit::InsertMany(at, items.to_vec()),
        };
        edit(access, key, insertion);
        for item in items {
            access.notify_item(ItemChange::Added, key, item);
        }
    }
    Ok(Reply::count(after))
}

/// Removes the items at these indices, in ascending order. Returns how many.
fn remove(access: &mut Access<'_>, key: &[u8], indices: Vec<u64>) -> Result<usize, OpError> {
    let count = indices.len();
    if count == 0 {
        return Ok(0);
    }
    let mut removed = Vec::new();
    if access.map.is_listened()
        && let Some(list) = access.structure::<List>(key)?
    {
        let item = |index: &u64| list.get(usize::try_from(*index).ok()?);
        removed.extend(indices.iter().filter_map(item).map(Bytes::copy_from_slice));
    }
    edit(access, key, ListEdit::Remove(indices));
    for item in &removed {
        access.notify_item(ItemChange::Removed, key, item);
    }
    Ok(count)
}

/// Removes all items that are, or are not, equal to one of these.
fn remove_where(
    access: &mut Access<'_>,
    key: &[u8],
    items: &[&[u8]],
    are_equal: bool,
) -> Result<Reply, OpError> {
    let identities = identities(items)?;
    let list = access.structure::<List>(key)?;
    let goes = |(_, item): &(usize, &[u8])| identities.contains(identity(item)) == are_equal;
    let indices = list.into_iter().flat_map(List::iter).enumerate().filter(goes);
    let indices = indices.map(|(index, _)| index as u64).collect();
    Ok(Reply::count(remove(access, key, indices)?))
}

fn pop_many(access: &mut Access<'_>, key: &[u8], count: u64) -> Result<Reply, OpError> {
    let Some(list) = access.structure::<List>(key)? else { return Ok(Reply::List(Vec::new())) };
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(list.len());
    let bytes: usize = list.range(0, count).map(<[u8]>::len).sum();
    if count > ELEMENTS_MAX || bytes > ELEMENTS_BYTES_MAX {
        return Err(OpError::AnswerTooLong);
    }
    let items: Vec<Bytes> = list.range(0, count).map(Bytes::copy_from_slice).collect();
    if count > 0 {
        edit(access, key, ListEdit::PopFront(count as u64));
    }
    for item in &items {
        access.notify_item(ItemChange::Removed, key, item);
    }
    Ok(Reply::List(items.into_iter().map(Reply::Bytes).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Bench;
    use super::super::{GenericOp, KeyOp};
    use super::*;

    fn run(bench: &mut Bench, op: ItemsOp<'_>) -> Result<Reply, OpError> {
        bench.key(b"k", KeyOp::Items(op))
    }

    fn push<'a>(items: &[&'a [u8]]) -> ItemsOp<'a> {
        ItemsOp::Insert { at: None, items: items.to_vec(), max: u64::MAX }
    }

    fn items(reply: Result<Reply, OpError>) -> Vec<Vec<u8>> {
        let Ok(Reply::List(items)) = reply else { panic!("{reply:?}") };
        let bytes = |item| match item {
            Reply::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        };
        items.into_iter().map(bytes).collect()
    }

    /// An item with this label and identity.
    fn item(label: u8, identity: u8) -> Vec<u8> {
        vec![label, 0, 0, 0, identity]
    }

    fn changes(bench: &Bench) -> Vec<(&str, Option<u8>)> {
        let items = bench.changes.events.iter().filter(|event| event.class == crate::Class::Item);
        items
            .map(|event| {
                let last = event.value.as_ref().and_then(|item| item.last());
                (&*event.name, last.copied())
            })
            .collect()
    }

    #[test]
    fn labels_are_returned_but_not_compared() {
        let mut bench = Bench::new();
        let (a1, a2, b) = (item(1, b'a'), item(2, b'a'), item(0, b'b'));
        run(&mut bench, push(&[&b, &a1])).unwrap();
        assert_eq!(run(&mut bench, ItemsOp::ContainsAll(vec![&a2, &b])), Ok(Reply::flag(true)));
        let position = ItemsOp::Position { item: &a2, is_last: false };
        assert_eq!(run(&mut bench, position), Ok(Reply::Integer(1)));
        assert_eq!(run(&mut bench, ItemsOp::Get(1)), Ok(Reply::bytes(&a1)));
        assert_eq!(run(&mut bench, ItemsOp::Remove(&a2)), Ok(Reply::flag(true)));
        assert_eq!(items(run(&mut bench, ItemsOp::Range(0, None))), [b]);
    }

    #[test]
    fn each_item_that_is_added_or_removed_has_an_event() {
        let mut bench = Bench::new();
        bench.want_values();
        let [a, b, c] = [b'a', b'b', b'c'].map(|name| item(0, name));
        run(&mut bench, push(&[&a, &b])).unwrap();
        assert_eq!(changes(&bench), [("added", Some(b'a')), ("added", Some(b'b'))]);
        run(&mut bench, ItemsOp::Replace(1, &c)).unwrap();
        assert_eq!(changes(&bench), [("removed", Some(b'b')), ("added", Some(b'c'))]);
        run(&mut bench, ItemsOp::RemoveAll(vec![&a])).unwrap();
        assert_eq!(changes(&bench), [("removed", Some(b'a'))]);
        run(&mut bench, ItemsOp::Clear).unwrap();
        assert_eq!(changes(&bench), [("removed", Some(b'c'))]);
        let exists = bench.key(b"k", KeyOp::Generic(GenericOp::Type));
        assert_eq!(exists, Ok(Reply::Word("none".into())), "an empty list does not exist");
    }

    #[test]
    fn a_full_list_accepts_nothing() {
        let mut bench = Bench::new();
        let (a, b) = (item(0, b'a'), item(0, b'b'));
        let insert = |items, max| ItemsOp::Insert { at: None, items, max };
        assert_eq!(run(&mut bench, insert(vec![&a, &b], 1)), Ok(Reply::Nil));
        assert_eq!(run(&mut bench, insert(vec![&a], 1)), Ok(Reply::Integer(1)));
        assert_eq!(run(&mut bench, insert(vec![&b], 1)), Ok(Reply::Nil));
        assert_eq!(run(&mut bench, insert(Vec::new(), 1)), Ok(Reply::Integer(1)));
    }

    #[test]
    fn an_item_without_a_label_is_refused() {
        let mut bench = Bench::new();
        assert_eq!(run(&mut bench, push(&[b"abc"])), Err(OpError::Malformed));
        assert_eq!(run(&mut bench, ItemsOp::Remove(b"")), Err(OpError::Malformed));
        assert_eq!(run(&mut bench, push(&[b"abcd"])), Ok(Reply::Integer(1)));
        assert_eq!(run(&mut bench, ItemsOp::Get(1)), Err(OpError::NoSuchIndex));
        assert_eq!(run(&mut bench, ItemsOp::Range(0, Some(2))), Err(OpError::NoSuchIndex));
    }

    proptest! {
        #[test]
        fn a_list_of_items_behaves_like_a_vector(
            steps in proptest::collection::vec(
                (0..10_u8, 0..6_u64, proptest::collection::vec((0..3_u8, 0..5_u8), 0..4)),
                0..60,
            ),
        ) {
            let (mut bench, mut model) = (Bench::new(), Vec::<Vec<u8>>::new());
            let same = |a: &[u8], b: &[u8]| a[LABEL_BYTES..] == b[LABEL_BYTES..];
            for (what, index, args) in steps {
                let args: Vec<Vec<u8>> = args.into_iter().map(|(l, i)| item(l, i)).collect();
                let borrowed: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
                let first = args.first().cloned().unwrap_or_else(|| item(0, 0));
                let at = index as usize;
                let has = |args: &[Vec<u8>], one: &[u8]| args.iter().any(|arg| same(arg, one));
                let before = model.len();
                let (op, wanted) = match what {
                    0 | 1 => {
                        let at = (what == 1).then_some(index);
                        let start = at.map_or(before, |at| at as usize);
                        let wanted = if start > before {
                            Err(OpError::NoSuchIndex)
                        } else if before + args.len() > 20 {
                            Ok(Reply::Nil)
                        } else {
                            model.splice(start..start, args.iter().cloned());
                            Ok(Reply::count(model.len()))
                        };
                        (ItemsOp::Insert { at, items: borrowed, max: 20 }, wanted)
                    }
                    2 => {
                        let old = model.get_mut(at);
                        let old = old.map(|old| std::mem::replace(old, first.clone()));
                        let wanted = old.map(|old| Reply::bytes(&old)).ok_or(OpError::NoSuchIndex);
                        (ItemsOp::Replace(index, &first), wanted)
                    }
                    3 => {
                        let wanted = if at < before {
                            Ok(Reply::bytes(&model.remove(at)))
                        } else {
                            Err(OpError::NoSuchIndex)
                        };
                        (ItemsOp::RemoveAt(index), wanted)
                    }
                    4 => {
                        let found = model.iter().position(|other| same(other, &first));
                        if let Some(found) = found {
                            model.remove(found);
                        }
                        (ItemsOp::Remove(&first), Ok(Reply::flag(found.is_some())))
                    }
                    5 => {
                        let gone = (before > 0).then(|| model.remove(0));
                        (ItemsOp::Pop, Ok(Reply::optional(gone.as_deref())))
                    }
                    6 => {
                        let gone = model.drain(..at.min(before));
                        let gone = gone.map(|item| Reply::bytes(&item)).collect();
                        (ItemsOp::PopMany(index), Ok(Reply::List(gone)))
                    }
                    7 => {
                        model.retain(|one| !has(&args, one));
                        (ItemsOp::RemoveAll(borrowed), Ok(Reply::count(before - model.len())))
                    }
                    8 => {
                        model.retain(|one| has(&args, one));
                        (ItemsOp::RetainAll(borrowed), Ok(Reply::count(before - model.len())))
                    }
                    _ => {
                        let all = args.iter().all(|arg| has(&model, arg));
                        (ItemsOp::ContainsAll(borrowed), Ok(Reply::flag(all)))
                    }
                };
                prop_assert_eq!(run(&mut bench, op), wanted);
                prop_assert_eq!(items(run(&mut bench, ItemsOp::Range(0, None))), model.clone());
                let last = model.iter().rposition(|other| same(other, &first));
                let position = ItemsOp::Position { item: &first, is_last: true };
                let wanted = last.map_or(Reply::Nil, Reply::count);
                prop_assert_eq!(run(&mut bench, position), Ok(wanted));
            }
        }
    }
}
