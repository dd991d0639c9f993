//! Reading a value in any of its forms.

use std::borrow::Cow;
use std::collections::HashSet;

use convoke_grid::Score;
use convoke_grid::op::{Content, ContentField, float, integer};

use super::form;
use super::packed::{intset, listpack, ziplist};
use super::read::Reader;
use super::stream;

/// The last deadline of a field that Redis can store, in milliseconds since 1970.
const DEADLINE_MS_MAX: u64 = (1 << 48) - 1;
/// A node of a list that is one element.
const NODE_PLAIN: u64 = 1;
/// A node of a list that is a listpack.
const NODE_PACKED: u64 = 2;

pub(super) type Element<'a> = Cow<'a, [u8]>;

/// How several elements are packed in one string.
#[derive(Clone, Copy)]
pub(super) enum Packing {
    Listpack,
    Ziplist,
    Intset,
}

/// Reads a type and a value, which must be all there is.
pub(super) fn load(bytes: &[u8]) -> Option<Content<'_>> {
    let mut reader = Reader::new(bytes);
    let content = value(&mut reader)?;
    reader.is_at_end().then_some(content)
}

fn value<'a>(reader: &mut Reader<'a>) -> Option<Content<'a>> {
    use Packing::{Intset, Listpack, Ziplist};
    match reader.byte()? {
        form::STRING => reader.string().map(Content::Bytes),
        form::LIST => strings(reader, 1).map(Content::List),
        form::LIST_ZIPLIST => not_empty(packed(reader, Ziplist)?).map(Content::List),
        form::LIST_QUICKLIST => nodes(reader, false).map(Content::List),
        form::LIST_QUICKLIST_2 => nodes(reader, true).map(Content::List),
        form::SET => set(strings(reader, 1)?),
        form::SET_INTSET => set(packed(reader, Intset)?),
        form::SET_LISTPACK => set(packed(reader, Listpack)?),
        form::HASH => hash(strings(reader, 2)?),
        form::HASH_ZIPLIST => hash(packed(reader, Ziplist)?),
        form::HASH_LISTPACK => hash(packed(reader, Listpack)?),
        form::HASH_LISTPACK_DEADLINES => {
            // The earliest deadline.
            reader.array::<8>()?;
            hash_with_deadlines(packed(reader, Listpack)?)
        }
        form::HASH_LISTPACK_DEADLINES_EARLY => hash_with_deadlines(packed(reader, Listpack)?),
        form::HASH_DEADLINES => {
            let first_ms = u64::from_le_bytes(reader.array()?);
            fields(reader, Some(first_ms))
        }
        form::HASH_DEADLINES_EARLY => fields(reader, None),
        form::SORTED_SET => scored(reader, |reader| Some(f64::from_le_bytes(reader.array()?))),
        form::SORTED_SET_TEXT => scored(reader, score_text),
        form::SORTED_SET_ZIPLIST => sorted_set(packed(reader, Ziplist)?),
        form::SORTED_SET_LISTPACK => sorted_set(packed(reader, Listpack)?),
        form @ (form::STREAM | form::STREAM_COUNTED | form::STREAM_ACTIVE) => {
            stream::load(reader, form).map(Content::Stream)
        }
        _ => None,
    }
}

fn not_empty<T>(all: Vec<T>) -> Option<Vec<T>> {
    (!all.is_empty()).then_some(all)
}

/// A number of strings, `each` of them for every element.
fn strings<'a>(reader: &mut Reader<'a>, each: usize) -> Option<Vec<Element<'a>>> {
    let count = reader.elements()?.checked_mul(each)?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(reader.string()?);
    }
    Some(all)
}

/// The elements that are packed in one string.
pub(super) fn packed<'a>(reader: &mut Reader<'a>, packing: Packing) -> Option<Vec<Element<'a>>> {
    let unpack = |reader: &mut Reader<'a>, bytes: &'a [u8]| match packing {
        Packing::Listpack => listpack(reader, bytes),
        Packing::Ziplist => ziplist(reader, bytes),
        Packing::Intset => intset(reader, bytes),
    };
    match reader.raw_string()? {
        Cow::Borrowed(bytes) => unpack(reader, bytes),
        Cow::Owned(bytes) => {
            let all = match packing {
                Packing::Listpack => listpack(reader, &bytes)?,
                Packing::Ziplist => ziplist(reader, &bytes)?,
                Packing::Intset => intset(reader, &bytes)?,
            };
            Some(all.into_iter().map(|element| Cow::Owned(element.into_owned())).collect())
        }
    }
}

