//! Operations on fields of hashes that expire, each independently of the others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answer::values;
use super::effect::Effect;
use super::generic::ExpireIf;
use super::list::fits;
use crate::access::Access;
use crate::event::Class;
use crate::value::{Hash, HashEdit, StructureEdit};
use crate::{OpError, Reply};

/// In a reply: there is no such field.
const NO_FIELD: i64 = -2;
/// In a reply: the field does not expire.
const NO_DEADLINE: i64 = -1;
/// In a reply: the condition does not hold.
const REFUSED: i64 = 0;
/// In a reply: it is done.
const DONE: i64 = 1;
/// In a reply: the deadline has passed already, so the field was removed.
const REMOVED: i64 = 2;

/// An operation on fields of a hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FieldsOp<'a> {
    /// Sets deadlines. Returns for each field: -2 if it does not exist, 0 if the condition does not
    /// hold, 1, or 2 if the deadline has passed already and the field was removed.
    Expire {
        /// The fields.
        #[serde(borrow)]
        names: Vec<&'a [u8]>,
        /// Their deadline.
        lifetime: FieldLifetime,
        /// The condition for each of them.
        condition: ExpireIf,
    },
    /// When fields expire, in milliseconds since 1970, or from now if `remaining` is set; -1 for a
    /// field that does not expire, -2 for one that does not exist.
    Deadlines {
        /// The fields.
        #[serde(borrow)]
        names: Vec<&'a [u8]>,
        /// Whether to return the remaining time.
        remaining: bool,
    },
    /// Removes deadlines. Returns for each field: 1, -1 if it has none, -2 if it does not exist.
    Persist(#[serde(borrow)] Vec<&'a [u8]>),
    /// The value of each field or nil; also sets their deadlines if a lifetime is given.
    GetAndExpire {
        /// The fields.
        #[serde(borrow)]
        names: Vec<&'a [u8]>,
        /// Their lifetime.
        lifetime: Option<FieldLifetime>,
    },
    /// Sets fields and their deadlines; returns 1, or 0 if the condition does not hold.
    Set {
        /// The fields with their values.
        #[serde(borrow)]
        fields: Vec<(&'a [u8], &'a [u8])>,
        /// Their lifetime.
        lifetime: FieldLifetime,
        /// The condition.
        condition: FieldsIf,
    },
    /// The value of each field or nil; the fields are removed.
    Take(#[serde(borrow)] Vec<&'a [u8]>),
}

/// Lifetime of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldLifetime {
    /// It does not expire.
    Forever,
    /// Its deadline stays.
    Keep,
    /// This number of milliseconds from now.
    For(u64),
    /// Until this time, in milliseconds since 1970.
    Until(u64),
}

/// Condition for setting fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldsIf {
    /// Always.
    Always,
    /// If none of them exists.
    AllAbsent,
    /// If all of them exist.
    AllPresent,
}

impl FieldLifetime {
    fn deadline_ms(self, now_ms: u64) -> Option<u64> {
        match self {
            Self::Forever | Self::Keep => None,
            Self::For(ms) => Some(now_ms.saturating_add(ms)),
            Self::Until(ms) => Some(ms),
        }
    }
}

