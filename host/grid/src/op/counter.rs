//! Counters that tell a client whether what it has seen was lost.
//!
//! A counter is a plain value:
//!
//! ```text
//! [id, 16 bytes][number of changes, u64][value, i64], all in big-endian order
//! ```
//!
//! The id is random and new each time that the counter is created. So a client that has seen an id
//! and a number of changes knows that all of them are still there if the id is the same and the
//! number is not smaller.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use crate::access::Access;
use crate::edit::Edit;
use crate::event::Class;
use crate::{OpError, Reply};

/// Length of the id of a counter, in bytes.
pub const COUNTER_ID_BYTES: usize = 16;
/// Length of a stored counter, in bytes.
const COUNTER_BYTES: usize = COUNTER_ID_BYTES + 16;

/// What a client has seen of a counter: its id, and the number of its changes.
pub type CounterSeen = ([u8; COUNTER_ID_BYTES], u64);

/// An operation on a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterOp {
    /// What is added, modulo 2^64; `None` to read. The value of a counter that does not exist is 0.
    pub add: Option<i64>,
    /// What the client has seen. If some of it was lost, nothing is done and the reply is nil.
    pub seen: Option<CounterSeen>,
}

/// A counter; the reply is a list of the value before and after the operation, the id, and the number
/// of changes. A counter that does not exist has the id 0.
#[derive(Clone, Copy, Default)]
struct Counter {
    id: [u8; COUNTER_ID_BYTES],
    changes: u64,
    value: i64,
}

impl Counter {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; COUNTER_BYTES] = bytes.try_into().ok()?;
        let (id, rest) = bytes.split_first_chunk()?;
        let (changes, value) = rest.split_first_chunk()?;
        let value = i64::from_be_bytes(value.try_into().ok()?);
        Some(Self { id: *id, changes: u64::from_be_bytes(*changes), value })
    }

    fn encode(&self) -> Vec<u8> {
        [&self.id[..], &self.changes.to_be_bytes(), &self.value.to_be_bytes()].concat()
    }
}

impl CounterOp {
    pub(super) fn effect(&self) -> Effect {
        if self.add.is_some() { Effect::Adds } else { Effect::Reads }
    }

    pub(super) fn added_bytes(&self) -> usize {
        if self.add.is_some() { COUNTER_BYTES } else { 0 }
    }

    pub(super) fn execute(&self, key: &[u8], access: &mut Access<'_>) -> Result<Reply, OpError> {
        let (before, expiry) = match access.plain(key)? {
            None => (Counter::default(), access.map.settings().expiry(access.now_ms)),
            Some(entry) => {
                let counter = Counter::decode(entry.value()).ok_or(OpError::WrongType)?;
                (counter, entry.expiry())
            }
        };
        let is_lost = |(id, changes)| before.id != id || before.changes < changes;
        if self.seen.is_some_and(is_lost) {
            return Ok(Reply::Nil);
        }
        let mut after = before;
        if let Some(more) = self.add {
            if before.changes == 0 {
                let (first, second) = (access.random().to_be_bytes(), access.random());
                after.id[..8].copy_from_slice(&first);
                after.id[8..].copy_from_slice(&second.to_be_bytes());
            }
            after.changes = before.changes.saturating_add(1);
            after.value = before.value.wrapping_add(more);
            access.edit(key, &Edit::Put { kind: 0, value: &after.encode(), expiry });
            access.notify(Class::Plain, "incrby", key);
        }
        Ok(Reply::List(vec![
            Reply::Integer(before.value),
            Reply::Integer(after.value),
            Reply::bytes(&after.id),
            Reply::Integer(i64::try_from(after.changes).unwrap_or(i64::MAX)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::Bench;
    use super::super::{GenericOp, KeyOp, Op};
    use super::*;

    fn run(bench: &mut Bench, add: Option<i64>, seen: Option<CounterSeen>) -> Reply {
        bench.run(&Op::Key(b"k", KeyOp::Counter(CounterOp { add, seen }))).unwrap()
    }

    /// Value before and after, and what a client has seen then.
    fn parts(reply: &Reply) -> (i64, i64, CounterSeen) {
        match reply {
            Reply::List(parts) => match &parts[..] {
                [
                    Reply::Integer(before),
                    Reply::Integer(after),
                    Reply::Bytes(id),
                    Reply::Integer(changes),
                ] => (*before, *after, ((**id).try_into().unwrap(), changes.cast_unsigned())),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_done_if_what_a_client_has_seen_was_lost() {
        let mut bench = Bench::new();
        assert_eq!(parts(&run(&mut bench, None, None)), (0, 0, ([0; 16], 0)));
        let (.., first) = parts(&run(&mut bench, Some(5), None));
        let (before, after, second) = parts(&run(&mut bench, Some(-7), Some(first)));
        assert_eq!((before, after, second.0, second.1), (5, -2, first.0, 2));
        for seen in [first, second] {
            assert_eq!(parts(&run(&mut bench, None, Some(seen))), (-2, -2, second));
        }
        assert_eq!(run(&mut bench, Some(1), Some((second.0, 3))), Reply::Nil);
        bench.run(&Op::Key(b"k", KeyOp::Generic(GenericOp::Remove))).unwrap();
        assert_eq!(run(&mut bench, None, Some(first)), Reply::Nil);
        let (before, after, new) = parts(&run(&mut bench, Some(1), None));
        assert_eq!((before, after, new.1), (0, 1, 1));
        assert_ne!(new.0, first.0);
        assert_eq!(run(&mut bench, Some(1), Some(first)), Reply::Nil);
    }

    #[test]
    fn a_value_that_is_no_counter_is_refused() {
        let mut bench = Bench::new();
        bench.run(&Op::Key(b"k", KeyOp::Plain(super::super::PlainOp::Append(b"7")))).unwrap();
        let counter = KeyOp::Counter(CounterOp { add: Some(1), seen: None });
        assert_eq!(bench.run(&Op::Key(b"k", counter)), Err(OpError::WrongType));
    }

    proptest! {
        #[test]
        fn a_counter_is_a_sum_modulo_2_to_the_64(steps in proptest::collection::vec(
            prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN), -9..9_i64], 0..20,
        )) {
            let (mut bench, mut sum) = (Bench::new(), 0_i64);
            for (number, more) in steps.iter().enumerate() {
                let (before, after, (_, changes)) = parts(&run(&mut bench, Some(*more), None));
                prop_assert_eq!(before, sum);
                sum = sum.wrapping_add(*more);
                prop_assert_eq!((after, changes), (sum, number as u64 + 1));
            }
            prop_assert_eq!(parts(&run(&mut bench, None, None)).1, sum);
        }
    }
}
