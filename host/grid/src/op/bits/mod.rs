//! Operations on the bits of plain values. As in Redis, bit 0 is the most significant bit of the
//! first byte, and bits beyond the end are zero.

mod combine;
mod field;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use combine::{BitCombine, BitFold};
pub use field::{Field, FieldAction, FieldOverflow};

use super::effect::Effect;
use super::plain::{change, fits};
use crate::access::Access;
use crate::edit::Edit;
use crate::event::Class;
use crate::{OpError, Reply};

/// An operation on the bits of a plain value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitsOp {
    /// Sets or clears a bit; returns what it was, 1 or 0.
    Set {
        /// The bit.
        at: u64,
        /// Whether to set it.
        on: bool,
    },
    /// A bit, 1 or 0.
    Get(u64),
    /// The number of bits that are set in a range.
    Count(BitRange),
    /// The first bit of a range that is set, or clear; -1 if there is none.
    Find {
        /// Whether to find a bit that is set.
        on: bool,
        /// The range.
        range: BitRange,
        /// Whether the range continues after the value, with bits that are clear.
        open: bool,
    },
    /// Reads and changes fields, in order. Returns a list: the value of a field, what it was if it
    /// is set, or nil if it is not changed because of an overflow.
    Fields(Vec<Field>),
}

/// A range of a value. Both ends are inclusive; negative ones count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitRange {
    /// Its start.
    pub first: i64,
    /// Its end.
    pub last: i64,
    /// Whether these are indexes of bits rather than of bytes.
    pub in_bits: bool,
}

impl BitRange {
    /// The whole value.
    pub const ALL: Self = Self { first: 0, last: -1, in_bits: false };

    /// The first and the last bit of this range in a value of this many bytes; `None` if it is
    /// empty.
    fn bits(self, bytes: usize) -> Option<(usize, usize)> {
        let length = if self.in_bits { bytes * 8 } else { bytes };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let at = |index: i64| if index < 0 { (index + length).max(0) } else { index };
        let (first, last) = (at(self.first), at(self.last).min(length - 1));
        if first > last {
            return None;
        }
        let (first, last) = (first as usize, last as usize);
        Some(if self.in_bits { (first, last) } else { (first * 8, last * 8 + 7) })
    }
}

/// The bits of a byte from one to another, both inclusive.
fn mask(first: usize, last: usize) -> u8 {
    (0xFF >> first) & (0xFF << (7 - last))
}

/// The number of bits that are set from one to another, both inclusive.
fn count(value: &[u8], first: usize, last: usize) -> usize {
    let (from, to) = (first / 8, last / 8);
    if from == to {
        return (value[from] & mask(first % 8, last % 8)).count_ones() as usize;
    }
    let ends = (value[from] & mask(first % 8, 7)).count_ones()
        + (value[to] & mask(0, last % 8)).count_ones();
    let mut words = value[from + 1..to].chunks_exact(8);
    let whole =
        |word: &[u8]| u64::from_le_bytes(word.try_into().unwrap_or_default()).count_ones() as usize;
    let middle: usize = words.by_ref().map(whole).sum();
    let rest: usize = words.remainder().iter().map(|byte| byte.count_ones() as usize).sum();
    ends as usize + middle + rest
}

/// The first bit from one to another, both inclusive, that is set, or clear.
fn find(value: &[u8], first: usize, last: usize, on: bool) -> Option<usize> {
    let (from, to) = (first / 8, last / 8);
    let wanted = |at: usize, mask: u8| {
        let byte = if on { value[at] } else { !value[at] } & mask;
        (byte != 0).then(|| at * 8 + byte.leading_zeros() as usize)
    };
    if from == to {
        return wanted(from, mask(first % 8, last % 8));
    }
    let other = if on { 0 } else { 0xFF };
    wanted(from, mask(first % 8, 7))
        .or_else(|| {
            let skipped = value[from + 1..to].iter().position(|byte| *byte != other)?;
            wanted(from + 1 + skipped, 0xFF)
        })
        .or_else(|| wanted(to, mask(0, last % 8)))
}

