//! Numbers as text.

/// A number as an argument of a command: whole numbers without exponent or fraction up to 17
/// digits, and others with the fewest digits that give the same number.
///
/// ```
/// use convoke_script::number_text;
///
/// assert_eq!(number_text(9_007_199_254_740_991.0), "9007199254740991");
/// assert_eq!(number_text(0.1), "0.1");
/// assert_eq!(number_text(1e300), "1e+300");
/// assert_eq!(number_text(f64::NEG_INFINITY), "-inf");
/// ```
#[must_use]
pub fn number_text(number: f64) -> String {
    /// Beyond it, not every whole number is a floating-point number.
    const WHOLE_MAX: f64 = 1e17;
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if number.trunc() == number && number.abs() < WHOLE_MAX {
        return format!("{number:.0}");
    }
    let size = number.abs();
    if (1e-5..WHOLE_MAX).contains(&size) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
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
    fn arguments_keep_their_value() {
        for number in [0.1, 1e-7, 123.456, 9_007_199_254_740_993.0, 1e17, 3e40, -2.5] {
            assert_eq!(number_text(number).parse::<f64>().unwrap(), number);
        }
        assert_eq!(number_text(-0.0), "-0");
    }
}
