//! Iteration of a client over the entries of one partition. Where it continues is in the request:
//! the cursor of the grid, in the two numbers of a pointer.

use std::collections::VecDeque;

use convoke_grid::OpError;
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::{List, Packed};
use convoke_hazelcast::data::Data;
use convoke_hazelcast::error::ErrorCode;
use convoke_hazelcast::query::{Projection, Query, Types};

use super::super::errors::Failure;
use super::super::whole::scan;
use super::Format;
use super::evaluation::Evaluator;
use super::query::not_null;
use super::scan::{Budget, Entry, ValueReader, blobs};
use super::tasks::Task;

/// Maximum number of entries in one response, approximately.
const BATCH_MAX: usize = 10_000;
/// Keys and values of one response, in bytes, after which no more are added.
const BATCH_BYTES: usize = 4 << 20;
/// Number of keys that one step visits, approximately.
const STEP_KEYS: usize = 64;

/// Whether a request is one of these.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    matches!(request, Request::FetchKeys(_) | Request::FetchEntries(_) | Request::FetchWithQuery(_))
}

/// Where an iteration continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer(u64);

/// The lower bits of a cursor are the index of a pointer, which is not negative before the end.
const INDEX_BITS: u32 = 31;

impl Pointer {
    const END: (i32, i32) = (-1, -1);

    /// Clients begin with a size of -1. `None` at the end.
    fn decode(pointers: Packed<'_, (i32, i32)>) -> Option<Self> {
        match pointers.iter().last() {
            None | Some((0.., ..0)) => Some(Self(0)),
            Some((index, size)) => {
                let (index, size) = (u64::try_from(index).ok()?, u64::try_from(size).ok()?);
                Some(Self(size << INDEX_BITS | index))
            }
        }
    }

    fn encode(self) -> (i32, i32) {
        if self.0 == 0 {
            return Self::END;
        }
        let index = self.0 & ((1 << INDEX_BITS) - 1);
        // A cursor is a hash of 32 bits.
        let size = self.0 >> INDEX_BITS;
        (i32::try_from(index).unwrap_or(i32::MAX), i32::try_from(size).unwrap_or(i32::MAX))
    }
}

