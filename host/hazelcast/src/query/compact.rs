//! Compact records. The schema has the names and types of their fields.
//!
//! ```text
//! record   [i64 schema id][fields]
//! fields   [i32 length of data]?[data][offset of each field of variable length]
//! array    [i32 count][items], [i32 count][bits], or of items that may be null or have no fixed
//!          length: [i32 length of data][i32 count][data][offset of each item]
//! ```
//!
//! The length of data is there if the schema has fields of variable length. Data begins with the
//! fields of fixed length, the longest ones first, and a bit for each boolean. Offsets count from
//! the start of data; they have 1, 2 or 4 bytes, depending on its length, and are -1 for null.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Field, Items, Kind, Record, Year};
use super::scalar::Scalar;
use super::{Error, Layouts, MALFORMED};
use crate::data::Input;
use crate::schema::{FieldDescriptor, Schema, java_order};

/// Where the fields of compact records of a schema are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    fields: BTreeMap<Box<str>, Slot>,
    /// Length of the fields of fixed length, in bytes.
    fixed_bytes: usize,
    /// The number of fields of variable length.
    variable: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    kind: Kind,
    is_array: bool,
    /// Of items of an array, or of a value with its own offset.
    is_nullable: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Offset in data, in bytes.
    Fixed(usize),
    /// Offset in data, in bytes, and the bit.
    Bit(usize, u8),
    /// Which one of the offsets.
    Variable(usize),
}

/// Types of fields, in pairs of a value and an array, from 1 on.
const KINDS: [Option<Kind>; 23] = [
    Some(Kind::Bool),
    Some(Kind::Byte),
    // `char` and `Portable` are not types of compact records.
    None,
    Some(Kind::Short),
    Some(Kind::Int),
    Some(Kind::Long),
    Some(Kind::Float),
    Some(Kind::Double),
    Some(Kind::Text),
    Some(Kind::Decimal),
    Some(Kind::Time),
    Some(Kind::Date),
    Some(Kind::DateTime),
    Some(Kind::OffsetDateTime),
    Some(Kind::Record),
    None,
    Some(Kind::Bool),
    Some(Kind::Byte),
    Some(Kind::Short),
    Some(Kind::Int),
    Some(Kind::Long),
    Some(Kind::Float),
    Some(Kind::Double),
];

/// The first of [`KINDS`] that may be null.
const NULLABLE: usize = 16;

impl Layout {
    /// The layout of records of this schema. `None` if a type is unknown.
    #[must_use]
    pub fn new(schema: &Schema<'_>) -> Option<Self> {
        let mut descriptors: Vec<FieldDescriptor<'_>> = schema.fields.iter().collect();
        descriptors.sort_by(|a, b| java_order(a.field_name, b.field_name));
        let mut parsed = Vec::with_capacity(descriptors.len());
        for field in &descriptors {
            let number = usize::try_from(field.kind).ok()?.checked_sub(1)?;
            let kind = KINDS.get(number / 2).copied()??;
            let (is_array, is_nullable) = (number % 2 == 1, number / 2 >= NULLABLE);
            let fixed = if is_array || is_nullable { None } else { fixed_length(kind) };
            parsed.push((field.field_name, kind, is_array, is_nullable, fixed));
        }
        let mut layout = Self { fields: BTreeMap::new(), fixed_bytes: 0, variable: 0 };
        let (mut at, mut bit) = (0, 0);
        // Fields of a length are in the order of their names; booleans come last.
        for length in [8, 4, 2, 1, 0] {
            for (name, kind, is_array, is_nullable, fixed) in &parsed {
                if *fixed != Some(length) {
                    continue;
                }
                let place = if length == 0 { Place::Bit(at, bit) } else { Place::Fixed(at) };
                at += length;
                if length == 0 {
                    (at, bit) = if bit == 7 { (at + 1, 0) } else { (at, bit + 1) };
                }
                let slot =
                    Slot { kind: *kind, is_array: *is_array, is_nullable: *is_nullable, place };
                layout.fields.insert((*name).into(), slot);
            }
        }
        layout.fixed_bytes = at + usize::from(bit > 0);
        for (name, kind, is_array, is_nullable, fixed) in parsed {
            if fixed.is_none() {
                let place = Place::Variable(layout.variable);
                layout.fields.insert(name.into(), Slot { kind, is_array, is_nullable, place });
                layout.variable += 1;
            }
        }
        Some(layout)
    }
}

/// In bytes, 0 for a bit.
const fn fixed_length(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Bool => Some(0),
        Kind::Byte => Some(1),
        Kind::Short => Some(2),
        Kind::Int | Kind::Float => Some(4),
        Kind::Long | Kind::Double => Some(8),
        _ => None,
    }
}

/// Offsets within data.
#[derive(Clone, Copy)]
pub(super) struct Offsets<'a> {
    bytes: &'a [u8],
    /// Length of each, in bytes.
    width: usize,
}

