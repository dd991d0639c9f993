//! Values of the types that every client has.

use uuid::Uuid;

use super::array::{Array, Element};
use super::input::Input;
use super::objects::Objects;
use super::{Data, HEADER_BYTES, type_id};

/// What a blob contains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Null.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `byte`.
    Byte(i8),
    /// `char`: a code unit of UTF-16.
    Char(u16),
    /// `short`.
    Short(i16),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `String`.
    Text(&'a str),
    /// `HazelcastJsonValue`: a document, not checked.
    Json(&'a str),
    /// `UUID`.
    Uuid(Uuid),
    /// `byte[]`.
    Bytes(&'a [u8]),
    /// `boolean[]`.
    Bools(Array<'a, bool>),
    /// `char[]`.
    Chars(Array<'a, u16>),
    /// `short[]`.
    Shorts(Array<'a, i16>),
    /// `int[]`.
    Ints(Array<'a, i32>),
    /// `long[]`.
    Longs(Array<'a, i64>),
    /// `float[]`.
    Floats(Array<'a, f32>),
    /// `double[]`.
    Doubles(Array<'a, f64>),
    /// Several values: `String[]`, whose items are [`Value::Text`] or [`Value::Null`], `Object[]`,
    /// `ArrayList` or `LinkedList`.
    Objects(Objects<'a>),
    /// `Class`: its name.
    Class(&'a str),
    /// `Date`: milliseconds since the epoch.
    Date(i64),
    /// `BigInteger`: two's complement in big-endian order.
    BigInteger(&'a [u8]),
    /// `BigDecimal`: the unscaled value, and the number of decimals.
    BigDecimal(&'a [u8], i32),
    /// `LocalDate`.
    LocalDate(LocalDate),
    /// `LocalTime`.
    LocalTime(LocalTime),
    /// `LocalDateTime`.
    LocalDateTime(LocalDate, LocalTime),
    /// `OffsetDateTime`: with the offset from UTC in seconds.
    OffsetDateTime(LocalDate, LocalTime, i32),
    /// `IdentifiedDataSerializable`.
    Identified(Identified<'a>),
    /// A compact record: the id of its schema, and its fields.
    Compact(i64, &'a [u8]),
    /// Of any other type: its type id and payload.
    Other(i32, &'a [u8]),
}

/// A date without a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDate {
    /// Year.
    pub year: i32,
    /// Month, from 1 on.
    pub month: u8,
    /// Day of the month, from 1 on.
    pub day: u8,
}

/// A time of day without a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Nanosecond.
    pub nanosecond: i32,
}

/// An object of a class that is known by two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified<'a> {
    /// Id of the factory of its class.
    pub factory_id: i32,
    /// Id of its class within the factory.
    pub class_id: i32,
    /// Its fields.
    pub fields: &'a [u8],
}

impl<'a> Value<'a> {
    /// What `data` contains. `None` if its payload is not of its type.
    #[must_use]
    pub fn decode(data: Data<'a>) -> Option<Self> {
        let mut input = Input::new(data.payload());
        match data.type_id() {
            type_id::DATA_SERIALIZABLE => {
                let (is_identified, header) = (input.bool()?, input.rest());
                if !is_identified {
                    return Some(Self::Other(type_id::DATA_SERIALIZABLE, data.payload()));
                }
                Identified::read(header).map(Self::Identified)
            }
            type_id::COMPACT => Some(Self::Compact(input.i64()?, input.rest())),
            type_id if has_known_length(type_id) => Self::read(&mut input, type_id),
            type_id => Some(Self::Other(type_id, data.payload())),
        }
    }

    /// Reads a value of a type whose length is known.
    pub(super) fn read(input: &mut Input<'a>, type_id: i32) -> Option<Self> {
        Some(match type_id {
            type_id::NULL => Self::Null,
            type_id::BOOLEAN => Self::Bool(input.bool()?),
            type_id::BYTE => Self::Byte(input.u8()?.cast_signed()),
            type_id::CHAR => Self::Char(input.u16()?),
            type_id::SHORT => Self::Short(input.i16()?),
            type_id::INT => Self::Int(input.i32()?),
            type_id::LONG => Self::Long(input.i64()?),
            type_id::FLOAT => Self::Float(input.f32()?),
            type_id::DOUBLE => Self::Double(input.f64()?),
            type_id::STRING => Self::Text(input.text()?),
            type_id::JSON => Self::Json(input.text()?),
            type_id::UUID => Self::Uuid(input.uuid()?),
            type_id::BYTE_ARRAY => Self::Bytes(input.bytes()?),
            type_id::BOOLEAN_ARRAY => Self::Bools(input.array()?),
            type_id::CHAR_ARRAY => Self::Chars(input.array()?),
            type_id::SHORT_ARRAY => Self::Shorts(input.array()?),
            type_id::INT_ARRAY => Self::Ints(input.array()?),
            type_id::LONG_ARRAY => Self::Longs(input.array()?),
            type_id::FLOAT_ARRAY => Self::Floats(input.array()?),
            type_id::DOUBLE_ARRAY => Self::Doubles(input.array()?),
            type_id::STRING_ARRAY
            | type_id::OBJECT_ARRAY
            | type_id::ARRAY_LIST
            | type_id::LINKED_LIST => Self::Objects(Objects::read(input, type_id)?),
            type_id::CLASS => Self::Class(input.text()?),
            type_id::DATE => Self::Date(input.i64()?),
            type_id::BIG_INTEGER => Self::BigInteger(input.bytes()?),
            type_id::BIG_DECIMAL => Self::BigDecimal(input.bytes()?, input.i32()?),
            type_id::LOCAL_DATE => Self::LocalDate(LocalDate::read(input)?),
            type_id::LOCAL_TIME => Self::LocalTime(LocalTime::read(input)?),
            type_id::LOCAL_DATE_TIME => {
                Self::LocalDateTime(LocalDate::read(input)?, LocalTime::read(input)?)
            }
            type_id::OFFSET_DATE_TIME => {
                let (date, time) = (LocalDate::read(input)?, LocalTime::read(input)?);
                Self::OffsetDateTime(date, time, input.i32()?)
            }
            _ => return None,
        })
    }

    /// Its type id.
    #[must_use]
    pub const fn type_id(&self) -> i32 {
        match self {
            Self::Null => type_id::NULL,
            Self::Bool(_) => type_id::BOOLEAN,
            Self::Byte(_) => type_id::BYTE,
            Self::Char(_) => type_id::CHAR,
            Self::Short(_) => type_id::SHORT,
            Self::Int(_) => type_id::INT,
            Self::Long(_) => type_id::LONG,
            Self::Float(_) => type_id::FLOAT,
            Self::Double(_) => type_id::DOUBLE,
            Self::Text(_) => type_id::STRING,
            Self::Json(_) => type_id::JSON,
            Self::Uuid(_) => type_id::UUID,
            Self::Bytes(_) => type_id::BYTE_ARRAY,
            Self::Bools(_) => type_id::BOOLEAN_ARRAY,
            Self::Chars(_) => type_id::CHAR_ARRAY,
            Self::Shorts(_) => type_id::SHORT_ARRAY,
            Self::Ints(_) => type_id::INT_ARRAY,
            Self::Longs(_) => type_id::LONG_ARRAY,
            Self::Floats(_) => type_id::FLOAT_ARRAY,
            Self::Doubles(_) => type_id::DOUBLE_ARRAY,
            Self::Objects(objects) => objects.type_id,
            Self::Class(_) => type_id::CLASS,
            Self::Date(_) => type_id::DATE,
            Self::BigInteger(_) => type_id::BIG_INTEGER,
            Self::BigDecimal(..) => type_id::BIG_DECIMAL,
            Self::LocalDate(_) => type_id::LOCAL_DATE,
            Self::LocalTime(_) => type_id::LOCAL_TIME,
            Self::LocalDateTime(..) => type_id::LOCAL_DATE_TIME,
            Self::OffsetDateTime(..) => type_id::OFFSET_DATE_TIME,
            Self::Identified(_) => type_id::DATA_SERIALIZABLE,
            Self::Compact(..) => type_id::COMPACT,
            Self::Other(type_id, _) => *type_id,
        }
    }

    /// The blob, with a hash of 0.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut blob = Vec::with_capacity(HEADER_BYTES + 16);
        self.encode_into(&mut blob);
        blob
    }

    /// Appends the blob.
    pub fn encode_into(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&[0; 4]);
        self.encode_object(buffer);
    }

    /// Appends type id and payload, as an object within a blob.
    pub fn encode_object(&self, buffer: &mut Vec<u8>) {
        self.type_id().encode(buffer);
        match *self {
            Self::Null => {}
            Self::Bool(value) => value.encode(buffer),
            Self::Byte(value) => buffer.push(value.cast_unsigned()),
            Self::Char(value) => value.encode(buffer),
            Self::Short(value) => value.encode(buffer),
            Self::Int(value) => value.encode(buffer),
            Self::Long(value) | Self::Date(value) => value.encode(buffer),
            Self::Float(value) => value.encode(buffer),
            Self::Double(value) => value.encode(buffer),
            Self::Text(text) | Self::Json(text) | Self::Class(text) => {
                encode_bytes(text.as_bytes(), buffer);
            }
            Self::Uuid(id) => buffer.extend_from_slice(id.as_bytes()),
            Self::Bytes(bytes) | Self::BigInteger(bytes) => encode_bytes(bytes, buffer),
            Self::Bools(array) => encode_array(array, buffer),
            Self::Chars(array) => encode_array(array, buffer),
            Self::Shorts(array) => encode_array(array, buffer),
            Self::Ints(array) => encode_array(array, buffer),
            Self::Longs(array) => encode_array(array, buffer),
            Self::Floats(array) => encode_array(array, buffer),
            Self::Doubles(array) => encode_array(array, buffer),
            Self::Objects(Objects { count, bytes, .. }) => {
                encode_length(count, buffer);
                buffer.extend_from_slice(bytes);
            }
            Self::BigDecimal(unscaled, scale) => {
                encode_bytes(unscaled, buffer);
                scale.encode(buffer);
            }
            Self::LocalDate(date) => date.encode(buffer),
            Self::LocalTime(time) => time.encode(buffer),
            Self::LocalDateTime(date, time) => {
                date.encode(buffer);
                time.encode(buffer);
            }
            Self::OffsetDateTime(date, time, offset) => {
                date.encode(buffer);
                time.encode(buffer);
                offset.encode(buffer);
            }
            Self::Identified(Identified { factory_id, class_id, fields }) => {
                true.encode(buffer);
                factory_id.encode(buffer);
                class_id.encode(buffer);
                buffer.extend_from_slice(fields);
            }
            Self::Compact(schema_id, fields) => {
                schema_id.encode(buffer);
                buffer.extend_from_slice(fields);
            }
            Self::Other(_, payload) => buffer.extend_from_slice(payload),
        }
    }
}

impl LocalDate {
    fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(Self { year: input.i32()?, month: input.u8()?, day: input.u8()? })
    }

    fn encode(self, buffer: &mut Vec<u8>) {
        self.year.encode(buffer);
        buffer.extend_from_slice(&[self.month, self.day]);
    }
}

impl LocalTime {
    fn read(input: &mut Input<'_>) -> Option<Self> {
        let (hour, minute, second) = (input.u8()?, input.u8()?, input.u8()?);
        Some(Self { hour, minute, second, nanosecond: input.i32()? })
    }

    fn encode(self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&[self.hour, self.minute, self.second]);
        self.nanosecond.encode(buffer);
    }
}

impl<'a> Identified<'a> {
    /// What follows the byte that says that the ids follow.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input::new(bytes);
        let (factory_id, class_id) = (input.i32()?, input.i32()?);
        Some(Self { factory_id, class_id, fields: input.rest() })
    }
}

/// Whether the length of a value of this type follows from its payload.
const fn has_known_length(type_id: i32) -> bool {
    matches!(
        type_id,
        type_id::NULL
            | type_id::UUID..=type_id::BYTE
            | type_id::LINKED_LIST..=type_id::CLASS
            | type_id::OFFSET_DATE_TIME..=type_id::LOCAL_DATE
            | type_id::JSON
    )
}

fn encode_length(length: usize, buffer: &mut Vec<u8>) {
    i32::try_from(length).unwrap_or(i32::MAX).encode(buffer);
}

fn encode_bytes(bytes: &[u8], buffer: &mut Vec<u8>) {
    encode_length(bytes.len(), buffer);
    buffer.extend_from_slice(bytes);
}

fn encode_array<T: Element>(array: Array<'_, T>, buffer: &mut Vec<u8>) {
    encode_length(array.len(), buffer);
    buffer.extend_from_slice(array.bytes());
}
