//! Operations on plain values (bytes).

use serde::{Deserialize, Serialize};

use super::compare;
use super::effect::Effect;
use super::extended::Extended;
use super::increment::Increment;
use crate::access::Access;
use crate::clock::Version;
use crate::edit::Edit;
use crate::entry::{Entry, Expiry, KINDS_MAX};
use crate::event::Class;
use crate::limits::VALUE_BYTES_MAX;
use crate::{OpError, Reply};

/// An operation on a plain value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PlainOp<'a> {
    /// The value, or nil.
    Get,
    /// Sets the value.
    Put {
        /// Kind of the bytes, defined by the protocol that wrote them; below
        /// [`KINDS_MAX`](crate::KINDS_MAX).
        kind: u8,
        /// The value.
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
        /// Its lifetime.
        lifetime: Lifetime,
        /// The condition for setting it.
        condition: PutIf<'a>,
        /// What the reply contains.
        answer: PutAnswer,
    },
    /// Returns the value and removes the key.
    Take,
    /// Returns the value, and sets its lifetime if one is given.
    GetAndExpire(Option<Lifetime>),
    /// Removes the key if it has this value; returns 1 or 0.
    RemoveIf(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Length of the value, in bytes.
    Length,
    /// Appends bytes; returns the new length.
    Append(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Bytes from one index to another, both inclusive; negative ones count from the end.
    Range(i64, i64),
    /// Overwrites bytes from this index on; returns the new length.
    Splice(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Adds to the value as an integer; returns the sum.
    Add(i64),
    /// Adds a number to the value with the precision of [`Extended`]; returns the sum as bytes.
    AddFloat(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// The XXH3 hash of the value with 64 bits, as 16 hexadecimal digits; nil if there is none.
    Digest,
    /// Removes the key if this condition holds, which implies that it exists; returns 1 or 0.
    RemoveWhen(#[serde(borrow)] PutIf<'a>),
    /// Adds to the value within bounds; returns a list of the result and what was added.
    Increment(#[serde(borrow)] Increment<'a>),
}

/// Lifetime of a value that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifetime {
    /// The default of its map.
    Default,
    /// That of the previous value; if there is none, the default of its map.
    Keep,
    /// It never expires.
    Forever,
    /// This number of milliseconds from now.
    For(u64),
    /// Until this time, in milliseconds since 1970.
    Until(i64),
    /// Maximum lifetime and maximum idle time, in milliseconds; where one is `None`, the default of
    /// its map applies.
    Limited {
        /// Maximum lifetime from now, in milliseconds.
        ttl_ms: Option<u64>,
        /// Maximum time without access, in milliseconds.
        max_idle_ms: Option<u64>,
    },
}

/// Condition for setting a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutIf<'a> {
    /// Always.
    Always,
    /// If the key does not exist.
    Absent,
    /// If the key exists.
    Present,
    /// If the last change of the key has this version; [`Version::NONE`] if it must not exist.
    Version(Version),
    /// If the key has this value.
    Value(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// If the key does not exist, or has another value.
    OtherValue(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// If the value has this [`PlainOp::Digest`].
    Digest(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// If the key does not exist, or its value has another digest.
    OtherDigest(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// If the value of the key has these bytes from this index on: for protocols in which the
    /// beginning of a value is not part of its identity.
    ValueFrom(u32, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

/// What the reply to setting a value contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutAnswer {
    /// `Done`, or nil if the condition does not hold.
    Done,
    /// The previous value, or nil. Fails if that is not a plain value.
    Old,
    /// The new version as an integer, or nil if the condition does not hold. Fails with
    /// [`OpError::WrongType`] if there is a plain value of another kind.
    Version,
}

impl Lifetime {
    /// Whether it is not that of the previous value, nor of the map, nor unlimited.
    pub(super) fn sets_deadline(self) -> bool {
        !matches!(self, Self::Default | Self::Keep | Self::Forever)
    }

    /// The expiry of a value written now; `None` if it has passed already.
    pub(crate) fn expiry(self, access: &mut Access<'_>, key: &[u8]) -> Option<Expiry> {
        let expiry = match self {
            Self::Default => access.map.settings().expiry(access.now_ms),
            // Without a previous value, the default of the map applies.
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
            Self::Get
            | Self::Length
            | Self::Range(..)
            | Self::GetAndExpire(None)
            | Self::Digest => Effect::Reads,
            Self::Take | Self::GetAndExpire(_) | Self::RemoveIf(_) | Self::RemoveWhen(_) => {
                Effect::Changes
            }
            Self::Put { .. }
            | Self::Append(_)
            | Self::Splice(..)
            | Self::Add(_)
            | Self::AddFloat(_)
            | Self::Increment(_) => Effect::Adds,
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
                Ok(Reply::bytes(range(value, *first, *last)))
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
                let old = access.plain(key)?.map(|entry| Extended::parse(entry.value()));
                let old = old.unwrap_or(Some(Extended::ZERO)).ok_or(OpError::NotANumber)?;
                let more = Extended::parse(more).ok_or(OpError::NotANumber)?;
                let text = sum(old, more)?;
                change(access, key, text.as_bytes());
                access.notify(Class::Plain, "incrbyfloat", key);
                Ok(Reply::Bytes(text.into()))
            }
            Self::Digest => {
                let value = access.plain(key)?.map(|entry| compare::digest(entry.value()));
                Ok(value.map_or(Reply::Nil, |digest| Reply::Bytes(digest.into())))
            }
            Self::RemoveWhen(condition) => {
                let does_exist = access.peek(key).is_some();
                let holds = does_exist
                    && compare::holds(*condition, access, key).map_err(|error| match error {
                        OpError::WrongType => OpError::NotAString,
                        error => error,
                    })?;
                if holds {
                    access.delete(key);
                }
                Ok(Reply::flag(holds))
            }
            Self::Increment(increment) => increment.execute(key, access),
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
    let holds = compare::holds(condition, access, key)?;
    let old = match answer {
        PutAnswer::Old => Some(Reply::optional(access.plain(key)?.map(|entry| entry.value()))),
        PutAnswer::Done | PutAnswer::Version => None,
    };
    if !holds {
        return Ok(old.unwrap_or(Reply::Nil));
    }
    // Only then: otherwise the entry need not be looked up.
    if answer == PutAnswer::Version && has_other_kind(access, key, kind) {
        return Err(OpError::WrongType);
    }
    match lifetime.expiry(access, key) {
        Some(expiry) => {
            access.edit(key, &Edit::Put { kind, value, expiry });
            access.notify(Class::Plain, "set", key);
            if lifetime.sets_deadline() {
                access.notify(Class::Generic, "expire", key);
            }
        }
        // The deadline has passed already.
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

/// Whether a key has the value of another protocol.
fn has_other_kind(access: &mut Access<'_>, key: &[u8], kind: u8) -> bool {
    access.peek(key).is_some_and(|entry| match entry {
        Entry::Plain(plain) => plain.kind() != kind,
        Entry::Structured(_) => false,
    })
}

/// Bytes from one index to another. As in Redis 7, an end before the start of the value is its first
/// byte, unless both ends are and in the wrong order.
fn range(value: &[u8], first: i64, last: i64) -> &[u8] {
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let at = |index: i64| if index < 0 { (index + length).max(0) } else { index };
    let (from, to) = (at(first), at(last).min(length - 1));
    if from > to || first < 0 && last < 0 && first > last {
        return &[];
    }
    &value[from as usize..=to as usize]
}

/// Replaces the value and keeps the expiry; if there was no value, the default of the map applies.
pub(super) fn change(access: &mut Access<'_>, key: &[u8], value: &[u8]) {
    let old = access.peek(key).map(|entry| entry.expiry());
    let expiry = old.unwrap_or_else(|| access.map.settings().expiry(access.now_ms));
    access.edit(key, &Edit::Put { kind: 0, value, expiry });
}

/// Stores a value in place of any value, or removes the key if it is empty; returns its length.
pub(super) fn store(access: &mut Access<'_>, key: &[u8], value: &[u8], event: &str) -> Reply {
    if value.is_empty() {
        access.delete(key);
    } else if let Some(expiry) = Lifetime::Default.expiry(access, key) {
        access.edit(key, &Edit::Put { kind: 0, value, expiry });
        access.notify(Class::Plain, event, key);
    }
    Reply::count(value.len())
}

/// Gap between bytes that differ which is replicated with them, in bytes: a record of its own would
/// be longer.
const GAP_BYTES_MAX: usize = 32;

/// Replaces the value as [`change`] does, and replicates only the bytes that differ. An equal value
/// counts as a change.
///
/// # Errors
/// [`OpError::WrongType`], or [`OpError::TooLong`].
pub(super) fn rewrite(access: &mut Access<'_>, key: &[u8], value: &[u8]) -> Result<(), OpError> {
    fits(value.len())?;
    let old = access.plain(key)?.map(|entry| entry.value());
    match old.filter(|old| old.len() <= value.len()).map(|old| differences(old, value)) {
        None => change(access, key, value),
        Some(ranges) if ranges.is_empty() => access.mark_changed(key),
        Some(ranges) => {
            for (from, to) in ranges {
                access.edit(key, &Edit::Splice(from as u64, &value[from..to]));
            }
        }
    }
    Ok(())
}

/// The ranges of a value that differ from an older one that is not longer.
fn differences(old: &[u8], new: &[u8]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let changed = old.iter().zip(new).enumerate().filter(|(_, (old, new))| old != new);
    let changed = changed.map(|(at, _)| (at, at + 1));
    let added = (old.len() < new.len()).then_some((old.len(), new.len()));
    for (from, to) in changed.chain(added) {
        match ranges.last_mut() {
            Some((_, end)) if from <= *end + GAP_BYTES_MAX => *end = to,
            _ => ranges.push((from, to)),
        }
    }
    ranges
}

pub(super) fn fits(bytes: usize) -> Result<(), OpError> {
    if bytes > VALUE_BYTES_MAX { Err(OpError::TooLong) } else { Ok(()) }
}

/// A 64-bit integer in canonical decimal notation: no `+`, leading zeros, `-0` or spaces.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !text.starts_with('+') && (digits == "0" || !digits.starts_with('0'));
    (plain && text != "-0").then_some(number)
}

/// The text of a sum.
///
/// # Errors
/// [`OpError::NotFinite`].
pub(super) fn sum(a: Extended, b: Extended) -> Result<String, OpError> {
    let sum = a.plus(b);
    if sum.is_infinite() { Err(OpError::NotFinite) } else { Ok(sum.to_string()) }
}
