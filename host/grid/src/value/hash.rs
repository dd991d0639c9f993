//! Hashes: fields and their values. Fields may expire.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::deadlines::Deadlines;
use super::{EditMismatch, REBUILD_ELEMENTS_MAX};
use crate::ordered::{Hashed, Ordered};

/// Overhead of one field beside its name and value, in bytes: a slot and two allocations.
const FIELD_BYTES: usize = 72;

/// Fields, each with a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hash {
    fields: Ordered<Field>,
    /// Deadlines of fields; `None` if no field expires.
    deadlines: Option<Box<Deadlines>>,
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
    /// Sets these fields and removes their deadlines.
    Set(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// Removes these fields.
    Remove(#[serde(borrow)] Vec<&'a [u8]>),
    /// Sets these fields; their deadlines stay.
    SetKeeping(#[serde(borrow)] Vec<(&'a [u8], &'a [u8])>),
    /// Sets these fields with their deadlines, in milliseconds of the cluster's clock.
    SetExpiring(#[serde(borrow)] Vec<(&'a [u8], &'a [u8], u64)>),
    /// Sets the deadlines of fields that exist, or removes them.
    Expire(#[serde(borrow)] Vec<(&'a [u8], Option<u64>)>),
}

impl HashEdit<'_> {
    /// The edit with its deadlines moved by this number of milliseconds.
    pub(crate) fn shift(&mut self, ms: i64) {
        match self {
            Self::SetExpiring(fields) => {
                for (.., deadline_ms) in fields {
                    *deadline_ms = deadline_ms.saturating_add_signed(ms);
                }
            }
            Self::Expire(fields) => {
                for deadline_ms in fields.iter_mut().filter_map(|(_, deadline)| deadline.as_mut()) {
                    *deadline_ms = deadline_ms.saturating_add_signed(ms);
                }
            }
            Self::Set(_) | Self::Remove(_) | Self::SetKeeping(_) => {}
        }
    }
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
        self.bytes + self.deadlines.as_ref().map_or(0, |deadlines| deadlines.bytes())
    }

    /// The deadline of a field, in milliseconds of the cluster's clock.
    pub(crate) fn deadline_ms(&self, name: &[u8]) -> Option<u64> {
        self.deadlines.as_ref()?.get(name)
    }

    /// The earliest deadline of a field.
    pub(crate) fn first_deadline_ms(&self) -> Option<u64> {
        self.deadlines.as_ref()?.first_ms()
    }

    /// Whether all fields have expired.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        self.deadlines.as_ref().is_some_and(|deadlines| {
            deadlines.len() == self.len()
                && deadlines.last_ms().is_some_and(|last_ms| last_ms <= now_ms)
        })
    }

    /// At most `max` fields that have expired.
    pub(crate) fn due(&self, now_ms: u64, max: usize) -> Vec<Vec<u8>> {
        let deadlines = self.deadlines.iter();
        let due = deadlines.flat_map(|deadlines| deadlines.due(now_ms));
        due.take(max).map(<[u8]>::to_vec).collect()
    }

    fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<u64>) {
        if self.deadlines.is_none() && deadline_ms.is_none() {
            return;
        }
        let deadlines = self.deadlines.get_or_insert_default();
        deadlines.set(name, deadline_ms);
        if deadlines.is_empty() {
            self.deadlines = None;
        }
    }

    fn set(&mut self, name: &[u8], value: &[u8]) {
        let hash = hash(name);
        match self.fields.get_mut(hash, |field| *field.name == *name) {
            Some(field) => {
                self.bytes -= field.value.len();
                field.value = value.into();
            }
            None => {
                self.bytes += FIELD_BYTES + name.len();
                self.fields.insert(Field { hash, name: name.into(), value: value.into() });
            }
        }
        self.bytes += value.len();
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.get(hash(name), |field| *field.name == *name).map(|field| &*field.value)
    }

    /// Iterates in the order of hashes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (&*field.name, &*field.value))
    }

    /// Like [`Hash::iter`], with the hashes, starting at `from`.
    pub(crate) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
        self.fields.iter_from(from).map(|field| (field.hash, &*field.name, &*field.value))
    }

    /// Number of slots for [`Hash::at`], including empty ones.
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
                    self.set(name, value);
                    self.set_deadline(name, None);
                }
            }
            HashEdit::SetKeeping(fields) => {
                fields.iter().for_each(|(name, value)| self.set(name, value));
            }
            HashEdit::SetExpiring(fields) => {
                for (name, value, deadline_ms) in fields {
                    self.set(name, value);
                    self.set_deadline(name, Some(*deadline_ms));
                }
            }
            HashEdit::Expire(fields) => {
                for (name, deadline_ms) in fields {
                    self.get(name).ok_or(EditMismatch)?;
                    self.set_deadline(name, *deadline_ms);
                }
            }
            HashEdit::Remove(names) => {
                for name in names {
                    let is_it = |field: &Field| *field.name == **name;
                    let field = self.fields.remove(hash(name), is_it).ok_or(EditMismatch)?;
                    self.bytes -= FIELD_BYTES + field.name.len() + field.value.len();
                    self.set_deadline(name, None);
                }
            }
        }
        Ok(())
    }

    /// Emits the edits that restore this hash after `edit` was applied, in order.
    pub(crate) fn inverse(&self, edit: &HashEdit<'_>, each: &mut dyn FnMut(HashEdit<'_>)) {
        let names: BTreeSet<&[u8]> = match edit {
            HashEdit::Set(fields) | HashEdit::SetKeeping(fields) => {
                fields.iter().map(|(name, _)| *name).collect()
            }
            HashEdit::SetExpiring(fields) => fields.iter().map(|(name, ..)| *name).collect(),
            HashEdit::Remove(names) => names.iter().copied().collect(),
            HashEdit::Expire(fields) => fields.iter().map(|(name, _)| *name).collect(),
        };
        if matches!(edit, HashEdit::Expire(_)) {
            each(HashEdit::Expire(
                names.iter().map(|name| (*name, self.deadline_ms(name))).collect(),
            ));
            return;
        }
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for name in names {
            match self.get(name) {
                Some(value) => old.push((name, value)),
                None => new.push(name),
            }
        }
        if !new.is_empty() && !matches!(edit, HashEdit::Remove(_)) {
            each(HashEdit::Remove(new));
        }
        self.emit(old.into_iter(), each);
    }

    pub(crate) fn rebuild(&self, each: &mut dyn FnMut(HashEdit<'_>)) {
        let mut fields = self.iter().peekable();
        while fields.peek().is_some() {
            self.emit(fields.by_ref().take(REBUILD_ELEMENTS_MAX), each);
        }
    }

    /// Emits the edits that set these fields to their values here.
    fn emit<'a>(
        &'a self,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        each: &mut dyn FnMut(HashEdit<'_>),
    ) {
        let (mut lasting, mut expiring) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            match self.deadline_ms(name) {
                Some(deadline_ms) => expiring.push((name, value, deadline_ms)),
                None => lasting.push((name, value)),
            }
        }
        if !lasting.is_empty() {
            each(HashEdit::Set(lasting));
        }
        if !expiring.is_empty() {
            each(HashEdit::SetExpiring(expiring));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Value and deadline of each field.
    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn held(hash: &Hash) -> Model {
        let field = |(n, v): (&[u8], &[u8])| (n.to_vec(), (v.to_vec(), hash.deadline_ms(n)));
        hash.iter().map(field).collect()
    }

    proptest! {
        #[test]
        fn a_hash_behaves_like_a_map(
            steps in proptest::collection::vec(
                (0..5_u8, proptest::collection::vec((0..30_u8, any::<u16>()), 0..5)),
                0..80,
            ),
            now_ms in any::<u16>(),
        ) {
            let (mut hash, mut model) = (Hash::default(), Model::new());
            for (what, pairs) in steps {
                let pairs: Vec<(Vec<u8>, Vec<u8>, u64)> = pairs
                    .iter()
                    .map(|(n, v)| (vec![*n; 3], v.to_string().into_bytes(), u64::from(*v)))
                    .collect();
                let (before, mut back) = (hash.clone(), Vec::new());
                let there: Vec<&[u8]> =
                    pairs.iter().map(|(n, ..)| &**n).filter(|n| model.contains_key(*n)).collect();
                let set = || pairs.iter().map(|(n, v, _)| (&**n, &**v)).collect::<Vec<_>>();
                let edit = match what {
                    0 => {
                        for (n, v, _) in &pairs {
                            model.insert(n.clone(), (v.clone(), None));
                        }
                        HashEdit::Set(set())
                    }
                    1 => {
                        for (n, v, _) in &pairs {
                            let old = model.get(n).and_then(|(_, deadline)| *deadline);
                            model.insert(n.clone(), (v.clone(), old));
                        }
                        HashEdit::SetKeeping(set())
                    }
                    2 => {
                        for (n, v, deadline) in &pairs {
                            model.insert(n.clone(), (v.clone(), Some(*deadline)));
                        }
                        HashEdit::SetExpiring(
                            pairs.iter().map(|(n, v, d)| (&**n, &**v, *d)).collect(),
                        )
                    }
                    3 => {
                        let mut edits = Vec::new();
                        for (n, _, deadline) in &pairs {
                            let deadline = Some(*deadline).filter(|deadline| deadline % 3 > 0);
                            if let Some((_, old)) = model.get_mut(n) {
                                *old = deadline;
                                edits.push((&**n, deadline));
                            }
                        }
                        HashEdit::Expire(edits)
                    }
                    _ => {
                        let names: BTreeSet<&[u8]> = there.into_iter().collect();
                        model.retain(|name, _| !names.contains(&**name));
                        HashEdit::Remove(names.into_iter().collect())
                    }
                };
                before.inverse(&edit, &mut |edit| back.push(postcard::to_allocvec(&edit).unwrap()));
                prop_assert_eq!(hash.apply(&edit), Ok(()));
                prop_assert_eq!(&held(&hash), &model);
                let mut undone = hash.clone();
                for edit in &back {
                    undone.apply(&postcard::from_bytes(edit).unwrap()).unwrap();
                }
                prop_assert_eq!(held(&undone), held(&before));
                prop_assert_eq!(undone.bytes(), before.bytes());
                let bytes: usize =
                    model.iter().map(|(n, (v, _))| n.len() + v.len() + FIELD_BYTES).sum();
                prop_assert_eq!(hash.bytes, bytes);
                let deadlines: Vec<u64> = model.values().filter_map(|(_, d)| *d).collect();
                prop_assert_eq!(hash.first_deadline_ms(), deadlines.iter().min().copied());
                prop_assert_eq!(hash.bytes() > bytes, !deadlines.is_empty());
                let now_ms = u64::from(now_ms);
                let is_due = |d: &Option<u64>| d.is_some_and(|deadline| deadline <= now_ms);
                let due = model.values().filter(|(_, d)| is_due(d)).count();
                prop_assert_eq!(hash.due(now_ms, usize::MAX).len(), due);
                prop_assert_eq!(hash.is_over(now_ms), due > 0 && due == model.len());
            }
            let mut copy = Hash::default();
            hash.rebuild(&mut |edit| copy.apply(&edit).unwrap());
            prop_assert_eq!(held(&copy), held(&hash));
            prop_assert_eq!(copy.bytes(), hash.bytes());
        }
    }

    #[test]
    fn a_missing_field_is_a_mismatch() {
        for edit in [HashEdit::Remove(vec![b"f"]), HashEdit::Expire(vec![(b"f", Some(1))])] {
            assert_eq!(Hash::default().apply(&edit), Err(EditMismatch));
        }
    }

    #[test]
    fn fields_that_do_not_expire_take_no_memory_for_that() {
        assert!(size_of::<Hash>() <= size_of::<super::super::SortedSet>());
        let mut hash = Hash::default();
        hash.apply(&HashEdit::SetExpiring(vec![(b"f", b"v", 5)])).unwrap();
        hash.apply(&HashEdit::Expire(vec![(b"f", None)])).unwrap();
        assert!(hash.deadlines.is_none());
    }
}