/// The nodes of a list. In the second form, each says whether it is one element.
fn nodes<'a>(reader: &mut Reader<'a>, is_second: bool) -> Option<Vec<Element<'a>>> {
    let mut all = Vec::new();
    for _ in 0..reader.elements()? {
        let kind = if is_second { reader.number()? } else { NODE_PACKED };
        match kind {
            NODE_PLAIN => all.push(reader.string().filter(|element| !element.is_empty())?),
            NODE_PACKED if is_second => all.append(&mut packed(reader, Packing::Listpack)?),
            NODE_PACKED => all.append(&mut packed(reader, Packing::Ziplist)?),
            _ => return None,
        }
    }
    not_empty(all)
}

/// Whether no two of these are equal.
pub(super) fn are_distinct<'e>(all: impl ExactSizeIterator<Item = &'e Element<'e>>) -> bool {
    let mut seen = HashSet::with_capacity(all.len());
    all.into_iter().all(|element| seen.insert(&**element))
}

fn set(members: Vec<Element<'_>>) -> Option<Content<'_>> {
    let members = not_empty(members)?;
    are_distinct(members.iter()).then_some(Content::Set(members))
}

fn of_fields(fields: Vec<ContentField<'_>>) -> Option<Content<'_>> {
    let fields = not_empty(fields)?;
    are_distinct(fields.iter().map(|field| &field.name)).then_some(Content::Hash(fields))
}

/// A hash of alternating names and values.
fn hash(all: Vec<Element<'_>>) -> Option<Content<'_>> {
    let mut all = all.into_iter();
    let mut fields = Vec::with_capacity(all.len() / 2);
    while let Some(name) = all.next() {
        fields.push(ContentField { name, value: all.next()?, deadline_ms: None });
    }
    of_fields(fields)
}

/// A deadline; zero if there is none.
fn deadline(ms: u64) -> Option<Option<u64>> {
    (ms <= DEADLINE_MS_MAX).then_some((ms > 0).then_some(ms))
}

/// A hash of names, values and deadlines, the earliest first; those without come last.
fn hash_with_deadlines(all: Vec<Element<'_>>) -> Option<Content<'_>> {
    let mut all = all.into_iter();
    let mut fields = Vec::with_capacity(all.len() / 3);
    let mut last = 0;
    while let Some(name) = all.next() {
        let value = all.next()?;
        let deadline_ms = deadline(u64::try_from(integer(&all.next()?)?).ok()?)?;
        let place = deadline_ms.unwrap_or(u64::MAX);
        if place < last {
            return None;
        }
        last = place;
        fields.push(ContentField { name, value, deadline_ms });
    }
    of_fields(fields)
}

/// Fields with their deadlines in front. With `first_ms`, these count from the earliest one.
fn fields<'a>(reader: &mut Reader<'a>, first_ms: Option<u64>) -> Option<Content<'a>> {
    let mut fields = Vec::new();
    for _ in 0..reader.elements()? {
        let ms = match (reader.number()?, first_ms) {
            (0, _) => 0,
            (ms, None) => ms,
            (after, Some(first_ms)) => first_ms.checked_add(after - 1)?,
        };
        let deadline_ms = deadline(ms)?;
        fields.push(ContentField { name: reader.string()?, value: reader.string()?, deadline_ms });
    }
    of_fields(fields)
}

fn of_members(members: Vec<(Score, Element<'_>)>) -> Option<Content<'_>> {
    let members = not_empty(members)?;
    are_distinct(members.iter().map(|(_, name)| name)).then_some(Content::SortedSet(members))
}

/// Members, each with the score that `score` reads.
fn scored<'a>(
    reader: &mut Reader<'a>,
    score: impl Fn(&mut Reader<'a>) -> Option<f64>,
) -> Option<Content<'a>> {
    let mut members = Vec::new();
    for _ in 0..reader.elements()? {
        let name = reader.string()?;
        members.push((Score::new(score(reader)?)?, name));
    }
    of_members(members)
}

/// A score as text, in the form of Redis before 4.0.
fn score_text(reader: &mut Reader<'_>) -> Option<f64> {
    match reader.byte()? {
        0xFF => Some(f64::NEG_INFINITY),
        0xFE => Some(f64::INFINITY),
        0xFD => None,
        length => float(reader.take(length.into())?),
    }
}

/// A sorted set of alternating members and scores.
fn sorted_set(all: Vec<Element<'_>>) -> Option<Content<'_>> {
    let mut all = all.into_iter();
    let mut members = Vec::with_capacity(all.len() / 2);
    while let Some(name) = all.next() {
        members.push((Score::new(float(&all.next()?)?)?, name));
    }
    of_members(members)
}
