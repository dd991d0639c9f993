//! Sorting the elements of a list, a set or a sorted set.
//!
//! An element may be sorted by, and replaced with, values of other keys, whose names are built from
//! it. Such a key may be in any partition, so the operation is a transaction, which reads the
//! elements, then those keys.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::edit::Edit;
use crate::entry::Entry;
use crate::event::Class;
use crate::op::answer::{ANSWER_BYTES_MAX, ELEMENTS_MAX};
use crate::op::number::sort_weight;
use crate::op::transaction::TRANSACTION_OPS_MAX;
use crate::op::{HashOp, KeyOp, Op, PlainOp};
use crate::value::{ListEdit, Structure, StructureEdit};
use crate::{OpError, Reply};

/// Elements in one edit that stores a list, at most.
const STORED_AT_ONCE: usize = 1_024;

/// How elements are sorted, and what is returned for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort<'a> {
    /// What they are sorted by.
    #[serde(borrow)]
    pub by: SortBy<'a>,
    /// What is returned for each element: the element for `#`, otherwise the value of the key, or
    /// of the field behind `->`, that has the element in place of `*`. If empty, the element.
    #[serde(borrow)]
    pub gets: Vec<&'a [u8]>,
    /// Whether they are compared as bytes, not as numbers.
    pub is_alpha: bool,
    /// Whether the order is reversed.
    pub is_descending: bool,
    /// Elements that are skipped; none if negative.
    pub skip: i64,
    /// Elements that are returned; all if negative.
    pub count: i64,
}

/// What elements are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortBy<'a> {
    /// The elements themselves.
    Element,
    /// Nothing: they keep their order.
    Nothing,
    /// The value of a key with this pattern, as in [`Sort::gets`].
    Pattern(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
}

/// A pattern that stands for a key, or a field of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pattern<'a> {
    before: &'a [u8],
    behind: &'a [u8],
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// `None` if there is no `*`, so that it stands for no key.
    fn of(text: &'a [u8]) -> Option<Self> {
        let star = text.iter().position(|byte| *byte == b'*')?;
        let (before, behind) = (&text[..star], &text[star + 1..]);
        let arrow = behind.windows(2).position(|pair| pair == b"->");
        Some(match arrow.filter(|at| at + 2 < behind.len()) {
            Some(at) => Self { before, behind: &behind[..at], field: Some(&behind[at + 2..]) },
            None => Self { before, behind, field: None },
        })
    }

    fn key(&self, element: &[u8]) -> Vec<u8> {
        [self.before, element, self.behind].concat()
    }
}

/// A key that is to be read, and the field of it if it is a hash.
pub(crate) type Lookup<'a> = (Vec<u8>, Option<&'a [u8]>);

/// The operation that reads a key. An error means that there is no such value.
pub(crate) fn lookup<'k>((key, field): &'k Lookup<'_>) -> Op<'k> {
    Op::Key(
        key,
        match field {
            Some(field) => KeyOp::Hash(HashOp::Get(field)),
            None => KeyOp::Plain(PlainOp::Get),
        },
    )
}

impl<'a> Sort<'a> {
    /// Whether it reads keys that are named by patterns.
    pub(crate) fn has_patterns(&self) -> bool {
        matches!(self.by, SortBy::Pattern(_))
            || self.gets.iter().any(|get| Pattern::of(get).is_some())
    }

    /// The part that needs no other keys: if it sorts by them, all elements as they are.
    pub(crate) fn own_part(&self) -> Self {
        match self.by {
            SortBy::Pattern(_) => Self {
                by: SortBy::Nothing,
                gets: Vec::new(),
                is_alpha: false,
                is_descending: false,
                skip: 0,
                count: -1,
            },
            _ => Self { gets: Vec::new(), ..self.clone() },
        }
    }

