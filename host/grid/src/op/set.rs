//! Operations on sets.

use serde::{Deserialize, Serialize};

use super::answer::{check_removable, distinct, scan};
use super::effect::Effect;
use super::list::fits;
use super::random;
use crate::access::Access;
use crate::event::Class;
use crate::glob::Glob;
use crate::value::{Set, SetEdit, StructureEdit};
use crate::{OpError, Reply};

/// An operation on a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SetOp<'a> {
    /// Adds members; returns how many are new.
    Add(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes members; returns how many there were.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
    /// All members.
    All,
    /// Whether this is a member; 1 or 0.
    Contains(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Whether each of these is a member; 1 or 0 each.
    ContainsMany(#[serde(borrow)] Vec<&'a [u8]>),
    /// The number of members.
    Length,
    /// Removes and returns a random member, or nil.
    Pop,
    /// Removes and returns this many random members.
    PopMany(u64),
    /// A random member, or nil.
    Any,
    /// This many distinct random members; if negative, its absolute value of members that may
    /// repeat.
    AnyOf(i64),
    /// Some members: a cursor, zero at the end, and a list.
    Scan {
        /// Cursor of the previous step; zero at the start.
        cursor: u64,
        /// Number of members to visit, approximately.
        count: u64,
        /// A glob pattern that members must match.
        #[serde(borrow, with = "serde_bytes")]
        pattern: Option<&'a [u8]>,
    },
}

/// Random members of a set; none if there is no set.
fn random_members(set: Option<&Set>, count: i64, seed: u64) -> Result<Vec<&[u8]>, OpError> {
    let Some(set) = set else { return Ok(Vec::new()) };
    random::some(set.len(), set.slots(), count, seed, |slot| set.at(slot), |name| name.len())
}

impl SetOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Add(_) => Effect::Adds,
            Self::Remove(_) | Self::Pop | Self::PopMany(_) => Effect::Changes,
            Self::All
            | Self::Contains(_)
            | Self::ContainsMany(_)
            | Self::Length
            | Self::Any
            | Self::AnyOf(_)
            | Self::Scan { .. } => Effect::Reads,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add(members) => {
                members.iter().try_for_each(|member| fits(member))?;
                let set = access.structure::<Set>(key)?;
                let is_new = |member: &[u8]| !set.is_some_and(|set| set.contains(member));
                let new = distinct(members, is_new);
                Ok(Reply::count(add(access, key, new, "sadd")))
            }
            Self::Remove(members) => {
                let Some(set) = access.structure::<Set>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let there = distinct(members, |member| set.contains(member));
                Ok(Reply::count(remove(access, key, there, "srem")))
            }
            Self::All => {
                let set = access.structure::<Set>(key)?;
                Ok(Reply::Set(set.into_iter().flat_map(Set::iter).map(Reply::bytes).collect()))
            }
            Self::Contains(member) => {
                let set = access.structure::<Set>(key)?;
                Ok(Reply::flag(set.is_some_and(|set| set.contains(member))))
            }
            Self::ContainsMany(members) => {
                let set = access.structure::<Set>(key)?;
                let is = |member: &&[u8]| Reply::flag(set.is_some_and(|set| set.contains(member)));
                Ok(Reply::List(members.iter().map(is).collect()))
            }
            Self::Length => Ok(Reply::count(access.structure::<Set>(key)?.map_or(0, Set::len))),
            Self::Pop => {
                let seed = access.random();
                let Some(set) = access.structure::<Set>(key)? else { return Ok(Reply::Nil) };
                let any = random::one(set.slots(), seed, |slot| set.at(slot));
                let Some(member) = any.map(<[u8]>::to_vec) else { return Ok(Reply::Nil) };
                remove(access, key, vec![&member], "spop");
                Ok(Reply::Bytes(member.into()))
            }
            Self::PopMany(count) => {
                let seed = access.random();
                let set = access.structure::<Set>(key)?;
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                let chosen = random_members(set, count, seed)?;
                check_removable(chosen.iter().map(|member| member.len()))?;
                let members: Vec<Vec<u8>> = chosen.into_iter().map(<[u8]>::to_vec).collect();
                remove(access, key, members.iter().map(|member| &**member).collect(), "spop");
                Ok(Reply::Set(members.into_iter().map(|m| Reply::Bytes(m.into())).collect()))
            }
            Self::Any => {
                let seed = access.random();
                let Some(set) = access.structure::<Set>(key)? else { return Ok(Reply::Nil) };
                Ok(Reply::optional(random::one(set.slots(), seed, |slot| set.at(slot))))
            }
            Self::AnyOf(count) => {
                let seed = access.random();
                let set = access.structure::<Set>(key)?;
                let chosen = random_members(set, *count, seed)?;
                Ok(Reply::List(chosen.into_iter().map(Reply::bytes).collect()))
            }
            Self::Scan { cursor, count, pattern } => {
                let set = access.structure::<Set>(key)?;
                let glob = pattern.map(Glob::new);
                let from = u32::try_from(*cursor).unwrap_or(0);
                let members = set.into_iter().flat_map(|set| set.iter_from(from));
                Ok(scan(
                    members,
                    |member| member.0,
                    *count,
                    |(_, member), found| {
                        if glob.as_ref().is_none_or(|glob| glob.matches(member)) {
                            found.push(Reply::bytes(member));
                        }
                    },
                ))
            }
        }
    }
}

/// Adds the members that do not exist yet; returns how many.
pub(super) fn add(access: &mut Access<'_>, key: &[u8], new: Vec<&[u8]>, name: &str) -> usize {
    let count = new.len();
    if count > 0 {
        access.change(key, StructureEdit::Set(SetEdit::Add(new)), Class::Set, name);
    }
    count
}

/// Removes the members that exist; returns how many.
pub(super) fn remove(access: &mut Access<'_>, key: &[u8], there: Vec<&[u8]>, name: &str) -> usize {
    let count = there.len();
    if count > 0 {
        access.change(key, StructureEdit::Set(SetEdit::Remove(there)), Class::Set, name);
    }
    count
}
