//! HyperLogLogs with the figures and bytes of Redis 7.0.

use proptest::prelude::*;

use super::super::testing::Bench;
use super::super::{KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf, SeveralOp};
use super::*;

fn put(value: &[u8]) -> KeyOp<'_> {
    KeyOp::Plain(PlainOp::Put {
        kind: 0,
        value,
        lifetime: Lifetime::Default,
        condition: PutIf::Always,
        answer: PutAnswer::Done,
    })
}

fn get(bench: &mut Bench, key: &[u8]) -> Vec<u8> {
    match bench.key(key, KeyOp::Plain(PlainOp::Get)).unwrap() {
        Reply::Bytes(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Adds the elements `el:FROM` to `el:TO`, 500 at a time.
fn add(bench: &mut Bench, key: &[u8], numbers: std::ops::Range<u32>) {
    let elements: Vec<String> = numbers.map(|number| format!("el:{number}")).collect();
    for elements in elements.chunks(500) {
        let elements = elements.iter().map(String::as_bytes).collect();
        bench.key(key, KeyOp::HyperLogLog(HyperLogLogOp::Add(elements))).unwrap();
    }
}

fn count_of(bench: &mut Bench, key: &[u8]) -> Result<Reply, OpError> {
    bench.key(key, KeyOp::HyperLogLog(HyperLogLogOp::Count))
}

/// Elements, their estimated number, and length and checksum of the value.
const EXPECTED: [(u32, i64, usize, u64); 8] = [
    (100, 100, 289, 0x30FA_74C8_C264_0499),
    (1_000, 999, 1_892, 0xE052_9129_4729_C2F2),
    (1_400, 1_395, 2_528, 0x8603_BEE1_CF17_C6AF),
    (1_500, 1_495, 2_686, 0xB594_958F_9B8E_0F04),
    (2_000, 1_987, 12_304, 0xDFFB_3CE6_1D14_F521),
    (5_000, 4_959, 12_304, 0x289B_610A_D70B_C57A),
    (20_000, 20_030, 12_304, 0x55AC_EC15_29B1_A746),
    (50_000, 49_955, 12_304, 0xD968_E5CA_B58A_7338),
];
/// The estimated number of elements in both, and length and checksum of the merged value.
const MERGED: (i64, usize, u64) = (1_200, 2_215, 0x1626_96C5_187B_C0EA);

/// FNV-1a, so that a long value is one number here.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[test]
fn a_small_one_has_the_bytes_of_redis() {
    let mut bench = Bench::new();
    let add =
        |elements: &[&'static [u8]]| KeyOp::HyperLogLog(HyperLogLogOp::Add(elements.to_vec()));
    assert_eq!(bench.key(b"h", add(&[b"a", b"b", b"c"])), Ok(Reply::Integer(1)));
    assert_eq!(bench.events(), ["new", "pfadd"]);
    assert_eq!(
        get(&mut bench, b"h"),
        b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ"
    );
    assert_eq!(bench.key(b"h", add(&[b"b"])), Ok(Reply::Integer(0)));
    assert!(bench.events().is_empty());
    assert_eq!(count_of(&mut bench, b"h"), Ok(Reply::Integer(3)));
    assert_eq!(bench.key(b"e", add(&[])), Ok(Reply::Integer(1)));
    assert_eq!(get(&mut bench, b"e"), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff");
    assert_eq!(bench.key(b"e", add(&[])), Ok(Reply::Integer(0)));
    assert_eq!(count_of(&mut bench, b"e"), Ok(Reply::Integer(0)));
    assert_eq!(count_of(&mut bench, b"none"), Ok(Reply::Integer(0)));
}

#[test]
fn estimates_and_bytes_are_those_of_redis() {
    for (elements, estimate, bytes, sum) in EXPECTED {
        let mut bench = Bench::new();
        add(&mut bench, b"h", 0..elements);
        assert_eq!(count_of(&mut bench, b"h"), Ok(Reply::Integer(estimate)), "{elements}");
        let value = get(&mut bench, b"h");
        assert_eq!((value.len(), checksum(&value[16..])), (bytes, sum), "{elements}");
    }
}

#[test]
fn only_changed_bytes_are_replicated() {
    let mut bench = Bench::new();
    add(&mut bench, b"h", 0..5_000);
    for number in 0..100 {
        let element = format!("other:{number}");
        let op = HyperLogLogOp::Add(vec![element.as_bytes()]);
        bench.key(b"h", KeyOp::HyperLogLog(op)).unwrap();
        assert!(bench.changes.records.len() < 200, "{}", bench.changes.records.len());
    }
}

#[test]
fn the_union_is_merged_and_counted() {
    let mut bench = Bench::new();
    add(&mut bench, b"a", 0..1_000);
    add(&mut bench, b"b", 500..1_200);
    let keys: Vec<&[u8]> = vec![b"a", b"b", b"none"];
    let union = Op::Several(SeveralOp::CountUnion(keys.clone()));
    let (count, bytes, sum) = MERGED;
    assert_eq!(bench.run(&union), Ok(Reply::Integer(count)));
    let merge = Op::Several(SeveralOp::MergeUnion { to: b"m", from: keys });
    assert_eq!(bench.run(&merge), Ok(Reply::Done));
    assert_eq!(bench.events(), ["new", "pfadd"]);
    assert_eq!(count_of(&mut bench, b"m"), Ok(Reply::Integer(count)));
    let value = get(&mut bench, b"m");
    assert_eq!((value.len(), checksum(&value[16..])), (bytes, sum));
    // With a dense one, the result is dense.
    add(&mut bench, b"d", 0..5_000);
    let merge = Op::Several(SeveralOp::MergeUnion { to: b"a", from: vec![b"d"] });
    assert_eq!(bench.run(&merge), Ok(Reply::Done));
    assert_eq!(get(&mut bench, b"a")[16..], get(&mut bench, b"d")[16..]);
}

#[test]
fn other_values_are_refused() {
    let mut bench = Bench::new();
    add(&mut bench, b"s", 0..10);
    add(&mut bench, b"d", 0..5_000);
    let (sparse, dense) = (get(&mut bench, b"s"), get(&mut bench, b"d"));
    let mut cases = vec![
        (b"foo".to_vec(), OpError::NotAHyperLogLog),
        (b"HYLL".to_vec(), OpError::NotAHyperLogLog),
        (dense[..dense.len() - 1].to_vec(), OpError::NotAHyperLogLog),
        ([&sparse[..], b"hello"].concat(), OpError::CorruptHyperLogLog),
        (sparse[..sparse.len() - 1].to_vec(), OpError::CorruptHyperLogLog),
        (sparse[..16].to_vec(), OpError::CorruptHyperLogLog),
    ];
    for (at, byte) in [(0, b'0'), (4, 2)] {
        let mut value = sparse.clone();
        value[at] = byte;
        cases.push((value, OpError::NotAHyperLogLog));
    }
    for (value, error) in cases {
        bench.key(b"k", put(&value)).unwrap();
        assert_eq!(count_of(&mut bench, b"k"), Err(error.clone()));
        let add = KeyOp::HyperLogLog(HyperLogLogOp::Add(vec![b"x"]));
        assert_eq!(bench.key(b"k", add), Err(error.clone()));
        let merge = Op::Several(SeveralOp::MergeUnion { to: b"m", from: vec![b"s", b"k"] });
        assert_eq!(bench.run(&merge), Err(error));
    }
    // A cardinality that was computed by Redis is used.
    let mut value = sparse;
    value[8..16].copy_from_slice(&77_u64.to_le_bytes());
    bench.key(b"k", put(&value)).unwrap();
    assert_eq!(count_of(&mut bench, b"k"), Ok(Reply::Integer(77)));
}

fn registers_of(counter: &HyperLogLog) -> Registers {
    let mut registers = [0; REGISTERS];
    counter.merge_into(&mut registers);
    registers
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(
        form in 0..3_u8,
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..3_000),
            proptest::collection::vec(any::<u8>(), 12_288),
        ],
    ) {
        let mut value = b"HYLL\0\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
        value[4] = form;
        value.extend_from_slice(&body);
        if let Ok(mut counter) = HyperLogLog::decode(&value) {
            counter.raise(77, 3);
            let again = HyperLogLog::decode(&counter.encode()).unwrap();
            prop_assert_eq!(registers_of(&again), registers_of(&counter));
            let mut union = Union::default();
            union.add(&counter);
            prop_assert!(matches!(union.count(), Reply::Integer(_)));
        }
        let _ = Union::decode(&value);
    }

    #[test]
    fn both_forms_hold_the_same_registers(
        raised in proptest::collection::vec((0..REGISTERS, 1..52_u8), 0..300),
        near in proptest::collection::vec((0..40_usize, 1..4_u8), 0..300),
    ) {
        let (mut sparse, mut dense) = (HyperLogLog::new(), HyperLogLog::new());
        dense.make_dense();
        let mut model = [0; REGISTERS];
        for (at, value) in near.into_iter().chain(raised) {
            let is_lower = model[at] < value;
            model[at] = model[at].max(value);
            prop_assert_eq!(sparse.raise(at, value), is_lower);
            prop_assert_eq!(dense.raise(at, value), is_lower);
        }
        prop_assert_eq!(registers_of(&sparse), model);
        prop_assert_eq!(registers_of(&dense), model);
        let decoded = HyperLogLog::decode(&sparse.encode()).unwrap();
        prop_assert_eq!(decoded.encode(), sparse.encode());
        prop_assert_eq!(registers_of(&decoded), model);
    }
}
