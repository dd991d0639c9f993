//! Errors of keys and groups that come before those of arguments.

use convoke_grid::op::{Op, StreamOp};

use super::read::wrong_id;
use super::stream;
use crate::resp::request::Request;

/// Operations that fail, in this order, if a key of a command with a wrong argument has another type,
/// or no such group. Redis checks these before the argument, and clients create the group at that
/// error. None for other commands, and for arguments that Redis checks first.
pub(crate) fn checks<'a>(command: &str, request: &Request<'a>) -> Vec<Op<'a>> {
    let (Some(key), group) = (request.get(1), request.get(2)) else { return Vec::new() };
    match command {
        "xclaim" => {
            group.map(|group| stream(key, StreamOp::PendingSummary(group))).into_iter().collect()
        }
        "xack" | "xdel" => vec![stream(key, StreamOp::Length)],
        "xread" => wrong_id(request, false)
            .map(|read| read.keys.into_iter().map(|key| stream(key, StreamOp::Length)).collect())
            .unwrap_or_default(),
        "xreadgroup" => wrong_id(request, true)
            .and_then(|read| {
                let group = read.group?;
                let check = |key| stream(key, StreamOp::CheckGroup(group));
                Some(read.keys.into_iter().map(check).collect())
            })
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}
