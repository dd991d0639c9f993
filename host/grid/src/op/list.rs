//! Operations on lists.

use serde::{Deserialize, Serialize};

use super::answer::{check_removable, span};
use super::effect::Effect;
use crate::access::Access;
use crate::edit::Edit;
use crate::event::Class;
use crate::limits::VALUE_BYTES_MAX;
use crate::value::{List, ListEdit, StructureEdit};
use crate::{OpError, Reply};

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The end of the first element.
    Front,
    /// The end of the last element.
    Back,
}

/// An operation on a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ListOp<'a> {
    /// Pushes elements one after the other; returns the new length.
    Push {
        /// At which end.
        end: End,
        /// The elements.
        #[serde(borrow)]
        elements: Vec<&'a [u8]>,
        /// Only if the list exists; otherwise 0 is returned.
        present: bool,
    },
    /// Removes and returns the element at one end, or nil.
    Pop(End),
    /// Removes and returns at most this many elements from one end, or a nil list.
    PopMany(End, u64),
    /// The number of elements.
    Length,
    /// Elements from one index to another, both inclusive; negative ones count from the back.
    Range(i64, i64),
    /// The element at an index, or nil.
    Get(i64),
    /// Replaces the element at an index.
    Set(i64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes elements equal to this one: at most this many from the front, from the back if
    /// negative, all for zero; returns how many.
    Remove(i64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes all elements outside a range of indices.
    Trim(i64, i64),
    /// Inserts an element before or after the first that equals another; returns the new length, -1
    /// if there is no such element, 0 if there is no list.
    Insert {
        /// Before it rather than after it.
        before: bool,
        /// The element to insert next to.
        #[serde(borrow, with = "serde_bytes")]
        pivot: &'a [u8],
        /// The element to insert.
        #[serde(borrow, with = "serde_bytes")]
        element: &'a [u8],
    },
    /// The indices of elements equal to this one.
    Positions {
        /// The element to search for.
        #[serde(borrow, with = "serde_bytes")]
        element: &'a [u8],
        /// The first match to return, counted from 1; from the back if negative. Not zero.
        rank: i64,
        /// Number of matches to return, all for zero; if absent, the reply is one index or nil.
        count: Option<u64>,
        /// Maximum number of elements to compare; all for zero.
        looks: u64,
    },
}

impl ListOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Length | Self::Range(..) | Self::Get(_) | Self::Positions { .. } => Effect::Reads,
            Self::Pop(_) | Self::PopMany(..) | Self::Remove(..) | Self::Trim(..) => Effect::Changes,
            Self::Push { .. } | Self::Set(..) | Self::Insert { .. } => Effect::Adds,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Push { end, elements, present } => {
                elements.iter().try_for_each(|element| fits(element))?;
                let length = access.structure::<List>(key)?.map(List::len);
                if *present && length.is_none() {
                    return Ok(Reply::Integer(0));
                }
                push(access, key, *end, elements);
                Ok(Reply::count(length.unwrap_or(0) + elements.len()))
            }
            Self::Pop(end) => {
                let Some(list) = access.structure::<List>(key)? else { return Ok(Reply::Nil) };
                let element = Reply::optional(at_end(list, *end));
                drop_from(access, key, *end, 1);
                Ok(element)
            }
            Self::PopMany(end, count) => pop_many(access, key, *end, *count),
            Self::Length => Ok(Reply::count(access.structure::<List>(key)?.map_or(0, List::len))),
            Self::Range(first, last) => {
                let Some(list) = access.structure::<List>(key)? else {
                    return Ok(Reply::List(Vec::new()));
                };
                let (from, to) = span(*first, *last, list.len());
                Ok(Reply::List(list.range(from, to).map(Reply::bytes).collect()))
            }
            Self::Get(index) => {
                let list = access.structure::<List>(key)?;
                Ok(Reply::optional(list.and_then(|list| list.get(index_of(list, *index)?))))
            }
            Self::Set(index, element) => {
                fits(element)?;
                let list = access.structure::<List>(key)?.ok_or(OpError::NoSuchKey)?;
                let index = index_of(list, *index).ok_or(OpError::NoSuchIndex)?;
                change(access, key, ListEdit::Set(index as u64, element), "lset");
                Ok(Reply::Done)
            }
            Self::Remove(count, element) => {
                let Some(list) = access.structure::<List>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let equal = |(_, other): &(usize, &[u8])| other == element;
                let most = if *count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
                let length = list.len();
                let mut indices: Vec<u64> = if *count < 0 {
                    let from_back = list.iter().rev().enumerate().filter(equal).take(most);
                    from_back.map(|(index, _)| (length - 1 - index) as u64).collect()
                } else {
                    let from_front = list.iter().enumerate().filter(equal).take(most);
                    from_front.map(|(index, _)| index as u64).collect()
                };
                indices.sort_unstable();
                let removed = indices.len();
                if removed > 0 {
                    change(access, key, ListEdit::Remove(indices), "lrem");
                }
                Ok(Reply::count(removed))
            }
            Self::Trim(first, last) => {
                let Some(list) = access.structure::<List>(key)? else { return Ok(Reply::Done) };
                let length = list.len();
                let (from, to) = span(*first, *last, length);
                if from == 0 && to == length {
                    access.mark_changed(key);
                }
                let edit = |edit| Edit::Structure(StructureEdit::List(edit));
                if to < length {
                    access.edit(key, &edit(ListEdit::PopBack((length - to) as u64)));
                }
                if from > 0 {
                    access.edit(key, &edit(ListEdit::PopFront(from as u64)));
                }
                access.notify(Class::List, "ltrim", key);
                if from == to {
                    access.notify(Class::Generic, "del", key);
                }
                Ok(Reply::Done)
            }
            Self::Insert { before, pivot, element } => {
                fits(element)?;
                let Some(list) = access.structure::<List>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let length = list.len();
                let Some(at) = list.iter().position(|other| other == *pivot) else {
                    return Ok(Reply::Integer(-1));
                };
                let at = if *before { at } else { at + 1 };
                change(access, key, ListEdit::Insert(at as u64, element), "linsert");
                Ok(Reply::count(length + 1))
            }
            Self::Positions { element, rank, count, looks } => {
                let nothing = || count.map_or(Reply::Nil, |_| Reply::List(Vec::new()));
                let Some(list) = access.structure::<List>(key)? else { return Ok(nothing()) };
                let length = list.len();
                let looks = if *looks == 0 { usize::MAX } else { *looks as usize };
                let skip = rank.unsigned_abs().saturating_sub(1) as usize;
                let most = match count {
                    None => 1,
                    Some(0) => usize::MAX,
                    Some(count) => *count as usize,
                };
                let equal = |(_, other): &(usize, &[u8])| other == element;
                let found: Vec<Reply> = if *rank < 0 {
                    let all = list.iter().rev().enumerate().take(looks).filter(equal);
                    let index = |(index, _): (usize, &[u8])| Reply::count(length - 1 - index);
                    all.skip(skip).take(most).map(index).collect()
                } else {
                    let all = list.iter().enumerate().take(looks).filter(equal);
                    all.skip(skip).take(most).map(|(index, _)| Reply::count(index)).collect()
                };
                match count {
                    Some(_) => Ok(Reply::List(found)),
                    None => Ok(found.into_iter().next().unwrap_or(Reply::Nil)),
                }
            }
        }
    }
}

