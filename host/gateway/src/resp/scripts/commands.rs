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
use super::super::request::{OwnedRequest, Request};
use super::super::routing::check_slot;
use super::super::script_cache::{RecentScript, SCRIPTS_MAP};
use super::super::server::Server;
use super::super::tracking::ReadWindow;
use super::evaluation::Callee;
use super::program::{Call, Ended, PartReply, Program};
use super::run::{check, home, run, stop};
use super::stepping::step_call;

use crate::trust::Trust;

/// The index of the first key in a request.
const FIRST_KEY: usize = 3;

pub(super) const NO_SCRIPT: CommandError =
    CommandError::new("NOSCRIPT No matching script. Please use EVAL.");

/// The number of keys, which are followed by the arguments.
pub(super) fn key_count(
    request: &Request<'_>,
    not_a_number: CommandError,
) -> Result<usize, CommandError> {
    let count = Args::new(request, 2).integer().map_err(|_| not_a_number)?;
    let Ok(count) = usize::try_from(count) else {
        return Err(CommandError::new("ERR Number of keys can't be negative"));
    };
    if count > request.len().saturating_sub(FIRST_KEY) {
        return Err(CommandError::new("ERR Number of keys can't be greater than number of args"));
    }
    Ok(count)
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
    let keys = key_count(request, CommandError::INTEGER)?;
    let source = request.get(1).unwrap_or_default();
    let script = match recent(client, |script| script.source == source) {
        Some(script) => script,
        None => {
            let changes = client.server.grid.setting_changes();
            let script = compiled(client, source)?;
            // A script for which the cache has no room is not held by connections either.
            if client.server.scripts.get(&client.server.grid, &script.sha).is_some() {
                client.recent_script = RecentScript::new(&script, changes);
            }
            script
        }
    };
    let callee = (Callee::Script(&script), script.flags);
    begin(client, table, callee, (request, keys), (reads, notes_reads(client)))
}

