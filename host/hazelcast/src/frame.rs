//! Frames: the units that messages consist of.
//!
//! ```text
//! frame    [i32 LE length, with these 6 bytes][u16 LE flags][content]
//! message  initial frame, then any number of frames; the last one has IS_FINAL
//! ```
//!
//! A null value is an empty frame with IS_NULL. A data structure is an empty frame with
//! BEGIN_DATA_STRUCTURE, its frames, and an empty frame with END_DATA_STRUCTURE.
//!
//! Source: Hazelcast Open Binary Client Protocol 2.10, "Client message" and "Frame".

mod error;
mod fragments;
mod scan;
mod splitter;

pub use error::FrameError;
pub use fragments::Reassembled;
pub use splitter::{PREAMBLE, Split, Splitter};

pub(crate) use scan::{Scan, Scanned};

use std::ops::BitOr;

/// Length of the length and the flags of a frame, in bytes.
pub const HEADER_BYTES: usize = 6;

/// The flags of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// No flag: a value.
    pub const NONE: Self = Self(0);
    /// On the initial frame of the first fragment of a message.
    pub const BEGIN_FRAGMENT: Self = Self(1 << 15);
    /// On the initial frame of the last fragment of a message.
    pub const END_FRAGMENT: Self = Self(1 << 14);
    /// On the initial frame of a message that is not fragmented: both of the above.
    pub const UNFRAGMENTED: Self = Self(0b11 << 14);
    /// On the last frame of a message or fragment.
    pub const IS_FINAL: Self = Self(1 << 13);
    /// The frames of a data structure follow.
    pub const BEGIN_DATA_STRUCTURE: Self = Self(1 << 12);
    /// The end of a data structure.
    pub const END_DATA_STRUCTURE: Self = Self(1 << 11);
    /// A value that is null.
    pub const IS_NULL: Self = Self(1 << 10);
    /// On the initial frame of an event.
    pub const IS_EVENT: Self = Self(1 << 9);
    /// On the initial frame of a request whose sender can itself wait for the acknowledgements of
    /// backups.
    pub const BACKUP_AWARE: Self = Self(1 << 8);
    /// On the initial frame of an event that acknowledges a backup.
    pub const BACKUP_EVENT: Self = Self(1 << 7);

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags without `flags`.
    #[must_use]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its flags.
    pub flags: Flags,
    /// Its content, without the header.
    pub content: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of `bytes`, and the bytes after it. `None` if it is not complete.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let ([l0, l1, l2, l3, f0, f1], rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let (content, rest) = rest.split_at_checked(length.checked_sub(HEADER_BYTES)?)?;
        Some((Self { flags: Flags(u16::from_le_bytes([*f0, *f1])), content }, rest))
    }
}

/// A cursor over frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// A cursor over `bytes`. It ends before the first frame that is not complete.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The encoding of the frames that have not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Flags of the next frame, without reading it. `None` if there is none.
    #[must_use]
    pub fn peek(&self) -> Option<Flags> {
        Frame::split(self.rest).map(|(frame, _)| frame.flags)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let (frame, rest) = Frame::split(self.rest)?;
        self.rest = rest;
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
