//! What is known of a stream, its groups and their consumers.

use super::answer::{Room, entries, entry_reply, id_reply};
use super::group_of;
use super::pending::number;
use crate::access::Access;
use crate::reply::VALUE_BYTES;
use crate::value::stream::{Consumer, Group};
use crate::value::{Stream, StreamId};
use crate::{GroupUse, OpError, Reply};

/// Approximate bytes of the facts about one group or consumer in an answer.
const FACTS_BYTES: usize = 16 * VALUE_BYTES;

type Facts = Vec<(Reply, Reply)>;

fn fact(name: &str, value: Reply) -> (Reply, Reply) {
    (Reply::bytes(name.as_bytes()), value)
}

fn optional(value: Option<u64>) -> Reply {
    value.map_or(Reply::Nil, number)
}

fn existing<'x>(access: &'x mut Access<'_>, key: &[u8]) -> Result<&'x Stream, OpError> {
    access.structure::<Stream>(key)?.ok_or(OpError::NoSuchKey)
}

fn summary(stream: &Stream) -> Facts {
    let counters = stream.counters();
    // Redis has a radix tree in place of the chunks: its keys, and its nodes with the root.
    let chunks = stream.chunk_count();
    vec![
        fact("length", Reply::count(stream.len())),
        fact("radix-tree-keys", Reply::count(chunks)),
        fact("radix-tree-nodes", Reply::count(chunks + 1)),
        fact("last-generated-id", id_reply(counters.last)),
        fact("max-deleted-entry-id", id_reply(counters.deleted)),
        fact("entries-added", number(counters.added)),
        fact("recorded-first-entry-id", id_reply(stream.first_id())),
    ]
}

pub(super) fn stream(access: &mut Access<'_>, key: &[u8]) -> Result<Reply, OpError> {
    let stream = existing(access, key)?;
    let mut facts = summary(stream);
    facts.push(fact("groups", Reply::count(stream.groups().len())));
    let (least, greatest) = (StreamId::MIN, StreamId::MAX);
    let first = stream.range(least, greatest).next();
    let last = stream.range_reversed(least, greatest).next();
    for (name, entry) in [("first-entry", first), ("last-entry", last)] {
        facts.push(fact(name, entry.map_or(Reply::Nil, |entry| entry_reply(&entry))));
    }
    Ok(Reply::Map(facts))
}

pub(super) fn full(access: &mut Access<'_>, key: &[u8], count: u64) -> Result<Reply, OpError> {
    let stream = existing(access, key)?;
    let most = if count == 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    let mut facts = summary(stream);
    let all = stream.range(StreamId::MIN, StreamId::MAX).take(most);
    facts.push(fact("entries", entries(all)?));
    let mut room = Room::for_all();
    let mut groups = Vec::new();
    for (name, group) in stream.groups() {
        groups.push(Reply::Map(full_group(stream, (name, group), most, &mut room)?));
    }
    facts.push(fact("groups", Reply::List(groups)));
    Ok(Reply::Map(facts))
}

fn full_group(
    stream: &Stream,
    (name, group): (&[u8], &Group),
    most: usize,
    room: &mut Room,
) -> Result<Facts, OpError> {
    room.take_bytes(name.len() + FACTS_BYTES)?;
    let mut pending = Vec::new();
    for (id, entry) in group.pending.iter().take(most) {
        room.take_bytes(entry.consumer.len() + 7 * VALUE_BYTES)?;
        pending.push(Reply::List(vec![
            id_reply(*id),
            Reply::bytes(&entry.consumer),
            number(entry.delivery.time_ms),
            number(entry.delivery.count),
        ]));
    }
    let mut consumers = Vec::new();
    for (name, consumer) in &group.consumers {
        consumers.push(Reply::Map(full_consumer(group, (name, consumer), most, room)?));
    }
    Ok(vec![
        fact("name", Reply::bytes(name)),
        fact("last-delivered-id", id_reply(group.position.last)),
        fact("entries-read", optional(group.position.read)),
        fact("lag", optional(stream.lag(group))),
        fact("pel-count", Reply::count(group.pending.len())),
        fact("pending", Reply::List(pending)),
        fact("consumers", Reply::List(consumers)),
    ])
}

fn full_consumer(
    group: &Group,
    (name, consumer): (&[u8], &Consumer),
    most: usize,
    room: &mut Room,
) -> Result<Facts, OpError> {
    room.take_bytes(name.len() + FACTS_BYTES)?;
    let mut pending = Vec::new();
    for id in consumer.pending.iter().take(most) {
        let Some(entry) = group.pending.get(id) else { continue };
        room.take_bytes(6 * VALUE_BYTES)?;
        let delivery = entry.delivery;
        let facts = vec![id_reply(*id), number(delivery.time_ms), number(delivery.count)];
        pending.push(Reply::List(facts));
    }
    let activity = consumer.activity;
    Ok(vec![
        fact("name", Reply::bytes(name)),
        fact("seen-time", number(activity.seen_ms)),
        fact("active-time", activity.active_ms.map_or(Reply::Integer(-1), number)),
        fact("pel-count", Reply::count(consumer.pending.len())),
        fact("pending", Reply::List(pending)),
    ])
}

pub(super) fn groups(access: &mut Access<'_>, key: &[u8]) -> Result<Reply, OpError> {
    let stream = existing(access, key)?;
    let mut room = Room::for_all();
    let mut groups = Vec::new();
    for (name, group) in stream.groups() {
        room.take_bytes(name.len() + FACTS_BYTES)?;
        groups.push(Reply::Map(vec![
            fact("name", Reply::bytes(name)),
            fact("consumers", Reply::count(group.consumers.len())),
            fact("pending", Reply::count(group.pending.len())),
            fact("last-delivered-id", id_reply(group.position.last)),
            fact("entries-read", optional(group.position.read)),
            fact("lag", optional(stream.lag(group))),
        ]));
    }
    Ok(Reply::List(groups))
}

pub(super) fn consumers(
    access: &mut Access<'_>,
    key: &[u8],
    name: &[u8],
) -> Result<Reply, OpError> {
    let now_ms = access.now_ms;
    existing(access, key)?;
    let (_, group) = group_of(access, key, name, GroupUse::Describe)?;
    let mut room = Room::for_all();
    let mut consumers = Vec::new();
    for (name, consumer) in &group.consumers {
        room.take_bytes(name.len() + FACTS_BYTES)?;
        let activity = consumer.activity;
        let since = |ms: u64| number(now_ms.saturating_sub(ms));
        consumers.push(Reply::Map(vec![
            fact("name", Reply::bytes(name)),
            fact("pending", Reply::count(consumer.pending.len())),
            fact("idle", since(activity.seen_ms)),
            fact("inactive", activity.active_ms.map_or(Reply::Integer(-1), since)),
        ]));
    }
    Ok(Reply::List(consumers))
}
