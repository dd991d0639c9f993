//! Several elements in one string: listpacks, ziplists and intsets.

use std::borrow::Cow;

use super::read::Reader;

/// The byte behind the last element.
const END: u8 = 0xFF;
/// Bytes in front of the first element of a listpack: its length, and its number of elements.
const LISTPACK_HEAD: usize = 6;
/// Bytes in front of the first element of a ziplist: its length, the offset of its last element,
/// and its number of elements.
const ZIPLIST_HEAD: usize = 10;
/// The number of elements of a list that has more than fit in the head.
const MANY: u16 = u16::MAX;

fn integer<'a>(number: i64) -> Cow<'a, [u8]> {
    Cow::Owned(number.to_string().into_bytes())
}

/// Sign-extends a number of this many bits.
fn signed(number: u64, bits: u32) -> i64 {
    let shift = 64 - bits;
    (number << shift).cast_signed() >> shift
}

/// A little-endian number of up to 8 bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

/// What is between the head and the end, and the number of elements in the head.
fn body(bytes: &[u8], head: usize) -> Option<(&[u8], u16)> {
    if u32_at(bytes, 0)? != bytes.len() {
        return None;
    }
    let rest = bytes.strip_suffix(&[END])?;
    let (head, body) = rest.split_at_checked(head)?;
    let count = [head[head.len() - 2], head[head.len() - 1]];
    Some((body, u16::from_le_bytes(count)))
}

/// Whether the number in the head is right.
fn is_count(head: u16, count: usize) -> Option<()> {
    (head == MANY || usize::from(head) == count).then_some(())
}

/// The length of an element of a listpack, as it is stored behind it for reading backwards.
pub(super) fn backward_length(length: usize) -> Vec<u8> {
    let groups = match length {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    let group = |at: u32| (length >> (7 * at) & 0x7F) as u8;
    (0..groups).rev().map(|at| group(at) | if at + 1 < groups { 0x80 } else { 0 }).collect()
}

/// The elements of a listpack.
pub(super) fn listpack<'a>(reader: &mut Reader<'_>, bytes: &'a [u8]) -> Option<Vec<Cow<'a, [u8]>>> {
    let (mut rest, head) = body(bytes, LISTPACK_HEAD)?;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let mut next = |count: usize| {
            let (taken, behind) = rest.split_at_checked(count)?;
            rest = behind;
            Some(taken)
        };
        let first = next(1)?[0];
        let low = |bits: u32| usize::from(first & ((1 << bits) - 1));
        let element = match first {
            0..=0x7F => integer(first.into()),
            0x80..=0xBF => Cow::Borrowed(next(low(6))?),
            0xC0..=0xDF => {
                let number = low(5) << 8 | usize::from(next(1)?[0]);
                integer(signed(number as u64, 13))
            }
            0xE0..=0xEF => {
                let length = low(4) << 8 | usize::from(next(1)?[0]);
                Cow::Borrowed(next(length)?)
            }
            0xF0 => {
                let length = u32_at(next(4)?, 0)?;
                Cow::Borrowed(next(length)?)
            }
            0xF1 => integer(signed(little_endian(next(2)?), 16)),
            0xF2 => integer(signed(little_endian(next(3)?), 24)),
            0xF3 => integer(signed(little_endian(next(4)?), 32)),
            0xF4 => integer(signed(little_endian(next(8)?), 64)),
            _ => return None,
        };
        let length = start.len() - rest.len();
        rest = rest.strip_prefix(&*backward_length(length))?;
        reader.count(element.len())?;
        elements.push(element);
    }
    is_count(head, elements.len())?;
    Some(elements)
}

