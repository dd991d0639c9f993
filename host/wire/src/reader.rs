//! The receiving half of a stream.

use crate::error::StreamError;
use crate::frame::{Frame, FrameHeader};
use crate::record::{LENGTH_BYTES, RECORD_BYTES_MAX, RecordOpener, TAG_BYTES, body_bytes};
use bytes::{Buf, Bytes, BytesMut};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The size of a read adapts between these two to what recent reads returned, in bytes.
const READ_BYTES_MIN: usize = 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// Reads and opens frames.
///
/// It holds no buffer while it waits between frames.
pub struct FrameReader<R> {
    io: R,
    opener: RecordOpener,
    /// The rest of the opened record and its tag, then sealed records as they were read.
    buffer: BytesMut,
    /// Bytes of plaintext at the front of the buffer; if zero, the next sealed record is at the
    /// front.
    opened: usize,
    /// Bytes that the next read asks for.
    read_bytes: usize,
    partial: Partial,
    state: StreamState,
}

/// The part of the next frame that has arrived.
enum Partial {
    Header { encoded: [u8; FrameHeader::BYTES], filled: usize },
    Payload { header: FrameHeader, payload: Vec<u8> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamState {
    Open,
    /// The peer closed the stream in order.
    Ended,
    /// An error was returned; nothing after it can be trusted.
    Broken,
}

const NO_FRAME: Partial = Partial::Header { encoded: [0; FrameHeader::BYTES], filled: 0 };

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(io: R, opener: RecordOpener) -> Self {
        Self {
            io,
            opener,
            buffer: BytesMut::new(),
            opened: 0,
            read_bytes: READ_BYTES_MIN,
            partial: NO_FRAME,
            state: StreamState::Open,
        }
    }

    /// The next frame, or `None` once the peer has closed the stream after a whole frame.
    ///
    /// Cancel-safe: all state is in the reader, and nothing that was read is lost when the future
    /// is dropped, so this may be used in `tokio::select!`. After an error the stream is unusable,
    /// and each further call returns [`StreamError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        match self.state {
            StreamState::Open => {}
            StreamState::Ended => return Ok(None),
            StreamState::Broken => return Err(StreamError::Broken),
        }
        let next = self.next_of_open().await;
        match next {
            Ok(Some(_)) => {}
            Ok(None) => self.end(StreamState::Ended),
            Err(_) => self.end(StreamState::Broken),
        }
        next
    }

    async fn next_of_open(&mut self) -> Result<Option<Frame>, StreamError> {
        loop {
            while self.opened > 0 {
                if let Some(frame) = self.assemble()? {
                    return Ok(Some(frame));
                }
            }
            match self.open_record()? {
                Some(0) if self.is_between_frames() => return Ok(None),
                Some(0) => return Err(StreamError::Truncated),
                Some(_) => continue,
                None => {}
            }
            if self.fill().await.map_err(StreamError::Io)? == 0 {
                let whole = self.buffer.is_empty() && self.is_between_frames();
                return Err(if whole { StreamError::Cut } else { StreamError::Truncated });
            }
        }
    }

    /// Opens the record at the front of the buffer, if all of it has arrived; returns the length of
    /// its plaintext.
    fn open_record(&mut self) -> Result<Option<usize>, StreamError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let body = body_bytes(*length)?;
        let Some(sealed) = self.buffer.get_mut(LENGTH_BYTES..LENGTH_BYTES + body) else {
            return Ok(None);
        };
        self.opened = self.opener.open(sealed)?;
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.opened))
    }

    /// Moves opened plaintext into the partial frame; returns the frame once it is complete.
    fn assemble(&mut self) -> Result<Option<Frame>, StreamError> {
        match &mut self.partial {
            Partial::Header { encoded, filled } => {
                let taken = self.opened.min(FrameHeader::BYTES - *filled);
                encoded[*filled..*filled + taken].copy_from_slice(&self.buffer[..taken]);
                *filled += taken;
                let whole = (*filled == FrameHeader::BYTES).then_some(*encoded);
                self.consume(taken);
                let Some(encoded) = whole else { return Ok(None) };
                let header = FrameHeader::decode(encoded)?;
                if header.bytes > self.opened {
                    self.partial = Partial::Payload { header, payload: Vec::new() };
                    return Ok(None);
                }
                let payload = Bytes::copy_from_slice(&self.buffer[..header.bytes]);
                self.consume(header.bytes);
                self.partial = NO_FRAME;
                Ok(Some(header.with(payload)))
            }
            Partial::Payload { header, payload } => {
                let header = *header;
                let taken = self.opened.min(header.bytes - payload.len());
                make_room(payload, taken, header.bytes);
                payload.extend_from_slice(&self.buffer[..taken]);
                let whole = (payload.len() == header.bytes).then(|| std::mem::take(payload));
                self.consume(taken);
                let Some(payload) = whole else { return Ok(None) };
                self.partial = NO_FRAME;
                Ok(Some(header.with(payload.into())))
            }
        }
    }

    /// Removes plaintext from the front of the buffer, and the record's tag after the last of it.
    fn consume(&mut self, bytes: usize) {
        if bytes > 0 {
            self.buffer.advance(bytes);
            self.opened -= bytes;
            if self.opened == 0 {
                self.buffer.advance(TAG_BYTES);
            }
        }
    }

    /// Reads once; returns zero at the end of the pipe. The only place where the reader waits; all
    /// state is in `self` by then.
    async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            self.buffer.reserve(self.read_bytes);
            let asked = self.buffer.capacity() - self.buffer.len();
            let polled = pin!(self.io.read_buf(&mut self.buffer)).poll(cx);
            match polled {
                Poll::Pending if self.buffer.is_empty() => self.buffer = BytesMut::new(),
                Poll::Ready(Ok(bytes)) if bytes == asked => {
                    self.read_bytes = READ_BYTES_MAX.min(self.read_bytes * 2);
                }
                Poll::Ready(Ok(bytes)) if bytes < self.read_bytes / 4 => {
                    self.read_bytes = READ_BYTES_MIN.max(self.read_bytes / 2);
                }
                _ => {}
            }
            polled
        })
        .await
    }

    fn is_between_frames(&self) -> bool {
        matches!(self.partial, Partial::Header { filled: 0, .. })
    }

    fn end(&mut self, state: StreamState) {
        self.state = state;
        self.buffer = BytesMut::new();
        self.opened = 0;
        self.partial = NO_FRAME;
    }
}

