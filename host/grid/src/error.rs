//! Errors of operations.

use serde::{Deserialize, Serialize};

use crate::limits::{STREAM_CONSUMERS_MAX, STREAM_GROUPS_MAX, STREAM_NAME_BYTES_MAX};

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
    #[error("writes need {needed} members (--min-members), and the cluster has {here}")]
    TooFewMembers {
        /// Members in the view.
        here: u32,
        /// Members that are needed.
        needed: u32,
    },
    /// No member of the cluster stores data.
    #[error("no member of the cluster stores data: all are lite")]
    NoDataMember,
    /// The primary of the key does not respond at present; nothing was done.
    #[error("the primary of the key does not respond at present; nothing was done")]
    Unavailable,
    /// A backup does not keep up, or too many operations wait; nothing was done.
    #[error("a backup does not keep up, or too many operations wait; nothing was done, try again")]
    Busy,
    /// The maximum number of maps exists.
    #[error("there are {} maps already", crate::limits::MAPS_MAX)]
    TooManyMaps,
    /// The write may have been executed or not: a member was lost before all backups had confirmed
    /// it, or they did not confirm it within [`OP_MS_MAX`](crate::limits::OP_MS_MAX).
    #[error("the outcome is unknown: a member was lost, or did not confirm the write in time")]
    Indeterminate,
    /// The request is malformed.
    #[error("the request is malformed")]
    Malformed,
    /// This member has not joined a cluster yet; nothing was done.
    #[error(
        "this member has not joined a cluster yet (see its log and /health/ready); nothing was done"
    )]
    NoCluster,
    /// The value is not a HyperLogLog.
    #[error("the value is not a HyperLogLog")]
    NotAHyperLogLog,
    /// The value is a HyperLogLog whose registers cannot be decoded.
    #[error("the HyperLogLog is corrupt")]
    CorruptHyperLogLog,
    /// The operation needs plain values.
    #[error("the keys do not hold plain values")]
    NotStrings,
    /// The longest common subsequence would need too much memory.
    #[error("the values are too long for a common subsequence")]
    LcsTooLarge,
    /// An element, or the value that it is sorted by, is not a number.
    #[error("an element, or the value that it is sorted by, is not a number")]
    NotSortable,
    /// The operation would read too many other keys.
    #[error("it would read more than {} other keys", crate::op::TRANSACTION_OPS_MAX)]
    TooManyKeys,
    /// The value is not plain, and only plain values can be compared.
    #[error("only plain values are compared")]
    NotAString,
    /// A digest to compare with is invalid.
    #[error("a digest has 16 hexadecimal digits")]
    NotADigest,
    /// A number is infinite.
    #[error("the value is infinite")]
    Infinite,
    /// The increment that was applied, after the result was limited to a bound, would not be a
    /// 64-bit integer.
    #[error("the increment would overflow")]
    AddedOverflow,
    /// There is no such member in the sorted set.
    #[error("there is no such member in the sorted set")]
    NoSuchMember,
    /// The key exists already.
    #[error("the key exists already")]
    KeyExists,
    /// The source and the destination are the same.
    #[error("the source and the destination are the same")]
    SameKey,
    /// The version or the checksum of a value in another encoding is wrong.
    #[error("the version or the checksum of the value is wrong")]
    BadChecksum,
    /// A value in another encoding is malformed.
    #[error("the value is malformed")]
    BadValue,
    /// The operations of a transaction in one partition took too long; nothing was done.
    #[error(
        "the transaction took longer than {} ms in one partition; nothing was done",
        crate::limits::BATCH_MS_MAX
    )]
    TookTooLong,
    /// An operation on a stream cannot be executed.
    #[error("{0}")]
    Stream(#[from] StreamError),
}

/// Why an operation on a stream failed; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StreamError {
    /// The ID of a new entry is not greater than all IDs before.
    #[error("the ID is not greater than the last ID of the stream")]
    IdTooSmall,
    /// The last ID of the stream is the greatest that there is.
    #[error("the stream has used the greatest ID, so nothing can be added")]
    Exhausted,
    /// The key of a group that is to be created or changed does not exist.
    #[error("there is no stream at the key of the group")]
    NoStream,
    /// There is no such stream, or it has no such group.
    #[error("there is no stream {key:?} with a group {group:?}")]
    NoGroup {
        /// The key.
        key: String,
        /// The group.
        group: String,
        /// The use of the group.
        by: GroupUse,
    },
    /// The stream has a group with this name already.
    #[error("the group exists already")]
    GroupExists,
    /// The last ID cannot be set below that of an entry.
    #[error("the ID is smaller than that of the last entry")]
    BelowLastEntry,
    /// The last ID cannot be set below that of a deleted entry.
    #[error("the ID is smaller than that of an entry that was deleted")]
    BelowDeleted,
    /// Fewer entries were added than there are.
    #[error("there are more entries than the given number of entries that were added")]
    AddedBelowLength,
    /// The name of a group or consumer is too long.
    #[error("the name of a group or consumer is longer than {STREAM_NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// The stream has the maximum number of groups.
    #[error("the stream has {STREAM_GROUPS_MAX} groups already")]
    TooManyGroups,
    /// The group has the maximum number of consumers.
    #[error("the group has {STREAM_CONSUMERS_MAX} consumers already")]
    TooManyConsumers,
}

/// The use of a group that does not exist. Protocols have a different message for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupUse {
    /// Reading as one of its consumers.
    Read,
    /// Listing its pending entries.
    Pending,
    /// Changing or describing it, in an existing stream.
    Describe,
}
