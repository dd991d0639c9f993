//! All keys of one partition: removed together, or those without a lock.

use std::collections::BTreeMap;

use convoke_grid::op::{GenericOp, KeyOp, LeaseOp, Lifetime, PlainOp, PutAnswer, PutIf, WholeOp};
use convoke_grid::{Op, OpError, Reply};
use rand::RngExt as _;

use crate::clients::{Answer, Chance, Structure};

/// Keys of the partition.
const KEYS: u8 = 5;
/// Longer than a simulation, in milliseconds.
const LEASE_MS: u64 = 3_600_000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Put(u8, u32),
    Get(u8),
    Remove(u8),
    Hold(u8),
    Release(u8),
    Length,
    Clear,
    ClearUnleased,
    /// Nobody listens: then it is the same as `Clear`.
    RemoveSome(u32),
}

/// What a client asks for; its number is the name of an owner of locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    owner: u8,
    action: Action,
}

pub(crate) struct Partition;

/// The values of keys, and the owners of locks with how many times they hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    values: BTreeMap<u8, u32>,
    locks: BTreeMap<u8, (u8, u32)>,
}

fn value(number: u32) -> Reply {
    Reply::bytes(&number.to_be_bytes())
}

fn apply(state: &mut State, Call { owner, action }: Call) -> Answer {
    let State { values, locks } = state;
    let before = values.len();
    let is_held = |key: u8| locks.get(&key).is_some_and(|(holder, _)| *holder != owner);
    Ok(match action {
        Action::Put(key, _) | Action::Remove(key) if is_held(key) => return Err(OpError::Held),
        Action::Put(key, number) => {
            values.insert(key, number);
            Reply::Done
        }
        Action::Get(key) => values.get(&key).map_or(Reply::Nil, |number| value(*number)),
        Action::Remove(key) => Reply::flag(values.remove(&key).is_some()),
        Action::Hold(key) if is_held(key) => Reply::Integer(0),
        Action::Hold(key) => {
            let (_, count) = locks.entry(key).or_insert((owner, 0));
            *count += 1;
            Reply::Integer((*count).into())
        }
        Action::Release(key) => match locks.get_mut(&key) {
            Some((holder, count)) if *holder == owner => {
                *count -= 1;
                let left = *count;
                if left == 0 {
                    locks.remove(&key);
                }
                Reply::Integer(left.into())
            }
            _ => return Err(OpError::Held),
        },
        Action::Length => Reply::count(before),
        Action::Clear => {
            values.clear();
            Reply::count(before)
        }
        Action::ClearUnleased => {
            values.retain(|key, _| locks.contains_key(key));
            Reply::count(before - values.len())
        }
        Action::RemoveSome(_) => {
            values.clear();
            Reply::flag(false)
        }
    })
}

impl Structure for Partition {
    type State = State;
    type Call = Call;
    type Memory = ();

    fn choose(Chance { rng, number, client, .. }: Chance<'_, ()>) -> Call {
        let key = rng.random_range(0..KEYS);
        let action = match rng.random_range(0..24) {
            0..9 => Action::Put(key, number),
            9..12 => Action::Get(key),
            12 => Action::Remove(key),
            13..15 => Action::Hold(key),
            15..19 => Action::Release(key),
            19 | 20 => Action::Length,
            21 => Action::Clear,
            22 => Action::ClearUnleased,
            _ if rng.random_bool(0.5) => Action::RemoveSome(2),
            _ => Action::ClearUnleased,
        };
        Call { owner: client, action }
    }

    fn with_op<R>(name: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        let owner = [b'o', call.owner];
        let (key, number) = match call.action {
            Action::Put(key, number) => (key, number),
            Action::Get(key) | Action::Remove(key) | Action::Hold(key) | Action::Release(key) => {
                (key, 0)
            }
            _ => (0, 0),
        };
        // In the partition of the name, which is a tag.
        let key = [name, &[b'0' + key][..]].concat();
        let value = number.to_be_bytes();
        let put = PlainOp::Put {
            kind: 0,
            value: &value,
            lifetime: Lifetime::Default,
            condition: PutIf::Always,
            answer: PutAnswer::Done,
        };
        let op = match call.action {
            Action::Put(..) => Op::Key(&key, KeyOp::Plain(put)),
            Action::Get(_) => Op::Key(&key, KeyOp::Plain(PlainOp::Get)),
            Action::Remove(_) => Op::Key(&key, KeyOp::Generic(GenericOp::Remove)),
            Action::Hold(_) => Op::Lease(&key, LeaseOp::Hold { owner: &owner, lease_ms: LEASE_MS }),
            Action::Release(_) => Op::Lease(&key, LeaseOp::Release { owner: &owner }),
            Action::Length => Op::Whole(WholeOp::Length),
            Action::Clear => Op::Whole(WholeOp::Clear),
            Action::ClearUnleased => Op::Whole(WholeOp::ClearUnleased),
            Action::RemoveSome(count) => Op::Whole(WholeOp::RemoveSome(count)),
        };
        then(&match op {
            Op::Lease(..) | Op::Whole(_) => op,
            op => Op::By { owner: &owner, op: Box::new(op) },
        })
    }

    fn read() -> Call {
        Call { owner: 0, action: Action::Length }
    }

    fn step(state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        let mut next = state.clone();
        let expected = apply(&mut next, *call);
        answer.is_none_or(|answer| *answer == expected).then_some(next)
    }
}
