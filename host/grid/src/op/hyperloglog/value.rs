//! The bytes of a HyperLogLog, in both forms that Redis has, so that such values can be moved
//! between Redis and Convoke.
//!
//! ```text
//! head    "HYLL" | form 1: 0 dense, 1 sparse | unused 3 | cardinality 8, little endian
//! dense   16,384 registers of 6 bits, each byte filled from its least significant bit
//! sparse  runs of registers:
//!         00llllll            l + 1 registers that are zero
//!         01llllll llllllll   the same, for longer runs
//!         1vvvvvll            l + 1 registers with the value v + 1
//! ```
//! If the most significant bit of the cardinality is set, it is unknown.

use crate::OpError;

/// Number of registers.
pub(super) const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that select the register.
pub(super) const INDEX_BITS: u32 = 14;
const HEAD_BYTES: usize = 16;
const FORM_AT: usize = 4;
const CACHE_AT: usize = 8;
const UNKNOWN_AT: usize = 15;
const UNKNOWN: u8 = 0x80;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const REGISTER_BITS: usize = 6;
const DENSE_BYTES: usize = HEAD_BYTES + REGISTERS * REGISTER_BITS / 8;
/// A sparse value that would be longer becomes dense, as in Redis (`hll-sparse-max-bytes`). Includes
/// the head.
const SPARSE_BYTES_MAX: usize = 3_000;
/// The highest value, and the longest run of a value, that the sparse form can hold.
const SPARSE_VALUE_MAX: u8 = 32;
const SPARSE_VALUES_MAX: u16 = 4;
/// The longest run of zeros in one byte.
const SHORT_ZEROS_MAX: u16 = 64;
/// Runs that are looked at to join them after a change, as in Redis.
const JOINED_RUNS: usize = 5;

/// The registers of a HyperLogLog, one byte each.
pub(super) type Registers = [u8; REGISTERS];

/// Registers with the same value that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    length: u16,
}

impl Run {
    fn bytes(self) -> usize {
        if self.value == 0 && self.length > SHORT_ZEROS_MAX { 2 } else { 1 }
    }
}

#[derive(Clone, Debug)]
enum Form {
    Sparse {
        runs: Vec<Run>,
        /// Length of the encoding.
        bytes: usize,
    },
    /// The registers as they are stored.
    Dense(Vec<u8>),
}

/// A HyperLogLog.
#[derive(Clone, Debug)]
pub(super) struct HyperLogLog {
    head: [u8; HEAD_BYTES],
    form: Form,
}

impl HyperLogLog {
    /// One without elements.
    pub(super) fn new() -> Self {
        let mut head = [0; HEAD_BYTES];
        head[..FORM_AT].copy_from_slice(b"HYLL");
        head[FORM_AT] = SPARSE;
        let runs = vec![Run { value: 0, length: REGISTERS as u16 }];
        Self { head, form: Form::Sparse { runs, bytes: 2 } }
    }

    /// Decodes a value.
    ///
    /// # Errors
    /// [`OpError::NotAHyperLogLog`] or [`OpError::CorruptHyperLogLog`].
    pub(super) fn decode(value: &[u8]) -> Result<Self, OpError> {
        let (head, body) =
            value.split_first_chunk::<HEAD_BYTES>().ok_or(OpError::NotAHyperLogLog)?;
        let is_dense = head[FORM_AT] == DENSE;
        if !head.starts_with(b"HYLL")
            || head[FORM_AT] > SPARSE
            || is_dense && value.len() != DENSE_BYTES
        {
            return Err(OpError::NotAHyperLogLog);
        }
        let form = if is_dense { Form::Dense(body.to_vec()) } else { decode_runs(body)? };
        Ok(Self { head: *head, form })
    }

    pub(super) fn is_dense(&self) -> bool {
        matches!(self.form, Form::Dense(_))
    }

    /// The encoded value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = self.head.to_vec();
        match &self.form {
            Form::Dense(registers) => value.extend_from_slice(registers),
            Form::Sparse { runs, .. } => {
                for Run { value: register, length } in runs {
                    let length = length - 1;
                    if *register > 0 {
                        value.push(0x80 | (register - 1) << 2 | length as u8);
                    } else if length < SHORT_ZEROS_MAX {
                        value.push(length as u8);
                    } else {
                        value.extend_from_slice(&(0x4000 | length).to_be_bytes());
                    }
                }
            }
        }
        value
    }

    /// The cardinality that the value holds, if it is up to date.
    pub(super) fn cached(&self) -> Option<u64> {
        let bytes = *self.head[CACHE_AT..].first_chunk()?;
        (self.head[UNKNOWN_AT] & UNKNOWN == 0).then(|| u64::from_le_bytes(bytes))
    }

    /// Marks the cardinality as unknown.
    pub(super) fn forget_cardinality(&mut self) {
        self.head[UNKNOWN_AT] |= UNKNOWN;
    }

    /// Raises registers to the values of this one.
    pub(super) fn merge_into(&self, registers: &mut Registers) {
        match &self.form {
            Form::Dense(dense) => {
                for (at, register) in registers.iter_mut().enumerate() {
                    *register = (*register).max(dense_register(dense, at));
                }
            }
            Form::Sparse { runs, .. } => {
                let mut at = 0;
                for run in runs {
                    let end = at + usize::from(run.length);
                    for register in &mut registers[at..end] {
                        *register = (*register).max(run.value);
                    }
                    at = end;
                }
            }
        }
    }

    /// Changes to the dense form.
    pub(super) fn make_dense(&mut self) {
        if self.is_dense() {
            return;
        }
        let mut registers = [0; REGISTERS];
        self.merge_into(&mut registers);
        let mut dense = vec![0; DENSE_BYTES - HEAD_BYTES];
        for (at, register) in registers.into_iter().enumerate() {
            set_dense_register(&mut dense, at, register);
        }
        self.head[FORM_AT] = DENSE;
        self.form = Form::Dense(dense);
    }

    /// Raises a register to this value. Returns whether it was lower.
    pub(super) fn raise(&mut self, at: usize, value: u8) -> bool {
        let is_raised = match &mut self.form {
            Form::Dense(dense) => {
                let is_lower = dense_register(dense, at) < value;
                if is_lower {
                    set_dense_register(dense, at, value);
                }
                Some(is_lower)
            }
            Form::Sparse { runs, bytes } => raise_sparse(runs, bytes, at, value),
        };
        is_raised.unwrap_or_else(|| {
            self.make_dense();
            self.raise(at, value)
        })
    }
}

