//! Objects of type `Portable`. They contain the names and types of their fields.
//!
//! ```text
//! object   [i32 factory id][i32 class id][record]
//! record   [i32 version][i32 end][i32 number of fields][i32 position of each field]
//! field    [i16 length of name][name, Latin-1][u8 type][value]
//! nested   [u8 whether it is null][i32 factory id][i32 class id][record]
//! nested[] [i32 count][i32 factory id][i32 class id][i32 position of each record]
//! ```
//!
//! Positions count from the beginning of the blob. Dates have a year of 16 bits; they and decimals
//! follow a byte that says whether they are null, and in arrays have positions as records do.

use super::record::{Budget, Field, Items, Kind, Record, Year};
use super::scalar::Scalar;
use super::{Error, MALFORMED};
use crate::data::{Data, HEADER_BYTES, Input};

#[derive(Clone, Copy)]
pub(super) struct Portable<'a> {
    blob: &'a [u8],
    /// The position of each field.
    positions: &'a [u8],
}

impl<'a> Portable<'a> {
    /// The object that a blob contains.
    pub(super) fn root(data: Data<'a>) -> Result<Self, Error> {
        Self::at(data.bytes(), HEADER_BYTES + 8)
    }

    /// The record at this position.
    pub(super) fn at(blob: &'a [u8], at: usize) -> Result<Self, Error> {
        let read = || {
            let mut input = Input::new(blob.get(at..)?);
            let _version = input.i32()?;
            let _end = input.i32()?;
            let count = usize::try_from(input.i32()?).ok()?;
            Some(Self { blob, positions: input.take(count.checked_mul(4)?)? })
        };
        read().ok_or(MALFORMED)
    }

    pub(super) fn find(&self, name: &str, budget: &mut Budget) -> Result<Option<Field<'a>>, Error> {
        let mut positions = Input::new(self.positions);
        while let Some(position) = positions.i32() {
            budget.spend(1)?;
            let read = || {
                let mut input = Input::new(self.blob.get(usize::try_from(position).ok()?..)?);
                let length = usize::try_from(input.i16()?).ok()?;
                Some((input.take(length)?, input.u8()?, input))
            };
            let (found, kind, input) = read().ok_or(MALFORMED)?;
            if found.iter().map(|byte| char::from(*byte)).eq(name.chars()) {
                return self.field(kind, input).map(Some);
            }
        }
        Ok(None)
    }

    fn field(&self, kind: u8, mut input: Input<'a>) -> Result<Field<'a>, Error> {
        let (kind, is_array) = match kind {
            // Ten types, arrays of them, then pairs of a type and its array.
            0..=9 => (SIMPLE[usize::from(kind)], false),
            10..=19 => (SIMPLE[usize::from(kind - 10)], true),
            20..=29 => (DATES[usize::from(kind - 20) / 2], kind % 2 == 1),
            _ => return Err(MALFORMED),
        };
        let is_dated = DATES.contains(&kind);
        if is_array {
            return self.array(kind, input).ok_or(MALFORMED);
        }
        if kind == Kind::Record {
            let is_null = input.bool().ok_or(MALFORMED)?;
            let _ids = input.take(8).ok_or(MALFORMED)?;
            let record = if is_null {
                None
            } else {
                let at = self.blob.len() - input.rest().len();
                Some(Record::Portable(Self::at(self.blob, at)?))
            };
            return Ok(Field::Record(record));
        }
        if is_dated && input.bool().ok_or(MALFORMED)? {
            return Ok(Field::Scalar(Scalar::Null));
        }
        kind.read(&mut input, Year::Short).map(Field::Scalar)
    }

    fn array(&self, kind: Kind, mut input: Input<'a>) -> Option<Field<'a>> {
        let count = input.i32()?;
        if kind == Kind::Record {
            input.take(8)?;
        }
        if count == -1 {
            return Some(Field::Array(None));
        }
        let left = usize::try_from(count).ok()?;
        Some(Field::Array(Some(if kind == Kind::Record || DATES.contains(&kind) {
            let positions = Input::new(input.take(left.checked_mul(4)?)?);
            Items::Portable { blob: self.blob, positions, left, kind }
        } else {
            Items::Values { kind, input, left }
        })))
    }
}

const SIMPLE: [Kind; 10] = [
    Kind::Record,
    Kind::Byte,
    Kind::Bool,
    Kind::Char,
    Kind::Short,
    Kind::Int,
    Kind::Long,
    Kind::Float,
    Kind::Double,
    Kind::Text,
];

const DATES: [Kind; 5] =
    [Kind::Decimal, Kind::Time, Kind::Date, Kind::DateTime, Kind::OffsetDateTime];
