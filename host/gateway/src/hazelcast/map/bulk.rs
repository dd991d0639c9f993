//! Requests on several keys, or on all keys of a map.
//!
//! Entries that change meanwhile may be in the result or not, as in Hazelcast.

use convoke_grid::op::{GenericOp, KeyOp, Op, PlainOp, PutAnswer, WholeOp};
use convoke_grid::{OpError, Reply};
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::structures::SimpleEntryView;
use convoke_hazelcast::data::Data;
use futures_util::future::join_all;

use super::super::errors::Failure;
use super::super::settings::INVOCATION_MS_MAX;
use super::super::whole;
use super::events::{self, MapEvent};
use super::scan::{Budget, Entry, EntryScan, blobs};
use super::tasks::{Place, Retry, Task, respond_empty};
use super::{Condition, Format, KeyOperation, Limits};

/// Maximum number of operations of one request that are in progress at the same time.
const CONCURRENT_MAX: usize = 256;
/// Whether a request is one of these.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::GetAll(_)
            | Request::PutAll(_)
            | Request::PutAllWithMetadata(_)
            | Request::Size(_)
            | Request::IsEmpty(_)
            | Request::KeySet(_)
            | Request::Values(_)
            | Request::EntrySet(_)
            | Request::ContainsValue(_)
            | Request::Clear(_)
            | Request::EvictAll(_)
            | Request::Flush(_)
            | Request::AddIndex(_)
            | Request::GetEntryView(_)
    )
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
        Request::KeySet(r) => {
            let keys = keys(task, r.name).await?;
            let keys: Vec<Data<'_>> = keys.iter().filter_map(|key| Data::new(key)).collect();
            map::KeySet::respond(&mut task.output, id, 0, List::from(&keys[..]));
        }
        Request::Values(r) => {
            let entries = entries(task, r.name).await?;
            let values: Vec<Data<'_>> = entries.iter().filter_map(|(_, v)| Data::new(v)).collect();
            map::Values::respond(&mut task.output, id, 0, List::from(&values[..]));
        }
        Request::EntrySet(r) => {
            let entries = entries(task, r.name).await?;
            let pairs = pairs(&entries);
            map::EntrySet::respond(&mut task.output, id, 0, List::from(&pairs[..]));
        }
        Request::ContainsValue(r) => {
            let found = contains_value(task, r.name, r.value).await?;
            map::ContainsValue::respond(&mut task.output, id, 0, found);
        }
        Request::PutAllWithMetadata(r) => {
            put_all_with_metadata(task, r.name, r.entries).await?;
            respond_empty(task, request);
        }
        Request::Clear(r) => {
            clear(task, r.name, MapEvent::Cleared).await?;
            respond_empty(task, request);
        }
        Request::EvictAll(r) => {
            clear(task, r.name, MapEvent::Evicted).await?;
            respond_empty(task, request);
        }
        // An index changes no result, and queries read all entries.
        Request::AddIndex(_) => respond_empty(task, request),
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

fn pairs(entries: &[Entry]) -> Vec<(Data<'_>, Data<'_>)> {
    entries.iter().filter_map(blobs).collect()
}

async fn get_all(
    task: &Task<'_>,
    name: &str,
    keys: List<'_, Data<'_>>,
) -> Result<Vec<Entry>, Failure> {
    let keys: Vec<Data<'_>> = keys.iter().collect();
    let format = Format::of(&*task.server.open(name)?);
    let (mut entries, mut budget) = (Vec::new(), Budget::begin(task.server).await?);
    for part in keys.chunks(CONCURRENT_MAX) {
        let mut replies = Vec::with_capacity(part.len());
        for key in part {
            let place = task.place(name, *key)?;
            let get = KeyOp::Plain(PlainOp::Get);
            replies.push(task.server.submit_key(&place.map, place.partition, &place.key, get));
        }
        for (key, reply) in part.iter().zip(join_all(replies).await) {
            if let Reply::Bytes(value) = reply? {
                let value = format.client_value(&value);
                budget.take(key.bytes().len() + value.len())?;
                entries.push((key.bytes().to_vec(), value));
            }
        }
    }
    Ok(entries)
}

async fn put_all(
    task: &Task<'_>,
    name: &str,
    entries: List<'_, (Data<'_>, Data<'_>)>,
) -> Result<(), Failure> {
    let entries = entries.iter().map(|(key, value)| (key, value, Limits::DEFAULT)).collect();
    put_each(task, name, entries).await
}

