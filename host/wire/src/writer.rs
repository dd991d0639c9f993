//! The sending half of a stream.

use crate::error::StreamError;
use crate::frame::{Frame, FrameHeader};
use crate::limits::{BUFFERED_BYTES_MAX, WRITE_BYTES_MAX};
use crate::record::{LENGTH_BYTES, RECORD_BYTES_MAX, RecordSealer, TAG_BYTES};
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// An idle buffer up to this size is always kept, in bytes.
const IDLE_BYTES_MAX: usize = 1024;
/// A buffer up to this size is kept after a flush that used a good part of it, in bytes.
const BUSY_BYTES_MAX: usize = 2 * WRITE_BYTES_MAX;

/// Seals and writes frames.
///
/// [`write`](Self::write) buffers a frame, [`flush`](Self::flush) sends the buffered frames,
/// [`send`](Self::send) does both, and [`close`](Self::close) ends the stream in order. Small
/// frames buffered before one flush share records and system calls. If the writer is dropped
/// without `close`, the peer reads [`StreamError::Cut`].
///
/// A buffer that was hardly used, or is larger than 128 KiB, is released: an idle writer holds at
/// most 1 KiB.
pub struct FrameWriter<W> {
    io: W,
    sealer: RecordSealer,
    /// Sealed records, then perhaps an unfinished one in plaintext.
    buffer: Vec<u8>,
    /// Bytes of the buffer that have been passed to `io`.
    written: usize,
    /// Start of the unfinished record.
    filling: Option<usize>,
    broken: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(io: W, sealer: RecordSealer) -> Self {
        Self { io, sealer, buffer: Vec::new(), written: 0, filling: None, broken: false }
    }

    /// Buffers a frame. After `FrameTooLarge` or `BufferFull` the frame was not buffered and the
    /// stream is intact; after any other error the stream is unusable.
    pub fn write(&mut self, frame: &Frame) -> Result<(), StreamError> {
        if self.broken {
            return Err(StreamError::Broken);
        }
        let header = FrameHeader::of(frame)?;
        let needed = sealed_bytes_max(FrameHeader::BYTES + header.bytes);
        if self.buffered() + needed > BUFFERED_BYTES_MAX {
            return Err(StreamError::BufferFull { bytes: self.buffered() });
        }
        self.reclaim();
        self.buffer.reserve(needed);
        let sealed = self.append(&header.encode()).and_then(|()| self.append(&frame.payload));
        self.note(sealed)
    }

