//! Attributes of objects with fields: `Portable`, and compact records.

use super::aggregate::encode;
use super::compact::Compact;
use super::path::{Index, Path, Segment};
use super::portable::Portable;
use super::scalar::Scalar;
use super::{Attribute, Error, IsMissing, Layouts, MALFORMED, NULL, Visit};
use crate::data::{Data, Input, LocalDate, LocalTime, type_id};

/// What reading an attribute may cost: fields that are looked at, and items of arrays. Each takes at
/// least one bit of a blob, unless parts of it refer to the same place.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn spend(&mut self, cost: usize) -> Result<(), Error> {
        self.0 = self.0.checked_sub(cost).ok_or(MALFORMED)?;
        Ok(())
    }
}

#[derive(Clone)]
pub(super) enum Record<'a> {
    Portable(Portable<'a>),
    Compact(Compact<'a>),
}

/// The value of a field.
pub(super) enum Field<'a> {
    Scalar(Scalar<'a>),
    Record(Option<Record<'a>>),
    Array(Option<Items<'a>>),
}

/// Type of a field, or of the items of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Byte,
    Char,
    Short,
    Int,
    Long,
    Float,
    Double,
    Text,
    Decimal,
    Time,
    Date,
    DateTime,
    OffsetDateTime,
    Record,
}

impl Kind {
    /// Reads a value. Years of dates in `Portable` objects have 16 bits.
    pub(super) fn read<'a>(self, input: &mut Input<'a>, year: Year) -> Result<Scalar<'a>, Error> {
        Ok(match self {
            Self::Decimal => {
                let bytes = input.bytes().ok_or(MALFORMED)?;
                let scale = input.i32().ok_or(MALFORMED)?;
                Scalar::Decimal(super::decimal::Decimal::from_bytes(bytes, scale)?)
            }
            _ => self.read_other(input, year).ok_or(MALFORMED)?,
        })
    }

    fn read_other<'a>(self, input: &mut Input<'a>, year: Year) -> Option<Scalar<'a>> {
        Some(match self {
            Self::Bool => Scalar::Bool(input.bool()?),
            Self::Byte => Scalar::Byte(input.u8()?.cast_signed()),
            Self::Char => Scalar::Char(input.u16()?),
            Self::Short => Scalar::Short(input.i16()?),
            Self::Int => Scalar::Int(input.i32()?),
            Self::Long => Scalar::Long(input.i64()?),
            Self::Float => Scalar::Float(input.f32()?),
            Self::Double => Scalar::Double(input.f64()?),
            Self::Text => {
                input.nullable_text()?.map_or(Scalar::Null, |text| Scalar::Text(text.into()))
            }
            Self::Time => Scalar::LocalTime(time(input)?),
            Self::Date => Scalar::LocalDate(date(input, year)?),
            Self::DateTime => Scalar::LocalDateTime(date(input, year)?, time(input)?),
            Self::OffsetDateTime => {
                let (date, time) = (date(input, year)?, time(input)?);
                Scalar::OffsetDateTime(date, time, input.i32()?)
            }
            Self::Decimal | Self::Record => return None,
        })
    }
}

/// Length of the year of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Year {
    Short,
    Int,
}

fn date(input: &mut Input<'_>, year: Year) -> Option<LocalDate> {
    let year = match year {
        Year::Short => input.i16()?.into(),
        Year::Int => input.i32()?,
    };
    Some(LocalDate { year, month: input.u8()?, day: input.u8()? })
}

fn time(input: &mut Input<'_>) -> Option<LocalTime> {
    let (hour, minute, second) = (input.u8()?, input.u8()?, input.u8()?);
    Some(LocalTime { hour, minute, second, nanosecond: input.i32()? })
}

