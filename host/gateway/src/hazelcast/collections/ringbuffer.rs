//! `Ringbuffer`.
//!
//! Ringbuffers have the default configuration of Hazelcast: items have no time to live, so a full
//! ringbuffer overwrites its oldest items, whatever the policy of a request is.

use std::sync::Arc;

use convoke_grid::op::RingOp;
use convoke_grid::{KeyOp, Map, Reply};
use convoke_hazelcast::codec::ringbuffer::{self, Request};
use convoke_hazelcast::codec::{List, Packed};
use convoke_hazelcast::data::type_id;
use convoke_hazelcast::error::ErrorCode;

use super::super::errors::Failure;
use super::super::server::Server;
use super::replies::{bounds, item, items};
use super::{Kind, Row, Wait, blobs};

/// Maximum number of items in a ringbuffer.
const CAPACITY: u16 = 10_000;
/// Maximum number of items that one request adds or reads.
const BATCH_ITEMS_MAX: usize = 1_000;
/// The policy of requests that overwrite the oldest items, and of those that do not.
const POLICIES: [i32; 2] = [0, 1];

fn invalid(text: String) -> Failure {
    Failure::new(ErrorCode::IllegalArgument, text)
}

/// A number that is not negative.
fn positive(name: &str, number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| invalid(format!("{name} is negative: {number}")))
}

fn check_policy(policy: i32) -> Result<(), Failure> {
    if POLICIES.contains(&policy) {
        Ok(())
    } else {
        Err(invalid(format!("the overflow policy {policy} is unknown")))
    }
}

fn add(items: Vec<&[u8]>) -> RingOp<'_> {
    RingOp::Add { items, capacity: CAPACITY.into() }
}

/// The sequence of a reply to [`RingOp::Add`].
fn sequence(reply: &Reply) -> i64 {
    if let Reply::Integer(sequence) = reply { *sequence } else { -1 }
}

/// The row of a request; `None` if it is not supported.
///
/// # Errors
/// An argument is invalid.
pub(super) fn row<'a>(request: &Request<'a>) -> Result<Option<Row<'a>>, Failure> {
    macro_rules! row {
        ($r:ident, $op:expr, |$output:ident, $id:ident, $reply:ident| $respond:expr) => {
            row!($r, $op, Wait::No, |$output, $id, $reply| $respond)
        };
        ($r:ident, $op:expr, $wait:expr, |$output:ident, $id:ident, $reply:ident| $respond:expr) => {
            Row {
                kind: Kind::Ringbuffer,
                name: $r.name,
                op: KeyOp::Ring($op),
                respond: |$output, $id, $reply| $respond,
                wait: $wait,
            }
        };
    }
    Ok(Some(match request {
        Request::Size(r) => row!(r, RingOp::Bounds, |output, id, reply| {
            let (head, tail) = bounds(&reply);
            ringbuffer::Size::respond(output, id, 0, tail + 1 - head);
        }),
        Request::HeadSequence(r) => row!(r, RingOp::Bounds, |output, id, reply| {
            ringbuffer::HeadSequence::respond(output, id, 0, bounds(&reply).0);
        }),
        Request::TailSequence(r) => row!(r, RingOp::Bounds, |output, id, reply| {
            ringbuffer::TailSequence::respond(output, id, 0, bounds(&reply).1);
        }),
        Request::Capacity(r) => row!(r, RingOp::Bounds, |output, id, _reply| {
            ringbuffer::Capacity::respond(output, id, 0, CAPACITY.into());
        }),
        // All of it, as for any ringbuffer whose items have no time to live.
        Request::RemainingCapacity(r) => row!(r, RingOp::Bounds, |output, id, _reply| {
            ringbuffer::RemainingCapacity::respond(output, id, 0, CAPACITY.into());
        }),
        Request::Add(r) => {
            check_policy(r.overflow_policy)?;
            row!(r, add(vec![r.value.bytes()]), |output, id, reply| {
                ringbuffer::Add::respond(output, id, 0, sequence(&reply));
            })
        }
        Request::AddAll(r) => {
            check_policy(r.overflow_policy)?;
            let count = r.value_list.len();
            if !(1..=BATCH_ITEMS_MAX).contains(&count) {
                let text = format!("{count} items: it must be 1 to {BATCH_ITEMS_MAX}");
                return Err(invalid(text));
            }
            row!(r, add(blobs(r.value_list)), |output, id, reply| {
                ringbuffer::AddAll::respond(output, id, 0, sequence(&reply));
            })
        }
        Request::ReadOne(r) => {
            let sequence = u64::try_from(r.sequence).map_err(|_| {
                let text = format!("the sequence {} is before the first item", r.sequence);
                Failure::new(ErrorCode::StaleSequence, text)
            })?;
            row!(r, RingOp::Item(sequence), Wait::Forever, |output, id, reply| {
                respond_one(output, id, &reply);
            })
        }
        // Clients in JavaScript send no filter as the blob of null.
        Request::ReadMany(r) if r.filter.is_none_or(|f| f.type_id() == type_id::NULL) => {
            let from = positive("the sequence", r.start_sequence)?;
            let min = positive("the minimum number of items", r.min_count.into())?;
            let max = positive("the maximum number of items", r.max_count.into())?;
            if max < min || max > BATCH_ITEMS_MAX as u64 {
                return Err(invalid(format!(
                    "{max} items at most: it must be at least {min}, and at most {BATCH_ITEMS_MAX}"
                )));
            }
            let wait = if min > 0 { Wait::Forever } else { Wait::No };
            row!(r, RingOp::Read { from, min, max }, wait, |output, id, reply| {
                respond_many(output, id, &reply);
            })
        }
        // The filter is an object of Java.
        Request::ReadMany(_) => return Ok(None),
    }))
}

