//! Queries of maps: predicates, and the attributes of entries that they read.
//!
//! [`Query`] decodes what a client sends; [`Predicate::matches`] evaluates it on an [`Entry`].
//! [`PageRequest`], [`Aggregation`] and [`Projection`] are made of the entries that match. An
//! attribute is a path such as `name`, `address.city`, `items[0].price`, `tags[any]`, `this` (the
//! value), `__key` or `__key.id`. It is read from documents (`HazelcastJsonValue`), `Portable`
//! objects and compact records; of all other values, only `this` and `__key` can be read.
//!
//! # Comparison
//!
//! As in Hazelcast, the operand is converted to the type of the attribute, for each entry:
//! - numbers of all primitive types compare by value, `-0.0` is less than `0.0`, and NaN is equal to
//!   itself and greater than all others; a text is parsed; `BigDecimal`s that are equal have the
//!   same number of decimals;
//! - for a text, the operand's `toString()` is used; texts are in the order of UTF-16;
//! - for a boolean, a text is true if it is `true` in any case, and a number if it is not 0;
//! - dates, times and ids are parsed from texts.
//!
//! Hazelcast converts an operand once, to the type in the first entry, so that its results depend on
//! the order of entries if their types differ; those of this module do not. An attribute to whose type
//! the operand cannot be converted is not equal to it, and matches no comparison. It is an error only
//! if the operand can be converted to the type of no attribute: see [`Types`].
//!
//! Null, and an attribute that is missing, is equal to null only, matches no comparison, and
//! differs from all that is not null. With `[any]`, one matching item suffices, except for not
//! equal, which is the negation of equal: no item may match.
//!
//! # What is not supported
//!
//! These are [`Error::Unsupported`]: classes of clients, `instanceof`, comparators, documents and
//! arrays as operands, texts compared with `java.util.Date`, numbers compared with dates and times
//! (both depend on the time zone of a member in Java), regular expressions that need backtracking,
//! and the intersection of classes in them. Methods and fields of Java's classes, such as the
//! attribute `bytes` of a text, are [`Error::Attribute`].
//!
//! # Cost
//!
//! Time is at most proportional to the product of the lengths of predicate and value: regular
//! expressions have no backtracking, and parts of a value to which many others refer are counted.
//!
//! Source: the behaviour of Hazelcast 5.7.0; the tests have its results.

mod aggregate;
mod compact;
mod dates;
mod decimal;
mod json;
mod like;
mod paging;
mod path;
mod pattern;
mod portable;
mod predicate;
mod record;
mod scalar;
mod sql;

use std::borrow::Cow;
use std::sync::Arc;

pub use aggregate::{Aggregation, DISTINCT_BYTES_MAX, PROJECTED_MAX, Projection};
pub use compact::Layout;
pub use paging::{Iteration, Page, PageRequest};
pub use predicate::{Predicate, Query, Types};

use path::Path;
use scalar::Scalar;

use crate::data::{Data, Value};
use crate::error::ErrorCode;

/// Maximum depth of nested predicates.
pub const PREDICATE_DEPTH_MAX: usize = 64;

/// Maximum number of predicates in a query.
pub const PREDICATES_MAX: usize = 4096;

/// Maximum number of operands in a query.
pub const OPERANDS_MAX: usize = 65_536;

/// Maximum length of the name of an attribute, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;

/// Maximum length of a predicate in SQL, and of an expression of LIKE, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// Maximum length of a regular expression, in bytes.
pub const REGEX_BYTES_MAX: usize = 4096;

/// Maximum number of regular expressions in a query.
pub const REGEXES_MAX: usize = 32;

/// Maximum memory of a compiled regular expression, in bytes.
pub const REGEX_COMPILED_BYTES_MAX: usize = 256 * 1024;

/// Maximum length of a `BigInteger` or `BigDecimal` that is compared, in bytes or in digits.
pub const NUMBER_LENGTH_MAX: usize = 512;

/// Maximum depth of arrays and objects in a document.
pub const JSON_DEPTH_MAX: usize = 1000;

