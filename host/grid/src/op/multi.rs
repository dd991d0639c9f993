//! Operations on a key that has several values, each once.
//!
//! The values are the fields of a hash. With each one a prefix is stored, which does not count when
//! values are compared, and is in front of the value wherever it is returned.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::answer::{ELEMENTS_BYTES_MAX, ELEMENTS_MAX};
use super::effect::Effect;
use super::list::fits;
use crate::access::Access;
use crate::event::Class;
use crate::value::{Hash, HashEdit, StructureEdit};
use crate::{OpError, Reply};

/// Name of the event of a value that was added: [`Event::value`](crate::Event::value).
pub const VALUE_ADDED: &str = "value-added";
/// Name of the event of a value that was removed: [`Event::old_value`](crate::Event::old_value).
pub const VALUE_REMOVED: &str = "value-removed";

/// An operation on the values of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MultiOp<'a> {
    /// Adds values, each after its prefix; returns how many are new. The prefix of one that is not
    /// new stays.
    Add(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// Removes a value; returns 1 or 0.
    Remove(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    /// All values, in no particular order. Refused beyond
    /// [`ELEMENTS_MAX`](super::ELEMENTS_MAX) or [`ELEMENTS_BYTES_MAX`](super::ELEMENTS_BYTES_MAX).
    All,
    /// Returns all values and removes the key. Refused like [`MultiOp::All`].
    Take,
}

/// The values of a key, each after its prefix.
fn all(access: &mut Access<'_>, key: &[u8]) -> Result<Vec<Bytes>, OpError> {
    let hash = access.structure::<Hash>(key)?;
    let (mut values, mut bytes) = (Vec::new(), 0_usize);
    for (value, prefix) in hash.into_iter().flat_map(Hash::iter) {
        bytes = bytes.saturating_add(prefix.len() + value.len());
        if values.len() >= ELEMENTS_MAX || bytes > ELEMENTS_BYTES_MAX {
            return Err(OpError::AnswerTooLong);
        }
        values.push(Bytes::from([prefix, value].concat()));
    }
    Ok(values)
}

impl MultiOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Add(_) => Effect::Adds,
            Self::Remove(_) | Self::Take => Effect::Changes,
            Self::All => Effect::Reads,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        match self {
            Self::Add(values) => {
                values.iter().map(|(prefix, value)| prefix.len() + value.len()).sum()
            }
            Self::Remove(_) | Self::All | Self::Take => 0,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Add(values) => add(access, key, values),
            Self::Remove(value) => {
                let hash = access.structure::<Hash>(key)?;
                let Some(prefix) = hash.and_then(|hash| hash.get(value)) else {
                    return Ok(Reply::flag(false));
                };
                let removed = [prefix, value].concat();
                remove(access, key, vec![value]);
                access.notify_value(VALUE_REMOVED, key, None, Some(&removed));
                Ok(Reply::flag(true))
            }
            Self::All => {
                let values = all(access, key)?;
                Ok(Reply::List(values.into_iter().map(Reply::Bytes).collect()))
            }
            Self::Take => {
                let values = all(access, key)?;
                access.delete(key);
                for value in &values {
                    access.notify_value(VALUE_REMOVED, key, None, Some(value));
                }
                Ok(Reply::List(values.into_iter().map(Reply::Bytes).collect()))
            }
        }
    }
}

fn add(access: &mut Access<'_>, key: &[u8], values: &[(&[u8], &[u8])]) -> Result<Reply, OpError> {
    for (prefix, value) in values {
        fits(prefix)?;
        fits(value)?;
    }
    let hash = access.structure::<Hash>(key)?;
    let mut new: Vec<(&[u8], &[u8])> = values
        .iter()
        .filter(|(_, value)| hash.is_none_or(|hash| hash.get(value).is_none()))
        .map(|(prefix, value)| (*value, *prefix))
        .collect();
    // Of equal values, the first one counts.
    new.sort_by_key(|(value, _)| *value);
    new.dedup_by_key(|(value, _)| *value);
    if !new.is_empty() {
        let edit = StructureEdit::Hash(HashEdit::Set(new.clone()));
        access.change(key, edit, Class::Hash, "hset");
    }
    for (value, prefix) in &new {
        access.notify_value(VALUE_ADDED, key, Some(&[*prefix, *value].concat()), None);
    }
    Ok(Reply::count(new.len()))
}

