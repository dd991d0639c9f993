//! Numbers with the 80 bits that the C compilers of x86-64 use for `long double`, which Redis computes
//! `INCRBYFLOAT` with: 64 bits of precision, rounded to the nearest, ties to even. Redis shows
//! at most 17 digits behind the point.

mod big;

use std::cmp::Ordering;
use std::fmt::{self, Display};

use big::Big;

/// Exponents of the lowest bit of a number: `mantissa` × 2^`exponent`.
const EXPONENT_MIN: i32 = -16_445;
const EXPONENT_MAX: i32 = 16_320;
const MANTISSA_BITS: i32 = 64;
/// Free bits below the lowest one of a number in a sum.
const GUARD_BITS: i32 = 62;
/// Length of the text of a number, at most, as in Redis.
const TEXT_BYTES_MAX: usize = 5 * 1_024 - 1;
/// Decimal exponents beyond this are out of range for any digits, or make the number zero.
const DECIMAL_EXPONENT_MAX: i64 = 5_000;
/// Digits behind the point, and the factor that makes them whole.
const FRACTION_DIGITS: usize = 17;
const FRACTION: u128 = 100_000_000_000_000_000;

/// A number with the 80 bits of `long double` on x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    is_negative: bool,
    is_infinite: bool,
    /// With its highest bit set, unless the number is zero or the exponent is the least.
    mantissa: u64,
    exponent: i32,
}

impl Extended {
    /// Zero.
    pub const ZERO: Self =
        Self { is_negative: false, is_infinite: false, mantissa: 0, exponent: EXPONENT_MIN };
    /// The largest number.
    pub const MAX: Self = Self { mantissa: u64::MAX, exponent: EXPONENT_MAX, ..Self::ZERO };
    const INFINITY: Self = Self { is_infinite: true, ..Self::ZERO };

    /// Parses a number as `strtold` of C does, if that reads all of the text: decimal, or
    /// hexadecimal after `0x`; `inf` is infinite. `None` for other texts, NaN, and numbers that are
    /// too large or too small.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (digits, is_negative) = match text {
            [b'-', digits @ ..] => (digits, true),
            [b'+', digits @ ..] => (digits, false),
            digits => (digits, false),
        };
        let digits = digits.to_ascii_lowercase();
        let number = match &digits[..] {
            b"inf" | b"infinity" => Self::INFINITY,
            [b'0', b'x', digits @ ..] => hexadecimal(digits)?,
            digits => decimal(digits)?,
        };
        Some(Self { is_negative, ..number })
    }

    /// Whether it is infinite.
    #[must_use]
    pub fn is_infinite(&self) -> bool {
        self.is_infinite
    }

    /// The sum. The sum of opposite infinities is infinite.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        if self.is_infinite || other.is_infinite {
            return if self.is_infinite { self } else { other };
        }
        let (a, b) =
            if self.size().cmp(&other.size()).is_ge() { (self, other) } else { (other, self) };
        let distance = (a.exponent - b.exponent).unsigned_abs();
        let x = u128::from(a.mantissa) << GUARD_BITS;
        let all = u128::from(b.mantissa) << GUARD_BITS;
        let y = all.checked_shr(distance).unwrap_or(0);
        let is_inexact = y.checked_shl(distance).unwrap_or(0) != all;
        let sum =
            if a.is_negative == b.is_negative { x + y } else { x - y - u128::from(is_inexact) };
        let sum = rounded(sum, a.exponent - GUARD_BITS, is_inexact);
        Self { is_negative: a.is_negative && (sum.mantissa > 0 || sum.is_infinite), ..sum }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// The number with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { is_negative: !self.is_negative, ..self }
    }

    /// In the order of absolute values.
    fn size(&self) -> (bool, i32, u64) {
        (self.is_infinite, if self.mantissa == 0 { i32::MIN } else { self.exponent }, self.mantissa)
    }
}

impl PartialOrd for Extended {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let is_zero = |number: &Self| number.mantissa == 0 && !number.is_infinite;
        if is_zero(self) && is_zero(other) {
            return Some(Ordering::Equal);
        }
        Some(match (self.is_negative, other.is_negative) {
            (false, false) => self.size().cmp(&other.size()),
            (true, true) => other.size().cmp(&self.size()),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        })
    }
}

