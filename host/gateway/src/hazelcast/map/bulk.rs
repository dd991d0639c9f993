//! Requests on several keys, or on all keys of a map.
//!
//! Entries that change meanwhile may be in the result or not, as in Hazelcast.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{
    GenericOp, KeyOp, Op, PlainOp, PutAnswer, PutIf, ScanFilter, SeveralOp, WholeOp,
};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::structures::SimpleEntryView;
use convoke_hazelcast::data::{Data, type_id};
use futures_util::future::join_all;

use super::super::errors::Failure;
use super::super::settings::{INVOCATION_MS_MAX, RESULT_BYTES_MAX};
use super::tasks::{Place, Retry, Task, respond_empty};
use super::{FORMAT, KeyOperation, Limits};

/// Number of keys that one step of an iteration visits, approximately.
const SCAN_KEYS: u64 = 512;
/// Maximum number of operations of one request that are in progress at the same time.
const CONCURRENT_MAX: usize = 256;
/// The factory of predicates, and the predicate that holds for all entries.
const TRUE_PREDICATE: (i32, i32) = (-20, 14);

/// Whether a request is one of these.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    match request {
        Request::GetAll(_)
        | Request::PutAll(_)
        | Request::Size(_)
        | Request::IsEmpty(_)
        | Request::KeySet(_)
        | Request::Values(_)
        | Request::EntrySet(_)
        | Request::ContainsValue(_)
        | Request::Clear(_)
        | Request::EvictAll(_)
        | Request::Flush(_)
        | Request::GetEntryView(_) => true,
        Request::RemoveAll(r) => holds_always(r.predicate),
        Request::KeySetWithPredicate(r) => holds_always(r.predicate),
        Request::ValuesWithPredicate(r) => holds_always(r.predicate),
        Request::EntriesWithPredicate(r) => holds_always(r.predicate),
        _ => false,
    }
}