/// The script that the client called last, if it is this one.
fn recent(client: &Client, is_it: impl FnOnce(&Script) -> bool) -> Option<Arc<Script>> {
    let script = client.recent_script.as_ref()?.get(&client.server.grid)?;
    is_it(script).then(|| Arc::clone(script))
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
    let keys = key_count(request, CommandError::INTEGER)?;
    let rights = (reads, notes_reads(client));
    let sha = request.get(1).unwrap_or_default();
    let is_it = |script: &Script| sha.eq_ignore_ascii_case(script.sha.as_bytes());
    if let Some(script) = recent(client, is_it) {
        let callee = (Callee::Script(&script), script.flags);
        return begin(client, table, callee, (request, keys), rights);
    }
    let sha = checksum(sha).ok_or(NO_SCRIPT)?;
    let server = Arc::clone(&client.server);
    let changes = server.grid.setting_changes();
    if let Some(script) = server.scripts.get(&server.grid, &sha) {
        client.recent_script = RecentScript::new(&script, changes);
        let callee = (Callee::Script(&script), script.flags);
        return begin(client, table, callee, (request, keys), rights);
    }
    let request = OwnedRequest::from(request);
    Ok(CommandState::Continue(Box::pin(async move {
        let found = find(&server, &sha).await;
        let next: Continuation = Box::new(move |client| match found {
            Ok(Some(script)) => {
                let callee = (Callee::Script(&script), script.flags);
                begin(client, table, callee, (&request.as_request(), keys), rights)
                    .unwrap_or_else(CommandState::from)
            }
            Ok(None) => NO_SCRIPT.into(),
            Err(error) => CommandError::from(error).into(),
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

/// The call of a script or of a function, with a copy of the arguments of a request, the first `keys`
/// of which are keys.
pub(super) fn call_with(
    server: &Server,
    (callee, flags): (Callee<'_>, Option<Flags>),
    (request, keys): (&Request<'_>, usize),
    reads: bool,
) -> Result<Call, CommandError> {
    let reads = checked(server, flags, request.from(FIRST_KEY).take(keys), reads)?;
    Ok(copied(callee, (request, keys), reads))
}

fn copied(callee: Callee<'_>, (request, keys): (&Request<'_>, usize), reads: bool) -> Call {
    let (code, function) = callee.parts();
    let args = request.from(FIRST_KEY + keys).map(Bytes::copy_from_slice).collect();
    let keys = request.from(FIRST_KEY).take(keys).map(Bytes::copy_from_slice).collect();
    Call { code, function, reads, keys, args }
}

/// Checks a call against the flags of its script or function. Returns whether it may call no command
/// that writes.
fn checked<'w>(
    server: &Server,
    flags: Option<Flags>,
    keys: impl Iterator<Item = &'w [u8]>,
    reads: bool,
) -> Result<bool, CommandError> {
    if reads && flags.is_some_and(|flags| !flags.no_writes) {
        return Err(CommandError::new(
            "ERR Can not execute a script with write flag using *_ro command.",
        ));
    }
    let flags = flags.unwrap_or_default();
    if server.settings.redis_cluster {
        if flags.no_cluster {
            return Err(CommandError::new(
                "ERR Can not run script on cluster, 'no-cluster' flag is set.",
            ));
        }
        check_slot(server, keys)?;
    }
    Ok(reads || flags.no_writes)
}

/// Runs a script or a function with the arguments of a request, the first `keys` of which are keys:
/// at once if that is possible, and otherwise as a transaction once the client's earlier commands
/// are answered. `reads` is set if the command may change nothing, and `notes_reads` if the client
/// is notified of changes of the keys that are read.
pub(super) fn begin(
    client: &Client,
    table: &'static CommandTable,
    (callee, flags): (Callee<'_>, Option<Flags>),
    (request, keys): (&Request<'_>, usize),
    (reads, notes_reads): (bool, bool),
) -> CommandResult {
    let server = &client.server;
    let (named, args) = (request.from(FIRST_KEY).take(keys), request.from(FIRST_KEY + keys));
    let reads = checked(server, flags, named.clone(), reads)?;
    let (home, is_one) = home(server, named.clone());
    let window = notes_reads.then(|| server.tracking.begin_reads(client.info.id));
    if is_one {
        let rights = (reads, notes_reads);
        let stepped = step_call(client, table, callee, (named, args), home, rights);
        if let StepResult::Done { result: (reply, notes), replicated } = stepped {
            notes.calls.report(server, client.lane);
            if let Some(window) = window {
                window.end(notes.read);
            }
            let answer = of_script(Some(reply));
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
    }
    let mut program = Program::default();
    (program.notes_reads, program.shows_calls) = (notes_reads, server.monitors.is_any());
    let call = copied(callee, (request, keys), reads);
    program.add_call(client, client.database, call, &mut Vec::new())?;
    let (server, lane) = (Arc::clone(server), client.lane);
    Ok(CommandState::WhenIdle(Box::new(move |_| {
        CommandState::Barrier(Box::pin(async move {
            let ended = run(Arc::clone(&server), table, program, home).await;
            answer_of(ended, (&server, lane), window)
        }))
    })))
}

/// The reply to a script.
fn of_script(reply: Option<PartReply>) -> Answer {
    reply.and_then(PartReply::of_script).unwrap_or_else(|| Err(OpError::Malformed).into())
}

/// The reply to the only script of a program of a client on this lane.
fn answer_of(ended: Ended, (server, lane): (&Server, usize), window: Option<ReadWindow>) -> Answer {
    match ended {
        Ended::Done(mut replies, notes) => {
            notes.calls.report(server, lane);
            if let Some(window) = window {
                window.end(notes.read);
            }
            of_script(replies.pop())
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

/// `SCRIPT DEBUG YES|SYNC|NO`. Scripts run within steps of partitions, which cannot wait for a
/// person.
pub(crate) fn debug(_: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    if args.take_keyword("no") {
        return Ok(Answer::DONE.into());
    }
    Err(CommandError::new(if args.take_keyword("yes") || args.take_keyword("sync") {
        "ERR scripts cannot be debugged step by step"
    } else {
        "ERR Use SCRIPT DEBUG YES/SYNC/NO"
    }))
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
