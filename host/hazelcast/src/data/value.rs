//! Values of the types that every client has.

use uuid::Uuid;

use super::array::{Array, Element};
use super::input::Input;
use super::{Data, HEADER_BYTES};

/// Type ids of blobs. Those of a client's own serializers are positive.
pub mod type_id {
    /// Null.
    pub const NULL: i32 = 0;
    /// `Portable`.
    pub const PORTABLE: i32 = -1;
    /// `IdentifiedDataSerializable`, or `DataSerializable`.
    pub const DATA_SERIALIZABLE: i32 = -2;
    /// `byte`.
    pub const BYTE: i32 = -3;
    /// `boolean`.
    pub const BOOLEAN: i32 = -4;
    /// `char`.
    pub const CHAR: i32 = -5;
    /// `short`.
    pub const SHORT: i32 = -6;
    /// `int`.
    pub const INT: i32 = -7;
    /// `long`.
    pub const LONG: i32 = -8;
    /// `float`.
    pub const FLOAT: i32 = -9;
    /// `double`: the numbers of clients in JavaScript.
    pub const DOUBLE: i32 = -10;
    /// `String`.
    pub const STRING: i32 = -11;
    /// `byte[]`.
    pub const BYTE_ARRAY: i32 = -12;
    /// `boolean[]`.
    pub const BOOLEAN_ARRAY: i32 = -13;
    /// `char[]`.
    pub const CHAR_ARRAY: i32 = -14;
    /// `short[]`.
    pub const SHORT_ARRAY: i32 = -15;
    /// `int[]`.
    pub const INT_ARRAY: i32 = -16;
    /// `long[]`.
    pub const LONG_ARRAY: i32 = -17;
    /// `float[]`.
    pub const FLOAT_ARRAY: i32 = -18;
    /// `double[]`.
    pub const DOUBLE_ARRAY: i32 = -19;
    /// `String[]`.
    pub const STRING_ARRAY: i32 = -20;
    /// `UUID`.
    pub const UUID: i32 = -21;
    /// `Class`.
    pub const CLASS: i32 = -24;
    /// `Date`.
    pub const DATE: i32 = -25;
    /// `BigInteger`.
    pub const BIG_INTEGER: i32 = -26;
    /// `BigDecimal`.
    pub const BIG_DECIMAL: i32 = -27;
    /// `Object[]`.
    pub const OBJECT_ARRAY: i32 = -28;
    /// `ArrayList`.
    pub const ARRAY_LIST: i32 = -29;
    /// `LinkedList`.
    pub const LINKED_LIST: i32 = -30;
    /// `LocalDate`.
    pub const LOCAL_DATE: i32 = -51;
    /// `LocalTime`.
    pub const LOCAL_TIME: i32 = -52;
    /// `LocalDateTime`.
    pub const LOCAL_DATE_TIME: i32 = -53;
    /// `OffsetDateTime`.
    pub const OFFSET_DATE_TIME: i32 = -54;
    /// A compact record.
    pub const COMPACT: i32 = -55;
    /// Java's `Serializable`.
    pub const JAVA: i32 = -100;
    /// Java's `Externalizable`.
    pub const JAVA_EXTERNALIZABLE: i32 = -101;
    /// A pickled object of Python.
    pub const PYTHON: i32 = -120;
    /// `HazelcastJsonValue`.
    pub const JSON: i32 = -130;
}

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
    /// `LocalDate`: year, month and day, both from 1 on.
    LocalDate(i32, u8, u8),
    /// `LocalTime`: hour, minute, second, nanosecond.
    LocalTime(u8, u8, u8, i32),
    /// `IdentifiedDataSerializable`.
    Identified(Identified<'a>),
    /// A compact record: the id of its schema, and its fields.
    Compact(i64, &'a [u8]),
    /// Of any other type: its type id and payload.
    Other(i32, &'a [u8]),
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
            type_id::LOCAL_DATE => Self::LocalDate(input.i32()?, input.u8()?, input.u8()?),
            type_id::LOCAL_TIME => {
                Self::LocalTime(input.u8()?, input.u8()?, input.u8()?, input.i32()?)
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
            Self::LocalDate(..) => type_id::LOCAL_DATE,
            Self::LocalTime(..) => type_id::LOCAL_TIME,
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
            Self::LocalDate(year, month, day) => {
                year.encode(buffer);
                buffer.extend_from_slice(&[month, day]);
            }
            Self::LocalTime(hour, minute, second, nanosecond) => {
                buffer.extend_from_slice(&[hour, minute, second]);
                nanosecond.encode(buffer);
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

impl<'a> Identified<'a> {
    /// What follows the byte that says that the ids follow.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Input::new(bytes);
        let (factory_id, class_id) = (input.i32()?, input.i32()?);
        Some(Self { factory_id, class_id, fields: input.rest() })
    }
}

/// Several objects. All of them have been checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objects<'a> {
    type_id: i32,
    count: usize,
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> Objects<'a> {
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

    fn read(input: &mut Input<'a>, type_id: i32) -> Option<Self> {
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

/// Whether the length of a value of this type follows from its payload.
const fn has_known_length(type_id: i32) -> bool {
    matches!(
        type_id,
        type_id::NULL
            | type_id::UUID..=type_id::BYTE
            | type_id::LINKED_LIST..=type_id::CLASS
            | type_id::LOCAL_TIME..=type_id::LOCAL_DATE
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
