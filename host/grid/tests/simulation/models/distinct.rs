//! Collections of distinct items with labels, as sets and multimaps use them.

use std::collections::BTreeMap;

use convoke_grid::op::{DistinctOp, KeyOp};
use convoke_grid::{Op, Reply};
use rand::RngExt as _;

use super::{Item, all_bytes, borrowed};
use crate::clients::{Answer, Chance, Structure};

/// Identities of the items.
const IDENTITIES: u32 = 6;

#[derive(Clone, Debug)]
pub(crate) enum Call {
    Add(Vec<Item>),
    Remove(Vec<Item>),
    Retain(Vec<Item>),
    Clear,
    Length,
    ContainsAll(Vec<Item>),
    All,
    Take,
}

/// A collection: the label of each identity.
pub(crate) struct Distinct;

/// All items, in the order of their identities.
fn sorted(reply: &Answer) -> Answer {
    let Ok(Reply::List(items)) = reply else { return reply.clone() };
    let mut items = items.clone();
    items.sort_by_key(|item| match item {
        Reply::Bytes(bytes) => bytes.get(4..).map(<[u8]>::to_vec),
        _ => None,
    });
    Ok(Reply::List(items))
}

fn apply(set: &mut BTreeMap<u32, u8>, call: &Call) -> Reply {
    let before = set.len();
    let has = |items: &[Item], identity: u32| items.iter().any(|item| item.identity == identity);
    let all = |set: &BTreeMap<u32, u8>| {
        let item = |(identity, label): (&u32, &u8)| Item { label: *label, identity: *identity };
        Reply::List(set.iter().map(|entry| item(entry).reply()).collect())
    };
    match call {
        Call::Add(items) => {
            for item in items {
                set.entry(item.identity).or_insert(item.label);
            }
            Reply::count(set.len() - before)
        }
        Call::Remove(items) => {
            set.retain(|identity, _| !has(items, *identity));
            Reply::count(before - set.len())
        }
        Call::Retain(items) => {
            set.retain(|identity, _| has(items, *identity));
            Reply::count(before - set.len())
        }
        Call::Clear => {
            set.clear();
            Reply::count(before)
        }
        Call::Length => Reply::count(before),
        Call::ContainsAll(items) => {
            Reply::flag(items.iter().all(|item| set.contains_key(&item.identity)))
        }
        Call::All => all(set),
        Call::Take => {
            let taken = all(set);
            set.clear();
            taken
        }
    }
}

impl Structure for Distinct {
    type State = BTreeMap<u32, u8>;
    type Call = Call;
    type Memory = ();

    fn choose(Chance { rng, client, .. }: Chance<'_, ()>) -> Call {
        let what = rng.random_range(0..16);
        let count = rng.random_range(1..4);
        let items = (0..count)
            .map(|_| Item { label: client, identity: rng.random_range(0..IDENTITIES) })
            .collect();
        match what {
            0..6 => Call::Add(items),
            6..9 => Call::Remove(items),
            9 => Call::Retain(items),
            10 => Call::Clear,
            11 => Call::Take,
            12 => Call::Length,
            13 => Call::ContainsAll(items),
            _ => Call::All,
        }
    }

    fn with_op<R>(key: &[u8], call: &Call, then: impl FnOnce(&Op<'_>) -> R) -> R {
        let items = match call {
            Call::Add(items)
            | Call::Remove(items)
            | Call::Retain(items)
            | Call::ContainsAll(items) => all_bytes(items),
            Call::Clear | Call::Length | Call::All | Call::Take => Vec::new(),
        };
        let items = borrowed(&items);
        let op = match call {
            Call::Add(_) => DistinctOp::Add(items),
            Call::Remove(_) => DistinctOp::Remove(items),
            Call::Retain(_) => DistinctOp::Retain(items),
            Call::ContainsAll(_) => DistinctOp::ContainsAll(items),
            Call::Clear => DistinctOp::Clear,
            Call::Length => DistinctOp::Length,
            Call::All => DistinctOp::All,
            Call::Take => DistinctOp::Take,
        };
        then(&Op::Key(key, KeyOp::Distinct(op)))
    }

    fn read() -> Call {
        Call::All
    }

    fn step(
        state: &BTreeMap<u32, u8>,
        call: &Call,
        answer: Option<&Answer>,
    ) -> Option<BTreeMap<u32, u8>> {
        let mut next = state.clone();
        let expected = Ok(apply(&mut next, call));
        answer.is_none_or(|answer| sorted(answer) == expected).then_some(next)
    }
}
