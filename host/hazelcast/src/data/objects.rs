//! Arrays and lists of objects.

use super::input::Input;
use super::type_id;
use super::value::Value;
use crate::limits::OBJECT_DEPTH_MAX;

/// Several objects. All of them have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    pub(super) type_id: i32,
    pub(super) count: usize,
    pub(super) bytes: &'a [u8],
    depth: usize,
}

impl<'a> Objects<'a> {
    /// An `ArrayList` of these values, which are encoded at the end of `buffer`.
    pub fn list(values: &[Value<'_>], buffer: &'a mut Vec<u8>) -> Self {
        let start = buffer.len();
        for value in values {
            value.encode_object(buffer);
        }
        let bytes = buffer.get(start..).unwrap_or_default();
        Self { type_id: type_id::ARRAY_LIST, count: values.len(), bytes, depth: OBJECT_DEPTH_MAX }
    }

    /// The number of objects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no objects.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The objects.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut input = Input::within(self.bytes, self.depth);
        let type_id = self.type_id;
        (0..self.count).map_while(move |_| Self::item(&mut input, type_id))
    }

    pub(super) fn read(input: &mut Input<'a>, type_id: i32) -> Option<Self> {
        let count = input.count()?;
        let (start, depth) = (input.rest(), input.depth());
        for _ in 0..count {
            Self::item(input, type_id)?;
        }
        let bytes = &start[..start.len() - input.rest().len()];
        Some(Self { type_id, count, bytes, depth })
    }

    fn item(input: &mut Input<'a>, type_id: i32) -> Option<Value<'a>> {
        if type_id == type_id::STRING_ARRAY {
            return Some(input.nullable_text()?.map_or(Value::Null, Value::Text));
        }
        input.object()
    }
}

/// Whether type and items are equal. The remaining depth does not count.
impl PartialEq for Objects<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.type_id, self.bytes) == (other.type_id, other.bytes)
    }
}
