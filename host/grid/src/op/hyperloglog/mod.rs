//! Operations on HyperLogLogs: plain values that estimate a number of distinct elements.

mod estimate;
mod value;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::plain::rewrite;
use crate::access::Access;
use crate::event::Class;
use crate::{OpError, Reply};
use estimate::{estimate, register_of};
use value::{HyperLogLog, REGISTERS, Registers};

/// An operation on a HyperLogLog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HyperLogLogOp<'a> {
    /// Adds elements; returns 1 if that has changed it, or created it, and 0 otherwise.
    Add(#[serde(borrow)] Vec<&'a [u8]>),
    /// The estimated number of distinct elements.
    Count,
    /// Adds what a [`Union`] holds, encoded.
    Merge(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

impl HyperLogLogOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Count => Effect::Reads,
            Self::Add(_) | Self::Merge(_) => Effect::Adds,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add(elements) => {
                let found = read(access, key)?;
                let is_new = found.is_none();
                let mut counter = found.unwrap_or_else(HyperLogLog::new);
                let mut is_changed = is_new;
                for element in elements {
                    let (at, value) = register_of(element);
                    is_changed |= counter.raise(at, value);
                }
                if is_changed {
                    write(access, key, counter)?;
                }
                Ok(Reply::flag(is_changed))
            }
            Self::Count => Ok(match read(access, key)? {
                None => Reply::Integer(0),
                Some(counter) => count(counter.cached().unwrap_or_else(|| {
                    let mut union = Union::default();
                    union.add(&counter);
                    estimate(&union.registers)
                })),
            }),
            Self::Merge(union) => {
                let union = Union::decode(union).ok_or(OpError::Malformed)?;
                merge(access, key, &union)
            }
        }
    }
}

fn count(count: u64) -> Reply {
    Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn read(access: &mut Access<'_>, key: &[u8]) -> Result<Option<HyperLogLog>, OpError> {
    access.plain(key)?.map(|entry| HyperLogLog::decode(entry.value())).transpose()
}

fn write(access: &mut Access<'_>, key: &[u8], mut counter: HyperLogLog) -> Result<(), OpError> {
    counter.forget_cardinality();
    rewrite(access, key, &counter.encode())?;
    access.notify(Class::Plain, "pfadd", key);
    Ok(())
}

/// The highest values of the registers of several HyperLogLogs.
#[derive(Clone, Debug)]
pub struct Union {
    registers: Box<Registers>,
    /// Whether one of them is dense.
    is_dense: bool,
}

impl Default for Union {
    fn default() -> Self {
        Self { registers: Box::new([0; REGISTERS]), is_dense: false }
    }
}

impl Union {
    fn add(&mut self, counter: &HyperLogLog) {
        self.is_dense |= counter.is_dense();
        counter.merge_into(&mut self.registers);
    }

    /// The union of values; those that do not exist have no elements.
    ///
    /// # Errors
    /// The place and the error of the first value that is no HyperLogLog.
    fn read(access: &mut Access<'_>, keys: &[&[u8]]) -> Result<Self, (usize, OpError)> {
        let mut union = Self::default();
        for (at, key) in keys.iter().enumerate() {
            if let Some(counter) = read(access, key).map_err(|error| (at, error))? {
                union.add(&counter);
            }
        }
        Ok(union)
    }

    /// As [`Union::read`], with the error alone.
    pub(super) fn of(access: &mut Access<'_>, keys: &[&[u8]]) -> Result<Self, OpError> {
        Self::read(access, keys).map_err(|(_, error)| error)
    }

    /// The union of values as a part of another one, for [`Union::join`].
    pub(super) fn part(access: &mut Access<'_>, keys: &[&[u8]]) -> Reply {
        match Self::read(access, keys) {
            Ok(union) => Reply::Bytes(union.encode().into()),
            Err((at, error)) => Reply::List(vec![Reply::count(at), Reply::Failed(error)]),
        }
    }

    /// Joins what [`SeveralOp::Union`](super::SeveralOp::Union) has returned in each partition, with
    /// the places of its keys among all keys.
    ///
    /// # Errors
    /// That of the first key, in their order, that has no HyperLogLog, as Redis reports it.
    pub fn join(parts: impl IntoIterator<Item = (Vec<usize>, Reply)>) -> Result<Self, OpError> {
        let mut union = Self::default();
        let mut failed: Option<(usize, OpError)> = None;
        for (places, reply) in parts {
            match reply {
                Reply::Bytes(bytes) => {
                    union.merge(&Self::decode(&bytes).ok_or(OpError::Malformed)?);
                }
                Reply::List(parts) => {
                    let [Reply::Integer(at), Reply::Failed(error)] = &parts[..] else {
                        return Err(OpError::Malformed);
                    };
                    let at = usize::try_from(*at).ok().and_then(|at| places.get(at));
                    let at = *at.ok_or(OpError::Malformed)?;
                    if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                        failed = Some((at, error.clone()));
                    }
                }
                _ => return Err(OpError::Malformed),
            }
        }
        failed.map_or(Ok(union), |(_, error)| Err(error))
    }

    fn merge(&mut self, other: &Self) {
        self.is_dense |= other.is_dense;
        for (register, other) in self.registers.iter_mut().zip(other.registers.iter()) {
            *register = (*register).max(*other);
        }
    }

    /// Its encoding: whether one is dense, and a byte for each register.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_dense)];
        bytes.extend_from_slice(&self.registers[..]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (is_dense, registers) = bytes.split_first()?;
        let registers: &Registers = registers.try_into().ok()?;
        let are_valid = *is_dense < 2 && registers.iter().all(|register| *register < 64);
        are_valid.then(|| Self { registers: Box::new(*registers), is_dense: *is_dense == 1 })
    }

    /// The estimated number of distinct elements.
    #[must_use]
    pub fn count(&self) -> Reply {
        count(estimate(&self.registers))
    }
}

/// Adds a union to a HyperLogLog, and creates it if it does not exist.
pub(super) fn merge(access: &mut Access<'_>, key: &[u8], union: &Union) -> Result<Reply, OpError> {
    let mut counter = read(access, key)?.unwrap_or_else(HyperLogLog::new);
    if union.is_dense {
        counter.make_dense();
    }
    for (at, value) in union.registers.iter().enumerate().filter(|(_, value)| **value > 0) {
        counter.raise(at, *value);
    }
    write(access, key, counter)?;
    Ok(Reply::Done)
}

#[cfg(test)]
mod tests;
