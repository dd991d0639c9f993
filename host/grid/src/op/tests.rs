//! Replies, changes and events of operations.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::answer::{REMOVED_BYTES_MAX, bounded, check_removable, span};
use super::testing::Bench;
use super::*;
use crate::map::{Eviction, MapSettings};
use crate::reply::VALUE_BYTES;
use crate::value::Score;

fn put(value: &[u8]) -> KeyOp<'_> {
    put_if(value, Lifetime::Default, PutIf::Always, PutAnswer::Done)
}

fn put_if<'a>(
    value: &'a [u8],
    lifetime: Lifetime,
    condition: PutIf<'a>,
    answer: PutAnswer,
) -> KeyOp<'a> {
    KeyOp::Plain(PlainOp::Put { kind: 0, value, lifetime, condition, answer })
}

fn get() -> KeyOp<'static> {
    KeyOp::Plain(PlainOp::Get)
}

fn bytes(text: &str) -> Reply {
    Reply::bytes(text.as_bytes())
}

#[test]
fn a_value_is_put_when_its_condition_holds() {
    let mut bench = Bench::new();
    let if_absent = put_if(b"1", Lifetime::Default, PutIf::Absent, PutAnswer::Done);
    assert_eq!(bench.key(b"k", if_absent.clone()), Ok(Reply::Done));
    assert_eq!(bench.events(), ["new", "set"]);
    assert_eq!(bench.key(b"k", if_absent), Ok(Reply::Nil));
    let old = put_if(b"2", Lifetime::Default, PutIf::Present, PutAnswer::Old);
    assert_eq!(bench.key(b"k", old), Ok(bytes("1")));
    let swap = put_if(b"3", Lifetime::Default, PutIf::Value(b"2"), PutAnswer::Version);
    let Ok(Reply::Integer(version)) = bench.key(b"k", swap) else { panic!("a version") };
    let version = Version(version.cast_unsigned());
    let later = put_if(b"4", Lifetime::Default, PutIf::Version(version), PutAnswer::Done);
    assert_eq!(bench.key(b"k", later.clone()), Ok(Reply::Done));
    assert_eq!(bench.key(b"k", later), Ok(Reply::Nil), "its version has changed");
    assert_eq!(bench.key(b"k", get()), Ok(bytes("4")));
}

#[test]
fn an_element_that_is_moved_is_pushed_before_it_is_popped() {
    let mut bench = Bench::new();
    let push = ListOp::Push { end: End::Back, elements: vec![b"a"], present: false };
    bench.key(b"l", KeyOp::List(push)).unwrap();
    for (from_end, to_end) in [(End::Front, End::Front), (End::Front, End::Back)] {
        let moved = SeveralOp::MoveElement { from: b"l", from_end, to: b"l", to_end };
        assert_eq!(bench.run(&Op::Several(moved)), Ok(bytes("a")));
        let push = if to_end == End::Front { "lpush" } else { "rpush" };
        assert_eq!(bench.events(), [push, "lpop"]);
    }
    let (from_end, to_end) = (End::Back, End::Front);
    let moved = SeveralOp::MoveElement { from: b"l", from_end, to: b"m", to_end };
    assert_eq!(bench.run(&Op::Several(moved)), Ok(bytes("a")));
    assert_eq!(bench.events(), ["new", "lpush", "rpop", "del"]);
}

#[test]
fn an_increment_by_zero_keeps_its_sign_in_the_reply_and_is_no_change() {
    let mut bench = Bench::new();
    let increase =
        |by| KeyOp::SortedSet(SortedSetOp::Increase { member: b"m", by, only: AddIf::default() });
    let sign = |reply: Result<Reply, OpError>| match reply {
        Ok(Reply::Double(number)) => number.is_sign_negative(),
        reply => panic!("{reply:?}"),
    };
    assert!(sign(bench.key(b"z", increase(-0.0))));
    assert!(!sign(bench.key(b"z", increase(-0.0))), "the member has a score of zero");
    assert_eq!(bench.events(), Vec::<&str>::new());
}

