//! What replies of the grid mean.

use convoke_grid::Reply;
use convoke_hazelcast::data::Data;

/// Whether something was done, or is so.
pub(super) fn flag(reply: &Reply) -> bool {
    matches!(reply, Reply::Integer(number) if *number != 0)
}

/// Whether items were accepted: the reply is nil if there was no room for them.
pub(super) fn accepted(reply: &Reply) -> bool {
    *reply != Reply::Nil
}

/// Whether a length is 0.
pub(super) fn is_zero(reply: &Reply) -> bool {
    *reply == Reply::Integer(0)
}

/// A length, or an index; -1 if there is none.
pub(super) fn number(reply: &Reply) -> i32 {
    match reply {
        Reply::Integer(number) => i32::try_from(*number).unwrap_or(i32::MAX),
        _ => -1,
    }
}

/// An item.
pub(super) fn item(reply: &Reply) -> Option<Data<'_>> {
    match reply {
        Reply::Bytes(bytes) => Data::new(bytes),
        _ => None,
    }
}

/// Items in order.
pub(super) fn items(reply: &Reply) -> Vec<Data<'_>> {
    match reply {
        Reply::List(all) => all.iter().filter_map(item).collect(),
        _ => Vec::new(),
    }
}

/// Head and tail of a ringbuffer: the sequences of its oldest and its newest item.
pub(super) fn bounds(reply: &Reply) -> (i64, i64) {
    match reply {
        Reply::List(bounds) => match bounds[..] {
            [Reply::Integer(head), Reply::Integer(tail)] => (head, tail),
            _ => (0, -1),
        },
        _ => (0, -1),
    }
}

/// A function that appends the response of a request.
macro_rules! response {
    ($request:ty: nothing) => {
        |output, id, _| <$request>::respond(output, id, 0)
    };
    ($request:ty: refused) => {
        |output, id, _| <$request>::respond(output, id, 0, false)
    };
    ($request:ty: items) => {
        |output, id, reply| {
            let items = $crate::hazelcast::collections::replies::items(&reply);
            let items = convoke_hazelcast::codec::List::from(&items[..]);
            <$request>::respond(output, id, 0, items);
        }
    };
    ($request:ty: $reply:ident) => {
        |output, id, reply| {
            let reply = $crate::hazelcast::collections::replies::$reply(&reply);
            <$request>::respond(output, id, 0, reply);
        }
    };
}
pub(super) use response;
