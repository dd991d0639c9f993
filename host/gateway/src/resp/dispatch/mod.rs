//! From a request to its command: looks it up in the table, checks whether the client may run it,
//! and starts it or queues it for `EXEC`.

mod admit;
mod exec;
mod run;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use convoke_grid::OpError;

use super::answer::{Answer, CommandError};
use super::client::{Client, ReplyMode};
use super::command::{Command, Handler, Missing};
use super::commands::tracking;
use super::encode::{Encoder, error_text};
use super::outcome::Outcome;
use super::request::Request;
use super::scripts;
use super::server::Server;
use admit::{admit, check_memory};
use run::run;
use table::{COMMANDS, TABLE, get_index};

/// Starts the command of a request. A reply that is available at once may be written directly to
/// `sink`.
pub(crate) fn begin(client: &mut Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Outcome {
    let is_tracking = client.tracking.is_some();
    let outcome = begin_command(client, request, sink);
    if is_tracking {
        tracking::end_choice(client, row_of(request).ok().map(|index| &COMMANDS[index]));
    }
    outcome
}

fn begin_command(client: &mut Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Outcome {
    client.server.counters.commands.fetch_add(1, Ordering::Relaxed);
    let admitted = row_of(request).and_then(|index| {
        admit(client, &COMMANDS[index], request)?;
        check_memory(client, &COMMANDS[index])?;
        Ok(index)
    });
    let index = match admitted {
        Ok(index) => index,
        Err(error) => {
            if let Some(transaction) = &mut client.transaction {
                transaction.is_aborted = true;
            }
            let is_other_protocol = request
                .get(0)
                .is_some_and(|name| OTHER_PROTOCOLS.contains(&&*name.to_ascii_lowercase()));
            return if is_other_protocol {
                // Cross-protocol scripting by a browser: the rest of the input must not be
                // executed.
                Outcome::Close(Answer::Nothing)
            } else {
                error.into()
            };
        }
    };
    client.info.command.store(index, Ordering::Relaxed);
    let command: &'static Command = &COMMANDS[index];
    if client.transaction.is_some() && !command.is(Command::NOT_QUEUED) {
        return exec::queue(client, index, request);
    }
    if client.tracking.is_some() {
        tracking::note_reads(client, command, request);
    }
    if index == get_index()
        && client.reply_mode == ReplyMode::On
        && let Some(()) = get_local(client, request, sink)
    {
        return Outcome::Ready(Answer::Nothing);
    }
    let begun = match command.handler {
        Handler::Exec => exec::exec(client),
        _ => run(client, command, request),
    };
    begun.unwrap_or_else(Outcome::from)
}

/// Makes a server run the scripts that other members send to this one, as the primary of a
/// partition. They are run whether or not clients connect to this member.
pub fn run_scripts(server: &Arc<Server>) {
    let weak = Arc::downgrade(server);
    server.grid.run_requests_with(move |partition, request| match weak.upgrade() {
        Some(server) => scripts::run_request(&server, &TABLE, partition, &request),
        None => Box::pin(std::future::ready(Some(Err(OpError::Unavailable)))),
    });
}

/// First words of HTTP requests; see `securityWarningCommand` of Redis.
const OTHER_PROTOCOLS: [&[u8]; 2] = [b"post", b"host:"];

/// The index of the row that a request resolves to.
fn row_of(request: &Request<'_>) -> Result<usize, CommandError> {
    TABLE.resolve(request.get(0).unwrap_or_default(), request.get(1)).map_err(|missing| {
        match missing {
            Missing::Command => unknown(request),
            Missing::Subcommand(name) => unknown_subcommand(request, name),
        }
    })
}

/// Fast path of `GET`: writes the value if this member is the primary; `None` otherwise.
fn get_local(client: &Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Option<()> {
    let key = request.get(1)?;
    let grid = &client.server.grid;
    let partition = grid.partition_of(key);
    let protocol = client.protocol;
    let mut encoder = Encoder { buffer: sink, protocol };
    let result = grid.get_here(&client.map, partition, key, &mut |value| match value {
        Some(bytes) => encoder.bulk(bytes),
        None => encoder.nil(),
    })?;
    if let Err(error) = result {
        encoder.error(&error_text(&error));
    }
    Some(())
}

/// Unknown command, worded as in Redis, with the first arguments.
fn unknown(request: &Request<'_>) -> CommandError {
    const SHOWN_BYTES_MAX: usize = 128;
    let shown = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]).into_owned()
    };
    let name = shown(request.get(0).unwrap_or_default());
    let mut arguments = String::new();
    for argument in request.from(1) {
        if arguments.len() >= SHOWN_BYTES_MAX {
            break;
        }
        arguments.push_str(&format!("'{}' ", shown(argument)));
    }
    CommandError(
        format!("ERR unknown command '{name}', with args beginning with: {arguments}").into(),
    )
}

/// Unknown subcommand, worded as in Redis.
fn unknown_subcommand(request: &Request<'_>, name: &str) -> CommandError {
    const SHOWN_BYTES_MAX: usize = 128;
    let subcommand = request.get(1).unwrap_or_default();
    let subcommand =
        String::from_utf8_lossy(&subcommand[..subcommand.len().min(SHOWN_BYTES_MAX)]).into_owned();
    let name = name.to_uppercase();
    CommandError(format!("ERR unknown subcommand '{subcommand}'. Try {name} HELP.").into())
}
