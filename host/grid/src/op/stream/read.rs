//! Reading new entries, with or without a group of consumers.

use serde::{Deserialize, Serialize};

use super::answer::{Room, entry_reply, id_reply};
use super::group::{check_consumer, touch_consumer};
use super::{edit, group_of, name_fits};
use crate::access::Access;
use crate::entry::Entry;
use crate::value::stream::{Activity, Delivery, Group};
use crate::value::{Stream, StreamEdit, StreamId, Structure};
use crate::{GroupUse, OpError, Reply};

/// For a consumer that finds nothing, the time of its attempt is noted if the last such time is
/// this number of milliseconds ago.
const SEEN_STEP_MS: u64 = 10;

/// Which entries are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFrom {
    /// Those after this one. As a consumer: those that were delivered to it and are pending.
    After(StreamId),
    /// Those that will be added. A client that waits must give the ID instead.
    End,
    /// The last entry.
    LastEntry,
    /// As a consumer: those that were delivered to no consumer of the group.
    New,
}

/// A stream to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRead<'a> {
    /// Its key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// Which entries.
    pub from: ReadFrom,
}

fn most(count: u64) -> usize {
    if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) }
}

fn by_key(found: Vec<(Reply, Reply)>) -> Reply {
    if found.is_empty() { Reply::NilList } else { Reply::ByKey(found) }
}

