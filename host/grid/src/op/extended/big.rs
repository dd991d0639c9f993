//! Whole numbers of any size, as far as conversions of decimal numbers need them.

use std::cmp::Ordering;

/// Bits of a quotient, or of a number, that are enough to round it.
const RESULT_BITS: u32 = 70;
const LIMB_BITS: u32 = u32::BITS;
/// The largest power of ten in a limb.
const CHUNK: u32 = 1_000_000_000;
const CHUNK_DIGITS: usize = 9;

/// A whole number: limbs, the lowest first, the highest not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Big(Vec<u32>);

/// Bits, the exponent of the lowest one, and whether bits below are left out.
pub(super) type Bits = (u128, i32, bool);

impl From<u64> for Big {
    fn from(number: u64) -> Self {
        Self::trimmed(vec![number as u32, (number >> LIMB_BITS) as u32])
    }
}

impl Big {
    fn trimmed(mut limbs: Vec<u32>) -> Self {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self(limbs)
    }

    /// A number of decimal digits.
    pub(super) fn from_digits(digits: &[u8]) -> Self {
        let mut number = Self(Vec::new());
        for digits in digits.chunks(CHUNK_DIGITS) {
            let chunk = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
            number.scale(10_u32.pow(digits.len() as u32), chunk);
        }
        number
    }

    /// A power of ten.
    pub(super) fn power_of_ten(power: u64) -> Self {
        let mut number = Self(vec![1]);
        for _ in 0..power / CHUNK_DIGITS as u64 {
            number.scale(CHUNK, 0);
        }
        number.scale(10_u32.pow((power % CHUNK_DIGITS as u64) as u32), 0);
        number
    }

    /// Multiplies by a factor and adds to it.
    fn scale(&mut self, factor: u32, more: u32) {
        let mut carry = u64::from(more);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= LIMB_BITS;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = vec![0_u32; self.0.len() + other.0.len()];
        for (at, limb) in self.0.iter().enumerate() {
            let mut carry = 0_u64;
            let places = product[at..].iter_mut();
            for (place, other) in places.zip(other.0.iter().chain(&[0])) {
                carry += u64::from(*place) + u64::from(*limb) * u64::from(*other);
                *place = carry as u32;
                carry >>= LIMB_BITS;
            }
        }
        Self::trimmed(product)
    }

    fn bits(&self) -> u32 {
        let highest = self.0.last().map_or(0, |limb| LIMB_BITS - limb.leading_zeros());
        (self.0.len() as u32).saturating_sub(1) * LIMB_BITS + highest
    }

    pub(super) fn shifted(&self, bits: u32) -> Self {
        let (limbs, bits) = ((bits / LIMB_BITS) as usize, bits % LIMB_BITS);
        let mut shifted = vec![0; limbs];
        let mut carry = 0_u64;
        for limb in &self.0 {
            carry |= u64::from(*limb) << bits;
            shifted.push(carry as u32);
            carry >>= LIMB_BITS;
        }
        shifted.push(carry as u32);
        Self::trimmed(shifted)
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0_i64;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let other = other.0.get(at).copied().unwrap_or(0);
            borrow += i64::from(*limb) - i64::from(other);
            *limb = borrow as u32;
            borrow >>= LIMB_BITS;
        }
        *self = Self::trimmed(std::mem::take(&mut self.0));
    }

    /// Its highest bits, enough of them to round it.
    pub(super) fn leading_bits(&self) -> Bits {
        self.divided_by(&Self(vec![1]))
    }

    /// The highest bits of a quotient, enough of them to round it.
    pub(super) fn divided_by(&self, divisor: &Self) -> Bits {
        let wanted = divisor.bits() + RESULT_BITS;
        let (mut rest, divisor, exponent) = if self.bits() < wanted {
            let shift = wanted - self.bits();
            (self.shifted(shift), divisor.clone(), -i64::from(shift))
        } else {
            let shift = self.bits() - wanted;
            (self.clone(), divisor.shifted(shift), i64::from(shift))
        };
        // Both have the same length now: the quotient's bits follow one by one.
        let divisor = divisor.shifted(RESULT_BITS);
        let mut quotient = 0;
        for at in 0..=RESULT_BITS {
            quotient <<= 1;
            if rest.compare(&divisor).is_ge() {
                rest.subtract(&divisor);
                quotient |= 1;
            }
            if at < RESULT_BITS {
                rest = rest.shifted(1);
            }
        }
        (quotient, i32::try_from(exponent).unwrap_or(i32::MAX), !rest.0.is_empty())
    }

    /// Its decimal digits.
    pub(super) fn to_digits(&self) -> String {
        let mut rest = self.0.clone();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let mut carry = 0_u64;
            for limb in rest.iter_mut().rev() {
                carry = carry << LIMB_BITS | u64::from(*limb);
                *limb = (carry / u64::from(CHUNK)) as u32;
                carry %= u64::from(CHUNK);
            }
            chunks.push(carry);
            while rest.last() == Some(&0) {
                rest.pop();
            }
        }
        let mut digits = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            digits.push_str(&format!("{chunk:0CHUNK_DIGITS$}"));
        }
        digits
    }
}