/// Whether a predicate is the one that holds for all entries: a flag, its factory, and its class.
fn holds_always(predicate: Data<'_>) -> bool {
    let Some((1, rest)) = predicate.payload().split_first().map(|(flag, rest)| (*flag, rest))
    else {
        return false;
    };
    let number = |at: usize| {
        let bytes = rest.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| i32::from_be_bytes(*bytes))
    };
    predicate.type_id() == type_id::DATA_SERIALIZABLE
        && (number(0), number(4)) == (Some(TRUE_PREDICATE.0), Some(TRUE_PREDICATE.1))
}

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::GetAll(r) => {
            let entries = get_all(task, r.name, r.keys).await?;
            let pairs = pairs(&entries);
            map::GetAll::respond(&mut task.output, id, 0, List::from(&pairs[..]));
        }
        Request::PutAll(r) => {
            put_all(task, r.name, r.entries).await?;
            respond_empty(task, request);
        }
        Request::Size(r) => {
            let size = size(task, r.name).await?;
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            map::Size::respond(&mut task.output, id, 0, size);
        }
        Request::IsEmpty(r) => {
            let is_empty = size(task, r.name).await? == 0;
            map::IsEmpty::respond(&mut task.output, id, 0, is_empty);
        }
        Request::KeySet(map::KeySet { name })
        | Request::KeySetWithPredicate(map::KeySetWithPredicate { name, .. }) => {
            let keys = keys(task, name).await?;
            let keys: Vec<Data<'_>> = keys.iter().filter_map(|key| Data::new(key)).collect();
            let keys = List::from(&keys[..]);
            if matches!(request, Request::KeySet(_)) {
                map::KeySet::respond(&mut task.output, id, 0, keys);
            } else {
                map::KeySetWithPredicate::respond(&mut task.output, id, 0, keys);
            }
        }
        Request::Values(map::Values { name })
        | Request::ValuesWithPredicate(map::ValuesWithPredicate { name, .. }) => {
            let entries = entries(task, name).await?;
            let values: Vec<Data<'_>> =
                entries.iter().filter_map(|(_, value)| Data::new(value)).collect();
            let values = List::from(&values[..]);
            if matches!(request, Request::Values(_)) {
                map::Values::respond(&mut task.output, id, 0, values);
            } else {
                map::ValuesWithPredicate::respond(&mut task.output, id, 0, values);
            }
        }
        Request::EntrySet(map::EntrySet { name })
        | Request::EntriesWithPredicate(map::EntriesWithPredicate { name, .. }) => {
            let entries = entries(task, name).await?;
            let pairs = pairs(&entries);
            let pairs = List::from(&pairs[..]);
            if matches!(request, Request::EntrySet(_)) {
                map::EntrySet::respond(&mut task.output, id, 0, pairs);
            } else {
                map::EntriesWithPredicate::respond(&mut task.output, id, 0, pairs);
            }
        }
        Request::ContainsValue(r) => {
            let found = contains_value(task, r.name, r.value).await?;
            map::ContainsValue::respond(&mut task.output, id, 0, found);
        }
        Request::Clear(map::Clear { name })
        | Request::EvictAll(map::EvictAll { name })
        | Request::RemoveAll(map::RemoveAll { name, .. }) => {
            on_all_partitions(task, name, WholeOp::Clear).await?;
            respond_empty(task, request);
        }
        // All writes are synchronous.
        Request::Flush(_) => respond_empty(task, request),
        Request::GetEntryView(r) => {
            let place = task.place(r.name, r.key)?;
            entry_view(task, &place, r.key).await?;
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

/// An entry: the blob of its key, and its value.
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

async fn get_all(
    task: &Task<'_>,
    name: &str,
    keys: List<'_, Data<'_>>,
) -> Result<Vec<Entry>, Failure> {
    let keys: Vec<Data<'_>> = keys.iter().collect();
    let (mut entries, mut budget) = (Vec::new(), Budget::default());
    for part in keys.chunks(CONCURRENT_MAX) {
        let mut replies = Vec::with_capacity(part.len());
        for key in part {
            let place = task.place(name, *key)?;
            let get = KeyOp::Plain(PlainOp::Get);
            replies.push(task.server.submit_key(&place.map, place.partition, &place.key, get));
        }
        for (key, reply) in part.iter().zip(join_all(replies).await) {
            if let Reply::Bytes(value) = reply? {
                budget.take(key.bytes().len() + value.len())?;
                entries.push((key.bytes().to_vec(), value));
            }
        }
    }
    Ok(entries)
}

/// Sets entries. Keys that are locked are waited for.
async fn put_all(
    task: &Task<'_>,
    name: &str,
    entries: List<'_, (Data<'_>, Data<'_>)>,
) -> Result<(), Failure> {
    let mut entries: Vec<(Data<'_>, Data<'_>)> = entries.iter().collect();
    let mut retry = Retry::new(INVOCATION_MS_MAX);
    loop {
        let mut held = Vec::new();
        for part in entries.chunks(CONCURRENT_MAX) {
            let mut replies = Vec::with_capacity(part.len());
            for (key, value) in part {
                let place = task.place(name, *key)?;
                let put = KeyOperation::Put {
                    value: *value,
                    limits: Limits::DEFAULT,
                    condition: PutIf::Always,
                    answer: PutAnswer::Done,
                };
                let op = put.op(&place.map);
                replies.push(task.server.submit_key(&place.map, place.partition, &place.key, op));
            }
            for (entry, reply) in part.iter().zip(join_all(replies).await) {
                match reply {
                    Err(OpError::Held) => held.push(*entry),
                    reply => drop(reply?),
                }
            }
        }
        if held.is_empty() {
            return Ok(());
        }
        if !retry.next().await {
            return Err(OpError::Held.into());
        }
        entries = held;
    }
}

/// Executes an operation in all partitions of a map.
async fn on_all_partitions(
    task: &Task<'_>,
    name: &str,
    op: WholeOp<'_>,
) -> Result<Vec<Reply>, Failure> {
    let map = task.server.open(name)?;
    let partitions = task.server.tags().ok_or(OpError::NoCluster)?.partitions();
    let op = Op::Whole(op);
    let started = (0..partitions).map(|partition| task.server.submit(&map, partition, &op));
    let replies = join_all(started.collect::<Vec<_>>()).await;
    Ok(replies.into_iter().collect::<Result<_, OpError>>()?)
}

/// Removes all entries of a map that a client destroys.
pub(in super::super) async fn destroy(task: &Task<'_>, name: &str) -> Result<(), Failure> {
    on_all_partitions(task, name, WholeOp::Clear).await?;
    Ok(())
}

/// The number of entries, with those that were not written by clients of Hazelcast.
async fn size(task: &Task<'_>, name: &str) -> Result<i64, Failure> {
    let lengths = on_all_partitions(task, name, WholeOp::Length).await?;
    Ok(lengths.iter().map(|length| if let Reply::Integer(n) = length { *n } else { 0 }).sum())
}

/// One step of an iteration over a partition: stored keys, and the next cursor, which is 0 at the
/// end.
async fn scan(
    task: &Task<'_>,
    map: &Arc<Map>,
    partition: u16,
    cursor: u64,
) -> Result<(Vec<Bytes>, u64), Failure> {
    let op = WholeOp::Scan { cursor, count: SCAN_KEYS, filter: ScanFilter::default() };
    let reply = task.server.submit(map, partition, &Op::Whole(op)).await?;
    let Reply::List(parts) = reply else { return Err(OpError::Malformed.into()) };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (Some(Reply::Integer(next)), Some(Reply::List(found))) => {
            let keys = found.into_iter().filter_map(|key| match key {
                Reply::Bytes(key) => Some(key),
                _ => None,
            });
            Ok((keys.collect(), u64::try_from(next).unwrap_or(0)))
        }
        _ => Err(OpError::Malformed.into()),
    }
}

