//! Messages: the header in the initial frame, and the writer of messages.
//!
//! ```text
//! request   [i32 LE type][i64 LE correlation id][i32 LE partition id, -1: none][fixed-size fields]
//! response  [i32 LE type][i64 LE correlation id][u8 backup acknowledgements][fixed-size fields]
//! event     [i32 LE type][i64 LE correlation id of the request][i32 LE -1][fixed-size fields]
//! ```
//!
//! Fields of variable size are the frames that follow.

use std::fmt;

use crate::frame::{Flags, Frame, FrameError, Frames, HEADER_BYTES, Scan, Scanned};
use crate::limits::MESSAGE_BYTES_MAX;

/// The partition id of requests without a partition, and of events.
pub const NO_PARTITION: i32 = -1;

/// Type of a message: `0x00SSMMKK`, the ids of its service and method, and its kind: 0 for a
/// request, 1 for a response, 2 and above for events. An error is type 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageType(pub u32);

impl MessageType {
    /// The response to a request that failed.
    pub const ERROR: Self = Self(0);

    /// Type of a request.
    #[must_use]
    pub const fn request(service: u8, method: u8) -> Self {
        Self((service as u32) << 16 | (method as u32) << 8)
    }

    /// Type of the message of this kind that belongs to the same method.
    #[must_use]
    pub const fn kind(self, kind: u8) -> Self {
        Self(self.0 & !0xff | kind as u32)
    }

    /// Type of the response to this request.
    #[must_use]
    pub const fn response(self) -> Self {
        self.kind(1)
    }

    /// Id of the service.
    #[must_use]
    pub const fn service_id(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Id of the method.
    #[must_use]
    pub const fn method_id(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Whether this is a request. The first byte has to be 0.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.0 & 0xff00_00ff == 0 && self.0 != 0
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:06x}", self.0)
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Offset of the partition in requests and events, in bytes.
const PARTITION_AT: usize = HEADER_BYTES + 12;

/// Sets the partition of an encoded event. Clients pass the events of one partition to listeners in
/// the order in which they arrive, those without a partition in any order.
pub fn set_event_partition(event: &mut [u8], partition_id: i32) {
    let field = event.get_mut(PARTITION_AT..).and_then(|rest| rest.first_chunk_mut());
    if let Some(field) = field {
        *field = partition_id.to_le_bytes();
    }
}

/// The beginning of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its type.
    pub message_type: MessageType,
    /// Chosen by the client for each request. A response has that of its request, an event that of
    /// the request that registered its listener.
    pub correlation_id: i64,
    /// The partition of a request. [`NO_PARTITION`] or another negative number if it has none.
    /// Clients compute it from the key, some of them wrongly for one hash: use the key's instead.
    pub partition_id: i32,
    /// Flags of the initial frame.
    pub flags: Flags,
}

/// A whole message in contiguous bytes. Its frames are within the limits, only the last one is
/// final, and data structures that begin end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message that `bytes` consist of.
    ///
    /// # Errors
    /// `bytes` are not one message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        Self::parse_within(bytes, MESSAGE_BYTES_MAX)
    }

    pub(crate) fn parse_within(bytes: &'a [u8], bytes_max: usize) -> Result<Self, FrameError> {
        let mut scan = Scan::default();
        match scan.advance(bytes, bytes_max)? {
            Scanned::Complete { bytes: end } if end == bytes.len() && !scan.is_fragment => {
                Ok(Self { bytes })
            }
            _ => Err(FrameError::Length),
        }
    }

    /// A message that a [`Scan`] has checked.
    pub(crate) const fn of_checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Its encoding.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> Header {
        let initial = self.initial();
        let number = |at: usize| initial.content.get(at..).and_then(|rest| rest.first_chunk());
        let id = initial.content.get(4..).and_then(|rest| rest.first_chunk());
        Header {
            message_type: MessageType(number(0).map_or(0, |bytes| u32::from_le_bytes(*bytes))),
            correlation_id: id.map_or(0, |bytes| i64::from_le_bytes(*bytes)),
            partition_id: number(12).map_or(NO_PARTITION, |bytes| i32::from_le_bytes(*bytes)),
            flags: initial.flags,
        }
    }

    /// The initial frame.
    pub(crate) fn initial(&self) -> Frame<'a> {
        let empty = Frame { flags: Flags::NONE, content: &[] };
        Frames::new(self.bytes).next().unwrap_or(empty)
    }

    /// The frames after the initial one.
    #[must_use]
    pub fn frames(&self) -> Frames<'a> {
        let mut frames = Frames::new(self.bytes);
        frames.next();
        frames
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { message_type, correlation_id, partition_id, flags } = self.header();
        f.debug_struct("Message")
            .field("message_type", &message_type)
            .field("correlation_id", &correlation_id)
            .field("partition_id", &partition_id)
            .field("flags", &flags)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Writes a message at the end of a buffer, in one pass: lengths, and IS_FINAL of the last frame,
