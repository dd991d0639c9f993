//! Requests on several keys of a replicated map, or on all.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{GenericOp, KeyOp, Op, PlainOp, PutAnswer, WholeOp};
use convoke_grid::{Map, OpError, Reply, Version};
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::replicated_map::{self, Request};
use convoke_hazelcast::codec::structures::ReplicatedMapEntryViewHolder;
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;
use futures_util::future::join_all;
use uuid::Uuid;

use super::super::cleared;
use super::super::errors::Failure;
use super::super::keys::{client_key, write_key};
use super::super::map::Task;
use super::super::whole::{self, Budget, CONCURRENT_MAX, Keys, SCAN_KEYS, on_keys};
use super::{open, put, value};

/// Number of entries that are read in one step.
const VALUES_KEYS: usize = 64;

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::Size(r) => {
            let size = size(task, r.name).await?;
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            replicated_map::Size::respond(&mut task.output, id, 0, size);
        }
        Request::IsEmpty(r) => {
            let is_empty = size(task, r.name).await? == 0;
            replicated_map::IsEmpty::respond(&mut task.output, id, 0, is_empty);
        }
        Request::ContainsValue(r) => {
            let found = contains_value(task, &open(task, r.name)?, r.value).await?;
            replicated_map::ContainsValue::respond(&mut task.output, id, 0, found);
        }
        Request::KeySet(r) => {
            let keys = keys(task, &open(task, r.name)?).await?;
            let keys: Vec<Data<'_>> = keys.iter().filter_map(|key| Data::new(key)).collect();
            replicated_map::KeySet::respond(&mut task.output, id, 0, List::from(&keys[..]));
        }
        Request::Values(r) => {
            let entries = entries(task, &open(task, r.name)?, false).await?;
            let values: Vec<Data<'_>> = entries.iter().filter_map(|(_, v)| Data::new(v)).collect();
            replicated_map::Values::respond(&mut task.output, id, 0, List::from(&values[..]));
        }
        Request::EntrySet(r) => {
            let entries = entries(task, &open(task, r.name)?, true).await?;
            let pairs: Vec<(Data<'_>, Data<'_>)> = entries
                .iter()
                .filter_map(|(key, value)| Some((Data::new(key)?, Data::new(value)?)))
                .collect();
            replicated_map::EntrySet::respond(&mut task.output, id, 0, List::from(&pairs[..]));
        }
        Request::PutAll(r) => {
            let entries = r.entries.iter().map(|(key, value)| (key, value, 0));
            put_all(task, &open(task, r.name)?, entries.collect()).await?;
            replicated_map::PutAll::respond(&mut task.output, id, 0);
        }
        Request::PutAllWithMetadata(r) => {
            let entries = r.entries.iter().map(|view| (view.key, view.value, view.ttl_millis));
            put_all(task, &open(task, r.name)?, entries.collect()).await?;
            replicated_map::PutAllWithMetadata::respond(&mut task.output, id, 0);
        }
        Request::Clear(r) => {
            cleared::clear(task.server, &open(task, r.name)?).await?;
            replicated_map::Clear::respond(&mut task.output, id, 0);
        }
        Request::FetchEntryViews(r) => fetch(task, r).await?,
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

/// The number of entries.
async fn size(task: &Task<'_>, name: &str) -> Result<i64, Failure> {
    whole::sum(task.server, &open(task, name)?, WholeOp::Length).await
}

/// The blobs of all keys.
async fn keys(task: &Task<'_>, map: &Arc<Map>) -> Result<Vec<Vec<u8>>, Failure> {
    let (mut all, mut budget) = (Vec::new(), Budget::default());
    let mut keys = Keys::new(task.server, map);
    while let Some((_, stored)) = keys.next().await? {
        for key in stored.iter().filter_map(|key| client_key(key)) {
            budget.take(key.len())?;
            all.push(key);
        }
    }
    Ok(all)
}

/// The blobs of all keys, or empty ones unless they are wanted, and values.
async fn entries(
    task: &Task<'_>,
    map: &Arc<Map>,
    wants_keys: bool,
) -> Result<Vec<(Vec<u8>, Bytes)>, Failure> {
    let (mut all, mut budget) = (Vec::new(), Budget::default());
    let mut keys = Keys::new(task.server, map);
    while let Some((partition, stored)) = keys.next().await? {
        for part in stored.chunks(VALUES_KEYS) {
            let get = KeyOp::Plain(PlainOp::Get);
            let replies = on_keys(task.server, map, partition, part, get).await?;
            for (key, reply) in part.iter().zip(replies) {
                let Reply::Bytes(value) = reply else { continue };
                let Some(key) = client_key(key) else { continue };
                let key = if wants_keys { key } else { Vec::new() };
                budget.take(key.len() + value.len())?;
                all.push((key, value));
            }
        }
    }
    Ok(all)
}

