//! A chunk: consecutive entries in one allocation.
//!
//! An entry is packed as numbers of variable length (LEB128) and bytes:
//! ```text
//! length of the rest | ms, less that of the chunk's base | seq | fields | { length | bytes } …
//! ```
//! An entry of a few short fields takes about five bytes more than its fields, and one byte more
//! for each name and each value.

use super::id::StreamId;

/// Maximum number of entries in one chunk.
pub(super) const CHUNK_ENTRIES_MAX: usize = 100;
/// Size beyond which no entries are added to a chunk, in bytes. A single entry may be longer.
pub(super) const CHUNK_BYTES_MAX: usize = 4_096;

/// Consecutive entries; never empty while it is part of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    /// A lower bound of all IDs, from which times are counted.
    base: StreamId,
    last: StreamId,
    count: usize,
    packed: Vec<u8>,
}

/// An entry as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRef<'a> {
    pub(crate) id: StreamId,
    count: usize,
    fields: &'a [u8],
}

impl<'a> EntryRef<'a> {
    /// Number of names and values.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Names and values, alternating.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.fields;
        (0..self.count).map_while(move |_| {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (field, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(field)
        })
    }

    /// Approximate number of bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        weigh(self.fields())
    }
}

/// Approximate memory of an entry, in bytes: its fields with their lengths, its ID, and its share
/// of the chunk.
pub(super) fn weigh<'f>(fields: impl Iterator<Item = &'f [u8]>) -> usize {
    const ENTRY_BYTES: usize = 8;
    fields.map(|field| field.len() + 1).sum::<usize>() + ENTRY_BYTES
}

/// Reads a number; `None` at the end.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn push_number(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push(number as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn number_bytes(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

impl Chunk {
    /// The ID of the last entry.
    pub(super) fn last(&self) -> StreamId {
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether no more entries are added to it.
    pub(super) fn is_full(&self) -> bool {
        self.count >= CHUNK_ENTRIES_MAX || self.packed.len() >= CHUNK_BYTES_MAX
    }

    /// Whether an entry with these fields would make it too long.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.count < CHUNK_ENTRIES_MAX && self.packed.len() + bytes <= CHUNK_BYTES_MAX
    }

    /// Releases unused memory.
    pub(super) fn shrink(&mut self) {
        self.packed.shrink_to_fit();
    }

