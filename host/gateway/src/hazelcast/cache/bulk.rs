//! Requests on several keys, or on all keys of a cache.
//!
//! Entries that change meanwhile may be in the result or not, as in Hazelcast.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use convoke_grid::op::{CacheAction, Op, SeveralOp, WholeOp, cache_value};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::cache::{self, Request};
use convoke_hazelcast::codec::{List, Packed};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;
use futures_util::future::join_all;

use super::super::errors::Failure;
use super::super::keys::client_key;
use super::super::server::Server;
use super::super::settings::{INVOCATION_MS_MAX, RESULT_BYTES_MAX};
use super::super::whole::scan;
use super::CONCURRENT_MAX;
use super::entry;
use super::settings::{Cache, requested};
use super::tasks::Task;

/// Number of keys that one step of an iteration visits, at most.
const SCAN_KEYS: usize = 512;
/// Number of keys that one operation removes, so that others are served in between.
const REMOVED_KEYS: u32 = 512;
/// The pointer of an iteration that begins.
const START: (i32, i32) = (i32::MAX, -1);
/// The pointer at the end of an iteration. Clients compare its index only.
const END: (i32, i32) = (-1, 0);

/// Whether a request is one of these.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::GetAll(_)
            | Request::PutAll(_)
            | Request::RemoveAllKeys(_)
            | Request::RemoveAll(_)
            | Request::Clear(_)
            | Request::Size(_)
            | Request::SetExpiryPolicy(_)
            | Request::Iterate(_)
            | Request::IterateEntries(_)
    )
}

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::GetAll(r) => {
            let entries = get_all(task, r).await?;
            let pairs = pairs(&entries);
            cache::GetAll::respond(&mut task.output, id, 0, List::from(&pairs[..]));
        }
        Request::PutAll(r) => {
            put_all(task, r).await?;
            cache::PutAll::respond(&mut task.output, id, 0);
        }
        Request::RemoveAllKeys(r) => {
            let cache = task.find(r.name).await?;
            on_keys(task, &cache, r.keys, CacheAction::Remove, &[]).await?;
            report_in_all(task, &cache, r.completion_id).await?;
            cache::RemoveAllKeys::respond(&mut task.output, id, 0);
        }
        Request::RemoveAll(r) => {
            let cache = task.find(r.name).await?;
            remove_all(task.server, &cache.map).await?;
            report_in_all(task, &cache, r.completion_id).await?;
            cache::RemoveAll::respond(&mut task.output, id, 0);
        }
        Request::Clear(r) => {
            let cache = task.find(r.name).await?;
            clear(task.server, &cache.map).await?;
            cache::Clear::respond(&mut task.output, id, 0);
        }
        Request::Size(r) => {
            let cache = task.find(r.name).await?;
            let lengths = in_all(task.server, &cache.map, WholeOp::Length).await?;
            let size: i64 =
                lengths.iter().map(|n| if let Reply::Integer(n) = n { *n } else { 0 }).sum();
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            cache::Size::respond(&mut task.output, id, 0, size);
        }
        Request::SetExpiryPolicy(r) => {
            let cache = task.find(r.name).await?;
            let action = CacheAction::SetPolicy(requested(r.expiry_policy)?);
            let replies = on_keys(task, &cache, r.keys, action, &[]).await?;
            let any = replies.iter().any(entry::flag);
            cache::SetExpiryPolicy::respond(&mut task.output, id, 0, any);
        }
        Request::Iterate(r) => {
            let cache = task.find(r.name).await?;
            let (entries, next) =
                iterate(task, &cache, r.batch, r.iteration_pointers, false).await?;
            let keys: Vec<Data<'_>> =
                entries.iter().filter_map(|(key, _)| Data::new(key)).collect();
            let keys = List::from(&keys[..]);
            cache::Iterate::respond(&mut task.output, id, 0, Packed::from(&[next]), keys);
        }
        Request::IterateEntries(r) => {
            let cache = task.find(r.name).await?;
            let (entries, next) =
                iterate(task, &cache, r.batch, r.iteration_pointers, true).await?;
            let pairs = pairs(&entries);
            let pairs = List::from(&pairs[..]);
            cache::IterateEntries::respond(&mut task.output, id, 0, Packed::from(&[next]), pairs);
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

/// An entry: the blob of its key, and its value, which is empty if only keys are wanted.
type Entry = (Vec<u8>, Bytes);

fn pairs(entries: &[Entry]) -> Vec<(Data<'_>, Data<'_>)> {
    entries.iter().filter_map(|(key, value)| Some((Data::new(key)?, Data::new(value)?))).collect()
}

/// The bytes of a result, which are limited.
#[derive(Default)]
struct Budget(usize);

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.0 = self.0.saturating_add(bytes);
        if self.0 > RESULT_BYTES_MAX { Err(Failure::result_too_large()) } else { Ok(()) }
    }
}

