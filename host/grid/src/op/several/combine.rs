//! Combinations of sets and of sorted sets.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::event::Class;
use crate::op::sorted_set::members_reply;
use crate::value::{Score, Set, SetEdit, SortedSetEdit, Structure, StructureEdit};
use crate::{OpError, Reply};

/// Maximum number of members in one edit that stores a combination.
const STORED_AT_ONCE: usize = 1_024;

/// How sets are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combine {
    /// Intersection.
    Intersection,
    /// Union.
    Union,
    /// Difference: members of the first set that are in no other.
    Difference,
}

/// How the scores that one member has in several sets are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// The minimum.
    Min,
    /// The maximum.
    Max,
}

/// A set and the weight of its scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighted<'a> {
    /// Its key.
    #[serde(borrow, with = "serde_bytes")]
    pub key: &'a [u8],
    /// The factor of its scores.
    pub weight: f64,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of opposite sign have no sum; as in Redis, the result is zero.
            Self::Sum if (a + b).is_nan() => 0.0,
            Self::Sum => a + b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

/// A copy of the members of a set.
fn members(access: &mut Access<'_>, key: &[u8]) -> Result<Vec<Vec<u8>>, OpError> {
    let set = access.structure::<Set>(key)?;
    Ok(set.into_iter().flat_map(Set::iter).map(<[u8]>::to_vec).collect())
}

/// Combines sets of members.
#[must_use]
pub fn combine(how: Combine, sets: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let count = sets.len();
    let mut sets = sets.into_iter();
    let Some(first) = sets.next() else { return Vec::new() };
    let mut seen: HashMap<Vec<u8>, usize> =
        first.iter().cloned().map(|member| (member, 1)).collect();
    let mut order = first;
    for set in sets {
        for member in set {
            match seen.get_mut(&member) {
                Some(times) => *times += 1,
                None if how == Combine::Union => {
                    seen.insert(member.clone(), 1);
                    order.push(member);
                }
                None => {}
            }
        }
    }
    match how {
        Combine::Union => {}
        Combine::Intersection => order.retain(|member| seen[member] == count),
        Combine::Difference => order.retain(|member| seen[member] == 1),
    }
    order
}

pub(super) fn sets(
    access: &mut Access<'_>,
    how: Combine,
    keys: &[&[u8]],
    store: Option<&[u8]>,
) -> Result<Reply, OpError> {
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        all.push(members(access, key)?);
    }
    let combined = combine(how, all);
    let Some(store) = store else {
        return Ok(Reply::Set(combined.into_iter().map(|m| Reply::Bytes(m.into())).collect()));
    };
    let name = how.set_event();
    let members: Vec<&[u8]> = combined.iter().map(|member| &**member).collect();
    Ok(store_set(access, store, &members, name))
}

/// Stores members as a set that replaces the value of the key.
pub(in crate::op) fn store_set(
    access: &mut Access<'_>,
    key: &[u8],
    members: &[&[u8]],
    event: &str,
) -> Reply {
    let there = access.remove(key);
    for members in members.chunks(STORED_AT_ONCE) {
        let edit = StructureEdit::Set(SetEdit::Add(members.to_vec()));
        access.edit(key, &Edit::Structure(edit));
    }
    if !members.is_empty() {
        access.notify(Class::Set, event, key);
    } else if there {
        access.notify(Class::Generic, "del", key);
    }
    Reply::count(members.len())
}

/// A copy of the members of a set or a sorted set, with their scores.
fn scored(access: &mut Access<'_>, key: &[u8]) -> Result<Scored, OpError> {
    let one = Score::new(1.0).expect("one is a number");
    match access.read(key) {
        None => Ok(Vec::new()),
        Some(Entry::Structured(entry)) => match &entry.value {
            Structure::Set(set) => Ok(set.iter().map(|member| (one, member.to_vec())).collect()),
            Structure::SortedSet(set) => {
                Ok(set.iter().map(|(score, name)| (score, name.to_vec())).collect())
            }
            _ => Err(OpError::WrongType),
        },
        Some(Entry::Plain(_)) => Err(OpError::WrongType),
    }
}

/// The members in the reply of [`SetOp::All`](crate::op::SetOp::All).
#[must_use]
pub fn plain_members(reply: Reply) -> Vec<Vec<u8>> {
    let (Reply::Set(all) | Reply::List(all)) = reply else { return Vec::new() };
    let bytes = |reply| if let Reply::Bytes(bytes) = reply { bytes.to_vec() } else { Vec::new() };
    all.into_iter().map(bytes).collect()
}

