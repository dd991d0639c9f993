//! Bounds the nesting of values while they are decoded: a decoder that calls itself for each level
//! would exhaust the stack.

use std::cell::Cell;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Levels of values in values, at most. Scripts return fewer.
pub(crate) const NESTING_MAX: usize = 256;

thread_local! {
    /// Levels around what this thread is decoding.
    static LEVELS: Cell<usize> = const { Cell::new(0) };
}

/// One level, for as long as it exists.
struct Level;

impl Level {
    fn enter() -> Option<Self> {
        let levels = LEVELS.get();
        (levels < NESTING_MAX).then(|| {
            LEVELS.set(levels + 1);
            Self
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        LEVELS.set(LEVELS.get() - 1);
    }
}

/// Decodes what is one level deeper (`deserialize_with`).
pub(crate) fn deeper<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    decoder: D,
) -> Result<T, D::Error> {
    let Some(_level) = Level::enter() else {
        return Err(D::Error::custom("nested too deeply"));
    };
    T::deserialize(decoder)
}
