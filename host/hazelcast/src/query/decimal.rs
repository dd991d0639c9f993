//! Numbers of any length: Java's `BigInteger` and `BigDecimal`.

use std::cmp::Ordering;
use std::fmt;

use super::{Error, NUMBER_LENGTH_MAX};

/// A decimal number: its digits, and how many of them are decimals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// False for zero.
    is_negative: bool,
    /// Values from 0 to 9, the most significant one first, without leading zeros.
    digits: Vec<u8>,
    scale: i32,
}

const TOO_LONG: Error =
    Error::Limit { what: "bytes or digits in a number", limit: NUMBER_LENGTH_MAX };

/// What one step of the conversion to digits takes: nine of them.
const STEP: u64 = 1_000_000_000;

impl Decimal {
    fn new(is_negative: bool, digits: Vec<u8>, scale: i32) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.into_iter().skip(zeros).collect::<Vec<_>>();
        Self { is_negative: is_negative && !digits.is_empty(), digits, scale }
    }

    /// Two's complement in big-endian order, and the number of decimals.
    pub(super) fn from_bytes(bytes: &[u8], scale: i32) -> Result<Self, Error> {
        if bytes.len() > NUMBER_LENGTH_MAX {
            return Err(TOO_LONG);
        }
        let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut magnitude = bytes.to_vec();
        if is_negative {
            let mut carry = true;
            for byte in magnitude.iter_mut().rev() {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        // A magnitude of 128, 0, 0, ... is its own complement, which is correct without a sign.
        let mut digits = Vec::new();
        while magnitude.iter().any(|byte| *byte != 0) {
            let mut rest = 0;
            for byte in &mut magnitude {
                let number = rest << 8 | u64::from(*byte);
                // The quotient is below 256, as the rest was below the divisor.
                *byte = u8::try_from(number / STEP).unwrap_or(u8::MAX);
                rest = number % STEP;
            }
            for _ in 0..9 {
                digits.push(u8::try_from(rest % 10).unwrap_or_default());
                rest /= 10;
            }
        }
        digits.reverse();
        Ok(Self::new(is_negative, digits, scale))
    }

    pub(super) fn from_i64(number: i64) -> Self {
        let digits = number.unsigned_abs().to_string().bytes().map(|digit| digit - b'0').collect();
        Self::new(number < 0, digits, 0)
    }

    /// As `new BigInteger(text)`.
    pub(super) fn parse_integer(text: &str) -> Result<Self, Error> {
        let (is_negative, digits) = sign(text);
        if digits.len() > NUMBER_LENGTH_MAX {
            return Err(TOO_LONG);
        }
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(not_a_number(text));
        }
        Ok(Self::new(is_negative, digits.bytes().map(|digit| digit - b'0').collect(), 0))
    }

    /// As `new BigDecimal(text)`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let (is_negative, number) = sign(text);
        if number.len() > NUMBER_LENGTH_MAX {
            return Err(TOO_LONG);
        }
        let (number, exponent) = match number.split_once(['e', 'E']) {
            Some((number, exponent)) => {
                (number, exponent.parse::<i32>().map_err(|_| not_a_number(text))?)
            }
            None => (number, 0),
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let mut digits = whole.bytes().chain(decimals.bytes()).peekable();
        if digits.peek().is_none() || !digits.clone().all(|byte| byte.is_ascii_digit()) {
            return Err(not_a_number(text));
        }
        let scale = i64::try_from(decimals.len()).unwrap_or(i64::MAX) - i64::from(exponent);
        let scale = i32::try_from(scale).map_err(|_| not_a_number(text))?;
        Ok(Self::new(is_negative, digits.map(|digit| digit - b'0').collect(), scale))
    }

    /// Without its decimals: `toBigInteger()`.
    pub(super) fn truncated(&self) -> Result<Self, Error> {
        if self.digits.is_empty() {
            return Ok(Self::from_i64(0));
        }
        let mut digits = self.digits.clone();
        match usize::try_from(self.scale) {
            Ok(decimals) => digits.truncate(digits.len().saturating_sub(decimals)),
            Err(_) => {
                let zeros = usize::try_from(self.scale.unsigned_abs()).unwrap_or(usize::MAX);
                let length = digits.len().saturating_add(zeros);
                if length > NUMBER_LENGTH_MAX * 3 {
                    return Err(TOO_LONG);
                }
                digits.resize(length, 0);
            }
        }
        Ok(Self::new(self.is_negative, digits, 0))
    }

    /// As `longValue()`: the lowest 64 bits, without decimals.
    pub(super) fn low_bits(&self) -> Result<i64, Error> {
        let number = self.truncated()?;
        let bits = number
            .digits
            .iter()
            .fold(0_i64, |bits, digit| bits.wrapping_mul(10).wrapping_add((*digit).into()));
        Ok(if number.is_negative { bits.wrapping_neg() } else { bits })
    }

    /// The power of ten of the first digit.
    fn exponent(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX) - 1 - i64::from(self.scale)
    }

    /// By value: 1.0 and 1.00 are the same.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_negative, number.digits.is_empty()) {
            (true, _) => -1,
            (false, is_zero) => i32::from(!is_zero),
        };
        let order = sign(self).cmp(&sign(other));
        if order.is_ne() || self.digits.is_empty() {
            return order;
        }
        let order = self.exponent().cmp(&other.exponent()).then_with(|| {
            let length = self.digits.len().max(other.digits.len());
            let digits = |number: &'_ Self, at| number.digits.get(at).copied().unwrap_or_default();
            (0..length)
                .map(|at| digits(self, at).cmp(&digits(other, at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        if self.is_negative { order.reverse() } else { order }
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn not_a_number(text: &str) -> Error {
    Error::invalid(format!("{:?} is not a number", text.chars().take(40).collect::<String>()))
}

/// As Java's `toString()`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits =
            self.digits.iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
        if digits.is_empty() {
            digits.push('0');
        }
        if self.is_negative {
            f.write_str("-")?;
        }
        let exponent = i64::try_from(digits.len()).unwrap_or(i64::MAX) - 1 - i64::from(self.scale);
        match usize::try_from(self.scale) {
            Ok(0) => f.write_str(&digits),
            Ok(scale) if exponent >= -6 => {
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, decimals) = digits.split_at(digits.len() - scale);
                write!(f, "{whole}.{decimals}")
            }
            _ => {
                let (first, rest) = digits.split_at(1);
                f.write_str(first)?;
                if !rest.is_empty() {
                    write!(f, ".{rest}")?;
                }
                if exponent == 0 { Ok(()) } else { write!(f, "E{exponent:+}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_print_as_in_java() {
        for text in ["0", "-1", "10.50", "0.000001", "1E+3", "-1.23E-8", "0.00", "0E+2", "1E-7"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("+.5").to_string(), "0.5");
        assert_eq!(parse("12e-1").to_string(), "1.2");
    }

    #[test]
    fn numbers_compare_by_value_and_are_equal_with_their_decimals() {
        assert_eq!(parse("1.0").compare(&parse("1")), Ordering::Equal);
        assert_ne!(parse("1.0"), parse("1"));
        assert_eq!(parse("-2").compare(&parse("-10")), Ordering::Greater);
        assert_eq!(parse("1e2000000000").compare(&parse("2")), Ordering::Greater);
        assert_eq!(parse("0.00").compare(&parse("0")), Ordering::Equal);
        assert_eq!(parse("-0.1").compare(&parse("0")), Ordering::Less);
    }

    #[test]
    fn twos_complement_is_decoded() {
        for number in [0, 1, -1, 127, -128, 255, i64::MIN, i64::MAX, 1_000_000_000, -1_000_000_001]
        {
            let decimal = Decimal::from_bytes(&number.to_be_bytes(), 0).unwrap();
            assert_eq!(decimal, Decimal::from_i64(number), "{number}");
            assert_eq!(decimal.to_string(), number.to_string());
        }
    }

    #[test]
    fn decimals_are_cut_off() {
        assert_eq!(parse("-12.9").truncated().unwrap().to_string(), "-12");
        assert_eq!(parse("0.9").truncated().unwrap().to_string(), "0");
        assert_eq!(parse("1e3").truncated().unwrap().to_string(), "1000");
        assert!(parse("1e2000000000").truncated().is_err());
    }

    #[test]
    fn invalid_numbers_are_errors() {
        for text in ["", "-", ".", "1e", "1.2.3", "0x1", "1 ", "1e99999999999"] {
            assert!(Decimal::parse(text).is_err(), "{text:?}");
        }
        assert!(Decimal::parse(&"1".repeat(NUMBER_LENGTH_MAX + 1)).is_err());
    }

    #[test]
    fn fuzz_query_decimal() {
        convoke_harness::check!(
            &["-12.50e3", "0.000", "123456789012345678901234567890"],
            |bytes| {
                // Shorter than the limit on digits.
                if let Ok(number) = Decimal::from_bytes(bytes.get(..200).unwrap_or(bytes), 3) {
                    assert_eq!(Decimal::parse(&number.to_string()), Ok(number));
                }
                let Ok(text) = std::str::from_utf8(bytes) else { return };
                let Ok(number) = Decimal::parse(text) else { return };
                assert_eq!(Decimal::parse(&number.to_string()), Ok(number));
            }
        );
    }
}