/// The members and scores in a reply of pairs.
#[must_use]
pub fn scored_members(reply: Reply) -> Scored {
    let Reply::Pairs(pairs) = reply else { return Vec::new() };
    let pair = |(member, score)| match (member, score) {
        (Reply::Bytes(member), Reply::Double(score)) => Some((Score::new(score)?, member.to_vec())),
        _ => None,
    };
    pairs.into_iter().filter_map(pair).collect()
}

/// Members with their scores.
pub type Scored = Vec<(Score, Vec<u8>)>;

/// Combines sets of members with scores, each set with its weight.
#[must_use]
pub fn combine_sorted(how: Combine, sets: Vec<(f64, Scored)>, aggregate: Aggregate) -> Scored {
    let count = sets.len();
    let mut all: HashMap<Vec<u8>, (f64, usize)> = HashMap::new();
    for (at, (weight, members)) in sets.into_iter().enumerate() {
        for (score, name) in members {
            let score = score.get() * weight;
            let score = if score.is_nan() { 0.0 } else { score };
            match all.get_mut(&name) {
                Some((sum, times)) => {
                    *times += 1;
                    if how != Combine::Difference {
                        *sum = aggregate.of(*sum, score);
                    }
                }
                None if at == 0 || how == Combine::Union => {
                    all.insert(name, (score, 1));
                }
                None => {}
            }
        }
    }
    let keeps = |times: usize| match how {
        Combine::Union => true,
        Combine::Intersection => times == count,
        Combine::Difference => times == 1,
    };
    let mut members: Vec<_> = all
        .into_iter()
        .filter(|(_, (_, times))| keeps(*times))
        .filter_map(|(name, (score, _))| Some((Score::new(score)?, name)))
        .collect();
    members.sort_unstable();
    members
}

pub(super) fn sorted(
    access: &mut Access<'_>,
    how: Combine,
    keys: &[Weighted<'_>],
    aggregate: Aggregate,
    scores: bool,
    store: Option<&[u8]>,
) -> Result<Reply, OpError> {
    let mut all = Vec::with_capacity(keys.len());
    for weighted in keys {
        all.push((weighted.weight, scored(access, weighted.key)?));
    }
    let combined = combine_sorted(how, all, aggregate);
    let Some(store) = store else { return Ok(sorted_reply(&combined, scores)) };
    let members: Vec<_> = combined.iter().map(|(score, name)| (*score, &**name)).collect();
    Ok(store_sorted(access, store, &members, how.sorted_set_event()))
}

impl Combine {
    /// The name of the event when a combined set is stored.
    pub(crate) fn set_event(self) -> &'static str {
        match self {
            Self::Intersection => "sinterstore",
            Self::Union => "sunionstore",
            Self::Difference => "sdiffstore",
        }
    }

    /// The name of the event when a combined sorted set is stored.
    pub(crate) fn sorted_set_event(self) -> &'static str {
        match self {
            Self::Intersection => "zinterstore",
            Self::Union => "zunionstore",
            Self::Difference => "zdiffstore",
        }
    }
}

/// Stores members as a sorted set that replaces the value of the key.
pub(in crate::op) fn store_sorted(
    access: &mut Access<'_>,
    key: &[u8],
    members: &[(Score, &[u8])],
    event: &str,
) -> Reply {
    let there = access.remove(key);
    for members in members.chunks(STORED_AT_ONCE) {
        let edit = StructureEdit::SortedSet(SortedSetEdit::Set(members.to_vec()));
        access.edit(key, &Edit::Structure(edit));
    }
    if !members.is_empty() {
        access.notify(Class::SortedSet, event, key);
    } else if there {
        access.notify(Class::Generic, "del", key);
    }
    Reply::count(members.len())
}

pub(super) fn count_common(
    access: &mut Access<'_>,
    keys: &[&[u8]],
    sorted: bool,
    limit: u64,
) -> Result<Reply, OpError> {
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        all.push(if sorted {
            scored(access, key)?.into_iter().map(|(_, name)| name).collect()
        } else {
            members(access, key)?
        });
    }
    let count = combine(Combine::Intersection, all).len() as u64;
    let bounded = if limit == 0 { count } else { count.min(limit) };
    Ok(Reply::Integer(bounded.try_into().unwrap_or(i64::MAX)))
}

/// A reply of sorted-set members, as the combinations return them.
fn sorted_reply(members: &[(Score, Vec<u8>)], scores: bool) -> Reply {
    members_reply(members.iter().map(|(score, name)| (*score, &**name)).collect(), scores)
}
