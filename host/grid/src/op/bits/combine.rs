//! Bitwise operations on several values.

use serde::{Deserialize, Serialize};

/// How values are combined bit by bit. The result is as long as the longest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitCombine {
    /// Bits that are set in all values.
    And,
    /// Bits that are set in any value.
    Or,
    /// Bits that are set in an odd number of values.
    Xor,
    /// Bits that are clear in the only value.
    Not,
    /// Bits of the first value that are set in no other.
    Diff,
    /// Bits that are clear in the first value, and set in any other.
    Diff1,
    /// Bits of the first value that are set in any other.
    AndOr,
    /// Bits that are set in exactly one value.
    One,
}

/// A combination of values that are added one after the other.
#[derive(Debug)]
pub struct BitFold {
    how: BitCombine,
    count: usize,
    /// What the values so far have become.
    sum: Vec<u8>,
    /// The first value, where it differs from the others; where only one may have a bit, the bits
    /// that were set more than once.
    aside: Vec<u8>,
}

impl BitFold {
    /// A combination without values.
    #[must_use]
    pub fn new(how: BitCombine) -> Self {
        Self { how, count: 0, sum: Vec::new(), aside: Vec::new() }
    }

    /// Adds a value; an empty one for a key that does not exist.
    pub fn add(&mut self, value: &[u8]) {
        let is_first = self.count == 0;
        self.count += 1;
        let keeps_first =
            matches!(self.how, BitCombine::Diff | BitCombine::Diff1 | BitCombine::AndOr);
        if is_first && keeps_first {
            self.aside = value.to_vec();
            self.sum = vec![0; value.len()];
            return;
        }
        if is_first {
            self.sum = value.to_vec();
            self.aside =
                if self.how == BitCombine::One { vec![0; value.len()] } else { Vec::new() };
            return;
        }
        if self.sum.len() < value.len() {
            self.sum.resize(value.len(), 0);
        }
        let pairs = self.sum.iter_mut().zip(value);
        match self.how {
            BitCombine::And | BitCombine::Not => {
                pairs.for_each(|(sum, byte)| *sum &= byte);
                self.sum[value.len()..].fill(0);
            }
            BitCombine::Or | BitCombine::Diff | BitCombine::Diff1 | BitCombine::AndOr => {
                pairs.for_each(|(sum, byte)| *sum |= byte);
            }
            BitCombine::Xor => pairs.for_each(|(sum, byte)| *sum ^= byte),
            BitCombine::One => {
                self.aside.resize(self.sum.len(), 0);
                for ((sum, byte), twice) in
                    self.sum.iter_mut().zip(value).zip(self.aside.iter_mut())
                {
                    *twice |= *sum & byte;
                    *sum |= byte;
                }
            }
        }
    }

    /// The result.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.aside.resize(self.sum.len(), 0);
        let pairs = self.sum.iter_mut().zip(&self.aside);
        match self.how {
            BitCombine::And | BitCombine::Or | BitCombine::Xor => {}
            BitCombine::Not => self.sum.iter_mut().for_each(|byte| *byte = !*byte),
            BitCombine::Diff => pairs.for_each(|(sum, first)| *sum = first & !*sum),
            BitCombine::Diff1 => pairs.for_each(|(sum, first)| *sum &= !first),
            BitCombine::AndOr => pairs.for_each(|(sum, first)| *sum &= first),
            BitCombine::One => pairs.for_each(|(sum, twice)| *sum &= !twice),
        }
        self.sum
    }
}