/// The element at one end.
pub(super) fn at_end(list: &List, end: End) -> Option<&[u8]> {
    match end {
        End::Front => list.get(0),
        End::Back => list.get(list.len().checked_sub(1)?),
    }
}

/// Pushes elements at one end, and publishes the event.
pub(super) fn push(access: &mut Access<'_>, key: &[u8], end: End, elements: &[&[u8]]) {
    let (push, name) = match end {
        End::Front => (ListEdit::PushFront(elements.to_vec()), "lpush"),
        End::Back => (ListEdit::PushBack(elements.to_vec()), "rpush"),
    };
    change(access, key, push, name);
}

/// Removes this many elements from one end, and publishes the event.
pub(super) fn drop_from(access: &mut Access<'_>, key: &[u8], end: End, count: u64) {
    let (pop, name) = match end {
        End::Front => (ListEdit::PopFront(count), "lpop"),
        End::Back => (ListEdit::PopBack(count), "rpop"),
    };
    change(access, key, pop, name);
}

/// Removes and returns at most this many elements from one end.
pub(super) fn pop_many(
    access: &mut Access<'_>,
    key: &[u8],
    end: End,
    count: u64,
) -> Result<Reply, OpError> {
    let Some(list) = access.structure::<List>(key)? else { return Ok(Reply::NilList) };
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(list.len());
    let taken: Vec<&[u8]> = match end {
        End::Front => list.iter().take(count).collect(),
        End::Back => list.iter().rev().take(count).collect(),
    };
    check_removable(taken.iter().map(|element| element.len()))?;
    let elements = taken.into_iter().map(Reply::bytes).collect();
    if count > 0 {
        drop_from(access, key, end, count as u64);
    }
    Ok(Reply::List(elements))
}

fn index_of(list: &List, index: i64) -> Option<usize> {
    let length = list.len() as i64;
    let index = if index < 0 { index.saturating_add(length) } else { index };
    (0..length).contains(&index).then_some(index as usize)
}

fn change(access: &mut Access<'_>, key: &[u8], edit: ListEdit<'_>, name: &str) {
    access.change(key, StructureEdit::List(edit), Class::List, name);
}

/// Checks that an element is at most `VALUE_BYTES_MAX` long.
pub(super) fn fits(element: &[u8]) -> Result<(), OpError> {
    if element.len() > VALUE_BYTES_MAX { Err(OpError::TooLong) } else { Ok(()) }
}