fn remove(access: &mut Access<'_>, key: &[u8], values: Vec<&[u8]>) {
    access.change(key, StructureEdit::Hash(HashEdit::Remove(values)), Class::Hash, "hdel");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::testing::Bench;
    use super::super::{GenericOp, HashOp, KeyOp, Op};
    use super::*;

    fn run(bench: &mut Bench, op: MultiOp<'_>) -> Reply {
        bench.run(&Op::Key(b"k", KeyOp::Multi(op))).unwrap()
    }

    /// Name, value and old value.
    type ValueEvent = (String, Option<Vec<u8>>, Option<Vec<u8>>);

    fn values(reply: Reply) -> Vec<Vec<u8>> {
        let Reply::List(values) = reply else { panic!("{reply:?}") };
        let bytes = |value| match value {
            Reply::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        };
        let mut values: Vec<_> = values.into_iter().map(bytes).collect();
        values.sort();
        values
    }

    #[test]
    fn equal_values_are_stored_once_whatever_their_prefix() {
        let mut bench = Bench::new();
        let add = MultiOp::Add(vec![(b"1", b"a"), (b"2", b"a"), (b"3", b"b")]);
        assert_eq!(run(&mut bench, add), Reply::Integer(2));
        assert_eq!(run(&mut bench, MultiOp::Add(vec![(b"4", b"b")])), Reply::Integer(0));
        assert_eq!(values(run(&mut bench, MultiOp::All)), [b"1a", b"3b"]);
        assert_eq!(run(&mut bench, MultiOp::Remove(b"c")), Reply::Integer(0));
        assert_eq!(run(&mut bench, MultiOp::Remove(b"a")), Reply::Integer(1));
        assert_eq!(values(run(&mut bench, MultiOp::Take)), [b"3b"]);
        assert_eq!(values(run(&mut bench, MultiOp::Take)), [[0_u8; 0]; 0]);
        let exists = Op::Key(b"k", KeyOp::Generic(GenericOp::Exists));
        assert_eq!(bench.run(&exists), Ok(Reply::Integer(0)));
    }

    #[test]
    fn each_value_has_an_event_of_its_own() {
        let mut bench = Bench::new();
        bench.want_values();
        let events = |bench: &Bench| -> Vec<ValueEvent> {
            let vec = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
            let of_values = bench.changes.events.iter().filter(|e| e.name.starts_with("value-"));
            of_values.map(|e| (e.name.clone(), vec(&e.value), vec(&e.old_value))).collect()
        };
        let added = |value: &[u8]| (VALUE_ADDED.to_owned(), Some(value.to_vec()), None);
        let removed = |value: &[u8]| (VALUE_REMOVED.to_owned(), None, Some(value.to_vec()));
        run(&mut bench, MultiOp::Add(vec![(b"1", b"a"), (b"2", b"b"), (b"", b"c")]));
        assert_eq!(events(&bench), [added(b"1a"), added(b"2b"), added(b"c")]);
        run(&mut bench, MultiOp::Add(vec![(b"1", b"a")]));
        assert_eq!(events(&bench), []);
        run(&mut bench, MultiOp::Remove(b"b"));
        assert_eq!(events(&bench), [removed(b"2b")]);
        run(&mut bench, MultiOp::Take);
        let mut all = events(&bench);
        all.sort();
        assert_eq!(all, [removed(b"1a"), removed(b"c")]);
    }

    #[test]
    fn a_key_with_another_type_of_value_is_refused() {
        let mut bench = Bench::new();
        bench.run(&Op::Key(b"k", KeyOp::Set(super::super::SetOp::Add(vec![b"x"])))).unwrap();
        for op in
            [MultiOp::Add(vec![(b"", b"a")]), MultiOp::Remove(b"a"), MultiOp::All, MultiOp::Take]
        {
            let refused = bench.run(&Op::Key(b"k", KeyOp::Multi(op)));
            assert_eq!(refused, Err(OpError::WrongType));
        }
    }

    proptest! {
        #[test]
        fn a_key_behaves_like_a_map_of_its_values(
            steps in proptest::collection::vec(
                (0..8_u8, proptest::collection::vec((0..3_u8, 0..12_u8), 0..4)),
                0..60,
            ),
        ) {
            let (mut bench, mut model) = (Bench::new(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
            for (kind, pairs) in steps {
                let pairs: Vec<_> = pairs.iter().map(|(p, v)| (vec![*p; 2], vec![*v; 3])).collect();
                match kind {
                    0 => {
                        let mut expected: Vec<_> =
                            model.iter().map(|(value, prefix)| [&prefix[..], value].concat()).collect();
                        expected.sort();
                        prop_assert_eq!(values(run(&mut bench, MultiOp::Take)), expected);
                        model.clear();
                    }
                    1..=3 => {
                        for (_, value) in &pairs {
                            let there = i64::from(model.remove(value).is_some());
                            let removed = run(&mut bench, MultiOp::Remove(value));
                            prop_assert_eq!(removed, Reply::Integer(there));
                        }
                    }
                    _ => {
                        let before = model.len();
                        for (prefix, value) in &pairs {
                            model.entry(value.clone()).or_insert_with(|| prefix.clone());
                        }
                        let all = pairs.iter().map(|(p, v)| (&p[..], &v[..])).collect();
                        let new = run(&mut bench, MultiOp::Add(all));
                        prop_assert_eq!(new, Reply::count(model.len() - before));
                    }
                }
                let length = bench.run(&Op::Key(b"k", KeyOp::Hash(HashOp::Length)));
                prop_assert_eq!(length, Ok(Reply::count(model.len())));
                let mut expected: Vec<_> =
                    model.iter().map(|(value, prefix)| [&prefix[..], value].concat()).collect();
                expected.sort();
                prop_assert_eq!(values(run(&mut bench, MultiOp::All)), expected);
            }
        }
    }
}
