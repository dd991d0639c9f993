//! A pipe after its handshake.

use crate::frame::FRAME_BYTES_MAX;
use crate::reader::FrameReader;
use crate::record::{RecordOpener, RecordSealer};
use crate::writer::FrameWriter;
use std::fmt;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

/// A pipe whose two ends have proved to each other that they know the cluster's name and password,
/// as [`connect`](crate::connect) and [`accept`](crate::accept) give it. Split it to use it.
pub struct SealedStream<S> {
    pub(crate) io: S,
    pub(crate) sealer: RecordSealer,
    pub(crate) opener: RecordOpener,
    pub(crate) version: u8,
}

/// Why a stream came to an end, or took no frame.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The pipe itself failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// The pipe ended between two frames, but the peer said no goodbye.
    #[error("the connection ended without a goodbye: the peer died, or the connection was cut")]
    Cut,
    /// The pipe ended, or the peer said goodbye, within a frame.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    /// A record does not authenticate: it was altered, repeated, reordered or forged on its way.
    #[error("a record does not authenticate: it was altered on its way")]
    Tampered,
    /// A record announces a length that no member sends.
    #[error("a record announces {bytes} bytes; no member sends that")]
    RecordLength {
        /// The length announced.
        bytes: usize,
    },
    /// A frame is over [`FRAME_BYTES_MAX`], in either direction.
    #[error("a frame of {bytes} bytes is too large; at most {FRAME_BYTES_MAX} are allowed")]
    FrameTooLarge {
        /// Length of its payload.
        bytes: usize,
    },
    /// More than [`BUFFERED_BYTES_MAX`](crate::BUFFERED_BYTES_MAX) would wait for a flush.
    #[error("{bytes} bytes wait to be sent already; flush before writing more")]
    BufferFull {
        /// What waits.
        bytes: usize,
    },
    /// 2^62 records went one way.
    #[error("the stream has carried 2^62 records; open another")]
    WornOut,
    /// An earlier error ended the stream.
    #[error("the stream is broken; an earlier error said why")]
    Broken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SealedStream<S> {
    /// The two halves, each to be used from a task of its own.
    pub fn split(self) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>) {
        self.split_with(tokio::io::split)
    }
}

impl<S> SealedStream<S> {
    /// As [`split`](Self::split), with the pipe's own way to come apart: for TCP
    /// `split_with(TcpStream::into_split)`, which needs no lock between the halves.
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

    /// The pipe, for its addresses and options. What is read or written past the seals breaks the
    /// stream.
    pub fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S> fmt::Debug for SealedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStream").field("version", &self.version).finish_non_exhaustive()
    }
}