fn decode_runs(mut rest: &[u8]) -> Result<Form, OpError> {
    let (mut runs, mut registers, mut bytes) = (Vec::new(), 0_usize, 0);
    while let [first, behind @ ..] = rest {
        let run = match first >> 6 {
            0 => Run { value: 0, length: u16::from(*first) + 1 },
            1 => {
                let [second, after @ ..] = behind else { return Err(OpError::CorruptHyperLogLog) };
                rest = after;
                let length = u16::from_be_bytes([first & 0x3F, *second]) + 1;
                let run = Run { value: 0, length };
                registers += usize::from(length);
                bytes += run.bytes();
                runs.push(run);
                if registers > REGISTERS {
                    return Err(OpError::CorruptHyperLogLog);
                }
                continue;
            }
            _ => Run { value: (first >> 2 & 0x1F) + 1, length: u16::from(first & 3) + 1 },
        };
        rest = behind;
        registers += usize::from(run.length);
        bytes += run.bytes();
        runs.push(run);
        if registers > REGISTERS {
            return Err(OpError::CorruptHyperLogLog);
        }
    }
    if registers != REGISTERS {
        return Err(OpError::CorruptHyperLogLog);
    }
    Ok(Form::Sparse { runs, bytes })
}

/// Raises a register to this value, and returns whether it was lower; `None` if only the dense form
/// can hold the result. The runs become those that Redis would make of them.
fn raise_sparse(runs: &mut Vec<Run>, bytes: &mut usize, at: usize, value: u8) -> Option<bool> {
    if value > SPARSE_VALUE_MAX {
        return None;
    }
    let (mut place, mut first) = (0, 0);
    while first + usize::from(runs.get(place)?.length) <= at {
        first += usize::from(runs[place].length);
        place += 1;
    }
    let run = runs[place];
    if run.value >= value {
        return Some(false);
    }
    let before = (at - first) as u16;
    let parts = [
        Run { length: before, ..run },
        Run { value, length: 1 },
        Run { length: run.length - before - 1, ..run },
    ];
    let parts = || parts.into_iter().filter(|part| part.length > 0);
    let new: usize = parts().map(Run::bytes).sum();
    if new > run.bytes() && HEAD_BYTES + *bytes + new - run.bytes() > SPARSE_BYTES_MAX {
        return None;
    }
    runs.splice(place..=place, parts());
    *bytes = *bytes + new - run.bytes();
    let mut place = place.saturating_sub(1);
    for _ in 0..JOINED_RUNS {
        let (Some(&this), Some(&next)) = (runs.get(place), runs.get(place + 1)) else { break };
        let length = this.length + next.length;
        if this.value > 0 && this.value == next.value && length <= SPARSE_VALUES_MAX {
            runs[place].length = length;
            runs.remove(place + 1);
            *bytes -= next.bytes();
        } else {
            place += 1;
        }
    }
    Some(true)
}

/// The byte in which a register begins, and the bit in it.
fn dense_place(at: usize) -> (usize, usize) {
    (at * REGISTER_BITS / 8, at * REGISTER_BITS % 8)
}

fn dense_register(dense: &[u8], at: usize) -> u8 {
    let (byte, bit) = dense_place(at);
    let both = u16::from_le_bytes([dense[byte], dense.get(byte + 1).copied().unwrap_or(0)]);
    (both >> bit) as u8 & 0x3F
}

fn set_dense_register(dense: &mut [u8], at: usize, value: u8) {
    let (byte, bit) = dense_place(at);
    let both = u16::from_le_bytes([dense[byte], dense.get(byte + 1).copied().unwrap_or(0)]);
    let both = both & !(0x3F << bit) | u16::from(value & 0x3F) << bit;
    let [low, high] = both.to_le_bytes();
    dense[byte] = low;
    if let Some(next) = dense.get_mut(byte + 1) {
        *next = high;
    }
}
