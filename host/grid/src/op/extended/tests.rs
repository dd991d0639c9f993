//! Sums as Redis 7.0 on x86-64 shows them.

use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Extended {
    Extended::parse(text.as_bytes()).unwrap()
}

fn sum(a: &str, b: &str) -> String {
    number(a).plus(number(b)).to_string()
}

#[test]
fn sums_are_those_of_redis() {
    for (a, b, expected) in [
        ("3", "1.1", "4.1"),
        ("10.5", "0.1", "10.6"),
        ("0.1", "0.2", "0.3"),
        ("3.0e3", "2.0e2", "3200"),
        ("5e3", "-5e3", "0"),
        ("-1e-30", "0", "0"),
        ("1e-20", "1e-20", "0"),
        ("1.0", "0.00000000000000000001", "1"),
        ("1", "1e-17", "1.00000000000000001"),
        ("1", "4.9e-18", "1"),
        ("9007199254740993", "1", "9007199254740994"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("123456789012345678", "0.5", "123456789012345678.5"),
        ("17179869184", "1.5", "17179869185.5"),
        ("17179869185", "1.23456789", "17179869186.23456788994371891"),
        ("4951760157141521099596496896", "1", "4951760157141521099596496896"),
        ("0x10", "1", "17"),
        ("-0x1.8p1", "0", "-3"),
        ("1e4932", "1e4932", "inf"),
        ("-inf", "1", "-inf"),
    ] {
        assert_eq!(sum(a, b), expected, "{a} + {b}");
        assert_eq!(sum(b, a), expected, "{b} + {a}");
    }
    let large = sum("1e400", "1");
    assert_eq!(large.len(), 401);
    assert!(
        large.starts_with("10000000000000000000281880683947586514586453433629052038625910693539")
    );
    assert!(large.ends_with("6343732497430221946880"));
}

#[test]
fn other_texts_are_no_numbers() {
    for text in [
        "", " 1", "1 ", "nan", "x", "1e", "-", "+", ".", "1.2.3", "0x", "1e5000", "-1e5000",
        "1e-5000", "1_0", "--1", "1e+", "infin",
    ] {
        assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(Extended::parse(&[b'1'; 5_120]), None);
    assert!(Extended::parse(&[b'0'; 5_119]).is_some());
    // The least one, and the largest one.
    assert!(number("3.6e-4951") > Extended::ZERO);
    assert!(number("1.18973149535723176502e4932") <= Extended::MAX);
    assert_eq!(Extended::parse(b"1.18973149535723176509e4932"), None);
    assert_eq!(Extended::parse(b"0e99999999999"), Some(Extended::ZERO));
}

proptest! {
    #[test]
    fn any_bytes_are_a_number_or_not(text in proptest::collection::vec(any::<u8>(), 0..30)) {
        if let Some(number) = Extended::parse(&text) {
            let _ = number.to_string();
        }
    }

    #[test]
    fn texts_of_digits_never_fail(text in "[-+]?[0-9]{0,40}[.]?[0-9]{0,40}(e[-+]?[0-9]{1,5})?") {
        if let Some(number) = Extended::parse(text.as_bytes()) {
            let _ = number.plus(number.negated()).to_string();
            prop_assert_eq!(number.minus(number), Extended::ZERO);
        }
    }

    /// 64 bits hold all of these exactly.
    #[test]
    fn sums_of_small_integers_are_exact(a in any::<i32>(), b in any::<i32>(), c in 0..60_i32) {
        let (a, b) = (i128::from(a) << c.min(30), i128::from(b));
        prop_assert_eq!(sum(&a.to_string(), &b.to_string()), (a + b).to_string());
        let (x, y) = (number(&a.to_string()), number(&b.to_string()));
        prop_assert_eq!(x.partial_cmp(&y), a.partial_cmp(&b));
    }

    /// A small number has the text that it was parsed from, as 17 digits behind the point show.
    #[test]
    fn numbers_are_shown_as_they_were(whole in 0..8_u32, fraction in 0..1_000_000_000_u32) {
        let text = format!("{whole}.{fraction:09}1");
        prop_assert_eq!(number(&text).to_string(), text);
    }
}
