//! A harness of operations: decoded, and executed on a fragment whose backup must stay equal.

use super::testing::Bench;
use super::*;
use crate::encoding;
use crate::entry::Expiry;
use crate::value::Score;

/// Operations of one input, at most.
const OPS_MAX: usize = 32;

/// Bytes that an operation may add. Values are longer, but take long to compare.
const ADDED_BYTES_MAX: usize = 64 * 1024;

fn score(number: f64) -> Score {
    Score::new(number).unwrap()
}

/// Operations, encoded one after the other.
fn sequence(ops: &[Op<'_>]) -> Vec<u8> {
    ops.iter().flat_map(encoding::encoded).collect()
}

fn of<'a>(key: &'a [u8], ops: Vec<KeyOp<'a>>) -> Vec<u8> {
    sequence(&ops.into_iter().map(|op| Op::Key(key, op)).collect::<Vec<_>>())
}

fn plain() -> Vec<u8> {
    let put = |lifetime, condition, answer| {
        KeyOp::Plain(PlainOp::Put { kind: 0, value: b"12", lifetime, condition, answer })
    };
    of(
        b"plain",
        vec![
            put(Lifetime::For(1_000), PutIf::Absent, PutAnswer::Version),
            KeyOp::Plain(PlainOp::Add(-30)),
            KeyOp::Plain(PlainOp::AddFloat(b"0.5")),
            KeyOp::Plain(PlainOp::Append(b"text")),
            KeyOp::Plain(PlainOp::Splice(9, b"more")),
            KeyOp::Plain(PlainOp::Range(-4, -1)),
            KeyOp::Plain(PlainOp::GetAndExpire(Some(Lifetime::Until(-1)))),
            put(Lifetime::Keep, PutIf::Value(b"12"), PutAnswer::Old),
            put(
                Lifetime::Limited { ttl_ms: Some(5), max_idle_ms: Some(7) },
                PutIf::Always,
                PutAnswer::Done,
            ),
            KeyOp::Generic(GenericOp::Expire(Lifetime::For(60_000), ExpireIf::default())),
            KeyOp::Generic(GenericOp::View),
            KeyOp::Generic(GenericOp::Persist),
            KeyOp::Generic(GenericOp::Touch),
            put(Lifetime::Keep, PutIf::ValueFrom(1, b"2"), PutAnswer::Done),
            KeyOp::Plain(PlainOp::RemoveWhen(PutIf::ValueFrom(1, b"3"))),
            KeyOp::Generic(GenericOp::Evict),
            KeyOp::Plain(PlainOp::RemoveIf(b"12")),
            KeyOp::Generic(GenericOp::RemoveVersion(Version(7))),
        ],
    )
}

fn list() -> Vec<u8> {
    let push = |end| ListOp::Push { end, elements: vec![b"a", b"b", b"a"], present: false };
    let ops = vec![
        push(End::Front),
        push(End::Back),
        ListOp::Set(-1, b"z"),
        ListOp::Get(2),
        ListOp::Remove(-2, b"a"),
        ListOp::Range(0, -1),
        ListOp::Trim(1, -2),
        ListOp::PopMany(End::Back, 2),
        ListOp::Pop(End::Front),
    ];
    of(b"list", ops.into_iter().map(KeyOp::List).collect())
}

fn hash() -> Vec<u8> {
    let ops = vec![
        HashOp::Set(vec![(b"f", b"1"), (b"g", b"w")]),
        HashOp::SetIfAbsent(b"h", b"x"),
        HashOp::Add(b"f", 5),
        HashOp::AddFloat(b"f", b"0.25"),
        HashOp::GetMany(vec![b"f", b"none"]),
        HashOp::All,
        HashOp::AnyOf { count: -3, values: true },
        HashOp::Scan { cursor: 0, count: 1, pattern: Some(b"*"), values: true },
        HashOp::Remove(vec![b"f", b"f", b"none"]),
    ];
    of(b"hash", ops.into_iter().map(KeyOp::Hash).collect())
}

fn set() -> Vec<u8> {
    let ops = vec![
        SetOp::Add(vec![b"x", b"y", b"z", b"x"]),
        SetOp::ContainsMany(vec![b"x", b"none"]),
        SetOp::AnyOf(-5),
        SetOp::AnyOf(2),
        SetOp::Pop,
        SetOp::Remove(vec![b"y", b"y"]),
        SetOp::PopMany(9),
    ];
    of(b"set", ops.into_iter().map(KeyOp::Set).collect())
}

