//! Operations on several keys of one partition, in one step.

mod combine;
mod lcs;
mod moving;
mod sort;

use serde::{Deserialize, Serialize};

pub use combine::{
    Aggregate, Combine, Scored, Weighted, combine, combine_sorted, plain_members, scored_members,
};
pub(super) use combine::{store_set, store_sorted};
pub use lcs::{LcsAnswer, common_subsequence};
pub(super) use moving::{Encoded, decode, install, value};
pub(super) use sort::store_list;
pub(crate) use sort::{Lookup, SORTED_EVENT, lookup, sorted_reply, stored};
pub use sort::{Sort, SortBy};

use super::answer::ANSWER_BYTES_MAX;
use super::bits::{BitCombine, BitFold};
use super::effect::Effect;
use super::hyperloglog::Union;
use super::list::End;
use super::near::Near;
use super::plain::Lifetime;
use super::sorted_set::{Span, pop};
use super::{hyperloglog, list, plain};
use crate::access::Access;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::event::Class;
use crate::limits::VALUE_BYTES_MAX;
use crate::value::{List, SortedSet};
use crate::{OpError, Reply};

/// An operation on several keys of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SeveralOp<'a> {
    /// The plain values of keys; nil for a key that does not exist or has another type.
    Get(#[serde(borrow)] Vec<&'a [u8]>),
    /// Sets plain values.
    Put {
        /// Keys and values.
        #[serde(borrow)]
        pairs: Vec<(&'a [u8], &'a [u8])>,
        /// Only if none of the keys exists; returns 1 or 0.
        absent: bool,
    },
    /// How many of the keys exist; one that is named twice counts twice.
    Exist(#[serde(borrow)] Vec<&'a [u8]>),
    /// As [`SeveralOp::Exist`], and marks them as used.
    Touch(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes keys; returns how many there were.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
    /// Moves a value to another key, with its expiry.
    Rename {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// Only if the destination does not exist; returns 1 or 0.
        absent: bool,
    },
    /// Copies a value to another key, with its expiry; returns 1 or 0.
    Copy {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// Even if the destination exists.
        replace: bool,
    },
    /// Moves a member from one set to another; returns 1 or 0.
    MoveMember {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// The member.
        #[serde(borrow, with = "serde_bytes")]
        member: &'a [u8],
    },
    /// Moves an element from one end of a list to an end of another or the same list; returns it,
    /// or nil.
    MoveElement {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The end of the source.
        from_end: End,
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// The end of the destination.
        to_end: End,
    },
    /// Combines sets; returns the members or stores them.
    CombineSets {
        /// How to combine.
        how: Combine,
        /// The sets.
        #[serde(borrow)]
        keys: Vec<&'a [u8]>,
        /// The key to store the result at, replacing its value; returns the number of members.
        #[serde(borrow, with = "serde_bytes")]
        store: Option<&'a [u8]>,
    },
    /// The number of members in the intersection of these sets or sorted sets, at
    /// most `limit`.
    CountCommon {
        /// The sets.
        #[serde(borrow)]
        keys: Vec<&'a [u8]>,
        /// Whether they are sorted sets rather than sets.
        sorted: bool,
        /// The maximum to count; no limit for zero.
        limit: u64,
    },
    /// Combines sorted sets and sets; returns the members or stores them.
    CombineSorted {
        /// How to combine.
        how: Combine,
        /// The sets and the factors of their scores.
        #[serde(borrow)]
        keys: Vec<Weighted<'a>>,
        /// How the scores of one member are combined.
        aggregate: Aggregate,
        /// Whether to return scores.
        scores: bool,
        /// The key to store the result at; returns the number of members.
        #[serde(borrow, with = "serde_bytes")]
        store: Option<&'a [u8]>,
    },
    /// Stores a range of a sorted set at another key; returns the number of members.
    StoreRange {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// The range.
        #[serde(borrow)]
        span: Span<'a>,
    },
    /// Removes elements from the first of these lists that is not empty; returns its key and a list
    /// of them, or a nil list.
    PopFirst {
        /// The lists.
        #[serde(borrow)]
        keys: Vec<&'a [u8]>,
        /// At which end.
        end: End,
        /// How many at most.
        count: u64,
    },
    /// Removes members from the first of these sorted sets that is not empty; returns its key and
    /// pairs, or a nil list.
    PopFirstSorted {
        /// The sorted sets.
        #[serde(borrow)]
        keys: Vec<&'a [u8]>,
        /// Whether to take those with the highest scores.
        greatest: bool,
        /// How many at most.
        count: u64,
    },
    /// The first of these keys that exists, or nil.
    First(#[serde(borrow)] Vec<&'a [u8]>),
    /// Combines plain values bit by bit, and stores the result; returns its length.
    CombineBits {
        /// How to combine.
        how: BitCombine,
        /// The values.
        #[serde(borrow)]
        keys: Vec<&'a [u8]>,
        /// The key to store the result at.
        #[serde(borrow, with = "serde_bytes")]
        store: &'a [u8],
    },
    /// The estimated number of distinct elements in any of these HyperLogLogs.
    CountUnion(#[serde(borrow)] Vec<&'a [u8]>),
    /// The union of these HyperLogLogs, or the first of them that is none, for [`Union::join`].
    Union(#[serde(borrow)] Vec<&'a [u8]>),
    /// Adds the elements of HyperLogLogs to another one.
    MergeUnion {
        /// The destination.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// The sources.
        #[serde(borrow)]
        from: Vec<&'a [u8]>,
    },
    /// The longest common subsequence of two plain values.
    Lcs {
        /// The first.
        #[serde(borrow, with = "serde_bytes")]
        first: &'a [u8],
        /// The second.
        #[serde(borrow, with = "serde_bytes")]
        second: &'a [u8],
        /// What the reply contains.
        answer: LcsAnswer,
    },
    /// Sorts the elements of a list, a set or a sorted set; returns or stores them.
    Sort {
        /// The key.
        #[serde(borrow, with = "serde_bytes")]
        key: &'a [u8],
        /// How to sort.
        #[serde(borrow)]
        sort: Sort<'a>,
        /// The key to store the result at, as a list that replaces its value; returns the number of
        /// elements.
        #[serde(borrow, with = "serde_bytes")]
        store: Option<&'a [u8]>,
    },
    /// Sets plain values with the same lifetime, if the condition holds for all keys; returns 1 or
    /// 0.
    PutAll {
        /// Keys and values.
        #[serde(borrow)]
        pairs: Vec<(&'a [u8], &'a [u8])>,
        /// Their lifetime.
        lifetime: Lifetime,
        /// Whether all keys must exist (`true`), or none of them (`false`).
        exist: Option<bool>,
    },
    /// Stores the members of a sorted set whose scores stand for places in an area at a key;
    /// returns their number.
    StoreNear {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// The area.
        #[serde(borrow)]
        near: Near<'a>,
        /// Whether the scores are the distances from its centre.
        distance: bool,
        /// The event for those that listen.
        #[serde(borrow)]
        event: &'a str,
    },
    /// Copies or moves a value to a key of another map, with its expiry; returns 1 or 0.
    Across {
        /// The source key.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The destination key.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// The name of the map of the destination key.
        #[serde(borrow)]
        map: &'a str,
        /// Even if the destination exists.
        replace: bool,
        /// Whether to remove the source.
        moves: bool,
    },
}

impl SeveralOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Get(_)
            | Self::Exist(_)
            | Self::Touch(_)
            | Self::CountCommon { .. }
            | Self::First(_)
            | Self::CountUnion(_)
            | Self::Union(_)
            | Self::Lcs { .. }
            | Self::Sort { store: None, .. }
            | Self::CombineSets { store: None, .. }
            | Self::CombineSorted { store: None, .. } => Effect::Reads,
            Self::Remove(_)
            | Self::Rename { .. }
            | Self::PopFirst { .. }
            | Self::PopFirstSorted { .. } => Effect::Changes,
            Self::Put { .. }
            | Self::Copy { .. }
            | Self::MoveMember { .. }
            | Self::MoveElement { .. }
            | Self::CombineSets { .. }
            | Self::CombineSorted { .. }
            | Self::StoreRange { .. }
            | Self::CombineBits { .. }
            | Self::MergeUnion { .. }
            | Self::Sort { .. }
            | Self::PutAll { .. }
            | Self::StoreNear { .. }
            | Self::Across { .. } => Effect::Adds,
        }
    }

    pub(super) fn has_unnamed_keys(&self) -> bool {
        matches!(self, Self::Sort { sort, .. } if sort.has_patterns())
    }

    /// All keys that the operation names.
    pub(crate) fn keys(&self) -> Vec<&[u8]> {
        match self {
            Self::Get(keys)
            | Self::Exist(keys)
            | Self::Touch(keys)
            | Self::Remove(keys)
            | Self::First(keys)
            | Self::CountUnion(keys)
            | Self::Union(keys)
            | Self::CountCommon { keys, .. }
            | Self::PopFirst { keys, .. }
            | Self::PopFirstSorted { keys, .. } => keys.clone(),
            Self::Put { pairs, .. } | Self::PutAll { pairs, .. } => {
                pairs.iter().map(|(key, _)| *key).collect()
            }
            Self::Rename { from, to, .. }
            | Self::Copy { from, to, .. }
            | Self::MoveMember { from, to, .. }
            | Self::MoveElement { from, to, .. }
            | Self::StoreRange { from, to, .. }
            | Self::StoreNear { from, to, .. }
            | Self::Across { from, to, .. } => vec![from, to],
            Self::CombineSets { keys, store, .. } => store.iter().chain(keys).copied().collect(),
            Self::CombineSorted { keys, store, .. } => {
                store.iter().copied().chain(keys.iter().map(|weighted| weighted.key)).collect()
            }
            Self::CombineBits { keys, store, .. } => {
                [*store].into_iter().chain(keys.iter().copied()).collect()
            }
            Self::MergeUnion { to, from } => {
                [*to].into_iter().chain(from.iter().copied()).collect()
            }
            Self::Lcs { first, second, .. } => vec![first, second],
            Self::Sort { key, store, .. } => [*key].into_iter().chain(*store).collect(),
        }
    }

    pub(super) fn execute(&self, access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Get(keys) => {
                let mut room = ANSWER_BYTES_MAX;
                let value = |key: &&[u8]| match access.read(key) {
                    Some(Entry::Plain(entry)) => {
                        let bytes = entry.value();
                        room = room.checked_sub(bytes.len()).ok_or(OpError::AnswerTooLong)?;
                        Ok(Reply::bytes(bytes))
                    }
                    _ => Ok(Reply::Nil),
                };
                Ok(Reply::List(keys.iter().map(value).collect::<Result<_, _>>()?))
            }
            Self::Put { pairs, absent } => {
                if pairs.iter().any(|(_, value)| value.len() > VALUE_BYTES_MAX) {
                    return Err(OpError::TooLong);
                }
                if *absent && pairs.iter().any(|(key, _)| access.peek(key).is_some()) {
                    return Ok(Reply::flag(false));
                }
                for (key, value) in pairs {
                    if let Some(expiry) = Lifetime::Default.expiry(access, key) {
                        access.edit(key, &Edit::Put { kind: 0, value, expiry });
                        access.notify(Class::Plain, "set", key);
                    }
                }
                Ok(if *absent { Reply::flag(true) } else { Reply::Done })
            }
            Self::Exist(keys) => {
                Ok(Reply::count(keys.iter().filter(|key| access.peek(key).is_some()).count()))
            }
            Self::Touch(keys) => {
                Ok(Reply::count(keys.iter().filter(|key| access.read(key).is_some()).count()))
            }
            Self::Remove(keys) => {
                Ok(Reply::count(keys.iter().filter(|key| access.delete(key)).count()))
            }
            Self::Rename { from, to, absent } => moving::rename(access, from, to, *absent),
            Self::Copy { from, to, replace } => Ok(moving::copy(access, from, to, *replace)),
            Self::MoveMember { from, to, member } => moving::member(access, from, to, member),
            Self::MoveElement { from, from_end, to, to_end } => {
                moving::element(access, from, *from_end, to, *to_end)
            }
            Self::CombineSets { how, keys, store } => {
                combine::sets(access, *how, keys, store.as_deref())
            }
            // It needs two maps.
            Self::Across { .. } => Err(OpError::Malformed),
            Self::CountCommon { keys, sorted, limit } => {
                combine::count_common(access, keys, *sorted, *limit)
            }
            Self::CombineSorted { how, keys, aggregate, scores, store } => {
                combine::sorted(access, *how, keys, *aggregate, *scores, store.as_deref())
            }
            Self::StoreRange { from, to, span } => {
                let set = access.structure::<SortedSet>(from)?;
                let members: Vec<_> = set.map_or(Vec::new(), |set| {
                    let own = |(score, name): (_, &[u8])| (score, name.to_vec());
                    span.members(set).into_iter().map(own).collect()
                });
                let members: Vec<_> =
                    members.iter().map(|(score, name)| (*score, &**name)).collect();
                Ok(store_sorted(access, to, &members, "zrangestore"))
            }
            Self::StoreNear { from, to, near, distance, event } => {
                let members = match access.structure::<SortedSet>(from)? {
                    Some(set) => near.scored(set, *distance)?,
                    None => Vec::new(),
                };
                let members: Vec<_> =
                    members.iter().map(|(score, name)| (*score, &**name)).collect();
                Ok(store_sorted(access, to, &members, event))
            }
            Self::PopFirst { keys, end, count } => {
                for key in keys {
                    if access.structure::<List>(key)?.is_some() {
                        let elements = list::pop_many(access, key, *end, *count)?;
                        return Ok(Reply::List(vec![Reply::bytes(key), elements]));
                    }
                }
                Ok(Reply::NilList)
            }
            Self::PopFirstSorted { keys, greatest, count } => {
                for key in keys {
                    if access.structure::<SortedSet>(key)?.is_some() {
                        let members = pop(access, key, *greatest, *count)?;
                        return Ok(Reply::List(vec![Reply::bytes(key), Reply::Pairs(members)]));
                    }
                }
                Ok(Reply::NilList)
            }
            Self::First(keys) => {
                let first = keys.iter().find(|key| access.peek(key).is_some());
                Ok(Reply::optional(first.copied()))
            }
            Self::CombineBits { how, keys, store } => {
                let mut fold = BitFold::new(*how);
                for key in keys {
                    let value = access.plain(key)?.map(|entry| entry.value());
                    fold.add(value.unwrap_or_default());
                }
                Ok(plain::store(access, store, &fold.finish(), "set"))
            }
            Self::CountUnion(keys) => Ok(Union::of(access, keys)?.count()),
            Self::Union(keys) => Ok(Union::part(access, keys)),
            Self::MergeUnion { to, .. } => {
                let union = Union::of(access, &self.keys())?;
                hyperloglog::merge(access, to, &union)
            }
            Self::Lcs { first, second, answer } => {
                let mut value = |key| match access.plain(key) {
                    Ok(entry) => Ok(entry.map_or(Vec::new(), |entry| entry.value().to_vec())),
                    Err(_) => Err(OpError::NotStrings),
                };
                let (first, second) = (value(first)?, value(second)?);
                common_subsequence(&first, &second, *answer)
            }
            Self::PutAll { pairs, lifetime, exist } => {
                if pairs.iter().any(|(_, value)| value.len() > VALUE_BYTES_MAX) {
                    return Err(OpError::TooLong);
                }
                let mut is =
                    |exist: bool| pairs.iter().all(|(key, _)| access.peek(key).is_some() == exist);
                if exist.is_some_and(|exist| !is(exist)) {
                    return Ok(Reply::flag(false));
                }
                let is_set = Lifetime::sets_deadline(*lifetime);
                for (key, value) in pairs {
                    let Some(expiry) = lifetime.expiry(access, key) else {
                        access.delete(key);
                        continue;
                    };
                    access.edit(key, &Edit::Put { kind: 0, value, expiry });
                    access.notify(Class::Plain, "set", key);
                    if is_set {
                        access.notify(Class::Generic, "expire", key);
                    }
                }
                Ok(Reply::flag(true))
            }
            Self::Sort { key, sort, store } => sort.execute(access, key, store.as_deref()),
        }
    }
}
