//! Operations: the only interface between the grid and the protocols of clients.
//!
//! An operation concerns one key ([`Op::Key`]), several keys of one partition in one step
//! ([`Op::Several`]), a whole partition ([`Op::Whole`]), or consists of several operations in one
//! step ([`Op::Batch`]). It borrows from the client's request; the result is a [`Reply`].

mod answer;
mod bits;
mod cache;
mod compare;
mod content;
mod counter;
mod distinct;
mod effect;
mod extended;
mod fields;
#[cfg(test)]
mod fuzz;
mod generic;
mod hash;
mod hyperloglog;
mod increment;
mod items;
mod lease;
mod list;
mod near;
mod number;
mod plain;
mod random;
mod representation;
mod ring;
mod set;
mod several;
mod sorted_set;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod transfer;
mod whole;

use serde::{Deserialize, Serialize};

pub use answer::{ANSWER_BYTES_MAX, ELEMENTS_BYTES_MAX, ELEMENTS_MAX};
pub use bits::{BitCombine, BitFold, BitRange, BitsOp, Field, FieldAction, FieldOverflow};
pub use cache::{
    CACHE_KIND, CacheAction, CacheLifetime, CacheOp, CachePolicy, CacheRoom, cache_event,
    cache_value,
};
pub use content::{
    Content, ContentConsumer, ContentEntry, ContentField, ContentGroup, ContentOp, ContentPending,
    ContentStream,
};
pub use counter::{COUNTER_ID_BYTES, CounterOp, CounterSeen};
pub use distinct::DistinctOp;
pub use effect::Effect;
pub use extended::Extended;
pub use fields::{FieldLifetime, FieldsIf, FieldsOp};
pub(crate) use generic::version;
pub use generic::{ExpireIf, GenericOp, OTHER_KIND};
pub use hash::HashOp;
pub use hyperloglog::{HyperLogLogOp, Union};
pub use increment::{Amount, Increment};
pub use items::{ItemsOp, LABEL_BYTES};
pub(crate) use lease::is_held_by_another;
pub use lease::{LeaseOp, OWNER_BYTES_MAX};
pub use list::{End, ListOp};
pub use near::{Centre, Near, NearAnswer, NearLimit, Nearness, place_reply};
pub use number::{float, score_bound};
pub use plain::{Lifetime, PlainOp, PutAnswer, PutIf, integer};
pub use ring::RingOp;
pub use set::SetOp;
pub use several::{
    Aggregate, Combine, LcsAnswer, Scored, SeveralOp, Sort, SortBy, Weighted, combine,
    combine_sorted, common_subsequence, plain_members, scored_members,
};
pub(crate) use several::{Lookup, SORTED_EVENT, lookup, sorted_reply, stored};
pub(crate) use sorted_set::members_reply;
pub use sorted_set::{AddIf, Bound, By, SortedSetOp, Span};
pub use stream::{
    AutoClaim, Claim, ClaimTime, GroupStart, NewId, PendingRange, ReadFrom, References, StreamOp,
    StreamRead, Trim, TrimTo,
};
pub(crate) use transaction::{Decision, TransactionId};
pub use transaction::{
    MapOp, TRANSACTION_BYTES_MAX, TRANSACTION_OPS_MAX, TransactionOp, WatchedKey,
};
pub(crate) use transfer::TransferOp;
pub use whole::{ANNOUNCED_BYTES_MAX, LEASED_MAX, ScanFilter, WholeOp};

use crate::access::{Access, BatchTimer};
use crate::clock::Version;
use crate::limits::KEY_BYTES_MAX;
use crate::tracking::ClientTraits;
use crate::value::Type;
use crate::{OpError, Reply, nesting};

