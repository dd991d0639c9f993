//! Payloads of Redis, round trips, and damaged payloads.

use std::borrow::Cow;

use convoke_grid::op::{
    Content, ContentConsumer, ContentEntry, ContentField, ContentGroup, ContentPending,
    ContentStream,
};
use convoke_grid::{Score, StreamId};
use proptest::prelude::*;

use super::*;

fn bytes() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::collection::vec(any::<u8>(), 60..70),
        proptest::collection::vec(any::<u8>(), 4_090..4_110),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-5_000..5_000_i64).prop_map(|number| number.to_string().into_bytes()),
    ]
    .prop_map(Cow::Owned)
}

fn names() -> impl Strategy<Value = Vec<Cow<'static, [u8]>>> {
    proptest::collection::btree_set(bytes(), 1..30).prop_map(|all| all.into_iter().collect())
}

fn contents() -> impl Strategy<Value = Content<'static>> {
    let deadline = proptest::option::of(1..1_u64 << 47);
    let scores = proptest::collection::vec(any::<f64>(), 30);
    prop_oneof![
        bytes().prop_map(Content::Bytes),
        proptest::collection::vec(bytes(), 1..30).prop_map(Content::List),
        names().prop_map(Content::Set),
        (names(), proptest::collection::vec((bytes(), deadline), 30), any::<bool>()).prop_map(
            |(names, values, expires)| {
                let field = |(name, (value, deadline_ms)): (_, (_, Option<u64>))| ContentField {
                    name,
                    value,
                    deadline_ms: deadline_ms.filter(|_| expires),
                };
                Content::Hash(names.into_iter().zip(values).map(field).collect())
            }
        ),
        (names(), scores).prop_map(|(names, scores)| {
            let zero = Score::new(0.0).unwrap();
            let score = scores.into_iter().map(move |score| Score::new(score).unwrap_or(zero));
            Content::SortedSet(score.zip(names).collect())
        }),
        streams().prop_map(Content::Stream),
    ]
}

fn streams() -> impl Strategy<Value = ContentStream<'static>> {
    let id =
        (0..5_u64, 0..40_u64).prop_map(|(ms, seq)| StreamId::new(ms * u64::from(u32::MAX), seq));
    let ids = || proptest::collection::btree_set(id.clone(), 0..150);
    let fields = prop_oneof![
        (bytes(), bytes()).prop_map(|(one, other)| vec![
            one,
            "1".as_bytes().into(),
            other,
            "".as_bytes().into()
        ]),
        bytes().prop_map(|value| vec!["name".as_bytes().into(), value]),
    ];
    let groups = proptest::collection::vec((ids(), proptest::option::of(0..9_u64)), 0..4);
    (ids(), proptest::collection::vec(fields, 150), groups).prop_map(|(ids, fields, groups)| {
        let ids = ids.into_iter().filter(|id| *id != StreamId::MIN);
        let entry = |(id, fields)| ContentEntry { id, fields };
        let entries: Vec<_> = ids.zip(fields).map(entry).collect();
        let named = |n: usize| Cow::Owned(format!("name-{n}").into_bytes());
        let group = |(n, (ids, read)): (usize, (std::collections::BTreeSet<StreamId>, _))| {
            let pending = |id: &StreamId| ContentPending { id: *id, time_ms: id.seq, count: id.ms };
            let of = |rest| ids.iter().filter(move |id| id.seq % 2 == rest).map(pending).collect();
            let consumer = |rest| ContentConsumer {
                name: named(rest as usize),
                seen_ms: 7,
                active_ms: Some(7),
                pending: of(rest),
            };
            let consumers = if ids.is_empty() { vec![] } else { vec![consumer(0), consumer(1)] };
            ContentGroup { name: named(n), last: StreamId::new(n as u64, 3), read, consumers }
        };
        ContentStream {
            last: StreamId::new(u64::MAX, 1),
            added: entries.len() as u64 + 3,
            deleted: StreamId::new(2, 1),
            entries,
            groups: groups.into_iter().enumerate().map(group).collect(),
        }
    })
}