impl FieldsOp<'_> {
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Deadlines { .. } | Self::GetAndExpire { lifetime: None, .. } => Effect::Reads,
            Self::Expire { .. } | Self::Persist(_) | Self::GetAndExpire { .. } | Self::Take(_) => {
                Effect::Changes
            }
            Self::Set { .. } => Effect::Adds,
        }
    }

    pub(super) fn added_bytes(&self) -> usize {
        match self {
            Self::Set { fields, .. } => {
                fields.iter().map(|(field, value)| field.len() + value.len()).sum()
            }
            _ => 0,
        }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        match self {
            Self::Expire { names, lifetime, condition } => {
                expire(access, key, names, *lifetime, *condition)
            }
            Self::Deadlines { names, remaining } => {
                let from = if *remaining { access.now_ms } else { 0 };
                let hash = access.structure::<Hash>(key)?;
                Ok(numbers(names.iter().map(|name| match state(hash, name) {
                    None => NO_FIELD,
                    Some(None) => NO_DEADLINE,
                    Some(Some(deadline_ms)) => {
                        i64::try_from(deadline_ms.saturating_sub(from)).unwrap_or(i64::MAX)
                    }
                })))
            }
            Self::Persist(names) => {
                let hash = access.structure::<Hash>(key)?;
                let mut lasting = BTreeSet::new();
                let reply = numbers(names.iter().map(|name| match state(hash, name) {
                    None => NO_FIELD,
                    Some(Some(_)) if lasting.insert(*name) => DONE,
                    Some(_) => NO_DEADLINE,
                }));
                set_deadlines(access, key, lasting.into_iter().collect(), None);
                Ok(reply)
            }
            Self::GetAndExpire { names, lifetime } => {
                let hash = access.structure::<Hash>(key)?;
                let found = values(names.iter().map(|name| hash.and_then(|hash| hash.get(name))))?;
                let there = |name: &&&[u8]| state(hash, name).is_some();
                let expires = |name: &&&[u8]| matches!(state(hash, name), Some(Some(_)));
                let distinct = |wanted: &dyn Fn(&&&[u8]) -> bool| -> Vec<&[u8]> {
                    let all: BTreeSet<&[u8]> = names.iter().filter(wanted).copied().collect();
                    all.into_iter().collect()
                };
                match lifetime {
                    None | Some(FieldLifetime::Keep) => {}
                    Some(FieldLifetime::Forever) => {
                        let names = distinct(&expires);
                        set_deadlines(access, key, names, None);
                    }
                    Some(lifetime) => {
                        let (names, deadline_ms) =
                            (distinct(&there), lifetime.deadline_ms(access.now_ms));
                        if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= access.now_ms) {
                            remove(access, key, names);
                        } else {
                            set_deadlines(access, key, names, deadline_ms);
                        }
                    }
                }
                Ok(found)
            }
            Self::Set { fields, lifetime, condition } => {
                set(access, key, fields, *lifetime, *condition)
            }
            Self::Take(names) => {
                let hash = access.structure::<Hash>(key)?;
                let mut taken = BTreeSet::new();
                let found = values(names.iter().map(|name| {
                    let value = hash.and_then(|hash| hash.get(name));
                    value.filter(|_| taken.insert(*name))
                }))?;
                remove(access, key, taken.into_iter().collect());
                Ok(found)
            }
        }
    }
}

fn numbers(all: impl Iterator<Item = i64>) -> Reply {
    Reply::List(all.map(Reply::Integer).collect())
}

/// The deadline of a field, if it has one; `None` if there is no such field.
fn state(hash: Option<&Hash>, name: &[u8]) -> Option<Option<u64>> {
    hash.filter(|hash| hash.get(name).is_some()).map(|hash| hash.deadline_ms(name))
}

/// Sets or removes the deadlines of fields that exist, if there are any.
fn set_deadlines(access: &mut Access<'_>, key: &[u8], names: Vec<&[u8]>, deadline_ms: Option<u64>) {
    if !names.is_empty() {
        let fields = names.into_iter().map(|name| (name, deadline_ms)).collect();
        let event = if deadline_ms.is_some() { "hexpire" } else { "hpersist" };
        let edit = StructureEdit::Hash(HashEdit::Expire(fields));
        access.change(key, edit, Class::Hash, event);
    }
}

/// Removes fields that exist, if there are any.
fn remove(access: &mut Access<'_>, key: &[u8], names: Vec<&[u8]>) {
    if !names.is_empty() {
        let edit = StructureEdit::Hash(HashEdit::Remove(names));
        access.change(key, edit, Class::Hash, "hdel");
    }
}

fn expire(
    access: &mut Access<'_>,
    key: &[u8],
    names: &[&[u8]],
    lifetime: FieldLifetime,
    condition: ExpireIf,
) -> Result<Reply, OpError> {
    let now_ms = access.now_ms;
    let deadline_ms = lifetime.deadline_ms(now_ms).unwrap_or(u64::MAX);
    let is_over = deadline_ms <= now_ms;
    let hash = access.structure::<Hash>(key)?;
    // A field may be named twice, so each condition sees the effect of the earlier ones.
    let mut states: BTreeMap<&[u8], Option<Option<u64>>> = BTreeMap::new();
    let mut edits = BTreeSet::new();
    let reply = numbers(names.iter().map(|name| {
        let before = states.entry(name).or_insert_with(|| state(hash, name));
        let Some(old) = *before else { return NO_FIELD };
        let old_ms = old.unwrap_or(u64::MAX);
        let holds = (!condition.never || old.is_none())
            && (!condition.some || old.is_some())
            && (!condition.later || deadline_ms > old_ms)
            && (!condition.earlier || deadline_ms < old_ms);
        if !holds {
            return REFUSED;
        }
        edits.insert(*name);
        *before = (!is_over).then_some(Some(deadline_ms));
        if is_over { REMOVED } else { DONE }
    }));
    let names = edits.into_iter().collect();
    if is_over {
        remove(access, key, names);
    } else {
        set_deadlines(access, key, names, Some(deadline_ms));
    }
    Ok(reply)
}

