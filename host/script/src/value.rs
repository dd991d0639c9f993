//! Values that scripts and commands exchange.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::nesting;

/// A reply of a command or of a script: the types of RESP3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// No value.
    Nil,
    /// A short text without line breaks, such as `OK`.
    Status(Bytes),
    /// A message that begins with an error code.
    Error(Bytes),
    /// A whole number.
    Integer(i64),
    /// A string of bytes.
    Bulk(Bytes),
    /// A list.
    Array(#[serde(deserialize_with = "nesting::deeper")] Vec<Self>),
    /// Keys and values, in the order in which they were given.
    Map(#[serde(deserialize_with = "nesting::deeper")] Vec<(Self, Self)>),
    /// Different values, in no particular order.
    Set(#[serde(deserialize_with = "nesting::deeper")] Vec<Self>),
    /// A floating-point number.
    Double(f64),
    /// A truth value.
    Boolean(bool),
    /// A number of any length, in decimal.
    BigNumber(Bytes),
    /// A text, with three letters for its format.
    Verbatim([u8; 3], Bytes),
    /// Ordered pairs, such as members with their scores: lists of two in RESP3, one list in RESP2. Only
    /// commands reply with it, so it is never sent to another member.
    #[serde(skip)]
    Pairs(Vec<(Self, Self)>),
    /// A value for each of several keys: a map in RESP3, lists of two in RESP2. Only commands reply with
    /// it.
    #[serde(skip)]
    ByKey(Vec<(Self, Self)>),
    /// A number in decimal notation, with more digits than a double has: a double in RESP3, a string
    /// in RESP2. Only commands reply with it.
    #[serde(skip)]
    Decimal(Bytes),
}

impl Value {
    /// A status.
    #[must_use]
    pub fn status(text: &'static str) -> Self {
        Self::Status(Bytes::from_static(text.as_bytes()))
    }

    /// Estimated size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// That of a value without what it contains.
        const VALUE_BYTES: usize = 64;
        let content = match self {
            Self::Status(bytes)
            | Self::Error(bytes)
            | Self::Bulk(bytes)
            | Self::BigNumber(bytes)
            | Self::Decimal(bytes)
            | Self::Verbatim(_, bytes) => bytes.len(),
            Self::Array(all) | Self::Set(all) => all.iter().map(Self::bytes).sum(),
            Self::Map(all) | Self::Pairs(all) | Self::ByKey(all) => {
                all.iter().map(|(key, value)| key.bytes() + value.bytes()).sum()
            }
            Self::Nil | Self::Integer(_) | Self::Double(_) | Self::Boolean(_) => 0,
        };
        VALUE_BYTES + content
    }

    /// An error.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(Bytes::from(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nesting::NESTING_MAX;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Nil, |value, level| match level % 3 {
            0 => Value::Array(vec![value]),
            1 => Value::Map(vec![(Value::Nil, value)]),
            _ => Value::Set(vec![value]),
        })
    }

    /// Encoded as a script's reply on its way to another member.
    #[test]
    fn fuzz_value() {
        let samples = [
            Value::Array(vec![
                Value::Nil,
                Value::status("OK"),
                Value::error("ERR no"),
                Value::Integer(-300),
                Value::Bulk(Bytes::from_static(b"bulk")),
                Value::Double(0.5),
                Value::Boolean(true),
                Value::BigNumber(Bytes::from_static(b"12345678901234567890")),
                Value::Verbatim(*b"txt", Bytes::from_static(b"text")),
            ]),
            nested(7),
            nested(NESTING_MAX),
            nested(NESTING_MAX + 1),
        ]
        .map(|value| postcard::to_allocvec(&value).unwrap());
        convoke_harness::check!(&samples, |bytes| {
            let Ok(value) = postcard::from_bytes::<Value>(bytes) else {
                return assert!(bytes != samples[2]);
            };
            assert!(bytes != samples[3]);
            let encoded = postcard::to_allocvec(&value).unwrap();
            let again = postcard::from_bytes::<Value>(&encoded).expect("its own encoding");
            assert_eq!(postcard::to_allocvec(&again).unwrap(), encoded);
        });
    }

    #[test]
    fn a_megabyte_of_levels_does_not_exhaust_the_stack() {
        // Arrays of one value.
        assert!(postcard::from_bytes::<Value>(&[5, 1].repeat(500_000)).is_err());
    }
}
