//! Lists of items with labels, as queues and as lists of clients use them.

use std::time::Duration;

use convoke_grid::op::{ItemsOp, KeyOp};
use convoke_grid::{Op, OpError, Reply};
use rand::RngExt as _;

use super::{Item, all_bytes, borrowed};
use crate::clients::{Answer, Chance, Structure};

/// Maximum number of items in a queue.
const QUEUE_ITEMS_MAX: u64 = 6;
/// Maximum number of items in a list.
const LIST_ITEMS_MAX: u64 = 12;
/// Identities of the items of a list.
const IDENTITIES: u32 = 6;

/// An operation, with the time in milliseconds that it waits for a reply that is not nil.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Insert { at: Option<u64>, items: Vec<Item>, max: u64, wait_ms: Option<u64> },
    Replace(u64, Item),
    RemoveAt(u64),
    Remove(Item),
    Pop { wait_ms: Option<u64> },
    PopMany(u64),
    RemoveAll(Vec<Item>),
    RetainAll(Vec<Item>),
    Clear,
    Length,
    Get(u64),
    First,
    Range(u64, Option<u64>),
    ContainsAll(Vec<Item>),
    Position { item: Item, is_last: bool },
}

impl Call {
    fn with_op<R>(&self, key: &[u8], then: impl FnOnce(&Op<'_>) -> R) -> R {
        let several = match self {
            Self::Insert { items, .. }
            | Self::RemoveAll(items)
            | Self::RetainAll(items)
            | Self::ContainsAll(items) => all_bytes(items),
            Self::Replace(_, item) | Self::Remove(item) | Self::Position { item, .. } => {
                vec![item.bytes()]
            }
            _ => Vec::new(),
        };
        let items = borrowed(&several);
        let op = match *self {
            Self::Insert { at, max, .. } => ItemsOp::Insert { at, items, max },
            Self::Replace(index, _) => ItemsOp::Replace(index, items[0]),
            Self::RemoveAt(index) => ItemsOp::RemoveAt(index),
            Self::Remove(_) => ItemsOp::Remove(items[0]),
            Self::Pop { .. } => ItemsOp::Pop,
            Self::PopMany(count) => ItemsOp::PopMany(count),
            Self::RemoveAll(_) => ItemsOp::RemoveAll(items),
            Self::RetainAll(_) => ItemsOp::RetainAll(items),
            Self::Clear => ItemsOp::Clear,
            Self::Length => ItemsOp::Length,
            Self::Get(index) => ItemsOp::Get(index),
            Self::First => ItemsOp::First,
            Self::Range(from, to) => ItemsOp::Range(from, to),
            Self::ContainsAll(_) => ItemsOp::ContainsAll(items),
            Self::Position { is_last, .. } => ItemsOp::Position { item: items[0], is_last },
        };
        then(&Op::Key(key, KeyOp::Items(op)))
    }

    fn wait(&self) -> Option<Duration> {
        match self {
            Self::Insert { wait_ms, .. } | Self::Pop { wait_ms } => {
                wait_ms.map(Duration::from_millis)
            }
            _ => None,
        }
    }

    /// Changes the items, and returns the reply.
    fn apply(&self, list: &mut Vec<Item>) -> Answer {
        let length = list.len() as u64;
        let has = |all: &[Item], one: &Item| all.iter().any(|other| other.identity == one.identity);
        let replies = |items: &[Item]| items.iter().map(|item| item.reply()).collect();
        let index = |index: u64| {
            usize::try_from(index).ok().filter(|_| index < length).ok_or(OpError::NoSuchIndex)
        };
        Ok(match self {
            Self::Insert { at, items, max, .. } => {
                let at = at.unwrap_or(length);
                if at > length {
                    return Err(OpError::NoSuchIndex);
                }
                if length + items.len() as u64 > *max {
                    return Ok(Reply::Nil);
                }
                let at = at as usize;
                list.splice(at..at, items.iter().copied());
                Reply::count(list.len())
            }
            Self::Replace(at, item) => std::mem::replace(&mut list[index(*at)?], *item).reply(),
            Self::RemoveAt(at) => list.remove(index(*at)?).reply(),
            Self::Remove(item) => {
                let found = list.iter().position(|other| other.identity == item.identity);
                if let Some(found) = found {
                    list.remove(found);
                }
                Reply::flag(found.is_some())
            }
            Self::Pop { .. } => {
                if list.is_empty() {
                    Reply::Nil
                } else {
                    list.remove(0).reply()
                }
            }
            Self::PopMany(count) => {
                let gone: Vec<_> = list.drain(..(*count).min(length) as usize).collect();
                Reply::List(replies(&gone))
            }
            Self::RemoveAll(items) => {
                list.retain(|item| !has(items, item));
                Reply::count(length as usize - list.len())
            }
            Self::RetainAll(items) => {
                list.retain(|item| has(items, item));
                Reply::count(length as usize - list.len())
            }
            Self::Clear => {
                list.clear();
                Reply::count(length as usize)
            }
            Self::Length => Reply::count(list.len()),
            Self::Get(at) => list[index(*at)?].reply(),
            Self::First => list.first().map_or(Reply::Nil, |item| item.reply()),
            Self::Range(from, to) => {
                let to = to.unwrap_or(length);
                if *from > to || to > length {
                    return Err(OpError::NoSuchIndex);
                }
                Reply::List(replies(&list[*from as usize..to as usize]))
            }
            Self::ContainsAll(items) => Reply::flag(items.iter().all(|item| has(list, item))),
            Self::Position { item, is_last } => {
                let is_it = |other: &Item| other.identity == item.identity;
                let found = if *is_last {
                    list.iter().rposition(is_it)
                } else {
                    list.iter().position(is_it)
                };
                found.map_or(Reply::Nil, Reply::count)
            }
        })
    }

    fn step(&self, list: &[Item], answer: Option<&Answer>) -> Option<Vec<Item>> {
        let mut next = list.to_vec();
        let expected = self.apply(&mut next);
        answer.is_none_or(|answer| *answer == expected).then_some(next)
    }
}

/// A queue: each item is added once.
pub(crate) struct Queue;

impl Structure for Queue {
    type State = Vec<Item>;
    type Call = Call;
    type Memory = ();