fn counter() -> Vec<u8> {
    let op = |add, seen| KeyOp::Counter(CounterOp { add, seen });
    of(b"counter", vec![op(Some(i64::MAX), None), op(Some(3), None), op(None, Some(([1; 16], 2)))])
}

fn sorted_set() -> Vec<u8> {
    let add = |number| SortedSetOp::Add {
        members: vec![(score(number), b"x"), (score(2.0), b"y"), (score(f64::INFINITY), b"z")],
        only: AddIf::default(),
        changed: true,
    };
    let by = [
        By::Rank(0, -1),
        By::Score(Bound::With(score(-1.0)), Bound::None),
        By::Name(Bound::Without(b"a"), Bound::With(b"y")),
    ];
    let mut ops = vec![
        add(0.0),
        add(-3.5),
        SortedSetOp::Increase { member: b"x", by: f64::MAX, only: AddIf::default() },
        SortedSetOp::Scores(vec![b"x", b"none"]),
        SortedSetOp::AnyOf { count: -3, scores: true },
        SortedSetOp::Rank { member: b"z", reverse: true, score: true },
        SortedSetOp::Pop { greatest: true, count: 1 },
    ];
    for by in by {
        ops.push(SortedSetOp::Count(by));
        ops.push(SortedSetOp::Range(Span { by, reverse: true, limit: Some((0, 2)), scores: true }));
        ops.push(SortedSetOp::RemoveRange(by));
        ops.push(add(1.0));
    }
    ops.push(SortedSetOp::Any);
    of(b"zset", ops.into_iter().map(KeyOp::SortedSet).collect())
}

fn items() -> Vec<u8> {
    let (a, b) = (&b"\0\0\0\0a"[..], &b"\x01\0\0\0b"[..]);
    let ops = vec![
        ItemsOp::Insert { at: None, items: vec![a, b, a], max: 9 },
        ItemsOp::Insert { at: Some(1), items: vec![b, a], max: 9 },
        ItemsOp::Replace(1, a),
        ItemsOp::Range(1, Some(3)),
        ItemsOp::Position { item: b, is_last: true },
        ItemsOp::ContainsAll(vec![a, b]),
        ItemsOp::RemoveAt(0),
        ItemsOp::Remove(b),
        ItemsOp::RetainAll(vec![a]),
        ItemsOp::RemoveAll(vec![b]),
        ItemsOp::PopMany(1),
        ItemsOp::Pop,
        ItemsOp::Clear,
    ];
    of(b"items", ops.into_iter().map(KeyOp::Items).collect())
}

fn distinct() -> Vec<u8> {
    let (a, b) = (&b"\0\0\0\0a"[..], &b"\x01\0\0\0b"[..]);
    let ops = vec![
        DistinctOp::Add(vec![a, b, a]),
        DistinctOp::ContainsAll(vec![a, b]),
        DistinctOp::Remove(vec![b, b]),
        DistinctOp::All,
        DistinctOp::Retain(vec![b]),
        DistinctOp::Take,
        DistinctOp::Clear,
    ];
    of(b"distinct", ops.into_iter().map(KeyOp::Distinct).collect())
}

fn ring() -> Vec<u8> {
    let ops = vec![
        RingOp::Add { items: vec![b"a", b"b", b"c"], capacity: 2 },
        RingOp::Bounds,
        RingOp::Read { from: 0, min: 1, max: 9 },
        RingOp::Item(2),
        RingOp::Add { items: vec![b"d"], capacity: 9 },
    ];
    of(b"ring", ops.into_iter().map(KeyOp::Ring).collect())
}

