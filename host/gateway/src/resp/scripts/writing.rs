//! Whether a command may change the data, as far as a script says so itself.

use std::sync::Arc;

use bytes::Bytes;
use convoke_script::{Flags, Script};

use super::super::command::Command;
use super::super::request::Request;
use super::super::server::Server;
use super::commands::{checksum, find};
use super::libraries;

/// Whether a command may change the data. A script or function with the flag `no-writes` does not; one
/// that this member does not know yet may. As in Redis, functions are data, and loaded scripts are not.
pub(crate) fn may_write(server: &Server, command: &Command, request: &Request<'_>) -> bool {
    if !command.is(Command::WRITE) || command.name.starts_with("script|") {
        return false;
    }
    let first = request.get(1).unwrap_or_default();
    let flags: Option<Flags> = match command.name {
        "eval" => Script::new(Bytes::copy_from_slice(first)).ok().and_then(|script| script.flags),
        "evalsha" => checksum(first)
            .and_then(|sha| server.scripts.get(&server.grid, &sha))
            .and_then(|script| script.flags),
        "fcall" => libraries::last_read(server)
            .and_then(|catalog| catalog.function(first).map(|(_, function)| function.flags)),
        _ => None,
    };
    !flags.is_some_and(|flags| flags.no_writes)
}

/// Like [`may_write`], but asks the cluster for a script or function that this member does not know.
pub(crate) async fn learn_whether_it_may_write(
    server: &Arc<Server>,
    command: &Command,
    request: &Request<'_>,
) -> bool {
    match command.name {
        "evalsha" => {
            if let Some(sha) = checksum(request.get(1).unwrap_or_default()) {
                let _ = find(server, &sha).await;
            }
        }
        "fcall" => _ = libraries::current(server).await,
        _ => return true,
    }
    may_write(server, command, request)
}