/// The items of an array.
pub(super) enum Items<'a> {
    /// One after the other.
    Values { kind: Kind, input: Input<'a>, left: usize },
    /// Bits, the lowest one of each byte first.
    Bits { bytes: &'a [u8], at: usize, count: usize },
    /// Positions in a blob.
    Portable { blob: &'a [u8], ids: &'a [u8], positions: Input<'a>, left: usize, kind: Kind },
    /// Offsets within `data`.
    Compact {
        data: &'a [u8],
        offsets: super::compact::Offsets<'a>,
        at: usize,
        count: usize,
        kind: Kind,
        layouts: Layouts<'a>,
    },
}

pub(super) enum Item<'a> {
    Scalar(Scalar<'a>),
    Record(Option<Record<'a>>),
}

impl<'a> Items<'a> {
    fn kind(&self) -> Kind {
        match self {
            Self::Values { kind, .. }
            | Self::Portable { kind, .. }
            | Self::Compact { kind, .. } => *kind,
            Self::Bits { .. } => Kind::Bool,
        }
    }

    /// Whether items may be null, or have no fixed length.
    fn is_nullable(&self) -> bool {
        matches!(self, Self::Compact { .. })
    }

    fn is_of_records(&self) -> bool {
        matches!(
            self,
            Self::Portable { kind: Kind::Record, .. } | Self::Compact { kind: Kind::Record, .. }
        )
    }

    fn next(&mut self, budget: &mut Budget) -> Result<Option<Item<'a>>, Error> {
        budget.spend(1)?;
        match self {
            Self::Values { left: 0, .. } | Self::Portable { left: 0, .. } => Ok(None),
            Self::Values { kind, input, left } => {
                *left -= 1;
                kind.read(input, Year::Int).map(|scalar| Some(Item::Scalar(scalar)))
            }
            Self::Bits { at, count, .. } | Self::Compact { at, count, .. } if *at >= *count => {
                Ok(None)
            }
            Self::Bits { bytes, at, .. } => {
                let byte = bytes.get(*at / 8).ok_or(MALFORMED)?;
                let bit = byte >> (*at % 8) & 1;
                *at += 1;
                Ok(Some(Item::Scalar(Scalar::Bool(bit == 1))))
            }
            Self::Portable { blob, ids, positions, left, kind } => {
                *left -= 1;
                let at =
                    positions.i32().and_then(|at| usize::try_from(at).ok()).ok_or(MALFORMED)?;
                if *kind == Kind::Record {
                    let record = Record::Portable(Portable::at(blob, ids, at)?);
                    return Ok(Some(Item::Record(Some(record))));
                }
                let mut input = Input::new(blob.get(at..).ok_or(MALFORMED)?);
                kind.read(&mut input, Year::Short).map(|scalar| Some(Item::Scalar(scalar)))
            }
            Self::Compact { data, offsets, at, kind, layouts, .. } => {
                let offset = offsets.get(*at)?;
                *at += 1;
                let Some(offset) = offset else {
                    return Ok(Some(match kind {
                        Kind::Record => Item::Record(None),
                        _ => Item::Scalar(Scalar::Null),
                    }));
                };
                let bytes = data.get(offset..).ok_or(MALFORMED)?;
                if *kind == Kind::Record {
                    let record = Record::Compact(Compact::read(bytes, *layouts)?);
                    return Ok(Some(Item::Record(Some(record))));
                }
                kind.read(&mut Input::new(bytes), Year::Int)
                    .map(|scalar| Some(Item::Scalar(scalar)))
            }
        }
    }

    /// An item. `None` if there are fewer.
    fn at(&mut self, index: usize, budget: &mut Budget) -> Result<Option<Item<'a>>, Error> {
        for _ in 0..index {
            if self.next(budget)?.is_none() {
                return Ok(None);
            }
        }
        self.next(budget)
    }
}

impl<'a> Record<'a> {
    /// The record that a blob contains.
    fn root(data: Data<'a>, layouts: Layouts<'a>) -> Result<Self, Error> {
        Ok(if data.type_id() == type_id::PORTABLE {
            Self::Portable(Portable::root(data)?)
        } else {
            Self::Compact(Compact::read(data.payload(), layouts)?)
        })
    }

    /// Its field of this name. `None` if it has none.
    fn find(&self, name: &str, budget: &mut Budget) -> Result<Option<Field<'a>>, Error> {
        match self {
            Self::Portable(portable) => portable.find(name, budget),
            Self::Compact(compact) => {
                budget.spend(1)?;
                compact.find(name)
            }
        }
    }
}

const IS_RECORD: &str = "it is an object";

impl<'a> Item<'a> {
    fn into_attribute(self) -> Attribute<'a> {
        match self {
            Self::Scalar(scalar) => Attribute::Scalar(scalar),
            Self::Record(None) => NULL,
            Self::Record(Some(_)) => Attribute::Opaque(IS_RECORD),
        }
    }
}

impl<'a> Field<'a> {
    fn into_attribute(self) -> Attribute<'a> {
        match self {
            Self::Scalar(scalar) => Attribute::Scalar(scalar),
            Self::Record(None) | Self::Array(None) => NULL,
            Self::Record(Some(_)) => Attribute::Opaque(IS_RECORD),
            Self::Array(Some(_)) => Attribute::Opaque("it is an array"),
        }
    }
}

