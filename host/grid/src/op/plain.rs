//! Bytes: get, put, and what changes a part of them.

use serde::{Deserialize, Serialize};

use super::Effect;
use crate::access::Access;
use crate::clock::Version;
use crate::edit::Edit;
use crate::entry::{Expiry, KINDS_MAX};
use crate::event::Class;
use crate::{OpError, Reply, VALUE_BYTES_MAX};

/// An operation on bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PlainOp<'a> {
    /// The value, or nil.
    Get,
    /// Another value.
    Put {
        /// What the bytes are, to whom they are something; below
        /// [`KINDS_MAX`](crate::KINDS_MAX).
        kind: u8,
        /// The value.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        /// How long it lives.
        lifetime: Lifetime,
        /// When to put it at all.
        condition: PutIf<'a>,
        /// What to answer.
        answer: PutAnswer,
    },
    /// The value, which goes.
    Take,
    /// The value, which lives so long from then on, if that is said.
    GetAndExpire(Option<Lifetime>),
    /// The value goes if it is this one; answers 1 or 0.
    RemoveIf(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Its number of bytes.
    Length,
    /// Bytes at its end; answers its length.
    Append(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Bytes from one place to another, both in it; below zero from the end.
    Range(i64, i64),
    /// Bytes from this place on in place of others; answers the length.
    Splice(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// The integer that it is, and so much more; answers the sum.
    Add(i64),
    /// The number that it is, and so much more; answers the sum as bytes.
    AddFloat(f64),
}

/// How long what is written lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifetime {
    /// As long as its map says.
    Default,
    /// As long as what was there.
    Keep,
    /// For ever.
    Forever,
    /// So many milliseconds from now.
    For(u64),
    /// Until this time, in milliseconds since 1970.
    Until(i64),
    /// So many milliseconds from now at most, and no longer than so many after it
    /// was asked for last; what is not said is as its map says.
    Limited {
        /// From now.
        ttl_ms: Option<u64>,
        /// Without being asked for.
        max_idle_ms: Option<u64>,
    },
}

/// When to put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutIf<'a> {
    /// In any case.
    Always,
    /// When there is no such key.
    Absent,
    /// When there is one.
    Present,
    /// When its last change has this version; [`Version::NONE`] if there is none.
    Version(Version),
    /// When this is its value.
    Value(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

/// What a put answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutAnswer {
    /// Done, or nil when the condition does not hold.
    Done,
    /// What was there before, or nil. Fails when that is no plain value.
    Old,
    /// The new version as an integer, or nil when the condition does not hold.
    Version,
}

impl Lifetime {
    /// When what is written now expires. `None` when that is over already.
    pub(crate) fn expiry(self, access: &mut Access<'_>, key: &[u8]) -> Option<Expiry> {
        let expiry = match self {
            Self::Default => access.map.settings().expiry(access.now_ms),
            // What was not there begins as any other.
            Self::Keep => match access.peek(key) {
                Some(entry) => entry.expiry(),
                None => access.map.settings().expiry(access.now_ms),
            },
            Self::Forever => Expiry::NEVER,
            Self::For(ms) => access.expiry_in(ms),
            Self::Until(ms) => {
                Expiry { deadline_ms: Some(u64::try_from(ms).unwrap_or(0)), idle: None }
            }
            Self::Limited { ttl_ms, max_idle_ms } => {
                let defaults = access.map.settings().expiry(access.now_ms);
                Expiry {
                    deadline_ms: ttl_ms
                        .map_or(defaults.deadline_ms, |ms| access.expiry_in(ms).deadline_ms),
                    idle: max_idle_ms.map_or(defaults.idle, |ms| Some(access.idle_for(ms))),
                }
            }
        };
        (!expiry.is_over(access.now_ms)).then_some(expiry)
    }
}

impl PlainOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Get | Self::Length | Self::Range(..) | Self::GetAndExpire(None) => Effect::Reads,
            Self::Take | Self::GetAndExpire(_) | Self::RemoveIf(_) => Effect::Changes,
            Self::Put { .. }
            | Self::Append(_)
            | Self::Splice(..)
            | Self::Add(_)
            | Self::AddFloat(_) => Effect::Adds,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Get | Self::GetAndExpire(None) => {
                Ok(Reply::optional(access.plain(key)?.map(|entry| entry.value())))
            }
            Self::Put { kind, value, lifetime, condition, answer } => {
                put(access, key, *kind, value, *lifetime, *condition, *answer)
            }
            Self::Take => {
                let value = Reply::optional(access.plain(key)?.map(|entry| entry.value()));
                access.delete(key);
                Ok(value)
            }
            Self::GetAndExpire(Some(lifetime)) => {
                let Some(entry) = access.plain(key)? else { return Ok(Reply::Nil) };
                let (value, old) = (Reply::bytes(entry.value()), entry.expiry());
                match lifetime.expiry(access, key) {
                    Some(Expiry::NEVER) if old == Expiry::NEVER => {}
                    Some(expiry) => {
                        access.edit(key, &Edit::Expire(expiry));
                        let name = if expiry == Expiry::NEVER { "persist" } else { "expire" };
                        access.notify(Class::Generic, name, key);
                    }
                    None => {
                        access.delete(key);
                    }
                }
                Ok(value)
            }
            Self::RemoveIf(value) => {
                let it_is = access.plain(key)?.is_some_and(|entry| entry.value() == *value);
                if it_is {
                    access.delete(key);
                }
                Ok(Reply::flag(it_is))
            }
            Self::Length => {
                Ok(Reply::count(access.plain(key)?.map_or(0, |entry| entry.value().len())))
            }
            Self::Append(more) => {
                let length = access.plain(key)?.map(|entry| entry.value().len());
                let sum = length.unwrap_or(0) + more.len();
                fits(sum)?;
                if length.is_some() {
                    access.edit(key, &Edit::Append(more));
                } else {
                    change(access, key, more);
                }
                access.notify(Class::Plain, "append", key);
                Ok(Reply::count(sum))
            }
            Self::Range(first, last) => {
                let value = access.plain(key)?.map(|entry| entry.value()).unwrap_or_default();
                let (from, to) = super::span(*first, *last, value.len());
                Ok(Reply::bytes(&value[from..to]))
            }
            Self::Splice(at, bytes) => {
                let length = access.plain(key)?.map(|entry| entry.value().len());
                if bytes.is_empty() {
                    return Ok(Reply::count(length.unwrap_or(0)));
                }
                let start = usize::try_from(*at).map_err(|_| OpError::TooLong)?;
                let end = start.checked_add(bytes.len()).ok_or(OpError::TooLong)?;
                fits(end)?;
                if length.is_none() {
                    change(access, key, b"");
                }
                access.edit(key, &Edit::Splice(*at, bytes));
                access.notify(Class::Plain, "setrange", key);
                Ok(Reply::count(length.unwrap_or(0).max(end)))
            }
            Self::Add(more) => {
                let old = match access.plain(key)? {
                    Some(entry) => integer(entry.value()).ok_or(OpError::NotAnInteger)?,
                    None => 0,
                };
                let sum = old.checked_add(*more).ok_or(OpError::Overflow)?;
                change(access, key, sum.to_string().as_bytes());
                access.notify(Class::Plain, "incrby", key);
                Ok(Reply::Integer(sum))
            }
            Self::AddFloat(more) => {
                let old = match access.plain(key)? {
                    Some(entry) => float(entry.value()).ok_or(OpError::NotANumber)?,
                    None => 0.0,
                };
                let sum = old + more;
                if !sum.is_finite() {
                    return Err(OpError::NotFinite);
                }
                let text = format_float(sum);
                change(access, key, text.as_bytes());
                access.notify(Class::Plain, "incrbyfloat", key);
                Ok(Reply::bytes(text.as_bytes()))
            }
        }
    }
}

