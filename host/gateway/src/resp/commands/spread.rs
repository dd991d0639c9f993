//! Operations on keys that lie in several partitions: each partition does its
//! part, and the answers are put together. They are not one step then, and what was
//! done in part is never answered with a plain refusal: see [`whole`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use convoke_grid::op::{
    ANSWER_BYTES_MAX, Aggregate, Combine, KeyOp, Op, SetOp, SeveralOp, Weighted, combine,
    combine_sorted, plain_members, scored_members,
};
use convoke_grid::{Grid, KEY_BYTES_MAX, Later, Map, OpError, Reply, Score, Started};
use futures_util::future::join_all;

use super::super::answer::Refusal;
use super::super::encode::error_text;
use super::super::server::Server;

type Asked = Later<Result<Reply, Refusal>>;
/// What is asked of one partition.
type Part = Later<Result<Reply, OpError>>;

/// Whether an operation on keys of several partitions has to be one step: it is a transaction
/// of the grid then. The others do their part in each partition by itself.
pub(super) fn is_one_step(op: &SeveralOp<'_>) -> bool {
    match op {
        SeveralOp::Get(_)
        | SeveralOp::Exist(_)
        | SeveralOp::Touch(_)
        | SeveralOp::Remove(_)
        | SeveralOp::First(_)
        | SeveralOp::CountCommon { .. }
        | SeveralOp::PopFirst { .. }
        | SeveralOp::PopFirstSorted { .. } => false,
        SeveralOp::Put { absent, .. } => *absent,
        SeveralOp::CombineSets { store, .. } => store.is_some(),
        SeveralOp::CombineSorted { store, .. } => store.is_some(),
        SeveralOp::Rename { .. }
        | SeveralOp::Copy { .. }
        | SeveralOp::MoveMember { .. }
        | SeveralOp::MoveElement { .. }
        | SeveralOp::StoreRange { .. } => true,
    }
}

/// Starts an operation in all partitions that its keys lie in.
///
/// # Errors
/// When it must be one step, or a key is too long: nothing was started.
pub(super) fn start(server: &Arc<Server>, map: &Arc<Map>, op: &Op<'_>) -> Result<Asked, Refusal> {
    // What would be refused in one partition only is refused before any of it begins.
    if op.keys().iter().any(|key| key.len() > KEY_BYTES_MAX) {
        return Err(OpError::KeyTooLong.into());
    }
    let Op::Several(op) = op else { return Err(Refusal::CROSS_SLOT) };
    Ok(match op {
        SeveralOp::Get(keys) => get(server, map, keys),
        SeveralOp::Put { pairs, absent: false } => put(server, map, pairs),
        SeveralOp::Exist(keys) => sum(server, map, keys, SeveralOp::Exist, KEYS_FOUND),
        SeveralOp::Touch(keys) => sum(server, map, keys, SeveralOp::Touch, KEYS_FOUND),
        SeveralOp::Remove(keys) => sum(server, map, keys, SeveralOp::Remove, KEYS_REMOVED),
        SeveralOp::CombineSets { how, keys, store: None } => combine_sets(server, map, *how, keys),
        SeveralOp::CountCommon { keys, sorted, limit } => count(server, map, keys, *sorted, *limit),
        SeveralOp::CombineSorted { how, keys, aggregate, scores, store: None } => {
            combine_sorted_sets(server, map, *how, keys, *aggregate, *scores)
        }
        SeveralOp::PopFirst { .. } | SeveralOp::PopFirstSorted { .. } => {
            let taken = super::blocking::take_now(server, map, op).ok_or(Refusal::CROSS_SLOT)?;
            Box::pin(async move { taken.await.map_err(Refusal::from) })
        }
        _ => return Err(Refusal::CROSS_SLOT),
    })
}

/// How the parts of an operation are called when only some of them were done.
#[derive(Clone, Copy)]
pub(crate) struct Wording {
    /// What is counted.
    pub(crate) things: &'static str,
    /// What was done to them.
    pub(crate) done: &'static str,
    /// Whether a part's answer says that it changed something.
    pub(crate) changes: fn(&Reply) -> bool,
}

/// Looking changes nothing.
const KEYS_FOUND: Wording = Wording { things: "keys", done: "were found", changes: |_| false };
const KEYS_WRITTEN: Wording = Wording { things: "keys", done: "were written", changes: |_| true };
const KEYS_REMOVED: Wording =
    Wording { things: "keys", done: "were removed or did not exist", changes: is_above_zero };

/// Whether a count says that something was there.
pub(crate) fn is_above_zero(reply: &Reply) -> bool {
    !matches!(reply, Reply::Integer(0))
}

