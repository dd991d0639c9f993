//! Whole values, independent of how they are stored: for other formats.

mod stream;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::answer::ANSWER_BYTES_MAX;
use super::effect::Effect;
use super::plain::Lifetime;
use super::representation;
use super::several::{self, Encoded};
use crate::access::Access;
use crate::event::Class;
use crate::value::{
    HashEdit, ListEdit, REBUILD_ELEMENTS_MAX, Score, SetEdit, SortedSetEdit, StreamEdit,
    StructureEdit,
};
use crate::{OpError, Reply, encoding};

pub use stream::{ContentConsumer, ContentEntry, ContentGroup, ContentPending, ContentStream};

/// An operation on the whole value of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContentOp<'a> {
    /// The value, for [`Content::decode`], or nil.
    Read,
    /// Sets the value, and publishes the event `restore`. Fails with [`OpError::KeyExists`] if
    /// there is one already and `replace` is not set.
    Restore {
        /// What [`Content::encode`] returned.
        #[serde(borrow, with = "serde_bytes")]
        value: Cow<'a, [u8]>,
        /// Its lifetime. If it has passed already, there is no value afterwards.
        lifetime: Lifetime,
        /// Even if the key exists.
        replace: bool,
        /// Since when the value has not been used, in seconds.
        idle_seconds: Option<u32>,
        /// How often the value has been used (logarithmic).
        frequency: Option<u8>,
    },
    /// The name of the form in which Redis would store the value, or nil.
    Representation,
    /// Fails like [`ContentOp::Restore`] of a value that cannot be read: with
    /// [`OpError::KeyExists`], [`OpError::BadChecksum`] or [`OpError::BadValue`].
    RefuseRestore {
        /// Even if the key exists.
        replace: bool,
        /// Whether the checksum is wrong.
        is_damaged: bool,
    },
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'a> {
    /// Plain bytes.
    Bytes(Cow<'a, [u8]>),
    /// The elements of a list.
    List(Vec<Cow<'a, [u8]>>),
    /// The members of a set, each once.
    Set(Vec<Cow<'a, [u8]>>),
    /// The fields of a hash, each once.
    Hash(Vec<ContentField<'a>>),
    /// The members of a sorted set, each once, with their scores.
    SortedSet(Vec<(Score, Cow<'a, [u8]>)>),
    /// A stream.
    Stream(ContentStream<'a>),
}

/// A field of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentField<'a> {
    /// Its name.
    pub name: Cow<'a, [u8]>,
    /// Its value.
    pub value: Cow<'a, [u8]>,
    /// When it expires, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
}

impl ContentOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Read | Self::Representation | Self::RefuseRestore { .. } => Effect::Reads,
            Self::Restore { .. } => Effect::Adds,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        if let Self::Restore { value, .. } = self { value.len() } else { 0 }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Read => {
                let Some((value, _)) = several::value(access, key) else { return Ok(Reply::Nil) };
                let mut bytes = Vec::new();
                value.encode(&mut bytes);
                if bytes.len() > ANSWER_BYTES_MAX {
                    return Err(OpError::AnswerTooLong);
                }
                Ok(Reply::Bytes(bytes.into()))
            }
            Self::Restore { value, lifetime, replace, idle_seconds, frequency } => {
                // Its elements are looked at before anything is changed.
                several::decode(value)?;
                if !replace && access.peek(key).is_some() {
                    return Err(OpError::KeyExists);
                }
                let Some(expiry) = lifetime.expiry(access, key) else {
                    access.delete(key);
                    return Ok(Reply::Done);
                };
                several::install(access, key, value, expiry)?;
                let (hash, now_ms) = (access.hasher.hash(key), access.now_ms);
                access.fragment.set_usage(hash, key, now_ms, *idle_seconds, *frequency);
                access.notify(Class::Generic, "restore", key);
                Ok(Reply::Done)
            }
            Self::RefuseRestore { replace, .. } if !replace && access.peek(key).is_some() => {
                Err(OpError::KeyExists)
            }
            Self::RefuseRestore { is_damaged: true, .. } => Err(OpError::BadChecksum),
            Self::RefuseRestore { is_damaged: false, .. } => Err(OpError::BadValue),
            Self::Representation => {
                let name = access.peek(key).map(|entry| representation::name(&entry));
                Ok(Reply::optional(name.map(str::as_bytes)))
            }
        }
    }
}

/// Emits edits with a bounded number of elements each.
fn in_parts<'c, T, E>(
    elements: &'c [T],
    of: impl Fn(&'c T) -> E,
    edit: impl Fn(Vec<E>) -> StructureEdit<'c>,
    bytes: &mut Vec<u8>,
) {
    for part in elements.chunks(REBUILD_ELEMENTS_MAX) {
        let edit = edit(part.iter().map(&of).collect());
        encoding::append(&Encoded::Edit(edit), bytes);
    }
}

impl<'a> Content<'a> {
    /// Encodes the value for [`ContentOp::Restore`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Bytes(value) => encoding::append(&Encoded::Plain(0, value), &mut bytes),
            Self::List(all) => {
                let edit = |part| StructureEdit::List(ListEdit::PushBack(part));
                in_parts(all, |element| &**element, edit, &mut bytes);
            }
            Self::Set(all) => {
                let edit = |part| StructureEdit::Set(SetEdit::Add(part));
                in_parts(all, |member| &**member, edit, &mut bytes);
            }
            Self::SortedSet(all) => {
                let edit = |part| StructureEdit::SortedSet(SortedSetEdit::Set(part));
                in_parts(all, |(score, name)| (*score, &**name), edit, &mut bytes);
            }
            Self::Hash(all) => {
                let (expiring, lasting): (Vec<_>, Vec<_>) =
                    all.iter().partition(|field| field.deadline_ms.is_some());
                let lasting: Vec<_> =
                    lasting.into_iter().map(|field| (&*field.name, &*field.value)).collect();
                let edit = |part| StructureEdit::Hash(HashEdit::Set(part));
                in_parts(&lasting, |field| *field, edit, &mut bytes);
                let deadline = |field: &ContentField<'_>| field.deadline_ms.unwrap_or_default();
                let expiring: Vec<_> = expiring
                    .into_iter()
                    .map(|field| (&*field.name, &*field.value, deadline(field)))
                    .collect();
                let edit = |part| StructureEdit::Hash(HashEdit::SetExpiring(part));
                in_parts(&expiring, |field| *field, edit, &mut bytes);
            }
            Self::Stream(stream) => {
                stream.rebuild(&mut |edit: StreamEdit<'_>| {
                    encoding::append(&Encoded::Edit(StructureEdit::Stream(edit)), &mut bytes);
                });
            }
        }
        bytes
    }

    /// Decodes the reply of [`ContentOp::Read`]. `None` if it is not one, or the value has a type
    /// that is not known here.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut content = None;
        for part in several::decode(bytes).ok()? {
            match part {
                Encoded::Plain(_, value) => content = Some(Self::Bytes(Cow::Borrowed(value))),
                Encoded::Edit(edit) => Self::add(&mut content, edit)?,
            }
        }
        content
    }

    /// Adds a part of a structure.
    fn add(content: &mut Option<Self>, edit: StructureEdit<'a>) -> Option<()> {
        match edit {
            StructureEdit::List(ListEdit::PushBack(part)) => {
                let Self::List(all) = content.get_or_insert(Self::List(Vec::new())) else {
                    return None;
                };
                all.extend(part.into_iter().map(Cow::Borrowed));
            }
            StructureEdit::Set(SetEdit::Add(part)) => {
                let Self::Set(all) = content.get_or_insert(Self::Set(Vec::new())) else {
                    return None;
                };
                all.extend(part.into_iter().map(Cow::Borrowed));
            }
            StructureEdit::SortedSet(SortedSetEdit::Set(part)) => {
                let Self::SortedSet(all) = content.get_or_insert(Self::SortedSet(Vec::new()))
                else {
                    return None;
                };
                all.extend(part.into_iter().map(|(score, name)| (score, Cow::Borrowed(name))));
            }
            StructureEdit::Hash(edit) => {
                let Self::Hash(all) = content.get_or_insert(Self::Hash(Vec::new())) else {
                    return None;
                };
                let field = |name, value, deadline_ms| ContentField {
                    name: Cow::Borrowed(name),
                    value: Cow::Borrowed(value),
                    deadline_ms,
                };
                match edit {
                    HashEdit::Set(part) => {
                        all.extend(part.into_iter().map(|(name, value)| field(name, value, None)));
                    }
                    HashEdit::SetExpiring(part) => all.extend(
                        part.into_iter().map(|(name, value, ms)| field(name, value, Some(ms))),
                    ),
                    _ => return None,
                }
            }
            StructureEdit::Stream(edit) => {
                let stream = content.get_or_insert_with(|| Self::Stream(ContentStream::default()));
                let Self::Stream(stream) = stream else { return None };
                stream.add(edit)?;
            }
            // Other edits do not build a structure.
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Bench;
    use super::super::{GenericOp, HashOp, KeyOp, ListOp, PlainOp, PutAnswer, PutIf, SetOp};
    use super::*;

    fn read(bench: &mut Bench, key: &[u8]) -> Vec<u8> {
        match bench.key(key, KeyOp::Content(ContentOp::Read)) {
            Ok(Reply::Bytes(bytes)) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn restore(
        bench: &mut Bench,
        key: &[u8],
        value: &[u8],
        lifetime: Lifetime,
        replace: bool,
    ) -> Result<Reply, OpError> {
        let value = Cow::Borrowed(value);
        let (idle_seconds, frequency) = (Some(100), None);
        let op = ContentOp::Restore { value, lifetime, replace, idle_seconds, frequency };
        bench.key(key, KeyOp::Content(op))
    }

    fn element(text: &'static str) -> Cow<'static, [u8]> {
        Cow::Borrowed(text.as_bytes())
    }

    fn contents() -> Vec<Content<'static>> {
        let many: Vec<_> = (0..300).map(|n| Cow::Owned(n.to_string().into_bytes())).collect();
        let score = |n: f64| Score::new(n).unwrap();
        let field = |(name, n): (Cow<'static, [u8]>, u64)| ContentField {
            name,
            value: element("v"),
            deadline_ms: (n % 3 == 0).then_some(1_800_000_000_000 + n),
        };
        vec![
            Content::Bytes(element("text")),
            Content::List(many.clone()),
            Content::Set(many.clone()),
            Content::SortedSet(many.iter().cloned().map(|name| (score(1.5), name)).collect()),
            Content::Hash(many.into_iter().zip(0..).map(field).collect()),
            Content::Stream(ContentStream::default()),
            Content::Stream(stream::tests::sample()),
        ]
    }

    /// In an order that does not depend on hashes.
    fn sorted(mut content: Content<'_>) -> Content<'_> {
        match &mut content {
            Content::Bytes(_) | Content::List(_) | Content::Stream(_) => {}
            Content::Set(all) => all.sort(),
            Content::SortedSet(all) => all.sort(),
            Content::Hash(all) => all.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        content
    }

    #[test]
    fn what_is_restored_can_be_read() {
        let mut bench = Bench::new();
        for content in contents() {
            let value = content.encode();
            assert_eq!(restore(&mut bench, b"k", &value, Lifetime::Forever, true), Ok(Reply::Done));
            assert_eq!(bench.events().last(), Some(&"restore"));
            let read = read(&mut bench, b"k");
            assert_eq!(Content::decode(&read).map(sorted), Some(sorted(content)));
            let again = restore(&mut bench, b"k", &value, Lifetime::Forever, false);
            assert_eq!(again, Err(OpError::KeyExists));
        }
    }

    #[test]
    fn a_restored_value_has_its_lifetime() {
        let mut bench = Bench::new();
        let value = Content::Set(vec![element("a")]).encode();
        restore(&mut bench, b"k", &value, Lifetime::For(5_000), false).unwrap();
        let remaining = || KeyOp::Generic(GenericOp::Remaining);
        assert_eq!(bench.key(b"k", remaining()), Ok(Reply::Integer(5_000)));
        let Ok(Reply::Map(facts)) = bench.key(b"k", KeyOp::Generic(GenericOp::View)) else {
            panic!("facts of a key")
        };
        let idle = (Reply::Word("idle-seconds".into()), Reply::Integer(100));
        assert!(facts.contains(&idle), "{facts:?}");
        restore(&mut bench, b"k", &value, Lifetime::Until(1), true).unwrap();
        assert_eq!(bench.events(), ["del"]);
        assert_eq!(bench.key(b"k", remaining()), Ok(Reply::Integer(-2)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Content::decode(&bytes);
            let _ = several::decode(&bytes);
        }
    }

    #[test]
    fn malformed_values_change_nothing() {
        let mut bench = Bench::new();
        let value = Content::List(vec![element("a"), element("b")]).encode();
        for malformed in [&b""[..], &value[..value.len() - 1], b"\x09\x09\x09"] {
            let refused = restore(&mut bench, b"k", malformed, Lifetime::Forever, true);
            assert_eq!(refused, Err(OpError::Malformed));
        }
    }

    #[test]
    fn representations_are_those_of_redis() {
        let mut bench = Bench::new();
        let put = |value| PlainOp::Put {
            kind: 0,
            value,
            lifetime: Lifetime::Forever,
            condition: PutIf::Always,
            answer: PutAnswer::Done,
        };
        let long = [b'x'; 65];
        let numbers: Vec<Vec<u8>> = (0..513).map(|n| n.to_string().into_bytes()).collect();
        let number = |count: usize| numbers[..count].iter().map(|n| &**n).collect::<Vec<_>>();
        let zero = Score::new(0.0).unwrap();
        let scored = |names: Vec<&'static [u8]>| names.into_iter().map(|n| (zero, n)).collect();
        let add = |members| super::super::SortedSetOp::Add {
            members,
            only: super::super::AddIf::default(),
            changed: false,
        };
        let push =
            |elements| ListOp::Push { end: super::super::End::Back, elements, present: false };
        for (op, name) in [
            (KeyOp::Plain(put(b"12345")), "int"),
            (KeyOp::Plain(put(b"007")), "embstr"),
            (KeyOp::Plain(put(&long[..44])), "embstr"),
            (KeyOp::Plain(put(&long[..45])), "raw"),
            (KeyOp::List(push(vec![b"a"])), "listpack"),
            (KeyOp::List(push(vec![&long; 130])), "quicklist"),
            (KeyOp::Set(SetOp::Add(number(512))), "intset"),
            (KeyOp::Set(SetOp::Add(number(513))), "hashtable"),
            (KeyOp::Set(SetOp::Add(vec![b"a", b"1"])), "listpack"),
            (KeyOp::Set(SetOp::Add(vec![&long])), "hashtable"),
            (KeyOp::Hash(HashOp::Set(vec![(b"f", b"v")])), "listpack"),
            (KeyOp::Hash(HashOp::Set(vec![(b"f", &long)])), "hashtable"),
            (KeyOp::SortedSet(add(scored(vec![b"a"]))), "listpack"),
            (KeyOp::SortedSet(add(vec![(zero, &long[..])])), "skiplist"),
        ] {
            bench.key(b"k", KeyOp::Generic(GenericOp::Remove)).unwrap();
            bench.key(b"k", op.clone()).unwrap();
            let found = bench.key(b"k", KeyOp::Content(ContentOp::Representation));
            assert_eq!(found, Ok(Reply::bytes(name.as_bytes())), "{op:?}");
        }
        let none = bench.key(b"none", KeyOp::Content(ContentOp::Representation));
        assert_eq!(none, Ok(Reply::Nil));
    }
}
