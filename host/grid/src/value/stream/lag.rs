//! The lag of a group: the number of entries that it has not read yet. Computed as in Redis,
//! without counting entries.

use super::Stream;
use super::group::{Group, Position};
use super::id::StreamId;

impl Stream {
    /// Whether an entry after this ID was deleted from within the stream.
    fn has_gap_after(&self, id: StreamId) -> bool {
        let deleted = self.counters.deleted;
        self.len() > 0 && deleted != StreamId::MIN && id <= deleted
    }

    /// Number of entries ever added up to and including this ID; `None` if it is unknown.
    pub(crate) fn added_up_to(&self, id: StreamId) -> Option<u64> {
        let counters = self.counters;
        if counters.added == 0 {
            return Some(0);
        }
        if self.len() == 0 && id <= counters.last {
            return Some(counters.added);
        }
        if id != StreamId::MIN && id < counters.deleted {
            return None;
        }
        if id >= counters.last {
            return (id == counters.last).then_some(counters.added);
        }
        let first = self.first_id();
        if counters.deleted != StreamId::MIN && counters.deleted >= first {
            return None;
        }
        let before = counters.added.saturating_sub(self.len() as u64);
        if id < first { Some(before) } else { (id == first).then_some(before + 1) }
    }

    /// Number of entries that a group has not read yet; `None` if it is unknown.
    pub(crate) fn lag(&self, group: &Group) -> Option<u64> {
        let counters = self.counters;
        if counters.added == 0 || self.len() == 0 {
            return Some(0);
        }
        let Position { last, read } = group.position;
        let first = self.first_id();
        if last < first && counters.deleted < first {
            return Some(self.len() as u64);
        }
        let read = read.filter(|_| !self.has_gap_after(last)).or_else(|| self.added_up_to(last));
        read.map(|read| counters.added.saturating_sub(read))
    }

    /// The position of a group after an entry is delivered to it.
    pub(crate) fn position_after(&self, position: Position, id: StreamId) -> Position {
        if id <= position.last {
            return position;
        }
        // The counter is incremented from an existing entry, if none was deleted after it.
        let continues = position.last >= self.first_id() && !self.has_gap_after(position.last);
        let read = match position.read {
            Some(read) if continues => Some(read.saturating_add(1)),
            _ if self.counters.added > 0 => self.added_up_to(id),
            read => read,
        };
        Position { last: id, read }
    }
}