/// The answers of all parts, each given with the number of things it is about.
///
/// # Errors
/// A plain refusal when certainly nothing was changed. When some of it was, or may have
/// been, `INDETERMINATE` and how much.
pub(crate) fn whole(
    parts: Vec<(usize, Result<Reply, OpError>)>,
    wording: Wording,
) -> Result<Vec<Reply>, Refusal> {
    let (mut all, mut done, mut unknown) = (0, 0, 0);
    let (mut changed, mut refusal) = (false, None);
    let mut replies = Vec::with_capacity(parts.len());
    for (count, reply) in parts {
        all += count;
        match reply {
            Ok(reply) => {
                done += count;
                changed |= (wording.changes)(&reply);
                replies.push(reply);
            }
            Err(OpError::Indeterminate) => unknown += count,
            Err(error) => _ = refusal.get_or_insert(error),
        }
    }
    let Wording { things, done: were_done, .. } = wording;
    match refusal {
        None if unknown == 0 => Ok(replies),
        Some(error) if !changed && unknown == 0 => Err(error.into()),
        None if done == 0 => Err(OpError::Indeterminate.into()),
        refusal => {
            let mut args = format!("INDETERMINATE {done} of {all} {things} {were_done}");
            if unknown > 0 {
                args.push_str(&format!(", {unknown} may have been"));
            }
            if let Some(error) = refusal {
                args.push_str(&format!(", the others were refused: {}", error_text(&error)));
            }
            Err(Refusal(args.into()))
        }
    }
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

/// The answers of operations that change nothing; the first failure counts.
fn read(replies: Vec<Result<Reply, OpError>>) -> Result<Vec<Reply>, Refusal> {
    Ok(replies.into_iter().collect::<Result<_, _>>()?)
}

/// Answers of partitions, each with the number of keys that it is about.
fn counted(
    parts: &BTreeMap<u16, Vec<usize>>,
    replies: Vec<Result<Reply, OpError>>,
) -> Vec<(usize, Result<Reply, OpError>)> {
    parts.values().map(Vec::len).zip(replies).collect()
}

fn get(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]]) -> Asked {
    let parts = by_partition(&server.grid, keys.iter().copied());
    let (mut asked, mut bytes): (Vec<Part>, _) = (Vec::with_capacity(parts.len()), 0);
    for (partition, places) in &parts {
        let keys = places.iter().map(|place| keys[*place]).collect();
        let op = Op::Several(SeveralOp::Get(keys));
        asked.push(match server.grid.start(map, *partition, &op) {
            Started::Now(reply) => {
                bytes += reply.as_ref().map_or(0, bytes_of);
                Box::pin(std::future::ready(reply))
            }
            Started::Later(later) => later,
        });
        if bytes > ANSWER_BYTES_MAX {
            return Box::pin(std::future::ready(Err(OpError::AnswerTooLong.into())));
        }
    }
    let mut values = vec![Reply::Nil; keys.len()];
    Box::pin(async move {
        let replies = read(join_all(asked).await)?;
        if replies.iter().map(bytes_of).sum::<usize>() > ANSWER_BYTES_MAX {
            return Err(OpError::AnswerTooLong.into());
        }
        for (places, reply) in parts.into_values().zip(replies) {
            let Reply::List(found) = reply else { return Ok(reply) };
            for (place, value) in places.into_iter().zip(found) {
                values[place] = value;
            }
        }
        Ok(Reply::List(values))
    })
}

/// Bytes of the values in an answer.
pub(super) fn bytes_of(reply: &Reply) -> usize {
    match reply {
        Reply::Bytes(bytes) => bytes.len(),
        Reply::List(all) | Reply::Set(all) => all.iter().map(bytes_of).sum(),
        Reply::Map(all) | Reply::Pairs(all) => {
            all.iter().map(|(a, b)| bytes_of(a) + bytes_of(b)).sum()
        }
        _ => 0,
    }
}

fn put(server: &Arc<Server>, map: &Arc<Map>, pairs: &[(&[u8], &[u8])]) -> Asked {
    let parts = by_partition(&server.grid, pairs.iter().map(|(key, _)| *key));
    let asked: Vec<Part> = parts
        .iter()
        .map(|(partition, places)| {
            let pairs = places.iter().map(|place| pairs[*place]).collect();
            server.ask(map, *partition, &Op::Several(SeveralOp::Put { pairs, absent: false }))
        })
        .collect();
    Box::pin(async move {
        whole(counted(&parts, join_all(asked).await), KEYS_WRITTEN)?;
        Ok(Reply::Done)
    })
}

fn sum<'k>(
    server: &Arc<Server>,
    map: &Arc<Map>,
    keys: &[&'k [u8]],
    op: fn(Vec<&'k [u8]>) -> SeveralOp<'k>,
    wording: Wording,
) -> Asked {
    let parts = by_partition(&server.grid, keys.iter().copied());
    let asked: Vec<Part> = parts
        .iter()
        .map(|(partition, places)| {
            let keys = places.iter().map(|place| keys[*place]).collect();
            server.ask(map, *partition, &Op::Several(op(keys)))
        })
        .collect();
    Box::pin(async move {
        let replies = whole(counted(&parts, join_all(asked).await), wording)?;
        let number = |reply: &Reply| if let Reply::Integer(number) = reply { *number } else { 0 };
        Ok(Reply::Integer(replies.iter().map(number).sum()))
    })
}

/// The members of each set.
fn members(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]]) -> Vec<Part> {
    keys.iter()
        .map(|key| {
            let op = Op::Key(key, KeyOp::Set(SetOp::All));
            server.ask(map, server.grid.partition_of(key), &op)
        })
        .collect()
}

