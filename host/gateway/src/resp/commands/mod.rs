//! The commands: one table ([`table`]) says of each its name, its arguments,
//! what it may do, and who does it.

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

use super::answer::{Answer, CommandError, Outcome};
use super::args::Args;
use super::client::{Client, Queued, ReplyMode};
use super::encode::{Encoder, Protocol, error_text};
use super::request::Request;
use crate::trust::Trust;

pub(crate) use multi_partition::{PartialReport, is_above_zero, merge_replies};
pub use table::{COMMANDS, Command, Group, Keys};

/// Reads a command's arguments.
type Parse = for<'a> fn(&Request<'a>) -> Result<Op<'a>, CommandError>;

/// Reads a command's arguments, and how long it waits; for ever without.
type ParseWait = for<'a> fn(&Request<'a>) -> Result<(Op<'a>, Option<Duration>), CommandError>;

/// Who does a command.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// The grid, in one step.
    Op(Parse),
    /// The grid; its answer is told otherwise. The number is that of the arguments.
    Shaped(Parse, fn(usize, Reply) -> Answer),
    /// The grid, as soon as there is something to take.
    Blocking(ParseWait, fn(usize, Reply) -> Answer),
    /// The gateway.
    Local(fn(&mut Client, &Request<'_>) -> Result<Outcome, CommandError>),
}

/// Begins what a client asks for. An answer that is there at once may be written
/// to `sink` right away.
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
                transaction.broken = true;
            }
            let is_other_protocol = request
                .get(0)
                .is_some_and(|name| OTHER_PROTOCOLS.contains(&&*name.to_ascii_lowercase()));
            return if is_other_protocol {
                // A browser that was made to send something: none of it is to be done.
                Outcome::Close(Answer::Nothing)
            } else {
                Outcome::Ready(error.into())
            };
        }
    };
    client.info.command.store(index, Ordering::Relaxed);
    let command: &'static Command = &COMMANDS[index];
    if client.transaction.is_some() && !command.is(Command::AT_ONCE) {
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

/// What browsers begin with.
const OTHER_PROTOCOLS: [&[u8]; 2] = [b"post", b"host:"];

/// The place of the row that a request is about.
fn row_of(request: &Request<'_>) -> Result<usize, CommandError> {
    table::resolve(request.get(0).unwrap_or_default(), request.get(1)).map_err(|missing| {
        match missing {
            table::Missing::Command => unknown(request),
            table::Missing::Subcommand(name) => unknown_subcommand(request, name),
        }
    })
}

/// Whether a client may do that, now and like this: the one place where permission
/// is decided, by the flags of the row that does it.
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

/// Whether there is memory for what a command on data takes.
fn check_memory(client: &Client, command: &Command) -> Result<(), CommandError> {
    let accesses_data = command.is(Command::READ) || command.is(Command::WRITE);
    if accesses_data && is_busy(client) { Err(CommandError::BUSY) } else { Ok(()) }
}

/// Whether as much is held in memory for all clients as may be.
fn is_busy(client: &Client) -> bool {
    client.server.pubsub.ledger.is_full()
}

/// The bytes of a key, if they are here.
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

/// Begins a command that is admitted.
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

/// Whether an operation is one step over several partitions.
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

/// A command that begins once those before it are answered.
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

/// Shapes the grid's reply for the client. The number is that of the arguments.
type Shape = fn(usize, Reply) -> Answer;

/// An operation that was started.
enum StartedOp {
    /// In one partition: it is done there, or it is not.
    SinglePartition(Started),
    /// In several; its answer says how much of it was done.
    MultiPartition(Later<Result<Reply, CommandError>>),
}

impl StartedOp {
    /// What came of a command that is this operation.
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

/// Starts an operation where its keys are.
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

/// The partition of keys that all lie in one; `None` when they do not.
fn one_partition(grid: &Grid, keys: &[&[u8]]) -> Result<Option<u16>, CommandError> {
    let mut partitions = keys.iter().map(|key| grid.partition_of(key));
    let first = partitions.next().ok_or(CommandError::SYNTAX)?;
    Ok(partitions.all(|partition| partition == first).then_some(first))
}

/// As Redis says it: with the beginning of the arguments.
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

/// As Redis says it of a subcommand.
fn unknown_subcommand(request: &Request<'_>, name: &str) -> CommandError {
    const SHOWN_BYTES_MAX: usize = 128;
    let subcommand = request.get(1).unwrap_or_default();
    let subcommand =
        String::from_utf8_lossy(&subcommand[..subcommand.len().min(SHOWN_BYTES_MAX)]).into_owned();
    let name = name.to_uppercase();
    CommandError(format!("ERR unknown subcommand '{subcommand}'. Try {name} HELP.").into())
}

/// Fails unless the request has so many arguments, at least and at most.
fn expect(
    request: &Request<'_>,
    name: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), CommandError> {
    if range.contains(&request.len()) { Ok(()) } else { Err(CommandError::arity(name)) }
}

/// A number of keys, and those: as `LMPOP` and its like have them.
fn numbered_keys<'a>(args: &mut Args<'_, 'a>) -> Result<Vec<&'a [u8]>, CommandError> {
    let wrong = CommandError::new("ERR numkeys should be greater than 0");
    let count = args.integer().map_err(|_| wrong.clone())?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(wrong)?;
    args.take(count)
}

/// `[COUNT n]` at the end; one without it.
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
