//! Removing entries by their IDs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::add::pending_among;
use super::{edit, notify};
use crate::access::Access;
use crate::value::{Stream, StreamEdit, StreamId};
use crate::{OpError, Reply};

/// What happens when an entry is removed that groups have not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum References {
    /// It is removed, and stays pending.
    #[default]
    Kept,
    /// It is removed, and is not pending any more.
    Removed,
    /// It is not removed before all groups have read and acknowledged it.
    Acknowledged,
}

/// The entry was not found.
const MISSING: i64 = -1;
/// The entry was removed.
const REMOVED: i64 = 1;
/// The entry was kept, because groups still refer to it.
const KEPT: i64 = 2;

/// These IDs, each once, in their order.
fn distinct(ids: &[StreamId]) -> Vec<StreamId> {
    ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Entries are not pending in any group any more.
pub(super) fn remove_references(
    access: &mut Access<'_>,
    key: &[u8],
    ids: &[StreamId],
) -> Result<(), OpError> {
    let Some(stream) = access.structure::<Stream>(key)? else { return Ok(()) };
    for (group, ids) in pending_among(stream, ids) {
        edit(access, key, StreamEdit::Unpend { group: &group, ids });
    }
    Ok(())
}

pub(super) fn delete(
    access: &mut Access<'_>,
    key: &[u8],
    ids: &[StreamId],
) -> Result<Reply, OpError> {
    let Some(stream) = access.structure::<Stream>(key)? else { return Ok(Reply::Integer(0)) };
    let mut there = distinct(ids);
    there.retain(|id| stream.get(*id).is_some());
    Ok(Reply::count(remove(access, key, there)))
}

/// Removes entries that exist; returns how many.
fn remove(access: &mut Access<'_>, key: &[u8], ids: Vec<StreamId>) -> usize {
    let count = ids.len();
    if count > 0 {
        edit(access, key, StreamEdit::Delete(ids));
        notify(access, key, "xdel");
    }
    count
}

fn numbers(outcomes: impl Iterator<Item = i64>) -> Reply {
    Reply::List(outcomes.map(Reply::Integer).collect())
}

pub(super) fn delete_with(
    access: &mut Access<'_>,
    key: &[u8],
    ids: &[StreamId],
    references: References,
) -> Result<Reply, OpError> {
    let Some(stream) = access.structure::<Stream>(key)? else {
        return Ok(numbers(ids.iter().map(|_| MISSING)));
    };
    let mut removed = BTreeSet::new();
    let outcome = |id: &StreamId| {
        if stream.get(*id).is_none() {
            return MISSING;
        }
        if references == References::Acknowledged && stream.is_referenced(*id) {
            return KEPT;
        }
        // Named twice, it is missing the second time.
        if removed.insert(*id) { REMOVED } else { MISSING }
    };
    let outcomes: Vec<i64> = ids.iter().map(outcome).collect();
    if references == References::Removed {
        // Also of entries that do not exist any more.
        remove_references(access, key, &distinct(ids))?;
    }
    remove(access, key, removed.into_iter().collect());
    Ok(numbers(outcomes.into_iter()))
}

pub(super) fn acknowledge_and_delete(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
    ids: &[StreamId],
    references: References,
) -> Result<Reply, OpError> {
    let missing = || numbers(ids.iter().map(|_| MISSING));
    let Some(stream) = access.structure::<Stream>(key)? else { return Ok(missing()) };
    let Some(group) = stream.group(name) else { return Ok(missing()) };
    let mut pending = distinct(ids);
    pending.retain(|id| group.pending.contains_key(id));
    if pending.is_empty() {
        return Ok(missing());
    }
    edit(access, key, StreamEdit::Unpend { group: name, ids: pending.clone() });
    if references == References::Removed {
        remove_references(access, key, &pending)?;
    }
    let Some(stream) = access.structure::<Stream>(key)? else { return Ok(missing()) };
    let is_kept =
        |id: &StreamId| references == References::Acknowledged && stream.is_referenced(*id);
    let (kept, removed): (Vec<StreamId>, Vec<StreamId>) = pending.into_iter().partition(is_kept);
    let there = removed.iter().copied().filter(|id| stream.get(*id).is_some()).collect();
    remove(access, key, there);
    let mut left: BTreeSet<StreamId> = kept.iter().chain(&removed).copied().collect();
    let outcome = |id: &StreamId| match left.remove(id) {
        // Named twice, it is not pending the second time.
        false => MISSING,
        true if kept.binary_search(id).is_ok() => KEPT,
        true => REMOVED,
    };
    Ok(numbers(ids.iter().map(outcome).collect::<Vec<_>>().into_iter()))
}
