//! The commands. One `table.rs` holds the name, arguments, flags and handler of each.

#![expect(clippy::unnecessary_wraps, reason = "all commands have the signatures of the table")]

mod blocking;
mod clients;
mod cluster;
mod hashes;
mod introspection;
mod keys;
mod lists;
mod multi_partition;
mod pubsub;
mod scans;
mod sets;
mod sorted_sets;
mod strings;
mod table;
mod transactions;

#[cfg(test)]
mod busy;
#[cfg(test)]
mod permissions;

use std::sync::atomic::Ordering;
use std::time::Duration;

use convoke_grid::op::{MapOp, Op};
use convoke_grid::{Grid, Later, OpError, Reply, Started};

use super::answer::{Answer, CommandError};
use super::args::Args;
use super::client::{Client, Queued, ReplyMode};
use super::encode::{Encoder, Protocol, error_text};
use super::outcome::Outcome;
use super::request::Request;
use crate::trust::Trust;

pub use table::{COMMANDS, Command, Group, Keys};

/// Parses the arguments of a command into an operation.
type Parse = for<'a> fn(&Request<'a>) -> Result<Op<'a>, CommandError>;

/// Parses the arguments of a blocking command into an operation and a timeout; `None` waits
/// forever.
type ParseWait = for<'a> fn(&Request<'a>) -> Result<(Op<'a>, Option<Duration>), CommandError>;

/// How a command is executed.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// As an operation of the grid.
    Op(Parse),
    /// As an operation of the grid, whose reply is shaped for the client. The function gets the
    /// number of arguments.
    Shaped(Parse, fn(usize, Reply) -> Answer),
    /// As a blocking operation of the grid, whose reply is shaped for the client.
    Blocking(ParseWait, fn(usize, Reply) -> Answer),
    /// By the gateway itself.
    Local(fn(&mut Client, &Request<'_>) -> Result<Outcome, CommandError>),
}

/// Starts the command of a request. A reply that is available at once may be written directly to
/// `sink`.
pub(crate) fn begin(client: &mut Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Outcome {
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
                Outcome::Ready(error.into())
            };
        }
    };
    client.info.command.store(index, Ordering::Relaxed);
    let command: &'static Command = &COMMANDS[index];
    if client.transaction.is_some() && !command.is(Command::NOT_QUEUED) {
        return transactions::queue(client, command, request);
    }
    if index == table::get_index()
        && client.reply_mode == ReplyMode::On
        && let Some(()) = get_local(client, request, sink)
    {
        return Outcome::Ready(Answer::Nothing);
    }
    run(client, command, request).unwrap_or_else(|error| Outcome::Ready(error.into()))
}

/// First words of HTTP requests; see `securityWarningCommand` of Redis.
const OTHER_PROTOCOLS: [&[u8]; 2] = [b"post", b"host:"];

/// The index of the row that a request resolves to.
fn row_of(request: &Request<'_>) -> Result<usize, CommandError> {
    table::resolve(request.get(0).unwrap_or_default(), request.get(1)).map_err(|missing| {
        match missing {
            table::Missing::Command => unknown(request),
            table::Missing::Subcommand(name) => unknown_subcommand(request, name),
        }
    })
}

