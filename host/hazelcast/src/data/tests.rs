//! Vectors: what clients in Java, Python and JavaScript encode, and the partitions they choose.

use std::num::NonZero;

use data_encoding::HEXLOWER;
use uuid::Uuid;

use super::*;

const DATE: LocalDate = LocalDate { year: 2026, month: 12, day: 1 };
const TIME: LocalTime = LocalTime { hour: 1, minute: 2, second: 3, nanosecond: 4 };

/// Type id and payload of each value. The partition hash in front of them is 0.
const VALUES: [(&str, Value<'_>); 20] = [
    ("fffffffc01", Value::Bool(true)),
    ("fffffffdfe", Value::Byte(-2)),
    ("fffffffb0078", Value::Char(0x78)),
    ("fffffffafffd", Value::Short(-3)),
    ("fffffff900000007", Value::Int(7)),
    ("fffffff8fffffffffffffff8", Value::Long(-8)),
    ("fffffff73fc00000", Value::Float(1.5)),
    ("fffffff6c002000000000000", Value::Double(-2.25)),
    ("fffffff500000006736368c3b66e", Value::Text("schön")),
    ("ffffff7e000000077b2261223a317d", Value::Json(r#"{"a":1}"#)),
    ("ffffffeb00000000000000010000000000000002", Value::Uuid(Uuid::from_u64_pair(1, 2))),
    ("fffffff4000000020102", Value::Bytes(&[1, 2])),
    ("ffffffe8000000106a6176612e6c616e672e537472696e67", Value::Class("java.lang.String")),
    ("ffffffe700000000000003e8", Value::Date(1000)),
    ("ffffffe600000002ff7f", Value::BigInteger(&[0xff, 0x7f])),
    ("ffffffe5000000017d00000002", Value::BigDecimal(&[125], 2)),
    ("ffffffcd000007ea0c01", Value::LocalDate(DATE)),
    ("ffffffcc01020300000004", Value::LocalTime(TIME)),
    ("ffffffcb000007ea0c0101020300000004", Value::LocalDateTime(DATE, TIME)),
    ("ffffffca000007ea0c010102030000000400000e10", Value::OffsetDateTime(DATE, TIME, 3600)),
];

/// Arrays and lists.
const ARRAYS: [&str; 13] = [
    "fffffff3000000020100",
    "fffffff20000000200610062",
    "fffffff1000000020001ffff",
    "fffffff00000000200000001ffffffff",
    "ffffffef000000020000000000000001ffffffffffffffff",
    "ffffffee000000023f800000bf800000",
    "ffffffed000000023ff0000000000000bff0000000000000",
    "ffffffec000000020000000161ffffffff",
    "ffffffe400000003fffffff900000001fffffff5000000016100000000",
    "ffffffe300000003fffffff900000001fffffff900000002fffffff50000000178",
    "ffffffe200000001fffffffc01",
    "ffffffe300000002ffffffe300000001fffffff900000001ffffffec000000010000000171",
    "fffffff4000000020102",
];

fn blob(identity: &str) -> Vec<u8> {
    let mut blob = vec![0; 4];
    blob.extend(HEXLOWER.decode(identity.as_bytes()).unwrap());
    blob
}

fn partitions() -> NonZero<u32> {
    NonZero::new(PARTITIONS).unwrap()
}

#[test]
fn values_are_decoded_and_encoded_as_clients_do() {
    for (identity, value) in VALUES {
        let blob = blob(identity);
        let data = Data::new(&blob).unwrap();
        assert_eq!(Value::decode(data), Some(value), "{identity}");
        assert_eq!(value.encode(), blob);
        assert_eq!(value.type_id(), data.type_id());
    }
}

#[test]
fn arrays_are_decoded_and_encoded_as_clients_do() {
    for identity in ARRAYS {
        let blob = blob(identity);
        let value = Value::decode(Data::new(&blob).unwrap()).unwrap();
        assert_eq!(value.encode(), blob, "{value:?}");
    }
}

#[test]
fn the_items_of_arrays_and_lists_are_values() {
    let items = |identity: &str| {
        let blob = blob(identity);
        let Some(Value::Objects(objects)) = Value::decode(Data::new(&blob).unwrap()) else {
            panic!("{identity}");
        };
        assert_eq!(objects.len(), objects.iter().count());
        format!("{:?}", objects.iter().collect::<Vec<_>>())
    };
    assert_eq!(items("ffffffec000000020000000161ffffffff"), r#"[Text("a"), Null]"#);
    assert_eq!(
        items("ffffffe400000003fffffff900000001fffffff5000000016100000000"),
        r#"[Int(1), Text("a"), Null]"#
    );
    assert_eq!(
        items("ffffffe300000003fffffff900000001fffffff900000002fffffff50000000178"),
        r#"[Int(1), Int(2), Text("x")]"#
    );
}

#[test]
fn arrays_and_lists_are_made_of_slices() {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let ints = Array::of(&[1, -1], &mut first);
    assert!(ints.iter().eq([1, -1]) && ints.len() == 2);
    let values = [Value::Int(1), Value::Int(2), Value::Text("x")];
    let list = Objects::list(&values, &mut second);
    assert!(list.iter().eq(values) && list.len() == 3);
    for value in [Value::Ints(ints), Value::Objects(list)] {
        assert!(ARRAYS.iter().any(|identity| blob(identity) == value.encode()), "{value:?}");
    }
}

#[test]
fn the_class_of_an_object_comes_before_its_fields() {
    let class = Identified { factory_id: -20, class_id: 3, fields: &[7] };
    let blob = Value::Identified(class).encode();
    let mut input = Input::new(&blob[4..]);
    assert_eq!((input.class(), input.rest()), (Some(Some((-20, 3))), &[7][..]));
    assert_eq!(Input::new(&[0; 4]).class(), Some(None));
    assert_eq!(Input::new(&Value::Int(1).encode()[4..]).class(), None);
}

#[test]
fn lists_are_nested_up_to_a_limit() {
    let nested = |depth: usize| {
        let mut blob = vec![0; 4];
        for _ in 0..depth {
            blob.extend(type_id::ARRAY_LIST.to_be_bytes());
            blob.extend(1_i32.to_be_bytes());
        }
        blob.extend(type_id::NULL.to_be_bytes());
        blob
    };
    let max = crate::limits::OBJECT_DEPTH_MAX;
    assert!(Value::decode(Data::new(&nested(max)).unwrap()).is_some());
    assert!(Value::decode(Data::new(&nested(max + 1)).unwrap()).is_none());
}

#[test]
fn keys_are_in_the_partitions_that_clients_choose() {
    let id = Uuid::from_u64_pair(0, 1);
    for (key, hash, partition) in [
        (Value::Text(""), 923_237_662, 11),
        (Value::Text("a"), 2_099_876_635, 73),
        (Value::Text("b"), 980_514_167, 124),
        (Value::Text("key-1"), 2_132_451_398, 94),
        (Value::Text("session:abc"), -33_085_698, 121),
        (Value::Text("hz"), -641_884_927, 18),
        (Value::Text("default"), -841_171_332, 69),
        (Value::Text("schön"), -1_796_495_094, 51),
        (Value::Text("日本"), 1_994_802_223, 220),
        (Value::Int(0), 923_237_662, 11),
        (Value::Int(1), 768_969_306, 31),
        (Value::Int(-1), -730_160_613, 164),
        (Value::Int(42), 2_076_340_387, 175),
        (Value::Double(1.5), -867_000_382, 109),
        (Value::Bool(true), 535_970_202, 223),
        (Value::Uuid(id), 1_006_687_446, 223),
        (Value::Json(r#"{"a":1}"#), 1_343_167_611, 13),
    ] {
        let blob = key.encode();
        let data = Data::new(&blob).unwrap();
        assert_eq!((data.hash(), data.partition(partitions())), (hash, partition), "{key:?}");
    }
}

#[test]
fn the_hash_of_a_header_takes_precedence() {
    let blob = blob("fffffff5000000086e616d65406b6579");
    let with_hash = [&0x57fa_3da1_i32.to_be_bytes(), &blob[4..]].concat();
    let (data, hashed) = (Data::new(&blob).unwrap(), Data::new(&with_hash).unwrap());
    assert_eq!(hashed.hash(), 0x57fa_3da1);
    assert_ne!(data.hash(), hashed.hash());
    assert_eq!(data.identity(), hashed.identity());
}

#[test]
fn the_partition_of_a_name_is_that_of_what_follows_the_first_at_sign() {
    let of_hash = partition_of_hash(0x57fa_3da1, partitions());
    assert_eq!(partition_of_name("name@key", partitions()), of_hash);
    assert_eq!(partition_of_name("key", partitions()), of_hash);
    assert_eq!(partition_of_name("default", partitions()), 69);
    assert_eq!(partition_of_name("日本", partitions()), 220);
    assert_eq!(partition_key("a@b@c"), "b@c");
    assert_eq!(partition_key("a@"), "");
}

#[test]
fn the_least_hash_is_in_partition_0() {
    assert_eq!(partition_of_hash(i32::MIN, partitions()), 0);
    assert_eq!(partition_of_hash(i32::MIN + 1, partitions()), i32::MAX as u32 % PARTITIONS);
}

#[test]
fn a_blob_has_a_header() {
    assert_eq!(Data::new(&[0; 7]), None);
    assert_eq!(Data::new(&[0; 8]).and_then(Value::decode), Some(Value::Null));
}

#[test]
fn fuzz_data() {
    let mut samples: Vec<_> = VALUES.iter().map(|(identity, _)| blob(identity)).collect();
    samples.extend(ARRAYS.iter().map(|identity| blob(identity)));
    convoke_harness::check!(&samples, |bytes| {
        let Some(data) = Data::new(bytes) else { return };
        assert!(data.partition(partitions()) < PARTITIONS);
        let Some(value) = Value::decode(data) else { return };
        let encoded = value.encode();
        let again = Value::decode(Data::new(&encoded).unwrap()).unwrap();
        // Not by `==`: a number may be NaN.
        assert_eq!(again.encode(), encoded);
        if let Value::Objects(objects) = value {
            assert_eq!(objects.iter().count(), objects.len());
        }
    });
}