    /// Sends all buffered frames.
    ///
    /// Cancel-safe: bytes that a dropped call left unsent are sent by the next one.
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        if self.broken {
            return Err(StreamError::Broken);
        }
        let flushed = self.flush_buffer().await;
        self.note(flushed)
    }

    /// Buffers a frame and sends all buffered frames. As cancel-safe as [`flush`](Self::flush):
    /// after a dropped call the frame is buffered and must not be passed again.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), StreamError> {
        self.write(frame)?;
        self.flush().await
    }

    /// Sends all buffered frames and a close record, so that the peer can tell this end from a cut
    /// connection, and shuts down the sending direction.
    pub async fn close(mut self) -> Result<(), StreamError> {
        self.flush().await?;
        let start = self.begin_record();
        self.filling = None;
        self.sealer.seal_tail(&mut self.buffer, start)?;
        self.flush_buffer().await?;
        self.io.shutdown().await.map_err(StreamError::Io)
    }

    /// Bytes that are waiting for a flush.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Removes sent bytes once they are the larger part, so that the buffer does not grow without
    /// bound if flushes never finish.
    fn reclaim(&mut self) {
        if self.written > self.buffer.len() / 2 {
            self.buffer.drain(..self.written);
            self.filling = self.filling.map(|start| start - self.written);
            self.written = 0;
        }
    }

    fn append(&mut self, mut plaintext: &[u8]) -> Result<(), StreamError> {
        while !plaintext.is_empty() {
            let start = self.filling.unwrap_or_else(|| self.begin_record());
            let filled = self.buffer.len() - start - LENGTH_BYTES;
            let taken = plaintext.len().min(RECORD_BYTES_MAX - filled);
            self.buffer.extend_from_slice(&plaintext[..taken]);
            plaintext = &plaintext[taken..];
            if filled + taken == RECORD_BYTES_MAX {
                self.end_record()?;
            }
        }
        Ok(())
    }

    fn begin_record(&mut self) -> usize {
        debug_assert!(self.filling.is_none());
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; LENGTH_BYTES]);
        self.filling = Some(start);
        start
    }

    fn end_record(&mut self) -> Result<(), StreamError> {
        match self.filling.take() {
            Some(start) => self.sealer.seal_tail(&mut self.buffer, start),
            None => Ok(()),
        }
    }

    async fn flush_buffer(&mut self) -> Result<(), StreamError> {
        self.end_record()?;
        while self.written < self.buffer.len() {
            let end = self.buffer.len().min(self.written + WRITE_BYTES_MAX);
            match self.io.write(&self.buffer[self.written..end]).await.map_err(StreamError::Io)? {
                0 => return Err(StreamError::Io(io::ErrorKind::WriteZero.into())),
                bytes => self.written += bytes,
            }
        }
        let (used, capacity) = (self.buffer.len(), self.buffer.capacity());
        self.written = 0;
        let is_busy = capacity <= BUSY_BYTES_MAX && used >= capacity / 4;
        if capacity > IDLE_BYTES_MAX && !is_busy {
            self.buffer = Vec::new();
        } else {
            self.buffer.clear();
        }
        self.io.flush().await.map_err(StreamError::Io)
    }

    fn note(&mut self, result: Result<(), StreamError>) -> Result<(), StreamError> {
        self.broken |= result.is_err();
        result
    }
}

