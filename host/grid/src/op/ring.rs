//! Operations on rings: the last items that were added, each with a sequence number.
//!
//! A ring is a stream whose entries have one field, the item, and the IDs `0-1`, `0-2` and so on:
//! the sequence of the first item ever added is 0. A ring that does not exist has the head 0 and the
//! tail -1.

use serde::{Deserialize, Serialize};

use super::answer::ELEMENTS_BYTES_MAX;
use super::effect::Effect;
use crate::access::Access;
use crate::edit::Edit;
use crate::limits::VALUE_BYTES_MAX;
use crate::value::stream::NewEntry;
use crate::value::{Stream, StreamEdit, StreamId, StructureEdit};
use crate::{OpError, Reply, StreamError};

/// An operation on a ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RingOp<'a> {
    /// Adds items, and removes the oldest ones beyond the capacity; returns the sequence of the last
    /// one.
    Add {
        /// The items.
        #[serde(borrow)]
        items: Vec<&'a [u8]>,
        /// The maximum number of items in the ring, at least 1.
        capacity: u64,
    },
    /// The sequences of the oldest item (head) and of the newest one (tail). If there is no item,
    /// the head is the next sequence.
    Bounds,
    /// Items in order, from a sequence on: a list of the first sequence that is read, and a list of
    /// items; or nil if there are fewer than `min` yet. A sequence before the head is that of the
    /// head; one beyond the tail is the next one after it.
    Read {
        /// The sequence.
        from: u64,
        /// The number of items to wait for.
        min: u64,
        /// The maximum number of items to return. They may be fewer if they are long.
        max: u64,
    },
    /// The item with this sequence; nil if it is the next one after the tail. For other sequences, a
    /// list of head and tail.
    Item(u64),
}

/// Head and tail of a ring.
struct Bounds {
    head: i64,
    tail: i64,
}

impl Bounds {
    fn of(stream: Option<&Stream>) -> Self {
        let Some(stream) = stream else { return Self { head: 0, tail: -1 } };
        let tail = sequence(stream.counters().last);
        let head = if stream.len() == 0 { tail + 1 } else { sequence(stream.first_id()) };
        Self { head, tail }
    }

    fn reply(&self) -> Reply {
        Reply::List(vec![Reply::Integer(self.head), Reply::Integer(self.tail)])
    }
}

/// The sequence of an ID; -1 for the one before all entries.
fn sequence(id: StreamId) -> i64 {
    i64::try_from(id.seq).unwrap_or(i64::MAX) - 1
}

/// The ID of a sequence.
fn id(sequence: i64) -> StreamId {
    StreamId::new(0, u64::try_from(sequence).unwrap_or(0) + 1)
}

impl RingOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Add { .. } => Effect::Adds,
            Self::Bounds | Self::Read { .. } | Self::Item(_) => Effect::Reads,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        match self {
            Self::Add { items, .. } => items.iter().map(|item| item.len()).sum(),
            _ => 0,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add { items, capacity } => add(access, key, items, *capacity),
            Self::Bounds => Ok(Bounds::of(access.structure::<Stream>(key)?).reply()),
            Self::Read { from, min, max } => {
                let stream = access.structure::<Stream>(key)?;
                let Bounds { head, tail } = Bounds::of(stream);
                let first = i64::try_from(*from).unwrap_or(i64::MAX).clamp(head, tail + 1);
                let there = u64::try_from(tail + 1 - first).unwrap_or(0);
                if there < *min {
                    return Ok(Reply::Nil);
                }
                Ok(Reply::List(vec![Reply::Integer(first), read(stream, first, *max)]))
            }
            Self::Item(wanted) => {
                let stream = access.structure::<Stream>(key)?;
                let bounds = Bounds::of(stream);
                let wanted = i64::try_from(*wanted).unwrap_or(i64::MAX);
                if wanted == bounds.tail + 1 {
                    return Ok(Reply::Nil);
                }
                let entry = stream.and_then(|stream| stream.get(id(wanted)));
                let item = entry.and_then(|entry| entry.fields().next());
                Ok(item.map_or_else(|| bounds.reply(), Reply::bytes))
            }
        }
    }
}

/// A list of at most `max` items from a sequence on.
fn read(stream: Option<&Stream>, first: i64, max: u64) -> Reply {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let (mut items, mut room) = (Vec::new(), ELEMENTS_BYTES_MAX);
    let entries = stream.into_iter().flat_map(|stream| stream.range(id(first), StreamId::MAX));
    for item in entries.take(max).filter_map(|entry| entry.fields().next()) {
        // The first one is returned in any case.
        match room.checked_sub(item.len()) {
            Some(left) => room = left,
            None if items.is_empty() => room = 0,
            None => break,
        }
        items.push(Reply::bytes(item));
    }
    Reply::List(items)
}

