//! Type ids of blobs. Those of a client's own serializers are positive.

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
