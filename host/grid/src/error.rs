//! Why an operation was not done, or may not have been.

use serde::{Deserialize, Serialize};

/// Why an operation has no answer. But for [`OpError::Indeterminate`], nothing
/// was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OpError {
    /// The key holds another kind of value.
    #[error("the key holds another kind of value")]
    WrongType,
    /// The value, or an argument, is not a 64-bit integer.
    #[error("not an integer, or out of range")]
    NotAnInteger,
    /// The value, or an argument, is not a number.
    #[error("not a number")]
    NotANumber,
    /// The field of a hash is not a 64-bit integer.
    #[error("the field is not an integer")]
    FieldNotAnInteger,
    /// The field of a hash is not a number.
    #[error("the field is not a number")]
    FieldNotANumber,
    /// The result would not be a 64-bit integer.
    #[error("the result would overflow")]
    Overflow,
    /// The result would be no number, or infinite.
    #[error("the result would be NaN or infinite")]
    NotFinite,
    /// The result would be no score.
    #[error("the score would be NaN")]
    NotAScore,
    /// There is no such key.
    #[error("no such key")]
    NoSuchKey,
    /// There is no such place in the list.
    #[error("the index is out of range")]
    NoSuchIndex,
    /// The value would be longer than a value may be.
    #[error("the value would be longer than {} bytes", crate::VALUE_BYTES_MAX)]
    TooLong,
    /// The answer would be longer than one may be: what is asked for is to be read in parts.
    #[error("the answer would be longer than one message may be; read it in parts")]
    AnswerTooLong,
    /// The key is longer than a key may be.
    #[error("the key is longer than {} bytes", crate::KEY_BYTES_MAX)]
    KeyTooLong,
    /// The map is at its bound, and nothing in it may be evicted.
    #[error("the map is at its memory bound, and it evicts nothing")]
    Full,
    /// Another owner holds the key.
    #[error("the key is held by another owner")]
    Held,
    /// A watched key was changed.
    #[error("a watched key was changed")]
    Changed,
    /// Other transactions lock the keys of this one; nothing was done.
    #[error("other transactions use these keys; nothing was done")]
    Conflict,
    /// Fewer members are here than writes need.
    #[error("{here} members are here, and writes need {needed} (--min-members)")]
    TooFewMembers {
        /// Members in the view.
        here: u32,
        /// Members that must be there.
        needed: u32,
    },
    /// No member here stores data.
    #[error("no member of the cluster stores data: all are lite")]
    NoDataMember,
    /// The owner of the key cannot take it just now; nothing was done.
    #[error("the owner of the key cannot be reached just now; nothing was done")]
    Unavailable,
    /// A backup does not keep up, or as much waits as may; nothing was done.
    #[error("a backup does not keep up, or too much waits already; nothing was done, try again")]
    Busy,
    /// There are as many maps as there may be.
    #[error("there are {} maps already", crate::MAPS_MAX)]
    TooManyMaps,
    /// The write may have happened or not: its owner or a backup was lost
    /// before all of them had it.
    #[error("the outcome is not known: a member was lost before all that should have it had it")]
    Indeterminate,
    /// The request cannot be read.
    #[error("the request cannot be read")]
    Malformed,
    /// This member has not been let into a cluster yet; nothing was done.
    #[error(
        "this member is in no cluster yet (its log and /health/ready say why); nothing was done"
    )]
    NoCluster,
}
