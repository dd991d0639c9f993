//! Replies of operations, independent of protocols.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::nesting;

/// A reply. Protocols encode it in their own way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// Success without a value.
    Done,
    /// The value does not exist.
    Nil,
    /// The list of values does not exist.
    NilList,
    /// A count, a length, or a flag (1 or 0).
    Integer(i64),
    /// A floating-point number, such as a score.
    Double(f64),
    /// Bytes from clients, or derived from such.
    Bytes(Bytes),
    /// A keyword defined by Convoke, such as the name of a type.
    Word(String),
    /// Values in order.
    List(#[serde(deserialize_with = "nesting::deeper")] Vec<Self>),
    /// Distinct values without an order.
    Set(#[serde(deserialize_with = "nesting::deeper")] Vec<Self>),
    /// Pairs whose first is a key, each key once.
    Map(#[serde(deserialize_with = "nesting::deeper")] Vec<(Self, Self)>),
    /// Ordered pairs, such as members with their scores.
    Pairs(#[serde(deserialize_with = "nesting::deeper")] Vec<(Self, Self)>),
    /// The error of one of several operations.
    Failed(crate::OpError),
    /// A number in decimal notation, with more digits than [`Reply::Double`] holds.
    Decimal(String),
    /// A value for each of several keys, in the order of the keys.
    ByKey(#[serde(deserialize_with = "nesting::deeper")] Vec<(Self, Self)>),
}

/// Approximate overhead of a value in a message, in bytes.
pub(crate) const VALUE_BYTES: usize = 16;

impl Reply {
    /// Bytes, copied.
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

    /// Approximate length in bytes; `None` if it exceeds `most`.
    pub(crate) fn bytes_at_most(&self, most: usize) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => {
                return Some(bytes.len() + VALUE_BYTES).filter(|bytes| *bytes <= most);
            }
            Self::List(_) | Self::Set(_) | Self::Map(_) | Self::Pairs(_) | Self::ByKey(_) => {}
            _ => return Some(VALUE_BYTES),
        }
        let mut sum = 0_usize;
        let mut open = vec![self];
        while let Some(reply) = open.pop() {
            sum += VALUE_BYTES;
            match reply {
                Self::Bytes(bytes) => sum += bytes.len(),
                Self::Word(word) => sum += word.len(),
                Self::List(all) | Self::Set(all) => open.extend(all),
                Self::Map(all) | Self::Pairs(all) | Self::ByKey(all) => {
                    open.extend(all.iter().flat_map(|(a, b)| [a, b]));
                }
                _ => {}
            }
            if sum > most {
                return None;
            }
        }
        Some(sum)
    }

    /// A count.
    #[must_use]
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