/// Upper bound of the sealed size of `bytes` of plaintext, wherever in a record they begin.
fn sealed_bytes_max(bytes: usize) -> usize {
    bytes + (bytes / RECORD_BYTES_MAX + 2) * (LENGTH_BYTES + TAG_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use crate::reader::FrameReader;
    use crate::record::RecordOpener;
    use bytes::Bytes;
    use tokio::io::AsyncReadExt;

    fn frame(request: u32, payload: impl Into<Bytes>) -> Frame {
        Frame { kind: 1, request, payload: payload.into() }
    }

    fn writer<W: AsyncWrite + Unpin>(io: W) -> FrameWriter<W> {
        FrameWriter::new(io, RecordSealer::new(&[1; 32]))
    }

    fn reader(bytes: &[u8]) -> FrameReader<&[u8]> {
        FrameReader::new(bytes, RecordOpener::new(&[1; 32]))
    }

    #[tokio::test]
    async fn small_frames_buffered_before_a_flush_share_one_record() {
        let mut sent = Vec::new();
        let mut writer = writer(&mut sent);
        for request in 0..10 {
            writer.write(&frame(request, "0123456789")).unwrap();
        }
        assert_eq!(writer.buffered(), LENGTH_BYTES + 10 * (FrameHeader::BYTES + 10));
        writer.flush().await.unwrap();
        assert_eq!(writer.buffered(), 0);
        assert_eq!(sent.len(), LENGTH_BYTES + 10 * (FrameHeader::BYTES + 10) + TAG_BYTES);
    }

    #[tokio::test]
    async fn an_idle_writer_holds_almost_no_memory() {
        let mut sent = Vec::new();
        let mut writer = writer(&mut sent);
        writer.send(&frame(1, vec![0; FRAME_BYTES_MAX])).await.unwrap();
        assert!(writer.buffer.capacity() <= IDLE_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_busy_writer_keeps_its_buffer_until_it_is_idle() {
        let mut sent = Vec::new();
        let mut writer = writer(&mut sent);
        writer.send(&frame(1, vec![0; WRITE_BYTES_MAX])).await.unwrap();
        assert!(writer.buffer.capacity() > WRITE_BYTES_MAX);
        writer.send(&frame(2, "a heartbeat")).await.unwrap();
        assert!(writer.buffer.capacity() <= IDLE_BYTES_MAX);
    }

    #[tokio::test]
    async fn a_full_buffer_is_refused_and_accepted_again_after_a_flush() {
        let mut sent = Vec::new();
        let mut writer = writer(&mut sent);
        let full = frame(1, vec![0; FRAME_BYTES_MAX]);
        writer.write(&full).unwrap();
        writer.write(&full).unwrap();
        let waiting = writer.buffered();
        let error = writer.write(&full).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{waiting} bytes are already waiting to be sent; flush before writing more")
        );
        assert_eq!(writer.buffered(), waiting);
        writer.flush().await.unwrap();
        writer.write(&full).unwrap();
    }

    #[tokio::test]
    async fn a_too_large_frame_is_refused_and_the_stream_stays_usable() {
        let mut sent = Vec::new();
        let mut writer = writer(&mut sent);
        let error = writer.send(&frame(1, vec![0; FRAME_BYTES_MAX + 1])).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a frame of 4194305 bytes is too large; at most 4194304 are allowed"
        );
        writer.send(&frame(2, "fits")).await.unwrap();
        assert_eq!(reader(&sent).next().await.unwrap(), Some(frame(2, "fits")));
    }

    #[tokio::test]
    async fn a_cancelled_flush_is_finished_by_the_next() {
        let (io, mut far) = tokio::io::duplex(100);
        let mut writer = writer(io);
        let payload = vec![7; 50_000];
        writer.write(&frame(1, payload.clone())).unwrap();
        let mut sent = vec![0; 30];
        for _ in 0..20 {
            tokio::select! {
                biased;
                done = writer.flush() => panic!("100 bytes of pipe held the whole frame: {done:?}"),
                () = std::future::ready(()) => {}
            }
            let at = sent.len();
            sent.resize(at + 30, 0);
            far.read_exact(&mut sent[at..]).await.unwrap();
        }
        sent.drain(..30);
        let (closed, rest) = tokio::join!(writer.close(), async {
            let mut rest = Vec::new();
            far.read_to_end(&mut rest).await.map(|_| rest)
        });
        closed.unwrap();
        sent.extend(rest.unwrap());
        let mut reader = reader(&sent);
        assert_eq!(reader.next().await.unwrap(), Some(frame(1, payload)));
        assert_eq!(reader.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn unfinished_flushes_do_not_grow_the_buffer_without_bound() {
        let (io, mut far) = tokio::io::duplex(4000);
        let mut writer = writer(io);
        let mut sent = Vec::new();
        for request in 0..500 {
            while writer.buffered() < 8000 {
                writer.write(&frame(request, vec![7; 1000])).unwrap();
            }
            tokio::select! {
                biased;
                done = writer.flush() => panic!("4000 bytes of pipe held everything: {done:?}"),
                () = std::future::ready(()) => {}
            }
            let at = sent.len();
            sent.resize(at + 4000, 0);
            far.read_exact(&mut sent[at..]).await.unwrap();
            assert!(writer.buffer.capacity() < 64_000, "{}", writer.buffer.capacity());
        }
        let mut reader = reader(&sent);
        let mut received = 0;
        while let Ok(Some(frame)) = reader.next().await {
            assert_eq!(frame.payload, vec![7; 1000]);
            received += 1;
        }
        assert!(received > 1900, "{received}");
    }

    #[tokio::test]
    async fn after_an_error_of_the_pipe_the_writer_is_unusable() {
        let (io, far) = tokio::io::duplex(100);
        drop(far);
        let mut writer = writer(io);
        let error = writer.send(&frame(1, "")).await.unwrap_err();
        assert!(matches!(error, StreamError::Io(_)), "{error}");
        assert!(matches!(writer.write(&frame(1, "")), Err(StreamError::Broken)));
        assert!(matches!(writer.flush().await, Err(StreamError::Broken)));
    }
}