fn set(
    access: &mut Access<'_>,
    key: &[u8],
    fields: &[(&[u8], &[u8])],
    lifetime: FieldLifetime,
    condition: FieldsIf,
) -> Result<Reply, OpError> {
    for (name, value) in fields {
        fits(name)?;
        fits(value)?;
    }
    let now_ms = access.now_ms;
    let hash = access.structure::<Hash>(key)?;
    let exists = |name: &[u8]| state(hash, name).is_some();
    let holds = match condition {
        FieldsIf::Always => true,
        FieldsIf::AllAbsent => !fields.iter().any(|(name, _)| exists(name)),
        FieldsIf::AllPresent => fields.iter().all(|(name, _)| exists(name)),
    };
    if !holds {
        return Ok(Reply::flag(false));
    }
    let deadline_ms = lifetime.deadline_ms(now_ms);
    if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
        let is_new = hash.is_none();
        let there: BTreeSet<&[u8]> =
            fields.iter().map(|(name, _)| *name).filter(|name| exists(name)).collect();
        access.notify(Class::Hash, "hset", key);
        if there.is_empty() {
            access.notify(Class::Hash, "hdel", key);
            if is_new {
                access.notify(Class::Generic, "del", key);
            }
        } else {
            remove(access, key, there.into_iter().collect());
        }
        return Ok(Reply::flag(true));
    }
    let edit = match (deadline_ms, lifetime) {
        (Some(deadline_ms), _) => {
            let expiring = fields.iter().map(|(name, value)| (*name, *value, deadline_ms));
            HashEdit::SetExpiring(expiring.collect())
        }
        (None, FieldLifetime::Keep) => HashEdit::SetKeeping(fields.to_vec()),
        (None, _) => HashEdit::Set(fields.to_vec()),
    };
    access.change(key, StructureEdit::Hash(edit), Class::Hash, "hset");
    if deadline_ms.is_some() {
        access.notify(Class::Hash, "hexpire", key);
    }
    Ok(Reply::flag(true))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::Bench;
    use super::super::{GenericOp, HashOp, KeyOp, Op, SeveralOp, WholeOp};
    use super::*;

    fn fields(op: FieldsOp<'_>) -> KeyOp<'_> {
        KeyOp::Hash(HashOp::Fields(op))
    }

    fn set_for(bench: &mut Bench, key: &[u8], names: &[&[u8]], ms: u64) {
        let fields = names.iter().map(|name| (*name, &b"1"[..])).collect();
        let lifetime = FieldLifetime::For(ms);
        let condition = FieldsIf::Always;
        let op = self::fields(FieldsOp::Set { fields, lifetime, condition });
        assert_eq!(bench.key(key, op), Ok(Reply::flag(true)));
    }

    fn remaining(bench: &mut Bench, key: &[u8], names: &[&[u8]]) -> Reply {
        bench
            .key(key, fields(FieldsOp::Deadlines { names: names.to_vec(), remaining: true }))
            .unwrap()
    }

    fn list(all: &[i64]) -> Reply {
        numbers(all.iter().copied())
    }

    #[test]
    fn a_field_is_never_returned_once_it_is_due() {
        let mut bench = Bench::new();
        set_for(&mut bench, b"h", &[b"a", b"b"], 1_000);
        assert_eq!(bench.events(), ["new", "hset", "hexpire"]);
        bench.key(b"h", KeyOp::Hash(HashOp::Set(vec![(b"b", b"2"), (b"c", b"3")]))).unwrap();
        assert_eq!(remaining(&mut bench, b"h", &[b"a", b"b", b"x"]), list(&[1_000, -1, -2]));
        bench.now = Duration::from_millis(1_000);
        assert_eq!(bench.key(b"h", KeyOp::Hash(HashOp::Get(b"a"))), Ok(Reply::Nil));
        assert_eq!(bench.events(), ["hexpired"]);
        assert_eq!(bench.key(b"h", KeyOp::Hash(HashOp::Length)), Ok(Reply::Integer(2)));
        assert!(bench.events().is_empty());
    }

    #[test]
    fn a_hash_vanishes_with_its_last_field() {
        let mut bench = Bench::new();
        set_for(&mut bench, b"h", &[b"a", b"b"], 1_000);
        bench.now = Duration::from_millis(1_000);
        let length = Op::Whole(WholeOp::Length);
        assert_eq!(bench.run(&length), Ok(Reply::Integer(0)), "also before it is dropped");
        assert_eq!(bench.key(b"h", KeyOp::Generic(GenericOp::Exists)), Ok(Reply::Integer(0)));
        assert_eq!(bench.events(), ["hexpired", "del"]);
        assert_eq!(bench.primary.len(), 0);
    }

    #[test]
    fn due_fields_are_found_without_an_access() {
        let mut bench = Bench::new();
        for key in [&b"h1"[..], b"h2", b"h3"] {
            set_for(&mut bench, key, &[b"a"], 500);
            set_for(&mut bench, key, &[b"b"], 5_000);
        }
        assert_eq!(bench.expire_due(200), 0);
        assert_eq!(bench.expire_due(700), 3);
        assert_eq!(bench.expire_due(4_900), 0);
        assert_eq!(bench.expire_due(5_200), 3, "each is watched again");
        assert_eq!(bench.primary.len(), 0);
    }

    #[test]
    fn a_backup_drops_due_fields_once_it_is_the_primary() {
        let mut bench = Bench::new();
        set_for(&mut bench, b"h", &[b"a"], 500);
        set_for(&mut bench, b"h", &[b"b"], 5_000);
        bench.fail_over();
        assert_eq!(bench.expire_due(700), 1);
        assert_eq!(bench.events(), ["hexpired"]);
        bench.fail_over();
        assert_eq!(bench.expire_due(5_200), 1);
        assert_eq!(bench.events(), ["hexpired", "del"]);
    }

    #[test]
    fn a_member_of_another_cluster_brings_deadlines_in_the_time_of_this_one() {
        use crate::item::Item;
        use crate::value::{HashEdit, StructureEdit};
        let edit = |deadline_ms| {
            StructureEdit::Hash(HashEdit::SetExpiring(vec![(b"f", b"v", deadline_ms)]))
        };
        assert_eq!(Item::More(edit(1_000)).shifted(-300), Item::More(edit(700)));
        let (key, meta) = (&b"k"[..], crate::entry::Meta::default());
        let item = |deadline_ms| Item::Structure { key, meta, edit: edit(deadline_ms) };
        assert_eq!(item(1_000).shifted(500), item(1_500));
    }

    #[test]
    fn sums_keep_the_deadline_and_values_remove_it() {
        let mut bench = Bench::new();
        set_for(&mut bench, b"h", &[b"a"], 1_000);
        bench.key(b"h", KeyOp::Hash(HashOp::Add(b"a", 5))).unwrap();
        bench.key(b"h", KeyOp::Hash(HashOp::AddFloat(b"a", b"1.5"))).unwrap();
        assert_eq!(remaining(&mut bench, b"h", &[b"a"]), list(&[1_000]));
        bench.key(b"h", KeyOp::Hash(HashOp::Set(vec![(b"a", b"1")]))).unwrap();
        assert_eq!(remaining(&mut bench, b"h", &[b"a"]), list(&[-1]));
    }

    #[test]
    fn copies_and_renamed_hashes_keep_their_deadlines() {
        let mut bench = Bench::new();
        set_for(&mut bench, b"h", &[b"a"], 1_000);
        bench.run(&Op::Several(SeveralOp::Copy { from: b"h", to: b"c", replace: false })).unwrap();
        bench.run(&Op::Several(SeveralOp::Rename { from: b"h", to: b"r", absent: false })).unwrap();
        for key in [b"c", b"r"] {
            assert_eq!(remaining(&mut bench, key, &[b"a"]), list(&[1_000]));
        }
        bench.now = Duration::from_millis(1_000);
        for key in [b"c", b"r"] {
            assert_eq!(bench.key(key, KeyOp::Generic(GenericOp::Exists)), Ok(Reply::Integer(0)));
        }
    }

    #[test]
    fn a_field_that_is_named_twice_is_changed_once() {
        let mut bench = Bench::new();
        set_for(&mut bench, b"h", &[b"a", b"b"], 1_000);
        let names = vec![&b"a"[..], b"a", b"b"];
        let past = FieldsOp::Expire {
            names: names.clone(),
            lifetime: FieldLifetime::Until(1),
            condition: ExpireIf::default(),
        };
        assert_eq!(bench.key(b"h", fields(past)), Ok(list(&[2, -2, 2])));
        assert_eq!(bench.events(), ["hdel", "del"]);
        set_for(&mut bench, b"h", &[b"a"], 1_000);
        assert_eq!(
            bench.key(b"h", fields(FieldsOp::Persist(names.clone()))),
            Ok(list(&[1, -1, -2]))
        );
        let taken = bench.key(b"h", fields(FieldsOp::Take(names)));
        assert_eq!(taken, Ok(Reply::List(vec![Reply::bytes(b"1"), Reply::Nil, Reply::Nil])));
        assert_eq!(bench.events(), ["hdel", "del"]);
    }
}
