//! Pages of results: entries in the natural order of their keys or values. Documents are in the order
//! of their texts.
//!
//! A client sends back the last entry of each page that it has seen, its anchor; a page is read from
//! the nearest one on.

use std::cmp::Ordering;

use super::scalar::Scalar;
use super::{Attribute, Entry, Error, Predicate, Query, whole};
use crate::codec::structures::PagingPredicateHolder;
use crate::data::{Data, Value};

/// Maximum number of anchors in a request.
const ANCHORS_MAX: usize = 65_536;

/// What is requested, and in what order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iteration {
    /// Keys, in their order.
    Keys,
    /// Values, in their order. Those that are equal are in the order of the hashes of their keys.
    Values,
    /// Entries, in the order of their keys.
    Entries,
}

/// A request for a page.
#[derive(Clone, Debug)]
pub struct PageRequest<'a> {
    /// The predicate, and the keys to whose partitions it is limited.
    pub query: Query,
    /// What is requested.
    pub iteration: Iteration,
    /// Which page, from 0 on.
    page: i64,
    /// Entries in a page, at least 1.
    page_size: usize,
    anchors: Vec<Anchor<'a>>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// Keys and values of its entries.
    pub entries: Vec<(Data<'a>, Data<'a>)>,
    /// Anchors for the client: the number of a page, and key and value of its last entry.
    pub anchors: Vec<Anchor<'a>>,
}

type Anchor<'a> = (i32, (Data<'a>, Data<'a>));

/// An entry with what decides its place.
struct Sorted<'a> {
    /// `None` if it has no natural order, which matters only if there are other entries.
    scalar: Option<Scalar<'a>>,
    hash: i32,
    entry: (Data<'a>, Data<'a>),
}

impl<'a> PageRequest<'a> {
    /// Decodes what clients send. [`Error::Unsupported`] if it has a comparator, which is an object
    /// of a class of the client.
    pub fn decode(holder: &PagingPredicateHolder<'a>) -> Result<Self, Error> {
        if holder.comparator_data.is_some_and(|data| data.type_id() != crate::data::type_id::NULL) {
            return Err(Error::unsupported("a comparator of a paging predicate"));
        }
        let iteration = match holder.iteration_type_id {
            0 => Iteration::Keys,
            1 => Iteration::Values,
            2 => Iteration::Entries,
            _ => return Err(Error::Malformed("the iteration type is unknown")),
        };
        let page_size = usize::try_from(holder.page_size).ok().filter(|size| *size > 0);
        let page_size = page_size.ok_or_else(|| Error::invalid("the page size is not positive"))?;
        if holder.page < 0 {
            return Err(Error::invalid("the number of the page is negative"));
        }
        let mut query = match holder.predicate_data {
            Some(data) if data.type_id() != crate::data::type_id::NULL => Query::decode(data)?,
            _ => Query { predicate: Predicate::all(), partition_keys: Vec::new() },
        };
        query.partition_keys.extend(holder.partition_key_data.map(|key| key.bytes().to_vec()));
        for key in holder.partition_keys_data.iter().flat_map(|keys| keys.iter()) {
            query.partition_keys.push(key.bytes().to_vec());
        }
        let anchors = &holder.anchor_data_list_holder;
        let anchors = anchors
            .anchor_page_list
            .iter()
            .zip(anchors.anchor_data_list.iter())
            .take(ANCHORS_MAX + 1)
            .collect::<Vec<_>>();
        if anchors.len() > ANCHORS_MAX {
            return Err(Error::Limit { what: "anchors", limit: ANCHORS_MAX });
        }
        Ok(Self { query, iteration, page: holder.page.into(), page_size, anchors })
    }

