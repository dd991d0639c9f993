//! Entries in answers.

use crate::access::Access;
use crate::op::answer::{ANSWER_BYTES_MAX, ELEMENTS_BYTES_MAX};
use crate::reply::VALUE_BYTES;
use crate::value::stream::EntryRef;
use crate::value::{Stream, StreamId};
use crate::{OpError, Reply};

/// Approximate length, in bytes, of the entries that one operation delivers to a reader. A reader
/// gets the rest with the next operation; at least one entry is delivered.
const READ_BYTES_MAX: usize = ELEMENTS_BYTES_MAX;

pub(super) fn id_reply(id: StreamId) -> Reply {
    Reply::Bytes(id.to_string().into())
}

/// An entry: its ID, and a list of names and values.
pub(super) fn entry_reply(entry: &EntryRef<'_>) -> Reply {
    let fields = entry.fields().map(Reply::bytes).collect();
    Reply::List(vec![id_reply(entry.id), Reply::List(fields)])
}

/// The length of an entry in an answer, in bytes.
fn length(entry: &EntryRef<'_>) -> usize {
    entry.bytes() + (entry.len() + 3) * VALUE_BYTES
}

/// The room that an answer still has.
pub(super) struct Room {
    left: usize,
    is_empty: bool,
}

impl Room {
    /// For entries that must all be in the answer.
    pub(super) fn for_all() -> Self {
        Self { left: ANSWER_BYTES_MAX, is_empty: true }
    }

    /// For entries of which as many are delivered as there is room for.
    pub(super) fn for_reader() -> Self {
        Self { left: READ_BYTES_MAX, is_empty: true }
    }

    /// Takes room for an entry.
    ///
    /// # Errors
    /// [`OpError::AnswerTooLong`] when there is none.
    pub(super) fn take(&mut self, entry: &EntryRef<'_>) -> Result<(), OpError> {
        self.take_bytes(length(entry))
    }

    /// As [`Room::take`], for other parts of an answer.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), OpError> {
        self.left = self.left.checked_sub(bytes).ok_or(OpError::AnswerTooLong)?;
        Ok(())
    }

    /// Takes room for an entry if there is any; always for the first one.
    pub(super) fn has(&mut self, entry: &EntryRef<'_>) -> bool {
        let left = self.left.checked_sub(length(entry));
        let has = left.is_some() || self.is_empty;
        self.left = left.unwrap_or(0);
        self.is_empty = false;
        has
    }
}

/// Entries from one ID to another.
///
/// # Errors
/// [`OpError::AnswerTooLong`] when they are too long together.
pub(super) fn range(
    access: &mut Access<'_>,
    key: &[u8],
    (from, to): (StreamId, StreamId),
    reverse: bool,
    count: Option<u64>,
) -> Result<Reply, OpError> {
    let Some(stream) = access.structure::<Stream>(key)? else { return Ok(Reply::List(Vec::new())) };
    let most = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    // As in Redis: a nil list, although the stream exists.
    if most == 0 {
        return Ok(Reply::NilList);
    }
    if reverse {
        entries(stream.range_reversed(from, to).take(most))
    } else {
        entries(stream.range(from, to).take(most))
    }
}

/// A list of entries.
pub(super) fn entries<'s>(entries: impl Iterator<Item = EntryRef<'s>>) -> Result<Reply, OpError> {
    let mut room = Room::for_all();
    let reply = |entry: EntryRef<'_>| {
        room.take(&entry)?;
        Ok(entry_reply(&entry))
    };
    Ok(Reply::List(entries.map(reply).collect::<Result<_, OpError>>()?))
}
