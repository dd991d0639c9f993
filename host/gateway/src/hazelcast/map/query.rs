//! Requests with predicates, aggregators and projections. All entries of the map are read, or those
//! of the partitions that the predicate names: there are no indexes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{KeyOp, LeaseOp, Op, PlainOp, PutIf};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::map::{self, Request};
use convoke_hazelcast::codec::structures::{AnchorDataListHolder, PagingPredicateHolder};
use convoke_hazelcast::codec::{List, Packed};
use convoke_hazelcast::data::{Data, type_id};
use convoke_hazelcast::query::{
    Aggregation, Iteration, PageRequest, Predicate, Projection, Query, Types,
};
use futures_util::future::join_all;

use super::super::errors::Failure;
use super::Format;
use super::evaluation::Evaluator;
use super::scan::{Budget, Entry, EntryScan, ValueReader, blobs};
use super::tasks::{Task, respond_empty};

/// Maximum number of removals of one request that are in progress at the same time.
const REMOVALS_MAX: usize = 64;
/// How often an entry that changes while it is to be removed is looked at again.
const REMOVAL_TRIES_MAX: usize = 100;
/// How often a lock on an entry that is to be removed may get another owner meanwhile.
const OWNERS_MAX: usize = 10;
/// Entries that were collected for a page are sorted, and those that are not on it are dropped, when
/// this number of others was added.
const PAGE_SURPLUS: usize = 4_096;

/// Whether a request is one of these.
pub(super) fn is_supported(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::KeySetWithPredicate(_)
            | Request::ValuesWithPredicate(_)
            | Request::EntriesWithPredicate(_)
            | Request::KeySetWithPagingPredicate(_)
            | Request::ValuesWithPagingPredicate(_)
            | Request::EntriesWithPagingPredicate(_)
            | Request::Aggregate(_)
            | Request::AggregateWithPredicate(_)
            | Request::Project(_)
            | Request::ProjectWithPredicate(_)
            | Request::RemoveAll(_)
    )
}

pub(super) async fn execute(task: &mut Task<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let id = task.correlation_id;
    match request {
        Request::KeySetWithPredicate(r) => {
            let entries = matching(task, r.name, r.predicate).await?;
            let keys: Vec<Data<'_>> =
                entries.iter().filter_map(|(key, _)| Data::new(key)).collect();
            let keys = List::from(&keys[..]);
            map::KeySetWithPredicate::respond(&mut task.output, id, 0, keys);
        }
        Request::ValuesWithPredicate(r) => {
            let entries = matching(task, r.name, r.predicate).await?;
            let values: Vec<Data<'_>> = entries.iter().filter_map(|(_, v)| Data::new(v)).collect();
            let values = List::from(&values[..]);
            map::ValuesWithPredicate::respond(&mut task.output, id, 0, values);
        }
        Request::EntriesWithPredicate(r) => {
            let entries = matching(task, r.name, r.predicate).await?;
            let pairs: Vec<_> = entries.iter().filter_map(blobs).collect();
            let pairs = List::from(&pairs[..]);
            map::EntriesWithPredicate::respond(&mut task.output, id, 0, pairs);
        }
        Request::KeySetWithPagingPredicate(map::KeySetWithPagingPredicate { name, predicate })
        | Request::ValuesWithPagingPredicate(map::ValuesWithPagingPredicate { name, predicate })
        | Request::EntriesWithPagingPredicate(map::EntriesWithPagingPredicate {
            name,
            predicate,
        }) => page(task, name, predicate).await?,
        Request::Aggregate(r) => {
            let result = aggregate(task, r.name, r.aggregator, None).await?;
            map::Aggregate::respond(&mut task.output, id, 0, not_null(&result));
        }
        Request::AggregateWithPredicate(r) => {
            let result = aggregate(task, r.name, r.aggregator, Some(r.predicate)).await?;
            map::AggregateWithPredicate::respond(&mut task.output, id, 0, not_null(&result));
        }
        Request::Project(r) => {
            let results = project(task, r.name, r.projection, None).await?;
            let results: Vec<_> = results.iter().map(|result| not_null(result)).collect();
            map::Project::respond(&mut task.output, id, 0, List::from(&results[..]));
        }
        Request::ProjectWithPredicate(r) => {
            let results = project(task, r.name, r.projection, Some(r.predicate)).await?;
            let results: Vec<_> = results.iter().map(|result| not_null(result)).collect();
            map::ProjectWithPredicate::respond(&mut task.output, id, 0, List::from(&results[..]));
        }
        Request::RemoveAll(r) => {
            remove_all(task, r.name, r.predicate).await?;
            respond_empty(task, request);
        }
        _ => return Err(Failure::unsupported(request.name(), "this request")),
    }
    Ok(())
}

/// A blob, unless it is that of null.
pub(super) fn not_null(blob: &[u8]) -> Option<Data<'_>> {
    Data::new(blob).filter(|data| data.type_id() != type_id::NULL)
}

