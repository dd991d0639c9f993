//! Operations on sorted sets.

use serde::{Deserialize, Serialize};

use super::answer::{check_removable, distinct, scan, span};
use super::effect::Effect;
use super::list::fits;
use super::near::{Near, NearAnswer, distance_reply};
use super::random;
use crate::access::Access;
use crate::event::Class;
use crate::geo::Place;
use crate::glob::Glob;
use crate::value::{Score, SortedSet, SortedSetEdit, StructureEdit};
use crate::{OpError, Reply};

/// An operation on a sorted set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SortedSetOp<'a> {
    /// Sets the scores of members; returns how many are new, or how many changed.
    Add {
        /// Members and their scores.
        #[serde(borrow)]
        members: Vec<(Score, &'a [u8])>,
        /// The condition for each of them.
        only: AddIf,
        /// Whether to return the number of members that are new or have another score.
        changed: bool,
    },
    /// Adds to the score of a member if the condition holds; returns the sum or nil.
    Increase {
        /// The member.
        #[serde(borrow, with = "serde_bytes")]
        member: &'a [u8],
        /// How much to add.
        by: f64,
        /// The condition.
        only: AddIf,
    },
    /// Removes members; returns how many there were.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
    /// The score of a member, or nil.
    Score(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// The score of each of these members, or nil.
    Scores(#[serde(borrow)] Vec<&'a [u8]>),
    /// The number of members.
    Length,
    /// The number of members in a range.
    Count(#[serde(borrow)] By<'a>),
    /// How many members come before this one, or after it; nil if it is not a member.
    Rank {
        /// The member.
        #[serde(borrow, with = "serde_bytes")]
        member: &'a [u8],
        /// Whether to count the members after it.
        reverse: bool,
        /// Whether to return its score too: a list of both, or a nil list.
        score: bool,
    },
    /// Members in a range.
    Range(#[serde(borrow)] Span<'a>),
    /// Removes the members in a range; returns how many.
    RemoveRange(#[serde(borrow)] By<'a>),
    /// Removes and returns members with the lowest or highest scores.
    Pop {
        /// Those with the highest scores.
        greatest: bool,
        /// How many at most.
        count: u64,
    },
    /// A random member, or nil.
    Any,
    /// This many distinct random members; if negative, its absolute value of members that may
    /// repeat.
    AnyOf {
        /// How many members.
        count: i64,
        /// Whether to return their scores as well.
        scores: bool,
    },
    /// Some members with their scores: a cursor, zero at the end, and a list.
    Scan {
        /// Cursor of the previous step; zero at the start.
        cursor: u64,
        /// Number of members to visit, approximately.
        count: u64,
        /// A glob pattern that members must match.
        #[serde(borrow, with = "serde_bytes")]
        pattern: Option<&'a [u8]>,
    },
    /// The members whose scores stand for places in an area.
    Near {
        /// The area.
        #[serde(borrow)]
        near: Near<'a>,
        /// What is returned of each.
        answer: NearAnswer,
    },
    /// The distance of two members whose scores stand for places, as bytes with four digits after
    /// the point; nil if one of them does not exist.
    Distance {
        /// One member.
        #[serde(borrow, with = "serde_bytes")]
        from: &'a [u8],
        /// The other member.
        #[serde(borrow, with = "serde_bytes")]
        to: &'a [u8],
        /// Metres of one unit.
        unit_m: f64,
    },
}

/// Condition for setting the score of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddIf {
    /// Only new members.
    pub absent: bool,
    /// Only existing members.
    pub present: bool,
    /// Existing members only if their score increases.
    pub greater: bool,
    /// Existing members only if their score decreases.
    pub less: bool,
}

impl AddIf {
    fn holds(self, old: Option<Score>, new: Score) -> bool {
        match old {
            None => !self.present,
            Some(old) => !self.absent && (!self.greater || new > old) && (!self.less || new < old),
        }
    }
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound<T> {
    /// Unbounded on this side.
    None,
    /// This value, inclusive.
    With(T),
    /// This value, exclusive.
    Without(T),
}

/// The kind of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By<'a> {
    /// Ranks, both inclusive; negative ones count from the end.
    Rank(i64, i64),
    /// Scores.
    Score(Bound<Score>, Bound<Score>),
    /// Members in byte order, if all have the same score.
    Name(#[serde(borrow)] Bound<&'a [u8]>, #[serde(borrow)] Bound<&'a [u8]>),
    /// An empty range.
    Nothing,
}

/// A range, and how to return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span<'a> {
    /// The bounds. The lower one comes first even if `reverse` is set; ranks count from the end
    /// then.
    #[serde(borrow)]
    pub by: By<'a>,
    /// Whether the order is descending.
    pub reverse: bool,
    /// How many members to skip, and how many to return at most; all if negative.
    pub limit: Option<(i64, i64)>,
    /// Whether to return scores.
    pub scores: bool,
}

impl By<'_> {
    /// The range as ranks: the first, and the last (exclusive).
    fn ranks(&self, set: &SortedSet) -> (usize, usize) {
        let range = match self {
            Self::Rank(first, last) => span(*first, *last, set.len()),
            Self::Score(low, high) => {
                let from = match low {
                    Bound::None => 0,
                    Bound::With(low) => set.partition_point(|score, _| score < *low),
                    Bound::Without(low) => set.partition_point(|score, _| score <= *low),
                };
                let to = match high {
                    Bound::None => set.len(),
                    Bound::With(high) => set.partition_point(|score, _| score <= *high),
                    Bound::Without(high) => set.partition_point(|score, _| score < *high),
                };
                (from, to)
            }
            Self::Name(low, high) => {
                let from = match low {
                    Bound::None => 0,
                    Bound::With(low) => set.partition_point(|_, name| name < *low),
                    Bound::Without(low) => set.partition_point(|_, name| name <= *low),
                };
                let to = match high {
                    Bound::None => set.len(),
                    Bound::With(high) => set.partition_point(|_, name| name <= *high),
                    Bound::Without(high) => set.partition_point(|_, name| name < *high),
                };
                (from, to)
            }
            Self::Nothing => (0, 0),
        };
        if range.0 < range.1 { range } else { (0, 0) }
    }
}

impl Span<'_> {
    /// The members of the range, in the order of the reply.
    pub(super) fn members<'s>(&self, set: &'s SortedSet) -> Vec<(Score, &'s [u8])> {
        let (mut from, mut to) = match self.by {
            // Ranks of a reverse range count from the end.
            By::Rank(first, last) if self.reverse => {
                let (from, to) = span(first, last, set.len());
                (set.len() - to, set.len() - from)
            }
            by => by.ranks(set),
        };
        if let Some((offset, count)) = self.limit {
            let length = to.saturating_sub(from);
            let Ok(offset) = usize::try_from(offset) else { return Vec::new() };
            let offset = offset.min(length);
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(length - offset);
            if self.reverse {
                to -= offset;
                from = to - count;
            } else {
                from += offset;
                to = from + count;
            }
        }
        if from >= to {
            return Vec::new();
        }
        let members = set.range(from, to);
        if self.reverse { members.rev().collect() } else { members.collect() }
    }
}

/// A reply of members, with their scores if wanted.
pub(crate) fn members_reply(members: Vec<(Score, &[u8])>, scores: bool) -> Reply {
    let members = members.into_iter();
    if scores {
        Reply::Pairs(members.map(|(s, n)| (Reply::bytes(n), Reply::Double(s.get()))).collect())
    } else {
        Reply::List(members.map(|(_, name)| Reply::bytes(name)).collect())
    }
}

impl SortedSetOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Add { .. } | Self::Increase { .. } => Effect::Adds,
            Self::Remove(_) | Self::RemoveRange(_) | Self::Pop { .. } => Effect::Changes,
            Self::Score(_)
            | Self::Scores(_)
            | Self::Length
            | Self::Count(_)
            | Self::Rank { .. }
            | Self::Range(_)
            | Self::Any
            | Self::AnyOf { .. }
            | Self::Scan { .. }
            | Self::Near { .. }
            | Self::Distance { .. } => Effect::Reads,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add { members, only, changed } => add(access, key, members, *only, *changed),
            Self::Increase { member, by, only } => {
                fits(member)?;
                let set = access.structure::<SortedSet>(key)?;
                let old = set.and_then(|set| set.score(member));
                let reply = old.map_or(*by, |old| old.get() + by);
                let sum = Score::new(reply).ok_or(OpError::NotAScore)?;
                if !only.holds(old, sum) {
                    return Ok(Reply::Nil);
                }
                if old != Some(sum) {
                    change(access, key, SortedSetEdit::Set(vec![(sum, member)]), "zincr");
                }
                // As in Redis, it keeps the sign of a zero, which a score does not have.
                Ok(Reply::Double(reply))
            }
            Self::Remove(members) => {
                let Some(set) = access.structure::<SortedSet>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let there = distinct(members, |name| set.score(name).is_some());
                Ok(Reply::count(remove(access, key, there, "zrem")))
            }
            Self::Score(member) => {
                let set = access.structure::<SortedSet>(key)?;
                let score = set.and_then(|set| set.score(member));
                Ok(score.map_or(Reply::Nil, |score| Reply::Double(score.get())))
            }
            Self::Scores(members) => {
                let set = access.structure::<SortedSet>(key)?;
                let score = |member: &&[u8]| {
                    let score = set.and_then(|set| set.score(member));
                    score.map_or(Reply::Nil, |score| Reply::Double(score.get()))
                };
                Ok(Reply::List(members.iter().map(score).collect()))
            }
            Self::Length => {
                Ok(Reply::count(access.structure::<SortedSet>(key)?.map_or(0, SortedSet::len)))
            }
            Self::Count(by) => {
                let set = access.structure::<SortedSet>(key)?;
                let (from, to) = set.map_or((0, 0), |set| by.ranks(set));
                Ok(Reply::count(to - from))
            }
            Self::Rank { member, reverse, score } => {
                let none = if *score { Reply::NilList } else { Reply::Nil };
                let Some(set) = access.structure::<SortedSet>(key)? else { return Ok(none) };
                let Some(rank) = set.rank(member) else { return Ok(none) };
                let rank = Reply::count(if *reverse { set.len() - 1 - rank } else { rank });
                Ok(match set.score(member).filter(|_| *score) {
                    Some(score) => Reply::List(vec![rank, Reply::Double(score.get())]),
                    None => rank,
                })
            }
            Self::Range(span) => {
                let set = access.structure::<SortedSet>(key)?;
                let members = set.map_or(Vec::new(), |set| span.members(set));
                Ok(members_reply(members, span.scores))
            }
            Self::RemoveRange(by) => {
                let Some(set) = access.structure::<SortedSet>(key)? else {
                    return Ok(Reply::Integer(0));
                };
                let (from, to) = by.ranks(set);
                let names: Vec<Vec<u8>> =
                    set.range(from, to).map(|(_, name)| name.to_vec()).collect();
                let name = match by {
                    By::Rank(..) => "zremrangebyrank",
                    By::Score(..) => "zremrangebyscore",
                    By::Name(..) | By::Nothing => "zremrangebylex",
                };
                let names = names.iter().map(|name| &**name).collect();
                Ok(Reply::count(remove(access, key, names, name)))
            }
            Self::Pop { greatest, count } => {
                let members = pop(access, key, *greatest, *count)?;
                Ok(Reply::Pairs(members))
            }
            Self::Any => {
                let seed = access.random();
                let Some(set) = access.structure::<SortedSet>(key)? else { return Ok(Reply::Nil) };
                let chosen = random_members(set, -1, seed)?;
                Ok(Reply::optional(chosen.first().map(|(_, name)| *name)))
            }
            Self::AnyOf { count, scores } => {
                let seed = access.random();
                let set = access.structure::<SortedSet>(key)?;
                let chosen = match set {
                    None => Vec::new(),
                    Some(set) => random_members(set, *count, seed)?,
                };
                Ok(members_reply(chosen, *scores))
            }
            Self::Scan { cursor, count, pattern } => {
                let set = access.structure::<SortedSet>(key)?;
                let glob = pattern.map(Glob::new);
                let from = u32::try_from(*cursor).unwrap_or(0);
                let members = set.into_iter().flat_map(|set| set.iter_from(from));
                Ok(scan(
                    members,
                    |member| member.0,
                    *count,
                    |(_, score, name), found| {
                        if glob.as_ref().is_none_or(|glob| glob.matches(name)) {
                            found.extend([Reply::bytes(name), Reply::Double(score.get())]);
                        }
                    },
                ))
            }
            Self::Near { near, answer } => near.reply(access.structure::<SortedSet>(key)?, *answer),
            Self::Distance { from, to, unit_m } => {
                let set = access.structure::<SortedSet>(key)?;
                let place = |name| {
                    let score = set.and_then(|set| set.score(name))?;
                    Some(Place::of_score(score.get()))
                };
                let (Some(from), Some(to)) = (place(from), place(to)) else {
                    return Ok(Reply::Nil);
                };
                Ok(distance_reply(from.distance_m(to) / unit_m))
            }
        }
    }
}

