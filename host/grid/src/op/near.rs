//! Searching sorted sets for the places near another one.

use serde::{Deserialize, Serialize};

use super::answer::ANSWER_BYTES_MAX;
use crate::geo::{Area, Place, Shape};
use crate::reply::VALUE_BYTES;
use crate::value::{Score, SortedSet};
use crate::{OpError, Reply};

/// The places that are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Near<'a> {
    /// The centre of the area.
    #[serde(borrow)]
    pub centre: Centre<'a>,
    /// The area.
    pub shape: Shape,
    /// Metres of one unit of the lengths of the shape, and of the distances in the reply.
    pub unit_m: f64,
    /// By distance, nearest first or last; otherwise in no particular order.
    pub sort: Option<Nearness>,
    /// How many at most.
    pub limit: Option<NearLimit>,
}

/// The centre of an area.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Centre<'a> {
    /// A place.
    At(Place),
    /// The place of a member; [`OpError::NoSuchMember`] if the sorted set does not have it.
    Member(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

/// The order of distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nearness {
    /// The nearest first.
    NearestFirst,
    /// The farthest first.
    FarthestFirst,
}

/// How many places are returned at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearLimit {
    /// The number.
    pub count: u64,
    /// Any of them that are found first; otherwise the first of the order.
    pub any: bool,
}

/// What is returned of each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NearAnswer {
    /// The member, in a list with these things if there are any.
    Members {
        /// Its distance from the centre.
        distance: bool,
        /// Its score.
        score: bool,
        /// Its coordinates.
        place: bool,
    },
    /// Pairs of the member and its score, or its distance.
    Scored {
        /// The distance from the centre.
        distance: bool,
    },
}

/// A place that was found.
struct Found<'s> {
    name: &'s [u8],
    score: Score,
    /// In the unit that was asked for.
    distance: f64,
}

impl Near<'_> {
    /// The reply of a search; an empty one if there is no sorted set.
    pub(super) fn reply(
        &self,
        set: Option<&SortedSet>,
        answer: NearAnswer,
    ) -> Result<Reply, OpError> {
        let found = set.map_or_else(|| Ok(Vec::new()), |set| self.search(set))?;
        let mut room = ANSWER_BYTES_MAX;
        for found in &found {
            // A list with its parts.
            let bytes = found.name.len() + 8 * VALUE_BYTES;
            room = room.checked_sub(bytes).ok_or(OpError::AnswerTooLong)?;
        }
        let found = found.into_iter();
        Ok(match answer {
            NearAnswer::Members { distance: false, score: false, place: false } => {
                Reply::List(found.map(|found| Reply::bytes(found.name)).collect())
            }
            NearAnswer::Members { distance, score, place } => {
                let one = |found: Found<'_>| {
                    let mut parts = vec![Reply::bytes(found.name)];
                    if distance {
                        parts.push(distance_reply(found.distance));
                    }
                    if score {
                        parts.push(Reply::Integer(found.score.get() as i64));
                    }
                    if place {
                        parts.push(place_reply(found.score.get()));
                    }
                    Reply::List(parts)
                };
                Reply::List(found.map(one).collect())
            }
            NearAnswer::Scored { distance } => {
                let one = |found: Found<'_>| {
                    let score = if distance { found.distance } else { found.score.get() };
                    (Reply::bytes(found.name), Reply::Double(score))
                };
                Reply::Pairs(found.map(one).collect())
            }
        })
    }

    /// Members and scores, or distances, to be stored.
    pub(super) fn scored(
        &self,
        set: &SortedSet,
        distance: bool,
    ) -> Result<Vec<(Score, Vec<u8>)>, OpError> {
        let one = |found: Found<'_>| {
            let score = if distance { Score::new(found.distance)? } else { found.score };
            Some((score, found.name.to_vec()))
        };
        Ok(self.search(set)?.into_iter().filter_map(one).collect())
    }

    fn search<'s>(&self, set: &'s SortedSet) -> Result<Vec<Found<'s>>, OpError> {
        let centre = match self.centre {
            Centre::At(place) => place,
            Centre::Member(name) => {
                let score = set.score(name).ok_or(OpError::NoSuchMember)?;
                Place::of_score(score.get())
            }
        };
        let area = Area { centre, shape: self.shape, unit_m: self.unit_m };
        let most = self
            .limit
            .map_or(usize::MAX, |limit| usize::try_from(limit.count).unwrap_or(usize::MAX));
        let enough = if self.limit.is_some_and(|limit| limit.any) { most } else { usize::MAX };
        let mut found = Vec::new();
        for (from, to) in area.scores() {
            let from = set.partition_point(|score, _| score.get() < from);
            let to = set.partition_point(|score, _| score.get() < to);
            let near = set.range(from, to).filter_map(|(score, name)| {
                let distance = area.contains(Place::of_score(score.get()))? / self.unit_m;
                Some(Found { name, score, distance })
            });
            found.extend(near.take(enough - found.len()));
        }
        match self.sort {
            None => {}
            Some(Nearness::NearestFirst) => {
                found.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            }
            Some(Nearness::FarthestFirst) => {
                found.sort_by(|a, b| b.distance.total_cmp(&a.distance));
            }
        }
        found.truncate(most);
        Ok(found)
    }
}

/// A distance in a reply: four digits after the point, as in Redis.
pub(super) fn distance_reply(distance: f64) -> Reply {
    Reply::bytes(format!("{distance:.4}").as_bytes())
}

/// The coordinates of the place that a score stands for.
#[must_use]
pub fn place_reply(score: f64) -> Reply {
    let place = Place::of_score(score);
    Reply::List([place.longitude, place.latitude].map(Reply::Double).into())
}
