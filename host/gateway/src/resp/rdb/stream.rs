//! Streams: nodes of entries, counters, and groups with their consumers.
//!
//! A node is a listpack. Its head has the number of entries, that of deleted ones, and the names of
//! the fields of its first entry, which most other entries share:
//! ```text
//! count | deleted | names | name … | 0
//! flags | ms | seq | { value … | names | { name | value } … } | elements of this entry
//! ```
//! IDs are relative to that of the node.

use std::borrow::Cow;
use std::collections::BTreeMap;

use convoke_grid::op::{
    ContentConsumer, ContentEntry, ContentGroup, ContentPending, ContentStream, integer,
};
use convoke_grid::{
    STREAM_CONSUMERS_MAX, STREAM_ENTRY_BYTES_MAX, STREAM_GROUPS_MAX, STREAM_NAME_BYTES_MAX,
    StreamId,
};

use super::form;
use super::load::{Element, Packing, are_distinct, packed};
use super::packed::ListpackWriter;
use super::read::Reader;
use super::save::Writer;

/// Flag of an entry that was deleted.
const DELETED: i64 = 1;
/// Flag of an entry whose fields have the names in the head of the node.
const SAME_NAMES: i64 = 2;
/// Elements of an entry beside names and values: flags, and the two numbers of its ID.
const ENTRY_ELEMENTS: i64 = 3;
/// Stands for an unknown number of entries that a group has read.
const UNKNOWN: u64 = u64::MAX;
/// Stands for a time that never was.
const NEVER_MS: i64 = -1;
/// Entries of one node that is written, at most.
const NODE_ENTRIES_MAX: usize = 100;
/// Length at which a node is complete, in bytes.
const NODE_BYTES: usize = 4 * 1024;

/// Reads a stream in one of its three forms.
pub(super) fn load<'a>(reader: &mut Reader<'a>, form: u8) -> Option<ContentStream<'a>> {
    let mut entries = Vec::new();
    let mut last = None;
    for _ in 0..reader.elements_or_none()? {
        let base = id_of(&reader.raw_string()?)?;
        let node = packed(reader, Packing::Listpack)?;
        entries_of(reader, base, node, &mut last, &mut entries)?;
    }
    let count = reader.number()?;
    if count != entries.len() as u64 {
        return None;
    }
    let (last_entry, last) = (last.unwrap_or_default(), numbers(reader)?);
    let (deleted, added) = if form == form::STREAM {
        (StreamId::MIN, count)
    } else {
        // The first ID follows from the entries.
        numbers(reader)?;
        (numbers(reader)?, reader.number()?)
    };
    if last < last_entry || added < count {
        return None;
    }
    let mut stream = ContentStream { entries, last, added, deleted, groups: Vec::new() };
    for _ in 0..reader.elements_or_none().filter(|count| *count <= STREAM_GROUPS_MAX)? {
        let group = group(reader, form, &stream)?;
        stream.groups.push(group);
    }
    are_distinct(stream.groups.iter().map(|group| &group.name)).then_some(stream)
}

/// An ID as 16 bytes, big-endian.
fn id_of(bytes: &[u8]) -> Option<StreamId> {
    let (ms, seq) = bytes.split_first_chunk()?;
    Some(StreamId::new(u64::from_be_bytes(*ms), u64::from_be_bytes(seq.try_into().ok()?)))
}

fn bytes_of(id: StreamId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.ms.to_be_bytes());
    bytes[8..].copy_from_slice(&id.seq.to_be_bytes());
    bytes
}

/// An ID as two numbers.
fn numbers(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId::new(reader.number()?, reader.number()?))
}

/// A time in milliseconds; `None` within if it never was.
fn time_ms(reader: &mut Reader<'_>) -> Option<Option<u64>> {
    match i64::from_le_bytes(reader.array()?) {
        NEVER_MS => Some(None),
        ms => u64::try_from(ms).ok().map(Some),
    }
}

/// The name of a group or a consumer.
fn name<'a>(reader: &mut Reader<'a>) -> Option<Element<'a>> {
    reader.string().filter(|name| name.len() <= STREAM_NAME_BYTES_MAX)
}

