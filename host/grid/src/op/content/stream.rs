//! A stream as a whole, with its groups.

use std::borrow::Cow;

use crate::StreamId;
use crate::value::REBUILD_ELEMENTS_MAX;
use crate::value::stream::{Activity, Counters, Delivery, NewEntry, Position, StreamEdit};

/// Maximum total length of the entries in one edit, in bytes. A single entry may be longer.
const PART_BYTES_MAX: usize = 64 * 1024;

/// A stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentStream<'a> {
    /// Its entries, in the order of their IDs.
    pub entries: Vec<ContentEntry<'a>>,
    /// The greatest ID that was assigned.
    pub last: StreamId,
    /// How many entries were ever added.
    pub added: u64,
    /// The greatest ID of an entry that was deleted from within the stream.
    pub deleted: StreamId,
    /// Its groups, each name once.
    pub groups: Vec<ContentGroup<'a>>,
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentEntry<'a> {
    /// Its ID.
    pub id: StreamId,
    /// Names and values, alternating.
    pub fields: Vec<Cow<'a, [u8]>>,
}

/// A group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentGroup<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// The last entry that was delivered.
    pub last: StreamId,
    /// How many entries of all that were ever added come up to that one; `None` if unknown.
    pub read: Option<u64>,
    /// Its consumers, each name once.
    pub consumers: Vec<ContentConsumer<'a>>,
}

/// A consumer of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentConsumer<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// When it last asked for entries, in milliseconds since 1970.
    pub seen_ms: u64,
    /// When it last got one, in milliseconds since 1970.
    pub active_ms: Option<u64>,
    /// The entries that are pending for it, in the order of their IDs, and for no other consumer of
    /// the group.
    pub pending: Vec<ContentPending>,
}

/// An entry that was delivered and not acknowledged. The entry itself may have been deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentPending {
    /// Its ID.
    pub id: StreamId,
    /// When it was delivered last, in milliseconds since 1970.
    pub time_ms: u64,
    /// How many times it was delivered.
    pub count: u64,
}

impl<'a> ContentStream<'a> {
    /// Emits the edits that build it, each of bounded size.
    pub(super) fn rebuild(&self, each: &mut dyn FnMut(StreamEdit<'_>)) {
        let Self { last, added, deleted, .. } = *self;
        each(StreamEdit::Count(Counters { last, added, deleted }));
        let (mut part, mut bytes) = (Vec::new(), 0);
        for ContentEntry { id, fields } in &self.entries {
            bytes += fields.iter().map(|field| field.len()).sum::<usize>();
            part.push(NewEntry { id: *id, fields: fields.iter().map(|field| &**field).collect() });
            if part.len() >= REBUILD_ELEMENTS_MAX || bytes >= PART_BYTES_MAX {
                each(StreamEdit::Insert(std::mem::take(&mut part)));
                bytes = 0;
            }
        }
        if !part.is_empty() {
            each(StreamEdit::Insert(part));
        }
        for group in &self.groups {
            let position = Position { last: group.last, read: group.read };
            each(StreamEdit::Group { name: &group.name, position });
            for consumer in &group.consumers {
                let (group, name) = (&*group.name, &*consumer.name);
                let activity =
                    Activity { seen_ms: consumer.seen_ms, active_ms: consumer.active_ms };
                each(StreamEdit::Consumer { group, name, activity });
                for part in consumer.pending.chunks(REBUILD_ELEMENTS_MAX) {
                    let delivery = |pending: &ContentPending| {
                        let ContentPending { id, time_ms, count } = *pending;
                        (id, Delivery { time_ms, count })
                    };
                    let entries = part.iter().map(delivery).collect();
                    each(StreamEdit::Pend { group, consumer: name, entries });
                }
            }
        }
    }

    /// Adds what an edit builds. `None` if it does not build a stream in the order of
    /// [`ContentStream::rebuild`].
    pub(super) fn add(&mut self, edit: StreamEdit<'a>) -> Option<()> {
        match edit {
            StreamEdit::Count(Counters { last, added, deleted }) => {
                (self.last, self.added, self.deleted) = (last, added, deleted);
            }
            StreamEdit::Insert(part) => self.entries.extend(part.into_iter().map(|entry| {
                let fields = entry.fields.into_iter().map(Cow::Borrowed).collect();
                ContentEntry { id: entry.id, fields }
            })),
            StreamEdit::Group { name, position: Position { last, read } } => {
                let (name, consumers) = (Cow::Borrowed(name), Vec::new());
                self.groups.push(ContentGroup { name, last, read, consumers });
            }
            StreamEdit::Consumer { group, name, activity: Activity { seen_ms, active_ms } } => {
                let group = self.groups.last_mut().filter(|last| *last.name == *group)?;
                let (name, pending) = (Cow::Borrowed(name), Vec::new());
                group.consumers.push(ContentConsumer { name, seen_ms, active_ms, pending });
            }
            StreamEdit::Pend { group, consumer, entries } => {
                let group = self.groups.last_mut().filter(|last| *last.name == *group)?;
                let consumer = group.consumers.last_mut().filter(|last| *last.name == *consumer)?;
                consumer.pending.extend(entries.into_iter().map(|(id, delivery)| {
                    let Delivery { time_ms, count } = delivery;
                    ContentPending { id, time_ms, count }
                }));
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A stream of several parts.
    pub(in crate::op::content) fn sample() -> ContentStream<'static> {
        let text = |text: &'static str| Cow::Borrowed(text.as_bytes());
        let id = |ms| StreamId::new(ms, 0);
        let entry = |ms| ContentEntry { id: id(ms), fields: vec![text("name"), text("value")] };
        let pending = |ms| ContentPending { id: id(ms), time_ms: 7, count: 2 };
        let consumer = |name, active_ms, pending| ContentConsumer {
            name: text(name),
            seen_ms: 9,
            active_ms,
            pending,
        };
        ContentStream {
            entries: (1..=1_000).map(entry).collect(),
            last: id(1_001),
            added: 2_000,
            deleted: id(500),
            groups: vec![
                ContentGroup {
                    name: text("a"),
                    last: id(600),
                    read: Some(3),
                    consumers: vec![
                        consumer("one", Some(8), (1..=600).map(pending).collect()),
                        consumer("other", None, Vec::new()),
                    ],
                },
                ContentGroup { name: text("b"), last: id(0), read: None, consumers: Vec::new() },
            ],
        }
    }
}