/// A payload of these bytes with the right checksum.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = checksum::crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(content in contents()) {
        let payload = payload(&content);
        prop_assert_eq!(parse(&payload), Ok(content));
    }

    #[test]
    fn a_changed_byte_is_noticed(
        content in contents(), at in any::<prop::sample::Index>(), by in 1..=u8::MAX,
    ) {
        let mut payload = payload(&content);
        let at = at.index(payload.len());
        payload[at] ^= by;
        prop_assert_eq!(parse(&payload), Err(Unreadable::Footer));
        // With a right checksum, it is another value, or malformed.
        if at < payload.len() - FOOTER_BYTES {
            let end = payload.len() - FOOTER_BYTES;
            let _ = parse(&sealed(&payload[..end]));
        }
    }

    #[test]
    fn arbitrary_bytes_behind_any_type_do_no_harm(
        form in 0..30_u8, body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = parse(&body);
        let _ = parse(&sealed(&[&[form][..], &body].concat()));
    }

    #[test]
    fn arbitrary_packed_elements_do_no_harm(
        form in prop_oneof![10..15_u8, 16..19_u8, 20..26_u8],
        listpack in any::<bool>(),
        elements in proptest::collection::vec(any::<u8>(), 0..120),
        count in 0..20_u16,
    ) {
        // A head that fits, so that the elements are looked at.
        let head = if listpack { 6 } else { 10 };
        let mut packed = vec![0; head];
        packed.extend_from_slice(&elements);
        packed.push(0xFF);
        let length = packed.len() as u32;
        packed[..4].copy_from_slice(&length.to_le_bytes());
        packed[head - 2..head].copy_from_slice(&count.to_le_bytes());
        let mut body = vec![form];
        match form {
            form::LIST_QUICKLIST => body.push(1),
            form::LIST_QUICKLIST_2 => body.extend([1, 2]),
            form::HASH_LISTPACK_DEADLINES => body.extend([0; 8]),
            _ => {}
        }
        body.extend([0x40, packed.len() as u8]);
        body.extend_from_slice(&packed);
        let _ = parse(&sealed(&body));
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn texts(all: &[&'static str]) -> Vec<Cow<'static, [u8]>> {
    all.iter().map(|text| Cow::Borrowed(text.as_bytes())).collect()
}

/// Payloads that Redis 7.0 wrote, and what they contain.
fn of_redis() -> Vec<(&'static str, Content<'static>)> {
    let bytes = |text: &'static str| Content::Bytes(Cow::Borrowed(text.as_bytes()));
    let field = |name: &'static str, value: &'static str| ContentField {
        name: Cow::Borrowed(name.as_bytes()),
        value: Cow::Borrowed(value.as_bytes()),
        deadline_ms: None,
    };
    let member = |score: f64, name: &'static str| {
        (Score::new(score).unwrap(), Cow::Borrowed(name.as_bytes()))
    };
    let long = Cow::Owned(b"x".repeat(70));
    let mut list = texts(&["a", "-1", "300", "70000", "9000000000"]);
    list.push(long);
    vec![
        ("00036162630a00d9ac303d4172a2e2", bytes("abc")),
        ("00c0fb0a0049c4c6f4d7263f68", bytes("-5")),
        ("00c130750a0049977f92988c365b", bytes("30000")),
        ("00c2006cca880a0035ffaebd7f1d7a67", bytes("-2000000000")),
        (
            "00c30a407802616261e06a010161620a00b288708c530716d2",
            Content::Bytes(Cow::Owned(b"ab".repeat(60))),
        ),
        (
            "120102c328406819680000000600816102dfff02c12c02f270110104f4001a71180220180309e04678e03c000148ff0a003c898b3f97401ff2",
            Content::List(list),
        ),
        (
            "120102c31340bb0bbb0000001e0084776f726405e0a4050105ff0a00fff421bc18f78ea1",
            Content::List(texts(&["word"; 30])),
        ),
        (
            "1012120000000400816602817602816e026401ff0a005414caec75fc291a",
            Content::Hash(vec![field("f", "v"), field("n", "100")]),
        ),
        ("0401016601760a00adf24356b1860efc", Content::Hash(vec![field("f", "v")])),
        (
            "0b140400000003000000ffffffff02000000701101000a0036bf8680aef061bb",
            Content::Set(texts(&["-1", "2", "70000"])),
        ),
        ("020101610a006296e97e44d21a6d", Content::Set(texts(&["a"]))),
        (
            "111d1d0000000600816202842d696e660581610283312e35048163020201ff0a0037ad63144603f804",
            Content::SortedSet(vec![
                member(f64::NEG_INFINITY, "b"),
                member(1.5, "a"),
                member(2.0, "c"),
            ]),
        ),
        (
            "05020162000000000000f07f0161000000000000f83f0a001343ce1a14f007a4",
            Content::SortedSet(vec![member(f64::INFINITY, "b"), member(1.5, "a")]),
        ),
    ]
}

/// What Redis 7.0.15 returned for a stream with groups, of which an entry was deleted.
const STREAM_OF_REDIS: &str = "13011000000000000000010000000000000001c34074407d127d0000003100060101010201816602816702002009000020010682763103010105200d0001600d02320302200d0003200f401b02330303200d0002200f400d02340304600d0004600d02350305200d0000200301dfff203d0a856f7468657206817802062030070501060181760209200800ff06060701010301070305656d707479060781ffffffffffffffff000001670401040300000000000000010000000000000001eedfb42ea20100000100000000000000030000000000000001eedfb42ea2010000010000000000000004000000000000000116e0b42ea2010000010205616c696365eedfb42ea201000002000000000000000100000000000000010000000000000003000000000000000103626f6216e0b42ea201000001000000000000000400000000000000010168030181ffffffffffffffff00010469646c655fe0b42ea2010000000a0002cf2a4edacb0280";

fn stream_of_redis() -> ContentStream<'static> {
    let entry = |ms, seq, fields: &[&'static str]| ContentEntry {
        id: StreamId::new(ms, seq),
        fields: texts(fields),
    };
    let name = |name: &'static str| Cow::Borrowed(name.as_bytes());
    let pending = |ms, time_ms| ContentPending { id: StreamId::new(ms, 1), time_ms, count: 1 };
    let consumer = |text, seen_ms, pending| ContentConsumer {
        name: name(text),
        seen_ms,
        active_ms: Some(seen_ms),
        pending,
    };
    let group =
        |text, last, read, consumers| ContentGroup { name: name(text), last, read, consumers };
    let (alice_ms, bob_ms) = (1_796_079_935_470, 1_796_079_935_510);
    ContentStream {
        entries: vec![
            entry(1, 1, &["f", "v1", "g", "1"]),
            entry(2, 1, &["f", "v2", "g", "2"]),
            entry(4, 1, &["f", "v4", "g", "4"]),
            entry(5, 1, &["f", "v5", "g", "5"]),
            entry(6, 0, &["other", "x"]),
            entry(6, 7, &["f", "v", "g", "9"]),
        ],
        last: StreamId::new(6, 7),
        added: 7,
        deleted: StreamId::new(3, 1),
        groups: vec![
            group("empty", StreamId::new(6, 7), None, vec![]),
            group(
                "g",
                StreamId::new(4, 1),
                Some(4),
                vec![
                    consumer("alice", alice_ms, vec![pending(1, alice_ms), pending(3, alice_ms)]),
                    consumer("bob", bob_ms, vec![pending(4, bob_ms)]),
                ],
            ),
            group(
                "h",
                StreamId::new(3, 1),
                None,
                vec![consumer("idle", 1_796_079_935_583, vec![])],
            ),
        ],
    }
}

#[test]
fn streams_can_be_read_in_all_forms() {
    let stream = stream_of_redis();
    assert_eq!(parse(&hex(STREAM_OF_REDIS)), Ok(Content::Stream(stream)));
    // One entry 1-1 with a field, and a group that has read it.
    let node = "01 10 00000000000000010000000000000001 1d 1d000000 0a00 0101 0001 0101 8166 02 0001 0201 0001 0001 8176 02 0401 ff";
    let group = |of_group: &str, of_consumer: &str| {
        format!(
            "01 0167 01 01 {of_group} 01 00000000000000010000000000000001 0700000000000000 02 01 0163 0900000000000000 {of_consumer} 01 00000000000000010000000000000001"
        )
    };
    let id = StreamId::new(1, 1);
    let expected = |active_ms, read| {
        let pending = vec![ContentPending { id, time_ms: 7, count: 2 }];
        let consumer =
            ContentConsumer { name: Cow::Borrowed(b"c"), seen_ms: 9, active_ms, pending };
        Content::Stream(ContentStream {
            entries: vec![ContentEntry { id, fields: texts(&["f", "v"]) }],
            last: id,
            added: 1,
            deleted: StreamId::MIN,
            groups: vec![ContentGroup {
                name: Cow::Borrowed(b"g"),
                last: id,
                read,
                consumers: vec![consumer],
            }],
        })
    };
    let unknown = "81ffffffffffffffff";
    for (body, content) in [
        (format!("0f {node} 01 01 01 {}", group("", "")), expected(Some(9), Some(1))),
        (
            format!("13 {node} 01 01 01 01 01 00 00 01 {}", group("01", "")),
            expected(Some(9), Some(1)),
        ),
        (
            format!("15 {node} 01 01 01 01 01 00 00 01 {}", group(unknown, "0800000000000000")),
            expected(Some(8), None),
        ),
        (
            format!("15 {node} 01 01 01 01 01 00 00 01 {}", group("01", "ffffffffffffffff")),
            expected(None, Some(1)),
        ),
    ] {
        let body = hex(&body.replace(' ', ""));
        assert_eq!(parse(&sealed(&body)), Ok(content), "{body:?}");
        // Any other byte is another stream, or malformed; never a panic.
        for at in 0..body.len() {
            for by in [1, 2, 0x40, 0x80, 0xFF] {
                let mut changed = body.clone();
                changed[at] ^= by;
                let _ = parse(&sealed(&changed));
            }
            assert!(parse(&sealed(&body[..at])).is_err(), "{at}");
        }
    }
}

#[test]
fn payloads_of_redis_can_be_read() {
    for (text, content) in of_redis() {
        assert_eq!(parse(&hex(text)), Ok(content), "{text}");
    }
}

#[test]
fn forms_of_older_and_newer_versions_can_be_read() {
    let field = |name: &'static str, value: &'static str, deadline_ms| ContentField {
        name: Cow::Borrowed(name.as_bytes()),
        value: Cow::Borrowed(value.as_bytes()),
        deadline_ms,
    };
    let one = Score::new(1.0).unwrap();
    let members = || {
        let two = Score::new(2.0).unwrap();
        Content::SortedSet(vec![(one, Cow::Borrowed(&b"one"[..])), (two, Cow::Borrowed(b"two"))])
    };
    for (body, content) in [
        // From files of Redis' own tests: versions 4.0 and 6.2.
        (
            "0d1b1b000000160000000400000266310402763104026632040276 32ff",
            Content::Hash(vec![field("f1", "v1", None), field("f2", "v2", None)]),
        ),
        ("0e010d0d0000000a000000010000f8ff", Content::List(texts(&["7"]))),
        ("0c1919000000160000000400 00036f6e6505f20203 74776f05f3ff", members()),
        // Made by hand.
        ("010201610162", Content::List(texts(&["a", "b"]))),
        ("0302036f6e650131 0374776f0132", members()),
        (
            "03010161ff",
            Content::SortedSet(vec![(Score::new(f64::NEG_INFINITY).unwrap(), Cow::Borrowed(b"a"))]),
        ),
        ("140c0c0000000200816102 02 01 ff", Content::Set(texts(&["a", "2"]))),
        (
            "18e803000000000000 02 00 0161 0162 0b 0163 0164",
            Content::Hash(vec![field("a", "b", None), field("c", "d", Some(1_010))]),
        ),
        ("16 01 43e8 0161 0162", Content::Hash(vec![field("a", "b", Some(1_000))])),
        (
            "19e803000000000000 1010000000030081 6102 8162 02 c3e8 02 ff",
            Content::Hash(vec![field("a", "b", Some(1_000))]),
        ),
    ] {
        let body = hex(&body.replace(' ', ""));
        assert_eq!(parse(&sealed(&body)), Ok(content), "{body:?}");
    }
}

#[test]
fn deadlines_in_a_listpack_are_in_order_and_numbers() {
    // From Redis' own tests: a text, a deadline that is too late, and two in a wrong order.
    for payload in [
        "172d2d00000009008161020101f4a69618b88f01000009826631038276310383666f6f0482663203827632030001ff0c00de40e537511c1256",
        "173333000000090000010001f401c589958f010000090101825f3103f4299497958f0100000902010201f4015eaf958f01330009ff0c007e4ff433e9c53e56",
        "17c33035143500000009008266320382763203f4807316d18f012012028266312011033103f47fe00111003320110433030001ff0c00f670295711689de5",
        "172d2d0000000900826631038276310300018266320382763203f4e0597a96000000000982663303827633030001ff0c004266d4be17c39672",
    ] {
        assert_eq!(parse(&hex(payload)), Err(Unreadable::Data), "{payload}");
    }
}

#[test]
fn malformed_payloads_are_refused() {
    for (body, why) in [
        (&[][..], "no type"),
        (&[form::SET, 0], "no member"),
        (&[form::LIST, 0], "no element"),
        (&[form::LIST_QUICKLIST_2, 1, 1, 0], "an empty node"),
        (&[form::SET, 2, 1, b'a', 1, b'a'], "a member twice"),
        (&[form::HASH, 1, 1, b'a'], "a field without a value"),
        (&[form::STRING, 1, b'a', 0], "something behind the value"),
        (&[form::STRING, 0x80, 0xFF, 0xFF, 0xFF, 0xFF, b'a'], "a length beyond the end"),
        (&[form::STRING, 0xC3, 1, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0], "a long decompressed length"),
        (&[form::SORTED_SET, 1, 1, b'a', 0, 0, 0, 0, 0, 0, 0xF8, 0x7F], "a score that is NaN"),
        (&[6, 0], "a value of a module"),
        (&[form::STREAM, 0], "a stream without counters"),
        (&[form::STREAM, 0, 1, 0, 0, 0], "a stream that lacks an entry"),
        (&[form::STREAM_COUNTED, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, b'g', 0, 0, 0, 1], "no entry"),
    ] {
        assert_eq!(parse(&sealed(body)), Err(Unreadable::Data), "{why}");
    }
    let mut future = vec![form::STRING, 1, b'a'];
    future.extend_from_slice(&(VERSION_MAX + 1).to_le_bytes());
    future.extend_from_slice(&checksum::crc64(&future).to_le_bytes());
    assert_eq!(parse(&future), Err(Unreadable::Footer));
    assert_eq!(parse(b"short"), Err(Unreadable::Footer));
}

#[test]
fn libraries_are_read_as_they_were_written() {
    let sources = [&b"#!lua name=a\n"[..], &[b'x'; 70_000], b"12"];
    let payload = libraries_payload(sources.into_iter());
    assert_eq!(parse_libraries(&payload).unwrap(), sources);
    assert_eq!(parse_libraries(&libraries_payload(std::iter::empty())).unwrap(), [&b""[..]; 0]);
    // Of Redis 7.0.15, after FUNCTION LOAD of a library with the function f.
    let of_redis = hex(
        "f5404423216c7561206e616d653d6c69620a72656469732e72656769737465725f66756e6374696f6e282266222c2066756e6374696f6e28292072657475726e203120656e64290a003902a1f9225522f7",
    );
    assert_eq!(parse_libraries(&of_redis).unwrap().len(), 1);
    assert_eq!(
        libraries_payload(parse_libraries(&of_redis).unwrap().iter().map(|s| &**s)).len(),
        of_redis.len()
    );
    assert_eq!(parse_libraries(b"short"), Err(Unreadable::Footer));
    assert_eq!(parse_libraries(&sealed(&[form::STRING, 1, b'a'])), Err(Unreadable::Data));
    assert_eq!(parse_libraries(&sealed(&[LIBRARY, 9, b'a'])), Err(Unreadable::Data));
}
