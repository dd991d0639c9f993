//! Operations on hashes.

use serde::{Deserialize, Serialize};

use super::answer::{distinct, scan, values};
use super::effect::Effect;
use super::extended::Extended;
use super::fields::FieldsOp;
use super::list::fits;
use super::plain::{integer, sum};
use super::random;
use crate::access::Access;
use crate::event::Class;
use crate::glob::Glob;
use crate::value::{Hash, HashEdit, StructureEdit};
use crate::{OpError, Reply};

/// An operation on a hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HashOp<'a> {
    /// Sets fields; returns how many of them are new.
    Set(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// Sets a field if it does not exist; returns 1 or 0.
    SetIfAbsent(
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
    ),
    /// The value of a field, or nil.
    Get(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// The value of each of these fields, or nil.
    GetMany(#[serde(borrow)] Vec<&'a [u8]>),
    /// All fields and values.
    All,
    /// All fields.
    Names,
    /// All values.
    Values,
    /// Removes fields; returns how many there were.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
    /// Whether a field exists; 1 or 0.
    Contains(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// The number of fields.
    Length,
    /// Length of the value of a field, in bytes.
    ValueLength(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Adds to the value of a field as an integer; returns the sum.
    Add(#[serde(borrow, with = "serde_bytes")] &'a [u8], i64),
    /// Adds to the value of a field with the precision of [`Extended`]; returns the sum as
    /// bytes.
    AddFloat(
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
        #[serde(borrow, with = "serde_bytes")] &'a [u8],
    ),
    /// Some fields: a cursor, zero at the end, and a list of names, or of alternating names and
    /// values.
    Scan {
        /// Cursor of the previous step; zero at the start.
        cursor: u64,
        /// Number of fields to visit, approximately.
        count: u64,
        /// A glob pattern that names must match.
        #[serde(borrow, with = "serde_bytes")]
        pattern: Option<&'a [u8]>,
        /// Whether to return their values as well.
        values: bool,
    },
    /// A random field, or nil.
    Any,
    /// This many distinct random fields; if negative, its absolute value of fields that may repeat.
    AnyOf {
        /// How many fields.
        count: i64,
        /// Whether to return their values as well.
        values: bool,
    },
    /// On fields that expire.
    Fields(#[serde(borrow)] FieldsOp<'a>),
}

impl HashOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Fields(op) => op.effect(),
            Self::Remove(_) => Effect::Changes,
            Self::Set(_) | Self::SetIfAbsent(..) | Self::Add(..) | Self::AddFloat(..) => {
                Effect::Adds
            }
            Self::Get(_)
            | Self::GetMany(_)
            | Self::All
            | Self::Names
            | Self::Values
            | Self::Contains(_)
            | Self::Length
            | Self::ValueLength(_)
            | Self::Scan { .. }
            | Self::Any
            | Self::AnyOf { .. } => Effect::Reads,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Set(fields) => {
                for (name, value) in fields {
                    fits(name)?;
                    fits(value)?;
                }
                let before = access.structure::<Hash>(key)?.map_or(0, Hash::len);
                set(access, key, fields.clone(), "hset");
                let after = access.structure::<Hash>(key)?.map_or(0, Hash::len);
                Ok(Reply::count(after - before))
            }
            Self::SetIfAbsent(name, value) => {
                fits(name)?;
                fits(value)?;
                let there = access.structure::<Hash>(key)?.is_some_and(|h| h.get(name).is_some());
                if !there {
                    set(access, key, vec![(*name, *value)], "hset");
                }
                Ok(Reply::flag(!there))
            }
            Self::Get(name) => {
                Ok(Reply::optional(access.structure::<Hash>(key)?.and_then(|h| h.get(name))))
            }
            Self::GetMany(names) => {
                let hash = access.structure::<Hash>(key)?;
                values(names.iter().map(|name| hash.and_then(|hash| hash.get(name))))
            }
            Self::All => {
                let hash = access.structure::<Hash>(key)?;
                let pairs = hash.into_iter().flat_map(Hash::iter);
                Ok(Reply::Map(pairs.map(|(n, v)| (Reply::bytes(n), Reply::bytes(v))).collect()))
            }
            Self::Names => {
                let hash = access.structure::<Hash>(key)?;
                let names = hash.into_iter().flat_map(Hash::iter).map(|(name, _)| name);
                Ok(Reply::List(names.map(Reply::bytes).collect()))
            }
            Self::Values => {
                let hash = access.structure::<Hash>(key)?;
                let values = hash.into_iter().flat_map(Hash::iter).map(|(_, value)| value);
                Ok(Reply::List(values.map(Reply::bytes).collect()))
            }
            Self::Remove(names) => {
                let Some(hash) = access.structure::<Hash>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let there = distinct(names, |name| hash.get(name).is_some());
                let count = there.len();
                if count > 0 {
                    let edit = StructureEdit::Hash(HashEdit::Remove(there));
                    access.change(key, edit, Class::Hash, "hdel");
                }
                Ok(Reply::count(count))
            }
            Self::Contains(name) => {
                let hash = access.structure::<Hash>(key)?;
                Ok(Reply::flag(hash.is_some_and(|hash| hash.get(name).is_some())))
            }
            Self::Length => Ok(Reply::count(access.structure::<Hash>(key)?.map_or(0, Hash::len))),
            Self::ValueLength(name) => {
                let hash = access.structure::<Hash>(key)?;
                Ok(Reply::count(hash.and_then(|hash| hash.get(name)).map_or(0, <[u8]>::len)))
            }
            Self::Add(name, more) => {
                let old = match access.structure::<Hash>(key)?.and_then(|hash| hash.get(name)) {
                    Some(value) => integer(value).ok_or(OpError::FieldNotAnInteger)?,
                    None => 0,
                };
                let sum = old.checked_add(*more).ok_or(OpError::Overflow)?;
                keep(access, key, name, sum.to_string().as_bytes(), "hincrby");
                Ok(Reply::Integer(sum))
            }
            Self::AddFloat(name, more) => {
                let hash = access.structure::<Hash>(key)?;
                let old = hash.and_then(|hash| hash.get(name)).map(Extended::parse);
                let old = old.unwrap_or(Some(Extended::ZERO)).ok_or(OpError::FieldNotANumber)?;
                let text = sum(old, Extended::parse(more).ok_or(OpError::NotANumber)?)?;
                keep(access, key, name, text.as_bytes(), "hincrbyfloat");
                Ok(Reply::bytes(text.as_bytes()))
            }
            Self::Scan { cursor, count, pattern, values } => {
                let hash = access.structure::<Hash>(key)?;
                let glob = pattern.map(Glob::new);
                let from = u32::try_from(*cursor).unwrap_or(0);
                let fields = hash.into_iter().flat_map(|hash| hash.iter_from(from));
                Ok(scan(
                    fields,
                    |field| field.0,
                    *count,
                    |(_, name, value), found| {
                        if glob.as_ref().is_none_or(|glob| glob.matches(name)) {
                            found.push(Reply::bytes(name));
                            found.extend(values.then(|| Reply::bytes(value)));
                        }
                    },
                ))
            }
            Self::Fields(op) => op.execute(key, access),
            Self::Any => {
                let seed = access.random();
                let Some(hash) = access.structure::<Hash>(key)? else { return Ok(Reply::Nil) };
                let any = random::one(hash.slots(), seed, |slot| hash.at(slot));
                Ok(Reply::optional(any.map(|(name, _)| name)))
            }
            Self::AnyOf { count, values } => {
                let seed = access.random();
                let hash = access.structure::<Hash>(key)?;
                let bytes = |(name, value): &(&[u8], &[u8])| {
                    name.len() + if *values { value.len() } else { 0 }
                };
                let chosen = match hash {
                    None => Vec::new(),
                    Some(hash) => {
                        let at = |slot| hash.at(slot);
                        random::some(hash.len(), hash.slots(), *count, seed, at, bytes)?
                    }
                };
                let pairs = chosen.into_iter();
                Ok(if *values {
                    let pair = |(name, value)| (Reply::bytes(name), Reply::bytes(value));
                    Reply::Pairs(pairs.map(pair).collect())
                } else {
                    Reply::List(pairs.map(|(name, _)| Reply::bytes(name)).collect())
                })
            }
        }
    }
}

/// Sets a field, whose deadline stays.
fn keep(access: &mut Access<'_>, key: &[u8], field: &[u8], value: &[u8], name: &str) {
    let edit = HashEdit::SetKeeping(vec![(field, value)]);
    access.change(key, StructureEdit::Hash(edit), Class::Hash, name);
}

fn set(access: &mut Access<'_>, key: &[u8], fields: Vec<(&[u8], &[u8])>, name: &str) {
    access.change(key, StructureEdit::Hash(HashEdit::Set(fields)), Class::Hash, name);
}