#[test]
fn an_entry_expires_at_its_deadline_with_one_event() {
    let mut bench = Bench::new();
    let short = put_if(b"1", Lifetime::For(1_000), PutIf::Always, PutAnswer::Done);
    bench.key(b"k", short).unwrap();
    let remaining = KeyOp::Generic(GenericOp::Remaining);
    assert_eq!(bench.key(b"k", remaining.clone()), Ok(Reply::Integer(1_000)));
    bench.now = Duration::from_millis(999);
    assert_eq!(bench.key(b"k", get()), Ok(bytes("1")));
    bench.now = Duration::from_millis(1_000);
    assert_eq!(bench.key(b"k", get()), Ok(Reply::Nil));
    assert_eq!(bench.events(), ["expired"]);
    assert_eq!(bench.key(b"k", remaining), Ok(Reply::Integer(-2)));
    assert!(bench.events().is_empty());
}

#[test]
fn the_version_of_a_watched_key_changes_when_it_expires() {
    let mut bench = Bench::new();
    let version = KeyOp::Generic(GenericOp::Version);
    for before in [None, Some(put(b"0"))] {
        if let Some(before) = before {
            bench.key(b"k", before).unwrap();
        }
        let short = put_if(b"1", Lifetime::For(1_000), PutIf::Always, PutAnswer::Done);
        bench.key(b"k", short).unwrap();
        let watched = bench.key(b"k", version.clone()).unwrap();
        bench.now += Duration::from_millis(1_000);
        let gone = bench.key(b"k", version.clone()).unwrap();
        assert_ne!(gone, watched);
        assert_eq!(bench.key(b"k", version.clone()), Ok(gone), "the version stays the same");
    }
}

#[test]
fn an_entry_that_is_read_does_not_expire_as_idle() {
    let mut bench = Bench::with(MapSettings { max_idle_ms: Some(1_600), ..Default::default() });
    bench.key(b"k", put(b"1")).unwrap();
    for step in 1..10 {
        bench.now = Duration::from_millis(step * 1_500);
        assert_eq!(bench.key(b"k", get()), Ok(bytes("1")), "{step}");
    }
    bench.now += Duration::from_millis(1_900);
    assert_eq!(bench.key(b"k", get()), Ok(Reply::Nil));
}

#[test]
fn addition_changes_numbers_and_refuses_other_values() {
    let mut bench = Bench::new();
    let add = |more| KeyOp::Plain(PlainOp::Add(more));
    assert_eq!(bench.key(b"n", add(5)), Ok(Reply::Integer(5)));
    assert_eq!(bench.key(b"n", add(i64::MAX)), Err(OpError::Overflow));
    assert_eq!(bench.key(b"n", KeyOp::Plain(PlainOp::AddFloat(b"0.5"))), Ok(bytes("5.5")));
    assert_eq!(bench.key(b"n", add(1)), Err(OpError::NotAnInteger));
    for text in ["+1", "01", " 1", "1 ", "", "-0", "9223372036854775808"] {
        bench.key(b"t", put(text.as_bytes())).unwrap();
        assert_eq!(bench.key(b"t", add(1)), Err(OpError::NotAnInteger), "{text:?}");
    }
}

#[test]
fn an_operation_of_another_type_is_refused() {
    let mut bench = Bench::new();
    let push = KeyOp::List(ListOp::Push { end: End::Back, elements: vec![b"a"], present: false });
    bench.key(b"l", push.clone()).unwrap();
    bench.key(b"p", put(b"1")).unwrap();
    assert_eq!(bench.key(b"l", get()), Err(OpError::WrongType));
    assert_eq!(bench.key(b"p", push), Err(OpError::WrongType));
    assert_eq!(bench.key(b"l", KeyOp::Set(SetOp::Length)), Err(OpError::WrongType));
    assert_eq!(bench.key(b"l", put(b"2")), Ok(Reply::Done), "a put replaces anything");
    let kind = KeyOp::Generic(GenericOp::Type);
    assert_eq!(bench.key(b"l", kind), Ok(Reply::Word("string".into())));
}

/// A map of at most 60,000 bytes.
fn bounded_map(eviction: Eviction) -> MapSettings {
    MapSettings { memory_bytes_max: Some(60_000), eviction, ..MapSettings::default() }
}