    /// The keys to sort elements by, if there are such.
    ///
    /// # Errors
    /// [`OpError::TooManyKeys`].
    pub(crate) fn weights_of(&self, elements: &[Vec<u8>]) -> Result<Vec<Lookup<'a>>, OpError> {
        let SortBy::Pattern(text) = self.by else { return Ok(Vec::new()) };
        let Some(pattern) = Pattern::of(text) else { return Ok(Vec::new()) };
        if elements.len() > TRANSACTION_OPS_MAX {
            return Err(OpError::TooManyKeys);
        }
        Ok(elements.iter().map(|element| (pattern.key(element), pattern.field)).collect())
    }

    /// The keys whose values are returned for elements, in order.
    ///
    /// # Errors
    /// [`OpError::TooManyKeys`].
    pub(crate) fn gets_of(&self, elements: &[Vec<u8>]) -> Result<Vec<Lookup<'a>>, OpError> {
        let patterns: Vec<Pattern<'a>> =
            self.gets.iter().filter_map(|get| Pattern::of(get)).collect();
        if elements.len().saturating_mul(patterns.len()) > TRANSACTION_OPS_MAX {
            return Err(OpError::TooManyKeys);
        }
        let keys = elements.iter().flat_map(|element| {
            patterns.iter().map(move |pattern| (pattern.key(element), pattern.field))
        });
        Ok(keys.collect())
    }

    /// The elements of a key that are returned, in order, if that needs no other keys.
    pub(super) fn elements(
        &self,
        access: &mut Access<'_>,
        key: &[u8],
    ) -> Result<Vec<Vec<u8>>, OpError> {
        let Some(entry) = access.read(key) else { return Ok(Vec::new()) };
        let Entry::Structured(entry) = entry else { return Err(OpError::WrongType) };
        let (mut elements, is_set) = match &entry.value {
            Structure::List(list) => (list.iter().map(<[u8]>::to_vec).collect(), false),
            Structure::Set(set) => (set.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), true),
            Structure::SortedSet(set) => {
                (set.iter().map(|(_, member)| member.to_vec()).collect(), false)
            }
            _ => return Err(OpError::WrongType),
        };
        match self.by {
            // Members of a set have no order: by name, the result is the same on each member.
            SortBy::Nothing if is_set => {
                elements.sort_unstable();
                if self.is_descending {
                    elements.reverse();
                }
            }
            SortBy::Nothing => {
                if self.is_descending {
                    elements.reverse();
                }
            }
            SortBy::Element => {
                let elements = &mut elements;
                if self.is_alpha {
                    elements.sort_unstable();
                } else {
                    let weights = elements.iter().map(|element| Some(&element[..]));
                    let numbers = numbers(weights)?;
                    *elements = self.by_number(std::mem::take(elements), &numbers);
                }
                if self.is_descending && self.is_alpha {
                    elements.reverse();
                }
            }
            SortBy::Pattern(_) => return Err(OpError::Malformed),
        }
        Ok(self.window(elements))
    }

    /// Sorts elements by values of other keys, in the same order; `None` where there is none.
    pub(crate) fn by_weights(
        &self,
        elements: Vec<Vec<u8>>,
        weights: &[Option<&[u8]>],
    ) -> Result<Vec<Vec<u8>>, OpError> {
        if !self.is_alpha {
            let numbers = numbers(weights.iter().copied())?;
            return Ok(self.window(self.by_number(elements, &numbers)));
        }
        let mut pairs: Vec<_> = elements.into_iter().zip(weights).collect();
        pairs.sort_by(|(_, a), (_, b)| self.directed(a.cmp(b)));
        Ok(self.window(pairs.into_iter().map(|(element, _)| element).collect()))
    }

    fn directed(&self, order: Ordering) -> Ordering {
        if self.is_descending { order.reverse() } else { order }
    }

    /// Equal numbers are ordered by the elements, so that the result is defined.
    fn by_number(&self, elements: Vec<Vec<u8>>, numbers: &[f64]) -> Vec<Vec<u8>> {
        let mut pairs: Vec<_> = elements.into_iter().zip(numbers).collect();
        pairs.sort_by(|(a, x), (b, y)| {
            let order = x.partial_cmp(y).unwrap_or(Ordering::Equal);
            self.directed(order.then_with(|| a.cmp(b)))
        });
        pairs.into_iter().map(|(element, _)| element).collect()
    }

    /// The elements within the limits.
    fn window(&self, elements: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let skip = usize::try_from(self.skip).unwrap_or(0);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        if skip == 0 && count >= elements.len() {
            return elements;
        }
        elements.into_iter().skip(skip).take(count).collect()
    }

    /// What is returned for the elements, with the values of [`Sort::gets_of`].
    ///
    /// # Errors
    /// [`OpError::AnswerTooLong`].
    pub(crate) fn results<'e>(
        &self,
        elements: &'e [Vec<u8>],
        values: &'e [Option<&'e [u8]>],
    ) -> Result<Vec<Option<&'e [u8]>>, OpError> {
        let results: Vec<Option<&[u8]>> = if self.gets.is_empty() {
            elements.iter().map(|element| Some(&element[..])).collect()
        } else {
            if elements.len().saturating_mul(self.gets.len()) > ELEMENTS_MAX {
                return Err(OpError::AnswerTooLong);
            }
            let mut values = values.iter();
            let mut result = |element: &'e [u8], get: &[u8]| match get {
                b"#" => Some(element),
                get => Pattern::of(get).and_then(|_| values.next().copied().flatten()),
            };
            let mut results = Vec::with_capacity(elements.len() * self.gets.len());
            for element in elements {
                results.extend(self.gets.iter().map(|get| result(element, get)));
            }
            results
        };
        let bytes: usize = results.iter().flatten().map(|result| result.len()).sum();
        if bytes > ANSWER_BYTES_MAX { Err(OpError::AnswerTooLong) } else { Ok(results) }
    }

    /// Executes it without other keys.
    pub(super) fn execute(
        &self,
        access: &mut Access<'_>,
        key: &[u8],
        store: Option<&[u8]>,
    ) -> Result<Reply, OpError> {
        if self.has_patterns() {
            // The keys may be elsewhere.
            return Err(OpError::Malformed);
        }
        let elements = self.elements(access, key)?;
        let results = self.results(&elements, &[])?;
        Ok(match store {
            None => sorted_reply(&results),
            Some(store) => store_list(access, store, &stored(&results), SORTED_EVENT),
        })
    }
}

