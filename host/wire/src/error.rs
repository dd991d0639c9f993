//! Errors of a stream after its handshake.

use std::io;

use thiserror::Error;

use crate::limits::FRAME_BYTES_MAX;

/// Why a stream ended, or refused a frame.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The pipe failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// The pipe ended between two frames without a close record.
    #[error(
        "the connection ended without an orderly close: the peer crashed, or the connection was cut"
    )]
    Cut,
    /// The pipe ended, or the peer closed the stream, within a frame.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    /// A record does not authenticate: it was altered, repeated, reordered or forged.
    #[error("a record does not authenticate: it was altered in transit")]
    Tampered,
    /// A record announces an invalid length.
    #[error("a record announces an invalid length of {bytes} bytes")]
    RecordLength {
        /// The announced length, in bytes.
        bytes: usize,
    },
    /// A frame is longer than [`FRAME_BYTES_MAX`], in either direction.
    #[error("a frame of {bytes} bytes is too large; at most {FRAME_BYTES_MAX} are allowed")]
    FrameTooLarge {
        /// Length of its payload, in bytes.
        bytes: usize,
    },
    /// More than [`BUFFERED_BYTES_MAX`](crate::BUFFERED_BYTES_MAX) would wait for a flush.
    #[error("{bytes} bytes are already waiting to be sent; flush before writing more")]
    BufferFull {
        /// Bytes that are waiting.
        bytes: usize,
    },
    /// 2^62 records were sent in one direction.
    #[error("the stream has carried 2^62 records; open another")]
    Exhausted,
    /// An earlier error ended the stream.
    #[error("the stream is unusable after an earlier error")]
    Broken,
}