/// Appends the response to a request for one item.
fn respond_one(output: &mut Vec<u8>, id: i64, reply: &Reply) {
    if let Some(item) = item(reply) {
        return ringbuffer::ReadOne::respond(output, id, 0, Some(item));
    }
    let (head, tail) = bounds(reply);
    let text = format!("there is no item of this sequence: head is {head}, tail is {tail}");
    Failure::new(ErrorCode::StaleSequence, text).respond(output, id);
}

/// Appends the response to a request for several items.
fn respond_many(output: &mut Vec<u8>, id: i64, reply: &Reply) {
    let (first, items) = match reply {
        Reply::List(parts) => match &parts[..] {
            [Reply::Integer(first), found] => (*first, items(found)),
            _ => (0, Vec::new()),
        },
        _ => (0, Vec::new()),
    };
    let count = i32::try_from(items.len()).unwrap_or(i32::MAX);
    let next = first + i64::from(count);
    let sequences: Vec<i64> = (first..next).collect();
    let (items, sequences) = (List::from(&items[..]), Packed::from(&sequences[..]));
    ringbuffer::ReadMany::respond(output, id, 0, count, next, items, Some(sequences));
}

/// The operation that reads from the sequence at which a reader waits: one that is beyond the tail
/// when it begins is the next one, also once there are further items. `None` for other operations.
///
/// # Errors
/// A single item is asked for that will never be there, or is too far ahead.
pub(super) async fn bounded(
    server: &Server,
    (map, partition, key): (&Arc<Map>, u16, &[u8]),
    op: &KeyOp<'_>,
) -> Result<Option<KeyOp<'static>>, Failure> {
    let (from, is_one) = match op {
        KeyOp::Ring(RingOp::Read { from, .. }) => (*from, false),
        KeyOp::Ring(RingOp::Item(from)) => (*from, true),
        _ => return Ok(None),
    };
    let reply = server.submit_key(map, partition, key, KeyOp::Ring(RingOp::Bounds)).await?;
    let (_, tail) = bounds(&reply);
    let next = u64::try_from(tail.saturating_add(1)).unwrap_or(0);
    if is_one && from > next {
        return Err(invalid(format!("the sequence {from} is too large: tail is {tail}")));
    }
    Ok(match op {
        KeyOp::Ring(RingOp::Read { min, max, .. }) => {
            Some(KeyOp::Ring(RingOp::Read { from: from.min(next), min: *min, max: *max }))
        }
        _ => None,
    })
}