/// The event of a key whose value is replaced by what was sorted.
pub(crate) const SORTED_EVENT: &str = "sortstore";

/// A reply of what was sorted.
pub(crate) fn sorted_reply(results: &[Option<&[u8]>]) -> Reply {
    Reply::List(results.iter().map(|result| Reply::optional(*result)).collect())
}

/// What is stored of it: empty elements where there is no value.
pub(crate) fn stored<'r>(results: &[Option<&'r [u8]>]) -> Vec<&'r [u8]> {
    results.iter().map(|result| result.unwrap_or_default()).collect()
}

/// Stores elements as a list that replaces the value of the key; returns how many.
pub(in crate::op) fn store_list(
    access: &mut Access<'_>,
    key: &[u8],
    elements: &[&[u8]],
    event: &str,
) -> Reply {
    let there = access.remove(key);
    for elements in elements.chunks(STORED_AT_ONCE) {
        let edit = StructureEdit::List(ListEdit::PushBack(elements.to_vec()));
        access.edit(key, &Edit::Structure(edit));
    }
    if !elements.is_empty() {
        access.notify(Class::List, event, key);
    } else if there {
        access.notify(Class::Generic, "del", key);
    }
    Reply::count(elements.len())
}

/// The numbers to sort by; zero where there is no value.
fn numbers<'w>(weights: impl Iterator<Item = Option<&'w [u8]>>) -> Result<Vec<f64>, OpError> {
    let number = |weight: Option<&[u8]>| match weight {
        None => Ok(0.0),
        Some(text) => sort_weight(text).ok_or(OpError::NotSortable),
    };
    weights.map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_a_key_or_a_field() {
        let parts = |text: &'static str| {
            let pattern = Pattern::of(text.as_bytes())?;
            let field = pattern.field.map(|field| String::from_utf8_lossy(field).into_owned());
            Some((String::from_utf8(pattern.key(b"7")).unwrap(), field))
        };
        assert_eq!(parts("w*"), Some(("w7".into(), None)));
        assert_eq!(parts("*"), Some(("7".into(), None)));
        assert_eq!(parts("h*x->f->g"), Some(("h7x".into(), Some("f->g".into()))));
        assert_eq!(parts("h*->"), Some(("h7->".into(), None)));
        assert_eq!(parts("a->*b*"), Some(("a->7b*".into(), None)));
        assert_eq!(parts("nosort"), None);
        assert_eq!(parts("#"), None);
    }
}
