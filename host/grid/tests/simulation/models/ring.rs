//! Rings: the last items that were added, each with a sequence number.

use std::collections::VecDeque;
use std::time::Duration;

use convoke_grid::op::{KeyOp, RingOp};
use convoke_grid::{Op, Reply};
use rand::RngExt as _;

use super::{Item, all_bytes, borrowed};
use crate::clients::{Answer, Chance, Structure};

/// Maximum number of items in a ring.
const CAPACITY: usize = 5;

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Add(Vec<Item>),
    Bounds,
    Read { from: u64, min: u64, max: u64, wait_ms: Option<u64> },
    Item { sequence: u64, wait_ms: Option<u64> },
}

/// A ring: each item is added once. The state is the number of items that were ever added, and the
/// last ones.
pub(crate) struct Ring;

type State = (u64, VecDeque<Item>);

fn bounds((added, items): &State) -> Reply {
    let (head, tail) = (*added as i64 - items.len() as i64, *added as i64 - 1);
    Reply::List(vec![Reply::Integer(head), Reply::Integer(tail)])
}

fn apply(state: &mut State, call: &Call) -> Reply {
    let (added, items) = state;
    let head = *added - items.len() as u64;
    match call {
        Call::Add(new) => {
            *added += new.len() as u64;
            items.extend(new);
            items.drain(..items.len().saturating_sub(CAPACITY));
            Reply::Integer(*added as i64 - 1)
        }
        Call::Bounds => bounds(state),
        Call::Read { from, min, max, .. } => {
            let first = (*from).clamp(head, *added);
            if *added - first < *min {
                return Reply::Nil;
            }
            let found = items.iter().skip((first - head) as usize).take(*max as usize);
            let found = found.map(|item| item.reply()).collect();
            Reply::List(vec![Reply::Integer(first as i64), Reply::List(found)])
        }
        Call::Item { sequence, .. } if sequence == added => Reply::Nil,
        Call::Item { sequence, .. } => {
            let item = sequence.checked_sub(head).and_then(|index| items.get(index as usize));
            item.map(|item| item.reply()).unwrap_or_else(|| bounds(state))
        }
    }
}

impl Structure for Ring {
    type State = State;
    type Call = Call;
    /// The sequence after the last one that the client has seen.
    type Memory = u64;

    fn choose(Chance { rng, number, client, memory }: Chance<'_, u64>) -> Call {
        let wait_ms = rng.random_bool(0.5).then(|| rng.random_range(1..400));
        let near = (*memory + rng.random_range(0..5)).saturating_sub(3);
        match rng.random_range(0..14) {
            0..5 => Call::Add(vec![Item { label: client, identity: number }]),
            5 => {
                let count = rng.random_range(2..8);
                let item = |n| Item { label: client, identity: (number << 8) + n + (1 << 31) };
                Call::Add((0..count).map(item).collect())
            }
            6 => Call::Bounds,
            7..11 => {
                let min = rng.random_range(0..3);
                Call::Read { from: near, min, max: min + rng.random_range(0..4), wait_ms }
            }
            _ => Call::Item { sequence: near, wait_ms },
        }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        let items = if let Call::Add(items) = call { all_bytes(items) } else { Vec::new() };
        let op = match *call {
            Call::Add(_) => RingOp::Add { items: borrowed(&items), capacity: CAPACITY as u64 },
            Call::Bounds => RingOp::Bounds,
            Call::Read { from, min, max, .. } => RingOp::Read { from, min, max },
            Call::Item { sequence, .. } => RingOp::Item(sequence),
        };
        then(&Op::Key(key, KeyOp::Ring(op)))
    }

    fn wait(call: &Call) -> Option<Duration> {
        match call {
            Call::Read { wait_ms, .. } | Call::Item { wait_ms, .. } => {
                wait_ms.map(Duration::from_millis)
            }
            _ => None,
        }
    }

    fn read() -> Call {
        Call::Read { from: 0, min: 0, max: u64::MAX, wait_ms: None }
    }

    fn learn(memory: &mut u64, call: &Call, answer: &Answer) {
        let next = match (call, answer) {
            (Call::Add(_), Ok(Reply::Integer(last))) => Some(*last + 1),
            (Call::Bounds | Call::Read { .. }, Ok(Reply::List(parts))) => match &parts[..] {
                [Reply::Integer(_), Reply::Integer(tail)] => Some(tail + 1),
                [Reply::Integer(first), Reply::List(items)] => Some(first + items.len() as i64),
                _ => None,
            },
            _ => None,
        };
        *memory = next.and_then(|next| u64::try_from(next).ok()).unwrap_or(*memory);
    }

    fn step(state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        let mut next = state.clone();
        let expected = Ok(apply(&mut next, call));
        answer.is_none_or(|answer| *answer == expected).then_some(next)
    }
}