/// The blobs of all keys.
async fn keys(task: &Task<'_>, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let map = task.server.open(name)?;
    let partitions = task.server.tags().ok_or(OpError::NoCluster)?.partitions();
    let (mut keys, mut budget) = (Vec::new(), Budget::default());
    for partition in 0..partitions {
        let mut cursor = 0;
        loop {
            let (found, next) = scan(task, &map, partition, cursor).await?;
            for key in found.iter().filter_map(|key| FORMAT.client_key(key)) {
                budget.take(key.len())?;
                keys.push(key);
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(keys)
}

/// Passes the entries of a map to `each`, in parts, until it returns false.
async fn for_each_part(
    task: &Task<'_>,
    name: &str,
    mut each: impl FnMut(Vec<Entry>) -> Result<bool, Failure> + Send,
) -> Result<(), Failure> {
    let map = task.server.open(name)?;
    let partitions = task.server.tags().ok_or(OpError::NoCluster)?.partitions();
    for partition in 0..partitions {
        let mut cursor = 0;
        loop {
            let (stored, next) = scan(task, &map, partition, cursor).await?;
            if !stored.is_empty() {
                let keys = stored.iter().map(|key| &key[..]).collect();
                let get = task.server.submit(&map, partition, &Op::Several(SeveralOp::Get(keys)));
                let Reply::List(values) = get.await? else { return Err(OpError::Malformed.into()) };
                let entries = stored.iter().zip(values).filter_map(|(key, value)| match value {
                    Reply::Bytes(value) => Some((FORMAT.client_key(key)?, value)),
                    _ => None,
                });
                if !each(entries.collect())? {
                    return Ok(());
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

async fn entries(task: &Task<'_>, name: &str) -> Result<Vec<Entry>, Failure> {
    let (mut all, mut budget) = (Vec::new(), Budget::default());
    for_each_part(task, name, |part| {
        for (key, value) in &part {
            budget.take(key.len() + value.len())?;
        }
        all.extend(part);
        Ok(true)
    })
    .await?;
    Ok(all)
}

async fn contains_value(task: &Task<'_>, name: &str, value: Data<'_>) -> Result<bool, Failure> {
    let mut found = false;
    for_each_part(task, name, |part| {
        let is_equal = |bytes: &Bytes| {
            Data::new(bytes).is_some_and(|data| data.identity() == value.identity())
        };
        found = part.iter().any(|(_, value)| is_equal(value));
        Ok(!found)
    })
    .await?;
    Ok(found)
}

/// Appends the response with an entry and its metadata.
async fn entry_view(task: &mut Task<'_>, place: &Place, key: Data<'_>) -> Result<(), Failure> {
    let view = Op::Key(&place.key, KeyOp::Generic(GenericOp::View));
    let get = Op::Key(&place.key, KeyOp::Plain(PlainOp::Get));
    let batch = Op::Batch { watched: Vec::new(), ops: vec![view, get] };
    let reply = task.server.submit(&place.map, place.partition, &batch).await?;
    let Reply::List(parts) = reply else { return Err(OpError::Malformed.into()) };
    let (id, output) = (task.correlation_id, &mut task.output);
    let [Reply::Map(fields), Reply::Bytes(value)] = &parts[..] else {
        map::GetEntryView::respond(output, id, 0, 0, None);
        return Ok(());
    };
    let field = |wanted: &str| {
        fields.iter().find_map(|(name, field)| match (name, field) {
            (Reply::Word(name), Reply::Integer(number)) if name == wanted => Some(*number),
            _ => None,
        })
    };
    let now_ms = i64::try_from(task.server.grid.now_ms()).unwrap_or(i64::MAX);
    let version = field("version").unwrap_or(0);
    let updated_ms = convoke_grid::Version(version.cast_unsigned()).ms();
    let updated_ms = i64::try_from(updated_ms).unwrap_or(0);
    let accessed_ms =
        now_ms.saturating_sub(field("idle-seconds").unwrap_or(0).saturating_mul(1_000));
    let max_idle = field("max-idle-ms").unwrap_or(i64::MAX);
    let expiration_time = field("deadline-ms").unwrap_or(i64::MAX);
    let ttl = match field("deadline-ms") {
        Some(deadline_ms) if max_idle == i64::MAX => deadline_ms.saturating_sub(updated_ms),
        _ => i64::MAX,
    };
    let Some(value) = Data::new(value) else { return Err(OpError::WrongType.into()) };
    let view = SimpleEntryView {
        cost: field("bytes").unwrap_or(0),
        creation_time: field("created-ms").unwrap_or(updated_ms),
        expiration_time,
        hits: field("hits").unwrap_or(0),
        last_access_time: accessed_ms,
        last_stored_time: -1,
        last_update_time: updated_ms,
        version,
        ttl,
        max_idle,
        key,
        value,
    };
    map::GetEntryView::respond(output, id, 0, max_idle, Some(view));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_predicate_for_all_entries_is_supported() {
        let predicate = |class: u8| {
            let mut blob = b"\0\0\0\0\xff\xff\xff\xfe\x01\xff\xff\xff\xec\0\0\0".to_vec();
            blob.push(class);
            blob
        };
        assert!(holds_always(Data::new(&predicate(14)).unwrap()));
        assert!(!holds_always(Data::new(&predicate(13)).unwrap()));
        assert!(!holds_always(Data::new(&predicate(14)[..16]).unwrap()));
        assert!(!holds_always(Data::new(&predicate(14)[..8]).unwrap()));
    }
}
