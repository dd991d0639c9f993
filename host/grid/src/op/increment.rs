//! Increments within bounds, which may also set the lifetime of the key.

use serde::{Deserialize, Serialize};

use super::extended::Extended;
use super::plain::{Lifetime, integer};
use crate::access::Access;
use crate::edit::Edit;
use crate::entry::Expiry;
use crate::event::Class;
use crate::{OpError, Reply};

/// An increment, as `INCREX` of Redis 8.8 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Increment<'a> {
    /// What to add, and the bounds of the result.
    #[serde(borrow)]
    pub amount: Amount<'a>,
    /// Whether a result beyond a bound becomes that bound; otherwise nothing is done.
    pub saturates: bool,
    /// The lifetime of the result; that of the value if there is none.
    pub lifetime: Option<Lifetime>,
    /// Whether the lifetime is set only if the key has none.
    pub only_new_lifetime: bool,
}

/// What is added, and the least and the greatest result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount<'a> {
    /// Integers.
    Integer {
        /// What is added.
        by: i64,
        /// The least result.
        least: i64,
        /// The greatest result.
        greatest: i64,
    },
    /// Numbers with the precision of [`Extended`], as text. Without a bound, there is none but that
    /// of the type.
    Number {
        /// What is added.
        #[serde(borrow, with = "serde_bytes")]
        by: &'a [u8],
        /// The least result.
        #[serde(borrow, with = "serde_bytes")]
        least: Option<&'a [u8]>,
        /// The greatest result.
        #[serde(borrow, with = "serde_bytes")]
        greatest: Option<&'a [u8]>,
    },
}

/// A result: its text, its reply, and that of what was added.
struct Sum {
    text: String,
    reply: Reply,
    added: Reply,
    /// Whether the bounds were kept, or a result beyond them was replaced.
    is_accepted: bool,
}

impl Increment<'_> {
    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        let entry = access.plain(key)?;
        let old = entry.map(|entry| entry.value());
        let sum = match self.amount {
            Amount::Integer { by, least, greatest } => {
                let old = old.map_or(Some(0), integer).ok_or(OpError::NotAnInteger)?;
                self.integer(old, by, least, greatest)?
            }
            Amount::Number { by, least, greatest } => {
                let parse = |text: &[u8]| Extended::parse(text).ok_or(OpError::NotANumber);
                let old = old.map_or(Ok(Extended::ZERO), parse)?;
                let least = least.map_or(Ok(Extended::MAX.negated()), parse)?;
                let greatest = greatest.map_or(Ok(Extended::MAX), parse)?;
                self.number(old, parse(by)?, least, greatest)?
            }
        };
        if sum.is_accepted {
            self.store(access, key, sum.text.as_bytes());
        }
        Ok(Reply::List(vec![sum.reply, sum.added]))
    }

    fn integer(&self, old: i64, by: i64, least: i64, greatest: i64) -> Result<Sum, OpError> {
        let sum = i128::from(old) + i128::from(by);
        let is_within = (i128::from(least)..=i128::from(greatest)).contains(&sum);
        let is_accepted = is_within || self.saturates;
        // Not `clamp`, as the least may exceed the greatest.
        let new = if is_accepted { sum.min(greatest.into()).max(least.into()) } else { old.into() };
        let added = i64::try_from(new - i128::from(old)).map_err(|_| OpError::AddedOverflow)?;
        let new = i64::try_from(new).map_err(|_| OpError::Overflow)?;
        let (reply, added) = (Reply::Integer(new), Reply::Integer(added));
        Ok(Sum { text: new.to_string(), reply, added, is_accepted })
    }

    fn number(
        &self,
        old: Extended,
        by: Extended,
        least: Extended,
        greatest: Extended,
    ) -> Result<Sum, OpError> {
        if old.is_infinite() || by.is_infinite() {
            return Err(OpError::Infinite);
        }
        let sum = old.plus(by);
        let is_accepted = (least..=greatest).contains(&sum) || self.saturates;
        let new = match () {
            () if !is_accepted => old,
            () if sum < least => least,
            () if sum > greatest => greatest,
            () => sum,
        };
        let added = match () {
            () if !is_accepted => Extended::ZERO,
            () if new == sum => by,
            () => new.minus(old),
        };
        if new.is_infinite() || added.is_infinite() {
            return Err(OpError::NotFinite);
        }
        let (text, added) = (new.to_string(), Reply::Decimal(added.to_string()));
        Ok(Sum { reply: Reply::Decimal(text.clone()), text, added, is_accepted })
    }

    fn store(&self, access: &mut Access<'_>, key: &[u8], value: &[u8]) {
        let old = access.peek(key).map(|entry| entry.expiry());
        let has_expiry = old.is_some_and(|expiry| expiry != Expiry::NEVER);
        let lifetime = self.lifetime.filter(|_| !(self.only_new_lifetime && has_expiry));
        let Some(expiry) = lifetime.unwrap_or(Lifetime::Keep).expiry(access, key) else {
            access.delete(key);
            return;
        };
        access.edit(key, &Edit::Put { kind: 0, value, expiry });
        let is_integer = matches!(self.amount, Amount::Integer { .. });
        let event = if is_integer { "incrby" } else { "incrbyfloat" };
        access.notify(Class::Plain, event, key);
        match lifetime {
            Some(Lifetime::Forever) if has_expiry => access.notify(Class::Generic, "persist", key),
            None | Some(Lifetime::Keep | Lifetime::Forever) => {}
            Some(_) => access.notify(Class::Generic, "expire", key),
        }
    }
}