/// Sets entries with what is known of their lifetime. Other metadata, such as times and numbers of
/// accesses, is not taken over.
async fn put_all_with_metadata(
    task: &Task<'_>,
    name: &str,
    entries: List<'_, SimpleEntryView<'_>>,
) -> Result<(), Failure> {
    let now_ms = i64::try_from(task.server.grid.now_ms()).unwrap_or(i64::MAX);
    let limits = |entry: &SimpleEntryView<'_>| {
        let max_idle = if entry.max_idle > 0 { entry.max_idle } else { 0 };
        let ttl = match entry.expiration_time {
            i64::MAX | ..=0 => 0,
            at => at.saturating_sub(now_ms).max(1),
        };
        Limits { ttl, max_idle }
    };
    let entries = entries.iter().map(|entry| (entry.key, entry.value, limits(&entry))).collect();
    put_each(task, name, entries).await
}

/// Sets entries. Keys that are locked are waited for.
async fn put_each(
    task: &Task<'_>,
    name: &str,
    mut entries: Vec<(Data<'_>, Data<'_>, Limits)>,
) -> Result<(), Failure> {
    let mut retry = Retry::new(task.server, &*task.server.open(name)?, INVOCATION_MS_MAX);
    loop {
        let mut held = Vec::new();
        for part in entries.chunks(CONCURRENT_MAX) {
            let mut replies = Vec::with_capacity(part.len());
            for (key, value, limits) in part {
                let place = task.place(name, *key)?;
                let put = KeyOperation::Put {
                    value: *value,
                    limits: *limits,
                    condition: Condition::Always,
                    answer: PutAnswer::Done,
                };
                let op = put.op(&place.map)?;
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
        if !retry.next().await? {
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

/// Removes all entries that are not locked, and reports how many.
async fn clear(task: &Task<'_>, name: &str, event: MapEvent) -> Result<(), Failure> {
    let cleared = on_all_partitions(task, name, WholeOp::ClearUnleased).await?;
    let count = sum(&cleared);
    if count > 0 {
        events::announce(task.server, name, event, count).await?;
    }
    Ok(())
}

fn sum(replies: &[Reply]) -> i64 {
    replies.iter().map(|reply| if let Reply::Integer(n) = reply { *n } else { 0 }).sum()
}

/// Removes all entries of a map that a client destroys.
pub(in super::super) async fn destroy(task: &Task<'_>, name: &str) -> Result<(), Failure> {
    whole::destroy(task.server, &task.server.open(name)?).await
}

/// The number of entries, with those that were not written by clients of Hazelcast.
async fn size(task: &Task<'_>, name: &str) -> Result<i64, Failure> {
    let lengths = on_all_partitions(task, name, WholeOp::Length).await?;
    Ok(sum(&lengths))
}

/// The blobs of all keys.
async fn keys(task: &Task<'_>, name: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let mut budget = Budget::begin(task.server).await?;
    let mut scan = EntryScan::new(task.server, name)?;
    let mut all = Vec::new();
    while let Some(keys) = scan.next_keys().await? {
        for key in keys.iter().filter_map(|key| scan.format().client_key(key)) {
            budget.take(key.len())?;
            all.push(key);
        }
    }
    Ok(all)
}

async fn entries(task: &Task<'_>, name: &str) -> Result<Vec<Entry>, Failure> {
    let mut budget = Budget::begin(task.server).await?;
    let mut scan = EntryScan::new(task.server, name)?;
    let mut all = Vec::new();
    while let Some(part) = scan.next().await? {
        for entry in part {
            budget.take(entry.0.len() + entry.1.len())?;
            all.push(entry);
        }
    }
    Ok(all)
}

async fn contains_value(task: &Task<'_>, name: &str, value: Data<'_>) -> Result<bool, Failure> {
    let _budget = Budget::begin(task.server).await?;
    let mut scan = EntryScan::new(task.server, name)?;
    let format = scan.format();
    // A text and an array of bytes with the same bytes are the same value in plain maps.
    let stored = format.value(value)?;
    while let Some(part) = scan.next().await? {
        let mut values = part.iter().filter_map(|(_, value)| Data::new(value));
        let is_same = |other: Data<'_>| match format {
            Format::Blobs => other.identity() == value.identity(),
            plain => plain.value(other).is_ok_and(|other| other == stored),
        };
        if values.any(is_same) {
            return Ok(true);
        }
    }
    Ok(false)
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
    // The end of time is that of an entry with a maximum idle time only.
    let end_ms = field("lifetime-end-ms").filter(|end_ms| *end_ms < i64::MAX);
    let ttl = end_ms.map_or(i64::MAX, |end_ms| end_ms.saturating_sub(updated_ms));
    let value = place.format.client_value(value);
    let Some(value) = Data::new(&value) else { return Err(OpError::WrongType.into()) };
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
