//! Sets of byte strings.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use super::hash::hash;
use super::{EditMismatch, REBUILD_ELEMENTS_MAX};
use crate::ordered::{Hashed, Ordered};

/// Overhead of one member, in bytes: a slot and an allocation.
const MEMBER_BYTES: usize = 48;

/// Distinct members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    members: Ordered<Element>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Element {
    hash: u32,
    bytes: Box<[u8]>,
}

impl Hashed for Element {
    fn hash(&self) -> u32 {
        self.hash
    }
}

/// A change of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum SetEdit<'a> {
    /// Adds these members.
    Add(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes these members.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
}

impl Set {
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        self.members.get(hash(member), |element| *element.bytes == *member).is_some()
    }

    /// Iterates in the order of hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.members.iter().map(|element| &*element.bytes)
    }

    /// Like [`Set::iter`], with the hashes, starting at `from`.
    pub(crate) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &[u8])> {
        self.members.iter_from(from).map(|element| (element.hash, &*element.bytes))
    }

    /// Number of slots for [`Set::at`], including empty ones.
    pub(crate) fn slots(&self) -> usize {
        self.members.slots()
    }

    /// The member in one slot, if any; for random selection.
    pub(crate) fn at(&self, slot: usize) -> Option<&[u8]> {
        self.members.at(slot).map(|element| &*element.bytes)
    }

    pub(crate) fn apply(&mut self, edit: &SetEdit<'_>) -> Result<(), EditMismatch> {
        match edit {
            SetEdit::Add(members) => {
                for member in members {
                    if !self.contains(member) {
                        self.bytes += MEMBER_BYTES + member.len();
                        let element = Element { hash: hash(member), bytes: (*member).into() };
                        self.members.insert(element);
                    }
                }
            }
            SetEdit::Remove(members) => {
                for member in members {
                    let is_it = |element: &Element| *element.bytes == **member;
                    self.members.remove(hash(member), is_it).ok_or(EditMismatch)?;
                    self.bytes -= MEMBER_BYTES + member.len();
                }
            }
        }
        Ok(())
    }

    /// Emits the edit that restores this set after `edit` was applied.
    pub(crate) fn inverse(&self, edit: &SetEdit<'_>, each: &mut dyn FnMut(SetEdit<'_>)) {
        let (members, adds) = match edit {
            SetEdit::Add(members) => (members, true),
            SetEdit::Remove(members) => (members, false),
        };
        let changed: BTreeSet<&[u8]> =
            members.iter().copied().filter(|member| self.contains(member) != adds).collect();
        if changed.is_empty() {
            return;
        }
        let changed = changed.into_iter().collect();
        each(if adds { SetEdit::Remove(changed) } else { SetEdit::Add(changed) });
    }

    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(SetEdit<'_>)) {
        let mut members = self.iter().peekable();
        while members.peek().is_some() {
            each(SetEdit::Add(members.by_ref().take(REBUILD_ELEMENTS_MAX).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_behaves_like_a_set_of_the_standard_library(
            steps in proptest::collection::vec(
                (any::<bool>(), proptest::collection::btree_set(0..40_u8, 0..5)),
                0..80,
            ),
        ) {
            let (mut set, mut model) = (Set::default(), BTreeSet::<Vec<u8>>::new());
            for (add, members) in steps {
                let members: Vec<_> = members.iter().map(|n| vec![*n; 2]).collect();
                if add {
                    model.extend(members.iter().cloned());
                    let members = members.iter().map(|m| &**m).collect();
                    prop_assert_eq!(set.apply(&SetEdit::Add(members)), Ok(()));
                } else {
                    let there: Vec<_> = members.iter().filter(|m| model.remove(*m)).collect();
                    let there = there.iter().map(|m| &***m).collect();
                    prop_assert_eq!(set.apply(&SetEdit::Remove(there)), Ok(()));
                }
                let held: BTreeSet<_> = set.iter().map(<[u8]>::to_vec).collect();
                prop_assert_eq!(&held, &model);
                prop_assert_eq!(set.bytes(), model.len() * (MEMBER_BYTES + 2));
            }
            let mut copy = Set::default();
            set.rebuild(&mut |edit| copy.apply(&edit).unwrap());
            prop_assert!(copy.iter().eq(set.iter()));
        }
    }
}
