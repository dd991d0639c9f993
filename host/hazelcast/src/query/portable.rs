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

#[derive(Clone)]
pub(super) struct Portable<'a> {
    blob: &'a [u8],
    /// Its factory and class.
    ids: &'a [u8],
    /// The position of its record.
    start: usize,
    /// The position of each field.
    positions: &'a [u8],
}

/// Length of the factory and the class of an object, in bytes.
const IDS_BYTES: usize = 8;

/// Maximum depth of objects in an object that is copied.
const COPIED_DEPTH_MAX: usize = 64;

impl<'a> Portable<'a> {
    /// The object that a blob contains.
    pub(super) fn root(data: Data<'a>) -> Result<Self, Error> {
        let ids = data.payload().get(..IDS_BYTES).ok_or(MALFORMED)?;
        Self::at(data.bytes(), ids, HEADER_BYTES + IDS_BYTES)
    }

    /// The record at this position, of this factory and class.
    pub(super) fn at(blob: &'a [u8], ids: &'a [u8], at: usize) -> Result<Self, Error> {
        let read = || {
            let mut input = Input::new(blob.get(at..)?);
            let _version = input.i32()?;
            let _end = input.i32()?;
            let count = usize::try_from(input.i32()?).ok()?;
            Some(Self { blob, ids, start: at, positions: input.take(count.checked_mul(4)?)? })
        };
        read().ok_or(MALFORMED)
    }

    /// Appends its factory, its class and its record to another blob. Positions in it count from the
    /// start of that blob then.
    pub(super) fn append_to(&self, blob: &mut Vec<u8>, budget: &mut Budget) -> Result<(), Error> {
        let end = self.number(self.start + 4)?;
        let record = self.blob.get(self.start..end).ok_or(MALFORMED)?;
        budget.spend(record.len())?;
        blob.extend_from_slice(self.ids);
        let mut copy = Copying { source: self, to: blob.len(), blob, budget };
        copy.blob.extend_from_slice(record);
        copy.record(self.start, 0)
    }

    /// A position, or a count.
    fn number(&self, at: usize) -> Result<usize, Error> {
        let bytes = self.blob.get(at..).and_then(|bytes| bytes.first_chunk()).ok_or(MALFORMED)?;
        usize::try_from(i32::from_be_bytes(*bytes)).map_err(|_| MALFORMED)
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
            let ids = input.take(IDS_BYTES).ok_or(MALFORMED)?;
            let record = if is_null {
                None
            } else {
                let at = self.blob.len() - input.rest().len();
                Some(Record::Portable(Self::at(self.blob, ids, at)?))
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
        let ids = if kind == Kind::Record { input.take(IDS_BYTES)? } else { &[] };
        if count == -1 {
            return Some(Field::Array(None));
        }
        let left = usize::try_from(count).ok()?;
        Some(Field::Array(Some(if kind == Kind::Record || DATES.contains(&kind) {
            let positions = Input::new(input.take(left.checked_mul(4)?)?);
            Items::Portable { blob: self.blob, ids, positions, left, kind }
        } else {
            Items::Values { kind, input, left }
        })))
    }
}

/// A copy of a record in another blob.
struct Copying<'c, 'a> {
    source: &'c Portable<'a>,
    blob: &'c mut Vec<u8>,
    /// The position of the copy of the record.
    to: usize,
    budget: &'c mut Budget,
}

impl Copying<'_, '_> {
    /// Corrects the position at this place of the source, in the copy. Returns what it was.
    fn position(&mut self, at: usize) -> Result<usize, Error> {
        let position = self.source.number(at)?;
        let moved = |position: usize| position.checked_sub(self.source.start)?.checked_add(self.to);
        let place = moved(at).and_then(|at| self.blob.get_mut(at..)?.first_chunk_mut());
        let corrected = moved(position).and_then(|position| i32::try_from(position).ok());
        *place.ok_or(MALFORMED)? = corrected.ok_or(MALFORMED)?.to_be_bytes();
        Ok(position)
    }

    /// Corrects this number of positions from a place of the source on, and those in the records that
    /// they are of, if they are.
    fn positions(
        &mut self,
        (at, count): (usize, usize),
        are_records: bool,
        depth: usize,
    ) -> Result<(), Error> {
        for number in 0..count {
            self.budget.spend(1)?;
            let position = self.position(at.saturating_add(number.saturating_mul(4)))?;
            if are_records {
                self.record(position, depth)?;
            }
        }
        Ok(())
    }

    /// Corrects all positions in the record at this position of the source.
    fn record(&mut self, at: usize, depth: usize) -> Result<(), Error> {
        if depth > COPIED_DEPTH_MAX {
            return Err(MALFORMED);
        }
        self.position(at.saturating_add(4))?;
        let fields = self.source.number(at.saturating_add(8))?;
        for number in 0..fields {
            self.budget.spend(1)?;
            let field = self.position(at.saturating_add(12).saturating_add(number * 4))?;
            let read = || {
                let mut input = Input::new(self.source.blob.get(field..)?);
                let length = usize::try_from(input.i16()?).ok()?;
                input.take(length)?;
                let kind = input.u8()?;
                Some((kind, self.source.blob.len() - input.rest().len(), input))
            };
            let (kind, value, mut input) = read().ok_or(MALFORMED)?;
            match kind {
                0 if !input.bool().ok_or(MALFORMED)? => {
                    self.record(value + 1 + IDS_BYTES, depth + 1)?;
                }
                // Arrays of objects, and of decimals and dates.
                10 | 21 | 23 | 25 | 27 | 29 => {
                    let count = input.i32().ok_or(MALFORMED)?;
                    let first = value + 4 + if kind == 10 { IDS_BYTES } else { 0 };
                    // A negative number stands for null.
                    let count = usize::try_from(count).unwrap_or_default();
                    self.positions((first, count), kind == 10, depth + 1)?;
                }
                _ => {}
            }
        }
        Ok(())
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
