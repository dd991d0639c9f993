//! Numbers and strings of a payload.

use std::borrow::Cow;

use convoke_grid::VALUE_BYTES_MAX;

use super::lzf;
use super::{DECODED_BYTES_MAX, ELEMENT_BYTES};

/// What is left of a payload.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Bytes that may still be decoded.
    room: usize,
}

/// A length, or how a string is stored instead of its bytes.
enum Length {
    Bytes(u64),
    Special(u8),
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, room: DECODED_BYTES_MAX }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Counts one decoded element of this length. `None` if there are too many, or it is too long.
    pub(super) fn count(&mut self, length: usize) -> Option<()> {
        if length > VALUE_BYTES_MAX {
            return None;
        }
        self.room = self.room.checked_sub(length.saturating_add(ELEMENT_BYTES))?;
        Some(())
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn any_length(&mut self) -> Option<Length> {
        let first = self.byte()?;
        let low = u64::from(first & 0x3F);
        Some(match first >> 6 {
            0 => Length::Bytes(low),
            1 => Length::Bytes(low << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Length::Bytes(u32::from_be_bytes(self.array()?).into()),
            2 if first == 0x81 => Length::Bytes(u64::from_be_bytes(self.array()?)),
            2 => return None,
            _ => Length::Special(first & 0x3F),
        })
    }

    /// A number in the encoding of lengths.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.any_length()? {
            Length::Bytes(number) => Some(number),
            Length::Special(_) => None,
        }
    }

    /// The number of elements that follow, at least one. Each takes at least one byte.
    pub(super) fn elements(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (1..=self.bytes.len()).contains(&count).then_some(count)
    }

    /// As [`Reader::elements`], or none.
    pub(super) fn elements_or_none(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.bytes.len()).then_some(count)
    }

    /// A string that may be an integer, or be compressed. Its room is not counted.
    pub(super) fn raw_string(&mut self) -> Option<Cow<'a, [u8]>> {
        let integer = |number: i64| Cow::Owned(number.to_string().into_bytes());
        Some(match self.any_length()? {
            Length::Bytes(length) => Cow::Borrowed(self.take(usize::try_from(length).ok()?)?),
            Length::Special(0) => integer(i8::from_le_bytes(self.array()?).into()),
            Length::Special(1) => integer(i16::from_le_bytes(self.array()?).into()),
            Length::Special(2) => integer(i32::from_le_bytes(self.array()?).into()),
            Length::Special(3) => {
                let compressed = usize::try_from(self.number()?).ok()?;
                let length = usize::try_from(self.number()?).ok()?;
                let data = self.take(compressed)?;
                if length > self.room {
                    return None;
                }
                Cow::Owned(lzf::decompress(data, length)?)
            }
            Length::Special(_) => return None,
        })
    }

    /// A string that is an element.
    pub(super) fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let string = self.raw_string()?;
        self.count(string.len())?;
        Some(string)
    }
}
