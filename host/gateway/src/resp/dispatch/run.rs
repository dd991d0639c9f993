//! Starts a command that was admitted: in the partitions of its keys, or in the gateway itself.

use convoke_grid::op::{MapOp, Op, SeveralOp};
use convoke_grid::{ClientTraits, Later, OpError, Reply, Started};

use super::super::answer::{Answer, CommandError, Shape};
use super::super::client::{Client, with_traits};
use super::super::command::{Block, Command, Handler};
use super::super::command_state::{CommandResult, CommandState};
use super::super::commands::{blocking, multi_partition, streams};
use super::super::request::{OwnedRequest, Request};
use super::super::routing::{check_slot, one_partition};
use super::super::server::Server;
use super::table::TABLE;

/// Starts a command that was admitted.
pub(super) fn run(
    client: &mut Client,
    command: &'static Command,
    request: &Request<'_>,
) -> CommandResult {
    let (op, shape) = match command.handler {
        Handler::Local(handle) => return handle(client, request),
        Handler::WithTable(handle) => return handle(client, &TABLE, request),
        // It is never queued, so no transaction runs it.
        Handler::Exec => return Err(CommandError::SYNTAX),
        Handler::Blocking(parse, shape) => {
            let (op, wait) = parse(request)?;
            if is_transaction(client, &op)? {
                return Ok(when_idle(command, request, move |client, op, arguments| {
                    blocking::move_element(client, &op, wait, arguments, shape)
                }));
            }
            return blocking::start(client, &op, wait, request.len(), shape);
        }
        Handler::Streams(parse) => match parse(request) {
            Err(error) => return refuse(client, command, request, error),
            Ok((op, Block::Never)) => (op, None),
            Ok((op, Block::UpTo(wait))) => {
                if is_transaction(client, &op)? {
                    return Ok(when_idle(command, request, move |client, op, _| {
                        streams::read_as_consumer(client, &op, wait)
                    }));
                }
                return streams::start(client, &op, wait);
            }
        },
        Handler::Op(parse) => match parse(request) {
            Err(error) => return refuse(client, command, request, error),
            Ok(op) => (op, None),
        },
        Handler::Shaped(parse, shape) => (parse(request)?, Some(shape)),
    };
    if is_transaction(client, &op)? {
        return Ok(when_idle(command, request, move |client, op, arguments| {
            let op = MapOp { map: &client.map.name, op: with_traits(op, client.traits()) };
            let started = client.server.grid.transact(Vec::new(), vec![op], false);
            StartedOp::SinglePartition(started).outcome(arguments, shape)
        }));
    }
    Ok(start(client, &op)?.outcome(request.len(), shape))
}

/// The outcome of a command with a wrong argument: this error, unless one of its keys has one that
/// comes first.
#[cold]
fn refuse(
    client: &Client,
    command: &Command,
    request: &Request<'_>,
    error: CommandError,
) -> CommandResult {
    let checks = streams::checks(command.name, request);
    if checks.is_empty() {
        return Err(error);
    }
    let server = &client.server;
    let keys: Vec<&[u8]> = checks.iter().flat_map(Op::keys).collect();
    if server.settings.redis_cluster {
        check_slot(server, keys.iter().copied())?;
    }
    let start = |(op, key)| server.submit(&client.map, server.grid.partition_of(key), op);
    let replies: Vec<_> = checks.iter().zip(keys).map(start).collect();
    Ok(CommandState::Pending(Box::pin(async move {
        for reply in replies {
            if let Err(first) = reply.await {
                return Err(first).into();
            }
        }
        error.into()
    })))
}

/// Whether an operation concerns two databases.
///
/// # Errors
/// If it does, and this is a node of a Redis Cluster.
pub(super) fn check_other_map(server: &Server, op: &Op<'_>) -> Result<bool, CommandError> {
    let concerns_two = op.other_map().is_some();
    if concerns_two && server.settings.redis_cluster {
        return Err(CommandError::new(match op {
            Op::Several(SeveralOp::Across { moves: true, .. }) => {
                "ERR MOVE is not allowed in cluster mode"
            }
            _ => "ERR Copying to another database is not allowed in cluster mode",
        }));
    }
    Ok(concerns_two)
}

/// Whether an operation must be a transaction over several partitions or databases.
fn is_transaction(client: &Client, op: &Op<'_>) -> Result<bool, CommandError> {
    let server = &client.server;
    if op.has_unnamed_keys() {
        if server.settings.redis_cluster {
            check_slot(server, op.keys())?;
        }
        return Ok(true);
    }
    if check_other_map(server, op)? {
        return Ok(true);
    }
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
    begin: impl FnOnce(&mut Client, Op<'_>, usize) -> CommandState + Send + 'static,
) -> CommandState {
    let request = OwnedRequest::from(request);
    CommandState::WhenIdle(Box::new(move |client| {
        let request = request.as_request();
        let parsed = match command.handler {
            Handler::Op(parse) | Handler::Shaped(parse, _) => parse(&request),
            Handler::Blocking(parse, _) => parse(&request).map(|(op, _)| op),
            Handler::Streams(parse) => parse(&request).map(|(op, _)| op),
            Handler::Local(_) | Handler::WithTable(_) | Handler::Exec => Err(CommandError::SYNTAX),
        };
        match parsed {
            Ok(op) => begin(client, op, request.len()),
            Err(error) => error.into(),
        }
    }))
}

/// An operation in progress.
enum StartedOp {
    /// In one partition, where it is atomic.
    SinglePartition(Started),
    /// In several partitions; its error says how much was done.
    MultiPartition(Later<Result<Reply, CommandError>>),
}

impl StartedOp {
    /// The outcome of a command that consists of this operation.
    fn outcome(self, arguments: usize, shape: Option<Shape>) -> CommandState {
        let shaped = move |reply: Reply| match shape {
            Some(shape) => shape(arguments, reply),
            None => Answer::Reply(reply),
        };
        let one = move |reply: Result<Reply, OpError>| match reply {
            Ok(reply) => shaped(reply),
            Err(error) => Err(error).into(),
        };
        match self {
            Self::SinglePartition(Started::Now(reply)) => CommandState::Ready(one(reply)),
            Self::SinglePartition(Started::Later(later)) => {
                CommandState::Pending(Box::pin(async move { one(later.await) }))
            }
            Self::MultiPartition(later) => CommandState::Pending(Box::pin(async move {
                later.await.map_or_else(Answer::from, shaped)
            })),
        }
    }
}

/// Starts an operation in the partitions of its keys.
fn start(client: &Client, op: &Op<'_>) -> Result<StartedOp, CommandError> {
    let server = &client.server;
    let grid = &server.grid;
    let traits = client.traits();
    let named = (traits != ClientTraits::default()).then(|| with_traits(op.clone(), traits));
    let named = named.as_ref().unwrap_or(op);
    if let Op::Key(key, _) = op {
        if server.settings.redis_cluster {
            check_slot(server, [*key])?;
        }
        return Ok(StartedOp::SinglePartition(grid.start(
            &client.map,
            grid.partition_of(key),
            named,
        )));
    }
    let keys = op.keys();
    if server.settings.redis_cluster {
        check_slot(server, keys.iter().copied())?;
    }
    match one_partition(grid, &keys)? {
        Some(partition) => {
            Ok(StartedOp::SinglePartition(grid.start(&client.map, partition, named)))
        }
        None => {
            multi_partition::start(server, &client.map, op, traits).map(StartedOp::MultiPartition)
        }
    }
}