impl BitsOp {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Get(_) | Self::Count(_) | Self::Find { .. } => Effect::Reads,
            Self::Set { .. } => Effect::Adds,
            Self::Fields(fields) if fields.iter().all(|field| !field.writes()) => Effect::Reads,
            Self::Fields(_) => Effect::Adds,
        }
    }

    /// The length that the value has afterwards at least, if it writes, in bytes.
    pub(super) fn added_bytes(&self) -> usize {
        let last = match self {
            Self::Set { at, .. } => Some(*at),
            Self::Fields(fields) => {
                fields.iter().filter(|field| field.writes()).map(Field::last).max()
            }
            _ => None,
        };
        last.map_or(0, |last| usize::try_from(last / 8).unwrap_or(usize::MAX).saturating_add(1))
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Set { at, on } => {
                let action = FieldAction::Set((*on).into(), FieldOverflow::Wrap);
                let field = Field { at: *at, is_signed: false, bits: 1, action };
                let mut old = fields(access, key, &[field], self.added_bytes())?;
                Ok(old.pop().unwrap_or(Reply::Nil))
            }
            Self::Get(at) => {
                let value = access.plain(key)?.map(|entry| entry.value()).unwrap_or_default();
                let byte = usize::try_from(at / 8).ok().and_then(|byte| value.get(byte));
                Ok(Reply::flag(byte.is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)))
            }
            Self::Count(range) => {
                let value = access.plain(key)?.map(|entry| entry.value()).unwrap_or_default();
                // As in Redis, also where both ends are before the start.
                let is_empty = range.first < 0 && range.last < 0 && range.first > range.last;
                let bits = range.bits(value.len()).filter(|_| !is_empty);
                Ok(Reply::count(bits.map_or(0, |(first, last)| count(value, first, last))))
            }
            Self::Find { on, range, open } => {
                let Some(entry) = access.plain(key)? else {
                    return Ok(Reply::Integer(if *on { -1 } else { 0 }));
                };
                let value = entry.value();
                let Some((first, last)) = range.bits(value.len()) else {
                    return Ok(Reply::Integer(-1));
                };
                Ok(match find(value, first, last, *on) {
                    Some(at) => Reply::count(at),
                    None if *open && !on => Reply::count(value.len() * 8),
                    None => Reply::Integer(-1),
                })
            }
            Self::Fields(all) => Ok(Reply::List(fields(access, key, all, self.added_bytes())?)),
        }
    }
}

/// Reads and changes fields of a value that is to have this length at least.
fn fields(
    access: &mut Access<'_>,
    key: &[u8],
    fields: &[Field],
    length: usize,
) -> Result<Vec<Reply>, OpError> {
    fits(length)?;
    if !fields.iter().all(Field::is_valid) {
        return Err(OpError::Malformed);
    }
    let value = access.plain(key)?.map(|entry| entry.value());
    let (is_new, old) = (value.is_none(), value.unwrap_or_default());
    // Only what is changed is copied.
    let mut changed = BTreeMap::new();
    let replies = fields.iter().map(|field| field.apply(old, &mut changed)).collect();
    changed.retain(|at, byte| old.get(*at) != Some(byte));
    if length > old.len() {
        changed.entry(length - 1).or_insert(0);
    }
    let end = old.len();
    changed.retain(|at, byte| *at < end || *byte != 0 || *at + 1 == length);
    if changed.is_empty() {
        return Ok(replies);
    }
    if is_new {
        change(access, key, b"");
    }
    for (at, bytes) in runs(changed) {
        access.edit(key, &Edit::Splice(at as u64, &bytes));
    }
    access.notify(Class::Plain, "setbit", key);
    Ok(replies)
}

/// Bytes that follow one another, together.
fn runs(bytes: BTreeMap<usize, u8>) -> Vec<(usize, Vec<u8>)> {
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    for (at, byte) in bytes {
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() == at => run.push(byte),
            _ => runs.push((at, vec![byte])),
        }
    }
    runs
}

#[cfg(test)]
mod tests;