/// The attribute of a `Portable` object or a compact record.
pub(super) fn read<'a>(
    data: Data<'a>,
    layouts: Layouts<'a>,
    path: &Path,
    visit: Visit<'_, 'a>,
) -> Result<IsMissing, Error> {
    let record = Record::root(data, layouts)?;
    let mut walk = Walk::new(data, path, visit);
    // The name of a field may contain dots.
    if let Some(field) = record.find(path.within(), &mut walk.budget)? {
        (walk.visit)(field.into_attribute());
        return Ok(false);
    }
    walk.record(&record, path.segments()?)?;
    Ok(walk.is_missing)
}

/// Appends the attribute of a `Portable` object or a compact record to a blob, as an object. Returns
/// false if there is none.
pub(super) fn append_object(
    data: Data<'_>,
    layouts: Layouts<'_>,
    path: &Path,
    blob: &mut Vec<u8>,
) -> Result<bool, Error> {
    let record = Record::root(data, layouts)?;
    let mut unvisited = |_| {};
    let mut walk = Walk::new(data, path, &mut unvisited);
    if path.is_whole {
        append_item(Item::Record(Some(record)), blob, &mut walk.budget)?;
        return Ok(true);
    }
    if let Some(field) = record.find(path.within(), &mut walk.budget)? {
        append_field(field, blob, &mut walk.budget)?;
        return Ok(true);
    }
    walk.target = Some((blob, false));
    walk.record(&record, path.segments()?)?;
    Ok(walk.target.is_some_and(|(_, is_found)| is_found))
}

fn append_field(field: Field<'_>, blob: &mut Vec<u8>, budget: &mut Budget) -> Result<(), Error> {
    match field {
        Field::Scalar(scalar) => append_item(Item::Scalar(scalar), blob, budget),
        Field::Record(record) => append_item(Item::Record(record), blob, budget),
        Field::Array(None) => append_item(Item::Record(None), blob, budget),
        Field::Array(Some(items)) => append_array(items, blob, budget),
    }
}

fn append_item(item: Item<'_>, blob: &mut Vec<u8>, budget: &mut Budget) -> Result<(), Error> {
    match item {
        Item::Scalar(scalar) => blob.extend(encode(&scalar)?),
        Item::Record(None) => blob.extend(encode(&Scalar::Null)?),
        Item::Record(Some(Record::Compact(compact))) => {
            blob.extend_from_slice(&type_id::COMPACT.to_be_bytes());
            blob.extend_from_slice(compact.bytes()?);
        }
        Item::Record(Some(Record::Portable(portable))) => {
            blob.extend_from_slice(&type_id::PORTABLE.to_be_bytes());
            portable.append_to(blob, budget)?;
        }
    }
    Ok(())
}

/// An array as an object: of the type of arrays of its primitive type or of texts, or else of objects.
fn append_array(
    mut items: Items<'_>,
    blob: &mut Vec<u8>,
    budget: &mut Budget,
) -> Result<(), Error> {
    /// Length of the type id of an object, in bytes.
    const TYPE_BYTES: usize = 4;
    let kind = items.kind();
    let type_id = match kind {
        _ if items.is_nullable() && kind != Kind::Text => type_id::OBJECT_ARRAY,
        Kind::Bool => type_id::BOOLEAN_ARRAY,
        Kind::Byte => type_id::BYTE_ARRAY,
        Kind::Char => type_id::CHAR_ARRAY,
        Kind::Short => type_id::SHORT_ARRAY,
        Kind::Int => type_id::INT_ARRAY,
        Kind::Long => type_id::LONG_ARRAY,
        Kind::Float => type_id::FLOAT_ARRAY,
        Kind::Double => type_id::DOUBLE_ARRAY,
        Kind::Text => type_id::STRING_ARRAY,
        _ => type_id::OBJECT_ARRAY,
    };
    blob.extend_from_slice(&type_id.to_be_bytes());
    let count_at = blob.len();
    blob.extend_from_slice(&[0; 4]);
    let mut count = 0_i32;
    while let Some(item) = items.next(budget)? {
        count = count.saturating_add(1);
        match (type_id, item) {
            (type_id::OBJECT_ARRAY, item) => append_item(item, blob, budget)?,
            (type_id::STRING_ARRAY, Item::Scalar(Scalar::Null)) => {
                blob.extend_from_slice(&(-1_i32).to_be_bytes());
            }
            // The payload of an item is an item of the array.
            (_, Item::Scalar(scalar)) => {
                blob.extend_from_slice(encode(&scalar)?.get(TYPE_BYTES..).unwrap_or_default());
            }
            (_, Item::Record(_)) => return Err(MALFORMED),
        }
    }
    if let Some(place) = blob.get_mut(count_at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = count.to_be_bytes();
    }
    Ok(())
}

