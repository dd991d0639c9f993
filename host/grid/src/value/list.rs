//! Lists.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{EditMismatch, REBUILD_ELEMENTS_MAX};

/// Overhead of one element, in bytes: its allocation.
const ELEMENT_BYTES: usize = 32;

/// A list of byte strings.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    elements: VecDeque<Box<[u8]>>,
    bytes: usize,
}

/// A change of a list. Indices count from the front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ListEdit<'a> {
    /// Pushes each element to the front, one after the other.
    PushFront(#[serde(borrow)] Vec<&'a [u8]>),
    /// Pushes each element to the back, one after the other.
    PushBack(#[serde(borrow)] Vec<&'a [u8]>),
    /// Removes this many elements from the front.
    PopFront(u64),
    /// Removes this many elements from the back.
    PopBack(u64),
    /// Replaces the element at this index.
    Set(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Inserts an element, which gets this index.
    Insert(u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// Removes the elements at these indices, in ascending order.
    Remove(Vec<u64>),
    /// Inserts elements, the first of which gets this index.
    InsertMany(u64, #[serde(borrow)] Vec<&'a [u8]>),
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        self.elements.get(index).map(|element| &**element)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.elements.iter().map(|element| &**element)
    }

    /// Elements from one index to another (exclusive).
    pub(crate) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = &[u8]> {
        self.elements.range(from..to).map(|element| &**element)
    }

    fn weigh(element: &[u8]) -> usize {
        element.len() + ELEMENT_BYTES
    }

    fn index(&self, index: u64, end: usize) -> Result<usize, EditMismatch> {
        usize::try_from(index).ok().filter(|index| *index < end).ok_or(EditMismatch)
    }

    pub(crate) fn apply(&mut self, edit: &ListEdit<'_>) -> Result<(), EditMismatch> {
        match edit {
            ListEdit::PushFront(elements) => {
                for element in elements {
                    self.bytes += Self::weigh(element);
                    self.elements.push_front((*element).into());
                }
            }
            ListEdit::PushBack(elements) => {
                for element in elements {
                    self.bytes += Self::weigh(element);
                    self.elements.push_back((*element).into());
                }
            }
            ListEdit::PopFront(count) => {
                let count = self.index(*count, self.len() + 1)?;
                let bytes: usize = self.elements.drain(..count).map(|e| Self::weigh(&e)).sum();
                self.bytes -= bytes;
            }
            ListEdit::PopBack(count) => {
                let from = self.len() - self.index(*count, self.len() + 1)?;
                let bytes: usize = self.elements.drain(from..).map(|e| Self::weigh(&e)).sum();
                self.bytes -= bytes;
            }
            ListEdit::Set(index, element) => {
                let index = self.index(*index, self.len())?;
                self.bytes -= self.elements[index].len();
                self.bytes += element.len();
                self.elements[index] = (*element).into();
            }
            ListEdit::Insert(index, element) => {
                let index = self.index(*index, self.len() + 1)?;
                self.bytes += Self::weigh(element);
                self.elements.insert(index, (*element).into());
            }
            ListEdit::InsertMany(index, elements) => {
                let index = self.index(*index, self.len() + 1)?;
                let mut behind = self.elements.split_off(index);
                for element in elements {
                    self.bytes += Self::weigh(element);
                    self.elements.push_back((*element).into());
                }
                self.elements.append(&mut behind);
            }
            ListEdit::Remove(indices) => {
                let mut goes = indices.iter().copied().peekable();
                let mut at = 0;
                let mut freed = 0;
                self.elements.retain(|element| {
                    let keep = goes.next_if_eq(&at).is_none();
                    freed += if keep { 0 } else { Self::weigh(element) };
                    at += 1;
                    keep
                });
                self.bytes -= freed;
                if goes.next().is_some() {
                    return Err(EditMismatch);
                }
            }
        }
        if self.elements.capacity() > 64 && self.elements.len() * 4 < self.elements.capacity() {
            self.elements.shrink_to(self.elements.len() * 2);
        }
        Ok(())
    }

    /// Emits the edits that restore this list after `edit` was applied, in order.
    pub(crate) fn inverse(&self, edit: &ListEdit<'_>, each: &mut dyn FnMut(ListEdit<'_>)) {
        match edit {
            ListEdit::PushFront(elements) => each(ListEdit::PopFront(elements.len() as u64)),
            ListEdit::PushBack(elements) => each(ListEdit::PopBack(elements.len() as u64)),
            ListEdit::PopFront(count) => {
                let elements = self.iter().take(*count as usize);
                each(ListEdit::PushFront(elements.rev().collect()));
            }
            ListEdit::PopBack(count) => {
                let from = self.len().saturating_sub(*count as usize);
                each(ListEdit::PushBack(self.range(from, self.len()).collect()));
            }
            ListEdit::Set(index, _) => {
                if let Some(element) = self.get(*index as usize) {
                    each(ListEdit::Set(*index, element));
                }
            }
            ListEdit::Insert(index, _) => each(ListEdit::Remove(vec![*index])),
            ListEdit::InsertMany(index, elements) => {
                let end = index.saturating_add(elements.len() as u64);
                each(ListEdit::Remove((*index..end).collect()));
            }
            ListEdit::Remove(indices) => {
                for index in indices {
                    if let Some(element) = self.get(*index as usize) {
                        each(ListEdit::Insert(*index, element));
                    }
                }
            }
        }
    }

    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(ListEdit<'_>)) {
        for start in (0..self.len()).step_by(REBUILD_ELEMENTS_MAX) {
            let end = (start + REBUILD_ELEMENTS_MAX).min(self.len());
            each(ListEdit::PushBack(self.range(start, end).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Front(Vec<Vec<u8>>),
        Back(Vec<Vec<u8>>),
        PopFront(usize),
        PopBack(usize),
        Set(usize, Vec<u8>),
        Insert(usize, Vec<u8>),
        InsertMany(usize, Vec<Vec<u8>>),
        Remove(Vec<usize>),
    }

    fn steps() -> impl Strategy<Value = Step> {
        let element = || proptest::collection::vec(any::<u8>(), 0..4);
        let elements = || proptest::collection::vec(element(), 0..6);
        prop_oneof![
            elements().prop_map(Step::Front),
            elements().prop_map(Step::Back),
            (0..5_usize).prop_map(Step::PopFront),
            (0..5_usize).prop_map(Step::PopBack),
            (0..20_usize, element()).prop_map(|(at, e)| Step::Set(at, e)),
            (0..20_usize, element()).prop_map(|(at, e)| Step::Insert(at, e)),
            (0..20_usize, elements()).prop_map(|(at, e)| Step::InsertMany(at, e)),
            proptest::collection::btree_set(0..20_usize, 0..5)
                .prop_map(|at| Step::Remove(at.into_iter().collect())),
        ]
    }

    proptest! {
        #[test]
        fn a_list_behaves_like_a_vector(steps in proptest::collection::vec(steps(), 0..60)) {
            let (mut list, mut model) = (List::default(), Vec::<Vec<u8>>::new());
            for step in &steps {
                let fits = match step {
                    Step::Front(elements) => {
                        for element in elements {
                            model.insert(0, element.clone());
                        }
                        list.apply(&ListEdit::PushFront(elements.iter().map(|e| &**e).collect()))
                    }
                    Step::Back(elements) => {
                        model.extend(elements.iter().cloned());
                        list.apply(&ListEdit::PushBack(elements.iter().map(|e| &**e).collect()))
                    }
                    Step::PopFront(count) if *count <= model.len() => {
                        model.drain(..count);
                        list.apply(&ListEdit::PopFront(*count as u64))
                    }
                    Step::PopBack(count) if *count <= model.len() => {
                        model.truncate(model.len() - count);
                        list.apply(&ListEdit::PopBack(*count as u64))
                    }
                    Step::Set(at, element) if *at < model.len() => {
                        model[*at].clone_from(element);
                        list.apply(&ListEdit::Set(*at as u64, element))
                    }
                    Step::Insert(at, element) if *at <= model.len() => {
                        model.insert(*at, element.clone());
                        list.apply(&ListEdit::Insert(*at as u64, element))
                    }
                    Step::InsertMany(at, elements) if *at <= model.len() => {
                        let behind = model.split_off(*at);
                        model.extend(elements.iter().cloned());
                        model.extend(behind);
                        let elements = elements.iter().map(|e| &**e).collect();
                        list.apply(&ListEdit::InsertMany(*at as u64, elements))
                    }
                    Step::Remove(at) if at.iter().all(|at| *at < model.len()) => {
                        for at in at.iter().rev() {
                            model.remove(*at);
                        }
                        list.apply(&ListEdit::Remove(at.iter().map(|at| *at as u64).collect()))
                    }
                    _ => continue,
                };
                prop_assert_eq!(fits, Ok(()));
                prop_assert!(list.iter().eq(model.iter().map(|e| &**e)));
                let bytes: usize = model.iter().map(|e| e.len() + ELEMENT_BYTES).sum();
                prop_assert_eq!(list.bytes(), bytes);
            }
            let mut copy = List::default();
            list.rebuild(&mut |edit| copy.apply(&edit).unwrap());
            prop_assert!(copy.iter().eq(list.iter()));
        }
    }

    #[test]
    fn an_edit_of_a_missing_element_is_a_mismatch() {
        let mut list = List::default();
        for edit in [
            ListEdit::PopFront(1),
            ListEdit::PopBack(1),
            ListEdit::Set(0, b""),
            ListEdit::Insert(1, b""),
            ListEdit::InsertMany(1, vec![b""]),
            ListEdit::Remove(vec![0]),
        ] {
            assert_eq!(list.apply(&edit), Err(EditMismatch), "{edit:?}");
        }
    }
}
