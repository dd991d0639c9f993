//! The commands.

#![expect(clippy::unnecessary_wraps, reason = "all commands have the signatures of the table")]

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{Lifetime, Op, PlainOp, PutAnswer, PutIf, WholeOp};
use convoke_grid::{KeyOp, Map, OpError, Reply, StepResult};
use convoke_script::{Flags, Script, Value, sha1_hex};
use futures_util::future::join_all;

use super::super::answer::{Answer, CommandError};
use super::super::args::Args;
use super::super::client::Client;
use super::super::command::CommandTable;
use super::super::command_state::{CommandResult, CommandState, Continuation};
use super::super::commands::tracking::notes_reads;
use super::super::request::Request;
use super::super::routing::check_slot;
use super::super::script_cache::SCRIPTS_MAP;
use super::super::server::Server;
use super::super::tracking::ReadWindow;
use super::evaluation::Code;
use super::program::{Call, Ended, PartReply, Program};
use super::run::{check, home, run, stop};
use super::stepping::step;

use crate::trust::Trust;

pub(super) const NO_SCRIPT: CommandError =
    CommandError::new("NOSCRIPT No matching script. Please use EVAL.");

/// The keys and the arguments that follow their number.
pub(super) fn arguments(
    request: &Request<'_>,
    not_a_number: CommandError,
) -> Result<(Vec<Bytes>, Vec<Bytes>), CommandError> {
    let mut args = Args::new(request, 2);
    let count = args.integer().map_err(|_| not_a_number)?;
    let rest: Vec<Bytes> = args.rest().into_iter().map(Bytes::copy_from_slice).collect();
    let Ok(count) = usize::try_from(count) else {
        return Err(CommandError::new("ERR Number of keys can't be negative"));
    };
    if count > rest.len() {
        return Err(CommandError::new("ERR Number of keys can't be greater than number of args"));
    }
    let mut keys = rest;
    let args = keys.split_off(count);
    Ok((keys, args))
}

/// The map that holds the sources of scripts.
fn sources(server: &Server) -> Result<Arc<Map>, OpError> {
    server.grid.open(SCRIPTS_MAP)
}

/// Starts to keep a source for all members.
fn keep(
    server: &Server,
    script: &Script,
) -> Result<convoke_grid::Later<Result<Reply, OpError>>, OpError> {
    let put = PlainOp::Put {
        kind: 0,
        value: &script.source,
        lifetime: Lifetime::Forever,
        condition: PutIf::Always,
        answer: PutAnswer::Done,
    };
    let key = script.sha.as_bytes();
    let op = Op::Key(key, KeyOp::Plain(put));
    Ok(server.submit(&sources(server)?, server.grid.partition_of(key), &op))
}

pub(crate) fn eval(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    evaluate(client, table, request, false)
}

pub(crate) fn eval_ro(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    evaluate(client, table, request, true)
}

fn evaluate(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
    reads: bool,
) -> CommandResult {
    let arguments = arguments(request, CommandError::INTEGER)?;
    let script = compiled(client, request.get(1).unwrap_or_default())?;
    let call = call_of(&client.server, script, arguments, reads)?;
    begin(client, table, call, notes_reads(client))
}

/// The script with this source, which all members know from now on.
pub(super) fn compiled(client: &Client, source: &[u8]) -> Result<Arc<Script>, CommandError> {
    let server = &client.server;
    if let Some(script) = server.scripts.get(&server.grid, &sha1_hex(source)) {
        return Ok(script);
    }
    let script = Script::new(Bytes::copy_from_slice(source));
    let script = Arc::new(script.map_err(|error| CommandError(format!("ERR {error}").into()))?);
    check(&script)?;
    // A user who may only read stores nothing in the cluster.
    if server.scripts.add(&server.grid, &script)
        && client.trust == Trust::Full
        && let Ok(kept) = keep(server, &script)
    {
        tokio::spawn(kept);
    }
    Ok(script)
}

pub(crate) fn evalsha(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    evaluate_known(client, table, request, false)
}

pub(crate) fn evalsha_ro(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    evaluate_known(client, table, request, true)
}

fn evaluate_known(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
    reads: bool,
) -> CommandResult {
    let arguments = arguments(request, CommandError::INTEGER)?;
    let sha = checksum(request.get(1).unwrap_or_default()).ok_or(NO_SCRIPT)?;
    let (server, notes_reads) = (Arc::clone(&client.server), notes_reads(client));
    if let Some(script) = server.scripts.get(&server.grid, &sha) {
        return begin(client, table, call_of(&server, script, arguments, reads)?, notes_reads);
    }
    Ok(CommandState::Continue(Box::pin(async move {
        let found = find(&server, &sha).await;
        let next: Continuation = Box::new(move |client| {
            let script = match found {
                Ok(Some(script)) => script,
                Ok(None) => return NO_SCRIPT.into(),
                Err(error) => return CommandError::from(error).into(),
            };
            call_of(&client.server, script, arguments, reads)
                .and_then(|call| begin(client, table, call, notes_reads))
                .unwrap_or_else(CommandState::from)
        });
        next
    })))
}

/// A checksum in lower case, if it can be one.
pub(super) fn checksum(text: &[u8]) -> Option<String> {
    let is_one = text.len() == 40 && text.iter().all(u8::is_ascii_hexdigit);
    is_one.then(|| String::from_utf8_lossy(text).to_ascii_lowercase())
}

