//! Sorted sets: members ordered by score, then by their bytes.
//!
//! Members are stored twice: by name, to find a score, and in order, to find a rank or a range. The
//! order is divided into runs of at most [`RUN_MAX`] members: a change moves part of one run, and a
//! rank is a sum over the lengths of the runs before it.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::hash::hash;
use super::{EditMismatch, REBUILD_ELEMENTS_MAX};
use crate::ordered::{Hashed, Ordered};

/// Maximum number of members in one run; a longer one is split.
const RUN_MAX: usize = 256;
/// Overhead of one member, in bytes; its name is stored twice.
const MEMBER_BYTES: usize = 96;

/// The score of a member: any number except NaN.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Score(f64);

impl TryFrom<f64> for Score {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        Self::new(number).ok_or("a score is not NaN")
    }
}

impl Score {
    /// Returns `None` for NaN.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        // -0.0 becomes 0.0, so that equal scores have equal bits.
        (!number.is_nan()).then_some(Self(if number == 0.0 { 0.0 } else { number }))
    }

    /// The score as a floating-point number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Members with scores.
#[derive(Clone, Debug, Default)]
pub(crate) struct SortedSet {
    by_name: Ordered<Element>,
    /// Non-empty runs in order: all members of a run precede those of the next.
    runs: Vec<Vec<RankedMember>>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Element {
    hash: u32,
    score: Score,
    name: Box<[u8]>,
}

impl Hashed for Element {
    fn hash(&self) -> u32 {
        self.hash
    }
}

#[derive(Clone, Debug)]
struct RankedMember {
    score: Score,
    name: Box<[u8]>,
}

impl RankedMember {
    fn cmp(&self, score: Score, name: &[u8]) -> Ordering {
        self.score.cmp(&score).then_with(|| (*self.name).cmp(name))
    }
}

/// A change of a sorted set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum SortedSetEdit<'a> {
    /// Sets the scores of these members.
    Set(#[serde(borrow)] Vec<(Score, &'a [u8])>),
    /// Removes these members.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
}

impl SortedSet {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn score(&self, name: &[u8]) -> Option<Score> {
        self.by_name.get(hash(name), |element| *element.name == *name).map(|element| element.score)
    }

    /// Number of members that precede this one in the order.
    pub(crate) fn rank(&self, name: &[u8]) -> Option<usize> {
        let score = self.score(name)?;
        Some(self.count_before(|place| place.cmp(score, name) == Ordering::Less))
    }

    /// Number of first members that satisfy `before`, which must hold for a prefix of the order and
    /// for no later member.
    fn count_before(&self, before: impl Fn(&RankedMember) -> bool) -> usize {
        let run = self.runs.partition_point(|run| run.last().is_some_and(&before));
        let earlier: usize = self.runs[..run].iter().map(Vec::len).sum();
        earlier + self.runs.get(run).map_or(0, |run| run.partition_point(before))
    }

    /// Like [`SortedSet::count_before`], for a predicate on score and name.
    pub(crate) fn partition_point(&self, before: impl Fn(Score, &[u8]) -> bool) -> usize {
        self.count_before(|place| before(place.score, &place.name))
    }

    /// Members from one rank to another (exclusive).
    pub(crate) fn range(
        &self,
        from: usize,
        to: usize,
    ) -> impl DoubleEndedIterator<Item = (Score, &[u8])> {
        let (mut start, mut end) = (from.min(to), to);
        let mut pieces = Vec::new();
        for run in &self.runs {
            if end == 0 {
                break;
            }
            if start < run.len() {
                pieces.push(&run[start..end.min(run.len())]);
            }
            start = start.saturating_sub(run.len());
            end = end.saturating_sub(run.len());
        }
        pieces.into_iter().flatten().map(|place| (place.score, &*place.name))
    }

    /// Iterates in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Score, &[u8])> {
        self.runs.iter().flatten().map(|place| (place.score, &*place.name))
    }

