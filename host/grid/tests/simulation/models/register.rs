//! Entries of maps, which clients change under conditions, and lock.

use convoke_grid::op::{
    GenericOp, KeyOp, LABEL_BYTES, LeaseOp, Lifetime, PlainOp, PutAnswer, PutIf,
};
use convoke_grid::{Op, OpError, Reply, Version};
use rand::RngExt as _;

use super::Item;
use crate::clients::{Answer, Chance, Structure};

/// Owners of locks. A client has the name of one of them.
const OWNERS: u8 = 3;
/// Identities of values.
const IDENTITIES: u32 = 4;
/// Longer than a simulation, in milliseconds.
const LEASE_MS: u64 = 3_600_000;

/// A condition for a change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum If {
    Always,
    Absent,
    Present,
    Version(u64),
    Value(Item),
    OtherValue(Item),
    /// An equal value with any label.
    Equal(Item),
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Put { value: Item, condition: If, answer: PutAnswer },
    Get,
    Remove,
    Take,
    RemoveIf(Item),
    RemoveEqual(Item),
    RemoveVersion(u64),
    Version,
    Hold,
    Release,
    Renew,
    Break,
    Holder,
}

/// An operation, on behalf of the owner of locks with this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    owner: u8,
    action: Action,
}

/// An entry and its lock.
pub(crate) struct Register;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    value: Option<Item>,
    /// The version of the value, if a reply has shown it.
    version: Option<u64>,
    /// All further versions are greater.
    floor: u64,
    /// The owner of the lock, and how many times it holds it.
    lock: Option<(u8, u32)>,
}

/// What a client has seen.
#[derive(Default)]
pub(crate) struct Memory {
    version: u64,
}

impl State {
    /// Whether a condition holds; `None` if the version is not known.
    fn holds(&self, condition: If) -> Option<bool> {
        Some(match condition {
            If::Always => true,
            If::Absent => self.value.is_none(),
            If::Present => self.value.is_some(),
            If::Version(version) if self.value.is_none() => version == 0,
            If::Version(version) => return self.version.map(|here| here == version),
            If::Value(value) => self.value == Some(value),
            If::OtherValue(value) => self.value != Some(value),
            If::Equal(value) => self.value.is_some_and(|here| here.identity == value.identity),
        })
    }

    /// Sets the value, with the version in the reply if it has one. `None` if that is impossible.
    fn put(&self, value: Item, version: Option<i64>) -> Option<Self> {
        let version = version.map(i64::cast_unsigned);
        if version.is_some_and(|version| version <= self.floor) {
            return None;
        }
        let floor = version.unwrap_or(self.floor);
        Some(Self { value: Some(value), version, floor, lock: self.lock })
    }

    fn removed(&self) -> Self {
        Self { value: None, version: None, ..self.clone() }
    }

    fn locked(&self, lock: Option<(u8, u32)>) -> Self {
        Self { lock, ..self.clone() }
    }

    /// The next state after an operation of an owner that may change the entry.
    fn change(&self, action: Action, answer: Option<&Answer>) -> Option<Self> {
        // The next state if the reply is this one.
        let when = |reply: Answer, next: Self| {
            answer.is_none_or(|answer| *answer == reply).then_some(next)
        };
        let value = self.value.map_or(Reply::Nil, |value| value.reply());
        match action {
            Action::Put { value: new, condition, answer: PutAnswer::Version } => {
                // A condition that cannot be checked holds if the reply says so. Without a reply,
                // one that does not hold is the same as an operation that is not executed.
                let says = answer.is_none_or(|answer| *answer != Ok(Reply::Nil));
                if !self.holds(condition).unwrap_or(says) {
                    return when(Ok(Reply::Nil), self.clone());
                }
                match answer {
                    None => self.put(new, None),
                    Some(Ok(Reply::Integer(version))) => self.put(new, Some(*version)),
                    Some(_) => None,
                }
            }
            Action::Put { value: new, condition, answer: what } => {
                let says = match what {
                    PutAnswer::Done => answer.is_none_or(|answer| *answer == Ok(Reply::Done)),
                    // Conditions on versions are not combined with this.
                    _ => true,
                };
                let holds = self.holds(condition).unwrap_or(says);
                let reply = match what {
                    PutAnswer::Old => value,
                    _ if holds => Reply::Done,
                    _ => Reply::Nil,
                };
                let next = if holds { self.put(new, None)? } else { self.clone() };
                when(Ok(reply), next)
            }
            Action::Remove => when(Ok(Reply::flag(self.value.is_some())), self.removed()),
            Action::Take => when(Ok(value), self.removed()),
            Action::RemoveIf(wanted) | Action::RemoveEqual(wanted) => {
                let condition = match action {
                    Action::RemoveIf(_) => If::Value(wanted),
                    _ => If::Equal(wanted),
                };
                let holds = self.holds(condition)?;
                when(Ok(Reply::flag(holds)), if holds { self.removed() } else { self.clone() })
            }
            Action::RemoveVersion(_) if self.value.is_none() => {
                when(Ok(Reply::flag(false)), self.clone())
            }
            Action::RemoveVersion(version) => {
                let says = answer.is_none_or(|answer| *answer == Ok(Reply::flag(true)));
                if self.holds(If::Version(version)).unwrap_or(says) {
                    when(Ok(Reply::flag(true)), self.removed())
                } else {
                    when(Err(OpError::Changed), self.clone())
                }
            }
            _ => None,
        }
    }
}

