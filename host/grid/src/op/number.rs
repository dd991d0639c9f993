//! Numbers as the C library reads them.

/// A number as `strtod` of C reads it, if it reads all of the text up to a zero byte, and the number
/// is neither too large nor too small for its type, nor NaN.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let text = str::from_utf8(&text[start..]).ok()?;
    let (digits, is_negative) = match text.as_bytes().first()? {
        b'-' => (&text[1..], true),
        b'+' => (&text[1..], false),
        _ => (text, false),
    };
    let lower = digits.to_ascii_lowercase();
    let size = match &*lower {
        "inf" | "infinity" => f64::INFINITY,
        _ => match lower.strip_prefix("0x") {
            Some(digits) => hexadecimal(digits)?,
            None => decimal(&lower)?,
        },
    };
    Some(if is_negative { -size } else { size })
}

fn decimal(text: &str) -> Option<f64> {
    let is_part = |byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-');
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && text.bytes().all(is_part);
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    let mantissa = text.split('e').next().unwrap_or_default();
    let is_zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    (is_zero || number.is_normal()).then_some(number)
}

fn hexadecimal(text: &str) -> Option<f64> {
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
    (number == 0.0 || result.is_normal()).then_some(result)
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
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_not(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            prop_assert!(number(&text).is_none_or(|number| !number.is_nan()));
        }

        #[test]
        fn any_number_is_read(expected in any::<f64>().prop_filter("normal", |n| n.is_normal())) {
            prop_assert_eq!(number(expected.to_string().as_bytes()), Some(expected));
        }
    }
}
