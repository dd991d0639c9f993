//! Lists of values, borrowed from a message or from a slice.

use std::fmt;

use super::field::{self, Fixed, Problem, Variable};
use crate::frame::{Flags, Frames};
use crate::message::Writer;

/// A list of values of variable size: their frames within a data structure. Lists of entries are
/// lists of pairs.
///
/// A received list is decoded while it is iterated over. All of it has been checked before.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    items: Items<'a, T>,
}

/// An iterator over a [`List`].
#[derive(Clone, Copy)]
pub struct Items<'a, T> {
    source: Source<'a, T>,
    length: usize,
}

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Encoded(Frames<'a>),
    Slice(&'a [T]),
}

impl<'a, T> List<'a, T> {
    /// The number of items.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items.length
    }

    /// Whether there are no items.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Variable<'a>> List<'a, T> {
    /// The items.
    #[must_use]
    pub const fn iter(&self) -> Items<'a, T> {
        self.items
    }
}

impl<'a, T: Variable<'a>> Iterator for Items<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.length = self.length.checked_sub(1)?;
        match &mut self.source {
            Source::Encoded(frames) => T::read(frames).ok(),
            Source::Slice(slice) => {
                let (first, rest) = slice.split_first()?;
                *slice = rest;
                Some(*first)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.length, Some(self.length))
    }
}

impl<'a, T: Variable<'a>> ExactSizeIterator for Items<'a, T> {}

impl<'a, T: Variable<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.items
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        Self { items: Items { source: Source::Slice(slice), length: slice.len() } }
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(slice: &'a [T; N]) -> Self {
        Self::from(slice.as_slice())
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::from(&[])
    }
}

impl<'a, T: Variable<'a> + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Variable<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("length", &self.length).finish_non_exhaustive()
    }
}

impl<'a, T: Variable<'a>> Variable<'a> for List<'a, T> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        field::begin(frames)?;
        let (source, mut length) = (Source::Encoded(*frames), 0);
        while !field::at_end(frames) {
            T::read(frames)?;
            length += 1;
        }
        field::end(frames)?;
        Ok(Self { items: Items { source, length } })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        field::write_begin(writer);
        for item in *self {
            item.write(writer);
        }
        field::write_end(writer);
    }
}

/// A list of values of fixed size, packed in one frame.
#[derive(Clone, Copy)]
pub struct Packed<'a, T> {
    source: PackedSource<'a, T>,
}

#[derive(Clone, Copy)]
enum PackedSource<'a, T> {
    /// The length is a multiple of that of an item.
    Encoded(&'a [u8]),
    Slice(&'a [T]),
}

impl<'a, T: Fixed> Packed<'a, T> {
    /// The number of items.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.source {
            PackedSource::Encoded(bytes) => bytes.len() / T::BYTES,
            PackedSource::Slice(slice) => slice.len(),
        }
    }

    /// Whether there are no items.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let mut source = self.source;
        std::iter::from_fn(move || match &mut source {
            PackedSource::Encoded(bytes) => T::take(bytes).ok(),
            PackedSource::Slice(slice) => {
                let (first, rest) = slice.split_first()?;
                *slice = rest;
                Some(*first)
            }
        })
    }
}

impl<'a, T> From<&'a [T]> for Packed<'a, T> {
    fn from(slice: &'a [T]) -> Self {
        Self { source: PackedSource::Slice(slice) }
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for Packed<'a, T> {
    fn from(slice: &'a [T; N]) -> Self {
        Self::from(slice.as_slice())
    }
}

impl<T> Default for Packed<'_, T> {
    fn default() -> Self {
        Self::from(&[])
    }
}

impl<T: Fixed + PartialEq> PartialEq for Packed<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Fixed + fmt::Debug> fmt::Debug for Packed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Fixed> Variable<'a> for Packed<'a, T> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        let bytes: &[u8] = Variable::read(frames)?;
        if !bytes.len().is_multiple_of(T::BYTES) {
            return Err(Problem::Packed);
        }
        // Ids may be null.
        let mut rest = bytes;
        while !rest.is_empty() {
            T::take(&mut rest)?;
        }
        Ok(Self { source: PackedSource::Encoded(bytes) })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.open(Flags::NONE);
        for item in self.iter() {
            item.put(writer);
        }
        writer.end();
    }
}