fn owner_name(owner: u8) -> [u8; 5] {
    [b'o', b'w', b'n', b'e', b'0' + owner]
}

/// Owner and count in the reply about a lock.
fn holder(reply: &Reply) -> Option<(Reply, Reply)> {
    let Reply::Map(facts) = reply else { return None };
    let fact = |name: &str| {
        let is_it = |(key, _): &&(Reply, Reply)| *key == Reply::Word(name.into());
        facts.iter().find(is_it).map(|(_, value)| value.clone())
    };
    Some((fact("owner")?, fact("count")?))
}

impl Structure for Register {
    type State = State;
    type Call = Call;
    type Memory = Memory;

    fn choose(Chance { rng, client, memory, .. }: Chance<'_, Memory>) -> Call {
        let owner = client % OWNERS;
        let what = rng.random_range(0..28);
        let mut item = || Item { label: client, identity: rng.random_range(0..IDENTITIES) };
        let (value, other) = (item(), item());
        // The value of another client, often.
        let other = Item { label: rng.random_range(0..OWNERS), ..other };
        let condition = match rng.random_range(0..9) {
            0 | 1 => If::Always,
            2 => If::Absent,
            3 => If::Present,
            4 => If::Value(other),
            5 => If::OtherValue(other),
            6 => If::Equal(other),
            _ => If::Version(memory.version),
        };
        let action = match what {
            0..8 => Action::Put { value, condition, answer: PutAnswer::Version },
            8 => Action::Put { value, condition, answer: PutAnswer::Done },
            9 => Action::Put { value, condition: If::Always, answer: PutAnswer::Old },
            10..13 => Action::Get,
            13 => Action::Remove,
            14 => Action::Take,
            15 => Action::RemoveIf(other),
            16 => Action::RemoveEqual(other),
            17 => Action::RemoveVersion(memory.version),
            18 | 19 => Action::Version,
            20..22 => Action::Hold,
            22..26 => Action::Release,
            26 => {
                if rng.random_bool(0.3) {
                    Action::Break
                } else {
                    Action::Renew
                }
            }
            _ => Action::Holder,
        };
        Call { owner, action }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        let name = owner_name(call.owner);
        let owner = &name[..];
        let lease = |op| Op::Lease(key, op);
        let (first, second) = match call.action {
            Action::Put { value, condition, .. } => match condition {
                If::Value(other) | If::OtherValue(other) | If::Equal(other) => {
                    (value.bytes(), other.bytes())
                }
                _ => (value.bytes(), Vec::new()),
            },
            Action::RemoveIf(value) | Action::RemoveEqual(value) => (value.bytes(), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        let identity_at = LABEL_BYTES as u32;
        let op = match call.action {
            Action::Hold => lease(LeaseOp::Hold { owner, lease_ms: LEASE_MS }),
            Action::Release => lease(LeaseOp::Release { owner }),
            Action::Renew => lease(LeaseOp::Renew { owner, lease_ms: LEASE_MS }),
            Action::Break => lease(LeaseOp::Break),
            Action::Holder => lease(LeaseOp::Holder),
            Action::Put { condition, answer, .. } => {
                let condition = match condition {
                    If::Always => PutIf::Always,
                    If::Absent => PutIf::Absent,
                    If::Present => PutIf::Present,
                    If::Version(version) => PutIf::Version(Version(version)),
                    If::Value(_) => PutIf::Value(&second),
                    If::OtherValue(_) => PutIf::OtherValue(&second),
                    If::Equal(_) => PutIf::ValueFrom(identity_at, &second[LABEL_BYTES..]),
                };
                let (kind, lifetime) = (0, Lifetime::Default);
                let put = PlainOp::Put { kind, value: &first, lifetime, condition, answer };
                Op::Key(key, KeyOp::Plain(put))
            }
            Action::Get => Op::Key(key, KeyOp::Plain(PlainOp::Get)),
            Action::Take => Op::Key(key, KeyOp::Plain(PlainOp::Take)),
            Action::RemoveIf(_) => Op::Key(key, KeyOp::Plain(PlainOp::RemoveIf(&first))),
            Action::RemoveEqual(_) => {
                let equal = PutIf::ValueFrom(identity_at, &first[LABEL_BYTES..]);
                Op::Key(key, KeyOp::Plain(PlainOp::RemoveWhen(equal)))
            }
            Action::Remove => Op::Key(key, KeyOp::Generic(GenericOp::Remove)),
            Action::RemoveVersion(version) => {
                Op::Key(key, KeyOp::Generic(GenericOp::RemoveVersion(Version(version))))
            }
            Action::Version => Op::Key(key, KeyOp::Generic(GenericOp::Version)),
        };
        then(&match op {
            Op::Lease(..) => op,
            op => Op::By { owner, op: Box::new(op) },
        })
    }

    fn read() -> Call {
        Call { owner: 0, action: Action::Get }
    }

    fn learn(memory: &mut Memory, call: &Call, answer: &Answer) {
        let shows =
            matches!(call.action, Action::Version | Action::Put { answer: PutAnswer::Version, .. });
        if let (true, Ok(Reply::Integer(version))) = (shows, answer) {
            memory.version = version.cast_unsigned();
        }
    }

    fn step(state: &State, call: &Call, answer: Option<&Answer>) -> Option<State> {
        let when = |reply: Answer, next: State| {
            answer.is_none_or(|answer| *answer == reply).then_some(next)
        };
        let mine = state.lock.filter(|(owner, _)| *owner == call.owner);
        match call.action {
            Action::Get => {
                let value = state.value.map_or(Reply::Nil, |value| value.reply());
                when(Ok(value), state.clone())
            }
            Action::Version => {
                let Some(answer) = answer else { return Some(state.clone()) };
                let Ok(Reply::Integer(version)) = answer else { return None };
                let version = version.cast_unsigned();
                let is_new = version > state.floor;
                match (state.value, state.version) {
                    // That of a removal, as long as it is remembered.
                    (None, _) => (version == 0 || is_new).then(|| state.clone()),
                    (Some(_), Some(here)) => (version == here).then(|| state.clone()),
                    (Some(_), None) => is_new.then(|| State {
                        version: Some(version),
                        floor: version,
                        ..state.clone()
                    }),
                }
            }
            Action::Hold => match (state.lock, mine) {
                (Some(_), None) => when(Ok(Reply::Integer(0)), state.clone()),
                (lock, _) => {
                    let count = lock.map_or(1, |(_, count)| count + 1);
                    let next = state.locked(Some((call.owner, count)));
                    when(Ok(Reply::Integer(count.into())), next)
                }
            },
            Action::Release => match mine {
                None => when(Err(OpError::Held), state.clone()),
                Some((owner, count)) => {
                    let left = (count > 1).then_some((owner, count - 1));
                    when(Ok(Reply::Integer((count - 1).into())), state.locked(left))
                }
            },
            Action::Renew => {
                let count = mine.map_or(0, |(_, count)| count);
                when(Ok(Reply::Integer(count.into())), state.clone())
            }
            Action::Break => when(Ok(Reply::flag(state.lock.is_some())), state.locked(None)),
            Action::Holder => {
                let Some(answer) = answer else { return Some(state.clone()) };
                let expected = state.lock.map(|(owner, count)| {
                    (Reply::bytes(&owner_name(owner)), Reply::Integer(count.into()))
                });
                let is_right = match answer {
                    Ok(Reply::Nil) => expected.is_none(),
                    Ok(reply) => expected.is_some() && holder(reply) == expected,
                    Err(_) => false,
                };
                is_right.then(|| state.clone())
            }
            _ if state.lock.is_some() && mine.is_none() => when(Err(OpError::Held), state.clone()),
            action => state.change(action, answer),
        }
    }
}
