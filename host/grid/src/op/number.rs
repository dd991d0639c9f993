//! Numbers as the C library reads them.

/// A number to sort by: as `strtod` of C reads it, if it reads all of the text up to a zero byte, and
/// the number is neither too large nor too small for its type, nor NaN.
pub(super) fn sort_weight(text: &[u8]) -> Option<f64> {
    let (number, is_exact) = of_c(text)?;
    is_exact.then_some(number)
}

/// A bound of a range of scores: as `sort_weight`, but numbers that are too large or too small are
/// infinite or zero.
#[must_use]
pub fn score_bound(text: &[u8]) -> Option<f64> {
    of_c(text).map(|(number, _)| number)
}

/// A decimal number, with or without a fraction, or a hexadecimal one after `0x`; not NaN, not
/// infinite unless it is `inf`, and not zero unless its digits are.
#[must_use]
pub fn float(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.contains(&0) || is_space(&text[0]) {
        return None;
    }
    let (number, is_exact) = of_c(text)?;
    (is_exact || number != 0.0 && number.is_finite()).then_some(number)
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A number as `strtod` of C reads it, and whether it is in the range of normal numbers.
fn of_c(text: &[u8]) -> Option<(f64, bool)> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some((0.0, true));
    }
    let start = text.iter().position(|byte| !is_space(byte))?;
    let text = str::from_utf8(&text[start..]).ok()?;
    let (digits, is_negative) = match text.as_bytes().first()? {
        b'-' => (&text[1..], true),
        b'+' => (&text[1..], false),
        _ => (text, false),
    };
    let lower = digits.to_ascii_lowercase();
    let (size, is_exact) = match &*lower {
        "inf" | "infinity" => (f64::INFINITY, true),
        _ => match lower.strip_prefix("0x") {
            Some(digits) => hexadecimal(digits)?,
            None => decimal(&lower)?,
        },
    };
    Some((if is_negative { -size } else { size }, is_exact))
}

fn decimal(text: &str) -> Option<(f64, bool)> {
    let is_part = |byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-');
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && text.bytes().all(is_part);
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    let mantissa = text.split('e').next().unwrap_or_default();
    let is_zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    Some((number, is_zero || number.is_normal()))
}

fn hexadecimal(text: &str) -> Option<(f64, bool)> {
    let (digits, exponent) = match text.split_once('p') {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let shift = exponent.saturating_sub(4 * i32::try_from(fraction.len()).ok()?);
    let result = number * 2_f64.powi(shift);
    Some((result, number == 0.0 || result.is_normal()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_those_of_c() {
        for (text, expected) in [
            ("", Some(0.0)),
            (" 5", Some(5.0)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e2", Some(100.0)),
            ("-0x1.8p1", Some(-3.0)),
            ("0x10", Some(16.0)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("infinity", Some(f64::INFINITY)),
            ("7\0x", Some(7.0)),
            ("5 ", None),
            (" ", None),
            ("nan", None),
            ("1e400", None),
            ("1e-400", None),
            ("0e400", Some(0.0)),
            ("0x", None),
            ("e5", None),
            ("--5", None),
            ("1_000", None),
            ("abc", None),
        ] {
            assert_eq!(sort_weight(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn floats_are_stricter_than_bounds() {
        for (text, bound, strict) in [
            ("", Some(0.0), None),
            (" 5", Some(5.0), None),
            ("5 ", None, None),
            ("1e309", Some(f64::INFINITY), None),
            ("-1e309", Some(f64::NEG_INFINITY), None),
            ("1e-400", Some(0.0), None),
            ("4e-320", Some(4e-320), Some(4e-320)),
            ("inf", Some(f64::INFINITY), Some(f64::INFINITY)),
            ("0x10", Some(16.0), Some(16.0)),
            ("1\0", Some(1.0), None),
            ("nan", None, None),
        ] {
            assert_eq!(score_bound(text.as_bytes()), bound, "{text:?}");
            assert_eq!(float(text.as_bytes()), strict, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_not(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            prop_assert!(score_bound(&text).is_none_or(|number| !number.is_nan()));
            prop_assert!(float(&text).is_none_or(|number| score_bound(&text) == Some(number)));
        }

        #[test]
        fn any_number_is_read(expected in any::<f64>().prop_filter("normal", |n| n.is_normal())) {
            let text = expected.to_string();
            prop_assert_eq!(sort_weight(text.as_bytes()), Some(expected));
            prop_assert_eq!(float(text.as_bytes()), Some(expected));
        }
    }
}
