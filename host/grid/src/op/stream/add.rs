//! Adding entries, and removing the oldest ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::id_reply;
use super::delete::{References, remove_references};
use super::{edit, notify};
use crate::access::Access;
use crate::limits::STREAM_ENTRY_BYTES_MAX;
use crate::value::stream::{Counters, NewEntry};
use crate::value::{Stream, StreamEdit, StreamId};
use crate::{OpError, Reply, StreamError};

/// The ID of a new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewId {
    /// The cluster's time, or the ID after the last one if that is greater.
    Now,
    /// This number of milliseconds, and the next number within it.
    At(u64),
    /// This ID.
    Given(StreamId),
}

impl NewId {
    /// The ID after `last`.
    fn after(self, last: StreamId, now_ms: u64) -> Result<StreamId, StreamError> {
        let next = last.next().ok_or(StreamError::Exhausted)?;
        let id = match self {
            Self::Now if now_ms > last.ms => StreamId::new(now_ms, 0),
            Self::Now => next,
            Self::At(ms) if ms == last.ms => next,
            Self::At(ms) => StreamId::new(ms, 0),
            Self::Given(id) => id,
        };
        let is_other_time = matches!(self, Self::At(ms) if id.ms != ms);
        if id <= last || is_other_time { Err(StreamError::IdTooSmall) } else { Ok(id) }
    }
}

/// Which entries are removed because they are old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrimTo {
    /// All but this many.
    Length(u64),
    /// Those with smaller IDs.
    Id(StreamId),
}

/// How the oldest entries are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// Which of them.
    pub to: TrimTo,
    /// Whether more may be left, if that saves work.
    pub approximate: bool,
    /// Maximum number of entries to remove; no limit for zero.
    pub limit: u64,
    /// What happens to entries that groups have not acknowledged.
    pub references: References,
}

impl TrimTo {
    /// Whether entry `id` is old enough, while `left` entries are left.
    fn removes(self, id: StreamId, left: usize) -> bool {
        match self {
            Self::Length(length) => left as u64 > length,
            Self::Id(least) => id < least,
        }
    }

    /// Whether a whole chunk is old enough.
    fn removes_chunk(self, (count, last): (usize, StreamId), left: usize) -> bool {
        match self {
            Self::Length(length) => left.saturating_sub(count) as u64 >= length && left > 0,
            Self::Id(least) => last < least,
        }
    }
}

impl Trim {
    /// The entries to remove, in order. `approximate` trimming removes whole chunks only.
    fn victims(&self, stream: &Stream) -> Vec<StreamId> {
        let end = if self.approximate { self.last_of_chunks(stream) } else { Some(StreamId::MAX) };
        let Some(end) = end else { return Vec::new() };
        let most = match self.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let (mut left, mut ids) = (stream.len(), Vec::new());
        for entry in stream.range(StreamId::MIN, end) {
            if ids.len() >= most || !self.to.removes(entry.id, left) {
                break;
            }
            if self.references == References::Acknowledged && stream.is_referenced(entry.id) {
                continue;
            }
            ids.push(entry.id);
            left -= 1;
        }
        ids
    }

    /// The last entry of the chunks that are removed as a whole.
    fn last_of_chunks(&self, stream: &Stream) -> Option<StreamId> {
        let (mut left, mut removed, mut end) = (stream.len(), 0, None);
        for chunk in stream.chunks() {
            let is_beyond = self.limit > 0 && (removed + chunk.0) as u64 > self.limit;
            if is_beyond || !self.to.removes_chunk(chunk, left) {
                break;
            }
            left -= chunk.0;
            removed += chunk.0;
            end = Some(chunk.1);
        }
        end
    }
}

pub(super) fn add(
    access: &mut Access<'_>,
    key: &[u8],
    id: NewId,
    fields: &[&[u8]],
    create: bool,
    trim: Option<&Trim>,
) -> Result<Reply, OpError> {
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(OpError::Malformed);
    }
    if fields.iter().map(|field| field.len()).sum::<usize>() > STREAM_ENTRY_BYTES_MAX {
        return Err(OpError::TooLong);
    }
    let now_ms = access.now_ms;
    let stream = access.structure::<Stream>(key)?;
    if stream.is_none() && !create {
        return Ok(Reply::Nil);
    }
    let last = stream.map_or(StreamId::MIN, |stream| stream.counters().last);
    let id = id.after(last, now_ms)?;
    edit(access, key, StreamEdit::Add(NewEntry { id, fields: fields.to_vec() }));
    notify(access, key, "xadd");
    if let Some(trim) = trim {
        remove_old(access, key, trim)?;
    }
    Ok(id_reply(id))
}

pub(super) fn trim(access: &mut Access<'_>, key: &[u8], trim: &Trim) -> Result<Reply, OpError> {
    Ok(Reply::count(remove_old(access, key, trim)?))
}

/// Removes old entries; returns how many.
fn remove_old(access: &mut Access<'_>, key: &[u8], trim: &Trim) -> Result<usize, OpError> {
    let Some(stream) = access.structure::<Stream>(key)? else { return Ok(0) };
    let ids = trim.victims(stream);
    let Some(last) = ids.last().copied() else { return Ok(0) };
    let are_first = trim.references != References::Acknowledged
        || stream.range(StreamId::MIN, last).take(ids.len() + 1).count() == ids.len();
    if trim.references == References::Removed {
        remove_references(access, key, &ids)?;
    }
    let count = ids.len();
    // Between entries that are kept, a removed one counts as deleted.
    let removal = if are_first { StreamEdit::Trim(last) } else { StreamEdit::Delete(ids) };
    edit(access, key, removal);
    notify(access, key, "xtrim");
    Ok(count)
}

pub(super) fn set_last(
    access: &mut Access<'_>,
    key: &[u8],
    last: StreamId,
    added: Option<u64>,
    deleted: Option<StreamId>,
) -> Result<Reply, OpError> {
    let stream = access.structure::<Stream>(key)?.ok_or(OpError::NoSuchKey)?;
    let old = stream.counters();
    if last < old.deleted {
        return Err(StreamError::BelowDeleted.into());
    }
    if stream.last_entry().is_some_and(|top| last < top) {
        return Err(StreamError::BelowLastEntry.into());
    }
    if added.is_some_and(|added| added < stream.len() as u64) {
        return Err(StreamError::AddedBelowLength.into());
    }
    let counters = Counters {
        last,
        added: added.unwrap_or(old.added),
        deleted: deleted.filter(|id| *id != StreamId::MIN).unwrap_or(old.deleted),
    };
    edit(access, key, StreamEdit::Count(counters));
    notify(access, key, "xsetid");
    Ok(Reply::Done)
}

/// The pending entries among these, by group.
pub(super) fn pending_among(stream: &Stream, ids: &[StreamId]) -> BTreeMap<Vec<u8>, Vec<StreamId>> {
    let mut found = BTreeMap::new();
    for (name, group) in stream.groups() {
        let is_pending = |id: &&StreamId| group.pending.contains_key(id);
        let pending: Vec<StreamId> = ids.iter().filter(is_pending).copied().collect();
        if !pending.is_empty() {
            found.insert(name.to_vec(), pending);
        }
    }
    found
}
