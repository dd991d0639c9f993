//! Payloads of Redis, round trips, and damaged payloads.

use std::borrow::Cow;

use convoke_grid::Score;
use convoke_grid::op::{Content, ContentField};
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
    ]
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
        (&[15, 0], "a stream"),
    ] {
        assert_eq!(parse(&sealed(body)), Err(Unreadable::Data), "{why}");
    }
    let mut future = vec![form::STRING, 1, b'a'];
    future.extend_from_slice(&(VERSION_MAX + 1).to_le_bytes());
    future.extend_from_slice(&checksum::crc64(&future).to_le_bytes());
    assert_eq!(parse(&future), Err(Unreadable::Footer));
    assert_eq!(parse(b"short"), Err(Unreadable::Footer));
}
