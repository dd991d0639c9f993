//! Runs a script: as a step of one partition, or as a transaction over several.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::Op;
use convoke_grid::{
    Age, Map, OpError, OpenTransaction, Origin, Reply, Running, Started, Step, Stepped, Stop,
};
use convoke_script::{Failure, Interrupt, Script, Value};
use serde::{Deserialize, Serialize};
use tokio::runtime;

use super::super::answer::{Answer, CommandError};
use super::super::client::Client;
use super::super::client_info::ClientInfo;
use super::super::command::{CommandTable, Handle};
use super::super::encode::error_text;
use super::super::outcome::Outcome;
use super::super::request::{OwnedRequest, Request};
use super::super::routing::one_partition;
use super::super::server::Server;
use super::caller::{Caller, Context, Data, Message};
use super::{SCRIPT_MS_MAX, STEP_MS_MAX, limits, with_engine};
use crate::trust::Trust;

/// Attempts of one script that need something else first, at most: a map, or the reply of a command
/// on a whole database.
const RESTARTS_MAX: usize = 64;

/// A script with its arguments, as it is sent to the member that runs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Evaluation {
    pub(super) database: usize,
    /// Whether the user may change something.
    pub(super) is_trusted: bool,
    /// Whether the script may call no command that writes.
    pub(super) reads: bool,
    /// The client that is named as the origin of what the script changes.
    pub(super) origin: Option<Origin>,
    pub(super) source: Bytes,
    pub(super) keys: Vec<Bytes>,
    pub(super) args: Vec<Bytes>,
}

impl Evaluation {
    fn context(
        &self,
        server: &Arc<Server>,
        table: &'static CommandTable,
    ) -> Result<Context, OpError> {
        Ok(Context {
            server: Arc::clone(server),
            table,
            database: self.database,
            map: server.database(self.database)?,
            trust: if self.is_trusted { Trust::Full } else { Trust::ReadOnly },
            reads: self.reads,
            origin: self.origin,
            published: Vec::new(),
        })
    }

    fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(|key| &key[..]).collect()
    }

    fn args(&self) -> Vec<&[u8]> {
        self.args.iter().map(|arg| &arg[..]).collect()
    }
}

/// Sends what a script has published.
fn publish(server: &Server, messages: Vec<Message>) {
    for Message { topic, payload, is_shard } in messages {
        // Nobody waits for the number of subscribers.
        if is_shard {
            drop(server.grid.publish_shard(&topic, &payload));
        } else {
            drop(server.grid.publish(&topic, &payload));
        }
    }
}

fn failed(failure: Failure) -> Value {
    match failure {
        Failure::Error(text) => Value::Error(text),
        Failure::Stopped => {
            Value::error("ERR Error running script: Script killed by user with SCRIPT KILL.")
        }
        Failure::TimedOut => Value::error(format!(
            "ERR the script was stopped after {SCRIPT_MS_MAX} ms; nothing of it has happened"
        )),
        Failure::Interrupted => Value::error("ERR the script was interrupted"),
    }
}

fn failed_op(error: &OpError) -> Value {
    Value::error(error_text(error))
}

/// Data of one partition, which is locked meanwhile.
struct StepData<'a, 'b> {
    step: &'a mut Step<'b>,
    map: Arc<Map>,
}

impl Data for StepData<'_, '_> {
    fn execute(
        &mut self,
        map: &Arc<Map>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt> {
        if !Arc::ptr_eq(map, &self.map) {
            return Err(Interrupt);
        }
        self.step.execute(op).ok_or(Interrupt)
    }

    fn run(
        &mut self,
        handle: Handle,
        context: &Context,
        request: &Request<'_>,
    ) -> Result<Answer, Interrupt> {
        // Those that wait for nothing: others would wait for this very step.
        const IMMEDIATE: [&[u8]; 3] = [b"echo", b"ping", b"time"];
        let name = request.get(0).unwrap_or_default().to_ascii_lowercase();
        if !IMMEDIATE.contains(&&name[..]) {
            return Err(Interrupt);
        }
        let mut client = client_of(context).ok_or(Interrupt)?;
        match handle(&mut client, request) {
            Ok(Outcome::Ready(answer)) => Ok(answer),
            Ok(_) => Err(Interrupt),
            Err(error) => Ok(error.into()),
        }
    }
}

/// A client on whose behalf a script calls a command of the gateway.
fn client_of(context: &Context) -> Option<Client> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let buffer = context.server.pubsub.output_buffer();
    let info = ClientInfo::new(0, address, address, context.server.elapsed_ms(), buffer);
    let mut client = Client::new(&context.server, Arc::new(info))?;
    client.set_trust(context.trust);
    client.select(context.database).ok()?;
    Some(client)
}

