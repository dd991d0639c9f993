//! `IQueue`.

use convoke_grid::KeyOp;
use convoke_grid::op::ItemsOp;
use convoke_hazelcast::codec::queue::{self, Request};

use super::replies::response;
use super::{ITEMS_MAX, Kind, Row, Wait, blobs};

/// The row of a request; `None` if it is about a listener.
pub(super) fn row<'a>(request: &Request<'a>) -> Option<Row<'a>> {
    macro_rules! row {
        ($r:ident, $op:expr, $request:ident: $reply:ident) => {
            row!($r, $op, Wait::No, $request: $reply)
        };
        ($r:ident, $op:expr, $wait:expr, $request:ident: $reply:ident) => {
            Row {
                kind: Kind::Queue,
                name: $r.name,
                op: KeyOp::Items($op),
                respond: response!(queue::$request<'_>: $reply),
                wait: $wait,
            }
        };
    }
    let add = |items| ItemsOp::Insert { at: None, items, max: ITEMS_MAX };
    let drain = |max: i32| ItemsOp::PopMany(u64::try_from(max).unwrap_or(u64::MAX));
    Some(match request {
        Request::Offer(r) => {
            let wait = Wait::timeout(r.timeout_millis);
            row!(r, add(vec![r.value.bytes()]), wait, Offer: accepted)
        }
        Request::Put(r) => {
            row!(r, add(vec![r.value.bytes()]), Wait::Forever, Put: nothing)
        }
        Request::AddAll(r) => row!(r, add(blobs(r.data_list)), AddAll: accepted),
        Request::Poll(r) => {
            row!(r, ItemsOp::Pop, Wait::timeout(r.timeout_millis), Poll: item)
        }
        Request::Take(r) => row!(r, ItemsOp::Pop, Wait::Forever, Take: item),
        Request::Peek(r) => row!(r, ItemsOp::First, Peek: item),
        Request::Remove(r) => row!(r, ItemsOp::Remove(r.value.bytes()), Remove: flag),
        Request::DrainTo(r) => row!(r, ItemsOp::PopMany(u64::MAX), DrainTo: items),
        Request::DrainToMaxSize(r) => row!(r, drain(r.max_size), DrainToMaxSize: items),
        Request::Iterator(r) => row!(r, ItemsOp::Range(0, None), Iterator: items),
        Request::Contains(r) => {
            row!(r, ItemsOp::ContainsAll(vec![r.value.bytes()]), Contains: flag)
        }
        Request::ContainsAll(r) => {
            row!(r, ItemsOp::ContainsAll(blobs(r.data_list)), ContainsAll: flag)
        }
        Request::CompareAndRemoveAll(r) => {
            row!(r, ItemsOp::RemoveAll(blobs(r.data_list)), CompareAndRemoveAll: flag)
        }
        Request::CompareAndRetainAll(r) => {
            row!(r, ItemsOp::RetainAll(blobs(r.data_list)), CompareAndRetainAll: flag)
        }
        Request::Clear(r) => row!(r, ItemsOp::Clear, Clear: nothing),
        Request::Size(r) => row!(r, ItemsOp::Length, Size: number),
        Request::IsEmpty(r) => row!(r, ItemsOp::Length, IsEmpty: is_zero),
        Request::RemainingCapacity(r) => Row {
            kind: Kind::Queue,
            name: r.name,
            op: KeyOp::Items(ItemsOp::Length),
            respond: |output, id, reply| {
                let room = i32::MAX.saturating_sub(super::replies::number(&reply));
                queue::RemainingCapacity::respond(output, id, 0, room);
            },
            wait: Wait::No,
        },
        Request::AddListener(_) | Request::RemoveListener(_) => return None,
    })
}