async fn contains_value(
    task: &Task<'_>,
    map: &Arc<Map>,
    wanted: Data<'_>,
) -> Result<bool, Failure> {
    let mut keys = Keys::new(task.server, map);
    while let Some((partition, stored)) = keys.next().await? {
        for part in stored.chunks(VALUES_KEYS) {
            let get = KeyOp::Plain(PlainOp::Get);
            let found = on_keys(task.server, map, partition, part, get).await?;
            let is_it = |data: Data<'_>| data.identity() == wanted.identity();
            if found.iter().filter_map(value).any(is_it) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Sets entries, each with its time to live in milliseconds.
async fn put_all(
    task: &Task<'_>,
    map: &Arc<Map>,
    entries: Vec<(Data<'_>, Data<'_>, i64)>,
) -> Result<(), Failure> {
    let tags = task.server.tags().ok_or(OpError::NoCluster)?;
    let mut stored = Vec::new();
    for part in entries.chunks(CONCURRENT_MAX) {
        let mut replies = Vec::with_capacity(part.len());
        for (key, value, ttl) in part {
            let partition = write_key(tags, *key, &mut stored);
            let op = put(*value, *ttl, PutAnswer::Done);
            replies.push(task.server.submit_key(map, partition, &stored, op));
        }
        for reply in join_all(replies).await {
            reply?;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// An entry with its metadata: the blob of its key, its value, and the numbers of the view.
struct Viewed {
    key: Vec<u8>,
    value: Bytes,
    hits: i64,
    created_ms: i64,
    accessed_ms: i64,
    updated_ms: i64,
    ttl_ms: i64,
}

/// Appends the response with entries of a partition and their metadata. The cursor says where the
/// next request continues, so that it can be sent to any member; an iteration ends with a response
/// without entries. An entry that exists during the whole iteration is returned.
async fn fetch(
    task: &mut Task<'_>,
    request: &replicated_map::FetchEntryViews<'_>,
) -> Result<(), Failure> {
    let map = open(task, request.name)?;
    let partitions = whole::partitions(task.server)?;
    let invalid = |text| Failure::new(ErrorCode::IllegalArgument, text);
    let partition = u16::try_from(request.partition_id).ok().filter(|p| *p < partitions);
    let partition = partition.ok_or_else(|| invalid("there is no such partition"))?;
    let count = u64::try_from(request.batch_size).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| invalid("the batch size is 1 or more"))?.min(SCAN_KEYS);
    // The first number says whether the iteration has begun, as a cursor of 0 is that of the end.
    let (mut begun, mut cursor) =
        if request.new_iteration { (0, 0) } else { request.cursor_id.as_u64_pair() };
    let mut viewed = Vec::new();
    while viewed.is_empty() && (begun == 0 || cursor > 0) {
        let (stored, next) = whole::scan(task.server, &map, partition, (cursor, count)).await?;
        (begun, cursor) = (1, next);
        viewed = views(task, &map, partition, &stored).await?;
    }
    let holders: Vec<ReplicatedMapEntryViewHolder<'_>> = viewed
        .iter()
        .filter_map(|entry| {
            Some(ReplicatedMapEntryViewHolder {
                creation_time: entry.created_ms,
                hits: entry.hits,
                last_access_time: entry.accessed_ms,
                last_update_time: entry.updated_ms,
                ttl_millis: entry.ttl_ms,
                key: Data::new(&entry.key)?,
                value: Data::new(&entry.value)?,
            })
        })
        .collect();
    let (output, id) = (&mut task.output, task.correlation_id);
    let cursor_id = Uuid::from_u64_pair(begun, cursor);
    let holders = List::from(&holders[..]);
    replicated_map::FetchEntryViews::respond(output, id, 0, cursor_id, holders);
    Ok(())
}

async fn views(
    task: &Task<'_>,
    map: &Arc<Map>,
    partition: u16,
    stored: &[Bytes],
) -> Result<Vec<Viewed>, Failure> {
    let now_ms = i64::try_from(task.server.grid.now_ms()).unwrap_or(i64::MAX);
    let (mut viewed, mut budget) = (Vec::new(), Budget::default());
    for part in stored.chunks(VALUES_KEYS) {
        let ops = part.iter().flat_map(|key| {
            [KeyOp::Generic(GenericOp::View), KeyOp::Plain(PlainOp::Get)].map(|op| Op::Key(key, op))
        });
        let batch = Op::Batch { watched: Vec::new(), ops: ops.collect() };
        let Reply::List(replies) = task.server.submit(map, partition, &batch).await? else {
            return Err(OpError::Malformed.into());
        };
        for (key, pair) in part.iter().zip(replies.chunks_exact(2)) {
            let [Reply::Map(fields), Reply::Bytes(value)] = pair else { continue };
            let Some(key) = client_key(key) else { continue };
            budget.take(key.len() + value.len())?;
            let field = |wanted: &str| {
                fields.iter().find_map(|(name, field)| match (name, field) {
                    (Reply::Word(name), Reply::Integer(number)) if name == wanted => Some(*number),
                    _ => None,
                })
            };
            let version = Version(field("version").unwrap_or(0).cast_unsigned());
            let updated_ms = i64::try_from(version.ms()).unwrap_or(i64::MAX);
            let idle_ms = field("idle-seconds").unwrap_or(0).saturating_mul(1_000);
            let ttl_ms = field("deadline-ms").map_or(0, |end| end.saturating_sub(updated_ms));
            viewed.push(Viewed {
                key,
                value: value.clone(),
                hits: field("hits").unwrap_or(0),
                created_ms: field("created-ms").unwrap_or(updated_ms),
                accessed_ms: now_ms.saturating_sub(idle_ms),
                updated_ms,
                ttl_ms,
            });
        }
    }
    Ok(viewed)
}