    /// Appends an entry, whose ID must be greater than all others.
    pub(super) fn push<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = &'f [u8]> + Clone,
    ) {
        if self.count == 0 {
            self.base = id;
        }
        let ms = id.ms.wrapping_sub(self.base.ms);
        let count = fields.clone().count() as u64;
        let head = number_bytes(ms) + number_bytes(id.seq) + number_bytes(count);
        let body: usize =
            fields.clone().map(|field| number_bytes(field.len() as u64) + field.len()).sum();
        push_number(&mut self.packed, (head + body) as u64);
        push_number(&mut self.packed, ms);
        push_number(&mut self.packed, id.seq);
        push_number(&mut self.packed, count);
        for field in fields {
            push_number(&mut self.packed, field.len() as u64);
            self.packed.extend_from_slice(field);
        }
        self.last = id;
        self.count += 1;
    }

    /// The entries in order, each with the offset at which it begins.
    fn with_offsets(&self) -> impl Iterator<Item = (usize, EntryRef<'_>)> {
        let mut rest = &self.packed[..];
        std::iter::from_fn(move || {
            let at = self.packed.len() - rest.len();
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (mut entry, behind) = rest.split_at_checked(length)?;
            rest = behind;
            let ms = self.base.ms.wrapping_add(number(&mut entry)?);
            let seq = number(&mut entry)?;
            let count = usize::try_from(number(&mut entry)?).ok()?;
            Some((at, EntryRef { id: StreamId::new(ms, seq), count, fields: entry }))
        })
    }

    /// The entries in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.with_offsets().map(|(_, entry)| entry)
    }

    pub(super) fn get(&self, id: StreamId) -> Option<EntryRef<'_>> {
        self.iter().find(|entry| entry.id >= id).filter(|entry| entry.id == id)
    }

    /// Removes an entry; returns its size in bytes, as [`EntryRef::bytes`].
    pub(super) fn remove(&mut self, id: StreamId) -> Option<usize> {
        let mut entries = self.with_offsets().skip_while(|(_, entry)| entry.id < id);
        let (at, entry) = entries.next().filter(|(_, entry)| entry.id == id)?;
        let end = entries.next().map_or(self.packed.len(), |(end, _)| end);
        let bytes = entry.bytes();
        drop(entries);
        self.packed.drain(at..end);
        self.give_back();
        self.count -= 1;
        if id == self.last {
            self.last = self.iter().last().map_or(StreamId::MIN, |entry| entry.id);
        }
        Some(bytes)
    }

    /// Releases memory if most of it is unused.
    fn give_back(&mut self) {
        if self.packed.capacity() > self.packed.len() * 4 + 256 {
            self.packed.shrink_to(self.packed.len() * 2);
        }
    }

    /// Removes all entries up to this one; returns their number, and their size in bytes.
    pub(super) fn remove_up_to(&mut self, id: StreamId) -> (usize, usize) {
        let (mut count, mut bytes, mut end) = (0, 0, self.packed.len());
        for (at, entry) in self.with_offsets() {
            if entry.id > id {
                end = at;
                break;
            }
            count += 1;
            bytes += entry.bytes();
        }
        self.packed.drain(..end);
        self.give_back();
        self.count -= count;
        (count, bytes)
    }

    /// The entries with an additional one, in as few chunks as possible.
    pub(super) fn with(&self, id: StreamId, fields: &[&[u8]]) -> Vec<Self> {
        let mut chunks = vec![Self::default()];
        let mut add = |id: StreamId, fields: &[&[u8]]| {
            let bytes = weigh(fields.iter().copied());
            if let Some(last) = chunks.last_mut()
                && (last.count == 0 || last.has_room(bytes))
            {
                last.push(id, fields.iter().copied());
                return;
            }
            let mut next = Self::default();
            next.push(id, fields.iter().copied());
            chunks.push(next);
        };
        let mut is_added = false;
        for entry in self.iter() {
            if !is_added && entry.id > id {
                add(id, fields);
                is_added = true;
            }
            let all: Vec<&[u8]> = entry.fields().collect();
            add(entry.id, &all);
        }
        if !is_added {
            add(id, fields);
        }
        for chunk in &mut chunks {
            chunk.shrink();
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_takes_little_more_than_its_fields() {
        let mut chunk = Chunk::default();
        for n in 0..50 {
            let fields: [&[u8]; 4] = [b"sensor", b"1234", b"degrees", b"19.8"];
            chunk.push(StreamId::new(1_700_000_000_000 + n * 40, 0), fields.into_iter());
        }
        // 21 bytes of fields, four lengths, and the head of the entry.
        assert!(chunk.packed.len() <= 50 * (21 + 4 + 5), "{}", chunk.packed.len());
    }

    #[test]
    fn numbers_of_any_length_are_packed() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX] {
            let mut packed = Vec::new();
            push_number(&mut packed, number);
            assert_eq!(packed.len(), number_bytes(number), "{number}");
            assert_eq!(super::number(&mut &packed[..]), Some(number));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            packed in proptest::collection::vec(any::<u8>(), 0..200),
            id in any::<(u64, u64)>(),
        ) {
            let base = StreamId::new(u64::MAX - 3, 9);
            let chunk = Chunk { base, last: base, count: 3, packed };
            let fields: usize = chunk.iter().map(|entry| entry.fields().count()).sum();
            prop_assert!(fields <= 200);
            prop_assert!(chunk.get(StreamId::new(id.0, id.1)).is_none_or(|e| e.bytes() > 0));
        }
    }
}