/// are set once they are known.
#[derive(Debug)]
#[must_use = "a message ends with `finish`"]
pub struct Writer<'b> {
    buffer: &'b mut Vec<u8>,
    /// Offset of the last frame.
    last: usize,
}

impl<'b> Writer<'b> {
    /// Begins a response. Fixed-size fields follow, then [`end`](Self::end). `backup_acks` is the
    /// number of backups that the client has to wait for; only for requests with
    /// [`Flags::BACKUP_AWARE`].
    pub fn response(
        buffer: &'b mut Vec<u8>,
        message_type: MessageType,
        correlation_id: i64,
        backup_acks: u8,
    ) -> Self {
        let mut writer = Self::message(buffer, Flags::NONE, message_type, correlation_id);
        writer.fixed(&[backup_acks]);
        writer
    }

    /// Begins an event for the listener that the request with this correlation id registered.
    /// Fixed-size fields follow, then [`end`](Self::end).
    pub fn event(
        buffer: &'b mut Vec<u8>,
        flags: Flags,
        message_type: MessageType,
        correlation_id: i64,
    ) -> Self {
        let flags = flags | Flags::IS_EVENT;
        let mut writer = Self::message(buffer, flags, message_type, correlation_id);
        writer.fixed(&NO_PARTITION.to_le_bytes());
        writer
    }

    /// Begins a request. Fixed-size fields follow, then [`end`](Self::end).
    pub fn request(
        buffer: &'b mut Vec<u8>,
        flags: Flags,
        message_type: MessageType,
        correlation_id: i64,
        partition_id: i32,
    ) -> Self {
        let mut writer = Self::message(buffer, flags, message_type, correlation_id);
        writer.fixed(&partition_id.to_le_bytes());
        writer
    }

    fn message(
        buffer: &'b mut Vec<u8>,
        flags: Flags,
        message_type: MessageType,
        correlation_id: i64,
    ) -> Self {
        let mut writer = Self { last: buffer.len(), buffer };
        writer.open(Flags::UNFRAGMENTED | flags);
        writer.fixed(&message_type.0.to_le_bytes());
        writer.fixed(&correlation_id.to_le_bytes());
        writer
    }

    /// Begins a frame; fixed-size fields follow, then [`end`](Self::end).
    pub(crate) fn open(&mut self, flags: Flags) {
        self.last = self.buffer.len();
        self.header(HEADER_BYTES, flags);
    }

    /// Appends to the frame that is open.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Ends the frame that is open.
    pub fn end(&mut self) {
        let length = wire_length(self.buffer.len() - self.last);
        if let Some(field) = self.buffer.get_mut(self.last..self.last + 4) {
            field.copy_from_slice(&length);
        }
    }

    /// Writes a frame.
    pub fn frame(&mut self, flags: Flags, content: &[u8]) {
        self.last = self.buffer.len();
        self.buffer.reserve(HEADER_BYTES + content.len());
        self.header(HEADER_BYTES + content.len(), flags);
        self.buffer.extend_from_slice(content);
    }

    fn header(&mut self, bytes: usize, flags: Flags) {
        let [l0, l1, l2, l3] = wire_length(bytes);
        let [f0, f1] = flags.0.to_le_bytes();
        self.buffer.extend_from_slice(&[l0, l1, l2, l3, f0, f1]);
    }

    /// Length of the buffer so far, in bytes.
    #[must_use]
    pub(crate) fn length(&self) -> usize {
        self.buffer.len()
    }