/// The number `value` × 2^`exponent`, rounded; `is_inexact` if there are more bits below.
fn rounded(value: u128, exponent: i32, is_inexact: bool) -> Extended {
    let bits = i32::try_from(u128::BITS - value.leading_zeros()).unwrap_or(0);
    let dropped = (bits - MANTISSA_BITS).max(EXPONENT_MIN - exponent);
    if bits == 0 || dropped >= i32::try_from(u128::BITS).unwrap_or(0) {
        return Extended::ZERO;
    }
    let mut exponent = exponent + dropped;
    let mut kept = if dropped <= 0 { value << -dropped } else { value >> dropped };
    if dropped > 0 {
        let (rest, half) = (value & ((1 << dropped) - 1), 1_u128 << (dropped - 1));
        if rest > half || rest == half && (is_inexact || kept & 1 == 1) {
            kept += 1;
        }
    }
    if kept >> MANTISSA_BITS > 0 {
        kept >>= 1;
        exponent += 1;
    }
    if exponent > EXPONENT_MAX {
        return Extended::INFINITY;
    }
    Extended { mantissa: kept as u64, exponent, ..Extended::ZERO }
}

/// Divides the digits of a number at its point. `None` if it has no digits, or other characters.
fn point(text: &[u8], is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, i64)> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    let digits = [whole, fraction].concat();
    (!digits.is_empty() && digits.iter().all(is_digit)).then_some((digits, fraction.len() as i64))
}

/// Parses an exponent, bounded since larger ones make no difference.
fn exponent(text: &[u8]) -> Option<i64> {
    let (digits, is_negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits
        .iter()
        .fold(0_i64, |size, digit| (size * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if is_negative { -size } else { size })
}

/// A number that was not zero must not have become so, nor infinite.
fn in_range(number: Extended) -> Option<Extended> {
    (!number.is_infinite && number.mantissa > 0).then_some(number)
}

fn decimal(text: &[u8]) -> Option<Extended> {
    let (digits, power) = match text.iter().position(|byte| *byte == b'e') {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, behind) = point(digits, u8::is_ascii_digit)?;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros..];
    if digits.is_empty() {
        return Some(Extended::ZERO);
    }
    let power = power - behind;
    if (power + digits.len() as i64).abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let number = Big::from_digits(digits);
    let factor = Big::power_of_ten(power.unsigned_abs());
    let (quotient, exponent, is_inexact) =
        if power >= 0 { number.times(&factor).leading_bits() } else { number.divided_by(&factor) };
    in_range(rounded(quotient, exponent, is_inexact))
}

fn hexadecimal(text: &[u8]) -> Option<Extended> {
    let (digits, power) = match text.iter().position(|byte| *byte == b'p') {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (digits, behind) = point(digits, u8::is_ascii_hexdigit)?;
    let (mut number, mut exponent, mut is_inexact) = (0_u128, power - 4 * behind, false);
    for digit in digits {
        let digit = char::from(digit).to_digit(16)?;
        if number.leading_zeros() >= 4 {
            number = number << 4 | u128::from(digit);
        } else {
            exponent += 4;
            is_inexact |= digit > 0;
        }
    }
    if number == 0 {
        return Some(Extended::ZERO);
    }
    in_range(rounded(number, i32::try_from(exponent).ok()?, is_inexact))
}

impl Display for Extended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        if self.is_infinite {
            return write!(f, "{sign}inf");
        }
        if self.exponent >= 0 {
            let digits = Big::from(self.mantissa).shifted(self.exponent.unsigned_abs()).to_digits();
            return write!(f, "{sign}{digits}");
        }
        let shift = self.exponent.unsigned_abs();
        let scaled = u128::from(self.mantissa) * FRACTION;
        let mut number = scaled.checked_shr(shift).unwrap_or(0);
        if shift < u128::BITS {
            let (rest, half) = (scaled & ((1 << shift) - 1), 1 << (shift - 1));
            if rest > half || rest == half && number & 1 == 1 {
                number += 1;
            }
        }
        if number == 0 {
            return f.write_str("0");
        }
        let (whole, fraction) = (number / FRACTION, number % FRACTION);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:0FRACTION_DIGITS$}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests;