fn put(
    access: &mut Access<'_>,
    key: &[u8],
    kind: u8,
    value: &[u8],
    lifetime: Lifetime,
    condition: PutIf<'_>,
    answer: PutAnswer,
) -> Result<Reply, OpError> {
    fits(value.len())?;
    if kind >= KINDS_MAX {
        return Err(OpError::Malformed);
    }
    let holds = match condition {
        PutIf::Always => true,
        PutIf::Absent => access.peek(key).is_none(),
        PutIf::Present => access.peek(key).is_some(),
        PutIf::Version(version) => {
            access.peek(key).map_or(Version::NONE, |entry| entry.version()) == version
        }
        PutIf::Value(old) => access.plain(key)?.is_some_and(|entry| entry.value() == old),
    };
    let old = match answer {
        PutAnswer::Old => Some(Reply::optional(access.plain(key)?.map(|entry| entry.value()))),
        PutAnswer::Done | PutAnswer::Version => None,
    };
    if !holds {
        return Ok(old.unwrap_or(Reply::Nil));
    }
    match lifetime.expiry(access, key) {
        Some(expiry) => {
            access.edit(key, &Edit::Put { kind, value, expiry });
            access.notify(Class::Plain, "set", key);
            if !matches!(lifetime, Lifetime::Default | Lifetime::Keep | Lifetime::Forever) {
                access.notify(Class::Generic, "expire", key);
            }
        }
        // Over before it began.
        None => {
            access.delete(key);
        }
    }
    match answer {
        PutAnswer::Version => {
            let version = access.peek(key).map_or(Version::NONE, |entry| entry.version());
            Ok(Reply::Integer(version.0.cast_signed()))
        }
        _ => Ok(old.unwrap_or(Reply::Done)),
    }
}

/// Another value, which expires when the old one does, or as the map says where
/// there was none.
fn change(access: &mut Access<'_>, key: &[u8], value: &[u8]) {
    let old = access.peek(key).map(|entry| entry.expiry());
    let expiry = old.unwrap_or_else(|| access.map.settings().expiry(access.now_ms));
    access.edit(key, &Edit::Put { kind: 0, value, expiry });
}

fn fits(bytes: usize) -> Result<(), OpError> {
    if bytes > VALUE_BYTES_MAX { Err(OpError::TooLong) } else { Ok(()) }
}

/// A 64-bit integer, written the one way that one is written.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !text.starts_with('+') && (digits == "0" || !digits.starts_with('0'));
    (plain && text != "-0").then_some(number)
}

/// A number with or without a fraction, no NaN.
#[must_use]
pub fn float(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

/// The shortest text that reads as the same number, without an exponent.
#[must_use]
pub fn format_float(number: f64) -> String {
    if number == 0.0 { "0".into() } else { number.to_string() }
}