fn combine_sets(server: &Arc<Server>, map: &Arc<Map>, how: Combine, keys: &[&[u8]]) -> Asked {
    let asked = members(server, map, keys);
    Box::pin(async move {
        let replies = read(join_all(asked).await)?;
        let sets = replies.into_iter().map(plain_members).collect();
        let all = combine(how, sets).iter().map(|member| Reply::bytes(member)).collect();
        Ok(Reply::Set(all))
    })
}

/// The members of each sorted set, or set, with their scores.
fn scored(server: &Arc<Server>, map: &Arc<Map>, keys: &[&[u8]]) -> Vec<Part> {
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
        let replies = read(join_all(asked).await)?;
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
        let replies = read(join_all(asked).await)?;
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

#[cfg(test)]
mod tests {
    use convoke_grid::MapCatalog;
    use convoke_grid::map::{Eviction, MapSettings};

    use super::super::super::answer::Answer;
    use super::*;
    use crate::testing::{call, client_of, lone_grid_with, server_on};
    use crate::trust::{Passwords, Trust};

    fn text(parts: Vec<(usize, Result<Reply, OpError>)>, wording: Wording) -> String {
        whole(parts, wording).unwrap_err().0.into_owned()
    }

    #[test]
    fn a_plain_refusal_says_that_nothing_was_done() {
        let refused = || (3, Err(OpError::Full));
        assert!(text(vec![refused(), refused()], KEYS_WRITTEN).starts_with("OOM "));
        // Nothing was there to remove.
        let none = (2, Ok(Reply::Integer(0)));
        assert!(text(vec![none, refused()], KEYS_REMOVED).starts_with("OOM "));
        let found = (2, Ok(Reply::Integer(2)));
        assert!(text(vec![found, refused()], KEYS_FOUND).starts_with("OOM "));
    }

    #[test]
    fn what_was_done_in_part_is_indeterminate_and_says_how_much() {
        let (done, refused) = ((5, Ok(Reply::Done)), (3, Err(OpError::Full)));
        let unknown = (2, Err(OpError::Indeterminate));
        assert_eq!(
            text(vec![done.clone(), refused.clone()], KEYS_WRITTEN),
            format!(
                "INDETERMINATE 5 of 8 keys were written, the others were refused: {}",
                error_text(&OpError::Full)
            )
        );
        assert_eq!(
            text(vec![done, unknown.clone()], KEYS_WRITTEN),
            "INDETERMINATE 5 of 7 keys were written, 2 may have been"
        );
        let args = text(vec![refused, unknown.clone()], KEYS_WRITTEN);
        assert!(args.starts_with("INDETERMINATE 0 of 5 keys were written, 2 may have been, the others were refused: OOM "), "{args}");
        assert_eq!(text(vec![unknown], KEYS_WRITTEN), error_text(&OpError::Indeterminate));
    }

    #[tokio::test]
    async fn mset_beyond_the_memory_bound_says_how_much_of_it_was_done() {
        const KEYS: usize = 2_000;
        let defaults = MapSettings {
            memory_bytes_max: Some(1 << 20),
            eviction: Eviction::None,
            ..MapSettings::default()
        };
        let grid = lone_grid_with(MapCatalog { defaults, ..MapCatalog::default() });
        let server = server_on(grid, Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        // Partitions are asked in turn, and are full once the map is.
        let value = vec![b'v'; 700];
        let keys: Vec<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();
        let mut args: Vec<&[u8]> = vec![b"mset"];
        args.extend(keys.iter().flat_map(|key| [key.as_bytes(), &value[..]]));
        let Answer::Error(text) = call(&mut client, &args).await else { panic!("it fits") };
        let Answer::Reply(Reply::Integer(size)) = call(&mut client, &[b"dbsize"]).await else {
            panic!("no size");
        };
        assert!((1..KEYS as i64).contains(&size), "{size}");
        let begin = format!(
            "INDETERMINATE {size} of {KEYS} keys were written, the others were refused: OOM "
        );
        assert!(text.starts_with(&begin), "{text}");
        let Answer::Error(text) = call(&mut client, &args).await else { panic!("it fits") };
        assert!(text.starts_with("OOM "), "nothing of it is done now: {text}");
    }

    #[tokio::test]
    async fn a_key_that_is_too_long_keeps_all_others_from_being_written() {
        let server = server_on(lone_grid_with(MapCatalog::default()), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let long = vec![b'k'; KEY_BYTES_MAX + 1];
        let args: [&[u8]; 7] = [b"mset", b"a", b"1", b"b", b"1", &long, b"1"];
        let Answer::Error(text) = call(&mut client, &args).await else { panic!("it is taken") };
        assert!(text.starts_with("ERR the key is longer"), "{text}");
        assert_eq!(call(&mut client, &[b"dbsize"]).await, Answer::integer(0));
    }
}
