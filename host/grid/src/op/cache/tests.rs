//! Entries of caches, compared with a model.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::testing::Bench;
use super::super::{KeyOp, Op, WholeOp};
use super::*;

const ETERNAL: CacheLifetime = CacheLifetime::Eternal;

const fn ms(ms: u64) -> CacheLifetime {
    CacheLifetime::Ms(ms)
}

fn op(action: CacheAction<'_>, policy: CachePolicy) -> KeyOp<'_> {
    KeyOp::Cache(CacheOp { action, policy, overrides: false, room: None, tag: b"" })
}

fn run(bench: &mut Bench, action: CacheAction<'_>, policy: CachePolicy) -> Reply {
    bench.key(b"k", op(action, policy)).unwrap()
}

fn text(text: &str) -> Reply {
    Reply::bytes(text.as_bytes())
}

#[test]
fn an_entry_lives_as_long_as_its_policy_says() {
    let mut bench = Bench::new();
    let policy = CachePolicy { creation: ms(100), access: Some(ms(1_600)), update: Some(ETERNAL) };
    run(&mut bench, CacheAction::Put(b"a"), policy);
    assert_eq!(run(&mut bench, CacheAction::Peek, CachePolicy::ETERNAL), text("a"));
    bench.now = Duration::from_millis(99);
    assert_eq!(run(&mut bench, CacheAction::Peek, policy), Reply::Done);
    assert_eq!(run(&mut bench, CacheAction::Get, policy), text("a"));
    bench.now += Duration::from_millis(1_599);
    assert_eq!(run(&mut bench, CacheAction::Get, policy), text("a"));
    // Later by at most a 16th, since deadlines are not moved by less.
    bench.now += Duration::from_millis(1_701);
    assert_eq!(run(&mut bench, CacheAction::Get, policy), Reply::Nil);
    assert_eq!(bench.events(), ["expired"]);
    run(&mut bench, CacheAction::Put(b"a"), policy);
    assert_eq!(run(&mut bench, CacheAction::GetAndPut(b"b"), policy), text("a"));
    bench.now += Duration::from_secs(3_600);
    assert_eq!(run(&mut bench, CacheAction::GetAndRemove, policy), text("b"));
}

#[test]
fn a_lifetime_of_zero_ends_at_once() {
    let mut bench = Bench::new();
    let zero = Some(ms(0));
    let policy = CachePolicy { creation: ms(0), access: zero, update: zero };
    assert_eq!(run(&mut bench, CacheAction::PutIfAbsent(b"a"), policy), Reply::flag(false));
    assert_eq!(bench.events(), [""; 0]);
    let create = |bench: &mut Bench| run(bench, CacheAction::Put(b"a"), CachePolicy::ETERNAL);
    create(&mut bench);
    assert_eq!(run(&mut bench, CacheAction::Replace(b"b"), policy), Reply::flag(false));
    assert_eq!(bench.events(), ["expired"]);
    create(&mut bench);
    assert_eq!(run(&mut bench, CacheAction::Get, policy), text("a"));
    assert_eq!(bench.events(), ["expired"]);
    assert_eq!(run(&mut bench, CacheAction::Get, policy), Reply::Nil);
    create(&mut bench);
    assert_eq!(run(&mut bench, CacheAction::RemoveIf(b"other"), policy), Reply::flag(false));
    assert_eq!(bench.events(), ["expired"]);
}

#[test]
fn events_have_the_old_value_and_the_tag_comes_last() {
    let mut bench = Bench::new();
    bench.want_values();
    run(&mut bench, CacheAction::Put(b"a"), CachePolicy::ETERNAL);
    assert_eq!(bench.events(), ["new", cache_event::CREATED]);
    let tagged = CacheOp {
        action: CacheAction::Put(b"b"),
        policy: CachePolicy::ETERNAL,
        overrides: false,
        room: None,
        tag: b"tag",
    };
    bench.key(b"k", KeyOp::Cache(tagged)).unwrap();
    assert_eq!(bench.events(), [cache_event::UPDATED, cache_event::DONE]);
    let value =
        |stored: &Option<bytes::Bytes>| cache_value(stored.as_ref().unwrap()).unwrap().0.to_vec();
    let updated = &bench.changes.events[0];
    assert_eq!((value(&updated.value), value(&updated.old_value)), (b"b".to_vec(), b"a".to_vec()));
    assert_eq!(bench.changes.events[1].value.as_deref(), Some(&b"tag"[..]));
    let nothing = CacheOp { action: CacheAction::Nothing, ..tagged };
    bench.key(b"none", KeyOp::Cache(nothing)).unwrap();
    assert_eq!(bench.events(), [cache_event::DONE]);
}

#[test]
fn a_partition_has_at_most_its_number_of_entries() {
    let mut bench = Bench::new();
    let room = Some(CacheRoom { entries_max: 10, eviction: Eviction::Lru });
    for number in 0..100_u8 {
        let put = CacheOp {
            action: CacheAction::Put(b"value"),
            policy: CachePolicy::ETERNAL,
            overrides: false,
            room,
            tag: b"",
        };
        bench.key(&[number], KeyOp::Cache(put)).unwrap();
        assert!(bench.primary.len() <= 10);
    }
    assert_eq!(bench.primary.len(), 10);
    // The entry that was added is not the one that is evicted.
    assert_eq!(bench.key(&[99], op(CacheAction::Get, CachePolicy::ETERNAL)), Ok(text("value")));
}

#[test]
fn all_entries_are_removed_with_an_event_for_each() {
    let mut bench = Bench::new();
    for number in 0..10_u8 {
        bench.key(&[number], op(CacheAction::Put(b"value"), CachePolicy::ETERNAL)).unwrap();
    }
    let mut remove = || bench.run(&Op::Whole(WholeOp::RemoveSome(6)));
    assert_eq!(remove(), Ok(Reply::flag(true)));
    assert_eq!(remove(), Ok(Reply::flag(false)));
    assert_eq!(bench.events(), ["del"; 4]);
    assert_eq!(bench.primary.len(), 0);
}

#[test]
fn a_value_that_is_not_an_entry_of_a_cache_is_refused() {
    let mut bench = Bench::new();
    bench.key(b"k", KeyOp::Plain(super::super::PlainOp::Append(b"text"))).unwrap();
    let get = op(CacheAction::Get, CachePolicy::ETERNAL);
    assert_eq!(bench.key(b"k", get), Err(OpError::WrongType));
}

/// An entry of the model.
#[derive(Clone)]
struct Entry {
    value: u8,
    own: Option<CachePolicy>,
    /// The earliest and the latest time at which it expires, in milliseconds.
    ends: Option<(u64, u64)>,
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<u8, Entry>,
    now_ms: u64,
}

impl Model {
    /// Sets the end of an entry by a lifetime, or removes it. Returns whether it remains.
    fn set_end(&mut self, key: u8, lifetime: Option<CacheLifetime>, is_access: bool) -> bool {
        let now_ms = self.now_ms;
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        match lifetime {
            None => {}
            Some(CacheLifetime::Eternal) => entry.ends = None,
            Some(CacheLifetime::Ms(0)) => return self.entries.remove(&key).is_none(),
            Some(CacheLifetime::Ms(ms)) => {
                let slack = if is_access { ms / ACCESS_STEPS } else { 0 };
                entry.ends = Some((now_ms + ms, now_ms + ms + slack));
            }
        }
        true
    }

    fn create(&mut self, key: u8, value: u8, policy: CachePolicy) -> bool {
        self.entries.insert(key, Entry { value, own: None, ends: None });
        self.set_end(key, Some(policy.creation), false)
    }

    fn update(&mut self, key: u8, value: u8, policy: CachePolicy) -> bool {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.value = value;
        }
        self.set_end(key, policy.update, false)
    }

    fn run(&mut self, key: u8, action: &Action, policy: CachePolicy, overrides: bool) -> Reply {
        let found = self.entries.get(&key).cloned();
        let own = found.as_ref().and_then(|entry| entry.own);
        let policy = own.filter(|_| !overrides).unwrap_or(policy);
        let old = found.as_ref().map_or(Reply::Nil, |entry| Reply::bytes(&[entry.value]));
        let exists = found.is_some();
        match *action {
            Action::Get => {
                self.set_end(key, policy.access, true);
                old
            }
            Action::Put(value) | Action::GetAndPut(value) => {
                if exists {
                    self.update(key, value, policy);
                } else {
                    self.create(key, value, policy);
                }
                if matches!(action, Action::Put(_)) { Reply::Done } else { old }
            }
            Action::PutIfAbsent(value) => Reply::flag(!exists && self.create(key, value, policy)),
            Action::Replace(value) => Reply::flag(exists && self.update(key, value, policy)),
            Action::ReplaceIf(required, value) => {
                if found.is_some_and(|entry| entry.value == required) {
                    return Reply::flag(self.update(key, value, policy));
                }
                self.set_end(key, policy.access, true);
                Reply::flag(false)
            }
            Action::GetAndReplace(value) => {
                if exists {
                    self.update(key, value, policy);
                }
                old
            }
            Action::Remove => Reply::flag(self.entries.remove(&key).is_some()),
            Action::RemoveIf(required) => {
                if found.is_some_and(|entry| entry.value == required) {
                    self.entries.remove(&key);
                    return Reply::flag(true);
                }
                self.set_end(key, policy.access, true);
                Reply::flag(false)
            }
            Action::GetAndRemove => {
                self.entries.remove(&key);
                old
            }
            Action::SetPolicy(own) => {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.own = Some(own);
                }
                self.set_end(key, own.update, false);
                Reply::flag(exists)
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Get,
    Put(u8),
    GetAndPut(u8),
    PutIfAbsent(u8),
    Replace(u8),
    ReplaceIf(u8, u8),
    GetAndReplace(u8),
    Remove,
    RemoveIf(u8),
    GetAndRemove,
    SetPolicy(CachePolicy),
}

/// The values of entries.
const VALUES: [[u8; 1]; 3] = [[0], [1], [2]];

/// Executes an action on the bench.
fn execute(
    bench: &mut Bench,
    key: u8,
    action: &Action,
    policy: CachePolicy,
    overrides: bool,
) -> Reply {
    let bytes = |value: u8| &VALUES[usize::from(value)][..];
    let action = match *action {
        Action::Get => CacheAction::Get,
        Action::Put(value) => CacheAction::Put(bytes(value)),
        Action::GetAndPut(value) => CacheAction::GetAndPut(bytes(value)),
        Action::PutIfAbsent(value) => CacheAction::PutIfAbsent(bytes(value)),
        Action::Replace(value) => CacheAction::Replace(bytes(value)),
        Action::ReplaceIf(required, value) => CacheAction::ReplaceIf(bytes(required), bytes(value)),
        Action::GetAndReplace(value) => CacheAction::GetAndReplace(bytes(value)),
        Action::Remove => CacheAction::Remove,
        Action::RemoveIf(required) => CacheAction::RemoveIf(bytes(required)),
        Action::GetAndRemove => CacheAction::GetAndRemove,
        Action::SetPolicy(policy) => CacheAction::SetPolicy(policy),
    };
    bench
        .key(&[key], KeyOp::Cache(CacheOp { action, policy, overrides, room: None, tag: b"" }))
        .unwrap()
}

fn lifetimes() -> impl Strategy<Value = CacheLifetime> {
    prop_oneof![Just(ETERNAL), Just(ms(0)), (1..400_u64).prop_map(ms)]
}

fn policies() -> impl Strategy<Value = CachePolicy> {
    let optional = || proptest::option::of(lifetimes());
    (lifetimes(), optional(), optional()).prop_map(|(creation, access, update)| CachePolicy {
        creation,
        access,
        update,
    })
}

fn actions() -> impl Strategy<Value = Action> {
    let value = 0..3_u8;
    prop_oneof![
        3 => Just(Action::Get),
        3 => value.clone().prop_map(Action::Put),
        1 => value.clone().prop_map(Action::GetAndPut),
        1 => value.clone().prop_map(Action::PutIfAbsent),
        1 => value.clone().prop_map(Action::Replace),
        2 => (value.clone(), value.clone()).prop_map(|(a, b)| Action::ReplaceIf(a, b)),
        1 => value.clone().prop_map(Action::GetAndReplace),
        1 => Just(Action::Remove),
        1 => value.prop_map(Action::RemoveIf),
        1 => Just(Action::GetAndRemove),
        1 => policies().prop_map(Action::SetPolicy),
    ]
}

proptest! {
    #[test]
    fn operations_are_those_of_the_model(
        steps in proptest::collection::vec(
            (0..3_u8, actions(), policies(), any::<bool>(), 0..200_u64),
            1..40,
        ),
    ) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for (key, action, policy, overrides, wait_ms) in steps {
            bench.now += Duration::from_millis(wait_ms);
            model.now_ms += wait_ms;
            let now_ms = model.now_ms;
            // An entry whose end is not certain yet may be there or not: as the bench says.
            for key in 0..3 {
                let exists = KeyOp::Generic(super::super::GenericOp::Exists);
                let exists = bench.key(&[key], exists) == Ok(Reply::flag(true));
                let Some((first, last)) = model.entries.get(&key).and_then(|entry| entry.ends)
                else {
                    continue;
                };
                if exists {
                    prop_assert!(now_ms < last, "expires too late");
                } else {
                    prop_assert!(first <= now_ms, "expires too early");
                    model.entries.remove(&key);
                }
            }
            let expected = model.run(key, &action, policy, overrides);
            prop_assert_eq!(execute(&mut bench, key, &action, policy, overrides), expected);
            bench.fail_over();
        }
    }
}
