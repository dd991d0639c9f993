//! Values with an inside: lists, hashes, sets, sorted sets.
//!
//! Each changes by edits alone, and an edit does the same on each replica: the
//! primary applies what it sends. So an edit says what comes of a command, not
//! the command ("these two members go", not "two members at random go").

mod hash;
mod list;
mod set;
mod sorted_set;

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

/// What kind of value a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// Bytes.
    Plain,
    /// A list.
    List,
    /// Fields and their values.
    Hash,
    /// Members, each once.
    Set,
    /// Members, each once, ordered by score.
    SortedSet,
}

/// A value with an inside. Never empty while it lies in a map.
#[derive(Clone, Debug)]
pub(crate) enum Structure {
    List(List),
    Hash(Hash),
    Set(Set),
    SortedSet(SortedSet),
}

/// A change of a structure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StructureEdit<'a> {
    /// Of a list.
    #[serde(borrow)]
    List(ListEdit<'a>),
    /// Of a hash.
    #[serde(borrow)]
    Hash(HashEdit<'a>),
    /// Of a set.
    #[serde(borrow)]
    Set(SetEdit<'a>),
    /// Of a sorted set.
    #[serde(borrow)]
    SortedSet(SortedSetEdit<'a>),
}

/// An edit does not fit the value that it is for: the replicas differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EditMismatch;

impl Structure {
    /// An empty structure for an edit of a key that is not there.
    pub(crate) fn for_edit(edit: &StructureEdit<'_>) -> Self {
        match edit {
            StructureEdit::List(_) => Self::List(List::default()),
            StructureEdit::Hash(_) => Self::Hash(Hash::default()),
            StructureEdit::Set(_) => Self::Set(Set::default()),
            StructureEdit::SortedSet(_) => Self::SortedSet(SortedSet::default()),
        }
    }

    pub(crate) fn apply(&mut self, edit: &StructureEdit<'_>) -> Result<(), EditMismatch> {
        match (self, edit) {
            (Self::List(list), StructureEdit::List(edit)) => list.apply(edit),
            (Self::Hash(hash), StructureEdit::Hash(edit)) => hash.apply(edit),
            (Self::Set(set), StructureEdit::Set(edit)) => set.apply(edit),
            (Self::SortedSet(set), StructureEdit::SortedSet(edit)) => set.apply(edit),
            _ => Err(EditMismatch),
        }
    }

    /// The edits that make it anew from an empty one, each of bounded size.
    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(StructureEdit<'_>)) {
        match self {
            Self::List(list) => list.rebuild(&mut |edit| each(StructureEdit::List(edit))),
            Self::Hash(hash) => hash.rebuild(&mut |edit| each(StructureEdit::Hash(edit))),
            Self::Set(set) => set.rebuild(&mut |edit| each(StructureEdit::Set(edit))),
            Self::SortedSet(set) => set.rebuild(&mut |edit| each(StructureEdit::SortedSet(edit))),
        }
    }

    pub(crate) fn kind(&self) -> Type {
        match self {
            Self::List(_) => Type::List,
            Self::Hash(_) => Type::Hash,
            Self::Set(_) => Type::Set,
            Self::SortedSet(_) => Type::SortedSet,
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Hash(hash) => hash.len(),
            Self::Set(set) => set.len(),
            Self::SortedSet(set) => set.len(),
        }
    }

    /// Bytes on the heap, roughly; O(1).
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::List(list) => list.bytes(),
            Self::Hash(hash) => hash.bytes(),
            Self::Set(set) => set.bytes(),
            Self::SortedSet(set) => set.bytes(),
        }
    }
}

/// One kind of structure, for operations that want this kind and no other.
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
kind!(List, Hash, Set, SortedSet);

/// Elements of one edit, at most, when a structure is sent whole.
pub(crate) const REBUILD_ELEMENTS_MAX: usize = 128;