/// Whether the client may run a command in its current state: the only place where permissions are
/// checked, by the flags of the row.
fn admit(client: &Client, command: &Command, request: &Request<'_>) -> Result<(), CommandError> {
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
fn check_memory(client: &Client, command: &Command) -> Result<(), CommandError> {
    let accesses_data = command.is(Command::READ) || command.is(Command::WRITE);
    if accesses_data && is_busy(client) { Err(CommandError::BUSY) } else { Ok(()) }
}

/// Whether the memory held for clients is at its limit.
fn is_busy(client: &Client) -> bool {
    client.server.pubsub.ledger.is_full()
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

/// Starts a command that was admitted.
fn run(
    client: &mut Client,
    command: &'static Command,
    request: &Request<'_>,
) -> Result<Outcome, CommandError> {
    let (op, shape) = match command.handler {
        Handler::Local(handle) => return handle(client, request),
        Handler::Blocking(parse, shape) => {
            let (op, wait) = parse(request)?;
            if is_transaction(client, &op)? {
                return Ok(when_idle(command, request, move |client, op, arguments| {
                    blocking::move_element(client, &op, wait, arguments, shape)
                }));
            }
            return blocking::start(client, &op, wait, request.len(), shape);
        }
        Handler::Op(parse) => (parse(request)?, None),
        Handler::Shaped(parse, shape) => (parse(request)?, Some(shape)),
    };
    if is_transaction(client, &op)? {
        return Ok(when_idle(command, request, move |client, op, arguments| {
            let op = MapOp { map: &client.map.name, op };
            let started = client.server.grid.transact(Vec::new(), vec![op], false);
            StartedOp::SinglePartition(started).outcome(arguments, shape)
        }));
    }
    Ok(start(client, &op)?.outcome(request.len(), shape))
}

/// Whether an operation must be a transaction over several partitions.
fn is_transaction(client: &Client, op: &Op<'_>) -> Result<bool, CommandError> {
    let server = &client.server;
    match op {
        Op::Several(several)
            if !server.settings.redis_cluster && multi_partition::is_one_step(several) =>
        {
            Ok(one_partition(&server.grid, &op.keys())?.is_none())
        }
        _ => Ok(false),
    }
}

/// Starts a command once the client's earlier commands are answered.
fn when_idle(
    command: &'static Command,
    request: &Request<'_>,
    begin: impl FnOnce(&mut Client, Op<'_>, usize) -> Outcome + Send + 'static,
) -> Outcome {
    let queued = Queued::new(command, request);
    Outcome::WhenIdle(Box::new(move |client| {
        let request = queued.request();
        let parsed = match queued.command.handler {
            Handler::Op(parse) | Handler::Shaped(parse, _) => parse(&request),
            Handler::Blocking(parse, _) => parse(&request).map(|(op, _)| op),
            Handler::Local(_) => Err(CommandError::SYNTAX),
        };
        match parsed {
            Ok(op) => begin(client, op, request.len()),
            Err(error) => Outcome::Ready(error.into()),
        }
    }))
}

/// Shapes a reply of the grid for the client. The number is that of the arguments.
type Shape = fn(usize, Reply) -> Answer;

/// An operation in progress.
enum StartedOp {
    /// In one partition, where it is atomic.
    SinglePartition(Started),
    /// In several partitions; its error says how much was done.
    MultiPartition(Later<Result<Reply, CommandError>>),
}

impl StartedOp {
    /// The outcome of a command that consists of this operation.
    fn outcome(self, arguments: usize, shape: Option<Shape>) -> Outcome {
        let shaped = move |reply: Reply| match shape {
            Some(shape) => shape(arguments, reply),
            None => Answer::Reply(reply),
        };
        let one = move |reply: Result<Reply, OpError>| match reply {
            Ok(reply) => shaped(reply),
            Err(error) => Err(error).into(),
        };
        match self {
            Self::SinglePartition(Started::Now(reply)) => Outcome::Ready(one(reply)),
            Self::SinglePartition(Started::Later(later)) => {
                Outcome::Pending(Box::pin(async move { one(later.await) }))
            }
            Self::MultiPartition(later) => {
                Outcome::Pending(Box::pin(
                    async move { later.await.map_or_else(Answer::from, shaped) },
                ))
            }
        }
    }
}

/// Starts an operation in the partitions of its keys.
fn start(client: &Client, op: &Op<'_>) -> Result<StartedOp, CommandError> {
    let server = &client.server;
    let grid = &server.grid;
    if let Op::Key(key, _) = op {
        if server.settings.redis_cluster {
            cluster::check(server, [*key])?;
        }
        return Ok(StartedOp::SinglePartition(grid.start(&client.map, grid.partition_of(key), op)));
    }
    let keys = op.keys();
    if server.settings.redis_cluster {
        cluster::check(server, keys.iter().copied())?;
    }
    match one_partition(grid, &keys)? {
        Some(partition) => Ok(StartedOp::SinglePartition(grid.start(&client.map, partition, op))),
        None => multi_partition::start(server, &client.map, op).map(StartedOp::MultiPartition),
    }
}

/// The partition of the keys if they are all in one; `None` otherwise.
fn one_partition(grid: &Grid, keys: &[&[u8]]) -> Result<Option<u16>, CommandError> {
    let mut partitions = keys.iter().map(|key| grid.partition_of(key));
    let first = partitions.next().ok_or(CommandError::SYNTAX)?;
    Ok(partitions.all(|partition| partition == first).then_some(first))
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

/// Fails unless the number of arguments is in `range`.
fn expect(
    request: &Request<'_>,
    name: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), CommandError> {
    if range.contains(&request.len()) { Ok(()) } else { Err(CommandError::arity(name)) }
}

/// Parses `numkeys key [key ...]`, as in `LMPOP` and `ZMPOP`.
fn numbered_keys<'a>(args: &mut Args<'_, 'a>) -> Result<Vec<&'a [u8]>, CommandError> {
    let wrong = CommandError::new("ERR numkeys should be greater than 0");
    let count = args.integer().map_err(|_| wrong.clone())?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(wrong)?;
    args.take(count)
}

/// Parses a trailing `[COUNT n]`; the default is 1.
fn pop_count(args: &mut Args<'_, '_>) -> Result<u64, CommandError> {
    let mut count = 1;
    if args.take_keyword("count") {
        let wrong = CommandError::new("ERR count should be greater than 0");
        count = args.integer().map_err(|_| wrong.clone())?.try_into().map_err(|_| wrong.clone())?;
        if count == 0 {
            return Err(wrong);
        }
    }
    args.expect_end()?;
    Ok(count)
}
