//! Operations on keys that lie in several partitions: each partition does its
//! part, and the answers are put together. They are not one step then.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use convoke_grid::op::{
    Aggregate, Combine, KeyOp, Op, SetOp, SeveralOp, Weighted, combine, combine_sorted,
};
use convoke_grid::{Grid, Later, Map, OpError, Reply, Score, Started};
use futures_util::future::join_all;

use super::super::server::Server;

type Asked = Later<Result<Reply, OpError>>;

/// Starts an operation in all partitions that its keys lie in. `None` when it is
/// one that must be one step.
pub(super) fn start(server: &Arc<Server>, map: &Arc<Map>, op: &Op<'_>) -> Option<Started> {
    let Op::Several(op) = op else { return None };
    let later = match op {
        SeveralOp::Get(keys) => get(server, map, keys),
        SeveralOp::Put { pairs, absent: false } => put(server, map, pairs),
        SeveralOp::Exist(keys) => sum(server, map, keys, SeveralOp::Exist),
        SeveralOp::Touch(keys) => sum(server, map, keys, SeveralOp::Touch),
        SeveralOp::Remove(keys) => sum(server, map, keys, SeveralOp::Remove),
        SeveralOp::CombineSets { how, keys, store: None } => combine_sets(server, map, *how, keys),
        SeveralOp::CountCommon { keys, sorted, limit } => count(server, map, keys, *sorted, *limit),
        SeveralOp::CombineSorted { how, keys, aggregate, scores, store: None } => {
            combine_sorted_sets(server, map, *how, keys, *aggregate, *scores)
        }
        SeveralOp::PopFirst { .. } | SeveralOp::PopFirstSorted { .. } => {
            super::blocking::take_now(server, map, op)?
        }
        _ => return None,
    };
    Some(Started::Later(later))
}

/// The places of keys in a request, by partition.
fn by_partition<'a>(
    grid: &Grid,
    keys: impl Iterator<Item = &'a [u8]>,
) -> BTreeMap<u16, Vec<usize>> {
    let mut places: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (place, key) in keys.enumerate() {
        places.entry(grid.partition_of(key)).or_default().push(place);
    }
    places
}

/// The first failure counts: what is not known before what was not done.
fn first_failure(replies: Vec<Result<Reply, OpError>>) -> Result<Vec<Reply>, OpError> {
    if replies.contains(&Err(OpError::Indeterminate)) {
        return Err(OpError::Indeterminate);
    }
    replies.into_iter().collect()
}

fn get(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]]) -> Asked {
    let parts = by_partition(&server.grid, keys.iter().copied());
    let asked: Vec<Asked> = parts
        .iter()
        .map(|(partition, places)| {
            let keys = places.iter().map(|place| keys[*place]).collect();
            server.ask(map, *partition, &Op::Several(SeveralOp::Get(keys)))
        })
        .collect();
    let mut values = vec![Reply::Nil; keys.len()];
    Box::pin(async move {
        let replies = first_failure(join_all(asked).await)?;
        for (places, reply) in parts.into_values().zip(replies) {
            let Reply::List(found) = reply else { return Ok(reply) };
            for (place, value) in places.into_iter().zip(found) {
                values[place] = value;
            }
        }
        Ok(Reply::List(values))
    })
}

fn put(server: &Arc<Server>, map: &Arc<Map>, pairs: &[(&[u8], &[u8])]) -> Asked {
    let parts = by_partition(&server.grid, pairs.iter().map(|(key, _)| *key));
    let asked: Vec<Asked> = parts
        .iter()
        .map(|(partition, places)| {
            let pairs = places.iter().map(|place| pairs[*place]).collect();
            server.ask(map, *partition, &Op::Several(SeveralOp::Put { pairs, absent: false }))
        })
        .collect();
    Box::pin(async move {
        first_failure(join_all(asked).await)?;
        Ok(Reply::Done)
    })
}

