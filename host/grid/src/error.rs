//! Errors of operations.

use serde::{Deserialize, Serialize};

/// Why an operation failed. Except for [`OpError::Indeterminate`], nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OpError {
    /// The key holds a value of another type.
    #[error("the key holds a value of another type")]
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
    /// The result would be NaN or infinite.
    #[error("the result would be NaN or infinite")]
    NotFinite,
    /// The score would be NaN.
    #[error("the score would be NaN")]
    NotAScore,
    /// There is no such key.
    #[error("no such key")]
    NoSuchKey,
    /// There is no such index in the list.
    #[error("the index is out of range")]
    NoSuchIndex,
    /// The value would exceed the maximum length.
    #[error("the value would be longer than {} bytes", crate::limits::VALUE_BYTES_MAX)]
    TooLong,
    /// The answer would exceed the maximum length. The client must read in parts.
    #[error("the reply would exceed the maximum message size; read it in parts")]
    AnswerTooLong,
    /// The key exceeds the maximum length.
    #[error("the key is longer than {} bytes", crate::limits::KEY_BYTES_MAX)]
    KeyTooLong,
    /// The map is at its memory bound, and nothing in it may be evicted.
    #[error("the map is at its memory bound, and nothing can be evicted")]
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
    /// The view has fewer members than writes need.
    #[error("the cluster has {here} members, and writes need {needed} (--min-members)")]
    TooFewMembers {
        /// Members in the view.
        here: u32,
        /// Members that are needed.
        needed: u32,
    },
    /// No member of the cluster stores data.
    #[error("no member of the cluster stores data: all are lite")]
    NoDataMember,
    /// The primary of the key cannot be reached at present; nothing was done.
    #[error("the primary of the key cannot be reached at present; nothing was done")]
    Unavailable,
    /// A backup does not keep up, or too many operations wait; nothing was done.
    #[error("a backup does not keep up, or too many operations wait; nothing was done, try again")]
    Busy,
    /// The maximum number of maps exists.
    #[error("there are {} maps already", crate::limits::MAPS_MAX)]
    TooManyMaps,
    /// The write may have been executed or not: a member was lost before all backups had confirmed
    /// it.
    #[error("the outcome is unknown: a member was lost before all backups had confirmed the write")]
    Indeterminate,
    /// The request is malformed.
    #[error("the request is malformed")]
    Malformed,
    /// This member has not joined a cluster yet; nothing was done.
    #[error(
        "this member is in no cluster yet (its log and /health/ready say why); nothing was done"
    )]
    NoCluster,
}
