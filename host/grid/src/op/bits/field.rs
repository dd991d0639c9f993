//! Integers of any width at any bit of a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Reply;

/// An integer within a value, and what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its most significant bit.
    pub at: u64,
    /// Whether it is in two's complement.
    pub is_signed: bool,
    /// Its width: 1 to 64 bits, 1 to 63 if it is not signed.
    pub bits: u8,
    /// What to do with it.
    pub action: FieldAction,
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldAction {
    /// Returns it.
    Get,
    /// Sets it; returns what it was.
    Set(i64, FieldOverflow),
    /// Adds to it; returns the sum.
    Add(i64, FieldOverflow),
}

/// What happens if a result does not fit the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldOverflow {
    /// It loses its most significant bits.
    #[default]
    Wrap,
    /// The field gets its maximum or its minimum.
    Saturate,
    /// The field stays as it is, and the reply is nil.
    Fail,
}

/// The first bit that is no start of a field: far more than a value can have.
const AT_MAX: u64 = 1 << 48;

impl Field {
    pub(super) fn is_valid(&self) -> bool {
        let most = if self.is_signed { 64 } else { 63 };
        (1..=most).contains(&self.bits) && self.at < AT_MAX
    }

    pub(super) fn writes(&self) -> bool {
        !matches!(self.action, FieldAction::Get)
    }

    /// Its last bit.
    pub(super) fn last(&self) -> u64 {
        self.at.saturating_add(u64::from(self.bits)).saturating_sub(1)
    }

    /// Its first and last byte, and the number of bits that follow it in its last byte.
    fn place(&self) -> (usize, usize, u32) {
        let (first, last) = (self.at / 8, self.last() / 8);
        (first as usize, last as usize, 7 - (self.last() % 8) as u32)
    }

    /// The ones of its width.
    fn mask(&self) -> u128 {
        (1 << self.bits) - 1
    }

    /// The integer that its bits stand for.
    fn signed(&self, bits: u128) -> i128 {
        let bits = (bits & self.mask()).cast_signed();
        if self.is_signed && bits >> (self.bits - 1) == 1 { bits - (1 << self.bits) } else { bits }
    }

    /// Reads and changes this field of a value, some bytes of which have been `changed`.
    pub(super) fn apply(&self, value: &[u8], changed: &mut BTreeMap<usize, u8>) -> Reply {
        let (first, last, behind) = self.place();
        let window = (first..=last).fold(0_u128, |window, at| {
            let byte = changed.get(&at).or_else(|| value.get(at)).copied().unwrap_or(0);
            window << 8 | u128::from(byte)
        });
        let old = self.signed(window >> behind);
        let (wanted, overflow) = match self.action {
            FieldAction::Get => return integer(old),
            // As in Redis, a negative number is a very large one if the field is not signed.
            FieldAction::Set(number, overflow) if !self.is_signed => {
                (i128::from(number.cast_unsigned()), overflow)
            }
            FieldAction::Set(number, overflow) => (number.into(), overflow),
            FieldAction::Add(more, overflow) => (old + i128::from(more), overflow),
        };
        let (min, max) = if self.is_signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        };
        let new = if (min..=max).contains(&wanted) {
            wanted
        } else {
            match overflow {
                FieldOverflow::Wrap => self.signed(wanted.cast_unsigned()),
                FieldOverflow::Saturate => wanted.clamp(min, max),
                FieldOverflow::Fail => return Reply::Nil,
            }
        };
        let kept = window & !(self.mask() << behind);
        let mut window = kept | (new.cast_unsigned() & self.mask()) << behind;
        for at in (first..=last).rev() {
            changed.insert(at, window as u8);
            window >>= 8;
        }
        integer(if matches!(self.action, FieldAction::Add(..)) { new } else { old })
    }
}

fn integer(number: i128) -> Reply {
    Reply::Integer(number.try_into().unwrap_or(i64::MAX))
}
