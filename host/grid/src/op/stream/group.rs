//! Groups, and their consumers.

use serde::{Deserialize, Serialize};

use super::{edit, group_of, name_fits, notify};
use crate::access::Access;
use crate::limits::{STREAM_CONSUMERS_MAX, STREAM_GROUPS_MAX};
use crate::value::stream::{Activity, Counters, Group, Position};
use crate::value::{Stream, StreamEdit, StreamId};
use crate::{GroupUse, OpError, Reply, StreamError};

/// Where a group starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupStart {
    /// After the last entry.
    Last,
    /// After this entry.
    After(StreamId),
}

impl GroupStart {
    fn position(self, counters: Counters, read: Option<u64>) -> Position {
        let last = match self {
            Self::Last => counters.last,
            Self::After(id) => id,
        };
        Position { last, read: read.map(|read| read.min(counters.added)) }
    }
}

pub(super) fn create(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
    start: GroupStart,
    read: Option<u64>,
    create: bool,
) -> Result<Reply, OpError> {
    name_fits(name)?;
    let stream = access.structure::<Stream>(key)?;
    let counters = match stream {
        None if !create => return Err(StreamError::NoStream.into()),
        None => Counters::default(),
        Some(stream) if stream.group(name).is_some() => return Err(StreamError::GroupExists.into()),
        Some(stream) if stream.groups().len() >= STREAM_GROUPS_MAX => {
            return Err(StreamError::TooManyGroups.into());
        }
        Some(stream) => stream.counters(),
    };
    edit(access, key, StreamEdit::Group { name, position: start.position(counters, read) });
    notify(access, key, "xgroup-create");
    Ok(Reply::Done)
}

/// A group of a stream that must exist.
fn described<'x>(
    access: &'x mut Access<'_>,
    key: &[u8],
    name: &[u8],
) -> Result<(&'x Stream, &'x Group), OpError> {
    if access.structure::<Stream>(key)?.is_none() {
        return Err(StreamError::NoStream.into());
    }
    group_of(access, key, name, GroupUse::Describe)
}

pub(super) fn set(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
    start: GroupStart,
    read: Option<u64>,
) -> Result<Reply, OpError> {
    let (stream, _) = described(access, key, name)?;
    let position = start.position(stream.counters(), read);
    edit(access, key, StreamEdit::Group { name, position });
    notify(access, key, "xgroup-setid");
    Ok(Reply::Done)
}

pub(super) fn destroy(access: &mut Access<'_>, key: &[u8], name: &[u8]) -> Result<Reply, OpError> {
    let stream = access.structure::<Stream>(key)?.ok_or(StreamError::NoStream)?;
    let there = stream.group(name).is_some();
    if there {
        edit(access, key, StreamEdit::RemoveGroup(name));
        notify(access, key, "xgroup-destroy");
    }
    Ok(Reply::flag(there))
}

pub(super) fn create_consumer(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
    consumer: &[u8],
) -> Result<Reply, OpError> {
    let now_ms = access.now_ms;
    let (_, group) = described(access, key, name)?;
    if group.consumers.contains_key(consumer) {
        return Ok(Reply::flag(false));
    }
    check_consumer(group, consumer)?;
    let activity = Activity { seen_ms: now_ms, active_ms: None };
    edit(access, key, StreamEdit::Consumer { group: name, name: consumer, activity });
    notify(access, key, "xgroup-createconsumer");
    Ok(Reply::flag(true))
}

/// Checks that a consumer exists, or may be created.
pub(super) fn check_consumer(group: &Group, name: &[u8]) -> Result<(), OpError> {
    if group.consumers.contains_key(name) {
        return Ok(());
    }
    name_fits(name)?;
    if group.consumers.len() >= STREAM_CONSUMERS_MAX {
        return Err(StreamError::TooManyConsumers.into());
    }
    Ok(())
}

/// Notes that a consumer asked for entries now, and whether it got any. Creates it if there is
/// none.
pub(super) fn touch_consumer(
    access: &mut Access<'_>,
    key: &[u8],
    (group, old): (&[u8], Option<Activity>),
    consumer: &[u8],
    is_active: bool,
) {
    let seen_ms = access.now_ms;
    let active_ms =
        if is_active { Some(seen_ms) } else { old.and_then(|activity| activity.active_ms) };
    let activity = Activity { seen_ms, active_ms };
    if old != Some(activity) {
        edit(access, key, StreamEdit::Consumer { group, name: consumer, activity });
    }
    if old.is_none() {
        notify(access, key, "xgroup-createconsumer");
    }
}

pub(super) fn delete_consumer(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
    consumer: &[u8],
) -> Result<Reply, OpError> {
    let (_, group) = described(access, key, name)?;
    let Some(held) = group.consumers.get(consumer) else { return Ok(Reply::Integer(0)) };
    let pending = held.pending.len();
    edit(access, key, StreamEdit::RemoveConsumer { group: name, name: consumer });
    notify(access, key, "xgroup-delconsumer");
    Ok(Reply::count(pending))
}
