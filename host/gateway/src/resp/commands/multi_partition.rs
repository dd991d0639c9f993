//! Operations on keys in several partitions: each partition executes its part, and the replies are
//! merged. They are not atomic. If only some parts were executed, the error says so: see
//! [`merge_replies`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use convoke_grid::op::{
    ANSWER_BYTES_MAX, Aggregate, Combine, KeyOp, LcsAnswer, Op, PlainOp, SetOp, SeveralOp,
    StreamRead, Union, Weighted, combine, combine_sorted, common_subsequence, plain_members,
    scored_members,
};
use convoke_grid::{ClientTraits, Grid, KEY_BYTES_MAX, Later, Map, OpError, Reply, Score, Started};
use futures_util::future::join_all;

use super::super::answer::{CommandError, bytes_of, sum_of};
use super::super::client::with_traits;
use super::super::encode::error_text;
use super::super::server::Server;

type PendingReply = Later<Result<Reply, CommandError>>;
/// The reply of one partition.
type PartitionReply = Later<Result<Reply, OpError>>;

/// Submits operations of a client to partitions.
#[derive(Clone, Copy)]
struct Parts<'a> {
    server: &'a Arc<Server>,
    traits: ClientTraits,
}

impl Parts<'_> {
    fn grid(&self) -> &Grid {
        &self.server.grid
    }

    fn submit(self, map: &Arc<Map>, partition: u16, op: Op<'_>) -> PartitionReply {
        self.server.submit(map, partition, &with_traits(op, self.traits))
    }
}

/// Whether an operation must be atomic over several partitions, as a transaction of the grid. Other
/// operations are executed by each partition separately.
pub(crate) fn is_one_step(op: &SeveralOp<'_>) -> bool {
    match op {
        SeveralOp::Get(_)
        | SeveralOp::Exist(_)
        | SeveralOp::Touch(_)
        | SeveralOp::Remove(_)
        | SeveralOp::First(_)
        | SeveralOp::CountCommon { .. }
        | SeveralOp::PopFirst { .. }
        | SeveralOp::PopFirstSorted { .. }
        | SeveralOp::CountUnion(_)
        | SeveralOp::Union(_)
        | SeveralOp::Lcs { .. }
        | SeveralOp::ReadStreams { .. }
        | SeveralOp::GroupReady { .. } => false,
        SeveralOp::Put { absent, .. } => *absent,
        SeveralOp::CombineSets { store, .. } => store.is_some(),
        SeveralOp::CombineSorted { store, .. } => store.is_some(),
        SeveralOp::Sort { store, .. } => store.is_some(),
        SeveralOp::Rename { .. }
        | SeveralOp::Copy { .. }
        | SeveralOp::MoveMember { .. }
        | SeveralOp::MoveElement { .. }
        | SeveralOp::StoreRange { .. }
        | SeveralOp::CombineBits { .. }
        | SeveralOp::MergeUnion { .. }
        | SeveralOp::PutAll { .. }
        | SeveralOp::StoreNear { .. }
        | SeveralOp::ReadGroup { .. }
        | SeveralOp::Across { .. } => true,
    }
}

