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
mod pubsub;
mod scans;
mod sets;
mod sorted_sets;
mod spread;
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

use super::answer::{Answer, Outcome, Refusal};
use super::args::Args;
use super::client::{Client, Queued, ReplyMode};
use super::encode::{Encoder, Protocol, error_text};
use super::request::Request;
use crate::trust::Trust;

pub(crate) use spread::{Wording, is_above_zero, whole};
pub use table::{COMMANDS, Command, Group, Keys};

/// Reads a command's arguments.
type Parse = for<'a> fn(&Request<'a>) -> Result<Op<'a>, Refusal>;

/// Reads a command's arguments, and how long it waits; for ever without.
type ParseWait = for<'a> fn(&Request<'a>) -> Result<(Op<'a>, Option<Duration>), Refusal>;

/// Who does a command.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// The grid, in one step.
    Op(Parse),
    /// The grid; its answer is told otherwise. The number is that of the arguments.
    Shaped(Parse, fn(usize, Reply) -> Answer),
    /// The grid, as soon as there is something to take.
    Waits(ParseWait, fn(usize, Reply) -> Answer),
    /// The gateway.
    Here(fn(&mut Client, &Request<'_>) -> Result<Outcome, Refusal>),
}

/// Begins what a client asks for. An answer that is there at once may be written
/// to `sink` right away.
pub(crate) fn begin(client: &mut Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Outcome {
    client.server.counters.commands.fetch_add(1, Ordering::Relaxed);
    let admitted = row_of(request).and_then(|index| {
        admit(client, &COMMANDS[index], request)?;
        accept(client, &COMMANDS[index])?;
        Ok(index)
    });
    let index = match admitted {
        Ok(index) => index,
        Err(refusal) => {
            if let Some(transaction) = &mut client.transaction {
                transaction.broken = true;
            }
            let is_other_protocol = request
                .get(0)
                .is_some_and(|name| OTHER_PROTOCOLS.contains(&&*name.to_ascii_lowercase()));
            return if is_other_protocol {
                // A browser that was made to send something: none of it is to be done.
                Outcome::Last(Answer::Nothing)
            } else {
                Outcome::Now(refusal.into())
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
        && let Some(()) = get_here(client, request, sink)
    {
        return Outcome::Now(Answer::Nothing);
    }
    run(client, command, request).unwrap_or_else(|refusal| Outcome::Now(refusal.into()))
}

/// What browsers begin with.
const OTHER_PROTOCOLS: [&[u8]; 2] = [b"post", b"host:"];

/// The place of the row that a request is about.
fn row_of(request: &Request<'_>) -> Result<usize, Refusal> {
    table::resolve(request.get(0).unwrap_or_default(), request.get(1)).map_err(|missing| {
        match missing {
            table::Missing::Command => unknown(request),
            table::Missing::Part(name) => unknown_part(request, name),
        }
    })
}

/// Whether a client may do that, now and like this: the one place where permission
/// is decided, by the flags of the row that does it.
fn admit(client: &Client, command: &Command, request: &Request<'_>) -> Result<(), Refusal> {
    if !command.takes(request.len()) {
        return Err(Refusal::arity(command.name));
    }
    if client.trust == Trust::Unauthenticated && !command.is(Command::NO_AUTH) {
        return Err(Refusal::of("NOAUTH Authentication required."));
    }
    let may_only_look = client.trust == Trust::ReadOnly;
    if may_only_look && (command.is(Command::WRITE) || command.is(Command::ADMIN)) {
        let name = command.name;
        return Err(Refusal(
            format!("NOPERM this user has no permissions to run the '{name}' command").into(),
        ));
    }
    let is_subscribed = client.protocol == Protocol::Resp2 && client.subscriptions() > 0;
    if is_subscribed && !command.is(Command::WHILE_SUBSCRIBED) {
        return Err(Refusal(
            format!("ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", command.name).into(),
        ));
    }
    if client.transaction.is_some() && command.is(Command::NO_MULTI) {
        return Err(Refusal::of("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

/// Whether there is memory for what a command on data takes.
fn accept(client: &Client, command: &Command) -> Result<(), Refusal> {
    let is_about_data = command.is(Command::READ) || command.is(Command::WRITE);
    if is_about_data && is_busy(client) { Err(Refusal::BUSY) } else { Ok(()) }
}

/// Whether as much is held in memory for all clients as may be.
fn is_busy(client: &Client) -> bool {
    client.server.pubsub.ledger.is_full()
}

/// The bytes of a key, if they are here.
fn get_here(client: &Client, request: &Request<'_>, sink: &mut Vec<u8>) -> Option<()> {
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
) -> Result<Outcome, Refusal> {
    let (op, shape) = match command.run {
        Run::Here(run) => return run(client, request),
        Run::Waits(parse, shape) => {
            let (op, wait) = parse(request)?;
            if is_transaction(client, &op)? {
                return Ok(later_on(command, request, move |client, op, arguments| {
                    blocking::move_element(client, &op, wait, arguments, shape)
                }));
            }
            return blocking::start(client, &op, wait, request.len(), shape);
        }
        Run::Op(parse) => (parse(request)?, None),
        Run::Shaped(parse, shape) => (parse(request)?, Some(shape)),
    };
    if is_transaction(client, &op)? {
        return Ok(later_on(command, request, move |client, op, arguments| {
            let op = MapOp { map: &client.map.name, op };
            let started = client.server.grid.transact(Vec::new(), vec![op], false);
            Asked::One(started).outcome(arguments, shape)
        }));
    }
    Ok(start(client, &op)?.outcome(request.len(), shape))
}

/// Whether an operation is one step over several partitions.
fn is_transaction(client: &Client, op: &Op<'_>) -> Result<bool, Refusal> {
    let server = &client.server;
    match op {
        Op::Several(several) if !server.settings.redis_cluster && spread::is_one_step(several) => {
            Ok(one_partition(&server.grid, &op.keys())?.is_none())
        }
        _ => Ok(false),
    }
}

/// A command that begins once those before it are answered.
fn later_on(
    command: &'static Command,
    request: &Request<'_>,
    begin: impl FnOnce(&mut Client, Op<'_>, usize) -> Outcome + Send + 'static,
) -> Outcome {
    let queued = Queued::new(command, request);
    Outcome::First(Box::new(move |client| {
        let request = queued.request();
        let parsed = match queued.command.run {
            Run::Op(parse) | Run::Shaped(parse, _) => parse(&request),
            Run::Waits(parse, _) => parse(&request).map(|(op, _)| op),
            Run::Here(_) => Err(Refusal::SYNTAX),
        };
        match parsed {
            Ok(op) => begin(client, op, request.len()),
            Err(refusal) => Outcome::Now(refusal.into()),
        }
    }))
}

/// Shapes the grid's reply for the client. The number is that of the arguments.
type Shape = fn(usize, Reply) -> Answer;

/// An operation that was started.
enum Asked {
    /// In one partition: it is done there, or it is not.
    One(Started),
    /// In several; its answer says how much of it was done.
    Several(Later<Result<Reply, Refusal>>),
}

impl Asked {
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
            Self::One(Started::Now(reply)) => Outcome::Now(one(reply)),
            Self::One(Started::Later(later)) => {
                Outcome::Later(Box::pin(async move { one(later.await) }))
            }
            Self::Several(later) => {
                Outcome::Later(Box::pin(
                    async move { later.await.map_or_else(Answer::from, shaped) },
                ))
            }
        }
    }
}

/// Starts an operation where its keys are.
fn start(client: &Client, op: &Op<'_>) -> Result<Asked, Refusal> {
    let server = &client.server;
    let grid = &server.grid;
    if let Op::Key(key, _) = op {
        if server.settings.redis_cluster {
            cluster::check(server, [*key])?;
        }
        return Ok(Asked::One(grid.start(&client.map, grid.partition_of(key), op)));
    }
    let keys = op.keys();
    if server.settings.redis_cluster {
        cluster::check(server, keys.iter().copied())?;
    }
    match one_partition(grid, &keys)? {
        Some(partition) => Ok(Asked::One(grid.start(&client.map, partition, op))),
        None => spread::start(server, &client.map, op).map(Asked::Several),
    }
}

/// The partition of keys that all lie in one; `None` when they do not.
fn one_partition(grid: &Grid, keys: &[&[u8]]) -> Result<Option<u16>, Refusal> {
    let mut partitions = keys.iter().map(|key| grid.partition_of(key));
    let first = partitions.next().ok_or(Refusal::SYNTAX)?;
    Ok(partitions.all(|partition| partition == first).then_some(first))
}

/// As Redis says it: with the beginning of the arguments.
fn unknown(request: &Request<'_>) -> Refusal {
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
    Refusal(format!("ERR unknown command '{name}', with args beginning with: {arguments}").into())
}

/// As Redis says it of a subcommand.
fn unknown_part(request: &Request<'_>, name: &str) -> Refusal {
    const SHOWN_BYTES_MAX: usize = 128;
    let part = request.get(1).unwrap_or_default();
    let part = String::from_utf8_lossy(&part[..part.len().min(SHOWN_BYTES_MAX)]).into_owned();
    let name = name.to_uppercase();
    Refusal(format!("ERR unknown subcommand '{part}'. Try {name} HELP.").into())
}

/// Fails unless the request has so many arguments, at least and at most.
fn expect(
    request: &Request<'_>,
    name: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), Refusal> {
    if range.contains(&request.len()) { Ok(()) } else { Err(Refusal::arity(name)) }
}

/// A number of keys, and those: as `LMPOP` and its like have them.
fn numbered_keys<'a>(args: &mut Args<'_, 'a>) -> Result<Vec<&'a [u8]>, Refusal> {
    let wrong = Refusal::of("ERR numkeys should be greater than 0");
    let count = args.integer().map_err(|_| wrong.clone())?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(wrong)?;
    args.many(count)
}

/// `[COUNT n]` at the end; one without it.
fn pop_count(args: &mut Args<'_, '_>) -> Result<u64, Refusal> {
    let mut count = 1;
    if args.is("count") {
        let wrong = Refusal::of("ERR count should be greater than 0");
        count = args.integer().map_err(|_| wrong.clone())?.try_into().map_err(|_| wrong.clone())?;
        if count == 0 {
            return Err(wrong);
        }
    }
    args.end()?;
    Ok(count)
}