    /// Iterates in the order of hashes, starting at `from`, with the hashes.
    pub(crate) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, Score, &[u8])> {
        self.by_name.iter_from(from).map(|element| (element.hash, element.score, &*element.name))
    }

    pub(crate) fn apply(&mut self, edit: &SortedSetEdit<'_>) -> Result<(), EditMismatch> {
        match edit {
            SortedSetEdit::Set(members) => {
                for (score, name) in members {
                    let hash = hash(name);
                    match self.by_name.get_mut(hash, |element| *element.name == **name) {
                        Some(element) => {
                            let old = std::mem::replace(&mut element.score, *score);
                            if old != *score {
                                self.displace(old, name);
                                self.place(*score, name);
                            }
                        }
                        None => {
                            let element = Element { hash, score: *score, name: (*name).into() };
                            self.by_name.insert(element);
                            self.bytes += MEMBER_BYTES + 2 * name.len();
                            self.place(*score, name);
                        }
                    }
                }
            }
            SortedSetEdit::Remove(names) => {
                for name in names {
                    let is_it = |element: &Element| *element.name == **name;
                    let element = self.by_name.remove(hash(name), is_it).ok_or(EditMismatch)?;
                    self.bytes -= MEMBER_BYTES + 2 * name.len();
                    self.displace(element.score, name);
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, score: Score, name: &[u8]) {
        let is_before = |place: &RankedMember| place.cmp(score, name) == Ordering::Less;
        let run = self.runs.partition_point(|run| run.last().is_some_and(is_before));
        let run = run.min(self.runs.len().saturating_sub(1));
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        let places = &mut self.runs[run];
        let at = places.partition_point(is_before);
        places.insert(at, RankedMember { score, name: name.into() });
        if places.len() > RUN_MAX {
            let rest = places.split_off(RUN_MAX / 2);
            self.runs.insert(run + 1, rest);
        }
    }

    fn displace(&mut self, score: Score, name: &[u8]) {
        let is_before = |place: &RankedMember| place.cmp(score, name) == Ordering::Less;
        let run = self.runs.partition_point(|run| run.last().is_some_and(is_before));
        let Some(places) = self.runs.get_mut(run) else { return };
        let at = places.partition_point(is_before);
        debug_assert!(places[at].cmp(score, name) == Ordering::Equal);
        places.remove(at);
        if places.is_empty() {
            self.runs.remove(run);
        } else if places.len() < RUN_MAX / 8
            && let Some(next) = self.runs.get(run + 1)
            && next.len() < RUN_MAX / 2
        {
            let next = self.runs.remove(run + 1);
            self.runs[run].extend(next);
        }
    }

    /// Emits the edits that restore this sorted set after `edit` was applied, in order.
    pub(crate) fn inverse(
        &self,
        edit: &SortedSetEdit<'_>,
        each: &mut dyn FnMut(SortedSetEdit<'_>),
    ) {
        let names: BTreeSet<&[u8]> = match edit {
            SortedSetEdit::Set(members) => members.iter().map(|(_, name)| *name).collect(),
            SortedSetEdit::Remove(names) => names.iter().copied().collect(),
        };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for name in names {
            match self.score(name) {
                Some(score) => old.push((score, name)),
                None => new.push(name),
            }
        }
        if !new.is_empty() && matches!(edit, SortedSetEdit::Set(_)) {
            each(SortedSetEdit::Remove(new));
        }
        if !old.is_empty() {
            each(SortedSetEdit::Set(old));
        }
    }

    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(SortedSetEdit<'_>)) {
        let mut members = self.iter().peekable();
        while members.peek().is_some() {
            each(SortedSetEdit::Set(members.by_ref().take(REBUILD_ELEMENTS_MAX).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Model = BTreeMap<Vec<u8>, f64>;

    fn in_order(model: &Model) -> Vec<(f64, Vec<u8>)> {
        let mut members: Vec<_> =
            model.iter().map(|(name, score)| (*score, name.clone())).collect();
        members.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        members
    }

    fn check(set: &SortedSet, model: &Model) {
        let expected = in_order(model);
        let held: Vec<_> = set.iter().map(|(score, name)| (score.get(), name.to_vec())).collect();
        assert_eq!(held, expected);
        assert_eq!((set.len(), set.bytes()), (model.len(), model.len() * (MEMBER_BYTES + 4)));
        for (rank, (score, name)) in expected.iter().enumerate().step_by(7) {
            assert_eq!(set.rank(name), Some(rank));
            assert_eq!(set.score(name).map(Score::get), Some(*score));
        }
        let (from, to) = (expected.len() / 3, expected.len() * 2 / 3);
        let range = set.range(from, to).map(|(score, name)| (score.get(), name.to_vec()));
        assert!(range.rev().eq(expected[from..to].iter().rev().cloned()));
        assert_eq!(
            set.partition_point(|score, _| score.get() < 3.0),
            expected.partition_point(|(score, _)| *score < 3.0)
        );
    }

    proptest! {
        #[test]
        fn a_sorted_set_behaves_like_a_sorted_list(
            steps in proptest::collection::vec(
                (any::<bool>(), proptest::collection::btree_map(any::<u16>(), -9..9_i8, 0..60)),
                0..60,
            ),
        ) {
            let (mut set, mut model) = (SortedSet::default(), Model::new());
            for (put, members) in steps {
                let members: Vec<_> = members
                    .iter()
                    .map(|(n, score)| ((n % 2_000).to_be_bytes().to_vec(), f64::from(*score)))
                    .collect();
                if put {
                    let edit = members.iter().map(|(n, s)| (Score::new(*s).unwrap(), &**n));
                    prop_assert_eq!(set.apply(&SortedSetEdit::Set(edit.collect())), Ok(()));
                    model.extend(members.iter().cloned());
                } else {
                    let there: Vec<_> =
                        members.iter().filter(|(name, _)| model.remove(name).is_some()).collect();
                    let names = there.iter().map(|(name, _)| &**name).collect();
                    prop_assert_eq!(set.apply(&SortedSetEdit::Remove(names)), Ok(()));
                }
                check(&set, &model);
            }
            let mut copy = SortedSet::default();
            set.rebuild(&mut |edit| copy.apply(&edit).unwrap());
            prop_assert!(copy.iter().eq(set.iter()));
        }
    }

    #[test]
    fn many_members_can_be_added_and_removed() {
        let (mut set, mut model) = (SortedSet::default(), Model::new());
        for n in 0..3_000_u16 {
            let (name, score) = (n.to_be_bytes(), f64::from(n.wrapping_mul(7_919) % 500));
            set.apply(&SortedSetEdit::Set(vec![(Score::new(score).unwrap(), &name)])).unwrap();
            model.insert(name.to_vec(), score);
        }
        check(&set, &model);
        for n in 0..2_990_u16 {
            let name = n.wrapping_mul(1_009) % 3_000;
            if model.remove(&name.to_be_bytes()[..]).is_some() {
                set.apply(&SortedSetEdit::Remove(vec![&name.to_be_bytes()])).unwrap();
            }
        }
        check(&set, &model);
    }

    #[test]
    fn zero_has_one_sign_and_nan_is_not_a_score() {
        assert_eq!(Score::new(-0.0), Score::new(0.0));
        assert_eq!(Score::new(f64::NAN), None);
        assert!(Score::new(f64::NEG_INFINITY) < Score::new(-1.0));
    }
}