/// Reserves space for `more` bytes of a payload whose announced length is `announced`. Memory grows
/// with what has arrived, at most doubling, and ends at exactly the announced length: the
/// announcement alone allocates one record at most.
fn make_room(payload: &mut Vec<u8>, more: usize, announced: usize) {
    if payload.capacity() - payload.len() < more {
        let arrived = payload.len() + more;
        let capacity = announced.min(arrived.max(RECORD_BYTES_MAX).max(2 * payload.len()));
        payload.reserve_exact(capacity - payload.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX;
    use crate::record::RecordSealer;
    use crate::writer::FrameWriter;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    const KEY: [u8; 32] = [1; 32];

    fn frame(request: u32, payload: impl Into<Bytes>) -> Frame {
        Frame { kind: 3, request, payload: payload.into() }
    }

    fn reader<R: AsyncRead + Unpin>(io: R) -> FrameReader<R> {
        FrameReader::new(io, RecordOpener::new(&KEY))
    }

    /// The bytes that a writer sends for these frames, with a close record if `close` is set.
    async fn sent(frames: &[Frame], close: bool) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut writer = FrameWriter::new(&mut sent, RecordSealer::new(&KEY));
        for frame in frames {
            writer.write(frame).unwrap();
        }
        writer.flush().await.unwrap();
        if close {
            writer.close().await.unwrap();
        }
        sent
    }

    /// Plaintext sealed as records that end at the positions in `ends`.
    fn records(plaintext: &[u8], ends: &[usize]) -> Vec<u8> {
        let mut sealer = RecordSealer::new(&KEY);
        let mut sent = Vec::new();
        let mut rest = plaintext;
        for &end in ends {
            let (record, after) = rest.split_at(end.min(rest.len()));
            rest = after;
            let start = sent.len();
            sent.extend_from_slice(&[0; LENGTH_BYTES]);
            sent.extend_from_slice(record);
            sealer.seal_tail(&mut sent, start).unwrap();
        }
        sent
    }

    async fn all(
        reader: &mut FrameReader<impl AsyncRead + Unpin>,
    ) -> (Vec<Frame>, Option<StreamError>) {
        let mut frames = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[tokio::test]
    async fn frames_arrive_in_order_and_end_with_the_close_record() {
        let frames =
            [frame(1, ""), frame(2, "two"), frame(3, vec![9; 40_000]), frame(u32::MAX, "last")];
        let sent = sent(&frames, true).await;
        let mut reader = reader(&sent[..]);
        let (received, error) = all(&mut reader).await;
        assert_eq!(received, frames);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(reader.next().await.unwrap(), None, "the end is permanent");
    }

    #[tokio::test]
    async fn an_end_without_a_close_record_is_cut_between_frames_and_truncated_within_one() {
        let frames = [frame(1, "one"), frame(2, vec![9; 20_000])];
        let whole = sent(&frames, false).await;
        for end in 0..whole.len() {
            let (received, error) = all(&mut reader(&whole[..end])).await;
            assert!(received.is_empty() || received == frames[..1], "at {end}");
            match error {
                Some(StreamError::Cut) => assert_eq!(end, 0),
                Some(StreamError::Truncated) => assert_ne!(end, 0),
                other => panic!("{other:?} at {end}"),
            }
        }
        let (received, error) = all(&mut reader(&whole[..])).await;
        assert_eq!(received, frames);
        assert!(matches!(error, Some(StreamError::Cut)), "{error:?}");
    }

    #[tokio::test]
    async fn a_close_record_within_a_frame_is_a_truncation() {
        let header = FrameHeader { bytes: 10, kind: 0, request: 0 }.encode();
        for partial in [&header[..4], &header[..]] {
            let sent = records(partial, &[partial.len(), 0]);
            let error = reader(&sent[..]).next().await.unwrap_err();
            assert!(matches!(error, StreamError::Truncated), "{error}");
        }
    }

    #[tokio::test]
    async fn bytes_after_the_close_record_are_not_read() {
        let mut sent = sent(&[frame(1, "one")], true).await;
        sent.extend_from_slice(b"garbage");
        let (received, error) = all(&mut reader(&sent[..])).await;
        assert_eq!((received.len(), error.is_none()), (1, true));
    }

    #[tokio::test]
    async fn after_an_error_the_reader_stays_broken() {
        let mut sent = sent(&[frame(1, "one"), frame(2, "two")], true).await;
        sent[5] ^= 1;
        let mut reader = reader(&sent[..]);
        assert!(matches!(reader.next().await, Err(StreamError::Tampered)));
        assert!(matches!(reader.next().await, Err(StreamError::Broken)));
    }

    #[tokio::test]
    async fn an_announced_length_allocates_no_memory() {
        let header = FrameHeader { bytes: FRAME_BYTES_MAX, kind: 0, request: 0 }.encode();
        let mut plaintext = header.to_vec();
        plaintext.extend_from_slice(&[0; 100]);
        let (io, mut far) = tokio::io::duplex(1 << 16);
        let mut reader = reader(io);
        far.write_all(&records(&plaintext, &[plaintext.len()])).await.unwrap();
        tokio::select! {
            biased;
            next = reader.next() => panic!("{next:?}"),
            () = std::future::ready(()) => {}
        }
        let Partial::Payload { payload, .. } = &reader.partial else { panic!("no payload begun") };
        assert_eq!(payload.len(), 100);
        assert!(payload.capacity() <= RECORD_BYTES_MAX);
        assert_eq!(reader.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_its_payload() {
        let mut encoded = [0; FrameHeader::BYTES];
        encoded[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = reader(&records(&encoded, &[9])[..]).next().await.unwrap_err();
        assert!(matches!(error, StreamError::FrameTooLarge { bytes: 4_294_967_295 }), "{error}");
    }

    #[tokio::test]
    async fn a_waiting_reader_holds_no_buffer() {
        let (io, mut far) = tokio::io::duplex(1 << 20);
        let mut reader = reader(io);
        far.write_all(&sent(&[frame(1, vec![0; 300_000])], false).await).await.unwrap();
        assert!(reader.next().await.unwrap().is_some());
        tokio::select! {
            biased;
            next = reader.next() => panic!("{next:?}"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(reader.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn next_is_cancel_safe() {
        let frames: Vec<_> = (0..40).map(|n| frame(n, vec![n as u8; 500 * n as usize])).collect();
        let sent = sent(&frames, true).await;
        let (io, mut far) = tokio::io::duplex(64);
        let mut reader = reader(io);
        let mut received = Vec::new();
        let mut cancelled = 0;
        let feed = async {
            for piece in sent.chunks(37) {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            loop {
                tokio::select! {
                    biased;
                    next = reader.next() => match next.unwrap() {
                        Some(frame) => received.push(frame),
                        None => break,
                    },
                    () = tokio::task::yield_now() => cancelled += 1,
                }
            }
        };
        tokio::join!(feed, read);
        assert_eq!(received, frames);
        assert!(cancelled > 100, "it was cancelled only {cancelled} times");
    }

    #[tokio::test]
    async fn a_payload_has_an_allocation_of_its_own() {
        let frames = [frame(1, "small"), frame(2, vec![0; 100_000])];
        let sent = sent(&frames, true).await;
        let (received, _) = all(&mut reader(&sent[..])).await;
        for frame in received {
            let bytes = frame.payload.len();
            let owned = Vec::from(frame.payload);
            assert_eq!(owned.capacity(), bytes);
        }
    }

    /// Bytes that arrive on an established stream: only frames that were sent are received.
    #[test]
    fn fuzz_stream() {
        let frames = [frame(1, "one"), frame(2, vec![2; 300]), frame(3, "")];
        let whole = block_on(sent(&frames, true));
        let samples = [whole.clone(), block_on(sent(&frames[..1], false)), b"\0\x40".repeat(40)];
        convoke_harness::check!(&samples, |bytes| {
            let (received, error) = block_on(all(&mut reader(bytes)));
            assert_eq!(received, frames[..received.len()]);
            assert!(error.is_some() || bytes.starts_with(&whole));
        });
    }

    /// Input of a peer that has the keys: arbitrary plaintext in arbitrary records. The first byte
    /// is the length of each record but the last.
    #[test]
    fn fuzz_frames() {
        let plaintext = |frames: &[Frame]| {
            let of = |f: &Frame| [&FrameHeader::of(f).unwrap().encode()[..], &f.payload].concat();
            frames.iter().flat_map(of).collect::<Vec<u8>>()
        };
        let frames = [frame(1, "one"), frame(2, ""), frame(u32::MAX, vec![2; 100])];
        let large = FrameHeader { bytes: FRAME_BYTES_MAX, kind: 0, request: 0 }.encode();
        let samples = [
            [&[7][..], &plaintext(&frames)].concat(),
            [&[200][..], &plaintext(&frames[1..])].concat(),
            [&[5][..], &large, b"the begin"].concat(),
            [&[3][..], &[0xff; 40]].concat(),
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Some((length, plaintext)) = bytes.split_first() else { return };
            let length = usize::from(*length).max(1);
            let ends = vec![length; plaintext.len().div_ceil(length)];
            let (received, _) = block_on(all(&mut reader(&records(plaintext, &ends)[..])));
            let mut rest = plaintext;
            for frame in received {
                let header = FrameHeader::of(&frame).unwrap().encode();
                rest = rest.strip_prefix(&header[..]).expect("its header was sent");
                rest = rest.strip_prefix(&frame.payload[..]).expect("its payload was sent");
            }
        });
    }

    proptest! {
        #[test]
        fn a_flipped_bit_ends_the_stream_with_an_error(
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
        ) {
            let frames = [frame(1, "one"), frame(2, vec![2; 20_000]), frame(3, "three")];
            let mut sent = block_on(sent(&frames, true));
            let at = at.index(sent.len());
            sent[at] ^= 1 << bit;
            let (received, error) = block_on(all(&mut reader(&sent[..])));
            prop_assert!(error.is_some());
            prop_assert_eq!(&received[..], &frames[..received.len()]);
        }

        #[test]
        fn frames_survive_any_split_into_records_and_reads(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20),
            ends in prop::collection::vec(1..300_usize, 0..100),
            pipe in 1..500_usize,
        ) {
            let frames: Vec<_> =
                payloads.into_iter().enumerate().map(|(at, p)| frame(at as u32, p)).collect();
            let plaintext: Vec<u8> = frames
                .iter()
                .flat_map(|f| [&FrameHeader::of(f).unwrap().encode(), &f.payload[..]].concat())
                .collect();
            // The remainder goes into final records, then the close record.
            let mut lengths = Vec::new();
            let mut left = plaintext.len();
            for end in ends.into_iter().chain(std::iter::repeat(RECORD_BYTES_MAX)) {
                if left == 0 {
                    break;
                }
                lengths.push(end.min(left));
                left -= end.min(left);
            }
            lengths.push(0);
            let sent = records(&plaintext, &lengths);
            let (received, error) = block_on(async {
                let (io, mut far) = tokio::io::duplex(pipe);
                let mut reader = reader(io);
                let (read, ()) = tokio::join!(all(&mut reader), async {
                    // The reader may stop at the close record before the last byte is read.
                    let _ = far.write_all(&sent).await;
                });
                read
            });
            prop_assert!(error.is_none(), "{:?}", error);
            prop_assert_eq!(received, frames);
        }
    }
}