/// Random members by rank.
fn random_members(set: &SortedSet, count: i64, seed: u64) -> Result<Vec<(Score, &[u8])>, OpError> {
    let at = |rank: usize| set.range(rank, rank + 1).next();
    random::some(set.len(), set.len(), count, seed, at, |(_, name)| name.len())
}

fn add(
    access: &mut Access<'_>,
    key: &[u8],
    members: &[(Score, &[u8])],
    only: AddIf,
    changed: bool,
) -> Result<Reply, OpError> {
    members.iter().try_for_each(|(_, name)| fits(name))?;
    let set = access.structure::<SortedSet>(key)?;
    // A member may be named twice, so each condition sees the effect of the earlier ones.
    let mut pending = std::collections::HashMap::<&[u8], Score>::new();
    let (mut edits, mut new, mut other) = (Vec::new(), 0, 0);
    for (score, name) in members {
        let old = pending.get(name).copied().or_else(|| set.and_then(|set| set.score(name)));
        if !only.holds(old, *score) || old == Some(*score) {
            continue;
        }
        match old {
            None => new += 1,
            Some(_) => other += 1,
        }
        pending.insert(name, *score);
        edits.push((*score, *name));
    }
    if !edits.is_empty() {
        change(access, key, SortedSetEdit::Set(edits), "zadd");
    }
    Ok(Reply::count(if changed { new + other } else { new }))
}

