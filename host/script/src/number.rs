//! Numbers as text.

/// A number as text, as Redis 7.2 and later write it: a whole number in digits up to half of what 64
/// bits hold, and others with the fewest digits that give the same number. The form of those, with an
/// exponent or without, is that of the library `fpconv`, which Redis uses.
///
/// ```
/// use convoke_script::number_text;
///
/// assert_eq!(number_text(9_007_199_254_740_991.0), "9007199254740991");
/// assert_eq!(number_text(0.1), "0.1");
/// assert_eq!(number_text(1e300), "1e+300");
/// assert_eq!(number_text(1.23e-5), "1.23e-5");
/// assert_eq!(number_text(f64::NEG_INFINITY), "-inf");
/// ```
#[must_use]
pub fn number_text(number: f64) -> String {
    /// Up to it, a whole number is written in digits.
    const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;
    /// Fewer zeros than this follow the digits of other numbers.
    const ZEROS_MAX: i32 = 7;
    /// Numbers from 10 to the power of minus this on have no exponent.
    const SMALL_MAX: i32 = 4;
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number.trunc() == number && number.abs() <= WHOLE_MAX {
        return format!("{number:.0}");
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let text = format!("{:e}", number.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let count = digits.len() as i32;
    // Of the last digit.
    let last = exponent - count + 1;
    if last >= 0 && exponent < count + ZEROS_MAX {
        return format!("{sign}{digits}{}", "0".repeat(last.unsigned_abs() as usize));
    }
    if last < 0 && (last > -ZEROS_MAX || exponent.abs() < SMALL_MAX) {
        return match usize::try_from(exponent) {
            Ok(before) => {
                let (whole, fraction) = digits.split_at(before + 1);
                format!("{sign}{whole}.{fraction}")
            }
            Err(_) => {
                let zeros = exponent.unsigned_abs() as usize - 1;
                format!("{sign}0.{}{digits}", "0".repeat(zeros))
            }
        };
    }
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{mantissa}e{exponent_sign}{}", exponent.unsigned_abs())
}

/// A finite number with `digits` significant digits at most, as `%g` of C writes it.
pub(crate) fn general(number: f64, digits: usize) -> String {
    let text = format!("{:.*e}", digits.max(1) - 1, number);
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits.max(1) as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let decimals = (digits.max(1) as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{number:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_c() {
        let general = |number| general(number, 14);
        assert_eq!(general(0.1), "0.1");
        assert_eq!(general(-5000.0), "-5000");
        assert_eq!(general(1e14), "1e+14");
        assert_eq!(general(12_345_678_901_234.0), "12345678901234");
        assert_eq!(general(1.0 / 3.0), "0.33333333333333");
        assert_eq!(general(1e-5), "1e-05");
        assert_eq!(general(0.0), "0");
        assert_eq!(general(99_999_999_999_999.9), "1e+14");
    }

    #[test]
    fn numbers_are_written_as_by_redis() {
        for (number, text) in [
            (3.0, "3"),
            (0.0, "0"),
            (-0.0, "-0"),
            (3.1, "3.1"),
            (-1e18, "-1000000000000000000"),
            (1_234_567_890_123_456_789.0, "1234567890123456768"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (4.7e18, "4.7e+18"),
            (-5e18, "-5e+18"),
            (1e19, "1e+19"),
            (12_345_678_901_234_567_890_123.0, "12345678901234568000000"),
            (1.5e300, "1.5e+300"),
            (1e-5, "0.00001"),
            (1e-6, "0.000001"),
            (1.23e-5, "1.23e-5"),
            (1.5e-7, "1.5e-7"),
            (-1e-7, "-1e-7"),
            (0.001_234_567_891, "0.001234567891"),
            (-12.5, "-12.5"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn arguments_keep_their_value() {
        for number in [0.1, 1e-7, 123.456, 9_007_199_254_740_993.0, 1e17, 3e40, -2.5] {
            assert_eq!(number_text(number).parse::<f64>().unwrap(), number);
        }
        assert_eq!(number_text(-0.0), "-0");
    }
}
