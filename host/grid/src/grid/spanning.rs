//! Operations on keys of several partitions, split into parts that each concern one partition.
//!
//! A part that fails has changed nothing, so parts that may fail are executed first. If a part
//! fails after another one has changed something, the whole transaction is aborted.

mod sorting;
mod values;

use std::collections::BTreeMap;

use super::attempt::{AttemptError, Transaction};
use crate::op::{
    Aggregate, Combine, End, GenericOp, HyperLogLogOp, KeyOp, ListOp, MapOp, NearAnswer, Op, SetOp,
    SeveralOp, SortedSetOp, Span, StreamOp, StreamRead, TransferOp, WatchedKey, Weighted, WholeOp,
    combine, combine_sorted, members_reply, plain_members, scored_members,
};
use crate::{OpError, Reply, Score};

/// Executes the operations of a transaction. Other clients see their effects after it commits.
pub(super) async fn execute(
    transaction: &mut Transaction,
    watched: &[WatchedKey<'_>],
    ops: &[MapOp<'_>],
    batch: bool,
) -> Result<Reply, AttemptError> {
    if let [op] = ops
        && matches!(op.op, Op::Whole(WholeOp::Exchange(_)))
    {
        return exchange(transaction, op).await;
    }
    let partitions: Vec<Option<u16>> = ops.iter().map(|op| one_of(transaction, &op.op)).collect();
    let is_spanning = partitions.iter().any(Option::is_none);
    let mut parts: BTreeMap<u16, PartitionBatch<'_>> = BTreeMap::new();
    // The home partition is always included: it is locked first and stores the decision.
    parts.entry(transaction.home()).or_default();
    for watched in watched {
        let partition = transaction.partition_of(watched.key);
        parts.entry(partition).or_default().watched.push(watched.clone());
    }
    if is_spanning {
        // The home partition's keys are locked first and all at once: only for its first locks may a
        // transaction wait for any other one.
        let keys = ops.iter().flat_map(|op| {
            let other = op.op.other_map().map(|map| (map, op.op.keys()));
            [(op.map, op.op.keys())].into_iter().chain(other)
        });
        for (map, keys) in keys {
            let keys =
                keys.into_iter().filter(|key| transaction.partition_of(key) == transaction.home());
            let keys: Vec<&[u8]> = keys.collect();
            if !keys.is_empty() {
                let op = Op::Several(SeveralOp::Exist(keys));
                parts.entry(transaction.home()).or_default().ops.push(MapOp { map, op });
            }
        }
    } else {
        for (at, (op, partition)) in ops.iter().zip(&partitions).enumerate() {
            let part = parts.entry(partition.unwrap_or_default()).or_default();
            part.ops.push(op.clone());
            part.places.push(at);
        }
    }
    let mut replies = vec![Reply::Nil; ops.len()];
    let home = parts.remove(&transaction.home()).unwrap_or_default();
    let begun = transaction.begin(transaction.home(), home.watched, home.ops).await?;
    for (at, reply) in home.places.into_iter().zip(transaction.end(begun)) {
        replies[at] = reply;
    }
    let mut places = Vec::with_capacity(parts.len());
    let mut begun = Vec::with_capacity(parts.len());
    for (partition, part) in parts {
        places.push(part.places);
        begun.push(transaction.begin(partition, part.watched, part.ops));
    }
    for (places, found) in places.into_iter().zip(transaction.end_all(begun).await?) {
        for (at, reply) in places.into_iter().zip(found) {
            replies[at] = reply;
        }
    }
    if is_spanning {
        for (at, (op, partition)) in ops.iter().zip(partitions).enumerate() {
            let done = match partition {
                Some(partition) => part(transaction, partition, op.map, op.op.clone()).await,
                None => spanning(transaction, op).await,
            };
            replies[at] = match done {
                Ok(reply) => reply,
                Err(Failure::Refused(error)) => Reply::Failed(error),
                Err(Failure::Abort(stop)) => return Err(stop),
            };
        }
    }
    if batch {
        return Ok(Reply::List(replies));
    }
    match replies.pop() {
        Some(Reply::Failed(error)) => Err(error.into()),
        Some(reply) => Ok(reply),
        None => Err(OpError::Malformed.into()),
    }
}

/// Exchanges all keys of two maps, in all partitions.
async fn exchange(transaction: &mut Transaction, op: &MapOp<'_>) -> Result<Reply, AttemptError> {
    let home = transaction.home();
    // The home is locked first, while the transaction may wait for any.
    let mut replies = transaction.execute(home, vec![op.clone()]).await?;
    let others = (0..transaction.partitions()).filter(|number| *number != home);
    let begun = others.map(|number| transaction.begin(number, Vec::new(), vec![op.clone()]));
    let begun = begun.collect();
    replies.extend(transaction.end_all(begun).await?.into_iter().flatten());
    for reply in replies {
        if let Reply::Failed(error) = reply {
            return Err(error.into());
        }
    }
    Ok(Reply::Done)
}

/// The operations of a transaction in one partition.
#[derive(Default)]
struct PartitionBatch<'a> {
    watched: Vec<WatchedKey<'a>>,
    ops: Vec<MapOp<'a>>,
    /// The positions of the replies.
    places: Vec<usize>,
}

/// The reason why an operation has no reply.
enum Failure {
    /// It changed nothing; other operations may continue.
    Refused(OpError),
    /// The whole transaction is aborted.
    Abort(AttemptError),
}

impl From<OpError> for Failure {
    fn from(error: OpError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The failure of an operation after it has changed something: it aborts the transaction.
    fn after_changes(self) -> Self {
        match self {
            Self::Refused(error) => Self::Abort(AttemptError::Failed(error)),
            stop => stop,
        }
    }
}

/// The partition of an operation whose keys are all in one partition and one map, and that uses
/// nothing else; `None` for other operations.
fn one_of(transaction: &Transaction, op: &Op<'_>) -> Option<u16> {
    if op.has_unnamed_keys() || op.other_map().is_some() {
        return None;
    }
    let mut partitions = op.keys().into_iter().map(|key| transaction.partition_of(key));
    let first = partitions.next()?;
    partitions.all(|other| other == first).then_some(first)
}

/// Executes a part in one partition.
async fn part(
    transaction: &mut Transaction,
    partition: u16,
    map: &str,
    op: Op<'_>,
) -> Result<Reply, Failure> {
    let ops = vec![MapOp { map, op }];
    let replies = transaction.execute(partition, ops).await.map_err(Failure::Abort)?;
    match replies.into_iter().next() {
        Some(Reply::Failed(error)) => Err(Failure::Refused(error)),
        Some(reply) => Ok(reply),
        None => Err(Failure::Refused(OpError::Malformed)),
    }
}

/// Executes a part that concerns one key.
async fn at_key(
    transaction: &mut Transaction,
    map: &str,
    key: &[u8],
    op: KeyOp<'_>,
) -> Result<Reply, Failure> {
    part(transaction, transaction.partition_of(key), map, Op::Key(key, op)).await
}

/// Executes a part that transfers a value to a key, or removes it from there.
async fn transfer(
    transaction: &mut Transaction,
    map: &str,
    key: &[u8],
    op: TransferOp<'_>,
) -> Result<Reply, Failure> {
    part(transaction, transaction.partition_of(key), map, Op::Transfer(key, op)).await
}

/// Executes one part concurrently in each partition that has any of these keys. Returns the
/// positions of the keys in each partition, and its reply.
async fn in_each<'a>(
    transaction: &mut Transaction,
    map: &str,
    keys: &[&'a [u8]],
    op: impl Fn(&[usize]) -> Op<'a>,
) -> Result<Vec<(Vec<usize>, Reply)>, Failure> {
    let mut places: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, key) in keys.iter().enumerate() {
        places.entry(transaction.partition_of(key)).or_default().push(at);
    }
    let mut begun = Vec::with_capacity(places.len());
    for (partition, places) in &places {
        let ops = vec![MapOp { map, op: op(places) }];
        begun.push(transaction.begin(*partition, Vec::new(), ops));
    }
    let replies = transaction.end_all(begun).await.map_err(Failure::Abort)?;
    let mut all = Vec::with_capacity(places.len());
    for (places, replies) in places.into_values().zip(replies) {
        match replies.into_iter().next() {
            Some(Reply::Failed(error)) => return Err(error.into()),
            Some(reply) => all.push((places, reply)),
            None => return Err(OpError::Malformed.into()),
        }
    }
    Ok(all)
}

/// The sum of a count in each partition.
async fn sum<'a>(
    transaction: &mut Transaction,
    map: &str,
    keys: &[&'a [u8]],
    op: fn(Vec<&'a [u8]>) -> SeveralOp<'a>,
) -> Result<i64, Failure> {
    let of = |places: &[usize]| Op::Several(op(places.iter().map(|at| keys[*at]).collect()));
    let all = in_each(transaction, map, keys, of).await?;
    let number = |reply| if let Reply::Integer(number) = reply { number } else { 0 };
    Ok(all.into_iter().map(|(_, reply)| number(reply)).sum())
}

/// The members of each set, in the order of the keys.
async fn sets(
    transaction: &mut Transaction,
    map: &str,
    keys: &[&[u8]],
) -> Result<Vec<Vec<Vec<u8>>>, Failure> {
    let replies = of_keys(transaction, map, keys, |key| Op::Key(key, KeyOp::Set(SetOp::All)));
    Ok(replies.await?.into_iter().map(plain_members).collect())
}

/// The members of each sorted set or set with their scores, in the order of the keys.
async fn sorted_sets(
    transaction: &mut Transaction,
    map: &str,
    keys: &[&[u8]],
) -> Result<Vec<Vec<(Score, Vec<u8>)>>, Failure> {
    let read = |key| {
        Op::Several(SeveralOp::CombineSorted {
            how: Combine::Union,
            keys: vec![Weighted { key, weight: 1.0 }],
            aggregate: Aggregate::Sum,
            scores: true,
            store: None,
        })
    };
    let replies = of_keys(transaction, map, keys, read).await?;
    Ok(replies.into_iter().map(scored_members).collect())
}

/// The reply for each key, in their order; all partitions are queried concurrently.
async fn of_keys<'a>(
    transaction: &mut Transaction,
    map: &str,
    keys: &[&'a [u8]],
    op: impl Fn(&'a [u8]) -> Op<'a>,
) -> Result<Vec<Reply>, Failure> {
    let mut places: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, key) in keys.iter().enumerate() {
        places.entry(transaction.partition_of(key)).or_default().push(at);
    }
    let mut begun = Vec::with_capacity(places.len());
    for (partition, places) in &places {
        let ops = places.iter().map(|at| MapOp { map, op: op(keys[*at]) }).collect();
        begun.push(transaction.begin(*partition, Vec::new(), ops));
    }
    let found = transaction.end_all(begun).await.map_err(Failure::Abort)?;
    let mut replies = vec![Reply::Nil; keys.len()];
    for (places, found) in places.into_values().zip(found) {
        for (at, reply) in places.into_iter().zip(found) {
            replies[at] = reply;
        }
    }
    // Reports the first failure in the order of the keys, as Redis does.
    for reply in &replies {
        if let Reply::Failed(error) = reply {
            return Err(error.clone().into());
        }
    }
    Ok(replies)
}

/// Reads each stream in its partition. Returns the entries of those that have any.
async fn read_each<'a>(
    transaction: &mut Transaction,
    map: &str,
    streams: &[StreamRead<'a>],
    op: impl Fn(Vec<StreamRead<'a>>) -> SeveralOp<'a>,
) -> Result<Reply, Failure> {
    let mut found = Vec::new();
    for read in streams {
        let partition = transaction.partition_of(read.key);
        let op = Op::Several(op(vec![*read]));
        if let Reply::ByKey(entries) = part(transaction, partition, map, op).await? {
            found.extend(entries);
        }
    }
    Ok(if found.is_empty() { Reply::NilList } else { Reply::ByKey(found) })
}

/// Executes one operation whose keys lie in several partitions.
async fn spanning(transaction: &mut Transaction, op: &MapOp<'_>) -> Result<Reply, Failure> {
    let map = op.map;
    let (op, client) = op.op.without_client();
    if let Some(client) = client {
        transaction.set_client(client);
    }
    let Op::Several(op) = op else { return Err(OpError::Malformed.into()) };
    match op {
        SeveralOp::Rename { from, to, absent } => {
            let reply = |done| if *absent { Reply::flag(done) } else { Reply::Done };
            let value = transfer(transaction, map, from, TransferOp::Extract).await?;
            let Reply::Bytes(value) = value else { return Err(OpError::NoSuchKey.into()) };
            let event = "rename_to";
            let install = TransferOp::Install { value: &value, absent: *absent, event };
            let done = transfer(transaction, map, to, install).await?;
            if done != Reply::flag(true) {
                return Ok(reply(false));
            }
            let moved = TransferOp::Moved { event: "rename_from" };
            let removed = transfer(transaction, map, from, moved).await;
            removed.map_err(Failure::after_changes)?;
            Ok(reply(true))
        }
        SeveralOp::Copy { from, to, replace } => {
            let value = transfer(transaction, map, from, TransferOp::Extract).await?;
            let Reply::Bytes(value) = value else { return Ok(Reply::flag(false)) };
            let event = "copy_to";
            let install = TransferOp::Install { value: &value, absent: !replace, event };
            transfer(transaction, map, to, install).await
        }
        SeveralOp::Across { from, to, map: other, replace, moves } => {
            if *other == map && from == to {
                return Err(OpError::SameKey.into());
            }
            let value = transfer(transaction, map, from, TransferOp::Extract).await?;
            let Reply::Bytes(value) = value else { return Ok(Reply::flag(false)) };
            let event = if *moves { "move_to" } else { "copy_to" };
            let install = TransferOp::Install { value: &value, absent: !replace, event };
            let done = transfer(transaction, other, to, install).await?;
            if *moves && done == Reply::flag(true) {
                let moved = TransferOp::Moved { event: "move_from" };
                let removed = transfer(transaction, map, from, moved).await;
                removed.map_err(Failure::after_changes)?;
            }
            Ok(done)
        }
        SeveralOp::MoveMember { from, to, member } => {
            let contains = || KeyOp::Set(SetOp::Contains(member));
            let exists = at_key(transaction, map, from, KeyOp::Generic(GenericOp::Exists)).await?;
            if exists == Reply::flag(false) {
                return Ok(Reply::flag(false));
            }
            if at_key(transaction, map, from, contains()).await? == Reply::flag(false) {
                // A key of another type is nevertheless an error.
                at_key(transaction, map, to, contains()).await?;
                return Ok(Reply::flag(false));
            }
            at_key(transaction, map, to, KeyOp::Set(SetOp::Add(vec![member]))).await?;
            let remove = KeyOp::Set(SetOp::Remove(vec![member]));
            at_key(transaction, map, from, remove).await.map_err(Failure::after_changes)?;
            Ok(Reply::flag(true))
        }
        SeveralOp::MoveElement { from, from_end, to, to_end } => {
            let index = if *from_end == End::Front { 0 } else { -1 };
            let element = at_key(transaction, map, from, KeyOp::List(ListOp::Get(index))).await?;
            let Reply::Bytes(element) = element else { return Ok(Reply::Nil) };
            let (end, elements) = (*to_end, vec![&*element]);
            let push = KeyOp::List(ListOp::Push { end, elements, present: false });
            at_key(transaction, map, to, push).await?;
            let pop = KeyOp::List(ListOp::Pop(*from_end));
            at_key(transaction, map, from, pop).await.map_err(Failure::after_changes)?;
            Ok(Reply::Bytes(element))
        }
        SeveralOp::Get(keys) => {
            let get = |places: &[usize]| {
                Op::Several(SeveralOp::Get(places.iter().map(|at| keys[*at]).collect()))
            };
            let mut values = vec![Reply::Nil; keys.len()];
            for (places, reply) in in_each(transaction, map, keys, get).await? {
                let Reply::List(found) = reply else { continue };
                for (at, value) in places.into_iter().zip(found) {
                    values[at] = value;
                }
            }
            Ok(Reply::List(values))
        }
        SeveralOp::Put { pairs, absent } => {
            let keys: Vec<&[u8]> = pairs.iter().map(|(key, _)| *key).collect();
            if *absent && sum(transaction, map, &keys, SeveralOp::Exist).await? > 0 {
                return Ok(Reply::flag(false));
            }
            let put = |places: &[usize]| {
                let pairs = places.iter().map(|at| pairs[*at]).collect();
                Op::Several(SeveralOp::Put { pairs, absent: false })
            };
            in_each(transaction, map, &keys, put).await.map_err(Failure::after_changes)?;
            Ok(if *absent { Reply::flag(true) } else { Reply::Done })
        }
        SeveralOp::Exist(keys) => {
            Ok(Reply::Integer(sum(transaction, map, keys, SeveralOp::Exist).await?))
        }
        SeveralOp::Touch(keys) => {
            Ok(Reply::Integer(sum(transaction, map, keys, SeveralOp::Touch).await?))
        }
        SeveralOp::Remove(keys) => {
            let removed = sum(transaction, map, keys, SeveralOp::Remove).await;
            Ok(Reply::Integer(removed.map_err(Failure::after_changes)?))
        }
        SeveralOp::CombineSets { how, keys, store } => {
            let members = combine(*how, sets(transaction, map, keys).await?);
            let Some(store) = store else {
                let members = members.into_iter().map(|member| Reply::Bytes(member.into()));
                return Ok(Reply::Set(members.collect()));
            };
            let members = members.iter().map(|member| &**member).collect();
            let store_set = TransferOp::StoreSet { members, event: how.set_event() };
            transfer(transaction, map, store, store_set).await
        }
        SeveralOp::CombineSorted { how, keys, aggregate, scores, store } => {
            let names: Vec<&[u8]> = keys.iter().map(|weighted| weighted.key).collect();
            let sets = sorted_sets(transaction, map, &names).await?;
            let weights = keys.iter().map(|weighted| weighted.weight);
            let members = combine_sorted(*how, weights.zip(sets).collect(), *aggregate);
            let members: Vec<_> = members.iter().map(|(score, name)| (*score, &**name)).collect();
            let Some(store) = store else { return Ok(members_reply(members, *scores)) };
            let event = how.sorted_set_event();
            let store_sorted = TransferOp::StoreSorted { members, event };
            transfer(transaction, map, store, store_sorted).await
        }
        SeveralOp::CountCommon { keys, sorted, limit } => {
            let names =
                |set: Vec<(Score, Vec<u8>)>| set.into_iter().map(|(_, name)| name).collect();
            let sets = if *sorted {
                sorted_sets(transaction, map, keys).await?.into_iter().map(names).collect()
            } else {
                sets(transaction, map, keys).await?
            };
            let count = combine(Combine::Intersection, sets).len() as u64;
            let count = if *limit == 0 { count } else { count.min(*limit) };
            Ok(Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
        }
        SeveralOp::StoreRange { from, to, span } => {
            let range = SortedSetOp::Range(Span { scores: true, ..*span });
            let members = at_key(transaction, map, from, KeyOp::SortedSet(range)).await?;
            let members = scored_members(members);
            let members = members.iter().map(|(score, name)| (*score, &**name)).collect();
            let store_sorted = TransferOp::StoreSorted { members, event: "zrangestore" };
            transfer(transaction, map, to, store_sorted).await
        }
        SeveralOp::StoreNear { from, to, near, distance, event } => {
            let answer = NearAnswer::Scored { distance: *distance };
            let search = KeyOp::SortedSet(SortedSetOp::Near { near: *near, answer });
            let members = scored_members(at_key(transaction, map, from, search).await?);
            let members = members.iter().map(|(score, name)| (*score, &**name)).collect();
            let store_sorted = TransferOp::StoreSorted { members, event };
            transfer(transaction, map, to, store_sorted).await
        }
        SeveralOp::PopFirst { keys, end, count } => {
            for key in keys {
                let op = SeveralOp::PopFirst { keys: vec![key], end: *end, count: *count };
                let partition = transaction.partition_of(key);
                let reply = part(transaction, partition, map, Op::Several(op)).await?;
                if reply != Reply::NilList {
                    return Ok(reply);
                }
            }
            Ok(Reply::NilList)
        }
        SeveralOp::PopFirstSorted { keys, greatest, count } => {
            for key in keys {
                let (greatest, count) = (*greatest, *count);
                let op = SeveralOp::PopFirstSorted { keys: vec![key], greatest, count };
                let partition = transaction.partition_of(key);
                let reply = part(transaction, partition, map, Op::Several(op)).await?;
                if reply != Reply::NilList {
                    return Ok(reply);
                }
            }
            Ok(Reply::NilList)
        }
        SeveralOp::First(keys) => {
            let exists = |key| Op::Key(key, KeyOp::Generic(GenericOp::Exists));
            let found = of_keys(transaction, map, keys, exists).await?;
            let first = found.iter().position(|reply| *reply == Reply::flag(true));
            Ok(Reply::optional(first.map(|at| keys[at])))
        }
        SeveralOp::CombineBits { how, keys, store } => {
            values::combine_bits(transaction, map, *how, keys, store).await
        }
        SeveralOp::PutAll { pairs, lifetime, exist } => {
            values::put_all(transaction, map, pairs, *lifetime, *exist).await
        }
        SeveralOp::CountUnion(keys) => Ok(values::union(transaction, map, keys).await?.count()),
        SeveralOp::Union(keys) => {
            Ok(Reply::Bytes(values::union(transaction, map, keys).await?.encode().into()))
        }
        SeveralOp::MergeUnion { to, .. } => {
            let union = values::union(transaction, map, &op.keys()).await?.encode();
            let merge = KeyOp::HyperLogLog(HyperLogLogOp::Merge(&union));
            at_key(transaction, map, to, merge).await
        }
        SeveralOp::Lcs { first, second, answer } => {
            values::lcs(transaction, map, [first, second], *answer).await
        }
        SeveralOp::Sort { key, sort, store } => {
            sorting::sort(transaction, map, key, sort, *store).await
        }
        SeveralOp::ReadStreams { streams, count } => {
            let keys: Vec<&[u8]> = streams.iter().map(|read| read.key).collect();
            // As in Redis, a key of another type makes the whole operation fail.
            let check = |key| Op::Key(key, KeyOp::Stream(StreamOp::Length));
            of_keys(transaction, map, &keys, check).await?;
            let read = |streams| SeveralOp::ReadStreams { streams, count: *count };
            read_each(transaction, map, streams, read).await
        }
        SeveralOp::ReadGroup { group, consumer, streams, count, acknowledged } => {
            let keys: Vec<&[u8]> = streams.iter().map(|read| read.key).collect();
            // A missing group makes the whole operation fail.
            let check = |key| Op::Key(key, KeyOp::Stream(StreamOp::CheckGroup(group)));
            of_keys(transaction, map, &keys, check).await?;
            let (count, acknowledged) = (*count, *acknowledged);
            let read =
                |streams| SeveralOp::ReadGroup { group, consumer, streams, count, acknowledged };
            let replies = read_each(transaction, map, streams, read).await;
            replies.map_err(Failure::after_changes)
        }
        SeveralOp::GroupReady { group, keys } => {
            let ready = |keys| Op::Several(SeveralOp::GroupReady { group, keys });
            let found = of_keys(transaction, map, keys, |key| ready(vec![key])).await?;
            let is_ready = found.contains(&Reply::flag(true));
            Ok(if is_ready { Reply::flag(true) } else { Reply::Nil })
        }
    }
}