/// Removes and returns members from one end.
pub(super) fn pop(
    access: &mut Access<'_>,
    key: &[u8],
    greatest: bool,
    count: u64,
) -> Result<Vec<(Reply, Reply)>, OpError> {
    let Some(set) = access.structure::<SortedSet>(key)? else { return Ok(Vec::new()) };
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
    let taken: Vec<(Score, &[u8])> = if greatest {
        set.range(set.len() - count, set.len()).rev().collect()
    } else {
        set.range(0, count).collect()
    };
    check_removable(taken.iter().map(|(_, name)| name.len()))?;
    let own = |(score, name): (Score, &[u8])| (score, name.to_vec());
    let members: Vec<(Score, Vec<u8>)> = taken.into_iter().map(own).collect();
    let name = if greatest { "zpopmax" } else { "zpopmin" };
    remove(access, key, members.iter().map(|(_, name)| &**name).collect(), name);
    let pair =
        |(score, name): (Score, Vec<u8>)| (Reply::Bytes(name.into()), Reply::Double(score.get()));
    Ok(members.into_iter().map(pair).collect())
}

/// Removes the members that exist; returns how many.
fn remove(access: &mut Access<'_>, key: &[u8], there: Vec<&[u8]>, name: &str) -> usize {
    let count = there.len();
    if count > 0 {
        change(access, key, SortedSetEdit::Remove(there), name);
    }
    count
}

fn change(access: &mut Access<'_>, key: &[u8], edit: SortedSetEdit<'_>, name: &str) {
    access.change(key, StructureEdit::SortedSet(edit), Class::SortedSet, name);
}