/// Appends the entries of a node. `last` is the ID of the one before, deleted or not.
fn entries_of<'a>(
    reader: &mut Reader<'a>,
    base: StreamId,
    node: Vec<Element<'a>>,
    last: &mut Option<StreamId>,
    entries: &mut Vec<ContentEntry<'a>>,
) -> Option<()> {
    let mut elements = node.into_iter();
    let number = |elements: &mut std::vec::IntoIter<Element<'a>>| integer(&elements.next()?);
    let (count, deleted) = (number(&mut elements)?, number(&mut elements)?);
    let names = usize::try_from(number(&mut elements)?).ok()?;
    let names: Vec<_> = elements.by_ref().take(names).collect();
    if number(&mut elements)? != 0 {
        return None;
    }
    let (mut found, mut found_deleted) = (0, 0);
    while elements.len() > 0 {
        let flags = number(&mut elements)?;
        if flags & !(DELETED | SAME_NAMES) != 0 {
            return None;
        }
        let mut relative =
            |base: u64| Some(base.wrapping_add(number(&mut elements)?.cast_unsigned()));
        let id = StreamId::new(relative(base.ms)?, relative(base.seq)?);
        if id < base || id == StreamId::MIN || last.is_some_and(|last| last >= id) {
            return None;
        }
        *last = Some(id);
        let mut fields: Vec<Element<'a>> = Vec::new();
        let mut length = ENTRY_ELEMENTS;
        if flags & SAME_NAMES != 0 {
            for name in &names {
                reader.count(name.len())?;
                fields.extend([name.clone(), elements.next()?]);
            }
            length = length.checked_add(i64::try_from(names.len()).ok()?)?;
        } else {
            let count = usize::try_from(number(&mut elements)?).ok()?.checked_mul(2)?;
            fields.extend(elements.by_ref().take(count));
            if fields.len() != count {
                return None;
            }
            length = length.checked_add(i64::try_from(count).ok()?)?.checked_add(1)?;
        }
        if fields.is_empty() || number(&mut elements)? != length {
            return None;
        }
        if fields.iter().map(|field| field.len()).sum::<usize>() > STREAM_ENTRY_BYTES_MAX {
            return None;
        }
        if flags & DELETED == 0 {
            found += 1;
            entries.push(ContentEntry { id, fields });
        } else {
            found_deleted += 1;
        }
    }
    (found == count && found_deleted == deleted).then_some(())
}

/// A group with its consumers.
fn group<'a>(
    reader: &mut Reader<'a>,
    form: u8,
    stream: &ContentStream<'_>,
) -> Option<ContentGroup<'a>> {
    let (name, last) = (name(reader)?, numbers(reader)?);
    let read = if form == form::STREAM {
        read_up_to(stream, last)
    } else {
        Some(reader.number()?).filter(|read| *read != UNKNOWN)
    };
    let mut pending = BTreeMap::new();
    for _ in 0..reader.elements_or_none()? {
        reader.count(0)?;
        let id = id_of(&reader.array::<16>()?)?;
        let (time_ms, count) = (time_ms(reader)?.unwrap_or(0), reader.number()?);
        if pending.insert(id, ContentPending { id, time_ms, count }).is_some() {
            return None;
        }
    }
    let mut consumers = Vec::new();
    for _ in 0..reader.elements_or_none().filter(|count| *count <= STREAM_CONSUMERS_MAX)? {
        consumers.push(consumer(reader, form, &mut pending)?);
    }
    let is_sound = are_distinct(consumers.iter().map(|consumer| &consumer.name));
    // Each pending entry is that of a consumer.
    (is_sound && pending.is_empty()).then_some(ContentGroup { name, last, read, consumers })
}

fn consumer<'a>(
    reader: &mut Reader<'a>,
    form: u8,
    pending: &mut BTreeMap<StreamId, ContentPending>,
) -> Option<ContentConsumer<'a>> {
    let (name, seen_ms) = (name(reader)?, time_ms(reader)?);
    // Without it, the best estimate is when the consumer last asked, as in Redis.
    let active_ms = if form == form::STREAM_ACTIVE { time_ms(reader)? } else { seen_ms };
    let mut own = Vec::new();
    for _ in 0..reader.elements_or_none()? {
        // Two consumers cannot have the same entry.
        own.push(pending.remove(&id_of(&reader.array::<16>()?)?)?);
    }
    own.sort_unstable_by_key(|pending| pending.id);
    Some(ContentConsumer { name, seen_ms: seen_ms.unwrap_or(0), active_ms, pending: own })
}

