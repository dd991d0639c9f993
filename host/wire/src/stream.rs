//! A pipe after its handshake.

use crate::reader::FrameReader;
use crate::record::{RecordOpener, RecordSealer};
use crate::writer::FrameWriter;
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

/// A pipe whose two ends have authenticated each other, as returned by [`connect`](crate::connect)
/// and [`accept`](crate::accept). Split it to use it.
pub struct SealedStream<S> {
    pub(crate) io: S,
    pub(crate) sealer: RecordSealer,
    pub(crate) opener: RecordOpener,
    pub(crate) version: u8,
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