    /// Ends the message.
    pub fn finish(self) {
        let [_, bit] = Flags::IS_FINAL.0.to_le_bytes();
        if let Some(flags) = self.buffer.get_mut(self.last + HEADER_BYTES - 1) {
            *flags |= bit;
        }
    }
}

/// The length of a frame as it is sent. One that is too long is not a valid frame; it is refused by
/// the receiver.
fn wire_length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_an_event_can_be_set() {
        let mut event = Vec::new();
        let mut writer = Writer::event(&mut event, Flags::NONE, MessageType(0x01_1902), 7);
        writer.end();
        writer.finish();
        assert_eq!(Message::parse(&event).unwrap().header().partition_id, NO_PARTITION);
        set_event_partition(&mut event, 270);
        assert_eq!(Message::parse(&event).unwrap().header().partition_id, 270);
        set_event_partition(&mut [], 1);
    }

    #[test]
    fn a_message_type_has_the_ids_of_service_and_method() {
        let put = MessageType::request(0x01, 0x0f);
        assert_eq!(put, MessageType(0x01_0f00));
        assert_eq!((put.service_id(), put.method_id()), (1, 15));
        assert_eq!((put.response(), put.kind(2)), (MessageType(0x01_0f01), MessageType(0x01_0f02)));
        assert_eq!(put.to_string(), "0x010f00");
        assert!(put.is_request());
        for other in [0, 0x01_0f01, 0x0101_0f00] {
            assert!(!MessageType(other).is_request(), "{other}");
        }
    }

    #[test]
    fn a_message_that_ends_with_its_initial_frame_has_all_flags_in_it() {
        let mut buffer = Vec::new();
        let message_type = MessageType(0x0b01);
        let mut writer = Writer::response(&mut buffer, message_type, 0x0102, 3);
        writer.end();
        writer.finish();
        let expected = [19, 0, 0, 0, 0, 0xe0, 1, 0x0b, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3];
        assert_eq!(buffer, expected);
        let header = Message::parse(&buffer).unwrap().header();
        let flags = Flags::UNFRAGMENTED | Flags::IS_FINAL;
        let partition_id = NO_PARTITION;
        assert_eq!(header, Header { message_type, correlation_id: 0x0102, partition_id, flags });
    }

    #[test]
    fn messages_are_appended_one_after_the_other() {
        let mut buffer = Vec::new();
        for id in [1, 2] {
            let mut writer = Writer::event(&mut buffer, Flags::NONE, MessageType(0x01_1902), id);
            writer.end();
            writer.frame(Flags::NONE, b"key");
            writer.frame(Flags::IS_NULL, &[]);
            writer.finish();
        }
        let (first, second) = buffer.split_at(buffer.len() / 2);
        for (bytes, id) in [(first, 1), (second, 2)] {
            let message = Message::parse(bytes).unwrap();
            let header = message.header();
            assert_eq!((header.correlation_id, header.partition_id), (id, NO_PARTITION));
            assert!(header.flags.has(Flags::UNFRAGMENTED | Flags::IS_EVENT));
            let flags: Vec<_> = message.frames().map(|frame| frame.flags).collect();
            assert_eq!(flags, [Flags::NONE, Flags::IS_NULL | Flags::IS_FINAL]);
        }
    }

    #[test]
    fn bytes_that_are_not_one_message_are_refused() {
        let mut buffer = Vec::new();
        let mut writer = Writer::response(&mut buffer, MessageType(1), 1, 0);
        writer.end();
        writer.finish();
        assert!(Message::parse(&buffer).is_ok());
        assert_eq!(Message::parse(&buffer[..10]), Err(FrameError::Length));
        assert_eq!(Message::parse(&[&buffer[..], &[0]].concat()), Err(FrameError::Length));
        assert_eq!(Message::parse(&[]), Err(FrameError::Length));
    }

    #[test]
    fn a_debug_message_shows_no_values() {
        let mut buffer = Vec::new();
        let mut writer = Writer::response(&mut buffer, MessageType(0x01_0201), 1, 0);
        writer.end();
        writer.frame(Flags::NONE, b"secret");
        writer.finish();
        let shown = format!("{:?}", Message::parse(&buffer).unwrap());
        assert!(shown.contains("0x010201") && !shown.contains("115"), "{shown}");
    }
}
