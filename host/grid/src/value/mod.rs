//! Structured values: lists, hashes, sets, sorted sets, streams.
//!
//! A structure changes only by edits, and an edit has the same effect on each replica: the primary
//! applies the same edits that it sends. Therefore an edit contains the outcome of a command
//! ("remove these two members"), not the command ("remove two random members").

mod deadlines;
mod hash;
mod list;
mod set;
mod sorted_set;
pub(crate) mod stream;

use serde::{Deserialize, Serialize};

pub(crate) use hash::Hash;
pub(crate) use hash::HashEdit;
pub(crate) use list::List;
pub(crate) use list::ListEdit;
pub(crate) use set::Set;
pub(crate) use set::SetEdit;
pub use sorted_set::Score;
pub(crate) use sorted_set::SortedSet;
pub(crate) use sorted_set::SortedSetEdit;
pub use stream::StreamId;
pub(crate) use stream::{Stream, StreamEdit};

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// Bytes.
    Plain,
    /// A list.
    List,
    /// Fields and their values.
    Hash,
    /// Distinct members.
    Set,
    /// Distinct members, ordered by score.
    SortedSet,
    /// Entries in the order of their IDs.
    Stream,
}

/// A structured value. Never empty while it is stored in a map, unless it is a stream.
#[derive(Clone, Debug)]
pub(crate) enum Structure {
    List(List),
    Hash(Hash),
    Set(Set),
    SortedSet(SortedSet),
    Stream(Stream),
}

/// A change of a structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StructureEdit<'a> {
    /// A change of a list.
    #[serde(borrow)]
    List(ListEdit<'a>),
    /// A change of a hash.
    #[serde(borrow)]
    Hash(HashEdit<'a>),
    /// A change of a set.
    #[serde(borrow)]
    Set(SetEdit<'a>),
    /// A change of a sorted set.
    #[serde(borrow)]
    SortedSet(SortedSetEdit<'a>),
    /// A change of a stream.
    #[serde(borrow)]
    Stream(StreamEdit<'a>),
}

/// The edit does not fit the value that it is applied to, so the replicas differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EditMismatch;

impl Structure {
    /// An empty structure of the type that the edit is for.
    pub(crate) fn for_edit(edit: &StructureEdit<'_>) -> Self {
        match edit {
            StructureEdit::List(_) => Self::List(List::default()),
            StructureEdit::Hash(_) => Self::Hash(Hash::default()),
            StructureEdit::Set(_) => Self::Set(Set::default()),
            StructureEdit::SortedSet(_) => Self::SortedSet(SortedSet::default()),
            StructureEdit::Stream(_) => Self::Stream(Stream::default()),
        }
    }

    pub(crate) fn apply(&mut self, edit: &StructureEdit<'_>) -> Result<(), EditMismatch> {
        match (self, edit) {
            (Self::List(list), StructureEdit::List(edit)) => list.apply(edit),
            (Self::Hash(hash), StructureEdit::Hash(edit)) => hash.apply(edit),
            (Self::Set(set), StructureEdit::Set(edit)) => set.apply(edit),
            (Self::SortedSet(set), StructureEdit::SortedSet(edit)) => set.apply(edit),
            (Self::Stream(stream), StructureEdit::Stream(edit)) => stream.apply(edit),
            _ => Err(EditMismatch),
        }
    }

    /// Emits the edits that restore this structure after `edit` was applied, in order.
    pub(crate) fn inverse(
        &self,
        edit: &StructureEdit<'_>,
        each: &mut dyn FnMut(StructureEdit<'_>),
    ) {
        match (self, edit) {
            (Self::List(list), StructureEdit::List(edit)) => {
                list.inverse(edit, &mut |edit| each(StructureEdit::List(edit)));
            }
            (Self::Hash(hash), StructureEdit::Hash(edit)) => {
                hash.inverse(edit, &mut |edit| each(StructureEdit::Hash(edit)));
            }
            (Self::Set(set), StructureEdit::Set(edit)) => {
                set.inverse(edit, &mut |edit| each(StructureEdit::Set(edit)));
            }
            (Self::SortedSet(set), StructureEdit::SortedSet(edit)) => {
                set.inverse(edit, &mut |edit| each(StructureEdit::SortedSet(edit)));
            }
            (Self::Stream(stream), StructureEdit::Stream(edit)) => {
                stream.inverse(edit, &mut |edit| each(StructureEdit::Stream(edit)));
            }
            // An edit of another type is never applied.
            _ => {}
        }
    }

    /// Emits the edits that rebuild this structure from an empty one, each of bounded size.
    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(StructureEdit<'_>)) {
        match self {
            Self::List(list) => list.rebuild(&mut |edit| each(StructureEdit::List(edit))),
            Self::Hash(hash) => hash.rebuild(&mut |edit| each(StructureEdit::Hash(edit))),
            Self::Set(set) => set.rebuild(&mut |edit| each(StructureEdit::Set(edit))),
            Self::SortedSet(set) => set.rebuild(&mut |edit| each(StructureEdit::SortedSet(edit))),
            Self::Stream(stream) => {
                stream.rebuild(&mut |edit| each(StructureEdit::Stream(edit)));
            }
        }
    }

    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::List(_) => Type::List,
            Self::Hash(_) => Type::Hash,
            Self::Set(_) => Type::Set,
            Self::SortedSet(_) => Type::SortedSet,
            Self::Stream(_) => Type::Stream,
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::SortedSet(set) => set.len(),
            Self::Stream(stream) => stream.len(),
        }
    }

    /// The earliest deadline of its elements.
    pub(crate) fn first_deadline_ms(&self) -> Option<u64> {
        if let Self::Hash(hash) = self { hash.first_deadline_ms() } else { None }
    }

    /// Whether all its elements have expired.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        matches!(self, Self::Hash(hash) if hash.is_over(now_ms))
    }

    /// Whether it must be removed: it is empty, and of a type that does not exist without elements.
    pub(crate) fn is_gone(&self) -> bool {
        self.len() == 0 && !matches!(self, Self::Stream(_))
    }

    /// Approximate number of bytes on the heap, in O(1).
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::List(list) => list.bytes(),
            Self::Hash(hash) => hash.bytes(),
            Self::Set(set) => set.bytes(),
            Self::SortedSet(set) => set.bytes(),
            Self::Stream(stream) => stream.bytes(),
        }
    }
}

/// One type of structure, for operations that accept only this type.
pub(crate) trait Kind: Sized {
    fn of(structure: &Structure) -> Option<&Self>;
}

macro_rules! kind {
    ($($type:ident),*) => {$(
        impl Kind for $type {
            fn of(structure: &Structure) -> Option<&Self> {
                match structure {
                    Structure::$type(value) => Some(value),
                    _ => None,
                }
            }
        }
    )*};
}
kind!(List, Hash, Set, SortedSet, Stream);

/// Maximum number of elements in one edit when a whole structure is sent.
pub(crate) const REBUILD_ELEMENTS_MAX: usize = 128;