async fn get_all(task: &Task<'_>, request: &cache::GetAll<'_>) -> Result<Vec<Entry>, Failure> {
    let cache = task.find(request.name).await?;
    let policy = request.expiry_policy.map(requested).transpose()?;
    let keys: Vec<Data<'_>> = request.keys.iter().collect();
    let (mut entries, mut budget) = (Vec::new(), Budget::default());
    for part in keys.chunks(CONCURRENT_MAX) {
        let places = part.iter().map(|key| task.place(*key)).collect::<Result<Vec<_>, _>>()?;
        let gets = places
            .iter()
            .map(|(partition, key)| entry::get(task.server, &cache, (*partition, key), policy));
        for (key, reply) in part.iter().zip(join_all(gets).await) {
            if let Reply::Bytes(value) = reply? {
                budget.take(key.bytes().len() + value.len())?;
                entries.push((key.bytes().to_vec(), value));
            }
        }
    }
    Ok(entries)
}

async fn put_all(task: &Task<'_>, request: &cache::PutAll<'_>) -> Result<(), Failure> {
    let cache = task.find(request.name).await?;
    let policy = request.expiry_policy.map(requested).transpose()?;
    let entries: Vec<(Data<'_>, Data<'_>)> = request.entries.iter().collect();
    for part in entries.chunks(CONCURRENT_MAX) {
        let mut replies = Vec::with_capacity(part.len());
        for (key, value) in part {
            let (partition, key) = task.place(*key)?;
            let put = entry::op(&cache, CacheAction::Put(value.bytes()), policy, &[]);
            replies.push(task.server.submit_key(&cache.map, partition, &key, put));
        }
        for reply in join_all(replies).await {
            succeeded(reply?)?;
        }
    }
    // A request has the entries of one partition, and its completion is reported once.
    let tag = task.tag(request.completion_id, true);
    if let Some((key, _)) = entries.first().filter(|_| !tag.is_empty()) {
        let (partition, key) = task.place(*key)?;
        let report = entry::op(&cache, CacheAction::Nothing, None, &tag);
        task.server.submit_key(&cache.map, partition, &key, report).await?;
    }
    Ok(())
}

fn succeeded(reply: Reply) -> Result<Reply, OpError> {
    if let Reply::Failed(error) = reply { Err(error) } else { Ok(reply) }
}

/// Executes an action on several keys.
async fn on_keys(
    task: &Task<'_>,
    cache: &Cache,
    keys: List<'_, Data<'_>>,
    action: CacheAction<'_>,
    tag: &[u8],
) -> Result<Vec<Reply>, Failure> {
    let keys: Vec<Data<'_>> = keys.iter().collect();
    let mut done = Vec::with_capacity(keys.len());
    for part in keys.chunks(CONCURRENT_MAX) {
        let mut replies = Vec::with_capacity(part.len());
        for key in part {
            let (partition, key) = task.place(*key)?;
            let op = entry::op(cache, action, None, tag);
            replies.push(task.server.submit_key(&cache.map, partition, &key, op));
        }
        for reply in join_all(replies).await {
            done.push(succeeded(reply?)?);
        }
    }
    Ok(done)
}

/// Reports the completion of an operation in each partition, as often as clients expect, after what
/// was done there.
async fn report_in_all(task: &Task<'_>, cache: &Cache, completion_id: i32) -> Result<(), Failure> {
    let tag = task.tag(completion_id, false);
    if tag.is_empty() {
        return Ok(());
    }
    let tags = task.server.tags().ok_or(OpError::NoCluster)?;
    let partitions: Vec<u16> = (0..tags.partitions()).collect();
    for part in partitions.chunks(CONCURRENT_MAX) {
        let reports = part.iter().map(|partition| {
            let report = entry::op(cache, CacheAction::Nothing, None, &tag);
            let key = tags.any_key(*partition);
            task.server.submit_key(&cache.map, *partition, &key, report)
        });
        for reply in join_all(reports.collect::<Vec<_>>()).await {
            reply?;
        }
    }
    Ok(())
}

/// Executes an operation in all partitions of a map.
async fn in_all(server: &Server, map: &Arc<Map>, op: WholeOp<'_>) -> Result<Vec<Reply>, Failure> {
    let partitions = server.tags().ok_or(OpError::NoCluster)?.partitions();
    let op = Op::Whole(op);
    let started = (0..partitions).map(|partition| server.submit(map, partition, &op));
    let replies = join_all(started.collect::<Vec<_>>()).await;
    Ok(replies.into_iter().collect::<Result<_, OpError>>()?)
}