struct Walk<'w, 'a> {
    budget: Budget,
    is_missing: IsMissing,
    path: &'w Path,
    visit: Visit<'w, 'a>,
    /// The blob to which the attribute is appended as an object, instead of visiting it, and whether
    /// it was.
    target: Option<(&'w mut Vec<u8>, bool)>,
}

impl<'w, 'a> Walk<'w, 'a> {
    fn new(data: Data<'a>, path: &'w Path, visit: Visit<'w, 'a>) -> Self {
        let budget = Budget(data.bytes().len().saturating_mul(8));
        Self { budget, is_missing: false, path, visit, target: None }
    }
}

impl<'a> Walk<'_, 'a> {
    fn error(&self, reason: &'static str) -> Error {
        Error::Attribute { attribute: self.path.name().to_owned(), reason: reason.into() }
    }

    /// Recursion ends with the segments, which [`super::ATTRIBUTE_BYTES_MAX`] limits.
    fn record(&mut self, record: &Record<'a>, segments: &[Segment]) -> Result<(), Error> {
        let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
        let field = record.find(&segment.field, &mut self.budget)?;
        if rest.is_empty() {
            return self.leaf(field, segment.index);
        }
        let Some(field) = field else {
            self.is_missing = true;
            return Ok(());
        };
        match (segment.index, field) {
            (Index::None, Field::Record(record)) => self.nested(record, rest),
            (Index::None, _) => Err(self.error("one of its parents is not an object")),
            (_, Field::Array(None)) => {
                self.is_missing = true;
                Ok(())
            }
            (index, Field::Array(Some(mut items))) if items.is_of_records() => match index {
                Index::At(index) => {
                    let index =
                        usize::try_from(index).map_err(|_| self.error("its index is negative"))?;
                    match items.at(index, &mut self.budget)? {
                        Some(Item::Record(record)) => self.nested(record, rest),
                        _ => self.nested(None, rest),
                    }
                }
                _ => {
                    let mut is_empty = true;
                    while let Some(item) = items.next(&mut self.budget)? {
                        is_empty = false;
                        let Item::Record(record) = item else { return Err(MALFORMED) };
                        self.nested(record, rest)?;
                    }
                    self.is_missing |= is_empty;
                    Ok(())
                }
            },
            _ => Err(self.error("one of its parents is not an array of objects")),
        }
    }

    fn nested(&mut self, record: Option<Record<'a>>, rest: &[Segment]) -> Result<(), Error> {
        match record {
            Some(record) => self.record(&record, rest),
            None => {
                self.is_missing = true;
                Ok(())
            }
        }
    }

    fn leaf(&mut self, field: Option<Field<'a>>, index: Index) -> Result<(), Error> {
        if self.target.is_some() {
            return self.append_leaf(field, index);
        }
        match (index, field) {
            (Index::None, None) | (Index::At(_), None | Some(Field::Array(None))) => {
                (self.visit)(NULL);
            }
            (Index::None, Some(field)) => (self.visit)(field.into_attribute()),
            (Index::Any, None | Some(Field::Array(None))) => self.is_missing = true,
            (Index::Any, Some(Field::Array(Some(mut items)))) => {
                let mut is_empty = true;
                while let Some(item) = items.next(&mut self.budget)? {
                    is_empty = false;
                    (self.visit)(item.into_attribute());
                }
                self.is_missing |= is_empty;
            }
            (Index::Any, Some(Field::Scalar(Scalar::Null) | Field::Record(None))) => {
                self.is_missing = true;
            }
            (Index::At(index), Some(Field::Array(Some(mut items)))) => {
                let index =
                    usize::try_from(index).map_err(|_| self.error("its index is negative"))?;
                let item = items.at(index, &mut self.budget)?;
                (self.visit)(item.map_or(NULL, Item::into_attribute));
            }
            (_, Some(_)) => return Err(self.error("it is not an array")),
        }
        Ok(())
    }

    /// Appends the last part of an attribute as an object.
    fn append_leaf(&mut self, field: Option<Field<'a>>, index: Index) -> Result<(), Error> {
        let is_negative = self.error("its index is negative");
        let Some((blob, is_found)) = &mut self.target else { return Ok(()) };
        match (index, field) {
            (Index::None, Some(field)) => append_field(field, blob, &mut self.budget)?,
            (Index::At(index), Some(Field::Array(Some(mut items)))) => {
                let index = usize::try_from(index).map_err(|_| is_negative)?;
                let Some(item) = items.at(index, &mut self.budget)? else { return Ok(()) };
                append_item(item, blob, &mut self.budget)?;
            }
            _ => return Ok(()),
        }
        *is_found = true;
        Ok(())
    }
}