/// Starts an operation in all partitions of its keys.
///
/// # Errors
/// If the operation must be atomic, or a key is too long: nothing was started.
pub(crate) fn start(
    server: &Arc<Server>,
    map: &Arc<Map>,
    op: &Op<'_>,
    traits: ClientTraits,
) -> Result<PendingReply, CommandError> {
    // An error that one partition would report is found before any partition starts.
    if op.keys().iter().any(|key| key.len() > KEY_BYTES_MAX) {
        return Err(OpError::KeyTooLong.into());
    }
    let Op::Several(op) = op else { return Err(CommandError::CROSS_SLOT) };
    let blocking_server = server;
    let server = Parts { server, traits };
    Ok(match op {
        SeveralOp::Get(keys) => get(server, map, keys),
        SeveralOp::Put { pairs, absent: false } => put(server, map, pairs),
        SeveralOp::Exist(keys) => sum((server, map), keys, SeveralOp::Exist, KEYS_FOUND),
        SeveralOp::Touch(keys) => sum((server, map), keys, SeveralOp::Touch, KEYS_FOUND),
        SeveralOp::Remove(keys) => sum((server, map), keys, SeveralOp::Remove, KEYS_REMOVED),
        SeveralOp::CombineSets { how, keys, store: None } => combine_sets(server, map, *how, keys),
        SeveralOp::CountCommon { keys, sorted, limit } => count(server, map, keys, *sorted, *limit),
        SeveralOp::CombineSorted { how, keys, aggregate, scores, store: None } => {
            combine_sorted_sets(server, map, *how, keys, *aggregate, *scores)
        }
        SeveralOp::CountUnion(keys) => count_union(server, map, keys),
        SeveralOp::Lcs { first, second, answer } => lcs(server, map, [first, second], *answer),
        SeveralOp::ReadStreams { streams, count } => read_streams(server, map, streams, *count),
        SeveralOp::PopFirst { .. } | SeveralOp::PopFirstSorted { .. } => {
            let popped = super::blocking::pop_now(blocking_server, map, op, traits)
                .ok_or(CommandError::CROSS_SLOT)?;
            Box::pin(async move { popped.await.map_err(CommandError::from) })
        }
        _ => return Err(CommandError::CROSS_SLOT),
    })
}

/// How to report an operation that was executed in part.
#[derive(Clone, Copy)]
pub(crate) struct PartialReport {
    /// What is counted, such as `keys`.
    pub(crate) things: &'static str,
    /// What was done to them, such as `were written`.
    pub(crate) done: &'static str,
    /// Whether the reply of a part says that it changed data.
    pub(crate) changes: fn(&Reply) -> bool,
}

/// Reading changes nothing.
const KEYS_FOUND: PartialReport =
    PartialReport { things: "keys", done: "were found", changes: |_| false };
const KEYS_WRITTEN: PartialReport =
    PartialReport { things: "keys", done: "were written", changes: |_| true };
const KEYS_REMOVED: PartialReport =
    PartialReport { things: "keys", done: "were removed or did not exist", changes: is_above_zero };

/// Whether a reply is not the integer 0.
pub(crate) fn is_above_zero(reply: &Reply) -> bool {
    !matches!(reply, Reply::Integer(0))
}

/// Merges the replies of all parts, each with the number of things that it covers.
///
/// # Errors
/// The first error if certainly nothing was changed; `INDETERMINATE`, with how much was done, if
/// something was changed or may have been.
pub(crate) fn merge_replies(
    parts: Vec<(usize, Result<Reply, OpError>)>,
    report: PartialReport,
) -> Result<Vec<Reply>, CommandError> {
    let (mut all, mut done, mut unknown) = (0, 0, 0);
    let (mut changed, mut first_error) = (false, None);
    let mut replies = Vec::with_capacity(parts.len());
    for (count, reply) in parts {
        all += count;
        match reply {
            Ok(reply) => {
                done += count;
                changed |= (report.changes)(&reply);
                replies.push(reply);
            }
            Err(OpError::Indeterminate) => unknown += count,
            Err(error) => _ = first_error.get_or_insert(error),
        }
    }
    let PartialReport { things, done: done_text, .. } = report;
    match first_error {
        None if unknown == 0 => Ok(replies),
        Some(error) if !changed && unknown == 0 => Err(error.into()),
        None if done == 0 => Err(OpError::Indeterminate.into()),
        first_error => {
            let mut message = format!("INDETERMINATE {done} of {all} {things} {done_text}");
            if unknown > 0 {
                message.push_str(&format!(", {unknown} may have been"));
            }
            if let Some(error) = first_error {
                message.push_str(&format!(", the others were refused: {}", error_text(&error)));
            }
            Err(CommandError(message.into()))
        }
    }
}