impl<'a> Offsets<'a> {
    /// `bytes` begin with offsets for data of this length.
    fn new(bytes: &'a [u8], data_length: usize, count: usize) -> Option<Self> {
        let width = match data_length {
            0..255 => 1,
            255..65535 => 2,
            _ => 4,
        };
        Some(Self { bytes: bytes.get(..count.checked_mul(width)?)?, width })
    }

    /// An offset. `None` if the value is null.
    pub(super) fn get(&self, index: usize) -> Result<Option<usize>, Error> {
        let at = index.saturating_mul(self.width);
        let bytes = self.bytes.get(at..at.saturating_add(self.width)).ok_or(MALFORMED)?;
        if bytes.iter().all(|byte| *byte == 0xff) {
            return Ok(None);
        }
        Ok(Some(bytes.iter().fold(0, |offset, byte| offset << 8 | usize::from(*byte))))
    }
}

#[derive(Clone)]
pub(super) struct Compact<'a> {
    layout: Arc<Layout>,
    /// The bytes whose first part it is.
    source: &'a [u8],
    data: &'a [u8],
    offsets: Offsets<'a>,
    layouts: Layouts<'a>,
}

impl<'a> Compact<'a> {
    /// The record that `bytes` begin with.
    pub(super) fn read(bytes: &'a [u8], layouts: Layouts<'a>) -> Result<Self, Error> {
        let mut input = Input::new(bytes);
        let schema_id = input.i64().ok_or(MALFORMED)?;
        let layout = layouts(schema_id).ok_or_else(|| {
            Error::invalid(format!("schema {schema_id} of a compact record is unknown"))
        })?;
        let mut read = || {
            if layout.variable == 0 {
                return Some((input.rest(), Offsets { bytes: &[], width: 1 }));
            }
            let length = usize::try_from(input.i32()?).ok()?;
            let data = input.take(length)?;
            Some((data, Offsets::new(input.rest(), length, layout.variable)?))
        };
        let (data, offsets) = read().ok_or(MALFORMED)?;
        Ok(Self { layout, source: bytes, data, offsets, layouts })
    }

    /// All of its bytes, from its schema id on.
    pub(super) fn bytes(&self) -> Result<&'a [u8], Error> {
        /// Length of a schema id, and of the length of data, in bytes.
        const SCHEMA_ID_BYTES: usize = 8;
        const LENGTH_BYTES: usize = 4;
        let length = match self.layout.variable {
            0 => SCHEMA_ID_BYTES + self.layout.fixed_bytes,
            _ => SCHEMA_ID_BYTES + LENGTH_BYTES + self.data.len() + self.offsets.bytes.len(),
        };
        self.source.get(..length).ok_or(MALFORMED)
    }

    pub(super) fn find(&self, name: &str) -> Result<Option<Field<'a>>, Error> {
        let Some(slot) = self.layout.fields.get(name) else { return Ok(None) };
        let offset = match slot.place {
            Place::Bit(at, bit) => {
                let byte = self.data.get(at).ok_or(MALFORMED)?;
                return Ok(Some(Field::Scalar(Scalar::Bool(byte >> bit & 1 == 1))));
            }
            Place::Fixed(at) => Some(at),
            Place::Variable(index) => self.offsets.get(index)?,
        };
        let Some(offset) = offset else {
            return Ok(Some(match (slot.is_array, slot.kind) {
                (true, _) => Field::Array(None),
                (false, Kind::Record) => Field::Record(None),
                (false, _) => Field::Scalar(Scalar::Null),
            }));
        };
        let bytes = self.data.get(offset..).ok_or(MALFORMED)?;
        let mut input = Input::new(bytes);
        Ok(Some(if slot.is_array {
            Field::Array(Some(self.items(*slot, input).ok_or(MALFORMED)?))
        } else if slot.kind == Kind::Record {
            Field::Record(Some(Record::Compact(Self::read(bytes, self.layouts)?)))
        } else {
            Field::Scalar(slot.kind.read(&mut input, Year::Int)?)
        }))
    }

    fn items(&self, slot: Slot, mut input: Input<'a>) -> Option<Items<'a>> {
        let first = usize::try_from(input.i32()?).ok()?;
        match fixed_length(slot.kind) {
            Some(0) if !slot.is_nullable => {
                Some(Items::Bits { bytes: input.take(first.div_ceil(8))?, at: 0, count: first })
            }
            Some(_) if !slot.is_nullable => {
                Some(Items::Values { kind: slot.kind, input, left: first })
            }
            _ => {
                let count = usize::try_from(input.i32()?).ok()?;
                let data = input.take(first)?;
                let offsets = Offsets::new(input.rest(), first, count)?;
                Some(Items::Compact {
                    data,
                    offsets,
                    at: 0,
                    count,
                    kind: slot.kind,
                    layouts: self.layouts,
                })
            }
        }
    }
}
