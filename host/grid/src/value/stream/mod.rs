//! Streams: entries in the order of their IDs, and groups of consumers that read them.
//!
//! Unlike other structures, a stream exists even if it is empty: it remembers the last ID, so that
//! IDs never repeat, and its groups.
//!
//! - `id`, `chunk`, `entries`: the entries
//! - `group`: groups, their consumers, and unacknowledged entries
//! - `edit`, `inverse`: changes and their inverses
//! - `lag`: the number of entries that a group has not read yet

mod chunk;
mod edit;
mod entries;
mod group;
mod id;
mod inverse;
mod lag;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(crate) use chunk::EntryRef;
pub(crate) use edit::{Counters, NewEntry, StreamEdit};
pub(crate) use group::{Activity, Consumer, Delivery, Group, Position};
pub use id::StreamId;

use super::EditMismatch;
use entries::Entries;
use group::{CONSUMER_BYTES, PENDING_BYTES};

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    entries: Entries,
    counters: Counters,
    groups: BTreeMap<Box<[u8]>, Group>,
    /// Approximate bytes of the groups.
    group_bytes: usize,
}

impl Stream {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Approximate number of bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes() + self.group_bytes
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// The ID of the first entry; zero if the stream is empty.
    pub(crate) fn first_id(&self) -> StreamId {
        self.entries.first().map_or(StreamId::MIN, |entry| entry.id)
    }

    /// The ID of the last existing entry; `None` if the stream is empty.
    pub(crate) fn last_entry(&self) -> Option<StreamId> {
        self.entries.last_id()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<EntryRef<'_>> {
        self.entries.get(id)
    }

    /// Entries from one ID to another, both inclusive.
    pub(crate) fn range(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = EntryRef<'_>> {
        self.entries.range(from, to)
    }

    /// Like [`Stream::range`], from the last to the first.
    pub(crate) fn range_reversed(
        &self,
        from: StreamId,
        to: StreamId,
    ) -> impl Iterator<Item = EntryRef<'_>> {
        self.entries.range_reversed(from, to)
    }

    /// The number of entries and the last ID of each chunk, in order.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (usize, StreamId)> {
        self.entries.chunks().map(|chunk| (chunk.len(), chunk.last()))
    }

    /// The number of chunks.
    pub(crate) fn chunk_count(&self) -> usize {
        self.entries.chunk_count()
    }

    pub(crate) fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Groups in the order of their names.
    pub(crate) fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// Whether a group has not acknowledged this entry yet, or has not read it.
    pub(crate) fn is_referenced(&self, id: StreamId) -> bool {
        self.groups
            .values()
            .any(|group| group.position.last < id || group.pending.contains_key(&id))
    }

    pub(crate) fn apply(&mut self, edit: &StreamEdit<'_>) -> Result<(), EditMismatch> {
        match edit {
            StreamEdit::Add(entry) => {
                if entry.id <= self.counters.last {
                    return Err(EditMismatch);
                }
                self.entries.insert(entry.id, &entry.fields);
                self.counters.last = entry.id;
                self.counters.added = self.counters.added.saturating_add(1);
            }
            StreamEdit::Insert(entries) => {
                for entry in entries {
                    if !self.entries.insert(entry.id, &entry.fields) {
                        return Err(EditMismatch);
                    }
                }
            }
            StreamEdit::Delete(ids) => {
                for id in ids {
                    self.entries.remove(*id).then_some(()).ok_or(EditMismatch)?;
                    self.counters.deleted = self.counters.deleted.max(*id);
                }
            }
            StreamEdit::Remove(ids) => {
                for id in ids {
                    self.entries.remove(*id).then_some(()).ok_or(EditMismatch)?;
                }
            }
            StreamEdit::Trim(id) => self.entries.remove_up_to(*id),
            StreamEdit::Count(counters) => self.counters = *counters,
            StreamEdit::Group { name, position } => match self.groups.get_mut(*name) {
                Some(group) => group.position = *position,
                None => {
                    let group = Group { position: *position, ..Group::default() };
                    self.group_bytes += name.len() + group.bytes();
                    self.groups.insert((*name).into(), group);
                }
            },
            StreamEdit::RemoveGroup(name) => {
                let group = self.groups.remove(*name).ok_or(EditMismatch)?;
                self.group_bytes -= name.len() + group.bytes();
            }
            StreamEdit::Consumer { group, name, activity } => {
                let group = self.groups.get_mut(*group).ok_or(EditMismatch)?;
                match group.consumers.get_mut(*name) {
                    Some(consumer) => consumer.activity = *activity,
                    None => {
                        let consumer = Consumer { activity: *activity, ..Consumer::default() };
                        group.consumers.insert((*name).into(), consumer);
                        self.group_bytes += name.len() + CONSUMER_BYTES;
                    }
                }
            }
            StreamEdit::RemoveConsumer { group, name } => {
                let group = self.groups.get_mut(*group).ok_or(EditMismatch)?;
                let consumer = group.consumers.remove(*name).ok_or(EditMismatch)?;
                for id in &consumer.pending {
                    group.pending.remove(id);
                }
                self.group_bytes -=
                    name.len() + CONSUMER_BYTES + consumer.pending.len() * PENDING_BYTES;
            }
            StreamEdit::Pend { group, consumer, entries } => {
                let group = self.groups.get_mut(*group).ok_or(EditMismatch)?;
                for (id, delivery) in entries {
                    if group.pend(consumer, *id, *delivery).ok_or(EditMismatch)? {
                        self.group_bytes += PENDING_BYTES;
                    }
                }
            }
            StreamEdit::Unpend { group, ids } => {
                let group = self.groups.get_mut(*group).ok_or(EditMismatch)?;
                for id in ids {
                    group.unpend(*id).then_some(()).ok_or(EditMismatch)?;
                    self.group_bytes -= PENDING_BYTES;
                }
            }
        }
        Ok(())
    }
}