/// Reads a script that was loaded through any member.
pub(super) async fn find(server: &Arc<Server>, sha: &str) -> Result<Option<Arc<Script>>, OpError> {
    if let Some(script) = server.scripts.get(&server.grid, sha) {
        return Ok(Some(script));
    }
    let key = sha.as_bytes();
    let op = Op::Key(key, KeyOp::Plain(PlainOp::Get));
    let later = server.submit(&sources(server)?, server.grid.partition_of(key), &op);
    let Reply::Bytes(source) = later.await? else { return Ok(None) };
    let script = Script::new(source).ok().filter(|script| &*script.sha == sha);
    let script = script.map(Arc::new);
    if let Some(script) = &script {
        server.scripts.add(&server.grid, script);
    }
    Ok(script)
}

/// The call of a script.
pub(super) fn call_of(
    server: &Server,
    script: Arc<Script>,
    (keys, args): (Vec<Bytes>, Vec<Bytes>),
    reads: bool,
) -> Result<Call, CommandError> {
    let flags = script.flags;
    let call = Call { code: Code::Script(script), function: None, reads, keys, args };
    checked(server, call, flags)
}

/// Checks a call against the flags of its script or function.
pub(super) fn checked(
    server: &Server,
    mut call: Call,
    flags: Option<Flags>,
) -> Result<Call, CommandError> {
    if call.reads && flags.is_some_and(|flags| !flags.no_writes) {
        return Err(CommandError::new(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    let flags = flags.unwrap_or_default();
    call.reads |= flags.no_writes;
    if server.settings.redis_cluster {
        if flags.no_cluster {
            return Err(CommandError::new(
                "ERR Can not run script on cluster, 'no-cluster' flag is set.",
            ));
        }
        check_slot(server, call.keys.iter().map(|key| &key[..]))?;
    }
    Ok(call)
}

/// Runs a script or a function: at once if that is possible, and otherwise as a transaction once
/// the client's earlier commands are answered.
pub(super) fn begin(
    client: &mut Client,
    table: &'static CommandTable,
    call: Call,
    notes_reads: bool,
) -> CommandResult {
    let server = Arc::clone(&client.server);
    let mut program = Program::default();
    program.notes_reads = notes_reads;
    let mut codes = Vec::new();
    program.add_call(client, client.database, call, &mut codes)?;
    let (home, is_one) = home(&server, &program.keys(table));
    let window = notes_reads.then(|| server.tracking.begin_reads(client.info.id));
    if is_one
        && let StepResult::Done { result, replicated } =
            step(&server, table, &program, &codes, home)
    {
        let answer = answer_of(result, window);
        return Ok(match replicated {
            None => CommandState::Ready(answer),
            Some(replicated) => CommandState::Pending(Box::pin(async move {
                match replicated.await {
                    Ok(_) => answer,
                    Err(error) => Err(error).into(),
                }
            })),
        });
    }
    Ok(CommandState::WhenIdle(Box::new(move |_| {
        CommandState::Barrier(Box::pin(async move {
            answer_of(run(server, table, program, home).await, window)
        }))
    })))
}

/// The reply to the only script of a program.
fn answer_of(ended: Ended, window: Option<ReadWindow>) -> Answer {
    match ended {
        Ended::Done(mut replies, read) => {
            if let Some(window) = window {
                window.end(read);
            }
            match replies.pop() {
                Some(PartReply::Script(value)) => Answer::Value(value),
                _ => Err(OpError::Malformed).into(),
            }
        }
        Ended::Failed(text) => Answer::Value(Value::Error(text)),
        Ended::Changed => Err(OpError::Malformed).into(),
    }
}

pub(crate) fn load(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let source = Bytes::copy_from_slice(request.get(2).unwrap_or_default());
    let script =
        Script::new(source).map_err(|error| CommandError(format!("ERR {error}").into()))?;
    check(&script)?;
    let script = Arc::new(script);
    let server = &client.server;
    server.scripts.add(&server.grid, &script);
    let kept = keep(server, &script)?;
    Ok(CommandState::Pending(Box::pin(async move {
        match kept.await {
            Ok(_) => Answer::text(&*script.sha),
            Err(error) => Err(error).into(),
        }
    })))
}

pub(crate) fn exists(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let server = Arc::clone(&client.server);
    let all: Vec<Option<String>> = request.from(2).map(checksum).collect();
    Ok(CommandState::Pending(Box::pin(async move {
        let each = all.iter().map(|sha| async {
            match sha {
                Some(sha) => find(&server, sha).await.map(|found| found.is_some()),
                None => Ok(false),
            }
        });
        let found: Result<Vec<bool>, OpError> = join_all(each).await.into_iter().collect();
        match found {
            Ok(found) => Answer::List(
                found.into_iter().map(|is_there| Answer::integer(is_there.into())).collect(),
            ),
            Err(error) => Err(error).into(),
        }
    })))
}

pub(crate) fn flush(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    if args.remaining() > 1
        || args.remaining() == 1 && !args.take_keyword("async") && !args.take_keyword("sync")
    {
        return Err(CommandError::new("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    let server = Arc::clone(&client.server);
    let map = sources(&server)?;
    Ok(CommandState::Barrier(Box::pin(async move {
        let cleared = server.submit_all(&map, WholeOp::Clear).await;
        server.scripts.flush(&server.grid);
        match cleared {
            Ok(_) => Answer::DONE,
            Err(error) => Err(error).into(),
        }
    })))
}

pub(crate) fn kill(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(stop_running(client, false))
}

/// Stops scripts, or functions, on all members.
pub(super) fn stop_running(client: &Client, functions: bool) -> CommandState {
    const NONE: CommandError = CommandError::new("NOTBUSY No scripts in execution right now.");
    let server = Arc::clone(&client.server);
    CommandState::Pending(Box::pin(async move {
        match stop(&server, functions).await {
            Ok(true) => Answer::DONE,
            Ok(false) => NONE.into(),
            Err(error) => Err(error).into(),
        }
    }))
}
