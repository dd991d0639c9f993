//! `ISet`.

use convoke_grid::KeyOp;
use convoke_grid::op::DistinctOp;
use convoke_hazelcast::codec::set::{self, Request};

use super::replies::response;
use super::{Kind, Row, Wait, blobs};

/// The row of a request; `None` if it is about a listener.
pub(super) fn row<'a>(request: &Request<'a>) -> Option<Row<'a>> {
    macro_rules! row {
        ($r:ident, $op:expr, $request:ident: $reply:ident) => {
            Row {
                kind: Kind::Set,
                name: $r.name,
                op: KeyOp::Distinct($op),
                respond: response!(set::$request<'_>: $reply),
                wait: Wait::No,
            }
        };
    }
    Some(match request {
        Request::Add(r) => row!(r, DistinctOp::Add(vec![r.value.bytes()]), Add: flag),
        Request::AddAll(r) => row!(r, DistinctOp::Add(blobs(r.value_list)), AddAll: flag),
        Request::Remove(r) => row!(r, DistinctOp::Remove(vec![r.value.bytes()]), Remove: flag),
        Request::Contains(r) => {
            row!(r, DistinctOp::ContainsAll(vec![r.value.bytes()]), Contains: flag)
        }
        Request::ContainsAll(r) => {
            row!(r, DistinctOp::ContainsAll(blobs(r.items)), ContainsAll: flag)
        }
        Request::CompareAndRemoveAll(r) => {
            row!(r, DistinctOp::Remove(blobs(r.values)), CompareAndRemoveAll: flag)
        }
        Request::CompareAndRetainAll(r) => {
            row!(r, DistinctOp::Retain(blobs(r.values)), CompareAndRetainAll: flag)
        }
        Request::GetAll(r) => row!(r, DistinctOp::All, GetAll: items),
        Request::Clear(r) => row!(r, DistinctOp::Clear, Clear: nothing),
        Request::Size(r) => row!(r, DistinctOp::Length, Size: number),
        Request::IsEmpty(r) => row!(r, DistinctOp::Length, IsEmpty: is_zero),
        Request::AddListener(_) | Request::RemoveListener(_) => return None,
    })
}
