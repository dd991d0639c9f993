//! Edits that undo a change, and edits that rebuild a stream.

use std::collections::{BTreeMap, BTreeSet};

use super::Stream;
use super::chunk::EntryRef;
use super::edit::{NewEntry, StreamEdit};
use super::group::{Consumer, Delivery, Group};
use super::id::StreamId;
use crate::value::REBUILD_ELEMENTS_MAX;

/// Maximum total length of the entries in one edit when a stream is sent, in bytes. A single entry
/// may be longer.
const REBUILD_BYTES_MAX: usize = 64 * 1024;

fn to_insert(entry: EntryRef<'_>) -> NewEntry<'_> {
    NewEntry { id: entry.id, fields: entry.fields().collect() }
}

/// Emits edits of bounded size that restore entries.
fn insert<'s>(entries: impl Iterator<Item = EntryRef<'s>>, each: &mut dyn FnMut(StreamEdit<'_>)) {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += entry.bytes();
        all.push(to_insert(entry));
        if all.len() >= REBUILD_ELEMENTS_MAX || bytes >= REBUILD_BYTES_MAX {
            each(StreamEdit::Insert(std::mem::take(&mut all)));
            bytes = 0;
        }
    }
    if !all.is_empty() {
        each(StreamEdit::Insert(all));
    }
}

/// Emits edits that restore a consumer with its pending entries.
fn rebuild_consumer(
    (group_name, group): (&[u8], &Group),
    (name, consumer): (&[u8], &Consumer),
    each: &mut dyn FnMut(StreamEdit<'_>),
) {
    each(StreamEdit::Consumer { group: group_name, name, activity: consumer.activity });
    let delivery = |id: &StreamId| Some((*id, group.pending.get(id)?.delivery));
    let mut pending = consumer.pending.iter().filter_map(delivery).peekable();
    while pending.peek().is_some() {
        let entries = pending.by_ref().take(REBUILD_ELEMENTS_MAX).collect();
        each(StreamEdit::Pend { group: group_name, consumer: name, entries });
    }
}

/// Emits edits that restore a group.
fn rebuild_group(name: &[u8], group: &Group, each: &mut dyn FnMut(StreamEdit<'_>)) {
    each(StreamEdit::Group { name, position: group.position });
    for (consumer, held) in &group.consumers {
        rebuild_consumer((name, group), (consumer, held), each);
    }
}

/// Emits edits that give these entries the pending state that they have in a group.
fn pend_again(
    name: &[u8],
    group: &Group,
    ids: &BTreeSet<StreamId>,
    each: &mut dyn FnMut(StreamEdit<'_>),
) {
    let mut by_consumer: BTreeMap<&[u8], Vec<(StreamId, Delivery)>> = BTreeMap::new();
    for id in ids {
        if let Some(pending) = group.pending.get(id) {
            by_consumer.entry(&pending.consumer).or_default().push((*id, pending.delivery));
        }
    }
    for (consumer, entries) in by_consumer {
        each(StreamEdit::Pend { group: name, consumer, entries });
    }
}

impl Stream {
    /// Emits the edits that restore this stream after `edit` was applied, in order.
    pub(crate) fn inverse(&self, edit: &StreamEdit<'_>, each: &mut dyn FnMut(StreamEdit<'_>)) {
        match edit {
            StreamEdit::Add(entry) => {
                each(StreamEdit::Remove(vec![entry.id]));
                each(StreamEdit::Count(self.counters));
            }
            StreamEdit::Insert(entries) => {
                each(StreamEdit::Remove(entries.iter().map(|entry| entry.id).collect()));
            }
            StreamEdit::Delete(ids) | StreamEdit::Remove(ids) => {
                insert(ids.iter().filter_map(|id| self.get(*id)), each);
                each(StreamEdit::Count(self.counters));
            }
            StreamEdit::Trim(id) => insert(self.range(StreamId::MIN, *id), each),
            StreamEdit::Count(_) => each(StreamEdit::Count(self.counters)),
            StreamEdit::Group { name, .. } => match self.groups.get(*name) {
                Some(group) => each(StreamEdit::Group { name, position: group.position }),
                None => each(StreamEdit::RemoveGroup(name)),
            },
            StreamEdit::RemoveGroup(name) => {
                if let Some(group) = self.groups.get(*name) {
                    rebuild_group(name, group, each);
                }
            }
            StreamEdit::Consumer { group, name, .. } => {
                match self.groups.get(*group).and_then(|group| group.consumers.get(*name)) {
                    Some(consumer) => {
                        let activity = consumer.activity;
                        each(StreamEdit::Consumer { group, name, activity });
                    }
                    None => each(StreamEdit::RemoveConsumer { group, name }),
                }
            }
            StreamEdit::RemoveConsumer { group: group_name, name } => {
                if let Some(group) = self.groups.get(*group_name)
                    && let Some(consumer) = group.consumers.get(*name)
                {
                    rebuild_consumer((group_name, group), (name, consumer), each);
                }
            }
            StreamEdit::Pend { group: name, entries, .. } => {
                if let Some(group) = self.groups.get(*name) {
                    let ids: BTreeSet<StreamId> = entries.iter().map(|(id, _)| *id).collect();
                    let is_new = |id: &&StreamId| !group.pending.contains_key(id);
                    let new: Vec<StreamId> = ids.iter().filter(is_new).copied().collect();
                    if !new.is_empty() {
                        each(StreamEdit::Unpend { group: name, ids: new });
                    }
                    pend_again(name, group, &ids, each);
                }
            }
            StreamEdit::Unpend { group: name, ids } => {
                if let Some(group) = self.groups.get(*name) {
                    pend_again(name, group, &ids.iter().copied().collect(), each);
                }
            }
        }
    }

    /// Emits the edits that rebuild this stream from an empty one, each of bounded size.
    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(StreamEdit<'_>)) {
        // The first edit creates the stream, which may have no entries.
        each(StreamEdit::Count(self.counters));
        insert(self.range(StreamId::MIN, StreamId::MAX), each);
        for (name, group) in &self.groups {
            rebuild_group(name, group, each);
        }
    }
}
