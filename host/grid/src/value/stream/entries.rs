//! The entries of a stream, in the order of their IDs.

use std::collections::VecDeque;

use super::chunk::{Chunk, EntryRef, weigh};
use super::id::StreamId;

/// Entries in order, divided into chunks. Appending an entry, or removing one from the front,
/// changes one chunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// In order, none of them empty.
    chunks: VecDeque<Chunk>,
    len: usize,
    bytes: usize,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Approximate number of bytes in memory; it depends on the entries only, not on the chunks.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    /// The number of chunks.
    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// The chunk that has this ID, or the next greater one.
    fn chunk_at(&self, id: StreamId) -> usize {
        self.chunks.partition_point(|chunk| chunk.last() < id)
    }

    pub(super) fn first(&self) -> Option<EntryRef<'_>> {
        self.chunks.front()?.iter().next()
    }

    pub(super) fn last_id(&self) -> Option<StreamId> {
        self.chunks.back().map(Chunk::last)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<EntryRef<'_>> {
        self.chunks.get(self.chunk_at(id))?.get(id)
    }

    /// Entries from one ID to another, both inclusive.
    pub(super) fn range(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = EntryRef<'_>> {
        self.chunks
            .range(self.chunk_at(from)..)
            .flat_map(Chunk::iter)
            .skip_while(move |entry| entry.id < from)
            .take_while(move |entry| entry.id <= to)
    }

    /// Like [`Entries::range`], from the last to the first.
    pub(super) fn range_reversed(
        &self,
        from: StreamId,
        to: StreamId,
    ) -> impl Iterator<Item = EntryRef<'_>> {
        let end = (self.chunk_at(to) + 1).min(self.chunks.len());
        self.chunks
            .range(..end)
            .rev()
            // A chunk can only be read forwards; it is short.
            .flat_map(|chunk| chunk.iter().collect::<Vec<_>>().into_iter().rev())
            .skip_while(move |entry| entry.id > to)
            .take_while(move |entry| entry.id >= from)
    }

    /// Adds an entry. Returns whether no entry had this ID.
    pub(super) fn insert(&mut self, id: StreamId, fields: &[&[u8]]) -> bool {
        let bytes = weigh(fields.iter().copied());
        if self.last_id().is_none_or(|last| last < id) {
            let has_room = self.chunks.back().is_some_and(|last| last.has_room(bytes));
            if !has_room {
                if let Some(last) = self.chunks.back_mut() {
                    last.shrink();
                }
                self.chunks.push_back(Chunk::default());
            }
            if let Some(last) = self.chunks.back_mut() {
                last.push(id, fields.iter().copied());
                if last.is_full() {
                    last.shrink();
                }
            }
        } else {
            let at = self.chunk_at(id);
            if self.chunks[at].get(id).is_some() {
                return false;
            }
            let mut chunks = self.chunks[at].with(id, fields).into_iter();
            if let Some(first) = chunks.next() {
                self.chunks[at] = first;
            }
            for (later, chunk) in chunks.enumerate() {
                self.chunks.insert(at + 1 + later, chunk);
            }
        }
        self.len += 1;
        self.bytes += bytes;
        true
    }

    /// Removes an entry. Returns whether an entry had this ID.
    pub(super) fn remove(&mut self, id: StreamId) -> bool {
        let at = self.chunk_at(id);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let Some(bytes) = chunk.remove(id) else { return false };
        if chunk.len() == 0 {
            self.chunks.remove(at);
        }
        self.len -= 1;
        self.bytes -= bytes;
        true
    }

    /// Removes all entries up to this ID.
    pub(super) fn remove_up_to(&mut self, id: StreamId) {
        while let Some(chunk) = self.chunks.front_mut() {
            let (count, bytes) = chunk.remove_up_to(id);
            self.len -= count;
            self.bytes -= bytes;
            if chunk.len() > 0 {
                break;
            }
            self.chunks.pop_front();
        }
        if self.chunks.capacity() > 64 && self.chunks.len() * 4 < self.chunks.capacity() {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }
}
