//! Data structures that are not decoded.

use std::fmt;

use super::field::{self, Problem, Variable};
use crate::frame::{Flags, Frames};
use crate::message::Writer;

/// A data structure as it was sent. It can be kept, decoded when it is needed, and sent again.
#[derive(Clone, Copy)]
pub struct Encoded<'a> {
    /// The frames from its beginning to its end. They are those of a checked message.
    frames: Frames<'a>,
}

impl<'a> Encoded<'a> {
    /// Its bytes, from which [`from_bytes`](Self::from_bytes) makes it again.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.frames.rest()
    }

    /// The data structure whose [`bytes`](Self::bytes) these are. `None` if they are not one data
    /// structure.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let mut frames = Frames::new(bytes);
        let encoded = Self::read(&mut frames).ok()?;
        frames.rest().is_empty().then_some(encoded)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// It is not a structure of this type.
    pub fn decode<T: Variable<'a>>(&self) -> Result<T, Problem> {
        let mut frames = self.frames;
        T::read(&mut frames)
    }
}

/// Whether the frames are equal. IS_FINAL does not count: it belongs to the message.
impl PartialEq for Encoded<'_> {
    fn eq(&self, other: &Self) -> bool {
        let frames = |encoded: &Self| {
            let frames = encoded.frames;
            frames.map(|frame| (frame.flags.without(Flags::IS_FINAL), frame.content))
        };
        frames(self).eq(frames(other))
    }
}

impl fmt::Debug for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").field("bytes", &self.bytes().len()).finish()
    }
}

impl<'a> Variable<'a> for Encoded<'a> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        let start = frames.rest();
        field::begin(frames)?;
        field::end(frames)?;
        let bytes = start.len() - frames.rest().len();
        Ok(Self { frames: Frames::new(&start[..bytes]) })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        for frame in self.frames {
            writer.frame(frame.flags.without(Flags::IS_FINAL), frame.content);
        }
    }
}
