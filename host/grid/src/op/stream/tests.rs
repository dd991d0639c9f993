//! Tests of operations on streams, on a primary and its backup.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::op::testing::Bench;
use crate::op::{KeyOp, Op, SeveralOp};

const KEY: &[u8] = b"s";

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId::new(ms, seq)
}

fn run(bench: &mut Bench, op: StreamOp<'_>) -> Result<Reply, OpError> {
    bench.key(KEY, KeyOp::Stream(op))
}

fn add(bench: &mut Bench, new: NewId) -> Result<Reply, OpError> {
    let fields = vec![&b"f"[..], b"v"];
    run(bench, StreamOp::Add { id: new, fields, create: true, trim: None })
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::List(all) => format!("[{}]", all.iter().map(text).collect::<Vec<_>>().join(" ")),
        Reply::ByKey(all) => {
            let pair = |(key, value): &(Reply, Reply)| format!("{}={}", text(key), text(value));
            all.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
        Reply::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn read_group(bench: &mut Bench, consumer: &[u8], from: ReadFrom) -> Result<Reply, OpError> {
    let streams = vec![StreamRead { key: KEY, from }];
    let op = SeveralOp::ReadGroup { group: b"g", consumer, streams, count: 0, acknowledged: true };
    bench.run(&Op::Several(op))
}

fn with_group(entries: u64) -> Bench {
    let mut bench = Bench::new();
    let start = GroupStart::After(StreamId::MIN);
    let create = StreamOp::CreateGroup { group: b"g", start, read: None, create: true };
    assert_eq!(run(&mut bench, create), Ok(Reply::Done));
    for n in 1..=entries {
        add(&mut bench, NewId::Given(id(n, 0))).unwrap();
    }
    bench
}

#[test]
fn ids_are_those_of_the_clock_and_never_go_back() {
    let mut bench = Bench::new();
    let now_ms = 1_700_000_000_000_u64;
    let added = |reply: Result<Reply, OpError>| text(&reply.unwrap());
    assert_eq!(added(add(&mut bench, NewId::Now)), format!("{now_ms}-0"));
    assert_eq!(added(add(&mut bench, NewId::Now)), format!("{now_ms}-1"));
    bench.now = Duration::from_millis(5);
    assert_eq!(added(add(&mut bench, NewId::Now)), format!("{}-0", now_ms + 5));
    let later = now_ms + 1_000;
    assert_eq!(added(add(&mut bench, NewId::At(later))), format!("{later}-0"));
    assert_eq!(added(add(&mut bench, NewId::At(later))), format!("{later}-1"));
    assert_eq!(added(add(&mut bench, NewId::Now)), format!("{later}-2"));
    for smaller in [NewId::At(5), NewId::Given(id(later, 2)), NewId::Given(StreamId::MIN)] {
        assert_eq!(add(&mut bench, smaller), Err(StreamError::IdTooSmall.into()));
    }
    assert!(add(&mut bench, NewId::Given(StreamId::MAX)).is_ok());
    assert_eq!(add(&mut bench, NewId::Now), Err(StreamError::Exhausted.into()));
}

#[test]
fn an_empty_stream_stays() {
    let mut bench = Bench::new();
    add(&mut bench, NewId::Given(id(5, 0))).unwrap();
    assert_eq!(run(&mut bench, StreamOp::Delete(vec![id(5, 0), id(5, 0)])), Ok(Reply::Integer(1)));
    assert_eq!(bench.events(), ["xdel"]);
    assert_eq!(run(&mut bench, StreamOp::Length), Ok(Reply::Integer(0)));
    assert_eq!(bench.scan(10), [KEY.to_vec()]);
    assert_eq!(text(&run(&mut bench, StreamOp::Last).unwrap()), "5-0");
    assert_eq!(add(&mut bench, NewId::Given(id(4, 0))), Err(StreamError::IdTooSmall.into()));
}

#[test]
fn trimming_removes_the_oldest_entries() {
    let mut bench = with_group(250);
    let trim = |to, approximate, limit| {
        StreamOp::Trim(Trim { to, approximate, limit, references: References::Kept })
    };
    for (op, removed) in [
        (trim(TrimTo::Length(120), true, 0), 100),
        (trim(TrimTo::Length(120), false, 0), 30),
        (trim(TrimTo::Id(id(140, 0)), false, 0), 9),
        (trim(TrimTo::Id(id(200, 0)), true, 0), 0),
        (trim(TrimTo::Id(id(201, 0)), true, 60), 0),
        (trim(TrimTo::Id(id(201, 0)), true, 61), 61),
        (trim(TrimTo::Length(0), false, 0), 50),
        (trim(TrimTo::Length(0), false, 0), 0),
    ] {
        assert_eq!(run(&mut bench, op.clone()), Ok(Reply::Integer(removed)), "{op:?}");
    }
}

#[test]
fn entries_that_are_not_acknowledged_are_kept_or_lose_their_references() {
    let mut bench = with_group(4);
    read_group(&mut bench, b"c", ReadFrom::New).unwrap();
    let ack = StreamOp::Acknowledge { group: b"g", ids: vec![id(2, 0), id(3, 0), id(9, 0)] };
    assert_eq!(run(&mut bench, ack), Ok(Reply::Integer(2)));
    let acked =
        |to| Trim { to, approximate: false, limit: 0, references: References::Acknowledged };
    assert_eq!(run(&mut bench, StreamOp::Trim(acked(TrimTo::Length(3)))), Ok(Reply::Integer(1)));
    let ids = vec![id(1, 0), id(2, 0), id(3, 0), id(3, 0)];
    let references = References::Acknowledged;
    let reply = run(&mut bench, StreamOp::DeleteWith { ids, references }).unwrap();
    assert_eq!(text(&reply), "[2 -1 1 -1]");
    let references = References::Removed;
    let ids = vec![id(1, 0)];
    let reply = run(&mut bench, StreamOp::DeleteWith { ids, references }).unwrap();
    assert_eq!(text(&reply), "[1]");
    let reply = run(&mut bench, StreamOp::PendingSummary(b"g")).unwrap();
    assert_eq!(text(&reply), "[1 4-0 4-0 [[c 1]]]");
    // What is added later is not read yet, so it is kept.
    add(&mut bench, NewId::Given(id(6, 0))).unwrap();
    let (ids, references) = (vec![id(4, 0), id(6, 0)], References::Acknowledged);
    let op = StreamOp::AcknowledgeAndDelete { group: b"g", ids, references };
    assert_eq!(text(&run(&mut bench, op).unwrap()), "[1 -1]");
    let (ids, references) = (vec![id(6, 0)], References::Acknowledged);
    let reply = run(&mut bench, StreamOp::DeleteWith { ids, references }).unwrap();
    assert_eq!(text(&reply), "[2]");
}

#[test]
fn each_entry_is_delivered_to_one_consumer_and_again_from_its_history() {
    let mut bench = with_group(3);
    let streams = vec![StreamRead { key: KEY, from: ReadFrom::New }];
    let (group, consumer) = (&b"g"[..], &b"a"[..]);
    let one = SeveralOp::ReadGroup { group, consumer, streams, count: 1, acknowledged: true };
    let reply = bench.run(&Op::Several(one)).unwrap();
    assert_eq!(text(&reply), "s=[[1-0 [f v]]]");
    assert_eq!(bench.events(), ["xgroup-createconsumer"]);
    let reply = read_group(&mut bench, b"b", ReadFrom::New).unwrap();
    assert_eq!(text(&reply), "s=[[2-0 [f v]] [3-0 [f v]]]");
    assert_eq!(read_group(&mut bench, b"b", ReadFrom::New), Ok(Reply::NilList));
    run(&mut bench, StreamOp::Delete(vec![id(2, 0)])).unwrap();
    let reply = read_group(&mut bench, b"b", ReadFrom::After(StreamId::MIN)).unwrap();
    assert_eq!(text(&reply), "s=[[2-0 NilList] [3-0 [f v]]]");
    let range = PendingRange {
        group: b"g",
        from: StreamId::MIN,
        to: StreamId::MAX,
        count: 10,
        consumer: None,
        idle_ms: 0,
    };
    let reply = run(&mut bench, StreamOp::Pending(range)).unwrap();
    assert_eq!(text(&reply), "[[1-0 a 0 1] [2-0 b 0 1] [3-0 b 0 2]]");
    let delete = StreamOp::DeleteConsumer { group: b"g", consumer: b"b" };
    assert_eq!(run(&mut bench, delete), Ok(Reply::Integer(2)));
    let reply = run(&mut bench, StreamOp::PendingSummary(b"g")).unwrap();
    assert_eq!(text(&reply), "[1 1-0 1-0 [[a 1]]]");
}

#[test]
fn pending_entries_are_claimed() {
    let mut bench = with_group(4);
    read_group(&mut bench, b"a", ReadFrom::New).unwrap();
    run(&mut bench, StreamOp::Delete(vec![id(2, 0)])).unwrap();
    let claim = |idle_ms, ids| Claim {
        group: b"g",
        consumer: b"b",
        idle_ms,
        ids,
        time: ClaimTime::Ago(0),
        deliveries: None,
        force: false,
        only_ids: false,
        last: None,
    };
    let early = claim(100, vec![id(1, 0)]);
    assert_eq!(text(&run(&mut bench, StreamOp::Claim(early)).unwrap()), "[]");
    bench.now = Duration::from_millis(100);
    let gone = claim(100, vec![id(1, 0), id(2, 0), id(2, 0), id(9, 0)]);
    assert_eq!(text(&run(&mut bench, StreamOp::Claim(gone)).unwrap()), "[[1-0 [f v]]]");
    let auto = |start, count, only_ids| AutoClaim {
        group: b"g",
        consumer: b"c",
        idle_ms: 0,
        start,
        count,
        only_ids,
    };
    let first = auto(StreamId::MIN, 1, true);
    assert_eq!(text(&run(&mut bench, StreamOp::AutoClaim(first)).unwrap()), "[3-0 [1-0] []]");
    run(&mut bench, StreamOp::Delete(vec![id(3, 0)])).unwrap();
    let rest = auto(id(3, 0), 9, false);
    let reply = run(&mut bench, StreamOp::AutoClaim(rest)).unwrap();
    assert_eq!(text(&reply), "[0-0 [[4-0 [f v]]] [3-0]]");
    let reply = run(&mut bench, StreamOp::PendingSummary(b"g")).unwrap();
    assert_eq!(text(&reply), "[2 1-0 4-0 [[c 2]]]");
}

#[test]
fn the_lag_is_known_unless_entries_were_deleted_from_within() {
    let lag = |bench: &mut Bench| {
        let reply = run(bench, StreamOp::InfoGroups).unwrap();
        let Reply::List(groups) = reply else { panic!("groups") };
        let Reply::Map(facts) = &groups[0] else { panic!("facts") };
        let fact = |name: &str| {
            let found = facts.iter().find(|(known, _)| *known == Reply::bytes(name.as_bytes()));
            text(&found.unwrap().1)
        };
        (fact("entries-read"), fact("lag"))
    };
    let mut bench = with_group(5);
    assert_eq!(lag(&mut bench), ("Nil".into(), "5".into()));
    let streams = vec![StreamRead { key: KEY, from: ReadFrom::New }];
    let (group, consumer) = (&b"g"[..], &b"a"[..]);
    let two = SeveralOp::ReadGroup { group, consumer, streams, count: 2, acknowledged: true };
    bench.run(&Op::Several(two)).unwrap();
    assert_eq!(lag(&mut bench), ("2".into(), "3".into()));
    run(&mut bench, StreamOp::Delete(vec![id(4, 0)])).unwrap();
    assert_eq!(lag(&mut bench), ("2".into(), "Nil".into()));
    read_group(&mut bench, b"a", ReadFrom::New).unwrap();
    assert_eq!(lag(&mut bench), ("5".into(), "0".into()));
}

#[test]
fn the_lag_is_right_after_entries_were_trimmed_that_a_group_had_not_read() {
    let mut bench = with_group(10);
    let streams = vec![StreamRead { key: KEY, from: ReadFrom::New }];
    let (group, consumer) = (&b"g"[..], &b"a"[..]);
    let one = SeveralOp::ReadGroup { group, consumer, streams, count: 1, acknowledged: true };
    bench.run(&Op::Several(one.clone())).unwrap();
    let to = TrimTo::Length(4);
    let trim = Trim { to, approximate: false, limit: 0, references: References::Kept };
    run(&mut bench, StreamOp::Trim(trim)).unwrap();
    for (read, lag) in [(7, 3), (8, 2)] {
        bench.run(&Op::Several(one.clone())).unwrap();
        let Ok(Reply::List(groups)) = run(&mut bench, StreamOp::InfoGroups) else { panic!() };
        let Reply::Map(facts) = &groups[0] else { panic!() };
        let expected = [Reply::Integer(read), Reply::Integer(lag)];
        assert_eq!([&facts[4].1, &facts[5].1], [&expected[0], &expected[1]]);
    }
}

#[test]
fn a_missing_group_is_an_error_that_names_it() {
    let mut bench = with_group(1);
    let error = |by| {
        let (key, group) = ("s".into(), "nog".into());
        Err(OpError::Stream(StreamError::NoGroup { key, group, by }))
    };
    let nog = || &b"nog"[..];
    assert_eq!(run(&mut bench, StreamOp::CheckGroup(nog())), error(GroupUse::Read));
    assert_eq!(run(&mut bench, StreamOp::PendingSummary(nog())), error(GroupUse::Pending));
    assert_eq!(run(&mut bench, StreamOp::InfoConsumers(nog())), error(GroupUse::Describe));
    assert_eq!(run(&mut bench, StreamOp::DestroyGroup(nog())), Ok(Reply::Integer(0)));
    assert_eq!(run(&mut bench, StreamOp::DestroyGroup(b"g")), Ok(Reply::Integer(1)));
    assert!(read_group(&mut bench, b"c", ReadFrom::New).is_err());
    let start = GroupStart::Last;
    let create = StreamOp::CreateGroup { group: nog(), start, read: None, create: false };
    assert_eq!(bench.key(b"t", KeyOp::Stream(create)), Err(StreamError::NoStream.into()));
}

proptest! {
    #[test]
    fn an_operation_of_arbitrary_bytes_is_executed_or_refused(
        ops in proptest::collection::vec(
            (0..22_u8, proptest::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..40)),
            0..12,
        ),
    ) {
        let mut bench = with_group(3);
        let _ = read_group(&mut bench, b"c", ReadFrom::New);
        for (variant, mut bytes) in ops {
            bytes.insert(0, variant);
            if let Ok(op) = postcard::from_bytes::<StreamOp<'_>>(&bytes) {
                let _ = run(&mut bench, op);
            }
        }
    }
}

#[test]
fn names_and_entries_are_bounded() {
    let mut bench = with_group(1);
    let long = vec![b'n'; STREAM_NAME_BYTES_MAX + 1];
    let too_long = Err(StreamError::NameTooLong.into());
    let start = GroupStart::Last;
    let create = StreamOp::CreateGroup { group: &long, start, read: None, create: true };
    assert_eq!(run(&mut bench, create), too_long);
    let create = StreamOp::CreateConsumer { group: b"g", consumer: &long };
    assert_eq!(run(&mut bench, create), too_long);
    assert_eq!(read_group(&mut bench, &long, ReadFrom::New), too_long);
    let half = vec![b'v'; crate::STREAM_ENTRY_BYTES_MAX / 2];
    let fields = vec![&half[..], &half[..], b"f", b"v"];
    let op = StreamOp::Add { id: NewId::Now, fields, create: true, trim: None };
    assert_eq!(run(&mut bench, op), Err(OpError::TooLong));
    let op = StreamOp::Add { id: NewId::Now, fields: vec![b"f"], create: true, trim: None };
    assert_eq!(run(&mut bench, op), Err(OpError::Malformed));
}