#[test]
fn a_map_at_its_bound_evicts_or_refuses() {
    for eviction in [Eviction::Lru, Eviction::Lfu, Eviction::Random] {
        let mut bench = Bench::with(bounded_map(eviction));
        for n in 0..700_u32 {
            assert_eq!(bench.key(&n.to_be_bytes(), put(&[1; 100])), Ok(Reply::Done));
        }
        assert!(bench.primary.bytes() < 75_000, "{eviction:?} {}", bench.primary.bytes());
        assert_eq!(bench.key(&699_u32.to_be_bytes(), get()), Ok(Reply::bytes(&[1; 100])));
    }
    let mut bench = Bench::with(bounded_map(Eviction::None));
    let fill = |bench: &mut Bench, n: u32| bench.key(&n.to_be_bytes(), put(&[1; 100]));
    let full = (0..2_000).find(|n| fill(&mut bench, *n).is_err()).expect("it is full");
    assert_eq!(fill(&mut bench, full), Err(OpError::Full));
    assert_eq!(bench.key(&0_u32.to_be_bytes(), get()), Ok(Reply::bytes(&[1; 100])));
}

#[test]
fn a_value_that_does_not_fit_in_a_map_is_refused_without_eviction() {
    for eviction in [Eviction::None, Eviction::Lru] {
        let mut bench = Bench::with(bounded_map(eviction));
        let long = [1; 40_000];
        assert_eq!(bench.key(b"a", put(&long)), Ok(Reply::Done));
        let splice = KeyOp::Plain(PlainOp::Splice(60_000, b"x"));
        let fields = vec![(&b"f"[..], &[1; 61_000][..])];
        for op in [put(&[1; 61_000]), splice, KeyOp::Hash(HashOp::Set(fields))] {
            assert_eq!(bench.key(b"b", op), Err(OpError::Full), "{eviction:?}");
        }
        // Nothing was evicted for a value that does not fit; a value replaces one of the same
        // length.
        assert_eq!(bench.key(b"a", get()), Ok(Reply::bytes(&long)));
        assert_eq!(bench.key(b"a", put(&[2; 40_000])), Ok(Reply::Done));
        let is_evicted = eviction == Eviction::Lru;
        assert_eq!(bench.key(b"c", put(&long)).is_ok(), is_evicted);
        assert_eq!(bench.key(b"a", get()) == Ok(Reply::Nil), is_evicted);
    }
}

#[test]
fn keeping_the_expiry_of_a_missing_key_uses_the_default_of_the_map() {
    let settings = MapSettings { ttl_ms: Some(2_000), ..MapSettings::default() };
    let mut bench = Bench::with(settings);
    let keep = put_if(b"v", Lifetime::Keep, PutIf::Always, PutAnswer::Done);
    assert_eq!(bench.key(b"k", keep.clone()), Ok(Reply::Done));
    bench.now = Duration::from_millis(1_000);
    assert_eq!(bench.key(b"k", keep), Ok(Reply::Done));
    bench.now = Duration::from_millis(2_100);
    assert_eq!(bench.key(b"k", get()), Ok(Reply::Nil));
}

#[test]
fn a_batch_is_executed_unless_a_watched_key_changed() {
    let mut bench = Bench::new();
    let batch = |version| Op::Batch {
        watched: vec![(&b"k"[..], version)],
        ops: vec![Op::Key(b"k", put(b"1")), Op::Key(b"k", KeyOp::List(ListOp::Length))],
    };
    let done = Reply::List(vec![Reply::Done, Reply::Failed(OpError::WrongType)]);
    assert_eq!(bench.run(&batch(Version::NONE)), Ok(done));
    assert_eq!(bench.run(&batch(Version::NONE)), Err(OpError::Changed));
}

#[test]
fn values_move_with_their_expiry() {
    let mut bench = Bench::new();
    let push =
        KeyOp::List(ListOp::Push { end: End::Back, elements: vec![b"a"; 300], present: false });
    bench.key(b"l", push).unwrap();
    let expire = GenericOp::Expire(Lifetime::For(500), ExpireIf::default());
    bench.key(b"l", KeyOp::Generic(expire)).unwrap();
    let rename = SeveralOp::Rename { from: b"l", to: b"m", absent: false };
    assert_eq!(bench.run(&Op::Several(rename.clone())), Ok(Reply::Done));
    assert_eq!(bench.key(b"m", KeyOp::List(ListOp::Length)), Ok(Reply::Integer(300)));
    assert_eq!(bench.key(b"m", KeyOp::Generic(GenericOp::Remaining)), Ok(Reply::Integer(500)));
    assert_eq!(bench.run(&Op::Several(rename)), Err(OpError::NoSuchKey));
}

