//! Requests on several keys of a multimap, or on all.

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{DistinctOp, KeyOp, Op};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::multi_map::{self, Request};
use convoke_hazelcast::data::Data;
use futures_util::future::join_all;

use super::super::cleared;
use super::super::errors::Failure;
use super::super::keys::client_key;
use super::super::map::{Retry, Task};
use super::super::settings::INVOCATION_MS_MAX;
use super::super::whole::{Budget, CONCURRENT_MAX, Keys, on_keys};
use super::{number, open, place, values};

/// Number of keys whose values are read in one step.
const VALUES_KEYS: usize = 64;

/// Whether a request is one of these.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::KeySet(_)
            | Request::Values(_)
            | Request::EntrySet(_)
            | Request::ContainsValue(_)
            | Request::Size(_)
            | Request::Clear(_)
            | Request::PutAll(_)
    )
}

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::KeySet(r) => {
            let keys = keys(task, &open(task, r.name)?).await?;
            let keys: Vec<Data<'_>> = keys.iter().filter_map(|key| Data::new(key)).collect();
            multi_map::KeySet::respond(&mut task.output, id, 0, List::from(&keys[..]));
        }
        Request::Values(r) => {
            let entries = entries(task, &open(task, r.name)?, false).await?;
            let values: Vec<Data<'_>> =
                entries.iter().flat_map(|(_, reply)| values(reply)).collect();
            multi_map::Values::respond(&mut task.output, id, 0, List::from(&values[..]));
        }
        Request::EntrySet(r) => {
            let entries = entries(task, &open(task, r.name)?, true).await?;
            let pairs: Vec<(Data<'_>, Data<'_>)> = entries
                .iter()
                .filter_map(|(key, reply)| Some((Data::new(key)?, values(reply))))
                .flat_map(|(key, values)| values.into_iter().map(move |value| (key, value)))
                .collect();
            multi_map::EntrySet::respond(&mut task.output, id, 0, List::from(&pairs[..]));
        }
        Request::ContainsValue(r) => {
            let found = contains_value(task, &open(task, r.name)?, r.value).await?;
            multi_map::ContainsValue::respond(&mut task.output, id, 0, found);
        }
        Request::Size(r) => {
            let size = size(task, &open(task, r.name)?).await?;
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            multi_map::Size::respond(&mut task.output, id, 0, size);
        }
        Request::Clear(r) => {
            cleared::clear(task.server, &open(task, r.name)?).await?;
            multi_map::Clear::respond(&mut task.output, id, 0);
        }
        Request::PutAll(r) => {
            put_all(task, &open(task, r.name)?, r.entries).await?;
            multi_map::PutAll::respond(&mut task.output, id, 0);
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
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

/// The blobs of all keys, each with a list of its values. With `repeats_keys`, the result will have
/// the key once for each value.
async fn entries(
    task: &Task<'_>,
    map: &Arc<Map>,
    repeats_keys: bool,
) -> Result<Vec<(Vec<u8>, Reply)>, Failure> {
    let (mut all, mut budget) = (Vec::new(), Budget::default());
    let mut keys = Keys::new(task.server, map);
    while let Some((partition, stored)) = keys.next().await? {
        for part in stored.chunks(VALUES_KEYS) {
            let op = KeyOp::Distinct(DistinctOp::All);
            let replies = on_keys(task.server, map, partition, part, op).await?;
            for (key, reply) in part.iter().zip(replies) {
                let Some(key) = client_key(key) else { continue };
                let (mut bytes, mut count) = (0, 0);
                for value in values(&reply) {
                    bytes += value.bytes().len();
                    count += 1;
                }
                let key_bytes = if repeats_keys { key.len().saturating_mul(count) } else { 0 };
                budget.take(key_bytes.saturating_add(bytes))?;
                all.push((key, reply));
            }
        }
    }
    Ok(all)
}

/// The number of all values.
async fn size(task: &Task<'_>, map: &Arc<Map>) -> Result<i64, Failure> {
    let mut size = 0_i64;
    let mut keys = Keys::new(task.server, map);
    while let Some((partition, stored)) = keys.next().await? {
        let length = KeyOp::Distinct(DistinctOp::Length);
        let lengths = on_keys(task.server, map, partition, &stored, length).await?;
        size = lengths.iter().map(number).fold(size, i64::saturating_add);
    }
    Ok(size)
}

async fn contains_value(task: &Task<'_>, map: &Arc<Map>, value: Data<'_>) -> Result<bool, Failure> {
    let mut keys = Keys::new(task.server, map);
    while let Some((partition, stored)) = keys.next().await? {
        let stored: Vec<Bytes> = stored;
        let contains = KeyOp::Distinct(DistinctOp::ContainsAll(vec![value.bytes()]));
        let found = on_keys(task.server, map, partition, &stored, contains).await?;
        if found.iter().any(|found| number(found) > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A key and the values that are added to it.
type Added<'a> = (Data<'a>, List<'a, Data<'a>>);

/// Adds values to keys. Keys that are locked are waited for.
async fn put_all(
    task: &Task<'_>,
    map: &Arc<Map>,
    entries: List<'_, Added<'_>>,
) -> Result<(), Failure> {
    let mut entries: Vec<Added<'_>> = entries.iter().collect();
    let mut retry = Retry::new(task.server, map, INVOCATION_MS_MAX);
    loop {
        let mut held = Vec::new();
        for part in entries.chunks(CONCURRENT_MAX) {
            let mut replies = Vec::with_capacity(part.len());
            for (key, values) in part {
                let place = place(task, map, *key)?;
                let values = values.iter().map(|value| value.bytes()).collect();
                let add = KeyOp::Distinct(DistinctOp::Add(values));
                let op = Op::Key(&place.key, add);
                replies.push(task.server.submit(map, place.partition, &op));
            }
            for (entry, reply) in part.iter().zip(join_all(replies).await) {
                match reply {
                    Err(OpError::Held) => held.push(*entry),
                    reply => drop(reply?),
                }
            }
            tokio::task::yield_now().await;
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
