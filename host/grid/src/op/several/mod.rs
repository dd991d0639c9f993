//! Operations on several keys of one partition, in one step.

mod combine;
mod moving;

use serde::{Deserialize, Serialize};

pub use combine::{
    Aggregate, Combine, Scored, Weighted, combine, combine_sorted, plain_members, scored_members,
};
pub(super) use combine::{store_set, store_sorted};
pub(super) use moving::{install, value};

use super::answer::ANSWER_BYTES_MAX;
use super::effect::Effect;
use super::list;
use super::list::End;
use super::plain::Lifetime;
use super::sorted_set::{Span, pop};
use super::stream::{self, StreamRead};
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
    /// Reads entries of streams; returns those of each stream that has any, or a nil list.
    ReadStreams {
        /// The streams.
        #[serde(borrow)]
        streams: Vec<StreamRead<'a>>,
        /// Maximum number of entries of each; all for zero.
        count: u64,
    },
    /// Reads entries of streams as a consumer of a group; returns as [`SeveralOp::ReadStreams`].
    ReadGroup {
        /// The group, which each of the streams must have.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The consumer, which is created if there is none.
        #[serde(borrow, with = "serde_bytes")]
        consumer: &'a [u8],
        /// The streams.
        #[serde(borrow)]
        streams: Vec<StreamRead<'a>>,
        /// Maximum number of entries of each; all for zero.
        count: u64,
        /// Whether the entries are pending until they are acknowledged.
        acknowledged: bool,
    },
    /// Whether a consumer that waits for new entries of one of these streams would get an answer;
    /// returns 1 or nil.
    GroupReady {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The streams.
        #[serde(borrow)]
        keys: Vec<&'a [u8]>,
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
            | Self::ReadStreams { .. }
            | Self::GroupReady { .. }
            | Self::CombineSets { store: None, .. }
            | Self::CombineSorted { store: None, .. } => Effect::Reads,
            Self::Remove(_)
            | Self::Rename { .. }
            | Self::PopFirst { .. }
            | Self::PopFirstSorted { .. }
            | Self::ReadGroup { .. } => Effect::Changes,
            Self::Put { .. }
            | Self::Copy { .. }
            | Self::MoveMember { .. }
            | Self::MoveElement { .. }
            | Self::CombineSets { .. }
            | Self::CombineSorted { .. }
            | Self::StoreRange { .. } => Effect::Adds,
        }
    }

    /// All keys that the operation names.
    pub(super) fn keys(&self) -> Vec<&[u8]> {
        match self {
            Self::Get(keys)
            | Self::Exist(keys)
            | Self::Touch(keys)
            | Self::Remove(keys)
            | Self::First(keys)
            | Self::CountCommon { keys, .. }
            | Self::PopFirst { keys, .. }
            | Self::PopFirstSorted { keys, .. }
            | Self::GroupReady { keys, .. } => keys.clone(),
            Self::ReadStreams { streams, .. } | Self::ReadGroup { streams, .. } => {
                streams.iter().map(|read| read.key).collect()
            }
            Self::Put { pairs, .. } => pairs.iter().map(|(key, _)| *key).collect(),
            Self::Rename { from, to, .. }
            | Self::Copy { from, to, .. }
            | Self::MoveMember { from, to, .. }
            | Self::MoveElement { from, to, .. }
            | Self::StoreRange { from, to, .. } => vec![from, to],
            Self::CombineSets { keys, store, .. } => store.iter().chain(keys).copied().collect(),
            Self::CombineSorted { keys, store, .. } => {
                store.iter().copied().chain(keys.iter().map(|weighted| weighted.key)).collect()
            }
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
                Ok(Reply::List(keys.iter().map(value).collect::<Result<_, OpError>>()?))
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
            Self::ReadStreams { streams, count } => stream::read_streams(access, streams, *count),
            Self::ReadGroup { group, consumer, streams, count, acknowledged } => {
                stream::read_as_consumer(access, group, consumer, streams, *count, *acknowledged)
            }
            Self::GroupReady { group, keys } => {
                let is_ready = stream::group_is_ready(access, group, keys);
                Ok(if is_ready { Reply::flag(true) } else { Reply::Nil })
            }
        }
    }
}