/// Runs a script as a step of this partition, if that is possible.
pub(super) fn step(
    server: &Arc<Server>,
    table: &'static CommandTable,
    script: &Script,
    evaluation: &Evaluation,
    partition: u16,
) -> Stepped<Value> {
    let Ok(context) = evaluation.context(server, table) else { return Stepped::GivenUp };
    let map = Arc::clone(&context.map);
    let stepped = server.grid.step(&map, partition, |step| {
        let data = StepData { step, map: Arc::clone(&map) };
        let mut caller = Caller { context, data };
        let (keys, args) = (evaluation.keys(), evaluation.args());
        let limits = limits(STEP_MS_MAX);
        let result =
            with_engine(|engine| engine.run(script, &keys, &args, &limits, &mut caller)).ok()?;
        let value = match result {
            Ok(value) => value,
            Err(Failure::Error(text)) => Value::Error(text),
            // Another attempt has more time and more keys.
            Err(_) => return None,
        };
        Some((value, caller.context.published))
    });
    match stepped {
        Stepped::Done { result: (value, published), settled } => {
            publish(server, published);
            Stepped::Done { result: value, settled }
        }
        Stepped::GivenUp => Stepped::GivenUp,
    }
}

/// Data of any partitions, each key of which is locked when it is used.
struct TransactionData<'a> {
    runtime: &'a runtime::Handle,
    transaction: OpenTransaction,
    maps: &'a [Arc<Map>],
    /// Replies of commands on whole databases.
    replies: &'a HashMap<DatabaseCommand, Answer>,
    uses_keys: bool,
    ending: Option<Ending>,
}

/// A command on a whole database: the database, and the command with its arguments.
type DatabaseCommand = (usize, OwnedRequest);

/// Why an attempt ends before the script does.
enum Ending {
    Stop(Stop),
    /// It uses another map.
    Needs(Arc<Map>),
    /// It needs the reply of a command that cannot be executed while it holds locks.
    Calls(Handle, DatabaseCommand),
}

impl Data for TransactionData<'_> {
    fn execute(
        &mut self,
        map: &Arc<Map>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt> {
        if !self.maps.iter().any(|known| Arc::ptr_eq(known, map)) {
            self.ending = Some(Ending::Needs(Arc::clone(map)));
            return Err(Interrupt);
        }
        self.uses_keys = true;
        match self.runtime.block_on(self.transaction.execute(&map.name, op)) {
            Ok(reply) => Ok(Ok(reply)),
            Err(stop) => {
                self.ending = Some(Ending::Stop(stop));
                Err(Interrupt)
            }
        }
    }

    fn run(
        &mut self,
        handle: Handle,
        context: &Context,
        request: &Request<'_>,
    ) -> Result<Answer, Interrupt> {
        let name = request.get(0).unwrap_or_default().to_ascii_lowercase();
        if !matches!(
            &name[..],
            b"dbsize" | b"flushall" | b"flushdb" | b"keys" | b"randomkey" | b"scan"
        ) {
            return Ok(call(self.runtime, context, context.database, handle, request));
        }
        // It waits for all locks, also for those of this transaction.
        let command = (context.database, OwnedRequest::from(request));
        match self.replies.get(&command) {
            Some(answer) => Ok(answer.clone()),
            None if !self.uses_keys => {
                Ok(call(self.runtime, context, context.database, handle, request))
            }
            None => {
                self.ending = Some(Ending::Calls(handle, command));
                Err(Interrupt)
            }
        }
    }
}

