//! Violations of the framing.

use thiserror::Error;

use crate::limits::{DEPTH_MAX, FRAGMENTED_MAX, FRAMES_MAX};

/// Why the bytes of a peer are not messages. The connection cannot be continued: where the next
/// message begins is unknown, or the peer sends more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first three bytes are not [`PREAMBLE`](super::PREAMBLE).
    #[error("the connection does not begin with CP2, as clients of Hazelcast 4 and 5 begin")]
    Preamble,
    /// A frame announces a length below that of its header.
    #[error("a frame announces a length of {bytes} bytes; at least 6 are needed")]
    FrameTooShort {
        /// The announced length, in bytes.
        bytes: usize,
    },
    /// A message, or all open fragments, are longer than permitted.
    #[error("a message of at least {bytes} bytes is too large; at most {bytes_max} are allowed")]
    MessageTooLarge {
        /// Its length as far as it is known, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// The initial frame has no room for type and correlation id, or that of a fragment for its id.
    #[error("an initial frame of {bytes} bytes is too short")]
    InitialFrameTooShort {
        /// Length of its content, in bytes.
        bytes: usize,
    },
    /// More than [`FRAMES_MAX`] frames.
    #[error("a message has more than {FRAMES_MAX} frames")]
    TooManyFrames,
    /// Data structures are nested more than [`DEPTH_MAX`] deep.
    #[error("a message nests data structures more than {DEPTH_MAX} deep")]
    TooDeep,
    /// A data structure ends that did not begin, or does not end.
    #[error("the begin and end frames of a message do not match")]
    Unbalanced,
    /// More than [`FRAGMENTED_MAX`] fragmented messages are open.
    #[error("more than {FRAGMENTED_MAX} fragmented messages are open")]
    TooManyFragmented,
    /// A fragment of a message that did not begin, or a second beginning.
    #[error("a fragment of message {id} is out of order")]
    FragmentOutOfOrder {
        /// The fragmentation id.
        id: u64,
    },
    /// A message has no last frame, or bytes follow it.
    #[error("the frames of a message do not end where the message ends")]
    Length,
}