/// Reads streams, at most `count` entries of each, all for zero. A nil list if there are none.
pub(in crate::op) fn read_streams(
    access: &mut Access<'_>,
    streams: &[StreamRead<'_>],
    count: u64,
) -> Result<Reply, OpError> {
    // As in Redis, a key of another type prevents all.
    for read in streams {
        access.structure::<Stream>(read.key)?;
    }
    let mut found = Vec::new();
    let mut room = Room::for_reader();
    for StreamRead { key, from } in streams {
        let Some(stream) = access.structure::<Stream>(key)? else { continue };
        let first = match from {
            ReadFrom::After(id) => id.next(),
            ReadFrom::LastEntry => stream.last_entry(),
            ReadFrom::End => None,
            ReadFrom::New => return Err(OpError::Malformed),
        };
        let Some(first) = first else { continue };
        let entries = stream.range(first, StreamId::MAX).take(most(count));
        let entries: Vec<Reply> =
            entries.take_while(|entry| room.has(entry)).map(|entry| entry_reply(&entry)).collect();
        if !entries.is_empty() {
            found.push((Reply::bytes(key), Reply::List(entries)));
        }
    }
    Ok(by_key(found))
}

/// Reads streams as a consumer of a group, at most `count` entries of each, all for zero. They are
/// pending afterwards, if they have to be acknowledged. A nil list if there are no new entries.
pub(in crate::op) fn read_as_consumer(
    access: &mut Access<'_>,
    name: &[u8],
    consumer: &[u8],
    streams: &[StreamRead<'_>],
    count: u64,
    acknowledged: bool,
) -> Result<Reply, OpError> {
    name_fits(name)?;
    // An error in one of the streams prevents all.
    for read in streams {
        let (_, group) = group_of(access, read.key, name, GroupUse::Read)?;
        check_consumer(group, consumer)?;
        if !matches!(read.from, ReadFrom::New | ReadFrom::After(_)) {
            return Err(OpError::Malformed);
        }
    }
    let mut found = Vec::new();
    let mut reader = Reader { name, consumer, most: most(count), acknowledged };
    let mut room = Room::for_reader();
    for StreamRead { key, from } in streams {
        let entries = match from {
            ReadFrom::After(id) => Some(reader.history(access, key, *id, &mut room)?),
            _ => reader.new_entries(access, key, &mut room)?,
        };
        if let Some(entries) = entries {
            found.push((Reply::bytes(key), Reply::List(entries)));
        }
    }
    Ok(by_key(found))
}

/// A consumer that reads.
struct Reader<'a> {
    name: &'a [u8],
    consumer: &'a [u8],
    most: usize,
    acknowledged: bool,
}

impl Reader<'_> {
    fn activity(&self, group: &Group) -> Option<Activity> {
        group.consumers.get(self.consumer).map(|consumer| consumer.activity)
    }

    /// Delivers entries that no consumer of the group has got. `None` if there are none.
    fn new_entries(
        &mut self,
        access: &mut Access<'_>,
        key: &[u8],
        room: &mut Room,
    ) -> Result<Option<Vec<Reply>>, OpError> {
        let now_ms = access.now_ms;
        let (stream, group) = group_of(access, key, self.name, GroupUse::Read)?;
        let old = self.activity(group);
        let (mut replies, mut pend) = (Vec::new(), Vec::new());
        let mut position = group.position;
        let first = position.last.next().unwrap_or(StreamId::MAX);
        for entry in stream.range(first, StreamId::MAX) {
            if replies.len() >= self.most || entry.id <= position.last || !room.has(&entry) {
                break;
            }
            replies.push(entry_reply(&entry));
            position = stream.position_after(position, entry.id);
            pend.push((entry.id, Delivery { time_ms: now_ms, count: 1 }));
        }
        if replies.is_empty() {
            let seen_ms = old.map(|activity| activity.seen_ms);
            if seen_ms.is_none_or(|seen_ms| now_ms >= seen_ms.saturating_add(SEEN_STEP_MS)) {
                touch_consumer(access, key, (self.name, old), self.consumer, false);
            }
            return Ok(None);
        }
        touch_consumer(access, key, (self.name, old), self.consumer, self.acknowledged);
        if self.acknowledged {
            let (group, consumer) = (self.name, self.consumer);
            edit(access, key, StreamEdit::Pend { group, consumer, entries: pend });
        }
        edit(access, key, StreamEdit::Group { name: self.name, position });
        Ok(Some(replies))
    }

    /// Delivers entries again that are pending for the consumer.
    fn history(
        &mut self,
        access: &mut Access<'_>,
        key: &[u8],
        after: StreamId,
        room: &mut Room,
    ) -> Result<Vec<Reply>, OpError> {
        let now_ms = access.now_ms;
        let (stream, group) = group_of(access, key, self.name, GroupUse::Read)?;
        let old = self.activity(group);
        let (mut replies, mut pend) = (Vec::new(), Vec::new());
        if let Some(held) = group.consumers.get(self.consumer)
            && let Some(first) = after.next()
        {
            for id in held.pending.range(first..) {
                if replies.len() >= self.most {
                    break;
                }
                let Some(entry) = stream.get(*id) else {
                    replies.push(Reply::List(vec![id_reply(*id), Reply::NilList]));
                    continue;
                };
                if !room.has(&entry) {
                    break;
                }
                replies.push(entry_reply(&entry));
                if let Some(pending) = group.pending.get(id) {
                    let count = pending.delivery.count.saturating_add(1);
                    pend.push((*id, Delivery { time_ms: now_ms, count }));
                }
            }
        }
        touch_consumer(access, key, (self.name, old), self.consumer, false);
        if !pend.is_empty() {
            let (group, consumer) = (self.name, self.consumer);
            edit(access, key, StreamEdit::Pend { group, consumer, entries: pend });
        }
        Ok(replies)
    }
}

/// Whether a consumer of the group that waits for new entries of one of these streams would get an
/// answer: an entry, or an error since there is no such group.
pub(in crate::op) fn group_is_ready(access: &mut Access<'_>, name: &[u8], keys: &[&[u8]]) -> bool {
    keys.iter().any(|key| match access.peek(key) {
        Some(Entry::Structured(entry)) => match &entry.value {
            Structure::Stream(stream) => stream.group(name).is_none_or(|group| {
                stream.last_entry().is_some_and(|last| last > group.position.last)
            }),
            _ => true,
        },
        _ => true,
    })
}

/// Whether a consumer that reads these streams would get no answer.
pub(in crate::op) fn has_nothing_to_read(
    access: &mut Access<'_>,
    name: &[u8],
    streams: &[StreamRead<'_>],
) -> bool {
    let keys: Vec<&[u8]> = streams.iter().map(|read| read.key).collect();
    streams.iter().all(|read| read.from == ReadFrom::New) && !group_is_ready(access, name, &keys)
}