    /// The page, of all entries that the predicate matches, in any order.
    ///
    /// Several keys or values without a natural order, or of several types, are errors.
    pub fn page(
        &self,
        entries: impl IntoIterator<Item = (Data<'a>, Data<'a>)>,
    ) -> Result<Page<'a>, Error> {
        let (nearest_page, nearest) = self.nearest()?;
        let mut sorted: Vec<Sorted<'a>> = Vec::new();
        for entry in entries {
            let entry = self.sorted(entry)?;
            if is_after(nearest.as_ref(), sorted.first(), &entry)? {
                sorted.push(entry);
            }
        }
        sorted.sort_by(Sorted::compare);
        let pages = self.pages_after(nearest_page)?;
        sorted.truncate(self.page_size.saturating_mul(pages));
        let begin = self.page_size.saturating_mul(pages - 1);
        let mut result = Page { entries: Vec::new(), anchors: self.anchors.clone() };
        if sorted.is_empty() || begin > sorted.len() {
            return Ok(result);
        }
        let lasts = sorted.iter().skip(self.page_size - 1).step_by(self.page_size);
        for (number, last) in (nearest_page + 1..=self.page).zip(lasts) {
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            let anchor = (i32::try_from(number).unwrap_or(i32::MAX), last.entry);
            match at.cmp(&result.anchors.len()) {
                Ordering::Less => result.anchors[at] = anchor,
                Ordering::Equal => result.anchors.push(anchor),
                Ordering::Greater => return Err(Error::invalid("an anchor is missing")),
            }
        }
        result.entries = sorted.iter().skip(begin).map(|sorted| sorted.entry).collect();
        Ok(result)
    }

    /// Which of these entries decide what is on the page, if there are no others: their indices. To
    /// collect no more entries than necessary.
    pub fn needed(
        &self,
        entries: impl IntoIterator<Item = (Data<'a>, Data<'a>)>,
    ) -> Result<std::collections::BTreeSet<usize>, Error> {
        let (nearest_page, nearest) = self.nearest()?;
        let mut sorted: Vec<(Sorted<'a>, usize)> = Vec::new();
        for (at, entry) in entries.into_iter().enumerate() {
            let entry = self.sorted(entry)?;
            if is_after(nearest.as_ref(), sorted.first().map(|(first, _)| first), &entry)? {
                sorted.push((entry, at));
            }
        }
        sorted.sort_by(|(a, _), (b, _)| a.compare(b));
        sorted.truncate(self.page_size.saturating_mul(self.pages_after(nearest_page)?));
        Ok(sorted.into_iter().map(|(_, at)| at).collect())
    }

    /// The anchor from which the page is read, and the number of its page.
    fn nearest(&self) -> Result<(i64, Option<Sorted<'a>>), Error> {
        let anchors = self.anchors.len();
        let page = usize::try_from(self.page).unwrap_or(usize::MAX);
        let nearest = match (page, anchors) {
            (0, _) | (_, 0) => None,
            _ => self.anchors.get(if page < anchors { page - 1 } else { anchors - 1 }),
        };
        Ok(match nearest {
            Some((page, anchor)) => (i64::from(*page), Some(self.sorted(*anchor)?)),
            None => (-1, None),
        })
    }

    /// The number of pages from an anchor's page to the requested one.
    fn pages_after(&self, nearest_page: i64) -> Result<usize, Error> {
        let pages = self.page.saturating_sub(nearest_page);
        if pages < 1 {
            return Err(Error::invalid("the anchors are of later pages"));
        }
        Ok(usize::try_from(pages).unwrap_or(usize::MAX))
    }

    fn sorted(&self, entry: (Data<'a>, Data<'a>)) -> Result<Sorted<'a>, Error> {
        let (key, value) = entry;
        let scalar = |data: Data<'a>| {
            if let Some(Value::Json(text)) = Value::decode(data) {
                return Ok(Some(Scalar::Document(text.into())));
            }
            Ok(match whole(data)? {
                Attribute::Scalar(Scalar::Null) | Attribute::Structure | Attribute::Opaque(_) => {
                    None
                }
                Attribute::Scalar(scalar) => Some(scalar),
            })
        };
        let (scalar, hash) = if self.iteration == Iteration::Values {
            // Any order of the keys will do, if it is always the same.
            let hash = scalar(key)?.and_then(|key| key.java_hash());
            (scalar(value)?, hash.unwrap_or_else(|| key.hash()))
        } else {
            (scalar(key)?, 0)
        };
        Ok(Sorted { scalar, hash, entry })
    }
}

/// Whether an entry comes after the anchor. All of them must have an order: `first` is one of the
/// others.
fn is_after(
    anchor: Option<&Sorted<'_>>,
    first: Option<&Sorted<'_>>,
    entry: &Sorted<'_>,
) -> Result<bool, Error> {
    if let Some(other) = first.or(anchor) {
        // Sorting needs an order of all of them.
        let (Some(scalar), Some(other)) = (&entry.scalar, &other.scalar) else {
            return Err(Error::invalid("a key or value has no natural order"));
        };
        scalar.compare(other)?;
        if std::mem::discriminant(scalar) != std::mem::discriminant(other) {
            return Err(Error::Cast("keys or values of several types have no order".into()));
        }
    }
    Ok(anchor.is_none_or(|anchor| anchor.compare(entry).is_lt()))
}

impl Sorted<'_> {
    /// Entries whose hashes are equal as well, which Hazelcast would leave out of the following
    /// page, are in the order of their keys' bytes.
    fn compare(&self, other: &Self) -> Ordering {
        let order = match (&self.scalar, &other.scalar) {
            (Some(scalar), Some(other)) => scalar.compare(other).unwrap_or(Ordering::Equal),
            _ => Ordering::Equal,
        };
        order
            .then(self.hash.cmp(&other.hash))
            .then_with(|| self.entry.0.identity().cmp(other.entry.0.identity()))
    }
}

impl<'a> Entry<'a> {
    /// Key and value.
    #[must_use]
    pub const fn blobs(&self) -> (Data<'a>, Data<'a>) {
        (self.key, self.value)
    }
}
