//! Values that scripts and commands exchange.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    Array(Vec<Self>),
    /// Keys and values, in the order in which they were given.
    Map(Vec<(Self, Self)>),
    /// Different values, in no particular order.
    Set(Vec<Self>),
    /// A floating-point number.
    Double(f64),
    /// A truth value.
    Boolean(bool),
    /// A number of any length, in decimal.
    BigNumber(Bytes),
    /// A text, with three letters for its format.
    Verbatim([u8; 3], Bytes),
}

impl Value {
    /// A status.
    #[must_use]
    pub fn status(text: &'static str) -> Self {
        Self::Status(Bytes::from_static(text.as_bytes()))
    }

    /// An error.
    pub fn error(text: impl Into<String>) -> Self {
        Self::Error(Bytes::from(text.into()))
    }
}