/// Why a query cannot be decoded or evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The blob is not a complete predicate.
    #[error("malformed query: {0}")]
    Malformed(&'static str),
    /// It is valid in Hazelcast, and not supported here.
    #[error("{0} is not supported")]
    Unsupported(Cow<'static, str>),
    /// A text in the query is invalid, or an operand cannot be converted.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The attribute of an entry cannot be compared, or does not exist in its type.
    #[error("attribute {attribute:?} cannot be compared: {reason}")]
    Attribute {
        /// The name of the attribute.
        attribute: String,
        /// Why.
        reason: Cow<'static, str>,
    },
    /// Values whose types do not fit: a number is needed, or values of different types are compared.
    #[error("{0}")]
    Cast(Cow<'static, str>),
    /// An attribute is null, or missing, where a number is needed.
    #[error("attribute {attribute:?} is null, and not a number")]
    Null {
        /// The name of the attribute.
        attribute: String,
    },
    /// A limit is exceeded.
    #[error("query exceeds the limit of {limit} {what}")]
    Limit {
        /// What is limited, in plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The code to report to a client.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(_) => ErrorCode::HazelcastSerialization,
            Self::Unsupported(_) => ErrorCode::UnsupportedOperation,
            Self::Invalid(_) | Self::Limit { .. } => ErrorCode::IllegalArgument,
            Self::Attribute { .. } => ErrorCode::Query,
            Self::Cast(_) => ErrorCode::ClassCast,
            Self::Null { .. } => ErrorCode::NullPointer,
        }
    }

    fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(message.into())
    }

    fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported(what.into())
    }
}

/// Finds the layout of compact records by the id of their schema ([`crate::schema::Schema::id`]).
pub type Layouts<'a> = &'a dyn Fn(i64) -> Option<Arc<Layout>>;

/// An entry of a map.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Its key.
    pub key: Data<'a>,
    /// Its value.
    pub value: Data<'a>,
    /// Layouts of compact records in it.
    pub layouts: Layouts<'a>,
}

/// What an attribute is.
#[derive(Clone, Debug, PartialEq)]
enum Attribute<'a> {
    Scalar(Scalar<'a>),
    /// An array or object of a document. Matches nothing.
    Structure,
    /// Cannot be compared, for this reason.
    Opaque(&'static str),
}

const NULL: Attribute<'static> = Attribute::Scalar(Scalar::Null);

/// Takes the values of an attribute: one, or with `[any]` any number of them.
type Visit<'v, 'a> = &'v mut dyn FnMut(Attribute<'a>);

/// Whether the items of an attribute with `[any]` are those of an array that is null, empty or
/// missing, which counts as another item that is null.
type IsMissing = bool;

impl<'a> Entry<'a> {
    fn read(&self, path: &Path, visit: Visit<'_, 'a>) -> Result<IsMissing, Error> {
        let data = if path.is_of_key { self.key } else { self.value };
        if path.is_whole {
            visit(whole(data)?);
            return Ok(false);
        }
        let layouts = self.layouts;
        match data.type_id() {
            crate::data::type_id::JSON => {
                let Some(Value::Json(text)) = Value::decode(data) else { return Err(MALFORMED) };
                json::read(text, path.json_steps()?, visit)
            }
            crate::data::type_id::PORTABLE | crate::data::type_id::COMPACT => {
                record::read(data, layouts, path, visit)
            }
            crate::data::type_id::NULL => {
                visit(NULL);
                Ok(false)
            }
            // Hazelcast ignores the index for a value that is not an array.
            _ if path.is_indexed_value => {
                visit(whole(data)?);
                Ok(false)
            }
            type_id => Err(Error::Attribute {
                attribute: path.name().to_owned(),
                reason: format!("a value of type {type_id} has no attributes").into(),
            }),
        }
    }
}

impl Entry<'_> {
    /// Appends an attribute that is no scalar to a blob, as an object: type id and payload. Returns
    /// false if it is of an unknown type.
    fn append_object(&self, path: &Path, blob: &mut Vec<u8>) -> Result<bool, Error> {
        use crate::data::type_id::{COMPACT, JSON, PORTABLE};
        let data = if path.is_of_key { self.key } else { self.value };
        match data.type_id() {
            PORTABLE | COMPACT => return record::append_object(data, self.layouts, path, blob),
            _ if path.is_whole => blob.extend_from_slice(data.identity()),
            JSON => {
                let Some(Value::Json(text)) = Value::decode(data) else { return Err(MALFORMED) };
                let Some(text) = json::structure(text, path.json_steps()?) else {
                    return Ok(false);
                };
                Value::Json(text).encode_object(blob);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const MALFORMED: Error = Error::Malformed("the value of an entry is malformed");

/// `this` or `__key`.
fn whole(data: Data<'_>) -> Result<Attribute<'_>, Error> {
    let value = Value::decode(data).ok_or(MALFORMED)?;
    if let Value::Json(text) = value {
        return json::whole(text);
    }
    Scalar::of(value)
}

#[cfg(test)]
mod tests;