fn cache() -> Vec<u8> {
    let policy = CachePolicy {
        creation: CacheLifetime::Ms(1_000),
        access: Some(CacheLifetime::Ms(500)),
        update: Some(CacheLifetime::Eternal),
    };
    let actions = vec![
        CacheAction::PutIfAbsent(b"a"),
        CacheAction::Get,
        CacheAction::ReplaceIf(b"a", b"b"),
        CacheAction::SetPolicy(CachePolicy::ETERNAL),
        CacheAction::Peek,
        CacheAction::GetAndReplace(b"c"),
        CacheAction::RemoveIf(b"a"),
        CacheAction::GetAndRemove,
        CacheAction::GetAndPut(b"d"),
        CacheAction::Replace(b"e"),
        CacheAction::Put(b"f"),
        CacheAction::Nothing,
        CacheAction::Remove,
    ];
    let room = Some(CacheRoom { entries_max: 1, eviction: crate::map::Eviction::Lfu });
    let op = |action| CacheOp { action, policy, overrides: false, room, tag: b"tag" };
    of(b"cache", actions.into_iter().map(|action| KeyOp::Cache(op(action))).collect())
}

/// Operations on several keys, on all, and within one another.
fn combined() -> Vec<u8> {
    let get = || Op::Key(b"k", KeyOp::Plain(PlainOp::Get));
    let expiry = encoding::encoded(&Expiry::NEVER);
    let install = |value| TransferOp::Install { value, absent: false, event: "rename_to" };
    sequence(&[
        Op::Several(SeveralOp::Get(vec![b"k", b"plain"])),
        Op::Several(SeveralOp::Exist(vec![b"k", b"k"])),
        Op::By { owner: b"o", op: Box::new(get()) },
        Op::Batch { watched: vec![(b"k", Version(0))], ops: vec![get(), get()] },
        Op::Transfer(b"k", install(&expiry)),
        Op::Transfer(b"k", TransferOp::StoreSet { members: vec![b"x"], event: "sunionstore" }),
        Op::Transfer(
            b"z",
            TransferOp::StoreSorted { members: vec![(score(1.0), b"x")], event: "zunionstore" },
        ),
        Op::Transfer(b"k", TransferOp::Extract),
        Op::Several(SeveralOp::Touch(vec![b"k", b"z"])),
        Op::Whole(WholeOp::Scan { cursor: 0, count: 2, filter: ScanFilter::default() }),
        Op::Whole(WholeOp::Keys(b"*")),
        Op::Whole(WholeOp::Any),
        Op::Transfer(b"k", TransferOp::Moved { event: "rename_from" }),
        Op::Several(SeveralOp::Remove(vec![b"k", b"k", b"z"])),
        Op::Whole(WholeOp::Announce { name: "n", value: b"v" }),
        Op::Whole(WholeOp::ClearUnleased),
        Op::Whole(WholeOp::RemoveSome(1)),
        Op::Whole(WholeOp::Clear),
    ])
}

#[test]
fn fuzz_op() {
    let alone = [plain(), list(), hash(), set(), sorted_set(), counter(), cache(), combined()];
    let collections = [items(), distinct(), ring()];
    let all = [list(), hash(), set(), sorted_set(), plain(), cache(), combined()].concat();
    let samples: Vec<_> = alone.into_iter().chain(collections).chain([all]).collect();
    convoke_harness::check!(&samples, |bytes| {
        let mut bench = Bench::new();
        let mut rest = bytes;
        for _ in 0..OPS_MAX {
            let Ok((op, behind)) = postcard::take_from_bytes::<Op<'_>>(rest) else { break };
            rest = behind;
            // What a grid checks before it executes an operation.
            let fits = op.check_keys().is_ok() && op.added_bytes() <= ADDED_BYTES_MAX;
            if fits {
                let _ = bench.run(&op);
            }
        }
    });
}

/// Numbers as clients write them.
#[test]
fn fuzz_number() {
    let samples = ["0", "-17", "9223372036854775807", "-9223372036854775808", "+5", "007"];
    let floats = ["1e300", "-0.5", "inf", "nan", "3.0000000000000001", "0x10", "1e-320"];
    let samples: Vec<_> = samples.into_iter().chain(floats).collect();
    convoke_harness::check!(&samples, |bytes| {
        if let Some(number) = integer(bytes) {
            assert_eq!(number.to_string().as_bytes(), bytes);
        }
        if let Some(number) = float(bytes) {
            assert_eq!(float(format!("{number:?}").as_bytes()), Some(number), "{number:?}");
        }
        if let Some(number) = Extended::parse(bytes) {
            // At most 17 digits behind the point are shown, which are the same again.
            let text = number.to_string();
            let again = Extended::parse(text.as_bytes()).map(|again| again.to_string());
            assert_eq!(again, Some(text));
        }
    });
}
