//! Entries of caches: conditional changes, and policies that end an entry at once.

use convoke_grid::op::{CacheAction, CacheLifetime, CacheOp, CachePolicy, KeyOp};
use convoke_grid::{Op, Reply};
use rand::RngExt as _;

use crate::clients::{Answer, Chance, Structure};

/// Values of which clients choose one.
const VALUES: u32 = 3;

/// What an operation does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Peek,
    Get,
    Put(u32),
    GetAndPut(u32),
    PutIfAbsent(u32),
    Replace(u32),
    ReplaceIf(u32, u32),
    GetAndReplace(u32),
    Remove,
    RemoveIf(u32),
    GetAndRemove,
    SetPolicy(Policy),
}

/// A policy that does not depend on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Policy {
    Eternal,
    /// Each read makes it eternal again.
    RenewedByReads,
    /// Nothing is created.
    NotCreated,
    EndedByReads,
    EndedByUpdates,
}

impl Policy {
    const ALL: [Self; 5] = [
        Self::Eternal,
        Self::RenewedByReads,
        Self::NotCreated,
        Self::EndedByReads,
        Self::EndedByUpdates,
    ];

    fn policy(self) -> CachePolicy {
        let (eternal, now) = (CacheLifetime::Eternal, CacheLifetime::Ms(0));
        match self {
            Self::Eternal => CachePolicy::ETERNAL,
            Self::RenewedByReads => CachePolicy { access: Some(eternal), ..CachePolicy::ETERNAL },
            Self::NotCreated => CachePolicy { creation: now, ..CachePolicy::ETERNAL },
            Self::EndedByReads => CachePolicy { access: Some(now), ..CachePolicy::ETERNAL },
            Self::EndedByUpdates => CachePolicy { update: Some(now), ..CachePolicy::ETERNAL },
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    action: Action,
    policy: Policy,
    overrides: bool,
}

/// An entry: its value, and its policy.
pub(crate) struct Cache;

type State = Option<(u32, Option<Policy>)>;

fn reply(value: u32) -> Reply {
    Reply::bytes(&value.to_be_bytes())
}

/// Ends the entry if the policy says so when it is read.
fn touch(state: &mut State, policy: Policy) {
    if policy == Policy::EndedByReads {
        *state = None;
    }
}

/// Replaces the value, or ends the entry. Returns whether it has the value.
fn update(state: &mut State, policy: Policy, value: u32) -> bool {
    match state {
        Some((old, _)) if policy != Policy::EndedByUpdates => *old = value,
        _ => *state = None,
    }
    state.is_some()
}

fn apply(state: &mut State, call: Call) -> Reply {
    let own = state.and_then(|(_, own)| own).filter(|_| !call.overrides);
    let policy = own.unwrap_or(call.policy);
    let Some((old, _)) = *state else {
        let created = |value| (policy != Policy::NotCreated).then_some((value, None));
        return match call.action {
            Action::Put(value) => {
                *state = created(value);
                Reply::Done
            }
            Action::GetAndPut(value) => {
                *state = created(value);
                Reply::Nil
            }
            Action::PutIfAbsent(value) => {
                *state = created(value);
                Reply::flag(state.is_some())
            }
            Action::Peek | Action::Get | Action::GetAndReplace(_) | Action::GetAndRemove => {
                Reply::Nil
            }
            _ => Reply::flag(false),
        };
    };
    match call.action {
        Action::Peek if [Policy::RenewedByReads, Policy::EndedByReads].contains(&policy) => {
            Reply::Done
        }
        Action::Peek => reply(old),
        Action::Get => {
            touch(state, policy);
            reply(old)
        }
        Action::Put(value) => {
            update(state, policy, value);
            Reply::Done
        }
        Action::GetAndPut(value) | Action::GetAndReplace(value) => {
            update(state, policy, value);
            reply(old)
        }
        Action::PutIfAbsent(_) => Reply::flag(false),
        Action::Replace(value) => Reply::flag(update(state, policy, value)),
        Action::ReplaceIf(wanted, value) if wanted == old => {
            Reply::flag(update(state, policy, value))
        }
        Action::RemoveIf(wanted) if wanted == old => {
            *state = None;
            Reply::flag(true)
        }
        Action::ReplaceIf(..) | Action::RemoveIf(_) => {
            touch(state, policy);
            Reply::flag(false)
        }
        Action::Remove => {
            *state = None;
            Reply::flag(true)
        }
        Action::GetAndRemove => {
            *state = None;
            reply(old)
        }
        Action::SetPolicy(new) => {
            // It counts as an update, by the new policy.
            *state = (new != Policy::EndedByUpdates).then_some((old, Some(new)));
            Reply::flag(true)
        }
    }
}

impl Structure for Cache {
    type State = State;
    type Call = Call;
    type Memory = ();

    fn choose(Chance { rng, .. }: Chance<'_, ()>) -> Call {
        let what = rng.random_range(0..20);
        let mut value = || rng.random_range(0..VALUES);
        let (one, other) = (value(), value());
        let any_policy = Policy::ALL[rng.random_range(0..Policy::ALL.len())];
        let action = match what {
            0 => Action::Peek,
            1..4 => Action::Get,
            4 => Action::Put(one),
            5 => Action::GetAndPut(one),
            6..9 => Action::PutIfAbsent(one),
            9 => Action::Replace(one),
            10..13 => Action::ReplaceIf(other, one),
            13 => Action::GetAndReplace(one),
            14 => Action::Remove,
            15 => Action::RemoveIf(one),
            16..19 => Action::GetAndRemove,
            _ => Action::SetPolicy(any_policy),
        };
        let policy = if rng.random_bool(0.8) { Policy::Eternal } else { any_policy };
        Call { action, policy, overrides: rng.random_bool(0.3) }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        let bytes = |value: u32| value.to_be_bytes();
        let (mut first, mut second) = ([0; 4], [0; 4]);
        match call.action {
            Action::Put(value)
            | Action::GetAndPut(value)
            | Action::PutIfAbsent(value)
            | Action::Replace(value)
            | Action::GetAndReplace(value)
            | Action::RemoveIf(value) => first = bytes(value),
            Action::ReplaceIf(old, new) => (first, second) = (bytes(old), bytes(new)),
            _ => {}
        }
        let action = match call.action {
            Action::Peek => CacheAction::Peek,
            Action::Get => CacheAction::Get,
            Action::Put(_) => CacheAction::Put(&first),
            Action::GetAndPut(_) => CacheAction::GetAndPut(&first),
            Action::PutIfAbsent(_) => CacheAction::PutIfAbsent(&first),
            Action::Replace(_) => CacheAction::Replace(&first),
            Action::ReplaceIf(..) => CacheAction::ReplaceIf(&first, &second),
            Action::GetAndReplace(_) => CacheAction::GetAndReplace(&first),
            Action::Remove => CacheAction::Remove,
            Action::RemoveIf(_) => CacheAction::RemoveIf(&first),
            Action::GetAndRemove => CacheAction::GetAndRemove,
            Action::SetPolicy(policy) => CacheAction::SetPolicy(policy.policy()),
        };
        let (policy, overrides) = (call.policy.policy(), call.overrides);
        let op = CacheOp { action, policy, overrides, room: None, tag: &[] };
        then(&Op::Key(key, KeyOp::Cache(op)))
    }

    fn read() -> Call {
        Call { action: Action::Get, policy: Policy::Eternal, overrides: true }
    }

    fn step(state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        let mut next = *state;
        let expected = Ok(apply(&mut next, *call));
        answer.is_none_or(|answer| *answer == expected).then_some(next)
    }
}
