//! Bits as Redis sees them, and compared with a plain model.

use proptest::prelude::*;

use super::super::testing::Bench;
use super::super::{KeyOp, Lifetime, PlainOp, PutAnswer, PutIf};
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

fn bits(op: BitsOp) -> KeyOp<'static> {
    KeyOp::Bits(op)
}

fn is_on(value: &[u8], at: usize) -> bool {
    value.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

#[test]
fn one_bit_is_replicated_as_one_byte() {
    let mut bench = Bench::new();
    bench.key(b"k", put(&[0; 10_000])).unwrap();
    let set = |at, on| bits(BitsOp::Set { at, on });
    assert_eq!(bench.key(b"k", set(40_000, true)), Ok(Reply::Integer(0)));
    assert_eq!(bench.events(), ["setbit"]);
    assert!(bench.changes.records.len() < 100, "{}", bench.changes.records.len());
    assert_eq!(bench.key(b"k", set(40_000, true)), Ok(Reply::Integer(1)));
    assert!(bench.events().is_empty() && bench.changes.records.is_empty(), "nothing has changed");
    assert_eq!(bench.key(b"k", bits(BitsOp::Get(40_000))), Ok(Reply::Integer(1)));
    assert_eq!(bench.key(b"k", bits(BitsOp::Get(u64::MAX))), Ok(Reply::Integer(0)));
    assert_eq!(bench.key(b"n", set(17, false)), Ok(Reply::Integer(0)));
    assert_eq!(bench.key(b"n", KeyOp::Plain(PlainOp::Length)), Ok(Reply::Integer(3)));
    assert_eq!(bench.key(b"n", set(u64::MAX, true)), Err(OpError::TooLong));
    assert_eq!(bench.key(b"n", set(8 << 26, true)), Err(OpError::TooLong));
}

#[test]
fn a_field_that_cannot_be_written_yields_nil() {
    let mut bench = Bench::new();
    let add = |bits, more, overflow| Field {
        at: 100,
        is_signed: false,
        bits,
        action: FieldAction::Add(more, overflow),
    };
    let fails = add(2, 100, FieldOverflow::Fail);
    let reply = bench.key(b"k", bits(BitsOp::Fields(vec![fails])));
    assert_eq!(reply, Ok(Reply::List(vec![Reply::Nil])));
    assert_eq!(bench.key(b"k", KeyOp::Plain(PlainOp::Length)), Ok(Reply::Integer(13)));
    let all = vec![
        add(2, 1, FieldOverflow::Saturate),
        add(2, 9, FieldOverflow::Saturate),
        add(2, 1, FieldOverflow::Wrap),
        add(2, -1, FieldOverflow::Saturate),
    ];
    let reply = bench.key(b"k", bits(BitsOp::Fields(all)));
    assert_eq!(reply, Ok(Reply::List([1, 3, 0, 0].map(Reply::Integer).to_vec())));
    for (is_signed, bits_) in [(true, 0), (true, 65), (false, 64)] {
        let field = Field { at: 0, is_signed, bits: bits_, action: FieldAction::Get };
        let reply = bench.key(b"k", bits(BitsOp::Fields(vec![field])));
        assert_eq!(reply, Err(OpError::Malformed));
    }
}

/// A field as a model: an integer of bits one after the other.
fn read(value: &[u8], field: &Field) -> i128 {
    let mut number = 0_i128;
    for at in field.at..field.at + u64::from(field.bits) {
        number = number * 2 + i128::from(is_on(value, at as usize));
    }
    let sign = 1 << (field.bits - 1);
    if field.is_signed && number >= sign { number - 2 * sign } else { number }
}

proptest! {
    #[test]
    fn ranges_are_counted_and_searched_bit_by_bit(
        value in proptest::collection::vec(prop_oneof![Just(0), Just(0xFF), any::<u8>()], 0..40),
        (first, last) in (-400_i64..400, -400_i64..400),
        (in_bits, on, open) in any::<(bool, bool, bool)>(),
    ) {
        let mut bench = Bench::new();
        bench.key(b"k", put(&value)).unwrap();
        let range = BitRange { first, last, in_bits };
        let length = (value.len() * if in_bits { 8 } else { 1 }) as i64;
        let at = |index: i64| if index < 0 { (index + length).max(0) } else { index };
        let unit = if in_bits { 1 } else { 8 };
        let covered: Vec<usize> = (0..value.len() * 8)
            .filter(|bit| (at(first)..=at(last)).contains(&((bit / unit) as i64)))
            .collect();
        let ones = covered.iter().filter(|bit| is_on(&value, **bit)).count();
        let reversed = first < 0 && last < 0 && first > last;
        let expected = Reply::count(if reversed { 0 } else { ones });
        prop_assert_eq!(bench.key(b"k", bits(BitsOp::Count(range))), Ok(expected));
        let found = covered.iter().find(|bit| is_on(&value, **bit) == on);
        let expected = match found {
            Some(at) => *at as i64,
            None if open && !on && !covered.is_empty() => value.len() as i64 * 8,
            None => -1,
        };
        let reply = bench.key(b"k", bits(BitsOp::Find { on, range, open }));
        prop_assert_eq!(reply, Ok(Reply::Integer(expected)));
    }

    #[test]
    fn fields_hold_what_was_written(
        value in proptest::collection::vec(any::<u8>(), 0..20),
        fields in proptest::collection::vec(
            (0..200_u64, any::<bool>(), 1..64_u8, any::<i64>(), any::<bool>()), 1..8),
    ) {
        let mut bench = Bench::new();
        bench.key(b"k", put(&value)).unwrap();
        let mut model = value;
        for (at, is_signed, width, number, adds) in fields {
            let wrap = FieldOverflow::Wrap;
            let action =
                if adds { FieldAction::Add(number, wrap) } else { FieldAction::Set(number, wrap) };
            let field = Field { at, is_signed, bits: width, action };
            let old = read(&model, &field);
            let wanted = if adds { old + i128::from(number) } else { number.into() };
            model.resize(model.len().max(field.last() as usize / 8 + 1), 0);
            for bit in 0..u64::from(width) {
                let (at, on) = (at + bit, wanted >> (u64::from(width) - 1 - bit) & 1 == 1);
                let (byte, mask) = (at as usize / 8, 0x80 >> (at % 8));
                model[byte] = if on { model[byte] | mask } else { model[byte] & !mask };
            }
            let reply = bench.key(b"k", bits(BitsOp::Fields(vec![field])));
            let expected = if adds { read(&model, &field) } else { old };
            let expected = Reply::Integer(i64::try_from(expected).unwrap());
            prop_assert_eq!(reply, Ok(Reply::List(vec![expected])));
            prop_assert_eq!(bench.key(b"k", KeyOp::Plain(PlainOp::Get)), Ok(Reply::bytes(&model)));
        }
    }

    #[test]
    fn values_are_combined_bit_by_bit(
        values in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..6), 1..5),
    ) {
        let length = values.iter().map(Vec::len).max().unwrap_or(0);
        for how in [
            BitCombine::And, BitCombine::Or, BitCombine::Xor, BitCombine::Not, BitCombine::Diff,
            BitCombine::Diff1, BitCombine::AndOr, BitCombine::One,
        ] {
            let values = if how == BitCombine::Not { &values[..1] } else { &values[..] };
            let length = if how == BitCombine::Not { values[0].len() } else { length };
            let mut fold = BitFold::new(how);
            values.iter().for_each(|value| fold.add(value));
            let result = fold.finish();
            prop_assert_eq!(result.len(), length);
            for at in 0..length * 8 {
                let on = values.iter().filter(|value| is_on(value, at)).count();
                let first = is_on(&values[0], at);
                let others = on - usize::from(first) > 0;
                let expected = match how {
                    BitCombine::And => on == values.len(),
                    BitCombine::Or => on > 0,
                    BitCombine::Xor => on % 2 == 1,
                    BitCombine::Not => !first,
                    BitCombine::Diff => first && !others,
                    BitCombine::Diff1 => !first && others,
                    BitCombine::AndOr => first && others,
                    BitCombine::One => on == 1,
                };
                prop_assert_eq!(is_on(&result, at), expected, "{:?} {}", how, at);
            }
        }
    }
}
