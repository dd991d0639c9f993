//! Aggregations and projections of entries.

use std::collections::BTreeMap;

use super::path::Path;
use super::scalar::Scalar;
use super::{Attribute, Entry, Error};
use crate::data::{Data, Identified, Input, Value};

/// The factory of aggregators.
const AGGREGATORS: i32 = -29;

/// The factory of projections.
const PROJECTIONS: i32 = -30;

/// The class of sets of values, of the factory of aggregators.
const SET_CLASS: i32 = 19;

/// Maximum length of the distinct values of an aggregation, in bytes.
pub const DISTINCT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Maximum number of attributes in a projection.
pub const PROJECTED_MAX: usize = 256;

/// An aggregation of entries. Add all of them, and then [`Aggregation::finish`] it.
///
/// Supported are count, distinct values, maximum, minimum, and sums and averages except those of
/// `BigDecimal` and `BigInteger`.
#[derive(Debug)]
pub struct Aggregation {
    /// `None`: the value of entries.
    path: Option<Path>,
    state: State,
}

#[derive(Debug)]
enum State {
    Count(i64),
    /// Encoded objects, each of which is kept once, in the form in which whole numbers are `long`.
    Distinct {
        values: BTreeMap<Vec<u8>, Vec<u8>>,
        bytes: usize,
    },
    Extreme {
        best: Option<Scalar<'static>>,
        is_max: bool,
    },
    Whole {
        sum: i64,
        count: i64,
        range: Range,
        is_average: bool,
    },
    Double {
        sum: f64,
        count: i64,
        is_exact: bool,
        is_average: bool,
    },
}

/// Which numbers a sum accepts.
#[derive(Clone, Copy, Debug)]
enum Range {
    Int,
    Long,
    /// All, without their decimals.
    Truncated,
}

const INCOMPLETE: Error = Error::Malformed("an aggregator or projection is incomplete");

/// The class and the fields of an object of this factory.
fn class_of(data: Data<'_>, factory: i32) -> Result<(i32, Input<'_>), Error> {
    match Value::decode(data) {
        Some(Value::Identified(Identified { factory_id, class_id, fields }))
            if factory_id == factory =>
        {
            Ok((class_id, Input::new(fields)))
        }
        Some(_) => Err(Error::unsupported("an aggregator or projection of a class of the client")),
        None => Err(INCOMPLETE),
    }
}

impl Aggregation {
    /// Decodes an aggregator of a client.
    pub fn decode(data: Data<'_>) -> Result<Self, Error> {
        let (class, mut input) = class_of(data, AGGREGATORS)?;
        let path = input.nullable_text().ok_or(INCOMPLETE)?.map(Path::new).transpose()?;
        let whole = |range, is_average| State::Whole { sum: 0, count: 0, range, is_average };
        let double =
            |is_exact, is_average| State::Double { sum: 0.0, count: 0, is_exact, is_average };
        let state = match class {
            4 => State::Count(0),
            5 => State::Distinct { values: BTreeMap::new(), bytes: 0 },
            6 => double(true, true),
            7 => double(true, false),
            8 => whole(Range::Truncated, false),
            9 => double(false, false),
            10 => whole(Range::Int, true),
            11 => whole(Range::Int, false),
            12 => whole(Range::Long, true),
            13 => whole(Range::Long, false),
            14 | 15 => State::Extreme { best: None, is_max: class == 14 },
            16 => double(false, true),
            0..=3 => return Err(Error::unsupported("an aggregator of BigDecimal or BigInteger")),
            17 | 18 => return Err(Error::unsupported("the aggregator maxBy or minBy")),
            _ => return Err(Error::unsupported("an aggregator of this class")),
        };
        Ok(Self { path, state })
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let Self { path, state } = self;
        let Some(path) = path else {
            if let State::Count(count) = state {
                *count += 1;
                return Ok(());
            }
            if let Some(Value::Json(text)) = Value::decode(entry.value) {
                return state.add("this", Attribute::Scalar(Scalar::Document(text.into())));
            }
            return match (state, super::whole(entry.value)?) {
                (State::Distinct { values, bytes }, Attribute::Opaque(_)) => {
                    add_distinct_object(values, bytes, entry, &Path::new("this")?)
                }
                (state, attribute) => state.add("this", attribute),
            };
        };
        let mut result = Ok(());
        let has_items = path.name().contains("[any]");
        // A null for an array that is missing is not aggregated.
        let _is_missing = entry.read(path, &mut |attribute| {
            if result.is_ok() {
                result = match (&mut *state, &attribute) {
                    (State::Distinct { values, bytes }, Attribute::Opaque(_)) if !has_items => {
                        add_distinct_object(values, bytes, entry, path)
                    }
                    (state, _) => state.add(path.name(), attribute),
                };
            }
        })?;
        result
    }

