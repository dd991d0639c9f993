//! Counters: a client passes what it has seen, and never reads an older state.

use convoke_grid::op::{COUNTER_ID_BYTES, CounterOp, CounterSeen, GenericOp, KeyOp};
use convoke_grid::{Op, Reply};
use rand::RngExt as _;

use crate::clients::{Answer, Chance, Structure};

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Add { add: Option<i64>, seen: Option<CounterSeen> },
    Remove,
}

/// A counter that may be removed. Nothing else makes it forget what clients have seen.
pub(crate) struct Counter;

/// A state: the value and the number of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    value: i64,
    changes: u64,
    /// The id; `None` if no reply has shown it yet, or the counter does not exist.
    id: Option<[u8; COUNTER_ID_BYTES]>,
}

const NO_ID: [u8; COUNTER_ID_BYTES] = [0; COUNTER_ID_BYTES];

impl State {
    /// Whether this is what a client has seen, or a later state.
    fn continues(&self, (id, changes): &CounterSeen) -> bool {
        if self.changes == 0 {
            return *id == NO_ID && *changes == 0;
        }
        // An id that no reply has shown is that of a counter that no client has seen.
        self.id.as_ref() == Some(id) && self.changes >= *changes
    }
}

/// The value before and after, and what the client has seen then.
fn parts(reply: &Reply) -> Option<(i64, i64, CounterSeen)> {
    let Reply::List(parts) = reply else { return None };
    match &parts[..] {
        [
            Reply::Integer(before),
            Reply::Integer(after),
            Reply::Bytes(id),
            Reply::Integer(changes),
        ] => Some((*before, *after, ((**id).try_into().ok()?, changes.cast_unsigned()))),
        _ => None,
    }
}

impl Structure for Counter {
    type State = State;
    type Call = Call;
    type Memory = Option<CounterSeen>;

    fn choose(Chance { rng, memory, .. }: Chance<'_, Option<CounterSeen>>) -> Call {
        if rng.random_bool(0.01) {
            return Call::Remove;
        }
        let add = rng.random_bool(0.6).then(|| rng.random_range(-9..10));
        Call::Add { add, seen: *memory }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        then(&Op::Key(
            key,
            match *call {
                Call::Add { add, seen } => KeyOp::Counter(CounterOp { add, seen }),
                Call::Remove => KeyOp::Generic(GenericOp::Remove),
            },
        ))
    }

    fn read() -> Call {
        Call::Add { add: None, seen: None }
    }

    fn learn(memory: &mut Option<CounterSeen>, call: &Call, answer: &Answer) {
        match (call, answer) {
            // It is reset.
            (Call::Add { .. }, Ok(Reply::Nil)) => *memory = None,
            // Of a counter that does not exist, a client has seen nothing.
            (Call::Add { .. }, Ok(reply)) => {
                let seen = parts(reply).map(|(.., seen)| seen);
                *memory = seen.filter(|(_, changes)| *changes > 0);
            }
            _ => {}
        }
    }

    fn step(state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        let Call::Add { add, seen } = call else {
            let was = Ok(Reply::flag(state.changes > 0));
            return answer.is_none_or(|answer| *answer == was).then(State::default);
        };
        if seen.as_ref().is_some_and(|seen| !state.continues(seen)) {
            let is_refused = answer.is_none_or(|answer| *answer == Ok(Reply::Nil));
            return is_refused.then(|| state.clone());
        }
        let mut next = state.clone();
        if let Some(add) = add {
            next.value = state.value.wrapping_add(*add);
            next.changes += 1;
        }
        let Some(answer) = answer else { return Some(next) };
        let (before, after, (id, changes)) = parts(answer.as_ref().ok()?)?;
        if next.changes > 0 {
            let known = *next.id.get_or_insert(id);
            if known != id || id == NO_ID {
                return None;
            }
        } else if id != NO_ID {
            return None;
        }
        let expected = (state.value, next.value, next.changes);
        ((before, after, changes) == expected).then_some(next)
    }
}