fn sum<'k>(
    server: &Arc<Server>,
    map: &Arc<Map>,
    keys: &[&'k [u8]],
    op: fn(Vec<&'k [u8]>) -> SeveralOp<'k>,
) -> Asked {
    let parts = by_partition(&server.grid, keys.iter().copied());
    let asked: Vec<Asked> = parts
        .iter()
        .map(|(partition, places)| {
            let keys = places.iter().map(|place| keys[*place]).collect();
            server.ask(map, *partition, &Op::Several(op(keys)))
        })
        .collect();
    Box::pin(async move {
        let replies = first_failure(join_all(asked).await)?;
        let number = |reply: &Reply| if let Reply::Integer(number) = reply { *number } else { 0 };
        Ok(Reply::Integer(replies.iter().map(number).sum()))
    })
}

/// The members of each set.
fn members(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]]) -> Vec<Asked> {
    keys.iter()
        .map(|key| {
            let op = Op::Key(key, KeyOp::Set(SetOp::All));
            server.ask(map, server.grid.partition_of(key), &op)
        })
        .collect()
}

fn plain_members(reply: Reply) -> Vec<Vec<u8>> {
    let (Reply::Set(all) | Reply::List(all)) = reply else { return Vec::new() };
    let bytes = |reply| if let Reply::Bytes(bytes) = reply { bytes.to_vec() } else { Vec::new() };
    all.into_iter().map(bytes).collect()
}

fn combine_sets(server: &Arc<Server>, map: &Arc<Map>, how: Combine, keys: &[&[u8]]) -> Asked {
    let asked = members(server, map, keys);
    Box::pin(async move {
        let replies = first_failure(join_all(asked).await)?;
        let sets = replies.into_iter().map(plain_members).collect();
        let all = combine(how, sets).iter().map(|member| Reply::bytes(member)).collect();
        Ok(Reply::Set(all))
    })
}

/// The members of each sorted set, or set, with their scores.
fn scored(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]]) -> Vec<Asked> {
    keys.iter()
        .map(|key| {
            let op = SeveralOp::CombineSorted {
                how: Combine::Union,
                keys: vec![Weighted { key, weight: 1.0 }],
                aggregate: Aggregate::Sum,
                scores: true,
                store: None,
            };
            server.ask(map, server.grid.partition_of(key), &Op::Several(op))
        })
        .collect()
}

fn scored_members(reply: Reply) -> Vec<(Score, Vec<u8>)> {
    let Reply::Pairs(pairs) = reply else { return Vec::new() };
    let pair = |(member, score)| match (member, score) {
        (Reply::Bytes(member), Reply::Double(score)) => Some((Score::new(score)?, member.to_vec())),
        _ => None,
    };
    pairs.into_iter().filter_map(pair).collect()
}

fn combine_sorted_sets(
    server: &Arc<Server>,
    map: &Arc<Map>,
    how: Combine,
    keys: &[Weighted<'_>],
    aggregate: Aggregate,
    scores: bool,
) -> Asked {
    let weights: Vec<f64> = keys.iter().map(|key| key.weight).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.key).collect();
    let asked = scored(server, map, &keys);
    Box::pin(async move {
        let replies = first_failure(join_all(asked).await)?;
        let sets = weights.into_iter().zip(replies.into_iter().map(scored_members)).collect();
        let all = combine_sorted(how, sets, aggregate);
        Ok(if scores {
            let pair = |(score, member): &(Score, Vec<u8>)| {
                (Reply::bytes(member), Reply::Double(score.get()))
            };
            Reply::Pairs(all.iter().map(pair).collect())
        } else {
            Reply::List(all.iter().map(|(_, member)| Reply::bytes(member)).collect())
        })
    })
}

fn count(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]], sorted: bool, limit: u64) -> Asked {
    let asked = if sorted { scored(server, map, keys) } else { members(server, map, keys) };
    Box::pin(async move {
        let replies = first_failure(join_all(asked).await)?;
        let names = |reply| -> HashSet<Vec<u8>> {
            if sorted {
                scored_members(reply).into_iter().map(|(_, name)| name).collect()
            } else {
                plain_members(reply).into_iter().collect()
            }
        };
        let mut sets = replies.into_iter().map(names);
        let first = sets.next().unwrap_or_default();
        let common = sets.fold(first, |common, set| &common & &set);
        let most =
            if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        Ok(Reply::count(common.len().min(most)))
    })
}