/// The entries that a query concerns, and those that match it.
struct Matches<'s> {
    scan: EntryScan<'s>,
    evaluator: Evaluator<'s>,
    predicate: Predicate,
    types: Types,
}

impl<'s> Matches<'s> {
    fn new(task: &Task<'s>, name: &str, query: Query) -> Result<Self, Failure> {
        let server = task.server;
        let scan = if query.partition_keys.is_empty() {
            EntryScan::new(server, name)?
        } else {
            let tags = server.tags().ok_or(OpError::NoCluster)?;
            let format = Format::of(&*server.open(name)?);
            let keys = query.partition_keys.iter().filter_map(|key| Data::new(key));
            let partitions = keys.map(|key| format.key(tags, key, &mut Vec::new()));
            let partitions = partitions.collect::<Result<BTreeSet<u16>, Failure>>()?;
            EntryScan::of(server, name, partitions)?
        };
        let (evaluator, types) = (Evaluator::new(server), Types::default());
        Ok(Self { scan, evaluator, predicate: query.predicate, types })
    }

    /// The next entries that match; there may be none of them. `None` at the end; an error if an
    /// operand of the predicate could be converted to the type of no attribute.
    async fn next(&mut self) -> Result<Option<Vec<Entry>>, Failure> {
        let Some(mut entries) = self.scan.next().await? else {
            self.types.check()?;
            return Ok(None);
        };
        let mut matching = Vec::new();
        for entry in entries.drain(..) {
            if self.matches(&entry).await? {
                matching.push(entry);
            }
        }
        Ok(Some(matching))
    }

    async fn matches(&mut self, entry: &Entry) -> Result<bool, Failure> {
        let Some(blobs) = blobs(entry) else { return Ok(false) };
        let Self { evaluator, predicate, types, .. } = self;
        evaluator.evaluate(blobs, |entry| predicate.matches_among(entry, types)).await
    }
}

fn query(predicate: Option<Data<'_>>) -> Result<Query, Failure> {
    Ok(match predicate {
        Some(predicate) => Query::decode(predicate)?,
        None => Query { predicate: Predicate::all(), partition_keys: Vec::new() },
    })
}

/// All entries that match.
async fn matching(task: &Task<'_>, name: &str, predicate: Data<'_>) -> Result<Vec<Entry>, Failure> {
    let query = query(Some(predicate))?;
    let mut budget = Budget::begin(task.server).await?;
    let mut matches = Matches::new(task, name, query)?;
    let mut all = Vec::new();
    while let Some(entries) = matches.next().await? {
        for entry in entries {
            budget.take(entry.0.len() + entry.1.len())?;
            all.push(entry);
        }
    }
    Ok(all)
}

/// Appends the response with a page.
async fn page(
    task: &mut Task<'_>,
    name: &str,
    holder: &PagingPredicateHolder<'_>,
) -> Result<(), Failure> {
    let request = PageRequest::decode(holder)?;
    let mut budget = Budget::begin(task.server).await?;
    let mut matches = Matches::new(task, name, request.query.clone())?;
    let (mut all, mut kept): (Vec<Entry>, usize) = (Vec::new(), 0);
    while let Some(entries) = matches.next().await? {
        let bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        all.extend(entries);
        let is_over = budget.take(bytes).is_err();
        if is_over || all.len() - kept > PAGE_SURPLUS.max(kept) {
            let needed = request.needed(all.iter().filter_map(blobs))?;
            let mut at = 0..;
            all.retain(|_| at.next().is_some_and(|at| needed.contains(&at)));
            kept = all.len();
            budget.set(all.iter().map(|(key, value)| key.len() + value.len()).sum())?;
        }
    }
    let page = request.page(all.iter().filter_map(blobs))?;
    let (pages, anchors): (Vec<i32>, Vec<(Data<'_>, Data<'_>)>) = page.anchors.into_iter().unzip();
    let anchors = AnchorDataListHolder {
        anchor_page_list: Packed::from(&pages[..]),
        anchor_data_list: List::from(&anchors[..]),
    };
    let (output, id) = (&mut task.output, task.correlation_id);
    match request.iteration {
        Iteration::Keys => {
            let keys: Vec<Data<'_>> = page.entries.iter().map(|(key, _)| *key).collect();
            let keys = List::from(&keys[..]);
            map::KeySetWithPagingPredicate::respond(output, id, 0, keys, anchors);
        }
        Iteration::Values => {
            let values: Vec<Data<'_>> = page.entries.iter().map(|(_, value)| *value).collect();
            let values = List::from(&values[..]);
            map::ValuesWithPagingPredicate::respond(output, id, 0, values, anchors);
        }
        Iteration::Entries => {
            let entries = List::from(&page.entries[..]);
            map::EntriesWithPagingPredicate::respond(output, id, 0, entries, anchors);
        }
    }
    Ok(())
}

