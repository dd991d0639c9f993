//! The words of a command that a script calls.

use std::ops::Range;

/// Bytes and words of one call for which memory is kept until the next one, at most.
const KEPT_BYTES_MAX: usize = 64 * 1_024;
const KEPT_WORDS_MAX: usize = 1_024;

/// The words of a command: its name, and its arguments. They are parts of one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Words<'a> {
    /// The buffer, and where each word is in it.
    #[must_use]
    pub fn parts(self) -> (&'a [u8], &'a [Range<usize>]) {
        (self.bytes, self.ranges)
    }

    /// The word at `index`; the name of the command is at 0.
    #[must_use]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).map(|range| &self.bytes[range.clone()])
    }

    /// All of them.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.ranges.iter().map(move |range| &self.bytes[range.clone()])
    }
}

/// Collects the words of a call. Its memory is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct WordBuffer {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl WordBuffer {
    /// Adds a word, which `write` appends to the buffer.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.ranges.push(start..self.bytes.len());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn words(&self) -> Words<'_> {
        Words { bytes: &self.bytes, ranges: &self.ranges }
    }

    /// Removes all words.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ranges.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX || self.ranges.capacity() > KEPT_WORDS_MAX {
            *self = Self::default();
        }
    }
}
