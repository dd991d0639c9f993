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
use std::time::Instant;

use convoke_grid::OpError;

use super::answer::{Answer, CommandError};
use super::client::{Client, ReplyMode};
use super::command::{Command, Handler, Missing};
use super::command_state::{CommandResult, CommandState, Continuation};
use super::commands::{tracking, transactions};
use super::encode::{Encoder, error_text};
use super::request::{OwnedRequest, Request};
use super::scripts;
use super::server::Server;
use super::slow_log::{KeptArguments, slow_arguments};
use super::stats::{Ended, InProgress, QUICK_BYTES_MAX};
use admit::{admit, check_memory};
use run::run;
use table::{COMMANDS, TABLE, get_index, set_index};

/// Starts the command of a request. A reply that is available at once may be written directly to
/// `sink`.
pub(crate) fn begin(
    client: &mut Client,
    request: &Request<'_>,
    sink: &mut Vec<u8>,
) -> CommandState {
    let server = &client.server;
    let found = row_of(request);
    let row = found.as_ref().ok().copied();
    let admitted = found.and_then(|index| {
        admit(client, &COMMANDS[index], request)?;
        check_memory(client, &COMMANDS[index])?;
        Ok(index)
    });
    let outcome = match admitted {
        Ok(index) => begin_admitted(client, index, request, sink),
        Err(error) => {
            if let Some(index) = row {
                server.stats.count(client.lane, index, None, Ended::Rejected);
            }
            server.stats.count_error(&error.0);
            reject(client, row, error, request)
        }
    };
    if client.tracking.is_some() {
        tracking::end_choice(client, row.map(|index| &COMMANDS[index]));
    }
    outcome
}

/// The outcome of a command that the client may not run.
fn reject(
    client: &mut Client,
    row: Option<usize>,
    error: CommandError,
    request: &Request<'_>,
) -> CommandState {
    if row.is_some_and(|index| matches!(COMMANDS[index].handler, Handler::Exec))
        && let Some(reason) = error.0.strip_prefix("ERR ")
    {
        // As in Redis, it ends the transaction in any case.
        transactions::discard_all(client);
        let text = format!("EXECABORT Transaction discarded because of: {reason}");
        return CommandError(text.into()).into();
    }
    if let Some(transaction) = &mut client.transaction {
        transaction.is_aborted = true;
    }
    let is_other_protocol =
        request.get(0).is_some_and(|name| OTHER_PROTOCOLS.contains(&&*name.to_ascii_lowercase()));
    if is_other_protocol {
        // Cross-protocol scripting by a browser: the rest of the input must not be executed.
        CommandState::Close(Answer::Nothing)
    } else {
        error.into()
    }
}

/// Starts or queues a command that the client may run.
fn begin_admitted(
    client: &mut Client,
    index: usize,
    request: &Request<'_>,
    sink: &mut Vec<u8>,
) -> CommandState {
    let command: &'static Command = &COMMANDS[index];
    client.info.command.store(index, Ordering::Relaxed);
    // No other task writes it.
    let commands = client.info.commands.load(Ordering::Relaxed) + 1;
    client.info.commands.store(commands, Ordering::Relaxed);
    if client.server.monitors.is_any() && !command.is(Command::ADMIN) {
        client.server.monitors.show(client.database, client.info.peer, request);
    }
    if client.transaction.is_some() && !command.is(Command::NOT_QUEUED) {
        return exec::queue(client, index, request);
    }
    let server = &client.server;
    let writes = || pauses_with_writes(client, command, request);
    if !command.is(Command::ADMIN) && server.pause.holds(writes, || server.elapsed_ms()) {
        let writes = writes();
        let (server, request) = (Arc::clone(server), OwnedRequest::from(request));
        return CommandState::Continue(Box::pin(async move {
            let writes = writes && {
                let request = request.as_request();
                scripts::learn_whether_it_may_write(&server, command, &request).await
            };
            let held = server.pause_ended(writes).await;
            let next: Continuation = Box::new(move |client| {
                let _held = held;
                let request = request.as_request();
                if client.tracking.is_some() {
                    tracking::note_reads(client, &COMMANDS[index], &request);
                }
                run_or_exec(client, index, &request).unwrap_or_else(CommandState::from)
            });
            next
        }));
    }
    if client.tracking.is_some() {
        tracking::note_reads(client, command, request);
    }
    let is_fast = command.is(Command::FAST);
    let is_quick = is_fast || (index == set_index() && request.consumed <= QUICK_BYTES_MAX);
    let weight = client.server.stats.weight_of_next(client.lane, index, is_quick, 0);
    let started = (weight > 0).then(Instant::now);
    let (outcome, has_failed) = start(client, index, request, sink);
    let (CommandState::Ready(answer) | CommandState::Close(answer)) = &outcome else {
        // It is counted once it has its reply.
        client.in_progress = Some(InProgress {
            command: index,
            started: started.unwrap_or(client.turn_started),
            is_fast,
            is_blocking: command.is(Command::BLOCKING),
            arguments: KeptArguments::of(request),
        });
        return outcome;
    };
    let time = started.map(|started| (started.elapsed(), weight));
    let stats = &client.server.stats;
    let ended = if has_failed { Ended::Failed } else { stats.note_answer(answer) };
    stats.count(client.lane, index, time, ended);
    if let Some((time, _)) = time.filter(|(time, _)| stats.slow_log.is_slow(time)) {
        client.note_slow(is_fast, time, slow_arguments(request));
    }
    outcome
}

/// Starts a command. Also returns whether it has failed with an error that is in `sink` already.
fn start(
    client: &mut Client,
    index: usize,
    request: &Request<'_>,
    sink: &mut Vec<u8>,
) -> (CommandState, bool) {
    if index == get_index()
        && client.reply_mode == ReplyMode::On
        && !client.no_touch
        && let Some(has_failed) = get_local(client, request, sink)
    {
        return (CommandState::Ready(Answer::Nothing), has_failed);
    }
    (run_or_exec(client, index, request).unwrap_or_else(CommandState::from), false)
}

fn run_or_exec(client: &mut Client, index: usize, request: &Request<'_>) -> CommandResult {
    let command: &'static Command = &COMMANDS[index];
    match command.handler {
        Handler::Exec => exec::exec(client),
        _ => run(client, command, request),
    }
}

/// Whether `CLIENT PAUSE WRITE` holds a command back: `EXEC` if it executes such a command.
#[cold]
fn pauses_with_writes(client: &Client, command: &Command, request: &Request<'_>) -> bool {
    let queued = client.transaction.iter().flat_map(|transaction| &transaction.queued);
    match command.handler {
        Handler::Exec => queued.into_iter().any(|one| {
            scripts::may_write(&client.server, &COMMANDS[one.command], &one.request.as_request())
        }),
        _ => scripts::may_write(&client.server, command, request),
    }
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

/// The names of all commands, in the order of their indices.
pub(crate) fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|row| row.name)
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

/// Fast path of `GET`: writes the value if this member is the primary; `None` otherwise. Returns
/// whether an error was written instead.
fn get_local(client: &Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Option<bool> {
    let key = request.get(1)?;
    let grid = &client.server.grid;
    let partition = grid.partition_of(key);
    let protocol = client.protocol;
    let mut encoder = Encoder { buffer: sink, protocol };
    let result = grid.get_here(&client.map, partition, key, &mut |value| match value {
        Some(bytes) => encoder.bulk(bytes),
        None => encoder.nil(),
    })?;
    if let Err(error) = &result {
        let text = error_text(error);
        client.server.stats.count_error(&text);
        encoder.error(&text);
    }
    Some(result.is_err())
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