/// The result of an aggregation, a blob.
async fn aggregate(
    task: &Task<'_>,
    name: &str,
    aggregator: Data<'_>,
    predicate: Option<Data<'_>>,
) -> Result<Vec<u8>, Failure> {
    let mut aggregation = Aggregation::decode(aggregator)?;
    let query = query(predicate)?;
    let _budget = Budget::begin(task.server).await?;
    let mut matches = Matches::new(task, name, query)?;
    while let Some(entries) = matches.next().await? {
        for blobs in entries.iter().filter_map(blobs) {
            matches.evaluator.evaluate(blobs, |entry| aggregation.add(entry)).await?;
        }
    }
    Ok(aggregation.finish())
}

/// The results of a projection, blobs.
async fn project(
    task: &Task<'_>,
    name: &str,
    projection: Data<'_>,
    predicate: Option<Data<'_>>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let projection = Projection::decode(projection)?;
    let query = query(predicate)?;
    let mut budget = Budget::begin(task.server).await?;
    let mut matches = Matches::new(task, name, query)?;
    let mut results = Vec::new();
    while let Some(entries) = matches.next().await? {
        for blobs in entries.iter().filter_map(blobs) {
            let result = matches.evaluator.evaluate(blobs, |entry| projection.apply(entry)).await?;
            // An empty result needs memory as well.
            budget.take(result.len() + size_of::<Vec<u8>>())?;
            results.push(result);
        }
    }
    Ok(results)
}

/// Removes a key if it has this value, also if it is locked, as in Hazelcast: on behalf of the owner
/// of the lock.
async fn remove_if_same(
    task: &Task<'_>,
    map: &Arc<Map>,
    partition: u16,
    key: &[u8],
    value: &[u8],
) -> Result<Reply, OpError> {
    let same = PutIf::ValueFrom(0, value);
    let remove = Op::Key(key, KeyOp::Plain(PlainOp::RemoveWhen(same)));
    let mut reply = task.server.submit(map, partition, &remove).await;
    for _ in 0..OWNERS_MAX {
        if reply != Err(OpError::Held) {
            break;
        }
        let holder = Op::Lease(key, LeaseOp::Holder);
        let holder = task.server.submit(map, partition, &holder).await?;
        let owner = owner(&holder).unwrap_or_default();
        let op = Op::By { owner, op: Box::new(remove.clone()) };
        reply = task.server.submit(map, partition, &op).await;
    }
    reply
}

/// The owner of a lease.
fn owner(holder: &Reply) -> Option<&[u8]> {
    let Reply::Map(fields) = holder else { return None };
    fields.iter().find_map(|field| match field {
        (Reply::Word(name), Reply::Bytes(owner)) if name == "owner" => Some(&owner[..]),
        _ => None,
    })
}

/// Removes the entries that match. Each is removed only if it still has the value that matched;
/// otherwise its new value is evaluated.
async fn remove_all(task: &Task<'_>, name: &str, predicate: Data<'_>) -> Result<(), Failure> {
    let query = query(Some(predicate))?;
    let _budget = Budget::begin(task.server).await?;
    let mut matches = Matches::new(task, name, query.clone())?;
    let tags = task.server.tags().ok_or(OpError::NoCluster)?;
    let mut is_checked = false;
    while let Some(mut entries) = matches.next().await? {
        if !is_checked && matches.types.check().is_err() {
            // Nothing may be removed if the query is an error.
            let mut all = Matches::new(task, name, query.clone())?;
            while all.next().await?.is_some() {}
            is_checked = true;
        }
        let map = Arc::clone(matches.scan.map());
        let (format, partition) = (matches.scan.format(), matches.scan.partition());
        for _ in 0..REMOVAL_TRIES_MAX {
            let mut changed = VecDeque::new();
            for part in entries.chunks(REMOVALS_MAX) {
                let mut stored = Vec::new();
                for (key, value) in part.iter().filter_map(blobs) {
                    let mut key_stored = Vec::new();
                    format.key(tags, key, &mut key_stored)?;
                    stored.push((key_stored, format.value(value)?));
                }
                let removals = stored
                    .iter()
                    .map(|(key, value)| remove_if_same(task, &map, partition, key, value));
                let replies = join_all(removals.collect::<Vec<_>>()).await;
                for ((key, _), reply) in stored.iter().zip(replies) {
                    match reply {
                        Ok(Reply::Integer(0)) => changed.push_back(Bytes::copy_from_slice(key)),
                        Ok(_) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            if changed.is_empty() {
                break;
            }
            let mut reader = ValueReader::default();
            entries.clear();
            while !changed.is_empty() {
                for entry in reader.next(task.server, &map, partition, &mut changed).await? {
                    if matches.matches(&entry).await? {
                        entries.push(entry);
                    }
                }
            }
        }
    }
    Ok(())
}
