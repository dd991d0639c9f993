//! Entries that were delivered and not acknowledged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::answer::{Room, id_reply};
use super::{edit, group_of};
use crate::access::Access;
use crate::reply::VALUE_BYTES;
use crate::value::{Stream, StreamEdit, StreamId};
use crate::{GroupUse, OpError, Reply};

/// Which pending entries are returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRange<'a> {
    /// The group.
    #[serde(borrow, with = "serde_bytes")]
    pub group: &'a [u8],
    /// The first ID.
    pub from: StreamId,
    /// The last ID, inclusive.
    pub to: StreamId,
    /// How many at most.
    pub count: u64,
    /// Only those of this consumer.
    #[serde(borrow, with = "serde_bytes")]
    pub consumer: Option<&'a [u8]>,
    /// Only those that were delivered at least this number of milliseconds ago.
    pub idle_ms: u64,
}

pub(super) fn acknowledge(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
    ids: &[StreamId],
) -> Result<Reply, OpError> {
    let stream = access.structure::<Stream>(key)?;
    let Some(group) = stream.and_then(|stream| stream.group(name)) else {
        return Ok(Reply::Integer(0));
    };
    let named: BTreeSet<StreamId> = ids.iter().copied().collect();
    let ids: Vec<StreamId> =
        named.into_iter().filter(|id| group.pending.contains_key(id)).collect();
    let count = ids.len();
    if count > 0 {
        edit(access, key, StreamEdit::Unpend { group: name, ids });
    }
    Ok(Reply::count(count))
}

pub(super) fn summary(access: &mut Access<'_>, key: &[u8], name: &[u8]) -> Result<Reply, OpError> {
    let (_, group) = group_of(access, key, name, GroupUse::Pending)?;
    let mut ids = group.pending.keys();
    let Some(first) = ids.next() else {
        return Ok(Reply::List(vec![Reply::Integer(0), Reply::Nil, Reply::Nil, Reply::NilList]));
    };
    let last = ids.next_back().unwrap_or(first);
    let mut room = Room::for_all();
    let mut consumers = Vec::new();
    for (name, consumer) in &group.consumers {
        if !consumer.pending.is_empty() {
            room.take_bytes(name.len() + 3 * VALUE_BYTES)?;
            // As in Redis, this number is a string.
            let count = Reply::Bytes(consumer.pending.len().to_string().into());
            consumers.push(Reply::List(vec![Reply::bytes(name), count]));
        }
    }
    Ok(Reply::List(vec![
        Reply::count(group.pending.len()),
        id_reply(*first),
        id_reply(*last),
        Reply::List(consumers),
    ]))
}

pub(super) fn range(
    access: &mut Access<'_>,
    key: &[u8],
    range: &PendingRange<'_>,
) -> Result<Reply, OpError> {
    let now_ms = access.now_ms;
    let (_, group) = group_of(access, key, range.group, GroupUse::Pending)?;
    let most = usize::try_from(range.count).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    if range.from > range.to || most == 0 {
        return Ok(Reply::List(found));
    }
    let ids: Box<dyn Iterator<Item = &StreamId>> = match range.consumer {
        None => Box::new(group.pending.range(range.from..=range.to).map(|(id, _)| id)),
        Some(name) => match group.consumers.get(name) {
            None => return Ok(Reply::List(found)),
            Some(consumer) => Box::new(consumer.pending.range(range.from..=range.to)),
        },
    };
    let mut room = Room::for_all();
    for id in ids {
        let Some(pending) = group.pending.get(id) else { continue };
        let idle_ms = now_ms.saturating_sub(pending.delivery.time_ms);
        if idle_ms < range.idle_ms {
            continue;
        }
        room.take_bytes(pending.consumer.len() + 7 * VALUE_BYTES)?;
        found.push(Reply::List(vec![
            id_reply(*id),
            Reply::bytes(&pending.consumer),
            number(idle_ms),
            number(pending.delivery.count),
        ]));
        if found.len() >= most {
            break;
        }
    }
    Ok(Reply::List(found))
}

/// A number as a reply.
pub(super) fn number(number: u64) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
