//! Stream commands.

mod add;
mod blocking;
mod checks;
mod delete;
mod groups;
mod ids;
mod pending;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use add::{xadd, xsetid, xtrim};
pub(crate) use blocking::{read_as_consumer, start};
pub(crate) use checks::checks;
pub(crate) use delete::{xackdel, xdel, xdelex};
pub(crate) use groups::{
    xgroup_create, xgroup_createconsumer, xgroup_delconsumer, xgroup_destroy, xgroup_setid,
    xinfo_consumers, xinfo_groups, xinfo_stream,
};
pub(crate) use pending::{xack, xautoclaim, xclaim, xpending};
pub(crate) use read::{xlen, xrange, xread, xreadgroup, xrevrange};

use convoke_grid::op::{KeyOp, Op, StreamOp};

fn stream<'a>(key: &'a [u8], op: StreamOp<'a>) -> Op<'a> {
    Op::Key(key, KeyOp::Stream(op))
}
