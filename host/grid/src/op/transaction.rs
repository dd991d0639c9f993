//! Transactions over several partitions: what the member that runs one asks of the primaries.
//!
//! See `docs/transactions.md`. A client asks for [`TransactionOp::Run`] only; the others are sent
//! between members.

use convoke_membership::MemberId;
use serde::{Deserialize, Serialize};

use super::Op;
use super::effect::Effect;
use crate::clock::Version;
use crate::nesting;

/// Operations and watched keys of one transaction, at most.
pub const TRANSACTION_OPS_MAX: usize = 100_000;
/// Bytes of what one transaction changes in one partition, at most.
pub const TRANSACTION_BYTES_MAX: usize = crate::limits::VALUE_BYTES_MAX;

/// Names one attempt of a transaction. The order is that of their age: the oldest is least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransactionId {
    /// When it began; the same for all attempts.
    pub(crate) started: Version,
    /// The member that runs it.
    pub(crate) member: MemberId,
    /// Distinguishes the attempts of a transaction.
    pub(crate) attempt: u64,
    /// The partition that holds the decision to commit.
    pub(crate) home: u16,
}

/// An operation of a transaction, and the map that it is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapOp<'a> {
    /// The map's name.
    #[serde(borrow)]
    pub map: &'a str,
    /// An operation on one key or on several.
    #[serde(borrow, deserialize_with = "nesting::deeper")]
    pub op: Op<'a>,
}

/// A key that must still have a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedKey<'a> {
    /// The map's name.
    #[serde(borrow)]
    pub map: &'a str,
    /// The key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// As [`GenericOp::Version`](super::GenericOp::Version) returned it.
    pub version: Version,
}

/// A step of a transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TransactionOp<'a> {
    /// Executes operations as one step, wherever their keys lie. Sent to the primary of any
    /// partition that has one of the keys.
    Run {
        /// If one of these changed, nothing is done ([`OpError::Changed`](crate::OpError)).
        #[serde(borrow)]
        watched: Vec<WatchedKey<'a>>,
        /// The operations, executed in order.
        #[serde(borrow)]
        ops: Vec<MapOp<'a>>,
        /// Returns a list with a reply for each, of which some may be errors, as `EXEC` does.
        /// Without it there is one operation, and its reply is returned.
        batch: bool,
    },
    /// Locks the keys of operations in one partition, and executes them on a copy that no
    /// other operation sees. Returns whether anything is changed so far, and the replies.
    Execute {
        /// The transaction.
        id: TransactionId,
        /// It holds no lock anywhere yet, so it may wait for any.
        is_first: bool,
        /// It has executed something here before: if that is lost, this fails.
        continues: bool,
        /// What it changes here survives the loss of this primary from now on.
        prepare: bool,
        /// Keys that must not have changed.
        #[serde(borrow)]
        watched: Vec<WatchedKey<'a>>,
        /// What to execute.
        #[serde(borrow)]
        ops: Vec<MapOp<'a>>,
        /// The maps of the whole transaction: what is prepared gets as many copies as that of
        /// them that has most.
        #[serde(borrow)]
        maps: Vec<&'a str>,
    },
    /// Applies what was executed here, and releases the locks. Done already: nothing.
    Commit(TransactionId),
    /// Drops what was executed here, and releases the locks. Done already: nothing.
    Abort(TransactionId),
    /// To the home partition: 0 if it is undecided, 1 if it committed, 2 if it was aborted.
    Decision(TransactionId),
    /// To the home partition: all partitions have committed, the decision can be forgotten.
    Forget(TransactionId),
}

/// What became of a transaction, as a number in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is not decided yet.
    Pending = 0,
    /// It is to be applied.
    Committed = 1,
    /// It was aborted.
    Aborted = 2,
}

impl TransactionOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            // Memory is reserved for each operation separately.
            Self::Run { ops, .. } => {
                let effect = ops.iter().map(|op| op.op.effect()).max();
                effect.unwrap_or(Effect::Reads).min(Effect::Changes)
            }
            Self::Decision(_) => Effect::Reads,
            Self::Execute { .. } | Self::Commit(_) | Self::Abort(_) | Self::Forget(_) => {
                Effect::Changes
            }
        }
    }

    /// The operations and watched keys in it.
    pub(crate) fn parts(&self) -> (&[WatchedKey<'_>], &[MapOp<'_>]) {
        match self {
            Self::Run { watched, ops, .. } | Self::Execute { watched, ops, .. } => (watched, ops),
            _ => (&[], &[]),
        }
    }
}