/// An operation of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op<'a> {
    /// An operation on one key.
    Key(#[serde(borrow, with = "serde_bytes")] &'a [u8], #[serde(borrow)] KeyOp<'a>),
    /// An operation on several keys, in one step.
    Several(#[serde(borrow)] SeveralOp<'a>),
    /// An operation on the lease of one key.
    Lease(#[serde(borrow, with = "serde_bytes")] &'a [u8], #[serde(borrow)] LeaseOp<'a>),
    /// Another operation on behalf of an owner, who may hold leases on its keys. Without this,
    /// writes of leased keys are refused.
    By {
        /// The owner's name.
        #[serde(borrow, with = "serde_bytes")]
        owner: &'a [u8],
        /// The operation.
        #[serde(borrow, deserialize_with = "nesting::deeper")]
        op: Box<Self>,
    },
    /// An operation on all keys of the partition.
    Whole(#[serde(borrow)] WholeOp<'a>),
    /// Several operations in one step, if the watched keys still have these versions.
    Batch {
        /// Keys and the versions they must still have.
        #[serde(borrow)]
        watched: Vec<(&'a [u8], Version)>,
        /// The operations, in order.
        #[serde(borrow, deserialize_with = "nesting::deeper")]
        ops: Vec<Self>,
    },
    /// A step of a transaction over several partitions.
    Transaction(#[serde(borrow)] TransactionOp<'a>),
    /// A request that the owner of the primary runs: see
    /// [`Grid::run_requests_with`](crate::Grid::run_requests_with).
    Request {
        /// Whether it changes nothing.
        reads: bool,
        /// The request, in a form that the grid does not know.
        #[serde(borrow, with = "serde_bytes")]
        request: &'a [u8],
    },
    /// Part of such a transaction: transfers a value from or to another partition.
    #[doc(hidden)]
    Transfer(#[serde(borrow, with = "serde_bytes")] &'a [u8], #[serde(borrow)] TransferOp<'a>),
    /// Another operation on behalf of a client.
    From {
        /// What the client asks of it.
        client: ClientTraits,
        /// The operation.
        #[serde(borrow, deserialize_with = "nesting::deeper")]
        op: Box<Self>,
    },
}

/// An operation on one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum KeyOp<'a> {
    /// For any type of value.
    Generic(GenericOp),
    /// For a plain value (bytes).
    Plain(#[serde(borrow)] PlainOp<'a>),
    /// For a list.
    List(#[serde(borrow)] ListOp<'a>),
    /// For a hash.
    Hash(#[serde(borrow)] HashOp<'a>),
    /// For a set.
    Set(#[serde(borrow)] SetOp<'a>),
    /// For a sorted set.
    SortedSet(#[serde(borrow)] SortedSetOp<'a>),
    /// For the bits of a plain value.
    Bits(BitsOp),
    /// For a HyperLogLog.
    HyperLogLog(#[serde(borrow)] HyperLogLogOp<'a>),
    /// For the whole value, of any type.
    Content(#[serde(borrow)] ContentOp<'a>),
    /// For a stream.
    Stream(#[serde(borrow)] StreamOp<'a>),
    /// For a list of items with labels.
    Items(#[serde(borrow)] ItemsOp<'a>),
    /// For a collection of distinct items with labels.
    Distinct(#[serde(borrow)] DistinctOp<'a>),
    /// For a ring.
    Ring(#[serde(borrow)] RingOp<'a>),
    /// For a counter.
    Counter(CounterOp),
    /// For an entry of a cache with an expiry policy.
    Cache(#[serde(borrow)] CacheOp<'a>),
}

impl Op<'_> {
    /// How it may affect the stored data.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Key(_, op) => op.effect(),
            Self::Several(op) => op.effect(),
            Self::Lease(_, op) => op.effect(),
            Self::By { op, .. } | Self::From { op, .. } => op.effect(),
            Self::Whole(op) => op.effect(),
            Self::Batch { ops, .. } => ops.iter().map(Op::effect).max().unwrap_or(Effect::Reads),
            Self::Transaction(op) => op.effect(),
            Self::Request { reads: true, .. } => Effect::Reads,
            Self::Request { reads: false, .. } => Effect::Changes,
            Self::Transfer(_, op) => op.effect(),
        }
    }

    /// A key that determines the partition; `None` for a whole partition, whose number is passed
    /// beside the operation.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Key(key, _) | Self::Lease(key, _) | Self::Transfer(key, _) => Some(key),
            Self::Several(op) => op.keys().first().copied(),
            Self::By { op, .. } | Self::From { op, .. } => op.key(),
            Self::Whole(_) | Self::Request { .. } => None,
            Self::Batch { watched, ops } => {
                ops.iter().find_map(Op::key).or_else(|| watched.first().map(|(key, _)| *key))
            }
            Self::Transaction(op) => {
                let (watched, ops) = op.parts();
                ops.iter().find_map(|op| op.op.key()).or_else(|| watched.first().map(|w| w.key))
            }
        }
    }

    /// All keys that the operation names.
    #[must_use]
    pub fn keys(&self) -> Vec<&[u8]> {
        match self {
            Self::Key(key, _) | Self::Lease(key, _) | Self::Transfer(key, _) => vec![key],
            Self::Several(op) => op.keys(),
            Self::By { op, .. } | Self::From { op, .. } => op.keys(),
            Self::Whole(_) | Self::Request { .. } => Vec::new(),
            Self::Batch { ops, .. } => ops.iter().flat_map(Op::keys).collect(),
            Self::Transaction(op) => op.parts().1.iter().flat_map(|op| op.op.keys()).collect(),
        }
    }

    /// Whether it also reads keys that it does not name, in any partitions. Then it can only be
    /// executed in a transaction.
    #[must_use]
    pub fn has_unnamed_keys(&self) -> bool {
        match self {
            Self::Several(op) => op.has_unnamed_keys(),
            Self::By { op, .. } | Self::From { op, .. } => op.has_unnamed_keys(),
            Self::Batch { ops, .. } => ops.iter().any(Self::has_unnamed_keys),
            Self::Key(..)
            | Self::Lease(..)
            | Self::Whole(_)
            | Self::Transaction(_)
            | Self::Request { .. }
            | Self::Transfer(..) => false,
        }
    }

    /// The name of another map that it concerns. Such an operation is part of a transaction: see
    /// [`Grid::transact`](crate::Grid::transact).
    #[must_use]
    pub fn other_map(&self) -> Option<&str> {
        match self {
            Self::Several(SeveralOp::Across { map, .. }) => Some(map),
            Self::Whole(WholeOp::Exchange(map)) => Some(map),
            Self::By { op, .. } | Self::From { op, .. } => op.other_map(),
            _ => None,
        }
    }

    /// Checks that its keys are at most [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX) long, for any
    /// protocol.
    ///
    /// # Errors
    /// [`OpError::KeyTooLong`] when one of them is longer.
    pub(crate) fn check_keys(&self) -> Result<(), OpError> {
        let fits = |key: &[u8]| {
            if key.len() > KEY_BYTES_MAX { Err(OpError::KeyTooLong) } else { Ok(()) }
        };
        match self {
            Self::Key(key, _) | Self::Lease(key, _) | Self::Transfer(key, _) => fits(key),
            Self::Several(op) => op.keys().into_iter().try_for_each(fits),
            Self::By { op, .. } | Self::From { op, .. } => op.check_keys(),
            Self::Whole(_) | Self::Request { .. } => Ok(()),
            Self::Transaction(op) => {
                let (watched, ops) = op.parts();
                watched.iter().try_for_each(|watched| fits(watched.key))?;
                ops.iter().try_for_each(|op| op.op.check_keys())
            }
            Self::Batch { watched, ops } => {
                watched.iter().try_for_each(|(key, _)| fits(key))?;
                ops.iter().try_for_each(Op::check_keys)
            }
        }
    }

    /// The operation without the client on whose behalf it is executed, and the traits of that client.
    pub(crate) fn without_client(&self) -> (&Self, Option<ClientTraits>) {
        match self {
            Self::From { client, op } => (op, Some(*client)),
            op => (op, None),
        }
    }

    /// Whether its reads count as uses of keys.
    pub(crate) fn touches(&self) -> bool {
        !matches!(self, Self::From { client, op } if client.no_touch && !op.is_touch())
    }

    /// Whether its only purpose is to count as a use of keys.
    fn is_touch(&self) -> bool {
        matches!(
            self,
            Self::Key(_, KeyOp::Generic(GenericOp::Touch)) | Self::Several(SeveralOp::Touch(_))
        )
    }

    /// The owner on whose behalf it is executed; empty if there is none.
    pub(crate) fn owner(&self) -> &[u8] {
        match self {
            Self::By { owner, .. } => owner,
            Self::From { op, .. } => op.owner(),
            _ => &[],
        }
    }

    /// Whether the source list of a blocked move exists: then [`OpError::WrongType`] concerns the
    /// destination.
    fn has_source(&self, access: &mut Access<'_>) -> bool {
        match self {
            Self::Several(SeveralOp::MoveElement { from, .. }) => {
                access.peek(from).is_some_and(|entry| entry.kind() == Type::List)
            }
            Self::From { op, .. } => op.has_source(access),
            _ => false,
        }
    }

    /// Whether a blocked operation ends with an error when its key holds a value of another type;
    /// otherwise it waits until that is gone.
    pub(crate) fn reports_wrong_type(&self, access: &mut Access<'_>) -> bool {
        match self {
            Self::Several(SeveralOp::ReadGroup { .. }) => true,
            Self::From { op, .. } => op.reports_wrong_type(access),
            _ => self.has_source(access),
        }
    }

    /// Whether a blocked operation has no element to return, as far as that can be said without
    /// executing it.
    pub(crate) fn finds_nothing(&self, access: &mut Access<'_>) -> bool {
        match self {
            Self::Several(SeveralOp::ReadGroup { group, streams, .. }) => {
                stream::has_nothing_to_read(access, group, streams)
            }
            Self::From { op, .. } => op.finds_nothing(access),
            _ => false,
        }
    }

    /// Upper estimate of the bytes of values that it adds: those that it names.
    pub(crate) fn added_bytes(&self) -> usize {
        match self {
            Self::Key(_, op) => op.added_bytes(),
            Self::Several(SeveralOp::Put { pairs, .. } | SeveralOp::PutAll { pairs, .. }) => {
                pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
            }
            Self::By { op, .. } | Self::From { op, .. } => op.added_bytes(),
            Self::Batch { ops, .. } => ops.iter().map(Self::added_bytes).sum(),
            Self::Transfer(_, op) => op.added_bytes(),
            Self::Several(_)
            | Self::Lease(..)
            | Self::Whole(_)
            | Self::Transaction(_)
            | Self::Request { .. } => 0,
        }
    }

    /// Whether it consists of several operations that are executed one after the other.
    pub(crate) fn is_batch(&self) -> bool {
        match self {
            Self::Batch { .. } => true,
            Self::By { op, .. } | Self::From { op, .. } => op.is_batch(),
            _ => false,
        }
    }

    /// Whether what it adds replaces the value of its key.
    fn replaces(&self) -> bool {
        match self {
            Self::Key(_, KeyOp::Content(ContentOp::Restore { .. })) => true,
            Self::Key(_, KeyOp::Plain(op)) => {
                matches!(op, PlainOp::Put { .. } | PlainOp::Splice(..))
            }
            Self::Key(_, KeyOp::Bits(_) | KeyOp::Counter(_) | KeyOp::Cache(_)) => true,
            Self::By { op, .. } | Self::From { op, .. } => op.replaces(),
            _ => false,
        }
    }

    /// Executes the operation. After [`OpError::TookTooLong`], the caller undoes what it has changed.
    pub(crate) fn execute(&self, access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Batch { watched, ops } => {
                for (key, version) in watched {
                    if generic::version(access, key) != *version {
                        return Err(OpError::Changed);
                    }
                }
                // As in Redis, a failing operation does not undo the others. Once the answer has
                // its maximum length, operations that only read are refused.
                let mut room = ANSWER_BYTES_MAX;
                let timer = BatchTimer::start(access.host);
                let mut each = |op: &Op<'_>| {
                    timer.check()?;
                    if room == 0 && op.effect() == Effect::Reads {
                        return Ok(Reply::Failed(OpError::AnswerTooLong));
                    }
                    let reply = op.execute_within(access).unwrap_or_else(Reply::Failed);
                    room = reply.bytes_at_most(room).map_or(0, |bytes| room.saturating_sub(bytes));
                    Ok(reply)
                };
                ops.iter().map(&mut each).collect::<Result<_, _>>().map(Reply::List)
            }
            Self::By { op, .. } => op.execute_within(access),
            Self::From { client, op } => {
                let touches = std::mem::replace(&mut access.touches, self.touches());
                let before = access.changes.origin;
                if let Some(origin) = client.origin {
                    access.changes.last_origin = Some(origin);
                    access.changes.origin = Some(origin);
                }
                let reply = op.execute_within(access);
                (access.touches, access.changes.origin) = (touches, before);
                reply
            }
            _ => {
                if self.effect() == Effect::Adds {
                    let key = self.key().unwrap_or_default();
                    access.make_room(key, self.added_bytes(), self.replaces())?;
                }
                match self {
                    Self::Key(key, op) => op.execute(key, access),
                    Self::Several(op) => op.execute(access),
                    Self::Lease(key, op) => op.execute(key, access),
                    Self::Whole(op) => op.execute(access),
                    Self::Transfer(key, op) => op.execute(key, access),
                    // These are not executed under the lock of one partition.
                    Self::Transaction(_) | Self::Request { .. } => Err(OpError::Malformed),
                    Self::By { .. } | Self::Batch { .. } | Self::From { .. } => {
                        unreachable!("handled above")
                    }
                }
            }
        }
    }
}

impl Op<'_> {
    /// Executes the operation as part of another. Leases are stored in another map and cannot be
    /// part of one.
    fn execute_within(&self, access: &mut Access<'_>) -> Result<Reply, OpError> {
        if matches!(self, Self::Lease(..)) { Err(OpError::Malformed) } else { self.execute(access) }
    }
}

impl KeyOp<'_> {
    fn added_bytes(&self) -> usize {
        let sum = |all: &[&[u8]]| all.iter().map(|bytes| bytes.len()).sum();
        match self {
            Self::Plain(PlainOp::Put { value, .. } | PlainOp::Append(value)) => value.len(),
            Self::Plain(PlainOp::Splice(at, bytes)) => {
                usize::try_from(*at).unwrap_or(usize::MAX).saturating_add(bytes.len())
            }
            Self::List(ListOp::Push { elements, .. }) => sum(elements),
            Self::List(ListOp::Set(_, element) | ListOp::Insert { element, .. }) => element.len(),
            Self::Hash(HashOp::Set(fields)) => {
                fields.iter().map(|(field, value)| field.len() + value.len()).sum()
            }
            Self::Hash(HashOp::SetIfAbsent(field, value)) => field.len() + value.len(),
            Self::Hash(HashOp::Fields(op)) => op.added_bytes(),
            Self::Content(op) => op.added_bytes(),
            Self::Set(SetOp::Add(members)) => sum(members),
            Self::SortedSet(SortedSetOp::Add { members, .. }) => {
                members.iter().map(|(_, member)| member.len()).sum()
            }
            Self::Bits(op) => op.added_bytes(),
            Self::Stream(op) => op.added_bytes(),
            Self::Items(op) => op.added_bytes(),
            Self::Distinct(op) => op.added_bytes(),
            Self::Ring(op) => op.added_bytes(),
            Self::Counter(op) => op.added_bytes(),
            Self::Cache(op) => op.added_bytes(),
            _ => 0,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Generic(op) => op.effect(),
            Self::Plain(op) => op.effect(),
            Self::List(op) => op.effect(),
            Self::Hash(op) => op.effect(),
            Self::Set(op) => op.effect(),
            Self::SortedSet(op) => op.effect(),
            Self::Bits(op) => op.effect(),
            Self::HyperLogLog(op) => op.effect(),
            Self::Content(op) => op.effect(),
            Self::Stream(op) => op.effect(),
            Self::Items(op) => op.effect(),
            Self::Distinct(op) => op.effect(),
            Self::Ring(op) => op.effect(),
            Self::Counter(op) => op.effect(),
            Self::Cache(op) => op.effect(),
        }
    }

    fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Generic(op) => op.execute(key, access),
            Self::Plain(op) => op.execute(key, access),
            Self::List(op) => op.execute(key, access),
            Self::Hash(op) => op.execute(key, access),
            Self::Set(op) => op.execute(key, access),
            Self::SortedSet(op) => op.execute(key, access),
            Self::Bits(op) => op.execute(key, access),
            Self::HyperLogLog(op) => op.execute(key, access),
            Self::Content(op) => op.execute(key, access),
            Self::Stream(op) => op.execute(key, access),
            Self::Items(op) => op.execute(key, access),
            Self::Distinct(op) => op.execute(key, access),
            Self::Ring(op) => op.execute(key, access),
            Self::Counter(op) => op.execute(key, access),
            Self::Cache(op) => op.execute(key, access),
        }
    }
}
