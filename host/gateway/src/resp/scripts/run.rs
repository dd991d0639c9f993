//! Runs a script: as a step of one partition, or as a transaction over several.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::Op;
use convoke_grid::{
    AbortReason, Map, OpError, OpenTransaction, Origin, Reply, Running, Step, StepResult,
    TransactionAge,
};
use convoke_script::{
    Commands, Engine, Failure, Interrupt, Library, Limits, Script, ScriptError, Value, sha1_hex,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::runtime;

use super::super::answer::{Answer, CommandError};
use super::super::client::Client;
use super::super::client_info::ClientInfo;
use super::super::command::{CommandTable, Handle};
use super::super::command_state::CommandState;
use super::super::encode::error_text;
use super::super::request::{OwnedRequest, Request};
use super::super::script_cache::RunningInfo;
use super::super::server::Server;
use super::caller::{Caller, Context, Data, Message};
use super::{SCRIPT_MS_MAX, STEP_MS_MAX, limits, with_engine};
use crate::trust::Trust;

/// Attempts of one script that need something else first, at most: a map, or the reply of a command
/// on a whole database.
const RESTARTS_MAX: usize = 64;
/// Words of the command of a running script that are shown, and bytes of each, at most.
const SHOWN_WORDS_MAX: usize = 32;
const SHOWN_BYTES_MAX: usize = 128;

/// A request to another member.
#[derive(Debug, Serialize, Deserialize)]
enum MemberRequest {
    /// To run a script.
    Run(Evaluation),
    /// To stop the scripts, or the functions, that it runs: returns how many there were.
    Stop { functions: bool },
    /// What it runs: returns a list of [`RunningInfo`].
    Running,
}

/// What is run: compiled once in each thread.
#[derive(Clone, Copy)]
pub(super) enum Code<'a> {
    Script(&'a Script),
    /// A function of a library.
    Function(&'a Library, &'a str),
}

impl Code<'_> {
    fn run<'w>(
        &self,
        engine: &mut Engine,
        keys: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        args: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        limits: &Limits,
        commands: &mut dyn Commands,
    ) -> Result<Value, Failure> {
        match self {
            Self::Script(script) => engine.run(script, keys, args, limits, commands),
            Self::Function(library, name) => {
                engine.run_function(library, name, keys, args, limits, commands)
            }
        }
    }
}

/// On whose behalf a script is run, and what it may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Rights {
    database: usize,
    /// Whether the user may change something.
    is_trusted: bool,
    /// Whether the script may call no command that writes.
    reads: bool,
    /// The client that is named as the origin of what the script changes.
    origin: Option<Origin>,
}

impl Rights {
    pub(super) fn new(client: &Client, reads: bool) -> Self {
        Self {
            database: client.database,
            is_trusted: client.trust == Trust::Full,
            reads,
            origin: client.origin(),
        }
    }

    /// `map` is that of the database.
    fn context(
        self,
        server: &Arc<Server>,
        table: &'static CommandTable,
        map: &Arc<Map>,
    ) -> Context {
        Context {
            server: Arc::clone(server),
            table,
            database: self.database,
            map: Arc::clone(map),
            trust: if self.is_trusted { Trust::Full } else { Trust::ReadOnly },
            reads: self.reads,
            origin: self.origin,
            published: Vec::new(),
        }
    }
}

/// A script with its arguments, as it is sent to the member that runs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Evaluation {
    rights: Rights,
    source: Bytes,
    /// The function, if the source is that of a library.
    function: Option<Box<str>>,
    keys: Vec<Bytes>,
    args: Vec<Bytes>,
}

/// The source of an evaluation that was read.
enum Source {
    Script(Script),
    Function(Library, Box<str>),
}

impl Source {
    fn code(&self) -> Code<'_> {
        match self {
            Self::Script(script) => Code::Script(script),
            Self::Function(library, name) => Code::Function(library, name),
        }
    }
}

