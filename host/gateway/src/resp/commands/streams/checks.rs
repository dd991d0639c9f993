//! Errors of keys and groups that come before those of arguments.

use convoke_grid::op::{Op, StreamOp};

use super::read::balanced;
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
        "xread" => balanced(request, false)
            .map(|(_, keys)| keys.into_iter().map(|key| stream(key, StreamOp::Length)).collect())
            .unwrap_or_default(),
        "xreadgroup" => balanced(request, true)
            .and_then(|(group, keys)| {
                let check = |key| group.map(|group| stream(key, StreamOp::CheckGroup(group)));
                keys.into_iter().map(check).collect()
            })
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}
