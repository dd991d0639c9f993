//! `IList`.

use convoke_grid::KeyOp;
use convoke_grid::op::ItemsOp;
use convoke_hazelcast::codec::list::{self, Request};
use convoke_hazelcast::error::ErrorCode;

use super::super::errors::Failure;
use super::replies::response;
use super::{ITEMS_MAX, Kind, Row, Wait, blobs, index};

/// Stands for the end of the list; as both indices of a range, for all items.
const END: i32 = -1;

/// The items from one index to another (exclusive).
fn range(from: i32, to: i32) -> Result<ItemsOp<'static>, Failure> {
    match (from, to) {
        (END, END) => Ok(ItemsOp::Range(0, None)),
        (from, END) => Ok(ItemsOp::Range(index(from)?, None)),
        (from, to) if from > to => {
            let text = format!("the index {from} is greater than {to}");
            Err(Failure::new(ErrorCode::IllegalArgument, text))
        }
        (from, to) => Ok(ItemsOp::Range(index(from)?, Some(index(to)?))),
    }
}

/// The row of a request; `None` if it is about a listener.
pub(super) fn row<'a>(request: &Request<'a>) -> Result<Option<Row<'a>>, Failure> {
    macro_rules! row {
        ($r:ident, $op:expr, $request:ident: $reply:ident) => {
            Row {
                kind: Kind::List,
                name: $r.name,
                op: KeyOp::Items($op),
                respond: response!(list::$request<'_>: $reply),
                wait: Wait::No,
            }
        };
    }
    let insert = |at, items| ItemsOp::Insert { at, items, max: ITEMS_MAX };
    Ok(Some(match request {
        Request::Add(r) => row!(r, insert(None, vec![r.value.bytes()]), Add: accepted),
        // Nothing changes.
        Request::AddAll(r) if r.value_list.is_empty() => {
            row!(r, ItemsOp::ContainsAll(Vec::new()), AddAll: refused)
        }
        Request::AddAllWithIndex(r) if r.value_list.is_empty() => {
            let at = index(r.index)?;
            row!(r, ItemsOp::Range(at, Some(at)), AddAllWithIndex: refused)
        }
        Request::AddAll(r) => row!(r, insert(None, blobs(r.value_list)), AddAll: accepted),
        Request::AddWithIndex(r) => {
            let at = index(r.index)?;
            row!(r, insert(Some(at), vec![r.value.bytes()]), AddWithIndex: nothing)
        }
        Request::AddAllWithIndex(r) => {
            let at = index(r.index)?;
            row!(r, insert(Some(at), blobs(r.value_list)), AddAllWithIndex: accepted)
        }
        Request::Get(r) => row!(r, ItemsOp::Get(index(r.index)?), Get: item),
        Request::Set(r) => {
            row!(r, ItemsOp::Replace(index(r.index)?, r.value.bytes()), Set: item)
        }
        Request::RemoveWithIndex(r) => {
            row!(r, ItemsOp::RemoveAt(index(r.index)?), RemoveWithIndex: item)
        }
        Request::Remove(r) => row!(r, ItemsOp::Remove(r.value.bytes()), Remove: flag),
        Request::Contains(r) => {
            row!(r, ItemsOp::ContainsAll(vec![r.value.bytes()]), Contains: flag)
        }
        Request::ContainsAll(r) => {
            row!(r, ItemsOp::ContainsAll(blobs(r.values)), ContainsAll: flag)
        }
        Request::CompareAndRemoveAll(r) => {
            row!(r, ItemsOp::RemoveAll(blobs(r.values)), CompareAndRemoveAll: flag)
        }
        Request::CompareAndRetainAll(r) => {
            row!(r, ItemsOp::RetainAll(blobs(r.values)), CompareAndRetainAll: flag)
        }
        Request::IndexOf(r) => {
            row!(r, ItemsOp::Position { item: r.value.bytes(), is_last: false }, IndexOf: number)
        }
        Request::LastIndexOf(r) => row!(
            r,
            ItemsOp::Position { item: r.value.bytes(), is_last: true },
            LastIndexOf: number
        ),
        Request::Sub(r) => row!(r, range(r.from, r.to)?, Sub: items),
        Request::ListIterator(r) => row!(r, range(r.index, END)?, ListIterator: items),
        Request::Iterator(r) => row!(r, ItemsOp::Range(0, None), Iterator: items),
        Request::GetAll(r) => row!(r, ItemsOp::Range(0, None), GetAll: items),
        Request::Clear(r) => row!(r, ItemsOp::Clear, Clear: nothing),
        Request::Size(r) => row!(r, ItemsOp::Length, Size: number),
        Request::IsEmpty(r) => row!(r, ItemsOp::Length, IsEmpty: is_zero),
        Request::AddListener(_) | Request::RemoveListener(_) => return Ok(None),
    }))
}
