//! What an operation answers, whatever the client speaks.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An answer. Protocols turn it into their own bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Done; there is nothing else to say.
    Done,
    /// There is no such value.
    Nil,
    /// There is no such list of values.
    NilList,
    /// A count, a length, or a yes (1) or no (0).
    Integer(i64),
    /// A number with a fraction, such as a score.
    Double(f64),
    /// Bytes that a client once gave, or that were made of such.
    Bytes(Bytes),
    /// A word of ours, such as the name of a type.
    Word(String),
    /// Values in an order.
    List(Vec<Self>),
    /// Values in no order, each once.
    Set(Vec<Self>),
    /// Pairs whose first is a key, each key once.
    Map(Vec<(Self, Self)>),
    /// Pairs in an order, such as members with their scores.
    Pairs(Vec<(Self, Self)>),
    /// What one of several operations came to.
    Failed(crate::OpError),
}

impl Reply {
    /// Bytes that are copied.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }

    /// Bytes, or nil.
    #[must_use]
    pub fn optional(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::Nil, Self::bytes)
    }

    /// 1 or 0.
    #[must_use]
    pub fn flag(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }

    /// A count.
    #[must_use]
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