/// Calls a command of the gateway, and waits for its reply.
fn call(
    runtime: &runtime::Handle,
    context: &Context,
    database: usize,
    handle: Handle,
    request: &Request<'_>,
) -> Answer {
    let Some(mut client) = client_of(context) else {
        return Err(OpError::Unavailable).into();
    };
    if let Err(error) = client.select(database) {
        return Err(error).into();
    }
    match handle(&mut client, request) {
        Ok(Outcome::Ready(answer) | Outcome::Close(answer)) => answer,
        Ok(Outcome::Pending(later) | Outcome::Barrier(later) | Outcome::Blocking(later)) => {
            runtime.block_on(later)
        }
        Ok(Outcome::Continue(_) | Outcome::WhenIdle(_)) => Err(OpError::Malformed).into(),
        Err(error) => error.into(),
    }
}

/// Runs a script as a transaction. `None` if this member is not the primary of the home partition.
fn transact(
    server: &Arc<Server>,
    table: &'static CommandTable,
    runtime: &runtime::Handle,
    evaluation: &Evaluation,
    home: u16,
) -> Option<Value> {
    let script = match Script::new(evaluation.source.clone()) {
        Ok(script) => script,
        Err(error) => return Some(Value::error(format!("ERR {error}"))),
    };
    let grid = &server.grid;
    let age: Age = grid.age();
    let running = server.scripts.started();
    let limits =
        convoke_script::Limits { stop: Arc::clone(&running.stop), ..limits(SCRIPT_MS_MAX) };
    let (keys, args) = (evaluation.keys(), evaluation.args());
    let mut maps: Vec<Arc<Map>> = match server.database(evaluation.database) {
        Ok(map) => vec![map],
        Err(error) => return Some(failed_op(&error)),
    };
    let mut replies = HashMap::new();
    let mut restarts = 0;
    loop {
        let opened = grid.open_transaction(home, age, maps.clone());
        let (transaction, context) = match (opened, evaluation.context(server, table)) {
            (Ok(transaction), Ok(context)) => (transaction, context),
            (Err(error), _) | (_, Err(error)) => return Some(failed_op(&error)),
        };
        let data = TransactionData {
            runtime,
            transaction,
            maps: &maps,
            replies: &replies,
            uses_keys: false,
            ending: None,
        };
        let mut caller = Caller { context, data };
        let result = with_engine(|engine| engine.run(&script, &keys, &args, &limits, &mut caller));
        let Caller { context, data: TransactionData { mut transaction, uses_keys, ending, .. } } =
            caller;
        let stop = match (result, ending) {
            (Err(error), _) => return Some(error),
            (Ok(Err(Failure::Interrupted)), Some(Ending::Stop(stop))) => stop,
            (Ok(Err(Failure::Interrupted)), Some(ending)) => {
                drop(transaction);
                restarts += 1;
                if restarts > RESTARTS_MAX {
                    return Some(Value::error(
                        "ERR the script calls too many commands on whole databases after others",
                    ));
                }
                match ending {
                    Ending::Needs(map) => maps.push(map),
                    Ending::Calls(handle, command) => {
                        let (database, request) = (command.0, command.1.as_request());
                        let answer = call(runtime, &context, database, handle, &request);
                        replies.insert(command, answer);
                    }
                    Ending::Stop(_) => {}
                }
                continue;
            }
            (Ok(Err(failure @ (Failure::TimedOut | Failure::Stopped))), _) => {
                return Some(failed(failure));
            }
            (Ok(result), _) => {
                // As in Redis, what happened before an error stays.
                let value = result.unwrap_or_else(failed);
                let committed =
                    if uses_keys { runtime.block_on(transaction.commit()) } else { Ok(Ok(())) };
                match committed {
                    Ok(Ok(())) => {
                        publish(server, context.published);
                        return Some(value);
                    }
                    Ok(Err(error)) => return Some(failed_op(&error)),
                    Err(stop) => stop,
                }
            }
        };
        match stop {
            Stop::Moved => return None,
            Stop::Failed(error) => return Some(failed_op(&error)),
            Stop::Again => {
                if let Err(error) = runtime.block_on(transaction.give_up()) {
                    return Some(failed_op(&error));
                }
            }
        }
    }
}

