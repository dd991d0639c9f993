//! Frames: the messages on a stream.

use crate::error::StreamError;
use crate::limits::FRAME_BYTES_MAX;
use bytes::Bytes;

/// One message on a stream. The meaning of `kind` and `payload` is defined by the crates above.
///
/// Layout: `[u32 BE payload length][u8 kind][u32 BE request][payload]`. Frames are split into
/// records independently of their boundaries: a record may hold many frames, and a frame may span
/// many records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The kind of message.
    pub kind: u8,
    /// The request that it belongs to; the two ends define how ids are assigned.
    pub request: u32,
    /// At most [`FRAME_BYTES_MAX`] bytes. A received payload has an allocation of its own: keeping
    /// a small one keeps no read buffer alive.
    pub payload: Bytes,
}

/// The header in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) bytes: usize,
    pub(crate) kind: u8,
    pub(crate) request: u32,
}

impl FrameHeader {
    pub(crate) const BYTES: usize = 9;

    /// The header of `frame`, or `FrameTooLarge`.
    pub(crate) fn of(frame: &Frame) -> Result<Self, StreamError> {
        let header = Self { bytes: frame.payload.len(), kind: frame.kind, request: frame.request };
        header.within_bounds()
    }

    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        let length = u32::try_from(self.bytes).expect("bounded by FRAME_BYTES_MAX");
        let mut encoded = [0; Self::BYTES];
        encoded[..4].copy_from_slice(&length.to_be_bytes());
        encoded[4] = self.kind;
        encoded[5..].copy_from_slice(&self.request.to_be_bytes());
        encoded
    }

    pub(crate) fn decode(encoded: [u8; Self::BYTES]) -> Result<Self, StreamError> {
        let [l0, l1, l2, l3, kind, r0, r1, r2, r3] = encoded;
        let bytes = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        Self { bytes, kind, request: u32::from_be_bytes([r0, r1, r2, r3]) }.within_bounds()
    }

    pub(crate) fn with(self, payload: Bytes) -> Frame {
        debug_assert_eq!(payload.len(), self.bytes);
        Frame { kind: self.kind, request: self.request, payload }
    }

    fn within_bounds(self) -> Result<Self, StreamError> {
        if self.bytes > FRAME_BYTES_MAX {
            return Err(StreamError::FrameTooLarge { bytes: self.bytes });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_length_kind_and_request_in_network_order() {
        let header = FrameHeader { bytes: 0x0001_0203, kind: 4, request: 0x0506_0708 };
        assert_eq!(header.encode(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(FrameHeader::decode(header.encode()).unwrap(), header);
    }

    #[test]
    fn a_header_that_announces_too_much_is_refused_with_the_size() {
        let error = FrameHeader::decode([0, 0x40, 0, 1, 0, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a frame of 4194305 bytes is too large; at most 4194304 are allowed"
        );
    }
}