fn add(
    access: &mut Access<'_>,
    key: &[u8],
    items: &[&[u8]],
    capacity: u64,
) -> Result<Reply, OpError> {
    if items.is_empty() || capacity == 0 {
        return Err(OpError::Malformed);
    }
    if items.iter().any(|item| item.len() > VALUE_BYTES_MAX) {
        return Err(OpError::TooLong);
    }
    let stream = access.structure::<Stream>(key)?;
    let mut last = stream.map_or(StreamId::MIN, |stream| stream.counters().last);
    if last.ms > 0 || last.seq.checked_add(items.len() as u64).is_none_or(|n| n > i64::MAX as u64) {
        return Err(StreamError::Exhausted.into());
    }
    for item in items {
        last = StreamId::new(0, last.seq + 1);
        let entry = NewEntry { id: last, fields: vec![item] };
        edit(access, key, StreamEdit::Add(entry));
    }
    let first = access.structure::<Stream>(key)?.map_or(last, Stream::first_id);
    let oldest_kept = (last.seq + 1).saturating_sub(capacity);
    if first.seq < oldest_kept {
        edit(access, key, StreamEdit::Trim(StreamId::new(0, oldest_kept - 1)));
    }
    Ok(Reply::Integer(sequence(last)))
}

fn edit(access: &mut Access<'_>, key: &[u8], edit: StreamEdit<'_>) {
    access.edit(key, &Edit::Structure(StructureEdit::Stream(edit)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Bench;
    use super::super::{GenericOp, KeyOp};
    use super::*;

    fn run(bench: &mut Bench, op: RingOp<'_>) -> Result<Reply, OpError> {
        bench.key(b"k", KeyOp::Ring(op))
    }

    fn bounds(head: i64, tail: i64) -> Reply {
        Bounds { head, tail }.reply()
    }

    #[test]
    fn the_oldest_items_are_removed_beyond_the_capacity() {
        let mut bench = Bench::new();
        assert_eq!(run(&mut bench, RingOp::Bounds), Ok(bounds(0, -1)));
        for n in 0..5 {
            let item = [n];
            let add = RingOp::Add { items: vec![&item], capacity: 3 };
            assert_eq!(run(&mut bench, add), Ok(Reply::Integer(n.into())));
        }
        assert_eq!(run(&mut bench, RingOp::Bounds), Ok(bounds(2, 4)));
        assert_eq!(run(&mut bench, RingOp::Item(1)), Ok(bounds(2, 4)), "it was removed");
        assert_eq!(run(&mut bench, RingOp::Item(2)), Ok(Reply::bytes(&[2])));
        assert_eq!(run(&mut bench, RingOp::Item(5)), Ok(Reply::Nil), "it is the next one");
        assert_eq!(run(&mut bench, RingOp::Item(6)), Ok(bounds(2, 4)), "it is too far ahead");
        let read = |from, min| RingOp::Read { from, min, max: 2 };
        let found = |first, items: &[u8]| {
            let items = items.iter().map(|n| Reply::bytes(&[*n])).collect();
            Ok(Reply::List(vec![Reply::Integer(first), Reply::List(items)]))
        };
        assert_eq!(run(&mut bench, read(0, 3)), found(2, &[2, 3]));
        assert_eq!(run(&mut bench, read(4, 1)), found(4, &[4]));
        assert_eq!(run(&mut bench, read(4, 2)), Ok(Reply::Nil));
        assert_eq!(run(&mut bench, read(9, 0)), found(5, &[]));
        bench.key(b"k", KeyOp::Generic(GenericOp::Remove)).unwrap();
        assert_eq!(run(&mut bench, RingOp::Bounds), Ok(bounds(0, -1)));
    }

    #[test]
    fn an_operation_without_items_or_capacity_is_refused() {
        let mut bench = Bench::new();
        for (items, capacity) in [(Vec::new(), 1), (vec![&b"a"[..]], 0)] {
            let refused = run(&mut bench, RingOp::Add { items, capacity });
            assert_eq!(refused, Err(OpError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn a_ring_has_the_last_items(
            batches in proptest::collection::vec(1..9_u8, 1..20),
            capacity in 1..7_u64,
            from in 0..100_u64,
        ) {
            let (mut bench, mut model) = (Bench::new(), Vec::<[u8; 1]>::new());
            for count in batches {
                let start = model.len() as u8;
                model.extend((0..count).map(|n| [start + n]));
                let items = model[usize::from(start)..].iter().map(|item| &item[..]).collect();
                let last = run(&mut bench, RingOp::Add { items, capacity });
                prop_assert_eq!(last, Ok(Reply::count(model.len() - 1)));
            }
            let head = (model.len() as u64).saturating_sub(capacity);
            let first = from.clamp(head, model.len() as u64);
            let items = model[first as usize..].iter().map(|item| Reply::bytes(item)).collect();
            let wanted = vec![Reply::Integer(first as i64), Reply::List(items)];
            let read = RingOp::Read { from, min: 0, max: u64::MAX };
            prop_assert_eq!(run(&mut bench, read), Ok(Reply::List(wanted)));
        }
    }
}