/// The elements of a ziplist.
pub(super) fn ziplist<'a>(reader: &mut Reader<'_>, bytes: &'a [u8]) -> Option<Vec<Cow<'a, [u8]>>> {
    let (mut rest, head) = body(bytes, ZIPLIST_HEAD)?;
    let whole = rest.len();
    let mut elements = Vec::new();
    let (mut last, mut last_length) = (ZIPLIST_HEAD, 0);
    while !rest.is_empty() {
        let start = rest;
        let mut next = |count: usize| {
            let (taken, behind) = rest.split_at_checked(count)?;
            rest = behind;
            Some(taken)
        };
        let before = match next(1)?[0] {
            END => return None,
            0xFE => u32_at(next(4)?, 0)?,
            short => usize::from(short),
        };
        if before != last_length {
            return None;
        }
        let first = next(1)?[0];
        let low = usize::from(first & 0x3F);
        let element = match first {
            0x00..=0x3F => Cow::Borrowed(next(low)?),
            0x40..=0x7F => {
                let length = low << 8 | usize::from(next(1)?[0]);
                Cow::Borrowed(next(length)?)
            }
            0x80 => {
                let length: [u8; 4] = next(4)?.try_into().ok()?;
                Cow::Borrowed(next(usize::try_from(u32::from_be_bytes(length)).ok()?)?)
            }
            0xC0 => integer(signed(little_endian(next(2)?), 16)),
            0xD0 => integer(signed(little_endian(next(4)?), 32)),
            0xE0 => integer(signed(little_endian(next(8)?), 64)),
            0xF0 => integer(signed(little_endian(next(3)?), 24)),
            0xFE => integer(signed(little_endian(next(1)?), 8)),
            0xF1..=0xFD => integer(i64::from(first & 0x0F) - 1),
            _ => return None,
        };
        last = ZIPLIST_HEAD + whole - start.len();
        last_length = start.len() - rest.len();
        reader.count(element.len())?;
        elements.push(element);
    }
    is_count(head, elements.len())?;
    (u32_at(bytes, 4)? == last).then_some(elements)
}

/// The elements of an intset.
pub(super) fn intset(reader: &mut Reader<'_>, bytes: &[u8]) -> Option<Vec<Cow<'static, [u8]>>> {
    let (width, count) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    let numbers = &bytes[8..];
    if ![2, 4, 8].contains(&width) || numbers.len() != count.checked_mul(width)? {
        return None;
    }
    let mut elements = Vec::with_capacity(count);
    let mut last = None;
    for number in numbers.chunks_exact(width) {
        let number = signed(little_endian(number), 8 * width as u32);
        // They are in order.
        if last.is_some_and(|last| last >= number) {
            return None;
        }
        last = Some(number);
        let element = integer(number);
        reader.count(element.len())?;
        elements.push(element);
    }
    Some(elements)
}

/// A listpack in the making.
pub(super) struct ListpackWriter {
    bytes: Vec<u8>,
    count: usize,
}

impl ListpackWriter {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; LISTPACK_HEAD], count: 0 }
    }

    /// Its length in bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, element: &[u8]) {
        let start = self.bytes.len();
        match convoke_grid::op::integer(element) {
            Some(number) => self.push_integer(number),
            None => self.push_string(element),
        }
        let length = self.bytes.len() - start;
        self.bytes.extend(backward_length(length));
        self.count += 1;
    }

    fn push_integer(&mut self, number: i64) {
        let low = number.to_le_bytes();
        match number {
            0..=127 => self.bytes.push(low[0]),
            -4_096..=4_095 => self.bytes.extend([0xC0 | (low[1] & 0x1F), low[0]]),
            -0x8000..=0x7FFF => self.push_tagged(0xF1, &low[..2]),
            -0x80_0000..=0x7F_FFFF => self.push_tagged(0xF2, &low[..3]),
            -0x8000_0000..=0x7FFF_FFFF => self.push_tagged(0xF3, &low[..4]),
            _ => self.push_tagged(0xF4, &low),
        }
    }

    fn push_tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(bytes);
    }

    fn push_string(&mut self, element: &[u8]) {
        let length = element.len();
        let low = length.to_le_bytes();
        match length {
            0..=63 => self.bytes.push(0x80 | low[0]),
            64..=4_095 => self.bytes.extend([0xE0 | low[1], low[0]]),
            _ => self.push_tagged(0xF0, &low[..4]),
        }
        self.bytes.extend_from_slice(element);
    }

    /// The finished listpack.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(MANY);
        self.bytes[4..LISTPACK_HEAD].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}
