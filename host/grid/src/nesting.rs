//! Bounds the nesting of operations and replies while they are decoded. Both types are recursive,
//! and a recursive decoder would otherwise exhaust the stack.

use std::cell::Cell;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Maximum number of nested operations or replies. Members produce at most five levels.
pub(crate) const NESTING_MAX: usize = 32;

thread_local! {
    /// Current nesting of the value that this thread is decoding.
    static LEVELS: Cell<usize> = const { Cell::new(0) };
}

/// One level of nesting, left on drop.
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

/// Decodes a nested value, one level deeper (for `deserialize_with`).
pub(crate) fn deeper<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    decoder: D,
) -> Result<T, D::Error> {
    let Some(_level) = Level::enter() else {
        return Err(D::Error::custom("nested too deeply"));
    };
    T::deserialize(decoder)
}

#[cfg(test)]
mod tests {
    use convoke_membership::MemberId;

    use super::*;
    use crate::op::{KeyOp, Op, PlainOp};
    use crate::tracking::{ClientTraits, Origin};
    use crate::{Reply, encoding};

    fn decoded<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
        postcard::from_bytes(bytes).ok()
    }

    fn op(levels: usize) -> Op<'static> {
        let innermost = Op::Key(b"k", KeyOp::Plain(PlainOp::Get));
        let origin = Some(Origin { member: MemberId::from_bytes([1; 16]), client: 2 });
        let client = ClientTraits { origin, no_touch: true };
        (0..levels).fold(innermost, |op, level| match level % 3 {
            0 => Op::From { client, op: Box::new(op) },
            1 => Op::By { owner: b"o", op: Box::new(op) },
            _ => Op::Batch { watched: Vec::new(), ops: vec![op] },
        })
    }

    fn reply(levels: usize) -> Reply {
        (0..levels).fold(Reply::Nil, |reply, level| match level % 4 {
            0 => Reply::List(vec![reply]),
            1 => Reply::Set(vec![reply]),
            2 => Reply::Map(vec![(Reply::Nil, reply)]),
            _ => Reply::Pairs(vec![(reply, Reply::Nil)]),
        })
    }

    #[test]
    fn nesting_is_bounded() {
        for (levels, fits) in [(NESTING_MAX, true), (NESTING_MAX + 1, false)] {
            assert_eq!(decoded(&encoding::encoded(&op(levels))), fits.then(|| op(levels)));
            assert_eq!(decoded(&encoding::encoded(&reply(levels))), fits.then(|| reply(levels)));
        }
        // A rejected value leaves the level unchanged.
        assert!(decoded::<Op<'_>>(&encoding::encoded(&op(NESTING_MAX))).is_some());
    }

    #[test]
    fn a_megabyte_of_levels_does_not_exhaust_the_stack() {
        // A batch without watched keys, of one operation; a list of one value.
        assert_eq!(decoded::<Op<'_>>(&[5, 0, 1].repeat(400_000)), None);
        assert_eq!(decoded::<Reply>(&[7, 1].repeat(500_000)), None);
    }
}
