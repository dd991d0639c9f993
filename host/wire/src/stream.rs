//! A pipe after its handshake.

use crate::frame::FRAME_BYTES_MAX;
use crate::reader::FrameReader;
use crate::record::{RecordOpener, RecordSealer};
use crate::writer::FrameWriter;
use std::fmt;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

/// A pipe whose two ends have authenticated each other, as returned by [`connect`](crate::connect)
/// and [`accept`](crate::accept). Split it to use it.
pub struct SealedStream<S> {
    pub(crate) io: S,
    pub(crate) sealer: RecordSealer,
    pub(crate) opener: RecordOpener,
    pub(crate) version: u8,
}

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

impl<S: AsyncRead + AsyncWrite + Unpin> SealedStream<S> {
    /// Splits the stream into halves that can be used by different tasks.
    pub fn split(self) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>) {
        self.split_with(tokio::io::split)
    }
}

impl<S> SealedStream<S> {
    /// Like [`split`](Self::split), with a function that splits the pipe: for TCP,
    /// `split_with(TcpStream::into_split)` needs no lock between the halves.
    pub fn split_with<R, W>(
        self,
        halve: impl FnOnce(S) -> (R, W),
    ) -> (FrameReader<R>, FrameWriter<W>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (read, write) = halve(self.io);
        (FrameReader::new(read, self.opener), FrameWriter::new(write, self.sealer))
    }

    /// The protocol version that the two ends agreed on.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The pipe, for its addresses and options. Reading or writing it directly breaks the stream.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S> fmt::Debug for SealedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStream").field("version", &self.version).finish_non_exhaustive()
    }
}