impl Evaluation {
    pub(super) fn new<'w>(
        rights: Rights,
        code: Code<'_>,
        keys: impl Iterator<Item = &'w [u8]>,
        args: impl Iterator<Item = &'w [u8]>,
    ) -> Self {
        let (source, function) = match code {
            Code::Script(script) => (&script.source, None),
            Code::Function(library, name) => (&library.source, Some(name.into())),
        };
        Self {
            rights,
            source: source.clone(),
            function,
            keys: keys.map(Bytes::copy_from_slice).collect(),
            args: args.map(Bytes::copy_from_slice).collect(),
        }
    }

    fn read(&self) -> Result<Source, ScriptError> {
        let source = self.source.clone();
        Ok(match &self.function {
            None => Source::Script(Script::new(source)?),
            Some(name) => Source::Function(Library::new(source)?, name.clone()),
        })
    }

    /// The command that runs it, as far as it is shown.
    fn shown(&self) -> RunningInfo {
        let (name, command) = match &self.function {
            None => (sha1_hex(&self.source), "eval"),
            Some(name) => (name.to_string(), "fcall"),
        };
        let first = if self.function.is_some() { name.as_bytes() } else { &self.source };
        let count = self.keys.len().to_string();
        let words = [command.as_bytes(), first, count.as_bytes()].into_iter();
        let words = words.chain(self.keys.iter().chain(&self.args).map(|word| &word[..]));
        let shorten =
            |word: &[u8]| Bytes::copy_from_slice(&word[..word.len().min(SHOWN_BYTES_MAX)]);
        RunningInfo {
            is_function: self.function.is_some(),
            command: words.take(SHOWN_WORDS_MAX).map(shorten).collect(),
            name: name.clone(),
            ms: 0,
        }
    }

    fn keys(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.keys.iter().map(|key| &key[..])
    }

    fn args(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.args.iter().map(|arg| &arg[..])
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
            "ERR the script was stopped after {SCRIPT_MS_MAX} ms; its changes were rolled back"
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
    map: &'a Arc<Map>,
}