    /// The result, a blob.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        #[expect(clippy::cast_precision_loss, reason = "as in Java")]
        let average = |sum: f64, count: i64| match count {
            0 => Value::Null,
            count => Value::Double(sum / count as f64),
        };
        match self.state {
            State::Count(count) => Value::Long(count).encode(),
            State::Distinct { values, .. } => {
                let count = i32::try_from(values.len()).unwrap_or(i32::MAX);
                let mut fields = count.to_be_bytes().to_vec();
                fields.extend(values.into_values().flatten());
                let set =
                    Identified { factory_id: AGGREGATORS, class_id: SET_CLASS, fields: &fields };
                Value::Identified(set).encode()
            }
            State::Extreme { best, .. } => best
                .and_then(|best| encode(&best).ok())
                .map_or_else(|| Value::Null.encode(), |object| [&[0; 4], &object[..]].concat()),
            #[expect(clippy::cast_precision_loss, reason = "as in Java")]
            State::Whole { sum, count, is_average: true, .. } => {
                average(sum as f64, count).encode()
            }
            State::Whole { sum, .. } => Value::Long(sum).encode(),
            State::Double { sum, count, is_average: true, .. } => average(sum, count).encode(),
            State::Double { sum, .. } => Value::Double(sum).encode(),
        }
    }
}

impl State {
    fn add(&mut self, name: &str, attribute: Attribute<'_>) -> Result<(), Error> {
        let cast = |what: &str| Error::Cast(format!("attribute {name:?} {what}").into());
        if let Self::Count(count) = self {
            *count += i64::from(attribute != Attribute::Structure);
            return Ok(());
        }
        let scalar = match attribute {
            Attribute::Scalar(scalar) => scalar,
            Attribute::Structure => return Ok(()),
            Attribute::Opaque(_) if matches!(self, Self::Distinct { .. }) => {
                return Err(Error::unsupported("distinct values that are arrays or objects"));
            }
            Attribute::Opaque(_) => return Err(cast("is an array or object")),
        };
        match self {
            Self::Count(_) => {}
            Self::Distinct { values, bytes } => {
                let (key, object) = (encode(&scalar.canonical())?, encode(&scalar)?);
                add_distinct(values, bytes, key, object)?;
            }
            Self::Extreme { best, is_max } => {
                if scalar == Scalar::Null {
                    return Ok(());
                }
                let is_better = match best {
                    None => true,
                    Some(best) => {
                        let order = best.compare(&scalar)?;
                        if *is_max { order.is_lt() } else { order.is_gt() }
                    }
                };
                if is_better {
                    encode(&scalar)?;
                    *best = Some(scalar.into_owned());
                }
            }
            Self::Whole { sum, count, range, .. } => {
                let whole = match range {
                    Range::Truncated => scalar.truncated_long(),
                    Range::Long => scalar.exact_long(),
                    Range::Int => scalar.exact_long().filter(|long| i32::try_from(*long).is_ok()),
                };
                *sum = sum.wrapping_add(checked(name, whole, &scalar)?);
                *count += 1;
            }
            Self::Double { sum, count, is_exact, .. } => {
                *sum += checked(name, scalar.double(*is_exact), &scalar)?;
                *count += 1;
            }
        }
        Ok(())
    }
}

/// Adds an object to distinct values, by the form in which equal ones are the same.
fn add_distinct(
    values: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: &mut usize,
    key: Vec<u8>,
    object: Vec<u8>,
) -> Result<(), Error> {
    if !values.contains_key(&key) {
        *bytes = bytes.saturating_add(object.len());
        if *bytes > DISTINCT_BYTES_MAX {
            return Err(Error::Limit {
                what: "bytes of distinct values",
                limit: DISTINCT_BYTES_MAX,
            });
        }
    }
    values.insert(key, object);
    Ok(())
}

/// Adds an attribute that is no scalar to distinct values.
fn add_distinct_object(
    values: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: &mut usize,
    entry: &Entry<'_>,
    path: &Path,
) -> Result<(), Error> {
    let data = if path.is_of_key { entry.key } else { entry.value };
    let mut object = Vec::new();
    // Positions in a `Portable` object depend on the place in the result, which is not known yet.
    let is_known = data.type_id() != crate::data::type_id::PORTABLE
        && entry.append_object(path, &mut object)?;
    if !is_known {
        return Err(Error::unsupported("distinct objects of this type"));
    }
    add_distinct(values, bytes, object.clone(), object)
}