    fn choose(Chance { rng, number, client, .. }: Chance<'_, ()>) -> Call {
        let wait_ms = rng.random_bool(0.5).then(|| rng.random_range(1..400));
        let item = |identity| Item { label: client, identity };
        match rng.random_range(0..20) {
            0..8 => {
                let items = vec![item(number)];
                Call::Insert { at: None, items, max: QUEUE_ITEMS_MAX, wait_ms }
            }
            // Identities of a range of their own.
            8 => {
                let items = (0..3).map(|n| item((number << 8) + n + (1 << 31))).collect();
                Call::Insert { at: None, items, max: QUEUE_ITEMS_MAX, wait_ms: None }
            }
            9..16 => Call::Pop { wait_ms },
            16 => Call::PopMany(rng.random_range(0..5)),
            17 => Call::First,
            18 => Call::Length,
            _ => Call::Range(0, None),
        }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        call.with_op(key, then)
    }

    fn wait(call: &Call) -> Option<Duration> {
        call.wait()
    }

    fn read() -> Call {
        Call::Range(0, None)
    }

    fn step(state: &Vec<Item>, call: &Call, answer: Option<&Answer>) -> Option<Vec<Item>> {
        call.step(state, answer)
    }
}

/// A list: few different items, at any index.
pub(crate) struct List;

impl Structure for List {
    type State = Vec<Item>;
    type Call = Call;
    type Memory = ();

    fn choose(Chance { rng, client, .. }: Chance<'_, ()>) -> Call {
        let what = rng.random_range(0..22);
        let mut item = || Item { label: client, identity: rng.random_range(0..IDENTITIES) };
        let (one, several) = (item(), vec![item(), item(), item()]);
        let index = rng.random_range(0..8);
        let max = LIST_ITEMS_MAX;
        match what {
            0..5 => Call::Insert { at: None, items: vec![one], max, wait_ms: None },
            5..7 => Call::Insert { at: Some(index), items: vec![one], max, wait_ms: None },
            7 => Call::Insert { at: Some(index), items: several, max, wait_ms: None },
            8 => Call::Insert { at: None, items: several, max, wait_ms: None },
            9 | 10 => Call::Replace(index, one),
            11 => Call::RemoveAt(index),
            12 => Call::Remove(one),
            13 => Call::RemoveAll(several[1..].to_vec()),
            14 => Call::RetainAll(several),
            15 => {
                if index == 0 {
                    Call::Clear
                } else {
                    Call::Length
                }
            }
            16 => Call::Get(index),
            17 => Call::Range(index.min(2), Some(index)),
            18 => Call::ContainsAll(several[1..].to_vec()),
            19 => Call::Position { item: one, is_last: index % 2 == 0 },
            20 => Call::PopMany(index % 3),
            _ => Call::Range(0, None),
        }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        call.with_op(key, then)
    }

    fn read() -> Call {
        Call::Range(0, None)
    }

    fn step(state: &Vec<Item>, call: &Call, answer: Option<&Answer>) -> Option<Vec<Item>> {
        call.step(state, answer)
    }
}