impl Data for StepData<'_, '_> {
    fn execute(
        &mut self,
        map: &Arc<Map>,
        other: Option<&Arc<Map>>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt> {
        if !Arc::ptr_eq(map, self.map) || other.is_some() {
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
            Ok(CommandState::Ready(answer)) => Ok(answer),
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

/// Runs a script with keys and arguments as a step of this partition, if that is possible. `map` is
/// that of the database.
pub(super) fn step<'w>(
    server: &Arc<Server>,
    table: &'static CommandTable,
    (code, rights): (Code<'_>, Rights),
    (keys, args): (
        impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ),
    map: &Arc<Map>,
    partition: u16,
) -> StepResult<Value> {
    let stepped = server.grid.step(map, partition, |step| {
        let data = StepData { step, map };
        let mut caller = Caller { context: rights.context(server, table, map), data };
        let limits = limits(STEP_MS_MAX);
        let result =
            with_engine(|engine| code.run(engine, keys, args, &limits, &mut caller)).ok()?;
        let value = match result {
            Ok(value) => value,
            Err(Failure::Error(text)) => Value::Error(text),
            // Another attempt has more time and more keys.
            Err(_) => return None,
        };
        Some((value, caller.context.published))
    });
    match stepped {
        StepResult::Done { result: (value, published), replicated } => {
            publish(server, published);
            StepResult::Done { result: value, replicated }
        }
        StepResult::NotExecuted => StepResult::NotExecuted,
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
    Abort(AbortReason),
    /// It uses another map.
    Needs(Arc<Map>),
    /// It needs the reply of a command that cannot be executed while it holds locks.
    Calls(Handle, DatabaseCommand),
}

impl Data for TransactionData<'_> {
    fn execute(
        &mut self,
        map: &Arc<Map>,
        other: Option<&Arc<Map>>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt> {
        let is_new = |map: &&Arc<Map>| !self.maps.iter().any(|known| Arc::ptr_eq(known, map));
        if let Some(map) = [map].into_iter().chain(other).find(is_new) {
            self.ending = Some(Ending::Needs(Arc::clone(map)));
            return Err(Interrupt);
        }
        self.uses_keys = true;
        match self.runtime.block_on(self.transaction.execute(&map.name, op)) {
            Ok(reply) => Ok(Ok(reply)),
            Err(stop) => {
                self.ending = Some(Ending::Abort(stop));
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
        Ok(CommandState::Ready(answer) | CommandState::Close(answer)) => answer,
        Ok(
            CommandState::Pending(later)
            | CommandState::Barrier(later)
            | CommandState::Blocking(later),
        ) => runtime.block_on(later),
        Ok(CommandState::Continue(_) | CommandState::WhenIdle(_)) => Err(OpError::Malformed).into(),
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
    let source = match evaluation.read() {
        Ok(source) => source,
        Err(error) => return Some(Value::error(format!("ERR {error}"))),
    };
    let grid = &server.grid;
    let age: TransactionAge = grid.age();
    let running = server.scripts.started(evaluation.shown());
    let limits = Limits { stop: Some(Arc::clone(&running.stop)), ..limits(SCRIPT_MS_MAX) };
    let map = match server.database(evaluation.rights.database) {
        Ok(map) => map,
        Err(error) => return Some(failed_op(&error)),
    };
    let mut maps = vec![Arc::clone(&map)];
    let mut replies = HashMap::new();
    let mut restarts = 0;
    loop {
        let transaction = match grid.open_transaction(home, age, maps.clone()) {
            Ok(transaction) => transaction,
            Err(error) => return Some(failed_op(&error)),
        };
        let context = evaluation.rights.context(server, table, &map);
        let data = TransactionData {
            runtime,
            transaction,
            maps: &maps,
            replies: &replies,
            uses_keys: false,
            ending: None,
        };
        let mut caller = Caller { context, data };
        let (code, keys, args) = (source.code(), evaluation.keys(), evaluation.args());
        let result = with_engine(|engine| code.run(engine, keys, args, &limits, &mut caller));
        let Caller { context, data: TransactionData { mut transaction, uses_keys, ending, .. } } =
            caller;
        let stop = match (result, ending) {
            (Err(error), _) => return Some(error),
            (Ok(Err(Failure::Interrupted)), Some(Ending::Abort(stop))) => stop,
            (Ok(Err(Failure::Interrupted)), Some(ending)) => {
                drop(transaction);
                restarts += 1;
                if restarts > RESTARTS_MAX {
                    return Some(Value::error(
                        "ERR the script calls commands on whole databases (such as KEYS or SCAN) too often after using keys",
                    ));
                }
                match ending {
                    Ending::Needs(map) => maps.push(map),
                    Ending::Calls(handle, command) => {
                        let (database, request) = (command.0, command.1.as_request());
                        let answer = call(runtime, &context, database, handle, &request);
                        replies.insert(command, answer);
                    }
                    Ending::Abort(_) => {}
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
            AbortReason::NotPrimary => return None,
            AbortReason::Failed(error) => return Some(failed_op(&error)),
            AbortReason::Retry => {
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
pub(super) fn home<'w>(server: &Server, keys: impl Iterator<Item = &'w [u8]>) -> (u16, bool) {
    let grid = &server.grid;
    let mut partitions = keys.map(|key| grid.partition_of(key));
    match partitions.next() {
        Some(first) => (first, partitions.all(|partition| partition == first)),
        // Without keys, any partition that this member leads.
        None => {
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

/// Runs a script on the primary of its home partition.
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
    let map = match server.database(evaluation.rights.database) {
        Ok(map) => map,
        Err(error) => return failed_op(&error),
    };
    let reads = evaluation.rights.reads;
    let Ok(request) = postcard::to_allocvec(&MemberRequest::Run(evaluation)) else {
        return failed_op(&OpError::Malformed);
    };
    match server.submit(&map, home, &Op::Request { reads, request: &request }).await {
        Ok(Reply::Bytes(bytes)) => {
            postcard::from_bytes(&bytes).unwrap_or_else(|_| failed_op(&OpError::Malformed))
        }
        Ok(_) => failed_op(&OpError::Malformed),
        Err(error) => failed_op(&error),
    }
}

/// Runs the script of another member as a step of this partition, if all its keys are there.
fn step_alone(
    server: &Arc<Server>,
    table: &'static CommandTable,
    evaluation: &Evaluation,
    partition: u16,
) -> StepResult<Value> {
    let (keys, args) = (evaluation.keys(), evaluation.args());
    if keys.len() == 0 || home(server, keys.clone()) != (partition, true) {
        return StepResult::NotExecuted;
    }
    let (Ok(source), Ok(map)) = (evaluation.read(), server.database(evaluation.rights.database))
    else {
        return StepResult::NotExecuted;
    };
    let code = (source.code(), evaluation.rights);
    step(server, table, code, (keys, args), &map, partition)
}

/// Executes a request of another member.
pub(crate) fn run_request(
    server: &Arc<Server>,
    table: &'static CommandTable,
    partition: u16,
    request: &[u8],
) -> Running {
    let ready = |reply| -> Running { Box::pin(std::future::ready(Some(reply))) };
    let evaluation = match postcard::from_bytes::<MemberRequest>(request) {
        Ok(MemberRequest::Run(evaluation)) => evaluation,
        Ok(MemberRequest::Stop { functions }) => {
            return ready(Ok(Reply::count(server.scripts.stop_all(functions))));
        }
        Ok(MemberRequest::Running) => {
            let running = postcard::to_allocvec(&server.scripts.running());
            return ready(
                running.map(|bytes| Reply::Bytes(bytes.into())).map_err(|_| OpError::Malformed),
            );
        }
        Err(_) => return ready(Err(OpError::Malformed)),
    };
    let server = Arc::clone(server);
    Box::pin(async move {
        let stepped = step_alone(&server, table, &evaluation, partition);
        if let StepResult::Done { result, replicated } = stepped {
            let replicated = match replicated {
                Some(replicated) => replicated.await,
                None => Ok(Reply::Done),
            };
            return Some(replicated.and_then(|_| sent(&result)));
        }
        let value = run_apart(server, table, evaluation, partition).await?;
        Some(sent(&value))
    })
}

/// Asks each member that runs scripts, which are the primaries. One that does not answer is left
/// out.
async fn ask_all(server: &Arc<Server>, asked: &MemberRequest) -> Result<Vec<Reply>, OpError> {
    let request = postcard::to_allocvec(asked).map_err(|_| OpError::Malformed)?;
    let map = server.database(0)?;
    let table = server.grid.table().ok_or(OpError::Unavailable)?;
    let mut partitions = BTreeMap::new();
    for (number, partition) in (0..).zip(&table.partitions) {
        if let Some(primary) = partition.primary() {
            partitions.entry(primary).or_insert(number);
        }
    }
    let op = Op::Request { reads: true, request: &request };
    let all = partitions.into_values().map(|partition| server.submit(&map, partition, &op));
    let all: Vec<_> = all.collect();
    Ok(join_all(all).await.into_iter().filter_map(Result::ok).collect())
}

/// Stops the scripts, or the functions, that any member runs. Returns whether there were any.
pub(super) async fn stop(server: &Arc<Server>, functions: bool) -> Result<bool, OpError> {
    let replies = ask_all(server, &MemberRequest::Stop { functions }).await?;
    Ok(replies.iter().any(|reply| matches!(reply, Reply::Integer(1..))))
}

/// What all members run.
pub(super) async fn running(server: &Arc<Server>) -> Result<Vec<RunningInfo>, OpError> {
    let mut all: Vec<RunningInfo> = Vec::new();
    for reply in ask_all(server, &MemberRequest::Running).await? {
        let Reply::Bytes(bytes) = reply else { return Err(OpError::Malformed) };
        all.extend(postcard::from_bytes::<Vec<_>>(&bytes).map_err(|_| OpError::Malformed)?);
    }
    Ok(all)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A request on its way to the member that executes it.
    #[test]
    fn fuzz_member_request() {
        let texts = |all: &[&'static str]| {
            all.iter().map(|text| Bytes::from_static(text.as_bytes())).collect::<Vec<_>>()
        };
        let script = Evaluation {
            rights: Rights { database: 3, is_trusted: true, reads: false, origin: None },
            source: Bytes::from_static(b"return redis.call('get', KEYS[1])"),
            function: None,
            keys: texts(&["key", ""]),
            args: texts(&["argument"]),
        };
        let function = Evaluation { function: Some("name".into()), ..script.clone() };
        let samples = [
            MemberRequest::Run(script),
            MemberRequest::Run(function),
            MemberRequest::Stop { functions: true },
            MemberRequest::Running,
        ];
        let samples = samples.map(|sample| postcard::to_allocvec(&sample).unwrap());
        convoke_harness::check!(&samples, |bytes| {
            let Ok(request) = postcard::from_bytes::<MemberRequest>(bytes) else { return };
            if let MemberRequest::Run(evaluation) = &request {
                let length: usize = evaluation.keys().map(<[u8]>::len).sum();
                assert!(length + evaluation.source.len() <= bytes.len());
            }
            let encoded = postcard::to_allocvec(&request).unwrap();
            let again = postcard::from_bytes::<MemberRequest>(&encoded).expect("its own encoding");
            assert_eq!(postcard::to_allocvec(&again).unwrap(), encoded);
        });
    }
}