/// How many entries come up to an ID, as Redis estimates it for a stream without counters.
fn read_up_to(stream: &ContentStream<'_>, id: StreamId) -> Option<u64> {
    match stream.entries.first() {
        None => Some(0),
        Some(_) if id == stream.last => Some(stream.added),
        Some(_) if id > stream.last => None,
        Some(first) if id < first.id => Some(0),
        Some(first) => (id == first.id).then_some(1),
    }
}

/// Writes a stream in the form that Redis 7.0 and later read.
pub(super) fn save(writer: &mut Writer, stream: &ContentStream<'_>) {
    writer.0.push(form::STREAM_COUNTED);
    let nodes = nodes(&stream.entries);
    writer.length(nodes.len() as u64);
    for (first, node) in nodes {
        writer.raw(&bytes_of(first));
        writer.raw(&node);
    }
    writer.length(stream.entries.len() as u64);
    let first = stream.entries.first().map_or(StreamId::MIN, |entry| entry.id);
    for id in [stream.last, first, stream.deleted] {
        writer.length(id.ms);
        writer.length(id.seq);
    }
    writer.length(stream.added);
    writer.length(stream.groups.len() as u64);
    for group in &stream.groups {
        writer.string(&group.name);
        writer.length(group.last.ms);
        writer.length(group.last.seq);
        writer.length(group.read.unwrap_or(UNKNOWN));
        let mut pending: Vec<_> =
            group.consumers.iter().flat_map(|consumer| &consumer.pending).collect();
        pending.sort_unstable_by_key(|pending| pending.id);
        writer.length(pending.len() as u64);
        for ContentPending { id, time_ms, count } in pending {
            writer.0.extend_from_slice(&bytes_of(*id));
            writer.0.extend_from_slice(&time_ms.to_le_bytes());
            writer.length(*count);
        }
        writer.length(group.consumers.len() as u64);
        for consumer in &group.consumers {
            writer.string(&consumer.name);
            writer.0.extend_from_slice(&consumer.seen_ms.to_le_bytes());
            writer.length(consumer.pending.len() as u64);
            for pending in &consumer.pending {
                writer.0.extend_from_slice(&bytes_of(pending.id));
            }
        }
    }
}

/// The nodes, each with the ID that its entries are relative to.
fn nodes(entries: &[ContentEntry<'_>]) -> Vec<(StreamId, Vec<u8>)> {
    let mut nodes = Vec::new();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let bytes = |entry: &ContentEntry<'_>| {
            entry.fields.iter().map(|field| field.len() + 2).sum::<usize>() + 8
        };
        let mut room = NODE_BYTES.saturating_sub(bytes(first));
        let fits = |entry: &&ContentEntry<'_>| match room.checked_sub(bytes(entry)) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        let count = 1 + rest[1..].iter().take(NODE_ENTRIES_MAX - 1).take_while(fits).count();
        let (node, behind) = rest.split_at(count);
        nodes.push((first.id, node_of(first, node)));
        rest = behind;
    }
    nodes
}

fn names<'e>(entry: &'e ContentEntry<'_>) -> impl ExactSizeIterator<Item = &'e Cow<'e, [u8]>> {
    entry.fields.iter().step_by(2)
}

fn node_of(first: &ContentEntry<'_>, entries: &[ContentEntry<'_>]) -> Vec<u8> {
    let mut node = ListpackWriter::new();
    let number = |node: &mut ListpackWriter, number: i64| node.push(number.to_string().as_bytes());
    number(&mut node, entries.len() as i64);
    number(&mut node, 0);
    number(&mut node, names(first).len() as i64);
    names(first).for_each(|name| node.push(name));
    number(&mut node, 0);
    for entry in entries {
        let is_same = names(entry).eq(names(first));
        number(&mut node, if is_same { SAME_NAMES } else { 0 });
        number(&mut node, entry.id.ms.wrapping_sub(first.id.ms).cast_signed());
        number(&mut node, entry.id.seq.wrapping_sub(first.id.seq).cast_signed());
        let mut length = ENTRY_ELEMENTS;
        if is_same {
            entry.fields.iter().skip(1).step_by(2).for_each(|value| node.push(value));
            length += names(entry).len() as i64;
        } else {
            number(&mut node, names(entry).len() as i64);
            entry.fields.iter().for_each(|field| node.push(field));
            length += 1 + entry.fields.len() as i64;
        }
        number(&mut node, length);
    }
    node.finish()
}