/// Removes all entries, without events for each.
pub(super) async fn clear(server: &Server, map: &Arc<Map>) -> Result<(), Failure> {
    in_all(server, map, WholeOp::Clear).await.map(drop)
}

/// Removes all entries, with events for each if there are listeners.
///
/// # Errors
/// Others add entries faster than they are removed, for as long as clients wait.
async fn remove_all(server: &Server, map: &Arc<Map>) -> Result<(), Failure> {
    let partitions = server.tags().ok_or(OpError::NoCluster)?.partitions();
    let op = Op::Whole(WholeOp::RemoveSome(REMOVED_KEYS));
    let mut left: Vec<u16> = (0..partitions).collect();
    let end = Instant::now() + Duration::from_millis(INVOCATION_MS_MAX);
    while !left.is_empty() {
        if Instant::now() >= end {
            let text = "not all entries were removed within the time of an invocation";
            return Err(Failure::new(ErrorCode::OperationTimeout, text));
        }
        let mut more = Vec::new();
        for part in left.chunks(CONCURRENT_MAX) {
            let started = part.iter().map(|partition| server.submit(map, *partition, &op));
            let replies = join_all(started.collect::<Vec<_>>()).await;
            for (partition, reply) in part.iter().zip(replies) {
                if entry::flag(&reply?) {
                    more.push(*partition);
                }
            }
        }
        left = more;
    }
    Ok(())
}

/// The position of an iteration: the hash at which it continues, in the order of which it visits
/// entries. So it does not depend on entries that are added or removed meanwhile.
fn cursor(pointers: Packed<'_, (i32, i32)>) -> u64 {
    match pointers.iter().last() {
        None | Some(START) => 0,
        Some((index, rest)) => {
            let (index, rest) = (index.cast_unsigned(), rest.cast_unsigned());
            u64::from(index) << 1 | u64::from(rest & 1)
        }
    }
}

/// The pointer to a position; to the end if it is 0.
fn pointer(cursor: u64) -> (i32, i32) {
    match u32::try_from(cursor) {
        Ok(0) | Err(_) => END,
        Ok(hash) => ((hash >> 1).cast_signed(), (hash & 1).cast_signed()),
    }
}

/// Visits entries of one partition, at least `batch` unless it ends before, since clients continue
/// with the next partition when they get fewer. Returns them, and where to continue.
async fn iterate(
    task: &Task<'_>,
    cache: &Cache,
    batch: i32,
    pointers: Packed<'_, (i32, i32)>,
    with_values: bool,
) -> Result<(Vec<Entry>, (i32, i32)), Failure> {
    let partitions = task.server.tags().ok_or(OpError::NoCluster)?.partitions();
    let partition = u16::try_from(task.partition_id).ok().filter(|number| *number < partitions);
    let partition = partition.ok_or(OpError::Malformed)?;
    let batch = usize::try_from(batch).unwrap_or(0).max(1);
    let (mut found, mut budget) = (Vec::new(), Budget::default());
    let mut cursor = cursor(pointers);
    loop {
        let at = (cursor, (batch - found.len()).min(SCAN_KEYS) as u64);
        let (keys, next) = scan(task.server, &cache.map, partition, at).await?;
        let entries = if with_values {
            with_value(task.server, &cache.map, partition, &keys).await?
        } else {
            let blobs = keys.iter().filter_map(|key| client_key(key));
            blobs.map(|key| (key, Bytes::new())).collect()
        };
        for entry in entries {
            budget.take(entry.0.len() + entry.1.len())?;
            found.push(entry);
        }
        cursor = next;
        if cursor == 0 || found.len() >= batch {
            return Ok((found, pointer(cursor)));
        }
    }
}

/// Entries of these stored keys.
async fn with_value(
    server: &Server,
    map: &Arc<Map>,
    partition: u16,
    keys: &[Bytes],
) -> Result<Vec<Entry>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let get = Op::Several(SeveralOp::Get(keys.iter().map(|key| &key[..]).collect()));
    let Reply::List(values) = server.submit(map, partition, &get).await? else {
        return Err(OpError::Malformed.into());
    };
    let entries = keys.iter().zip(values).filter_map(|(key, stored)| match stored {
        Reply::Bytes(stored) => {
            let (value, _) = cache_value(&stored)?;
            Some((client_key(key)?, stored.slice_ref(value)))
        }
        _ => None,
    });
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_holds_any_position() {
        for hash in [1, 2, 3, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff] {
            let next = pointer(hash);
            assert!(next.0 >= 0 && next != START, "{hash}");
            assert_eq!(cursor(Packed::from(&[next])), hash);
        }
        assert!(pointer(0).0 < 0);
        assert_eq!(cursor(Packed::from(&[START])), 0);
    }
}
