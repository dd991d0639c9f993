//! Operations on streams.
//!
//! The primary decides IDs and delivery times by the cluster's clock; the backups receive them as
//! part of the edits.

mod add;
mod answer;
mod claim;
mod delete;
mod group;
mod info;
mod pending;
mod read;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use add::{NewId, Trim, TrimTo};
pub use claim::{AutoClaim, Claim, ClaimTime};
pub use delete::References;
pub use group::GroupStart;
pub use pending::PendingRange;
pub use read::{ReadFrom, StreamRead};
pub(in crate::op) use read::{group_is_ready, has_nothing_to_read, read_as_consumer, read_streams};

use super::effect::Effect;
use crate::access::Access;
use crate::event::Class;
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::value::stream::Group;
use crate::value::{Stream, StreamEdit, StreamId, StructureEdit};
use crate::{GroupUse, OpError, Reply, StreamError};

/// An operation on a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StreamOp<'a> {
    /// Adds an entry, and then removes old ones if `trim` says so; returns the ID.
    Add {
        /// Its ID.
        id: NewId,
        /// Names and values, alternating.
        #[serde(borrow)]
        fields: Vec<&'a [u8]>,
        /// Whether a stream is created if there is none; otherwise nil is returned.
        create: bool,
        /// How the stream is trimmed afterwards.
        trim: Option<Trim>,
    },
    /// Removes old entries; returns how many.
    Trim(Trim),
    /// The number of entries.
    Length,
    /// Entries from one ID to another, both inclusive.
    Range {
        /// The lower ID, even if `reverse` is set.
        from: StreamId,
        /// The greater ID.
        to: StreamId,
        /// Whether the order is descending.
        reverse: bool,
        /// How many at most.
        count: Option<u64>,
    },
    /// Removes entries; returns how many there were.
    Delete(Vec<StreamId>),
    /// Removes entries unless they are still needed; returns for each of them -1 if there was none,
    /// 1 if it was removed, 2 if it was kept.
    DeleteWith {
        /// The entries.
        ids: Vec<StreamId>,
        /// What happens to entries that groups have not acknowledged.
        references: References,
    },
    /// Acknowledges entries, and removes them unless they are still needed; returns for each of
    /// them -1 if it was not pending, 1 if it was removed, 2 if it was kept.
    AcknowledgeAndDelete {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The entries.
        ids: Vec<StreamId>,
        /// What happens to entries that groups have not acknowledged.
        references: References,
    },
    /// Sets the last ID, and optionally what is remembered of earlier entries.
    SetLast {
        /// The last ID.
        last: StreamId,
        /// How many entries were added.
        added: Option<u64>,
        /// The greatest ID of a deleted entry.
        deleted: Option<StreamId>,
    },
    /// The last ID; zero if there is no stream.
    Last,
    /// Creates a group.
    CreateGroup {
        /// Its name.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// After which entry it starts.
        start: GroupStart,
        /// How many entries were added up to there, if known.
        read: Option<u64>,
        /// Whether a stream is created if there is none.
        create: bool,
    },
    /// Moves a group.
    SetGroup {
        /// Its name.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The entry that counts as delivered last.
        start: GroupStart,
        /// How many entries were added up to there, if known.
        read: Option<u64>,
    },
    /// Removes a group; returns 1 or 0.
    DestroyGroup(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Creates a consumer; returns 1, or 0 if it exists.
    CreateConsumer {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The consumer.
        #[serde(borrow, with = "serde_bytes")]
        consumer: &'a [u8],
    },
    /// Removes a consumer; returns how many entries were pending for it.
    DeleteConsumer {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The consumer.
        #[serde(borrow, with = "serde_bytes")]
        consumer: &'a [u8],
    },
    /// Fails if there is no such group.
    CheckGroup(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Acknowledges entries; returns how many were pending.
    Acknowledge {
        /// The group.
        #[serde(borrow, with = "serde_bytes")]
        group: &'a [u8],
        /// The entries.
        ids: Vec<StreamId>,
    },
    /// A summary of the pending entries of a group: their number, the first, the last, and how many
    /// each consumer has.
    PendingSummary(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Pending entries, each with its consumer, the time since its delivery, and how many times it
    /// was delivered.
    Pending(#[serde(borrow)] PendingRange<'a>),
    /// Gives pending entries to another consumer; returns them.
    Claim(#[serde(borrow)] Claim<'a>),
    /// Gives pending entries that were delivered some time ago to another consumer; returns where
    /// to go on, the entries, and the IDs of those that do not exist any more.
    AutoClaim(#[serde(borrow)] AutoClaim<'a>),
    /// What is known of the stream.
    Info,
    /// The same, with entries, groups and consumers.
    InfoFull {
        /// Maximum number of entries in each list; all for zero.
        count: u64,
    },
    /// The groups.
    InfoGroups,
    /// The consumers of a group.
    InfoConsumers(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

impl StreamOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Add { .. } | Self::CreateGroup { .. } | Self::CreateConsumer { .. } => {
                Effect::Adds
            }
            Self::Trim(_)
            | Self::Delete(_)
            | Self::DeleteWith { .. }
            | Self::AcknowledgeAndDelete { .. }
            | Self::SetLast { .. }
            | Self::SetGroup { .. }
            | Self::DestroyGroup(_)
            | Self::DeleteConsumer { .. }
            | Self::Acknowledge { .. }
            | Self::Claim(_)
            | Self::AutoClaim(_) => Effect::Changes,
            Self::Length
            | Self::Range { .. }
            | Self::Last
            | Self::CheckGroup(_)
            | Self::PendingSummary(_)
            | Self::Pending(_)
            | Self::Info
            | Self::InfoFull { .. }
            | Self::InfoGroups
            | Self::InfoConsumers(_) => Effect::Reads,
        }
    }

    /// Upper estimate of the bytes that it adds.
    pub(super) fn added_bytes(&self) -> usize {
        match self {
            Self::Add { fields, .. } => fields.iter().map(|field| field.len()).sum(),
            Self::CreateGroup { group, .. } => group.len(),
            Self::CreateConsumer { consumer, .. } => consumer.len(),
            _ => 0,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add { id, fields, create, trim } => {
                add::add(access, key, *id, fields, *create, trim.as_ref())
            }
            Self::Trim(trim) => add::trim(access, key, trim),
            Self::Length => {
                Ok(Reply::count(access.structure::<Stream>(key)?.map_or(0, Stream::len)))
            }
            Self::Range { from, to, reverse, count } => {
                answer::range(access, key, (*from, *to), *reverse, *count)
            }
            Self::Delete(ids) => delete::delete(access, key, ids),
            Self::DeleteWith { ids, references } => {
                delete::delete_with(access, key, ids, *references)
            }
            Self::AcknowledgeAndDelete { group, ids, references } => {
                delete::acknowledge_and_delete(access, key, group, ids, *references)
            }
            Self::SetLast { last, added, deleted } => {
                add::set_last(access, key, *last, *added, *deleted)
            }
            Self::Last => {
                let stream = access.structure::<Stream>(key)?;
                let last = stream.map_or(StreamId::MIN, |stream| stream.counters().last);
                Ok(answer::id_reply(last))
            }
            Self::CreateGroup { group, start, read, create } => {
                group::create(access, key, group, *start, *read, *create)
            }
            Self::SetGroup { group, start, read } => group::set(access, key, group, *start, *read),
            Self::DestroyGroup(group) => group::destroy(access, key, group),
            Self::CreateConsumer { group, consumer } => {
                group::create_consumer(access, key, group, consumer)
            }
            Self::DeleteConsumer { group, consumer } => {
                group::delete_consumer(access, key, group, consumer)
            }
            Self::CheckGroup(group) => {
                group_of(access, key, group, GroupUse::Read)?;
                Ok(Reply::Done)
            }
            Self::Acknowledge { group, ids } => pending::acknowledge(access, key, group, ids),
            Self::PendingSummary(group) => pending::summary(access, key, group),
            Self::Pending(range) => pending::range(access, key, range),
            Self::Claim(claim) => claim::claim(access, key, claim),
            Self::AutoClaim(claim) => claim::auto_claim(access, key, claim),
            Self::Info => info::stream(access, key),
            Self::InfoFull { count } => info::full(access, key, *count),
            Self::InfoGroups => info::groups(access, key),
            Self::InfoConsumers(group) => info::consumers(access, key, group),
        }
    }
}

/// A group and its stream.
///
/// # Errors
/// [`StreamError::NoGroup`] when one of them does not exist.
fn group_of<'x>(
    access: &'x mut Access<'_>,
    key: &[u8],
    name: &[u8],
    by: GroupUse,
) -> Result<(&'x Stream, &'x Group), OpError> {
    let stream = access.structure::<Stream>(key)?;
    let found = stream.and_then(|stream| Some((stream, stream.group(name)?)));
    found.ok_or_else(|| no_group(key, name, by))
}

fn no_group(key: &[u8], group: &[u8], by: GroupUse) -> OpError {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    StreamError::NoGroup { key: text(key), group: text(group), by }.into()
}

/// Checks that the name of a group or consumer is not too long.
fn name_fits(name: &[u8]) -> Result<(), OpError> {
    if name.len() > STREAM_NAME_BYTES_MAX { Err(StreamError::NameTooLong.into()) } else { Ok(()) }
}

/// Changes a stream, without an event.
fn edit(access: &mut Access<'_>, key: &[u8], edit: StreamEdit<'_>) {
    access.edit(key, &crate::edit::Edit::Structure(StructureEdit::Stream(edit)));
}

fn notify(access: &mut Access<'_>, key: &[u8], name: &str) {
    access.notify(Class::Stream, name, key);
}
