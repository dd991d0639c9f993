//! Reassembles messages from fragments.

use super::{Flags, Frame, FrameError, HEADER_BYTES};
use crate::limits::FRAGMENTED_MAX;
use crate::message::Message;

/// A message that was sent in fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassembled {
    bytes: Vec<u8>,
}

impl Reassembled {
    /// The message, as if it had been sent without fragments.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        Message::of_checked(&self.bytes)
    }
}

/// Messages of which not all fragments have arrived.
///
/// ```text
/// fragment  [frame: u64 LE fragmentation id; flags BEGIN_FRAGMENT, none, or END_FRAGMENT]
///           [some frames of the message, the last one with IS_FINAL]
/// ```
#[derive(Debug, Default)]
pub(super) struct Fragments {
    /// At most [`FRAGMENTED_MAX`].
    open: Vec<Open>,
    /// Sum of the lengths of all of `open`, in bytes.
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    id: u64,
    bytes: Vec<u8>,
    /// Offset of the last frame.
    last: usize,
}

impl Fragments {
    /// Adds a fragment, whose last frame begins at `last`. Returns the message if it was the last
    /// fragment.
    pub(super) fn add(
        &mut self,
        fragment: &[u8],
        last: usize,
        bytes_max: usize,
    ) -> Result<Option<Reassembled>, FrameError> {
        let Some((initial, frames)) = Frame::split(fragment) else {
            return Err(FrameError::Length);
        };
        let Some(id) = initial.content.first_chunk() else {
            return Err(FrameError::InitialFrameTooShort { bytes: initial.content.len() });
        };
        let id = u64::from_le_bytes(*id);
        let found = self.open.iter().position(|open| open.id == id);
        let index = match (found, initial.flags.has(Flags::BEGIN_FRAGMENT)) {
            (Some(index), false) => index,
            (None, true) if self.open.len() == FRAGMENTED_MAX => {
                return Err(FrameError::TooManyFragmented);
            }
            (None, true) => {
                self.open.push(Open { id, bytes: Vec::new(), last: 0 });
                self.open.len() - 1
            }
            (Some(_), true) | (None, false) => return Err(FrameError::FragmentOutOfOrder { id }),
        };
        let bytes = self.bytes + frames.len();
        if bytes > bytes_max {
            return Err(FrameError::MessageTooLarge { bytes, bytes_max });
        }
        self.bytes = bytes;
        let open = &mut self.open[index];
        if let Some(last) = last.checked_sub(fragment.len() - frames.len()) {
            clear_final(&mut open.bytes, open.last);
            open.last = open.bytes.len() + last;
            open.bytes.extend_from_slice(frames);
        }
        if !initial.flags.has(Flags::END_FRAGMENT) {
            return Ok(None);
        }
        let mut bytes = self.open.swap_remove(index).bytes;
        self.bytes -= bytes.len();
        set_unfragmented(&mut bytes);
        Message::parse_within(&bytes, bytes_max)?;
        Ok(Some(Reassembled { bytes }))
    }
}

/// Removes IS_FINAL from the frame at `at`. The flags are the last two bytes of a header, the lower
/// one first.
fn clear_final(bytes: &mut [u8], at: usize) {
    let [_, bit] = Flags::IS_FINAL.0.to_le_bytes();
    if let Some(flags) = bytes.get_mut(at + HEADER_BYTES - 1) {
        *flags &= !bit;
    }
}

/// Marks the initial frame of a message as that of one without fragments.
fn set_unfragmented(bytes: &mut [u8]) {
    let [_, bits] = Flags::UNFRAGMENTED.0.to_le_bytes();
    if let Some(flags) = bytes.get_mut(HEADER_BYTES - 1) {
        *flags |= bits;
    }
}
