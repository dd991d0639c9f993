//! Finds the end of a message.

use super::{Flags, FrameError, HEADER_BYTES};
use crate::limits::{DEPTH_MAX, FRAMES_MAX};

/// Minimum content of the initial frame, in bytes: type, correlation id, and the number of backup
/// acknowledgements of a response. Requests and events have more.
const INITIAL_BYTES_MIN: usize = 13;

/// Content of the initial frame of a fragment, in bytes: the fragmentation id.
const FRAGMENT_ID_BYTES: usize = 8;

/// How much of a message has been checked. A scan is continued when more of it has arrived, so each
/// frame is looked at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    /// Offset of the next frame. Invariant: at most the limit of bytes.
    at: usize,
    /// Offset of the last frame.
    pub(crate) last: usize,
    frames: usize,
    depth: usize,
    /// Whether the initial frame is that of a fragment.
    pub(crate) is_fragment: bool,
}

/// Result of [`Scan::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The message is not complete. Nothing more can be said before there are this many bytes.
    Incomplete { bytes_min: usize },
    /// The message has this many bytes.
    Complete { bytes: usize },
}

impl Scan {
    /// Checks the frames of `input`, which begins where it began at the last call.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        bytes_max: usize,
    ) -> Result<Scanned, FrameError> {
        loop {
            let rest = input.get(self.at..).unwrap_or_default();
            let Some(length) = rest.first_chunk() else {
                return Ok(Scanned::Incomplete { bytes_min: self.at + HEADER_BYTES });
            };
            let bytes = u32::from_le_bytes(*length) as usize;
            if bytes < HEADER_BYTES {
                return Err(FrameError::FrameTooShort { bytes });
            }
            if bytes > bytes_max - self.at {
                return Err(FrameError::MessageTooLarge { bytes: self.at + bytes, bytes_max });
            }
            if rest.len() < bytes {
                return Ok(Scanned::Incomplete { bytes_min: self.at + bytes });
            }
            let flags = Flags(u16::from_le_bytes([rest[4], rest[5]]));
            self.count(flags, bytes - HEADER_BYTES)?;
            self.last = self.at;
            self.at += bytes;
            if flags.has(Flags::IS_FINAL) {
                // A fragment may end within a data structure.
                if self.depth > 0 && !self.is_fragment {
                    return Err(FrameError::Unbalanced);
                }
                return Ok(Scanned::Complete { bytes: self.at });
            }
        }
    }

    fn count(&mut self, flags: Flags, content_bytes: usize) -> Result<(), FrameError> {
        if self.frames == 0 {
            self.is_fragment = !flags.has(Flags::UNFRAGMENTED);
            let bytes_min = if self.is_fragment { FRAGMENT_ID_BYTES } else { INITIAL_BYTES_MIN };
            if content_bytes < bytes_min {
                return Err(FrameError::InitialFrameTooShort { bytes: content_bytes });
            }
        }
        self.frames += 1;
        if self.frames > FRAMES_MAX {
            return Err(FrameError::TooManyFrames);
        }
        // The frames of fragments are checked once they are together.
        if self.is_fragment {
            return Ok(());
        }
        if flags.has(Flags::BEGIN_DATA_STRUCTURE) {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(FrameError::TooDeep);
            }
        }
        if flags.has(Flags::END_DATA_STRUCTURE) {
            self.depth = self.depth.checked_sub(1).ok_or(FrameError::Unbalanced)?;
        }
        Ok(())
    }
}