/// The number that an attribute is, if it is one within the range of an aggregation.
fn checked<T>(name: &str, number: Option<T>, scalar: &Scalar<'_>) -> Result<T, Error> {
    match number {
        Some(number) => Ok(number),
        None if *scalar == Scalar::Null => Err(Error::Null { attribute: name.to_owned() }),
        None if !scalar.is_number() => {
            Err(Error::Cast(format!("attribute {name:?} is not a number").into()))
        }
        None => Err(Error::invalid(format!(
            "attribute {name:?} is a number outside of the range of the aggregation"
        ))),
    }
}

/// A scalar as an object: its type id and payload.
pub(super) fn encode(scalar: &Scalar<'_>) -> Result<Vec<u8>, Error> {
    let value = match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Byte(value) => Value::Byte(*value),
        Scalar::Char(value) => Value::Char(*value),
        Scalar::Short(value) => Value::Short(*value),
        Scalar::Int(value) => Value::Int(*value),
        Scalar::Long(value) => Value::Long(*value),
        Scalar::Float(value) => Value::Float(*value),
        Scalar::Double(value) => Value::Double(*value),
        Scalar::Text(text) => Value::Text(text),
        Scalar::Document(text) => Value::Json(text),
        Scalar::Uuid(uuid) => Value::Uuid(*uuid),
        Scalar::Date(value) => Value::Date(*value),
        Scalar::LocalDate(date) => Value::LocalDate(*date),
        Scalar::LocalTime(time) => Value::LocalTime(*time),
        Scalar::LocalDateTime(date, time) => Value::LocalDateTime(*date, *time),
        Scalar::OffsetDateTime(date, time, offset) => Value::OffsetDateTime(*date, *time, *offset),
        Scalar::Integer(_) | Scalar::Decimal(_) => {
            return Err(Error::unsupported("a BigInteger or BigDecimal as a result"));
        }
    };
    let mut object = Vec::new();
    value.encode_object(&mut object);
    Ok(object)
}

/// A projection: some attributes of each entry.
#[derive(Clone, Debug)]
pub struct Projection {
    paths: Vec<Path>,
    is_array: bool,
}

impl Projection {
    /// Decodes a projection of a client: of one attribute, or of several.
    pub fn decode(data: Data<'_>) -> Result<Self, Error> {
        let (class, mut input) = class_of(data, PROJECTIONS)?;
        match class {
            0 => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                Ok(Self { paths: vec![path], is_array: false })
            }
            1 => {
                let count = input.count().ok_or(INCOMPLETE)?;
                if count > PROJECTED_MAX {
                    return Err(Error::Limit {
                        what: "attributes in a projection",
                        limit: PROJECTED_MAX,
                    });
                }
                let mut paths = Vec::new();
                for _ in 0..count {
                    paths.push(Path::new(input.text().ok_or(INCOMPLETE)?)?);
                }
                Ok(Self { paths, is_array: true })
            }
            _ => Err(Error::unsupported("a projection of this class")),
        }
    }

    /// The attributes of an entry, a blob: a value, or an array of objects.
    ///
    /// An attribute is null if one of its parents is null, for which Hazelcast reports an error.
    pub fn apply(&self, entry: &Entry<'_>) -> Result<Vec<u8>, Error> {
        let mut blob = vec![0; 4];
        if self.is_array {
            blob.extend_from_slice(&crate::data::type_id::OBJECT_ARRAY.to_be_bytes());
            let count = i32::try_from(self.paths.len()).unwrap_or(i32::MAX);
            blob.extend_from_slice(&count.to_be_bytes());
        }
        for path in &self.paths {
            if path.name().contains("[any]") {
                return Err(Error::unsupported("a projection of an attribute with [any]"));
            }
            let mut scalar = Ok(None);
            let is_missing = entry.read(path, &mut |attribute| {
                if let Attribute::Scalar(found) = attribute {
                    scalar = encode(&found).map(Some);
                }
            })?;
            match scalar? {
                _ if is_missing => blob.extend(encode(&Scalar::Null)?),
                Some(scalar) => blob.extend(scalar),
                None if entry.append_object(path, &mut blob)? => {}
                None => return Err(Error::unsupported("a projection of this type")),
            }
        }
        Ok(blob)
    }
}