/// Runs a script on a thread of its own, where it may wait.
async fn run_apart(
    server: Arc<Server>,
    table: &'static CommandTable,
    evaluation: Evaluation,
    home: u16,
) -> Option<Value> {
    let permits = Arc::clone(&server.scripts.permits);
    let Ok(permit) = permits.acquire_owned().await else { return Some(failed_op(&OpError::Busy)) };
    let runtime = runtime::Handle::current();
    let ran = tokio::task::spawn_blocking(move || {
        let value = transact(&server, table, &runtime, &evaluation, home);
        drop(permit);
        value
    });
    ran.await.unwrap_or_else(|_| Some(failed_op(&OpError::Indeterminate)))
}

/// The partition whose primary runs a script, and whether all its keys are there.
pub(super) fn home(server: &Server, keys: &[&[u8]]) -> (u16, bool) {
    let grid = &server.grid;
    match one_partition(grid, keys) {
        Ok(Some(partition)) => (partition, true),
        Ok(None) => (grid.partition_of(keys[0]), false),
        // Without keys, any partition that this member leads.
        Err(_) => {
            let table = grid.table();
            let led = table.and_then(|table| {
                let is_here = |number: &u16| {
                    let partition = table.partitions.get(usize::from(*number));
                    partition.and_then(|partition| partition.primary()) == Some(grid.me())
                };
                (0..grid.partitions()).find(is_here)
            });
            (led.unwrap_or(0), false)
        }
    }
}

/// Runs a script wherever its home partition is led.
pub(super) async fn run(
    server: Arc<Server>,
    table: &'static CommandTable,
    evaluation: Evaluation,
    home: u16,
) -> Value {
    let table_of_grid = server.grid.table();
    let primary =
        table_of_grid.as_ref().and_then(|table| table.partitions.get(usize::from(home))?.primary());
    if primary == Some(server.grid.me())
        && let Some(value) = run_apart(Arc::clone(&server), table, evaluation.clone(), home).await
    {
        return value;
    }
    let map = match server.database(evaluation.database) {
        Ok(map) => map,
        Err(error) => return failed_op(&error),
    };
    let Ok(request) = postcard::to_allocvec(&evaluation) else {
        return failed_op(&OpError::Malformed);
    };
    let op = Op::Request { reads: evaluation.reads, request: &request };
    let reply = match server.grid.start(&map, home, &op) {
        Started::Now(reply) => reply,
        Started::Later(later) => later.await,
    };
    match reply {
        Ok(Reply::Bytes(bytes)) => {
            postcard::from_bytes(&bytes).unwrap_or_else(|_| failed_op(&OpError::Malformed))
        }
        Ok(_) => failed_op(&OpError::Malformed),
        Err(error) => failed_op(&error),
    }
}

/// Runs a script that another member has sent here.
pub(crate) fn run_request(
    server: &Arc<Server>,
    table: &'static CommandTable,
    partition: u16,
    request: &[u8],
) -> Running {
    let Ok(evaluation) = postcard::from_bytes::<Evaluation>(request) else {
        return Box::pin(std::future::ready(Some(Err(OpError::Malformed))));
    };
    let server = Arc::clone(server);
    Box::pin(async move {
        let keys = evaluation.keys();
        if let Ok(Some(here)) = one_partition(&server.grid, &keys)
            && here == partition
            && let Ok(script) = Script::new(evaluation.source.clone())
            && let Stepped::Done { result, settled } =
                step(&server, table, &script, &evaluation, partition)
        {
            let settled = match settled {
                Some(settled) => settled.await,
                None => Ok(Reply::Done),
            };
            return Some(settled.and_then(|_| sent(&result)));
        }
        let value = run_apart(server, table, evaluation, partition).await?;
        Some(sent(&value))
    })
}

fn sent(value: &Value) -> Result<Reply, OpError> {
    let bytes = postcard::to_allocvec(value).map_err(|_| OpError::Malformed)?;
    Ok(Reply::Bytes(bytes.into()))
}

/// Whether a source can be compiled.
pub(super) fn check(script: &Script) -> Result<(), CommandError> {
    let checked = with_engine(|engine| engine.check(script));
    match checked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(text_of(failed(failure))),
        Err(value) => Err(text_of(value)),
    }
}

fn text_of(value: Value) -> CommandError {
    match value {
        Value::Error(text) => CommandError(String::from_utf8_lossy(&text).into_owned().into()),
        _ => CommandError::SYNTAX,
    }
}