/// One response of an iteration.
struct Batch<T> {
    items: Vec<T>,
    pointers: [(i32, i32); 1],
}

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::FetchKeys(r) => {
            let batch = keys(task, r.name, r.iteration_pointers, r.batch).await?;
            let keys: Vec<Data<'_>> = batch.items.iter().filter_map(|key| Data::new(key)).collect();
            let (pointers, keys) = (Packed::from(&batch.pointers), List::from(&keys[..]));
            map::FetchKeys::respond(&mut task.output, id, 0, pointers, keys);
        }
        Request::FetchEntries(r) => {
            let batch = entries(task, r.name, r.iteration_pointers, r.batch).await?;
            let entries: Vec<_> = batch.items.iter().filter_map(blobs).collect();
            let (pointers, entries) = (Packed::from(&batch.pointers), List::from(&entries[..]));
            map::FetchEntries::respond(&mut task.output, id, 0, pointers, entries);
        }
        Request::FetchWithQuery(r) => {
            let batch = with_query(task, r).await?;
            let results: Vec<_> = batch.items.iter().map(|result| not_null(result)).collect();
            let (pointers, results) = (Packed::from(&batch.pointers), List::from(&results[..]));
            map::FetchWithQuery::respond(&mut task.output, id, 0, results, pointers);
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

/// The partition of the request, and the number of entries to return.
fn bounds(task: &Task<'_>, batch: i32) -> Result<(u16, usize), Failure> {
    let partitions = task.server.tags().ok_or(OpError::NoCluster)?.partitions();
    let partition = u16::try_from(task.partition_id).ok().filter(|number| *number < partitions);
    let illegal = |text| Failure::new(ErrorCode::IllegalArgument, text);
    let partition = partition.ok_or_else(|| illegal("the request names no partition"))?;
    let batch = usize::try_from(batch).ok().filter(|batch| *batch > 0);
    let batch = batch.ok_or_else(|| illegal("the number of entries to fetch is not positive"))?;
    Ok((partition, batch.min(BATCH_MAX)))
}

/// Clients take an empty response for the end, so steps are repeated until there is something.
macro_rules! steps {
    ($task:ident, $name:expr, $pointers:expr, $batch:expr, |$keys:ident, $map:ident, $partition:ident| $items:block) => {{
        let ($partition, batch) = bounds($task, $batch)?;
        let $map = $task.server.open($name)?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        let Some(mut pointer) = Pointer::decode($pointers) else {
            return Ok(Batch { items, pointers: [Pointer::END] });
        };
        loop {
            let count = (batch - items.len()).min(STEP_KEYS) as u64;
            let ($keys, next) = scan($task.server, &$map, $partition, (pointer.0, count)).await?;
            pointer = Pointer(next);
            for (length, item) in $items {
                bytes += length;
                items.push(item);
            }
            if next == 0 || items.len() >= batch || bytes >= BATCH_BYTES {
                return Ok(Batch { items, pointers: [pointer.encode()] });
            }
            tokio::task::yield_now().await;
        }
    }};
}

async fn keys(
    task: &Task<'_>,
    name: &str,
    pointers: Packed<'_, (i32, i32)>,
    batch: i32,
) -> Result<Batch<Vec<u8>>, Failure> {
    steps!(task, name, pointers, batch, |keys, map, partition| {
        let format = Format::of(&map);
        let keys = keys.iter().filter_map(|key| format.client_key(key));
        keys.map(|key| (key.len(), key)).collect::<Vec<_>>()
    })
}

async fn entries(
    task: &Task<'_>,
    name: &str,
    pointers: Packed<'_, (i32, i32)>,
    batch: i32,
) -> Result<Batch<Entry>, Failure> {
    let mut budget = Budget::begin(task.server).await?;
    let mut values = ValueReader::default();
    steps!(task, name, pointers, batch, |keys, map, partition| {
        let mut keys: VecDeque<_> = keys.into();
        let mut found = Vec::new();
        while !keys.is_empty() {
            for entry in values.next(task.server, &map, partition, &mut keys).await? {
                let length = entry.0.len() + entry.1.len();
                budget.take(length)?;
                found.push((length, entry));
            }
        }
        found
    })
}

async fn with_query(
    task: &Task<'_>,
    request: &map::FetchWithQuery<'_>,
) -> Result<Batch<Vec<u8>>, Failure> {
    let projection = Projection::decode(request.projection)?;
    let query = Query::decode(request.predicate)?;
    let _budget = Budget::begin(task.server).await?;
    let mut values = ValueReader::default();
    let mut evaluator = Evaluator::new(task.server);
    // It is not checked: a batch may have only some of the types.
    let mut types = Types::default();
    let map::FetchWithQuery { name, iteration_pointers, batch, .. } = *request;
    steps!(task, name, iteration_pointers, batch, |keys, map, partition| {
        let mut keys: VecDeque<_> = keys.into();
        let mut found = Vec::new();
        while !keys.is_empty() {
            for entry in values.next(task.server, &map, partition, &mut keys).await? {
                let Some(blobs) = blobs(&entry) else { continue };
                let apply = |entry: &convoke_hazelcast::query::Entry<'_>| {
                    let matches = query.predicate.matches_among(entry, &mut types)?;
                    matches.then(|| projection.apply(entry)).transpose()
                };
                if let Some(result) = evaluator.evaluate(blobs, apply).await? {
                    found.push((result.len(), result));
                }
            }
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_returned_as_it_was_sent() {
        for cursor in [1, 77, u64::from(u32::MAX >> 1), 1 << 31, u64::from(u32::MAX)] {
            let pointers = [Pointer(cursor).encode()];
            assert!(pointers[0].0 >= 0 && pointers[0].1 >= 0);
            assert_eq!(Pointer::decode(Packed::from(&pointers)), Some(Pointer(cursor)));
        }
    }

    #[test]
    fn an_iteration_has_a_start_and_an_end() {
        let start = [(i32::MAX, -1)];
        assert_eq!(Pointer::decode(Packed::from(&start)), Some(Pointer(0)));
        let end = [Pointer(0).encode()];
        assert!(end[0].0 < 0);
        assert_eq!(Pointer::decode(Packed::from(&end)), None);
    }
}
