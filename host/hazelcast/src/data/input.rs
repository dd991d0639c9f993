//! Reads what is within a blob.

use uuid::Uuid;

use super::array::{Array, Element};
use super::type_id;
use super::value::Value;
use crate::limits::OBJECT_DEPTH_MAX;

/// A reader of the fields of a serialized object: Java's `ObjectDataInput` in big-endian order.
/// Each method is `None` if the bytes that are left are not such a field.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
    /// Remaining depth of nested objects.
    depth: usize,
}

impl<'a> Input<'a> {
    /// A reader of `bytes`, such as the payload of a blob.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, depth: OBJECT_DEPTH_MAX }
    }

    /// A reader of `bytes` within an object that is at this depth.
    pub(super) const fn within(bytes: &'a [u8], depth: usize) -> Self {
        Self { rest: bytes, depth }
    }

    /// The bytes that have not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*chunk)
    }

    /// A truth value. Any byte but 0 is true.
    pub fn bool(&mut self) -> Option<bool> {
        self.u8().map(|byte| byte != 0)
    }

    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_be_bytes)
    }

    /// A number of 16 bits.
    pub fn i16(&mut self) -> Option<i16> {
        self.chunk().map(i16::from_be_bytes)
    }

    /// A character of UTF-16.
    pub fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_be_bytes)
    }

    /// A number of 32 bits.
    pub fn i32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    /// A number of 64 bits.
    pub fn i64(&mut self) -> Option<i64> {
        self.chunk().map(i64::from_be_bytes)
    }

    /// A floating-point number of 32 bits.
    pub fn f32(&mut self) -> Option<f32> {
        self.chunk().map(f32::from_be_bytes)
    }

    /// A floating-point number of 64 bits.
    pub fn f64(&mut self) -> Option<f64> {
        self.chunk().map(f64::from_be_bytes)
    }

    /// An id: its more significant half, then the other one.
    pub fn uuid(&mut self) -> Option<Uuid> {
        self.chunk().map(Uuid::from_bytes)
    }

    /// A length, or -1 for null, which is `Some(None)`.
    fn length(&mut self) -> Option<Option<usize>> {
        match self.i32()? {
            -1 => Some(None),
            length => usize::try_from(length).ok().map(Some),
        }
    }

    /// Text, or null.
    pub fn nullable_text(&mut self) -> Option<Option<&'a str>> {
        let Some(length) = self.length()? else { return Some(None) };
        std::str::from_utf8(self.take(length)?).ok().map(Some)
    }

    /// Text.
    pub fn text(&mut self) -> Option<&'a str> {
        self.nullable_text()?
    }

    /// An array of bytes, or null.
    pub fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        let Some(length) = self.length()? else { return Some(None) };
        self.take(length).map(Some)
    }

    /// An array of bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        self.nullable_bytes()?
    }

    /// An array of numbers.
    pub fn array<T: Element>(&mut self) -> Option<Array<'a, T>> {
        let length = self.length()??;
        Array::new(self.take(length.checked_mul(T::BYTES)?)?)
    }

    /// The number of items of an array or list. There is at least one byte for each item.
    pub fn count(&mut self) -> Option<usize> {
        let count = self.length()??;
        (count <= self.rest.len()).then_some(count)
    }

    /// Ids of factory and class of an `IdentifiedDataSerializable` whose fields follow, or null.
    pub fn class(&mut self) -> Option<Option<(i32, i32)>> {
        match self.i32()? {
            type_id::NULL => Some(None),
            type_id::DATA_SERIALIZABLE if self.bool()? => Some(Some((self.i32()?, self.i32()?))),
            _ => None,
        }
    }

    /// An object with its type id. `None` also if its type is not one whose length is known.
    pub fn object(&mut self) -> Option<Value<'a>> {
        let type_id = self.i32()?;
        self.depth = self.depth.checked_sub(1)?;
        let value = Value::read(self, type_id);
        self.depth += 1;
        value
    }
}
