//! Whether a client may run a command.

use super::super::answer::CommandError;
use super::super::client::Client;
use super::super::command::Command;
use super::super::encode::Protocol;
use super::super::request::Request;
use crate::trust::Trust;

/// Whether the client may run a command in its current state: the only place where permissions are
/// checked, by the flags of the row.
#[inline]
pub(super) fn admit(
    client: &Client,
    command: &Command,
    request: &Request<'_>,
) -> Result<(), CommandError> {
    if !command.takes(request.len()) {
        return Err(CommandError::arity(command.name));
    }
    if client.trust == Trust::Unauthenticated && !command.is(Command::NO_AUTH) {
        return Err(CommandError::new("NOAUTH Authentication required."));
    }
    let is_read_only = client.trust == Trust::ReadOnly;
    if is_read_only && (command.is(Command::WRITE) || command.is(Command::ADMIN)) {
        let name = command.name;
        return Err(CommandError(
            format!("NOPERM this user has no permissions to run the '{name}' command").into(),
        ));
    }
    let is_subscribed = client.protocol == Protocol::Resp2 && client.subscriptions() > 0;
    if is_subscribed && !command.is(Command::WHILE_SUBSCRIBED) {
        return Err(CommandError(
            format!("ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", command.name).into(),
        ));
    }
    if client.transaction.is_some() && command.is(Command::NO_MULTI) {
        return Err(CommandError::new("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

/// Fails for commands on data while the memory held for clients is at its limit.
#[inline]
pub(super) fn check_memory(client: &Client, command: &Command) -> Result<(), CommandError> {
    let accesses_data = command.is(Command::READ) || command.is(Command::WRITE);
    if accesses_data && is_busy(client) { Err(CommandError::BUSY) } else { Ok(()) }
}

/// Whether the memory held for clients is at its limit.
#[inline]
pub(super) fn is_busy(client: &Client) -> bool {
    client.server.pubsub.ledger.is_full()
}