#[test]
fn a_range_counts_from_either_end_and_is_clamped_to_the_length() {
    assert_eq!(span(0, -1, 5), (0, 5));
    assert_eq!(span(-3, -2, 5), (2, 4));
    assert_eq!(span(-100, 100, 5), (0, 5));
    assert_eq!(span(3, 1, 5), (0, 0));
    assert_eq!(span(0, -1, 0), (0, 0));
    assert_eq!(span(-1, -100, 5), (0, 0));
    assert_eq!(span(i64::MIN, i64::MAX, 5), (0, 5));
}

proptest! {
    #[test]
    fn a_scan_returns_every_key_once(
        keys in proptest::collection::btree_set(any::<u16>(), 0..300),
        count in 1..50_u64,
    ) {
        let mut bench = Bench::new();
        for (n, key) in keys.iter().enumerate() {
            let key = key.to_be_bytes();
            let set = KeyOp::Set(SetOp::Add(vec![b"member"]));
            bench.key(&key, if n % 3 == 0 { set } else { put(b"v") }).unwrap();
        }
        let found: Vec<_> = bench.scan(count);
        let distinct: BTreeSet<_> = found.iter().cloned().collect();
        prop_assert_eq!(found.len(), distinct.len());
        let wanted: BTreeSet<_> = keys.iter().map(|key| key.to_be_bytes().to_vec()).collect();
        prop_assert_eq!(distinct, wanted);
    }

    #[test]
    fn a_list_behaves_like_a_queue(
        steps in proptest::collection::vec((0..8_u8, -4..8_i64, any::<u8>()), 0..80),
    ) {
        let (mut bench, mut model) = (Bench::new(), VecDeque::<Vec<u8>>::new());
        for (what, number, byte) in steps {
            let element = vec![byte % 5];
            match what {
                0 | 1 => {
                    let end = if what == 0 { End::Front } else { End::Back };
                    let elements = vec![&element[..]];
                    let push = ListOp::Push { end, elements, present: false };
                    match end {
                        End::Front => model.push_front(element.clone()),
                        End::Back => model.push_back(element.clone()),
                    }
                    let length = Reply::count(model.len());
                    prop_assert_eq!(bench.key(b"l", KeyOp::List(push)), Ok(length));
                }
                2 => {
                    let popped = model.pop_front();
                    let wanted = Reply::optional(popped.as_deref());
                    prop_assert_eq!(bench.key(b"l", KeyOp::List(ListOp::Pop(End::Front))), Ok(wanted));
                }
                3 => {
                    let count = number.unsigned_abs();
                    let wanted = if model.is_empty() {
                        Reply::NilList
                    } else {
                        let most = (count as usize).min(model.len());
                        let taken = (0..most).filter_map(|_| model.pop_back());
                        Reply::List(taken.map(|e| Reply::bytes(&e)).collect())
                    };
                    let pop = KeyOp::List(ListOp::PopMany(End::Back, count));
                    prop_assert_eq!(bench.key(b"l", pop), Ok(wanted));
                }
                4 => {
                    let (from, to) = span(number, number + 2, model.len());
                    bench.key(b"l", KeyOp::List(ListOp::Trim(number, number + 2))).unwrap();
                    model = model.range(from..to).cloned().collect();
                }
                5 => {
                    let mut left = if number == 0 { usize::MAX } else { number.unsigned_abs() as usize };
                    let mut kept = VecDeque::new();
                    let order: Vec<_> = if number < 0 {
                        model.iter().rev().cloned().collect()
                    } else {
                        model.iter().cloned().collect()
                    };
                    for other in order {
                        if other == element && left > 0 {
                            left -= 1;
                        } else if number < 0 {
                            kept.push_front(other);
                        } else {
                            kept.push_back(other);
                        }
                    }
                    let removed = Reply::count(model.len() - kept.len());
                    model = kept;
                    let remove = KeyOp::List(ListOp::Remove(number, &element));
                    prop_assert_eq!(bench.key(b"l", remove), Ok(removed));
                }
                6 => {
                    let pivot = [byte % 3];
                    let at = model.iter().position(|other| **other == pivot);
                    let wanted = match at {
                        _ if model.is_empty() => 0,
                        None => -1,
                        Some(at) => {
                            model.insert(at, element.clone());
                            model.len() as i64
                        }
                    };
                    let insert = ListOp::Insert { before: true, pivot: &pivot, element: &element };
                    prop_assert_eq!(bench.key(b"l", KeyOp::List(insert)), Ok(Reply::Integer(wanted)));
                }
                _ => {
                    let moved = SeveralOp::MoveElement {
                        from: b"l",
                        from_end: End::Front,
                        to: b"l",
                        to_end: End::Back,
                    };
                    let first = model.pop_front();
                    model.extend(first.clone());
                    let wanted = Reply::optional(first.as_deref());
                    prop_assert_eq!(bench.run(&Op::Several(moved)), Ok(wanted));
                }
            }
            let all = bench.key(b"l", KeyOp::List(ListOp::Range(0, -1)));
            let wanted = model.iter().map(|element| Reply::bytes(element)).collect();
            prop_assert_eq!(all, Ok(Reply::List(wanted)));
        }
    }

    #[test]
    fn a_sorted_set_behaves_like_a_sorted_map(
        steps in proptest::collection::vec((0..5_u8, any::<u8>(), -5..5_i8), 0..80),
    ) {
        let (mut bench, mut model) = (Bench::new(), BTreeMap::<Vec<u8>, f64>::new());
        for (what, name, number) in steps {
            let (name, number) = (vec![name % 20], f64::from(number));
            let score = Score::new(number).unwrap();
            match what {
                0 | 1 => {
                    let only = AddIf { greater: what == 1, ..AddIf::default() };
                    let members = vec![(score, &name[..])];
                    let add = SortedSetOp::Add { members, only, changed: true };
                    let old = model.get(&name).copied();
                    let takes = old.is_none_or(|old| if what == 1 { number > old } else { number != old });
                    if takes {
                        model.insert(name.clone(), number);
                    }
                    prop_assert_eq!(bench.key(b"z", KeyOp::SortedSet(add)), Ok(Reply::flag(takes)));
                }
                2 => {
                    let only = AddIf::default();
                    let more = SortedSetOp::Increase { member: &name, by: number, only };
                    let sum = model.entry(name.clone()).or_default();
                    *sum += number;
                    prop_assert_eq!(bench.key(b"z", KeyOp::SortedSet(more)), Ok(Reply::Double(*sum)));
                }
                3 => {
                    let gone = model.remove(&name).is_some();
                    let remove = KeyOp::SortedSet(SortedSetOp::Remove(vec![&name, &name]));
                    prop_assert_eq!(bench.key(b"z", remove), Ok(Reply::flag(gone)));
                }
                _ => {
                    let by = By::Score(Bound::Without(score), Bound::None);
                    let count = model.values().filter(|other| **other > number).count();
                    let op = KeyOp::SortedSet(SortedSetOp::Count(by));
                    prop_assert_eq!(bench.key(b"z", op), Ok(Reply::count(count)));
                }
            }
            let mut order: Vec<_> = model.iter().map(|(name, score)| (*score, name)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1).reverse()));
            let wanted = order.iter().rev().map(|(s, n)| (Reply::bytes(n), Reply::Double(*s)));
            let span = Span { by: By::Rank(0, -1), reverse: true, limit: None, scores: true };
            let all = bench.key(b"z", KeyOp::SortedSet(SortedSetOp::Range(span)));
            prop_assert_eq!(all, Ok(Reply::Pairs(wanted.collect())));
        }
    }

    #[test]
    fn hashes_and_sets_behave_like_maps_and_sets(
        steps in proptest::collection::vec((0..6_u8, any::<u8>(), any::<u8>()), 0..80),
    ) {
        let mut bench = Bench::new();
        let (mut fields, mut members) = (BTreeMap::<Vec<u8>, Vec<u8>>::new(), BTreeSet::<Vec<u8>>::new());
        for (what, a, b) in steps {
            let (a, b) = (vec![a % 12], vec![b]);
            match what {
                0 => {
                    let new = fields.insert(a.clone(), b.clone()).is_none();
                    let set = KeyOp::Hash(HashOp::Set(vec![(&a, &b)]));
                    prop_assert_eq!(bench.key(b"h", set), Ok(Reply::flag(new)));
                }
                1 => {
                    let gone = fields.remove(&a).is_some();
                    let remove = KeyOp::Hash(HashOp::Remove(vec![&a]));
                    prop_assert_eq!(bench.key(b"h", remove), Ok(Reply::flag(gone)));
                }
                2 => {
                    let new = members.insert(a.clone());
                    prop_assert_eq!(
                        bench.key(b"s", KeyOp::Set(SetOp::Add(vec![&a]))), Ok(Reply::flag(new))
                    );
                }
                3 => {
                    let gone = members.remove(&a);
                    prop_assert_eq!(
                        bench.key(b"s", KeyOp::Set(SetOp::Remove(vec![&a]))), Ok(Reply::flag(gone))
                    );
                }
                4 => match bench.key(b"s", KeyOp::Set(SetOp::Pop)) {
                    Ok(Reply::Nil) => prop_assert!(members.is_empty()),
                    Ok(Reply::Bytes(member)) => prop_assert!(members.remove(&member[..])),
                    other => panic!("{other:?}"),
                },
                _ => {
                    let most = i64::from(b[0] % 6);
                    match bench.key(b"s", KeyOp::Set(SetOp::AnyOf(most))) {
                        Ok(Reply::List(some)) => {
                            prop_assert_eq!(some.len(), members.len().min(most as usize));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            let wanted = fields.get(&a).map(|value| &value[..]);
            let found = bench.key(b"h", KeyOp::Hash(HashOp::Get(&a)));
            prop_assert_eq!(found, Ok(Reply::optional(wanted)));
            let length = bench.key(b"s", KeyOp::Set(SetOp::Length));
            prop_assert_eq!(length, Ok(Reply::count(members.len())));
        }
    }
}

#[test]
fn more_keys_than_an_answer_holds_are_refused_and_not_truncated() {
    let elements = |count: usize, bytes: usize| {
        let element = vec![b'k'; bytes];
        let reply = bounded(std::iter::repeat_n(&element[..], count));
        reply.map(|reply| if let Reply::List(all) = reply { all.len() } else { 0 })
    };
    assert_eq!(elements(ELEMENTS_MAX, 0), Ok(ELEMENTS_MAX));
    assert_eq!(elements(ELEMENTS_MAX + 1, 0), Err(OpError::AnswerTooLong));
    assert_eq!(elements(2, ELEMENTS_BYTES_MAX / 2), Ok(2));
    assert_eq!(elements(3, ELEMENTS_BYTES_MAX / 2), Err(OpError::AnswerTooLong));
    let mut bench = Bench::new();
    for key in [&b"a1"[..], b"a2", b"b1"] {
        bench.key(key, put(b"v")).unwrap();
    }
    let Ok(Reply::List(all)) = bench.run(&Op::Whole(WholeOp::Keys(b"a*"))) else { panic!("keys") };
    assert_eq!(all.len(), 2);
}

#[test]
fn elements_that_do_not_fit_in_an_answer_are_not_removed() {
    // The most that may be removed fits in an answer, with scores, the key and the lists around it.
    let whole = REMOVED_BYTES_MAX / 4 - 2 * VALUE_BYTES;
    assert_eq!(check_removable([whole; 4].into_iter()), Ok(()));
    let pair = || (Reply::Bytes(vec![0; whole].into()), Reply::Double(0.0));
    let pairs = Reply::Pairs((0..4).map(|_| pair()).collect());
    let reply = Reply::List(vec![Reply::bytes(&[0; KEY_BYTES_MAX]), pairs]);
    assert!(reply.bytes_at_most(ANSWER_BYTES_MAX).is_some());
    assert_eq!(check_removable([whole + 1; 4].into_iter()), Err(OpError::AnswerTooLong));
    assert_eq!(check_removable(std::iter::repeat_n(0, 10_000_000)), Err(OpError::AnswerTooLong));
}

#[test]
fn an_answer_that_repeats_a_value_is_bounded() {
    let mut bench = Bench::new();
    let long = vec![b'v'; ANSWER_BYTES_MAX / 8];
    bench.key(b"k", put(&long)).unwrap();
    let fields = vec![(&b"f"[..], &long[..])];
    bench.key(b"h", KeyOp::Hash(HashOp::Set(fields))).unwrap();
    let many = |count| Op::Several(SeveralOp::Get(vec![&b"k"[..]; count]));
    assert!(bench.run(&many(8)).is_ok());
    assert_eq!(bench.run(&many(9)), Err(OpError::AnswerTooLong));
    let fields = |count| KeyOp::Hash(HashOp::GetMany(vec![&b"f"[..]; count]));
    assert!(bench.key(b"h", fields(8)).is_ok());
    assert_eq!(bench.key(b"h", fields(9)), Err(OpError::AnswerTooLong));
    // In one step, operations that only read are refused beyond that; writes are executed.
    let mut ops = vec![Op::Key(b"k", get()); 9];
    ops.push(Op::Key(b"k", put(b"short")));
    ops.push(Op::Key(b"k", get()));
    let Ok(Reply::List(all)) = bench.run(&Op::Batch { watched: Vec::new(), ops }) else {
        panic!("a list")
    };
    assert_eq!(all[8], Reply::Failed(OpError::AnswerTooLong));
    assert_eq!(all[9], Reply::Done);
    assert_eq!(bench.key(b"k", get()), Ok(bytes("short")));
}

#[test]
fn events_contain_values_if_a_listener_wants_them() {
    let mut bench = Bench::new();
    let put = |value| PlainOp::Put {
        kind: 0,
        value,
        lifetime: Lifetime::Default,
        condition: PutIf::Always,
        answer: PutAnswer::Done,
    };
    let key = |op| Op::Key(b"k", KeyOp::Plain(op));
    bench.run(&key(put(b"a"))).unwrap();
    assert!(bench.changes.events.iter().all(|event| event.value.is_none()));
    bench.want_values();
    let values = |bench: &Bench| {
        let event = bench.changes.events.last().unwrap();
        (event.value.clone(), event.old_value.clone())
    };
    let some = |text: &'static str| Some(bytes::Bytes::from(text));
    bench.run(&key(put(b"b"))).unwrap();
    assert_eq!(values(&bench), (some("b"), some("a")));
    bench.run(&key(PlainOp::Append(b"c"))).unwrap();
    assert_eq!(values(&bench), (some("bc"), some("b")));
    bench.run(&key(PlainOp::Take)).unwrap();
    assert_eq!(values(&bench), (None, some("bc")));
    bench.run(&key(put(b"d"))).unwrap();
    assert_eq!(values(&bench), (some("d"), None));
    bench.run(&Op::Whole(WholeOp::Clear)).unwrap();
    assert_eq!((bench.events(), values(&bench)), (vec!["cleared"], (None, None)));
}

#[test]
fn values_in_the_events_of_one_step_are_limited() {
    let mut bench = Bench::new();
    bench.want_values();
    let value = vec![0; crate::event::EVENT_VALUES_BYTES_MAX / 2];
    let put = |key| {
        Op::Key(
            key,
            KeyOp::Plain(PlainOp::Put {
                kind: 0,
                value: &value,
                lifetime: Lifetime::Default,
                condition: PutIf::Always,
                answer: PutAnswer::Done,
            }),
        )
    };
    let ops = vec![put(b"1"), put(b"2"), put(b"3")];
    bench.run(&Op::Batch { watched: Vec::new(), ops }).unwrap();
    let values = bench.changes.events.iter().filter_map(|event| event.value.as_ref());
    let bytes: usize = values.map(bytes::Bytes::len).sum();
    assert_eq!(bytes, 2 * value.len());
}

#[test]
fn an_event_says_whether_it_is_the_first_of_its_key() {
    let mut bench = Bench::new();
    let put = |key| {
        let put = PlainOp::Put {
            kind: 0,
            value: b"v",
            lifetime: Lifetime::Default,
            condition: PutIf::Always,
            answer: PutAnswer::Done,
        };
        Op::Key(key, KeyOp::Plain(put))
    };
    let ops = vec![put(b"1"), put(b"1"), put(b"2")];
    bench.run(&Op::Batch { watched: Vec::new(), ops }).unwrap();
    let events = bench.changes.events.iter().map(|event| (&*event.name, event.is_first));
    let events: Vec<_> = events.collect();
    let (new, first, other) = (("new", false), ("set", true), ("set", false));
    assert_eq!(events, [new, first, other, new, first]);
}

#[test]
fn a_condition_compares_a_value_from_an_index_on() {
    let mut bench = Bench::new();
    let put = |value, condition| {
        Op::Key(
            b"k",
            KeyOp::Plain(PlainOp::Put {
                kind: 0,
                value,
                lifetime: Lifetime::Default,
                condition,
                answer: PutAnswer::Done,
            }),
        )
    };
    assert_eq!(bench.run(&put(b"abcd", PutIf::ValueFrom(0, b""))), Ok(Reply::Nil));
    bench.run(&put(b"abcd", PutIf::Always)).unwrap();
    for (from, bytes, holds) in [
        (2, &b"cd"[..], true),
        (2, b"c", false),
        (1, b"cd", false),
        (4, b"", true),
        (5, b"", false),
        (u32::MAX, b"", false),
    ] {
        let reply = if holds { Reply::Done } else { Reply::Nil };
        let put = put(b"abcd", PutIf::ValueFrom(from, bytes));
        assert_eq!(bench.run(&put), Ok(reply), "{from} {bytes:?}");
    }
    let remove = |bytes| Op::Key(b"k", KeyOp::Plain(PlainOp::RemoveWhen(bytes)));
    assert_eq!(bench.run(&remove(PutIf::ValueFrom(3, b"c"))), Ok(Reply::Integer(0)));
    assert_eq!(bench.run(&remove(PutIf::ValueFrom(3, b"d"))), Ok(Reply::Integer(1)));
}

#[test]
fn an_evicted_key_is_removed_with_an_event_of_its_own() {
    let mut bench = Bench::new();
    let evict = Op::Key(b"k", KeyOp::Generic(GenericOp::Evict));
    assert_eq!((bench.run(&evict), bench.events()), (Ok(Reply::Integer(0)), vec![]));
    bench.run(&Op::Key(b"k", KeyOp::Plain(PlainOp::Add(1)))).unwrap();
    assert_eq!((bench.run(&evict), bench.events()), (Ok(Reply::Integer(1)), vec!["evicted"]));
    assert_eq!(bench.scan(1), [[0_u8; 0]; 0]);
}

#[test]
fn an_announcement_is_an_event_without_a_change() {
    let mut bench = Bench::new();
    let announce = |value| Op::Whole(WholeOp::Announce { name: "n", value });
    assert_eq!(bench.run(&announce(b"v")), Ok(Reply::Done));
    let event = bench.changes.events.last().unwrap();
    assert_eq!((event.class, &*event.key), (crate::Class::Announced, &b""[..]));
    assert_eq!(event.value.as_deref(), Some(&b"v"[..]));
    assert!(bench.changes.records.is_empty());
    let long = vec![0; ANNOUNCED_BYTES_MAX + 1];
    assert_eq!(bench.run(&announce(&long)), Err(OpError::TooLong));
}

proptest::proptest! {
    #[test]
    fn a_map_is_cleared_except_for_some_keys(
        stored: BTreeSet<u8>,
        kept: BTreeSet<u8>,
    ) {
        let mut bench = Bench::new();
        for key in &stored {
            bench.run(&Op::Key(&[*key], KeyOp::Plain(PlainOp::Append(b"v")))).unwrap();
        }
        let keys: Vec<Box<[u8]>> = kept.iter().map(|key| [*key].into()).collect();
        let remaining: Vec<Vec<u8>> =
            stored.intersection(&kept).map(|key| vec![*key]).collect();
        let removed = bench.clear_except(&keys);
        proptest::prop_assert_eq!(removed, stored.len() - remaining.len());
        let mut found = bench.scan(8);
        found.sort();
        proptest::prop_assert_eq!(&found, &remaining);
        // Those that remain have their values, and nothing was removed if all of them remain.
        for key in &remaining {
            let value = bench.key(key, KeyOp::Plain(PlainOp::Get));
            proptest::prop_assert_eq!(value, Ok(Reply::bytes(b"v")));
        }
    }
}

#[test]
fn a_structure_remains_when_all_other_keys_are_removed() {
    let mut bench = Bench::new();
    bench.run(&Op::Key(b"k", KeyOp::Plain(PlainOp::Add(1)))).unwrap();
    let push = ListOp::Push { end: End::Back, elements: vec![b"a"], present: false };
    bench.run(&Op::Key(b"l", KeyOp::List(push))).unwrap();
    let kept: Box<[u8]> = b"l"[..].into();
    assert_eq!(bench.clear_except(&[kept, b"none"[..].into()]), 1);
    assert_eq!(bench.scan(8), [b"l"]);
    let range = ListOp::Range(0, -1);
    let reply = bench.run(&Op::Key(b"l", KeyOp::List(range)));
    assert_eq!(reply, Ok(Reply::List(vec![Reply::bytes(b"a")])));
}
