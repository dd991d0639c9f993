//! Hashes: fields and their values.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{EditMismatch, REBUILD_ELEMENTS_MAX};
use crate::ordered::{Hashed, Ordered};

/// Overhead of one field beside its name and value, in bytes: a slot and two allocations.
const FIELD_BYTES: usize = 72;

/// Fields, each with a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hash {
    fields: Ordered<Field>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Field {
    hash: u32,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Hashed for Field {
    fn hash(&self) -> u32 {
        self.hash
    }
}

/// A change of a hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum HashEdit<'a> {
    /// Sets these fields.
    Set(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// Removes these fields.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
}

/// The hash of a field or member; the same on all members. The function is not secret: a client
/// that provokes collisions slows down only its own keys.
pub(super) fn hash(name: &[u8]) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(0x636f_6e76_6f6b_6520, 0x6669_656c_6473_2020);
    hasher.write(name);
    (hasher.finish() >> 32) as u32
}

impl Hash {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.get(hash(name), |field| *field.name == *name).map(|field| &*field.value)
    }

    /// In the order of hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (&*field.name, &*field.value))
    }

    /// As [`Hash::iter`], with the hashes, starting at `from`.
    pub(crate) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
        self.fields.iter_from(from).map(|field| (field.hash, &*field.name, &*field.value))
    }

    /// The number of slots for [`Hash::at`], empty ones included.
    pub(crate) fn slots(&self) -> usize {
        self.fields.slots()
    }

    /// The field in one slot, if any; for random selection.
    pub(crate) fn at(&self, slot: usize) -> Option<(&[u8], &[u8])> {
        self.fields.at(slot).map(|field| (&*field.name, &*field.value))
    }

    pub(crate) fn apply(&mut self, edit: &HashEdit<'_>) -> Result<(), EditMismatch> {
        match edit {
            HashEdit::Set(fields) => {
                for (name, value) in fields {
                    let hash = hash(name);
                    match self.fields.get_mut(hash, |field| *field.name == **name) {
                        Some(field) => {
                            self.bytes -= field.value.len();
                            field.value = (*value).into();
                        }
                        None => {
                            self.bytes += FIELD_BYTES + name.len();
                            let (name, value) = ((*name).into(), (*value).into());
                            self.fields.insert(Field { hash, name, value });
                        }
                    }
                    self.bytes += value.len();
                }
                Ok(())
            }
            HashEdit::Remove(names) => {
                for name in names {
                    let is_it = |field: &Field| *field.name == **name;
                    let field = self.fields.remove(hash(name), is_it).ok_or(EditMismatch)?;
                    self.bytes -= FIELD_BYTES + field.name.len() + field.value.len();
                }
                Ok(())
            }
        }
    }

    /// Emits the edits that bring this hash back after `edit` was applied, in their order.
    pub(crate) fn inverse(&self, edit: &HashEdit<'_>, each: &mut dyn FnMut(HashEdit<'_>)) {
        let names: BTreeSet<&[u8]> = match edit {
            HashEdit::Set(fields) => fields.iter().map(|(name, _)| *name).collect(),
            HashEdit::Remove(names) => names.iter().copied().collect(),
        };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for name in names {
            match self.get(name) {
                Some(value) => old.push((name, value)),
                None => new.push(name),
            }
        }
        if !new.is_empty() && matches!(edit, HashEdit::Set(_)) {
            each(HashEdit::Remove(new));
        }
        if !old.is_empty() {
            each(HashEdit::Set(old));
        }
    }

    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(HashEdit<'_>)) {
        let mut fields = self.iter().peekable();
        while fields.peek().is_some() {
            each(HashEdit::Set(fields.by_ref().take(REBUILD_ELEMENTS_MAX).collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_hash_behaves_like_a_map(
            steps in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec((0..30_u8, any::<u16>()), 0..5)),
                0..80,
            ),
        ) {
            let (mut hash, mut model) = (Hash::default(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
            for (set, pairs) in steps {
                let pairs: Vec<_> =
                    pairs.iter().map(|(n, v)| (vec![*n; 3], v.to_string().into_bytes())).collect();
                if set {
                    model.extend(pairs.iter().cloned());
                    let pairs = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
                    prop_assert_eq!(hash.apply(&HashEdit::Set(pairs)), Ok(()));
                } else {
                    let there: Vec<_> =
                        pairs.iter().filter(|(name, _)| model.remove(name).is_some()).collect();
                    let names = there.iter().map(|(name, _)| &**name).collect();
                    prop_assert_eq!(hash.apply(&HashEdit::Remove(names)), Ok(()));
                }
                let held: BTreeMap<_, _> =
                    hash.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
                prop_assert_eq!(&held, &model);
                let bytes: usize = model.iter().map(|(n, v)| n.len() + v.len() + FIELD_BYTES).sum();
                prop_assert_eq!(hash.bytes(), bytes);
                prop_assert!(model.iter().all(|(n, v)| hash.get(n) == Some(v)));
            }
            let mut copy = Hash::default();
            hash.rebuild(&mut |edit| copy.apply(&edit).unwrap());
            prop_assert!(copy.iter().eq(hash.iter()));
        }
    }

    #[test]
    fn removing_a_missing_field_is_a_mismatch() {
        assert_eq!(Hash::default().apply(&HashEdit::Remove(vec![b"f"])), Err(EditMismatch));
    }
}