/// The positions of keys in a request, by partition.
fn by_partition<'a>(
    grid: &Grid,
    keys: impl Iterator<Item = &'a [u8]>,
) -> BTreeMap<u16, Vec<usize>> {
    let mut positions: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (position, key) in keys.enumerate() {
        positions.entry(grid.partition_of(key)).or_default().push(position);
    }
    positions
}

/// The replies of operations that change nothing, or the first error.
fn read(replies: Vec<Result<Reply, OpError>>) -> Result<Vec<Reply>, CommandError> {
    Ok(replies.into_iter().collect::<Result<_, _>>()?)
}

/// The replies of partitions, each with its number of keys.
fn counted(
    parts: &BTreeMap<u16, Vec<usize>>,
    replies: Vec<Result<Reply, OpError>>,
) -> Vec<(usize, Result<Reply, OpError>)> {
    parts.values().map(Vec::len).zip(replies).collect()
}

fn get(server: Parts<'_>, map: &Arc<Map>, keys: &[&[u8]]) -> PendingReply {
    let parts = by_partition(server.grid(), keys.iter().copied());
    let (mut pending, mut bytes): (Vec<PartitionReply>, _) = (Vec::with_capacity(parts.len()), 0);
    for (partition, positions) in &parts {
        let keys = positions.iter().map(|position| keys[*position]).collect();
        let op = Op::Several(SeveralOp::Get(keys));
        pending.push(match server.grid().start(map, *partition, &with_traits(op, server.traits)) {
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
        let replies = read(join_all(pending).await)?;
        if replies.iter().map(bytes_of).sum::<usize>() > ANSWER_BYTES_MAX {
            return Err(OpError::AnswerTooLong.into());
        }
        for (positions, reply) in parts.into_values().zip(replies) {
            let Reply::List(found) = reply else { return Ok(reply) };
            for (position, value) in positions.into_iter().zip(found) {
                values[position] = value;
            }
        }
        Ok(Reply::List(values))
    })
}

/// Starts an operation in each partition, on what is at its positions in the request.
fn submit_parts<'k, T: Copy>(
    (server, map): (Parts<'_>, &Arc<Map>),
    parts: &BTreeMap<u16, Vec<usize>>,
    items: &[T],
    op: impl Fn(Vec<T>) -> SeveralOp<'k>,
) -> Vec<PartitionReply> {
    parts
        .iter()
        .map(|(partition, positions)| {
            let part = positions.iter().map(|position| items[*position]).collect();
            server.submit(map, *partition, Op::Several(op(part)))
        })
        .collect()
}

fn put(server: Parts<'_>, map: &Arc<Map>, pairs: &[(&[u8], &[u8])]) -> PendingReply {
    let parts = by_partition(server.grid(), pairs.iter().map(|(key, _)| *key));
    let op = |pairs| SeveralOp::Put { pairs, absent: false };
    let pending = submit_parts((server, map), &parts, pairs, op);
    Box::pin(async move {
        merge_replies(counted(&parts, join_all(pending).await), KEYS_WRITTEN)?;
        Ok(Reply::Done)
    })
}

fn sum<'k>(
    (server, map): (Parts<'_>, &Arc<Map>),
    keys: &[&'k [u8]],
    op: fn(Vec<&'k [u8]>) -> SeveralOp<'k>,
    report: PartialReport,
) -> PendingReply {
    let parts = by_partition(server.grid(), keys.iter().copied());
    let pending = submit_parts((server, map), &parts, keys, op);
    Box::pin(async move {
        let replies = merge_replies(counted(&parts, join_all(pending).await), report)?;
        Ok(Reply::Integer(sum_of(&replies)))
    })
}

fn count_union(server: Parts<'_>, map: &Arc<Map>, keys: &[&[u8]]) -> PendingReply {
    let parts = by_partition(server.grid(), keys.iter().copied());
    let pending = submit_parts((server, map), &parts, keys, SeveralOp::Union);
    Box::pin(async move {
        let replies = read(join_all(pending).await)?;
        Ok(Union::join(parts.into_values().zip(replies))?.count())
    })
}

fn lcs(server: Parts<'_>, map: &Arc<Map>, keys: [&[u8]; 2], answer: LcsAnswer) -> PendingReply {
    let get = |key| Op::Key(key, KeyOp::Plain(PlainOp::Get));
    let pending = submit_each(server, map, &keys, get);
    Box::pin(async move {
        let replies: Result<Vec<Reply>, OpError> = join_all(pending).await.into_iter().collect();
        let values = replies.map_err(|error| match error {
            OpError::WrongType => OpError::NotStrings,
            error => error,
        })?;
        let value = |at: usize| match values.get(at) {
            Some(Reply::Bytes(bytes)) => &bytes[..],
            _ => &[],
        };
        Ok(common_subsequence(value(0), value(1), answer)?)
    })
}

/// Starts an operation on each key.
fn submit_each<'k>(
    server: Parts<'_>,
    map: &Arc<Map>,
    keys: &[&'k [u8]],
    op: impl Fn(&'k [u8]) -> Op<'k>,
) -> Vec<PartitionReply> {
    keys.iter().map(|key| server.submit(map, server.grid().partition_of(key), op(key))).collect()
}

/// Reads the members of each set.
fn members(server: Parts<'_>, map: &Arc<Map>, keys: &[&[u8]]) -> Vec<PartitionReply> {
    submit_each(server, map, keys, |key| Op::Key(key, KeyOp::Set(SetOp::All)))
}

/// Reads the members of each sorted set, or set, with their scores.
fn scored(server: Parts<'_>, map: &Arc<Map>, keys: &[&[u8]]) -> Vec<PartitionReply> {
    submit_each(server, map, keys, |key| {
        Op::Several(SeveralOp::CombineSorted {
            how: Combine::Union,
            keys: vec![Weighted { key, weight: 1.0 }],
            aggregate: Aggregate::Sum,
            scores: true,
            store: None,
        })
    })
}

fn combine_sets(server: Parts<'_>, map: &Arc<Map>, how: Combine, keys: &[&[u8]]) -> PendingReply {
    let pending = members(server, map, keys);
    Box::pin(async move {
        let replies = read(join_all(pending).await)?;
        let sets = replies.into_iter().map(plain_members).collect();
        let all = combine(how, sets).iter().map(|member| Reply::bytes(member)).collect();
        Ok(Reply::Set(all))
    })
}

fn combine_sorted_sets(
    server: Parts<'_>,
    map: &Arc<Map>,
    how: Combine,
    keys: &[Weighted<'_>],
    aggregate: Aggregate,
    scores: bool,
) -> PendingReply {
    let weights: Vec<f64> = keys.iter().map(|key| key.weight).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.key).collect();
    let pending = scored(server, map, &keys);
    Box::pin(async move {
        let replies = read(join_all(pending).await)?;
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

fn count(
    server: Parts<'_>,
    map: &Arc<Map>,
    keys: &[&[u8]],
    sorted: bool,
    limit: u64,
) -> PendingReply {
    let pending = if sorted { scored(server, map, keys) } else { members(server, map, keys) };
    Box::pin(async move {
        let replies = read(join_all(pending).await)?;
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
        let max =
            if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        Ok(Reply::count(common.len().min(max)))
    })
}

/// Reads each stream; returns the entries of those that have any.
fn read_streams(
    server: Parts<'_>,
    map: &Arc<Map>,
    streams: &[StreamRead<'_>],
    count: u64,
) -> PendingReply {
    let submit = |read: &StreamRead<'_>| {
        let op = Op::Several(SeveralOp::ReadStreams { streams: vec![*read], count });
        server.submit(map, server.grid().partition_of(read.key), op)
    };
    let pending: Vec<PartitionReply> = streams.iter().map(submit).collect();
    Box::pin(async move {
        let replies = read(join_all(pending).await)?;
        if replies.iter().map(bytes_of).sum::<usize>() > ANSWER_BYTES_MAX {
            return Err(OpError::AnswerTooLong.into());
        }
        let entries = |reply| if let Reply::ByKey(entries) = reply { entries } else { Vec::new() };
        let found: Vec<_> = replies.into_iter().flat_map(entries).collect();
        Ok(if found.is_empty() { Reply::NilList } else { Reply::ByKey(found) })
    })
}

#[cfg(test)]
mod tests {
    use convoke_grid::MapCatalog;
    use convoke_grid::map::{Eviction, MapSettings};

    use super::super::super::answer::Answer;
    use super::*;
    use crate::testing::{call, client_of, server_on, single_member_grid_with};
    use crate::trust::{Passwords, Trust};

    fn text(parts: Vec<(usize, Result<Reply, OpError>)>, report: PartialReport) -> String {
        merge_replies(parts, report).unwrap_err().0.into_owned()
    }

    #[test]
    fn an_error_other_than_indeterminate_means_that_nothing_was_done() {
        let refused = || (3, Err(OpError::Full));
        assert!(text(vec![refused(), refused()], KEYS_WRITTEN).starts_with("OOM "));
        // Nothing was removed.
        let none = (2, Ok(Reply::Integer(0)));
        assert!(text(vec![none, refused()], KEYS_REMOVED).starts_with("OOM "));
        let found = (2, Ok(Reply::Integer(2)));
        assert!(text(vec![found, refused()], KEYS_FOUND).starts_with("OOM "));
    }

    #[test]
    fn partial_execution_is_indeterminate_and_reports_counts() {
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
        let message = text(vec![refused, unknown.clone()], KEYS_WRITTEN);
        assert!(message.starts_with("INDETERMINATE 0 of 5 keys were written, 2 may have been, the others were refused: OOM "), "{message}");
        assert_eq!(text(vec![unknown], KEYS_WRITTEN), error_text(&OpError::Indeterminate));
    }

    #[tokio::test]
    async fn mset_beyond_the_memory_limit_reports_how_many_keys_were_written() {
        const KEYS: usize = 2_000;
        let defaults = MapSettings {
            memory_bytes_max: Some(1 << 20),
            eviction: Eviction::None,
            ..MapSettings::default()
        };
        let grid = single_member_grid_with(MapCatalog { defaults, ..MapCatalog::default() });
        let server = server_on(grid, Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        // Partitions execute one after the other, and fail once the map is full.
        let value = vec![b'v'; 700];
        let keys: Vec<String> = (0..KEYS).map(|number| format!("key:{number}")).collect();
        let mut args: Vec<&[u8]> = vec![b"mset"];
        args.extend(keys.iter().flat_map(|key| [key.as_bytes(), &value[..]]));
        let Answer::Error(text) = call(&mut client, &args).await else { panic!("MSET succeeded") };
        let Answer::Reply(Reply::Integer(size)) = call(&mut client, &[b"dbsize"]).await else {
            panic!("no size");
        };
        assert!((1..KEYS as i64).contains(&size), "{size}");
        let begin = format!(
            "INDETERMINATE {size} of {KEYS} keys were written, the others were refused: OOM "
        );
        assert!(text.starts_with(&begin), "{text}");
        let Answer::Error(text) = call(&mut client, &args).await else { panic!("MSET succeeded") };
        assert!(text.starts_with("OOM "), "the map is full already, so nothing is written: {text}");
    }

    #[tokio::test]
    async fn an_oversized_key_prevents_the_whole_mset() {
        let server =
            server_on(single_member_grid_with(MapCatalog::default()), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let long = vec![b'k'; KEY_BYTES_MAX + 1];
        let args: [&[u8]; 7] = [b"mset", b"a", b"1", b"b", b"1", &long, b"1"];
        let Answer::Error(text) = call(&mut client, &args).await else { panic!("MSET succeeded") };
        assert!(text.starts_with("ERR the key is longer"), "{text}");
        assert_eq!(call(&mut client, &[b"dbsize"]).await, Answer::integer(0));
    }
}
